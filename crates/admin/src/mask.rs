use a6_resources::{Catalogue, Kind, each_secret};
use serde_json::Value;

/// Puts `***` for every secret of a resource's document.
pub(crate) fn hide_secrets(kind: Kind, id: &str, document: &mut Value, catalogue: &dyn Catalogue) {
    each_secret(kind, id, document, catalogue, &mut |_, secret| *secret = Value::from("***"));
}
