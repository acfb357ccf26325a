use a6_core::Secret;
use serde::{Deserialize, Deserializer};

use super::id;
use crate::is_reference;

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
    /// The one name that it is for.
    #[serde(default)]
    pub sni: Option<String>,
    /// The names that it is for.
    #[serde(default)]
    pub snis: Vec<String>,
    /// More certificates for the same names, such as one of another algorithm.
    #[serde(default)]
    pub certs: Vec<String>,
    /// Their keys.
    #[serde(default, deserialize_with = "secrets")]
    pub keys: Vec<Secret<String>>,
    /// Whose certificates clients must show; none where nobody is asked.
    #[serde(default)]
    pub client: Option<SslClient>,
    /// Whether it is shown at all.
    #[serde(default = "yes", rename = "status", deserialize_with = "flag")]
    pub is_enabled: bool,
    /// The versions of TLS for these names; empty where the gateway's settings decide.
    #[serde(default)]
    pub ssl_protocols: Vec<String>,
}

/// What is asked of clients.
#[derive(Clone, Debug, Deserialize)]
pub struct SslClient {
    /// The authorities in PEM, or a secret reference.
    pub ca: String,
    /// How many certificates may stand between the client's and the authority's.
    #[serde(default = "one")]
    pub depth: usize,
    /// Paths that are served without a certificate.
    #[serde(default)]
    pub skip_mtls_uri_regex: Vec<String>,
}

impl Ssl {
    /// The names that it is for, as they were written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sni.iter().chain(&self.snis).map(String::as_str)
    }

    /// Whether one of its texts is a secret reference that stands for nothing so far.
    pub fn is_unresolved(&self) -> bool {
        let own = self.pairs().any(|(cert, key)| is_reference(cert) || is_reference(key.expose()));
        own || self.client.as_ref().is_some_and(|client| is_reference(&client.ca))
    }

    /// Every certificate with its key.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &Secret<String>)> {
        let more = self.certs.iter().map(String::as_str).zip(&self.keys);
        std::iter::once((self.cert.as_str(), &self.key)).chain(more)
    }
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

fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret<String>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(Secret::new).collect())
}

/// APISIX's flags of a resource are numbers.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    u8::deserialize(deserializer).map(|number| number != 0)
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
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

    #[test]
    fn names_pairs_and_what_is_asked_of_clients() {
        let document = json!({
            "id": "1", "cert": "C", "key": "K", "snis": ["a.b", "*.c"], "certs": ["D"], "keys": ["L"], "status": 0,
            "client": {"ca": "A", "skip_mtls_uri_regex": ["^/x"]},
        });
        let ssl: Ssl = serde_json::from_value(document).unwrap();
        assert_eq!(ssl.names().collect::<Vec<_>>(), ["a.b", "*.c"]);
        let pairs: Vec<_> = ssl.pairs().map(|(cert, key)| (cert, key.expose().as_str())).collect();
        assert_eq!(pairs, [("C", "K"), ("D", "L")]);
        assert!(!ssl.is_enabled);
        let client = ssl.client.unwrap();
        assert_eq!((client.depth, client.skip_mtls_uri_regex.len()), (1, 1));
    }
}
