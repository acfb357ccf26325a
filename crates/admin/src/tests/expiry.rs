//! What lasts for a time only, and writes on a condition.

use std::sync::atomic::Ordering;
use std::time::Duration;

use a6_core::Clock;
use serde_json::json;

use super::{House, ROUTE, START, config, house, house_at};

/// Whether the route is there, after the writer has looked at the clock.
async fn is_there(house: &House, id: &str) -> bool {
    house.ask("DELETE", "/apisix/admin/routes/none", "").await;
    house.ask("GET", &format!("/apisix/admin/routes/{id}"), "").await.status == 200
}

#[tokio::test]
async fn what_has_a_ttl_ends_and_a_later_write_without_one_makes_it_last() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    for id in ["short", "long", "kept"] {
        let ttl = if id == "long" { "60" } else { "1.5" };
        let path = format!("/apisix/admin/routes/{id}?ttl={ttl}");
        assert_eq!(house.ask("PUT", &path, ROUTE).await.status, 201, "{id}");
    }
    let posted = house.ask("POST", "/apisix/admin/routes?ttl=1", ROUTE).await.json();
    let posted = posted["value"]["id"].as_str().unwrap();
    assert_eq!(house.ask("PATCH", "/apisix/admin/routes/kept", r#"{"desc":"x"}"#).await.status, 200);
    for id in ["short", "long", "kept", posted] {
        assert!(is_there(&house, id).await, "{id}");
    }
    house.clock.advance(Duration::from_millis(1_500));
    for (id, expected) in [("short", false), ("long", true), ("kept", true), (posted, false)] {
        assert_eq!(is_there(&house, id).await, expected, "{id}");
    }
    house.clock.advance(Duration::from_secs(60));
    assert!(!is_there(&house, "long").await);
    assert!(is_there(&house, "kept").await);
    let log = house.log.lock().unwrap();
    let (_, last) = log.last().unwrap();
    assert_eq!((last[0].id.as_str(), &last[0].value), ("long", &None), "the snapshot is told");
}

#[tokio::test]
async fn the_end_of_a_resource_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = house(&dir);
    first.ask("PUT", "/apisix/admin/routes/a?ttl=10", ROUTE).await;
    first.ask("PUT", "/apisix/admin/routes/b?ttl=100", ROUTE).await;
    let log = first.log.clone();
    drop(first);
    // The writer's thread closes the store, which frees the directory, once the routers are gone.
    let second = loop {
        if std::sync::Arc::strong_count(&log) == 1 && a6_store::SqliteStore::open(dir.path()).is_ok() {
            break house_at(&dir, config(), Clock::manual((START + 11) * 1000));
        }
        tokio::task::yield_now().await;
    };
    assert!(!is_there(&second, "a").await);
    assert!(is_there(&second, "b").await);
    second.clock.advance(Duration::from_secs(89));
    assert!(!is_there(&second, "b").await);
}

#[tokio::test]
async fn what_has_ended_is_taken_away_once_the_disk_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    house.ask("PUT", "/apisix/admin/routes/a?ttl=1", ROUTE).await;
    // First, as the writer's own timer may be faster than this test.
    house.full.store(true, Ordering::Relaxed);
    house.clock.advance(Duration::from_secs(1));
    assert!(is_there(&house, "a").await, "what the store has is what is in force");
    house.full.store(false, Ordering::Relaxed);
    house.clock.advance(Duration::from_secs(10));
    assert!(!is_there(&house, "a").await);
}

#[tokio::test]
async fn a_write_may_ask_that_nothing_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let house = house(&dir);
    let path = "/apisix/admin/routes/1";
    let moved = |found: u64, wanted: u64| {
        format!(
            "header If-Match: routes/1: it has modifiedIndex {found} by now, not {wanted}; \
             read it again and repeat the change"
        )
    };
    let absent = "header If-Match: routes/1: it does not exist".to_string();
    for if_match in ["1", "*"] {
        let reply = house.ask_if("PUT", path, if_match, ROUTE).await;
        assert_eq!(reply.error(), (412, absent.clone()), "{if_match}");
    }
    assert_eq!(house.ask("PUT", path, ROUTE).await.status, 201);
    assert_eq!(house.ask_if("PUT", path, "1", ROUTE).await.status, 200);
    let patch = json!({"desc": "x"}).to_string();
    for (method, body) in [("PUT", ROUTE), ("PATCH", patch.as_str()), ("DELETE", "")] {
        assert_eq!(house.ask_if(method, path, "1", body).await.error(), (412, moved(2, 1)), "{method}");
    }
    assert_eq!(house.ask_if("PATCH", path, "\"2\"", &patch).await.status, 200);
    assert_eq!(house.ask_if("PUT", path, "*", ROUTE).await.status, 200);
    let now = house.ask("GET", path, "").await.json();
    assert_eq!((&now["createdIndex"], &now["modifiedIndex"]), (&json!(1), &json!(4)));
    assert_eq!(house.ask_if("DELETE", path, "4", "").await.status, 200);
    assert_eq!(house.ask_if("DELETE", path, "4", "").await.status, 404);
}
