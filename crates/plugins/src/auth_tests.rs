//! What the tests of auth plugins share, and that no mutated credential passes.

use std::sync::Arc;

use a6_resources::{Change, Kind};
use a6_snapshot::{Compiler, Directory, Exchange, Identity, Plugin, Publisher, Stop};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};

use crate::Builtins;
use crate::support::testing;

/// Who was refused, and how it was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) challenge: Option<String>,
}

impl Refused {
    /// 401 with that message and that challenge.
    pub(crate) fn because(message: &str, challenge: &str) -> Self {
        Self { status: 401, message: message.to_string(), challenge: Some(challenge.to_string()) }
    }
}

/// What a refusal says.
pub(crate) fn refusal(stop: Stop) -> Refused {
    let Stop::Reply(reply) = stop else { panic!("a fault instead of a reply: {stop:?}") };
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    Refused {
        status: reply.status.as_u16(),
        message: body["message"].as_str().unwrap_or_default().to_string(),
        challenge: reply.headers.get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_string()),
    }
}

/// Runs a plugin's rewrite phase: the consumer that it found, or its refusal.
pub(crate) fn ask<P: Plugin>(plugin: &P, exchange: &mut Exchange) -> Result<String, Refused> {
    testing::run(plugin.rewrite(exchange)).map_err(refusal)?;
    Ok(exchange.identity.as_ref().expect("an identity").name.to_string())
}

/// A directory of these consumers with their plugins, made as the gateway makes it.
pub(crate) fn people(consumers: &[(&str, Value)]) -> Arc<Directory> {
    let mut compiler = Compiler::new(Arc::new(Builtins::default()));
    let changes: Vec<Change> = consumers
        .iter()
        .map(|(name, plugins)| Change {
            kind: Kind::Consumer,
            id: (*name).to_string(),
            value: Some(Arc::new(json!({"username": name, "plugins": plugins}))),
        })
        .collect();
    assert_eq!(compiler.publish(&changes, 1), []);
    compiler.shared().load().directory.clone()
}

/// A consumer of that name and nothing else.
pub(crate) fn identity(name: &str) -> Identity {
    Identity {
        name: name.into(),
        group_id: None,
        labels: Arc::default(),
        custom_id: None,
        credential_id: None,
        is_anonymous: false,
    }
}

/// Base64 with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Changes a text at a random place: another byte, one less, one more, or its end cut off.
pub(crate) fn mutate(text: &str, random: &mut fastrand::Rng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = random.usize(..bytes.len());
    match random.u8(..4) {
        0 => bytes[at] = random.u8(b' '..=b'~'),
        1 => drop(bytes.remove(at)),
        2 => bytes.insert(at, random.u8(b' '..=b'~')),
        _ => bytes.truncate(at),
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn no_mutated_credential_passes() {
    let directory = people(&[
        ("key", json!({"key-auth": {"key": "secret-key-of-jack"}})),
        ("basic", json!({"basic-auth": {"username": "jack", "password": "secret"}})),
    ]);
    let mut random = fastrand::Rng::with_seed(7);
    let key = crate::key_auth::KeyAuth::compile(&json!({}), &testing::site(), &testing::shared()).unwrap();
    let basic =
        crate::basic_auth::BasicAuth::compile(&json!({}), &testing::site(), &testing::shared()).unwrap();
    for round in 0..4_000 {
        let right = "secret-key-of-jack";
        let wrong = mutate(right, &mut random);
        let mut exchange = testing::exchange("GET", "/t", &[("apikey", &wrong)], "");
        exchange.directory = Some(directory.clone());
        // A header's value is trimmed on the wire, so that it is here too.
        let passes = ask(&key, &mut exchange).is_ok();
        assert_eq!(passes, wrong == right, "{round}: {wrong:?}");

        let pair = mutate("jack:secret", &mut random);
        let header = format!("Basic {}", encode(pair.as_bytes()));
        let mut exchange = testing::exchange("GET", "/t", &[("authorization", &header)], "");
        exchange.directory = Some(directory.clone());
        // White space does not count, and neither does what stands behind a second colon.
        let plain: String = pair.chars().filter(|c| !c.is_whitespace()).collect();
        let is_right = plain == "jack:secret" || plain.starts_with("jack:secret:");
        assert_eq!(ask(&basic, &mut exchange).is_ok(), is_right, "{round}: {pair:?}");
    }
}

#[test]
fn whoever_has_no_usable_credential_is_known_to_nobody() {
    let directory = people(&[
        ("empty", json!({"key-auth": {"key": ""}})),
        ("reference", json!({"key-auth": {"key": "$env://A6_NOT_THERE_AT_ALL"}})),
        ("disabled", json!({"key-auth": {"key": "k", "_meta": {"disable": true}}})),
    ]);
    let plugin = crate::key_auth::KeyAuth::compile(&json!({}), &testing::site(), &testing::shared()).unwrap();
    for key in ["", "$env://A6_NOT_THERE_AT_ALL", "k"] {
        let mut exchange = testing::exchange("GET", "/t", &[("apikey", key)], "");
        exchange.directory = Some(directory.clone());
        assert!(ask(&plugin, &mut exchange).is_err(), "{key:?}");
    }
}

#[test]
fn without_a_directory_nobody_passes() {
    let plugin = crate::key_auth::KeyAuth::compile(&json!({}), &testing::site(), &testing::shared()).unwrap();
    let mut exchange = testing::exchange("GET", "/t", &[("apikey", "k")], "");
    assert_eq!(ask(&plugin, &mut exchange).unwrap_err().status, 500);
}

#[test]
fn two_callers_with_one_key_are_a_warning_that_names_both() {
    let entry = |kind, id: &str, plugins: Value| a6_resources::Entry {
        kind,
        id: id.to_string(),
        value: Arc::new(json!({"plugins": plugins})),
        created: 1,
        modified: 1,
    };
    let entries = [
        entry(Kind::Consumer, "jack", json!({"key-auth": {"key": "shared-key"}})),
        entry(Kind::Consumer, "rose", json!({"key-auth": {"key": "other"}})),
        entry(Kind::Credential, "rose/credentials/c", json!({"key-auth": {"key": "shared-key"}})),
        entry(Kind::Consumer, "tom", json!({"basic-auth": {"username": "same", "password": "p"}})),
    ];
    let warnings = a6_snapshot::lint(&entries, &Builtins::default(), false);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("consumer jack and credential rose/credentials/c"), "{warnings:?}");
    assert!(warnings[0].contains("key-auth") && !warnings[0].contains("shared-key"), "{warnings:?}");
}

#[test]
fn every_schema_of_every_plugin_is_sound() {
    use a6_resources::Catalogue;
    let kit = Builtins::default();
    for spec in kit.specs() {
        let schemas = [Some(&spec.schema), spec.consumer_schema.as_ref(), spec.metadata_schema.as_ref()];
        for schema in schemas.into_iter().flatten() {
            assert_eq!(schema.fault(), None, "{}", spec.name);
        }
    }
}
