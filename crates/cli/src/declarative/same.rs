//! What counts as equal: the same document by value. Of secrets that a gateway does not show it is said what can be said.

use a6_resources::{Kind, Shown, is_reference};
use serde_json::Value;

use super::sections::Section;
use crate::kinds::Object;

/// What a sealed text of this gateway begins with.
const SEALED: &str = "$a6$";

/// Whether a text is a secret as a gateway keeps it, sealed for one place in one gateway.
pub(super) fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED)
}

/// Whether a file says of an object what the gateway has.
pub(super) fn same(section: &Section, ours: &Object, theirs: &Object) -> bool {
    let (mut ours, mut theirs) = (comparable(section, ours), comparable(section, theirs));
    if let Some(kind) = section.kind {
        pardon_hidden(kind, &mut ours, &mut theirs);
    }
    equal(&ours, &theirs)
}

fn comparable(section: &Section, object: &Object) -> Value {
    let mut body = section.body(object);
    // The gateway keeps it as text.
    if let Some(Value::Number(id)) = body.get("id") {
        let id = Value::from(id.to_string());
        body.insert("id".to_owned(), id);
    }
    Value::Object(body)
}

/// Takes out on both sides what only the gateway knows. The key of a certificate, of an upstream's too, belongs to the
/// certificate beside it, which is compared: with another key it would be another certificate.
fn pardon_hidden(kind: Kind, ours: &mut Value, theirs: &mut Value) {
    let spec = kind.spec();
    for path in spec.secrets {
        let (own, shown) = (at(ours, path), at(theirs, path));
        let is_hidden = match (spec.shown, own, shown) {
            (Shown::Absent, _, None) => true,
            (Shown::Sealed, Some(Value::String(own)), Some(Value::String(shown))) => {
                !is_readable(shown) && !is_reference(own)
            }
            _ => false,
        };
        if is_hidden {
            remove(ours, path);
            remove(theirs, path);
        }
    }
}

/// Whether a key is shown as it is, or as the name of where it is.
fn is_readable(key: &str) -> bool {
    is_reference(key) || key.contains("-----BEGIN")
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |place, name| place.get(name))
}

fn remove(value: &mut Value, path: &str) {
    let (outer, name) = path.rsplit_once('.').map_or((None, path), |(outer, name)| (Some(outer), name));
    let mut steps = outer.into_iter().flat_map(|outer| outer.split('.'));
    let place = steps.try_fold(value, |place, name| place.get_mut(name));
    if let Some(members) = place.and_then(Value::as_object_mut) {
        members.shift_remove(name);
    }
}

/// Equal by value: numbers by what they are worth, members in any order.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || (!both_whole(a, b) && a.as_f64() == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// Whole numbers beyond 2^53 would be equal to their neighbours as floating point.
fn both_whole(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    !a.is_f64() && !b.is_f64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sections::named;
    use super::*;

    fn is_same(section: &str, ours: Value, theirs: Value) -> bool {
        let object = |value: Value| value.as_object().unwrap().clone();
        same(named(section).unwrap(), &object(ours), &object(theirs))
    }

    #[test]
    fn documents_are_compared_by_value() {
        let cases = [
            (json!({"id": 1, "priority": 1.0}), json!({"priority": 1, "id": "1", "update_time": 7}), true),
            (
                json!({"id": "1", "n": 9_007_199_254_740_993_u64}),
                json!({"id": "1", "n": 9_007_199_254_740_992_u64}),
                false,
            ),
            (json!({"id": "1", "hosts": ["a", "b"]}), json!({"id": "1", "hosts": ["b", "a"]}), false),
            (json!({"id": "1", "plugins": {}}), json!({"id": "1"}), false),
            (
                json!({"id": "1", "vars": [["a", "==", 1]]}),
                json!({"id": "1", "vars": [["a", "==", "1"]]}),
                false,
            ),
            (json!({"id": "1", "upstream_id": 1}), json!({"id": "1", "upstream_id": 1}), true),
            // A plugin's own member of that name is the plugin's.
            (
                json!({"id": "1", "plugins": {"p": {"create_time": 1}}}),
                json!({"id": "1", "plugins": {"p": {"create_time": 2}}}),
                false,
            ),
        ];
        for (ours, theirs, expected) in cases {
            assert_eq!(is_same("routes", ours.clone(), theirs.clone()), expected, "{ours} {theirs}");
        }
        assert!(is_same(
            "plugin_metadata",
            json!({"plugin_name": "p", "a": 1}),
            json!({"plugin_name": "p", "id": "p", "a": 1})
        ));
    }

    #[test]
    fn what_a_gateway_hides_makes_no_difference() {
        let tls = |key: Value| json!({"id": "u", "tls": {"client_cert": "c", "client_key": key}});
        let (pem, sealed, reference) =
            ("-----BEGIN PRIVATE KEY-----\nx", "$a6$1$c2VhbGVk", "$secret://vault/1/u/key");
        let cases = [
            (pem, sealed, true),
            ("$a6$1$b2xk", sealed, true),
            (reference, sealed, false),
            (pem, reference, false),
            (reference, reference, true),
            (pem, "-----BEGIN PRIVATE KEY-----\ny", false),
        ];
        for (ours, theirs, expected) in cases {
            let (ours, theirs) = (tls(json!(ours)), tls(json!(theirs)));
            assert_eq!(is_same("upstreams", ours.clone(), theirs.clone()), expected, "{ours} {theirs}");
        }
        let bare = json!({"id": "u", "tls": {"client_cert": "c"}});
        assert!(!is_same("upstreams", bare, tls(json!(sealed))), "the file has no key any more");
        let shown = json!({"id": "s", "cert": "c", "snis": ["a"]});
        for key in [json!({"id": "s", "cert": "c", "snis": ["a"], "key": "k"}), shown.clone()] {
            assert!(is_same("ssl", key, shown.clone()));
        }
        assert!(!is_same("ssl", json!({"id": "s", "cert": "d", "snis": ["a"], "key": "k"}), shown));
        let manager = |token: &str| json!({"id": "vault/1", "token": token});
        assert!(!is_same("secrets", manager("a"), manager("b")));
    }
}
