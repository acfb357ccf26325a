//! What reads and writes show of secrets where the store seals them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use a6_core::Clock;
use a6_store::{SealedStore, Sealing, SqliteStore};
use serde_json::{Value, json};

use super::{FewPlugins, House, START, config, house_over};

fn house(dir: &tempfile::TempDir) -> House {
    let sealing = Sealing { keyring: dir.path().join("keyring"), texts: Vec::new(), encrypts_fields: true };
    let data = SqliteStore::open(&dir.path().join("data")).unwrap();
    let store = SealedStore::open(data, &sealing, Arc::new(FewPlugins::new())).unwrap();
    house_over(Box::new(store), Arc::new(AtomicBool::new(false)), config(), Clock::manual(START * 1000))
}

fn is_sealed(text: &Value) -> bool {
    text.as_str().is_some_and(|text| text.starts_with("$a6$1$"))
}

#[tokio::test]
async fn a_read_tells_nobody_an_upstreams_private_key_and_what_it_shows_can_be_written_back() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let made = rcgen::generate_simple_self_signed(["a.test".to_string()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = json!({"client_cert": cert, "client_key": key});
    let upstream = json!({"type": "roundrobin", "scheme": "https", "nodes": {"127.0.0.1:1": 1}, "tls": tls});
    let in_force = |pointer: &str| {
        let log = house.log.lock().unwrap();
        log.last().unwrap().1[0].value.as_ref().unwrap().pointer(pointer).cloned()
    };
    for (path, document, place) in [
        ("upstreams/1", upstream.clone(), "/tls/client_key"),
        ("services/1", json!({"upstream": upstream}), "/upstream/tls/client_key"),
        ("routes/1", json!({"uri": "/x", "upstream": upstream}), "/upstream/tls/client_key"),
    ] {
        let url = format!("/apisix/admin/{path}");
        let put = house.ask("PUT", &url, &document.to_string()).await;
        assert_eq!(put.status, 201, "{path}: {}", put.body);
        let first = house.ask("GET", &url, "").await.json();
        let shown = first["value"].pointer(place).unwrap();
        assert!(is_sealed(shown), "{path}: {first}");
        assert_eq!(house.ask("GET", &url, "").await.json(), first, "two reads are alike");
        let (collection, _) = url.rsplit_once('/').unwrap();
        assert_eq!(house.ask("GET", collection, "").await.json()["list"][0], first);

        let mut back = document.clone();
        *back.pointer_mut(place).unwrap() = shown.clone();
        assert_eq!(house.ask("PUT", &url, &back.to_string()).await.status, 200, "{path}");
        assert_eq!(in_force(place), Some(json!(key)), "{path}");
        let patched = house.ask("PATCH", &url, r#"{"desc": "d"}"#).await;
        assert_eq!((patched.status, in_force(place)), (200, Some(json!(key))), "{path}: {}", patched.body);

        // Sealed for this place alone: nobody can have it opened elsewhere.
        let elsewhere = format!("{collection}/2");
        let refused = house.ask("PUT", &elsewhere, &back.to_string()).await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.body);
        assert!(!refused.body.contains("BEGIN PRIVATE KEY"), "{path}: {}", refused.body);
    }
}

#[tokio::test]
async fn tokens_of_secret_managers_are_shown_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let aws = json!({"access_key_id": "a", "secret_access_key": "b"}).to_string();
    let put = house.ask("PUT", "/apisix/admin/secrets/aws/1", &aws).await;
    assert_eq!((put.status, &put.json()["value"]["secret_access_key"]), (201, &json!("b")));
    let read = house.ask("GET", "/apisix/admin/secrets/aws/1", "").await;
    assert_eq!(read.json()["value"]["secret_access_key"], "b");
    let log = std::fs::read(dir.path().join("data/config.db-wal")).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains(r#""secret_access_key":"$a6$1$"#) && !log.contains(r#""secret_access_key":"b""#));
}

#[tokio::test]
async fn plugins_secrets_are_sealed_in_answers_to_writes_and_open_in_reads() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let consumer = json!({"username": "jack", "plugins": {"key-auth": {"key": "k"}}}).to_string();
    let put = house.ask("PUT", "/apisix/admin/consumers/jack", &consumer).await.json();
    assert!(is_sealed(&put["value"]["plugins"]["key-auth"]["key"]), "{put}");
    let read = house.ask("GET", "/apisix/admin/consumers/jack", "").await.json();
    assert_eq!(read["value"]["plugins"]["key-auth"]["key"], "k");
}
