use std::borrow::Cow;

use a6_codec::json::Document;
use a6_resources::expr::{BodyPath, Operand, Variable, Variables};
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::{Exchange, Request};

/// A request as expressions and templates see it.
impl Variables for Exchange {
    fn value(&self, variable: &Variable) -> Option<Operand<'_>> {
        match variable {
            Variable::Arg(name) => query_value(self.request.query()?, name).map(Operand::Text),
            Variable::Header(name) => {
                // Clients may write the name as the variable is written.
                let as_variable = || self.request.header(&name.replace('-', "_"));
                self.request.header(name).or_else(as_variable).map(|text| Operand::Text(text.into()))
            }
            Variable::Cookie(name) => cookie(&self.request, name).map(|text| Operand::Text(text.into())),
            Variable::Form(name) => self.form_value(name),
            Variable::Body(path) => self.body_value(path),
            Variable::Named(name) => self.named(name).map(Operand::Text),
        }
    }
}

/// An answer's head together with its request.
pub struct AnswerVariables<'a> {
    /// The request.
    pub exchange: &'a Exchange,
    /// The answer's head.
    pub head: &'a http::response::Parts,
}

impl Variables for AnswerVariables<'_> {
    fn value(&self, variable: &Variable) -> Option<Operand<'_>> {
        let Variable::Named(name) = variable else { return self.exchange.value(variable) };
        match name.as_str() {
            "status" => Some(Operand::Text(self.head.status.as_str().into())),
            _ => match name.strip_prefix("sent_http_") {
                Some(header) => {
                    let value = self.head.headers.get(header.replace('_', "-"))?;
                    value.to_str().ok().map(|text| Operand::Text(text.into()))
                }
                None => self.exchange.value(variable),
            },
        }
    }
}

impl Exchange {
    fn content_type(&self) -> &str {
        self.request.header(CONTENT_TYPE.as_str()).unwrap_or_default()
    }

    fn form_value(&self, name: &str) -> Option<Operand<'_>> {
        if !self.content_type().starts_with("application/x-www-form-urlencoded") {
            return None;
        }
        let text = std::str::from_utf8(self.body.bytes()?).ok()?;
        query_value(text, name).map(Operand::Text)
    }

    fn body_value(&self, path: &BodyPath) -> Option<Operand<'_>> {
        if let BodyPath::Members(members) = path
            && self.content_type().starts_with("application/x-www-form-urlencoded")
        {
            return self.form_value(&members.join("."));
        }
        if !self.content_type().contains("application/json") {
            return None;
        }
        let (text, document) = self.body.scanned()?;
        match path {
            BodyPath::Members(members) => {
                member(text, document, members).map(|v| Operand::Json(Cow::Owned(v)))
            }
            BodyPath::Query(query) => {
                let tree: Value = serde_json::from_slice(text).ok()?;
                let found: Vec<Value> = query.query(&tree).all().into_iter().cloned().collect();
                (!found.is_empty()).then(|| Operand::Json(Cow::Owned(Value::Array(found))))
            }
        }
    }

    fn named(&self, name: &str) -> Option<Cow<'_, str>> {
        let request = &self.request;
        let client = &request.client;
        let text = match name {
            "uri" | "upstream_uri" => request.path().into(),
            "request_uri" => match request.uri.query() {
                Some(query) => format!("{}?{query}", request.original_path()).into(),
                None => request.original_path().into(),
            },
            "real_request_uri" => request.uri.path_and_query().map_or("/", |target| target.as_str()).into(),
            "query_string" | "args" => request.query().unwrap_or_default().into(),
            "host" => request.host().to_ascii_lowercase().into(),
            "hostname" => request.host().into(),
            "request_method" => request.method().as_str().into(),
            "scheme" => client.scheme.into(),
            "https" if client.scheme == "https" => "on".into(),
            "https" => "".into(),
            "remote_addr" => client.peer.ip().to_canonical().to_string().into(),
            "remote_port" => client.peer.port().to_string().into(),
            "server_addr" => client.local.ip().to_canonical().to_string().into(),
            "server_port" => client.local.port().to_string().into(),
            "server_protocol" => format!("{:?}", request.version).into(),
            "content_type" => request.header("content-type")?.into(),
            "content_length" => request.header("content-length")?.into(),
            _ => return self.known(name).map(Cow::Borrowed),
        };
        Some(text)
    }

    /// What is known after routing and authentication.
    fn known(&self, name: &str) -> Option<&str> {
        let record = &self.record;
        let identity = self.identity.as_ref();
        match name {
            "request_id" => Some(&record.request_id),
            "route_id" => record.route_id(),
            "route_name" => record.route_name(),
            "service_id" => record.service_id(),
            "service_name" => record.service_name(),
            "consumer_name" => identity.map(|identity| &*identity.name),
            "consumer_group_id" => identity.and_then(|identity| identity.group_id.as_deref()),
            "request_type" => Some(record.request_type()),
            "request_llm_model" => record.request_model.as_deref(),
            "llm_model" => record.model.as_deref(),
            _ => self.plugin_variable(name),
        }
    }
}

/// The first value of a name in a query or an urlencoded form.
fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok()).find_map(|line| {
        line.split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    })
}

/// Walks nested objects without building a tree; only the value itself is parsed.
fn member(text: &[u8], document: &Document, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    let raw = document.get(text, first)?;
    if rest.is_empty() {
        return serde_json::from_slice(raw).ok();
    }
    member(raw, &Document::scan(raw).ok()?, rest)
}
