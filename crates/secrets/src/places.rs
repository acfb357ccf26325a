use a6_resources::Kind;
use serde_json::Value;

/// Where references may stand, as JSON pointers: APISIX has them in the configurations of plugins and in certificates;
/// what the gateway shows to upstreams is a certificate, too.
fn pointers(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Route | Kind::Service => &["/plugins", "/upstream/tls/client_cert", "/upstream/tls/client_key"],
        Kind::PluginConfig | Kind::Credential | Kind::Consumer | Kind::ConsumerGroup | Kind::GlobalRule => {
            &["/plugins"]
        }
        Kind::Upstream => &["/tls/client_cert", "/tls/client_key"],
        Kind::Ssl => &["/cert", "/key", "/certs", "/keys", "/client/ca"],
        // A manager's own are resolved when it is asked.
        Kind::PluginMetadata | Kind::Proto | Kind::Secret => &[],
    }
}

/// Visits every text of a resource that may be a reference.
pub(crate) fn each_text<'d>(kind: Kind, document: &'d Value, visit: &mut dyn FnMut(&'d str)) {
    for pointer in pointers(kind) {
        if let Some(value) = document.pointer(pointer) {
            each_below(value, visit);
        }
    }
}

fn each_below<'d>(value: &'d Value, visit: &mut dyn FnMut(&'d str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| each_below(item, visit)),
        Value::Object(members) => members.values().for_each(|member| each_below(member, visit)),
        _ => {}
    }
}

/// Replaces those texts of a resource for which there is another one.
pub(crate) fn replace(kind: Kind, document: &mut Value, other: &mut dyn FnMut(&str) -> Option<String>) {
    for pointer in pointers(kind) {
        if let Some(value) = document.pointer_mut(pointer) {
            replace_below(value, other);
        }
    }
}

/// The same for a document that may hold references anywhere.
pub(crate) fn replace_below(value: &mut Value, other: &mut dyn FnMut(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(other) = other(text) {
                *text = other;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace_below(item, other)),
        Value::Object(members) => members.values_mut().for_each(|member| replace_below(member, other)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_places_for_secrets_are_looked_at() {
        let cases = [
            (Kind::Route, json!({"uri": "$", "plugins": {"a": {"b": ["$", 1]}}, "vars": ["$"]}), 1),
            (Kind::Route, json!({"plugins": {}, "upstream": {"tls": {"client_key": "$", "x": "$"}}}), 1),
            (Kind::Consumer, json!({"username": "$", "plugins": {"key-auth": {"key": "$"}}}), 1),
            (Kind::Upstream, json!({"tls": {"client_cert": "$", "client_key": "$"}, "name": "$"}), 2),
            (
                Kind::Ssl,
                json!({"cert": "$", "key": "$", "keys": ["$", "$"], "client": {"ca": "$"}, "sni": "$"}),
                5,
            ),
            (Kind::Secret, json!({"token": "$"}), 0),
            (Kind::Route, json!({"plugins": "text"}), 0),
        ];
        for (kind, document, expected) in cases {
            let (mut seen, mut replaced) = (0, document.clone());
            each_text(kind, &document, &mut |text| seen += usize::from(text == "$"));
            replace(kind, &mut replaced, &mut |text| (text == "$").then(|| "!".to_string()));
            let count = replaced.to_string().matches('!').count();
            assert_eq!((seen, count), (expected, expected), "{document}");
        }
    }
}
