//! One instance that stalls, or breaks, is nobody else's.

use serde_json::{Value, json};

use crate::support::{
    self, Blackhole, Connection, Gateway, Scripted, Setup, Step, chat, chat_stream, post, request,
};

fn instance(name: &str, url: &str) -> Value {
    json!({
        "name": name, "provider": "openai", "weight": 1,
        "auth": {"header": {"Authorization": "Bearer sk-provider"}}, "override": {"endpoint": url},
    })
}

fn route(instances: &[Value], more: Value) -> Value {
    let mut plugin = json!({"instances": instances, "timeout": 60_000, "ssl_verify": false});
    plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"uri": "/chat", "plugins": {"ai-proxy-multi": plugin}})
}

/// On one thread, and long before any time limit: those that wait for a stalled connection, handshake or first byte wait
/// alone.
#[test]
fn a_stall_at_one_instance_delays_no_request_to_another() {
    let (tcp, tls, silent) =
        (Blackhole::start(), Scripted::start(Vec::new()), Scripted::start(vec![Step::AwaitHangUp]));
    let mock = support::mock();
    let gateway = Setup::new().start();
    let instances = [
        instance("tcp", &format!("http://{}", tcp.address)),
        instance("tls", &format!("https://{}", tls.address)),
        instance("silent", &silent.url()),
        instance("good", &mock.url()),
    ];
    gateway.put("routes/r", &route(&instances, json!({"fallback_strategy": ["http_5xx"]})));
    let mut waiting = Vec::new();
    for round in 1..=5 {
        for _ in 0..8 {
            let mut client = Connection::open(gateway.data);
            client.write(&request("POST", "/chat", &[], chat("hello").to_string().as_bytes()));
            waiting.push(client);
        }
        // Two of eight go to the one that answers.
        for record in gateway.exactly(round * 2) {
            let told = (&record["status"], &record["attempts"][0]["instance"]);
            assert_eq!(told, (&json!(200), &json!("good")), "{record:#}");
        }
    }
    support::eventually("the others at theirs", || (silent.received().len() == 10).then_some(()));
    assert_eq!(mock.ledger().len(), 10);
    assert!(tls.connections() > 0, "nobody began a handshake");
}

fn all_answer(gateway: &Gateway, what: &str) {
    for _ in 0..5 {
        let answer = post(gateway.data, "/chat", &[], &chat("hello"));
        assert_eq!((answer.status, answer.clean_end), (200, true), "after {what}: {}", answer.text());
    }
}

/// One place in the pool, and no other instance: whatever becomes of a request, the next one is answered.
#[test]
fn a_pool_never_wedges() {
    let mock = support::mock();
    let gateway = Setup::new().start();
    let pool = json!({"keepalive_pool": 1, "timeout": 300, "breaker": {"enabled": false}});
    gateway.put("routes/r", &route(&[instance("only", &mock.url())], pool));
    all_answer(&gateway, "nothing");
    let faults: [&[(&str, &str)]; 8] = [
        &[("x-mock-cut-after", "40")],
        &[("x-mock-cut-after", "40"), ("x-mock-cut-with", "rst")],
        &[("x-mock-cut-after", "0")],
        &[("x-mock-stall-after", "40")],
        &[("x-mock-first-delay-ms", "600000")],
        &[("x-mock-garbage", "head")],
        &[("x-mock-refuse", "1")],
        &[("x-mock-status", "429"), ("x-mock-close", "1")],
    ];
    for fault in faults {
        let what = format!("{fault:?}");
        for body in [chat("hello"), chat_stream("hello")] {
            let mut clients: Vec<_> = (0..6).map(|_| Connection::open(gateway.data)).collect();
            for client in &mut clients {
                client.write(&request("POST", "/chat", fault, body.to_string().as_bytes()));
            }
            // Half of them read what there is, the others leave in the middle.
            for mut client in clients.into_iter().step_by(2) {
                let head = client.head();
                assert!(head.is_some(), "{what}: no answer at all");
            }
        }
        all_answer(&gateway, &what);
    }
}
