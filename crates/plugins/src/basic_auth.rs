//! `basic-auth`: knows a caller by user name and password (RFC 7617).

use std::sync::Arc;

use a6_core::Secret;
use a6_resources::{PluginSpec, Schema};
use a6_snapshot::{Directory, Exchange, Identity, KnownBy, Phases, Plugin, Site, Stop};
use http::header::AUTHORIZATION;
use ring::digest::{Digest, SHA256, digest};
use serde_json::{Value, json};
use subtle::{Choice, ConstantTimeEq};

use crate::support::auth::{self, Gate};
use crate::support::limit::text;
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "basic-auth";

const SCHEME: &[u8] = b"basic";

/// A compiled configuration.
#[derive(Debug)]
pub struct BasicAuth {
    gate: Gate,
}

/// The SHA-256 of a consumer's password.
struct Password(Digest);

/// What a request says of its caller.
struct Attempt {
    username: Vec<u8>,
    /// APISIX takes what is between the first two colons for the password, the RFC all after the first.
    passwords: [Digest; 2],
}

impl BasicAuth {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        Ok(Self { gate: Gate::compile(conf, "Basic", "basic")? })
    }
}

impl Plugin for BasicAuth {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, authenticates: true, ..Phases::default() }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let directory = auth::directory(exchange)?;
        let caller = match auth::header(exchange, Some(&AUTHORIZATION)) {
            Some(header) => match Attempt::parse(header.as_bytes()) {
                Some(attempt) => attempt.caller(&directory).ok_or("Invalid user authorization"),
                None => Err("Invalid authorization in request"),
            },
            None => Err("Missing authorization in request"),
        };
        if self.gate.hides() {
            auth::hide_header(&mut exchange.request, Some(&AUTHORIZATION));
        }
        self.gate.enter(exchange, &directory, caller)
    }
}

impl Attempt {
    fn parse(header: &[u8]) -> Option<Self> {
        let decoded = auth::decode_base64(token(header)?)?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (username, rest) = (&decoded[..colon], &decoded[colon + 1..]);
        if rest.is_empty() {
            return None;
        }
        let second = rest.split(|byte| *byte == b':').next().unwrap_or_default();
        let passwords = [second, rest].map(|password| digest(&SHA256, &without_blanks(password)));
        Some(Self { username: without_blanks(username), passwords })
    }

    /// The comparison takes the same time whatever the password is.
    fn caller(&self, directory: &Directory) -> Option<Arc<Identity>> {
        let known = directory.find(NAME, &self.username)?;
        let Password(password) = known.secret.downcast_ref::<Password>()?;
        let password: &[u8] = password.as_ref();
        let is_right = self
            .passwords
            .iter()
            .fold(Choice::from(0), |found, tried| found | password.ct_eq(tried.as_ref()));
        bool::from(is_right).then(|| known.identity.clone())
    }
}

/// What follows the scheme and a blank, wherever in the header that is, as in APISIX.
fn token(header: &[u8]) -> Option<&[u8]> {
    let length = SCHEME.len() + 1;
    let is_start = |window: &[u8]| match window.split_last() {
        Some((last, scheme)) => scheme.eq_ignore_ascii_case(SCHEME) && is_blank(*last),
        None => false,
    };
    let start = header.windows(length).position(is_start)?;
    header.get(start + length..).filter(|token| !token.is_empty())
}

/// APISIX does so before it compares.
fn without_blanks(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !is_blank(*byte)).collect()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What a caller is known by: the user name, and then the password. Nobody is known by an empty one.
pub(crate) fn credential(conf: &Value) -> Option<KnownBy> {
    let [username, password] =
        ["username", "password"].map(|member| text(conf, member).filter(|text| !text.is_empty()));
    let (username, password) = (username?, password?);
    Some(KnownBy {
        key: Secret::new(username.to_string()),
        secret: Arc::new(Password(digest(&SHA256, password.as_bytes()))),
    })
}

/// The schema says all.
pub(crate) fn check_consumer(_conf: &Value) -> Result<(), String> {
    Ok(())
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        kind: Some("auth"),
        consumer_schema: Some(Schema::of(consumer_schema)),
        consumer_key: Some("username"),
        encrypt_fields: &["password"],
        ..PluginSpec::new(NAME, priority, "0.1", schema)
    }
}

fn schema() -> Value {
    auth::schema("basic", &[])
}

/// Of two absent members APISIX names the password first.
fn consumer_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"password": {"type": "string"}, "username": {"type": "string"}},
        "required": ["username", "password"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_tests::{Refused, ask, encode, people};
    use crate::support::testing;

    fn compile(conf: Value) -> BasicAuth {
        BasicAuth::compile(&conf, &testing::site(), &testing::shared()).unwrap()
    }

    #[test]
    fn a_caller_is_known_by_name_and_password() {
        let directory = people(&[
            ("foo", json!({"basic-auth": {"username": "login", "password": "bar"}})),
            ("colon", json!({"basic-auth": {"username": "c", "password": "a:b"}})),
        ]);
        let refused = |reason| Err(Refused::because(reason, "Basic realm=\"basic\""));
        let malformed = refused("Invalid authorization in request");
        let unknown = refused("Invalid user authorization");
        let of = |text: &str| Some(format!("Basic {}", encode(text.as_bytes())));
        let cases = [
            (None, refused("Missing authorization in request")),
            (Some(String::new()), malformed.clone()),
            (Some("Bearer x".to_string()), malformed.clone()),
            (Some("Basic".to_string()), malformed.clone()),
            (Some("Basic !!!".to_string()), malformed.clone()),
            (Some("Basic  bG9naW46YmFy".to_string()), malformed.clone()),
            (Some("Basic bG9naW46YmFy".to_string()), Ok("foo".to_string())),
            (Some("basic bG9naW46YmFy".to_string()), Ok("foo".to_string())),
            (Some("x, BASIC\tbG9naW46YmFy".to_string()), Ok("foo".to_string())),
            (of("login"), malformed.clone()),
            (of("login:"), malformed),
            (of("lo gin:b\ta r"), Ok("foo".to_string())),
            (of("login:bar:extra"), Ok("foo".to_string())),
            (of("c:a:b"), Ok("colon".to_string())),
            (of("c:a"), unknown.clone()),
            (of("login:no"), unknown.clone()),
            (of("login::bar"), unknown.clone()),
            (of("foo:bar"), unknown.clone()),
            (of(":bar"), unknown.clone()),
            (of("::"), unknown),
        ];
        for (header, expected) in cases {
            let headers: Vec<_> = header.iter().map(|value| ("Authorization", value.as_str())).collect();
            let mut exchange = testing::exchange("GET", "/t", &headers, "");
            exchange.directory = Some(directory.clone());
            assert_eq!(ask(&compile(json!({})), &mut exchange), expected, "{header:?}");
            assert_eq!(exchange.request.credentials.headers.contains(&AUTHORIZATION), header.is_some());
        }
    }

    #[test]
    fn the_header_is_hidden_from_the_upstream_if_so_configured() {
        let directory = people(&[
            ("foo", json!({"basic-auth": {"username": "foo", "password": "bar"}})),
            ("anon", json!({})),
        ]);
        let headers = |password: &str| format!("Basic {}", encode(format!("foo:{password}").as_bytes()));
        for (hides, password, consumer) in
            [(false, "bar", "foo"), (true, "bar", "foo"), (false, "no", "anon"), (true, "no", "anon")]
        {
            let header = headers(password);
            let mut exchange = testing::exchange("GET", "/t", &[("authorization", &header)], "");
            exchange.directory = Some(directory.clone());
            let plugin = compile(json!({"hide_credentials": hides, "anonymous_consumer": "anon"}));
            assert_eq!(ask(&plugin, &mut exchange), Ok(consumer.to_string()));
            assert_eq!(exchange.request.header("authorization").is_none(), hides);
        }
    }
}
