use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;
use a6_protocols::{Endpoint, Protocol, Provider, Scheme, Shaping};
use a6_snapshot::{Instance, Keepalive, Target};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What tells a provider: the part of a configuration that `ai-proxy` and an instance of `ai-proxy-multi` share.
#[derive(Deserialize)]
pub(crate) struct InstanceConf {
    provider: String,
    #[serde(default)]
    auth: Auth,
    #[serde(default)]
    options: Map<String, Value>,
    #[serde(default, rename = "override")]
    overrides: Overrides,
}

impl InstanceConf {
    /// The provider's name.
    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    header: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Overrides {
    endpoint: Option<String>,
    llm_options: LlmOptions,
    request_body: Map<String, Value>,
    request_body_force_override: bool,
}

#[derive(Default, Deserialize)]
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
    let endpoint = endpoint(provider, conf.overrides.endpoint.as_deref())?;
    let headers = headers(&conf.auth)?;
    let query = query(&conf.auth.query, endpoint.query.as_deref());
    let heads = provider
        .paths
        .iter()
        .map(|(protocol, path)| {
            let target = with_query(endpoint.path.as_deref().unwrap_or(path), &query);
            (*protocol, Secret::new(head(&target, &endpoint.authority(), &headers)))
        })
        .collect();
    let paths = provider
        .paths
        .iter()
        .map(|(protocol, path)| (*protocol, Arc::from(endpoint.path.as_deref().unwrap_or(path))));
    let paths = paths.collect();
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
        heads,
        paths,
        head_names: headers.into_iter().map(|(name, _)| name).collect(),
        has_credentials: !conf.auth.header.is_empty() || !conf.auth.query.is_empty(),
        shaping: shaping(provider, conf.options, conf.overrides),
        timeout: Duration::from_millis(transport.timeout),
        keepalive: transport.keepalive.then_some(Keepalive {
            size: transport.keepalive_pool,
            idle: Duration::from_millis(transport.keepalive_timeout),
        }),
        max_stream_duration: transport.max_stream_duration_ms.map(Duration::from_millis),
        max_response_bytes: transport.max_response_bytes,
    })
}

fn endpoint(provider: &Provider, configured: Option<&str>) -> Result<Endpoint, String> {
    match (configured, provider.host) {
        (Some(url), _) => Endpoint::parse(url).map_err(|error| error.to_string()),
        (None, Some(host)) => Ok(Endpoint {
            scheme: Scheme::Https,
            host: host.to_string(),
            port: Scheme::Https.default_port(),
            path: None,
            query: None,
        }),
        (None, None) => Err(format!(
            "provider {} has no host of its own; set override.endpoint to its URL",
            provider.name
        )),
    }
}

/// The headers of `auth`, but for those that the gateway itself writes.
fn headers(auth: &Auth) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut headers = Vec::new();
    for (name, value) in &auth.header {
        let header: HeaderName =
            name.parse().map_err(|_| format!("auth.header.{name}: this is not a header name"))?;
        if [HOST, CONTENT_LENGTH, CONTENT_TYPE, ACCEPT_ENCODING].contains(&header) {
            continue;
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("auth.header.{name}: the value has a character that no header may have"))?;
        headers.push((header, value));
    }
    Ok(headers)
}

/// `auth.query`, then the endpoint's own query, whose members win and stay as they are written.
fn query(auth: &BTreeMap<String, String>, endpoint: Option<&str>) -> String {
    let own = endpoint.unwrap_or_default();
    let is_own = |name: &str| form_urlencoded::parse(own.as_bytes()).any(|(key, _)| key == name);
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, value) in auth.iter().filter(|(name, _)| !is_own(name)) {
        encoded.append_pair(name, value);
    }
    let encoded = encoded.finish();
    match (encoded.is_empty(), own.is_empty()) {
        (true, _) => own.to_string(),
        (false, true) => encoded,
        (false, false) => format!("{encoded}&{own}"),
    }
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_string() } else { format!("{path}?{query}") }
}

fn head(target: &str, authority: &str, headers: &[(HeaderName, HeaderValue)]) -> Vec<u8> {
    let mut head =
        format!("POST {target} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n")
            .into_bytes();
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
