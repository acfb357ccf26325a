use std::rc::Rc;

use a6_core::{Fault, FaultKind};
use a6_snapshot::{Exchange, Plugin, Record, Request, RequestBody, Stop};
use http::header::HOST;
use http::{StatusCode, Version};
use hyper::body::Incoming;

use crate::settle::{Refused, Settlement};
use crate::wire::Link;
use crate::worker::Worker;

/// A request whose head is sound.
pub(crate) struct Received<P: Plugin>(pub(crate) Box<Settlement<P>>);

/// Checks what the HTTP library leaves to its user. From here on the request leaves a record.
pub(crate) fn receive<P: Plugin>(
    worker: Rc<Worker<P>>,
    link: Rc<Link>,
    request: http::Request<Incoming>,
) -> Result<Received<P>, Refused<P>> {
    let (parts, incoming) = request.into_parts();
    let hosts = parts.headers.get_all(HOST).iter().count();
    let one_host = parts.version != Version::HTTP_11 || hosts == 1;
    let mut record = Record::begin(parts.method.clone(), worker.config.clock.unix_ms());
    record.request_id = worker.next_request_id();
    let body = RequestBody::new(incoming, worker.config.body_limits.clone());
    let (request, has_path) = Request::new(parts, link.client.clone());
    let mut settlement = Settlement::new(Exchange { request, body, plan: None, record }, link, worker);
    settlement.closes = !one_host || !has_path;
    if !one_host {
        return Err(settlement.refuse(bad_head("the request needs exactly one Host header")));
    }
    if !has_path {
        return Err(settlement.refuse(bad_head("the request's path is malformed")));
    }
    Ok(Received(settlement))
}

fn bad_head(text: &'static str) -> Stop {
    Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text).into()
}
