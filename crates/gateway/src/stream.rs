use std::task::{Context, Poll, ready};
use std::time::Instant;

use a6_codec::http1::Framing;
use a6_codec::sse::{SseDecoder, events};
use a6_core::{Fault, FaultKind};
use a6_protocols::{End, PlainReader, Protocol, StreamReader, Verdict};
use a6_snapshot::{Asked, Frame, FrameFlow, Outcome, Plugin};
use a6_upstream::{BodyEnd, UpstreamBody};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Method, Response, StatusCode, Version};

use crate::attempt::Answering;
use crate::body::{Aborted, AnswerBody};
use crate::headers::is_event_stream;
use crate::settle::Settlement;

/// An upstream's answer on its way to the client: forwarded as it comes, its usage read in passing.
pub(crate) struct AnswerStream<P: Plugin> {
    settlement: Box<Settlement<P>>,
    upstream: UpstreamBody,
    reader: Reader,
    protocol: Protocol,
    state: State,
    /// A frame that a plugin asks a service about, and the place in the chain behind that plugin.
    asking: Option<(Asked, usize)>,
    limits: Limits,
    has_frame_plugins: bool,
}

const NO_DONE: &str = "the stream was whole, but its terminal event did not come";

/// What looks on.
enum Reader {
    Events { decoder: SseDecoder, stream: StreamReader },
    Plain(PlainReader),
}

enum State {
    Open,
    /// One more frame, then the end or the abort.
    Last(Bytes, Ending),
    Ending(Ending),
    /// What was sent has to leave before the connection is cut: the socket's flushes are counted from here.
    Flushing(u64),
    Over,
}

#[derive(Clone, Copy)]
enum Ending {
    Proper,
    Abort,
}

struct Limits {
    started: Instant,
    seen: u64,
    max_bytes: Option<u64>,
    deadline: Option<Instant>,
}

/// Makes the response: the head at once, the body as the upstream sends it.
pub(crate) fn answer<P: Plugin>(answering: Answering<P>) -> Response<AnswerBody<P>> {
    let Answering { mut settlement, instance, protocol, answer, hides_usage, started } = answering;
    let head = answer.head;
    let reader = if is_event_stream(&head, settlement.record.stream) {
        Reader::Events { decoder: SseDecoder::default(), stream: protocol.stream_reader(hides_usage) }
    } else {
        Reader::Plain(protocol.plain_reader())
    };
    let is_stream = matches!(reader, Reader::Events { .. });
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let (mut parts, ()) = response.into_parts();
    let chain = settlement.chain();
    let has_frame_plugins = chain.as_ref().is_some_and(|chain| chain.frame(0).next().is_some());
    if !is_stream && !has_frame_plugins {
        announce_length(&mut parts.headers, head.status, head.framing);
    }
    finish_head(&mut settlement, &mut parts, head.status);
    if let Some(chain) = chain {
        for plugin in chain.header_filter() {
            plugin.header_filter(&mut settlement, &mut parts);
        }
    }
    settlement.record.status = Some(parts.status);
    let is_bodiless = settlement.request.method == Method::HEAD || (answer.body.is_done() && !is_stream);
    if is_bodiless {
        // hyper will not ask for the body.
        settlement.record.end(Outcome::Complete);
    }
    if is_stream {
        settlement.request.detach();
    }
    if !is_bodiless && !is_stream {
        parts.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    }
    let limits = Limits {
        started,
        seen: 0,
        max_bytes: instance.max_response_bytes,
        deadline: instance.max_stream_duration.filter(|_| is_stream).map(|limit| started + limit),
    };
    let body = AnswerStream {
        settlement,
        upstream: answer.body,
        reader,
        protocol,
        state: if is_bodiless { State::Ending(Ending::Proper) } else { State::Open },
        asking: None,
        limits,
        has_frame_plugins,
    };
    Response::from_parts(parts, AnswerBody::Stream(Box::new(body)))
}

/// 204 and 304 have no length to tell (RFC 9110 §8.6).
fn announce_length(headers: &mut http::HeaderMap, status: StatusCode, framing: Framing) {
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return;
    }
    match framing {
        Framing::Length(length) => headers.insert(CONTENT_LENGTH, HeaderValue::from(length)),
        Framing::Empty => headers.insert(CONTENT_LENGTH, HeaderValue::from(0)),
        Framing::Chunked | Framing::Close => None,
    };
}

fn finish_head<P: Plugin>(
    settlement: &mut Settlement<P>,
    parts: &mut http::response::Parts,
    upstream: StatusCode,
) {
    parts.headers.insert(SERVER, settlement.worker.config.server.clone());
    if upstream.is_server_error() || settlement.worker.config.show_upstream_status {
        let statuses: Vec<_> =
            settlement.record.attempts.iter().filter_map(|attempt| attempt.status).collect();
        let text = statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
        if let Ok(value) = HeaderValue::from_str(&text) {
            parts.headers.insert("x-apisix-upstream-status", value);
        }
    }
}

impl<P: Plugin> AnswerStream<P> {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over | State::Ending(Ending::Proper))
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Aborted>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Open => {
                    self.state = State::Open;
                    if let Some(data) = ready!(self.poll_open(cx)) {
                        return Poll::Ready(Some(Ok(http_body::Frame::data(data))));
                    }
                }
                State::Last(data, ending) => {
                    self.state = match ending {
                        Ending::Proper => State::Ending(ending),
                        // Counted from before this piece goes out: it has left when the count has grown.
                        Ending::Abort => State::Flushing(self.settlement.link.wire.flushes()),
                    };
                    self.settlement.record.response_bytes += data.len() as u64;
                    return Poll::Ready(Some(Ok(http_body::Frame::data(data))));
                }
                State::Ending(Ending::Proper) | State::Over => return Poll::Ready(None),
                State::Ending(Ending::Abort) => {
                    // hyper drops what it has not written yet when a body fails. In HTTP/2 it has left long ago,
                    // and nothing else may ever be flushed.
                    let is_http2 = self.settlement.request.version >= Version::HTTP_2;
                    let flushes = self.settlement.link.wire.flushes();
                    self.state = State::Flushing(if is_http2 { flushes.wrapping_sub(1) } else { flushes });
                }
                State::Flushing(from) if self.settlement.link.wire.flushes() == from => {
                    self.state = State::Flushing(from);
                    self.settlement.link.wire.wake_on_flush(cx);
                    return Poll::Pending;
                }
                State::Flushing(_) => {
                    if self.settlement.request.version < Version::HTTP_11 {
                        // Its answer ends with the connection, so that a plain close would look like a proper end.
                        self.settlement.link.wire.reset();
                    }
                    return Poll::Ready(Some(Err(Aborted)));
                }
            }
        }
    }

    /// The next frame for the client. `None` means: look at the state again.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some((asked, next)) = &mut self.asking {
            let flow = ready!(asked.as_mut().poll(cx));
            let next = *next;
            self.asking = None;
            return Poll::Ready(self.flow(flow, next));
        }
        Poll::Ready(match ready!(self.upstream.poll_data(cx)) {
            Some(Ok(data)) => {
                let frame = self.see(data);
                let visible = self.pass(frame, 0);
                // hyper does not ask again once the announced length is there, so that the end is looked at now.
                if self.upstream.is_done() && self.asking.is_none() && matches!(self.state, State::Open) {
                    self.finish();
                }
                visible
            }
            None => {
                self.finish();
                None
            }
            Some(Err(fault)) => {
                self.broke(fault);
                None
            }
        })
    }

    /// Looks at what came, and leaves out what the client did not ask for.
    fn see(&mut self, data: Bytes) -> Frame {
        if self.limits.seen == 0 {
            self.settlement.record.ttft = Some(self.limits.started.elapsed());
        }
        self.limits.seen += data.len() as u64;
        match &mut self.reader {
            Reader::Events { decoder, stream } => {
                let whole = decoder.push(data);
                Frame { data: visible(stream, whole), is_stream: true }
            }
            Reader::Plain(reader) => {
                reader.push(&data);
                Frame { data, is_stream: false }
            }
        }
    }

    /// Leads a frame through the plugins from a place in the chain on.
    fn pass(&mut self, mut frame: Frame, from: usize) -> Option<Bytes> {
        if self.has_frame_plugins
            && !frame.data.is_empty()
            && let Some(chain) = self.settlement.chain()
        {
            for (place, plugin) in (from..).zip(chain.frame(from)) {
                match plugin.frame(&mut self.settlement, frame) {
                    FrameFlow::Pass(passed) => frame = passed,
                    other => return self.flow(other, place + 1),
                }
            }
        }
        self.check_limits();
        self.emit(frame.data)
    }

    fn flow(&mut self, flow: FrameFlow, next: usize) -> Option<Bytes> {
        match flow {
            FrameFlow::Pass(frame) => self.pass(frame, next),
            FrameFlow::Hold => None,
            FrameFlow::Ask(asked) => {
                self.asking = Some((asked, next));
                None
            }
            FrameFlow::End(frame) => {
                self.settlement.record.end(Outcome::Complete);
                self.state = State::Last(frame.data, Ending::Proper);
                None
            }
        }
    }

    fn emit(&mut self, data: Bytes) -> Option<Bytes> {
        if data.is_empty() {
            return None;
        }
        if let State::Last(error_event, Ending::Abort) = &mut self.state {
            // The frame that crossed a limit goes out before the event that tells of it.
            *error_event = [data.as_ref(), error_event.as_ref()].concat().into();
            return None;
        }
        Some(self.count(data))
    }

    fn count(&mut self, data: Bytes) -> Bytes {
        self.settlement.record.response_bytes += data.len() as u64;
        data
    }

    fn check_limits(&mut self) {
        let limits = &self.limits;
        let exceeded = if limits.max_bytes.is_some_and(|max| limits.seen > max) {
            "max_response_bytes exceeded"
        } else if limits.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            "max_stream_duration_ms exceeded"
        } else {
            return;
        };
        self.abort(
            Outcome::Aborted,
            &Fault::policy(FaultKind::LimitExceeded, StatusCode::BAD_GATEWAY, exceeded),
        );
    }

    /// The upstream's body has ended: how did it go, and what is still to be sent?
    fn judge(&mut self) -> (Option<Outcome>, Bytes) {
        let framed = self.upstream.end() == BodyEnd::Framed;
        let is_error = self.settlement.record.status.is_some_and(|status| !status.is_success());
        match &mut self.reader {
            Reader::Events { decoder, stream } => {
                let tail = visible(stream, decoder.take_tail());
                let outcome = match stream.end() {
                    End::Complete => Some(Outcome::Complete),
                    End::UpstreamError => Some(Outcome::UpstreamError),
                    End::CompleteWithoutTerminal if framed => {
                        self.settlement.record.fail(&Fault::upstream(FaultKind::UpstreamNoDone, NO_DONE));
                        Some(Outcome::Complete)
                    }
                    // A provider's error told as a stream has no protocol to complete.
                    _ if framed && is_error => Some(Outcome::Complete),
                    End::CompleteWithoutTerminal | End::Truncated => None,
                };
                (outcome, tail)
            }
            Reader::Plain(reader) => {
                let told = reader.finish(!framed).unwrap_or_default();
                self.settlement.record.usage = told.usage;
                self.settlement.record.has_tool_calls = told.has_tool_calls;
                // An end by connection close may be a cut. Only a text that ends by itself is whole then; a
                // provider's error page is passed as it comes.
                ((framed || told.is_whole || is_error).then_some(Outcome::Complete), Bytes::new())
            }
        }
    }

    /// Ends the answer as the upstream's body deserves.
    fn finish(&mut self) {
        let (outcome, tail) = self.judge();
        match outcome {
            Some(outcome) => {
                self.settlement.record.end(outcome);
                self.state = State::Ending(Ending::Proper);
                if let Some(tail) = self.pass(Frame { data: tail, is_stream: true }, 0) {
                    // Counted when it goes out.
                    self.settlement.record.response_bytes -= tail.len() as u64;
                    self.state = State::Last(tail, Ending::Proper);
                }
            }
            None => {
                let cause = "the stream ended before its end";
                self.abort(Outcome::UpstreamTruncated, &Fault::upstream(FaultKind::UpstreamTruncated, cause));
            }
        }
    }

    fn broke(&mut self, fault: Fault) {
        if let Reader::Events { stream, .. } = &self.reader
            && stream.end() == End::Complete
        {
            // Everything was there; only the connection did not end as it should.
            self.settlement.record.end(Outcome::Complete);
            self.state = State::Ending(Ending::Proper);
            return;
        }
        self.abort(Outcome::UpstreamTruncated, &fault);
    }

    /// Ends the answer so that nobody takes it for whole: a stream with an error event, and both without a proper end.
    fn abort(&mut self, outcome: Outcome, fault: &Fault) {
        self.settlement.fail(outcome, fault);
        self.state = match self.reader {
            Reader::Events { .. } => State::Last(self.protocol.error_event(fault), Ending::Abort),
            Reader::Plain(_) => State::Ending(Ending::Abort),
        };
    }
}

/// What of a run of whole events the client sees.
fn visible(stream: &mut StreamReader, run: Bytes) -> Bytes {
    let mut hidden = Vec::new();
    for event in events(&run) {
        if stream.event(&event) == Verdict::Hide {
            hidden.push(event.span);
        }
    }
    if hidden.is_empty() {
        return run;
    }
    let mut left = BytesMut::with_capacity(run.len());
    let mut at = 0;
    for span in hidden {
        left.extend_from_slice(&run[at..span.start]);
        at = span.end;
    }
    left.extend_from_slice(&run[at..]);
    left.freeze()
}

impl<P: Plugin> Drop for AnswerStream<P> {
    /// What is known so far is fixed before the settlement fires, even if the client went away in the middle.
    fn drop(&mut self) {
        if let Reader::Events { stream, .. } = &self.reader {
            self.settlement.record.usage = stream.usage();
            self.settlement.record.has_tool_calls = stream.has_tool_calls();
        }
        let seen = self.limits.seen;
        if let Some(attempt) = self.settlement.record.attempts.last_mut() {
            attempt.response_bytes = seen;
        }
    }
}
