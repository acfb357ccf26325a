use a6_resources::{Catalogue, Kind, PluginSpec};
use serde_json::{Map, Value, json};

use super::parts::modern;
use super::reference;
use crate::describe::{of_consumer, of_route};

/// Adds the schema of every plugin, and those of a resource's `plugins`.
pub(super) fn add(catalogue: &dyn Catalogue, schemas: &mut Map<String, Value>) {
    for spec in catalogue.specs() {
        schemas.insert(name_of(spec, false), modern(&of_route(spec)));
        if let Some(schema) = &spec.consumer_schema {
            schemas.insert(name_of(spec, true), modern(&of_consumer(spec, schema)));
        }
    }
    for (name, in_consumers) in [(PLUGINS, false), (CONSUMER_PLUGINS, true)] {
        let all = catalogue.specs().iter().map(|spec| {
            let in_consumers = in_consumers && spec.consumer_schema.is_some();
            (spec.name.to_string(), reference("schemas", &name_of(spec, in_consumers)))
        });
        let all: Map<String, Value> = all.collect();
        let schema = json!({"type": "object", "properties": all, "additionalProperties": false});
        schemas.insert(name.to_string(), schema);
    }
}

const PLUGINS: &str = "plugins";
const CONSUMER_PLUGINS: &str = "consumer_plugins";

/// Names the schema of the kind's `plugins` in what a client writes of it.
pub(super) fn name(kind: Kind, written: &mut Value) {
    let name = match kind {
        Kind::Consumer | Kind::Credential => CONSUMER_PLUGINS,
        _ => PLUGINS,
    };
    let plugins = written.pointer_mut("/properties/plugins").and_then(Value::as_object_mut);
    if let (Some(plugins), Value::Object(reference)) = (plugins, reference("schemas", name)) {
        plugins.extend(reference);
    }
}

fn name_of(spec: &PluginSpec, in_consumers: bool) -> String {
    let place = if in_consumers { "consumer_plugin" } else { "plugin" };
    format!("{place}_{}", spec.name)
}
