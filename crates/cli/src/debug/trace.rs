//! `a6 debug trace`: one request along a route, and all that can be learnt of it.

use std::fmt;
use std::time::Duration;

use clap_complete::engine::ArgValueCandidates;
use serde_json::{Map, Value, json};
use ureq::http::{Method, StatusCode};

use super::live::{Live, token};
use super::request::TestRequest;
use super::show;
use super::web::{Answer, Control, Place, send};
use crate::client::{Client, escape};
use crate::completion;
use crate::contexts;
use crate::errors::{Failure, Result};
use crate::kinds::{self, Object};
use crate::output::{self, Format};
use crate::pick;
use crate::session::Session;

/// Time for the head of the gateway's answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same where a model may be thinking.
const LIVE_PATIENCE: Duration = Duration::from_secs(180);

/// The flags of `debug trace`.
#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// ID of the route
    #[arg(value_name = "ROUTE-ID", add = ArgValueCandidates::new(completion::routes))]
    pub(super) route_id: Option<String>,
    /// Method; by default the route's first, else GET, or POST with --body
    #[arg(long, value_name = "METHOD")]
    pub(super) method: Option<String>,
    /// Path and query; by default the route's uri
    #[arg(long, value_name = "PATH")]
    pub(super) path: Option<String>,
    /// A header, such as 'apikey: k1'; may be repeated
    #[arg(long, value_name = "KEY: VALUE")]
    pub(super) header: Vec<String>,
    /// Body; one that is JSON is sent as application/json
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) body: Option<String>,
    /// Host header; by default the route's first host
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,
    /// Also show the gateway's own explanation: which routes were tried, which plugins run and who brought them
    #[arg(long)]
    pub(super) explain: bool,
    /// Explain the request as this consumer's
    #[arg(long, value_name = "NAME", requires = "explain",
          add = ArgValueCandidates::new(completion::consumers))]
    pub(super) consumer: Option<String>,
    /// Ask the gateway how the answer was made: attempts, timings, tokens
    #[arg(long)]
    pub(super) live: bool,
    /// Control API; default port 9090 of the Admin API's host
    #[arg(long, value_name = "URL")]
    pub(super) control_url: Option<String>,
    /// Data plane; default APISIX_GATEWAY_URL, then port 9080 of the Admin API's host
    #[arg(long, value_name = "URL")]
    pub(super) gateway_url: Option<String>,
}

/// Leaves out what may be a credential.
impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").field("route_id", &self.route_id).finish_non_exhaustive()
    }
}

/// All that was learnt.
pub(super) struct Trace {
    pub(super) id: String,
    pub(super) route: Object,
    pub(super) request: TestRequest,
    pub(super) url: String,
    pub(super) answer: Answer,
    /// The route's own plugins with their priorities, first the one that runs first.
    pub(super) plugins: Vec<(String, i64)>,
    pub(super) explained: Option<Value>,
    pub(super) live: Option<Live>,
}

/// Traces a request and prints what came of it. Whatever the gateway answers is a success.
pub(crate) fn run(session: &mut Session<'_>, args: &Args) -> Result<()> {
    let headers = TestRequest::headers(&args.header)?;
    let format = output::list_format(session)?;
    let id = route_id(session, args)?;
    let client = session.client()?;
    let server = contexts::target(session.flags, session.env)?.server;
    let gateway = Place::of_gateway(args.gateway_url.as_deref(), session.env, &server)?;
    let control = Control::new(Place::of_control(args.control_url.as_deref(), &server)?, session.env)?;
    let route = route(&client, &id)?;
    let request = TestRequest::new(&route, args, headers)?;
    let explained = if args.explain { Some(explain(&client, &request, args, &gateway)?) } else { None };
    let plugins = plugins(&route, &control);
    // Last of all before the request, since it is good for a minute only.
    let token = if args.live { Some(token(&client)?) } else { None };
    let patience = if args.live { LIVE_PATIENCE } else { PATIENCE };
    let answer = send(&gateway, session.env, &request, token.as_ref(), patience)?;
    let live = if args.live { Some(Live::of(&answer, &control)) } else { None };
    let url = format!("{}{}", gateway.shown(), request.target);
    let trace = Trace { id, route, request, url, answer, plugins, explained, live };
    let text = match format {
        Format::Table => show::text(&trace),
        format => output::render(&trace.document(), format)?,
    };
    Ok(write!(session.output, "{text}")?)
}

/// The route that is named, or picked on a terminal.
fn route_id(session: &Session<'_>, args: &Args) -> Result<String> {
    let given = args.route_id.clone().filter(|id| !id.is_empty());
    match kinds::by_command("route") {
        Some(kind) if given.is_none() && session.input_is_terminal => {
            pick::id(session, kinds::Place { kind, owner: None }, None)
        }
        _ => given.ok_or_else(|| {
            Failure::new("route-id argument is required (or run interactively in a terminal)")
                .with_hint("`a6 route list -o table` shows the ids")
        }),
    }
}

fn route(client: &Client, id: &str) -> Result<Object> {
    let mut answer = client.json(Method::GET, &format!("/apisix/admin/routes/{}", escape(id)), &[], None)?;
    match answer.get_mut("value").map(Value::take) {
        Some(Value::Object(route)) => Ok(route),
        _ => Err(Failure::new("failed to parse response: it has no object in \"value\"")),
    }
}

fn explain(client: &Client, request: &TestRequest, args: &Args, gateway: &Place) -> Result<Value> {
    let host = gateway.shown();
    let host = host.split_once("://").map_or(host.as_str(), |(_, host)| host);
    let question = request.question(args.consumer.as_deref(), host);
    client.json(Method::POST, "/apisix/admin/debug/explain", &[], Some(&question))
}

/// The route's own plugins in the order in which they run. Without the Control API their priorities count as 0.
fn plugins(route: &Object, control: &Control) -> Vec<(String, i64)> {
    let Some(own) = route.get("plugins").and_then(Value::as_object).filter(|own| !own.is_empty()) else {
        return Vec::new();
    };
    let schema = control.json("/v1/schema").unwrap_or_default();
    let priority = |name: &str| schema["plugins"][name]["priority"].as_i64().unwrap_or_default();
    let mut plugins: Vec<(String, i64)> = own.keys().map(|name| (name.clone(), priority(name))).collect();
    plugins.sort_by(|(name, priority), (other, other_priority)| {
        other_priority.cmp(priority).then_with(|| name.cmp(other))
    });
    plugins
}

impl Trace {
    /// The upstream that the route itself names.
    pub(super) fn upstream(&self) -> Option<Value> {
        let inline = self.route.get("upstream").filter(|upstream| upstream.is_object()).cloned();
        inline.or_else(|| self.route.get("upstream_id").map(|id| json!({ "upstream_id": id })))
    }

    /// What the answer says of itself, where it is not what was hoped for.
    pub(super) fn complaint(&self) -> Option<String> {
        let text = self.answer.beginning.trim();
        (self.answer.status >= 400 && !text.is_empty()).then(|| text.to_owned())
    }

    /// The trace as JSON.
    fn document(&self) -> Value {
        let mut route = Map::new();
        route.insert("id".to_owned(), json!(self.id));
        route.insert("uri".to_owned(), json!(show::uri(&self.route)));
        let mut keep = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                route.insert(name.to_owned(), value);
            }
        };
        for name in ["methods", "hosts"] {
            keep(name, self.route.get(name).cloned());
        }
        keep("upstream", self.upstream());
        keep("plugins", self.route.get("plugins").cloned());
        let mut request = json!({"method": self.request.method.as_str(), "url": self.url});
        let headers = self.request.header_object();
        if !headers.is_empty() {
            request["headers"] = Value::Object(headers);
        }
        let plugins: Vec<Value> =
            self.plugins.iter().map(|(name, priority)| json!({"name": name, "priority": priority})).collect();
        let plugins = if plugins.is_empty() { Value::Null } else { Value::Array(plugins) };
        let mut document = json!({"route": route, "request": request, "response": self.response(), "configured_plugins": plugins});
        if let Some(explained) = &self.explained {
            document["explain"] = explained.clone();
        }
        if let Some(live) = &self.live {
            document["live"] = live.document();
        }
        document
    }

    fn response(&self) -> Value {
        let answer = &self.answer;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut response = json!({
            "status": answer.status,
            "status_text": status_text(answer.status),
            "duration_ms": millis(answer.duration),
        });
        if let Some(status) = answer.header("x-apisix-upstream-status") {
            response["upstream_status"] = json!(status);
        }
        if let Some(plugins) = answer.header("apisix-plugins") {
            response["executed_plugins"] = plugins.split(',').map(|name| json!(name.trim())).collect();
        }
        if let Some(location) = answer.header("location") {
            response["location"] = json!(location);
        }
        if let Some(complaint) = self.complaint() {
            response["error_body"] = json!(complaint);
        }
        if let Some(cut) = &answer.cut {
            response["cut"] = json!(cut);
        }
        response
    }
}

/// The usual words for a status.
pub(super) fn status_text(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}
