//! The gateway's data plane and its Control API. Neither ever gets the Admin API's key.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::{HeaderMap, Method, Request, Uri};
use ureq::tls::TlsConfig;

use super::request::TestRequest;
use crate::client::{has_usable_port, proxy, system_roots};
use crate::errors::{Failure, Result, system_text};
use crate::session::Env;

/// Time for an answer of the Control API.
const CONTROL: Duration = Duration::from_secs(5);
/// Time for the rest of the gateway's answer once its head is there.
const BODY: Duration = Duration::from_secs(60);
/// Of an answer's body so much is read, and of one that tells of an error so much shown.
const LARGEST_BODY: u64 = 64 << 20;
const SHOWN_BODY: u64 = 2048;
/// Largest answer of the Control API, in bytes.
const LARGEST_ANSWER: u64 = 64 << 20;

/// Scheme, host and port of a server. There may be credentials in it.
pub(crate) struct Place(String);

impl Place {
    /// The gateway: as the flag says, else the variable, else port 9080 of the host of the Admin API.
    pub(crate) fn of_gateway(flag: Option<&str>, env: Env<'_>, server: &str) -> Result<Self> {
        let variable = env("APISIX_GATEWAY_URL").filter(|url| !url.is_empty());
        match flag.filter(|url| !url.is_empty()).map(str::to_owned).or(variable) {
            Some(url) => Self::named(&url).ok_or_else(|| Failure::new("invalid gateway URL: missing host")),
            None => beside(server, 9080).ok_or_else(|| underivable("gateway", server)),
        }
    }

    /// The Control API: as the flag says, else port 9090 of the host of the Admin API.
    pub(crate) fn of_control(flag: Option<&str>, server: &str) -> Result<Self> {
        match flag.filter(|url| !url.is_empty()) {
            Some(url) => Self::named(url).ok_or_else(|| Failure::new("invalid control URL: missing host")),
            None => beside(server, 9090).ok_or_else(|| underivable("control API", server)),
        }
    }

    /// Path and query are dropped, and a scheme that is missing is http.
    fn named(url: &str) -> Option<Self> {
        let url = match url.strip_prefix("//") {
            Some(rest) => format!("http://{rest}"),
            None => url.to_owned(),
        };
        let uri: Uri = url.parse().ok()?;
        let authority =
            uri.authority().filter(|authority| !authority.host().is_empty() && has_usable_port(&uri))?;
        Some(Place(format!("{}://{authority}", uri.scheme_str().unwrap_or("http"))))
    }

    /// The address, without user name and password.
    pub(crate) fn shown(&self) -> String {
        match self.0.split_once("://").map(|(scheme, authority)| (scheme, authority.rsplit_once('@'))) {
            Some((scheme, Some((_, host)))) => format!("{scheme}://{host}"),
            _ => self.0.clone(),
        }
    }

    /// The address of something there; `target` begins with a slash.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("{}{target}", self.0)
    }
}

fn underivable(what: &str, server: &str) -> Failure {
    // What stands before an @ may be a password.
    let shown = server.rsplit('@').next().unwrap_or(server);
    Failure::new(format!("failed to derive {what} URL: invalid base URL: {shown}"))
}

/// Another port of the Admin API's host.
fn beside(server: &str, port: u16) -> Option<Place> {
    let uri: Uri = server.parse().ok()?;
    let host = uri.host().filter(|host| !host.is_empty() && uri.scheme().is_some())?;
    Some(Place(format!("http://{host}:{port}")))
}

fn agent(place: &Place, env: Env<'_>, head: Duration, body: Duration) -> Result<ureq::Agent> {
    let uri: Uri = place
        .url("/")
        .parse()
        .map_err(|error| Failure::new(format!("{} is no address of a server: {error}", place.shown())))?;
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        // What a redirect leads to is another request; the headers of this one may hold credentials.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("a6/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(head))
        .timeout_recv_response(Some(head))
        .timeout_recv_body(Some(body))
        .proxy(proxy(&uri, env)?);
    if uri.scheme_str() == Some("https") {
        config = config.tls_config(TlsConfig::builder().root_certs(system_roots()).build());
    }
    Ok(config.build().new_agent())
}

/// The Control API.
pub(crate) struct Control {
    place: Place,
    agent: ureq::Agent,
}

impl Control {
    /// Does not connect yet.
    pub(crate) fn new(place: Place, env: Env<'_>) -> Result<Self> {
        let agent = agent(&place, env, CONTROL, CONTROL)?;
        Ok(Control { place, agent })
    }

    /// What it says at a path.
    pub(crate) fn json(&self, path: &str) -> Result<Value> {
        let failed = |error: &ureq::Error| {
            Failure::new(format!("failed to query Control API: {}: {}", self.place.shown(), reason(error)))
                .with_hint("--control-url names another address; apisix.control of the gateway's settings says where it listens")
        };
        let mut answer = self.agent.get(self.place.url(path)).call().map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(LARGEST_ANSWER).lossy_utf8(true).read_to_string();
        let text = body.map_err(|error| failed(&error))?;
        if status >= 400 {
            let detail = if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) };
            return Err(Failure::new(format!("Control API request failed with status {status}{detail}")));
        }
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!("failed to parse response: {error}"))
                .with_hint(format!("{} does not answer like a Control API", self.place.shown()))
        })
    }
}

/// What came back from the data plane.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// From the start to the answer's head.
    pub(crate) duration: Duration,
    /// From the start to the end of the body.
    pub(crate) total: Duration,
    /// The first part of the body.
    pub(crate) beginning: String,
    /// Why the body has no end.
    pub(crate) cut: Option<String>,
}

impl Answer {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Sends the request to the data plane and reads the whole answer; of a body that breaks off, as far as it came.
pub(crate) fn send(
    place: &Place,
    env: Env<'_>,
    request: &TestRequest,
    token: Option<&(String, String)>,
    patience: Duration,
) -> Result<Answer> {
    let failed = |why: String| {
        Failure::new(format!("failed to send test request to gateway: {}: {why}", place.shown()))
            .with_hint("--gateway-url or APISIX_GATEWAY_URL names another address")
    };
    let agent = agent(place, env, patience, BODY)?;
    let mut builder = Request::builder().method(request.method.clone()).uri(place.url(&request.target));
    for (name, value) in request.headers.iter().chain(token) {
        builder = builder.header(name.as_str(), value.as_str());
    }
    let unsendable = |error: ureq::http::Error| failed(format!("it cannot be sent: {error}"));
    let needs_body = [Method::POST, Method::PUT, Method::PATCH].contains(&request.method);
    let started = Instant::now();
    let sent = match &request.body {
        Some(body) => agent.run(builder.body(body.as_str()).map_err(unsendable)?),
        None if needs_body => agent.run(builder.body("").map_err(unsendable)?),
        None => agent.run(builder.body(()).map_err(unsendable)?),
    };
    let mut answer = sent.map_err(|error| failed(reason(&error)))?;
    let duration = started.elapsed();
    let mut read = Vec::new();
    let rest = {
        let mut body = answer.body_mut().as_reader().take(LARGEST_BODY);
        let copied = body.by_ref().take(SHOWN_BODY).read_to_end(&mut read);
        copied.and_then(|_| io::copy(&mut body, &mut io::sink()))
    };
    Ok(Answer {
        status: answer.status().as_u16(),
        duration,
        total: started.elapsed(),
        beginning: String::from_utf8_lossy(&read).into_owned(),
        cut: rest.err().map(|error| system_text(&error)),
        headers: std::mem::take(answer.headers_mut()),
    })
}

/// Why a request got no answer, in the words of the operating system where it was that.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => system_text(error),
        ureq::Error::HostNotFound => "host not found".to_owned(),
        ureq::Error::Timeout(_) => "it did not answer in time".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_flags_or_the_admin_apis_host() {
        let env = |name: &str| (name == "APISIX_GATEWAY_URL").then(|| "http://edge:8000/x?y".to_owned());
        let none = |_: &str| -> Option<String> { None };
        let gateway = |flag, env: Env<'_>| Place::of_gateway(flag, env, "https://gw.test:9180/a").unwrap().0;
        assert_eq!(gateway(Some("https://other:1/path"), &env), "https://other:1");
        assert_eq!(gateway(None, &env), "http://edge:8000");
        assert_eq!(gateway(Some(""), &none), "http://gw.test:9080");
        let control = |flag, server| Place::of_control(flag, server).map(|place| place.0);
        assert_eq!(control(Some("//ctl:7/v1?x"), "http://gw:1").unwrap(), "http://ctl:7");
        assert_eq!(control(Some("ctl:7"), "http://gw:1").unwrap(), "http://ctl:7");
        assert_eq!(control(None, "http://[::1]:9180").unwrap(), "http://[::1]:9090");
        for (flag, server, expected) in [
            (Some("/only/a/path"), "http://gw:1", "invalid control URL: missing host"),
            (Some("http://ctl:99999"), "http://gw:1", "invalid control URL: missing host"),
            (None, "gw", "failed to derive control API URL: invalid base URL: gw"),
            (None, "", "failed to derive control API URL: invalid base URL: "),
        ] {
            // A failure's text loses the blank at its end.
            assert_eq!(
                control(flag, server).unwrap_err().to_string(),
                expected.trim_end(),
                "{flag:?} {server}"
            );
        }
        let place = Place::named("http://me:secret@gw:1").unwrap();
        assert_eq!(place.shown(), "http://gw:1");
    }
}
