use std::time::Duration;

use a6_core::Fault;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{Plan, Record, Request, RequestBody};

/// One request and its answer, from the routing to the end. Plugins see and change it.
#[derive(Debug)]
pub struct Exchange {
    /// The client's request.
    pub request: Request,
    /// Its body, read on demand.
    pub body: RequestBody,
    /// What the attempt stage is to do, once a plugin has said so.
    pub plan: Option<Plan>,
    /// What will be known of it.
    pub record: Record,
}

/// An answer that a plugin gives itself.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Headers, the body's length excepted.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why a plugin ends a request.
#[derive(Clone, Debug)]
pub enum Stop {
    /// It answers itself.
    Reply(Box<Reply>),
    /// Something is wrong; the renderer of the client's protocol tells it.
    Fault(Box<Fault>),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl Exchange {
    /// Since the request's head was read.
    pub fn elapsed(&self) -> Duration {
        self.record.started.elapsed()
    }
}
