//! A request and its answer where client and provider speak different protocols.

use a6_codec::coding::{Coding, Inflater};
use a6_codec::event_stream::{Frame, Value};
use a6_codec::http1::Framing;
use a6_codec::json::Document;
use a6_codec::sse::events;
use a6_core::{Fault, FaultKind, Retry};
use a6_protocols::{
    Conversion, End, Envelope, Protocol, Recall, StreamConversion, StreamReader, Told, Unconvertible,
    Unreadable, Usage,
};
use a6_snapshot::{Instance, Plugin, Record, Way};
use a6_upstream::{Answer, BodyEnd};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::answer::{Unknown, coding};
use crate::framing;
use crate::headers::{is_json, stream_kind};
use crate::settle::Settlement;

/// A plain reply that is longer cannot be converted, since all of it has to be there.
const MAX_REPLY: u64 = 32 << 20;

/// What the conversion of an answer has to know of its request.
#[derive(Debug)]
pub(crate) struct Converting {
    conversion: Conversion,
    client: Protocol,
    target: Protocol,
    recall: Recall,
}

/// A request in the provider's protocol, before it is shaped for the instance.
pub(crate) struct Translated {
    pub(crate) text: Bytes,
    pub(crate) document: Document,
    /// The model that the client asks for, which the target may have no member for.
    pub(crate) model: Option<String>,
    /// What the provider's protocol has no place for.
    pub(crate) dropped: Option<Box<[String]>>,
    pub(crate) converting: Box<Converting>,
}

/// A client's body in the provider's protocol; none where both are the same.
///
/// # Errors
/// The body is not what its protocol says, or a strict route's cannot be carried whole (400).
pub(crate) fn request(
    text: &[u8],
    document: &Document,
    way: &Way,
    instance: &Instance,
) -> Result<Option<Translated>, Fault> {
    let Some(conversion) = way.conversion else { return Ok(None) };
    let converted = conversion.scanned_request(text, document).map_err(Unconvertible::fault)?;
    let converted =
        if instance.is_strict { converted.strict().map_err(Unconvertible::fault)? } else { converted };
    let text = Bytes::from(converted.body);
    let document = Document::written(&text);
    let (client, target) = (way.client, way.target);
    let converting = Box::new(Converting { conversion, client, target, recall: converted.recall });
    let dropped = (!converted.dropped.is_empty()).then(|| converted.dropped.into());
    Ok(Some(Translated { text, document, model: converted.model, dropped, converting }))
}

/// How an answer is read on its way.
#[derive(Debug)]
pub(crate) enum Reading {
    /// As it comes, in the client's own protocol.
    AsItIs {
        /// A usage event will come that the client did not ask for.
        hides_usage: bool,
    },
    /// It was a plain reply, and is in the client's protocol already.
    Told(Told),
    /// Event by event.
    Stream(Box<Converting>),
}

/// Prepares an answer for its client: a plain reply, and an error, are read whole and converted.
///
/// # Errors
/// The reply broke off, is too long, or is none of the provider's protocol.
pub(crate) async fn reply<P: Plugin>(
    settlement: &Settlement<P>,
    converting: Box<Converting>,
    answer: &mut Answer,
) -> Result<Reading, Fault> {
    let status = answer.head.status;
    let kind = stream_kind(&answer.head.headers, status, settlement.record.stream);
    if kind.is_some() && status.is_success() && converting.conversion.streams() {
        // What nobody can look into is of the provider's protocol, and no answer for this client.
        return coding(&answer.head.headers)
            .map(|_| Reading::Stream(converting))
            .map_err(|Unknown| odd_coding());
    }
    if answer.body.read_ahead(MAX_REPLY).await? {
        return Err(broken(FaultKind::LimitExceeded, "the provider's reply is too long to be converted"));
    }
    let framed = answer.body.end() == BodyEnd::Framed;
    let text = match inside(&mut answer.head.headers, answer.body.take_ahead()) {
        // The status tells enough of an error that cannot be read.
        Err(_) if !status.is_success() => {
            answer.head.headers.remove(CONTENT_ENCODING);
            Bytes::new()
        }
        read => read?,
    };
    let Converting { conversion, recall, target, .. } = &*converting;
    let (body, usage): (Bytes, _) = if status.is_success() {
        let record = &settlement.record;
        let id = converting.id(record);
        match conversion.reply(recall, &envelope(record, &id), &text) {
            Ok(converted) => {
                label(&mut answer.head.headers);
                (converted.body.into(), converted.usage)
            }
            // What is no JSON is for people, and passes as it is: so does APISIX. A cut reply would look like it.
            Err(Unreadable::NotJson) if framed => (text.clone(), None),
            Err(Unreadable::NotJson) => {
                return Err(broken(FaultKind::UpstreamTruncated, "the provider's reply broke off"));
            }
            Err(unreadable) => return Err(unreadable.fault()),
        }
    } else if text.is_empty() && !status.is_client_error() && !status.is_server_error() {
        (text.clone(), None)
    } else {
        label(&mut answer.head.headers);
        (conversion.error(status.as_u16(), &text).into(), None)
    };
    let told = told(*target, &text, usage);
    answer.head.framing = Framing::Length(body.len() as u64);
    answer.body.put_ahead(body);
    Ok(Reading::Told(told))
}

/// Says that the body is JSON, unless the provider said so.
fn label(headers: &mut HeaderMap) {
    if !is_json(headers) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
}

/// What a reply says in the provider's own words, of which the conversion may have read what it cost.
fn told(target: Protocol, text: &Bytes, usage: Option<Usage>) -> Told {
    if let Some(usage) = usage {
        return Told { usage, has_tool_calls: target.calls_tool(text), is_whole: true };
    }
    let mut reader = target.plain_reader();
    reader.push(text);
    // Whether it is whole was the transport's to tell, or the conversion's.
    Told { is_whole: true, ..reader.finish(true).unwrap_or_default() }
}

/// What is inside the coding of a body.
fn inside(headers: &mut HeaderMap, body: Bytes) -> Result<Bytes, Fault> {
    let coding = match coding(headers) {
        Ok(None) => return Ok(body),
        Ok(Some(coding)) => coding,
        Err(Unknown) => return Err(odd_coding()),
    };
    headers.remove(CONTENT_ENCODING);
    let undone = undo(coding, &body);
    undone.ok_or_else(|| broken(FaultKind::UpstreamTruncated, "the reply's content-encoding breaks off"))
}

fn undo(coding: Coding, body: &[u8]) -> Option<Bytes> {
    let mut inflater = Inflater::new(coding, MAX_REPLY as usize);
    let inside = inflater.push(body).ok()?;
    inflater.is_at_end().then(|| inside.into())
}

fn odd_coding() -> Fault {
    broken(FaultKind::UpstreamProtocol, "the reply's content-encoding is unknown")
}

/// An answer that another instance might have given better.
fn broken(kind: FaultKind, text: &'static str) -> Fault {
    Fault { retry: Retry::OtherTarget, ..Fault::upstream(kind, text) }
}

/// What the reply wants of its surroundings.
fn envelope<'a>(record: &'a Record, id: &'a str) -> Envelope<'a> {
    let model = record.model.as_deref().or(record.request_model.as_deref());
    Envelope { id, model, created: record.started_unix_ms / 1000 }
}

/// A stream's events on their way to the client's protocol.
pub(crate) struct ConvertedStream {
    pub(crate) events: StreamConversion,
    /// Knows how a client of this protocol is told that a stream broke off.
    pub(crate) client: StreamReader,
}

impl ConvertedStream {
    /// What the client sees of a run of whole events. The provider's reader looks on: it knows what they cost.
    pub(crate) fn run(&mut self, provider: &mut StreamReader, run: &[u8]) -> Bytes {
        // Most of what a provider says of a piece of text is longer than what a client is told.
        let mut out = Vec::with_capacity(run.len());
        for event in events(run) {
            provider.event(&event);
            self.events.event(&event, &mut out);
        }
        out.into()
    }

    /// Appends what the client sees of a frame of an AWS event stream.
    pub(crate) fn frame(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        let Some(kind) = framing::exception_of(frame) else {
            return self.events.event(&framing::event(frame), out);
        };
        match frame.header(":error-message").and_then(Value::text) {
            // An error, unlike an exception, says all in its headers.
            Some(message) if frame.payload().is_empty() => {
                self.events.exception(
                    kind,
                    serde_json::json!({"message": message}).to_string().as_bytes(),
                    out,
                );
            }
            _ => self.events.exception(kind, frame.payload(), out),
        }
    }

    /// The provider's stream has ended, as its transport says. Appends what the client still sees.
    pub(crate) fn finish(&mut self, framed: bool, tail: &mut Bytes) -> End {
        let mut last = Vec::new();
        let end = self.events.finish(framed, &mut last);
        if !last.is_empty() {
            *tail = [tail.as_ref(), &last].concat().into();
        }
        end
    }
}

impl Converting {
    /// The protocol that the provider answers in.
    pub(crate) fn target(&self) -> Protocol {
        self.target
    }

    /// What the answer is known by, where the client's protocol wants a word of the gateway's own for it.
    fn id(&self, record: &Record) -> String {
        match self.client {
            Protocol::OpenaiChat => format!("chatcmpl-{}", record.request_id),
            _ => String::new(),
        }
    }

    /// The conversion of a streamed answer.
    pub(crate) fn stream(&self, record: &Record) -> Option<Box<ConvertedStream>> {
        let id = self.id(record);
        let events = self.conversion.stream(&self.recall, &envelope(record, &id))?;
        Some(Box::new(ConvertedStream { events, client: self.client.stream_reader(false) }))
    }
}
