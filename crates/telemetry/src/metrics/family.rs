use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::histogram::{Bounds, LATENCY_MS, TOKENS};
use super::spec::{Buckets, FamilySpec, Kind};
use super::{MetricsOptions, OTHER, locked, text};
use crate::access_log::{Source, Variable};

/// Series that one family may have.
pub(super) const MAX_SERIES: usize = 10_000;

/// Of the value of a variable a label has at most so many bytes.
const MAX_EXTRA: usize = 128;

/// A family of series, which are made as they are needed.
pub(super) struct Family {
    pub(super) spec: &'static FamilySpec,
    /// Labels that the settings add.
    pub(super) extra: Vec<Extra>,
    /// The buckets of a histogram.
    pub(super) bounds: Option<Bounds>,
    /// Seconds after which an idle series is forgotten; zero keeps it.
    expire: u64,
    /// By their labels, but for the leading one.
    series: Mutex<HashMap<Arc<str>, Arc<Series>>>,
    /// For what is beyond [`MAX_SERIES`].
    other: OnceLock<(Arc<str>, Arc<Series>)>,
}

/// A label that the settings add.
pub(super) struct Extra {
    pub(super) label: String,
    /// None where no variable has that name.
    variable: Option<Variable>,
}

/// The values of one set of labels: for each value of the leading one a number, or the cells of a histogram.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) cells: Box<[AtomicU64]>,
    /// When something was added, in seconds since the start; kept only where idle series are forgotten.
    used: AtomicU64,
    /// It stands for labels that got none of their own.
    pub(super) is_folded: bool,
}

/// A request that a model has; dropping it says that the request is over.
#[derive(Debug)]
pub struct ActiveModel(Arc<Series>);

impl ActiveModel {
    /// One more in that series.
    pub(super) fn enter(series: Arc<Series>) -> Self {
        series.cells[0].fetch_add(1, Ordering::Relaxed);
        Self(series)
    }
}

impl Drop for ActiveModel {
    fn drop(&mut self) {
        self.0.cells[0].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Extra {
    /// Its value for a request; empty where the request has none.
    pub(super) fn value(&self, source: &Source<'_>) -> String {
        let mut value = Vec::new();
        if let Some(variable) = &self.variable {
            // What has no value appends none.
            let _ = variable.write(source, &mut value);
        }
        let text = String::from_utf8_lossy(&value);
        text[..text.floor_char_boundary(MAX_EXTRA)].to_string()
    }
}

impl Family {
    /// Without series.
    pub(super) fn new(spec: &'static FamilySpec, options: &MetricsOptions) -> Self {
        let own = options.of(spec.name);
        let extra = own.map(|own| own.extra_labels.as_slice()).unwrap_or_default();
        let bounds = match spec.kind {
            Kind::Counter | Kind::Gauge => None,
            Kind::Histogram(buckets) => Some(match buckets {
                Buckets::HttpLatency => Bounds::new(&options.http_latency, &LATENCY_MS, 1_000),
                Buckets::LlmLatency => Bounds::new(&options.llm_latency, &LATENCY_MS, 1_000),
                Buckets::PromptTokens => Bounds::new(&options.prompt_tokens, &TOKENS, 1),
                Buckets::CompletionTokens => Bounds::new(&options.completion_tokens, &TOKENS, 1),
            }),
        };
        Self {
            spec,
            extra: extra
                .iter()
                .map(|(label, variable)| Extra {
                    label: label.clone(),
                    variable: Variable::named(variable.trim_start_matches('$')),
                })
                .collect(),
            bounds,
            expire: own.map(|own| own.expire.as_secs()).unwrap_or_default(),
            series: Mutex::default(),
            other: OnceLock::new(),
        }
    }

    /// Whether idle series are forgotten.
    pub(super) fn expires(&self) -> bool {
        self.expire > 0
    }

    /// The series of these labels. `is_folded` says that a value among them stands for many.
    pub(super) fn series(&self, labels: String, now: u64, is_folded: bool) -> Arc<Series> {
        let mut all = locked(&self.series);
        if let Some(series) = all.get(labels.as_str()) {
            series.used.store(now, Ordering::Relaxed);
            return series.clone();
        }
        if all.len() >= MAX_SERIES {
            drop(all);
            return self.other().1.clone();
        }
        let series = Arc::new(self.make(now, is_folded));
        all.insert(labels.into(), series.clone());
        series
    }

    fn make(&self, now: u64, is_folded: bool) -> Series {
        let cells = (0..self.variants() * self.width()).map(|_| AtomicU64::new(0));
        Series { cells: cells.collect(), used: AtomicU64::new(now), is_folded }
    }

    /// What is beyond the bound counts here.
    fn other(&self) -> &(Arc<str>, Arc<Series>) {
        self.other.get_or_init(|| {
            let mut labels = String::new();
            let names = self.spec.labels.iter().map(|(name, _)| *name);
            for name in names.chain(self.extra.iter().map(|extra| extra.label.as_str())) {
                text::write_label(&mut labels, name, OTHER);
            }
            (labels.into(), Arc::new(self.make(0, true)))
        })
    }

    /// How many values the leading label has.
    fn variants(&self) -> usize {
        self.spec.leading.map_or(1, |(_, values)| values.len())
    }

    /// How many cells each of them has.
    fn width(&self) -> usize {
        self.bounds.as_ref().map_or(1, Bounds::cells)
    }

    /// The cells of one value of the leading label.
    pub(super) fn cells<'s>(&self, series: &'s Series, variant: usize) -> &'s [AtomicU64] {
        let width = self.width();
        &series.cells[variant * width..(variant + 1) * width]
    }

    /// Adds to a number, or a value to a histogram. `now` is kept where idle series are forgotten.
    pub(super) fn add(&self, series: &Series, variant: usize, value: u64, now: Option<u64>) {
        let cells = self.cells(series, variant);
        match &self.bounds {
            Some(bounds) => bounds.observe(cells, value),
            None => {
                cells[0].fetch_add(value, Ordering::Relaxed);
            }
        }
        if let Some(now) = now {
            series.used.store(now, Ordering::Relaxed);
        }
    }

    /// Forgets what was not used for long; whether there was any. A gauge that is not zero is in use.
    pub(super) fn forget_idle(&self, now: u64) -> bool {
        if !self.expires() {
            return false;
        }
        let mut all = locked(&self.series);
        let before = all.len();
        all.retain(|_, series| {
            let is_active = self.spec.kind == Kind::Gauge && series.cells[0].load(Ordering::Relaxed) != 0;
            is_active || now.saturating_sub(series.used.load(Ordering::Relaxed)) < self.expire
        });
        all.len() < before
    }

    /// All series by their labels, in order.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<Series>)> {
        let mut all: Vec<_> =
            locked(&self.series).iter().map(|(labels, series)| (labels.clone(), series.clone())).collect();
        all.extend(self.other.get().cloned());
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}
