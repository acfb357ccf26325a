//! Texts that stand for a secret which is kept elsewhere.

use serde_json::Value;

/// How a reference to the environment begins.
pub const ENV_PREFIX: &str = "$env://";
/// How a reference to a secret manager begins.
pub const SECRET_PREFIX: &str = "$secret://";

/// Whether a text stands for a secret that is kept elsewhere: it begins with `$env://` or `$secret://`, in any case.
pub fn is_reference(text: &str) -> bool {
    [ENV_PREFIX, SECRET_PREFIX].iter().any(|prefix| after_prefix(text, prefix).is_some())
}

/// What follows one of the two prefixes, the case of which does not count.
pub fn after_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// The first reference in a document, at any depth.
pub fn find_reference(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => is_reference(text).then_some(text.as_str()),
        Value::Array(items) => items.iter().find_map(find_reference),
        Value::Object(members) => members.values().find_map(find_reference),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_found_wherever_they_stand() {
        let cases = [
            (json!("$env://A"), Some("$env://A")),
            (json!("$ENV://A"), Some("$ENV://A")),
            (json!("$Secret://vault/1/a/b"), Some("$Secret://vault/1/a/b")),
            (json!({"a": [1, {"b": "$secret://x"}]}), Some("$secret://x")),
            (json!("see $env://A"), None),
            (json!("$env:/A"), None),
            (json!({"$env://A": "a"}), None),
            (json!("$é"), None),
        ];
        for (value, expected) in cases {
            assert_eq!(find_reference(&value), expected, "{value}");
        }
    }
}
