//! Promise: an application keeps getting answers while providers are killed, throttle, stall and cut, and while the
//! configuration changes; what a client loses, no other instance could have saved. Every attempt that is told was made.
//!
//! The fire burns for 20 s, or for as many seconds as `A6_FIRE_SECONDS` says; `TEST_SEED` brings one back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "ai_proxy_multi_holds_under_fire/clients.rs"]
mod clients;
#[path = "ai_proxy_multi_holds_under_fire/instances.rs"]
mod instances;
#[path = "ai_proxy_multi_holds_under_fire/lines.rs"]
mod lines;
#[path = "ai_proxy_multi_holds_under_fire/stalls.rs"]
mod stalls;
mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::instances::Instance;
use self::support::{Connection, Gateway, Random, Setup};

const CLIENTS: usize = 500;
/// The longest that an instance is passed over, in milliseconds.
const MAX_OPEN: u64 = 1_000;
/// An instance may be silent so long, in milliseconds: shorter than a stream's beginning is held.
const TIMEOUT: u64 = 1_500;

/// A route to these instances; `version` changes weights and limits, and nothing of what an instance is.
fn route(instances: &[(&str, String)], version: usize) -> Value {
    let instance = |(place, (name, url)): (usize, &(&str, String))| {
        json!({
            "name": name, "provider": "openai", "weight": 1 + (version + place) % 3,
            "auth": {"header": {"Authorization": "Bearer sk-provider"}}, "override": {"endpoint": url},
        })
    };
    json!({"uri": "/chat", "desc": format!("version {version}"), "plugins": {"ai-proxy-multi": {
        "instances": instances.iter().enumerate().map(instance).collect::<Vec<_>>(),
        "fallback_strategy": ["http_429", "http_5xx"],
        "timeout": TIMEOUT,
        "max_response_bytes": 10_000_000 + version,
        "breaker": {"open_ms": MAX_OPEN / 2, "max_open_ms": MAX_OPEN},
    }}})
}

fn seconds() -> u64 {
    std::env::var("A6_FIRE_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(20)
}

/// Something happens to one instance after the other, but never to the first.
fn burn(instances: &mut [Instance], random: &mut Random) {
    let until = Instant::now() + Duration::from_secs(seconds());
    while Instant::now() < until {
        let which = 1 + usize::try_from(random.below(instances.len() as u64 - 1)).unwrap();
        let instance = &mut instances[which];
        match random.below(8) {
            0 | 1 if instance.is_alive() => instance.kill(),
            0 | 1 => instance.revive(),
            2..=5 => instance.suffer(random),
            _ => instance.calm(),
        }
        thread::sleep(Duration::from_millis(100 + random.below(200)));
    }
}

/// Ten changes a second.
fn change(gateway: &Gateway, places: &[(&str, String)], over: &AtomicBool) {
    let mut admin = Connection::open(gateway.admin);
    for version in 1.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let answer = gateway.admin_on(&mut admin, "PUT", "routes/r", Some(&route(places, version)));
        assert_eq!(answer.status, 200, "{}", answer.text());
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn nothing_is_lost_that_another_instance_could_have_saved() {
    let mut random = Random::seeded();
    let mut instances = Instance::several(["rock", "a", "b", "c", "d"]);
    let places: Vec<_> = instances.iter().map(|instance| (instance.name, instance.url())).collect();
    let mut gateway = Setup::new().settings(lines::FORMAT).workers(2).start();
    gateway.put("routes/r", &route(&places, 0));

    let (over, next, data) = (AtomicBool::new(false), AtomicUsize::new(0), gateway.data);
    let complaints: Vec<String> = thread::scope(|scope| {
        let (over, next, gateway, places) = (&over, &next, &gateway, &places);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let random = random.fork();
                scope.spawn(move || clients::ask_until(over, next, data, random))
            })
            .collect();
        let changes = scope.spawn(move || change(gateway, places, over));
        burn(&mut instances, &mut random);
        over.store(true, Ordering::Relaxed);
        changes.join().expect("every change is taken");
        clients.into_iter().flat_map(|client| client.join().expect("every request gets an answer")).collect()
    });
    assert_eq!(complaints, Vec::<String>::new(), "{} requests", next.load(Ordering::Relaxed));

    // Everybody is well again: after the longest pause each has its share.
    instances.iter_mut().for_each(Instance::calm);
    thread::sleep(Duration::from_millis(MAX_OPEN + TIMEOUT));
    let before: Vec<usize> = instances.iter().map(Instance::answered).collect();
    let complaints = clients::ask(40, &next, data, random.fork());
    assert_eq!(complaints, Vec::<String>::new());
    for (instance, before) in instances.iter().zip(before) {
        assert!(instance.answered() > before, "{} got nothing after it had recovered", instance.name);
    }

    gateway.terminate();
    assert!(gateway.wait().success(), "{}", gateway.output());
    lines::check(&gateway, &mut instances, next.load(Ordering::Relaxed));
}

#[test]
fn what_is_known_of_an_instance_outlives_changes() {
    let mut instances = Instance::several(["a", "b"]);
    let mut places: Vec<_> = instances.iter().map(|instance| (instance.name, instance.url())).collect();
    let gateway = Setup::new().start();
    let patient = |version: usize, places: &[(&str, String)]| {
        let mut route = route(places, version);
        route["plugins"]["ai-proxy-multi"]["breaker"] =
            json!({"failures": 1, "open_ms": 600_000, "max_open_ms": 600_000});
        gateway.put("routes/r", &route);
    };
    patient(0, &places);
    instances[0].fail(500);
    let next = AtomicUsize::new(0);
    assert_eq!(clients::ask(10, &next, gateway.data, Random::seeded()), Vec::<String>::new());
    assert_eq!(instances[0].exchanges().len(), 1, "it is passed over after its first failure");

    instances[0].calm();
    places.push(("c", instances[1].url()));
    for version in 1..=10 {
        patient(version, &places);
        assert_eq!(clients::ask(3, &next, gateway.data, Random::seeded()), Vec::<String>::new());
    }
    assert_eq!(instances[0].exchanges().len(), 1, "a change has made it forget what speaks against a");
    let known = gateway.control_json("/v1/ai/instances");
    let breakers =
        known.as_array().unwrap().iter().map(|one| (&one["instance"], &one["breakers"][0]["state"]));
    let expected = [(json!("a"), json!("open")), (json!("b"), Value::Null), (json!("c"), Value::Null)];
    assert!(breakers.eq(expected.iter().map(|(name, state)| (name, state))), "{known:#}");
}
