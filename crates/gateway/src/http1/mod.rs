//! HTTP/1.1 towards clients: a task per connection and a loop in it. Nothing is handed through a channel: the road reads a
//! request's body from the socket itself, and its answer is polled by whoever writes it.
//!
//! - `connection.rs`: the socket and what was read ahead; the next head, the hang-up, the lingering end.
//! - `source.rs`: a request's body out of the connection.
//! - `sending.rs`: an answer into it: all frames that are ready in one write.
//! - `outbox.rs`: what is to be written, small pieces copied, large ones not.
//! - `faults.rs`: what is refused before it is a request.
//! - `upgrade.rs`: how a connection is given away after status 101.
//! - `spare.rs`: a thread's spare buffers, so that idle connections hold none, and the date.

mod connection;
mod faults;
mod outbox;
mod sending;
mod source;
mod spare;
#[cfg(test)]
mod tests;
mod upgrade;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use a6_codec::http1::Framing;
use a6_codec::http1::server::RequestHead;
use a6_snapshot::{ClientBody, Plugin};
use http::{Method, Request, StatusCode, Version};
use tokio::sync::watch;

use crate::road;
use crate::wire::{ClientSocket, ClientStream, Link, Patience};
use crate::worker::Worker;
use connection::{Connection, Next};
use sending::Sent;

pub use faults::HeadFaults;
pub(crate) use upgrade::Upgrade;

/// What an answer has to know of its request.
struct Asked {
    method: Method,
    version: Version,
    keeps_alive: bool,
}

/// Serves a connection to its end; once draining begins, it takes no further requests.
pub(crate) async fn serve<P: Plugin>(
    worker: Rc<Worker<P>>,
    stream: ClientStream,
    link: Rc<Link>,
    patience: Patience,
    draining: watch::Receiver<bool>,
) {
    let connection = Rc::new(Connection::new(ClientSocket::new(stream, link.clone()), patience));
    let mut waiting = draining.clone();
    let mut drained = pin!(async move {
        let _ = waiting.wait_for(|draining| *draining).await;
    });
    let mut drains = false;
    loop {
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = connection.poll_head(cx) {
                return Poll::Ready(next);
            }
            drains = drains || drained.as_mut().poll(cx).is_ready();
            if drains && connection.is_idle() { Poll::Ready(Next::End) } else { Poll::Pending }
        });
        let head = match next.await {
            Next::Request(head) => head,
            Next::Refused(fault) => {
                worker.config.head_faults.count(fault);
                return faults::refuse(&connection, fault, &worker.config.server).await;
            }
            Next::End => return connection.take_leave().await,
        };
        let asked =
            Asked { method: head.method.clone(), version: head.version, keeps_alive: head.keeps_alive };
        let answer = {
            let request = request(head, &connection);
            let mut road = pin!(road::travel(worker.clone(), link.clone(), request));
            poll_fn(|cx| match road.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                // Whoever has gone needs no answer: with the road goes the request to the upstream.
                Poll::Pending => connection.poll_hang_up(cx).map(|()| None),
            })
            .await
        };
        let Some(answer) = answer else { return };
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return upgrade::switch(connection, answer, &asked).await;
        }
        // A rest of the body that nobody will read stands before the next request.
        let is_unread = Rc::strong_count(&connection) == 1 && !connection.skip_body();
        let closes = is_unread || draining.has_changed().unwrap_or(true);
        match sending::send(&connection, answer, &asked, closes).await {
            Sent::Whole { closes: false } if Rc::strong_count(&connection) == 1 && connection.skip_body() => {
            }
            Sent::Whole { .. } => return connection.close().await,
            Sent::Cut => return,
        }
    }
}

fn request(head: RequestHead, connection: &Rc<Connection>) -> Request<ClientBody> {
    let body = match head.framing {
        Framing::Empty => ClientBody::Empty,
        _ => ClientBody::Http1(connection.clone()),
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;
    request
}
