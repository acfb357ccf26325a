//! AWS Signature Version 4: a request's head and body, signed as they are sent.
//!
//! Source: "Create a signed AWS API request" in the IAM user guide, for services other than S3: their canonical path is
//! the path as it is sent, without dots and doubled slashes, and encoded once more.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;

use a6_snapshot::AwsAccount;
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use ring::{digest, hmac};

/// Instead of a body's hash: the body is not signed. The request has to say so in `x-amz-content-sha256`.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The headers that [`sign`] writes: nobody else's may stand beside them.
pub const SIGNATURE_HEADERS: [&str; 3] = ["authorization", "x-amz-date", "x-amz-security-token"];

/// What stays as it is (RFC 3986 §2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Of a body, this much is hashed without a pause.
const SLICE: usize = 256 << 10;

/// Signs a request: appends date, session token and signature to its head, which has the request line, `host` and all
/// other headers, each with its line end, and no blank line yet.
///
/// Signed are the first line, `host`, every header whose name begins with `x-amz-`, and the body, whose hash is `payload`
/// ([`hash`] or [`UNSIGNED_PAYLOAD`]).
pub fn sign(account: &AwsAccount, head: &mut Vec<u8>, payload: &str, unix_seconds: u64) {
    let date = date(unix_seconds);
    append(head, "x-amz-date", &date);
    if let Some(token) = &account.session_token {
        append(head, "x-amz-security-token", token.expose());
    }
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut first = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let method = first.next().unwrap_or_default();
    let target = first.next().unwrap_or_default();
    let mut headers = Headers::default();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = line[..colon].to_ascii_lowercase();
        if name == b"host" || name.starts_with(b"x-amz-") {
            headers.add(name, &line[colon + 1..]);
        }
    }
    let authorization = authorization(account, &date, &canonical(method, target, &headers, payload));
    let line = format!("authorization: {authorization}\r\n");
    head.extend_from_slice(line.as_bytes());
}

/// The hash of a body, in hexadecimal. A long one is hashed with pauses, so that others have their turn.
pub async fn hash(body: &[Bytes]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut since = 0;
    for slice in body.iter().flat_map(|piece| piece.chunks(SLICE)) {
        if since + slice.len() > SLICE {
            tokio::task::yield_now().await;
            since = 0;
        }
        since += slice.len();
        context.update(slice);
    }
    hex(context.finish().as_ref())
}

/// A path as it is to be sent: each segment percent-encoded once, whether or not it was before. AWS and this signature then
/// see the same bytes, whatever lies between.
pub fn wire_path(path: &str) -> String {
    let segments = path.split('/').map(|segment| recoded(segment.as_bytes()));
    segments.collect::<Vec<_>>().join("/")
}

fn append(head: &mut Vec<u8>, name: &str, value: &str) {
    let line = format!("{name}: {value}\r\n");
    head.extend_from_slice(line.as_bytes());
}

/// A moment as AWS writes it, such as `20150830T123600Z`.
fn date(unix_seconds: u64) -> String {
    let moment = i64::try_from(unix_seconds).ok().and_then(|second| Timestamp::from_second(second).ok());
    moment.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Headers that are signed, by lower-case name.
#[derive(Debug, Default)]
struct Headers(BTreeMap<Vec<u8>, Vec<u8>>);

impl Headers {
    /// Adds a value: without white space around it, and one space for several. Values of one name are joined.
    fn add(&mut self, name: Vec<u8>, value: &[u8]) {
        let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let value = words.collect::<Vec<_>>().join(&b' ');
        self.0.entry(name).and_modify(|known| known.extend([&b","[..], &value].concat())).or_insert(value);
    }
}

/// What of a request is signed, and the names of the headers in it.
struct Canonical {
    text: Vec<u8>,
    names: String,
}

fn canonical(method: &[u8], target: &[u8], headers: &Headers, payload: &str) -> Canonical {
    let (path, query) = match target.iter().position(|byte| *byte == b'?') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &b""[..]),
    };
    let names = headers.0.keys().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(";");
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(method);
    for line in [canonical_path(path), canonical_query(query)] {
        text.push(b'\n');
        text.extend_from_slice(line.as_bytes());
    }
    text.push(b'\n');
    for (name, value) in &headers.0 {
        text.extend_from_slice(name);
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text.extend_from_slice(format!("\n{names}\n{payload}").as_bytes());
    Canonical { text, names }
}

fn canonical_path(path: &[u8]) -> String {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut is_folder = true;
    for segment in path.split(|byte| *byte == b'/') {
        is_folder = [&b""[..], b".", b".."].contains(&segment);
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut text = String::with_capacity(path.len() + 16);
    for segment in &kept {
        text.push('/');
        text.extend(percent_encode(segment, UNRESERVED));
    }
    if is_folder || kept.is_empty() {
        text.push('/');
    }
    text
}

fn canonical_query(query: &[u8]) -> String {
    let pieces = query.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    let mut pairs: Vec<(String, String)> = pieces
        .map(|piece| {
            let equals = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
            let value = piece.get(equals + 1..).unwrap_or_default();
            (recoded(&piece[..equals]), recoded(value))
        })
        .collect();
    pairs.sort();
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("&")
}

/// Percent-encoded once, whether or not it was before.
fn recoded(text: &[u8]) -> String {
    let plain: Vec<u8> = percent_decode(text).collect();
    percent_encode(&plain, UNRESERVED).to_string()
}

/// The value of `authorization`.
fn authorization(account: &AwsAccount, date: &str, canonical: &Canonical) -> String {
    let day = date.get(..8).unwrap_or_default();
    let AwsAccount { access_key_id, secret_access_key, region, service, .. } = account;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let hash = hex(digest::digest(&digest::SHA256, &canonical.text).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
    let mut key = format!("AWS4{}", secret_access_key.expose()).into_bytes();
    for part in [day, &**region, &**service, "aws4_request", to_sign.as_str()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
        key = tag.as_ref().to_vec();
    }
    let (names, signature) = (&canonical.names, hex(&key));
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
