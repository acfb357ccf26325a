//! Promise: where a certificate resource asks clients for theirs, a request is served only to who has shown one that its
//! authorities vouch for, but for the paths that are open; on every road to the host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use serde_json::json;
use support::tls::{Authority, TlsClient};
use support::{Echo, Gateway, Setup, request};

/// A gateway with a backend behind every path, and the authority of its certificates.
fn gateway() -> (Gateway, Echo, Authority) {
    let (gateway, echo) = (Setup::new().tls("").start(), Echo::start("echo"));
    gateway.put("routes/all", &json!({"uri": "/*", "upstream": echo.upstream()}));
    (gateway, echo, Authority::root("servers"))
}

/// So many handshakes failed for that reason, or will have in a moment.
fn counted(gateway: &Gateway, reason: &str, times: u64) {
    support::eventually(&format!("{times} of {reason}"), || {
        (gateway.counters("tls_faults")[reason] == times).then_some(())
    });
}

#[test]
fn without_a_certificate_that_is_believed_the_handshake_fails() {
    let (gateway, echo, servers) = gateway();
    let (clients, strangers) = (Authority::root("clients"), Authority::root("strangers"));
    let asking = json!({"client": {"ca": clients.pem()}});
    gateway.put("ssls/1", &servers.server(&["a.test"]).ssl(&["a.test"], asking));
    let client = TlsClient::trusting(&servers);
    let get = |client: &TlsClient| client.get(gateway.tls, "a.test", "/x");
    assert!(get(&client).is_err());
    counted(&gateway, "no_client_certificate", 1);
    assert!(get(&client.clone().showing(&strangers.client())).is_err());
    // A server's certificate is no client's.
    assert!(get(&client.clone().showing(&clients.server(&["a.test"]))).is_err());
    // One more between than the default allows.
    let far = clients.below("one").below("two");
    assert!(get(&client.clone().showing(&far.client())).is_err());
    counted(&gateway, "bad_client_certificate", 3);
    assert_eq!(echo.count(), 0);
    for known in [clients.client(), clients.below("one").client()] {
        assert_eq!(get(&client.clone().showing(&known)).unwrap().0, 200);
    }

    // Another authority counts for the next handshake, and for the next request of who was let in by the first.
    let mut open = client.clone().showing(&clients.client()).connect(gateway.tls, "a.test").unwrap();
    let again = request("GET", "/x", &[("Host", "a.test")], b"");
    assert_eq!(open.ask(&again).unwrap().0, 200);
    let asking = json!({"client": {"ca": strangers.pem()}});
    gateway.put("ssls/1", &servers.server(&["a.test"]).ssl(&["a.test"], asking));
    assert_eq!(open.ask(&again).unwrap().0, 400);
    assert!(get(&client.clone().showing(&clients.client())).is_err());
    assert_eq!(get(&client.showing(&strangers.client())).unwrap().0, 200);
}

#[test]
fn open_paths_are_served_to_everybody_and_others_are_not() {
    let (gateway, echo, servers) = gateway();
    let (clients, strangers) = (Authority::root("clients"), Authority::root("strangers"));
    let asking = json!({"client": {"ca": clients.pem(), "skip_mtls_uri_regex": ["^/open(/|$)"]}});
    gateway.put("ssls/1", &servers.server(&["a.test"]).ssl(&["a.test"], asking));
    let nobody = TlsClient::trusting(&servers);
    let stranger = nobody.clone().showing(&strangers.client());
    let known = nobody.clone().showing(&clients.client());
    for (client, path, expected) in [
        (&nobody, "/open", 200),
        (&nobody, "/closed", 400),
        (&nobody, "/open/../closed", 400),
        (&nobody, "/%6fpen", 200),
        (&stranger, "/open/x", 200),
        (&stranger, "/closed", 400),
        (&known, "/closed", 200),
    ] {
        let (status, body) = client.get(gateway.tls, "a.test", path).unwrap();
        assert_eq!(status, expected, "{path}: {body}");
        assert_eq!(status == 400, body.contains("client certificate"), "{path}: {body}");
    }
    assert_eq!(echo.count(), 4);
}

#[test]
fn a_host_that_asks_is_reached_only_by_its_own_name() {
    let (gateway, echo, servers) = gateway();
    let clients = Authority::root("clients");
    let known = clients.client();
    let asking = json!({"client": {"ca": clients.pem()}});
    let server = servers.server(&["free.test", "*.closed.test"]);
    gateway.put("ssls/1", &server.ssl(&["free.test"], json!({})));
    gateway.put("ssls/2", &server.ssl(&["*.closed.test"], asking));
    let nobody = TlsClient::trusting(&servers);
    let client = nobody.clone().showing(&known);
    // The name of the handshake, the Host, and the answer.
    for (client, name, host, expected) in [
        (&nobody, "free.test", "free.test", 200),
        (&nobody, "free.test", "elsewhere.test", 200),
        (&nobody, "free.test", "a.closed.test", 400),
        (&nobody, "free.test", "A.Closed.Test.:443", 400),
        (&client, "a.closed.test", "A.Closed.Test.:443", 200),
        (&client, "a.closed.test", "b.closed.test", 400),
        (&client, "a.closed.test", "free.test", 200),
    ] {
        let mut connection = client.connect(gateway.tls, name).unwrap();
        let (status, body) = connection.ask(&request("GET", "/x", &[("Host", host)], b"")).unwrap();
        assert_eq!(status, expected, "{name} {host}: {body}");
    }
    assert_eq!(echo.count(), 4);

    // Who was let in before anybody was asked is asked now.
    let mut connection = nobody.connect(gateway.tls, "free.test").unwrap();
    let get = request("GET", "/x", &[("Host", "free.test")], b"");
    assert_eq!(connection.ask(&get).unwrap().0, 200);
    gateway.put("ssls/1", &server.ssl(&["free.test"], json!({"client": {"ca": clients.pem()}})));
    assert_eq!(connection.ask(&get).unwrap().0, 400);
}
