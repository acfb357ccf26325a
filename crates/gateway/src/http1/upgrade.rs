use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use a6_codec::http1::server::{AnswerHead, write_answer_head};
use a6_snapshot::Plugin;
use bytes::Bytes;
use http::Response;

use super::connection::Connection;
use super::outbox::Outbox;
use super::{Asked, spare};
use crate::body::AnswerBody;
use crate::wire::ClientSocket;

/// A client's connection that no longer speaks HTTP.
pub(crate) struct Upgraded {
    /// Its socket. Dropping it ends the connection; it is reset where the gateway cuts what is open.
    pub(crate) socket: ClientSocket,
    /// What the client has sent behind its request, and nobody has read.
    pub(crate) unread: Bytes,
}

type Tunnel = Pin<Box<dyn Future<Output = ()>>>;

/// The body of an answer with status 101: once its head has left, it is given the connection. What it makes of it runs as
/// long as the connection does, so that draining waits for it and cutting drops it.
pub(crate) struct Upgrade(Box<dyn FnOnce(Upgraded) -> Tunnel>);

impl Upgrade {
    /// `tunnel` is called at most once; where the client goes first it is dropped.
    pub(crate) fn new(tunnel: impl FnOnce(Upgraded) -> Tunnel + 'static) -> Self {
        Self(Box::new(tunnel))
    }
}

/// Writes the head and gives the connection away.
pub(super) async fn switch<P: Plugin>(
    connection: Rc<Connection>,
    answer: Response<AnswerBody<P>>,
    asked: &Asked,
) {
    let (parts, body) = answer.into_parts();
    // Without somebody to take the connection the word would be a lie.
    let AnswerBody::Upgrade(Upgrade(tunnel)) = body else { return };
    let mut out = Outbox::default();
    let head = AnswerHead {
        status: parts.status,
        headers: &parts.headers,
        method: &asked.method,
        version: asked.version,
        length: Some(0),
        closes: false,
        date: &spare::date(),
    };
    write_answer_head(out.text(), &head);
    if poll_fn(|cx| connection.poll_write(cx, &mut out)).await.is_err() {
        return;
    }
    out.rest();
    if let Some(core) = connection.into_core() {
        tunnel(Upgraded { socket: core.socket, unread: core.buffer.freeze() }).await;
    }
}
