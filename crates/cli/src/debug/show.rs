//! What a trace prints for a person.

use std::time::Duration;

use serde_json::Value;

use super::explained;
use super::live::Live;
use super::trace::{Trace, status_text};
use crate::kinds::{Object, scalar};
use crate::table;

/// The route's path: its uri, else the first of its uris.
pub(super) fn uri(route: &Object) -> String {
    let first = || route.get("uris")?.as_array()?.first()?.as_str();
    route.get("uri").and_then(Value::as_str).or_else(first).unwrap_or_default().to_owned()
}

/// The trace as text.
pub(super) fn text(trace: &Trace) -> String {
    let mut lines = vec![format!("Route:    {} (ID: {})", uri(&trace.route), trace.id)];
    for (label, name) in [("Methods: ", "methods"), ("Hosts:   ", "hosts")] {
        let items = trace.route.get(name).and_then(Value::as_array);
        let items: Vec<String> = items.into_iter().flatten().filter_map(scalar).collect();
        if !items.is_empty() {
            lines.push(format!("{label} {}", items.join(", ")));
        }
    }
    let upstream = trace.upstream().map_or_else(|| "(none)".to_owned(), |upstream| upstream.to_string());
    lines.push(format!("Upstream: {upstream}"));
    lines.push(String::new());
    lines.push(format!("Request:  {} {}", trace.request.method, trace.url));
    let answer = &trace.answer;
    lines.push(format!("Status:   {} {}", answer.status, status_text(answer.status)).trim_end().to_owned());
    lines.push(format!("Duration: {}", millis(answer.duration)));
    let told = [("Location:", answer.header("location")), ("Answer:  ", trace.complaint().as_deref())]
        .map(|(label, value)| value.map(|value| format!("{label} {}", one_line(value))));
    lines.extend(told.into_iter().flatten());
    if let Some(cut) = &answer.cut {
        lines.push(format!("Cut:      after {}: {}", millis(answer.total), one_line(cut)));
    }
    lines.push(String::new());
    lines.push("Configured Plugins (execution order):".to_owned());
    let mut text = lines.join("\n") + "\n";
    let rows: Vec<Vec<String>> =
        trace.plugins.iter().map(|(name, priority)| vec![name.clone(), priority.to_string()]).collect();
    text.push_str(&table::render(&["PLUGIN", "PRIORITY"], &rows));
    let upstream = answer.header("x-apisix-upstream-status");
    text.extend(upstream.map(|status| format!("\nUpstream Response:  {}", one_line(status))));
    text.push_str(&format!("\nExecuted Plugins:   {}\n", executed(trace)));
    if let Some(explained) = &trace.explained {
        text.push_str(&format!("\nExplained:\n{}", explained::tree(explained).render()));
    }
    if let Some(live) = &trace.live {
        text.push_str(&told_by_gateway(live));
    }
    text
}

/// What APISIX tells in its debug mode; else where else to look.
fn executed(trace: &Trace) -> String {
    match trace.answer.header("apisix-plugins") {
        Some(names) => one_line(&names.split(',').map(str::trim).collect::<Vec<_>>().join(", ")),
        None if trace.explained.is_some() => "(see below)".to_owned(),
        None => "(--explain tells which run and who brought them, --live what the gateway did)".to_owned(),
    }
}

/// What the gateway told: how it ended, and every attempt.
fn told_by_gateway(live: &Live) -> String {
    let mut text = "\nTold by the gateway:\n".to_owned();
    let mut line = |label: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{label:<13}{}\n", one_line(&value)));
        }
    };
    line("Request ID:", live.request_id.clone().unwrap_or_default());
    match &live.record {
        Ok(record) => {
            let word = |name: &str| scalar(&record[name]).unwrap_or_default();
            line("Outcome:", word("outcome"));
            let error = [word("error"), word("error_text")];
            line(
                "Error:",
                error.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(": "),
            );
            line("Route:", word("route_id"));
            line("Consumer:", word("consumer"));
            line("Model:", word("model"));
            if record["protocol"].is_string() {
                let count = |name: &str| scalar(&record[name]).unwrap_or_else(|| "unknown".to_owned());
                line("Tokens:", format!("{} in, {} out", count("prompt_tokens"), count("completion_tokens")));
            }
            line("First byte:", after(&record["ttft_ms"]));
            line("In all:", after(&record["duration_ms"]));
        }
        Err(why) => line("No record:", why.clone()),
    }
    let rows: Vec<Vec<String>> = live.attempts().iter().enumerate().map(attempt).collect();
    if rows.is_empty() {
        text.push_str("Attempts:    none: the gateway answered by itself\n");
        return text;
    }
    text.push_str("Attempts:\n");
    let headings = ["#", "TARGET", "ADDRESS", "RESULT", "CONNECT", "HEADER", "DURATION"];
    text.push_str(&table::render(&headings, &rows));
    text
}

fn attempt((place, attempt): (usize, &Value)) -> Vec<String> {
    let word = |name: &str| scalar(&attempt[name]).unwrap_or_default();
    let result = [word("status"), word("error")];
    let result: Vec<String> = result.into_iter().filter(|word| !word.is_empty()).collect();
    vec![
        (place + 1).to_string(),
        word("instance"),
        word("address"),
        result.join(" "),
        after(&attempt["connect_ms"]),
        after(&attempt["header_ms"]),
        after(&attempt["duration_ms"]),
    ]
}

fn after(value: &Value) -> String {
    value.as_u64().map(|count| format!("{count}ms")).unwrap_or_default()
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// What comes from elsewhere must neither break the layout nor speak to the terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
