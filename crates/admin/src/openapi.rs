//! The Admin API as an OpenAPI 3.1 document, made from the table of kinds and their schemas.
//!
//! - `openapi/kinds.rs`: the operations of every kind of resource.
//! - `openapi/others.rs`: plugins, schemas, checks.
//! - `openapi/whole.rs`: the stand-alone Admin API.
//! - `openapi/parts.rs`: schemas and answers that operations share; `openapi/plugins.rs`: those of plugins.

mod kinds;
mod others;
mod parts;
mod plugins;
#[cfg(test)]
mod tests;
mod whole;

use a6_resources::{Catalogue, Kind};
use serde_json::{Map, Value, json};

const DESCRIPTION: &str = "\
Routes, services, upstreams and all else that a6 is configured with. A write that is answered with 200 or 201 is on disk and in \
force.

A key has a role: `admin` may do everything, `viewer` may only GET (else 401). Which client addresses are let in says \
`deployment.admin.allow_admin` (else 403), by which names the API is called `a6.admin_hosts` (else 403).

`modifiedIndex` grows with every write, over all resources. With `If-Match: «modifiedIndex»` a write is done only if nobody wrote \
in between (else 412).

A method that is not listed here is answered with 404, where a kind of resource lacks it with 405.";

const WHOLE_DESCRIPTION: &str = "\
The whole configuration of a6 at once, as one client holds it; it is kept in memory, and after a restart the client puts it again. \
A PUT that is answered with 202 is in force, all of it.

A key has a role: `admin` may do everything, `viewer` may only GET (else 401). Which client addresses are let in says \
`deployment.admin.allow_admin` (else 403), by which names the API is called `a6.admin_hosts` (else 403). Every other path and method \
is answered with 404.";

/// The document of the Admin API that takes one resource at a time.
pub(crate) fn document(catalogue: &dyn Catalogue) -> Value {
    let mut paths = Map::new();
    for spec in Kind::all() {
        kinds::add(spec, catalogue, &mut paths);
    }
    others::add(catalogue, &mut paths);
    with(paths, DESCRIPTION, catalogue)
}

/// The document of the stand-alone Admin API.
pub(crate) fn whole_document(catalogue: &dyn Catalogue) -> Value {
    let mut paths = Map::new();
    whole::add(&mut paths);
    others::add_common(&mut paths);
    with(paths, WHOLE_DESCRIPTION, catalogue)
}

fn with(paths: Map<String, Value>, description: &str, catalogue: &dyn Catalogue) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "a6 Admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": description,
        },
        "servers": [{"url": "/"}],
        "security": [{"header": []}, {"query": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "header": key("header", "X-API-KEY"),
                "query": key("query", "api_key"),
                "cookie": key("cookie", "x_api_key"),
            },
            "schemas": parts::schemas(catalogue),
            "responses": parts::responses(),
        },
    })
}

fn key(place: &str, name: &str) -> Value {
    let description =
        "One of `deployment.admin.admin_key`. Of several places the query counts first, the cookie last.";
    json!({"type": "apiKey", "in": place, "name": name, "description": description})
}

/// One method of a path.
struct Operation {
    id: String,
    summary: String,
    parameters: Vec<Value>,
    /// The schema of the request's body, if it has one.
    body: Option<Value>,
    /// The body may be YAML, too.
    takes_yaml: bool,
    /// Answers by status; those that every operation may give are added.
    answers: Vec<(&'static str, Value)>,
}

impl Operation {
    fn into_value(self, tag: &str) -> Value {
        let mut responses: Map<String, Value> =
            self.answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        for (status, name) in [
            ("400", "BadRequest"),
            ("401", "Unauthorized"),
            ("403", "Forbidden"),
            ("404", "NotFound"),
            ("408", "SlowBody"),
            ("503", "Unavailable"),
        ] {
            responses.entry(status).or_insert_with(|| reference("responses", name));
        }
        let mut members = Map::new();
        members.insert("operationId".to_string(), Value::from(self.id));
        members.insert("summary".to_string(), Value::from(self.summary));
        members.insert("tags".to_string(), json!([tag]));
        members.insert("parameters".to_string(), Value::Array(self.parameters));
        if let Some(schema) = self.body {
            let mut content = json!({"application/json": {"schema": schema}});
            if self.takes_yaml {
                content["application/yaml"] = json!({"schema": schema});
            }
            members.insert("requestBody".to_string(), json!({"required": true, "content": content}));
        }
        members.insert("responses".to_string(), Value::Object(responses));
        Value::Object(members)
    }
}

/// `{"$ref": "#/components/«place»/«name»"}`.
fn reference(place: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{place}/{name}")})
}

/// An answer with a JSON body.
fn answer(description: &str, schema: &Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

/// An answer whose body is no JSON, or none.
fn bare_answer(description: &str) -> Value {
    json!({"description": description})
}

fn path_parameter(name: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

fn query_parameter(name: &str, description: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}
