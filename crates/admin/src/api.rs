use std::sync::Arc;
use std::time::Duration;

use a6_resources::{Catalogue, Kind};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;

use crate::access::{Admin, authenticate, check_host, check_peer};
use crate::answer::{Answer, Envelope};
use crate::change::{Verb, Write};
use crate::query::Query;
use crate::writer::Writer;
use crate::{body, describe, list};

/// The version of APISIX whose API this is, as clients look for it in `Server`.
const VERSION: &str = "APISIX/3.18.0";
/// A request's body must be here within this time.
const BODY: Duration = Duration::from_secs(60);
const TOO_SLOW: &str = "the request body did not come within 60 s";

/// What the Admin API's handlers share.
#[derive(Clone)]
pub struct AdminState {
    admin: Arc<Admin>,
    writer: Writer,
    catalogue: Arc<dyn Catalogue>,
}

impl AdminState {
    /// Puts the parts together.
    pub fn new(admin: Admin, writer: Writer, catalogue: Arc<dyn Catalogue>) -> Self {
        Self { admin: Arc::new(admin), writer, catalogue }
    }
}

/// The Admin API below `/apisix/admin`. Serve it with connect info ([`crate::serve`] does): the client's address is
/// held against [`Admin::allow`].
pub fn router(state: AdminState) -> Router {
    Router::new().fallback(handle).with_state(state)
}

async fn handle(State(state): State<AdminState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let admin = &state.admin;
    let mut response = match check_peer(&admin.allow, &parts).and_then(|()| check_host(&admin.names, &parts))
    {
        Err(answer) => answer.into_response(),
        Ok(()) if admin.cors && parts.method == Method::OPTIONS => preflight(),
        Ok(()) => match respond(&state, &parts, body).await {
            Ok(answer) => {
                let mut response = answer.into_response();
                set(response.headers_mut(), "x-api-version", "v3");
                response
            }
            Err(answer) => answer.into_response(),
        },
    };
    let headers = response.headers_mut();
    set(headers, "server", if admin.server_tokens { VERSION } else { "APISIX" });
    if admin.cors {
        set(headers, "access-control-allow-origin", "*");
        set(headers, "access-control-expose-headers", "*");
        set(headers, "access-control-max-age", "3600");
    }
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &'static str) {
    headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
}

fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    set(headers, "access-control-allow-methods", "POST, GET, PUT, OPTIONS, DELETE, PATCH");
    set(headers, "access-control-allow-headers", "*");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// What a path names.
enum Resource {
    Kind(Kind),
    Plugins,
    Schema,
}

/// The pipeline, in APISIX's order; the first step that fails gives the `Err`, the handler the `Ok`.
async fn respond(state: &AdminState, parts: &Parts, body: Body) -> Result<Answer, Answer> {
    let segments = segments(parts)?;
    let query = Query::parse(parts.uri.query());
    authenticate(&state.admin, parts, &query)?;
    let Some((name, rest)) = segments.split_first() else { return Err(unknown_path()) };
    let resource = resource(name, &parts.method)?;
    let reading = tokio::time::timeout(BODY, body::read(&parts.headers, body));
    let bytes =
        reading.await.unwrap_or_else(|_| Err(Answer::error(StatusCode::REQUEST_TIMEOUT, TOO_SLOW)))?;
    let body = body::parse(&bytes)?;
    if query.get("ttl").is_some() && query.number("ttl").is_none() {
        return Err(Answer::refused("invalid argument ttl: should be a number"));
    }
    let catalogue = &*state.catalogue;
    let kind = match resource {
        Resource::Plugins => return Ok(describe::plugins(catalogue, rest, &query)),
        Resource::Schema => return Ok(describe::schema(catalogue, rest, &query)),
        Resource::Kind(kind) => kind,
    };
    let id = rest.first().cloned();
    let verb = match parts.method {
        Method::PUT => Verb::Put,
        Method::POST => Verb::Post,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ => return Ok(read(state, kind, id.as_deref(), &query)),
    };
    if query.get("ttl").is_some() {
        return Err(Answer::refused(
            "argument ttl: resources that expire are not supported yet; remove the argument",
        ));
    }
    let path = rest.get(1..).unwrap_or_default().to_vec();
    let force = query.get("force") == Some("true");
    Ok(state.writer.write(Write { verb, kind, id, path, body, force }).await)
}

/// The decoded segments below `/apisix/admin`, at least one unless the API itself is asked for its health. Doubled
/// slashes count once.
fn segments(parts: &Parts) -> Result<Vec<String>, Answer> {
    let mut segments = parts.uri.path().split('/').filter(|segment| !segment.is_empty());
    if (segments.next(), segments.next()) != (Some("apisix"), Some("admin")) {
        return Err(unknown_path());
    }
    let segments: Vec<String> =
        segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect();
    match parts.method {
        Method::HEAD if segments.is_empty() => Err(Answer::text(StatusCode::OK, "")),
        Method::TRACE => {
            Err(Answer::error(StatusCode::METHOD_NOT_ALLOWED, "the Admin API has no method TRACE"))
        }
        Method::GET | Method::PUT | Method::POST | Method::DELETE | Method::PATCH if !segments.is_empty() => {
            Ok(segments)
        }
        _ => Err(unknown_path()),
    }
}

fn unknown_path() -> Answer {
    Answer::error(
        StatusCode::NOT_FOUND,
        "nothing is here; the Admin API answers GET, PUT, POST, PATCH and DELETE on /apisix/admin/«collection»",
    )
}

fn resource(name: &str, method: &Method) -> Result<Resource, Answer> {
    let resource = match name {
        "stream_routes" => return Err(Answer::refused("stream mode is disabled, can not add stream routes")),
        "plugins" => Resource::Plugins,
        "schema" => Resource::Schema,
        _ => {
            return Kind::of_collection(name).map(Resource::Kind).ok_or_else(|| {
                Answer::error(StatusCode::NOT_FOUND, format!("Unsupported resource type: {name}"))
            });
        }
    };
    if method == Method::GET { Ok(resource) } else { Err(Answer::error(StatusCode::NOT_FOUND, "not found")) }
}

fn read(state: &AdminState, kind: Kind, id: Option<&str>, query: &Query) -> Answer {
    let content = state.writer.view().read();
    match id {
        None => list::list(kind, &content, query),
        Some(id) => content
            .get(kind, id)
            .map_or_else(Answer::missing, |entry| Answer::json(StatusCode::OK, &Envelope::of(entry))),
    }
}
