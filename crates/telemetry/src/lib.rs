//! What is told of requests.
//!
//! - `requests.rs`: [`RequestLog`], the last requests with all that is known of them, for the Control API.
//! - `access_log/`: [`AccessLog`], one line per request in nginx's `log_format`, to a file or a standard stream.
//! - `metrics/`: [`Metrics`], what is counted, and its text for Prometheus.
//! - `attempts.rs`: [`attempts`], whom a request was sent to and how that went, in one line.
//! - `model_log.rs`: [`model_entry`], what loggers tell of a prompt and its answer.

mod access_log;
mod attempts;
mod metrics;
mod model_log;
mod requests;

pub use access_log::{AccessLog, AccessLogOptions, Format, FormatError};
pub use attempts::attempts;
pub use metrics::{ActiveModel, MetricOptions, Metrics, MetricsOptions, Reading, ThreadMetrics, Traffic};
pub use model_log::model_entry;
pub use requests::RequestLog;
