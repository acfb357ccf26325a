use std::sync::Arc;

use a6_snapshot::Directory;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::auth_tests::{Refused, ask, mutate, people};
use crate::support::testing;

fn compile(conf: Value) -> JwtAuth {
    JwtAuth::compile(&conf, &testing::site(), &testing::shared()).unwrap()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(header: &Value, payload: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn hs256(secret: &str, header: Value, payload: Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    token(&header, &payload, |signed| hmac::sign(&key, signed).as_ref().to_vec())
}

fn outcome(directory: &Arc<Directory>, conf: Value, token: &str) -> Result<String, Refused> {
    let mut exchange = testing::exchange("GET", "/t", &[("authorization", token)], "");
    exchange.directory = Some(directory.clone());
    ask(&compile(conf), &mut exchange)
}

fn refused(message: &str) -> Result<String, Refused> {
    Err(Refused::because(message, "Bearer realm=\"jwt\""))
}

#[test]
fn a_token_says_who_and_its_signature_proves_it() {
    let directory = people(&[("jack", json!({"jwt-auth": {"key": "k", "secret": "s"}}))]);
    let hs = json!({"alg": "HS256"});
    let good = hs256("s", hs.clone(), json!({"key": "k"}));
    let jack = Ok("jack".to_string());
    let (unverified, invalid) = ("failed to verify jwt", "JWT token invalid");
    let stranger = "Invalid user key in JWT token";
    let cases = [
        (good.clone(), jack.clone()),
        (format!("Bearer {good}"), jack.clone()),
        (format!("bearer {good}"), jack.clone()),
        (format!("{good}=="), jack),
        (format!("BEARER {good}"), refused(invalid)),
        (String::new(), refused(invalid)),
        ("a.b".to_string(), refused(invalid)),
        (format!("{good}.x"), refused(invalid)),
        (hs256("s", hs.clone(), json!({})), refused("missing user key in JWT token")),
        (hs256("s", hs.clone(), json!({"key": "other"})), refused(stranger)),
        (hs256("s", hs.clone(), json!({"key": ["k"]})), refused(stranger)),
        (hs256("wrong", hs.clone(), json!({"key": "k"})), refused(unverified)),
        (hs256("s", json!({"alg": "none"}), json!({"key": "k"})), refused(unverified)),
        (hs256("s", json!({"alg": "HS512"}), json!({"key": "k"})), refused(unverified)),
        (hs256("s", json!({}), json!({"key": "k"})), refused(unverified)),
        (hs256("s", hs.clone(), json!({"key": "k", "exp": 1})), refused(unverified)),
        (hs256("s", hs.clone(), json!({"key": "k", "exp": null})), refused(unverified)),
        (hs256("s", hs, json!({"key": "k", "nbf": 99_999_999_999u64})), refused(unverified)),
    ];
    for (token, expected) in cases {
        assert_eq!(outcome(&directory, json!({}), &token), expected, "{token}");
    }
}

#[test]
fn claims_that_are_asked_for_must_be_there_and_others_do_not_count() {
    let directory = people(&[
        ("jack", json!({"jwt-auth": {"key": "k", "secret": "s", "lifetime_grace_period": 1_000_000_000}})),
        ("rose", json!({"jwt-auth": {"key": "r", "secret": "s"}})),
    ]);
    let hs = json!({"alg": "HS256"});
    let long_ago = 1_000_000_000;
    let cases = [
        (json!({}), json!({"key": "k", "exp": long_ago}), true),
        (json!({}), json!({"key": "r", "exp": long_ago}), false),
        (json!({"claims_to_verify": ["exp"]}), json!({"key": "r"}), false),
        (json!({"claims_to_verify": ["nbf"]}), json!({"key": "r", "nbf": 1, "exp": long_ago}), true),
        (json!({"claims_to_verify": ["exp"]}), json!({"key": "r", "exp": "99999999999"}), false),
        (json!({"key_claim_name": "iss"}), json!({"iss": "r"}), true),
    ];
    for (conf, payload, passes) in cases {
        let found = outcome(&directory, conf.clone(), &hs256("s", hs.clone(), payload.clone()));
        assert_eq!(found.is_ok(), passes, "{conf} {payload}: {found:?}");
    }
}

#[test]
fn every_kind_of_key_signs_for_its_own_algorithm_only() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let es256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let ed25519 =
        Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap();
    let pem = |algorithm: &[u8], key: &[u8]| spki_pem(algorithm, key);
    use ring::signature::KeyPair;
    // AlgorithmIdentifier in DER (RFC 5480, RFC 8410).
    let p256: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    let ed: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
    let consumer = |algorithm: &str, public_key: String| json!({"jwt-auth": {"key": algorithm, "algorithm": algorithm, "public_key": public_key}});
    let directory = people(&[
        ("es256", consumer("ES256", pem(p256, es256.public_key().as_ref()))),
        ("eddsa", consumer("EdDSA", pem(ed, ed25519.public_key().as_ref()))),
    ]);
    let by_es256 = |signed: &[u8]| es256.sign(&random, signed).unwrap().as_ref().to_vec();
    let by_eddsa = |signed: &[u8]| ed25519.sign(signed).as_ref().to_vec();
    let of = |alg: &str, key: &str| (json!({"alg": alg}), json!({"key": key}));
    let (header, payload) = of("ES256", "ES256");
    assert_eq!(outcome(&directory, json!({}), &token(&header, &payload, by_es256)), Ok("es256".to_string()));
    assert!(outcome(&directory, json!({}), &token(&header, &payload, by_eddsa)).is_err());
    let (header, payload) = of("EdDSA", "EdDSA");
    assert_eq!(outcome(&directory, json!({}), &token(&header, &payload, by_eddsa)), Ok("eddsa".to_string()));
    assert!(outcome(&directory, json!({}), &token(&header, &payload, by_es256)).is_err());
    // The public key is no secret: whoever signs with its text must not pass.
    let confused =
        hs256(&pem(p256, es256.public_key().as_ref()), json!({"alg": "HS256"}), json!({"key": "ES256"}));
    assert!(outcome(&directory, json!({}), &confused).is_err());
}

/// One token per algorithm that says `{"key":"k"}`, signed by OpenSSL or Python's hmac, with the `secret` or `public_key`
/// of who signed it. Nobody has the private keys any more.
fn signed() -> Vec<Value> {
    serde_json::from_str(include_str!("signed.json")).unwrap()
}

/// The only consumer, `jack`, signs as this entry of [`signed`] says.
fn signer(entry: &Value) -> Arc<Directory> {
    let mut conf = entry.clone();
    conf["key"] = json!("k");
    people(&[("jack", json!({"jwt-auth": conf}))])
}

#[test]
fn an_algorithm_accepts_signatures_of_its_own_and_no_other() {
    let signed = signed();
    assert_eq!(signed.len(), 13);
    for entry in &signed {
        let directory = signer(entry);
        for other in &signed {
            let found = outcome(&directory, json!({}), other["token"].as_str().unwrap());
            let own = entry["algorithm"] == other["algorithm"];
            let expected = if own { Ok("jack".to_string()) } else { refused("failed to verify jwt") };
            assert_eq!(found, expected, "{} by {}", other["algorithm"], entry["algorithm"]);
        }
        // Whoever has the public key must not be able to sign with it.
        if let Some(public_key) = entry["public_key"].as_str() {
            for algorithm in [json!("HS256"), entry["algorithm"].clone()] {
                let forged = hs256(public_key, json!({"alg": algorithm}), json!({"key": "k"}));
                assert_eq!(outcome(&directory, json!({}), &forged), refused("failed to verify jwt"));
            }
        }
    }
}

#[test]
fn no_mutated_token_passes() {
    let mut random = fastrand::Rng::with_seed(11);
    for entry in signed() {
        let directory = signer(&entry);
        let token = entry["token"].as_str().unwrap();
        // Without optimisation the one curve that ring does not know takes its time.
        let rounds = if entry["algorithm"] == "ES512" { 20 } else { 200 };
        for round in 0..rounds {
            let mutated = mutate(token, &mut random);
            // Padding behind the signature does not count.
            let is_same = mutated.trim_end_matches('=') == token;
            let passes = outcome(&directory, json!({}), &mutated).is_ok();
            assert_eq!(passes, is_same, "{} {round}: {mutated:?}", entry["algorithm"]);
        }
    }
}

#[test]
fn a_public_key_is_of_the_type_that_its_algorithm_needs() {
    let kind = |entry: &Value| match entry["algorithm"].as_str().unwrap() {
        rsa if rsa.starts_with("RS") || rsa.starts_with("PS") => "RSA".to_string(),
        other => other.to_string(),
    };
    for entry in signed() {
        let Some(public_key) = entry["public_key"].as_str() else { continue };
        for other in signed() {
            let conf = json!({"key": "k", "algorithm": other["algorithm"], "public_key": public_key});
            let fits = kind(&entry) == kind(&other);
            assert_eq!(credential(&conf).is_some(), fits, "{}: {public_key}", other["algorithm"]);
        }
    }
}

/// A public key in PEM.
fn spki_pem(algorithm: &[u8], key: &[u8]) -> String {
    let element = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, length][..], content].concat()
    };
    let bits = element(0x03, &[&[0][..], key].concat());
    let info = element(0x30, &[algorithm, &bits].concat());
    let text = crate::auth_tests::encode(&info);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

#[test]
fn the_token_is_found_in_header_query_or_cookie_and_hidden_from_there() {
    let directory = people(&[("jack", json!({"jwt-auth": {"key": "k", "secret": "s"}}))]);
    let good = hs256("s", json!({"alg": "HS256"}), json!({"key": "k"}));
    let in_query = format!("/t?a=1&jwt={good}");
    let in_cookie = format!("a=1; jwt={good}");
    for (target, cookie) in [(in_query.as_str(), "a=1"), ("/t?a=1", in_cookie.as_str())] {
        let mut exchange = testing::exchange("GET", target, &[("cookie", cookie)], "");
        exchange.directory = Some(directory.clone());
        let plugin = compile(json!({"hide_credentials": true}));
        assert_eq!(ask(&plugin, &mut exchange), Ok("jack".to_string()));
        assert_eq!((exchange.request.target(), exchange.request.header("cookie")), ("/t?a=1", Some("a=1")));
    }
    let mut exchange = testing::exchange("GET", "/t", &[], "");
    exchange.directory = Some(directory);
    assert_eq!(ask(&compile(json!({})), &mut exchange), refused("Missing JWT token in request"));
}
