//! The access log: one line per request, in nginx's `log_format`.
//!
//! - `format.rs`: [`Format`], the configured text, compiled once.
//! - `variables/`: the variables, one table each for the request, the upstream and the model.
//! - `encode.rs`: values as they stand in a line: nginx's escaping, numbers, secrets left out.
//! - `stamp.rs`: times of day, formatted once per second.
//! - `queue.rs`: lines on their way from the data threads to the writer, bounded.
//! - `sink.rs`: the file or stream, and the thread that writes to it.

mod encode;
mod format;
mod queue;
mod sink;
mod stamp;
#[cfg(test)]
mod tests;
mod variables;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use a6_snapshot::{Record, Request};

use self::queue::Queue;
use self::sink::Sink;

pub use self::format::{Format, FormatError};
pub(crate) use self::variables::{Source, Variable};

/// Lines that wait for the writer may hold this many bytes; past it they are dropped and counted.
const CAPACITY: usize = 8 << 20;
/// A thread's line buffer keeps at most this many bytes between two requests.
const KEPT: usize = 16 << 10;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where the access log goes and what a line looks like.
#[derive(Clone, Debug)]
pub struct AccessLogOptions {
    /// `/dev/stdout`, `/dev/stderr` or a file, which is made if it is not there (mode 0640); its directory must exist.
    pub path: PathBuf,
    /// What a line looks like.
    pub format: Format,
    /// Bytes that are collected before a write; fewer wait for 100 ms at most.
    pub buffer: usize,
}

/// The access log of a gateway, shared by its data threads.
///
/// A line is handed over under one short lock and written by a thread of the log's own, so that a slow disk never
/// holds up a request: where the writer cannot keep up, lines are dropped and counted.
///
/// Credentials do not get into it. The headers `authorization`, `proxy-authorization`, `x-api-key`, `api-key`, `apikey`,
/// `x-goog-api-key` and `cookie`, every `$cookie_«name»`, and the query members `key`, `api_key`, `api-key`, `apikey`,
/// `token` and `access_token`, in whichever variable they would stand, are written as `***`.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    queue: Arc<Queue>,
}

impl AccessLog {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened: it is named, and the setting that names it. Or the thread cannot be started.
    pub fn open(options: AccessLogOptions) -> io::Result<Self> {
        let sink = Sink::open(options.path)?;
        let queue = Arc::new(Queue::new(options.buffer, CAPACITY));
        sink.start(queue.clone())?;
        Ok(Self { format: options.format, queue })
    }

    /// Writes the line of a request that is over. Never waits for the disk.
    pub fn write(&self, request: &Request, record: &Record) {
        LINE.with_borrow_mut(|line| {
            self.format.write(request, record, line);
            self.queue.push(line);
            line.clear();
            line.shrink_to(KEPT);
        });
    }

    /// Opens the file anew, after what was handed over so far is written to the old one: the second half of a rotation
    /// that renames the file. Returns at once. The standard streams stay as they are.
    pub fn reopen(&self) {
        self.queue.ask_to_reopen();
    }

    /// Lines that were lost so far: the writer could not keep up, or the disk did not take them.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Ends the log: returns once every line that was handed over before is written, or after five seconds where
    /// nobody takes them. Lines that come later are dropped and counted.
    pub fn stop(&self) {
        self.queue.stop();
    }
}
