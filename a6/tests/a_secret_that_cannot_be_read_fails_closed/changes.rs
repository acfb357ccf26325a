//! Values that change, managers that fail, and starts.

use std::sync::Arc;

use serde_json::json;

use super::vault::{TOKEN, Vault};
use super::{control, is_refused, warnings};
use crate::engine::{Stage, passes, tag};
use crate::support::{Setup, ai_route, eventually};

const REFERENCE: &str = "$secret://vault/1/main/value";

#[test]
fn a_changed_value_is_in_force_and_the_last_good_one_stays() {
    let (stage, vault) = (Stage::new(), Vault::start());
    let tagged = || {
        let answer = stage.get("/t", &[]);
        passes(&answer);
        answer.header("x-tag").unwrap_or_default().to_string()
    };
    vault.keep("main", json!({"value": "first"}));
    vault.introduce(&stage.gateway, "kv", TOKEN);
    stage.route("t", tag("X-Tag", REFERENCE));
    assert_eq!(tagged(), "first");
    let asked = vault.asked();
    for id in ["a", "b", "c"] {
        stage.route(id, tag("X-Tag", REFERENCE));
    }
    assert_eq!(
        (tagged().as_str(), vault.asked()),
        ("first", asked),
        "it is asked for once, whoever needs it"
    );

    vault.keep("main", json!({"value": "second"}));
    vault.introduce(&stage.gateway, "kv", TOKEN);
    assert_eq!(tagged(), "second");
    // Not with a wrong token, nor from one that fails or says something else.
    let troubles: [(&str, Option<u16>, &str); 2] =
        [("hvs.a-wrong-token", None, "403"), (TOKEN, Some(500), "500")];
    for (token, status, expected) in troubles {
        vault.fail(status);
        vault.introduce(&stage.gateway, "kv", token);
        assert_eq!(tagged(), "second");
        let told = eventually("a warning", || {
            Some(warnings(&stage.gateway)).filter(|text| text.contains("the last value that is known stays"))
        });
        assert!(told.contains("secrets/vault/1") && told.contains(expected), "{told}");
        assert!(!told.contains("hvs."), "{told}");
    }
    vault.fail(None);
    vault.keep("main", json!({"other": "third"}));
    vault.introduce(&stage.gateway, "kv", TOKEN);
    is_refused(&stage.get("/t", &[]), REFERENCE);
    assert!(warnings(&stage.gateway).contains("it has no member value"), "{}", warnings(&stage.gateway));
    assert_eq!(control(&stage.gateway, "/v1/secret/vault/1")["value"]["token"], json!("***"));
    assert!(!stage.gateway.output().contains("hvs."), "{}", stage.gateway.output());
}

#[test]
fn a_value_that_cannot_be_used_is_refused_without_being_told() {
    let (stage, vault) = (Stage::new(), Vault::start());
    vault.keep("main", json!({"value": "not a header\nvalue-to-hide"}));
    vault.introduce(&stage.gateway, "kv", TOKEN);
    let auth = json!({"auth": {"header": {"Authorization": REFERENCE}}});
    let reason = stage.refusal("routes/t", ai_route("/t", "http://127.0.0.1:1", auth));
    assert!(reason.contains("auth.header.Authorization") && !reason.contains("value-to-hide"), "{reason}");
    assert_eq!(stage.get("/t", &[]).status, 404);
    assert!(!stage.gateway.output().contains("value-to-hide"), "{}", stage.gateway.output());
}

#[test]
fn a_start_has_its_secrets_before_it_serves_and_serves_the_rest_without() {
    let home = Arc::new(tempfile::tempdir().unwrap());
    let vault = Vault::start();
    vault.keep("main", json!({"value": "kept"}));
    let stage = Stage::on(Setup::new().home(&home));
    vault.introduce(&stage.gateway, "kv", TOKEN);
    stage.route("t", tag("X-Tag", REFERENCE));
    stage.route("plain", json!({}));
    let (gateway, echo) = (stage.gateway, stage.echo);
    drop(gateway);

    let stage = Stage { gateway: Setup::new().home(&home).start(), echo };
    let answer = stage.get("/t", &[]);
    passes(&answer);
    assert_eq!(answer.header("x-tag"), Some("kept"));
    let (gateway, echo) = (stage.gateway, stage.echo);
    drop(gateway);

    vault.fail(Some(503));
    let stage = Stage { gateway: Setup::new().home(&home).start(), echo };
    is_refused(&stage.get("/t", &[]), REFERENCE);
    passes(&stage.get("/plain", &[]));
    let output = stage.gateway.output();
    assert!(output.contains(&format!("routes/t: {REFERENCE} does not resolve")), "{output}");
    vault.fail(None);
    stage.route("t", tag("X-Tag", REFERENCE));
    passes(&stage.get("/t", &[]));
}
