use std::task::{Context, Poll, ready};
use std::time::Instant;

use a6_core::{Fault, FaultKind};
use a6_snapshot::{Asked, Class, Evidence, Frame, FrameFlow, InFlight, Outcome, Plugin, Trial};
use a6_upstream::{BodyEnd, UpstreamBody};
use bytes::Bytes;
use http::{HeaderMap, Version};

use crate::body::Aborted;
use crate::headers::is_trailer;
use crate::keep_alive::KeepAlive;
use crate::phases;
use crate::reader::Reader;
use crate::settle::Settlement;
use crate::transcript;

/// An upstream's answer on its way to the client: forwarded as it comes, its usage read in passing.
pub(crate) struct AnswerStream<P: Plugin> {
    settlement: Box<Settlement<P>>,
    upstream: UpstreamBody,
    reader: Reader,
    state: State,
    /// A frame that a plugin asks a service about, and the place in the chain behind that plugin.
    asking: Option<(Asked, usize)>,
    /// How it has gone, once the last frame has been among the plugins.
    outcome: Option<Outcome>,
    /// What goes out behind the body. Boxed, since few answers have any.
    trailers: Option<Box<HeaderMap>>,
    limits: Limits,
    keep_alive: Option<Box<KeepAlive>>,
    has_frame_plugins: bool,
    /// The node has one request more until this is dropped.
    _in_flight: Option<InFlight>,
    /// The same of an instance that is one of several; and how the answer went is told there.
    trial: Option<Box<Trial>>,
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

/// What bounds an answer.
pub(crate) struct Limits {
    /// When the attempt began.
    pub(crate) started: Instant,
    /// Bytes that have come.
    pub(crate) seen: u64,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) deadline: Option<Instant>,
}

/// What an answer's stream is made of.
pub(crate) struct Parts<P: Plugin> {
    pub(crate) settlement: Box<Settlement<P>>,
    pub(crate) upstream: UpstreamBody,
    pub(crate) reader: Reader,
    pub(crate) limits: Limits,
    pub(crate) keep_alive: Option<Box<KeepAlive>>,
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) trial: Option<Box<Trial>>,
    pub(crate) has_frame_plugins: bool,
    /// Nobody will ask for the body.
    pub(crate) is_bodiless: bool,
}

impl<P: Plugin> AnswerStream<P> {
    pub(crate) fn new(parts: Parts<P>) -> Self {
        let Parts {
            settlement,
            upstream,
            reader,
            limits,
            keep_alive,
            in_flight,
            trial,
            has_frame_plugins,
            is_bodiless,
        } = parts;
        let mut stream = Self {
            settlement,
            upstream,
            reader,
            state: State::Open,
            asking: None,
            outcome: None,
            trailers: None,
            limits,
            keep_alive,
            has_frame_plugins,
            _in_flight: in_flight,
            trial,
        };
        if is_bodiless {
            stream.settlement.record.end(Outcome::Complete);
            stream.state = State::Ending(Ending::Proper);
            // The plugins see that it is over; a body that they might make of it has no place to go.
            stream.pass_to_plugins_alone();
        }
        stream
    }

    fn pass_to_plugins_alone(&mut self) {
        if self.has_frame_plugins {
            let frame = Frame { data: Bytes::new(), is_stream: false, is_last: true };
            let _ = phases::frame(&mut self.settlement, frame, 0);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        match self.state {
            State::Over => true,
            State::Ending(Ending::Proper) => self.trailers.is_none(),
            _ => false,
        }
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
                        return self.give(data);
                    }
                }
                State::Last(data, ending) => {
                    self.state = match ending {
                        Ending::Proper => State::Ending(ending),
                        // Counted from before this piece goes out: it has left when the count has grown.
                        Ending::Abort => State::Flushing(self.settlement.link.wire.flushes()),
                    };
                    return self.give(data);
                }
                State::Ending(Ending::Proper) => {
                    return Poll::Ready(self.trailers.take().map(|all| Ok(http_body::Frame::trailers(*all))));
                }
                State::Over => return Poll::Ready(None),
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

    fn give(&mut self, data: Bytes) -> Poll<Option<Result<http_body::Frame<Bytes>, Aborted>>> {
        self.settlement.record.response_bytes += data.len() as u64;
        Poll::Ready(Some(Ok(http_body::Frame::data(data))))
    }

    /// The next frame for the client. `None` means: look at the state again.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let visible = if let Some((asked, next)) = &mut self.asking {
            let flow = ready!(asked.as_mut().poll(cx));
            let next = *next;
            self.asking = None;
            self.flow(flow, next)
        } else if let Poll::Ready(visible) = self.poll_upstream(cx) {
            visible
        } else {
            return self.poll_silence(cx);
        };
        Poll::Ready(self.conclude(visible))
    }

    /// The upstream is silent. Nothing may stand in the middle of an event that was passed on in pieces.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match &mut self.keep_alive {
            Some(keep_alive) if self.reader.is_between_events() => keep_alive.poll(cx).map(Some),
            _ => Poll::Pending,
        }
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.upstream.is_fed()
            && let Err(fault) = self.upstream.poll_feed(cx, &mut self.settlement.body)
        {
            let is_gone = fault.kind == FaultKind::ClientGone;
            self.abort(if is_gone { Outcome::ClientGone } else { Outcome::Aborted }, &fault);
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.upstream.poll_data(cx)) {
            Some(Ok(data)) => {
                if self.limits.seen == 0 {
                    let took = self.limits.started.elapsed();
                    self.settlement.record.ttft = Some(took);
                    let last = self.settlement.record.attempts.last();
                    // Whoever refuses at once is not fast.
                    if let Some(trial) =
                        self.trial.as_ref().filter(|_| last.is_none_or(|last| last.class.is_none()))
                    {
                        trial.observe(took);
                        trial.begun();
                    }
                }
                self.limits.seen += data.len() as u64;
                if let Some(keep_alive) = &mut self.keep_alive {
                    keep_alive.heard();
                }
                match self.reader.see(data) {
                    Ok(frame) => self.pass(frame, 0),
                    Err(fault) => self.broke(&fault),
                }
            }
            None => None,
            Some(Err(fault)) => self.broke(&fault),
        })
    }

    /// Leads a frame through the plugins from a place in the chain on.
    fn pass(&mut self, mut frame: Frame, from: usize) -> Option<Bytes> {
        if from == 0 {
            // As the upstream sent it, whatever plugins make of it.
            self.hear(&frame);
        }
        if self.has_frame_plugins && (frame.is_last || !frame.data.is_empty()) {
            let (flow, next) = phases::frame(&mut self.settlement, frame, from);
            match flow {
                FrameFlow::Pass(passed) => frame = passed,
                other => return self.flow(other, next),
            }
        }
        self.check_limits();
        self.emit(frame.data)
    }

    /// Notes what the answer says, where a log is to tell it.
    fn hear(&mut self, frame: &Frame) {
        let log = self.settlement.record.model_log.as_mut();
        if let Some(payload) = log.and_then(|log| log.payload.as_mut()) {
            transcript::hear(payload, frame, self.reader.is_framed());
        }
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
                // The rest of the upstream's answer is not asked for; with this goes its connection.
                self.outcome.get_or_insert(Outcome::Complete);
                self.trailers = None;
                self.pass(Frame { is_last: true, ..frame }, next)
            }
            FrameFlow::Abort(fault) => {
                self.abort(Outcome::Aborted, &fault);
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
        Some(data)
    }

    fn check_limits(&mut self) {
        // The client has its protocol's end; an error event behind it would make a failure of what is whole.
        if self.reader.is_complete() {
            return;
        }
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
            &Fault::policy(FaultKind::LimitExceeded, http::StatusCode::BAD_GATEWAY, exceeded),
        );
    }

    /// Whether nothing has ended the answer yet and no plugin keeps it waiting.
    fn flows(&self) -> bool {
        matches!(self.state, State::Open) && self.asking.is_none()
    }

    /// Ends the answer once nothing more will come. Nobody asks again once the announced length is there, so that the end
    /// is looked at together with the last piece.
    fn conclude(&mut self, visible: Option<Bytes>) -> Option<Bytes> {
        if !self.flows() {
            return visible;
        }
        let last = match self.outcome {
            Some(_) => None,
            None if self.upstream.is_done() => self.finish(),
            None => return visible,
        };
        let Some(outcome) = self.outcome.filter(|_| self.flows()) else { return visible };
        self.settlement.record.end(outcome);
        let (first, second) = if visible.is_some() { (visible, last) } else { (last, None) };
        self.state = match second {
            Some(data) => State::Last(data, Ending::Proper),
            None => State::Ending(Ending::Proper),
        };
        first
    }

    /// The upstream's body has ended: shows the plugins the last frame, or ends the answer as the body deserves.
    fn finish(&mut self) -> Option<Bytes> {
        let framed = self.upstream.end() == BodyEnd::Framed;
        let (outcome, frame) = self.reader.judge(&mut self.settlement.record, framed);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(fault) => {
                self.abort(Outcome::UpstreamTruncated, &fault);
                return None;
            }
        };
        self.outcome = Some(outcome);
        if let Reader::Opaque(_) = self.reader {
            self.trailers = self.upstream.take_trailers().and_then(trailers);
        }
        self.pass(frame, 0)
    }

    fn broke(&mut self, fault: &Fault) -> Option<Bytes> {
        if self.reader.is_complete() {
            // Everything was there; only the connection did not end as it should.
            self.outcome = Some(Outcome::Complete);
            return self.pass(Frame { data: Bytes::new(), is_stream: true, is_last: true }, 0);
        }
        self.abort(Outcome::UpstreamTruncated, fault);
        None
    }

    /// Ends the answer so that nobody takes it for whole: a stream with an error event, and both without a proper end.
    fn abort(&mut self, outcome: Outcome, fault: &Fault) {
        self.settlement.fail(outcome, fault);
        self.state = match self.reader.error_event(fault) {
            Some(event) => State::Last(event, Ending::Abort),
            None => State::Ending(Ending::Abort),
        };
    }
}

/// The fields behind an answer that pass.
fn trailers(all: HeaderMap) -> Option<Box<HeaderMap>> {
    let mut passing = HeaderMap::with_capacity(all.len());
    for (name, value) in all.iter().filter(|(name, _)| is_trailer(name)) {
        passing.append(name, value.clone());
    }
    (!passing.is_empty()).then(|| Box::new(passing))
}

impl<P: Plugin> Drop for AnswerStream<P> {
    /// What is known so far is fixed before the settlement fires, even if the client went away in the middle.
    fn drop(&mut self) {
        self.reader.note(&mut self.settlement.record);
        let seen = self.limits.seen;
        let outcome = self.settlement.record.outcome;
        let Some(attempt) = self.settlement.record.attempts.last_mut() else { return };
        attempt.response_bytes = seen;
        // A bad status has been judged already.
        if attempt.class.is_some() {
            return;
        }
        attempt.class = match outcome {
            Some(Outcome::UpstreamTruncated) => Some(Class::Network),
            // A client's mistake may be told there, too.
            Some(Outcome::UpstreamError) => {
                let own = self.trial.as_ref().is_none_or(|trial| trial.has_credentials());
                let told = self.reader.error_status().and_then(|status| Class::of_status(status, own));
                Some(told.unwrap_or(Class::Overload))
            }
            _ => None,
        };
        let is_known = attempt.class.is_some() || outcome == Some(Outcome::Complete);
        if let Some(trial) = self.trial.as_mut().filter(|_| is_known) {
            trial.judge(Evidence::of(attempt.class, None));
        }
    }
}
