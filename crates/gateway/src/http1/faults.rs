use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};

use a6_codec::http1::server::{AnswerHead, HeadFault, write_answer_head};
use http::header::{CONTENT_TYPE, SERVER};
use http::{HeaderMap, HeaderValue, Method, Version};

use super::connection::Connection;
use super::outbox::Outbox;
use super::spare;

const REASONS: usize = HeadFault::ALL.len();

/// How often bytes of clients were refused before they were a request, by reason. Such bytes leave no record.
#[derive(Debug, Default)]
pub struct HeadFaults([AtomicU64; REASONS]);

impl HeadFaults {
    /// Every reason, as a stable word, and how often it was met since the start.
    pub fn snapshot(&self) -> [(&'static str, u64); REASONS] {
        HeadFault::ALL.map(|fault| (fault.as_str(), self.of(fault).load(Ordering::Relaxed)))
    }

    pub(super) fn count(&self, fault: HeadFault) {
        self.of(fault).fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, fault: HeadFault) -> &AtomicU64 {
        &self.0[fault as usize]
    }
}

/// Tells the client what is wrong, and ends the connection: nothing that follows can be trusted.
pub(super) async fn refuse(connection: &Connection, fault: HeadFault, server: &HeaderValue) {
    let body = format!("{{\"error_msg\":\"{fault}\"}}\n");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(SERVER, server.clone());
    let mut out = Outbox::default();
    let head = AnswerHead {
        status: fault.status(),
        headers: &headers,
        method: &Method::GET,
        version: Version::HTTP_11,
        length: Some(body.len() as u64),
        closes: true,
        date: &spare::date(),
    };
    write_answer_head(out.text(), &head);
    out.push(body.into());
    let is_told = poll_fn(|cx| connection.poll_write(cx, &mut out)).await.is_ok();
    // Whoever was too slow is not waited for once more.
    if is_told && fault != HeadFault::Late {
        connection.linger().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_by_its_own_name() {
        let faults = HeadFaults::default();
        for (times, fault) in HeadFault::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| faults.count(fault));
        }
        for (times, (name, count)) in faults.snapshot().into_iter().enumerate() {
            assert_eq!((name, count), (HeadFault::ALL[times].as_str(), times as u64));
        }
    }
}
