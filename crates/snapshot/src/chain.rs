use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use a6_core::{Fault, FaultKind};
use http::StatusCode;

use crate::{Exchange, Meta, Phases, Plugin, Request, Stop};

/// A number that no other chain or owner of this process has.
pub(crate) fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The plugins of a request, highest priority first, and per phase which of them take part.
#[derive(Debug)]
pub struct Chain<P> {
    /// Tells chains apart, for caches.
    pub id: u64,
    entries: Vec<ChainEntry<P>>,
    rewrite: Box<[u16]>,
    late_rewrite: Box<[u16]>,
    access: Box<[u16]>,
    before_proxy: Box<[u16]>,
    header_filter: Box<[u16]>,
    frame: Box<[u16]>,
    log: Box<[u16]>,
    authenticates: bool,
}

/// The plugins of one resource, compiled once for all that use it.
#[derive(Debug)]
pub struct Owner<P> {
    /// Tells owners apart, for caches.
    pub id: u64,
    pub(crate) entries: Vec<ChainEntry<P>>,
}

/// A plugin in a chain.
#[derive(Debug)]
pub struct ChainEntry<P> {
    /// Its name.
    pub name: &'static str,
    /// Its priority.
    pub priority: i32,
    /// Its compiled configuration; none if it is disabled or a secret in it is not known.
    pub plugin: Option<Arc<P>>,
    /// A secret reference in its configuration that stands for nothing so far: what it would take part in is refused.
    pub unresolved: Option<Arc<str>>,
    /// What is said of it besides.
    pub meta: Option<Arc<Meta>>,
    /// The resource that it is written on, such as `/routes/1`.
    pub owner: Arc<str>,
    /// Authentication has brought it: its rewrite phase comes after all others.
    pub is_late: bool,
}

impl<P> Clone for ChainEntry<P> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            priority: self.priority,
            plugin: self.plugin.clone(),
            unresolved: self.unresolved.clone(),
            meta: self.meta.clone(),
            owner: self.owner.clone(),
            is_late: self.is_late,
        }
    }
}

impl<P> ChainEntry<P> {
    /// Whether it takes part in this request, and with what.
    pub fn admitted(&self, exchange: &mut Exchange) -> Option<&Arc<P>> {
        match &self.meta {
            Some(meta) if !exchange.admits(meta) => None,
            _ => self.plugin.as_ref(),
        }
    }

    /// Why a request that it would take part in goes no further: one of its secrets is not known, and without it nobody
    /// can say what it would do.
    pub fn refusal(&self, exchange: &mut Exchange) -> Option<Stop> {
        let reference = self.unresolved.as_ref()?;
        if self.meta.as_ref().is_some_and(|meta| !exchange.admits(meta)) {
            return None;
        }
        let (name, owner) = (self.name, &self.owner);
        let text = format!("the secret {reference} of plugin {name} on {owner} cannot be resolved");
        Some(Fault::gateway(FaultKind::Misconfigured, StatusCode::SERVICE_UNAVAILABLE, text).into())
    }

    /// Whether the request's body has to be read before [`ChainEntry::admitted`] can say.
    pub fn asks_for_body(&self) -> bool {
        self.meta.as_ref().and_then(|meta| meta.filter.as_ref()).is_some_and(|filter| filter.needs_body())
    }

    /// Its refusal in the words that were configured for it.
    pub fn reword(&self, stop: Stop) -> Stop {
        match &self.meta {
            Some(meta) => meta.reword(stop),
            None => stop,
        }
    }
}

impl<P: Plugin> ChainEntry<P> {
    /// Where it takes part; to refuse requests, as early as it can.
    fn phases(&self) -> Phases {
        match (&self.plugin, &self.unresolved) {
            (Some(plugin), _) => plugin.phases(),
            (None, Some(_)) => Phases { rewrite: true, ..Phases::default() },
            (None, None) => Phases::default(),
        }
    }
}

impl<P: Plugin> Chain<P> {
    /// Lays the plugins of several owners over each other: of equal names the last counts, whole.
    pub fn layered(owners: &[&Owner<P>]) -> Self {
        let mut entries: Vec<ChainEntry<P>> = Vec::new();
        for owner in owners {
            lay(&mut entries, &owner.entries, false);
        }
        Self::new(entries)
    }

    /// This chain with what authentication brings: the plugins of a consumer's group and of the consumer itself.
    pub fn with(&self, owners: &[&Owner<P>]) -> Self {
        let mut entries = self.entries.clone();
        for owner in owners {
            lay(&mut entries, &owner.entries, true);
        }
        Self::new(entries)
    }

    /// Orders plugins by priority; equal priorities by name.
    fn new(mut entries: Vec<ChainEntry<P>>) -> Self {
        entries.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(b.name)));
        let in_phase = |wanted: &dyn Fn(&ChainEntry<P>, Phases) -> bool| {
            (0u16..)
                .zip(&entries)
                .filter(|(_, entry)| wanted(entry, entry.phases()))
                .map(|(at, _)| at)
                .collect()
        };
        // One that replaces another has no rewrite phase of its own, but refuses all the same.
        let is_in = |entry: &ChainEntry<P>, late: bool| entry.is_late == late || entry.unresolved.is_some();
        let mut chain = Self {
            id: fresh_id(),
            rewrite: in_phase(&|entry, phases| phases.rewrite && is_in(entry, false)),
            late_rewrite: in_phase(&|entry, phases| phases.rewrite && is_in(entry, true)),
            access: in_phase(&|_, phases| phases.access),
            before_proxy: in_phase(&|_, phases| phases.before_proxy),
            header_filter: in_phase(&|_, phases| phases.header_filter),
            frame: in_phase(&|_, phases| phases.frame),
            log: in_phase(&|_, phases| phases.log),
            authenticates: entries
                .iter()
                .filter_map(|entry| entry.plugin.as_ref())
                .any(|plugin| plugin.phases().authenticates),
            entries,
        };
        P::link(&mut chain);
        chain
    }

    /// All plugins, those included that are disabled.
    pub fn entries(&self) -> &[ChainEntry<P>] {
        &self.entries
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether one of its plugins finds out who is asking.
    pub fn authenticates(&self) -> bool {
        self.authenticates
    }

    /// Notes in a request where its credentials may be; see [`Plugin::mark_credentials`].
    pub fn mark_credentials(&self, request: &mut Request) {
        for plugin in self.entries.iter().filter_map(|entry| entry.plugin.as_ref()) {
            plugin.mark_credentials(request);
        }
    }

    fn run<'c>(&'c self, places: &'c [u16]) -> impl Iterator<Item = &'c ChainEntry<P>> {
        places.iter().map(|place| &self.entries[usize::from(*place)])
    }

    /// Those with a rewrite phase, in order, but for what authentication brought.
    pub fn rewrite(&self) -> impl Iterator<Item = &ChainEntry<P>> {
        self.run(&self.rewrite)
    }

    /// Those that authentication brought and that have a rewrite phase, in order.
    pub fn late_rewrite(&self) -> impl Iterator<Item = &ChainEntry<P>> {
        self.run(&self.late_rewrite)
    }

    /// Those with an access phase, in order.
    pub fn access(&self) -> impl Iterator<Item = &ChainEntry<P>> {
        self.run(&self.access)
    }

    /// Those with a before_proxy phase, in order.
    pub fn before_proxy(&self) -> impl Iterator<Item = &ChainEntry<P>> {
        self.run(&self.before_proxy)
    }

    /// Those with a header_filter phase, in order.
    pub fn header_filter(&self) -> impl Iterator<Item = &ChainEntry<P>> {
        self.run(&self.header_filter)
    }

    /// Those that look at the body, in order; counted from `from`.
    pub fn frame(&self, from: usize) -> impl Iterator<Item = &ChainEntry<P>> {
        self.run(self.frame.get(from..).unwrap_or_default())
    }

    /// How many look at the body.
    pub fn frame_count(&self) -> usize {
        self.frame.len()
    }

    /// Those with a log phase, in order.
    pub fn log(&self) -> impl Iterator<Item = &ChainEntry<P>> {
        self.run(&self.log)
    }
}

/// Lays `over` over `entries`. What is replaced late has run its rewrite phase already and does not run it again.
fn lay<P>(entries: &mut Vec<ChainEntry<P>>, over: &[ChainEntry<P>], late: bool) {
    for entry in over {
        let replaced = entries.iter().position(|known| known.name == entry.name);
        let was_late = replaced.is_none_or(|at| entries[at].is_late);
        let entry = ChainEntry { is_late: late && was_late, ..entry.clone() };
        match replaced {
            Some(at) => entries[at] = entry,
            None => entries.push(entry),
        }
    }
}
