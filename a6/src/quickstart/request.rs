use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use a6_core::Secret;
use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::provider::Choice;

/// An answer that came whole.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) first_token: Duration,
    pub(super) total: Duration,
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Choice::PATIENCE))
        .proxy(None)
        .build()
        .into()
}

/// Creates the route as anybody would: through the Admin API.
pub(super) fn put_route(
    admin: SocketAddr,
    key: &Secret<String>,
    id: &str,
    route: &Value,
) -> anyhow::Result<()> {
    let url = format!("http://{admin}/apisix/admin/routes/{id}");
    let mut response = agent()
        .put(&url)
        .header("x-api-key", key.expose())
        .content_type("application/json")
        .send(route.to_string())
        .context("the Admin API did not answer")?;
    let status = response.status();
    if !status.is_success() {
        bail!("the Admin API answered {status}: {}", response.body_mut().read_to_string()?);
    }
    Ok(())
}

/// Sends the request through the data plane and prints the answer as it comes.
pub(super) fn ask(data: SocketAddr, body: &Value) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let mut response = agent()
        .post(format!("http://{data}/v1/chat/completions"))
        .content_type("application/json")
        .send(body.to_string())
        .context("the data plane did not answer")?;
    let status = response.status();
    if !status.is_success() {
        bail!("the answer is {status}: {}", response.body_mut().read_to_string()?);
    }
    let mut answer = Answer { text: String::new(), first_token: Duration::ZERO, total: Duration::ZERO };
    let mut done = false;
    let mut out = std::io::stdout();
    for line in BufReader::new(response.body_mut().as_reader()).lines() {
        let line = line.context("the answer broke off")?;
        let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).context("the answer has an event that is not JSON")?;
        if let Some(error) = event.get("error") {
            bail!("the provider told of an error: {error}");
        }
        let piece = event.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default();
        if answer.text.is_empty() && !piece.is_empty() {
            answer.first_token = started.elapsed();
        }
        answer.text.push_str(piece);
        write!(out, "{piece}")?;
        out.flush()?;
    }
    writeln!(out)?;
    ensure!(done, "the answer broke off before its end");
    answer.total = started.elapsed();
    Ok(answer)
}
