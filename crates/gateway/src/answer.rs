use a6_codec::coding::{Coding, Inflater};
use a6_codec::http1::{Framing, ResponseHead};
use a6_codec::sse::SseDecoder;
use a6_core::FaultKind;
use a6_protocols::Protocol;
use a6_snapshot::{Attempt, Instance, Plugin, Record};
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, SERVER};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use crate::attempt::{Answering, Source};
use crate::body::AnswerBody;
use crate::converted::Reading;
use crate::debug;
use crate::framing::StreamDecoder;
use crate::headers::{is_event_stream, is_json, stream_kind};
use crate::keep_alive::KeepAlive;
use crate::phases;
use crate::reader::Reader;
use crate::settle::Settlement;
use crate::stream::{self, AnswerStream, Limits};
use crate::tunnel::Tunnel;

/// Which statuses the upstreams of a request have answered with.
pub(crate) const UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-apisix-upstream-status");

/// Makes the response: the head at once, the body as the upstream sends it.
pub(crate) fn answer<P: Plugin>(answering: Answering<P>) -> Response<AnswerBody<P>> {
    let Answering { mut settlement, answer, started, source } = answering;
    let has_frame_plugins = phases::looks_at_body(&settlement);
    let ResponseHead { status, reason, headers, framing, .. } = answer.head;
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.headers = headers;
    let mut limits = Limits { started, seen: 0, max_bytes: None, deadline: None };
    let mut keep_alive = None;
    let (reader, in_flight, trial) = match source {
        Source::Provider { instance, protocol, reading, trial } => {
            let reader = provider_reader(&mut parts, &settlement.record, protocol, &reading);
            // What a plugin makes of the body is nobody else's to write into.
            let may_comment = reader.is_judged_stream() && !has_frame_plugins;
            if let Some(every) = instance.streaming_keepalive.filter(|_| may_comment) {
                keep_alive = Some(Box::new(KeepAlive::new(every)));
            }
            // A reply that was converted has been held against its limit as the provider sent it.
            if !matches!(reading, Reading::Told(_)) {
                bound(&mut limits, &instance, reader.is_judged_stream());
            }
            // The answer to HEAD has no body, and does not say how long another's would be.
            let is_silent = settlement.request.method() == Method::HEAD && framing == Framing::Empty;
            if !reader.is_judged_stream() && !has_frame_plugins && !is_silent {
                announce_length(&mut parts.headers, status, framing);
            }
            (reader, None, trial)
        }
        Source::Node { in_flight, read_timeout } => {
            if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason).ok()) {
                parts.extensions.insert(reason);
            }
            if status == StatusCode::SWITCHING_PROTOCOLS {
                return Tunnel::open(settlement, parts, answer.body, in_flight, read_timeout);
            }
            keep_length(&mut parts.headers, framing, has_frame_plugins);
            if answer.body.is_fed() && settlement.request.version < Version::HTTP_2 {
                // The client may go on sending when the answer is over.
                parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let is_stream = is_event_stream(&parts.headers, parts.status, false);
            if is_stream {
                settlement.request.detach();
            }
            let decoder = (is_stream && has_frame_plugins).then(SseDecoder::default);
            (Reader::Opaque(decoder), Some(in_flight), None)
        }
    };
    finish_head(&mut settlement, &mut parts, in_flight.is_some());
    let is_empty = answer.body.is_done() && !has_frame_plugins && !reader.is_judged_stream();
    let is_bodiless = is_empty
        || settlement.request.method == Method::HEAD
        || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status);
    if reader.is_judged_stream() {
        settlement.request.detach();
    } else if in_flight.is_none() {
        label(&mut parts, is_bodiless);
    }
    let upstream = answer.body;
    let body = stream::Parts {
        settlement,
        upstream,
        reader,
        limits,
        keep_alive,
        in_flight,
        trial,
        has_frame_plugins,
        is_bodiless,
    };
    Response::from_parts(parts, AnswerBody::Stream(Box::new(AnswerStream::new(body))))
}

/// Says of a provider's plain answer what APISIX says of it: JSON where the provider said nothing, the charset of a text.
fn label(parts: &mut Parts, is_bodiless: bool) {
    if parts.status == StatusCode::NO_CONTENT {
        parts.headers.remove(CONTENT_TYPE);
        return;
    }
    let text = match parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        None if is_bodiless => return,
        None => "application/json",
        Some(b"text/html") => "text/html; charset=utf-8",
        Some(b"text/plain") => "text/plain; charset=utf-8",
        Some(_) => return,
    };
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
}

/// What one piece of a compressed stream may grow to.
const MAX_INFLATED: usize = 8 << 20;

fn provider_reader(parts: &mut Parts, record: &Record, protocol: Protocol, reading: &Reading) -> Reader {
    let (hides_usage, conversion) = match reading {
        Reading::AsItIs { hides_usage } => (*hides_usage, None),
        Reading::Told(told) => return Reader::Plain(protocol.plain_reader().told(*told)),
        Reading::Stream(converting) => (false, converting.stream(record)),
    };
    let coding = coding(&parts.headers);
    let kind = stream_kind(&parts.headers, parts.status, record.stream);
    match (coding, kind) {
        // Nobody can look into it.
        (Err(Unknown), _) => Reader::Plain(protocol.plain_reader().unread()),
        (Ok(coding), Some(kind)) => {
            // It passes as it is inside, since an error event has to fit behind it.
            let inflater = coding.map(|coding| {
                parts.headers.remove(CONTENT_ENCODING);
                Box::new(Inflater::new(coding, MAX_INFLATED))
            });
            if conversion.is_some() {
                parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            }
            let stream = protocol.stream_reader(hides_usage);
            Reader::Events { inflater, decoder: StreamDecoder::of(kind), stream, conversion }
        }
        (Ok(_), None) if protocol == Protocol::Passthrough && !is_json(&parts.headers) => {
            Reader::Plain(protocol.plain_reader().unread())
        }
        (Ok(Some(coding)), None) => Reader::Plain(protocol.plain_reader().coded(coding)),
        (Ok(None), None) => Reader::Plain(protocol.plain_reader()),
    }
}

/// A coding that we do not know.
pub(crate) struct Unknown;

/// How an answer is compressed, if it is.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Unknown> {
    match headers.get(CONTENT_ENCODING) {
        None => Ok(None),
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(None),
        Some(_) if headers.get_all(CONTENT_ENCODING).iter().nth(1).is_some() => Err(Unknown),
        Some(value) => Coding::named(value.as_bytes()).map(Some).ok_or(Unknown),
    }
}

fn bound(limits: &mut Limits, instance: &Instance, is_stream: bool) {
    limits.max_bytes = instance.max_response_bytes;
    limits.deadline = instance.max_stream_duration.filter(|_| is_stream).map(|limit| limits.started + limit);
}

/// 204 and 304 have no length to tell (RFC 9110 §8.6).
fn announce_length(headers: &mut HeaderMap, status: StatusCode, framing: Framing) {
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return;
    }
    match framing {
        Framing::Length(length) => headers.insert(CONTENT_LENGTH, HeaderValue::from(length)),
        Framing::Empty => headers.insert(CONTENT_LENGTH, HeaderValue::from(0)),
        Framing::Chunked | Framing::Close => None,
    };
}

/// An ordinary upstream's own `content-length` stays where it counts: a plugin may change the body, and chunks have none.
/// One without a body, such as the answer to HEAD, says what another request would get.
fn keep_length(headers: &mut HeaderMap, framing: Framing, may_change: bool) {
    match framing {
        Framing::Length(length) if !may_change => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Framing::Empty if !may_change => {}
        _ => {
            headers.remove(CONTENT_LENGTH);
        }
    }
}

/// What the gateway says itself, and what plugins make of it.
pub(crate) fn finish_head<P: Plugin>(
    settlement: &mut Settlement<P>,
    parts: &mut Parts,
    counts_failures: bool,
) {
    parts.headers.insert(SERVER, settlement.worker.config.server.clone());
    // The last answer's own, where another status is told in its place.
    let last = settlement.record.attempts.last().and_then(|attempt| attempt.status).unwrap_or(parts.status);
    if last.is_server_error() || settlement.worker.config.show_upstream_status {
        let value = upstream_statuses(&settlement.record.attempts, counts_failures);
        parts.headers.insert(UPSTREAM_STATUS, value);
    }
    phases::filter_head(settlement, parts);
    debug::tell(settlement, &mut parts.headers);
    settlement.record.status = Some(parts.status);
}

/// The statuses of all attempts, in order. One without an answer counts, where it does, as 502 or 504.
pub(crate) fn upstream_statuses(attempts: &[Attempt], counts_failures: bool) -> HeaderValue {
    let failed = |attempt: &Attempt| match attempt.fault {
        _ if !counts_failures => None,
        Some(FaultKind::UpstreamTimeout) => Some(StatusCode::GATEWAY_TIMEOUT),
        fault => fault.map(|_| StatusCode::BAD_GATEWAY),
    };
    let statuses = attempts.iter().filter_map(|attempt| attempt.status.or_else(|| failed(attempt)));
    let text = statuses.map(|status| status.as_str().to_string()).collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_answer_keeps_the_length_that_counts() {
        let cases = [
            (Framing::Length(5), false, Some("5")),
            (Framing::Length(5), true, None),
            (Framing::Empty, false, Some("7")),
            (Framing::Empty, true, None),
            (Framing::Chunked, false, None),
            (Framing::Close, false, None),
        ];
        for (framing, may_change, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
            keep_length(&mut headers, framing, may_change);
            let found = headers.get(CONTENT_LENGTH).map(|value| value.to_str().unwrap());
            assert_eq!(found, expected, "{framing:?} {may_change}");
        }
    }
}
