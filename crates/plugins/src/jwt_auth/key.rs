use ring::hmac;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{AlgorithmIdentifier, SubjectPublicKeyInfoDer, alg_id};
use serde_json::Value;

use crate::support::auth::decode_base64;
use crate::support::limit::{flag, text};

/// What a consumer's signatures are checked with (RFC 7518, section 3; RFC 8037, section 3.1).
pub(super) struct Key(Kind);

enum Kind {
    Hmac(hmac::Key),
    Ring(UnparsedPublicKey<Vec<u8>>),
    P521(p521::ecdsa::VerifyingKey),
}

/// What an algorithm needs.
enum Algorithm {
    Hmac(hmac::Algorithm),
    /// A public key of that type.
    Ring(AlgorithmIdentifier, &'static dyn VerificationAlgorithm),
    /// The curve that ring does not know.
    P521,
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        use alg_id::{ECDSA_P256, ECDSA_P384, ED25519, RSA_ENCRYPTION};
        Some(match name {
            "HS256" => Self::Hmac(hmac::HMAC_SHA256),
            "HS384" => Self::Hmac(hmac::HMAC_SHA384),
            "HS512" => Self::Hmac(hmac::HMAC_SHA512),
            "RS256" => Self::Ring(RSA_ENCRYPTION, &signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Self::Ring(RSA_ENCRYPTION, &signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Self::Ring(RSA_ENCRYPTION, &signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Self::Ring(RSA_ENCRYPTION, &signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => Self::Ring(RSA_ENCRYPTION, &signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => Self::Ring(RSA_ENCRYPTION, &signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => Self::Ring(ECDSA_P256, &signature::ECDSA_P256_SHA256_FIXED),
            "ES384" => Self::Ring(ECDSA_P384, &signature::ECDSA_P384_SHA384_FIXED),
            "ES512" => Self::P521,
            "EdDSA" => Self::Ring(ED25519, &signature::ED25519),
            _ => return None,
        })
    }
}

impl Key {
    /// The key in a consumer's configuration; none if there is none for that algorithm.
    pub(super) fn of(algorithm: &str, conf: &Value) -> Option<Self> {
        let public_key = |kind: AlgorithmIdentifier| public_key(text(conf, "public_key")?, &kind);
        let kind = match Algorithm::named(algorithm)? {
            Algorithm::Hmac(algorithm) => Kind::Hmac(hmac::Key::new(algorithm, &secret(conf)?)),
            Algorithm::Ring(kind, check) => Kind::Ring(UnparsedPublicKey::new(check, public_key(kind)?)),
            Algorithm::P521 => {
                let point = public_key(alg_id::ECDSA_P521)?;
                Kind::P521(p521::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?)
            }
        };
        Some(Self(kind))
    }

    /// Whether this signature of these bytes was made with this key.
    pub(super) fn has_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        use p521::ecdsa::signature::Verifier;
        match &self.0 {
            Kind::Hmac(key) => hmac::verify(key, signed, signature).is_ok(),
            Kind::Ring(key) => key.verify(signed, signature).is_ok(),
            Kind::P521(key) => match p521::ecdsa::Signature::try_from(signature) {
                Ok(signature) => key.verify(signed, &signature).is_ok(),
                Err(_) => false,
            },
        }
    }
}

/// Anybody could sign with an empty secret: it is none.
fn secret(conf: &Value) -> Option<Vec<u8>> {
    let secret = text(conf, "secret")?.as_bytes();
    let secret = if flag(conf, "base64_secret", false) { decode_base64(secret)? } else { secret.to_vec() };
    (!secret.is_empty()).then_some(secret)
}

/// The key itself in a PEM text of type `PUBLIC KEY` (RFC 7468, section 13), if it is of that type.
fn public_key(pem: &str, kind: &[u8]) -> Option<Vec<u8>> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (info, after) = element(&der, SEQUENCE)?;
    let (found, rest) = element(info, SEQUENCE)?;
    let (bits, rest) = element(rest, BIT_STRING)?;
    if found != kind || !rest.is_empty() || !after.is_empty() {
        return None;
    }
    // First comes how many bits of the last byte do not count.
    bits.strip_prefix(&[0]).map(<[u8]>::to_vec)
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The contents of the DER element at the start, if it has that tag, and what follows it (X.690, section 8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0_usize, |number, digit| (number << 8) | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
