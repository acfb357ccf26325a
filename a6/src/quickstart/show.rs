use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use a6_snapshot::Record;
use serde_json::{Value, json};

use super::provider::Choice;
use super::request::Answer;
use crate::admin_key;
use crate::serve::say;

/// What the request went through and what it cost.
pub(super) fn table(record: &Record, answer: &Answer, choice: &Choice, route: &str) {
    let count = |tokens: Option<u64>| tokens.map_or("not told".to_string(), |tokens| tokens.to_string());
    let added = record.ttft.map_or("not known".to_string(), |upstream| {
        format!("{} (to the first token)", millis(answer.first_token.saturating_sub(upstream)))
    });
    let model = record.model.as_deref().unwrap_or(&choice.model);
    let rows = [
        ("route", route.to_string()),
        ("provider", choice.provider.to_string()),
        ("model", model.to_string()),
        ("tokens in", count(record.usage.prompt)),
        ("tokens out", count(record.usage.completion)),
        ("time to first token", millis(answer.first_token)),
        ("total time", millis(answer.total)),
        ("added by the gateway", added),
    ];
    say("");
    for (name, value) in rows {
        say(&format!("  {name:<22}{value}"));
    }
}

/// The commands that do the same by hand.
pub(super) fn commands(data: SocketAddr, admin: SocketAddr, data_dir: &Path, choice: &Choice, body: &Value) {
    let route = json!({
        "id": super::ROUTE,
        "uri": "/v1/chat/completions",
        "plugins": {"ai-proxy": choice.shown_plugin()},
    });
    let key = admin_key::path(data_dir);
    say(&format!(
        "\nThe same by hand, while this gateway runs:\n\n\
         curl -N http://{data}/v1/chat/completions -H \"Content-Type: application/json\" -d '{body}'\n\n\
         a6 route create --server http://{admin} --api-key \"$(cat {})\" -f - <<EOF\n{route}\nEOF",
        key.display()
    ));
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
