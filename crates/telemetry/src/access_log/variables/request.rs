use a6_snapshot::Outcome;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST};
use http::{Uri, Version};

use super::{Render, Source, number, text};
use crate::access_log::{encode, stamp};

/// The variables of the request and its answer.
pub(super) static VARIABLES: &[(&str, Render)] = &[
    ("remote_addr", |source, out| address(source.request.client.peer, out)),
    ("remote_port", |source, out| number(out, source.request.client.peer.port().into())),
    ("remote_user", remote_user),
    ("server_addr", |source, out| address(source.request.client.local, out)),
    ("server_port", |source, out| number(out, source.request.client.local.port().into())),
    ("server_protocol", |source, out| text(out, protocol(source.request.version))),
    ("scheme", |source, out| text(out, source.request.client.scheme)),
    ("https", |source, out| text(out, if source.request.client.scheme == "https" { "on" } else { "" })),
    ("host", host),
    ("http_host", http_host),
    ("request", request_line),
    ("request_line", request_line),
    ("request_method", |source, out| text(out, source.request.method.as_str())),
    ("method", |source, out| text(out, source.request.method.as_str())),
    ("uri", |source, out| text(out, source.request.path())),
    ("request_uri", path_and_query),
    ("real_request_uri", path_and_query),
    ("args", query),
    ("query_string", query),
    ("consumer_name", |source, out| text(out, source.record.consumer.as_deref()?)),
    ("is_args", |source, out| text(out, source.request.uri.query().map_or("", |_| "?"))),
    ("status", status),
    ("body_bytes_sent", |source, out| number(out, source.record.response_bytes)),
    ("bytes_sent", |source, out| number(out, source.record.bytes_sent)),
    ("request_length", |source, out| number(out, source.record.request_length)),
    ("request_time", request_time),
    ("msec", |source, out| {
        encode::seconds(out, ended(source));
        Some(())
    }),
    ("time_local", |source, out| {
        stamp::local(out, ended(source));
        Some(())
    }),
    ("time_iso8601", |source, out| {
        stamp::iso8601(out, ended(source));
        Some(())
    }),
    ("request_id", request_id),
    ("apisix_request_id", request_id),
    ("route_id", |source, out| text(out, source.record.route_id()?)),
    ("route_name", |source, out| text(out, source.record.route_name()?)),
    ("service_id", |source, out| text(out, source.record.service_id()?)),
    ("service_name", |source, out| text(out, source.record.service_name()?)),
    ("a6_outcome", |source, out| text(out, source.record.outcome?.as_str())),
    ("a6_error", |source, out| text(out, source.record.fault?.as_str())),
];

fn address(socket: std::net::SocketAddr, out: &mut Vec<u8>) -> Option<()> {
    encode::display(out, socket.ip().to_canonical());
    Some(())
}

/// The user of Basic authentication.
fn remote_user(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    let value = source.request.headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = value.split_at(value.iter().position(|byte| *byte == b' ')?);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let user = &decoded[..decoded.iter().position(|byte| *byte == b':')?];
    encode::text(out, user);
    Some(())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn host(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    let host = source.request.host();
    if host.is_empty() { None } else { text(out, &host.to_ascii_lowercase()) }
}

/// The `Host` header as it came; in HTTP/2 the authority.
pub(super) fn http_host(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    match source.request.headers.get(HOST) {
        Some(value) => {
            encode::text(out, value.as_bytes());
            Some(())
        }
        None => authority(&source.request.uri, out),
    }
}

/// The authority without a user and a password.
fn authority(uri: &Uri, out: &mut Vec<u8>) -> Option<()> {
    text(out, uri.host()?)?;
    if let Some(port) = uri.port() {
        out.push(b':');
        text(out, port.as_str())?;
    }
    Some(())
}

/// The request's first line as the client wrote it, but for credentials.
fn request_line(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    let request = source.request;
    text(out, request.method.as_str())?;
    out.push(b' ');
    // HTTP/2 has scheme and authority in fields of their own, which nginx does not show here.
    if request.version < Version::HTTP_2 {
        if let Some(scheme) = request.uri.scheme_str() {
            text(out, scheme)?;
            out.extend_from_slice(b"://");
        }
        authority(&request.uri, out);
    }
    path_and_query(source, out)?;
    out.push(b' ');
    text(out, protocol(request.version))
}

fn path_and_query(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    text(out, source.request.uri.path())?;
    if source.request.uri.query().is_some() {
        out.push(b'?');
        query(source, out)?;
    }
    Some(())
}

fn query(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    encode::query(out, source.request.uri.query()?, &source.request.credentials.parameters);
    Some(())
}

/// 499 is nginx's word for a client that left before it got a status.
fn status(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    match (source.record.status, source.record.outcome) {
        (Some(status), _) => text(out, status.as_str()),
        (None, Some(Outcome::ClientGone)) => text(out, "499"),
        (None, _) => text(out, "000"),
    }
}

fn request_time(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    encode::seconds(out, encode::millis(source.record.duration?));
    Some(())
}

/// When the request ended, in milliseconds since the Unix epoch.
fn ended(source: &Source<'_>) -> u64 {
    let record = source.record;
    record.started_unix_ms.saturating_add(record.duration.map_or(0, encode::millis))
}

fn request_id(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    let id = &source.record.request_id;
    if id.is_empty() { None } else { text(out, id) }
}
