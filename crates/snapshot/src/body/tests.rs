use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use a6_core::{Budget, FaultKind};
use bytes::{Bytes, BytesMut};

use super::{BodyError, BodyLimits, BodyPiece, BodySource, ClientBody, RequestBody};

/// What a connection does when it is asked for the next piece.
#[derive(Clone, Copy)]
enum Act {
    /// Gives away what is there already.
    Give(&'static str),
    /// Reads.
    Read(&'static str),
    Fail(BodyError),
    /// Nothing comes any more.
    Hang,
}

struct Script {
    acts: RefCell<VecDeque<Act>>,
    announced: Option<u64>,
    asked: Cell<usize>,
}

impl BodySource for Script {
    fn poll_data(&self, _: &mut Context<'_>, into: &mut BytesMut) -> Poll<Result<BodyPiece, BodyError>> {
        self.asked.set(self.asked.get() + 1);
        let mut acts = self.acts.borrow_mut();
        match acts.front().copied() {
            None => Poll::Ready(Ok(BodyPiece::End)),
            Some(Act::Hang) => Poll::Pending,
            Some(act) => {
                acts.pop_front();
                Poll::Ready(match act {
                    Act::Give(text) => Ok(BodyPiece::Taken(Bytes::from_static(text.as_bytes()))),
                    Act::Read(text) => {
                        into.extend_from_slice(text.as_bytes());
                        Ok(BodyPiece::Appended(text.len()))
                    }
                    Act::Fail(error) => Err(error),
                    Act::Hang => Ok(BodyPiece::End),
                })
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.announced
    }

    fn is_end(&self) -> bool {
        self.acts.borrow().is_empty()
    }
}

fn body(acts: &[Act], announced: Option<u64>, max: u64) -> (RequestBody, Rc<Script>, Budget) {
    let acts = RefCell::new(acts.iter().copied().collect());
    let script = Rc::new(Script { acts, announced, asked: Cell::new(0) });
    let budget = Budget::new(20);
    let limits = BodyLimits { budget: budget.clone(), timeout: Duration::from_millis(20), max };
    (RequestBody::new(ClientBody::Http1(script.clone()), limits), script, budget)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn pieces_are_joined_in_their_order_within_the_limits() {
    use Act::{Fail, Give, Hang, Read};
    let cases: [(&[Act], Option<u64>, Result<&str, FaultKind>); 12] = [
        (&[], Some(0), Ok("")),
        (&[Give("abc")], Some(3), Ok("abc")),
        (&[Give("abc"), Give("def")], None, Ok("abcdef")),
        (&[Give("abc"), Read("def"), Read("g")], Some(7), Ok("abcdefg")),
        (&[Read("abc"), Give("def"), Read("g")], None, Ok("abcdefg")),
        (&[Give("abc"), Fail(BodyError::Malformed)], None, Err(FaultKind::BadRequest)),
        (&[Fail(BodyError::Gone)], Some(3), Err(FaultKind::ClientGone)),
        (&[Give("abc"), Hang], Some(9), Err(FaultKind::RequestTimeout)),
        (&[], Some(31), Err(FaultKind::TooLarge)),
        (&[Give("abcdefghijklmnop"), Give("abcdefghij")], None, Err(FaultKind::Overloaded)),
        (&[Give("abcdefghijklmnopabcdefghijklmnop")], None, Err(FaultKind::TooLarge)),
        (&[Give("a"), Read("b"), Fail(BodyError::Gone)], Some(9), Err(FaultKind::ClientGone)),
    ];
    for (number, (acts, announced, expected)) in cases.into_iter().enumerate() {
        let (mut body, _script, budget) = body(acts, announced, 30);
        let found = run(body.read(u64::MAX)).map_err(|fault| fault.kind);
        assert_eq!(found, expected.map(Bytes::from), "{number}");
        if let Ok(bytes) = &found {
            assert_eq!(budget.used(), bytes.len() as u64, "{number}");
        }
        assert_eq!(body.bytes().is_some(), found.is_ok(), "{number}");
        drop(body);
        assert_eq!(budget.used(), 0, "{number}");
    }
}

#[test]
fn a_body_that_came_in_one_piece_is_not_copied() {
    static TEXT: &str = "in one piece";
    let (mut body, ..) = body(&[Act::Give(TEXT)], Some(12), 30);
    assert_eq!(run(body.read(30)).unwrap().as_ptr(), TEXT.as_ptr());
    assert_eq!(run(body.read(11)).unwrap_err().kind, FaultKind::TooLarge);
}

#[test]
fn what_is_too_long_by_its_announcement_is_not_asked_for() {
    let (mut body, script, _) = body(&[Act::Give("abc")], Some(31), 30);
    assert!(run(body.read(u64::MAX)).is_err() && body.is_unread());
    assert_eq!(script.asked.get(), 0);
}

#[test]
fn a_body_is_passed_on_piece_by_piece() {
    let acts = [Act::Give("abc"), Act::Read("def"), Act::Read("g")];
    let (mut passed, _, budget) = body(&acts, Some(7), 30);
    let mut pieces = Vec::new();
    while let Some(piece) = run(poll_fn(|cx| passed.poll_chunk(cx))) {
        pieces.push(piece.unwrap());
        assert_eq!(budget.used(), 0);
    }
    assert_eq!(pieces, ["abc", "def", "g"]);
    assert!(!passed.is_unread() && run(passed.discard(0, Duration::from_secs(1))));

    let cases: [(&[Act], FaultKind); 3] = [
        (&[Act::Hang], FaultKind::RequestTimeout),
        (&[Act::Fail(BodyError::Gone)], FaultKind::ClientGone),
        (&[Act::Give("abcdefghijklmnopabcdefghijklmnop")], FaultKind::TooLarge),
    ];
    for (acts, kind) in cases {
        let (mut body, ..) = body(acts, None, 30);
        let fault = run(async { poll_fn(|cx| body.poll_chunk(cx)).await.unwrap().unwrap_err() });
        assert_eq!(fault.kind, kind);
        // It cannot be taken up again.
        assert_eq!(run(body.read(30)).unwrap_err().kind, FaultKind::ClientGone);
    }
}

#[test]
fn a_rest_is_thrown_away_if_it_is_small() {
    let long = [Act::Read("abcdef"), Act::Read("abcdef"), Act::Read("abcdef")];
    let cases: [(&[Act], Option<u64>, bool); 5] = [
        (&[], Some(0), true),
        (&[Act::Give("abc"), Act::Read("def")], Some(6), true),
        (&[Act::Give("abc")], Some(11), false),
        (&long, None, false),
        (&[Act::Give("abc"), Act::Fail(BodyError::Malformed)], None, false),
    ];
    for (number, (acts, announced, discarded)) in cases.into_iter().enumerate() {
        let (mut body, ..) = body(acts, announced, 30);
        assert_eq!(run(body.discard(10, Duration::from_millis(50))), discarded, "{number}");
    }
}
