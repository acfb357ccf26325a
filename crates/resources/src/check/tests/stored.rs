//! What is stored for others to use: certificates, secret managers.

use super::*;

#[test]
fn certificates() {
    let (cert, key) = certificate();
    let ssl = |more: Value| {
        let mut value = json!({"cert": cert, "key": key, "sni": "a.test"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    let no_cert = "failed to parse cert: PEM_read_bio_X509_AUX() failed";
    let no_key = "failed to parse key: PEM_read_bio_PrivateKey() failed";
    let begun = format!("-----BEGIN CERTIFICATE-----\n{}", "A".repeat(200));
    let hollow = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "A".repeat(100));
    let two = format!("{cert}{cert}");
    let other = "the key does not belong to the certificate; give the one that it was made with";
    let (_, other_key) = certificate();
    let regex = |text: &str| ssl(json!({"client": {"ca": cert, "skip_mtls_uri_regex": ["^/ok$", text]}}));
    let cases = [
        (ssl(json!({})), String::new()),
        (ssl(json!({"cert": two})), String::new()),
        (ssl(json!({"cert": "$env://CERT", "key": "$secret://vault/1/a/key"})), String::new()),
        (ssl(json!({"cert": begun})), no_cert.to_owned()),
        (ssl(json!({"cert": key})), no_cert.to_owned()),
        (ssl(json!({"key": hollow})), no_key.to_owned()),
        (ssl(json!({"certs": [cert], "keys": []})), "mismatched number of certs and keys".to_owned()),
        (ssl(json!({"certs": [cert], "keys": [key]})), String::new()),
        (
            ssl(json!({"certs": [cert, cert], "keys": [key, hollow]})),
            format!("failed to handle cert-key pair[2]: {no_key}"),
        ),
        (ssl(json!({"key": other_key})), other.to_owned()),
        (ssl(json!({"cert": "$env://CERT", "key": other_key})), String::new()),
        (
            ssl(json!({"certs": [cert], "keys": [other_key]})),
            format!("failed to handle cert-key pair[1]: {other}"),
        ),
        (ssl(json!({"ssl_protocols": ["TLSv1.1", "TLSv1.2"]})), String::new()),
        (
            ssl(json!({"ssl_protocols": ["TLSv1.1"]})),
            "ssl_protocols: a6 does not speak TLSv1.1, which is broken; add TLSv1.2 or TLSv1.3".to_owned(),
        ),
        (regex("^/health"), String::new()),
        (ssl(json!({"client": {"ca": cert}})), String::new()),
        (ssl(json!({"client": {"ca": "$secret://vault/1/a/ca"}})), String::new()),
        (
            ssl(json!({"client": {"ca": format!("{cert}{begun}")}})),
            format!("failed to validate client_cert: {no_cert}"),
        ),
        (ssl(json!({"client": {"ca": begun}})), format!("failed to validate client_cert: {no_cert}")),
        (json!({"type": "client", "cert": cert, "key": key, "certs": [cert]}), String::new()),
        (json!({"type": "client", "cert": cert, "key": hollow}), no_key.to_owned()),
    ];
    for (value, expected) in cases {
        assert_eq!(outcome(Kind::Ssl, &value), expected, "{value}");
    }
    let refused = outcome(Kind::Ssl, &regex("("));
    assert!(refused.starts_with("invalid skip_mtls_uri_regex \"(\": "), "{refused}");
}

#[test]
fn an_upstream_shows_a_certificate_for_clients() {
    let upstream = json!({"nodes": [], "tls": {"client_cert_id": 1}});
    let stored = |usage: &str| vec![entry(Kind::Ssl, "1", json!({"type": usage}))];
    let wrong = "failed to fetch ssl info by ssl id [1], wrong ssl type";
    for (entries, expected) in [
        (stored("client"), ""),
        (stored("server"), wrong),
        (vec![entry(Kind::Ssl, "1", json!({}))], wrong),
        // Where references are not checked, everything exists and nothing is known.
        (Vec::new(), ""),
    ] {
        assert_eq!(outcome_at(Kind::Upstream, Some("u"), &upstream, entries), expected);
    }
}

#[test]
fn secret_managers() {
    let vault =
        json!({"uri": "https://vault.test:8200", "prefix": "kv/a6", "token": "$env://VAULT_TOKEN", "own": 1});
    let no_uri = "invalid configuration: property \"uri\" validation failed: failed to match pattern \
        \"^[^\\\\/]+:\\\\/\\\\/([\\\\da-zA-Z.-]+|\\\\[[\\\\da-fA-F:]+\\\\])(:\\\\d+)?\" with \"x\"";
    let no_id =
        "invalid configuration: property \"id\" validation failed: object matches none of the required";
    let cases = [
        (Some("vault/1"), vault.clone(), ""),
        (Some("vault/a b"), vault.clone(), no_id),
        (Some("vault/"), vault.clone(), no_id),
        (Some("vault"), vault.clone(), "missing secret id"),
        (None, vault.clone(), "missing secret id"),
        (Some("nope/1"), vault, "invalid secret manager: nope"),
        (Some("vault/1"), json!({"uri": "x"}), no_uri),
        (Some("vault/1"), json!(7), "invalid configuration: wrong type: expected object, got number"),
        (Some("aws/1"), json!({"access_key_id": "a", "secret_access_key": "b"}), ""),
        (Some("gcp/1"), json!({"auth_file": "/etc/gcp.json"}), ""),
    ];
    for (id, value, expected) in cases {
        assert_eq!(outcome_at(Kind::Secret, id, &value, Vec::new()), expected, "{id:?} {value}");
    }
}
