use serde_json::Value;

use crate::Schema;

/// Which of a plugin's schemas a configuration is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfKind {
    /// On a route, service, plugin_config, consumer group or global rule.
    Route,
    /// In a consumer or credential.
    Consumer,
    /// As plugin metadata.
    Metadata,
}

/// What Admin API, command line and store know of a plugin.
#[derive(Debug)]
pub struct PluginSpec {
    /// APISIX's name.
    pub name: &'static str,
    /// APISIX's priority; higher runs earlier within a phase.
    pub priority: i32,
    /// APISIX's version of the plugin's schema.
    pub version: &'static str,
    /// APISIX's `type`, such as `auth`; none for most plugins.
    pub kind: Option<&'static str>,
    /// The configuration's schema.
    pub schema: Schema,
    /// The schema inside a consumer or credential.
    pub consumer_schema: Option<Schema>,
    /// The schema of the plugin's metadata.
    pub metadata_schema: Option<Schema>,
    /// The member of an auth plugin's configuration by which a consumer is known, such as `key`; no two consumers may
    /// have the same. None for a plugin that knows no consumers.
    pub consumer_key: Option<&'static str>,
    /// Dotted paths of members that hold secrets; an object means each of its values.
    pub encrypt_fields: &'static [&'static str],
}

impl PluginSpec {
    /// A plugin that asks nothing of consumers, has no metadata and no secrets, as most: `schema` makes its document.
    pub fn new(name: &'static str, priority: i32, version: &'static str, schema: fn() -> Value) -> Self {
        Self {
            name,
            priority,
            version,
            kind: None,
            schema: Schema::of(schema),
            consumer_schema: None,
            metadata_schema: None,
            consumer_key: None,
            encrypt_fields: &[],
        }
    }
}

/// The plugins that exist, as data. Object-safe, so that Admin API, command line and store need no type parameter.
pub trait Catalogue: Send + Sync {
    /// Every plugin that executes, highest priority first.
    fn specs(&self) -> &[PluginSpec];

    /// Checks a configuration: schema first, then what a schema cannot say. The error is APISIX's text without prefix,
    /// such as `property "provider" is required`.
    fn check(&self, name: &str, conf: &Value, kind: ConfKind) -> Result<(), String>;

    /// The plugin of that name.
    fn spec(&self, name: &str) -> Option<&PluginSpec> {
        self.specs().iter().find(|spec| spec.name == name)
    }
}
