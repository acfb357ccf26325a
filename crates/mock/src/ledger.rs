//! The ledger: every request that came and what was written for it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How many exchanges are kept, unless somebody says otherwise; past it the oldest are forgotten.
pub(crate) const KEPT: usize = 20_000;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not ended yet.
    #[default]
    Open,
    /// The whole reply was written.
    Complete,
    /// A knob cut the reply or refused to give one.
    Cut,
    /// The client left before its request or the reply was whole.
    ClientGone,
    /// A knob stalled the reply, and the client left.
    Stalled,
    /// The whole reply was written and a knob had put nonsense into it.
    Garbage,
}

/// One request and what was written for it. Bytes that came without being a request (stray or malformed) are an
/// exchange with an empty method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Number of this exchange, from 1, over all connections.
    pub seq: u64,
    /// Number of the connection it came on, from 1.
    pub connection: u64,
    /// Method, as it came.
    pub method: String,
    /// Request target, path and query, as it came.
    pub target: String,
    /// Header lines in their order; only the names are lower-cased. Bytes that are not UTF-8 are read as Latin-1.
    pub headers: Vec<(String, String)>,
    /// The request body without its framing, as far as it came; bytes that are not UTF-8 are replaced.
    pub body: String,
    /// Length of the body in bytes.
    pub body_len: usize,
    /// The body in hexadecimal when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_hex: Option<String>,
    /// The host name of the TLS handshake, if there was one.
    pub sni: Option<String>,
    /// Status of the reply; 0 when there was none.
    pub status: u16,
    /// Bytes written for this exchange: heads, interim responses and framing included, TLS not.
    pub response_bytes: u64,
    /// The assistant's text in the whole reply, all choices joined by line feeds; a cut reply carries less of it.
    pub content: String,
    /// Prompt tokens as counted here, whether or not the reply tells them.
    pub prompt_tokens: u64,
    /// Completion tokens of the whole reply as counted here, whether or not the reply tells them.
    pub completion_tokens: u64,
    /// Events of the stream that were written whole, `[DONE]` included.
    pub events_written: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the client was seen closing the connection while this was its latest exchange.
    pub client_closed: bool,
}

impl Exchange {
    /// The first value of the header with this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The request body as JSON, if it is JSON.
    #[must_use]
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.body).ok()
    }

    /// Puts the request body in.
    pub(crate) fn set_body(&mut self, body: &[u8]) {
        self.body_len = body.len();
        match std::str::from_utf8(body) {
            Ok(text) => self.body = text.to_owned(),
            Err(_) => {
                self.body = String::from_utf8_lossy(body).into_owned();
                self.body_hex = Some(body.iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
    }
}

/// The exchanges of one mock, oldest first.
pub(crate) struct Ledger {
    most: usize,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    last: u64,
    kept: VecDeque<Exchange>,
}

impl Ledger {
    /// One that keeps so many exchanges.
    pub(crate) fn of(most: usize) -> Self {
        Self { most, rows: Mutex::default() }
    }

    /// Enters an exchange and gives it its number.
    pub(crate) fn enter(&self, mut exchange: Exchange) -> u64 {
        let mut rows = locked(&self.rows);
        rows.last += 1;
        exchange.seq = rows.last;
        if rows.kept.len() >= self.most {
            rows.kept.pop_front();
        }
        rows.kept.push_back(exchange);
        rows.last
    }

    /// Changes one exchange, unless it was cleared away.
    pub(crate) fn change(&self, seq: u64, change: impl FnOnce(&mut Exchange)) {
        let mut rows = locked(&self.rows);
        // Numbers are without gaps in what is kept: rows leave at the front or all at once.
        let first = rows.kept.front().map_or(0, |exchange| exchange.seq);
        let row = seq.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(row) = row
            && let Some(exchange) = rows.kept.get_mut(row)
        {
            change(exchange);
        }
    }

    /// All exchanges kept.
    pub(crate) fn all(&self) -> Vec<Exchange> {
        locked(&self.rows).kept.iter().cloned().collect()
    }

    /// Forgets all exchanges; those still open are not listed again.
    pub(crate) fn clear(&self) {
        locked(&self.rows).kept.clear();
    }
}

/// The lock's content; a panic of another holder cannot leave these values half-changed.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_number_after_clearing_and_forgetting() {
        let ledger = Ledger::of(KEPT);
        let first = ledger.enter(Exchange::default());
        ledger.clear();
        let second = ledger.enter(Exchange::default());
        ledger.change(first, |exchange| exchange.status = 500);
        ledger.change(second, |exchange| exchange.status = 200);
        ledger.change(second + 1, |exchange| exchange.status = 500);
        let all = ledger.all();
        assert_eq!((all.len(), all[0].seq, all[0].status), (1, 2, 200));

        for _ in 0..KEPT {
            ledger.enter(Exchange::default());
        }
        ledger.change(second, |exchange| exchange.status = 500);
        ledger.change(second + 1, |exchange| exchange.status = 201);
        let all = ledger.all();
        assert_eq!((all.len(), all[0].seq, all[0].status), (KEPT, 3, 201));
    }

    #[test]
    fn a_body_that_is_not_utf8_is_kept_in_hexadecimal() {
        let mut exchange = Exchange::default();
        exchange.set_body(b"a\xff");
        assert_eq!((exchange.body_len, exchange.body.as_str()), (2, "a\u{fffd}"));
        assert_eq!(exchange.body_hex.as_deref(), Some("61ff"));
    }
}
