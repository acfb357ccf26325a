use a6_resources::Catalogue;
use serde_json::Value;

/// Members outside plugins that hold secrets.
const OWN_SECRETS: [&str; 2] = ["tls.client_key", "upstream.tls.client_key"];

/// A copy of a resource with `***` for every secret: what plugins declare as encrypted, and client keys of upstreams.
pub(crate) fn masked(document: &Value, catalogue: &dyn Catalogue) -> Value {
    let mut document = document.clone();
    if let Some(plugins) = document.get_mut("plugins").and_then(Value::as_object_mut) {
        for (name, conf) in plugins {
            let fields = catalogue.spec(name).map_or(&[] as &[&str], |spec| spec.encrypt_fields);
            fields.iter().for_each(|path| hide(conf, path));
        }
    }
    OWN_SECRETS.iter().for_each(|path| hide(&mut document, path));
    document
}

/// Hides what is at a dotted path; on an array, in each of its items.
fn hide(value: &mut Value, path: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, path)),
        Value::Object(members) => {
            let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
            match (members.get_mut(name), rest) {
                (Some(member), Some(rest)) => hide(member, rest),
                (Some(member), None) => blot(member),
                (None, _) => {}
            }
        }
        _ => {}
    }
}

fn blot(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(blot),
        Value::Array(items) => items.iter_mut().for_each(blot),
        other => *other = Value::from("***"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hides_every_value_below_a_path() {
        let cases = [
            (json!({"key": "k", "x": 1}), "key", json!({"key": "***", "x": 1})),
            (
                json!({"auth": {"header": {"A": "k", "B": ["k"]}}}),
                "auth.header",
                json!({"auth": {"header": {"A": "***", "B": ["***"]}}}),
            ),
            (
                json!({"instances": [{"auth": {"query": {"k": "v"}}}, {"auth": {}}]}),
                "instances.auth.query",
                json!({"instances": [{"auth": {"query": {"k": "***"}}}, {"auth": {}}]}),
            ),
            (json!({"auth": "text"}), "auth.header", json!({"auth": "text"})),
            (json!({"key": 7}), "key", json!({"key": "***"})),
            (json!([]), "key", json!([])),
        ];
        for (mut value, path, expected) in cases {
            hide(&mut value, path);
            assert_eq!(value, expected, "{path}");
        }
    }
}
