use std::sync::Arc;
use std::time::{Duration, Instant};

use a6_core::{Fault, FaultKind};
use a6_protocols::{Protocol, Usage};
use http::{Method, StatusCode};

use crate::{Class, Meter, ModelLog, RouteFacts};

/// How a request ended. The first terminal state counts; a request that is dropped before has lost its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client got a whole answer, whatever its status.
    Complete,
    /// The client went away before the end.
    ClientGone,
    /// The gateway answered with an error of its own.
    Failed,
    /// The upstream told of an error within a stream.
    UpstreamError,
    /// The upstream's answer ended before its end; the client's was aborted.
    UpstreamTruncated,
    /// The answer was ended by a limit or a fault of ours; the client's was aborted.
    Aborted,
}

impl Outcome {
    /// The word for logs and the Control API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::Failed => "failed",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamTruncated => "upstream_truncated",
            Self::Aborted => "aborted",
        }
    }
}

/// One try at one target.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// `host:port`.
    pub address: Arc<str>,
    /// The instance.
    pub instance: Arc<str>,
    /// The status that came back; none if no answer came.
    pub status: Option<StatusCode>,
    /// What went wrong, if anything.
    pub fault: Option<FaultKind>,
    /// What its failure speaks against; none for a good one, and where no provider was asked.
    pub class: Option<Class>,
    /// When it began.
    pub started: Instant,
    /// To a connection that could be written to; zero for a pooled one.
    pub connect: Option<Duration>,
    /// To the answer's head.
    pub header: Option<Duration>,
    /// From `started` to the end of the answer, or to the fault.
    pub duration: Option<Duration>,
    /// The scheme it was reached by.
    pub scheme: &'static str,
    /// The path that was asked for, without query.
    pub path: Arc<str>,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
}

/// What is known of a request when it is over. Every request leaves exactly one.
#[derive(Clone, Debug)]
pub struct Record {
    /// When its head had been read.
    pub started: Instant,
    /// The same as wall-clock time, in milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// From `started` to the end.
    pub duration: Option<Duration>,
    /// 32 hexadecimal digits, the request's own.
    pub request_id: Box<str>,
    /// The method.
    pub method: Method,
    /// The route that answered.
    pub route: Option<Arc<RouteFacts>>,
    /// The consumer that was asking.
    pub consumer: Option<Arc<str>>,
    /// The wire protocol of the client.
    pub protocol: Option<Protocol>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// The model that the client named.
    pub request_model: Option<Box<str>>,
    /// The model that was asked.
    pub model: Option<Box<str>>,
    /// How many tools the request offered to the model.
    pub tool_count: u32,
    /// Whether the answer calls one.
    pub has_tool_calls: bool,
    /// Whom the client says it asks for.
    pub end_user: Option<Box<str>>,
    /// The status that the client got; none if it got none.
    pub status: Option<StatusCode>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The fault that it ended with.
    pub fault: Option<FaultKind>,
    /// The fault in words.
    pub fault_text: Option<Box<str>>,
    /// The tokens it cost.
    pub usage: Usage,
    /// From the start of the last attempt to the first byte of its body.
    pub ttft: Option<Duration>,
    /// Bytes of the answer's body that went to the client.
    pub response_bytes: u64,
    /// Bytes that came of the request: its body, and over HTTP/1.1 its head.
    pub request_length: u64,
    /// Bytes that went to the client: the body without its framing, and over HTTP/1.1 the head.
    pub bytes_sent: u64,
    /// Every attempt in order.
    pub attempts: Vec<Attempt>,
    /// How it is counted; none where nobody asked for that.
    pub meter: Option<Meter>,
    /// What a conversion between protocols could not carry, by name; none where there was all.
    pub dropped: Option<Box<[String]>>,
    /// What logs may tell of prompt and answer; none where nobody asked for that.
    pub model_log: Option<Box<ModelLog>>,
}

/// What clients name is kept only so far: the last requests are remembered.
const MAX_NAME: usize = 256;
const MAX_FAULT_TEXT: usize = 1024;

/// A copy of at most `max` bytes.
fn bounded(text: &str, max: usize) -> Box<str> {
    text[..text.floor_char_boundary(max)].into()
}

impl Record {
    /// A request that begins now.
    pub fn begin(method: Method, unix_ms: u64) -> Self {
        Self {
            started: Instant::now(),
            started_unix_ms: unix_ms,
            duration: None,
            method,
            request_id: Box::default(),
            route: None,
            consumer: None,
            protocol: None,
            stream: false,
            request_model: None,
            model: None,
            tool_count: 0,
            has_tool_calls: false,
            end_user: None,
            status: None,
            outcome: None,
            fault: None,
            fault_text: None,
            usage: Usage::default(),
            ttft: None,
            response_bytes: 0,
            request_length: 0,
            bytes_sent: 0,
            attempts: Vec::new(),
            meter: None,
            dropped: None,
            model_log: None,
        }
    }

    /// The id of the route that answered.
    pub fn route_id(&self) -> Option<&str> {
        self.route.as_ref().map(|route| &*route.id)
    }

    /// The name of the route that answered.
    pub fn route_name(&self) -> Option<&str> {
        self.route.as_ref()?.name.as_deref()
    }

    /// The id of the route's service.
    pub fn service_id(&self) -> Option<&str> {
        self.route.as_ref()?.service_id.as_deref()
    }

    /// The name of the route's service.
    pub fn service_name(&self) -> Option<&str> {
        self.route.as_ref()?.service_name.as_deref()
    }

    /// APISIX's word for what kind of request it is.
    pub fn request_type(&self) -> &'static str {
        match (self.protocol, self.stream) {
            (None, _) => "traditional_http",
            (Some(_), false) => "ai_chat",
            (Some(_), true) => "ai_stream",
        }
    }

    /// Whether a model answered and did not tell what it cost: unknown is not nothing.
    pub fn lacks_usage(&self) -> bool {
        let last = self.attempts.last().and_then(|attempt| attempt.status);
        let has_answer = self.protocol.is_some() && last.is_some_and(|status| status.is_success());
        has_answer && !self.usage.is_known()
    }

    /// Takes the record out and leaves an empty one.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::begin(Method::GET, 0))
    }

    /// Notes the model that the client named.
    pub fn set_request_model(&mut self, model: Option<&str>) {
        self.request_model = model.map(|model| bounded(model, MAX_NAME));
    }

    /// Notes the model that is asked.
    pub fn set_model(&mut self, model: Option<&str>) {
        self.model = model.map(|model| bounded(model, MAX_NAME));
    }

    /// Notes whom the client says it asks for.
    pub fn set_end_user(&mut self, user: Option<&str>) {
        self.end_user = user.map(|user| bounded(user, MAX_NAME));
    }

    /// Notes a terminal state; only the first one counts.
    pub fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    /// Notes the fault that it ends with; only the first one counts.
    pub fn fail(&mut self, fault: &Fault) {
        if self.fault.is_none() {
            self.fault = Some(fault.kind);
            self.fault_text = Some(bounded(&fault.text, MAX_FAULT_TEXT));
        }
    }
}
