//! Promise: with `https_admin` the Admin API speaks TLS and nothing else, and where it has an authority for clients it
//! answers only those.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use support::tls::{Authority, Identity, TlsClient};
use support::{ADMIN_KEY, Connection, Gateway, Setup, request};
use tempfile::TempDir;

/// Writes a file and gives its path.
fn file(home: &Path, name: &str, text: &str) -> String {
    let path = home.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_string()
}

/// The settings of a certificate and, if there is one, of the clients' authority.
fn mtls(home: &Path, identity: &Identity, ca: Option<&Authority>) -> String {
    let cert = file(home, "admin.pem", &identity.cert);
    let key = file(home, "admin.key.pem", &identity.key);
    let ca = ca.map(|ca| file(home, "clients.pem", &ca.pem())).unwrap_or_default();
    format!(
        "admin_api_mtls: {{admin_ssl_cert: {cert}, admin_ssl_cert_key: {key}, admin_ssl_ca_cert: \"{ca}\"}}"
    )
}

fn start(ca: Option<&Authority>) -> (Gateway, TlsClient) {
    let home = Arc::new(TempDir::new().unwrap());
    let servers = Authority::root("servers");
    let yaml = mtls(home.path(), &servers.server(&["localhost"]), ca);
    (Setup::new().home(&home).admin_tls(&yaml).start(), TlsClient::trusting(&servers))
}

/// Asks for the routes with that key: the status, and the body's text.
fn routes(gateway: &Gateway, client: &TlsClient, key: &str) -> Result<(u16, String), String> {
    let headers = [("Host", "localhost"), ("X-API-KEY", key)];
    client.connect(gateway.admin, "localhost")?.ask(&request("GET", "/apisix/admin/routes", &headers, b""))
}

#[test]
fn it_is_reached_over_tls_alone() {
    let (gateway, client) = start(None);
    let (status, body) = routes(&gateway, &client, ADMIN_KEY).unwrap();
    assert_eq!((status, body.contains("\"total\":0")), (200, true), "{body}");
    assert_eq!(routes(&gateway, &client, "wrong").unwrap().0, 401);
    let address = format!("https://{}/apisix/admin", gateway.admin);
    support::eventually("the address", || gateway.output().contains(&address).then_some(()));

    let mut plain = Connection::open(gateway.admin);
    plain.write(&request("GET", "/apisix/admin/routes", &[("X-API-KEY", ADMIN_KEY)], b""));
    let answer = plain.until_closed(Duration::from_secs(10)).expect("it is closed");
    assert!(!answer.starts_with(b"HTTP/1.1"), "it answered without TLS");

    let strangers = TlsClient::trusting(&Authority::root("strangers"));
    assert!(routes(&gateway, &strangers, ADMIN_KEY).is_err());
    assert_eq!(routes(&gateway, &client, ADMIN_KEY).unwrap().0, 200);
}

#[test]
fn only_clients_of_its_authority_are_answered() {
    let clients = Authority::root("clients");
    let (gateway, client) = start(Some(&clients));
    assert!(routes(&gateway, &client, ADMIN_KEY).is_err());
    let stranger = Authority::root("strangers").client();
    assert!(routes(&gateway, &client.clone().showing(&stranger), ADMIN_KEY).is_err());
    let known = client.showing(&clients.client());
    assert_eq!(routes(&gateway, &known, ADMIN_KEY).unwrap().0, 200);
    // The certificate does not stand for a key.
    assert_eq!(routes(&gateway, &known, "wrong").unwrap().0, 401);
}

#[test]
fn what_is_missing_is_named() {
    let home = TempDir::new().unwrap();
    let path = home.path();
    let identity = Authority::root("servers").server(&["localhost"]);
    let good = mtls(path, &identity, None);
    let gone = good.replace("admin.pem", "gone.pem");
    let key = "deployment.admin.admin_api_mtls.admin_ssl_cert";
    for (yaml, code, told) in [
        ("admin_api_mtls: {}", 2, format!("{key}_key: is missing")),
        (gone.as_str(), 1, format!("{key} {}: ", path.join("gone.pem").display())),
    ] {
        let config = format!(
            "apisix: {{node_listen: [{{ip: 127.0.0.1, port: 0}}], enable_control: false, ssl: {{enable: false}}}}\n\
             deployment:\n  admin:\n    admin_listen: {{port: 0}}\n    https_admin: true\n    {yaml}\n"
        );
        let config = file(path, "config.yaml", &config);
        let ended = support::a6(path)
            .args(["serve", "--config", &config, "--data-dir", "data"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{errors}");
        assert!(errors.contains(&told), "no {told:?} in {errors}");
    }
}
