use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use a6_core::{Clock, Fault, FaultKind, Retry, Secret, Wording};
use a6_snapshot::GoogleAccount;
use http::StatusCode;
use lru::LruCache;
use tokio::sync::{Notify, mpsc};

use super::Fetcher;

/// Accounts whose tokens are kept; past it the one that was asked for least recently goes.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// Tokens that may be asked for and not fetched yet.
const WAITING: usize = 1024;
/// After a failure nothing is fetched for that account for so long, in milliseconds.
const PAUSE: u64 = 5_000;

/// What all threads know of tokens.
#[derive(Debug)]
pub struct Tokens {
    known: Mutex<LruCache<[u8; 32], Arc<Slot>>>,
    asks: mpsc::Sender<Ask>,
    clock: Clock,
}

/// A token is wanted.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) account: Arc<GoogleAccount>,
    pub(super) slot: Arc<Slot>,
}

/// The token of one account.
#[derive(Debug, Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// Why the last attempt failed, and until when no other is made.
    failure: Option<(Fault, u64)>,
    /// Somebody fetches one.
    is_asked: bool,
}

/// A token and its times, in Unix milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) value: Secret<Arc<str>>,
    /// From here on a new one is fetched, while this one is still used.
    pub(super) refresh_at: u64,
    /// It is not used any more.
    pub(super) until: u64,
}

impl Tokens {
    /// An empty table, and who fills it.
    pub fn with_fetcher(clock: Clock) -> (Arc<Self>, Fetcher) {
        let (asks, asked) = mpsc::channel(WAITING);
        let tokens = Self { known: Mutex::new(LruCache::new(ACCOUNTS)), asks, clock: clock.clone() };
        (Arc::new(tokens), Fetcher { asked, clock })
    }

    /// A token of an account. A token that is known is given at once, also while the next one is fetched; where there is none,
    /// or it has run out, this waits for one, at most for `limit`. However many wait, one is fetched.
    ///
    /// # Errors
    /// There is none in time, or Google gives none. The fault names the token endpoint and the cause.
    pub async fn bearer(
        &self,
        account: &Arc<GoogleAccount>,
        limit: Duration,
    ) -> Result<Secret<Arc<str>>, Fault> {
        let slot = self.slot(account);
        match self.look(&slot, account) {
            Some(result) => result,
            // Boxed, since it is rare and every request's future would have to hold it.
            None => Box::pin(self.wait(&slot, account, limit)).await,
        }
    }

    /// Gives up the token of an account: it was not taken.
    pub fn forget(&self, account: &GoogleAccount) {
        self.slot(account).state().token = None;
    }

    async fn wait(
        &self,
        slot: &Arc<Slot>,
        account: &Arc<GoogleAccount>,
        limit: Duration,
    ) -> Result<Secret<Arc<str>>, Fault> {
        let coming = async {
            loop {
                let mut changed = pin!(slot.changed.notified());
                // Before the look, so that no change falls between the two.
                changed.as_mut().enable();
                if let Some(result) = self.look(slot, account) {
                    return result;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, coming).await.unwrap_or_else(|_| {
            let cause = format!("{} took longer than {} ms", account.target, limit.as_millis());
            Err(failed(Fault::upstream(FaultKind::UpstreamTimeout, cause)))
        })
    }

    fn slot(&self, account: &GoogleAccount) -> Arc<Slot> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(account.fingerprint, Arc::default).clone()
    }

    /// What can be said at once. Asks for a token where one is due.
    fn look(
        &self,
        slot: &Arc<Slot>,
        account: &Arc<GoogleAccount>,
    ) -> Option<Result<Secret<Arc<str>>, Fault>> {
        let now = self.clock.unix_ms();
        let mut state = slot.state();
        let token = state.token.clone().filter(|token| token.until > now);
        let failure =
            state.failure.as_ref().filter(|(_, until)| *until > now).map(|(fault, _)| fault.clone());
        let is_due = token.as_ref().is_none_or(|token| token.refresh_at <= now);
        let mut refused = None;
        if is_due && failure.is_none() && !state.is_asked {
            let ask = Ask { account: account.clone(), slot: slot.clone() };
            match self.asks.try_send(ask) {
                Ok(()) => state.is_asked = true,
                Err(_) => refused = Some(overloaded()),
            }
        }
        let value = token.map(|token| Ok(token.value));
        value.or_else(|| failure.or(refused).map(Err))
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what became of an attempt to fetch a token. A token that is known stays until its end.
    pub(super) fn settle(&self, result: Result<Token, Fault>, now: u64) {
        let mut state = self.state();
        match result {
            Ok(token) => {
                state.token = Some(token);
                state.failure = None;
            }
            Err(fault) => state.failure = Some((fault, now.saturating_add(PAUSE))),
        }
    }

    /// The attempt is over, however it went: who waits looks again.
    pub(super) fn release(&self) {
        self.state().is_asked = false;
        self.changed.notify_waiters();
    }
}

/// The fault in the words of a token that was not given; another instance may have another account.
pub(super) fn failed(fault: Fault) -> Fault {
    let text = format!("failed to get gcp access token: {}", fault.text);
    Fault { text: text.into(), retry: Retry::OtherTarget, wording: Wording::ErrorMsg, ..fault }
}

fn overloaded() -> Fault {
    let text = "too many tokens are being fetched";
    failed(Fault::gateway(FaultKind::Overloaded, StatusCode::SERVICE_UNAVAILABLE, text))
}
