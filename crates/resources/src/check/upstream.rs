//! What an upstream's schema cannot say.

use std::net::Ipv6Addr;

use serde_json::Value;

use crate::{id_text, schema};

/// Checks an upstream that conforms to its schema, on its own or within a route or service.
pub(super) fn check(upstream: &Value) -> Result<(), String> {
    nodes(upstream.get("nodes"))?;
    if let Some(id) = upstream.pointer("/tls/client_cert_id").and_then(id_text) {
        // No kind holds certificates yet, so that none can exist.
        return Err(format!("failed to fetch ssl info by ssl id [{id}], response code: 404"));
    }
    let rewrites = upstream.get("pass_host").and_then(Value::as_str) == Some("rewrite");
    if rewrites && upstream.get("upstream_host").is_none() {
        return Err("`upstream_host` can't be empty when `pass_host` is `rewrite`".to_owned());
    }
    pem(upstream, "client_cert", "CERTIFICATE", "failed to parse cert: PEM_read_bio_X509_AUX() failed")?;
    pem(upstream, "client_key", "PRIVATE KEY", "failed to parse key: PEM_read_bio_PrivateKey() failed")?;
    hash_key(upstream)
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

/// Checks that a member of `tls` is a PEM block with such a label. A secret reference is resolved later.
fn pem(upstream: &Value, member: &str, label: &str, violation: &str) -> Result<(), String> {
    let text = upstream.get("tls").and_then(|tls| tls.get(member)).and_then(Value::as_str);
    match text {
        Some(text) if !schema::is_reference(text) && !is_pem(text, label) => Err(violation.to_owned()),
        _ => Ok(()),
    }
}

fn is_pem(text: &str, label: &str) -> bool {
    text.split("-----BEGIN ").skip(1).any(|block| {
        let Some((begin, rest)) = block.split_once("-----") else { return false };
        let Some((body, end)) = rest.split_once("-----END ") else { return false };
        let base64: String = body.split_whitespace().collect();
        // Every certificate and key is an ASN.1 sequence, whose base64 begins with M.
        begin.ends_with(label)
            && end.starts_with(begin)
            && base64.starts_with('M')
            && base64.chars().all(|character| character.is_ascii_alphanumeric() || "+/=".contains(character))
    })
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
