use a6_core::Secret;
use a6_snapshot::GoogleAccount;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// An assertion is good for this time, in seconds: the longest that Google takes.
const LIFETIME: u64 = 3600;

/// A signed assertion, which Google takes for a token (RFC 7523, with RS256).
///
/// # Errors
/// The private key does not sign.
pub(super) fn assertion(account: &GoogleAccount, now: u64) -> Result<Secret<String>, String> {
    let claims = json!({
        "iss": account.client_email,
        "scope": account.scope,
        "aud": account.token_uri,
        "iat": now,
        "exp": now.saturating_add(LIFETIME),
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
    let key = key(&account.private_key)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "private_key: it could not sign".to_string())?;
    Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// Reads a private key. What is wrong with it is told without it.
///
/// # Errors
/// It is no RSA key that may sign.
pub(super) fn key(pem: &Secret<Box<str>>) -> Result<RsaKeyPair, String> {
    // A key that went through an environment variable often has the two characters instead of line ends.
    let pem = pem.expose().replace("\\n", "\n");
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "private_key: it is no private key in PEM".to_string())?;
    let key = match &der {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err("private_key: it is no RSA key".to_string()),
    };
    key.map_err(|error| format!("private_key: it is no RSA key of 2048 to 4096 bits ({error})"))
}
