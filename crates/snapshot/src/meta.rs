use a6_resources::expr::Expr;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::{Reply, Stop};

/// What `_meta` says of a plugin in one place: gateway-wide rules that no plugin has to know.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// It is not run.
    pub is_disabled: bool,
    /// Instead of the plugin's own priority.
    pub priority: Option<i32>,
    /// It takes part only in requests that satisfy this.
    pub filter: Option<Expr>,
    /// Instead of the body of every answer from 400 on.
    pub error_response: Option<Value>,
}

impl Meta {
    /// Reads the `_meta` of a plugin's configuration; none if it has none.
    ///
    /// # Errors
    /// The filter is malformed, in APISIX's words.
    pub fn of(conf: &Value) -> Result<Option<Self>, String> {
        let Some(meta) = conf.get("_meta").filter(|meta| !meta.is_null()) else { return Ok(None) };
        let filter = meta.get("filter").map(Expr::parse).transpose();
        Ok(Some(Self {
            is_disabled: meta.get("disable").and_then(Value::as_bool).unwrap_or_default(),
            priority: meta.get("priority").and_then(Value::as_i64).and_then(|number| number.try_into().ok()),
            filter: filter.map_err(|error| format!("failed to validate the 'vars' expression: {error}"))?,
            error_response: meta.get("error_response").cloned(),
        }))
    }

    /// The plugin's answer with the body that was configured for its refusals.
    pub fn reword(&self, stop: Stop) -> Stop {
        let Some(text) = &self.error_response else { return stop };
        let (status, mut headers) = match &stop {
            Stop::Reply(reply) => (reply.status, reply.headers.clone()),
            Stop::Fault(fault) => (fault.status, http::HeaderMap::new()),
        };
        if !status.is_client_error() && !status.is_server_error() {
            return stop;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let body = match text {
            Value::String(text) => Bytes::from(text.clone()),
            other => Bytes::from(format!("{other}\n")),
        };
        Reply { status, headers, body }.into()
    }
}
