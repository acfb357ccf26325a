//! config.yaml, `A6_CONF_*` variables and flags become one validated [`Settings`].
//!
//! Key names are APISIX's; a6's own stand under `a6:`. Everything that is wrong is collected and reported with its key,
//! line and column; nothing is guessed.
//!
//! - `settings.rs`: the types that the rest of a6 reads
//! - `load.rs`: the road from file, variables and flags to [`Loaded`]
//! - `error.rs`: [`SettingsError`], [`Problem`] and the report that collects them
//! - `tree.rs`: the file as a tree that knows the line and column of each value
//! - `env.rs`: `A6_CONF_*` laid over the tree, look-up of variables
//! - `keys.rs`: the table of every key that APISIX or a6 knows
//! - `check.rs`: the tree against the table: wrong types, unknown keys, keys not served yet
//! - `convert.rs`: one value to its kind
//! - `lists.rs`: the kinds made of several values: listeners, networks, Admin API keys, host overrides, names, the key ring, versions of TLS
//! - `metrics.rs`: the kinds of `plugin_attr.prometheus`
//! - `units.rs`: durations, sizes, shares
//! - `memory.rs`: how much memory this process may use
//! - `build.rs`, `build/tls.rs`: checked values and defaults to [`Settings`]
//! - `source.rs`: who says what the configuration is

mod build;
mod check;
mod convert;
mod env;
mod error;
mod keys;
mod lists;
mod load;
mod memory;
mod metrics;
mod settings;
mod source;
mod tree;
mod units;

#[cfg(test)]
mod tests;

pub use error::{Problem, SettingsError};
pub use load::{Loaded, Options, load, load_bytes};
pub use settings::{
    AccessLog, Admin, AdminKey, AdminTls, DataEncryption, DataPlane, DataTls, FileFormat, HostOverride,
    MetricSettings, Prometheus, Role, Settings, Source, TlsProtocols,
};
