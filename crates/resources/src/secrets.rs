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
    each_own_secret(kind, document, visit);
}

/// Visits the secrets that the kind itself has; those of plugins are left out.
pub fn each_own_secret(kind: Kind, document: &mut Value, visit: &mut dyn FnMut(&str, &mut Value)) {
    for path in kind.spec().secrets {
        at_path(document, path, path, visit);
    }
}

/// Whether a document has a secret of its kind.
pub fn has_own_secret(kind: Kind, document: &Value) -> bool {
    let find = |path: &&str| path.split('.').try_fold(document, |place, name| place.get(name)).is_some();
    kind.spec().secrets.iter().any(find)
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

    #[test]
    fn own_secrets_are_found_where_they_are() {
        for (kind, document, expected) in [
            (Kind::Upstream, json!({"tls": {"client_key": "k"}}), true),
            (Kind::Upstream, json!({"tls": {"client_cert": "c"}}), false),
            (Kind::Route, json!({"upstream": {"tls": {"client_key": "k"}}}), true),
            (Kind::Route, json!({"tls": {"client_key": "k"}}), false),
            (Kind::Ssl, json!({"keys": ["k"]}), true),
            (Kind::Consumer, json!({"plugins": {"key-auth": {"key": "k"}}}), false),
        ] {
            assert_eq!(has_own_secret(kind, &document), expected, "{kind:?} {document}");
        }
    }
}
