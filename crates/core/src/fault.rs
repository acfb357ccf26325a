use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

/// What went wrong, as a stable word that logs, metrics and error bodies share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The request itself is wrong: framing, content type, JSON, protocol.
    BadRequest,
    /// The request's body is larger than allowed.
    TooLarge,
    /// The client was too slow to send its request.
    RequestTimeout,
    /// The client went away.
    ClientGone,
    /// No route matches.
    NoRoute,
    /// The byte budget is used up.
    Overloaded,
    /// The configuration asks for something that cannot be done.
    Misconfigured,
    /// The upstream's name does not resolve.
    UpstreamDns,
    /// The upstream refused the connection, or it broke before an answer.
    UpstreamConnect,
    /// The TLS handshake with the upstream failed.
    UpstreamTls,
    /// The upstream was too slow: to connect, to answer, or between two reads.
    UpstreamTimeout,
    /// The upstream answered something that is not its protocol.
    UpstreamProtocol,
    /// The upstream's answer ended before its end.
    UpstreamTruncated,
    /// A stream was whole, but without its protocol's terminal event. The client's ends just so.
    UpstreamNoDone,
    /// The upstream told of an error in a stream, before any word of an answer.
    UpstreamError,
    /// Another instance was asked beside this one and answered first.
    HedgeLost,
    /// An answer passed a limit that the configuration sets.
    LimitExceeded,
    /// The gateway stops, and the request has had its time.
    Draining,
    /// A bug of ours.
    Internal,
}

impl FaultKind {
    /// The word for logs, metrics and error bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "invalid_request",
            Self::TooLarge => "request_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::ClientGone => "client_gone",
            Self::NoRoute => "route_not_found",
            Self::Overloaded => "gateway_overloaded",
            Self::Misconfigured => "gateway_misconfigured",
            Self::UpstreamDns => "upstream_dns_error",
            Self::UpstreamConnect => "upstream_connect_error",
            Self::UpstreamTls => "upstream_tls_error",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamProtocol => "upstream_protocol_error",
            Self::UpstreamTruncated => "upstream_truncated",
            Self::UpstreamNoDone => "upstream_no_done",
            Self::UpstreamError => "upstream_error",
            Self::HedgeLost => "hedge_lost",
            Self::LimitExceeded => "limit_exceeded",
            Self::Draining => "gateway_draining",
            Self::Internal => "internal_error",
        }
    }
}

/// Who is to blame: decides whose health a fault counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller.
    Client,
    /// This gateway or its configuration.
    Gateway,
    /// The provider or other upstream.
    Upstream,
    /// A rule that somebody configured: a limit, a guard.
    Policy,
}

/// Whether another try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// On another target.
    OtherTarget,
    /// On the same target, after a pause.
    SameAfter(Duration),
}

/// The form of the body that tells the client of a fault.
///
/// APISIX fixed several forms; where it fixed none, the client's own protocol decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// The error object of the client's protocol, such as OpenAI's `{"error":{...}}`.
    Protocol,
    /// The text as it stands.
    Text,
    /// `{"message":"..."}` and a newline.
    Message,
    /// `{"error_msg":"..."}` and a newline.
    ErrorMsg,
}

/// Why a request ends otherwise than its client wished.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {text}", kind.as_str())]
pub struct Fault {
    /// The stable word.
    pub kind: FaultKind,
    /// Whose fault it is.
    pub blame: Blame,
    /// Whether another try may help.
    pub retry: Retry,
    /// The status that the client gets, if nothing was sent yet.
    pub status: StatusCode,
    /// The form of the body.
    pub wording: Wording,
    /// What the client may read. It names hosts and causes, never secrets.
    pub text: Cow<'static, str>,
}

impl Fault {
    /// A fault of the client's, never retried.
    pub fn client(kind: FaultKind, status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            blame: Blame::Client,
            retry: Retry::Never,
            status,
            wording: Wording::Text,
            text: text.into(),
        }
    }

    /// A fault of ours or of our configuration.
    pub fn gateway(kind: FaultKind, status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { blame: Blame::Gateway, wording: Wording::Protocol, ..Self::client(kind, status, text) }
    }

    /// A fault of the upstream's: 504 for a timeout, else 502; another target may do better.
    pub fn upstream(kind: FaultKind, text: impl Into<Cow<'static, str>>) -> Self {
        let status = match kind {
            FaultKind::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self {
            blame: Blame::Upstream,
            retry: Retry::OtherTarget,
            wording: Wording::Protocol,
            ..Self::client(kind, status, text)
        }
    }

    /// A rule refuses or ends the request.
    pub fn policy(kind: FaultKind, status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { blame: Blame::Policy, ..Self::client(kind, status, text) }
    }

    /// The same fault told in another form.
    #[must_use]
    pub fn worded(self, wording: Wording) -> Self {
        Self { wording, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_timeouts_are_504_and_the_rest_502() {
        let status = |kind| Fault::upstream(kind, "x").status.as_u16();
        assert_eq!(status(FaultKind::UpstreamTimeout), 504);
        assert_eq!(status(FaultKind::UpstreamDns), 502);
        assert_eq!(status(FaultKind::UpstreamTruncated), 502);
    }

    #[test]
    fn display_names_the_kind_and_the_cause() {
        let fault = Fault::upstream(FaultKind::UpstreamConnect, "api.test:443: connection refused");
        assert_eq!(fault.to_string(), "upstream_connect_error: api.test:443: connection refused");
    }
}
