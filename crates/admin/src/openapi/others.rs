use a6_resources::{Catalogue, Kind, schema_of};
use a6_snapshot::DebugTokens;
use serde_json::{Map, Value, json};

use super::{Operation, answer, bare_answer, path_parameter, query_parameter, reference};

/// Adds what is not about resources.
pub(super) fn add(catalogue: &dyn Catalogue, paths: &mut Map<String, Value>) {
    let names: Vec<&str> = catalogue.specs().iter().map(|spec| spec.name).collect();
    let plugin = path_parameter("plugin", &json!({ "enum": names }));
    for (path, method, operation) in [
        ("/apisix/admin/plugins/list", "get", list_plugins()),
        ("/apisix/admin/plugins", "get", all_plugins()),
        ("/apisix/admin/plugins/reload", "put", reload_plugins()),
        ("/apisix/admin/plugins/{plugin}", "get", plugin_schema("get_plugin", plugin.clone())),
        ("/apisix/admin/schema/plugins/{plugin}", "get", plugin_schema("get_plugin_schema", plugin)),
        ("/apisix/admin/schema/{kind}", "get", kind_schema()),
        ("/apisix/admin/schema/validate/{collection}", "post", validate_document()),
    ] {
        paths.insert(path.to_string(), json!({ method: operation.into_value("tools") }));
    }
    add_common(paths);
}

/// Adds what the stand-alone Admin API has, too.
pub(super) fn add_common(paths: &mut Map<String, Value>) {
    for (path, method, operation) in [
        ("/apisix/admin/configs/validate", "post", validate_configuration()),
        ("/apisix/admin/debug/explain", "post", explain()),
        ("/apisix/admin/debug/tokens", "post", issue_debug_token()),
        ("/apisix/admin/openapi.json", "get", openapi()),
        ("/apisix/admin", "head", health()),
    ] {
        paths.insert(path.to_string(), json!({ method: operation.into_value("tools") }));
    }
}

pub(super) fn operation(id: &str, summary: &str, answers: Vec<(&'static str, Value)>) -> Operation {
    Operation {
        id: id.to_string(),
        summary: summary.to_string(),
        parameters: Vec::new(),
        body: None,
        takes_yaml: false,
        answers,
    }
}

fn subsystem() -> Value {
    query_parameter("subsystem", "Of stream there are no plugins.", &json!({"enum": ["http", "stream"]}))
}

fn list_plugins() -> Operation {
    let names = json!({"type": "array", "items": {"type": "string"}});
    let answers = vec![
        ("200", answer("Their names, highest priority first.", &names)),
        ("400", bare_answer("A text without JSON where the subsystem is refused.")),
    ];
    Operation { parameters: vec![subsystem()], ..operation("list_plugins", "Lists the plugins", answers) }
}

fn all_plugins() -> Operation {
    let rows = json!({"type": "object", "additionalProperties": {"type": "object"}});
    let answers = vec![("200", answer("Version, priority and schemas of each plugin, by its name.", &rows))];
    let all = json!({"name": "all", "in": "query", "required": true, "schema": {"enum": ["true"]}});
    Operation {
        parameters: vec![all, subsystem()],
        ..operation("get_plugins", "Shows all plugins with their schemas", answers)
    }
}

fn reload_plugins() -> Operation {
    let text = json!({"text/plain": {"schema": {"const": "done"}}});
    let answers = vec![("200", json!({"description": "Nothing has to be done.", "content": text}))];
    operation("reload_plugins", "Does nothing: the plugins are those of the program", answers)
}

fn plugin_schema(id: &str, plugin: Value) -> Operation {
    let which = json!({"enum": ["consumer", "metadata"]});
    let schema_type = query_parameter("schema_type", "Which of its schemas, if not that for routes.", &which);
    let answers = vec![("200", answer("A JSON Schema, draft 7.", &json!({"type": "object"})))];
    Operation {
        parameters: vec![plugin, schema_type, subsystem()],
        ..operation(id, "Shows a schema of a plugin", answers)
    }
}

fn kind_schema() -> Operation {
    let names: Vec<&str> =
        Kind::all().iter().filter(|spec| schema_of(spec.kind).is_some()).map(|spec| spec.name).collect();
    let answers = vec![("200", answer("A JSON Schema, draft 7.", &json!({"type": "object"})))];
    Operation {
        parameters: vec![path_parameter("kind", &json!({ "enum": names }))],
        ..operation("get_schema", "Shows the schema of a kind of resource", answers)
    }
}

fn validate_document() -> Operation {
    let names: Vec<&str> =
        Kind::all().iter().filter(|spec| schema_of(spec.kind).is_some()).map(|spec| spec.plural).collect();
    let answers = vec![("200", bare_answer("It conforms; the body is empty."))];
    Operation {
        parameters: vec![path_parameter("collection", &json!({ "enum": names }))],
        body: Some(json!(true)),
        ..operation("validate_document", "Holds a document against the schema of its kind", answers)
    }
}

fn validate_configuration() -> Operation {
    let error = json!({
        "type": "object",
        "properties": {
            "resource_type": {"type": "string"},
            "index": {"type": "integer", "minimum": 0},
            "error": {"type": "string"},
        },
        "required": ["resource_type", "error"],
    });
    let errors = json!({
        "allOf": [reference("schemas", "error")],
        "properties": {"errors": {"type": "array", "items": error}},
    });
    let answers = vec![
        ("200", answer("Nothing is wrong.", &json!({"type": "object", "maxProperties": 0}))),
        ("400", answer("All that is wrong.", &errors)),
    ];
    Operation {
        body: Some(json!({"type": "object", "description": "Lists of documents, by collection."})),
        takes_yaml: true,
        ..operation("validate_configuration", "Checks a whole configuration without storing it", answers)
    }
}

fn explain() -> Operation {
    let text = json!({"type": "string"});
    let pair = json!({"type": "array", "items": text, "minItems": 2, "maxItems": 2});
    let question = json!({
        "type": "object",
        "properties": {
            "method": text,
            "host": text,
            "path": {"type": "string", "pattern": "^/", "description": "With its query, if there is one."},
            "headers": {"type": "array", "items": pair},
            "body": {"description": "Text, or JSON."},
            "consumer": {"type": "string", "description": "Whose request it is."},
            "remote_addr": text,
        },
        "required": ["path"],
        "additionalProperties": false,
    });
    let answers = vec![("200", answer("The route, its plugins, and the plan.", &json!({"type": "object"})))];
    Operation {
        body: Some(question),
        ..operation("explain", "Tells what the gateway would do with a request", answers)
    }
}

fn issue_debug_token() -> Operation {
    let token = json!({
        "type": "object",
        "properties": {
            "token": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "header": {"const": DebugTokens::HEADER, "description": "In which a request brings it."},
            "expires_in": {"type": "integer", "minimum": 1, "description": "Seconds."},
        },
        "required": ["token", "header", "expires_in"],
    });
    let answers = vec![("201", answer("A token for one request.", &token))];
    operation("issue_debug_token", "Lets one request ask the data plane how its answer was made", answers)
}

fn health() -> Operation {
    operation("get_health", "Tells that the API is there", vec![("200", bare_answer("It is."))])
}

fn openapi() -> Operation {
    let answers = vec![("200", answer("This document.", &json!({"type": "object"})))];
    operation("get_openapi", "Shows this document", answers)
}
