use a6_core::Secret;
use serde::{Deserialize, Deserializer};

use super::id;

/// A certificate and its key.
#[derive(Clone, Debug, Deserialize)]
pub struct Ssl {
    /// The id.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// Which side of a connection shows it.
    #[serde(default, rename = "type")]
    pub usage: SslUsage,
    /// The certificate and its chain in PEM, or a secret reference.
    pub cert: String,
    /// The key in PEM, or a secret reference.
    #[serde(deserialize_with = "secret")]
    pub key: Secret<String>,
}

/// Which side of a connection shows a certificate.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SslUsage {
    /// The gateway to its clients.
    #[default]
    Server,
    /// The gateway to an upstream that names it by `tls.client_cert_id`.
    Client,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_a_servers_unless_it_says_so_and_its_key_stays_secret() {
        let read = |document| serde_json::from_value::<Ssl>(document).unwrap();
        let ssl = read(json!({"id": 1, "cert": "C", "key": "hidden", "sni": "a.b"}));
        assert_eq!((ssl.id.as_str(), ssl.usage, ssl.cert.as_str()), ("1", SslUsage::Server, "C"));
        assert!(!format!("{ssl:?}").contains("hidden"));
        let ssl = read(json!({"id": "1", "type": "client", "cert": "C", "key": "hidden"}));
        assert_eq!((ssl.usage, ssl.key.expose().as_str()), (SslUsage::Client, "hidden"));
    }
}
