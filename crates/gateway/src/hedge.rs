//! Two instances for one request: the second is asked where the first is silent, and the first good answer counts.

use std::pin::pin;
use std::time::{Duration, Instant};

use a6_core::{Fault, FaultKind};
use a6_snapshot::Record;
use a6_upstream::Answer;

/// What became of one of the two.
#[derive(Debug)]
pub(crate) enum Side<T> {
    /// It was never begun.
    Idle,
    /// It was under way when the other's answer was taken: it is dropped, and its connection closed.
    Lost,
    /// It has ended, at this moment.
    Done(T, Instant),
}

/// What became of both.
#[derive(Debug)]
pub(crate) struct Hedged<T> {
    pub(crate) first: Side<T>,
    pub(crate) second: Side<T>,
}

/// Runs `first` alone for so long; where it has not ended by then, `second` beside it. The first good end counts, and the
/// other future is dropped. A bad end counts only where the other ends badly too, or was not begun: an early failure of the
/// first one is not this function's to mend.
///
/// `second` is begun, and so finds out whom to ask, only when it is needed; None means that nobody else may be asked, and
/// the first one is waited for as if nothing had been.
pub(crate) async fn hedge<T>(
    after: Duration,
    first: impl Future<Output = T>,
    second: impl Future<Output = Option<T>>,
    is_good: impl Fn(&T) -> bool,
) -> Hedged<T> {
    let mut first = pin!(first);
    if let Ok(result) = tokio::time::timeout(after, first.as_mut()).await {
        return Hedged { first: done(result), second: Side::Idle };
    }
    let mut second = pin!(second);
    tokio::select! {
        // Of two that end at once the first one is taken, since it has cost more.
        biased;
        result = first.as_mut() => {
            if is_good(&result) {
                return Hedged { first: done(result), second: Side::Lost };
            }
            let first = done(result);
            Hedged { first, second: second.await.map_or(Side::Idle, done) }
        }
        result = second.as_mut() => match result {
            None => Hedged { first: done(first.await), second: Side::Idle },
            Some(result) if is_good(&result) => Hedged { first: Side::Lost, second: done(result) },
            Some(result) => {
                let second = done(result);
                Hedged { first: done(first.await), second }
            }
        },
    }
}

fn done<T>(result: T) -> Side<T> {
    Side::Done(result, Instant::now())
}

impl<T> Hedged<T> {
    /// Whether the second one's end counts: it is good, or the first one's is bad too.
    pub(crate) fn is_seconds(&self, is_good: impl Fn(&T) -> bool) -> bool {
        match (&self.first, &self.second) {
            (_, Side::Idle | Side::Lost) => false,
            (Side::Done(first, _), Side::Done(..)) => !is_good(first),
            (Side::Idle | Side::Lost, Side::Done(..)) => true,
        }
    }
}

/// Notes in the record what became of both attempts, the first of which stands at `at`. The one whose answer is taken
/// stands last afterwards, since whoever deals with the answer finds its attempt there.
pub(crate) fn note(
    record: &mut Record,
    at: usize,
    hedged: &Hedged<Result<Answer, Fault>>,
    is_good: impl Fn(&Result<Answer, Fault>) -> bool,
) {
    note_side(record, at, &hedged.first);
    note_side(record, at + 1, &hedged.second);
    if record.attempts.len() > at + 1 && !hedged.is_seconds(is_good) {
        record.attempts.swap(at, at + 1);
    }
}

fn note_side(record: &mut Record, at: usize, side: &Side<Result<Answer, Fault>>) {
    let Some(attempt) = record.attempts.get_mut(at) else { return };
    match side {
        Side::Idle => {}
        Side::Lost => {
            attempt.fault = Some(FaultKind::HedgeLost);
            attempt.duration = Some(attempt.started.elapsed());
        }
        Side::Done(result, when) => {
            let took = when.saturating_duration_since(attempt.started);
            match result {
                Ok(answer) => {
                    attempt.status = Some(answer.head.status);
                    attempt.connect = Some(answer.connect);
                    attempt.header = Some(took);
                }
                Err(fault) => {
                    attempt.fault = Some(fault.kind);
                    attempt.duration = Some(took);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
