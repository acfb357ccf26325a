//! One value to its kind.

use crate::error::Report;
use crate::keys::Kind;
use crate::lists;
use crate::metrics;
use crate::settings::{AdminKey, HostOverride, MetricSettings, TlsProtocols};
use crate::tree::Node;
use crate::units;
use a6_core::Secret;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A value that fits its kind.
pub(crate) enum Typed {
    Flag(bool),
    Whole(u64),
    Text(String),
    Span(Duration),
    Bytes(u64),
    Percent(u64),
    Ip(IpAddr),
    Listens(Vec<SocketAddr>),
    Nets(Vec<IpNet>),
    Names(Vec<String>),
    Keyring(Vec<Secret<String>>),
    TlsProtocols(TlsProtocols),
    AdminKeys { keys: Vec<AdminKey>, generate: bool },
    Hosts(Vec<HostOverride>),
    Buckets(Vec<u64>),
    Metrics(Vec<MetricSettings>),
}

/// The value of the key `path`, or None with the reason in the report.
pub(crate) fn convert(kind: Kind, path: &str, node: &Node, report: &mut Report) -> Option<Typed> {
    match kind {
        Kind::Listens => lists::listens(node, path, false, report).map(Typed::Listens),
        Kind::TlsListens => lists::listens(node, path, true, report).map(Typed::Listens),
        Kind::TlsProtocols => lists::tls_protocols(node, path, report).map(Typed::TlsProtocols),
        Kind::Nets => lists::nets(node, path, report).map(Typed::Nets),
        Kind::Names => lists::names(node, path, report).map(Typed::Names),
        Kind::HostNames => lists::host_names(node, path, report).map(Typed::Names),
        Kind::Hosts => lists::hosts(node, path, report).map(Typed::Hosts),
        Kind::Keyring => lists::keyring(node, path, report).map(Typed::Keyring),
        Kind::Buckets => metrics::buckets(node, path, report).map(Typed::Buckets),
        Kind::Metrics => metrics::metrics(node, path, report).map(Typed::Metrics),
        Kind::AdminKeys => lists::admin_keys(node, path, report),
        kind => {
            let value = scalar(kind, node);
            if value.is_none() {
                mismatch(node, path, &expected(kind), true, report);
            }
            value
        }
    }
}

/// Reports a value of the wrong type or out of range. `show` is false where the value may be a secret.
pub(crate) fn mismatch(node: &Node, key: &str, expected: &str, show: bool, report: &mut Report) {
    report.error(&node.origin, key, format!("expected {expected}, found {}", node.describe(show)));
}

fn scalar(kind: Kind, node: &Node) -> Option<Typed> {
    match kind {
        Kind::Flag => node.boolean().map(Typed::Flag),
        Kind::Whole(least, most) => whole(node, least, most).map(Typed::Whole),
        Kind::Text => filled(node).map(|text| Typed::Text(text.to_owned())),
        Kind::TextOrNone => node.text().map(|text| Typed::Text(text.trim().to_owned())),
        Kind::Choice(words) | Kind::Provider(words) => {
            node.text().filter(|text| words.contains(text)).map(|text| Typed::Text(text.to_owned()))
        }
        Kind::Span => units::duration(node.text()?).filter(|span| !span.is_zero()).map(Typed::Span),
        Kind::SpanOrZero => units::duration(node.text()?).map(Typed::Span),
        Kind::Bytes => units::bytes(node.text()?).map(Typed::Bytes),
        Kind::Budget => {
            let text = node.text()?;
            let size = units::bytes(text).filter(|size| *size > 0).map(Typed::Bytes);
            size.or_else(|| units::percent(text).map(Typed::Percent))
        }
        Kind::Ip => node.text()?.parse().ok().map(Typed::Ip),
        _ => None,
    }
}

/// An integer in a range, ends included.
pub(crate) fn whole(node: &Node, least: u64, most: u64) -> Option<u64> {
    let value = u64::try_from(node.integer()?).ok()?;
    (least..=most).contains(&value).then_some(value)
}

/// Text with something in it.
pub(crate) fn filled(node: &Node) -> Option<&str> {
    node.text().filter(|text| !text.trim().is_empty())
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Flag => "true or false".into(),
        Kind::Whole(least, most) => format!("an integer from {least} to {most}"),
        Kind::Choice([only]) | Kind::Provider([only]) => {
            format!("{only}, the only one that a6 serves so far")
        }
        Kind::Choice(words) | Kind::Provider(words) => format!("one of {}", words.join(", ")),
        Kind::Span => {
            "a duration above zero such as 60s, 500ms, 1m or a number of seconds, at most 365d".into()
        }
        Kind::SpanOrZero => "a duration such as 60s, 500ms, 1m or a number of seconds, at most 365d".into(),
        Kind::Bytes => "a size such as 64m, 1k or a number of bytes".into(),
        Kind::Budget => {
            "a size above zero such as 256MiB or a number of bytes, or a share from 1% to 100%".into()
        }
        Kind::Ip => "an IP address".into(),
        Kind::TextOrNone => "text".into(),
        _ => "text that is not empty".into(),
    }
}
