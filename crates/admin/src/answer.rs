use std::borrow::Cow;

use a6_resources::{Entry, Kind, Shown};
use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::view::State;

/// Status and body of a response; the bodies are those of APISIX's Admin API, version v3.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    content_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
}

const JSON: &str = "application/json";

impl Answer {
    /// A JSON body and a newline.
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        match serde_json::to_string(body) {
            Ok(text) => Self::new(status, text + "\n", JSON),
            Err(error) => Self::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the answer cannot be written: {error}"),
            ),
        }
    }

    /// `{"error_msg":"..."}`.
    pub(crate) fn error(status: StatusCode, message: impl AsRef<str>) -> Self {
        Self::new(status, format!("{}\n", json!({ "error_msg": message.as_ref() })), JSON)
    }

    /// 400 with `error_msg`.
    pub(crate) fn refused(message: impl AsRef<str>) -> Self {
        Self::error(StatusCode::BAD_REQUEST, message)
    }

    /// 404 for an object that does not exist: `message`, not `error_msg`.
    pub(crate) fn missing() -> Self {
        Self::json(StatusCode::NOT_FOUND, &json!({ "message": "Key not found" }))
    }

    /// A body that is not JSON, though its content type says so, in the few places where APISIX has one.
    pub(crate) fn text(status: StatusCode, text: &str) -> Self {
        Self::new(status, text.to_string(), JSON)
    }

    /// 200 with a body of plain text.
    pub(crate) fn plain(text: &str) -> Self {
        Self::new(StatusCode::OK, text.to_string(), "text/plain; charset=utf-8")
    }

    /// 200 with a body of YAML.
    pub(crate) fn yaml(text: String) -> Self {
        Self::new(StatusCode::OK, text, "application/yaml")
    }

    fn new(status: StatusCode, body: String, content_type: &'static str) -> Self {
        Self { status, body, content_type, headers: Vec::new() }
    }

    /// The same with one more header; left out where its value cannot stand in one.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// The response, with its content type and what other headers it has.
    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.extend(self.headers);
        response
    }
}

/// The key under which APISIX stores a resource.
pub(crate) fn key(kind: Kind, id: &str) -> String {
    format!("/apisix/{}", label(kind, id))
}

/// The key without prefix, as logs and rejections name a resource: `routes/1`.
pub(crate) fn label(kind: Kind, id: &str) -> String {
    format!("{}/{id}", kind.spec().collection)
}

/// The document of a resource without what its kind never shows: the key of a certificate.
pub(crate) fn shown(kind: Kind, value: &Value) -> Cow<'_, Value> {
    match value {
        Value::Object(members) if kind.spec().shown == Shown::Absent => {
            let mut members = members.clone();
            for name in kind.spec().secrets {
                members.shift_remove(*name);
            }
            Cow::Owned(Value::Object(members))
        }
        _ => Cow::Borrowed(value),
    }
}

/// A stored resource as GET shows it.
#[derive(Serialize)]
pub(crate) struct Envelope<'a> {
    key: String,
    value: Cow<'a, Value>,
    #[serde(rename = "createdIndex")]
    created: u64,
    #[serde(rename = "modifiedIndex")]
    modified: u64,
}

impl<'a> Envelope<'a> {
    /// The entry as a read shows it.
    pub(crate) fn of(entry: &'a Entry, state: &'a State) -> Self {
        Self::with(entry, state.shown(entry))
    }

    /// The entry with another form of its document.
    pub(crate) fn with(entry: &Entry, value: Cow<'a, Value>) -> Self {
        Self { key: key(entry.kind, &entry.id), value, created: entry.created, modified: entry.modified }
    }
}
