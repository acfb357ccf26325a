//! Which members of a document hold secrets.

use serde_json::Value;

use crate::{Catalogue, Kind};

/// Visits every secret of a resource's document: what its kind has, and what plugins declare as encrypted. `id` tells of
/// metadata which plugin's they are. The visitor gets the secret and the path to it, such as `plugins.key-auth.key`.
pub fn each_secret(
    kind: Kind,
    id: &str,
    document: &mut Value,
    catalogue: &dyn Catalogue,
    visit: &mut dyn FnMut(&str, &mut Value),
) {
    if kind == Kind::PluginMetadata {
        for path in metadata_secrets(id, catalogue) {
            at_path(document, path, path, visit);
        }
        return;
    }
    if let Some(plugins) = document.get_mut("plugins").and_then(Value::as_object_mut) {
        for (name, conf) in plugins {
            let fields = catalogue.spec(name).map_or(&[] as &[&str], |spec| spec.encrypt_fields);
            for path in fields {
                at_path(conf, path, &format!("plugins.{name}.{path}"), visit);
            }
        }
    }
    for path in kind.spec().secrets {
        at_path(document, path, path, visit);
    }
}

/// What a plugin declares as encrypted in its metadata.
fn metadata_secrets<'c>(plugin: &str, catalogue: &'c dyn Catalogue) -> Vec<&'c str> {
    let schema = catalogue.spec(plugin).and_then(|spec| spec.metadata_schema.as_ref());
    let fields = schema.and_then(|schema| schema.document().get("encrypt_fields")).and_then(Value::as_array);
    fields.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Visits what is at a dotted path; on an array, in each of its items.
fn at_path(value: &mut Value, path: &str, whole: &str, visit: &mut dyn FnMut(&str, &mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| at_path(item, path, whole, visit)),
        Value::Object(members) => {
            let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
            match (members.get_mut(name), rest) {
                (Some(member), Some(rest)) => at_path(member, rest, whole, visit),
                (Some(member), None) => each_value(member, whole, visit),
                (None, _) => {}
            }
        }
        _ => {}
    }
}

fn each_value(value: &mut Value, whole: &str, visit: &mut dyn FnMut(&str, &mut Value)) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| each_value(member, whole, visit)),
        Value::Array(items) => items.iter_mut().for_each(|item| each_value(item, whole, visit)),
        other => visit(whole, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_below_a_path_is_visited() {
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
            at_path(&mut value, path, path, &mut |_, secret| *secret = Value::from("***"));
            assert_eq!(value, expected, "{path}");
        }
    }
}
