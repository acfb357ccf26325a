//! What is told of requests.
//!
//! - `requests.rs`: [`RequestLog`], the last requests with all that is known of them, for the Control API.
//! - `access_log/`: [`AccessLog`], one line per request in nginx's `log_format`, to a file or a standard stream.

mod access_log;
mod requests;

pub use access_log::{AccessLog, AccessLogOptions, Format, FormatError};
pub use requests::RequestLog;
