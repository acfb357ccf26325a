//! A reply before it has bytes, and the error replies in the providers' shapes.

use serde_json::{Value, json};

/// What the ledger tells about a reply's content.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) content: String,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
}

/// A body, whole or as the events of a stream.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    Events(Vec<Vec<u8>>),
}

/// A reply before it is framed.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Header lines without the framing ones.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    pub(crate) facts: Facts,
}

impl Reply {
    /// A JSON reply.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    /// A reply of any kind of text.
    pub(crate) fn text(status: u16, content_type: &str, body: String) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: Body::Whole(body.into_bytes()), facts: Facts::default() }
    }

    /// A stream of server-sent events, each with its blank line.
    pub(crate) fn events(events: Vec<String>) -> Self {
        let mut reply = Self::text(200, "text/event-stream; charset=utf-8", String::new());
        reply.body = Body::Events(events.into_iter().map(String::into_bytes).collect());
        reply
    }

    /// The same reply with its facts.
    pub(crate) fn with(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    /// Adds a header unless the reply has it.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if !self.headers.iter().any(|(key, _)| key == name) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// An error in OpenAI's shape.
pub(crate) fn openai_error(
    status: u16,
    kind: &str,
    param: Option<&str>,
    code: Option<&str>,
    message: &str,
) -> Reply {
    let body = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    Reply::json(status, &body)
}

/// A request that OpenAI refuses with 400.
pub(crate) fn openai_refusal(param: Option<&str>, code: Option<&str>, message: &str) -> Reply {
    openai_error(400, "invalid_request_error", param, code, message)
}

/// An error in Anthropic's shape.
pub(crate) fn anthropic_error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"type": "error", "error": {"type": kind, "message": message}}))
}

/// An error in AWS's shape, which names its kind in a header.
pub(crate) fn aws_error(status: u16, kind: &str, message: &str) -> Reply {
    let mut reply = Reply::json(status, &json!({"message": message}));
    reply.add("x-amzn-errortype", kind);
    reply
}

/// In whose shape a request hears of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Aws,
}

/// The error that the knob `status` asks for.
pub(crate) fn asked_for(status: u16, dialect: Dialect) -> Reply {
    let message = format!("The mock was asked to answer {status}.");
    let (openai_kind, code, anthropic_kind) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key"), "authentication_error"),
        403 => ("invalid_request_error", None, "permission_error"),
        404 => ("invalid_request_error", None, "not_found_error"),
        429 => ("requests", Some("rate_limit_exceeded"), "rate_limit_error"),
        529 => ("server_error", None, "overloaded_error"),
        500.. => ("server_error", None, "api_error"),
        _ => ("invalid_request_error", None, "invalid_request_error"),
    };
    match dialect {
        Dialect::OpenAi => openai_error(status, openai_kind, None, code, &message),
        Dialect::Anthropic => anthropic_error(status, anthropic_kind, &message),
        Dialect::Aws => aws_error(status, aws_kind(status), &message),
    }
}

/// The exception of Bedrock's runtime with this status.
fn aws_kind(status: u16) -> &'static str {
    match status {
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}

/// The refusal of a missing or wrong key; the key itself is not repeated.
pub(crate) fn wrong_key(given: bool, dialect: Dialect) -> Reply {
    let (code, message) = if given {
        (Some("invalid_api_key"), "Incorrect API key provided.")
    } else {
        (None, "You didn't provide an API key. Send it as `Authorization: Bearer YOUR_KEY`.")
    };
    match dialect {
        Dialect::OpenAi => openai_error(401, "invalid_request_error", None, code, message),
        Dialect::Anthropic => anthropic_error(401, "authentication_error", "invalid x-api-key"),
        Dialect::Aws => {
            aws_error(403, "AccessDeniedException", "Authentication failed: the API key is not valid.")
        }
    }
}
