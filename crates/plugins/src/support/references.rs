use a6_resources::is_reference;
use serde_json::Value;

/// Refuses a secret reference where none is resolved: its text must never pass for the secret.
pub(crate) fn refuse(path: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) if is_reference(text) => {
            Err(format!("{path}: secret references are not resolved here; write the value itself"))
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| refuse(&format!("{path}[{index}]"), item))
        }
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            refuse(&path, member)
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reference_is_refused_by_its_place() {
        let expected = "a.b[1]: secret references are not resolved here; write the value itself";
        let cases = [
            (json!({"a": {"b": ["x", "$env://A"]}}), Err(expected.to_string())),
            (json!({"a": {"b": ["x", "$SECRET://vault/1/a/b"]}}), Err(expected.to_string())),
            (json!({"a": "see $env://A"}), Ok(())),
        ];
        for (value, expected) in cases {
            assert_eq!(refuse("", &value), expected, "{value}");
        }
    }
}
