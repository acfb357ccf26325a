use std::collections::HashSet;

use a6_resources::{ConfKind, PluginSpec, Schema};

use super::*;

struct Plugins(Vec<PluginSpec>);

impl Catalogue for Plugins {
    fn specs(&self) -> &[PluginSpec] {
        &self.0
    }

    fn check(&self, _: &str, _: &Value, _: ConfKind) -> Result<(), String> {
        Ok(())
    }
}

/// One plugin that knows consumers, whose schemas have what OpenAPI has no word for.
fn one() -> Plugins {
    let schema = |member: &str| {
        let rules = json!({
            "type": "object",
            "properties": {member: {"type": "string"}},
            "dependencies": {member: ["other"]},
        });
        Schema::compile(rules).unwrap()
    };
    Plugins(vec![PluginSpec {
        name: "key-auth",
        priority: 2500,
        version: "0.1",
        kind: Some("auth"),
        schema: schema("header"),
        consumer_schema: Some(schema("key")),
        metadata_schema: None,
        consumer_key: Some("key"),
        encrypt_fields: &["key"],
    }])
}

#[test]
fn plugins_are_described_where_they_may_stand() {
    let document = document(&one());
    let schemas = &document["components"]["schemas"];
    for (kind, list, own, member) in [
        ("route_written", "plugins", "plugin_key-auth", "header"),
        ("consumer_group_written", "plugins", "plugin_key-auth", "header"),
        ("consumer_written", "consumer_plugins", "consumer_plugin_key-auth", "key"),
        ("credential_written", "consumer_plugins", "consumer_plugin_key-auth", "key"),
    ] {
        assert_eq!(
            schemas[kind]["properties"]["plugins"]["$ref"],
            format!("#/components/schemas/{list}"),
            "{kind}"
        );
        let entry = &schemas[list]["properties"]["key-auth"]["$ref"];
        assert_eq!(*entry, format!("#/components/schemas/{own}"), "{kind}");
        assert!(schemas[own]["properties"][member].is_object(), "{kind}: {}", schemas[own]);
    }
    assert_eq!(schemas["credential_written"]["properties"]["plugins"]["maxProperties"], 1);
    assert!(schemas["plugin_key-auth"]["properties"]["_meta"].is_object());
}

fn visit<'v>(value: &'v Value, found: &mut dyn FnMut(&'v str, &'v Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                found(name, member);
                visit(member, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_no_draft_7_is_left() {
    let document = document(&one());
    let mut references = 0;
    visit(&document, &mut |name, value| {
        assert!(!matches!(name, "dependencies" | "encrypt_fields" | "create_time"), "{name}: {value}");
        if name == "$ref" {
            references += 1;
            let pointer = value.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    });
    assert!(references > 100, "{references}");
    let tls = &document["components"]["schemas"]["upstream_written"]["properties"]["tls"];
    assert_eq!(tls["dependentSchemas"]["client_cert"], json!({"required": ["client_key"]}));
    let group = &document["components"]["schemas"]["consumer_group_written"];
    assert_eq!(group["required"], json!(["plugins"]), "the id is in the path");
}

#[test]
fn the_stand_alone_api_is_described_alone() {
    let document = whole_document(&one());
    let operations: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "get /apisix/admin/configs",
        "head /apisix/admin/configs",
        "put /apisix/admin/configs",
        "post /apisix/admin/configs/validate",
        "post /apisix/admin/debug/explain",
        "post /apisix/admin/debug/tokens",
        "get /apisix/admin/openapi.json",
        "head /apisix/admin",
    ];
    assert_eq!(operations, expected);
    let put = &document["paths"]["/apisix/admin/configs"]["put"];
    assert_eq!(
        (&put["parameters"][0]["name"], &put["parameters"][0]["required"]),
        (&json!("X-Digest"), &json!(true))
    );
    let schema = &put["requestBody"]["content"]["application/yaml"]["schema"]["properties"];
    for spec in Kind::all() {
        assert!(schema[spec.collection].is_object(), "{}", spec.collection);
        assert!(schema[format!("{}_conf_version", spec.collection)].is_object(), "{}", spec.collection);
    }
    assert!(put["responses"]["202"].is_object() && put["responses"]["401"].is_object());
    visit(&document, &mut |name, value| {
        let pointer = value.as_str().and_then(|text| text.strip_prefix('#')).filter(|_| name == "$ref");
        assert!(pointer.is_none_or(|pointer| document.pointer(pointer).is_some()), "{value}");
    });
}

#[test]
fn every_verb_of_every_kind_is_an_operation_of_its_own() {
    let document = document(&one());
    let mut ids = HashSet::new();
    let mut parameters = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let in_path = path.matches('{').count();
        for (method, operation) in methods.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            let own = operation["parameters"].as_array().unwrap();
            let named = own.iter().filter(|parameter| parameter["in"] == "path");
            let named: Vec<&str> = named.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(named.len(), in_path, "{method} {path}");
            assert!(named.iter().all(|name| path.contains(&format!("{{{name}}}"))), "{path}: {named:?}");
            assert!(operation["responses"]["401"].is_object(), "{method} {path}");
            parameters += own.len();
        }
    }
    assert!(parameters > 100, "{parameters}");
    for spec in Kind::all() {
        for (verb, there) in [
            ("get", true),
            ("put", true),
            ("delete", true),
            ("create", spec.has_post),
            ("patch", spec.has_patch),
        ] {
            assert_eq!(ids.contains(format!("{verb}_{}", spec.name).as_str()), there, "{verb} {}", spec.name);
        }
    }
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/apisix/admin/consumers/{username}/credentials/{id}",
        "/apisix/admin/secrets/{manager}/{id}",
        "/apisix/admin/plugin_metadata/{plugin}",
        "/apisix/admin/routes/{id}/{member}",
        "/apisix/admin/debug/explain",
        "/apisix/admin",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}
