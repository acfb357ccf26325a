//! The JSON Schema of the declarative file, for editors: the gateway's own schemas, put together.

use a6_resources::{
    Catalogue, Kind, SECRET_MANAGERS, Schema, schema_of, schema_of_meta, schema_of_secret_manager,
};
use serde_json::{Map, Value, json};

use super::sections::{Identity, SECTIONS, Section};

/// A reference to a secret, which may stand wherever a text may. Editors know no flag for the case of letters.
const REFERENCE: &str = r"^\$([eE][nN][vV]|[sS][eE][cC][rR][eE][tT])://";

/// The schema, of draft 7.
pub(super) fn document(catalogue: &dyn Catalogue) -> Value {
    let version = json!({"description": "version of this form of file", "enum": ["1", 1]});
    let mut properties = Map::from_iter([("version".to_owned(), version)]);
    let mut definitions = Map::from_iter([
        ("plugins".to_owned(), plugins(catalogue, false)),
        ("consumer_plugins".to_owned(), plugins(catalogue, true)),
    ]);
    // What a6 does not serve is not suggested.
    for section in SECTIONS.iter().filter(|section| section.kind.is_some()) {
        definitions.insert(section.name.to_owned(), item(section, catalogue));
        let list = json!({"type": ["array", "null"], "items": reference(section.name)});
        for name in [Some(section.name), section.alias].into_iter().flatten() {
            properties.insert(name.to_owned(), list.clone());
        }
    }
    let mut document = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "a6 declarative configuration",
        "description": "what `a6 config dump` prints, and `a6 config diff`, `sync` and `validate` read",
        "type": "object",
        "properties": properties,
        "required": ["version"],
        "additionalProperties": false,
        "definitions": definitions,
    });
    mind_defaults(&mut document, &Map::new());
    allow_references(&mut document);
    document
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{definition}") })
}

/// An object of a section.
fn item(section: &Section, catalogue: &dyn Catalogue) -> Value {
    let mut document = match (section.identity, section.kind.and_then(schema_of)) {
        (Identity::Secret, _) => return secret(),
        (Identity::Plugin, _) => return metadata(catalogue),
        (_, Some(schema)) => schema.document().clone(),
        (_, None) => json!({"type": "object"}),
    };
    let of_consumers = matches!(section.kind, Some(Kind::Consumer | Kind::Credential));
    if let Some(properties) = members(&mut document, "properties") {
        if properties.contains_key("plugins") {
            let definition = if of_consumers { "consumer_plugins" } else { "plugins" };
            properties.insert("plugins".to_owned(), reference(definition));
        }
        if section.identity == Identity::Credential {
            let consumer =
                json!({"description": "username of the consumer", "type": "string", "minLength": 1});
            properties.insert("consumer".to_owned(), consumer);
        }
    }
    if section.hides_keys() {
        // A dump has no keys.
        for conditional in ["then", "else"] {
            without_keys(document.get_mut(conditional));
        }
    }
    let named = json!({ "required": section.named_by() });
    json!({ "allOf": [document, named] })
}

/// Takes `key` out of the lists of what is required.
fn without_keys(rule: Option<&mut Value>) {
    match rule {
        Some(Value::Array(items)) => {
            items.retain(|item| item != "key");
            items.iter_mut().for_each(|item| without_keys(Some(item)));
        }
        Some(Value::Object(rules)) => rules.values_mut().for_each(|rule| without_keys(Some(rule))),
        _ => {}
    }
}

/// The plugins by name, each with its schema.
fn plugins(catalogue: &dyn Catalogue, of_consumers: bool) -> Value {
    let own = catalogue.specs().iter().map(|spec| {
        let schema = spec.consumer_schema.as_ref().filter(|_| of_consumers).unwrap_or(&spec.schema);
        let mut document = schema.document().clone();
        if let Value::Object(rules) = &mut document {
            let properties = rules.entry("properties").or_insert_with(|| json!({}));
            properties["_meta"] = schema_of_meta().document().clone();
        }
        (spec.name.to_owned(), document)
    });
    let properties: Map<String, Value> = own.collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// Which members a secret manager has, its id says.
fn secret() -> Value {
    let managers = SECRET_MANAGERS.iter().filter_map(|manager| {
        let schema: &Schema = schema_of_secret_manager(manager)?;
        let of_it = json!({"properties": {"id": {"type": "string", "pattern": format!("^{manager}/")}}});
        Some(json!({"if": of_it, "then": schema.document()}))
    });
    let managers: Vec<Value> = managers.collect();
    let pattern = format!("^({})/[a-zA-Z0-9-_.]+$", SECRET_MANAGERS.join("|"));
    json!({
        "type": "object",
        "properties": {"id": {"description": "manager and name, such as vault/1", "type": "string", "pattern": pattern}},
        "required": ["id"],
        "allOf": managers,
    })
}

/// Which members metadata have, their plugin says.
fn metadata(catalogue: &dyn Catalogue) -> Value {
    let names: Vec<&str> = catalogue.specs().iter().map(|spec| spec.name).collect();
    let own = catalogue.specs().iter().filter_map(|spec| {
        let mut document = spec.metadata_schema.as_ref()?.document().clone();
        if let Some(properties) = members(&mut document, "properties") {
            properties.insert("plugin_name".to_owned(), Value::Bool(true));
        }
        let of_it = json!({"properties": {"plugin_name": {"const": spec.name}}});
        Some(json!({"if": of_it, "then": document}))
    });
    let own: Vec<Value> = own.collect();
    let mut rules = json!({
        "type": "object",
        "properties": {"plugin_name": {"enum": names}},
        "required": ["plugin_name"],
    });
    if let Some(rules) = rules.as_object_mut().filter(|_| !own.is_empty()) {
        rules.insert("allOf".to_owned(), Value::Array(own));
    }
    rules
}

fn members<'v>(document: &'v mut Value, name: &str) -> Option<&'v mut Map<String, Value>> {
    document.get_mut(name)?.as_object_mut()
}

/// The gateway fills defaults in before it looks at conditions, editors do not: to them `if policy is redis` holds where there is
/// no policy. So a condition demands the member whose default does not fulfil it. `defaults` are the rules of the members
/// of the object that is looked at.
fn mind_defaults(schema: &mut Value, defaults: &Map<String, Value>) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| mind_defaults(item, defaults)),
        Value::Object(rules) => {
            let own = rules.get("properties").and_then(Value::as_object).cloned();
            let defaults = own.as_ref().unwrap_or(defaults);
            if let Some(condition) = members_of(rules, "if") {
                demand_what_is_no_default(condition, defaults);
            }
            let inner = rules
                .iter_mut()
                .filter(|(name, _)| !matches!(name.as_str(), "default" | "enum" | "const" | "if"));
            inner.for_each(|(_, rule)| mind_defaults(rule, defaults));
        }
        _ => {}
    }
}

fn members_of<'v>(rules: &'v mut Map<String, Value>, name: &str) -> Option<&'v mut Map<String, Value>> {
    rules.get_mut(name)?.as_object_mut()
}

fn demand_what_is_no_default(condition: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    let Some(wanted) = condition.get("properties").and_then(Value::as_object) else { return };
    let is_no_default = |name: &str, rule: &Value| {
        let default = defaults.get(name).and_then(|own| own.get("default"));
        let words = rule.get("enum").and_then(Value::as_array);
        matches!((default, words), (Some(default), Some(words)) if !words.contains(default))
    };
    let demanded: Vec<Value> = wanted
        .iter()
        .filter(|(name, rule)| is_no_default(name, rule))
        .map(|(name, _)| Value::from(name.as_str()))
        .collect();
    if !demanded.is_empty() {
        condition.entry("required").or_insert(Value::Array(demanded));
    }
}

/// Lets a reference stand where a text has to follow rules, as the gateway does.
fn allow_references(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(allow_references),
        Value::Object(rules) => {
            // Values that are data and no schemas stay as they are.
            let inner =
                rules.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "default" | "enum" | "const"));
            inner.for_each(|(_, rule)| allow_references(rule));
            let is_ruled = ["minLength", "maxLength", "pattern", "enum", "format"];
            let is_text = rules.get("type").and_then(Value::as_str) == Some("string");
            if is_text && is_ruled.iter().any(|rule| rules.contains_key(*rule)) {
                let told = ["description", "default"].map(|name| (name, rules.shift_remove(name)));
                let own = Value::Object(std::mem::take(rules));
                for (name, value) in told {
                    rules.extend(value.map(|value| (name.to_owned(), value)));
                }
                let by_name = json!({"type": "string", "pattern": REFERENCE});
                rules.insert("anyOf".to_owned(), Value::Array(vec![own, by_name]));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_do_not_hold_of_what_is_left_to_its_default() {
        let mut schema = json!({
            "properties": {"policy": {"enum": ["local", "redis", "far"], "default": "local"}, "type": {"default": "server"}},
            "if": {"properties": {"policy": {"enum": ["redis"]}}},
            "then": {"properties": {"host": {"type": "string"}}, "required": ["host"]},
            "else": {"if": {"properties": {"policy": {"enum": ["far"]}}}, "then": {"required": ["name"]}},
            "allOf": [{"if": {"properties": {"type": {"enum": ["server"]}}}, "then": {"required": ["sni"]}}],
        });
        mind_defaults(&mut schema, &Map::new());
        assert_eq!(schema["if"]["required"], json!(["policy"]));
        assert_eq!(schema["else"]["if"]["required"], json!(["policy"]));
        assert_eq!(schema["allOf"][0]["if"].get("required"), None, "the default fulfils it");
    }
}
