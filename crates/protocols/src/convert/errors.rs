use std::borrow::Cow;

use super::json::{Members, Object, Text, members, put, put_string};
use super::model::Trouble;

/// No more of an error that is not JSON is shown.
const LONGEST: usize = 1024;

/// The error that a JSON object tells of: `error` as OpenAI and Anthropic have it, `message` as Bedrock has it.
pub(super) fn of<'a>(body: &Members<'a>) -> Trouble<'a> {
    let decoded = |text: Option<Text<'a>>| text.and_then(Text::decoded).filter(|text| !text.is_empty());
    if let Some(message) = decoded(body.text("error")) {
        return Trouble { kind: None, message };
    }
    if let Some(error) = body.object("error") {
        return Trouble {
            kind: decoded(error.text("type")).or_else(|| decoded(error.text("code"))),
            message: decoded(error.text("message")).unwrap_or_default(),
        };
    }
    Trouble {
        kind: decoded(body.text("__type")),
        message: decoded(body.text("message").or_else(|| body.text("Message"))).unwrap_or_default(),
    }
}

/// The error that the body of a refused request tells of, whatever it is.
pub(super) fn of_body(status: u16, text: &[u8]) -> Trouble<'_> {
    let told = std::str::from_utf8(text).ok().and_then(object).map(|body| of(&body));
    let mut trouble = told.unwrap_or_else(|| {
        let shown = String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).trim().to_string();
        Trouble { kind: None, message: shown.into() }
    });
    if trouble.kind.is_none() {
        trouble.kind = Some(Cow::Borrowed(kind_of(status)));
    }
    if trouble.message.is_empty() {
        trouble.message = format!("the provider answered {status}").into();
    }
    trouble
}

/// The object that a body is; Gemini puts an error into a list of one.
fn object(text: &str) -> Option<Members<'_>> {
    members(text).or_else(|| members(text.trim().strip_prefix('[')?.strip_suffix(']')?))
}

/// Anthropic's word for a status; OpenAI's differ in little.
fn kind_of(status: u16) -> &'static str {
    match status {
        400 | 422 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    }
}

/// Writes an error for a client of Anthropic's.
pub(super) fn put_anthropic(out: &mut Vec<u8>, trouble: &Trouble<'_>) {
    put(out, "{\"type\":\"error\",\"error\":");
    let mut error = Object::begin(out);
    put_string(error.key("type"), trouble.kind.as_deref().unwrap_or("api_error"));
    put_string(error.key("message"), &trouble.message);
    error.end();
    out.push(b'}');
}

/// Writes an error for a client of OpenAI's.
pub(super) fn put_openai(out: &mut Vec<u8>, trouble: &Trouble<'_>) {
    put(out, "{\"error\":");
    let mut error = Object::begin(out);
    put_string(error.key("message"), &trouble.message);
    put_string(error.key("type"), trouble.kind.as_deref().unwrap_or("api_error"));
    error.json("param", "null");
    error.json("code", "null");
    error.end();
    out.push(b'}');
}
