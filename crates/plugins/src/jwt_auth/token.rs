use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// A token taken apart (RFC 7515, section 7.1). Nothing in it is known to be true.
pub(super) struct Token<'t> {
    /// The algorithm that the header names.
    pub(super) algorithm: Option<String>,
    /// What the token says; any JSON.
    pub(super) payload: Value,
    /// The bytes that the signature is for.
    pub(super) signed: &'t [u8],
    /// The signature; none if it is no base64.
    pub(super) signature: Option<Vec<u8>>,
}

impl<'t> Token<'t> {
    /// Takes a token apart; none if it is none.
    pub(super) fn parse(token: &'t [u8]) -> Option<Self> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || signature.is_empty() {
            return None;
        }
        let members = json(header)?;
        let algorithm = members.as_object()?.get("alg").and_then(Value::as_str).map(str::to_string);
        let signed = &token[..header.len() + 1 + payload.len()];
        Some(Self { algorithm, payload: json(payload)?, signed, signature: decode(signature) })
    }
}

fn json(part: &[u8]) -> Option<Value> {
    serde_json::from_slice(&decode(part)?).ok()
}

/// Base64 for URLs. Padding is not part of it (RFC 7515, section 2), but common.
fn decode(part: &[u8]) -> Option<Vec<u8>> {
    let end = part.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    URL_SAFE_NO_PAD.decode(&part[..end]).ok()
}

/// A claim about time, in seconds since the Unix epoch (RFC 7519, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// `exp`: the token holds until then.
    Expires,
    /// `nbf`: it holds from then on.
    NotBefore,
}

impl Claim {
    const ALL: [Self; 2] = [Self::Expires, Self::NotBefore];

    /// The claim of that name.
    ///
    /// # Errors
    /// It is another name.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|claim| claim.name() == name);
        found.ok_or_else(|| format!("claims_to_verify: expected exp or nbf, found {name}"))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Expires => "exp",
            Self::NotBefore => "nbf",
        }
    }

    fn holds(self, value: &Value, grace: f64, now: f64) -> bool {
        match (self, value.as_f64()) {
            (Self::Expires, Some(time)) => time > now - grace,
            (Self::NotBefore, Some(time)) => time < now + grace,
            (_, None) => false,
        }
    }
}

/// Whether a token holds now. The claims that are listed must be there, and no other counts; without a list, those that
/// are there count.
pub(super) fn claims_hold(payload: &Value, listed: &[Claim], grace: f64, now: f64) -> bool {
    let holds = |claim: &Claim| payload.get(claim.name()).map(|value| claim.holds(value, grace, now));
    if listed.is_empty() {
        Claim::ALL.iter().all(|claim| holds(claim).unwrap_or(true))
    } else {
        listed.iter().all(|claim| holds(claim).unwrap_or(false))
    }
}
