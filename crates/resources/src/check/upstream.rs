//! What an upstream's schema cannot say.

use std::net::Ipv6Addr;

use serde_json::Value;

use super::{References, pem};
use crate::{Kind, id_text, schema};

/// Checks an upstream that conforms to its schema, on its own or within a route or service.
pub(super) fn check(upstream: &Value, references: &dyn References) -> Result<(), String> {
    nodes(upstream.get("nodes"))?;
    if let Some(id) = upstream.pointer("/tls/client_cert_id").and_then(id_text) {
        client_certificate(&id, references)?;
    }
    let rewrites = upstream.get("pass_host").and_then(Value::as_str) == Some("rewrite");
    if rewrites && upstream.get("upstream_host").is_none() {
        return Err("`upstream_host` can't be empty when `pass_host` is `rewrite`".to_owned());
    }
    let tls = |member: &str| upstream.get("tls").and_then(|tls| tls.get(member)).and_then(Value::as_str);
    tls("client_cert").map_or(Ok(()), pem::certificate)?;
    tls("client_key").map_or(Ok(()), pem::private_key)?;
    hash_key(upstream)
}

/// A stored certificate that the gateway shows must be one for clients.
fn client_certificate(id: &str, references: &dyn References) -> Result<(), String> {
    let failed = |why: &str| Err(format!("failed to fetch ssl info by ssl id [{id}], {why}"));
    if !references.exists(Kind::Ssl, id) {
        return failed("response code: 404");
    }
    let is_server = |value: &Value| value.get("type").and_then(Value::as_str) != Some("client");
    match references.entries(Kind::Ssl).find(|entry| entry.id == id) {
        Some(entry) if is_server(&entry.value) => failed("wrong ssl type"),
        _ => Ok(()),
    }
}

fn nodes(nodes: Option<&Value>) -> Result<(), String> {
    for node in nodes.and_then(Value::as_array).into_iter().flatten() {
        let host = node.get("host").and_then(Value::as_str).unwrap_or_default();
        if host.parse::<Ipv6Addr>().is_ok() {
            return Err("invalid configuration: IPv6 address must be enclosed with '[' and ']'".to_owned());
        }
    }
    for address in nodes.and_then(Value::as_object).into_iter().flat_map(|nodes| nodes.keys()) {
        if let Some(port) = port(address)
            && !(1..=65535).contains(&port)
        {
            return Err(format!("invalid port {port}"));
        }
    }
    Ok(())
}

/// The port of `host:port` or `[address]:port`; none if there is none or it is no number.
fn port(address: &str) -> Option<i64> {
    let after_host = match address.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').map(|(_, rest)| rest)?.strip_prefix(':')?,
        None => address.split_once(':').map(|(_, port)| port)?,
    };
    after_host.parse().ok()
}

/// `chash` hashes something of the request, which `key` names.
fn hash_key(upstream: &Value) -> Result<(), String> {
    if upstream.get("type").and_then(Value::as_str) != Some("chash") {
        return Ok(());
    }
    let hash_on = upstream.get("hash_on").and_then(Value::as_str).unwrap_or("vars");
    if hash_on == "consumer" {
        return Ok(());
    }
    let key = upstream.get("key").ok_or_else(|| "missing key".to_owned())?;
    match schema::of_hash_key(hash_on) {
        Some(schema) => schema.check(key).map_err(|why| format!("invalid configuration: {why}")),
        None => Ok(()),
    }
}
