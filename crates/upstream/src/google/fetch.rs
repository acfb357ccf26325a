use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use a6_core::{Clock, Fault, FaultKind, Secret};
use a6_snapshot::GoogleAccount;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use super::assertion::assertion;
use super::tokens::{Ask, Slot, Token, failed};
use crate::{Call, Upstream, UpstreamBody};

/// For one attempt, with everything in it.
const LIMIT: Duration = Duration::from_secs(10);
/// An answer of a token endpoint is a few hundred bytes.
const MAX_ANSWER: usize = 64 << 10;
/// Where Google does not say how long a token is good, in seconds.
const LIFETIME: u64 = 3600;

/// Fetches the tokens that are asked for.
#[derive(Debug)]
pub struct Fetcher {
    pub(super) asked: mpsc::Receiver<Ask>,
    pub(super) clock: Clock,
}

impl Fetcher {
    /// Fetches until nobody can ask any more. Accounts do not wait for each other.
    pub async fn run(mut self, upstream: Upstream) {
        let upstream = Rc::new(upstream);
        let fetching = async {
            while let Some(ask) = self.asked.recv().await {
                spawn_local(fetch_for(ask, upstream.clone(), self.clock.clone()));
            }
        };
        LocalSet::new().run_until(fetching).await;
    }
}

/// Lets those who wait look again, whatever becomes of the attempt.
struct Release(Arc<Slot>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.release();
    }
}

async fn fetch_for(ask: Ask, upstream: Rc<Upstream>, clock: Clock) {
    let Ask { account, slot } = ask;
    let slot = Release(slot);
    let asked_at = clock.unix_ms();
    let fetching = tokio::time::timeout(LIMIT, fetch(&account, &upstream, asked_at));
    let result = fetching.await.unwrap_or_else(|_| {
        let cause = format!("{} took longer than {} ms", account.target, LIMIT.as_millis());
        Err(Fault::upstream(FaultKind::UpstreamTimeout, cause))
    });
    let now = clock.unix_ms();
    // It would be asked for again at once, and again.
    let result = result.and_then(|token| match token.until > now {
        true => Ok(token),
        false => {
            let cause = format!("the token of {} was over when it came; see max_ttl", account.target);
            Err(Fault::upstream(FaultKind::UpstreamProtocol, cause))
        }
    });
    if let Err(fault) = &result {
        tracing::warn!(account = %account.client_email, %fault, "no token");
    }
    slot.0.settle(result.map_err(failed), now);
}

async fn fetch(account: &GoogleAccount, upstream: &Upstream, now: u64) -> Result<Token, Fault> {
    let misconfigured =
        |cause: String| Fault::gateway(FaultKind::Misconfigured, StatusCode::INTERNAL_SERVER_ERROR, cause);
    let assertion = assertion(account, now / 1000).map_err(misconfigured)?;
    let answer = upstream.send(call(account, &assertion)).await?;
    let status = answer.head.status;
    let body = whole(answer.body, account).await?;
    let host = &account.target;
    if status == StatusCode::OK {
        let grant = granted(&body).ok_or_else(|| {
            let cause = format!("there is no usable access_token in the answer of {host}");
            Fault::upstream(FaultKind::UpstreamProtocol, cause)
        })?;
        return Ok(grant.token(account, now));
    }
    let cause = format!("{host} answered {status}{}", cause(&body));
    let is_theirs = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    Err(if is_theirs { Fault::upstream(FaultKind::UpstreamProtocol, cause) } else { misconfigured(cause) })
}

fn call(account: &GoogleAccount, assertion: &Secret<String>) -> Call {
    // The parts of an assertion need no encoding.
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    let form = format!("grant_type={grant}&assertion={}", assertion.expose());
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\naccept: \
         application/json\r\ncontent-length: {}\r\n\r\n",
        account.path,
        account.authority,
        form.len()
    );
    Call {
        target: account.target.clone(),
        keepalive: None,
        timeout: LIMIT,
        method: Method::POST,
        keep_header: |_| false,
        head: Secret::new(head.into()),
        body: vec![form.into()],
    }
}

async fn whole(mut body: UpstreamBody, account: &GoogleAccount) -> Result<Secret<Vec<u8>>, Fault> {
    let mut whole = Vec::new();
    while let Some(piece) = poll_fn(|cx| body.poll_data(cx)).await {
        let piece: Bytes = piece?;
        if whole.len() + piece.len() > MAX_ANSWER {
            let cause = format!("the answer of {} is longer than {MAX_ANSWER} bytes", account.target);
            return Err(Fault::upstream(FaultKind::UpstreamProtocol, cause));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Secret::new(whole))
}

/// What Google gave.
#[derive(Debug)]
pub(super) struct Grant {
    value: Secret<Arc<str>>,
    /// In seconds.
    lifetime: u64,
}

impl Grant {
    /// When it is to be replaced, and when it is over. Where the whole time is shorter than `expire_early`, nine tenths of it
    /// are left.
    pub(super) fn token(self, account: &GoogleAccount, now: u64) -> Token {
        let whole = Duration::from_secs(self.lifetime);
        let kept = account.max_ttl.map_or(whole, |max_ttl| whole.min(max_ttl));
        let early = whole.checked_sub(account.expire_early).filter(|left| !left.is_zero()).unwrap_or(whole);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Token {
            value: self.value,
            refresh_at: now.saturating_add(ms(early.min(kept / 10 * 9))),
            until: now.saturating_add(ms(kept)),
        }
    }
}

/// The token in an answer, if it can stand in a header.
pub(super) fn granted(body: &Secret<Vec<u8>>) -> Option<Grant> {
    let answer: Value = serde_json::from_slice(body.expose()).ok()?;
    let value = answer.get("access_token")?.as_str()?;
    let is_usable = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    let lifetime = answer.get("expires_in").and_then(Value::as_u64).unwrap_or(LIFETIME);
    is_usable.then(|| Grant { value: Secret::new(value.into()), lifetime })
}

/// Google's word for a failure, such as `invalid_grant`. Its description is left out, since it may repeat the request.
pub(super) fn cause(body: &Secret<Vec<u8>>) -> String {
    let answer: Value = serde_json::from_slice(body.expose()).unwrap_or_default();
    let word = answer.get("error").and_then(Value::as_str).unwrap_or_default();
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let is_word = !word.is_empty() && word.len() < 64 && word.bytes().all(is_part);
    if is_word { format!(": {word}") } else { String::new() }
}
