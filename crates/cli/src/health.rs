//! `a6 upstream health`: what the Control API knows of an upstream's nodes. It asks for no key, so none is sent.

use std::time::Duration;

use serde_json::{Map, Value};
use ureq::http::{Method, Uri};

use crate::client::{Client, escape, has_usable_port};
use crate::contexts::{self, Target};
use crate::errors::{Failure, Result};
use crate::kinds::{Object, Place, scalar};
use crate::output::{self, Format};
use crate::session::Session;
use crate::{pick, table};

/// Where the Control API listens by default.
const PORT: u16 = 9090;
const PATIENCE: Duration = Duration::from_secs(10);

/// A number of a node: its name in the answer, and the heading of its column.
const COUNTERS: [(&str, &str); 4] = [
    ("success", "SUCCESS"),
    ("http_failure", "HTTP_FAIL"),
    ("tcp_failure", "TCP_FAIL"),
    ("timeout_failure", "TIMEOUT"),
];

/// Shows the health of one.
pub(crate) fn run(
    session: &mut Session<'_>,
    place: Place<'_>,
    id: Option<String>,
    control_url: Option<&str>,
) -> Result<()> {
    let format = output::list_format(session)?;
    let id = pick::id(session, place, id)?;
    let server = match control_url {
        Some(url) => control_address(url)?,
        None => default_address(&contexts::server(session.flags, session.env)?)?,
    };
    let patience = session.flags.timeout.map_or(PATIENCE, Duration::from_secs);
    let target = Target { server, api_key: String::new() };
    let client = Client::new(target, patience, session.flags.verbose, session.env)?;
    // The path of the collection below the Control API is that of the Admin API: `upstreams`.
    let collection = place.collection().rsplit('/').next().unwrap_or_default().to_owned();
    let path = format!("/v1/healthcheck/{collection}/{}", escape(&id));
    let (status, text) = client
        .ask(Method::GET, &path, &[], None, None)
        .map_err(|failure| failure.within("failed to query Control API"))?;
    let answer = match (status, serde_json::from_str(&text)) {
        (404, _) => return Err(nothing_known(place, &id)),
        (400.., _) => return Err(refused(status, text.trim())),
        (_, Ok(Value::Object(answer))) => answer,
        _ => {
            return Err(Failure::new("failed to parse response: the health of nodes must be an object")
                .with_hint(format!("is {} the Control API? --control-url names another", client.server())));
        }
    };
    let text =
        if format == Format::Table { as_table(&answer) } else { output::render(&arranged(answer), format)? };
    Ok(write!(session.output, "{text}")?)
}

fn nothing_known(place: Place<'_>, id: &str) -> Failure {
    let kind = place.kind.singular;
    Failure::new(format!(
        "No health check data available for {kind} {id}. The {kind} must have health checks configured and have served \
         at least one request."
    ))
}

fn refused(status: u16, said: &str) -> Failure {
    let colon = if said.is_empty() { "" } else { ": " };
    Failure::new(format!("Control API request failed with status {status}{colon}{said}"))
}

/// The Control API beside the Admin API at this address.
fn default_address(server: &str) -> Result<String> {
    let uri: Option<Uri> = server.parse().ok();
    match uri.as_ref().and_then(Uri::host) {
        Some(host) if !host.is_empty() => Ok(format!("http://{host}:{PORT}")),
        _ => Err(Failure::new(format!("failed to derive control API URL: invalid base URL: {server}"))
            .with_hint("name it with --control-url http://127.0.0.1:9090")),
    }
}

/// Scheme, host and port of what the user gave; path and query are dropped.
fn control_address(url: &str) -> Result<String> {
    let whole = if url.starts_with("//") { format!("http:{url}") } else { url.to_owned() };
    let uri: Option<Uri> = whole.parse().ok();
    match uri.as_ref().filter(|uri| has_usable_port(uri)).map(|uri| (uri.scheme_str(), uri.authority())) {
        Some((Some(scheme), Some(authority))) if !authority.host().is_empty() => {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => Err(Failure::new("invalid control URL: missing host")
            .with_hint("write it like http://127.0.0.1:9090")),
    }
}

fn as_table(answer: &Object) -> String {
    let nodes = answer.get("nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let cell = |node: &Value, name: &str| node.get(name).and_then(scalar).unwrap_or_default();
    let row = |node: &Value| {
        let counter = node.get("counter").cloned().unwrap_or_default();
        let mut cells = vec![format!("{}:{}", cell(node, "ip"), cell(node, "port")), cell(node, "status")];
        cells.extend(COUNTERS.iter().map(|(name, _)| cell(&counter, name)));
        cells
    };
    let mut headings = vec!["NODE", "STATUS"];
    headings.extend(COUNTERS.iter().map(|(_, heading)| *heading));
    let mut text = table::render(&headings, &nodes.iter().map(row).collect::<Vec<_>>());
    let kind = answer.get("type").and_then(scalar).unwrap_or_default();
    if !kind.is_empty() {
        text.push_str(&format!("\nType: {kind}\n"));
    }
    text
}

/// Known members in their order, others behind them.
fn arranged(mut answer: Object) -> Value {
    let mut ordered = Map::new();
    for name in ["nodes", "type", "name"] {
        ordered.extend(answer.shift_remove(name).map(|value| (name.to_owned(), value)));
    }
    ordered.extend(answer);
    Value::Object(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ScriptedServer, Shell};

    const HEALTH: &str = r#"{"name":"/u/1","type":"http","nodes":[{"ip":"10.0.0.1","port":80,"status":"healthy",
        "counter":{"success":2,"http_failure":0,"tcp_failure":1,"timeout_failure":0}}]}"#;

    #[test]
    fn the_health_of_nodes_is_a_table_or_a_document() {
        let table = "NODE          STATUS    SUCCESS   HTTP_FAIL   TCP_FAIL   TIMEOUT\n\
                     10.0.0.1:80   healthy   2         0           1          0\n\nType: http\n";
        let server = ScriptedServer::start(&[
            (200, HEALTH),
            (200, HEALTH),
            (404, "{}"),
            (500, " broken\n"),
            (200, "[]"),
        ]);
        let control = format!("{}/ignored?x=1", server.address);
        let run = |arguments: &[&str]| {
            let mut line = vec!["upstream", "health", "1", "--control-url", control.as_str()];
            line.extend(arguments);
            Shell::with_server(&server).run(&line)
        };
        assert_eq!(run(&["-o", "table"]).output, table);
        assert!(run(&[]).output.starts_with("{\n  \"nodes\": [\n    {\n      \"ip\": \"10.0.0.1\""));
        assert!(
            run(&[]).errors.starts_with("No health check data available for upstream 1. The upstream must")
        );
        assert_eq!(run(&[]).errors, "Control API request failed with status 500: broken\n");
        assert!(run(&[]).errors.starts_with("failed to parse response: "));
        let asked = server.asked();
        assert_eq!((asked[0].line.as_str(), asked[0].key.as_str()), ("GET /v1/healthcheck/upstreams/1", ""));
    }

    #[test]
    fn the_control_api_is_beside_the_admin_api_unless_named() {
        for (server, expected) in [
            ("http://127.0.0.1:9180", Ok("http://127.0.0.1:9090")),
            ("https://gw.example/admin/", Ok("http://gw.example:9090")),
            ("http://[::1]:9180", Ok("http://[::1]:9090")),
            ("", Err("failed to derive control API URL: invalid base URL:")),
        ] {
            let found = default_address(server).map_err(|failure| failure.to_string());
            match expected {
                Ok(address) => assert_eq!(found.as_deref(), Ok(address)),
                Err(start) => assert!(found.unwrap_err().starts_with(start), "{server}"),
            }
        }
        for (url, expected) in [
            ("http://gw:1234/v1?x", Some("http://gw:1234")),
            ("//gw:1", Some("http://gw:1")),
            ("http://gw:99999", None),
            ("gw", None),
            ("", None),
        ] {
            assert_eq!(control_address(url).ok().as_deref(), expected, "{url}");
        }
    }
}
