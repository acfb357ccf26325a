//! AWS signatures of requests, checked: written apart from the gateway's own, so that the two check each other.

use std::fmt::Write;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ring::{digest, hmac};

use crate::reply::{Reply, aws_error};
use crate::request::Request;

/// A signature is good for so many seconds before and after its date.
const TOLERANCE: u64 = 300;
const SERVICE: &str = "bedrock";

/// The key that requests below `/model/` have to be signed with. It does not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKey {
    /// The region that is signed for.
    pub region: String,
    /// Which key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// What has to come with it.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for AwsKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("***")
    }
}

impl FromStr for AwsKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(4, ':').map(str::to_owned);
        let (Some(region), Some(access_key_id), Some(secret_access_key)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err("expected REGION:ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]");
        };
        Ok(Self { region, access_key_id, secret_access_key, session_token: parts.next() })
    }
}

impl AwsKey {
    /// What AWS says to a request that is not signed with this key; `now` in Unix seconds.
    pub(crate) fn refusal(&self, request: &Request, now: u64) -> Option<Reply> {
        let (kind, message) = self.check(request, now).err()?;
        Some(aws_error(403, kind, message))
    }

    fn check(&self, request: &Request, now: u64) -> Result<(), (&'static str, &'static str)> {
        let authorization = request.header("authorization").unwrap_or_default();
        let given = Given::parse(authorization)
            .ok_or(("MissingAuthenticationTokenException", "Missing Authentication Token"))?;
        let mut scope = given.credential.split('/');
        if scope.next() != Some(self.access_key_id.as_str())
            || request.header("x-amz-security-token") != self.session_token.as_deref()
        {
            let message = "The security token included in the request is invalid.";
            return Err(("UnrecognizedClientException", message));
        }
        let date = request.header("x-amz-date").unwrap_or_default();
        let day = date.get(..8).unwrap_or_default();
        if scope.collect::<Vec<_>>() != [day, &self.region, SERVICE, "aws4_request"] {
            return Err(("InvalidSignatureException", "Credential should be scoped to a valid region."));
        }
        if seconds(date).is_none_or(|signed| signed.abs_diff(now) > TOLERANCE) {
            return Err(("InvalidSignatureException", "Signature expired"));
        }
        let names: Vec<&str> = given.signed_headers.split(';').collect();
        let must = |name: &str| name == "host" || name.starts_with("x-amz-");
        let is_complete = request.headers.iter().all(|(name, _)| !must(name) || names.contains(&&**name));
        if !is_complete || self.signature(request, &names, date) != given.signature {
            let message = "The request signature we calculated does not match the signature you provided. Check your \
                           AWS Secret Access Key and signing method. Consult the service documentation for details.";
            return Err(("InvalidSignatureException", message));
        }
        Ok(())
    }

    fn signature(&self, request: &Request, names: &[&str], date: &str) -> String {
        let mut canonical =
            format!("{}\n{}\n{}\n", request.method, path(request.path()), query(request.query()));
        for name in names {
            let same = request.headers.iter().filter(|(known, _)| known == name);
            let values: Vec<String> =
                same.map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(canonical, "{name}:{}", values.join(","));
        }
        let _ = write!(canonical, "\n{}\n{}", names.join(";"), sha256(&request.body));
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{SERVICE}/aws4_request", self.region);
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let mut key = format!("AWS4{}", self.secret_access_key).into_bytes();
        for part in [day, self.region.as_str(), SERVICE, "aws4_request", to_sign.as_str()] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        hex(&key)
    }
}

/// What `authorization` says.
struct Given<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Given<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let member =
            |name: &str| rest.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            credential: member("Credential")?,
            signed_headers: member("SignedHeaders")?,
            signature: member("Signature")?,
        })
    }
}

/// A path as it came, encoded once more.
fn path(path: &str) -> String {
    path.split('/').map(|segment| encode(segment.as_bytes())).collect::<Vec<_>>().join("/")
}

fn query(query: &str) -> String {
    let pairs = form_pairs(query);
    let mut pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{}={}", encode(name.as_bytes()), encode(value.as_bytes())))
        .collect();
    pairs.sort();
    pairs.join("&")
}

/// Names and values of a query. A plus is a plus.
fn form_pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let query = query.replace('+', "%2B");
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.into_iter()
}

fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn seconds(date: &str) -> Option<u64> {
    let moment = TimeZone::UTC.to_timestamp(DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?).ok()?;
    u64::try_from(moment.as_second()).ok()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "8bd230fa414d3c9cb54f9fe54d1b5906733386540147967fad4657a173a7202c";

    fn key() -> AwsKey {
        "us-east-1:AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".parse().unwrap()
    }

    fn signed() -> Request {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
        );
        let headers = [
            ("host", "bedrock-runtime.us-east-1.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
            ("authorization", authorization.as_str()),
        ];
        Request {
            method: "POST".to_owned(),
            target: "/model/anthropic.claude-v2%3A1/converse".to_owned(),
            version: 1,
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: b"{\"messages\":[]}".to_vec(),
        }
    }

    #[test]
    fn only_a_signature_of_just_this_request_is_good() {
        const NOW: u64 = 1_440_938_160;
        assert!(key().refusal(&signed(), NOW).is_none());
        let refused = |change: &dyn Fn(&mut Request), now: u64| {
            let mut request = signed();
            change(&mut request);
            let reply = key().refusal(&request, now).expect("a refusal");
            assert_eq!(reply.status, 403);
            reply.headers.iter().find(|(name, _)| name == "x-amzn-errortype").unwrap().1.clone()
        };
        let wrong = "InvalidSignatureException";
        assert_eq!(refused(&|request| request.body.push(b' '), NOW), wrong);
        assert_eq!(refused(&|request| request.target.push('s'), NOW), wrong);
        assert_eq!(refused(&|request| request.target = request.target.replace("%3A", ":"), NOW), wrong);
        assert_eq!(refused(&|request| request.headers[0].1.push('x'), NOW), wrong);
        assert_eq!(refused(&|request| request.headers.push(("x-amz-a".into(), "1".into())), NOW), wrong);
        assert_eq!(refused(&|_| {}, NOW + 301), wrong);
        let unknown = "UnrecognizedClientException";
        assert_eq!(
            refused(&|request| request.headers[2].1 = request.headers[2].1.replace("AKID", "AK"), NOW),
            unknown
        );
        let missing = "MissingAuthenticationTokenException";
        assert_eq!(refused(&|request| request.headers.truncate(2), NOW), missing);
        assert!("us-east-1:only".parse::<AwsKey>().is_err());
    }
}
