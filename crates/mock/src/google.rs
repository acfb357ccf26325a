//! Google's token endpoint, and requests that have to carry one of its tokens.

use std::io;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::ledger::locked;
use crate::reply::Reply;
use crate::request::Request;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// An assertion may be good for so many seconds.
const LONGEST: u64 = 3600;
/// Clocks may differ by so many seconds.
const TOLERANCE: u64 = 60;

/// Gives tokens to one service account.
pub(crate) struct TokenEndpoint {
    client_email: String,
    public_key: Vec<u8>,
    /// How long a token is said to be good, in seconds.
    lifetime: u64,
    given: Mutex<Vec<String>>,
}

impl TokenEndpoint {
    /// For the service account in this JSON text, as Google gives it out. A member `mock_token_lifetime` says how many seconds a
    /// token is good for; else it is an hour.
    pub(crate) fn of(account: &str) -> io::Result<Self> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("service account: {what}"));
        let account: Value = serde_json::from_str(account).map_err(|_| bad("it is no JSON"))?;
        let text =
            |member: &str| account[member].as_str().ok_or_else(|| bad(&format!("{member} is missing")));
        let der = PrivatePkcs8KeyDer::from_pem_slice(text("private_key")?.as_bytes())
            .map_err(|_| bad("private_key is no PKCS #8 key in PEM"))?;
        let key =
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| bad("private_key is no RSA key"))?;
        Ok(Self {
            client_email: text("client_email")?.to_owned(),
            public_key: key.public_key().as_ref().to_vec(),
            lifetime: account["mock_token_lifetime"].as_u64().unwrap_or(LONGEST),
            given: Mutex::default(),
        })
    }

    /// `POST …/token`; `now` in Unix seconds, `number` makes the token.
    pub(crate) fn token(&self, request: &Request, now: u64, number: u64) -> Reply {
        if let Err(why) = self.check(request, now) {
            return Reply::json(400, &json!({"error": "invalid_grant", "error_description": why}));
        }
        let token = format!("ya29.mock-{number}");
        locked(&self.given).push(token.clone());
        let answer = json!({"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"});
        Reply::json(200, &answer)
    }

    /// What Google says to a request that carries none of the tokens.
    pub(crate) fn refusal(&self, request: &Request) -> Option<Reply> {
        let given = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if given.is_some_and(|given| locked(&self.given).iter().any(|token| token == given)) {
            return None;
        }
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                       other valid authentication credential.";
        Some(Reply::json(
            401,
            &json!({"error": {"code": 401, "message": message, "status": "UNAUTHENTICATED"}}),
        ))
    }

    fn check(&self, request: &Request, now: u64) -> Result<(), &'static str> {
        let form: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
        let member =
            |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if member("grant_type") != Some(GRANT) {
            return Err("Invalid grant_type");
        }
        let assertion = member("assertion").ok_or("Missing required parameter: assertion")?;
        let (signed, signature) = assertion.rsplit_once('.').ok_or("Invalid JWT")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "Invalid JWT")?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| "Invalid JWT Signature.")?;
        let (header, claims) = signed.split_once('.').ok_or("Invalid JWT")?;
        let part = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let header = part(header).ok_or("Invalid JWT header")?;
        let claims = part(claims).ok_or("Invalid JWT claims")?;
        let host = request.header("host").unwrap_or_default();
        let is_for_us = ["http", "https"].map(|scheme| format!("{scheme}://{host}{}", request.target));
        let (issued, expires) = claims["iat"]
            .as_u64()
            .zip(claims["exp"].as_u64())
            .ok_or("Invalid JWT: iat and exp are required")?;
        let is_now = issued <= now + TOLERANCE && expires + TOLERANCE > now;
        match () {
            () if header["alg"] != "RS256" => Err("Invalid JWT header: alg"),
            () if claims["iss"] != self.client_email.as_str() => Err("Invalid JWT: iss"),
            () if !is_for_us.iter().any(|us| claims["aud"] == us.as_str()) => Err("Invalid JWT: aud"),
            () if claims["scope"].as_str().is_none_or(str::is_empty) => Err("Invalid JWT: scope"),
            () if !is_now || expires > issued + LONGEST => Err(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
            ),
            () => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::RSA_PKCS1_SHA256;

    const RSA_KEY: &str = include_str!("../../upstream/src/google/rsa.pem");
    const NOW: u64 = 1_700_000_000;

    fn endpoint() -> TokenEndpoint {
        let account = json!({"client_email": "a6@p.test", "private_key": RSA_KEY, "mock_token_lifetime": 90});
        TokenEndpoint::of(&account.to_string()).unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "a6@p.test", "aud": "http://mock/token", "scope": "s", "iat": NOW, "exp": NOW + 3600})
    }

    fn asked(header: &Value, claims: &Value, change: impl Fn(String) -> String) -> Request {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let der = PrivatePkcs8KeyDer::from_pem_slice(RSA_KEY.as_bytes()).unwrap();
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        let assertion = change(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)));
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion)
            .finish();
        Request {
            method: "POST".to_owned(),
            target: "/token".to_owned(),
            version: 1,
            headers: vec![("host".to_owned(), "mock".to_owned())],
            body: form.into_bytes(),
        }
    }

    fn bearer(token: &str) -> Request {
        let headers = vec![("authorization".to_owned(), format!("Bearer {token}"))];
        Request { headers, ..Request::default() }
    }

    #[test]
    fn a_good_assertion_gets_a_token_that_is_taken() {
        let endpoint = endpoint();
        let reply = endpoint.token(&asked(&json!({"alg": "RS256"}), &claims(), |whole| whole), NOW, 7);
        let crate::reply::Body::Whole(body) = &reply.body else { panic!("a stream") };
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!((reply.status, &body["expires_in"]), (200, &json!(90)));
        assert!(endpoint.refusal(&bearer(body["access_token"].as_str().unwrap())).is_none());
        for refused in [bearer("ya29.mock-8"), Request::default()] {
            assert_eq!(endpoint.refusal(&refused).unwrap().status, 401);
        }
    }

    #[test]
    fn an_assertion_that_is_bad_in_any_way_gets_none() {
        let with = |member: &str, value: Value| {
            let mut claims = claims();
            claims[member] = value;
            claims
        };
        let rs256 = json!({"alg": "RS256"});
        let whole = |whole: String| whole;
        let cases = [
            ("signature", asked(&rs256, &claims(), |assertion| assertion.replacen('e', "f", 1))),
            ("no assertion", asked(&rs256, &claims(), |_| String::new())),
            ("alg", asked(&json!({"alg": "HS256"}), &claims(), whole)),
            ("iss", asked(&rs256, &with("iss", json!("b@p.test")), whole)),
            ("aud", asked(&rs256, &with("aud", json!("http://other/token")), whole)),
            ("scope", asked(&rs256, &with("scope", json!("")), whole)),
            ("expired", asked(&rs256, &with("exp", json!(NOW - 60)), whole)),
            ("not yet", asked(&rs256, &with("iat", json!(NOW + 61)), whole)),
            ("too long", asked(&rs256, &with("exp", json!(NOW + 3601)), whole)),
        ];
        for (name, request) in cases {
            assert_eq!(endpoint().token(&request, NOW, 1).status, 400, "{name}");
        }
    }
}
