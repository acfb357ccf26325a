use std::time::Duration;

use a6_core::{Fault, FaultKind, Retry, Wording};
use a6_protocols::Protocol;
use a6_snapshot::{Frame, FrameFlow, Outcome, Plugin, Reply, Stop};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, RETRY_AFTER, SERVER};
use http::{HeaderMap, HeaderValue, Response, Version};
use serde_json::json;

use crate::body::{AnswerBody, Whole};
use crate::debug;
use crate::phases;
use crate::settle::{Refused, Settlement};

/// What is read of a request that is refused.
const DISCARD_BYTES: u64 = 1 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The answer to a request that a stage ended. Plugins see it as they see an upstream's.
pub(crate) async fn refused<P: Plugin>(refused: Refused<P>) -> Response<AnswerBody<P>> {
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
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = reply.status;
    parts.headers = reply.headers;
    parts.headers.insert(SERVER, settlement.worker.config.server.clone());
    phases::filter_head(&mut settlement, &mut parts);
    debug::tell(&settlement, &mut parts.headers);
    let mut body = reply.body;
    if phases::looks_at_body(&settlement) {
        body = match Box::pin(filtered(&mut settlement, body)).await {
            Ok(body) => body,
            // Nothing has left yet, so that the client can still be told.
            Err(fault) => {
                settlement.record.fail(&fault);
                let told = tell(&fault, settlement.protocol);
                parts.status = told.status;
                parts.headers.extend(told.headers);
                told.body
            }
        };
    }
    if outcome != Outcome::ClientGone {
        settlement.record.status = Some(parts.status);
    }
    if settlement.closes && settlement.request.version < Version::HTTP_2 {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Response::from_parts(parts, AnswerBody::Whole(Whole::new(body, outcome, settlement)))
}

/// A body of ours as the plugins that look at bodies leave it.
async fn filtered<P: Plugin>(settlement: &mut Settlement<P>, data: Bytes) -> Result<Bytes, Box<Fault>> {
    let mut frame = Frame { data, is_stream: false, is_last: true };
    let mut place = 0;
    loop {
        let (flow, next) = phases::frame(settlement, frame, place);
        let flow = match flow {
            FrameFlow::Ask(asked) => asked.await,
            FrameFlow::Pass(passed) => return Ok(passed.data),
            other => other,
        };
        match flow {
            FrameFlow::Pass(passed) => (frame, place) = (passed, next),
            FrameFlow::End(last) => return Ok(last.data),
            FrameFlow::Abort(fault) => return Err(fault),
            FrameFlow::Hold | FrameFlow::Ask(_) => return Ok(Bytes::new()),
        }
    }
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
