use std::cell::{OnceCell, RefCell};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use a6_snapshot::{Meter, Record, Request};
use lru::LruCache;

use super::counted::count;
use super::facts::Facts;
use super::family::{ActiveModel, Series};
use super::spec::{COUNT, Of};
use super::{Metrics, Traffic, locked};
use crate::access_log::Source;

/// How many sets of labels a thread knows the series of.
const REMEMBERED: usize = 1_024;

/// What a key begins with, so that a request on its way is not taken for one that is over.
const OVER: u8 = 0;
const ON_ITS_WAY: u8 = 1;

/// A data thread's part of the metrics. It remembers which series a request of these labels adds to, so that most
/// requests cost one look-up and some additions.
pub struct ThreadMetrics {
    pub(super) shared: Arc<Metrics>,
    traffic: Arc<Traffic>,
    rows: RefCell<Rows>,
    /// Some family has labels that the settings add.
    has_extra: bool,
    /// Some family forgets idle series.
    expires: bool,
}

struct Rows {
    known: LruCache<Box<[u8]>, Rc<Row>>,
    /// The [`Metrics::generation`] that they are of.
    generation: u64,
    /// The key of the request at hand; its memory is kept.
    key: Vec<u8>,
}

/// The series of one set of labels, each looked for when it is first needed.
pub(super) struct Row {
    series: [OnceCell<Arc<Series>>; COUNT],
}

/// A request that is being counted.
pub(super) struct Counting<'a> {
    shared: &'a Metrics,
    row: &'a Row,
    facts: &'a Facts<'a>,
    source: &'a Source<'a>,
    now: Option<u64>,
}

impl Metrics {
    /// A data thread's own part.
    pub fn thread(self: &Arc<Self>) -> ThreadMetrics {
        let traffic = Arc::new(Traffic::default());
        locked(&self.threads).push(traffic.clone());
        let known = LruCache::new(NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN));
        ThreadMetrics {
            has_extra: self.families.iter().any(|family| !family.extra.is_empty()),
            expires: self.families.iter().any(|family| family.expires()),
            shared: self.clone(),
            traffic,
            rows: RefCell::new(Rows { known, generation: 0, key: Vec::new() }),
        }
    }
}

impl ThreadMetrics {
    /// Where connections and requests are counted.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Counts a request that is over.
    pub fn settle(&self, meter: Meter, request: &Request, record: &Record) {
        let facts = Facts::of(request, record, meter.prefer_name);
        let source = Source { request, record };
        let row = self.row(OVER, &facts, &source);
        let now = self.expires.then(|| self.shared.seconds());
        count(&Counting { shared: &self.shared, row: &row, facts: &facts, source: &source, now }, record);
    }

    /// A request goes to a model, as the last attempt in its record says. It counts as active until the guard is dropped,
    /// in the very series that it was entered in.
    pub fn enter_model(&self, request: &Request, record: &Record) -> ActiveModel {
        let facts = Facts::of(request, record, false);
        let source = Source { request, record };
        let row = self.row(ON_ITS_WAY, &facts, &source);
        let now = self.expires.then(|| self.shared.seconds());
        let counting = Counting { shared: &self.shared, row: &row, facts: &facts, source: &source, now };
        counting.add(Of::ActiveConnections, 0, 0);
        ActiveModel::enter(counting.series(Of::ActiveConnections).clone())
    }

    fn row(&self, kind: u8, facts: &Facts<'_>, source: &Source<'_>) -> Rc<Row> {
        let rows = &mut *self.rows.borrow_mut();
        let generation = self.shared.generation.load(Ordering::Acquire);
        if rows.generation != generation {
            rows.known.clear();
            rows.generation = generation;
        }
        rows.key.clear();
        rows.key.push(kind);
        facts.write_key(&mut rows.key);
        if self.has_extra {
            for extra in self.shared.families.iter().flat_map(|family| &family.extra) {
                rows.key.extend_from_slice(extra.value(source).as_bytes());
                rows.key.push(0xff);
            }
        }
        if let Some(row) = rows.known.get(rows.key.as_slice()) {
            return row.clone();
        }
        let row = Rc::new(Row { series: [const { OnceCell::new() }; COUNT] });
        rows.known.put(rows.key.as_slice().into(), row.clone());
        row
    }
}

impl Counting<'_> {
    fn series(&self, of: Of) -> &Arc<Series> {
        self.row.series[of as usize].get_or_init(|| self.shared.series(of, self.facts, self.source))
    }

    /// Adds to a number, or a value to a histogram: microseconds, or tokens.
    pub(super) fn add(&self, of: Of, variant: usize, value: u64) {
        let series = self.series(of);
        self.shared.family(of).add(series, variant, value, self.now);
        if series.is_folded {
            self.shared.folded.fetch_add(1, Ordering::Relaxed);
        }
    }
}
