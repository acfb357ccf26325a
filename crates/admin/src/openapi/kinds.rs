use a6_resources::{Catalogue, Kind, KindSpec, SECRET_MANAGERS};
use serde_json::{Map, Value, json};

use super::parts::written_name;
use super::{Operation, answer, bare_answer, path_parameter, query_parameter, reference};

/// Adds the operations of a kind.
pub(super) fn add(spec: &KindSpec, catalogue: &dyn Catalogue, paths: &mut Map<String, Value>) {
    let place = Place::of(spec, catalogue);
    let mut collection = Map::new();
    let mut add = |method: &str, operation: Operation| {
        collection.insert(method.to_string(), operation.into_value(spec.collection));
    };
    add("get", list(spec, &place));
    if spec.has_post {
        add("post", create(spec, &place));
    }
    // The document has the id.
    if let Some(suffix) = by_document(spec.kind) {
        add("put", put(spec, &place.collection_parameters, suffix));
    }
    paths.insert(place.collection.clone(), Value::Object(collection));

    let mut one = Map::new();
    let mut add = |method: &str, operation: Operation| {
        one.insert(method.to_string(), operation.into_value(spec.collection));
    };
    add("get", get(spec, &place));
    add("put", put(spec, &place.parameters, ""));
    if spec.has_patch {
        add("patch", patch(spec, place.parameters.clone(), ""));
    }
    add("delete", delete(spec, &place));
    paths.insert(place.one.clone(), Value::Object(one));

    if spec.has_patch {
        let mut parameters = place.parameters;
        let mut member = path_parameter("member", &json!({"type": "string", "minLength": 1}));
        member["description"] =
            Value::from("Members below it follow as further segments: `plugins/key-auth/hide_credentials`.");
        parameters.push(member);
        let operation = patch(spec, parameters, "_member").into_value(spec.collection);
        paths.insert(format!("{}/{{member}}", place.one), json!({ "patch": operation }));
    }
}

/// What is put into a collection is stored under the id in its document. Metadata and secrets have theirs in the path.
fn by_document(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Consumer => Some("_by_username"),
        Kind::PluginMetadata | Kind::Secret => None,
        _ => Some("_by_id"),
    }
}

/// Where the resources of a kind are.
struct Place {
    collection: String,
    one: String,
    /// Parameters in the collection's path.
    collection_parameters: Vec<Value>,
    /// Parameters in the path of one of them.
    parameters: Vec<Value>,
}

impl Place {
    fn of(spec: &KindSpec, catalogue: &dyn Catalogue) -> Self {
        let id = json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9_.-]+$"});
        let username =
            json!({"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[a-zA-Z0-9_-]+$"});
        let collection = format!("/apisix/admin/{}", spec.collection);
        let (collection, above, own) = match spec.kind {
            Kind::Credential => {
                let above = vec![path_parameter("username", &username)];
                (format!("{collection}/{{username}}/credentials"), above, vec![path_parameter("id", &id)])
            }
            Kind::Consumer => (collection, Vec::new(), vec![path_parameter("username", &username)]),
            Kind::PluginMetadata => {
                let names: Vec<&str> = catalogue.specs().iter().map(|spec| spec.name).collect();
                (collection, Vec::new(), vec![path_parameter("plugin", &json!({ "enum": names }))])
            }
            Kind::Secret => {
                let manager = path_parameter("manager", &json!({ "enum": SECRET_MANAGERS }));
                (collection, Vec::new(), vec![manager, path_parameter("id", &id)])
            }
            _ => (collection, Vec::new(), vec![path_parameter("id", &id)]),
        };
        let mut one = collection.clone();
        for parameter in &own {
            let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
            one.push_str(&format!("/{{{name}}}"));
        }
        let parameters = above.iter().cloned().chain(own).collect();
        Self { collection, one, collection_parameters: above, parameters }
    }
}

fn list(spec: &KindSpec, place: &Place) -> Operation {
    let number = json!({"type": "number"});
    let text = json!({"type": "string"});
    let size = json!({"type": "number", "minimum": 10, "maximum": 500});
    let mut parameters = place.collection_parameters.clone();
    parameters.extend([
        query_parameter("page", "With page_size: which page; what is below 1 is the first.", &number),
        query_parameter("page_size", "With page: how many in a page.", &size),
        query_parameter("name", "A regular expression that is found in the name.", &text),
        query_parameter("label", "A label that is there, whatever its value.", &text),
        query_parameter("uri", "A regular expression that is found in a path.", &text),
    ]);
    if spec.kind == Kind::Route {
        let description = "A query string of its own with service_id or upstream_id.";
        parameters.push(query_parameter("filter", description, &text));
    }
    Operation {
        id: format!("list_{}", spec.plural),
        summary: format!("Lists all of kind {}", spec.singular),
        parameters,
        body: None,
        takes_yaml: false,
        answers: vec![
            ("200", answer("Those that pass all filters.", &reference("schemas", "listing"))),
            ("400", bare_answer("`error_msg` as elsewhere; a text without JSON where page_size is refused.")),
        ],
    }
}

fn get(spec: &KindSpec, place: &Place) -> Operation {
    Operation {
        id: format!("get_{}", spec.name),
        summary: format!("Shows one of kind {}", spec.singular),
        parameters: place.parameters.clone(),
        body: None,
        takes_yaml: false,
        answers: vec![(
            "200",
            answer("It, and when it was made and changed.", &reference("schemas", "entry")),
        )],
    }
}

fn create(spec: &KindSpec, place: &Place) -> Operation {
    let mut parameters = place.collection_parameters.clone();
    parameters.push(ttl());
    Operation {
        id: format!("create_{}", spec.name),
        summary: format!("Makes one of kind {} with an id of a6's choice", spec.singular),
        parameters,
        body: Some(reference("schemas", &written_name(spec.kind))),
        takes_yaml: false,
        answers: vec![("201", stored("It is made and in force."))],
    }
}

fn put(spec: &KindSpec, place: &[Value], suffix: &str) -> Operation {
    let mut parameters = place.to_vec();
    parameters.extend([ttl(), if_match()]);
    let written = reference("schemas", &written_name(spec.kind));
    let body = match suffix {
        "_by_id" => json!({"allOf": [written], "required": ["id"]}),
        _ => written,
    };
    Operation {
        id: format!("put_{}{suffix}", spec.name),
        summary: format!("Makes or replaces one of kind {}", spec.singular),
        parameters,
        body: Some(body),
        takes_yaml: false,
        answers: vec![
            ("200", stored("It is replaced, and that is in force.")),
            ("201", stored("It is made and in force.")),
            ("412", reference("responses", "PreconditionFailed")),
        ],
    }
}

fn patch(spec: &KindSpec, mut parameters: Vec<Value>, suffix: &str) -> Operation {
    parameters.extend([ttl(), if_match()]);
    let (summary, body) = match suffix {
        "" => {
            let description =
                "Objects are merged member by member, null removes, all else replaces; {} empties.";
            ("Merges members into one of kind", json!({"type": "object", "description": description}))
        }
        _ => ("Sets one member, making the objects on the way, of one of kind", json!(true)),
    };
    Operation {
        id: format!("patch_{}{suffix}", spec.name),
        summary: format!("{summary} {}", spec.singular),
        parameters,
        body: Some(body),
        takes_yaml: false,
        answers: vec![
            ("200", stored("It is changed, and that is in force.")),
            ("412", reference("responses", "PreconditionFailed")),
        ],
    }
}

fn delete(spec: &KindSpec, place: &Place) -> Operation {
    let mut parameters = place.parameters.clone();
    let description = "`true` deletes also what others refer to.";
    parameters.push(query_parameter("force", description, &json!({"enum": ["true", "false"]})));
    parameters.push(if_match());
    Operation {
        id: format!("delete_{}", spec.name),
        summary: format!("Deletes one of kind {}", spec.singular),
        parameters,
        body: None,
        takes_yaml: false,
        answers: vec![
            ("200", answer("It is gone.", &reference("schemas", "deleted"))),
            ("412", reference("responses", "PreconditionFailed")),
        ],
    }
}

fn stored(description: &str) -> Value {
    answer(description, &reference("schemas", "stored"))
}

fn ttl() -> Value {
    let schema = json!({"type": "number", "exclusiveMinimum": 0});
    query_parameter("ttl", "How many seconds it lasts; for good where this is absent.", &schema)
}

fn if_match() -> Value {
    json!({
        "name": "If-Match",
        "in": "header",
        "description": "The modifiedIndex that the resource must have, or * for any.",
        "schema": {"type": "string", "pattern": "^([0-9]{1,19}|\\*)$"},
    })
}
