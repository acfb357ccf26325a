//! Promise: over TLS a client is shown the certificate of the name that it asks for, as it stands at that moment; who is
//! nobody's client gets no further than the handshake, and the gateway counts why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use support::http2::Http2;
use support::tls::{Authority, Identity, TlsClient};
use support::{Connection, Echo, Gateway, Setup, request};

/// A gateway with a backend behind every path.
fn gateway(setup: Setup) -> (Gateway, Echo) {
    let (gateway, echo) = (setup.start(), Echo::start("echo"));
    gateway.put("routes/all", &json!({"uri": "/*", "upstream": echo.upstream()}));
    (gateway, echo)
}

/// So many handshakes failed for that reason, or will have in a moment.
fn counted(gateway: &Gateway, reason: &str, times: u64) {
    support::eventually(&format!("{times} of {reason}"), || {
        (gateway.counters("tls_faults")[reason] == times).then_some(())
    });
}

#[test]
fn the_exact_name_comes_before_the_pattern_and_a_stranger_is_turned_away() {
    let (gateway, echo) = gateway(Setup::new().tls(""));
    let ca = Authority::root("ca");
    let (exact, pattern) = (ca.server(&["a.site.test"]), ca.server(&["*.site.test"]));
    gateway.put("ssls/1", &pattern.ssl(&["*.site.test"], json!({})));
    gateway.put("ssls/2", &exact.ssl(&["A.site.test"], json!({})));
    let client = TlsClient::trusting(&ca);
    for (name, expected) in [("a.site.test", &exact), ("b.site.test", &pattern)] {
        let mut connection = client.connect(gateway.tls, name).unwrap();
        assert_eq!(connection.shown(), expected.der(), "{name}");
        let (status, body) = connection.ask(&request("GET", "/x", &[("Host", name)], b"")).unwrap();
        assert_eq!(status, 200, "{body}");
        let seen = echo.last();
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
        assert_eq!(seen.header("x-forwarded-port"), Some(gateway.tls.port().to_string().as_str()));
    }
    for name in ["x.b.site.test", "other.example"] {
        let error = client.connect(gateway.tls, name).err().unwrap();
        assert!(error.contains("UnrecognisedName"), "{name}: {error}");
    }
    let error = client.nameless().connect(gateway.tls, "a.site.test").err().unwrap();
    assert!(error.contains("UnrecognisedName"), "{error}");
    counted(&gateway, "unknown_name", 2);
    counted(&gateway, "no_name", 1);
    assert_eq!(echo.count(), 2);
}

#[test]
fn who_names_nobody_gets_the_name_of_the_settings() {
    let (gateway, _echo) = gateway(Setup::new().tls("fallback_sni: a.test"));
    let ca = Authority::root("ca");
    let identity = ca.server(&["a.test"]);
    gateway.put("ssls/1", &identity.ssl(&["a.test"], json!({})));
    let connection = TlsClient::trusting(&ca).nameless().connect(gateway.tls, "a.test").unwrap();
    assert_eq!(connection.shown(), identity.der());
}

#[test]
fn a_new_certificate_counts_for_the_next_handshake_and_open_connections_live_on() {
    let (gateway, _echo) = gateway(Setup::new().tls(""));
    let ca = Authority::root("ca");
    let (old, new) = (ca.server(&["a.test"]), ca.server(&["a.test"]));
    let client = TlsClient::trusting(&ca);
    let get = request("GET", "/x", &[("Host", "a.test")], b"");
    gateway.put("ssls/1", &old.ssl(&["a.test"], json!({})));
    let mut first = client.connect(gateway.tls, "a.test").unwrap();
    assert_eq!((first.shown(), first.ask(&get).unwrap().0), (old.der(), 200));

    gateway.put("ssls/1", &new.ssl(&["a.test"], json!({})));
    let mut second = client.connect(gateway.tls, "a.test").unwrap();
    assert_eq!((second.shown(), second.ask(&get).unwrap().0), (new.der(), 200));

    let off = json!({"status": 0});
    gateway.put("ssls/1", &new.ssl(&["a.test"], off));
    assert!(client.connect(gateway.tls, "a.test").is_err());
    gateway.put("ssls/1", &new.ssl(&["a.test"], json!({})));
    assert!(client.connect(gateway.tls, "a.test").is_ok());
    gateway.delete("ssls/1");
    assert!(client.connect(gateway.tls, "a.test").is_err());
    for connection in [&mut first, &mut second] {
        assert_eq!(connection.ask(&get).unwrap().0, 200);
    }
}

#[test]
fn a_pair_that_does_not_belong_together_is_refused_and_the_one_in_force_stays() {
    let (gateway, _echo) = gateway(Setup::new().tls(""));
    let ca = Authority::root("ca");
    let (good, other) = (ca.server(&["a.test"]), ca.server(&["a.test"]));
    gateway.put("ssls/1", &good.ssl(&["a.test"], json!({})));
    let mixed = Identity { cert: good.cert.clone(), key: other.key };
    let (status, answer) = gateway.admin("PUT", "ssls/1", Some(&mixed.ssl(&["a.test"], json!({}))));
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error_msg"].as_str().unwrap().contains("does not belong"), "{answer}");
    let connection = TlsClient::trusting(&ca).connect(gateway.tls, "a.test").unwrap();
    assert_eq!(connection.shown(), good.der());
}

#[test]
fn versions_are_those_of_the_resource_or_else_of_the_settings() {
    use rustls::version::{TLS12, TLS13};
    let (gateway, _echo) = gateway(Setup::new().tls("ssl_protocols: TLSv1.3"));
    let ca = Authority::root("ca");
    let identity = ca.server(&["a.test", "b.test"]);
    gateway.put("ssls/1", &identity.ssl(&["a.test"], json!({})));
    gateway.put("ssls/2", &identity.ssl(&["b.test"], json!({"ssl_protocols": ["TLSv1.2"]})));
    for (name, version, expected) in [
        ("a.test", &TLS12, false),
        ("a.test", &TLS13, true),
        ("b.test", &TLS12, true),
        ("b.test", &TLS13, false),
    ] {
        let answer = TlsClient::trusting(&ca).only(version).get(gateway.tls, name, "/x");
        assert_eq!(answer.is_ok(), expected, "{name} {version:?}: {answer:?}");
    }
    counted(&gateway, "incompatible", 2);
}

#[test]
fn http2_is_spoken_where_both_offer_it() {
    let (gateway, echo) = gateway(Setup::new().tls(""));
    let ca = Authority::root("ca");
    gateway.put("ssls/1", &ca.server(&["a6.test"]).ssl(&["a6.test"], json!({})));
    let client = TlsClient::trusting(&ca);
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1"][..], Some("http/1.1")),
        (&[][..], None),
    ] {
        let connection = client.clone().speaking(offered).connect(gateway.tls, "a6.test").unwrap();
        assert_eq!(connection.protocol().as_deref(), agreed, "{offered:?}");
        if agreed == Some("h2") {
            let mut http2 = Http2::over(connection.stream);
            let stream = http2.post("/x", &[], &json!({"n": 1}));
            let answer = http2.answer(stream);
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(echo.last().header("x-forwarded-proto"), Some("https"));
        }
    }
    let error = client.speaking(&["smtp"]).connect(gateway.tls, "a6.test").err().unwrap();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    counted(&gateway, "incompatible", 1);
}

#[test]
fn large_bodies_pass_both_ways_and_a_close_is_told() {
    let (gateway, echo) = gateway(Setup::new().tls(""));
    let ca = Authority::root("ca");
    gateway.put("ssls/1", &ca.server(&["a.test"]).ssl(&["a.test"], json!({})));
    let client = TlsClient::trusting(&ca);
    let mut connection = client.connect(gateway.tls, "a.test").unwrap();
    let body = "x".repeat(1 << 20);
    for framing in [("Content-Length", body.len().to_string()), ("Transfer-Encoding", "chunked".to_string())]
    {
        let sent = match framing.0 {
            "Content-Length" => body.clone(),
            _ => format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        };
        let headers = [("Host", "a.test"), (framing.0, framing.1.as_str())];
        let (status, answer) = connection.ask(&request("POST", "/x", &headers, sent.as_bytes())).unwrap();
        assert_eq!(status, 200);
        let told: Value = serde_json::from_str(&answer).unwrap();
        assert!(told["body"] == body.as_str() && echo.last().body == body, "{}", framing.0);
    }
    let headers = [("Host", "a.test"), ("Connection", "close")];
    connection.stream.write_all(&request("GET", "/last", &headers, b"")).unwrap();
    let (text, is_told) = connection.read_to_the_end();
    assert!(text.starts_with("HTTP/1.1 200") && is_told, "{text}");
}

#[test]
fn https_is_not_sent_to_https_again() {
    let (gateway, _echo) = gateway(Setup::new().tls(""));
    let ca = Authority::root("ca");
    gateway.put("ssls/1", &ca.server(&["a.test"]).ssl(&["a.test"], json!({})));
    gateway.put("global_rules/1", &json!({"plugins": {"redirect": {"http_to_https": true}}}));
    let get = request("GET", "/x", &[("Host", "a.test")], b"");
    let answer = Connection::open(gateway.data).answer(&get);
    let expected = format!("https://a.test:{}/x", gateway.tls.port());
    assert_eq!((answer.status, answer.header("location")), (301, Some(expected.as_str())));
    assert_eq!(TlsClient::trusting(&ca).get(gateway.tls, "a.test", "/x").unwrap().0, 200);
}

#[test]
fn plain_text_is_told_where_it_has_come() {
    let (gateway, echo) = gateway(Setup::new().tls(""));
    let answer = Connection::open(gateway.tls).answer(&request("GET", "/x", &[], b""));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
    let mut connection = Connection::open(gateway.tls);
    connection.write(b"\x00\x01\x02");
    assert!(connection.until_closed(Duration::from_secs(10)).is_some());
    counted(&gateway, "plain_text", 1);
    counted(&gateway, "malformed", 1);
    assert_eq!(echo.count(), 0);
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let settings = "nginx_config:\n  http:\n    client_header_timeout: 1s\n";
    let (gateway, _echo) = gateway(Setup::new().tls("").settings(settings));
    let ca = Authority::root("ca");
    gateway.put("ssls/1", &ca.server(&["a.test"]).ssl(&["a.test"], json!({})));
    let mut silent = Connection::open(gateway.tls);
    let mut begun = Connection::open(gateway.tls);
    // The first bytes of a ClientHello.
    begun.write(&[22, 3, 1, 0, 200, 1]);
    // They hold up nobody.
    assert_eq!(TlsClient::trusting(&ca).get(gateway.tls, "a.test", "/x").unwrap().0, 200);
    for connection in [&mut silent, &mut begun] {
        assert!(connection.until_closed(Duration::from_secs(10)).is_some(), "it is still open");
    }
    counted(&gateway, "late", 2);
    drop(Connection::open(gateway.tls));
    counted(&gateway, "gone", 1);
}

#[test]
fn a_usual_port_that_is_taken_keeps_nobody_from_starting() {
    // Where somebody else has it, it is taken too.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", 9443));
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.yaml");
    let any = "{ip: 127.0.0.1, port: 0}";
    let text = format!("apisix:\n  node_listen: [{any}]\n  enable_admin: false\n  enable_control: false\n");
    std::fs::write(&config, text).unwrap();
    let log = home.path().join("log");
    let output = || std::fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
    let mut child = support::a6(home.path())
        .args(["serve", "--config", config.to_str().unwrap(), "--data-dir", "data"])
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap();
    let told = support::eventually("the warning", || {
        let told = std::fs::read_to_string(&log).unwrap();
        told.contains("warning: ").then_some(told)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let expected = "warning: the data plane does not speak TLS: cannot listen on 127.0.0.1:9443: ";
    assert!(told.contains(expected) && told.contains("data plane   http://127.0.0.1:"), "{told}");
}
