//! HTTP/2 towards clients, by hyper.
//!
//! - `io.rs`: the client's socket with an eye on the clock, which hyper has not.
//! - `watchdog.rs`: takes answers away from clients that do not take them.

mod io;
mod watchdog;

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;

use a6_snapshot::{ClientBody, Plugin};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use crate::road;
use crate::wire::{ClientSocket, ClientStream, Link, Patience};
use crate::worker::Worker;
use io::ClientIo;
use watchdog::Watchdog;

/// Requests at a time on one connection, and bytes of one request's head.
const MAX_STREAMS: u32 = 200;
const MAX_HEADER_LIST: u32 = 64 << 10;

/// Runs hyper's tasks for one stream on the connection's own thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Serves a connection to its end; once draining begins, it takes no further requests.
pub(crate) async fn serve<P: Plugin>(
    worker: Rc<Worker<P>>,
    stream: ClientStream,
    link: Rc<Link>,
    patience: Patience,
    mut draining: watch::Receiver<bool>,
) {
    let peer = link.client.peer;
    let watchdog = Rc::new(Watchdog::new(patience.send));
    let io = TokioIo::new(ClientIo::new(ClientSocket::new(stream, link.clone()), patience));
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (worker, link, watchdog) = (worker.clone(), link.clone(), watchdog.clone());
        async move {
            let answer = road::travel(worker, link, request.map(ClientBody::Http2)).await;
            Ok::<_, Infallible>(answer.map(|body| watchdog.watch(body)))
        }
    });
    let connection = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = draining.wait_for(|draining| *draining) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a client connection ended early");
    }
}
