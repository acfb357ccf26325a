use std::sync::Arc;
use std::time::Duration;

use a6_core::{Clock, Fault, FaultKind, Retry, Secret, Wording};
use a6_snapshot::GoogleAccount;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::assertion::{assertion, key};
use super::fetch::{cause, granted};
use super::tokens::Token;
use super::*;

const RSA_KEY: &str = include_str!("rsa.pem");
const TERMS: Terms = Terms { max_ttl: None, expire_early: Duration::from_secs(60), verify: true };

fn text(members: Value) -> String {
    let mut whole = json!({"type": "service_account", "client_email": "a6@p.test", "private_key": RSA_KEY});
    whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    whole.to_string()
}

fn read(members: Value) -> Result<GoogleAccount, String> {
    service_account(&text(members), &TERMS)
}

#[test]
fn an_account_is_read_with_its_defaults() {
    let account = read(json!({})).unwrap();
    assert_eq!(&*account.token_uri, "https://oauth2.googleapis.com/token");
    assert_eq!(
        (account.target.to_string().as_str(), &*account.path),
        ("oauth2.googleapis.com:443", "/token")
    );
    assert_eq!(&*account.scope, "https://www.googleapis.com/auth/cloud-platform");
    let other = json!({"token_uri": "http://127.0.0.1:8080/t?a=1", "scope": ["a", "b"]});
    let account = read(other).unwrap();
    assert_eq!((&*account.authority, &*account.path), ("127.0.0.1:8080", "/t?a=1"));
    assert_eq!(&*account.scope, "a b");
    assert!(!format!("{account:?}").contains("PRIVATE KEY"));
}

#[test]
fn a_bad_account_says_what_is_bad_and_nothing_of_it() {
    let elliptic = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
    let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let cases = [
        ("c2VjcmV0".to_string(), "expected value at line 1 column 1"),
        ("\"c2VjcmV0\"".to_string(), "it is no JSON object"),
        (json!({"private_key": "c2VjcmV0"}).to_string(), "client_email is missing"),
        (json!({"client_email": "a"}).to_string(), "private_key is missing"),
        (text(json!({"client_email": ""})), "client_email is not a text"),
        (text(json!({"private_key": ["c2VjcmV0"]})), "private_key is not a text"),
        (text(json!({"private_key": "c2VjcmV0"})), "private_key: it is no private key in PEM"),
        (text(json!({"private_key": elliptic})), "private_key: it is no RSA key"),
        (text(json!({"private_key": broken})), "private_key: it is no RSA key of 2048 to 4096 bits"),
        (text(json!({"token_uri": "c2VjcmV0"})), "token_uri: the scheme is missing"),
        (text(json!({"scope": [1]})), "scope is neither a text nor a list of texts"),
        (text(json!({"scope": 1})), "scope is not a text"),
    ];
    for (text, expected) in cases {
        let error = service_account(&text, &TERMS).unwrap_err();
        assert!(error.starts_with(expected) && !error.contains("c2Vj"), "{error}");
    }
}

#[test]
fn an_assertion_verifies_with_the_public_key() {
    for pem in [RSA_KEY.to_string(), RSA_KEY.replace('\n', "\\n")] {
        let account = read(json!({"private_key": pem})).unwrap();
        let assertion = assertion(&account, 1_000).unwrap();
        let (signed, signature) = assertion.expose().rsplit_once('.').unwrap();
        let key = key(&account.private_key).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
        let expected = json!({
            "iss": "a6@p.test",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "aud": "https://oauth2.googleapis.com/token",
            "iat": 1_000,
            "exp": 4_600,
        });
        assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap(), expected);
    }
}

#[test]
fn accounts_are_told_apart() {
    let fingerprint =
        |members: Value, terms: &Terms| service_account(&text(members), terms).unwrap().fingerprint;
    let one = fingerprint(json!({}), &TERMS);
    assert_eq!(one, fingerprint(json!({"project_id": "p"}), &TERMS));
    let others = [
        fingerprint(json!({"client_email": "b@p.test"}), &TERMS),
        fingerprint(json!({"scope": "b"}), &TERMS),
        fingerprint(json!({"token_uri": "https://b.test/"}), &TERMS),
        fingerprint(json!({}), &Terms { max_ttl: Some(Duration::from_secs(9)), ..TERMS }),
        fingerprint(json!({}), &Terms { verify: false, ..TERMS }),
    ];
    assert!(others.iter().all(|other| *other != one));
}

fn answer(value: &Value) -> Secret<Vec<u8>> {
    Secret::new(value.to_string().into_bytes())
}

#[test]
fn a_token_is_kept_as_long_as_it_is_allowed() {
    // Seconds: lifetime, max_ttl, expire_early; then when it is replaced and when it is over.
    let cases = [
        (Some(3600), None, 60, 3240, 3600),
        (Some(3600), None, 600, 3000, 3600),
        (None, None, 0, 3240, 3600),
        (Some(3600), Some(100), 60, 90, 100),
        (Some(50), None, 60, 45, 50),
        (Some(60), None, 60, 54, 60),
    ];
    for (lifetime, max_ttl, early, refresh_at, until) in cases {
        let terms = Terms {
            max_ttl: max_ttl.map(Duration::from_secs),
            expire_early: Duration::from_secs(early),
            verify: true,
        };
        let account = service_account(&text(json!({})), &terms).unwrap();
        let grant = granted(&answer(&json!({"access_token": "t", "expires_in": lifetime}))).unwrap();
        let token = grant.token(&account, 7_000);
        assert_eq!((token.refresh_at, token.until), (7_000 + refresh_at * 1000, 7_000 + until * 1000));
    }
}

#[test]
fn only_usable_tokens_and_words_are_taken_from_an_answer() {
    for unusable in [json!({}), json!({"access_token": ""}), json!({"access_token": "a\nb"}), json!([])] {
        assert!(granted(&answer(&unusable)).is_none(), "{unusable}");
    }
    assert!(granted(&Secret::new(b"<html>".to_vec())).is_none());
    let cases = [
        (json!({"error": "invalid_grant", "error_description": "x"}), ": invalid_grant"),
        (json!({"error": "eyJ.a.b"}), ""),
        (json!({"error": {"status": "x"}}), ""),
        (json!(null), ""),
    ];
    for (body, expected) in cases {
        assert_eq!(cause(&answer(&body)), expected, "{body}");
    }
}

const LIMIT: Duration = Duration::from_secs(30);

fn token(value: &str, refresh_at: u64, until: u64) -> Token {
    Token { value: Secret::new(value.into()), refresh_at, until }
}

/// Whether a token is given at once, and which.
async fn at_once(tokens: &Tokens, account: &Arc<GoogleAccount>) -> Result<String, Fault> {
    let given = tokens.bearer(account, Duration::ZERO).await;
    given.map(|value| value.expose().to_string())
}

#[tokio::test]
async fn however_many_wait_one_token_is_fetched() {
    let (tokens, mut fetcher) = Tokens::with_fetcher(Clock::manual(1_000));
    let account = Arc::new(read(json!({})).unwrap());
    let serve = async {
        let ask = fetcher.asked.recv().await.unwrap();
        ask.slot.settle(Ok(token("one", 2_000, 3_000)), 1_000);
        ask.slot.release();
    };
    let (one, other, ()) =
        tokio::join!(tokens.bearer(&account, LIMIT), tokens.bearer(&account, LIMIT), serve);
    assert_eq!((&**one.unwrap().expose(), &**other.unwrap().expose()), ("one", "one"));
    assert!(fetcher.asked.try_recv().is_err(), "nobody asked again");
}

#[tokio::test]
async fn a_token_that_is_due_is_used_while_the_next_one_comes() {
    let clock = Clock::manual(1_000);
    let (tokens, mut fetcher) = Tokens::with_fetcher(clock.clone());
    let account = Arc::new(read(json!({})).unwrap());
    let fault = at_once(&tokens, &account).await.unwrap_err();
    assert_eq!((fault.kind, fault.status.as_u16()), (FaultKind::UpstreamTimeout, 504));
    let expected = "failed to get gcp access token: oauth2.googleapis.com:443 took longer than 0 ms";
    assert_eq!((&*fault.text, fault.wording, fault.retry), (expected, Wording::ErrorMsg, Retry::OtherTarget));
    let ask = fetcher.asked.try_recv().unwrap();
    ask.slot.settle(Ok(token("old", 2_000, 9_000)), 1_000);
    ask.slot.release();
    assert_eq!(at_once(&tokens, &account).await.unwrap(), "old");
    assert!(fetcher.asked.try_recv().is_err());

    clock.advance(Duration::from_millis(1_500));
    assert_eq!(at_once(&tokens, &account).await.unwrap(), "old");
    let ask = fetcher.asked.try_recv().expect("it is due");
    assert_eq!(at_once(&tokens, &account).await.unwrap(), "old");
    assert!(fetcher.asked.try_recv().is_err(), "one at a time");
    ask.slot.settle(Err(Fault::upstream(FaultKind::UpstreamConnect, "refused")), 2_500);
    ask.slot.release();
    assert_eq!(at_once(&tokens, &account).await.unwrap(), "old", "a failure does not take it away");
    assert!(fetcher.asked.try_recv().is_err(), "there is a pause after a failure");

    clock.advance(Duration::from_secs(7));
    let fault = at_once(&tokens, &account).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::UpstreamTimeout, "it is over, and a new one is awaited");
    assert!(fetcher.asked.try_recv().is_ok());
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_for_a_while() {
    let (tokens, mut fetcher) = Tokens::with_fetcher(Clock::manual(1_000));
    let account = Arc::new(read(json!({})).unwrap());
    let serve = async {
        let ask = fetcher.asked.recv().await.unwrap();
        ask.slot.settle(Err(Fault::upstream(FaultKind::UpstreamConnect, "refused")), 1_000);
        ask.slot.release();
    };
    let (one, other, ()) =
        tokio::join!(tokens.bearer(&account, LIMIT), tokens.bearer(&account, LIMIT), serve);
    assert_eq!((&*one.unwrap_err().text, &*other.unwrap_err().text), ("refused", "refused"));
    assert_eq!(at_once(&tokens, &account).await.unwrap_err().text, "refused");
    assert!(fetcher.asked.try_recv().is_err(), "nobody asked again");
}
