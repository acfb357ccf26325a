//! The kinds made of several values: listeners, networks, names, host overrides, Admin API keys, the key ring.

use crate::convert::{Typed, filled, mismatch, whole};
use crate::error::Report;
use crate::keys::nearest;
use crate::settings::{AdminKey, HostOverride, Role, TlsProtocols};
use crate::tree::{Node, Value, join};
use a6_core::Secret;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where the data plane listens when an entry names no address.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const A_PORT: &str = "an integer from 0 to 65535";
const A_HOST: &str = "a host name of ASCII letters, digits, - and _, without scheme, port or wildcard";
const A_NET: &str = "an IP address or a CIDR range such as 10.0.0.0/8";

/// `apisix.node_listen` and, for TLS, `apisix.ssl.listen`: a port, a list of ports, or a list of `{ip, port}`. Every item is
/// checked, whatever came before.
pub(crate) fn listens(node: &Node, key: &str, is_tls: bool, report: &mut Report) -> Option<Vec<SocketAddr>> {
    let Value::List(items) = &node.value else {
        let expected = "an integer from 0 to 65535, a list of them or a list of {ip, port}";
        let port = port(node);
        if port.is_none() {
            mismatch(node, key, expected, true, report);
        }
        return port.map(|port| vec![SocketAddr::new(ANY, port)]);
    };
    if items.is_empty() {
        report.error(&node.origin, key, "expected at least one port, found an empty list");
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let key = format!("{key}[{index}]");
        match listen(item, &key, is_tls, report) {
            Some(address) if address.port() != 0 && addresses.contains(&address) => {
                report.error(&item.origin, &key, format!("{address} stands twice in the list; remove one"));
            }
            Some(address) => addresses.push(address),
            None => {}
        }
    }
    (addresses.len() == items.len() && !items.is_empty()).then_some(addresses)
}

fn listen(item: &Node, key: &str, is_tls: bool, report: &mut Report) -> Option<SocketAddr> {
    if !matches!(item.value, Value::Map(_)) {
        let port = port(item);
        if port.is_none() {
            mismatch(item, key, "an integer from 0 to 65535 or {ip, port}", true, report);
        }
        return port.map(|port| SocketAddr::new(ANY, port));
    }
    let (ip, port_node) = if is_tls {
        let [ip, port, http2, http3] =
            fields(item, key, ["ip", "port", "enable_http2", "enable_http3"], report);
        always(http2, &join(key, "enable_http2"), true, report)?;
        always(http3, &join(key, "enable_http3"), false, report)?;
        (ip, port)
    } else {
        let [ip, port] = fields(item, key, ["ip", "port"], report);
        (ip, port)
    };
    let ip = match ip {
        None => Some(ANY),
        Some(node) => {
            let ip = node.text().and_then(|text| text.parse::<IpAddr>().ok());
            if ip.is_none() {
                mismatch(node, &join(key, "ip"), "an IP address", true, report);
            }
            ip
        }
    };
    let Some(node) = port_node else {
        report.error(&item.origin, key, "port is missing; write {ip, port}");
        return None;
    };
    let number = port(node);
    if number.is_none() {
        mismatch(node, &join(key, "port"), A_PORT, true, report);
    }
    Some(SocketAddr::new(ip?, number?))
}

/// A flag of APISIX's for what a6 does always, or never; none where it is no flag.
fn always(node: Option<&Node>, key: &str, ours: bool, report: &mut Report) -> Option<()> {
    let Some(node) = node else { return Some(()) };
    let Some(flag) = node.boolean() else {
        mismatch(node, key, "true or false", true, report);
        return None;
    };
    if flag != ours {
        let message =
            format!("{flag} is known to APISIX, not served by a6 yet; ignored, {ours} stays in force");
        report.warn(&node.origin, key, message);
    }
    Some(())
}

/// `apisix.ssl.ssl_protocols`: words in a list, or in one text with spaces in between as nginx has them.
pub(crate) fn tls_protocols(node: &Node, key: &str, report: &mut Report) -> Option<TlsProtocols> {
    let expected = "TLSv1.2, TLSv1.3 or both";
    let words: Option<Vec<&str>> = match &node.value {
        Value::List(items) => items.iter().map(Node::text).collect(),
        _ => node.text().map(|text| text.split_whitespace().collect()),
    };
    let Some(words) = words else {
        mismatch(node, key, expected, true, report);
        return None;
    };
    let mut protocols = TlsProtocols { tls12: false, tls13: false };
    for word in words {
        match word {
            "TLSv1.2" => protocols.tls12 = true,
            "TLSv1.3" => protocols.tls13 = true,
            "TLSv1" | "TLSv1.1" => {
                report.warn(&node.origin, key, format!("a6 does not speak {word}, which is broken; ignored"));
            }
            _ => {
                mismatch(node, key, expected, true, report);
                return None;
            }
        }
    }
    if !(protocols.tls12 || protocols.tls13) {
        mismatch(node, key, expected, true, report);
        return None;
    }
    Some(protocols)
}

fn port(node: &Node) -> Option<u16> {
    whole(node, 0, u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
}

/// Addresses and CIDR ranges.
pub(crate) fn nets(node: &Node, key: &str, report: &mut Report) -> Option<Vec<IpNet>> {
    each(node, key, A_NET, report, |text| {
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    })
}

/// Names, each not empty.
pub(crate) fn names(node: &Node, key: &str, report: &mut Report) -> Option<Vec<String>> {
    each(node, key, "a name", report, |text| Some(text.to_owned()))
}

/// Host names in lower case, without a trailing dot.
pub(crate) fn host_names(node: &Node, key: &str, report: &mut Report) -> Option<Vec<String>> {
    each(node, key, A_HOST, report, host_name)
}

/// The items of a list of texts, each as `read` takes it. Every item is checked, whatever came before.
fn each<T>(
    node: &Node,
    key: &str,
    expected: &str,
    report: &mut Report,
    read: impl Fn(&str) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(items) = &node.value else {
        mismatch(node, key, &format!("a list, each item {expected}"), true, report);
        return None;
    };
    let mut values = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match filled(item).and_then(&read) {
            Some(value) => values.push(value),
            None => mismatch(item, &format!("{key}[{index}]"), expected, true, report),
        }
    }
    (values.len() == items.len()).then_some(values)
}

/// A name as it is compared: an international one has to be given as it is looked up (`xn--…`).
fn host_name(text: &str) -> Option<String> {
    let name = text.trim_end_matches('.');
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    fits.then(|| name.to_ascii_lowercase())
}

/// `a6.resolve`.
pub(crate) fn hosts(node: &Node, key: &str, report: &mut Report) -> Option<Vec<HostOverride>> {
    let Value::Map(entries) = &node.value else {
        mismatch(node, key, "a mapping from host name to \"ip\" or \"ip:port\"", true, report);
        return None;
    };
    let mut hosts: Vec<HostOverride> = Vec::new();
    for entry in entries {
        let key = join(key, &entry.key);
        let Some(host) = host_name(&entry.key) else {
            report.error(&entry.origin, &key, format!("expected {A_HOST}"));
            continue;
        };
        if hosts.iter().any(|other| other.host == host) {
            report.error(&entry.origin, &key, format!("{host} stands twice; keep one of them"));
        } else if let Some((ip, port)) = entry.node.text().and_then(target) {
            hosts.push(HostOverride { host, ip, port });
        } else {
            let expected = "\"ip\" or \"ip:port\" such as 127.0.0.1:8443 or \"[::1]:8443\"";
            mismatch(&entry.node, &key, expected, true, report);
        }
    }
    (hosts.len() == entries.len()).then_some(hosts)
}

fn target(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    text.parse().ok().map(|ip| (ip, None))
}

/// `apisix.data_encryption.keyring`: a key or a list of keys. None of them is ever shown.
pub(crate) fn keyring(node: &Node, key: &str, report: &mut Report) -> Option<Vec<Secret<String>>> {
    let one = |node: &Node, key: &str, report: &mut Report| {
        let text = node.text().filter(|text| matches!(text.len(), 16 | 32));
        if text.is_none() {
            mismatch(node, key, "a key of 16 or 32 bytes", false, report);
        }
        text.map(|text| Secret::new(text.to_owned()))
    };
    match &node.value {
        Value::List(items) => {
            let keys = items.iter().enumerate();
            let keys: Vec<_> =
                keys.map(|(index, item)| one(item, &format!("{key}[{index}]"), report)).collect();
            keys.into_iter().collect()
        }
        _ => one(node, key, report).map(|key| vec![key]),
    }
}

/// `deployment.admin.admin_key`. No value from here is ever shown: whatever stands in the wrong place may be the key.
pub(crate) fn admin_keys(node: &Node, key: &str, report: &mut Report) -> Option<Typed> {
    let Value::List(items) = &node.value else {
        mismatch(node, key, "a list of {name, key, role}", false, report);
        return None;
    };
    let mut keys = Vec::new();
    let mut generate = false;
    let mut complete = true;
    for (index, item) in items.iter().enumerate() {
        match admin_key(item, &format!("{key}[{index}]"), report) {
            Some(given) if !given.key.expose().is_empty() => keys.push(given),
            Some(_) => generate = true,
            None => complete = false,
        }
    }
    complete.then_some(Typed::AdminKeys { keys, generate })
}

/// One entry; an empty key asks for a generated one.
fn admin_key(item: &Node, path: &str, report: &mut Report) -> Option<AdminKey> {
    if !matches!(item.value, Value::Map(_)) {
        mismatch(item, path, "{name, key, role}", false, report);
        return None;
    }
    let [name, key, role] = fields(item, path, ["name", "key", "role"], report);
    let name = match name {
        None => Some("admin"),
        Some(node) => secret_text(node, &join(path, "name"), report),
    };
    let key_text = match key {
        None => Some(""),
        Some(node) => secret_text(node, &join(path, "key"), report),
    };
    let given = match role {
        None => {
            report.error(&item.origin, path, "role is missing; write role: admin or role: viewer");
            None
        }
        Some(node) => match node.text() {
            Some("admin") => Some(Role::Admin),
            Some("viewer") => Some(Role::Viewer),
            _ => {
                mismatch(node, &join(path, "role"), "admin or viewer", false, report);
                None
            }
        },
    };
    let (name, key_text, given) = (name?, key_text?, given?);
    if key_text.is_empty() && given == Role::Viewer {
        let message = "key is empty; a6 makes a key for the role admin only, so write one";
        report.error(key.map_or(&item.origin, |node| &node.origin), &join(path, "key"), message);
        return None;
    }
    Some(AdminKey { name: name.to_owned(), key: Secret::new(key_text.to_owned()), role: given })
}

fn secret_text<'n>(node: &'n Node, key: &str, report: &mut Report) -> Option<&'n str> {
    let text = node.text();
    if text.is_none() {
        mismatch(node, key, "text", false, report);
    }
    text
}

/// The values of these keys of a mapping, null counting as absent; a warning for every other key.
pub(crate) fn fields<'n, const N: usize>(
    node: &'n Node,
    path: &str,
    names: [&'static str; N],
    report: &mut Report,
) -> [Option<&'n Node>; N] {
    let Value::Map(entries) = &node.value else { return [None; N] };
    for entry in entries.iter().filter(|entry| !names.contains(&entry.key.as_str())) {
        let meant = nearest(&entry.key, names.into_iter());
        report.unknown(&entry.origin, &join(path, &entry.key), meant);
    }
    names.map(|name| {
        entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node).filter(|node| !node.is_null())
    })
}
