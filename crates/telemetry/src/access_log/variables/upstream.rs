use std::time::Duration;

use a6_core::FaultKind;
use a6_snapshot::Attempt;

use super::request::http_host;
use super::{Render, Source, number, text};
use crate::access_log::encode;
use crate::attempts::attempts;

/// The variables of the attempts, joined by `, ` where there were several, and those of the last one.
///
/// Without any attempt the last three are what APISIX sets them to at the start: `http`, the `Host` header and nothing.
pub(super) static VARIABLES: &[(&str, Render)] = &[
    ("upstream_addr", |source, out| each(source, out, |attempt, out| text(out, &attempt.address))),
    ("upstream_status", |source, out| each(source, out, status)),
    ("upstream_response_time", response_time),
    ("upstream_connect_time", |source, out| each(source, out, |attempt, out| seconds(attempt.connect, out))),
    ("upstream_header_time", |source, out| each(source, out, |attempt, out| seconds(attempt.header, out))),
    ("upstream_response_length", |source, out| {
        each(source, out, |attempt, out| number(out, attempt.response_bytes))
    }),
    ("upstream_scheme", |source, out| {
        text(out, source.record.attempts.last().map_or("http", |attempt| attempt.scheme))
    }),
    ("upstream_host", |source, out| match source.record.attempts.last() {
        Some(attempt) => text(out, host(&attempt.address)),
        None => http_host(source, out),
    }),
    ("upstream_uri", |source, out| {
        text(out, source.record.attempts.last().map_or("", |attempt| &*attempt.path))
    }),
    ("apisix_upstream_response_time", apisix_response_time),
    ("a6_attempts", |source, out| {
        let told = attempts(source.record);
        if told.is_empty() { None } else { text(out, &told) }
    }),
];

/// One value per attempt, `-` where it has none.
fn each(
    source: &Source<'_>,
    out: &mut Vec<u8>,
    write: fn(&Attempt, &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let attempts = &source.record.attempts;
    for (at, attempt) in attempts.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        if write(attempt, out).is_none() {
            out.push(b'-');
        }
    }
    (!attempts.is_empty()).then_some(())
}

/// Where no answer came it is the status that the fault stands for, as in nginx.
fn status(attempt: &Attempt, out: &mut Vec<u8>) -> Option<()> {
    match (attempt.status, attempt.fault) {
        (Some(status), _) => text(out, status.as_str()),
        (None, Some(FaultKind::UpstreamTimeout)) => text(out, "504"),
        (None, Some(_)) => text(out, "502"),
        (None, None) => None,
    }
}

fn seconds(duration: Option<Duration>, out: &mut Vec<u8>) -> Option<()> {
    encode::seconds(out, encode::millis(duration?));
    Some(())
}

fn response_time(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    each(source, out, |attempt, out| seconds(attempt.duration, out))
}

/// For a model's answer whole milliseconds of the last attempt, for any other the same as `upstream_response_time`.
fn apisix_response_time(source: &Source<'_>, out: &mut Vec<u8>) -> Option<()> {
    if source.record.protocol.is_none() {
        return response_time(source, out);
    }
    number(out, encode::millis(source.record.attempts.last()?.duration?))
}

/// The host of `host:port`.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
