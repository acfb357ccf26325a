use std::collections::HashSet;

use a6_resources::{
    Catalogue, Entry, Kind, References, StrictValue, check, id_text, schema_of, split_credential_id,
};
use a6_store::Opener;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::answer::Answer;

/// `/schema/validate/«collection»`: holds a document against its kind's schema and nothing else.
pub(crate) fn document(collection: &str, body: Option<&Value>) -> Answer {
    let kind = match collection {
        "credentials" => Some(Kind::Credential),
        name => Kind::of_collection(name),
    };
    let Some(kind) = kind else {
        return Answer::error(StatusCode::NOT_FOUND, format!("Unsupported resource type: {collection}"));
    };
    let Some(schema) = schema_of(kind) else {
        return Answer::refused(format!("not found schema: {}", kind.spec().name));
    };
    let checked = match body {
        Some(value) => schema.check(value),
        None => Err("wrong type: expected object, got nil".to_string()),
    };
    match checked {
        Ok(()) => Answer::text(StatusCode::OK, ""),
        Err(why) => Answer::refused(why),
    }
}

/// What is said of every resource that would need them.
pub(crate) const NO_STREAMS: &str = "stream mode is disabled, can not add stream routes";

/// `/configs/validate` beside a store: checks a whole configuration, collection by collection, and tells all that is wrong.
/// What its parts refer to is not looked for: it may be in the store.
pub(crate) fn configuration(
    headers: &HeaderMap,
    bytes: &[u8],
    catalogue: &dyn Catalogue,
    opener: Option<&Opener>,
) -> Answer {
    let failed = |why: String| Answer::refused(format!("invalid request body: {why}"));
    let members = match parse(headers, bytes) {
        Ok(Value::Object(members)) => members,
        Ok(Value::Array(items)) if items.is_empty() => Map::new(),
        Ok(_) => return failed("expected an object of arrays, one for each collection".to_string()),
        Err(why) => return failed(why),
    };
    let mut errors = Vec::new();
    for spec in Kind::all().iter().filter(|spec| spec.kind != Kind::Credential) {
        let check = |item: &Value| one(spec.kind, item, catalogue, opener);
        collection(spec.collection, Some(spec.kind), &members, &check, &mut errors);
    }
    let check = |_: &Value| Err::<(), _>(NO_STREAMS.to_string());
    collection("stream_routes", None, &members, &check, &mut errors);
    told(&errors)
}

/// The answer to a validation: all that is wrong, if anything is.
pub(crate) fn told(errors: &[Value]) -> Answer {
    if errors.is_empty() {
        return Answer::json(StatusCode::OK, &json!({}));
    }
    let body = json!({ "error_msg": "Configuration validation failed", "errors": errors });
    Answer::json(StatusCode::BAD_REQUEST, &body)
}

/// A body of JSON or, where its content type says so, YAML.
pub(crate) fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, String> {
    if bytes.is_empty() {
        return Err("empty request body".to_string());
    }
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if !content_type.starts_with(b"application/yaml") {
        return serde_json::from_slice(bytes)
            .map(|StrictValue(value)| value)
            .map_err(|error| error.to_string());
    }
    let invalid = |why: String| format!("invalid yaml request body: {why}");
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| invalid(error.render_with_formatter(&serde_saphyr::UserMessageFormatter)))
}

/// Checks a collection. What is no list counts for nothing, as in APISIX.
fn collection(
    name: &str,
    kind: Option<Kind>,
    members: &Map<String, Value>,
    check: &dyn Fn(&Value) -> Result<(), String>,
    errors: &mut Vec<Value>,
) {
    let version = format!("{name}_conf_version");
    if let Some(found) = members.get(&version).filter(|version| !version.is_number()) {
        errors.push(json!({ "resource_type": name, "error": not_a_number(&version, found) }));
    }
    let mut seen = HashSet::new();
    let items = members.get(name).and_then(Value::as_array);
    for (index, item) in items.into_iter().flatten().enumerate() {
        let repeated = kind.and_then(|kind| repeated(kind, item, &mut seen));
        for error in check(item).err().into_iter().chain(repeated) {
            errors.push(item_error(name, index, Some(item), error));
        }
    }
}

/// What is told of an item of a collection.
pub(crate) fn item_error(collection: &str, index: usize, item: Option<&Value>, error: String) -> Value {
    let mut members = Map::new();
    members.insert("resource_type".to_string(), Value::from(collection));
    let id = item.and_then(|item| item.get("id").or_else(|| item.get("username")));
    members.extend(id.map(|id| ("resource_id".to_string(), id.clone())));
    members.insert("index".to_string(), Value::from(index));
    members.insert("error".to_string(), Value::from(error));
    Value::Object(members)
}

/// What is told of a version that is something else.
pub(crate) fn not_a_number(name: &str, found: &Value) -> String {
    format!("{name} must be a number, got {}", lua_type(found))
}

/// Checks an item as it is once what APISIX has encrypted in it is opened.
fn one(kind: Kind, item: &Value, catalogue: &dyn Catalogue, opener: Option<&Opener>) -> Result<(), String> {
    let id = item.get("id").and_then(id_text);
    let (kind, id) = match kind {
        Kind::Consumer if is_credential(id.as_deref()) => (Kind::Credential, id),
        Kind::Consumer => (kind, None),
        _ => (kind, id),
    };
    let mut item = item.clone();
    if let Some(opener) = opener {
        opener.open(kind, id.as_deref().unwrap_or_default(), &mut item);
    }
    check(kind, id.as_deref(), &item, &Unchecked, catalogue)
}

/// Consumers and their credentials share a collection.
fn is_credential(id: Option<&str>) -> bool {
    id.and_then(split_credential_id).is_some()
}

/// That something before it in its collection has the same name.
pub(crate) fn repeated(kind: Kind, item: &Value, seen: &mut HashSet<String>) -> Option<String> {
    let id = item.get("id").and_then(id_text);
    let (name, what) = match kind {
        Kind::Consumer if is_credential(id.as_deref()) => (id?, "credential id"),
        Kind::Consumer => (item.get("username").and_then(id_text)?, "username"),
        _ => (id?, "id"),
    };
    let text = format!("found duplicate {what} {name} in {}", kind.spec().collection);
    (!seen.insert(format!("{what} {name}"))).then_some(text)
}

/// Lua's names of types, which are the words of the recorded messages.
fn lua_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    }
}

/// Everything that is referred to exists, and nothing is known of it.
struct Unchecked;

impl References for Unchecked {
    fn exists(&self, _: Kind, _: &str) -> bool {
        true
    }

    fn entries(&self, _: Kind) -> Box<dyn Iterator<Item = &Entry> + '_> {
        Box::new(std::iter::empty())
    }
}
