//! The reply to everything that is no provider endpoint: what came, or 404 where nothing came.

use serde_json::{Map, Value, json};

use crate::reply::{Reply, openai_error};
use crate::request::Request;

/// Tells method, target, headers (a name that came twice has its values joined by `, `) and body, the body as
/// JSON where it is JSON and else as text. A request without a body is answered as OpenAI answers an unknown URL.
pub(crate) fn echo(request: &Request) -> Reply {
    if request.body.is_empty() {
        let message = format!("Unknown request URL: {} {}.", request.method, request.path());
        return openai_error(404, "invalid_request_error", None, Some("unknown_url"), &message);
    }
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &request.headers {
        let joined = match headers.get(name).and_then(Value::as_str) {
            Some(earlier) => format!("{earlier}, {value}"),
            None => value.clone(),
        };
        headers.insert(name.clone(), Value::from(joined));
    }
    let body: Value = serde_json::from_slice(&request.body)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&request.body).into_owned()));
    let echo = json!({"method": request.method, "target": request.target, "headers": headers, "body": body});
    Reply::json(200, &echo)
}
