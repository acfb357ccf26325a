//! The schema of a consumer. It has no name but its username.

use serde_json::{Value, json};

use super::shared;

/// What a username looks like; unlike an id it has no dots.
pub(crate) const USERNAME: &str = r"^[a-zA-Z0-9_\-]+$";

/// The document.
pub(super) fn document() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": shared::id(),
            "username": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": USERNAME},
            "group_id": shared::id(),
            "plugins": shared::plugins(),
            "desc": shared::desc(),
            "labels": shared::labels(),
            "create_time": shared::time(),
            "update_time": shared::time(),
        },
        "required": ["username"],
        "additionalProperties": false,
    })
}
