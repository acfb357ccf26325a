//! A step's request, as the recorder sent it, and its answer.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use super::case::pairs;
use crate::support::{ADMIN_KEY, Answer, Connection};

/// The bytes of a step's request to a listener.
pub(crate) fn request(step: &Value, listener: SocketAddr) -> Vec<u8> {
    let method = step["method"].as_str().unwrap_or_default();
    let body = body(&step["body"]);
    let mut headers = pairs(&step["headers"]);
    let mut add = |name: &str, value: &str| {
        if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            headers.push((name.to_string(), value.to_string()));
        }
    };
    add("Host", &listener.to_string());
    add("User-Agent", "golden/1");
    add("Accept", "*/*");
    if step["on"] == "admin" && step["nokey"] != true {
        add("X-API-KEY", ADMIN_KEY);
    }
    if body.is_some() && step["noct"] != true {
        add("Content-Type", "application/json");
    }
    if body.is_some() || matches!(method, "POST" | "PUT" | "PATCH") {
        add("Content-Length", &body.as_ref().map_or(0, Vec::len).to_string());
    }
    let mut head = format!("{method} {} HTTP/1.1\r\n", step["path"].as_str().unwrap_or_default());
    for (name, value) in &headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.into_bytes(), body.unwrap_or_default()].concat()
}

fn body(body: &Value) -> Option<Vec<u8>> {
    match body {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        _ => match (body["$repeat"][0].as_str(), body["$repeat"][1].as_u64()) {
            (Some(text), Some(times)) => {
                Some(text.repeat(usize::try_from(times).expect("it fits into memory")).into_bytes())
            }
            _ => Some(body.to_string().into_bytes()),
        },
    }
}

/// Sends on a connection of its own and reads the whole answer; an error where none came.
pub(crate) fn send(listener: SocketAddr, request: &[u8]) -> Result<Answer, String> {
    // The client of the harness fails the test where no answer comes; here one case is lost, not the run.
    catch_unwind(AssertUnwindSafe(|| Connection::open(listener).answer(request)))
        .map_err(|_| "no HTTP answer came".to_string())
}
