use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use a6_codec::json::{Document, JsonError, Scanner};
use a6_core::{Budget, Fault, FaultKind, Reservation, Retry};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;
use hyper::body::Incoming;

/// A body is scanned in slices of this many bytes, so that a large one does not hold up the thread's other requests.
const SCAN_SLICE: usize = 256 << 10;

const MAX_RESERVE: usize = 4 << 20;

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

/// A request's body: read on demand, once, into one buffer.
#[derive(Debug)]
pub struct RequestBody {
    state: State,
    limits: BodyLimits,
    /// Held as long as the bytes are.
    reservation: Reservation,
    document: Option<Result<Document, JsonError>>,
}

#[derive(Debug)]
enum State {
    Unread(Incoming),
    Read(Bytes),
    Lost,
}

impl RequestBody {
    /// A body that has not been read.
    pub fn new(incoming: Incoming, limits: BodyLimits) -> Self {
        let reservation = limits.budget.reservation();
        Self { state: State::Unread(incoming), limits, reservation, document: None }
    }

    /// The length that the client announced, or the length read.
    pub fn announced(&self) -> Option<u64> {
        match &self.state {
            State::Unread(incoming) => incoming.size_hint().exact(),
            State::Read(bytes) => Some(bytes.len() as u64),
            State::Lost => None,
        }
    }

    /// The bytes, once [`RequestBody::read`] has succeeded.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.state {
            State::Read(bytes) => Some(bytes),
            State::Unread(_) | State::Lost => None,
        }
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

    async fn collect(&mut self, incoming: &mut Incoming, max: u64) -> Result<Bytes, Fault> {
        let mut first: Option<Bytes> = None;
        let mut joined = BytesMut::new();
        let mut length = 0u64;
        while let Some(data) = next(incoming, self.limits.timeout).await? {
            length += data.len() as u64;
            if length > max {
                return Err(too_large(length, max));
            }
            if !self.reservation.grow(data.len() as u64) {
                return Err(overloaded());
            }
            match first.take() {
                None if joined.is_empty() => first = Some(data),
                None => joined.extend_from_slice(&data),
                Some(before) => {
                    let whole = incoming.size_hint().lower().saturating_add(length);
                    // What is announced may never come.
                    joined.reserve(usize::try_from(whole).unwrap_or(0).min(MAX_RESERVE));
                    joined.extend_from_slice(&before);
                    joined.extend_from_slice(&data);
                }
            }
        }
        Ok(first.unwrap_or_else(|| joined.freeze()))
    }

    /// Reads and forgets what the client still sends, so that it can read its answer. False if there is too much of it.
    pub async fn discard(&mut self, max: u64, time: Duration) -> bool {
        let too_much = self.announced().is_some_and(|length| length > max);
        let mut incoming = match std::mem::replace(&mut self.state, State::Lost) {
            State::Read(_) => return true,
            State::Unread(incoming) if incoming.is_end_stream() => return true,
            State::Unread(_) if too_much => return false,
            State::Unread(incoming) => incoming,
            // Given up in the middle.
            State::Lost => return false,
        };
        let all = async {
            let mut length = 0;
            while let Ok(Some(data)) = next(&mut incoming, time).await {
                length += data.len() as u64;
                if length > max {
                    return false;
                }
            }
            true
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

async fn next(incoming: &mut Incoming, limit: Duration) -> Result<Option<Bytes>, Fault> {
    loop {
        // Most bodies are there already; only one that is awaited needs a timer.
        let ready = poll_fn(|cx| Poll::Ready(Pin::new(&mut *incoming).poll_frame(cx))).await;
        let frame = match ready {
            Poll::Ready(frame) => Ok(frame),
            Poll::Pending => {
                tokio::time::timeout(limit, poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx))).await
            }
        };
        match frame {
            Err(_) => return Err(too_slow(limit)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(broken(&error)),
            Ok(Some(Ok(frame))) => {
                // Trailers of a request are not passed on.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
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
fn broken(error: &hyper::Error) -> Fault {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let malformed = [std::io::ErrorKind::InvalidInput, std::io::ErrorKind::InvalidData];
    if io.is_some_and(|io| malformed.contains(&io.kind())) {
        let text = "the framing of the request body is malformed";
        return Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, text);
    }
    gone()
}

fn gone() -> Fault {
    Fault::client(FaultKind::ClientGone, StatusCode::BAD_REQUEST, "the request body ended early")
}

fn overloaded() -> Fault {
    let text = "the gateway holds as many request bodies as its memory budget allows; try again";
    let fault = Fault::gateway(FaultKind::Overloaded, StatusCode::SERVICE_UNAVAILABLE, text);
    Fault { retry: Retry::SameAfter(Duration::from_secs(1)), ..fault }
}
