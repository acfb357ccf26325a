use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use a6_resources::{Catalogue, Kind};
use a6_snapshot::{DebugTokens, Explain};
use a6_store::Opener;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;

use crate::access::{Admin, authenticate, check_host, check_origin, check_peer};
use crate::answer::{Answer, Envelope};
use crate::change::{Verb, Write};
use crate::condition::Expected;
use crate::place::Place;
use crate::query::Query;
use crate::stand_alone::Whole;
use crate::writer::Writer;
use crate::{body, describe, explain, list, openapi, validate};

/// The version of APISIX whose API this is, as clients look for it in `Server`.
const VERSION: &str = "APISIX/3.18.0";
/// A request's body must be here within this time.
const BODY: Duration = Duration::from_secs(60);
const TOO_SLOW: &str = "the request body did not come within 60 s";

/// Who says what the configuration is.
#[derive(Clone, Debug, Default)]
pub enum Ruler {
    /// The clients of the Admin API, one resource at a time.
    #[default]
    Clients,
    /// The file of this path; the Admin API reads.
    File(PathBuf),
    /// One client of the stand-alone Admin API, everything at once.
    Whole,
}

/// What the Admin API's handlers share.
#[derive(Clone)]
pub struct AdminState {
    admin: Arc<Admin>,
    writer: Writer,
    catalogue: Arc<dyn Catalogue>,
    explain: Option<Arc<dyn Explain>>,
    opener: Option<Opener>,
    debug_tokens: Option<Arc<DebugTokens>>,
    /// The file that rules.
    file: Option<PathBuf>,
    /// What the stand-alone Admin API holds, where that is what this is.
    whole: Option<Arc<Whole>>,
}

impl AdminState {
    /// Puts the parts together.
    pub fn new(admin: Admin, writer: Writer, catalogue: Arc<dyn Catalogue>) -> Self {
        Self {
            admin: Arc::new(admin),
            writer,
            catalogue,
            explain: None,
            debug_tokens: None,
            opener: None,
            file: None,
            whole: None,
        }
    }

    /// With somebody to ask what would become of a request.
    #[must_use]
    pub fn explaining(self, explain: Arc<dyn Explain>) -> Self {
        Self { explain: Some(explain), ..self }
    }

    /// With what opens the ciphertexts of APISIX in a whole configuration.
    #[must_use]
    pub fn opening(self, opener: Opener) -> Self {
        Self { opener: Some(opener), ..self }
    }

    /// With tokens to give out, for requests that ask how their answer was made.
    #[must_use]
    pub fn debugging(self, tokens: Arc<DebugTokens>) -> Self {
        Self { debug_tokens: Some(tokens), ..self }
    }

    /// With somebody else to say what the configuration is than the API's clients, one resource at a time.
    #[must_use]
    pub fn ruled_by(self, ruler: Ruler) -> Self {
        match ruler {
            Ruler::Clients => Self { file: None, whole: None, ..self },
            Ruler::File(path) => Self { file: Some(path), whole: None, ..self },
            Ruler::Whole => Self { file: None, whole: Some(Arc::default()), ..self },
        }
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
    let is_let_in = check_peer(&admin.allow, &parts)
        .and_then(|()| check_host(&admin.names, &parts))
        .and_then(|()| check_origin(admin, &parts));
    let is_preflight = admin.cors && parts.method == Method::OPTIONS;
    let mut response = match is_let_in {
        Err(answer) => answer.into_response(),
        Ok(()) if is_preflight => preflight(),
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
        if !is_preflight {
            set(headers, "access-control-expose-headers", "*");
        }
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
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// What a path names.
enum Resource {
    Kind(Kind),
    Plugins,
    Schema,
}

/// What a path names besides resources.
enum Tool<'a> {
    ReloadPlugins,
    ValidateDocument(&'a str),
    ValidateConfiguration,
    OpenApi,
    Explain,
    IssueDebugToken,
}

/// The pipeline, in APISIX's order. The handler of a resource gives the `Ok`, which says which API it is; the first step
/// that fails, and a tool, give the `Err`, which does not.
async fn respond(state: &AdminState, parts: &Parts, body: Body) -> Result<Answer, Answer> {
    let segments = segments(parts, state.whole.is_some())?;
    let query = Query::parse(parts.uri.query());
    authenticate(&state.admin, parts, &query)?;
    let Some((name, rest)) = segments.split_first() else { return Err(unknown_path()) };
    if let Some(whole) = &state.whole
        && !matches!(
            tool(&parts.method, &segments),
            Some(Tool::ValidateConfiguration | Tool::Explain | Tool::IssueDebugToken | Tool::OpenApi)
        )
    {
        return use_whole(state, whole, parts, &segments, body).await;
    }
    if let Some(tool) = tool(&parts.method, &segments) {
        return Err(use_tool(state, parts, tool, body).await.unwrap_or_else(|refused| refused));
    }
    let resource = resource(name, &parts.method)?;
    let body = body::parse(&read_body(parts, body).await?)?;
    let ttl = ttl(&query)?;
    let catalogue = &*state.catalogue;
    let kind = match resource {
        Resource::Plugins => return Ok(describe::plugins(catalogue, rest, &query)),
        Resource::Schema => return Ok(describe::schema(catalogue, rest, &query)),
        Resource::Kind(kind) => kind,
    };
    let place = Place::of(kind, rest);
    let verb = match parts.method {
        Method::PUT => Verb::Put,
        Method::POST => Verb::Post,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ => return Ok(read(state, &place, &query)),
    };
    let spec = place.kind.spec();
    if (verb == Verb::Post && !spec.has_post) || (verb == Verb::Patch && !spec.has_patch) {
        let text = format!("not supported `{}` method for {}", parts.method, spec.singular);
        return Ok(Answer::error(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    if let Some(path) = &state.file {
        let text = format!(
            "the file {} says what the configuration is; change it there, the gateway takes it over by itself",
            path.display()
        );
        return Ok(Answer::error(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    let expected = Expected::of(&parts.headers)?;
    if verb == Verb::Post && expected.is_some() {
        return Err(Answer::refused(
            "header If-Match: what POST makes is new and has no modifiedIndex yet; leave the header out",
        ));
    }
    let force = query.get("force") == Some("true");
    let ttl = ttl.filter(|_| verb != Verb::Delete);
    Ok(state.writer.write(Write { verb, place, body, force, ttl, expected }).await)
}

/// The stand-alone Admin API, in which only whole configurations exist.
async fn use_whole(
    state: &AdminState,
    whole: &Whole,
    parts: &Parts,
    segments: &[String],
    body: Body,
) -> Result<Answer, Answer> {
    match (&parts.method, segments) {
        (&Method::GET, [configs]) if configs == "configs" => Ok(whole.get(&parts.headers).await),
        (&Method::HEAD, [configs]) if configs == "configs" => Ok(whole.head().await),
        (&Method::PUT, [configs]) if configs == "configs" => {
            let bytes = read_body(parts, body).await?;
            whole.put(&parts.headers, &bytes, &state.writer, &*state.catalogue, state.opener.as_ref()).await
        }
        _ => Err(Answer::error(
            StatusCode::NOT_FOUND,
            "nothing is here: config_provider is yaml, so the Admin API answers GET, HEAD and PUT on \
             /apisix/admin/configs and POST on /apisix/admin/configs/validate; see /apisix/admin/openapi.json",
        )),
    }
}

async fn read_body(parts: &Parts, body: Body) -> Result<Vec<u8>, Answer> {
    let reading = tokio::time::timeout(BODY, body::read(&parts.headers, body));
    reading.await.unwrap_or_else(|_| Err(Answer::error(StatusCode::REQUEST_TIMEOUT, TOO_SLOW)))
}

/// How long a written resource lasts, in milliseconds, where the query says so in seconds.
fn ttl(query: &Query) -> Result<Option<u64>, Answer> {
    let refused = |what: &str| Err(Answer::refused(format!("invalid argument ttl: should be {what}")));
    match (query.get("ttl"), query.number("ttl")) {
        (None, _) => Ok(None),
        (Some(_), None) => refused("a number"),
        (Some(_), Some(seconds)) if seconds <= 0.0 => refused("greater than 0"),
        (Some(_), Some(seconds)) => Ok(Some((seconds * 1000.0).ceil() as u64)),
    }
}

fn tool<'a>(method: &Method, segments: &'a [String]) -> Option<Tool<'a>> {
    let segments: Vec<&'a str> = segments.iter().map(String::as_str).collect();
    match (method.as_str(), segments.as_slice()) {
        (_, &["plugins", "reload"]) => Some(Tool::ReloadPlugins),
        ("POST", &["schema", "validate", collection]) => Some(Tool::ValidateDocument(collection)),
        ("POST", &["configs", "validate"]) => Some(Tool::ValidateConfiguration),
        ("GET", &["openapi.json"]) => Some(Tool::OpenApi),
        ("POST", &["debug", "explain"]) => Some(Tool::Explain),
        ("POST", &["debug", "tokens"]) => Some(Tool::IssueDebugToken),
        _ => None,
    }
}

async fn use_tool(state: &AdminState, parts: &Parts, tool: Tool<'_>, body: Body) -> Result<Answer, Answer> {
    let catalogue = &*state.catalogue;
    match tool {
        // The plugins are those of the program; there is no list of them to be read again.
        Tool::ReloadPlugins if parts.method == Method::PUT => Ok(Answer::plain("done")),
        Tool::ReloadPlugins => Err(Answer::error(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("please use PUT method to reload the plugins, {} method is not allowed.", parts.method),
        )),
        Tool::ValidateDocument(collection) => {
            let body = body::parse(&read_body(parts, body).await?)?;
            Ok(validate::document(collection, body.as_ref()))
        }
        Tool::ValidateConfiguration => {
            let bytes = read_body(parts, body).await?;
            let (headers, opener) = (&parts.headers, state.opener.as_ref());
            match &state.whole {
                Some(whole) => whole.validate(headers, &bytes, catalogue, opener).await,
                None => Ok(validate::configuration(headers, &bytes, catalogue, opener)),
            }
        }
        Tool::OpenApi => {
            let document = if state.whole.is_some() { openapi::whole_document } else { openapi::document };
            Ok(Answer::json(StatusCode::OK, &document(catalogue)))
        }
        Tool::Explain => {
            let body = body::parse(&read_body(parts, body).await?)?;
            let explainer = state.explain.as_deref().ok_or_else(unknown_path)?;
            explain::explain(explainer, body.as_ref())
        }
        Tool::IssueDebugToken => {
            explain::issue_token(state.debug_tokens.as_deref().ok_or_else(unknown_path)?)
        }
    }
}

/// The decoded segments below `/apisix/admin`, at least one unless the API itself is asked for its health. Doubled
/// slashes count once. Whole configurations have a HEAD.
fn segments(parts: &Parts, has_head: bool) -> Result<Vec<String>, Answer> {
    let mut segments = parts.uri.path().split('/').filter(|segment| !segment.is_empty());
    if (segments.next(), segments.next()) != (Some("apisix"), Some("admin")) {
        return Err(unknown_path());
    }
    let segments: Vec<String> =
        segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect();
    match parts.method {
        Method::HEAD if segments.is_empty() => Err(Answer::text(StatusCode::OK, "")),
        Method::HEAD if has_head => Ok(segments),
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
        "stream_routes" => return Err(Answer::refused(validate::NO_STREAMS)),
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

fn read(state: &AdminState, place: &Place, query: &Query) -> Answer {
    let content = state.writer.view().read();
    match &place.id {
        None if place.kind == Kind::Secret && place.owner.is_some() => Answer::missing(),
        None => list::list(place.kind, place.owner.as_deref(), &content, query),
        Some(id) => content.get(place.kind, &place.stored_id(id)).map_or_else(Answer::missing, |entry| {
            Answer::json(StatusCode::OK, &Envelope::of(entry, &content))
        }),
    }
}
