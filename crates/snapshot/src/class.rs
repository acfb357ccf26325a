use std::time::Duration;

use a6_core::{Blame, Fault, FaultKind};
use http::StatusCode;

/// Whom or what the failure of an attempt at a provider speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request itself, or whoever sent it: any other instance would say the same.
    RequestFault,
    /// The credential that the configuration has for the instance.
    CredentialFault,
    /// What the instance may still be asked for.
    Quota,
    /// The provider, which has answered that it cannot.
    Overload,
    /// The way to the provider, or a provider that does not answer.
    Network,
}

impl Class {
    /// Of an answer; none for one that is good. Where the instance has no credential of its own, the caller's is refused.
    pub fn of_status(status: StatusCode, has_credentials: bool) -> Option<Self> {
        match status.as_u16() {
            100..=299 => None,
            401 | 403 | 407 if has_credentials => Some(Self::CredentialFault),
            402 | 429 => Some(Self::Quota),
            501 | 505 => Some(Self::RequestFault),
            408 | 500..=599 => Some(Self::Overload),
            _ => Some(Self::RequestFault),
        }
    }

    /// Of an attempt that brought no answer. `has_credentials` as for [`Class::of_status`].
    pub fn of_fault(fault: &Fault, has_credentials: bool) -> Self {
        match (fault.blame, fault.kind) {
            // An answer's error, told in place of its first word.
            (Blame::Upstream, FaultKind::UpstreamError) => {
                Self::of_status(fault.status, has_credentials).unwrap_or(Self::Overload)
            }
            (Blame::Upstream, _) => Self::Network,
            // Such as a service account that gets no token.
            (Blame::Gateway, FaultKind::Misconfigured) => Self::CredentialFault,
            (Blame::Client | Blame::Gateway | Blame::Policy, _) => Self::RequestFault,
        }
    }

    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestFault => "request",
            Self::CredentialFault => "credential",
            Self::Quota => "quota",
            Self::Overload => "overload",
            Self::Network => "network",
        }
    }
}

/// How an attempt went, as far as it tells of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It works.
    Good,
    /// It does not; and the pause that it asked for.
    Bad(Class, Option<Duration>),
    /// Nobody knows, such as where the client went away, or asked for nonsense.
    Unknown,
}

impl Evidence {
    /// What a class, and the pause that was asked for, tell of the instance.
    pub fn of(class: Option<Class>, pause: Option<Duration>) -> Self {
        match class {
            None => Self::Good,
            Some(Class::RequestFault) => Self::Unknown,
            Some(class) => Self::Bad(class, pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_own_mistake_speaks_against_nobody() {
        let cases = [
            (200, None),
            (204, None),
            (301, Some(Class::RequestFault)),
            (400, Some(Class::RequestFault)),
            (401, Some(Class::CredentialFault)),
            (402, Some(Class::Quota)),
            (403, Some(Class::CredentialFault)),
            (404, Some(Class::RequestFault)),
            (408, Some(Class::Overload)),
            (413, Some(Class::RequestFault)),
            (422, Some(Class::RequestFault)),
            (429, Some(Class::Quota)),
            (500, Some(Class::Overload)),
            (501, Some(Class::RequestFault)),
            (503, Some(Class::Overload)),
            (529, Some(Class::Overload)),
        ];
        for (status, expected) in cases {
            let code = StatusCode::from_u16(status).unwrap();
            assert_eq!(Class::of_status(code, true), expected, "{status}");
            let without =
                if expected == Some(Class::CredentialFault) { Some(Class::RequestFault) } else { expected };
            assert_eq!(
                Class::of_status(code, false),
                without,
                "{status} without a credential of the instance"
            );
        }
        assert_eq!(Evidence::of(Some(Class::RequestFault), None), Evidence::Unknown);
    }

    #[test]
    fn faults_speak_against_whoever_is_to_blame() {
        let gateway = |kind| Fault::gateway(kind, StatusCode::SERVICE_UNAVAILABLE, "x");
        let cases = [
            (Fault::upstream(FaultKind::UpstreamTimeout, "x"), Class::Network),
            (Fault::upstream(FaultKind::UpstreamConnect, "x"), Class::Network),
            (Fault::upstream(FaultKind::UpstreamError, "x"), Class::Overload),
            (
                Fault {
                    status: StatusCode::TOO_MANY_REQUESTS,
                    ..Fault::upstream(FaultKind::UpstreamError, "x")
                },
                Class::Quota,
            ),
            (Fault::client(FaultKind::ClientGone, StatusCode::BAD_REQUEST, "x"), Class::RequestFault),
            (Fault::policy(FaultKind::LimitExceeded, StatusCode::BAD_GATEWAY, "x"), Class::RequestFault),
            (gateway(FaultKind::Overloaded), Class::RequestFault),
            (gateway(FaultKind::Misconfigured), Class::CredentialFault),
        ];
        for (fault, expected) in cases {
            assert_eq!(Class::of_fault(&fault, true), expected, "{fault:?}");
        }
        let refused =
            Fault { status: StatusCode::UNAUTHORIZED, ..Fault::upstream(FaultKind::UpstreamError, "x") };
        assert_eq!(Class::of_fault(&refused, true), Class::CredentialFault);
        assert_eq!(Class::of_fault(&refused, false), Class::RequestFault);
    }
}
