use std::fmt::Display;
use std::fs;

use a6_core::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::manager::Conf;

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const ENTRIES_URI: &str = "https://secretmanager.googleapis.com/v1";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// An assertion is good for this time, in seconds: the longest that Google takes.
const LIFETIME: u64 = 3600;

/// Who asks Google: a service account, from a manager's `auth_config` or the file that it names.
pub(crate) struct ServiceAccount {
    client_email: String,
    private_key: Secret<String>,
    /// Whose secrets.
    pub(crate) project_id: String,
    /// Where assertions become tokens.
    pub(crate) token_uri: String,
    /// Where secrets are.
    pub(crate) entries_uri: String,
    scope: String,
}

impl ServiceAccount {
    /// Reads it.
    ///
    /// # Errors
    /// It is not there, or something is missing in it.
    pub(crate) fn read(conf: &Conf) -> Result<Self, String> {
        if let Some(inner) = conf.inner("auth_config") {
            return Self::of(&inner).map_err(|error| format!("auth_config: {error}"));
        }
        let path = conf.text("auth_file").ok_or("it has neither auth_config nor auth_file")?;
        let failed = |why: &dyn Display| format!("auth_file {path}: {why}");
        // A small file on this machine, every five minutes.
        let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
        let document: Value = serde_json::from_str(&text).map_err(|_| failed(&"it is no JSON"))?;
        Self::of(&Conf::plain(document)).map_err(|error| failed(&error))
    }

    fn of(conf: &Conf) -> Result<Self, String> {
        let scopes = conf.texts("scope");
        Ok(Self {
            client_email: conf.required("client_email")?.to_string(),
            private_key: conf.secret("private_key")?,
            project_id: conf.required("project_id")?.to_string(),
            token_uri: conf.text("token_uri").unwrap_or(TOKEN_URI).to_string(),
            entries_uri: conf.text("entries_uri").unwrap_or(ENTRIES_URI).to_string(),
            scope: if scopes.is_empty() { SCOPE.to_string() } else { scopes.join(" ") },
        })
    }

    /// What tells service accounts apart whose tokens are not each other's.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        let Self { client_email, private_key, token_uri, scope, .. } = self;
        let whole = json!([client_email, private_key.expose(), token_uri, scope]).to_string();
        digest(&SHA256, whole.as_bytes()).as_ref().to_vec()
    }

    /// A signed assertion, which Google takes for a token (RFC 7523, with RS256).
    ///
    /// # Errors
    /// The private key is none of RSA.
    pub(crate) fn assertion(&self, now: u64) -> Result<Secret<String>, String> {
        let claims = json!({
            "iss": self.client_email,
            "scope": self.scope,
            "aud": self.token_uri,
            "iat": now,
            "exp": now.saturating_add(LIFETIME),
        });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
        let key = self.key()?;
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "private_key: it could not sign".to_string())?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    /// What is wrong with a key is told without it.
    fn key(&self) -> Result<RsaKeyPair, String> {
        // A key that went through an environment variable often has the two characters instead of line ends.
        let pem = self.private_key.expose().replace("\\n", "\n");
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "private_key: it is no PEM private key".to_string())?;
        let key = match &der {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err("private_key: it is no RSA key".to_string()),
        };
        key.map_err(|error| format!("private_key: it is no RSA key of 2048 to 4096 bits ({error})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::RSA_KEY;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    fn account(private_key: &str) -> ServiceAccount {
        let inner = json!({"client_email": "a6@p.test", "private_key": private_key, "project_id": "p"});
        ServiceAccount::read(&Conf::plain(json!({ "auth_config": inner }))).unwrap()
    }

    #[test]
    fn an_assertion_verifies_with_the_public_key() {
        for pem in [RSA_KEY.to_string(), RSA_KEY.replace('\n', "\\n")] {
            let account = account(&pem);
            let assertion = account.assertion(1_000).unwrap();
            let (signed, signature) = assertion.expose().rsplit_once('.').unwrap();
            let key = account.key().unwrap();
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public());
            public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
            let expected = json!({
                "iss": "a6@p.test", "scope": SCOPE, "aud": TOKEN_URI, "iat": 1_000, "exp": 4_600,
            });
            assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap(), expected);
        }
    }

    #[test]
    fn a_bad_account_says_what_is_bad_and_no_key() {
        let elliptic = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
        let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let keys = [
            ("c2VjcmV0", "private_key: it is no PEM"),
            (elliptic, "private_key: it is no RSA key"),
            (broken, "private_key: it is no RSA key of 2048"),
        ];
        for (key, expected) in keys {
            let error = account(key).assertion(0).unwrap_err();
            assert!(error.contains(expected) && !error.contains("c2Vj"), "{error}");
        }
        let confs = [
            (json!({}), "neither auth_config nor auth_file"),
            (json!({"auth_config": {"client_email": "a"}}), "auth_config: private_key is missing"),
            (json!({"auth_file": "/nowhere/account.json"}), "auth_file /nowhere/account.json: No such file"),
        ];
        for (conf, expected) in confs {
            let error = ServiceAccount::read(&Conf::plain(conf)).err().unwrap_or_default();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn accounts_are_told_apart() {
        let one = account("a").fingerprint();
        let other = ServiceAccount { scope: "b".to_string(), ..account("a") }.fingerprint();
        assert_eq!(one, account("a").fingerprint());
        assert!(one != other && one != account("b").fingerprint());
    }
}
