use serde_json::{Map, Value};

/// Merges `changes` into `target` as APISIX does: objects member by member, `null` removes, everything else replaces.
/// An empty object counts as an empty array, so that it replaces too: `{"plugins": {}}` clears all plugins.
pub(crate) fn merge(target: &mut Map<String, Value>, changes: Map<String, Value>) {
    for (name, change) in changes {
        match change {
            Value::Null => {
                target.shift_remove(&name);
            }
            Value::Object(inner) if !inner.is_empty() && has_members(target.get(&name)) => {
                if let Some(Value::Object(old)) = target.get_mut(&name) {
                    merge(old, inner);
                }
            }
            change => {
                target.insert(name, without_nulls(change));
            }
        }
    }
}

fn has_members(value: Option<&Value>) -> bool {
    value.and_then(Value::as_object).is_some_and(|members| !members.is_empty())
}

/// A `null` that removes nothing is dropped, as in a merge patch of RFC 7396.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name, without_nulls(member)))
            .collect(),
        other => other,
    }
}

/// Sets the member at `path`, making the objects on the way. The error is APISIX's `error_msg`; items of arrays cannot
/// be addressed.
pub(crate) fn set(document: &mut Value, path: &[String], new: Value) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else {
        *document = new;
        return Ok(());
    };
    let mut here = document;
    for (depth, name) in parents.iter().enumerate() {
        here = members(here, path, depth)?.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
    }
    members(here, path, parents.len())?.insert(last.clone(), new);
    Ok(())
}

fn members<'v>(
    value: &'v mut Value,
    path: &[String],
    depth: usize,
) -> Result<&'v mut Map<String, Value>, String> {
    match value {
        Value::Object(members) => Ok(members),
        // In Lua a name set on an array makes it an object, which the schema then refuses.
        Value::Array(_) => {
            let above: String = path
                .iter()
                .take(depth)
                .map(|name| format!("property \"{name}\" validation failed: "))
                .collect();
            Err(format!("invalid configuration: {above}wrong type: expected array, got table"))
        }
        _ => Err(format!("invalid sub-path: /{}", path.join("/"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges() {
        let cases = [
            (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 3}}), json!({"a": {"x": 1, "y": 3}})),
            (json!({"a": {"x": 1}}), json!({"a": {}}), json!({"a": {}})),
            (json!({"a": {}}), json!({"a": {"x": 1}}), json!({"a": {"x": 1}})),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": [1]}), json!({"a": {"x": 1}}), json!({"a": {"x": 1}})),
            (json!({"a": {"x": 1}}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"a": {"x": 1}}), json!({"a": "text"}), json!({"a": "text"})),
            (json!({"a": 1, "b": 2}), json!({"a": null, "none": null}), json!({"b": 2})),
            (json!({"n": {"h:1": 1}}), json!({"n": {"h:1": null, "h:2": 1}}), json!({"n": {"h:2": 1}})),
            (json!({}), json!({"a": {"x": null, "y": {"z": null}}}), json!({"a": {"y": {}}})),
            (json!({"a": 1}), json!({}), json!({"a": 1})),
        ];
        for (target, changes, expected) in cases {
            let (Value::Object(mut merged), Value::Object(patch)) = (target.clone(), changes.clone()) else {
                panic!("{target} {changes}");
            };
            merge(&mut merged, patch);
            assert_eq!(Value::Object(merged), expected, "{target} with {changes}");
        }
    }

    #[test]
    fn sets_at_a_path() {
        let start = json!({"uri": "/x", "methods": ["GET"], "upstream": {"nodes": [{"weight": 1}]}, "labels": {"a": "1"}});
        let cases: [(&[&str], Result<&str, &str>); 7] = [
            (&["uri"], Ok("/uri")),
            (&["labels", "b"], Ok("/labels/b")),
            (&["plugins", "cors", "max_age"], Ok("/plugins/cors/max_age")),
            (&["upstream", "nodes"], Ok("/upstream/nodes")),
            (&["uri", "a"], Err("invalid sub-path: /uri/a")),
            (
                &["methods", "0"],
                Err(
                    "invalid configuration: property \"methods\" validation failed: wrong type: expected array, got table",
                ),
            ),
            (
                &["upstream", "nodes", "0", "weight"],
                Err(
                    "invalid configuration: property \"upstream\" validation failed: property \"nodes\" validation failed: \
                     wrong type: expected array, got table",
                ),
            ),
        ];
        for (path, expected) in cases {
            let path: Vec<String> = path.iter().map(ToString::to_string).collect();
            let mut document = start.clone();
            match (set(&mut document, &path, json!({"new": null})), expected) {
                (Ok(()), Ok(pointer)) => {
                    assert_eq!(document.pointer(pointer), Some(&json!({"new": null})), "{path:?}");
                    assert_eq!(document["methods"], start["methods"], "{path:?}");
                }
                (got, expected) => assert_eq!(got, expected.map(|_| ()).map_err(str::to_string), "{path:?}"),
            }
        }
    }
}
