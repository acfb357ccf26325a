use std::time::Duration;

use a6_snapshot::Record;

use super::spec::{Of, variant};
use super::thread::Counting;

/// What one request adds.
pub(super) fn count(counting: &Counting<'_>, record: &Record) {
    counting.add(Of::HttpStatus, variant::ONLY, 1);
    counting.add(Of::Outcomes, variant::ONLY, 1);
    counting.add(Of::Bandwidth, variant::INGRESS, record.request_length);
    counting.add(Of::Bandwidth, variant::EGRESS, record.bytes_sent);
    let whole = record.duration.unwrap_or_default();
    let upstream: Duration = record.attempts.iter().filter_map(|attempt| attempt.duration).sum();
    counting.add(Of::HttpLatency, variant::REQUEST, micros(whole));
    counting.add(Of::HttpLatency, variant::APISIX, micros(whole.saturating_sub(upstream)));
    if !record.attempts.is_empty() {
        counting.add(Of::HttpLatency, variant::UPSTREAM, micros(upstream));
    }
    if record.protocol.is_some() {
        count_model(counting, record);
    }
}

/// Every request to a model counts in the distributions of tokens, those included that failed: with 0.
fn count_model(counting: &Counting<'_>, record: &Record) {
    let prompt = record.usage.prompt.unwrap_or(0);
    let completion = record.usage.completion.unwrap_or(0);
    counting.add(Of::PromptTokens, variant::ONLY, prompt);
    counting.add(Of::CompletionTokens, variant::ONLY, completion);
    counting.add(Of::PromptDist, variant::ONLY, prompt);
    counting.add(Of::CompletionDist, variant::ONLY, completion);
    if record.lacks_usage() {
        counting.add(Of::UsageUnknown, variant::ONLY, 1);
    }
    let is_good = record.status.is_some_and(|status| status.as_u16() < 400);
    let Some(first) = record.ttft.filter(|_| is_good) else { return };
    let last = record.attempts.last().and_then(|attempt| attempt.duration).unwrap_or_default();
    counting.add(Of::LlmLatency, variant::TOTAL, micros(last));
    if record.stream {
        counting.add(Of::LlmLatency, variant::TTFT, micros(first));
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
