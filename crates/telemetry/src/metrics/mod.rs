//! Metrics: what is counted of requests, and the text that Prometheus scrapes.
//!
//! - `options.rs`: [`MetricsOptions`], what the settings say.
//! - `spec.rs`: every family of metrics that requests are counted in, as a table.
//! - `facts.rs`: what is known of a request, as values of labels.
//! - `family.rs`: the series of one family: made on demand, bounded, forgotten when idle.
//! - `histogram.rs`: buckets.
//! - `thread.rs`: [`ThreadMetrics`], a data thread's way to its series: one look-up per request, then additions.
//! - `counted.rs`: what one request adds.
//! - `traffic.rs`: connections and requests, counted whether or not a route asks for metrics.
//! - `text.rs`: the exposition format; [`Reading`], a value that somebody else knows.
//!
//! The crates for this were looked at and left: `prometheus-client` writes `_total` behind every counter's name, and
//! `prometheus` sorts labels by name; APISIX does neither, and neither crate bounds or forgets series.

mod counted;
mod facts;
mod family;
mod histogram;
mod options;
mod spec;
#[cfg(test)]
mod tests;
mod text;
mod thread;
mod traffic;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use serde_json::Value;

use self::facts::{Facts, Field};
use self::family::{Family, Series};
use self::spec::{Of, SPECS};
use crate::access_log::Source;

pub use self::family::ActiveModel;
pub use self::options::{MetricOptions, MetricsOptions};
pub use self::text::Reading;
pub use self::thread::ThreadMetrics;
pub use self::traffic::Traffic;

/// Names of models that get a label of their own. A client names its model itself, so that they would be without end.
const MAX_MODELS: usize = 1_000;

/// What a label's value becomes where there would be too many.
const OTHER: &str = "<other>";

type ReadingSource = Box<dyn Fn() -> Vec<Reading> + Send + Sync>;

/// What is counted, shared by all threads.
///
/// A family has at most 10,000 series, and at most 1,000 names of models get a label of their own. What is beyond counts
/// under `<other>`, so that sums stay true, and in `nginx_metric_errors_total`.
pub struct Metrics {
    options: MetricsOptions,
    /// In the order of [`SPECS`].
    families: Vec<Family>,
    /// By family, labels that are left empty.
    hidden: RwLock<HashMap<String, Vec<String>>>,
    request_models: Mutex<HashSet<Box<str>>>,
    /// Apart, so that no client can fill up with names what the configuration names.
    models: Mutex<HashSet<Box<str>>>,
    /// Grows when threads have to look for their series anew.
    generation: AtomicU64,
    /// What was counted under `<other>`.
    folded: AtomicU64,
    threads: Mutex<Vec<Arc<Traffic>>>,
    sources: Mutex<Vec<ReadingSource>>,
    /// One text at a time.
    telling: Mutex<()>,
    started: Instant,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(MetricsOptions::default())
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(options: MetricsOptions) -> Self {
        Self {
            families: SPECS.iter().map(|spec| Family::new(spec, &options)).collect(),
            options,
            hidden: RwLock::default(),
            request_models: Mutex::default(),
            models: Mutex::default(),
            generation: AtomicU64::new(0),
            folded: AtomicU64::new(0),
            threads: Mutex::default(),
            sources: Mutex::default(),
            telling: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// What is known elsewhere and shown with the rest, asked for at each scrape.
    pub fn add_source(&self, source: impl Fn() -> Vec<Reading> + Send + Sync + 'static) {
        locked(&self.sources).push(Box::new(source));
    }

    /// The path at which a route with `public-api` serves the text; none where a listener of its own does.
    pub fn public_path(&self) -> Option<&str> {
        self.options.public_path.as_deref()
    }

    /// Takes over the plugin's metadata: `disabled_labels`, by family the labels that are left empty from now on.
    pub fn hide_labels(&self, metadata: Option<&Value>) {
        let disabled =
            metadata.and_then(|metadata| metadata.get("disabled_labels")).and_then(Value::as_object);
        let texts = |list: &Value| {
            let items = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            items.map(str::to_string).collect()
        };
        let hidden = disabled.into_iter().flatten().map(|(family, list)| (family.clone(), texts(list)));
        *self.hidden.write().unwrap_or_else(PoisonError::into_inner) = hidden.collect();
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The text that Prometheus scrapes (format 0.0.4), as things stand now. Idle series are forgotten first.
    pub fn text(&self) -> String {
        let _alone = locked(&self.telling);
        self.forget_idle();
        text::all(self)
    }

    fn forget_idle(&self) {
        let now = self.seconds();
        let mut has_forgotten = false;
        for family in &self.families {
            has_forgotten |= family.forget_idle(now);
        }
        if has_forgotten {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Since the start.
    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    fn family(&self, of: Of) -> &Family {
        &self.families[of as usize]
    }

    /// The series of a family for these values.
    fn series(&self, of: Of, facts: &Facts<'_>, source: &Source<'_>) -> Arc<Series> {
        let family = self.family(of);
        let hidden = self.hidden.read().unwrap_or_else(PoisonError::into_inner);
        let hidden = hidden.get(family.spec.name);
        let mut text = String::new();
        let mut is_folded = false;
        for (name, field) in family.spec.labels {
            let value = match facts.value(*field) {
                _ if hidden.is_some_and(|hidden| hidden.iter().any(|hidden| hidden == name)) => "",
                value if !self.has_room_for(*field, value) => {
                    is_folded = true;
                    OTHER
                }
                value => value,
            };
            text::write_label(&mut text, name, value);
        }
        for extra in &family.extra {
            text::write_label(&mut text, &extra.label, &extra.value(source));
        }
        family.series(text, self.seconds(), is_folded)
    }

    /// Whether a value gets a label of its own: every one does but for names of models.
    fn has_room_for(&self, field: Field, model: &str) -> bool {
        let models = match field {
            Field::RequestModel => &self.request_models,
            Field::Model => &self.models,
            _ => return true,
        };
        if model.is_empty() {
            return true;
        }
        let mut models = locked(models);
        models.contains(model) || (models.len() < MAX_MODELS && models.insert(model.into()))
    }
}

/// No code that holds one of these locks leaves its content in between.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
