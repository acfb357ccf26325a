//! The Control API's records of the last requests: filters, a line for each, and following them.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::logs::{Args, has};
use super::show::one_line;
use super::stop::Stop;
use super::web::Control;
use crate::errors::{Failure, Result};
use crate::kinds::scalar;

/// How often the Control API is asked, and how often it is looked whether to stop.
const PAUSE: Duration = Duration::from_millis(500);

/// Which records are wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Members and the text that each has to be.
    members: Vec<(&'static str, String)>,
    /// Three digits; `x` is any.
    status: Option<String>,
    /// Not older than this, in milliseconds.
    age: Option<u64>,
}

impl Wanted {
    /// As the flags say.
    pub(super) fn of(args: &Args) -> Result<Self> {
        let flags = [
            ("route_id", &args.route),
            ("consumer", &args.consumer),
            ("outcome", &args.outcome),
            ("error", &args.error),
        ];
        let members = flags.into_iter().filter_map(|(name, flag)| Some((name, flag.clone()?))).collect();
        let status = args.status.as_ref().map(|status| pattern(status)).transpose()?;
        let age =
            args.since.as_ref().filter(|since| !since.is_empty()).map(|since| age(since)).transpose()?;
        Ok(Wanted { members, status, age })
    }

    /// Whether this is one; `now` in Unix milliseconds.
    fn has(&self, record: &Value, now: u64) -> bool {
        let started = record["started_ms"].as_u64().unwrap_or_default();
        let is_young = self.age.is_none_or(|age| started >= now.saturating_sub(age));
        let status = scalar(&record["status"]).unwrap_or_default();
        let fits = self.status.as_ref().is_none_or(|pattern| {
            pattern.len() == status.len()
                && pattern
                    .bytes()
                    .zip(status.bytes())
                    .all(|(wanted, digit)| wanted == b'x' || wanted == digit)
        });
        let mut members = self.members.iter();
        is_young && fits && members.all(|(name, wanted)| scalar(&record[*name]).as_ref() == Some(wanted))
    }
}

fn pattern(status: &str) -> Result<String> {
    let pattern = status.to_ascii_lowercase();
    let is_sound = pattern.len() == 3 && pattern.bytes().all(|byte| byte == b'x' || byte.is_ascii_digit());
    if is_sound {
        return Ok(pattern);
    }
    Err(Failure::new(format!("invalid --status value {status:?}")).with_hint("write it like 502 or 5xx"))
}

/// A number and its unit, as milliseconds.
fn age(since: &str) -> Result<u64> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let parts = units.iter().find_map(|(unit, millis)| {
        let number = since.strip_suffix(*unit)?.parse::<u64>().ok()?;
        number.checked_mul(*millis)
    });
    parts.ok_or_else(|| {
        Failure::new(format!("invalid --since value {since:?}")).with_hint("write it like 30s, 10m or 2h")
    })
}

/// Gives a line for each record that is wanted, and where `--follow` is set goes on until it is told to stop.
pub(super) fn show(
    control: &Control,
    wanted: &Wanted,
    args: &Args,
    as_json: bool,
    stop: &Stop,
    give: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut seen: Option<String> = None;
    let mut count = Some(args.count());
    loop {
        let records = control.json("/v1/requests")?;
        let records = records.as_array().map(Vec::as_slice).unwrap_or_default();
        let new = newer(records, seen.as_deref());
        let now = now();
        let lines = new
            .iter()
            .filter(|record| wanted.has(record, now))
            .map(|record| if as_json { record.to_string() } else { line(record) });
        let lines: Vec<String> = lines.filter(|line| has(line.as_bytes(), args.grep.as_deref())).collect();
        // Only of those that were there before some are left out.
        let left_out = count.take().map_or(0, |count| lines.len().saturating_sub(count));
        for line in lines.iter().skip(left_out) {
            give(line)?;
        }
        if let Some(last) = records.last() {
            seen = Some(scalar(&last["request_id"]).unwrap_or_default());
        }
        if !args.follow || stop.is_told() {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

/// The records behind the one that was last before; all where that one has been forgotten.
fn newer<'r>(records: &'r [Value], seen: Option<&str>) -> &'r [Value] {
    let place = seen.and_then(|seen| records.iter().rposition(|record| record["request_id"] == seen));
    place.and_then(|place| records.get(place + 1..)).unwrap_or(records)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A record in a line: what matters first, and nothing of what it has not.
fn line(record: &Value) -> String {
    let word = |name: &str| scalar(&record[name]);
    let dash = || "-".to_owned();
    let mut parts = vec![
        time(record["started_ms"].as_u64().unwrap_or_default()),
        word("status").unwrap_or_else(dash),
        word("method").unwrap_or_else(dash),
        word("outcome").unwrap_or_else(dash),
        format!("{}ms", word("duration_ms").unwrap_or_else(dash)),
    ];
    let named = [("route", "route_id"), ("consumer", "consumer"), ("model", "model")];
    parts.extend(named.iter().filter_map(|(label, name)| Some(format!("{label}={}", word(name)?))));
    if let (Some(prompt), Some(completion)) = (word("prompt_tokens"), word("completion_tokens")) {
        parts.push(format!("tokens={prompt}+{completion}"));
    }
    let attempts = record["attempts"].as_array().map_or(0, Vec::len);
    if attempts > 1 {
        parts.push(format!("attempts={attempts}"));
    }
    parts.extend(word("error").map(|error| format!("error={error}")));
    parts.extend(word("request_id").map(|id| format!("id={id}")));
    parts.extend(word("error_text").map(|text| format!("{text:?}")));
    one_line(&parts.join(" "))
}

/// The time of day, UTC.
fn time(unix_ms: u64) -> String {
    let (seconds, millis) = (unix_ms / 1000, unix_ms % 1000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}Z", seconds % 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_a_line() {
        let full = json!({
            "started_ms": 1_700_000_003_042_u64, "duration_ms": 31007, "request_id": "ab", "method": "POST",
            "route_id": "r1", "consumer": "jack", "model": "gpt\u{1b}", "status": 504, "outcome": "failed",
            "error": "upstream_timeout", "error_text": "it was \"silent\"", "prompt_tokens": 12, "completion_tokens": 0,
            "attempts": [{}, {}],
        });
        let bare = json!({"started_ms": 0, "duration_ms": 1, "method": "GET", "status": null, "outcome": "client_gone"});
        for (record, expected) in [
            (
                full,
                "22:13:23.042Z 504 POST failed 31007ms route=r1 consumer=jack model=gpt  tokens=12+0 attempts=2 \
                 error=upstream_timeout id=ab \"it was \\\"silent\\\"\"",
            ),
            (bare, "00:00:00.000Z - GET client_gone 1ms"),
        ] {
            assert_eq!(line(&record), expected);
        }
    }

    #[test]
    fn filters_hold_together() {
        let record =
            json!({"started_ms": 100_000, "status": 502, "route_id": "r", "consumer": null, "error": "e"});
        let member =
            |name, value: &str| Wanted { members: vec![(name, value.to_owned())], ..Wanted::default() };
        let status = |text: &str| Wanted { status: Some(pattern(text).unwrap()), ..Wanted::default() };
        let since = |text: &str| Wanted { age: Some(age(text).unwrap()), ..Wanted::default() };
        for (wanted, expected) in [
            (Wanted::default(), true),
            (member("route_id", "r"), true),
            (member("route_id", "q"), false),
            (member("consumer", "r"), false),
            (status("502"), true),
            (status("5xx"), true),
            (status("5X3"), false),
            (status("xxx"), true),
            (since("60s"), true),
            (since("59999ms"), false),
            (since("1m"), true),
            (Wanted { status: Some("4xx".to_owned()), ..member("route_id", "r") }, false),
        ] {
            assert_eq!(wanted.has(&record, 160_000), expected, "{wanted:?}");
        }
        for wrong in ["", "50", "5xxx", "abc"] {
            assert!(pattern(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["m", "1w", "-1s", "yesterday", "99999999999999999999d", "300000000000d"] {
            assert!(age(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_is_new_is_given_again() {
        let records: Vec<Value> = ["a", "b", "c"].iter().map(|id| json!({"request_id": id})).collect();
        for (seen, expected) in [(None, 3), (Some("a"), 2), (Some("c"), 0), (Some("forgotten"), 3)] {
            assert_eq!(newer(&records, seen).len(), expected, "{seen:?}");
        }
        assert!(newer(&[], Some("a")).is_empty());
    }
}
