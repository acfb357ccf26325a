use std::io::Write;
use std::time::Duration;

/// What stands in place of a secret.
pub(super) const MASK: &[u8] = b"***";

/// Query members that carry credentials, in lower case: those of providers and of APISIX's auth plugins.
const SECRET_MEMBERS: [&str; 6] = ["key", "api_key", "api-key", "apikey", "token", "access_token"];

/// Headers that carry credentials.
const SECRET_HEADERS: [&str; 7] =
    ["authorization", "proxy-authorization", "x-api-key", "api-key", "apikey", "x-goog-api-key", "cookie"];

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Whether a query member of this name, decoded, carries a credential.
pub(super) fn is_secret_member(name: &str) -> bool {
    SECRET_MEMBERS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Whether a header of this lower-case name carries a credential.
pub(super) fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.contains(&name)
}

/// Appends a value as nginx does (`ngx_http_log_escape`): `"`, `\` and every byte that is not printable ASCII as `\xXX`,
/// so that no client can end a field or a line.
pub(super) fn text(out: &mut Vec<u8>, value: &[u8]) {
    // Without an early exit the loop is vectorised; almost every value is plain.
    let is_plain = value.iter().fold(true, |plain, byte| {
        plain & (*byte >= b' ') & (*byte <= b'~') & (*byte != b'"') & (*byte != b'\\')
    });
    if is_plain {
        out.extend_from_slice(value);
        return;
    }
    let mut plain = 0;
    for (at, &byte) in value.iter().enumerate() {
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') {
            continue;
        }
        out.extend_from_slice(&value[plain..at]);
        let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
        out.extend_from_slice(&[b'\\', b'x', high, low]);
        plain = at + 1;
    }
    out.extend_from_slice(&value[plain..]);
}

/// Appends a query as it was written, credentials left out: those of known names, and those `named` besides.
pub(super) fn query(out: &mut Vec<u8>, query: &str, named: &[Box<str>]) {
    for (number, pair) in query.split('&').enumerate() {
        if number > 0 {
            out.push(b'&');
        }
        match pair.split_once('=') {
            Some((name, _)) if names_secret(name, named) => {
                text(out, name.as_bytes());
                out.push(b'=');
                out.extend_from_slice(MASK);
            }
            _ => text(out, pair.as_bytes()),
        }
    }
}

/// The same for a name as it stands in a query: `k%65y` is `key` to whoever reads it.
fn names_secret(raw: &str, named: &[Box<str>]) -> bool {
    let is_secret = |name: &str| is_secret_member(name) || named.iter().any(|known| **known == *name);
    form_urlencoded::parse(raw.as_bytes()).next().is_some_and(|(name, _)| is_secret(&name))
}

/// Appends a value by its `Display`, which must need no escaping.
pub(super) fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends milliseconds as seconds with three decimals.
pub(super) fn seconds(out: &mut Vec<u8>, millis: u64) {
    number(out, millis / 1000);
    let rest = millis % 1000;
    let digit = |value: u64| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped_as_nginx_does() {
        for (value, expected) in [
            (&b"plain ~ text"[..], "plain ~ text"),
            (b"", ""),
            (b"a\"b\\c", "a\\x22b\\x5Cc"),
            (b"\r\n\x00\x1f\x7f", "\\x0D\\x0A\\x00\\x1F\\x7F"),
            ("é".as_bytes(), "\\xC3\\xA9"),
            (b"\"", "\\x22"),
        ] {
            assert_eq!(written(|out| text(out, value)), expected);
        }
    }

    #[test]
    fn credentials_in_a_query_are_left_out() {
        for (raw, expected) in [
            ("a=1&b", "a=1&b"),
            ("key=sk-1&x=2", "key=***&x=2"),
            ("x=2&API_KEY=sk-1", "x=2&API_KEY=***"),
            ("k%65y=sk-1", "k%65y=***"),
            ("token=a=b&token=c", "token=***&token=***"),
            ("key", "key"),
            ("own+key=1&own%20key=2&own=3", "own+key=***&own%20key=***&own=3"),
            ("monkey=1&keys=2&=3&&", "monkey=1&keys=2&=3&&"),
            ("a=\"", "a=\\x22"),
        ] {
            assert_eq!(written(|out| query(out, raw, &["own key".into()])), expected, "{raw}");
        }
    }

    #[test]
    fn numbers_have_their_digits() {
        for value in [0, 7, 10, 499, 1_234_567, u64::MAX] {
            assert_eq!(written(|out| number(out, value)), value.to_string());
        }
        for (value, expected) in [(0, "0.000"), (5, "0.005"), (2_858, "2.858"), (60_010, "60.010")] {
            assert_eq!(written(|out| seconds(out, value)), expected);
        }
    }
}
