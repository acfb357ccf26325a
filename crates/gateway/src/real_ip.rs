use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use a6_snapshot::{Client, Request};
use http::HeaderName;
use ipnet::IpNet;

/// Whose word is taken for where a request came from: that of proxies in front of the gateway, as nginx's
/// `real_ip_header` and `set_real_ip_from` have it.
#[derive(Clone, Debug)]
pub struct RealIp {
    /// The header that says it: an address, or an address with a port.
    pub header: HeaderName,
    /// The peers that are believed.
    pub from: Vec<IpNet>,
}

impl RealIp {
    /// Puts the client that the peer speaks for in the peer's place.
    pub(crate) fn apply(&self, request: &mut Request) {
        let Some(told) = request.headers.get(&self.header).and_then(|value| value.to_str().ok()) else {
            return;
        };
        let peer = request.client.peer;
        if !self.from.iter().any(|network| network.contains(&peer.ip().to_canonical())) {
            return;
        }
        if let Some(address) = address(told.trim(), peer.port()) {
            request.client = Rc::new(Client { peer: address, ..(*request.client).clone() });
        }
    }
}

fn address(text: &str, port: u16) -> Option<SocketAddr> {
    let alone = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
    alone().or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_peer_speaks_for_others() {
        let rule = RealIp {
            header: HeaderName::from_static("x-real-ip"),
            from: vec!["127.0.0.0/8".parse().unwrap()],
        };
        let cases = [
            ("127.0.0.1:7", "9.9.9.9", "9.9.9.9:7"),
            ("127.0.0.1:7", "9.9.9.9:80", "9.9.9.9:80"),
            ("127.0.0.1:7", " ::1 ", "[::1]:7"),
            ("127.0.0.1:7", "unknown", "127.0.0.1:7"),
            ("10.0.0.1:7", "9.9.9.9", "10.0.0.1:7"),
        ];
        for (peer, told, expected) in cases {
            let (parts, ()) =
                http::Request::builder().header("x-real-ip", told).body(()).unwrap().into_parts();
            let client =
                Client { peer: peer.parse().unwrap(), local: "127.0.0.1:1".parse().unwrap(), scheme: "http" };
            let (mut request, _) = Request::new(parts, Rc::new(client));
            rule.apply(&mut request);
            assert_eq!(request.client.peer.to_string(), expected, "{peer} {told}");
        }
    }
}
