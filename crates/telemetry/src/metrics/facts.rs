use a6_core::FaultKind;
use a6_snapshot::{Outcome, Record, Request, RouteFacts};

/// Of a model's name a label has at most so many bytes, as in APISIX.
const MAX_MODEL: usize = 128;

/// What keeps the values of a key apart: no text has this byte.
const END: u8 = 0xff;

/// What a label tells of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Code,
    /// The name where names are preferred and there is one, else the id.
    Route,
    RouteId,
    RouteName,
    Service,
    ServiceId,
    ServiceName,
    MatchedUri,
    MatchedHost,
    Consumer,
    Node,
    RequestType,
    RequestModel,
    Model,
    Source,
    Outcome,
    Fault,
}

/// What is known of a request, as values of labels. Nothing of it is a secret, and of what a client is free to write there
/// are the names of models alone.
pub(super) struct Facts<'a> {
    code: &'a str,
    route: Option<&'a RouteFacts>,
    route_id: &'a str,
    route_name: &'a str,
    service_id: &'a str,
    service_name: &'a str,
    matched_uri: &'a str,
    matched_host: &'a str,
    consumer: &'a str,
    node: &'a str,
    request_type: &'static str,
    request_model: &'a str,
    model: &'a str,
    source: &'static str,
    outcome: &'static str,
    fault: &'static str,
    prefer_name: bool,
}

impl<'a> Facts<'a> {
    /// A request that is over, or one on its way to a model.
    pub(super) fn of(request: &Request, record: &'a Record, prefer_name: bool) -> Self {
        let (matched_uri, matched_host) = match &record.route {
            Some(route) => (route.pattern(request.original_path()), route.host(request.host())),
            None => ("", ""),
        };
        Self {
            code: code(record),
            route: record.route.as_deref(),
            route_id: record.route_id().unwrap_or_default(),
            route_name: record.route_name().unwrap_or_default(),
            service_id: record.service_id().unwrap_or_default(),
            service_name: record.service_name().unwrap_or_default(),
            matched_uri,
            matched_host,
            consumer: record.consumer.as_deref().unwrap_or_default(),
            node: node(record),
            request_type: record.request_type(),
            request_model: cut(record.request_model.as_deref()),
            model: cut(record.model.as_deref()),
            source: source(record),
            outcome: record.outcome.map(Outcome::as_str).unwrap_or_default(),
            fault: record.fault.map(FaultKind::as_str).unwrap_or_default(),
            prefer_name,
        }
    }

    /// The value of a label.
    pub(super) fn value(&self, field: Field) -> &str {
        let preferred =
            |name: &'a str, id: &'a str| if self.prefer_name && !name.is_empty() { name } else { id };
        match field {
            Field::Code => self.code,
            Field::Route => preferred(self.route_name, self.route_id),
            Field::RouteId => self.route_id,
            Field::RouteName => self.route_name,
            Field::Service => preferred(self.service_name, self.service_id),
            Field::ServiceId => self.service_id,
            Field::ServiceName => self.service_name,
            Field::MatchedUri => self.matched_uri,
            Field::MatchedHost => self.matched_host,
            Field::Consumer => self.consumer,
            Field::Node => self.node,
            Field::RequestType => self.request_type,
            Field::RequestModel => self.request_model,
            Field::Model => self.model,
            Field::Source => self.source,
            Field::Outcome => self.outcome,
            Field::Fault => self.fault,
        }
    }

    /// Appends what tells these facts from all others.
    pub(super) fn write_key(&self, key: &mut Vec<u8>) {
        // The number stands for all that a route says of itself, and mostly for what it was found by.
        key.extend_from_slice(&self.route.map_or(0, |route| route.number).to_ne_bytes());
        if self.route.is_some_and(RouteFacts::has_several_patterns) {
            for value in [self.matched_uri, self.matched_host] {
                key.extend_from_slice(value.as_bytes());
                key.push(END);
            }
        }
        let all = [
            self.code,
            self.consumer,
            self.node,
            self.request_type,
            self.request_model,
            self.model,
            self.source,
            self.outcome,
            self.fault,
        ];
        key.push(u8::from(self.prefer_name));
        for value in all {
            key.extend_from_slice(value.as_bytes());
            key.push(END);
        }
    }
}

/// 499 is nginx's word for a client that left before it got a status.
fn code(record: &Record) -> &str {
    match (&record.status, record.outcome) {
        (Some(status), _) => status.as_str(),
        (None, Some(Outcome::ClientGone)) => "499",
        (None, _) => "000",
    }
}

/// Who was asked last: an instance of an AI plugin, or the host of an ordinary upstream's node.
fn node(record: &Record) -> &str {
    match record.attempts.last() {
        None => "",
        Some(last) if record.protocol.is_some() => &last.instance,
        Some(last) => {
            let host = last.address.rsplit_once(':').map_or(&*last.address, |(host, _)| host);
            host.trim_matches(['[', ']'])
        }
    }
}

/// Whose answer it was: the upstream's; the gateway's own; or, in place of an ordinary upstream that gave none, nginx's,
/// as APISIX calls it.
fn source(record: &Record) -> &'static str {
    match record.attempts.last() {
        Some(last) if last.status.is_some() => "upstream",
        Some(_) if record.protocol.is_none() => "nginx",
        _ => "apisix",
    }
}

fn cut(model: Option<&str>) -> &str {
    let model = model.unwrap_or_default();
    &model[..model.floor_char_boundary(MAX_MODEL)]
}
