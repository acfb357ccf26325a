//! TLS to the nodes: who they are, who is asking.

use a6_mock::{ClientIdentity, Mock, Options, TlsIdentity};
use serde_json::{Value, json};

use super::{is_told, lead, nodes};
use crate::support::{self, Connection, Echo, Gateway, Setup, request};

/// A mock that speaks TLS as that identity.
fn mock_as(identity: &TlsIdentity) -> Mock {
    let tls = Some(identity.clone());
    Mock::start(Options { port: 0, ledger: true, tls, ..Options::default() }).unwrap()
}

/// A mock that speaks TLS as `tls.example`, and the authority behind it.
fn tls_mock() -> (Mock, String) {
    let identity = TlsIdentity::for_hosts(&["tls.example"]).unwrap();
    (mock_as(&identity), identity.ca_pem)
}

/// The upstream to that mock's port.
fn https(mock: &Mock, members: Value) -> Value {
    let mut upstream = json!({"scheme": "https", "nodes": nodes(&[(mock.addr, 1)])});
    upstream.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    upstream
}

/// Asks for an echo in the name of that host.
fn ask(gateway: &Gateway, host: &str) -> support::Answer {
    Connection::open(gateway.data).answer(&request("POST", "/echo", &[("Host", host)], b"{\"a\":1}"))
}

#[test]
fn tls_asks_for_the_host_that_is_sent() {
    let (mock, _) = tls_mock();
    let gateway = Setup::new().resolve("tls.example", mock.addr).start();
    let cases = [
        (https(&mock, json!({})), "tls.example"),
        (https(&mock, json!({"pass_host": "rewrite", "upstream_host": "own.example"})), "own.example"),
        (json!({"scheme": "https", "nodes": {"tls.example:443": 1}, "pass_host": "node"}), "tls.example"),
    ];
    for (upstream, host) in cases {
        mock.clear();
        lead(&gateway, &upstream);
        // By default nobody's word is needed for a certificate.
        let answer = ask(&gateway, "tls.example");
        assert_eq!(answer.status, 200, "{upstream}: {}", answer.text());
        let exchange = support::ledger(&mock, 1).remove(0);
        assert_eq!(exchange.sni.as_deref(), Some(host), "{upstream}");
        assert_eq!(support::sent_once(&exchange, "host"), Some(host), "{upstream}");
        assert_eq!(exchange.body, "{\"a\":1}", "{upstream}");
        // It tells of the client's connection.
        assert_eq!(support::sent_once(&exchange, "x-forwarded-proto"), Some("http"));
    }
}

#[test]
fn a_certificate_is_checked_where_the_upstream_says_so() {
    let (mock, ca_pem) = tls_mock();
    let checked = https(&mock, json!({"tls": {"verify": true}}));
    let stranger = Setup::new().start();
    lead(&stranger, &checked);
    is_told(&ask(&stranger, "tls.example"), 502, mock.addr);

    let friend = Setup::new().trust(&ca_pem).start();
    lead(&friend, &checked);
    let answer = ask(&friend, "tls.example");
    assert_eq!(answer.status, 200, "{}", answer.text());
    is_told(&ask(&friend, "other.example"), 502, mock.addr);
}

#[test]
fn tls_to_a_backend_that_has_none_is_told() {
    let gateway = Setup::new().start();
    let echo = Echo::start("plain");
    let mut upstream = echo.upstream();
    upstream["scheme"] = json!("https");
    upstream["timeout"] = json!({"connect": 0.5, "send": 0.5, "read": 0.5});
    lead(&gateway, &upstream);
    let answer = ask(&gateway, "tls.example");
    // It hangs up, or waits for more of what it takes for a request.
    assert!(matches!(answer.status, 502 | 504), "{}", answer.text());
    is_told(&answer, answer.status, echo.address);
}

#[test]
fn a_backend_that_asks_who_is_there_is_shown_the_upstreams_own_certificate() {
    let identity = TlsIdentity::for_known_clients(&["tls.example"]).unwrap();
    let mock = mock_as(&identity);
    let gateway = Setup::new().start();
    lead(&gateway, &https(&mock, json!({})));
    is_told(&ask(&gateway, "tls.example"), 502, mock.addr);

    let client = &identity.client;
    let own = json!({"tls": {"client_cert": client.cert_pem, "client_key": client.key_pem}});
    lead(&gateway, &https(&mock, own));
    assert_eq!(ask(&gateway, "tls.example").status, 200);
}

#[test]
fn a_certificate_that_an_upstream_names_is_shown_as_it_stands_now() {
    let identity = TlsIdentity::for_known_clients(&["tls.example"]).unwrap();
    let stranger = TlsIdentity::for_known_clients(&["tls.example"]).unwrap().client;
    let mock = mock_as(&identity);
    let gateway = Setup::new().start();
    let store = |client: &ClientIdentity| {
        let document = json!({"type": "client", "cert": client.cert_pem, "key": client.key_pem});
        gateway.put("ssls/own", &document);
    };
    store(&identity.client);
    let named = https(&mock, json!({"tls": {"client_cert_id": "own"}}));
    // Written in the route, and for itself.
    lead(&gateway, &named);
    gateway.put("upstreams/named", &named);
    gateway.put("routes/by-id", &json!({"uri": "/by-id", "upstream_id": "named"}));
    let both = || {
        let by_id = request("POST", "/by-id", &[("Host", "tls.example")], b"{}");
        let echoed = ask(&gateway, "tls.example");
        (echoed.status, Connection::open(gateway.data).answer(&by_id).status)
    };
    assert_eq!(both(), (200, 200));

    store(&stranger);
    assert_eq!(both(), (502, 502));
    store(&identity.client);
    assert_eq!(both(), (200, 200));

    // Whoever takes a certificate away does not send requests out without it.
    gateway.delete("ssls/own");
    assert_eq!(both(), (502, 502));
}
