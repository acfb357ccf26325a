use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::Value;

/// The `checks` of an upstream or of an AI instance. Its members and defaults are APISIX's; what is left out of `healthy`
/// or `unhealthy` as a whole has the same defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Checks {
    /// What the gateway asks by itself.
    pub active: Active,
    /// What the answers to clients' requests tell; none if they are not looked at.
    pub passive: Option<Passive>,
}

/// How a node is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// What is spoken.
    pub kind: ProbeKind,
    /// For one probe as a whole.
    pub timeout: Duration,
    /// How many nodes of one owner are asked at once, at most.
    pub concurrency: usize,
    /// The name to ask for, instead of the node's.
    pub host: Option<Box<str>>,
    /// The port to ask at, instead of the node's.
    pub port: Option<u16>,
    /// The request's method.
    pub method: Method,
    /// The request's path and query.
    pub path: Box<str>,
    /// The request's body.
    pub body: Box<str>,
    /// Whether a certificate that does not hold counts as a failure.
    pub verify: bool,
    /// Further headers of the request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Time between two probes of a healthy node.
    pub healthy_interval: Duration,
    /// Time between two probes of an unhealthy node.
    pub unhealthy_interval: Duration,
    /// Which results count, and how many change the verdict.
    pub limits: Limits,
}

/// What clients' requests may change.
#[derive(Clone, Debug, PartialEq)]
pub struct Passive {
    /// Which results count, and how many change the verdict; 0 never does.
    pub limits: Limits,
}

/// Which results count, and how many of one kind in a row change the verdict; 0 is never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    healthy_statuses: Box<[u16]>,
    unhealthy_statuses: Box<[u16]>,
    /// Successes until an unhealthy node is healthy.
    pub successes: u32,
    /// Answers with a bad status until a healthy node is not.
    pub http_failures: u32,
    /// Failed connections until a healthy node is not.
    pub tcp_failures: u32,
    /// Timeouts until a healthy node is not.
    pub timeouts: u32,
}

impl ProbeKind {
    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

/// What is spoken with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// A request in the clear.
    Http,
    /// A request over TLS.
    Https,
    /// A connection, nothing more.
    Tcp,
}

/// What one probe or one request has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All is well.
    Success,
    /// An answer with a bad status.
    HttpFailure,
    /// No connection, or one that broke.
    TcpFailure,
    /// Nothing in time.
    Timeout,
}

impl Limits {
    /// What a status tells; nothing if it stands in neither list.
    pub fn finding(&self, status: u16) -> Option<Finding> {
        if self.healthy_statuses.contains(&status) {
            Some(Finding::Success)
        } else if self.unhealthy_statuses.contains(&status) {
            Some(Finding::HttpFailure)
        } else {
            None
        }
    }
}

impl Checks {
    /// Takes a `checks` object that has passed its schema.
    ///
    /// # Errors
    /// A member that the schema cannot judge, such as a header without a colon; the text names it.
    pub fn parse(document: &Value) -> Result<Self, String> {
        let written = Written::deserialize(document).map_err(|error| format!("checks: {error}"))?;
        let passive = written.passive.map(|passive| {
            let (healthy, unhealthy) = (passive.healthy, passive.unhealthy);
            let sound = || (200..=208).chain([226]).chain(300..=308).collect();
            Passive {
                limits: Limits {
                    healthy_statuses: healthy.http_statuses.unwrap_or_else(sound),
                    unhealthy_statuses: unhealthy.http_statuses.unwrap_or_else(|| [429, 500, 503].into()),
                    successes: healthy.successes.unwrap_or(5),
                    http_failures: unhealthy.http_failures.unwrap_or(5),
                    tcp_failures: unhealthy.tcp_failures.unwrap_or(2),
                    timeouts: unhealthy.timeouts.unwrap_or(7),
                },
            }
        });
        Ok(Self { active: written.active.resolve()?, passive })
    }
}

#[derive(Deserialize)]
struct Written {
    active: WrittenActive,
    passive: Option<WrittenPassive>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenActive {
    #[serde(rename = "type")]
    kind: Option<ProbeKind>,
    timeout: Option<f64>,
    concurrency: Option<i64>,
    host: Option<Box<str>>,
    port: Option<u16>,
    http_method: Option<String>,
    http_path: Option<Box<str>>,
    http_req_body: Option<Box<str>>,
    https_verify_certificate: Option<bool>,
    req_headers: Vec<String>,
    healthy: Side,
    unhealthy: Side,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenPassive {
    healthy: Side,
    unhealthy: Side,
}

/// `healthy` or `unhealthy`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Side {
    interval: Option<u64>,
    http_statuses: Option<Box<[u16]>>,
    successes: Option<u32>,
    http_failures: Option<u32>,
    tcp_failures: Option<u32>,
    timeouts: Option<u32>,
}

impl WrittenActive {
    fn resolve(self) -> Result<Active, String> {
        let (healthy, unhealthy) = (self.healthy, self.unhealthy);
        let bad = || [429, 404, 500, 501, 502, 503, 504, 505].into();
        let method = self.http_method.as_deref().unwrap_or("GET");
        let path = self.http_path.unwrap_or_else(|| "/".into());
        if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(format!(
                "checks.active.http_path: {path:?} is no path; it begins with / and has no spaces"
            ));
        }
        Ok(Active {
            kind: self.kind.unwrap_or(ProbeKind::Http),
            timeout: timeout(self.timeout.unwrap_or(1.0)),
            concurrency: usize::try_from(self.concurrency.unwrap_or(10)).unwrap_or(1).max(1),
            host: self.host,
            port: self.port,
            method: method
                .parse()
                .map_err(|_| format!("checks.active.http_method: {method:?} is no method"))?,
            path,
            body: self.http_req_body.unwrap_or_default(),
            verify: self.https_verify_certificate.unwrap_or(true),
            headers: self.req_headers.iter().map(|line| header(line)).collect::<Result<_, _>>()?,
            healthy_interval: Duration::from_secs(healthy.interval.unwrap_or(1)),
            unhealthy_interval: Duration::from_secs(unhealthy.interval.unwrap_or(1)),
            limits: Limits {
                healthy_statuses: healthy.http_statuses.unwrap_or_else(|| [200, 302].into()),
                unhealthy_statuses: unhealthy.http_statuses.unwrap_or_else(bad),
                successes: healthy.successes.unwrap_or(2),
                http_failures: unhealthy.http_failures.unwrap_or(5),
                tcp_failures: unhealthy.tcp_failures.unwrap_or(2),
                timeouts: unhealthy.timeouts.unwrap_or(3),
            },
        })
    }
}

/// Neither nothing nor longer than a clock can tell.
fn timeout(seconds: f64) -> Duration {
    let longest = Duration::from_secs(3600);
    let limit = Duration::try_from_secs_f64(seconds).unwrap_or(longest);
    limit.clamp(Duration::from_millis(1), longest)
}

/// `Name: value`.
fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = line.split_once(':').and_then(|(name, value)| {
        let name: HeaderName = name.trim().parse().ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    });
    // The line may hold a credential, so it is not repeated.
    parsed.ok_or_else(|| "checks.active.req_headers: expected lines such as \"Name: value\"".to_string())
}
