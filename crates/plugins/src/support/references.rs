use serde_json::Value;

/// Refuses a configuration with a secret reference anywhere: nobody resolves it yet, and its text must never be sent as if
/// it were the secret.
pub(crate) fn refuse(path: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) if is_reference(text) => {
            Err(format!("{path}: secret references are not supported yet; write the value itself"))
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

fn is_reference(text: &str) -> bool {
    let begins =
        |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    begins("$secret://") || begins("$env://")
}
