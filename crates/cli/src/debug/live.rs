//! What the gateway itself tells of the request: a token of the Admin API asks for it, and the record in the Control API
//! has how it ended.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use super::web::{Answer, Control};
use crate::client::Client;
use crate::errors::{Failure, Result};

/// The record is there when the gateway has settled the request, which is right after its last byte.
const RECORD: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(25);

/// A header's name and value with which one request may ask.
pub(super) fn token(client: &Client) -> Result<(String, String)> {
    let issued = client.json(Method::POST, "/apisix/admin/debug/tokens", &[], Some(&json!({})))?;
    let text = |name: &str| issued.get(name).and_then(Value::as_str).map(str::to_owned);
    match (text("header"), text("token")) {
        (Some(header), Some(token)) => Ok((header, token)),
        _ => Err(Failure::new("the Admin API gave no debug token").with_hint("--live needs an a6 gateway")),
    }
}

/// What the gateway told.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) request_id: Option<String>,
    /// As they stood when the answer began.
    pub(super) attempts: Vec<Value>,
    /// The record, or why there is none.
    pub(super) record: std::result::Result<Value, String>,
}

impl Live {
    /// Reads the answer's headers and looks for the record.
    pub(super) fn of(answer: &Answer, control: &Control) -> Self {
        let request_id = answer.header("x-a6-request-id").map(str::to_owned);
        let attempts = answer.header("x-a6-attempts").and_then(|text| serde_json::from_str(text).ok());
        let record = match &request_id {
            Some(id) => record(control, id),
            None => {
                Err("the gateway did not take the token: it is not the one that this Admin API configures, \
                 or something between has removed headers"
                    .to_owned())
            }
        };
        Live { request_id, attempts: attempts.unwrap_or_default(), record }
    }

    /// The attempts as they are known best.
    pub(super) fn attempts(&self) -> &[Value] {
        let of_record = self.record.as_ref().ok().and_then(|record| record["attempts"].as_array());
        of_record.map_or(&self.attempts, Vec::as_slice)
    }

    /// As JSON.
    pub(super) fn document(&self) -> Value {
        let mut document = json!({"request_id": self.request_id, "attempts": self.attempts()});
        match &self.record {
            Ok(record) => document["record"] = record.clone(),
            Err(why) => document["record_missing"] = json!(why),
        }
        document
    }
}

/// The record of the request with this id.
fn record(control: &Control, id: &str) -> std::result::Result<Value, String> {
    let deadline = Instant::now() + RECORD;
    loop {
        let records = control.json("/v1/requests").map_err(|failure| failure.to_string())?;
        let mut records = records.as_array().into_iter().flatten().rev();
        if let Some(record) = records.find(|record| record["request_id"] == id) {
            return Ok(record.clone());
        }
        if Instant::now() > deadline {
            return Err("the Control API has no record of this request; is it the same gateway's?".to_owned());
        }
        thread::sleep(PAUSE);
    }
}
