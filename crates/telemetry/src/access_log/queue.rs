use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A line waits this long for others to be written with it.
const FLUSH_AFTER: Duration = Duration::from_millis(100);
/// The end waits this long for a disk or a reader that takes nothing.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Lines on their way from the data threads to the writer: two buffers that change places, one being filled and one being
/// written.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer waits here for something to do.
    work: Condvar,
    /// Whoever stops the log waits here for the writer's end.
    end: Condvar,
    dropped: AtomicU64,
    full: usize,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// The writer sleeps until it is woken.
    is_asleep: bool,
    reopen: bool,
    stopping: bool,
    ended: bool,
}

/// What the writer has to do after it has written a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Open the file anew.
    pub(super) reopen: bool,
    /// Nothing comes any more.
    pub(super) last: bool,
}

impl Queue {
    /// A queue that is written once it holds `full` bytes and never holds more than `capacity`.
    pub(super) fn new(full: usize, capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            end: Condvar::new(),
            dropped: AtomicU64::new(0),
            full: full.clamp(1, capacity / 2),
            capacity,
        }
    }

    /// Hands a line over, or drops it where there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        let before = state.lines.len();
        if state.stopping || before + line.len() > self.capacity {
            drop(state);
            self.lose(1);
            return;
        }
        state.lines.extend_from_slice(line);
        let is_full = before < self.full && before + line.len() >= self.full;
        // Waking is a system call: only where the writer would miss something.
        let wakes = std::mem::take(&mut state.is_asleep) || is_full;
        drop(state);
        if wakes {
            self.work.notify_one();
        }
    }

    /// Counts lines that are lost.
    pub(super) fn lose(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines lost so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn ask_to_reopen(&self) {
        self.lock().reopen = true;
        self.work.notify_one();
    }

    /// Returns once the writer has ended, or after [`STOP_LIMIT`].
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        self.work.notify_one();
        let waited = self.end.wait_timeout_while(state, STOP_LIMIT, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.ended {
            tracing::error!("the access log takes no lines; its last lines are lost");
        }
    }

    /// For the writer: waits until there is something to do and puts the lines into `batch`, which must be empty.
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> Turn {
        let mut state = self.lock();
        while state.lines.is_empty() && !state.is_urgent(self.full) {
            state.is_asleep = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_asleep = false;
        let waited = self.work.wait_timeout_while(state, FLUSH_AFTER, |state| !state.is_urgent(self.full));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.lines, batch);
        Turn { reopen: std::mem::take(&mut state.reopen), last: state.stopping }
    }

    /// For the writer: it has ended.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.end.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves whole lines: they are added by one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_urgent(&self, full: usize) -> bool {
        self.reopen || self.stopping || self.lines.len() >= full
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_full_queue_drops_whole_lines_and_counts_them() {
        let queue = Queue::new(8, 20);
        for line in [&b"first\n"[..], b"second\n", b"a third that is too long\n", b"fourth\n", b"5\n"] {
            queue.push(line);
        }
        assert_eq!(queue.dropped(), 2);
        let mut batch = Vec::new();
        assert_eq!(queue.take(&mut batch), Turn { reopen: false, last: false });
        assert_eq!(batch, b"first\nsecond\nfourth\n");
    }

    #[test]
    fn the_writer_is_woken_by_a_line_and_by_requests_of_its_own() {
        let queue = Arc::new(Queue::new(1 << 20, 1 << 21));
        let taking = queue.clone();
        let taken = std::thread::spawn(move || {
            let mut batch = Vec::new();
            taking.take(&mut batch);
            batch
        });
        queue.push(b"a line\n");
        assert_eq!(taken.join().unwrap(), b"a line\n");

        queue.ask_to_reopen();
        let mut batch = Vec::new();
        assert_eq!(queue.take(&mut batch), Turn { reopen: true, last: false });
        assert_eq!(batch, b"");
    }

    #[test]
    fn what_was_handed_over_before_the_end_is_taken_and_nothing_after_it() {
        let queue = Arc::new(Queue::new(1 << 20, 1 << 21));
        queue.push(b"before\n");
        let stopping = queue.clone();
        let stopper = std::thread::spawn(move || stopping.stop());
        let mut taken = Vec::new();
        loop {
            let mut batch = Vec::new();
            let turn = queue.take(&mut batch);
            taken.append(&mut batch);
            if turn.last {
                break;
            }
        }
        queue.push(b"after\n");
        queue.end();
        stopper.join().unwrap();
        assert_eq!((taken.as_slice(), queue.dropped()), (&b"before\n"[..], 1));
    }
}
