//! A certificate and its key, and more pairs of them.

use regex::Regex;
use serde_json::Value;

use super::pem;

/// Checks an ssl that conforms to its schema.
pub(super) fn check(value: &Value) -> Result<(), String> {
    pair(value.get("cert"), value.get("key"))?;
    if value.get("type").and_then(Value::as_str) == Some("client") {
        return Ok(());
    }
    let (certs, keys) = (items(value, "certs"), items(value, "keys"));
    if certs.len() != keys.len() {
        return Err("mismatched number of certs and keys".to_owned());
    }
    for (number, (cert, key)) in (1..).zip(certs.iter().zip(keys)) {
        pair(Some(cert), Some(key))
            .map_err(|why| format!("failed to handle cert-key pair[{number}]: {why}"))?;
    }
    if let Some(ca) = value.pointer("/client/ca").and_then(Value::as_str) {
        pem::authorities(ca).map_err(|why| format!("failed to validate client_cert: {why}"))?;
    }
    for pattern in items(value.get("client").unwrap_or(&Value::Null), "skip_mtls_uri_regex") {
        // A path that is meant to need a certificate must not pass for one that does not.
        let text = pattern.as_str().unwrap_or_default();
        Regex::new(text).map_err(|why| format!("invalid skip_mtls_uri_regex \"{text}\": {why}"))?;
    }
    let protocols = items(value, "ssl_protocols");
    if !protocols.is_empty() && protocols.iter().all(|protocol| protocol == "TLSv1.1") {
        return Err(
            "ssl_protocols: a6 does not speak TLSv1.1, which is broken; add TLSv1.2 or TLSv1.3".to_owned()
        );
    }
    Ok(())
}

fn pair(cert: Option<&Value>, key: Option<&Value>) -> Result<(), String> {
    let (cert, key) = (cert.and_then(Value::as_str), key.and_then(Value::as_str));
    cert.map_or(Ok(()), pem::certificate)?;
    key.map_or(Ok(()), pem::private_key)?;
    match (cert, key) {
        (Some(cert), Some(key)) => pem::pair(cert, key),
        _ => Ok(()),
    }
}

/// An empty object is an empty list too.
fn items<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
