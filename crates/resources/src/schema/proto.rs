//! The schema of a Protocol Buffers definition.

use serde_json::{Value, json};

use super::shared;

/// The document.
pub(super) fn document() -> Value {
    let own = json!({"content": {"type": "string", "minLength": 1, "maxLength": 1_048_576}});
    json!({
        "type": "object",
        "properties": shared::properties(own),
        "required": ["content"],
        "additionalProperties": false,
    })
}
