use serde_json::Value;

const ENV: &str = "$env://";
const SECRET: &str = "$secret://";

/// Refuses a configuration with a secret reference anywhere: nobody resolves it yet, and its text must never be sent as if
/// it were the secret.
pub(crate) fn refuse(path: &str, value: &Value) -> Result<(), String> {
    refuse_where(path, value, &|text| begins(text, SECRET) || begins(text, ENV))
}

/// The same where references to the environment are resolved; see [`resolve`].
pub(crate) fn refuse_managers(path: &str, value: &Value) -> Result<(), String> {
    refuse_where(path, value, &|text| begins(text, SECRET))
}

fn refuse_where(path: &str, value: &Value, refused: &dyn Fn(&str) -> bool) -> Result<(), String> {
    match value {
        Value::String(text) if refused(text) => {
            Err(format!("{path}: secret references are not supported yet; write the value itself"))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| refuse_where(&format!("{path}[{index}]"), item, refused)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            refuse_where(&path, member, refused)
        }),
        _ => Ok(()),
    }
}

fn begins(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The configuration with every `$env://NAME` and `$env://NAME/member` replaced by what the environment says. None if one
/// of its references cannot be resolved: then the whole is of no use, and the reference's text is never the secret.
pub(crate) fn resolve(conf: &Value) -> Option<Value> {
    resolve_with(conf, &|name| std::env::var(name).ok())
}

fn resolve_with(conf: &Value, environment: &dyn Fn(&str) -> Option<String>) -> Option<Value> {
    Some(match conf {
        Value::String(text) if begins(text, SECRET) => return None,
        Value::String(text) if begins(text, ENV) => Value::String(look_up(&text[ENV.len()..], environment)?),
        Value::Array(items) => {
            let items = items.iter().map(|item| resolve_with(item, environment));
            Value::Array(items.collect::<Option<_>>()?)
        }
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, member)| Some((name.clone(), resolve_with(member, environment)?)));
            Value::Object(members.collect::<Option<_>>()?)
        }
        other => other.clone(),
    })
}

fn look_up(reference: &str, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let Some((name, member)) = reference.split_once('/') else { return environment(reference) };
    let whole: Value = serde_json::from_str(&environment(name)?).ok()?;
    match whole.get(member)? {
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_resolve_is_of_no_use() {
        let environment = |name: &str| match name {
            "KEY" => Some("k".to_string()),
            "ALL" => Some(r#"{"a":"x","n":7,"o":{}}"#.to_string()),
            _ => None,
        };
        let cases = [
            (json!({"key": "$env://KEY"}), Some(json!({"key": "k"}))),
            (json!({"key": "$ENV://ALL/a", "l": ["$env://ALL/n"]}), Some(json!({"key": "x", "l": ["7"]}))),
            (json!({"key": "plain"}), Some(json!({"key": "plain"}))),
            (json!({"key": "$env://NONE"}), None),
            (json!({"key": "$env://KEY/a"}), None),
            (json!({"key": "$env://ALL/o"}), None),
            (json!({"key": "k", "other": "$secret://vault/1/a/b"}), None),
        ];
        for (conf, expected) in cases {
            assert_eq!(resolve_with(&conf, &environment), expected, "{conf}");
        }
    }
}
