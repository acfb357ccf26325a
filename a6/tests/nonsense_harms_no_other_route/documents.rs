//! Documents that are valid, or nearly so: what a6 was made for, what was recorded of APISIX, what the schemas of plugins
//! describe.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::support::{Random, ai_route};

/// An Admin API path behind `/apisix/admin/`, and a document for it.
pub(crate) type Write = (String, Value);

/// One of each kind, each after what it refers to; but for global rules, which are about every route, and certificates.
pub(crate) fn built_in(upstream: &Value) -> Vec<Write> {
    let vars = json!([["arg_a", "==", "b"], ["http_x", "~~", "^(a|b)+$"]]);
    let plugins = json!({"limit-count": {"count": 2, "time_window": 60, "key": "remote_addr"}, "cors": {}});
    let writes = [
        (
            "upstreams/a",
            json!({"type": "chash", "hash_on": "header", "key": "X-A", "scheme": "https", "retries": 1,
                "nodes": [{"host": "127.0.0.1", "port": 9, "weight": 1}, {"host": "[::1]", "port": 9, "weight": 0}],
                "keepalive_pool": {"size": 1, "idle_timeout": 1, "requests": 1}, "pass_host": "rewrite",
                "upstream_host": "d.test", "tls": {"verify": true}}),
        ),
        ("services/a", json!({"upstream": upstream, "hosts": ["c.test"], "enable_websocket": true})),
        ("plugin_configs/a", json!({"plugins": plugins})),
        ("consumer_groups/a", json!({"plugins": plugins})),
        (
            "consumers/a",
            json!({"username": "a", "group_id": "a", "plugins": {"key-auth": {"key": "key-of-a"}}}),
        ),
        ("consumers/a/credentials/c", json!({"plugins": {"key-auth": {"key": "other-key-of-a"}}})),
        ("protos/a", json!({"content": "syntax = \"proto3\"; message A { string a = 1; }"})),
        ("secrets/vault/a", json!({"uri": "http://127.0.0.1:9", "prefix": "kv", "token": "t"})),
        ("plugin_metadata/cors", json!({"allow_origins": {"a": "http://a.test"}})),
        (
            "routes/a",
            json!({"uris": ["/a", "/b/*"], "hosts": ["a.test", "*.b.test"], "methods": ["GET"], "vars": vars,
                "priority": 3, "remote_addrs": ["10.0.0.0/8"], "timeout": {"connect": 1, "send": 1, "read": 1},
                "upstream": upstream, "plugins": plugins, "labels": {"a": "b"}, "status": 1}),
        ),
        ("routes/b", ai_route("/v1/*", "http://127.0.0.1:9/v1/chat/completions", json!({}))),
        (
            "routes/c",
            json!({"uri": "/c/*/d", "service_id": "a", "plugin_config_id": "a", "upstream_id": "a"}),
        ),
    ];
    writes.map(|(path, document)| (path.to_string(), document)).into()
}

/// What APISIX was recorded to accept; nothing where the recordings are missing.
pub(crate) fn recorded() -> Vec<Write> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/admin.jsonl");
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let cases = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps = cases.flat_map(|case| case["steps"].as_array().cloned().unwrap_or_default());
    steps.filter_map(|step| write_of(&step)).collect()
}

fn write_of(step: &Value) -> Option<Write> {
    let is_taken = matches!(step["expect"]["status"].as_u64(), Some(200 | 201)) && step["method"] == "PUT";
    let path = step["path"].as_str()?.strip_prefix("/apisix/admin/")?.split('?').next()?;
    let is_meant =
        is_taken && step["body"].is_object() && !path.contains("{{") && !path.contains("global_rules");
    is_meant.then(|| (path.to_string(), step["body"].clone()))
}

/// Makes up configurations of plugins by their schemas.
pub(crate) struct Plugins(Map<String, Value>);

impl Plugins {
    /// From what `GET /plugins?all=true` answers.
    pub(crate) fn of(all: &Value) -> Self {
        let rows = all.as_object().expect("an object of plugins");
        Self(rows.iter().map(|(name, row)| (name.clone(), row["schema"].clone())).collect())
    }

    /// A few plugins and a configuration of each.
    pub(crate) fn some(&self, random: &mut Random, odd: &[Value]) -> Value {
        let names: Vec<&String> = self.0.keys().collect();
        let mut chosen = Map::new();
        for _ in 0..=random.below(3) {
            let name = *random.of(&names);
            let mut conf = conforming(&self.0[name], random, odd, 0);
            if let (Value::Object(members), false) = (&mut conf, random.below(8) == 0) {
                members.remove("_meta");
            }
            chosen.insert(name.clone(), conf);
        }
        Value::Object(chosen)
    }
}

/// Something that the schema describes, as far as its members are looked at one by one.
fn conforming(schema: &Value, random: &mut Random, odd: &[Value], depth: usize) -> Value {
    if depth > 8 || !schema.is_object() {
        return Value::Null;
    }
    if let Some(values) = schema["enum"].as_array().filter(|values| !values.is_empty()) {
        return random.of(values).clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(rules) = schema[choice].as_array().filter(|rules| !rules.is_empty()) {
            let mut joined = schema.as_object().cloned().unwrap_or_default();
            joined.remove(choice);
            joined.extend(random.of(rules).as_object().cloned().unwrap_or_default());
            return conforming(&Value::Object(joined), random, odd, depth + 1);
        }
    }
    let types = ["object", "array", "string", "integer", "boolean"];
    let kind = match &schema["type"] {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) if !kinds.is_empty() => random.of(kinds).as_str().unwrap_or("string"),
        _ if schema["properties"].is_object() => "object",
        _ => *random.of(&types),
    };
    match kind {
        "object" => object(schema, random, odd, depth),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0).min(9);
            let count = least.max(random.below(3));
            (0..count).map(|_| conforming(&schema["items"], random, odd, depth + 1)).collect()
        }
        "boolean" => Value::from(random.below(2) == 0),
        "integer" | "number" => {
            let bound = |name: &str| schema[name].as_f64();
            let least =
                bound("minimum").or(bound("exclusiveMinimum").map(|least| least + 1.0)).unwrap_or(0.0);
            let most = bound("maximum").unwrap_or(1e6);
            let number = *random.of(&[least, most, least + 1.0]);
            if kind == "integer" { Value::from(number as i64) } else { Value::from(number) }
        }
        _ => {
            let texts: Vec<&str> = odd.iter().filter_map(Value::as_str).collect();
            let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0)).unwrap_or(0).min(999);
            Value::from(format!("{:a<least$}", random.of(&texts)))
        }
    }
}

fn object(schema: &Value, random: &mut Random, odd: &[Value], depth: usize) -> Value {
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
    let mut members = Map::new();
    for (name, rules) in schema["properties"].as_object().into_iter().flatten() {
        if required(name) || random.below(3) == 0 {
            members.insert(name.clone(), conforming(rules, random, odd, depth + 1));
        }
    }
    if members.is_empty() {
        let any = json!({});
        let patterns = schema["patternProperties"].as_object();
        let rules = patterns.and_then(|patterns| patterns.values().next()).unwrap_or(&any);
        members.insert("X-Odd".to_string(), conforming(rules, random, odd, depth + 1));
    }
    Value::Object(members)
}
