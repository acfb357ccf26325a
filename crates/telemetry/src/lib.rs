//! What is told of requests.
//!
//! - `requests.rs`: [`RequestLog`], the last requests with all that is known of them, for the Control API.

mod requests;

pub use requests::RequestLog;
