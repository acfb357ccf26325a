//! Nodes that are down, silent or break off; retries and time limits.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{backend, get, is_told, lead, nodes, start, who};
use crate::support::http2::{END_HEADERS, END_STREAM, End, HEADERS, Http2, block, frame};
use crate::support::{
    Answer, Blackhole, Connection, Echo, Gateway, Manner, Scripted, Step, chunk, closed_port, request,
};

/// A time limit that is reached in a test.
const SHORT: f64 = 0.3;

fn timeout(connect: f64, send: f64, read: f64) -> Value {
    json!({"connect": connect, "send": send, "read": read})
}

fn post(gateway: &Gateway, target: &str) -> Answer {
    Connection::open(gateway.data).answer(&request("POST", target, &[], b"{\"a\":1}"))
}

/// How many answers have each of two statuses; there must be no other.
fn tally(answers: &[Answer], statuses: [u16; 2]) -> [usize; 2] {
    let counts = statuses.map(|status| answers.iter().filter(|answer| answer.status == status).count());
    assert_eq!(counts[0] + counts[1], answers.len(), "{answers:#?}");
    counts
}

#[test]
fn a_node_that_refuses_is_passed_over() {
    let gateway = start();
    let echo = Echo::start("live");
    let all = nodes(&[(closed_port(), 1), (echo.address, 1), (closed_port(), 1)]);
    lead(&gateway, &json!({"nodes": all}));
    // Nothing was sent to a node that refuses, so that any method may go to another one, with its body.
    for number in 0..10 {
        assert_eq!(who(&get(&gateway, "/")), "live", "GET {number}");
        let answer = post(&gateway, "/");
        assert_eq!(who(&answer), "live", "POST {number}");
        assert_eq!(answer.json()["body"], "{\"a\":1}", "POST {number}");
    }
    assert_eq!(echo.count(), 20);
    let records = gateway.exactly(20);
    assert!(records.iter().all(|record| record["status"] == 200 && record["outcome"] == "complete"));
}

#[test]
fn retries_bound_the_tries() {
    let gateway = start();
    let echo = Echo::start("live");
    let dead = closed_port();
    lead(&gateway, &json!({"nodes": nodes(&[(dead, 1), (echo.address, 1)]), "retries": 0}));
    let answers: Vec<Answer> = (0..10).map(|_| get(&gateway, "/")).collect();
    assert_eq!(tally(&answers, [200, 502]), [5, 5]);
    answers.iter().filter(|answer| answer.status == 502).for_each(|answer| is_told(answer, 502, dead));

    // All are down: the last one is told of.
    lead(&gateway, &json!({"nodes": nodes(&[(dead, 1)])}));
    is_told(&get(&gateway, "/"), 502, dead);
    is_told(&post(&gateway, "/"), 502, dead);
}

#[test]
fn what_was_sent_is_not_sent_again_unless_the_method_allows_it() {
    let gateway = start();
    let (leaver, echo) = (Scripted::start(vec![Step::Fin]), Echo::start("live"));
    lead(&gateway, &json!({"nodes": nodes(&[(leaver.address, 1), (echo.address, 1)])}));
    for number in 0..10 {
        assert_eq!(who(&get(&gateway, "/")), "live", "GET {number}");
    }
    let (left, lived) = (leaver.received().len(), echo.count());
    assert!(left > 0, "the one that leaves was never asked");
    let answers: Vec<Answer> = (0..10).map(|_| post(&gateway, "/")).collect();
    let told = tally(&answers, [200, 502]);
    assert!(told.iter().all(|count| *count > 0), "{told:?}");
    assert_eq!([echo.count() - lived, leaver.received().len() - left], told, "a POST was sent twice");

    // The same for one that stays silent.
    let silent = Scripted::start(vec![Step::AwaitHangUp]);
    let members = json!({
        "nodes": nodes(&[(silent.address, 1), (echo.address, 1)]),
        "timeout": timeout(5.0, 5.0, SHORT),
    });
    lead(&gateway, &members);
    for number in 0..4 {
        assert_eq!(who(&get(&gateway, "/")), "live", "GET {number}");
    }
    let (asked, lived) = (silent.received().len(), echo.count());
    assert!(asked > 0, "the silent one was never asked");
    let answers: Vec<Answer> = (0..4).map(|_| post(&gateway, "/")).collect();
    let told = tally(&answers, [200, 504]);
    assert!(told.iter().all(|count| *count > 0), "{told:?}");
    assert_eq!([echo.count() - lived, silent.received().len() - asked], told, "a POST was sent twice");
}

#[test]
fn a_status_is_an_answer_and_no_reason_to_ask_another_node() {
    let gateway = start();
    let [bad, good] = ["bad", "good"].map(Echo::start);
    lead(&gateway, &json!({"nodes": nodes(&[(bad.address, 1), (good.address, 1)])}));
    for status in [404, 429, 500, 502, 503, 504] {
        bad.answer(Manner::Status(status), Duration::ZERO);
        let answers: Vec<Answer> = (0..4).map(|_| get(&gateway, "/")).collect();
        assert_eq!(tally(&answers, [200, status]), [2, 2]);
        for answer in answers.iter().filter(|answer| answer.status == status) {
            assert_eq!(answer.json()["answered_by"], "bad", "{status}: the upstream's own words");
            let told = (status >= 500).then(|| status.to_string());
            assert_eq!(answer.header("x-apisix-upstream-status"), told.as_deref());
        }
    }
}

#[test]
fn a_deadline_for_tries_ends_them() {
    let gateway = start();
    let silent: Vec<Scripted> = (0..3).map(|_| Scripted::start(vec![Step::AwaitHangUp])).collect();
    let all: Vec<(SocketAddr, u64)> = silent.iter().map(|upstream| (upstream.address, 1)).collect();
    let asked = || silent.iter().map(|upstream| upstream.received().len()).sum::<usize>();
    let mut upstream = json!({"nodes": nodes(&all), "timeout": timeout(5.0, 5.0, SHORT)});
    lead(&gateway, &upstream);
    assert_eq!((get(&gateway, "/").status, asked()), (504, 3), "each node has its try");
    // It is over before the first try is.
    upstream["retry_timeout"] = json!(SHORT / 3.0);
    lead(&gateway, &upstream);
    assert_eq!((get(&gateway, "/").status, asked()), (502, 4));
    upstream["retry_timeout"] = json!(0);
    lead(&gateway, &upstream);
    assert_eq!((get(&gateway, "/").status, asked()), (504, 7), "0 is no deadline");
}

#[test]
fn time_limits_are_a_504_that_names_the_host() {
    let gateway = start();
    let (blackhole, silent) = (Blackhole::start(), Scripted::start(vec![Step::AwaitHangUp]));
    let half = Scripted::start(vec![Step::Send(b"HTTP/1.1 200 OK\r\nX-Half: ".to_vec()), Step::AwaitHangUp]);
    let cases = [
        ("to connect", blackhole.address, timeout(SHORT, 30.0, 30.0)),
        ("to read", silent.address, timeout(30.0, 30.0, SHORT)),
        ("to read the rest of a head", half.address, timeout(30.0, 30.0, SHORT)),
    ];
    for (number, (name, address, limits)) in cases.into_iter().enumerate() {
        lead(&gateway, &json!({"nodes": nodes(&[(address, 1)]), "timeout": limits}));
        let answer = get(&gateway, "/");
        assert_eq!(answer.status, 504, "{name}: {}", answer.text());
        is_told(&answer, 504, address);
        let record = gateway.exactly(number + 1).pop().unwrap();
        let told = (&record["status"], &record["error"], &record["outcome"]);
        assert_eq!(told, (&json!(504), &json!("upstream_timeout"), &json!("failed")), "{name}: {record}");
    }
}

#[test]
fn a_backend_that_takes_nothing_is_a_504() {
    let gateway = start();
    let address = backend(|stream| {
        // Never read, and kept open for longer than the test lasts.
        thread::sleep(Duration::from_secs(60));
        drop(stream);
    });
    lead(&gateway, &json!({"nodes": nodes(&[(address, 1)]), "timeout": timeout(5.0, SHORT, 30.0)}));
    let mut client = Connection::open(gateway.data);
    let length = (256_u64 << 20).to_string();
    client.write(&request("POST", "/", &[("Content-Length", length.as_str())], b""));
    let piece = vec![b'a'; 1 << 20];
    // As much as the sockets between here and there hold; after that the gateway answers, and closes.
    let taken = (0..256).take_while(|_| client.try_write(&piece)).count();
    assert!(taken < 256, "somebody took it all");
    let answer = client.next_answer();
    is_told(&answer, 504, address);
}

#[test]
fn the_routes_time_limits_win_over_the_upstreams() {
    let gateway = start();
    let echo = Echo::start("slow");
    echo.answer(Manner::Status(200), Duration::from_millis(800));
    let cases = [
        (Some(timeout(5.0, 5.0, 20.0)), timeout(5.0, 5.0, 0.1), 200),
        (Some(timeout(5.0, 5.0, 0.1)), timeout(5.0, 5.0, 20.0), 504),
        (None, timeout(5.0, 5.0, 0.1), 504),
        (None, timeout(5.0, 5.0, 20.0), 200),
    ];
    for (own, upstreams, expected) in cases {
        let mut route = json!({"uri": "/*", "upstream": echo.upstream()});
        route["upstream"]["timeout"] = upstreams;
        if let Some(own) = own {
            route["timeout"] = own;
        }
        gateway.put("routes/r", &route);
        assert_eq!(get(&gateway, "/").status, expected, "{route}");
    }
}

#[test]
fn no_such_host_is_a_502_that_names_it() {
    let gateway = start();
    lead(&gateway, &json!({"nodes": {"no-such-host.invalid:80": 1}}));
    let answer = get(&gateway, "/");
    assert_eq!((answer.status, answer.clean_end), (502, true), "{}", answer.text());
    assert!(answer.text().contains("no-such-host.invalid"), "{}", answer.text());
}

/// What an upstream writes of an answer before it ends, and what the client gets of its body.
fn cut_answers() -> [(&'static str, Vec<u8>, &'static str); 5] {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    let sized = format!("{head}Content-Length: 20\r\n\r\n").into_bytes();
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    [
        ("half of its length", [&sized[..], b"begin"].concat(), "begin"),
        ("nothing of its length", sized, ""),
        ("no last chunk", [&chunked[..], &chunk("begin")].concat(), "begin"),
        ("half of a chunk", [&chunked[..], &chunk("begin"), b"9\r\nmore"].concat(), "beginmore"),
        ("half of the last chunk", [&chunked[..], &chunk("begin"), b"0\r\n"].concat(), "begin"),
    ]
}

#[test]
fn an_answer_that_breaks_off_never_looks_complete() {
    let gateway = start();
    let upstream = Scripted::start(Vec::new());
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    let pause = Step::Pause(Duration::from_millis(50));
    let mut count = 0;
    for end in [Step::Fin, Step::Reset] {
        for (name, bytes, begin) in cut_answers() {
            upstream.set(vec![Step::Send(bytes), pause.clone(), end.clone()]);
            let answer = get(&gateway, "/");
            assert_eq!((answer.status, answer.clean_end), (200, false), "{name}: {}", answer.text());
            assert!("beginmore".starts_with(&answer.text()), "{name}: {}", answer.text());
            assert!(
                answer.text().starts_with(begin) || matches!(end, Step::Reset),
                "{name}: {}",
                answer.text()
            );
            count += 1;
            let record = gateway.exactly(count).pop().unwrap();
            assert_eq!(record["outcome"], "upstream_truncated", "{name}: {record}");

            let mut client = Http2::open(gateway.data);
            let stream = client.next_stream();
            let head = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a6.test")];
            client.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&head)));
            let answer = client.answer(stream);
            assert!(matches!(answer.end, End::Reset(_)), "{name}: {:?} {}", answer.end, answer.text());
            count += 1;
        }
    }
    assert_eq!(upstream.received().len(), count, "something was asked twice");
}

#[test]
fn an_answer_without_framing_ends_with_its_connection() {
    let gateway = start();
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it";
    let upstream = Scripted::start(vec![Step::Send(head.to_vec()), Step::Fin]);
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    let answer = get(&gateway, "/");
    assert_eq!((answer.status, answer.text()), (200, "all of it".to_string()));
    let pause = Step::Pause(Duration::from_millis(50));
    upstream.set(vec![Step::Send(head.to_vec()), pause, Step::Reset]);
    let answer = get(&gateway, "/");
    assert!(!answer.clean_end, "a reset is no end: {}", answer.text());
}

#[test]
fn a_fault_of_one_answer_does_not_reach_the_next() {
    let gateway = start();
    let upstream = Scripted::start(Vec::new());
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
    let evil = format!("{good}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    let pause = Step::Pause(Duration::from_millis(20));
    let cases = [
        ("more than its length", vec![Step::Send(evil.into())]),
        ("closes after the answer", vec![Step::Send(good.into()), Step::Fin]),
        ("resets after the answer", vec![Step::Send(good.into()), pause, Step::Reset]),
    ];
    for (name, script) in cases {
        upstream.set(script);
        for round in 0..4 {
            let answer = get(&gateway, "/");
            assert_eq!((answer.status, answer.text().as_str()), (200, "good"), "{name}, round {round}");
            thread::sleep(Duration::from_millis(40));
        }
    }
}
