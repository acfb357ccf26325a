//! A key that two consumers have would let one act as the other.

use serde_json::Value;

use super::References;
use crate::{Catalogue, Entry, Kind, is_reference, split_credential_id};

/// Checks that nobody else is known by a key of this consumer's, or of a credential of its own. What a secret reference
/// stands for is not known here.
pub(super) fn check(
    value: &Value,
    username: &str,
    references: &dyn References,
    catalogue: &dyn Catalogue,
) -> Result<(), String> {
    for (plugin, conf) in value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let Some(attribute) = catalogue.spec(plugin).and_then(|spec| spec.consumer_key) else { continue };
        let Some(key) = conf.get(attribute).and_then(Value::as_str).filter(|key| !is_reference(key)) else {
            continue;
        };
        let has_it = |entry: &Entry| {
            let conf = entry.value.get("plugins").and_then(|plugins| plugins.get(plugin));
            conf.and_then(|conf| conf.get(attribute)).and_then(Value::as_str) == Some(key)
        };
        let holders: Vec<&Entry> = references.holders(plugin, key).filter(|entry| has_it(entry)).collect();
        let of_kind = |kind: Kind| holders.iter().filter(move |entry| entry.kind == kind);
        if let Some(other) = of_kind(Kind::Consumer).find(|entry| entry.id != username) {
            return Err(format!(
                "duplicate {attribute} of plugin {plugin} found with consumer: {}",
                other.id
            ));
        }
        let mut others = of_kind(Kind::Credential).filter_map(|entry| split_credential_id(&entry.id));
        if let Some((owner, id)) = others.find(|(owner, _)| *owner != username) {
            return Err(format!(
                "duplicate {attribute} of plugin {plugin} found with credential: {id} of consumer: {owner}"
            ));
        }
    }
    Ok(())
}
