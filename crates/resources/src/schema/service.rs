//! The schema of a service. Nothing is required: `{}` is one.

use serde_json::{Value, json};

use super::{shared, upstream};

/// The document.
pub(super) fn document() -> Value {
    let own = json!({
        "plugins": shared::plugins(),
        "upstream": upstream::document(),
        "upstream_id": shared::id(),
        "script": shared::script(),
        "enable_websocket": shared::enable_websocket(),
        "hosts": shared::hosts(),
    });
    json!({"type": "object", "properties": shared::properties(own), "additionalProperties": false})
}
