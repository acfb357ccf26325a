//! Thousands of credentials that are nearly right.

use serde_json::json;

use crate::encode::{base64, digits, percent};
use crate::engine::Stage;
use crate::random::Random;
use crate::support::{Answer, Connection};
use crate::tokens;

const ROUNDS: usize = 2_500;

/// Requests on one connection after the other.
struct Client<'s> {
    stage: &'s Stage,
    connection: Connection,
    asked: usize,
}

impl<'s> Client<'s> {
    fn new(stage: &'s Stage) -> Self {
        Self { stage, connection: Connection::open(stage.gateway.data), asked: 0 }
    }

    /// A GET with these headers, whose values may be any bytes that a header may have.
    fn get(&mut self, target: &str, headers: &[(&str, &[u8])]) -> Answer {
        self.asked += 1;
        if self.asked.is_multiple_of(100) {
            self.connection = Connection::open(self.stage.gateway.data);
        }
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: a6.test\r\n").into_bytes();
        for (name, value) in headers {
            request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        self.connection.answer(&request)
    }

    /// Insists that a request is refused with one of these reasons.
    fn is_refused(&mut self, target: &str, headers: &[(&str, &[u8])], reasons: &[&str]) {
        let answer = self.get(target, headers);
        let shown: Vec<_> =
            headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        let texts: Vec<String> =
            reasons.iter().map(|reason| format!("{}\n", json!({"message": reason}))).collect();
        let is_refused = answer.status == 401 && texts.contains(&answer.text());
        assert!(is_refused, "{target} {shown:?}: {} {}", answer.status, answer.text());
        assert!(answer.header("www-authenticate").is_some(), "{target} {shown:?}: no challenge");
    }
}

/// What a header's value may be made of, but for its ends.
fn any_bytes() -> Vec<u8> {
    (b' '..=b'~').chain(0x80..=0xff).chain([b'\t']).collect()
}

/// A value as it arrives: blanks at its ends belong to no header.
fn trimmed(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

#[test]
fn no_key_passes_that_is_nearly_right() {
    let stage = Stage::new();
    let long = "long-".repeat(60);
    let keys = ["k-jack-0123456789", "K", "ключ-é", "a b", "%41&=+?#;\"'\\", long.as_str()];
    for (number, key) in keys.iter().enumerate() {
        stage.put(
            "consumers",
            json!({"username": format!("u{number}"), "plugins": {"key-auth": {"key": key}}}),
        );
    }
    stage.route("t", json!({"key-auth": {}}));
    let mut client = Client::new(&stage);
    for key in keys {
        let query = format!("/t?apikey={}", percent(key.as_bytes()));
        assert_eq!(client.get("/t", &[("apikey", key.as_bytes())]).status, 200, "{key}");
        assert_eq!(client.get(&query, &[]).status, 200, "{key}");
    }
    stage.echo.clear();

    let (missing, invalid) = ("Missing API key in request", "Invalid API key in request");
    let (mut random, bytes) = (Random::new(1), any_bytes());
    for _ in 0..ROUNDS {
        let right = *random.pick(&keys);
        let wrong = match random.below(10) {
            0 => random.text(40, &bytes),
            1 => [right.as_bytes(), random.pick(&keys).as_bytes()].concat(),
            _ => random.changed(right.as_bytes(), &bytes),
        };
        if keys.iter().any(|key| key.as_bytes() == wrong || key.as_bytes() == trimmed(&wrong)) {
            continue;
        }
        let (in_query, right_query) = (percent(&wrong), percent(right.as_bytes()));
        let place = *random.pick(&["x-apikey", "x-api-key", "key", "cookie", "authorization", "apikeys"]);
        match random.below(5) {
            0 => client.is_refused(&format!("/t?apikey={in_query}"), &[], &[invalid]),
            1 => client.is_refused(
                &format!("/t?apikey={right_query}"),
                &[("apikey", wrong.as_slice())],
                &[invalid],
            ),
            2 => client.is_refused(&format!("/t?apikey={in_query}&apikey={right_query}"), &[], &[invalid]),
            3 => {
                client.is_refused(&format!("/t?key={right_query}"), &[(place, right.as_bytes())], &[missing])
            }
            _ => client.is_refused("/t", &[("ApiKey", wrong.as_slice())], &[invalid]),
        }
    }
    assert_eq!(stage.echo.requests(), Vec::new());
}

#[test]
fn no_name_and_password_pass_that_are_nearly_right() {
    let stage = Stage::new();
    let people = [("jack", "pass-word-1"), ("rose", "with:two:colons"), ("ünï", "pässwörd"), ("J", "p")];
    for (number, (name, password)) in people.iter().enumerate() {
        let conf = json!({"username": name, "password": password});
        stage.put("consumers", json!({"username": format!("u{number}"), "plugins": {"basic-auth": conf}}));
    }
    stage.route("t", json!({"basic-auth": {}}));
    let mut client = Client::new(&stage);
    let pair = |name: &[u8], password: &[u8]| [name, b":", password].concat();
    for (name, password) in people {
        let header = format!("Basic {}", base64(&pair(name.as_bytes(), password.as_bytes())));
        assert_eq!(client.get("/t", &[("Authorization", header.as_bytes())]).status, 200, "{name}");
    }
    stage.echo.clear();

    // Blanks do not count, and a password may end at its first colon, as in APISIX.
    let without_blanks = |text: &[u8]| -> Vec<u8> {
        text.iter().copied().filter(|byte| !matches!(byte, b' ' | b'\t'..=b'\r')).collect()
    };
    let is_right = |pair: &[u8]| {
        let mut parts = pair.splitn(2, |byte| *byte == b':').map(without_blanks);
        let (name, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let first = rest.split(|byte| *byte == b':').next().unwrap_or_default();
        let fits = |password: &str| password.as_bytes() == rest || password.as_bytes() == first;
        people.iter().any(|(known, password)| known.as_bytes() == name && fits(password))
    };
    let reasons = ["Invalid authorization in request", "Invalid user authorization"];
    let everything: Vec<u8> = (0..=255).collect();
    let mut random = Random::new(2);
    for _ in 0..ROUNDS {
        let (name, password) = *random.pick(&people);
        let (_, others) = *random.pick(&people);
        let (name, password) = (name.as_bytes(), password.as_bytes());
        let right = base64(&pair(name, password));
        let said = match random.below(6) {
            0 => pair(name, others.as_bytes()),
            1 => pair(name, &random.changed(password, &everything)),
            2 => pair(&random.changed(name, &everything), password),
            3 => pair(password, name),
            4 => random.text(40, &everything),
            _ => random.changed(&pair(name, password), &everything),
        };
        let token = match random.below(3) {
            0 => random.changed(right.as_bytes(), b"ABCDEFghijkl0123456789+/=-_.~! "),
            _ => base64(&said).into_bytes(),
        };
        // What follows the padding does not count.
        let before_padding = token.split(|byte| *byte == b'=').next().unwrap_or_default();
        if is_right(&digits(&token)) || is_right(&digits(before_padding)) {
            continue;
        }
        let header = [b"Basic ".as_slice(), &token].concat();
        client.is_refused("/t", &[("Authorization", header.as_slice())], &reasons);
        let scheme = *random.pick(&["", "Basic", "Bearer ", "Digest ", "Basi c ", "BasicX ", "Bas ic"]);
        client.is_refused("/t", &[("Authorization", format!("{scheme}{right}").as_bytes())], &reasons);
    }
    let missing = ["Missing authorization in request"];
    let in_another_place = format!("Basic {}", base64(b"jack:pass-word-1"));
    client.is_refused("/t", &[("Proxy-Authorization", in_another_place.as_bytes())], &missing);
    client.is_refused("/t?authorization=Basic%20amFjazpwYXNzLXdvcmQtMQ==", &[], &missing);
    assert_eq!(stage.echo.requests(), Vec::new());
}

/// A consumer that tokens can name, and a route `/t` that asks for one.
fn signer() -> Stage {
    let stage = Stage::new();
    let conf = json!({"key": tokens::KEY, "secret": tokens::SECRET});
    stage.put("consumers", json!({"username": "jack", "plugins": {"jwt-auth": conf}}));
    stage.route("t", json!({"jwt-auth": {}}));
    stage
}

/// Where a token may be, by number.
fn in_place(place: usize, token: &str) -> (String, Vec<(&'static str, String)>) {
    match place {
        0 => ("/t".to_string(), vec![("Authorization", token.to_string())]),
        1 => ("/t".to_string(), vec![("Authorization", format!("Bearer {token}"))]),
        2 => ("/t".to_string(), vec![("Authorization", format!("bearer {token}"))]),
        3 => (format!("/t?a=1&jwt={}", percent(token.as_bytes())), vec![]),
        _ => ("/t".to_string(), vec![("Cookie", format!("a=b; jwt={token}; c=d"))]),
    }
}

const PLACES: usize = 5;

#[test]
fn no_token_passes_that_is_wrong() {
    let stage = signer();
    let mut client = Client::new(&stage);
    for place in 0..PLACES {
        let (target, headers) = in_place(place, tokens::TOKEN);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        assert_eq!(client.get(&target, &headers).status, 200, "place {place}");
    }
    stage.echo.clear();
    for (name, token, reason) in tokens::WRONG {
        for place in 0..PLACES {
            let (target, headers) = in_place(place, token);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let answer = client.get(&target, &headers);
            let said = (answer.status, answer.text(), answer.header("www-authenticate"));
            let expected = (401, format!("{}\n", json!({"message": reason})), Some("Bearer realm=\"jwt\""));
            assert_eq!(said, expected, "{name}, place {place}");
        }
    }
    for scheme in ["BEARER ", "Bearer  ", "Bearer\t", "Token ", "Bearer", "Basic ", "JWT "] {
        let header = format!("{scheme}{}", tokens::TOKEN);
        client.is_refused("/t", &[("Authorization", header.as_bytes())], &[tokens::MALFORMED]);
    }
    client.is_refused("/t", &[("X-Jwt", tokens::TOKEN.as_bytes())], &["Missing JWT token in request"]);
    // The header says who it is, and the rest is not looked at.
    let (query, _) = in_place(3, tokens::TOKEN);
    client.is_refused(&query, &[("Authorization", b"Bearer x.y.z")], &[tokens::MALFORMED]);
    assert_eq!(stage.echo.requests(), Vec::new());
}

#[test]
fn no_token_passes_that_was_changed() {
    let stage = signer();
    let mut client = Client::new(&stage);
    let (signed, signature) = tokens::TOKEN.rsplit_once('.').expect("three parts");
    let is_right = |token: &str| match token.rsplit_once('.') {
        Some((text, sign)) => text == signed && digits(sign.as_bytes()) == digits(signature.as_bytes()),
        None => false,
    };
    let reasons = [tokens::MALFORMED, tokens::NO_KEY, tokens::UNKNOWN_KEY, tokens::UNVERIFIED];
    let alphabet = b"ABCDEFGHIJKLMnopqrstuvwxyz0123456789-_.=+/~!";
    let mut random = Random::new(3);
    for _ in 0..ROUNDS {
        let of = match random.below(4) {
            0 => random.pick(&tokens::WRONG).1,
            _ => tokens::TOKEN,
        };
        let token = match random.below(12) {
            0 => random.text(60, alphabet),
            1 => [signed.as_bytes(), b".", random.text(60, alphabet).as_slice()].concat(),
            _ => random.changed(of.as_bytes(), alphabet),
        };
        let token = String::from_utf8(token).expect("an alphabet of ASCII");
        if is_right(&token) {
            continue;
        }
        let (target, headers) = in_place(random.below(PLACES), &token);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        client.is_refused(&target, &headers, &reasons);
    }
    assert_eq!(stage.echo.requests(), Vec::new());
}
