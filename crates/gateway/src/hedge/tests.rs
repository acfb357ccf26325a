use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::task::Poll;

use a6_snapshot::Attempt;
use http::{Method, StatusCode};
use tokio::sync::Notify;

use super::*;

const AT_ONCE: Duration = Duration::ZERO;
const NEVER: Duration = Duration::from_secs(3_600);

fn is_good(number: &i32) -> bool {
    *number > 0
}

/// Counts how often it is begun and dropped before its end.
#[derive(Default)]
struct Watched {
    begun: Cell<u32>,
    cancelled: Cell<u32>,
}

struct Running<'a>(&'a Watched, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.cancelled.set(self.0.cancelled.get() + 1);
        }
    }
}

impl Watched {
    async fn run<T>(&self, inner: impl Future<Output = T>) -> T {
        self.begun.set(self.begun.get() + 1);
        let mut running = Running(self, false);
        let result = inner.await;
        running.1 = true;
        result
    }
}

/// Ends once it has been polled so often.
async fn after_polls(polls: u32, result: i32) -> i32 {
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(result);
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// The same, once the gate is open: not before the other has begun, however slow the clock is.
async fn behind(gate: &Notify, polls: u32, result: i32) -> i32 {
    gate.notified().await;
    after_polls(polls, result).await
}

/// Opens the gate when it is begun.
async fn opening<T>(gate: &Notify, inner: impl Future<Output = T>) -> T {
    gate.notify_one();
    inner.await
}

fn ended<T: Copy>(side: &Side<T>) -> Option<T> {
    match side {
        Side::Done(result, _) => Some(*result),
        Side::Idle | Side::Lost => None,
    }
}

#[tokio::test]
async fn nobody_else_is_asked_while_there_is_time() {
    for result in [1, -1] {
        let second = Watched::default();
        let hedged = hedge(NEVER, after_polls(3, result), second.run(ready(Some(2))), is_good).await;
        assert_eq!((ended(&hedged.first), second.begun.get()), (Some(result), 0));
        assert!(matches!(hedged.second, Side::Idle) && !hedged.is_seconds(is_good));
    }
}

#[tokio::test]
async fn the_first_good_end_counts_and_the_other_is_dropped() {
    let (first, second) = (Watched::default(), Watched::default());
    let hedged = hedge(AT_ONCE, first.run(pending()), second.run(ready(Some(2))), is_good).await;
    assert!(matches!(hedged.first, Side::Lost) && hedged.is_seconds(is_good));
    assert_eq!((ended(&hedged.second), first.cancelled.get(), second.cancelled.get()), (Some(2), 1, 0));

    let (first, second, gate) = (Watched::default(), Watched::default(), Notify::new());
    let never = second.run(opening(&gate, pending::<Option<i32>>()));
    let hedged = hedge(AT_ONCE, first.run(behind(&gate, 9, 1)), never, is_good).await;
    assert!(matches!(hedged.second, Side::Lost) && !hedged.is_seconds(is_good));
    assert_eq!((ended(&hedged.first), first.cancelled.get(), second.cancelled.get()), (Some(1), 0, 1));
}

#[tokio::test]
async fn a_bad_end_counts_only_where_both_are_bad() {
    // When each ends, and how; which one counts.
    let cases: [((u32, i32), (u32, i32), bool); 5] = [
        ((9, 1), (2, -2), false),
        ((2, -1), (9, 2), true),
        ((2, -1), (9, -2), true),
        ((9, -1), (2, -2), true),
        ((9, -1), (2, 2), true),
    ];
    for (one, other, is_seconds) in cases {
        let gate = Notify::new();
        let second = async { Some(opening(&gate, after_polls(other.0, other.1)).await) };
        let hedged = hedge(AT_ONCE, behind(&gate, one.0, one.1), second, is_good).await;
        assert_eq!(hedged.is_seconds(is_good), is_seconds, "{one:?} {other:?}");
        let taken = if is_seconds { &hedged.second } else { &hedged.first };
        assert_eq!(ended(taken), Some(if is_seconds { other.1 } else { one.1 }));
    }
}

#[tokio::test]
async fn where_nobody_else_may_be_asked_the_first_one_is_waited_for() {
    for result in [1, -1] {
        let (first, gate) = (Watched::default(), Notify::new());
        let nobody = opening(&gate, ready(None));
        let hedged = hedge(AT_ONCE, first.run(behind(&gate, 9, result)), nobody, is_good).await;
        assert_eq!((ended(&hedged.first), first.begun.get()), (Some(result), 1));
        assert!(matches!(hedged.second, Side::Idle) && !hedged.is_seconds(is_good));
    }
}

#[tokio::test]
async fn whoever_gives_up_gives_up_both() {
    let (first, second) = (Watched::default(), Watched::default());
    let hedging = hedge(AT_ONCE, first.run(pending()), second.run(pending::<Option<i32>>()), is_good);
    assert!(tokio::time::timeout(Duration::from_millis(20), hedging).await.is_err());
    assert_eq!((first.cancelled.get(), second.cancelled.get()), (1, 1));
}

fn attempt(name: &str) -> Attempt {
    Attempt {
        address: "a.test:443".into(),
        instance: name.into(),
        status: None,
        fault: None,
        class: None,
        started: Instant::now(),
        connect: None,
        header: None,
        duration: None,
        scheme: "https",
        path: "/".into(),
        response_bytes: 0,
    }
}

#[test]
fn both_attempts_are_told_and_the_one_that_counts_stands_last() {
    let failed = || Side::Done(Err(Fault::upstream(FaultKind::UpstreamConnect, "refused")), Instant::now());
    let good = |result: &Result<Answer, Fault>| result.is_ok();
    let lost = Some(FaultKind::HedgeLost);
    let refused = Some(FaultKind::UpstreamConnect);
    let cases = [
        (Hedged { first: Side::Lost, second: failed() }, vec![("one", lost), ("two", refused)]),
        (Hedged { first: failed(), second: Side::Lost }, vec![("two", lost), ("one", refused)]),
        (Hedged { first: failed(), second: failed() }, vec![("one", refused), ("two", refused)]),
    ];
    for (hedged, expected) in cases {
        let mut record = Record::begin(Method::POST, 0);
        record.attempts = vec![attempt("before"), attempt("one"), attempt("two")];
        record.attempts[0].status = Some(StatusCode::TOO_MANY_REQUESTS);
        note(&mut record, 1, &hedged, good);
        let told: Vec<_> = record.attempts[1..].iter().map(|one| (&*one.instance, one.fault)).collect();
        assert_eq!(told, expected);
        assert!(record.attempts[1..].iter().all(|one| one.duration.is_some()));
    }
    let mut alone = Record::begin(Method::POST, 0);
    alone.attempts = vec![attempt("one")];
    note(&mut alone, 0, &Hedged { first: failed(), second: Side::Idle }, good);
    assert_eq!(alone.attempts[0].fault, refused);
}
