//! What is kept here: the key ring, and what APISIX has encrypted.

use std::fs;
use std::process::Output;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use crate::engine::{Stage, passes};
use crate::support::{Setup, a6};

const KEYRING: &str = "A6_CONF_APISIX__DATA_ENCRYPTION__KEYRING";
/// `sk-live-1234567890`, as APISIX encrypts it with the first of its published keys, and with `ABCDEFGHIJKLMNOP`.
const PUBLISHED: &str = "Yp0DN37Kt9N6gOe079LZBhAjzq2/XbO4ritsZqIV2Vk=";
const OTHER: &str = "ABz19mkRZHV2dP7T3nX1i0peemtltaKGUZ19HKmgHd0=";
const PLAIN: &str = "sk-live-1234567890";

fn home() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// A start that has to fail.
fn refused(home: &TempDir, variables: &[(&str, &str)]) -> String {
    let Output { status, stdout, stderr } = a6(home.path())
        .args(["serve", "--config"])
        .arg(home.path().join("gateway.yaml"))
        .arg("--data-dir")
        .arg(home.path().join("data"))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!status.success(), "{text}");
    text
}

#[test]
fn a_missing_key_ring_ends_the_start_before_a_new_one_is_made() {
    let home = home();
    let stage = Stage::on(Setup::new().home(&home));
    stage.consumer("jack", json!({}), json!({}));
    drop(stage);
    let path = home.path().join("data/keyring");
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let text = refused(&home, &[]);
    assert!(text.contains("keyring") && text.contains("put the file back from a backup"), "{text}");
    assert!(!path.exists());
    fs::write(&path, kept).unwrap();
    let stage = Stage::on(Setup::new().home(&home));
    stage.route("t", json!({"key-auth": {}}));
    passes(&stage.get_as("jack", "/t"));
}

#[test]
fn a_key_in_front_takes_over_and_one_that_is_missing_is_told() {
    let home = home();
    let with = |keys: &str| Stage::on(Setup::new().home(&home).variable(KEYRING, keys));
    let stage = with("ABCDEFGHIJKLMNOP");
    stage.consumer("jack", json!({}), json!({}));
    assert!(!stage.gateway.output().contains("everybody knows this key"));
    drop(stage);
    drop(with("[0123456789abcdef0123456789ABCDEF, ABCDEFGHIJKLMNOP]"));
    let text = refused(&home, &[(KEYRING, "ABCDEFGHIJKLMNOP")]);
    assert!(text.contains("consumers/jack plugins.key-auth.key"), "{text}");
    assert!(text.contains("not in the key ring") && !text.contains("ABCDEFGHIJKLMNOP"), "{text}");
    let stage = with("0123456789abcdef0123456789ABCDEF");
    stage.route("t", json!({"key-auth": {}}));
    passes(&stage.get_as("jack", "/t"));
}

#[test]
fn what_apisix_has_encrypted_is_read() {
    for (keys, ciphertext) in [(None, PUBLISHED), (Some("[ABCDEFGHIJKLMNOP, qeddd145sfvddff3]"), OTHER)] {
        let setup = Setup::new();
        let stage = Stage::on(match keys {
            Some(keys) => setup.variable(KEYRING, keys),
            None => setup,
        });
        let consumer = json!({"username": "jack", "plugins": {"key-auth": {"key": ciphertext}}});
        let (status, answer) = stage.gateway.admin("PUT", "consumers", Some(&consumer));
        assert_eq!(status, 201, "{answer}");
        let sealed = answer.pointer("/value/plugins/key-auth/key").and_then(|key| key.as_str()).unwrap();
        assert!(sealed.starts_with("$a6$1$"), "{sealed}");
        let (_, shown) = stage.gateway.admin("GET", "consumers/jack", None);
        assert_eq!(shown.pointer("/value/plugins/key-auth/key"), Some(&json!(PLAIN)));
        stage.route("t", json!({"key-auth": {}}));
        passes(&stage.get("/t", &[("apikey", PLAIN)]));
        assert_eq!(stage.get("/t", &[("apikey", ciphertext)]).status, 401);
        let is_warned = stage.gateway.output().contains("everybody knows this key");
        assert_eq!(is_warned, keys.is_some(), "{}", stage.gateway.output());
    }
}
