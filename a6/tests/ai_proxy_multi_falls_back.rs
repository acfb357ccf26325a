//! Promise: where one instance of a provider fails, another answers, as far as the configuration says so; what the client
//! gets otherwise is what the last one said; and whoever fails is asked less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, Gateway, Scripted, Setup, Step, chat, chat_stream, chunk, closed_port, eventually};

/// A whole answer as JSON; `headers` are lines with their ends.
fn whole(status: u16, headers: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

fn completion(by: &str) -> Value {
    json!({
        "id": by, "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": by}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })
}

fn good(by: &str) -> Vec<Step> {
    vec![Step::Send(whole(200, "", &completion(by)))]
}

fn bad(status: u16, by: &str) -> Vec<Step> {
    vec![Step::Send(whole(status, "", &json!({"error": {"message": by}})))]
}

/// An instance at an upstream's address; members of `extra` are added or replaced.
fn instance(name: &str, url: &str, priority: i64, extra: Value) -> Value {
    let mut instance = json!({
        "name": name, "provider": "openai", "weight": 1, "priority": priority,
        "auth": {"header": {"Authorization": "Bearer sk-provider"}}, "override": {"endpoint": url},
    });
    if let (Some(own), Value::Object(extra)) = (instance.as_object_mut(), extra) {
        own.extend(extra);
    }
    instance
}

/// A route with these instances, whose breakers do not interfere unless `extra` says so.
fn route(instances: &[Value], extra: Value) -> Value {
    // Without pools: a request on a connection that dies is sent twice, which is another promise.
    let mut plugin =
        json!({"instances": instances, "timeout": 300, "keepalive": false, "breaker": {"enabled": false}});
    if let (Some(own), Value::Object(extra)) = (plugin.as_object_mut(), extra) {
        own.extend(extra);
    }
    json!({"uri": "/chat", "plugins": {"ai-proxy-multi": plugin}})
}

fn ask(gateway: &Gateway, body: &Value) -> Answer {
    support::post(gateway.data, "/chat", &[], body)
}

/// Who has answered.
fn by(answer: &Answer) -> String {
    let body = answer.json();
    let text = if body["id"].is_string() { &body["id"] } else { &body["error"]["message"] };
    text.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_failure_goes_elsewhere_where_the_strategy_says_so() {
    let (a, b) = (Scripted::start(Vec::new()), Scripted::start(good("b")));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{\"id\":";
    let cut = vec![Step::Send(head.into()), Step::Fin];
    let both = json!(["http_429", "http_5xx"]);
    let legacy = json!("instance_health_and_rate_limiting");
    let strategy = |value: &Value| json!({"fallback_strategy": value});
    let statuses = |list: Value| json!({"fallback_http_statuses": list});
    let cases = [
        ("none, 429", bad(429, "a"), json!({}), 429, "a"),
        ("none, 500", bad(500, "a"), json!({}), 500, "a"),
        ("the legacy name, 429", bad(429, "a"), strategy(&legacy), 429, "a"),
        ("the legacy name, 500", bad(500, "a"), strategy(&legacy), 500, "a"),
        ("http_429, 429", bad(429, "a"), strategy(&json!("http_429")), 200, "b"),
        ("http_429, 500", bad(500, "a"), strategy(&json!("http_429")), 500, "a"),
        ("http_5xx, 429", bad(429, "a"), strategy(&json!("http_5xx")), 429, "a"),
        ("http_5xx, 500", bad(500, "a"), strategy(&json!("http_5xx")), 200, "b"),
        ("both, 503", bad(503, "a"), strategy(&both), 200, "b"),
        ("both, 529", bad(529, "a"), strategy(&both), 200, "b"),
        ("both, 400", bad(400, "a"), strategy(&both), 400, "a"),
        ("both, 404", bad(404, "a"), strategy(&both), 404, "a"),
        ("both, 200", good("a"), strategy(&both), 200, "a"),
        ("an empty list, 500", bad(500, "a"), strategy(&json!([])), 500, "a"),
        ("a listed status", bad(401, "a"), statuses(json!([401, 402])), 200, "b"),
        ("a status that is not listed", bad(403, "a"), statuses(json!([401, 402])), 403, "a"),
        ("closed at once", vec![Step::Fin], strategy(&both), 200, "b"),
        ("reset at once", vec![Step::Reset], strategy(&both), 200, "b"),
        ("silent", vec![Step::AwaitHangUp], strategy(&both), 200, "b"),
        (
            "no HTTP",
            vec![Step::Send(b"220 mail ESMTP\r\n\r\n".to_vec()), Step::Fin],
            strategy(&both),
            200,
            "b",
        ),
        ("a body that breaks off", cut, strategy(&both), 200, "b"),
    ];
    let gateway = Setup::new().start();
    for (number, (name, script, extra, status, answered)) in cases.into_iter().enumerate() {
        a.set(script);
        let instances = [instance("a", &a.url(), 1, json!({})), instance("b", &b.url(), 0, json!({}))];
        gateway.put("routes/r", &route(&instances, extra));
        let (asked_a, asked_b) = (a.received().len(), b.received().len());
        let answer = ask(&gateway, &chat("hello"));
        assert_eq!((answer.status, answer.clean_end), (status, true), "{name}: {}", answer.text());
        assert_eq!(by(&answer), answered, "{name}");
        let others = usize::from(answered == "b");
        assert_eq!((a.received().len() - asked_a, b.received().len() - asked_b), (1, others), "{name}");
        let record = gateway.exactly(number + 1).pop().unwrap();
        let told: Vec<_> =
            record["attempts"].as_array().unwrap().iter().map(|try_| try_["instance"].clone()).collect();
        let expected = if answered == "b" { vec!["a", "b"] } else { vec!["a"] };
        assert_eq!(told, expected, "{name}: {record}");
        assert_eq!(record["outcome"], "complete", "{name}: {record}");
    }
}

#[test]
fn nobody_listens_and_another_answers() {
    let b = Scripted::start(good("b"));
    let gateway = Setup::new().start();
    let closed = format!("http://{}", closed_port());
    let instances = [instance("a", &closed, 1, json!({})), instance("b", &b.url(), 0, json!({}))];
    gateway.put("routes/r", &route(&instances, json!({"fallback_strategy": "http_5xx"})));
    assert_eq!(by(&ask(&gateway, &chat("hello"))), "b");
    let record = gateway.exactly(1).pop().unwrap();
    let classes: Vec<_> =
        record["attempts"].as_array().unwrap().iter().map(|try_| try_["class"].clone()).collect();
    assert_eq!(classes, [json!("network"), Value::Null], "{record}");
}

#[test]
fn when_nobody_is_left_the_client_hears_the_last() {
    let upstreams = [bad(429, "a"), bad(500, "b"), bad(503, "c")].map(Scripted::start);
    let [a, b, c] = &upstreams;
    let three = [
        instance("a", &a.url(), 3, json!({})),
        instance("b", &b.url(), 2, json!({})),
        instance("c", &c.url(), 1, json!({})),
    ];
    let both = json!(["http_429", "http_5xx"]);
    let cases = [
        ("all", &three[..], json!({"fallback_strategy": both}), 502, "c", [1, 1, 1]),
        ("no retry", &three[..], json!({"fallback_strategy": both, "max_retries": 0}), 429, "a", [1, 0, 0]),
        ("one retry", &three[..], json!({"fallback_strategy": both, "max_retries": 1}), 500, "b", [1, 1, 0]),
        ("one instance", &three[1..2], json!({"fallback_strategy": both}), 500, "b", [0, 1, 0]),
        (
            "too late",
            &three[..],
            json!({"fallback_strategy": both, "retry_on_failure_within_ms": 50}),
            429,
            "a",
            [1, 0, 0],
        ),
        (
            "in time",
            &three[..],
            json!({"fallback_strategy": both, "retry_on_failure_within_ms": 5_000}),
            502,
            "c",
            [1, 1, 1],
        ),
    ];
    let gateway = Setup::new().start();
    for (name, instances, extra, status, answered, asked) in cases {
        let pause =
            if name == "too late" { vec![Step::Pause(Duration::from_millis(150))] } else { Vec::new() };
        a.set([pause, bad(429, "a")].concat());
        let before = upstreams.each_ref().map(|upstream| upstream.received().len());
        gateway.put("routes/r", &route(instances, extra));
        let answer = ask(&gateway, &chat("hello"));
        assert_eq!((answer.status, by(&answer).as_str()), (status, answered), "{name}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
        let after = upstreams.each_ref().map(|upstream| upstream.received().len());
        let counts: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(counts, asked, "{name}");
    }
    // Where the last one gave no answer there is no body of its own.
    a.set(vec![Step::Fin]);
    b.set(vec![Step::AwaitHangUp]);
    gateway.put("routes/r", &route(&three[..2], json!({"fallback_strategy": both})));
    let answer = ask(&gateway, &chat("hello"));
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (502, &json!("upstream_timeout")));
}

#[test]
fn each_attempt_is_made_of_the_clients_own_body() {
    let (a, b) = (Scripted::start(bad(500, "a")), Scripted::start(good("b")));
    let gateway = Setup::new().start();
    let instances = [
        instance("a", &a.url(), 1, json!({"options": {"model": "m-a", "temperature": 0.1}})),
        instance("b", &b.url(), 0, json!({"options": {"model": "m-b"}})),
    ];
    gateway.put("routes/r", &route(&instances, json!({"fallback_strategy": "http_5xx"})));
    assert_eq!(by(&ask(&gateway, &chat("hello"))), "b");
    let body = |upstream: &Scripted| -> Value {
        serde_json::from_str(&upstream.received().pop().unwrap().body).unwrap()
    };
    let mut expected = chat("hello");
    expected["model"] = json!("m-b");
    assert_eq!(body(&b), expected);
    assert_eq!(body(&a)["temperature"], json!(0.1));
    let record = gateway.exactly(1).pop().unwrap();
    assert_eq!((&record["model"], &record["request_model"]), (&json!("m-b"), &chat("")["model"]));
}

#[test]
fn a_stream_falls_back_only_while_nothing_has_left() {
    let event =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let begun = [head.as_bytes(), &chunk(event)].concat();
    let ended = [&begun[..], &chunk("data: [DONE]\n\n"), b"0\r\n\r\n"].concat();
    let (a, b) = (Scripted::start(vec![Step::Fin]), Scripted::start(vec![Step::Send(ended)]));
    let gateway = Setup::new().start();
    let instances = [instance("a", &a.url(), 1, json!({})), instance("b", &b.url(), 0, json!({}))];
    gateway.put("routes/r", &route(&instances, json!({"fallback_strategy": "http_5xx"})));
    let answer = ask(&gateway, &chat_stream("hello"));
    assert_eq!((answer.status, answer.clean_end), (200, true), "{}", answer.text());
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    a.set(vec![Step::Send(begun), Step::Pause(Duration::from_millis(100)), Step::Fin]);
    let answer = ask(&gateway, &chat_stream("hello"));
    assert_eq!((answer.status, answer.clean_end), (200, false), "{}", answer.text());
    assert_eq!((a.received().len(), b.received().len()), (2, 1));
    let record = gateway.exactly(2).pop().unwrap();
    assert_eq!(
        (&record["outcome"], &record["attempts"][0]["class"]),
        (&json!("upstream_truncated"), &json!("network"))
    );
}

#[test]
fn the_same_goes_to_the_same() {
    let upstreams = ["a", "b", "c"].map(|name| Scripted::start(good(name)));
    let instances: Vec<_> = ["a", "b", "c"]
        .iter()
        .zip(&upstreams)
        .map(|(name, up)| instance(name, &up.url(), 0, json!({})))
        .collect();
    let gateway = Setup::new().workers(2).start();
    let balancer = json!({"algorithm": "chash", "hash_on": "header", "key": "x-user"});
    gateway.put("routes/r", &route(&instances, json!({"balancer": balancer})));
    let asked = |user: &str| by(&support::post(gateway.data, "/chat", &[("x-user", user)], &chat("hello")));
    let users: Vec<String> = (0..60).map(|number| format!("user-{number}")).collect();
    let first: Vec<_> = users.iter().map(|user| asked(user)).collect();
    let again: Vec<_> = users.iter().map(|user| asked(user)).collect();
    assert_eq!(first, again);
    assert!(["a", "b", "c"].iter().all(|name| first.iter().any(|found| found == name)), "{first:?}");
}

#[test]
fn an_instance_that_its_checks_give_up_gets_nothing_until_they_take_it_back() {
    let (a, b) = (Scripted::start(good("a")), Scripted::start(good("b")));
    let pulse = Scripted::start(bad(500, "pulse"));
    let checks = json!({"active": {
        "http_path": "/up", "port": pulse.address.port(), "timeout": 2,
        "healthy": {"interval": 1, "successes": 1}, "unhealthy": {"interval": 1, "http_failures": 1},
    }});
    let own = json!({"checks": checks, "auth": {"header": {"X-Key": "sk-probe"}, "query": {"k": "q-probe"}}});
    let gateway = Setup::new().start();
    let instances = [instance("a", &a.url(), 1, own), instance("b", &b.url(), 0, json!({}))];
    gateway.put("routes/r", &route(&instances, json!({})));
    let health = || gateway.control_json("/v1/ai/instances")[0]["health"].clone();
    eventually("a is given up", || (health() == "unhealthy").then_some(()));
    assert_eq!(by(&ask(&gateway, &chat("hello"))), "b");
    let probe = pulse.received().pop().unwrap();
    assert_eq!(probe.line, "GET /up?k=q-probe HTTP/1.1");
    assert!(probe.headers.contains(&("x-key".to_owned(), "sk-probe".to_owned())), "{probe:?}");
    let told = gateway.control_json("/v1/healthcheck/routes/r");
    assert_eq!(told[0]["name"], "/apisix/routes/r#plugins['ai-proxy-multi'].instances[0]", "{told}");
    assert_eq!(told[0]["nodes"][0]["status"], "unhealthy", "{told}");
    assert!(!told.to_string().contains("-probe") && !gateway.output().contains("-probe"), "{told}");
    pulse.set(good("pulse"));
    eventually("a is taken back", || (health() == "healthy").then_some(()));
    assert_eq!(by(&ask(&gateway, &chat("hello"))), "a");
}

#[test]
fn an_instance_that_asks_for_a_pause_gets_it_and_comes_back() {
    let (a, b) = (Scripted::start(Vec::new()), Scripted::start(good("b")));
    a.set(vec![Step::Send(whole(429, "Retry-After: 4\r\n", &json!({"error": {"message": "a"}})))]);
    let gateway = Setup::new().workers(2).start();
    let instances = [instance("a", &a.url(), 1, json!({})), instance("b", &b.url(), 0, json!({}))];
    let with = |instances: &[Value]| route(instances, json!({"breaker": {}}));
    gateway.put("routes/r", &with(&instances));
    let first = ask(&gateway, &chat("hello"));
    assert_eq!((first.status, by(&first).as_str(), first.header("retry-after")), (429, "a", Some("4")));
    a.set(good("a"));
    let told = eventually("the pause is noted", || {
        Some(gateway.control_json("/v1/ai/instances")[0].clone()).filter(|told| told["breakers"] != json!([]))
    });
    assert_eq!(
        (&told["breakers"][0]["state"], &told["breakers"][0]["reason"]),
        (&json!("open"), &json!("quota"))
    );
    assert_eq!(by(&ask(&gateway, &chat("hello"))), "b");
    // A change of something else keeps what is known.
    let changed = [instances[0].clone(), instance("b", &b.url(), 0, json!({"weight": 5}))];
    gateway.put("routes/r", &with(&changed));
    assert_eq!(by(&ask(&gateway, &chat("hello"))), "b");
    eventually("traffic returns", || (by(&ask(&gateway, &chat("hello"))) == "a").then_some(()));
    eventually("nothing speaks against it any more", || {
        let told = gateway.control_json("/v1/ai/instances")[0].clone();
        (told["breakers"] == json!([]) && told["in_flight"] == 0).then_some(())
    });
}

#[test]
fn a_callers_own_mistakes_close_no_instance() {
    let (a, b) = (Scripted::start(bad(400, "a")), Scripted::start(good("b")));
    let gateway = Setup::new().start();
    let instances = [instance("a", &a.url(), 1, json!({})), instance("b", &b.url(), 0, json!({}))];
    gateway.put("routes/r", &route(&instances, json!({"breaker": {"failures": 2}})));
    for _ in 0..6 {
        assert_eq!(ask(&gateway, &chat("hello")).status, 400);
    }
    a.set(bad(500, "a"));
    let found: Vec<_> = (0..4).map(|_| ask(&gateway, &chat("hello")).status).collect();
    assert_eq!(found, [500, 500, 200, 200]);
    assert_eq!(a.received().len(), 8);
}
