use super::*;
use serde_json::json;

/// Schema, value, and the violation; an empty text stands for none.
#[allow(clippy::too_many_lines)] // A table.
fn cases() -> Vec<(Value, Value, &'static str)> {
    let names = json!({"anyOf": [{"required": ["a", "b"]}, {"required": ["c"]}]});
    let one = json!({"oneOf": [{"minimum": 1}, {"minimum": 5}, {"type": "string"}]});
    let chosen = json!({
        "if": {"properties": {"kind": {"enum": ["x"]}}},
        "then": {"required": ["x"]},
        "else": {"required": ["y"]},
        "properties": {"kind": {"type": "string", "default": "z"}},
    });
    let dependent = json!({
        "properties": {"a": {"type": "integer"}},
        "dependencies": {"a": ["b"], "c": {"required": ["d"]}},
    });
    vec![
        (json!({"type": "string"}), json!(1), "wrong type: expected string, got number"),
        (json!({"type": "object"}), json!([1]), "wrong type: expected object, got table"),
        (json!({"type": "object"}), json!([]), ""),
        (json!({"type": "array"}), json!({}), ""),
        (json!({"type": "boolean"}), json!(null), "wrong type: expected boolean, got userdata"),
        (json!({"type": "integer"}), json!(1.5), "wrong type: expected integer, got number"),
        (json!({"type": "integer"}), json!(2.0), ""),
        (json!({"type": "string", "minLength": 99}), json!("$secret://vault/1/a"), ""),
        (json!({"pattern": "^x"}), json!("$env://KEY"), ""),
        (json!({"type": "integer"}), json!("$env://KEY"), "wrong type: expected integer, got string"),
        (
            json!({"properties": {"p": {"properties": {"q": {"type": "number"}}}}}),
            json!({"p": {"q": "1"}}),
            r#"property "p" validation failed: property "q" validation failed: wrong type: expected number, got string"#,
        ),
        (json!({"required": ["p"]}), json!({}), r#"property "p" is required"#),
        (
            json!({"required": ["p"], "properties": {"p": {"default": 1}}}),
            json!({}),
            r#"property "p" is required"#,
        ),
        (json!({"enum": ["a", 1]}), json!("b"), "matches none of the enum values"),
        (json!({"enum": ["a", 1]}), json!(1.0), ""),
        (
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            json!({"a": 1, "b": 1}),
            "additional properties forbidden, found b",
        ),
        (
            json!({"additionalProperties": {"type": "string"}}),
            json!({"b": 1}),
            "failed to validate additional property b: wrong type: expected string, got number",
        ),
        (
            json!({"items": {"maximum": 2}}),
            json!([1, 3]),
            "failed to validate item 2: expected 3 to be at most 2",
        ),
        (
            json!({"uniqueItems": true}),
            json!(["x", "a", "a"]),
            "expected unique items but items 2 and 3 are equal",
        ),
        (json!({"minItems": 1}), json!([]), "expect array to have at least 1 items"),
        (json!({"maxItems": 1}), json!([1, 2]), "expect array to have at most 1 items"),
        (json!({"minProperties": 1}), json!({}), "expect object to have at least 1 properties"),
        (json!({"maxProperties": 1}), json!({"a": 1, "b": 2}), "expect object to have at most 1 properties"),
        (json!({"minLength": 3}), json!("éé"), "string too short, expected at least 3, got 2"),
        (json!({"maxLength": 3}), json!("ééé"), ""),
        (json!({"maxLength": 2}), json!("ééé"), "string too long, expected at most 2, got 3"),
        (json!({"pattern": r"^\S+$"}), json!("a b"), r#"failed to match pattern "^\\S+$" with "a b""#),
        (json!({"minimum": 1}), json!(0), "expected 0 to be at least 1"),
        (json!({"maximum": 1}), json!(1.5), "expected 1.5 to be at most 1"),
        (json!({"exclusiveMinimum": 0}), json!(0), "expected 0 to be greater than 0"),
        (
            json!({"patternProperties": {".*": {"type": "string"}}}),
            json!({"k": 1}),
            r#"failed to validate k (matching ".*"): wrong type: expected string, got number"#,
        ),
        (names.clone(), json!({"a": 1}), r#"object matches none of the required: ["a","b"] or ["c"]"#),
        (names, json!({"c": 1}), ""),
        (json!({"anyOf": [{"type": "string"}]}), json!(1), "object matches none of the required"),
        (one.clone(), json!(0), "value should match only one schema, but matches none"),
        (one, json!(7), "value should match only one schema, but matches both schemas 1 and 2"),
        (json!({"allOf": [{}, {"minimum": 1}]}), json!(0), "allOf 2 failed: expected 0 to be at least 1"),
        (json!({"not": {"required": ["a"]}}), json!({"a": 1}), "value wasn't supposed to match schema"),
        (chosen.clone(), json!({"kind": "x"}), "then clause did not match"),
        (chosen.clone(), json!({}), "else clause did not match"),
        (chosen, json!({"y": 1}), ""),
        (dependent.clone(), json!({"a": 1}), r#"property "b" is required when "a" is set"#),
        (
            dependent,
            json!({"c": 1}),
            r#"failed to validate dependent schema for "c": property "d" is required"#,
        ),
        (json!({"format": "ipv4"}), json!("1.2.3.400"), "expect valid ipv4 address but got: 1.2.3.400"),
        (json!({"contains": {"const": 1}}), json!([2]), "failed to check contains"),
        (json!(false), json!(1), "expect false always"),
    ]
}

#[test]
fn violations_are_worded_as_in_apisix() {
    for (document, value, violation) in cases() {
        let schema = Schema::compile(document.clone()).unwrap();
        let found = schema.check(&value).err().unwrap_or_default();
        assert_eq!(found, violation, "{document} on {value}");
    }
}

#[test]
fn a_document_that_cannot_be_explained_is_refused() {
    for (document, words) in [
        (json!({"properties": {"a": {"propertyNames": {}}}}), "#/properties/a/propertyNames"),
        (json!({"type": ["string", "null"]}), "#/type"),
        (json!({"items": [{}]}), "#/items"),
        (json!({"format": "uri"}), "#/format"),
        (json!({"pattern": "("}), "#/pattern"),
        (json!({"minimum": "1"}), "/minimum"),
    ] {
        let error = Schema::compile(document.clone()).unwrap_err();
        assert!(error.starts_with(words), "{document}: {error}");
    }
    let late = Schema::of(|| json!({"minimum": "1"}));
    assert!(late.check(&json!(1)).unwrap_err().contains("is broken: /minimum"), "{late:?}");
}

#[test]
fn built_in_documents_compile_and_name_one_violation() {
    let cases = [
        (Kind::Route, json!({"uri": 1}), "wrong type: expected string, got number"),
        (Kind::Service, json!({"status": 1}), "additional properties forbidden, found status"),
        (Kind::Upstream, json!({}), "value should match only one schema, but matches none"),
        (Kind::Consumer, json!({"plugins": {}}), "property \"username\" is required"),
        (
            Kind::Consumer,
            json!({"username": "a", "name": "b"}),
            "additional properties forbidden, found name",
        ),
        (
            Kind::Credential,
            json!({"id": "jack/c"}),
            "property \"id\" validation failed: value should match only one schema, but matches none",
        ),
        (
            Kind::Credential,
            json!({"plugins": {"a": {}, "b": {}}}),
            "expect object to have at most 1 properties",
        ),
        (Kind::ConsumerGroup, json!({"id": "1"}), "property \"plugins\" is required"),
        (Kind::PluginConfig, json!({"id": "1"}), "property \"plugins\" is required"),
        (
            Kind::GlobalRule,
            json!({"id": "1", "plugins": {}, "desc": "d"}),
            "additional properties forbidden, found desc",
        ),
        (Kind::Ssl, json!({"sni": "a.b"}), "then clause did not match"),
        (Kind::Ssl, json!({"type": "client"}), "else clause did not match"),
        (Kind::Proto, json!({}), "property \"content\" is required"),
    ];
    for (kind, value, violation) in cases {
        let error = of(kind).unwrap().check(&value).unwrap_err();
        assert!(error.ends_with(violation), "{kind:?}: {error}");
    }
    assert!(of(Kind::PluginMetadata).is_none() && of(Kind::Secret).is_none());
    let managers = [
        ("vault", json!({"uri": "http://a", "prefix": "x"}), "property \"token\" is required"),
        ("aws", json!({"access_key_id": "a"}), "property \"secret_access_key\" is required"),
        ("gcp", json!({}), "value should match only one schema, but matches none"),
    ];
    for (manager, value, violation) in managers {
        assert_eq!(of_secret_manager(manager).unwrap().check(&value).unwrap_err(), violation, "{manager}");
    }
    assert!(SECRET_MANAGERS.iter().all(|manager| of_secret_manager(manager).is_some()));
    assert!(of_secret_manager("nope").is_none());
    let valid = json!({"id": "jack/credentials/c.1", "plugins": {}});
    assert_eq!(of(Kind::Credential).unwrap().check(&valid), Ok(()));
    assert_eq!(of_meta().check(&json!({"filter": [], "priority": -1, "error_response": {"a": 1}})), Ok(()));
    for hash_on in ["vars", "header", "cookie"] {
        assert!(of_hash_key(hash_on).unwrap().check(&json!("a b")).unwrap_err().contains("with \"a b\""));
    }
    assert!(of_hash_key("consumer").is_none());
}

#[test]
fn absent_members_get_their_defaults() {
    let upstream = |members: Value| {
        let mut filled =
            json!({"hash_on": "vars", "type": "roundrobin", "scheme": "http", "pass_host": "pass"});
        filled.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        filled
    };
    let conditional = json!({
        "properties": {"policy": {"type": "string", "default": "local"}},
        "if": {"properties": {"policy": {"enum": ["redis"]}}},
        "then": {"properties": {"port": {"type": "integer", "default": 6379}}},
        "else": {"properties": {"size": {"type": "integer", "default": 1}}},
    });
    let conditional = Schema::compile(conditional).unwrap();
    let cases = [
        (of(Kind::Upstream).unwrap(), json!({"nodes": {"a:1": 1}}), upstream(json!({"nodes": {"a:1": 1}}))),
        (
            of(Kind::Service).unwrap(),
            json!({"upstream": {"nodes": [{"host": "a", "weight": 1}], "scheme": "https", "tls": {}}}),
            json!({"upstream": upstream(json!({
                "nodes": [{"host": "a", "weight": 1, "priority": 0}], "scheme": "https", "tls": {"verify": false},
            }))}),
        ),
        (
            of(Kind::Route).unwrap(),
            json!({"uri": "/", "plugins": {}}),
            json!({"uri": "/", "plugins": {}, "priority": 0, "status": 1}),
        ),
        (&conditional, json!({}), json!({"policy": "local", "size": 1})),
        (&conditional, json!({"policy": "redis"}), json!({"policy": "redis", "port": 6379})),
    ];
    for (schema, mut value, filled) in cases {
        schema.fill_defaults(&mut value);
        assert_eq!(value, filled);
    }
}

#[test]
fn documents_are_those_that_apisix_serves() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/admin-schemas.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: ../shared/golden not found");
        return;
    };
    let recorded: Value = serde_json::from_str(&text).unwrap();
    for row in Kind::all() {
        if let Some(schema) = of(row.kind) {
            assert_eq!(schema.document(), &recorded[row.name], "{}", row.name);
        }
    }
}
