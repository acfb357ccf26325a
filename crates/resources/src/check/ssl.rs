//! A certificate and its key, and more pairs of them. Whether the two belong together is not checked, as in APISIX.

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
    match value.pointer("/client/ca").and_then(Value::as_str) {
        Some(ca) => pem::certificate(ca).map_err(|why| format!("failed to validate client_cert: {why}")),
        None => Ok(()),
    }
}

fn pair(cert: Option<&Value>, key: Option<&Value>) -> Result<(), String> {
    cert.and_then(Value::as_str).map_or(Ok(()), pem::certificate)?;
    key.and_then(Value::as_str).map_or(Ok(()), pem::private_key)
}

/// An empty object is an empty list too.
fn items<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
