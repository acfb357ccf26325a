//! The schema of `_meta`: how a plugin runs in one place, whatever the plugin.

use serde_json::{Value, json};

/// The document.
pub(super) fn document() -> Value {
    json!({
        "type": "object",
        "properties": {
            "disable": {"type": "boolean"},
            "error_response": {"oneOf": [{"type": "string"}, {"type": "object"}]},
            "priority": {"description": "priority of plugins by customized order", "type": "integer"},
            "filter": {
                "description": "filter determines whether the plugin needs to be executed at runtime",
                "type": "array",
            },
            "pre_function": {
                "description": "function to be executed in each phase before execution of plugins. \
                    The pre_function will have access to two arguments: `conf` and `ctx`.",
                "type": "string",
            },
        },
        "additionalProperties": false,
    })
}
