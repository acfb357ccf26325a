use std::time::Duration;

use a6_core::{Fault, FaultKind, Retry, Wording};
use a6_protocols::Protocol;
use a6_snapshot::{Outcome, Plugin, Reply, Stop};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, RETRY_AFTER, SERVER};
use http::{HeaderMap, HeaderValue, Response, Version};
use serde_json::json;

use crate::body::{AnswerBody, Whole};
use crate::settle::{Refused, Settlement};

/// What is read of a request that is refused.
const DISCARD_BYTES: u64 = 1 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The answer to a request that a stage ended.
pub(crate) fn refused<P: Plugin>(refused: Refused<P>) -> Response<AnswerBody<P>> {
    let Refused { mut settlement, stop } = refused;
    let (reply, outcome) = match stop {
        Stop::Reply(reply) => (*reply, Outcome::Complete),
        Stop::Fault(fault) => {
            settlement.record.fail(&fault);
            let outcome = match fault.kind {
                FaultKind::ClientGone => Outcome::ClientGone,
                _ => Outcome::Failed,
            };
            (tell(&fault, settlement.protocol), outcome)
        }
    };
    if outcome != Outcome::ClientGone {
        settlement.record.status = Some(reply.status);
    }
    let (closes, version) = (settlement.closes, settlement.request.version);
    let server = settlement.worker.config.server.clone();
    let mut response = Response::new(AnswerBody::Whole(Whole::new(reply.body, outcome, settlement)));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response.headers_mut().insert(SERVER, server);
    if closes && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer comes while the client may still be sending its request. A small rest is read, so that the connection
/// serves on; else the connection closes once the client has had time to read the answer.
pub(crate) async fn let_client_read<P: Plugin>(settlement: &mut Settlement<P>) {
    let expects = settlement.request.headers.contains_key(EXPECT);
    let discarded = !expects && settlement.body.discard(DISCARD_BYTES, DISCARD_TIME).await;
    if !discarded {
        settlement.closes = true;
        settlement.link.wire.linger();
    }
}

/// A fault in the words of the client's protocol, or in APISIX's where it fixed them.
fn tell(fault: &Fault, protocol: Option<Protocol>) -> Reply {
    let (content_type, body) = match (fault.wording, protocol) {
        (Wording::Text, _) => (TEXT, Bytes::from(fault.text.as_bytes().to_vec())),
        // APISIX labels it as text.
        (Wording::Message, _) => (TEXT, line(&json!({"message": fault.text}))),
        (Wording::Protocol, Some(protocol)) => (JSON, protocol.error_body(fault)),
        (Wording::ErrorMsg, _) | (Wording::Protocol, None) => (JSON, line(&json!({"error_msg": fault.text}))),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type);
    if let Retry::SameAfter(pause) = fault.retry {
        headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
    }
    Reply { status: fault.status, headers, body }
}

fn line(value: &serde_json::Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
