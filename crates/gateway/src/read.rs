use std::rc::Rc;

use a6_core::{Fault, FaultKind};
use a6_snapshot::{ClientBody, Exchange, Plugin, Record, Request, RequestBody, Stop};
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode, Version};

use crate::debug;
use crate::settle::{Refused, Settlement};
use crate::wire::Link;
use crate::worker::Worker;

/// A request whose head is sound.
pub(crate) struct Received<P: Plugin>(pub(crate) Box<Settlement<P>>);

/// Checks what both versions of HTTP leave to their user, and whether the client may ask for this host. From here on the request leaves a record.
pub(crate) fn receive<P: Plugin>(
    worker: Rc<Worker<P>>,
    link: Rc<Link>,
    request: http::Request<ClientBody>,
) -> Result<Received<P>, Refused<P>> {
    let (mut parts, incoming) = request.into_parts();
    let is_debugged = debug::take_token(&mut parts.headers, &worker.config.debug_tokens);
    let wrong = wrong_head(&parts);
    let method = match parts.method.as_str().len() {
        0..=MAX_METHOD => parts.method.clone(),
        _ => Method::default(),
    };
    let mut record = Record::begin(method, worker.config.clock.unix_ms());
    record.request_id = worker.next_request_id();
    let body = RequestBody::new(incoming, worker.config.body_limits.clone());
    let (mut request, has_path) = Request::new(parts, link.client.clone());
    request.is_debugged = is_debugged;
    worker.config.real_ip.apply(&mut request);
    let objection = link.tls.as_ref().and_then(|secured| {
        let snapshot = worker.config.snapshot.load();
        secured.objection(&snapshot.tls, request.host(), request.path())
    });
    let mut exchange = Exchange::new(request, body, record);
    exchange.services = Some(worker.upstream.clone());
    let mut settlement = Settlement::new(exchange, link, worker);
    if let Some(text) = wrong.or((!has_path).then_some("the request's path is malformed")) {
        settlement.closes = true;
        return Err(settlement.refuse(bad_head(text)));
    }
    if let Some(text) = objection {
        return Err(settlement.refuse(bad_head(text)));
    }
    Ok(Received(settlement))
}

/// Methods are short words; a longer one is remembered nowhere.
const MAX_METHOD: usize = 32;

/// What of a head could be read in two ways, or by two readers differently.
fn wrong_head(parts: &Parts) -> Option<&'static str> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && parts.version == Version::HTTP_11) {
        Some("the request needs exactly one Host header")
    } else if host.is_some_and(|host| !is_authority(host)) {
        Some("the Host header is malformed")
    } else if parts.method.as_str().len() > MAX_METHOD {
        Some("the request's method is too long")
    } else {
        None
    }
}

fn is_authority(host: &HeaderValue) -> bool {
    host.is_empty() || (Authority::try_from(host.as_bytes()).is_ok() && !host.as_bytes().contains(&b'@'))
}

fn bad_head(text: &'static str) -> Stop {
    Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text).into()
}
