mod source;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use a6_codec::json::{Document, JsonError, Scanner};
use a6_core::{Budget, Fault, FaultKind, Reservation, Retry};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::time::Sleep;

pub use source::{BodyError, BodyPiece, BodySource, ClientBody};

/// A body is scanned in slices of this many bytes, so that a large one does not hold up the thread's other requests.
const SCAN_SLICE: usize = 256 << 10;

const MAX_RESERVE: usize = 4 << 20;
/// What is read at a time of a body that is passed on, and of one that is thrown away.
const PIECE: usize = 64 << 10;
const SCRAP: usize = 16 << 10;
/// Less room than this is not worth a read.
const LEAST_ROOM: usize = 8 << 10;

/// What bounds the reading of request bodies.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    /// All bodies together.
    pub budget: Budget,
    /// Between two reads.
    pub timeout: Duration,
    /// One body, in bytes.
    pub max: u64,
}

/// A request's body: read on demand, once, into one buffer, or passed on piece by piece.
#[derive(Debug)]
pub struct RequestBody {
    state: State,
    limits: BodyLimits,
    /// Held as long as the bytes are.
    reservation: Reservation,
    /// Bytes that have come.
    received: u64,
    document: Option<Result<Document, JsonError>>,
}

#[derive(Debug)]
enum State {
    Unread(ClientBody),
    Passing(Box<Passing>),
    Read(Bytes),
    Lost,
}

/// A body on its way through.
#[derive(Debug)]
struct Passing {
    incoming: ClientBody,
    buffer: BytesMut,
    passed: u64,
    /// Runs while a piece is awaited.
    timer: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    /// A body that has not been read.
    pub fn new(incoming: ClientBody, limits: BodyLimits) -> Self {
        let reservation = limits.budget.reservation();
        Self { state: State::Unread(incoming), limits, reservation, received: 0, document: None }
    }

    /// A body that is there.
    pub fn of(bytes: Bytes, limits: BodyLimits) -> Self {
        Self { state: State::Read(bytes), ..Self::new(ClientBody::Empty, limits) }
    }

    /// The length that the client announced, or the length read.
    pub fn announced(&self) -> Option<u64> {
        match &self.state {
            State::Unread(incoming) => incoming.remaining(),
            State::Read(bytes) => Some(bytes.len() as u64),
            State::Passing(_) | State::Lost => None,
        }
    }

    /// The bytes, once [`RequestBody::read`] has succeeded.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.state {
            State::Read(bytes) => Some(bytes),
            State::Unread(_) | State::Passing(_) | State::Lost => None,
        }
    }

    /// How many bytes of it have come, whatever became of them.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether nobody has asked for a byte of it.
    pub fn is_unread(&self) -> bool {
        matches!(self.state, State::Unread(_))
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// The body is larger than `max` or the listener allows (413), the client is too slow (408) or gone, or the byte
    /// budget is used up (503).
    pub async fn read(&mut self, max: u64) -> Result<Bytes, Fault> {
        if let State::Read(bytes) = &self.state {
            return if bytes.len() as u64 > max {
                Err(too_large(bytes.len() as u64, max))
            } else {
                Ok(bytes.clone())
            };
        }
        let max = max.min(self.limits.max);
        if let Some(length) = self.announced().filter(|length| *length > max) {
            return Err(too_large(length, max));
        }
        let State::Unread(mut incoming) = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(gone());
        };
        let bytes = self.collect(&mut incoming, max).await?;
        self.state = State::Read(bytes.clone());
        Ok(bytes)
    }

    async fn collect(&mut self, incoming: &mut ClientBody, max: u64) -> Result<Bytes, Fault> {
        // Most bodies come in one piece, which is not copied.
        let mut first: Option<Bytes> = None;
        let mut joined = BytesMut::new();
        let mut length = 0u64;
        loop {
            if let Some(before) = first.take_if(|_| !incoming.is_end()) {
                let whole = incoming.remaining().unwrap_or(0).saturating_add(length);
                // What is announced may never come. One more byte than that, so that a read need not fill it.
                joined.reserve(usize::try_from(whole).unwrap_or(MAX_RESERVE).min(MAX_RESERVE) + 1);
                joined.extend_from_slice(&before);
            }
            let (count, piece) = match next(incoming, &mut joined, self.limits.timeout).await? {
                BodyPiece::Taken(data) => (data.len(), Some(data)),
                BodyPiece::Appended(count) => (count, None),
                BodyPiece::End => return Ok(first.unwrap_or_else(|| joined.freeze())),
            };
            length += count as u64;
            self.received += count as u64;
            if length > max {
                return Err(too_large(length, max));
            }
            if !self.reservation.grow(count as u64) {
                return Err(overloaded());
            }
            match piece {
                Some(data) if joined.is_empty() => first = Some(data),
                Some(data) => joined.extend_from_slice(&data),
                None => {}
            }
        }
    }

    /// The next piece of a body that is passed on as it comes, at most 64 KiB of what is read at a time; none at the end.
    /// A body that was read before is not passed on. Pieces are not counted against the byte budget: whoever asks for the
    /// next one has sent the last.
    ///
    /// The faults are those of [`RequestBody::read`], but for the budget's.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        if let State::Unread(_) = self.state
            && let State::Unread(incoming) = std::mem::replace(&mut self.state, State::Lost)
        {
            let passing = Passing { incoming, buffer: BytesMut::new(), passed: 0, timer: None };
            self.state = State::Passing(Box::new(passing));
        }
        let State::Passing(passing) = &mut self.state else { return Poll::Ready(Some(Err(gone()))) };
        let result = ready!(passing.poll_next(cx, &self.limits));
        match &result {
            Ok(piece) => self.received += piece.as_ref().map_or(0, |piece| piece.len() as u64),
            Err(_) => self.state = State::Lost,
        }
        Poll::Ready(result.transpose())
    }

    /// Reads and forgets what the client still sends, so that it can read its answer. False if there is too much of it,
    /// or if it is none.
    pub async fn discard(&mut self, max: u64, time: Duration) -> bool {
        let too_much = self.announced().is_some_and(|length| length > max);
        let mut incoming = match std::mem::replace(&mut self.state, State::Lost) {
            State::Read(_) => return true,
            State::Unread(incoming) if incoming.is_end() => return true,
            State::Unread(_) if too_much => return false,
            State::Unread(incoming) => incoming,
            State::Passing(passing) => passing.incoming,
            // Given up in the middle.
            State::Lost => return false,
        };
        let received = &mut self.received;
        let all = async {
            let mut length = 0;
            let mut scrap = BytesMut::with_capacity(SCRAP);
            while length <= max {
                scrap.clear();
                let count = match next(&mut incoming, &mut scrap, time).await {
                    Ok(BodyPiece::Taken(data)) => data.len() as u64,
                    Ok(BodyPiece::Appended(count)) => count as u64,
                    Ok(BodyPiece::End) => return true,
                    Err(_) => return false,
                };
                length += count;
                *received += count;
            }
            false
        };
        tokio::time::timeout(time, all).await.unwrap_or(false)
    }

    /// Counts bytes that are held besides, such as an edited copy, against the byte budget.
    ///
    /// # Errors
    /// The budget is used up (503).
    pub fn hold(&mut self, bytes: u64) -> Result<(), Fault> {
        if self.reservation.grow(bytes) { Ok(()) } else { Err(overloaded()) }
    }

    /// How many bytes are held.
    pub fn held(&self) -> u64 {
        self.reservation.bytes()
    }

    /// Gives back what was held beyond so many bytes, once it is gone.
    pub fn hold_only(&mut self, bytes: u64) {
        self.reservation.shrink_to(bytes);
    }

    /// Puts other bytes in the place of what was read.
    ///
    /// # Errors
    /// The byte budget is used up (503).
    pub fn replace(&mut self, bytes: Bytes) -> Result<(), Fault> {
        self.hold(bytes.len() as u64)?;
        self.document = None;
        self.state = State::Read(bytes);
        Ok(())
    }

    /// Scans a body that is there, as [`RequestBody::document`] does, without yielding in between.
    pub(crate) fn scan_now(&mut self) {
        if let State::Read(bytes) = &self.state {
            self.document = Some(Document::scan(bytes));
        }
    }

    /// Frees the bytes, once nothing will be sent from them any more.
    pub fn release(&mut self) {
        self.state = State::Lost;
        self.document = None;
        self.reservation = self.limits.budget.reservation();
    }

    /// The body's top level, scanned once; call after [`RequestBody::read`].
    ///
    /// # Errors
    /// The body is not JSON.
    pub async fn document(&mut self) -> Result<(Bytes, &Document), JsonError> {
        let bytes = self.bytes().cloned().unwrap_or_default();
        if self.document.is_none() {
            self.document = Some(scan(&bytes).await);
        }
        match &self.document {
            Some(Ok(document)) => Ok((bytes, document)),
            Some(Err(error)) => Err(error.clone()),
            None => Err(JsonError { at: 1, what: "expected a value" }),
        }
    }

    /// What [`RequestBody::document`] found, if it was called and the body is JSON.
    pub fn scanned(&self) -> Option<(&Bytes, &Document)> {
        Some((self.bytes()?, self.document.as_ref()?.as_ref().ok()?))
    }
}

async fn scan(bytes: &[u8]) -> Result<Document, JsonError> {
    let mut scanner = Scanner::new();
    loop {
        if let Some(document) = scanner.advance(bytes, SCAN_SLICE)? {
            return Ok(document);
        }
        tokio::task::yield_now().await;
    }
}

async fn next(incoming: &mut ClientBody, into: &mut BytesMut, limit: Duration) -> Result<BodyPiece, Fault> {
    // Most bodies are there already; only one that is awaited needs a timer.
    let ready = poll_fn(|cx| Poll::Ready(incoming.poll_data(cx, into))).await;
    let piece = match ready {
        Poll::Ready(piece) => piece,
        Poll::Pending => tokio::time::timeout(limit, poll_fn(|cx| incoming.poll_data(cx, into)))
            .await
            .map_err(|_| too_slow(limit))?,
    };
    piece.map_err(broken)
}

impl Passing {
    fn poll_next(&mut self, cx: &mut Context<'_>, limits: &BodyLimits) -> Poll<Result<Option<Bytes>, Fault>> {
        let left = self.incoming.remaining().map(|left| usize::try_from(left).unwrap_or(PIECE));
        // One more byte than is left, so that the last read need not fill its buffer.
        if let Some(room) = left.filter(|left| *left > 0).map(|left| left.min(PIECE - 1) + 1)
            && self.buffer.capacity() < room.min(LEAST_ROOM)
        {
            self.buffer.reserve(room);
        }
        let Poll::Ready(piece) = self.incoming.poll_data(cx, &mut self.buffer) else {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits.timeout)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Err(too_slow(limits.timeout)));
        };
        self.timer = None;
        let data = match piece.map_err(broken)? {
            BodyPiece::Taken(data) => data,
            BodyPiece::Appended(_) => self.buffer.split().freeze(),
            BodyPiece::End => return Poll::Ready(Ok(None)),
        };
        self.passed += data.len() as u64;
        if self.passed > limits.max {
            return Poll::Ready(Err(too_large(self.passed, limits.max)));
        }
        Poll::Ready(Ok(Some(data)))
    }
}

fn too_large(size: u64, max: u64) -> Fault {
    let text = format!("request size {size} is greater than the maximum size {max} allowed");
    Fault::client(FaultKind::TooLarge, StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn too_slow(limit: Duration) -> Fault {
    let text = format!("no byte of the request body came for {} ms", limit.as_millis());
    Fault::client(FaultKind::RequestTimeout, StatusCode::REQUEST_TIMEOUT, text)
}

/// The client sent what is no chunk, or it went away.
fn broken(error: BodyError) -> Fault {
    match error {
        BodyError::Malformed => {
            let text = "the framing of the request body is malformed";
            Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text)
        }
        BodyError::Gone => gone(),
    }
}

fn gone() -> Fault {
    Fault::client(FaultKind::ClientGone, StatusCode::BAD_REQUEST, "the request body ended early")
}

fn overloaded() -> Fault {
    let text = "the gateway holds as many request bodies as its memory budget allows; try again";
    let fault = Fault::gateway(FaultKind::Overloaded, StatusCode::SERVICE_UNAVAILABLE, text);
    Fault { retry: Retry::SameAfter(Duration::from_secs(1)), ..fault }
}
