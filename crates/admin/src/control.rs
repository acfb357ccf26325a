use std::sync::Arc;

use a6_resources::{Catalogue, Entry, Kind, KindSpec};
use a6_telemetry::RequestLog;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::access::check_host;
use crate::answer::{Answer, Envelope};
use crate::describe;
use crate::mask::masked;
use crate::view::View;

#[derive(Clone)]
struct ControlState {
    view: Arc<View>,
    catalogue: Arc<dyn Catalogue>,
    requests: Arc<RequestLog>,
    names: Arc<[String]>,
}

/// The Control API: what is in force, without secrets and without authentication; it belongs on loopback. `names` are
/// the host names by which it is reached, besides `localhost` and addresses.
pub fn control_router(
    view: Arc<View>,
    catalogue: Arc<dyn Catalogue>,
    requests: Arc<RequestLog>,
    names: Vec<String>,
) -> Router {
    let state = ControlState { view, catalogue, requests, names: names.into() };
    Router::new().fallback(handle).with_state(state)
}

async fn handle(State(state): State<ControlState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = match check_host(&state.names, &parts) {
        Ok(()) => respond(&state, &parts),
        Err(answer) => answer,
    };
    answer.into_response()
}

fn respond(state: &ControlState, parts: &Parts) -> Answer {
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let ["v1", rest @ ..] = &segments[..] else { return unknown_path() };
    if parts.method != Method::GET {
        return unknown_path();
    }
    match rest {
        ["schema"] => Answer::json(StatusCode::OK, &describe::everything(&*state.catalogue)),
        ["requests"] => Answer::json(StatusCode::OK, &state.requests.to_json()),
        ["config", "status"] => Answer::json(StatusCode::OK, &state.view.status()),
        [collection] => Kind::of_collection(collection).map_or_else(unknown_path, |kind| all(state, kind)),
        [singular, id] => Kind::all()
            .iter()
            .find(|spec| spec.singular == *singular)
            .map_or_else(unknown_path, |spec| one(state, spec, id)),
        _ => unknown_path(),
    }
}

fn unknown_path() -> Answer {
    Answer::error(
        StatusCode::NOT_FOUND,
        "nothing is here; the Control API answers GET on /v1/schema, /v1/config/status, /v1/requests, /v1/routes, /v1/route/«id» and \
         the same for services and upstreams",
    )
}

fn all(state: &ControlState, kind: Kind) -> Answer {
    let content = state.view.read();
    let shown: Vec<(&Entry, Value)> =
        content.of_kind(kind).map(|entry| (entry, masked(&entry.value, &*state.catalogue))).collect();
    let list: Vec<Envelope<'_>> = shown.iter().map(|(entry, value)| Envelope::with(entry, value)).collect();
    Answer::json(StatusCode::OK, &list)
}

fn one(state: &ControlState, spec: &KindSpec, id: &str) -> Answer {
    let content = state.view.read();
    match content.get(spec.kind, id) {
        Some(entry) => {
            let value = masked(&entry.value, &*state.catalogue);
            Answer::json(StatusCode::OK, &Envelope::with(entry, &value))
        }
        None => Answer::error(StatusCode::NOT_FOUND, format!("{}[{id}] not found", spec.singular)),
    }
}
