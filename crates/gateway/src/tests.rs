use std::rc::Rc;

use a6_snapshot::{ClientBody, Exchange, Phases, Plugin, Stop};

use crate::body::AnswerBody;
use crate::road;
use crate::settle::Settlement;
use crate::stream::AnswerStream;
use crate::wire::Link;
use crate::worker::Worker;

/// A plugin that takes part in every async phase.
struct Everywhere;

impl Plugin for Everywhere {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, access: true, before_proxy: true, ..Phases::default() }
    }

    async fn access(&self, _exchange: &mut Exchange) -> Result<(), Stop> {
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// The size of what a function returns, without calling it.
fn size_of_return<A, B, C, R>(_: fn(A, B, C) -> R) -> usize {
    size_of::<R>()
}

#[test]
fn what_a_connection_keeps_stays_small() {
    let future = size_of_return(
        road::travel::<Everywhere> as fn(Rc<Worker<Everywhere>>, Rc<Link>, http::Request<ClientBody>) -> _,
    );
    assert!(future <= 2048, "the request future has {future} bytes");
    let sizes = [size_of::<Settlement<Everywhere>>(), size_of::<AnswerStream<Everywhere>>()];
    assert!(sizes.iter().all(|size| *size <= 1024), "settlement and stream have {sizes:?} bytes");
    assert!(size_of::<AnswerBody<Everywhere>>() <= 64);
}
