use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use a6_core::{Clock, Secret};
use a6_resources::Kind;
use a6_snapshot::AwsAccount;
use a6_upstream::{Resolver, TlsRoots, sigv4};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::{Got, RSA_KEY, stand_in};
use crate::{Keeper, Secrets};

/// 2026-01-02 03:04:05 UTC.
const NOW: u64 = 1_767_323_045_000;

/// What each reference resolves to, or why it does not, once its manager has been asked.
async fn resolved(manager: &str, conf: Value, references: &[&str]) -> Vec<Result<String, String>> {
    let environment = |name: &str| (name == "TOKEN").then(|| "t-env".to_string());
    let secrets = Arc::new(Secrets::with_environment(Clock::manual(NOW), Arc::new(environment)));
    let document = json!({"plugins": {"a": references}});
    secrets.set_manager(manager, Some(Arc::new(conf)));
    secrets.want("routes/1", Kind::Route, Some(&document));
    let resolver = Arc::new(Resolver::new([]));
    let keeper = Keeper::new(secrets.clone(), resolver, Arc::new(TlsRoots::new(None)));
    let settled = async {
        let is_open = |reason: &str| reason.contains("has not answered yet");
        while secrets.resolve(Kind::Route, &document).missing.iter().any(|missing| is_open(&missing.reason)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = keeper.run() => {}
        () = settled => {}
    }
    let found = secrets.resolve(Kind::Route, &document);
    let values = found.value["plugins"]["a"].as_array().unwrap().iter();
    let results = values.zip(references).map(|(value, reference)| {
        match found.missing.iter().find(|missing| missing.reference == *reference) {
            Some(missing) => Err(missing.reason.clone()),
            None => Ok(value.as_str().unwrap().to_string()),
        }
    });
    results.collect()
}

fn ok(text: &str) -> Result<String, String> {
    Ok(text.to_string())
}

fn vault(got: &Got) -> (u16, String) {
    if got.header("x-vault-token") != "t-env" || got.header("x-vault-request") != "true" {
        return (403, json!({"errors": ["permission denied"]}).to_string());
    }
    let answer = match (got.line.as_str(), got.header("x-vault-namespace")) {
        ("GET /v1/kv/a6/main/openai", "") => json!({"data": {"key": "sk-1", "n": 7}}),
        // With the word and without it, as people write the prefix.
        ("GET /v1/secret/data/main" | "GET /v1/team/data/a6/main", "team") => {
            json!({"data": {"data": {"key": "sk-2"}, "metadata": {"version": 2}}})
        }
        _ => return (404, json!({"errors": []}).to_string()),
    };
    (200, answer.to_string())
}

#[tokio::test]
async fn vault_is_asked_with_its_token() {
    let host = stand_in(vault);
    let conf = json!({"uri": format!("http://{host}/"), "prefix": "/kv/a6/", "token": "$env://TOKEN"});
    let references = [
        "$secret://vault/1/main/openai/key",
        "$secret://vault/1/main/openai/n",
        "$secret://vault/1/main/openai/none",
        "$secret://vault/1/other/key",
        "$secret://vault/2/main/key",
    ];
    let expected = [
        ok("sk-1"),
        ok("7"),
        Err("secrets/vault/1: main/openai: it has no member none".to_string()),
        Err(format!("secrets/vault/1: other: {host} has no secret at /v1/kv/a6/other")),
        Err("secrets/vault/2 does not exist; PUT /apisix/admin/secrets/vault/2 says how it is reached"
            .to_string()),
    ];
    assert_eq!(resolved("vault/1", conf, &references).await, expected);
    for prefix in ["secret/data", "secret", "team/a6"] {
        let conf = json!({"uri": format!("http://{host}"), "prefix": prefix, "token": "$env://TOKEN",
            "namespace": "team"});
        assert_eq!(
            resolved("vault/1", conf, &["$secret://vault/1/main/key"]).await,
            [ok("sk-2")],
            "{prefix}"
        );
    }
}

#[tokio::test]
async fn failures_name_manager_host_and_cause_and_no_token() {
    let host = stand_in(vault);
    let garbage = stand_in(|_| (200, "<html>".to_string()));
    let elsewhere = stand_in(|_| (307, String::new()));
    // Nobody listens where somebody has just stopped to.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let conf =
        |host: &str, token: &str| json!({"uri": format!("http://{host}"), "prefix": "kv", "token": token});
    let cases = [
        (conf(&host, "hvs.wrong"), format!("{host} answered 403 Forbidden: permission denied")),
        (conf(&garbage, "hvs.wrong"), format!("{garbage} answered something that is no secret")),
        (conf(&elsewhere, "hvs.wrong"), format!("{elsewhere} answered 307")),
        (conf(&closed, "hvs.wrong"), format!("could not connect to {closed}")),
        (conf(&host, "hvs.wrong\n"), "the header x-vault-token would have a control character".to_string()),
        (conf(&host, "$env://NONE"), "$env://NONE: the environment has no variable NONE".to_string()),
        (conf("", "hvs.wrong"), "uri: ".to_string()),
    ];
    for (conf, expected) in cases {
        let result = resolved("vault/1", conf, &["$secret://vault/1/main/key"]).await;
        let error = result[0].clone().unwrap_err();
        let is_right = error.starts_with("secrets/vault/1: main: ") && error.contains(&expected);
        assert!(is_right && !error.contains("hvs"), "{error}");
    }
}

/// Answers as AWS does, and only to those whose signature is right.
fn aws(got: &Got) -> (u16, String) {
    let account = AwsAccount {
        access_key_id: "AKIA1".into(),
        secret_access_key: Secret::new("s-1".into()),
        session_token: Some(Secret::new("session".into())),
        region: "eu-west-1".into(),
        service: "secretsmanager".into(),
    };
    let (host, target) = (got.header("host"), got.header("x-amz-target"));
    let mut expected =
        format!("{} HTTP/1.1\r\nhost: {host}\r\nx-amz-target: {target}\r\n", got.line).into_bytes();
    let body: String =
        digest(&SHA256, got.body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    sigv4::sign(&account, &mut expected, &body, NOW / 1000);
    let expected = String::from_utf8(expected).unwrap();
    let authorization = got.header("authorization");
    assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target,"));
    let is_signed = expected.ends_with(&format!("authorization: {authorization}\r\n"));
    if !is_signed || got.line != "POST /" || got.header("x-amz-date") != "20260102T030405Z" {
        return (400, json!({"__type": "InvalidSignatureException", "message": "s-1"}).to_string());
    }
    assert_eq!(got.header("x-amz-target"), "secretsmanager.GetSecretValue");
    assert_eq!(got.header("x-amz-security-token"), "session");
    match serde_json::from_str::<Value>(&got.body).unwrap()["SecretId"].as_str().unwrap() {
        "prod/db" => (200, json!({"SecretString": "{\"password\":\"p-1\"}"}).to_string()),
        "whole" => (200, json!({"SecretString": "w-1"}).to_string()),
        "bytes" => (200, json!({"SecretBinary": "AAAA"}).to_string()),
        _ => (400, json!({"__type": "ResourceNotFoundException"}).to_string()),
    }
}

#[tokio::test]
async fn aws_is_asked_with_a_signature() {
    let host = stand_in(aws);
    let conf = |secret: &str| {
        json!({"access_key_id": "AKIA1", "secret_access_key": secret, "session_token": "session",
            "region": "eu-west-1", "endpoint_url": format!("http://{host}")})
    };
    let references = [
        "$secret://aws/1/prod/db/password",
        "$secret://aws/1/whole",
        "$secret://aws/1/whole/key",
        "$secret://aws/1/bytes",
        "$secret://aws/1/none",
    ];
    let expected = [
        ok("p-1"),
        ok("w-1"),
        Err("secrets/aws/1: whole: it is no JSON object, so it has no member key".to_string()),
        Err(format!(
            "secrets/aws/1: bytes: {host} answered without a SecretString; a secret of bytes (SecretBinary) cannot be used"
        )),
        Err(format!("secrets/aws/1: none: {host} answered 400 Bad Request: ResourceNotFoundException")),
    ];
    assert_eq!(resolved("aws/1", conf("s-1"), &references).await, expected);
    let refused = resolved("aws/1", conf("s-other"), &["$secret://aws/1/whole"]).await;
    let error = format!("secrets/aws/1: whole: {host} answered 400 Bad Request: InvalidSignatureException");
    assert_eq!(refused[0].as_ref().unwrap_err(), &error);
}

/// Whether an assertion is signed by the key that belongs to the account, and says what Google wants to know.
fn is_valid(assertion: &str, audience: &str) -> bool {
    let der = PrivatePkcs8KeyDer::from_pem_slice(RSA_KEY.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let part =
        |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let (now, signature) = (NOW / 1000, URL_SAFE_NO_PAD.decode(signature).unwrap());
    let expected =
        json!({"iss": "a6@p.test", "aud": audience, "scope": "x y", "iat": now, "exp": now + 3600});
    part(header) == json!({"alg": "RS256", "typ": "JWT"})
        && part(claims) == expected
        && UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public())
            .verify(signed.as_bytes(), &signature)
            .is_ok()
}

#[tokio::test]
async fn google_is_asked_with_a_token_for_a_signed_assertion() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let counted = tokens.clone();
    let host = stand_in(move |got| {
        let audience = format!("http://{}/token", got.header("host"));
        let start = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        let answer = match got.line.as_str() {
            "POST /token" if got.header("content-type") != "application/x-www-form-urlencoded" => {
                return (415, "{}".into());
            }
            "POST /token" if !is_valid(got.body.strip_prefix(start).unwrap(), &audience) => {
                return (400, json!({"error": "invalid_grant"}).to_string());
            }
            "POST /token" => {
                counted.fetch_add(1, Ordering::Relaxed);
                json!({"access_token": "ya29.t", "expires_in": 3599})
            }
            _ if got.header("authorization") != "Bearer ya29.t" => return (401, "{}".into()),
            "GET /v1/projects/p/secrets/db/versions/latest:access" => {
                json!({"payload": {"data": STANDARD.encode(r#"{"password":"p-2"}"#)}})
            }
            "GET /v1/projects/p/secrets/whole/versions/latest:access" => {
                json!({"payload": {"data": STANDARD.encode("w-2")}})
            }
            _ => return (404, json!({"error": {"status": "NOT_FOUND"}}).to_string()),
        };
        (200, answer.to_string())
    });
    let account = json!({
        "client_email": "a6@p.test", "private_key": RSA_KEY, "project_id": "p", "scope": ["x", "y"],
        "token_uri": format!("http://{host}/token"), "entries_uri": format!("http://{host}/v1"),
    });
    let references = ["$secret://gcp/1/db/password", "$secret://gcp/1/whole", "$secret://gcp/1/none"];
    let found = resolved("gcp/1", json!({ "auth_config": account }), &references).await;
    let missing = format!("secrets/gcp/1: none: {host} answered 404 Not Found: NOT_FOUND");
    assert_eq!(found, [ok("p-2"), ok("w-2"), Err(missing)]);
    assert_eq!(tokens.load(Ordering::Relaxed), 1, "one token is enough for three secrets");

    let mut other = account;
    other["scope"] = json!(["x"]);
    let found = resolved("gcp/1", json!({ "auth_config": other }), &references[..1]).await;
    let error = format!(
        "secrets/gcp/1: db: failed to get gcp access token: {host} answered 400 Bad Request: invalid_grant"
    );
    assert_eq!(found[0].as_ref().unwrap_err(), &error);
}
