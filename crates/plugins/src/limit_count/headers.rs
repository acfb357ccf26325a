//! The headers that tell a client of its quota.

use a6_snapshot::AnswerHeaders;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::support::limit::text;

/// Which member of a configuration or of the metadata names a header, and what it is called without.
pub(super) const HEADERS: [(&str, &str); 3] = [
    ("limit_header", "X-RateLimit-Limit"),
    ("remaining_header", "X-RateLimit-Remaining"),
    ("reset_header", "X-RateLimit-Reset"),
];

/// The headers of one rule, in the order of [`HEADERS`].
#[derive(Debug)]
pub(super) struct QuotaHeaders {
    prefix: Option<Box<str>>,
    names: [Name; 3],
}

#[derive(Debug)]
struct Name {
    name: HeaderName,
    /// The configuration says it, so that metadata do not count.
    is_own: bool,
}

impl QuotaHeaders {
    /// Reads the names of a configuration; `prefix` is the rule's.
    ///
    /// # Errors
    /// A header cannot be called that.
    pub(super) fn compile(conf: &Value, prefix: Option<&str>) -> Result<Self, String> {
        let name = |(member, default): (&str, &str)| {
            let own = text(conf, member);
            let name = prefixed(own.unwrap_or(default), prefix);
            match name.parse() {
                Ok(name) => Ok(Name { name, is_own: own.is_some() }),
                Err(_) => Err(format!("no header can be called {name:?}; see {member} and header_prefix")),
            }
        };
        let [limit, remaining, reset] = HEADERS.map(name);
        Ok(Self { prefix: prefix.map(Into::into), names: [limit?, remaining?, reset?] })
    }

    /// Sets them on the answer. A name from the metadata that no header can have is left out.
    pub(super) fn set(&self, answer: &mut AnswerHeaders, metadata: Option<&Value>, values: [HeaderValue; 3]) {
        for ((known, (member, _)), value) in self.names.iter().zip(HEADERS).zip(values) {
            let elsewhere = metadata.filter(|_| !known.is_own).and_then(|metadata| text(metadata, member));
            let name = match elsewhere {
                Some(base) => prefixed(base, self.prefix.as_deref()).parse().ok(),
                None => Some(known.name.clone()),
            };
            if let Some(name) = name {
                answer.set(name, value);
            }
        }
    }
}

/// The prefix goes before the first `RateLimit-`; a name without that stays as it is.
fn prefixed(base: &str, prefix: Option<&str>) -> String {
    match (prefix, base.find("RateLimit-")) {
        (Some(prefix), Some(at)) => format!("{}{prefix}-{}", &base[..at], &base[at..]),
        _ => base.to_string(),
    }
}

/// Seconds with at most two decimals.
pub(super) fn seconds(hundredths: u64) -> HeaderValue {
    let (whole, part) = (hundredths / 100, hundredths % 100);
    if part == 0 {
        return whole.into();
    }
    let text = format!("{whole}.{part:02}");
    HeaderValue::from_str(text.trim_end_matches('0')).unwrap_or_else(|_| whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use serde_json::json;

    #[test]
    fn names_are_the_configurations_else_the_metadatas_else_the_default() {
        let metadata =
            json!({"limit_header": "M-RateLimit-L", "remaining_header": "M-Left", "reset_header": "no name"});
        let cases = [
            (json!({}), None, None, ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]),
            (
                json!({}),
                Some("1"),
                None,
                ["x-1-ratelimit-limit", "x-1-ratelimit-remaining", "x-1-ratelimit-reset"],
            ),
            (
                json!({"limit_header": "Mine"}),
                Some("Jack"),
                None,
                ["mine", "x-jack-ratelimit-remaining", "x-jack-ratelimit-reset"],
            ),
            (
                json!({"reset_header": "Reset"}),
                Some("p"),
                Some(&metadata),
                ["m-p-ratelimit-l", "m-left", "reset"],
            ),
            (json!({"limit_header": 1}), None, Some(&metadata), ["m-ratelimit-l", "m-left", ""]),
        ];
        for (conf, prefix, metadata, expected) in cases {
            let mut answer = AnswerHeaders::default();
            let headers = QuotaHeaders::compile(&conf, prefix).unwrap();
            headers.set(&mut answer, metadata, [1u64, 2, 3].map(HeaderValue::from));
            let mut found = HeaderMap::new();
            answer.apply(&mut found);
            let expected: HeaderMap = (1u64..)
                .zip(expected)
                .filter(|(_, name)| !name.is_empty())
                .map(|(value, name)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from(value)))
                .collect();
            assert_eq!(found, expected, "{conf} {prefix:?}");
        }
        let error = QuotaHeaders::compile(&json!({}), Some("a b")).unwrap_err();
        assert_eq!(
            error,
            "no header can be called \"X-a b-RateLimit-Limit\"; see limit_header and header_prefix"
        );
    }

    #[test]
    fn seconds_have_at_most_two_decimals() {
        for (hundredths, expected) in
            [(6_000, "60"), (5_998, "59.98"), (5_990, "59.9"), (5, "0.05"), (0, "0")]
        {
            assert_eq!(seconds(hundredths), expected);
        }
    }
}
