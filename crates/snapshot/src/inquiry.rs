use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use a6_core::{Fault, Secret};
use bytes::Bytes;
use http::{Method, StatusCode};

use crate::{Keepalive, Target};

/// A small request that a plugin asks a service with, such as for embeddings, and what bounds it.
#[derive(Debug)]
pub struct Inquiry {
    /// To whom.
    pub target: Arc<Target>,
    /// Whether the connection is kept afterwards.
    pub keepalive: Option<Keepalive>,
    /// For all of it: to connect, to send and to read the whole answer.
    pub limit: Duration,
    /// The answer's body may have this many bytes.
    pub max_answer: usize,
    /// The method, which decides whether the answer has a body.
    pub method: Method,
    /// The request's head as bytes, complete. It may hold a credential.
    pub head: Secret<Bytes>,
    /// Its body. It may hold what a client said.
    pub body: Secret<Bytes>,
}

/// The whole answer to an [`Inquiry`].
#[derive(Debug)]
pub struct Findings {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Secret<Bytes>,
}

/// An [`Inquiry`] under way.
pub type Inquiring = Pin<Box<dyn Future<Output = Result<Findings, Fault>>>>;

/// How a plugin asks services: the data thread's own way out, with its names, pools and believed certificates.
pub trait Services: fmt::Debug {
    /// Asks. Dropping the future closes the connection. The fault names the host and the cause, and nothing of what was
    /// sent or said.
    fn ask(self: Rc<Self>, inquiry: Inquiry) -> Inquiring;
}
