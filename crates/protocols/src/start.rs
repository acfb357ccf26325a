#[cfg(test)]
mod recorded;

use a6_codec::sse::Event;
use http::StatusCode;
use serde_json::{Map, Value};

/// What an event at the beginning of a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It says nothing yet: an opening, a ping, an empty piece.
    Scaffolding,
    /// The model has begun to answer, or has ended; or nobody knows what it is.
    Content,
    /// The provider tells of an error instead of an answer.
    Error(StartError),
}

/// An error that stands where an answer should begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartError {
    /// The status that the provider would have answered with, as far as its words tell.
    pub status: Option<StatusCode>,
    /// What the provider says.
    pub message: Option<String>,
}

/// The words by which providers tell what is wrong, and the statuses that they have for it. The first that is part of
/// an error's type or code counts.
const WORDS: [(&str, u16); 18] = [
    ("rate_limit", 429),
    ("throttling", 429),
    ("quota", 429),
    ("too_many_requests", 429),
    ("resource_exhausted", 429),
    ("overloaded", 529),
    ("unavailable", 503),
    ("timeout", 504),
    ("authentication", 401),
    ("invalid_api_key", 401),
    ("permission", 403),
    ("accessdenied", 403),
    ("not_found", 404),
    ("too_large", 413),
    ("validation", 400),
    ("invalid", 400),
    ("server", 500),
    ("api_error", 500),
];

impl StartError {
    /// Reads an error object, whichever provider's: `message`, and of `code`, `status` and `type` the first that is a
    /// status or a word that is known.
    pub(crate) fn of(error: &Value) -> Self {
        let told = ["code", "status", "type"].iter().filter_map(|member| error.get(member));
        let status = told.filter_map(status).next();
        let message = error.get("message").unwrap_or(error).as_str();
        Self { status, message: message.filter(|text| !text.is_empty()).map(str::to_string) }
    }

    /// An error that has a name alone.
    pub(crate) fn named(name: &str, message: Option<&str>) -> Self {
        Self { status: of_word(name), message: message.map(str::to_string) }
    }
}

/// A status as a number, as a number in quotes, or in words.
fn status(told: &Value) -> Option<StatusCode> {
    let number = match told {
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        Value::String(text) => match text.parse() {
            Ok(number) => Some(number),
            Err(_) => return of_word(text),
        },
        _ => None,
    };
    number.filter(|number| (400..600).contains(number)).and_then(|number| StatusCode::from_u16(number).ok())
}

fn of_word(word: &str) -> Option<StatusCode> {
    let word = word.to_ascii_lowercase();
    let (_, status) = WORDS.iter().find(|(part, _)| word.contains(part))?;
    StatusCode::from_u16(*status).ok()
}

/// Whether no member says anything but those that are named.
pub(crate) fn is_empty_but(members: &Map<String, Value>, named: &[&str]) -> bool {
    members.iter().all(|(name, value)| named.contains(&name.as_str()) || says_nothing(value))
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// For streams whose protocol is not known: only a comment says nothing.
pub(crate) fn unknown(event: &Event<'_>) -> Start {
    if event.data.is_none() { Start::Scaffolding } else { Start::Content }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_tell_the_status_that_they_would_have_had() {
        let cases = [
            (json!({"message": "slow", "type": "requests", "code": "rate_limit_exceeded"}), Some(429)),
            (json!({"code": "insufficient_quota"}), Some(429)),
            (json!({"code": 502, "message": "x"}), Some(502)),
            (json!({"code": "503"}), Some(503)),
            (json!({"code": null, "type": "server_error"}), Some(500)),
            (json!({"type": "overloaded_error"}), Some(529)),
            (json!({"type": "invalid_request_error", "code": "context_length_exceeded"}), Some(400)),
            (json!({"code": 200}), None),
            (json!({"code": 70_000, "status": "RESOURCE_EXHAUSTED"}), Some(429)),
            (json!({"type": "strange"}), None),
            (json!("all is lost"), None),
            (json!(7), None),
        ];
        for (error, expected) in cases {
            assert_eq!(StartError::of(&error).status.map(|status| status.as_u16()), expected, "{error}");
        }
        assert_eq!(StartError::of(&json!("all is lost")).message.as_deref(), Some("all is lost"));
        assert_eq!(StartError::of(&json!({"message": ""})).message, None);
        for (name, expected) in [
            ("throttlingException", Some(429)),
            ("serviceUnavailableException", Some(503)),
            ("internalServerException", Some(500)),
            ("modelTimeoutException", Some(504)),
            ("validationException", Some(400)),
            ("accessDeniedException", Some(403)),
            ("exception", None),
        ] {
            let found = StartError::named(name, None).status.map(|status| status.as_u16());
            assert_eq!(found, expected, "{name}");
        }
    }
}
