use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;
use a6_protocols::{Conversion, Endpoint, Pattern, Protocol, Provider, Scheme, Shaping, Signing};
use a6_snapshot::{Account, Argument, Instance, Keepalive, Lane, ProbeAuth, Target, Way};
use a6_upstream::sigv4;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::account::{self, AwsConf, GcpConf};

/// What tells a provider: the part of a configuration that `ai-proxy` and an instance of `ai-proxy-multi` share.
#[derive(Clone, Deserialize)]
pub(crate) struct InstanceConf {
    provider: String,
    #[serde(default)]
    auth: Auth,
    #[serde(default)]
    options: Map<String, Value>,
    #[serde(default)]
    provider_conf: ProviderConf,
    #[serde(default, rename = "override")]
    overrides: Overrides,
}

impl InstanceConf {
    /// The provider's name.
    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// `override.endpoint`.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.overrides.endpoint.as_deref()
    }

    /// `options.model`.
    pub(crate) fn model(&self) -> Option<&str> {
        self.options.get("model").and_then(Value::as_str)
    }

    /// `auth.gcp`.
    pub(crate) fn gcp(&self) -> Option<&GcpConf> {
        self.auth.gcp.as_ref()
    }

    /// What health checks show of `auth`.
    ///
    /// # Errors
    /// A header of it cannot be sent; the text names it.
    pub(crate) fn probe_auth(&self) -> Result<ProbeAuth, String> {
        let mut headers = headers(&self.auth.header, &[])?;
        headers.iter_mut().for_each(|(_, value)| value.set_sensitive(true));
        let query: Vec<_> = self.auth.query.iter().map(|(name, value)| encoded(name, value)).collect();
        Ok(ProbeAuth { headers, query: query.join("&") })
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Auth {
    header: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    gcp: Option<GcpConf>,
    aws: Option<AwsConf>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct ProviderConf {
    project_id: Option<String>,
    region: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Overrides {
    endpoint: Option<String>,
    llm_options: LlmOptions,
    request_body: Map<String, Value>,
    request_body_force_override: bool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct LlmOptions {
    max_tokens: Option<u64>,
}

/// How an instance is spoken to, whatever its provider.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct TransportConf {
    timeout: u64,
    keepalive: bool,
    keepalive_timeout: u64,
    keepalive_pool: usize,
    ssl_verify: bool,
    max_stream_duration_ms: Option<u64>,
    max_response_bytes: Option<u64>,
    streaming_keepalive_ms: Option<u64>,
    a6_strict: bool,
}

impl Default for TransportConf {
    fn default() -> Self {
        Self {
            timeout: 30_000,
            keepalive: true,
            keepalive_timeout: 60_000,
            keepalive_pool: 30,
            ssl_verify: true,
            max_stream_duration_ms: None,
            max_response_bytes: None,
            streaming_keepalive_ms: None,
            a6_strict: false,
        }
    }
}

/// Compiles an instance: everything that does not depend on the request is made here, once.
pub(crate) fn compile(
    name: String,
    conf: InstanceConf,
    transport: &TransportConf,
) -> Result<Instance, String> {
    let provider = Provider::named(&conf.provider)
        .ok_or_else(|| format!("ai provider: {} is not supported.", conf.provider))?;
    check_place(provider, &conf)?;
    let region = conf.provider_conf.region.as_deref();
    let account = account::compile(
        provider,
        conf.auth.aws.as_ref(),
        conf.auth.gcp.as_ref(),
        region,
        transport.ssl_verify,
    )?;
    let written = account.as_ref().map(account::headers).unwrap_or_default();
    let endpoint = endpoint(provider, &conf)?;
    let headers = headers(&conf.auth.header, &written)?;
    let query = query(&conf.auth.query, endpoint.query.as_deref());
    let head = head(&authority(&endpoint, account.as_ref()), &headers);
    let ways = ways(provider, &conf.provider_conf, endpoint.path.as_deref(), &query, &head);
    let target = Target {
        scheme: endpoint.scheme,
        host: endpoint.host.into_boxed_str(),
        port: endpoint.port,
        verify: transport.ssl_verify,
    };
    Ok(Instance {
        name: name.into(),
        provider,
        address: target.to_string().into(),
        target: Arc::new(target),
        ways,
        head: Secret::new(head),
        query,
        head_names: headers.into_iter().map(|(name, _)| name).chain(written).collect(),
        has_credentials: !conf.auth.header.is_empty() || !conf.auth.query.is_empty() || account.is_some(),
        account,
        shaping: shaping(provider, conf.options, conf.overrides),
        is_strict: transport.a6_strict,
        timeout: Duration::from_millis(transport.timeout),
        keepalive: transport.keepalive.then_some(Keepalive {
            size: transport.keepalive_pool,
            idle: Duration::from_millis(transport.keepalive_timeout),
        }),
        max_stream_duration: transport.max_stream_duration_ms.map(Duration::from_millis),
        max_response_bytes: transport.max_response_bytes,
        // 0 is off, as it is for the original's intervals.
        streaming_keepalive: transport
            .streaming_keepalive_ms
            .filter(|every| *every > 0)
            .map(Duration::from_millis),
    })
}

/// What the provider asks of the configuration, in APISIX's words.
fn check_place(provider: &Provider, conf: &InstanceConf) -> Result<(), String> {
    let has_region = conf.provider_conf.region.is_some();
    let has_place = has_region && conf.provider_conf.project_id.is_some();
    let name = provider.name;
    match provider.signing {
        Signing::Aws(_) if !has_region => return Err(format!("{name} requires provider_conf.region")),
        Signing::Aws(_) if conf.auth.aws.is_none() => return Err(format!("{name} requires auth.aws")),
        Signing::Google if !has_place && conf.overrides.endpoint.is_none() => {
            return Err(format!(
                "{name} requires either provider_conf (project_id + region) or override.endpoint"
            ));
        }
        _ => {}
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    for (member, value) in
        [("project_id", &conf.provider_conf.project_id), ("region", &conf.provider_conf.region)]
    {
        if value.as_ref().is_some_and(|value| !value.bytes().all(is_plain)) {
            return Err(format!("provider_conf.{member}: only letters, digits and -_.: may stand in it"));
        }
    }
    Ok(())
}

/// How the instance is asked: in each protocol of its provider, in the one that every provider passes on, and for clients
/// of a further protocol through a conversion.
fn ways(
    provider: &Provider,
    conf: &ProviderConf,
    endpoint: Option<&str>,
    query: &[Argument],
    head: &[u8],
) -> Vec<Way> {
    let query = query.iter().map(|argument| &**argument.written.expose()).collect::<Vec<_>>().join("&");
    let fixed = |path: &str| {
        let target = if query.is_empty() { path.to_string() } else { format!("{path}?{query}") };
        let line = format!("POST {target} HTTP/1.1\r\n");
        let head = [line.as_bytes(), head, CONTENT_TYPE_JSON].concat();
        Lane::Fixed { path: path.into(), head: Secret::new(head) }
    };
    let lane = |pattern: &str| match endpoint {
        Some(path) => fixed(path),
        None => match Pattern::configured(pattern, conf.project_id.as_deref(), conf.region.as_deref()) {
            None => Lane::Unknown,
            Some(pattern) => match pattern.fixed() {
                Some(path) => fixed(path),
                None => Lane::Open(pattern),
            },
        },
    };
    let ways = Protocol::CLIENTS.into_iter().filter_map(|client| {
        let (target, pattern, conversion) = target(provider, client, endpoint)?;
        Some(Way { client, target, conversion, lane: lane(pattern) })
    });
    let passing = Way {
        client: Protocol::Passthrough,
        target: Protocol::Passthrough,
        conversion: None,
        lane: Lane::Passing(endpoint.map(Box::from)),
    };
    ways.chain([passing]).collect()
}

/// In which protocol, and at which path, a provider is asked for the clients of one protocol. What it speaks itself passes
/// as it is, unless the configured endpoint is the provider's path for another protocol that there is a way to.
fn target(
    provider: &Provider,
    client: Protocol,
    endpoint: Option<&str>,
) -> Option<(Protocol, &'static str, Option<Conversion>)> {
    let is_asked_at = |path: &str| endpoint.is_some_and(|endpoint| endpoint.ends_with(path));
    let mut converted = provider
        .paths
        .iter()
        .filter_map(|(target, path)| Some((*target, *path, Some(Conversion::between(client, *target)?))));
    let own = provider.paths.iter().find(|(spoken, _)| *spoken == client);
    match own {
        Some((spoken, path)) => {
            let other = converted.find(|(_, path, _)| is_asked_at(path));
            Some(other.unwrap_or((*spoken, path, None)))
        }
        None => converted.next(),
    }
}

fn endpoint(provider: &Provider, conf: &InstanceConf) -> Result<Endpoint, String> {
    if let Some(url) = &conf.overrides.endpoint {
        let endpoint = Endpoint::parse(url).map_err(|error| format!("override.endpoint: {error}"))?;
        // What is signed is sent in one way of writing only.
        let path = match provider.signing {
            Signing::Aws(_) => endpoint.path.map(|path| sigv4::wire_path(&path)),
            Signing::Configured | Signing::Google => endpoint.path,
        };
        return Ok(Endpoint { path, ..endpoint });
    }
    let region = conf.provider_conf.region.as_deref();
    let host = provider.host.and_then(|host| Pattern::configured(host, None, region));
    let Some(host) = host.as_ref().and_then(Pattern::fixed) else {
        let name = provider.name;
        return Err(format!("provider {name} has no host of its own; set override.endpoint to its URL"));
    };
    // A region is part of a name, and must not become more than that.
    let url = format!("{}://{host}", Scheme::Https.as_str());
    let endpoint = Endpoint::parse(&url).ok().filter(|endpoint| endpoint.host == host.to_ascii_lowercase());
    endpoint.ok_or_else(|| format!("provider_conf.region: {host} is not a host name"))
}

/// The `Host` that is sent. A signed one has no port, whatever the port is: so APISIX signs it.
fn authority(endpoint: &Endpoint, account: Option<&Account>) -> String {
    match account {
        Some(Account::Aws(_)) => {
            Endpoint { port: endpoint.scheme.default_port(), ..endpoint.clone() }.authority()
        }
        _ => endpoint.authority(),
    }
}

/// The headers of `auth.header`, but for those that the gateway itself writes.
///
/// # Errors
/// One cannot be sent; the text begins with its place, such as `auth.header.x-key`, and has nothing of its value.
pub(crate) fn headers(
    auth: &BTreeMap<String, String>,
    written: &[HeaderName],
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut headers = Vec::new();
    for (name, value) in auth {
        let header: HeaderName =
            name.parse().map_err(|_| format!("auth.header.{name}: this is not a header name"))?;
        if [HOST, CONTENT_LENGTH, CONTENT_TYPE, ACCEPT_ENCODING].contains(&header)
            || written.contains(&header)
        {
            continue;
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("auth.header.{name}: the value has a character that no header may have"))?;
        headers.push((header, value));
    }
    Ok(headers)
}

/// What stays as it is in a query (RFC 3986 §2.3).
const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encoded(name: &str, value: &str) -> String {
    format!("{}={}", utf8_percent_encode(name, SAFE), utf8_percent_encode(value, SAFE))
}

/// `auth.query`, then the endpoint's own query, whose members win; all encoded alike, however they are written.
pub(crate) fn query(auth: &BTreeMap<String, String>, endpoint: Option<&str>) -> Vec<Argument> {
    let pieces = endpoint.unwrap_or_default().split('&').filter(|piece| !piece.is_empty());
    let own: Vec<_> = pieces
        .filter_map(|piece| {
            let (name, value) = form_urlencoded::parse(piece.as_bytes()).next()?;
            Some((name, piece.contains('=').then_some(value)))
        })
        .collect();
    let argument = |name: &str, written: &str| Argument {
        name: name.into(),
        written: Secret::new(written.into()),
        is_auth: auth.contains_key(name),
    };
    let of_auth = auth.iter().filter(|(name, _)| !own.iter().any(|(known, _)| known == *name));
    let of_auth = of_auth.map(|(name, value)| argument(name, &encoded(name, value)));
    let of_endpoint = own.iter().map(|(name, value)| match value {
        Some(value) => argument(name, &encoded(name, value)),
        None => argument(name, &utf8_percent_encode(name, SAFE).to_string()),
    });
    of_auth.chain(of_endpoint).collect()
}

const CONTENT_TYPE_JSON: &[u8] = b"content-type: application/json\r\n";

/// `host` and these headers, a line each.
pub(crate) fn head(authority: &str, headers: &[(HeaderName, HeaderValue)]) -> Vec<u8> {
    let mut head = format!("host: {authority}\r\n").into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head
}

fn shaping(provider: &Provider, options: Map<String, Value>, overrides: Overrides) -> Shaping {
    let patches = overrides.request_body.into_iter();
    Shaping {
        options: options.into_iter().map(|(key, value)| (key, value.to_string().into_bytes())).collect(),
        max_tokens: overrides.llm_options.max_tokens.map(|limit| (limit, provider.max_tokens)),
        patches: patches
            // An empty array is Lua's empty object.
            .filter(|(_, patch)| patch.is_object())
            .filter_map(|(name, patch)| Protocol::named(&name).map(|protocol| (protocol, patch)))
            .collect(),
        force: overrides.request_body_force_override,
        drops_model: provider.drops_model,
    }
}
