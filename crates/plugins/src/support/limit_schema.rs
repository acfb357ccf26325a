use serde_json::{Map, Value, json};

/// A number above zero, or text with variables that becomes one.
pub(crate) fn above_zero() -> Value {
    json!({"oneOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}]})
}

/// The same, and zero too.
pub(crate) fn zero_or_above() -> Value {
    json!({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]})
}

/// `rejected_code`.
pub(crate) fn rejected_code() -> Value {
    json!({"type": "integer", "minimum": 200, "maximum": 599, "default": 503})
}

/// The condition that the policy is this one.
pub(crate) fn is_policy(name: &str) -> Value {
    json!({"properties": {"policy": {"enum": [name]}}})
}

/// What policy `redis` needs, with members that only one plugin has.
pub(crate) fn redis(more: &[(&'static str, Value)]) -> Value {
    let own = [
        ("redis_host", text(2)),
        ("redis_port", number(1, 6379)),
        ("redis_username", text(1)),
        ("redis_password", text(0)),
        ("redis_database", number(0, 0)),
        ("redis_timeout", number(1, 1000)),
        ("redis_ssl", off()),
        ("redis_ssl_verify", off()),
        ("redis_keepalive_timeout", number(1000, 10_000)),
        ("redis_keepalive_pool", number(1, 100)),
    ];
    clause(&own, more, &["redis_host"])
}

/// What policy `redis-cluster` needs.
pub(crate) fn redis_cluster(more: &[(&'static str, Value)]) -> Value {
    let node = json!({"type": "string", "minLength": 2, "maxLength": 100});
    let own = [
        ("redis_cluster_nodes", json!({"type": "array", "minItems": 1, "items": node})),
        ("redis_cluster_name", json!({"type": "string"})),
        ("redis_password", text(0)),
        ("redis_timeout", number(1, 1000)),
        ("redis_cluster_ssl", off()),
        ("redis_cluster_ssl_verify", off()),
        ("redis_keepalive_timeout", number(1000, 10_000)),
        ("redis_keepalive_pool", number(1, 100)),
    ];
    clause(&own, more, &["redis_cluster_nodes", "redis_cluster_name"])
}

/// What policy `redis-sentinel` needs.
pub(crate) fn redis_sentinel() -> Value {
    let sentinel = json!({
        "type": "object",
        "properties": {
            "host": {"type": "string", "minLength": 2},
            "port": {"type": "integer", "minimum": 1, "maximum": 65_535},
        },
        "required": ["host", "port"],
        "additionalProperties": false,
    });
    let own = [
        ("redis_sentinels", json!({"type": "array", "minItems": 1, "items": sentinel})),
        ("redis_master_name", text(1)),
        ("redis_role", json!({"type": "string", "enum": ["master", "slave"], "default": "master"})),
        ("redis_connect_timeout", number(1, 1000)),
        ("redis_read_timeout", number(1, 1000)),
        ("redis_keepalive_timeout", number(1, 60_000)),
        ("redis_database", number(0, 0)),
        ("redis_username", text(1)),
        ("redis_password", text(0)),
        ("sentinel_username", text(1)),
        ("sentinel_password", text(0)),
    ];
    clause(&own, &[], &["redis_sentinels", "redis_master_name"])
}

fn clause(own: &[(&str, Value)], more: &[(&str, Value)], required: &[&str]) -> Value {
    let members = own.iter().chain(more).map(|(name, schema)| (name.to_string(), schema.clone()));
    let properties: Map<String, Value> = members.collect();
    json!({"properties": properties, "required": required})
}

fn text(least: u64) -> Value {
    json!({"type": "string", "minLength": least})
}

fn number(least: u64, default: u64) -> Value {
    json!({"type": "integer", "minimum": least, "default": default})
}

fn off() -> Value {
    json!({"type": "boolean", "default": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every plugin's document gets besides its own.
    const OF_ALL: [&str; 2] = ["$comment", "encrypt_fields"];

    #[test]
    fn documents_say_what_apisix_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/schemas.json");
        let Ok(recorded) = std::fs::read_to_string(path) else { return };
        let recorded: Value = serde_json::from_str(&recorded).unwrap();
        let specs =
            [crate::limit_conn::spec(1003), crate::limit_count::spec(1002), crate::limit_req::spec(1001)];
        for spec in specs {
            let plugin = &recorded["plugins"][spec.name];
            let mut expected = plugin["schema"].clone();
            let members = expected.as_object_mut().unwrap();
            members.retain(|name, _| !OF_ALL.contains(&name.as_str()));
            members["properties"].as_object_mut().unwrap().remove("_meta");
            let mut found = spec.schema.document().clone();
            found.as_object_mut().unwrap().retain(|name, _| !OF_ALL.contains(&name.as_str()));
            found["properties"].as_object_mut().unwrap().remove("_meta");
            assert_eq!(found, expected, "{}", spec.name);
            let metadata = spec.metadata_schema.as_ref().map(|schema| schema.document());
            assert_eq!(metadata, plugin.get("metadata_schema"), "{}", spec.name);
        }
    }
}
