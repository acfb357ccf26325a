use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use a6_codec::http1::Framing;
use a6_codec::http1::server::{
    AnswerHead, CHUNK_END, LAST_CHUNK, write_answer_head, write_chunk_head, write_trailers,
};
use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};

use super::connection::Connection;
use super::outbox::Outbox;
use super::{Asked, spare};

/// No more is asked of a body than this while the client has not taken it.
const ENOUGH: usize = 64 << 10;

/// What became of an answer.
pub(super) enum Sent {
    /// It left as a whole; the connection may have to end with it.
    Whole { closes: bool },
    /// The client has gone, or must not take the answer for whole: the connection ends at once.
    Cut,
}

/// How a body has ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Whole,
    Broken,
}

struct Sending {
    out: Outbox,
    framing: Framing,
    end: Option<End>,
    closes: bool,
}

/// Writes an answer: the head together with what is ready of the body, the rest as it comes. Nothing waits for more while
/// the body has none, and the body is not asked for more than the client takes.
pub(super) async fn send<B>(connection: &Connection, answer: Response<B>, asked: &Asked, closes: bool) -> Sent
where
    B: Body<Data = Bytes> + Unpin,
{
    let (parts, body) = answer.into_parts();
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    let mut sending = Sending {
        out: Outbox::default(),
        framing: Framing::Empty,
        end: None,
        closes: closes || !asked.keeps_alive || asks_to_close(&parts.headers),
    };
    sending.out.text().extend_from_slice(connection.end_interim());
    let head = AnswerHead {
        status: parts.status,
        headers: &parts.headers,
        method: &asked.method,
        version: asked.version,
        length,
        closes: sending.closes,
        date: &spare::date(),
    };
    sending.begin(&head);
    connection.head_left(sending.out.len());
    spare::give_headers(parts.headers);
    let mut body = Some(body);
    poll_fn(|cx| sending.poll(cx, connection, &mut body)).await
}

/// Whether an answer's own headers end the connection.
fn asks_to_close(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    values.any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

impl Sending {
    fn begin(&mut self, head: &AnswerHead<'_>) {
        self.framing = write_answer_head(self.out.text(), head);
        self.closes |= self.framing == Framing::Close;
        self.end = (self.framing == Framing::Empty).then_some(End::Whole);
    }

    fn poll<B>(&mut self, cx: &mut Context<'_>, connection: &Connection, body: &mut Option<B>) -> Poll<Sent>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        loop {
            let mut is_waiting = false;
            while let (None, Some(open)) = (self.end, body.as_mut())
                && !is_waiting
                && self.out.len() < ENOUGH
            {
                match Pin::new(open).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.take(frame),
                    Poll::Ready(Some(Err(_))) => self.end = Some(End::Broken),
                    Poll::Ready(None) => self.finish(None),
                    Poll::Pending => is_waiting = true,
                }
            }
            if self.end.is_some() {
                // The request is settled before its client can know that it is over: whoever has an answer finds its
                // record.
                *body = None;
            }
            match connection.poll_write(cx, &mut self.out) {
                Poll::Ready(Ok(())) => connection.flushed(),
                Poll::Ready(Err(_)) => return Poll::Ready(Sent::Cut),
                Poll::Pending => return connection.poll_hang_up(cx).map(|()| Sent::Cut),
            }
            if is_waiting || self.end.is_some() {
                self.out.rest();
            }
            match self.end {
                Some(End::Whole) => return Poll::Ready(Sent::Whole { closes: self.closes }),
                Some(End::Broken) => {
                    if self.framing == Framing::Close {
                        // A plain close would look like the proper end.
                        connection.reset();
                    }
                    return Poll::Ready(Sent::Cut);
                }
                None if is_waiting => {
                    connection.rest();
                    return connection.poll_hang_up(cx).map(|()| Sent::Cut);
                }
                None => {}
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => self.data(data),
            Err(frame) => self.finish(frame.into_trailers().ok().as_ref()),
        }
    }

    fn data(&mut self, data: Bytes) {
        match &mut self.framing {
            Framing::Empty => {}
            Framing::Close => self.out.push(data),
            Framing::Chunked if data.is_empty() => {}
            Framing::Chunked => {
                write_chunk_head(self.out.text(), data.len());
                self.out.push(data);
                self.out.text().extend_from_slice(CHUNK_END);
            }
            Framing::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= count as u64;
                if *left == 0 {
                    self.end = Some(End::Whole);
                }
                self.out.push(data.slice(..count));
            }
        }
    }

    /// The body has no more.
    fn finish(&mut self, trailers: Option<&HeaderMap>) {
        self.end = Some(match (self.framing, trailers) {
            (Framing::Length(_), _) => End::Broken,
            (Framing::Chunked, Some(trailers)) => {
                write_trailers(self.out.text(), trailers);
                End::Whole
            }
            (Framing::Chunked, None) => {
                self.out.text().extend_from_slice(LAST_CHUNK);
                End::Whole
            }
            (Framing::Empty | Framing::Close, _) => End::Whole,
        });
    }
}
