use std::collections::BTreeMap;
use std::fmt::Write;

use a6_core::Secret;
use jiff::Timestamp;
use ring::{digest, hmac};

/// Signs requests by AWS Signature Version 4, as AWS's "Signature Version 4 signing process" has it. Only for paths
/// without query that need no encoding.
pub(crate) struct Signer {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Secret<String>,
    pub(crate) region: String,
    pub(crate) service: &'static str,
}

/// The `x-amz-date` of a moment, such as `20150830T123600Z`.
pub(crate) fn date(unix_seconds: u64) -> String {
    let timestamp = i64::try_from(unix_seconds).ok().and_then(|second| Timestamp::from_second(second).ok());
    timestamp.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

impl Signer {
    /// The value of `authorization`. `headers` are those that are signed, by lower-case name; `host` and `x-amz-date` are
    /// among them.
    pub(crate) fn authorization(
        &self,
        method: &str,
        path: &str,
        headers: &BTreeMap<&str, &str>,
        body: &[u8],
    ) -> String {
        let stamp = headers.get("x-amz-date").copied().unwrap_or_default();
        let day = stamp.get(..8).unwrap_or_default();
        let names = headers.keys().copied().collect::<Vec<_>>().join(";");
        let mut canonical = format!("{method}\n{path}\n\n");
        for (name, value) in headers {
            // Writing to a String cannot fail.
            let _ = writeln!(canonical, "{name}:{}", value.trim());
        }
        let _ = write!(canonical, "\n{names}\n{}", hash(body));
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hash(canonical.as_bytes()));
        let mut key = format!("AWS4{}", self.secret_access_key.expose()).into_bytes();
        for part in [day, self.region.as_str(), self.service, "aws4_request", to_sign.as_str()] {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
            key = tag.as_ref().to_vec();
        }
        let (id, signature) = (&self.access_key_id, hex(&key));
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_aws() {
        let signer = |region: &str, service| Signer {
            access_key_id: "AKIDEXAMPLE".to_string(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_string()),
            region: region.to_string(),
            service,
        };
        // `get-vanilla` and `post-vanilla` of AWS's own test suite.
        let vanilla = [
            ("GET", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ];
        let headers = BTreeMap::from([("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")]);
        for (method, expected) in vanilla {
            let value = signer("us-east-1", "service").authorization(method, "/", &headers, b"");
            let start = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                         SignedHeaders=host;x-amz-date, Signature=";
            assert_eq!(value, format!("{start}{expected}"));
        }
        let headers = BTreeMap::from([
            ("content-type", "application/x-amz-json-1.1"),
            ("host", "secretsmanager.eu-west-1.amazonaws.com"),
            ("x-amz-date", "20260102T030405Z"),
            ("x-amz-security-token", "session"),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ]);
        let signer = signer("eu-west-1", "secretsmanager");
        let value = signer.authorization("POST", "/", &headers, br#"{"SecretId":"prod/db"}"#);
        assert!(
            value.ends_with("=86dd876c79dd78f30ecd806fb47eb92ab6b25e5c3d44b2c0c02ec49f1ae5cbb2"),
            "{value}"
        );
    }

    #[test]
    fn moments_are_written_as_aws_wants() {
        let cases = [(1_440_938_160, "20150830T123600Z"), (1_767_323_045, "20260102T030405Z")];
        for (second, expected) in cases {
            assert_eq!(date(second), expected);
        }
    }
}
