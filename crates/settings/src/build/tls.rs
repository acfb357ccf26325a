use crate::check::Values;
use crate::convert::Typed;
use crate::error::{Origin, Report};
use crate::settings::{AdminTls, DataTls, TlsProtocols};
use std::net::SocketAddr;
use std::path::PathBuf;

/// APISIX's port for TLS.
const PORT: u16 = 9443;
const ADMIN: &str = "deployment.admin.admin_api_mtls";

/// The TLS of the data plane, whose plain listeners have these addresses.
pub(super) fn data(values: &Values, plain: &[SocketAddr]) -> Option<DataTls> {
    if values.flag("apisix.ssl.enable") == Some(false) {
        return None;
    }
    let given = values.listens("apisix.ssl.listen");
    let protocols = match values.get("apisix.ssl.ssl_protocols") {
        Some(Typed::TlsProtocols(protocols)) => *protocols,
        _ => TlsProtocols { tls12: true, tls13: true },
    };
    Some(DataTls {
        is_default: given.is_none(),
        listen: given.unwrap_or_else(|| beside(plain)),
        protocols,
        fallback_sni: values.text("apisix.ssl.fallback_sni").filter(|name| !name.is_empty()),
    })
}

/// The usual port beside each plain listener: who listens on loopback only does not mean to be reached from elsewhere.
fn beside(plain: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in plain {
        let address = SocketAddr::new(address.ip(), PORT);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// The TLS of the Admin API, where it is asked for. What is missing goes to the report.
pub(super) fn admin(values: &Values, report: &mut Report) -> Option<AdminTls> {
    let file = |name: &str| {
        let path = values.text(&format!("{ADMIN}.{name}")).filter(|path| !path.is_empty());
        path.map(PathBuf::from)
    };
    let [cert, key, client_ca] = ["admin_ssl_cert", "admin_ssl_cert_key", "admin_ssl_ca_cert"].map(file);
    let origin = Origin::Named("Admin API".into());
    if values.flag("deployment.admin.https_admin") != Some(true) {
        if client_ca.is_some() {
            let message = "nobody is asked for a certificate, since deployment.admin.https_admin is not true";
            report.warn(&origin, &format!("{ADMIN}.admin_ssl_ca_cert"), message);
        }
        return None;
    }
    for (name, given) in [("admin_ssl_cert", &cert), ("admin_ssl_cert_key", &key)] {
        if given.is_none() {
            let message = "is missing; deployment.admin.https_admin needs a PEM file here";
            report.error(&origin, &format!("{ADMIN}.{name}"), message);
        }
    }
    Some(AdminTls { cert: cert?, key: key?, client_ca })
}
