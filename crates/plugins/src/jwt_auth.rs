//! `jwt-auth`: knows a caller by a signed token (RFC 7519).
//!
//! - `jwt_auth/token.rs`: a token taken apart, and what it claims.
//! - `jwt_auth/key.rs`: the algorithms and keys that tokens are signed with.

mod key;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use a6_core::{Clock, Secret};
use a6_resources::{PluginSpec, Schema, is_reference};
use a6_snapshot::{Directory, Exchange, Identity, KnownBy, Phases, Plugin, Request, Site, Stop};
use http::HeaderName;
use serde_json::{Value, json};

use self::key::Key;
use self::token::{Claim, Token};
use crate::support::auth::{self, Gate};
use crate::support::limit::{flag, items, text};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "jwt-auth";

const DEFAULT_ALGORITHM: &str = "HS256";

const UNVERIFIED: &str = "failed to verify jwt";

/// A compiled configuration.
#[derive(Debug)]
pub struct JwtAuth {
    gate: Gate,
    header: Option<HeaderName>,
    query: Box<str>,
    cookie: Box<str>,
    key_claim: Box<str>,
    claims: Vec<Claim>,
    keeps_payload: bool,
}

/// What a consumer's tokens must be like.
struct Signer {
    algorithm: Box<str>,
    key: Key,
    /// How far the consumer's clock may be off, in seconds.
    grace: f64,
}

impl JwtAuth {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let named = |member, default| text(conf, member).unwrap_or(default).into();
        let claims = items(conf, "claims_to_verify").iter().filter_map(Value::as_str).map(Claim::named);
        Ok(Self {
            gate: Gate::compile(conf, "Bearer", "jwt")?,
            header: auth::header_name(conf, "header", "authorization"),
            query: named("query", "jwt"),
            cookie: named("cookie", "jwt"),
            key_claim: named("key_claim_name", "key"),
            claims: claims.collect::<Result<_, _>>()?,
            keeps_payload: flag(conf, "store_in_ctx", false),
        })
    }

    /// The token. If it is to be hidden, it is so from the moment it is found, whatever it says.
    fn token(&self, exchange: &mut Exchange) -> Option<Vec<u8>> {
        let hides = self.gate.hides();
        if let Some(value) = auth::header(exchange, self.header.as_ref()) {
            if hides {
                auth::hide_header(&mut exchange.request, self.header.as_ref());
            }
            let value = value.as_bytes();
            let bearer = value.strip_prefix(b"Bearer ").or_else(|| value.strip_prefix(b"bearer "));
            return Some(bearer.unwrap_or(value).to_vec());
        }
        if let Some(token) = auth::parameter(&mut exchange.request, &self.query) {
            if hides {
                auth::hide_parameter(&mut exchange.request, &self.query);
            }
            return Some(token);
        }
        let token = auth::cookie(exchange, &self.cookie)?;
        if hides {
            auth::hide_cookie(&mut exchange.request, &self.cookie);
        }
        Some(token)
    }

    /// Who has signed a token, and what it says. `now` is in seconds since the Unix epoch.
    fn caller(
        &self,
        token: &[u8],
        directory: &Directory,
        now: f64,
    ) -> Result<(Arc<Identity>, Value), &'static str> {
        let token = Token::parse(token).ok_or("JWT token invalid")?;
        let key = match token.payload.get(&*self.key_claim) {
            None | Some(Value::Null) => return Err("missing user key in JWT token"),
            Some(key) => key.as_str(),
        };
        let known = key
            .and_then(|key| directory.find(NAME, key.as_bytes()))
            .ok_or("Invalid user key in JWT token")?;
        let signer = known.secret.downcast_ref::<Signer>().ok_or(UNVERIFIED)?;
        let is_signed = |signature: &[u8]| signer.key.has_signed(token.signed, signature);
        let is_valid = token.algorithm.as_deref() == Some(&*signer.algorithm)
            && token.signature.as_deref().is_some_and(is_signed)
            && token::claims_hold(&token.payload, &self.claims, signer.grace, now);
        if is_valid { Ok((known.identity.clone(), token.payload)) } else { Err(UNVERIFIED) }
    }
}

impl Plugin for JwtAuth {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, authenticates: true, ..Phases::default() }
    }

    fn mark_credentials(&self, request: &mut Request) {
        auth::mark(request, self.header.as_ref(), &self.query);
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let directory = auth::directory(exchange)?;
        let now = (Clock::system().unix_ms() / 1000) as f64;
        let caller = match self.token(exchange) {
            Some(token) => self.caller(&token, &directory, now),
            None => Err("Missing JWT token in request"),
        };
        let caller = caller.map(|(identity, payload)| {
            if self.keeps_payload {
                exchange.keep(self, payload);
            }
            identity
        });
        self.gate.enter(exchange, &directory, caller)
    }
}

/// What a caller is known by: the key that its tokens name, and then their signature. Nobody is known by an empty key, or
/// if the signature's key cannot be used.
pub(crate) fn credential(conf: &Value) -> Option<KnownBy> {
    let key = text(conf, "key").filter(|key| !key.is_empty())?;
    let algorithm = text(conf, "algorithm").unwrap_or(DEFAULT_ALGORITHM);
    let signer = Signer {
        algorithm: algorithm.into(),
        key: Key::of(algorithm, conf)?,
        grace: conf.get("lifetime_grace_period").and_then(Value::as_f64).unwrap_or_default(),
    };
    Some(KnownBy { key: Secret::new(key.to_string()), secret: Arc::new(signer) })
}

/// Checks what the schema cannot say.
pub(crate) fn check_consumer(conf: &Value) -> Result<(), String> {
    let algorithm = text(conf, "algorithm").unwrap_or(DEFAULT_ALGORITHM);
    let Some(secret) = text(conf, "secret") else {
        if algorithm.starts_with("HS") {
            return Err("property \"secret\" is required when using HS based algorithms".to_string());
        }
        return Ok(());
    };
    // What a reference stands for is not known here.
    let is_encoded = flag(conf, "base64_secret", false) && !is_reference(secret);
    if is_encoded && auth::decode_base64(secret.as_bytes()).is_none() {
        return Err("base64_secret required but the secret is not in base64 format".to_string());
    }
    Ok(())
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        kind: Some("auth"),
        consumer_schema: Some(Schema::of(consumer_schema)),
        consumer_key: Some("key"),
        encrypt_fields: &["secret"],
        ..PluginSpec::new(NAME, priority, "0.1", schema)
    }
}

fn schema() -> Value {
    let own = [
        ("header", json!({"type": "string", "default": "authorization"})),
        ("query", json!({"type": "string", "default": "jwt"})),
        ("cookie", json!({"type": "string", "default": "jwt"})),
        ("key_claim_name", json!({"type": "string", "minLength": 1, "default": "key"})),
        ("store_in_ctx", json!({"type": "boolean", "default": false})),
        (
            "claims_to_verify",
            json!({
                "type": "array",
                "items": {"type": "string", "enum": ["exp", "nbf"]},
                "uniqueItems": true,
            }),
        ),
    ];
    auth::schema("jwt", &own)
}

fn consumer_schema() -> Value {
    let shared_secret = ["HS256", "HS384", "HS512"];
    let key_pair = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"];
    let all: Vec<&str> = shared_secret.iter().chain(&key_pair).copied().collect();
    let text = json!({"type": "string", "minLength": 1});
    let by_algorithm = json!([
        {"properties": {"algorithm": {"enum": shared_secret, "default": DEFAULT_ALGORITHM}}},
        {"properties": {"algorithm": {"enum": key_pair}, "public_key": text}, "required": ["public_key"]},
    ]);
    json!({
        "type": "object",
        "properties": {
            "key": text,
            "secret": text,
            "algorithm": {"type": "string", "enum": all, "default": DEFAULT_ALGORITHM},
            "base64_secret": {"type": "boolean", "default": false},
            "exp": {"type": "integer", "minimum": 1, "default": 86_400},
            "lifetime_grace_period": {"type": "integer", "minimum": 0, "default": 0},
        },
        "required": ["key"],
        "dependencies": {"algorithm": {"oneOf": by_algorithm}},
    })
}
