use a6_core::Fault;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// An answer that a plugin gives itself.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Headers, the body's length excepted.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why a plugin ends a request.
#[derive(Clone, Debug)]
pub enum Stop {
    /// It answers itself.
    Reply(Box<Reply>),
    /// Something is wrong; the renderer of the client's protocol tells it.
    Fault(Box<Fault>),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

/// APISIX labels its own JSON as text too.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

impl Reply {
    /// Text as it stands.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, TEXT, body.into())
    }

    /// JSON and a newline, labelled as text as APISIX does.
    pub fn json(status: StatusCode, value: &Value) -> Self {
        Self::text(status, format!("{value}\n"))
    }

    /// A status alone: with a page for people where nginx has one for errors of that status, else without a body.
    pub fn page(status: StatusCode) -> Self {
        match status.as_u16() {
            400..=406 | 408..=416 | 421 | 429 | 494..=497 | 500..=505 | 507 => Self::html(status),
            _ => Self { status, headers: HeaderMap::new(), body: Bytes::new() },
        }
    }

    /// A page for people that says the status.
    pub fn html(status: StatusCode) -> Self {
        let title = format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or_default());
        let title = title.trim_end();
        let page = format!(
            "<html>\n<head><title>{title}</title></head>\n<body>\n<center><h1>{title}</h1></center>\n</body>\n</html>\n"
        );
        Self::new(status, HTML, page.into())
    }

    fn new(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type);
        Self { status, headers, body }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

impl Stop {
    /// A status alone; see [`Reply::page`].
    pub fn page(status: StatusCode) -> Self {
        Reply::page(status).into()
    }

    /// `{"message":"..."}`, as auth plugins say it.
    pub fn message(status: StatusCode, text: &str) -> Self {
        Reply::json(status, &json!({"message": text})).into()
    }

    /// `{"error_msg":"..."}`, as traffic plugins say it.
    pub fn error_msg(status: StatusCode, text: &str) -> Self {
        Reply::json(status, &json!({"error_msg": text})).into()
    }
}
