use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use a6_protocols::Protocol;
use a6_snapshot::{Attempt, Record};
use serde_json::{Value, json};

/// The last requests, oldest first; older ones are forgotten, so that memory stays bounded.
#[derive(Debug)]
pub struct RequestLog {
    ring: Mutex<VecDeque<Record>>,
    capacity: usize,
}

impl RequestLog {
    /// Keeps `capacity` requests.
    pub fn new(capacity: usize) -> Self {
        Self { ring: Mutex::new(VecDeque::new()), capacity: capacity.max(1) }
    }

    /// Adds a request that is over.
    pub fn push(&self, record: Record) {
        let mut ring = self.lock();
        let forgotten = if ring.len() >= self.capacity { ring.pop_front() } else { None };
        ring.push_back(record);
        drop(ring);
        // Freed outside the lock.
        drop(forgotten);
    }

    /// The newest one.
    pub fn last(&self) -> Option<Record> {
        self.lock().back().cloned()
    }

    /// All of them as JSON, as the Control API's `/v1/requests` shows them.
    pub fn to_json(&self) -> Value {
        Value::Array(self.lock().iter().map(record_json).collect())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Record>> {
        // A panic while pushing leaves a usable ring.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn record_json(record: &Record) -> Value {
    let usage = record.usage;
    json!({
        "started_ms": record.started_unix_ms,
        "duration_ms": millis(record.duration),
        "request_id": record.request_id,
        "method": record.method.as_str(),
        "route_id": record.route_id(),
        "service_id": record.service_id(),
        "consumer": record.consumer.as_deref(),
        "protocol": record.protocol.map(Protocol::name),
        "stream": record.stream,
        "request_model": record.request_model,
        "model": record.model,
        "status": record.status.map(|status| status.as_u16()),
        "outcome": record.outcome.map(|outcome| outcome.as_str()),
        "error": record.fault.map(|kind| kind.as_str()),
        "error_text": record.fault_text,
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "cache_read_tokens": usage.cache_read,
        "cache_creation_tokens": usage.cache_creation,
        "reasoning_tokens": usage.reasoning,
        "ttft_ms": millis(record.ttft),
        "response_bytes": record.response_bytes,
        "dropped": record.dropped,
        "upstream_status": record.attempts.last().and_then(|last| last.status).map(|status| status.as_u16()),
        "attempts": record.attempts.iter().map(attempt_json).collect::<Vec<_>>(),
    })
}

fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "instance": &*attempt.instance,
        "address": &*attempt.address,
        "status": attempt.status.map(|status| status.as_u16()),
        "error": attempt.fault.map(|kind| kind.as_str()),
        "class": attempt.class.map(|class| class.as_str()),
        "connect_ms": millis(attempt.connect),
        "header_ms": millis(attempt.header),
        "duration_ms": millis(attempt.duration),
        "response_bytes": attempt.response_bytes,
    })
}

#[cfg(test)]
mod tests {
    use a6_core::{Fault, FaultKind};
    use a6_snapshot::Outcome;
    use http::{Method, StatusCode};

    use super::*;

    #[test]
    fn keeps_the_last_ones_in_order() {
        let log = RequestLog::new(2);
        for (ms, status) in [(1, 200), (2, 404), (3, 502)] {
            let mut record = Record::begin(Method::POST, ms);
            record.status = StatusCode::from_u16(status).ok();
            record.end(Outcome::Complete);
            log.push(record);
        }
        let shown = log.to_json();
        let statuses: Vec<_> = shown.as_array().unwrap().iter().map(|record| &record["status"]).collect();
        assert_eq!(statuses, [404, 502]);
    }

    #[test]
    fn unknown_usage_is_null_and_the_first_fault_stands() {
        let mut record = Record::begin(Method::POST, 0);
        record.fail(&Fault::upstream(FaultKind::UpstreamTimeout, "first"));
        record.fail(&Fault::upstream(FaultKind::UpstreamTruncated, "second"));
        let shown = record_json(&record);
        assert_eq!(shown["error"], "upstream_timeout");
        assert_eq!(shown["error_text"], "first");
        assert!(shown["prompt_tokens"].is_null());
    }
}
