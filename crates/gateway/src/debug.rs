use a6_snapshot::{Attempt, Class, DebugTokens, Plugin};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::settle::Settlement;

const TOKEN: HeaderName = HeaderName::from_static(DebugTokens::HEADER);
const ATTEMPTS: HeaderName = HeaderName::from_static("x-a6-attempts");
/// What a conversion between protocols could not carry.
const DROPPED: HeaderName = HeaderName::from_static("x-a6-dropped");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-a6-request-id");

/// Of more attempts only the last ones are told: a client's room for a head is small.
const TOLD: usize = 32;

/// Takes the token out, so that no plugin, upstream or log sees it. True where it was a good one.
pub(crate) fn take_token(headers: &mut HeaderMap, tokens: &DebugTokens) -> bool {
    headers.remove(TOKEN).is_some_and(|token| tokens.redeem(token.as_bytes()))
}

/// Tells whoever brought a token how the answer was made; nobody else. Plugins have done with the head.
pub(crate) fn tell<P: Plugin>(settlement: &Settlement<P>, headers: &mut HeaderMap) {
    if !settlement.request.is_debugged {
        return;
    }
    let record = &settlement.record;
    let told = [(REQUEST_ID, record.request_id.to_string()), (ATTEMPTS, attempts(&record.attempts))];
    let dropped = record.dropped.as_deref().map(|names| (DROPPED, names.join(",")));
    for (name, text) in told.into_iter().chain(dropped) {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}

/// The members are those of the record in `/v1/requests`, and the duration of those attempts that are over.
fn attempts(attempts: &[Attempt]) -> String {
    let told = attempts.get(attempts.len().saturating_sub(TOLD)..).unwrap_or_default();
    ascii(&Value::Array(told.iter().map(attempt).collect()).to_string())
}

fn attempt(attempt: &Attempt) -> Value {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    json!({
        "instance": &*attempt.instance,
        "address": &*attempt.address,
        "status": attempt.status.map(|status| status.as_u16()),
        "error": attempt.fault.map(|kind| kind.as_str()),
        "class": attempt.class.map(Class::as_str),
        "connect_ms": attempt.connect.map(millis),
        "header_ms": attempt.header.map(millis),
        "duration_ms": attempt.duration.map(millis),
    })
}

/// The same JSON in the characters that a header may hold.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' => text.push(character),
            // Outside texts JSON knows none of these.
            _ => {
                let mut units = [0; 2];
                let escapes = character.encode_utf16(&mut units).iter();
                text.extend(escapes.map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use a6_core::FaultKind;
    use http::StatusCode;

    use super::*;

    fn try_of(instance: &str, status: Option<u16>) -> Attempt {
        Attempt {
            address: "10.0.0.1:443".into(),
            instance: instance.into(),
            status: status.and_then(|status| StatusCode::from_u16(status).ok()),
            fault: status.is_none().then_some(FaultKind::UpstreamTimeout),
            class: status.is_none().then_some(Class::Network),
            started: Instant::now(),
            connect: Some(Duration::from_millis(3)),
            header: status.map(|_| Duration::from_millis(70)),
            duration: status.is_none().then_some(Duration::from_millis(90)),
            scheme: "https",
            path: "/".into(),
            response_bytes: 0,
        }
    }

    #[test]
    fn attempts_are_json_that_a_header_can_hold() {
        let text = attempts(&[try_of("größe \u{1f600}", None), try_of("b", Some(200))]);
        assert!(HeaderValue::try_from(&text).is_ok(), "{text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            told,
            json!([
                {"instance": "größe \u{1f600}", "address": "10.0.0.1:443", "status": null, "error": "upstream_timeout",
                    "class": "network",
                    "connect_ms": 3, "header_ms": null, "duration_ms": 90},
                {"instance": "b", "address": "10.0.0.1:443", "status": 200, "error": null, "class": null,
                    "connect_ms": 3, "header_ms": 70, "duration_ms": null},
            ])
        );
        assert_eq!(attempts(&[]), "[]");
    }

    #[test]
    fn of_many_attempts_the_last_are_told() {
        let all: Vec<_> = (0..100).map(|number| try_of(&number.to_string(), Some(502))).collect();
        let told: Value = serde_json::from_str(&attempts(&all)).unwrap();
        let told = told.as_array().unwrap();
        assert_eq!(
            (told.len(), &told[0]["instance"], &told[31]["instance"]),
            (32, &json!("68"), &json!("99"))
        );
    }

    #[test]
    fn a_token_is_taken_out_good_or_not() {
        let tokens = DebugTokens::default();
        let good = tokens.issue().unwrap();
        for (text, expected) in
            [("nonsense", false), (good.expose().as_str(), true), (good.expose().as_str(), false)]
        {
            let mut headers = HeaderMap::new();
            headers.append(TOKEN, HeaderValue::from_str(text).unwrap());
            headers.append(TOKEN, HeaderValue::from_static("second"));
            headers.append("x-other", HeaderValue::from_static("1"));
            assert_eq!(take_token(&mut headers, &tokens), expected, "{text}");
            assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-other"], "{text}");
        }
        assert!(!take_token(&mut HeaderMap::new(), &tokens));
    }
}
