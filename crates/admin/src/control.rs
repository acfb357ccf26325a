//! The Control API: what is in force.
//!
//! - `control/loaded.rs`: resources as they are in memory, without secrets.
//! - `control/health.rs`: health checks. - `control/instances.rs`: AI instances.

mod health;
mod instances;
mod loaded;

use std::sync::Arc;

use a6_resources::{Catalogue, Kind, KindSpec};
use a6_snapshot::{GroupRegistry, HealthRegistry, lint};
use a6_telemetry::RequestLog;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use self::loaded::loaded;
use crate::access::check_host;
use crate::answer::Answer;
use crate::describe;
use crate::view::View;

/// Tells what is counted, as JSON.
pub type Counters = Box<dyn Fn() -> Value + Send + Sync>;

/// Tells what is wrong, one sentence each.
pub type Troubles = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// What the Control API shows.
pub struct Control {
    /// What is stored and in force.
    pub view: Arc<View>,
    /// The plugins.
    pub catalogue: Arc<dyn Catalogue>,
    /// The last requests.
    pub requests: Arc<RequestLog>,
    /// Host names by which it is reached, besides `localhost` and addresses.
    pub names: Vec<String>,
    /// Whose health is checked.
    pub health: HealthRegistry,
    /// The AI instances that share requests.
    pub groups: GroupRegistry,
    /// What the data plane counts besides requests.
    pub counters: Counters,
    /// What is wrong at the moment besides what is unwise, such as secrets that cannot be read.
    pub troubles: Troubles,
    /// Whether the data plane listens beyond loopback, which makes some configurations unwise.
    pub exposed: bool,
}

/// The Control API, without secrets and without authentication; it belongs on loopback.
pub fn control_router(control: Control) -> Router {
    Router::new().fallback(handle).with_state(Arc::new(control))
}

async fn handle(State(control): State<Arc<Control>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = match check_host(&control.names, &parts) {
        Ok(()) => respond(&control, &parts),
        Err(answer) => answer,
    };
    answer.into_response()
}

fn respond(control: &Control, parts: &Parts) -> Answer {
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let ["v1", rest @ ..] = &segments[..] else { return unknown_path() };
    match (parts.method.as_str(), rest) {
        ("GET", rest) => read(control, rest),
        // Memory is given back as soon as nothing uses it.
        ("POST", ["gc"]) => Answer::plain(""),
        // The plugins are those of the program; there is no list of them to be read again.
        ("PUT", ["plugins", "reload"]) => Answer::plain("done"),
        _ => unknown_path(),
    }
}

fn read(control: &Control, path: &[&str]) -> Answer {
    match path {
        ["schema"] => Answer::json(StatusCode::OK, &describe::everything(&*control.catalogue)),
        ["requests"] => Answer::json(StatusCode::OK, &control.requests.to_json()),
        ["counters"] => Answer::json(StatusCode::OK, &(control.counters)()),
        ["config", "status"] => Answer::json(StatusCode::OK, &status(control)),
        ["ai", "instances"] => instances::list(control),
        ["healthcheck"] => health::list(control),
        &["healthcheck", collection] => health::one(collection, None, control),
        &["healthcheck", collection, id] => health::one(collection, Some(id), control),
        [plural] => Kind::all()
            .iter()
            .find(|spec| spec.plural == *plural)
            .map_or_else(unknown_path, |spec| all(control, spec.kind)),
        // The id of a credential has slashes.
        [name, id @ ..] => Kind::all()
            .iter()
            .find(|spec| spec.name == *name)
            .map_or_else(unknown_path, |spec| one(control, spec, &id.join("/"))),
        [] => unknown_path(),
    }
}

fn unknown_path() -> Answer {
    Answer::error(
        StatusCode::NOT_FOUND,
        "nothing is here; the Control API answers GET on /v1/schema, /v1/config/status, /v1/counters, /v1/requests, \
         /v1/healthcheck, /v1/ai/instances, /v1/routes, /v1/route/«id» and the same for every other kind of resource, \
         POST on /v1/gc and PUT on /v1/plugins/reload",
    )
}

/// What the view tells, what is wrong, and what is allowed but unwise.
fn status(control: &Control) -> Value {
    let mut status = control.view.status();
    if let Value::Object(members) = &mut status {
        let mut warnings = (control.troubles)();
        warnings.extend(lint(&control.view.entries(), &*control.catalogue, control.exposed));
        members.insert("warnings".to_string(), json!(warnings));
    }
    status
}

fn all(control: &Control, kind: Kind) -> Answer {
    let content = control.view.read();
    let list: Vec<Value> = content.of_kind(kind).map(|entry| loaded(entry, &*control.catalogue)).collect();
    Answer::json(StatusCode::OK, &list)
}

fn one(control: &Control, spec: &KindSpec, id: &str) -> Answer {
    let content = control.view.read();
    match content.get(spec.kind, id) {
        Some(entry) => Answer::json(StatusCode::OK, &loaded(entry, &*control.catalogue)),
        None => {
            let name = spec.name.replace('_', " ");
            Answer::error(StatusCode::NOT_FOUND, format!("{name}[{id}] not found"))
        }
    }
}
