//! What the cells of tables and the lines of the picker say.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{Item, Object, scalar};

/// A list of names longer than this many bytes is cut in a certificate's cell.
const LONGEST_NAMES: usize = 50;
/// How many plugins a cell names before it only counts them.
const NAMED_PLUGINS: usize = 3;

pub(super) fn id(item: &Item) -> String {
    item.id.clone()
}

pub(super) fn name(item: &Item) -> String {
    text(&item.object, "name")
}

pub(super) fn desc(item: &Item) -> String {
    text(&item.object, "desc")
}

pub(super) fn status(item: &Item) -> String {
    text(&item.object, "status")
}

/// `name (id)`, or the id of what has no name.
pub(super) fn name_and_id(item: &Item) -> String {
    let name = name(item);
    if name.is_empty() { item.id.clone() } else { format!("{name} ({})", item.id) }
}

/// The first of name, description and id that there is.
pub(super) fn name_desc_or_id(item: &Item) -> String {
    either(name(item), || either(desc(item), || item.id.clone()))
}

/// `names (id)` of a certificate.
pub(super) fn names_and_id(item: &Item) -> String {
    let names = either(joined(&item.object, "snis", ","), || text(&item.object, "sni"));
    if names.is_empty() { item.id.clone() } else { format!("{names} ({})", item.id) }
}

pub(super) fn uri(item: &Item) -> String {
    either(text(&item.object, "uri"), || joined(&item.object, "uris", ", "))
}

pub(super) fn methods(item: &Item) -> String {
    joined(&item.object, "methods", ", ")
}

/// The upstream's id, else the nodes of the one that is written inline.
pub(super) fn upstream(item: &Item) -> String {
    either(text(&item.object, "upstream_id"), || {
        nodes(item.object.get("upstream").and_then(|upstream| upstream.get("nodes")))
    })
}

pub(super) fn own_nodes(item: &Item) -> String {
    nodes(item.object.get("nodes"))
}

/// `2 plugins`; nothing where there are none.
pub(super) fn plugin_count(item: &Item) -> String {
    match item.object.get("plugins").and_then(Value::as_object).map_or(0, Map::len) {
        0 => String::new(),
        count => format!("{count} plugins"),
    }
}

/// All names.
pub(super) fn plugin_names(item: &Item) -> String {
    plugins(item).join(",")
}

/// `a,b,c +2`
pub(super) fn plugins_plus(item: &Item) -> String {
    few_plugins(item, |named, more, _| format!("{named} +{more}"))
}

/// `a,b,c (+2)`
pub(super) fn plugins_plus_in_brackets(item: &Item) -> String {
    few_plugins(item, |named, more, _| format!("{named} (+{more})"))
}

/// `5 plugins (a,b,c...)`
pub(super) fn plugins_counted(item: &Item) -> String {
    few_plugins(item, |named, _, all| format!("{all} plugins ({named}...)"))
}

fn few_plugins(item: &Item, many: fn(&str, usize, usize) -> String) -> String {
    let names = plugins(item);
    match names.get(..NAMED_PLUGINS) {
        Some(first) if names.len() > NAMED_PLUGINS => {
            many(&first.join(","), names.len() - NAMED_PLUGINS, names.len())
        }
        _ => names.join(","),
    }
}

fn plugins(item: &Item) -> Vec<String> {
    let plugins = item.object.get("plugins").and_then(Value::as_object);
    let mut names: Vec<String> = plugins.map(|plugins| plugins.keys().cloned().collect()).unwrap_or_default();
    names.sort();
    names
}

/// Server names, cut where there are many.
pub(super) fn snis(item: &Item) -> String {
    let names = joined(&item.object, "snis", ", ");
    if names.len() <= LONGEST_NAMES {
        return either(names, || text(&item.object, "sni"));
    }
    let end = (0..LONGEST_NAMES - 2).rev().find(|end| names.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", names.get(..end).unwrap_or_default())
}

pub(super) fn enabled(item: &Item) -> String {
    let enabled = item.object.get("status").and_then(Value::as_i64).is_none_or(|status| status == 1);
    if enabled { "enabled" } else { "disabled" }.to_owned()
}

pub(super) fn ssl_type(item: &Item) -> String {
    either(text(&item.object, "type"), || "server".to_owned())
}

/// The day on which the certificate ends.
pub(super) fn validity(item: &Item) -> String {
    let certificate = text(&item.object, "cert");
    last_day(&certificate).unwrap_or_else(|| "-".to_owned())
}

fn last_day(certificate: &str) -> Option<String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).ok()?;
    let end = pem.parse_x509().ok()?.validity().not_after.timestamp();
    time(end, TimeZone::UTC, "%Y-%m-%d")
}

pub(super) fn created(item: &Item) -> String {
    stamp(item, "create_time", TimeZone::system())
}

pub(super) fn created_utc(item: &Item) -> String {
    stamp(item, "create_time", TimeZone::UTC)
}

pub(super) fn updated(item: &Item) -> String {
    stamp(item, "update_time", TimeZone::system())
}

fn stamp(item: &Item, field: &str, zone: TimeZone) -> String {
    let seconds = item.object.get(field).and_then(Value::as_i64);
    seconds.and_then(|seconds| time(seconds, zone, "%Y-%m-%d %H:%M:%S")).unwrap_or_default()
}

fn time(seconds: i64, zone: TimeZone, format: &str) -> Option<String> {
    let zoned = Timestamp::from_second(seconds).ok()?.to_zoned_datetime(zone);
    Some(zoned.strftime(format).to_string())
}

pub(super) fn remote_addr(item: &Item) -> String {
    text(&item.object, "remote_addr")
}

pub(super) fn server_port(item: &Item) -> String {
    text(&item.object, "server_port")
}

pub(super) fn sni(item: &Item) -> String {
    text(&item.object, "sni")
}

pub(super) fn group_id(item: &Item) -> String {
    text(&item.object, "group_id")
}

pub(super) fn upstream_type(item: &Item) -> String {
    text(&item.object, "type")
}

pub(super) fn scheme(item: &Item) -> String {
    text(&item.object, "scheme")
}

/// The part of a secret manager's id that says which manager it is.
pub(super) fn manager(item: &Item) -> String {
    item.id.split('/').next().unwrap_or_default().to_owned()
}

/// Where the secret manager is, in its own terms.
pub(super) fn uri_or_region(item: &Item) -> String {
    let (uri, region) = (text(&item.object, "uri"), text(&item.object, "region"));
    match manager(item).as_str() {
        "vault" => uri,
        "aws" => region,
        "gcp" => "gcp".to_owned(),
        _ => either(uri, || region),
    }
}

fn text(object: &Object, field: &str) -> String {
    object.get(field).and_then(scalar).unwrap_or_default()
}

fn joined(object: &Object, field: &str, separator: &str) -> String {
    let items = object.get(field).and_then(Value::as_array);
    items.map(|items| items.iter().filter_map(scalar).collect::<Vec<_>>().join(separator)).unwrap_or_default()
}

fn either(first: String, second: impl FnOnce() -> String) -> String {
    if first.is_empty() { second() } else { first }
}

/// Nodes as `host:port`, sorted, whether written as an object or as an array of nodes.
fn nodes(nodes: Option<&Value>) -> String {
    let mut names: Vec<String> = match nodes {
        Some(Value::Object(nodes)) => nodes.keys().cloned().collect(),
        Some(Value::Array(nodes)) => nodes.iter().filter_map(Value::as_object).map(node_name).collect(),
        _ => Vec::new(),
    };
    names.sort();
    names.join(", ")
}

fn node_name(node: &Object) -> String {
    let (host, port) = (text(node, "host"), text(node, "port"));
    if port.is_empty() { host } else { format!("{host}:{port}") }
}
