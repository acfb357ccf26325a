use std::sync::Arc;

use a6_core::{Fault, FaultKind, Secret};
use a6_protocols::{Protocol, UnknownModel};
use a6_snapshot::{Account, Instance, Lane, Plan, Plugin, Request, Way};
use a6_upstream::{Call, sigv4};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::json;

use crate::converted::{self, Converting};
use crate::headers::{reaches_client, write, write_client_headers};
use crate::settle::Settlement;
use crate::signing;

/// A request for one target.
pub(crate) struct Built {
    pub(crate) call: Call,
    /// The path that is asked for, without query.
    pub(crate) path: Arc<str>,
    /// A usage event will come that the client did not ask for.
    pub(crate) hides_usage: bool,
    /// What the answer's way back needs, where the provider speaks another protocol.
    pub(crate) converting: Option<Box<Converting>>,
}

/// A body for one target.
struct Prepared {
    body: Vec<Bytes>,
    hides_usage: bool,
    converting: Option<Box<Converting>>,
    /// The model that is asked.
    model: Option<String>,
}

/// What a path may depend on.
struct Wanted<'a> {
    plan: &'a Plan,
    model: Option<String>,
    stream: bool,
}

/// What a request for one target begins with.
struct Opening {
    method: Method,
    path: Arc<str>,
    head: Vec<u8>,
}

/// The bytes for one target.
pub(crate) async fn build<P: Plugin>(
    settlement: &mut Settlement<P>,
    plan: &Plan,
    instance: &Arc<Instance>,
) -> Result<Built, Fault> {
    let Some(way) = instance.way(plan.protocol) else { return Err(not_spoken(plan.protocol, instance)) };
    let Prepared { body, hides_usage, converting, model } = match plan.is_opaque {
        true => opaque(settlement.body.bytes()),
        false => shaped(settlement, way, instance).await?,
    };
    let length: usize = body.iter().map(Bytes::len).sum();
    let request = &settlement.request;
    let Opening { method, path, head: mut bytes } = match &way.lane {
        Lane::Fixed { path, head } => {
            let mut bytes = Vec::with_capacity(head.expose().len() + 512);
            bytes.extend_from_slice(head.expose());
            Opening { method: Method::POST, path: path.clone(), head: bytes }
        }
        lane => open(lane, instance, request, Wanted { plan, model, stream: settlement.record.stream })?,
    };
    write_client_headers(&mut bytes, request, instance, way.conversion);
    if let Some(account) = &instance.account {
        let worker = settlement.worker.clone();
        // Boxed, since few have one and every connection keeps a request's future.
        Box::pin(signing::sign(&mut bytes, &body, account, instance.timeout, &worker)).await?;
    }
    // A request without a body says so only where one would be expected (RFC 9110 §8.6).
    if length > 0 || ![Method::GET, Method::HEAD, Method::DELETE].contains(&method) {
        bytes.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    let call = Call {
        target: instance.target.clone(),
        keepalive: instance.keepalive,
        timeout: instance.timeout,
        method,
        keep_header: reaches_client,
        head: Secret::new(bytes.into()),
        body,
    };
    Ok(Built { call, path, hides_usage, converting })
}

/// A body that passes as it is.
fn opaque(body: Option<&Bytes>) -> Prepared {
    let body = body.filter(|bytes| !bytes.is_empty()).cloned().into_iter().collect();
    Prepared { body, hides_usage: false, converting: None, model: None }
}

/// The body as this instance wants it.
async fn shaped<P: Plugin>(
    settlement: &mut Settlement<P>,
    way: &Way,
    instance: &Instance,
) -> Result<Prepared, Fault> {
    let (text, document) =
        settlement.body.document().await.map_err(|error| {
            Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, error.to_string())
        })?;
    let described = way.client.describe(document, &text);
    let translated = converted::request(&text, document, way, instance)?;
    let (text, document) = match &translated {
        Some(translated) => (translated.text.clone(), &translated.document),
        None => (text, document),
    };
    let shaped = instance.shaping.apply(way.target, document, &text);
    let is_new = translated.is_some() || shaped.body.is_some();
    let body = shaped.body.unwrap_or_else(|| vec![text]);
    if is_new {
        // At most; long stretches are shared with the original.
        settlement.body.hold(body.iter().map(|part| part.len() as u64).sum())?;
    }
    // Some clients name the model in the path.
    let mut model = shaped.model.or_else(|| settlement.record.request_model.as_deref().map(str::to_owned));
    settlement.record.tool_count = described.tool_count;
    settlement.record.set_end_user(described.end_user.as_deref());
    // What the attempt before could not carry this one may.
    settlement.record.dropped = None;
    let converting = translated.map(|translated| {
        model = model.take().or(translated.model);
        settlement.record.dropped = translated.dropped;
        translated.converting
    });
    settlement.record.set_model(model.as_deref());
    Ok(Prepared { body, hides_usage: shaped.hides_usage, converting, model })
}

/// The beginning of a request whose first line depends on the client's.
fn open(lane: &Lane, instance: &Instance, request: &Request, wanted: Wanted<'_>) -> Result<Opening, Fault> {
    let Wanted { plan, model, stream } = wanted;
    let (method, path, query): (_, Arc<str>, _) = match lane {
        Lane::Passing(path) => {
            let path: Arc<str> = match (path, &instance.account) {
                (Some(path), _) => at_endpoint(path, path_of(request)),
                // What is signed is sent in one way of writing only.
                (None, Some(Account::Aws(_))) => Arc::from(sigv4::wire_path(path_of(request))),
                (None, _) => Arc::from(path_of(request)),
            };
            let query = instance.query_with(request.query(), &request.credentials.parameters);
            (request.method().clone(), path, query)
        }
        Lane::Open(pattern) => {
            let path = pattern.path(model.as_deref(), stream).map_err(no_path)?;
            (Method::POST, Arc::from(path), instance.query_with(None, &[]))
        }
        Lane::Fixed { .. } | Lane::Unknown => return Err(no_path(UnknownModel)),
    };
    let mut head = Vec::with_capacity(instance.head.expose().len() + path.len() + 512);
    head.extend_from_slice(method.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(path.as_bytes());
    if !query.expose().is_empty() {
        head.push(b'?');
        head.extend_from_slice(query.expose().as_bytes());
    }
    head.extend_from_slice(b" HTTP/1.1\r\n");
    head.extend_from_slice(instance.head.expose());
    match request.headers.get(CONTENT_TYPE).filter(|_| plan.is_opaque) {
        Some(own) => write(&mut head, &CONTENT_TYPE, own.as_bytes()),
        None if plan.is_opaque => {}
        None => write(&mut head, &CONTENT_TYPE, b"application/json"),
    }
    Ok(Opening { method, path, head })
}

/// An endpoint's path names where requests go. What Anthropic's clients ask about messages, such as how many tokens they
/// have, would be answered there as a chat, and paid for.
fn at_endpoint(endpoint: &str, asked: &str) -> Arc<str> {
    match asked.split_once("/v1/messages/") {
        Some((_, about)) if endpoint.ends_with("/messages") => Arc::from(format!("{endpoint}/{about}")),
        Some(_) => Arc::from(asked),
        None => Arc::from(endpoint),
    }
}

/// A request's path as it stands, encoded as it is sent.
fn path_of(request: &Request) -> &str {
    let target = request.target();
    target.split_once('?').map_or(target, |(path, _)| path)
}

fn not_spoken(protocol: Protocol, instance: &Instance) -> Fault {
    let text = format!(
        "provider {} does not support {} protocol (supported: {})",
        instance.provider.name,
        protocol.name(),
        instance.provider.speaks()
    );
    Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text)
}

/// APISIX's words, which it labels as text.
fn no_path(error: UnknownModel) -> Fault {
    let text = format!("{}\n", json!({"error_msg": error.to_string()}));
    Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text)
}
