//! Instances of a provider that come and go.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use a6_mock::{CutWith, Exchange, Garbage, Knobs, Mock, Options};

use crate::support::{Random, eventually};

/// A mock at an address of its own, also while it is gone.
pub(crate) struct Instance {
    pub(crate) name: &'static str,
    port: u16,
    mock: Option<Mock>,
    /// What came to those before.
    past: Vec<Exchange>,
}

/// How it answers when nothing is wrong: slowly enough that many requests are under way at a time.
fn steady() -> Knobs {
    Knobs { first_delay_ms: Some(200), chunk_delay_ms: Some(20), ..Knobs::default() }
}

impl Instance {
    pub(crate) fn several<const N: usize>(names: [&'static str; N]) -> Vec<Self> {
        names.into_iter().map(Self::start).collect()
    }

    fn start(name: &'static str) -> Self {
        let mut instance = Self { name, port: free_port(), mock: None, past: Vec::new() };
        instance.revive();
        instance
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.mock.is_some()
    }

    /// Ends it with all its connections.
    pub(crate) fn kill(&mut self) {
        if let Some(mock) = self.mock.take() {
            self.past.extend(mock.stop());
        }
    }

    /// Lets it listen again, if it was killed.
    pub(crate) fn revive(&mut self) {
        if self.mock.is_none() {
            // All of them, however long the fire burns.
            let kept = usize::MAX;
            let options = Options { port: self.port, knobs: steady(), kept, ..Options::default() };
            self.mock = Some(eventually("its port", || Mock::start(options.clone()).ok()));
        }
    }

    /// Lets it answer as it should.
    pub(crate) fn calm(&mut self) {
        self.revive();
        self.set(steady());
    }

    /// Lets it answer with a status.
    pub(crate) fn fail(&mut self, status: u16) {
        self.set(Knobs { status: Some(status), ..steady() });
    }

    /// Something goes wrong with its answers from now on.
    pub(crate) fn suffer(&mut self, random: &mut Random) {
        let steady = steady();
        let bytes = |most: u64, random: &mut Random| usize::try_from(random.below(most)).ok();
        self.set(match random.below(9) {
            0 | 1 => Knobs { status: Some(429), retry_after: Some("1".into()), ..steady },
            2 => Knobs { status: Some(500), ..steady },
            3 => Knobs { status: Some(503), ..steady },
            4 => Knobs { first_delay_ms: Some(3_600_000), ..steady },
            5 => Knobs { stall_after: bytes(900, random), ..steady },
            6 => Knobs { cut_after: bytes(900, random), ..steady },
            7 => Knobs { cut_after: bytes(900, random), cut_with: Some(CutWith::Rst), ..steady },
            _ => Knobs { garbage: Some(*random.of(&[Garbage::StatusLine, Garbage::Head])), ..steady },
        });
    }

    fn set(&mut self, knobs: Knobs) {
        if let Some(mock) = &self.mock {
            mock.set_knobs(knobs);
        }
    }

    /// All that came since the start, oldest first.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let now = self.mock.as_ref().map(Mock::ledger).unwrap_or_default();
        self.past.iter().cloned().chain(now).collect()
    }

    /// How many requests it has answered well.
    pub(crate) fn answered(&self) -> usize {
        self.exchanges().iter().filter(|exchange| exchange.status == 200).count()
    }
}

/// A port that no outgoing connection is given by the kernel, so that it can be taken again, and no gateway of a test.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let own = u16::try_from(std::process::id() % 80).expect("below 80") * 20;
        let port = 31_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 1_700;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
