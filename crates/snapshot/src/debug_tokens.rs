use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use a6_core::Secret;
use ring::rand::{SecureRandom, SystemRandom};

/// How long a token is good for.
const LIFE: Duration = Duration::from_secs(60);

/// How many may be out at a time; past it the oldest one goes.
const MOST: usize = 256;

/// 32 hexadecimal digits.
const DIGITS: usize = 32;

/// Tokens with which one request each may ask how its answer was made: 128 random bits, good for a minute and for one
/// request. The Admin API gives them out, the data threads take them back; they are nowhere but here.
#[derive(Default)]
pub struct DebugTokens {
    issued: Mutex<Vec<Issued>>,
}

/// What is kept of a token.
struct Issued {
    token: u128,
    at: Instant,
}

impl fmt::Debug for DebugTokens {
    /// Who has a token may use it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DebugTokens")
    }
}

impl DebugTokens {
    /// The header in which a request brings its token, in lower case.
    pub const HEADER: &'static str = "x-a6-debug-token";

    /// How long a token is good for, in seconds.
    pub const LIFE_SECONDS: u64 = LIFE.as_secs();

    /// A new token; none where the system has no random bytes.
    pub fn issue(&self) -> Option<Secret<String>> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(self.issue_at(u128::from_be_bytes(bytes), Instant::now()))
    }

    /// Whether this is a token that is good; from then on it is no more.
    pub fn redeem(&self, token: &[u8]) -> bool {
        self.redeem_at(token, Instant::now())
    }

    fn issue_at(&self, token: u128, now: Instant) -> Secret<String> {
        let mut issued = self.lock();
        issued.retain(|kept| is_good(kept, now));
        if issued.len() >= MOST {
            issued.remove(0);
        }
        issued.push(Issued { token, at: now });
        Secret::new(format!("{token:032x}"))
    }

    fn redeem_at(&self, token: &[u8], now: Instant) -> bool {
        let Some(token) = parse(token) else { return false };
        let mut issued = self.lock();
        let found = issued.iter().position(|kept| kept.token == token);
        found.is_some_and(|place| is_good(&issued.remove(place), now))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Issued>> {
        // A panic while a token is pushed or removed leaves a usable list.
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_good(issued: &Issued, now: Instant) -> bool {
    now.saturating_duration_since(issued.at) < LIFE
}

/// The digits as a number. The standard library's reader would take a sign, too.
fn parse(token: &[u8]) -> Option<u128> {
    if token.len() != DIGITS || !token.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(token).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once() {
        let tokens = DebugTokens::default();
        let (one, other) = (tokens.issue().unwrap(), tokens.issue().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert!(tokens.redeem(one.expose().as_bytes()));
        assert!(!tokens.redeem(one.expose().as_bytes()));
        assert!(tokens.redeem(other.expose().as_bytes()));
    }

    #[test]
    fn a_token_is_good_for_a_minute() {
        let start = Instant::now();
        for (age, expected) in [(0, true), (59, true), (60, false), (3600, false)] {
            let tokens = DebugTokens::default();
            let token = tokens.issue_at(7, start);
            let now = start + Duration::from_secs(age);
            assert_eq!(tokens.redeem_at(token.expose().as_bytes(), now), expected, "{age} s");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let tokens = DebugTokens::default();
        let zero = tokens.issue_at(0, Instant::now());
        for wrong in
            ["", "0", &"0".repeat(31), &"0".repeat(33), &format!("+{}", "0".repeat(31)), &"x".repeat(32)]
        {
            assert!(!tokens.redeem(wrong.as_bytes()), "{wrong:?}");
        }
        assert!(!tokens.redeem(&[0xff; 32]));
        assert!(tokens.redeem(zero.expose().as_bytes()), "guesses cost nobody their token");
    }

    #[test]
    fn the_oldest_goes_where_too_many_are_out() {
        let tokens = DebugTokens::default();
        let now = Instant::now();
        let all: Vec<_> = (0..=MOST as u128).map(|number| tokens.issue_at(number, now)).collect();
        assert!(!tokens.redeem_at(all[0].expose().as_bytes(), now));
        assert!(all[1..].iter().all(|token| tokens.redeem_at(token.expose().as_bytes(), now)));
        assert_eq!(format!("{tokens:?}"), "DebugTokens");
    }
}
