//! The life of one connection: receive, answer, play, again.

use std::sync::Arc;

use bytes::Buf;
use tokio::net::TcpStream;

use crate::knobs::{CutWith, Knobs};
use crate::ledger::{Exchange, Outcome};
use crate::player::{self, Ended};
use crate::reply::{Reply, openai_refusal};
use crate::request::{Body, Chunks, Head, Malformed, Request};
use crate::script::Script;
use crate::server::{Remembered, Shared};
use crate::wire::{Socket, Wire};

const LEDGER_PATH: &str = "/__ledger";
/// How much of bytes that are no request the ledger keeps.
const STRAY_KEPT: usize = 64 * 1024;

/// Serves a connection until it ends.
pub(crate) async fn serve(stream: TcpStream, id: u64, shared: Arc<Shared>) {
    // Without it the kernel would merge writes that the knobs keep apart; a failure means the client has left.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (socket, sni) = match &shared.tls {
        None => (Socket::Plain(stream), None),
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let sni = stream.get_ref().1.server_name().map(str::to_owned);
            (Socket::Tls(Box::new(stream)), sni)
        }
    };
    let mut connection = Connection { wire: Wire::new(socket), id, sni, shared, latest: None };
    while connection.exchange().await {}
}

struct Connection {
    wire: Wire,
    id: u64,
    sni: Option<String>,
    shared: Arc<Shared>,
    /// The latest exchange's number in the ledger.
    latest: Option<u64>,
}

/// What the client sent.
enum Arrived {
    /// A request of this many bytes, and its number in the ledger.
    Request(Request, usize, Option<u64>),
    /// The same bytes as the request before, while no ledger is kept.
    Same(Arc<Remembered>),
    /// Bytes that are no request.
    Malformed(Malformed, Option<u64>),
    /// Nothing more; the request that had begun, if any, in the ledger.
    Nothing(Option<u64>),
}

impl Connection {
    /// One request and its reply; false when the connection ends.
    async fn exchange(&mut self) -> bool {
        match self.receive().await {
            Arrived::Same(same) => {
                self.wire.buffer.advance(same.raw.len());
                self.play(&same.script, &same.knobs, None).await
            }
            Arrived::Request(request, len, seq) => self.answer(&request, len, seq).await,
            Arrived::Malformed(malformed, seq) => {
                let mut reply = openai_refusal(None, None, &format!("Malformed request: {}.", malformed.why));
                reply.status = malformed.status;
                self.note(seq, |exchange| exchange.status = malformed.status);
                let knobs = Knobs { close: true, ..Knobs::default() };
                let script = Script::of(&reply, &Request { version: 1, ..Request::default() }, &knobs);
                self.play(&script, &knobs, seq).await
            }
            Arrived::Nothing(begun) => {
                self.note(begun, |exchange| exchange.outcome = Outcome::ClientGone);
                self.note(self.latest, |exchange| exchange.client_closed = true);
                false
            }
        }
    }

    async fn receive(&mut self) -> Arrived {
        loop {
            if let Some(same) = self.shared.same(&self.wire.buffer) {
                return Arrived::Same(same);
            }
            match Head::parse(&self.wire.buffer) {
                Ok(Some(head)) => return self.receive_body(head).await,
                Ok(None) => {}
                Err(malformed) => {
                    let seq = self.enter_stray();
                    return Arrived::Malformed(malformed, seq);
                }
            }
            if !self.wire.fill().await {
                let begun = if self.wire.buffer.is_empty() { None } else { self.enter_stray() };
                return Arrived::Nothing(begun);
            }
        }
    }

    async fn receive_body(&mut self, head: Head) -> Arrived {
        let Head { mut request, len, body, expects_continue } = head;
        let seq = self.enter(&request);
        if expects_continue && self.wire.buffer.len() == len {
            let sent = self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            self.note(seq, |exchange| exchange.response_bytes += sent.bytes as u64);
        }
        let mut chunks = Chunks::from(len);
        let end = loop {
            let end = match body {
                Body::Length(length) if self.wire.buffer.len() >= len + length => Ok(Some(len + length)),
                Body::Length(_) => Ok(None),
                Body::Chunked => chunks.take(&self.wire.buffer),
            };
            match end {
                Ok(Some(end)) => break end,
                Ok(None) => {}
                Err(malformed) => return Arrived::Malformed(malformed, seq),
            }
            if let Body::Length(length) = body {
                self.wire.expect(len + length);
            }
            if !self.wire.fill().await {
                let buffer = &self.wire.buffer[len..];
                let came = if matches!(body, Body::Chunked) { chunks.body.as_slice() } else { buffer };
                self.note(seq, |exchange| exchange.set_body(came));
                return Arrived::Nothing(seq);
            }
        };
        if let Some(same) = self.shared.same(&self.wire.buffer) {
            return Arrived::Same(same);
        }
        request.body = match body {
            Body::Length(_) => self.wire.buffer[len..end].to_vec(),
            Body::Chunked => chunks.body,
        };
        self.note(seq, |exchange| exchange.set_body(&request.body));
        Arrived::Request(request, end, seq)
    }

    async fn answer(&mut self, request: &Request, len: usize, seq: Option<u64>) -> bool {
        let raw = self.wire.buffer.split_to(len).freeze();
        if request.path() == LEDGER_PATH {
            let knobs = Knobs::default();
            let script = Script::of(&self.ledger_reply(request), request, &knobs);
            return self.play(&script, &knobs, None).await;
        }
        let (generation, base) = self.shared.knobs();
        let (reply, knobs) = match base.asked_by(request) {
            Ok(asked) => {
                let knobs = asked.map_or(base, Arc::new);
                (self.shared.provider.answer(request, &knobs, seq.unwrap_or(0)), knobs)
            }
            Err(error) => (openai_refusal(None, Some("bad_knob"), &error.to_string()), Arc::default()),
        };
        if knobs.refuse {
            self.note(seq, |exchange| exchange.outcome = Outcome::Cut);
            self.close(knobs.cut_with).await;
            return false;
        }
        let script = Script::of(&reply, request, &knobs);
        self.note(seq, |exchange| {
            exchange.status = script.status;
            exchange.content.clone_from(&reply.facts.content);
            exchange.prompt_tokens = reply.facts.prompt_tokens;
            exchange.completion_tokens = reply.facts.completion_tokens;
        });
        let answered = Remembered { generation, raw, knobs, script };
        let answered = self.shared.remember(answered);
        self.play(&answered.script, &answered.knobs, seq).await
    }

    /// Sends a script and enters how that ended; false when the connection ends with it.
    async fn play(&mut self, script: &Script, knobs: &Knobs, seq: Option<u64>) -> bool {
        let Self { wire, shared, .. } = self;
        let progress = |bytes: u64, events: u64| {
            if let (Some(ledger), Some(seq)) = (&shared.ledger, seq) {
                ledger.change(seq, |exchange| {
                    exchange.response_bytes += bytes;
                    exchange.events_written = events;
                });
            }
        };
        let ended = player::play(wire, script, knobs, progress).await;
        if ended == Ended::Stalled {
            self.wire.left().await;
        }
        let outcome = match ended {
            Ended::Whole if knobs.garbage.is_some() => Outcome::Garbage,
            Ended::Whole => Outcome::Complete,
            Ended::Cut => Outcome::Cut,
            Ended::Stalled => Outcome::Stalled,
            Ended::Gone => Outcome::ClientGone,
        };
        self.note(seq, |exchange| {
            exchange.outcome = outcome;
            exchange.client_closed = matches!(ended, Ended::Stalled | Ended::Gone);
        });
        match ended {
            Ended::Whole if !script.closes => return true,
            Ended::Whole => self.close(None).await,
            Ended::Cut => self.close(knobs.cut_with).await,
            Ended::Stalled | Ended::Gone => {}
        }
        false
    }

    /// Closes our side, and enters whether the client closed its own.
    async fn close(&mut self, with: Option<CutWith>) {
        if with == Some(CutWith::Rst) {
            self.wire.reset_on_drop();
        } else if self.wire.finish().await {
            self.note(self.latest, |exchange| exchange.client_closed = true);
        }
    }

    fn ledger_reply(&self, request: &Request) -> Reply {
        let Some(ledger) = &self.shared.ledger else {
            let mut reply = openai_refusal(None, None, "This mock keeps no ledger.");
            reply.status = 404;
            return reply;
        };
        match request.method.as_str() {
            "GET" => Reply::text(200, "application/json", serde_json::json!(ledger.all()).to_string()),
            "DELETE" => {
                ledger.clear();
                Reply::text(204, "application/json", String::new())
            }
            _ => {
                let mut reply =
                    openai_refusal(None, None, "The ledger can be read (GET) and cleared (DELETE).");
                reply.status = 405;
                reply
            }
        }
    }

    /// Enters a request whose head has come.
    fn enter(&mut self, request: &Request) -> Option<u64> {
        if request.path() == LEDGER_PATH {
            return None;
        }
        let ledger = self.shared.ledger.as_ref()?;
        self.latest = Some(ledger.enter(Exchange {
            connection: self.id,
            sni: self.sni.clone(),
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.clone(),
            ..Exchange::default()
        }));
        self.latest
    }

    /// Enters what is in the buffer and is no request.
    fn enter_stray(&mut self) -> Option<u64> {
        let ledger = self.shared.ledger.as_ref()?;
        let mut exchange = Exchange { connection: self.id, sni: self.sni.clone(), ..Exchange::default() };
        exchange.set_body(&self.wire.buffer[..self.wire.buffer.len().min(STRAY_KEPT)]);
        self.latest = Some(ledger.enter(exchange));
        self.latest
    }

    fn note(&self, seq: Option<u64>, change: impl FnOnce(&mut Exchange)) {
        if let (Some(ledger), Some(seq)) = (&self.shared.ledger, seq) {
            ledger.change(seq, change);
        }
    }
}
