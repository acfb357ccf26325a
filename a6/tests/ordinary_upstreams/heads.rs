//! Heads on their way there and back.

use serde_json::json;

use super::{get, lead, nodes, send, start, who};
use crate::support::{Connection, Echo, Gateway, Scripted, Seen, Setup, request};

/// What the backend saw of a GET with these headers.
fn seen(gateway: &Gateway, echo: &Echo, headers: &[(&str, &str)]) -> Seen {
    who(&send(gateway, "GET", "/", headers));
    echo.last()
}

#[test]
fn the_host_is_the_clients_the_nodes_or_the_upstreams() {
    let echo = Echo::start("echo");
    let gateway = Setup::new().resolve("node.example", echo.address).start();
    let named = |port: &str| json!({format!("node.example{port}"): 1});
    let address = echo.address.to_string();
    let of_address = nodes(&[(echo.address, 1)]);
    let cases = [
        (json!({"nodes": of_address}), "client.example:99"),
        (json!({"nodes": of_address, "pass_host": "pass"}), "client.example:99"),
        (json!({"nodes": of_address, "pass_host": "node"}), address.as_str()),
        // The port of the scheme is left out, any other is told.
        (json!({"nodes": named(":80"), "pass_host": "node"}), "node.example"),
        (json!({"nodes": named(""), "pass_host": "node"}), "node.example"),
        (json!({"nodes": named(":8080"), "pass_host": "node"}), "node.example:8080"),
        (json!({"nodes": of_address, "pass_host": "rewrite", "upstream_host": "own.example"}), "own.example"),
        // Only `rewrite` looks at it.
        (json!({"nodes": of_address, "upstream_host": "own.example"}), "client.example:99"),
    ];
    for (upstream, expected) in cases {
        lead(&gateway, &upstream);
        let seen = seen(&gateway, &echo, &[("Host", "client.example:99")]);
        assert_eq!(seen.header("host"), Some(expected), "{upstream}");
        assert_eq!(seen.header("x-forwarded-host"), Some("client.example:99"), "{upstream}");
    }
}

#[test]
fn the_backend_is_told_who_asks_and_how() {
    let gateway = start();
    let echo = Echo::start("echo");
    lead(&gateway, &echo.upstream());
    let own = gateway.data.to_string();
    let got = seen(&gateway, &echo, &[("Host", own.as_str())]);
    let port = gateway.data.port().to_string();
    let expected = [
        ("x-real-ip", Some("127.0.0.1")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some(own.as_str())),
        ("x-forwarded-port", Some(port.as_str())),
        ("forwarded", None),
    ];
    for (name, value) in expected {
        assert_eq!(got.header(name), value, "{name}");
    }
    // What a client says of itself is only believed as a link of the chain.
    let lies = [
        ("Host", own.as_str()),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "1"),
        ("Forwarded", "for=1.2.3.4"),
    ];
    let got = seen(&gateway, &echo, &lies);
    for (name, value) in expected.into_iter().filter(|(name, _)| *name != "x-forwarded-for") {
        assert_eq!(got.header(name), value, "{name}");
    }
    assert_eq!(got.all("x-forwarded-for").join(", "), "1.2.3.4, 127.0.0.1");
}

#[test]
fn headers_pass_but_those_of_one_connection() {
    let gateway = start();
    let echo = Echo::start("echo");
    lead(&gateway, &echo.upstream());
    let sent = [
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("X-Mine", "a"),
        ("X-Mine", "b"),
        ("User-Agent", "test/1"),
        ("Accept-Encoding", "gzip"),
        ("Authorization", "Bearer client"),
        ("Cookie", "a=b; c=d"),
        ("X-Consumer-Username", "passes where nobody is authenticated"),
    ];
    let got = seen(&gateway, &echo, &sent);
    for name in ["x-hop", "keep-alive", "proxy-connection", "te", "upgrade", "transfer-encoding"] {
        assert_eq!(got.header(name), None, "{name}");
    }
    let connection = got.header("connection").unwrap_or("keep-alive");
    assert!(connection.eq_ignore_ascii_case("keep-alive"), "{connection}");
    assert_eq!(got.all("x-mine"), ["a", "b"]);
    for (name, value) in &sent[8..] {
        assert_eq!(got.header(&name.to_ascii_lowercase()), Some(*value), "{name}");
    }
    assert_eq!(got.header("content-length"), None, "a request without a body");
}

#[test]
fn methods_targets_and_bodies_pass_as_they_are() {
    let gateway = start();
    let echo = Echo::start("echo");
    lead(&gateway, &echo.upstream());
    let target = "/a%20b//c/../d%2Fe;v=1?x=1&y=%20&&z=a+b?c";
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "PROPFIND"] {
        let bytes = request(method, target, &[("Content-Length", "7")], b"{\"b\":1}");
        let answer = Connection::open(gateway.data).answer(&bytes);
        assert_eq!(who(&answer), "echo", "{method}");
        let got = echo.last();
        assert_eq!((got.method.as_str(), got.target.as_str()), (method, target));
        assert_eq!(
            (got.body.as_str(), got.header("content-type")),
            ("{\"b\":1}", Some("application/json")),
            "{method}"
        );
    }
    let answer = send(&gateway, "HEAD", "/h", &[]);
    assert_eq!((answer.status, echo.last().method.as_str()), (200, "HEAD"));
}

#[test]
fn an_answers_head_passes_but_what_is_of_one_connection() {
    let gateway = start();
    let head = "HTTP/1.1 418 I'm a teapot\r\n\
                Server: backend/1\r\n\
                Connection: keep-alive, X-Inner\r\n\
                X-Inner: 1\r\n\
                Keep-Alive: timeout=5\r\n\
                Set-Cookie: a=1\r\n\
                Set-Cookie: b=2\r\n\
                X-Mine: yes\r\n\
                Content-Type: text/x-tea; charset=utf-8\r\n\
                ETag: \"strong\"\r\n\
                Content-Length: 3\r\n\r\ntea";
    let upstream = Scripted::answering(head);
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    let answer = get(&gateway, "/");
    assert_eq!((answer.status, answer.text().as_str(), answer.clean_end), (418, "tea", true));
    assert!(answer.header("server").is_some_and(|server| server.starts_with("APISIX/")), "{:?}", answer.head);
    for name in ["x-inner", "keep-alive", "transfer-encoding", "x-apisix-upstream-status"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    let passed = [
        ("x-mine", "yes"),
        ("content-type", "text/x-tea; charset=utf-8"),
        ("etag", "\"strong\""),
        ("content-length", "3"),
    ];
    for (name, value) in passed {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let cookies = answer.head.headers.iter().filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[test]
fn interim_answers_do_not_end_the_wait() {
    let gateway = start();
    let bytes =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let upstream = Scripted::answering(bytes);
    lead(&gateway, &json!({"nodes": nodes(&[(upstream.address, 1)])}));
    for _ in 0..2 {
        let answer = get(&gateway, "/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
}

#[test]
fn connections_to_a_backend_are_used_again() {
    let gateway = Setup::new().start();
    let echo = Echo::start("echo");
    lead(&gateway, &echo.upstream());
    (0..20).for_each(|_| drop(who(&get(&gateway, "/"))));
    assert_eq!(echo.connections(), 1);
    let mut upstream = echo.upstream();
    upstream["keepalive_pool"] = json!({"requests": 4});
    lead(&gateway, &upstream);
    let before = echo.connections();
    (0..20).for_each(|_| drop(who(&get(&gateway, "/"))));
    let opened = echo.connections() - before;
    assert!((4..=5).contains(&opened), "{opened} connections for 20 requests, each good for 4");
}
