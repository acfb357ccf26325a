//! The kinds made of several values: listeners, networks, names, host overrides, Admin API keys.

use crate::convert::{Typed, filled, mismatch, whole};
use crate::error::Report;
use crate::keys::nearest;
use crate::settings::{AdminKey, HostOverride, Role};
use crate::tree::{Node, Value, join};
use a6_core::Secret;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where `apisix.node_listen` listens when an entry names no address.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const A_PORT: &str = "an integer from 0 to 65535";
const A_HOST: &str = "a host name of ASCII letters, digits, - and _, without scheme, port or wildcard";
const A_NET: &str = "an IP address or a CIDR range such as 10.0.0.0/8";

/// `apisix.node_listen`: a port, a list of ports, or a list of `{ip, port}`. Every item is checked, whatever came before.
pub(crate) fn listens(node: &Node, key: &str, report: &mut Report) -> Option<Vec<SocketAddr>> {
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
        match listen(item, &key, report) {
            Some(address) if address.port() != 0 && addresses.contains(&address) => {
                report.error(&item.origin, &key, format!("{address} stands twice in the list; remove one"));
            }
            Some(address) => addresses.push(address),
            None => {}
        }
    }
    (addresses.len() == items.len() && !items.is_empty()).then_some(addresses)
}

fn listen(item: &Node, key: &str, report: &mut Report) -> Option<SocketAddr> {
    if !matches!(item.value, Value::Map(_)) {
        let port = port(item);
        if port.is_none() {
            mismatch(item, key, "an integer from 0 to 65535 or {ip, port}", true, report);
        }
        return port.map(|port| SocketAddr::new(ANY, port));
    }
    let [ip, port_node] = fields(item, key, ["ip", "port"], report);
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
