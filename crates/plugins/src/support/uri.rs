//! Encoding of paths and queries for a request line or a `Location`.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What nginx encodes in a path, besides all that is not ASCII.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A query keeps its delimiters; these would end it, or the request line.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'#');

/// A decoded path as it may stand in a request line.
pub(crate) fn encode_path(path: &str) -> Cow<'_, str> {
    utf8_percent_encode(path, PATH).into()
}

/// A query that is encoded already but for what no request line may hold.
pub(crate) fn encode_query(query: &str) -> Cow<'_, str> {
    utf8_percent_encode(query, QUERY).into()
}

/// Appends a query, whether the target has one or not. An empty one changes nothing.
pub(crate) fn append_query(target: &mut String, query: Option<&str>) {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return };
    target.push(if target.contains('?') { '&' } else { '?' });
    target.push_str(query);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_as_nginx_does() {
        let cases = [
            ("/a/b", "/a/b"),
            ("/a b/é", "/a%20b/%C3%A9"),
            ("/a%20b?c#d", "/a%2520b%3Fc%23d"),
            ("/&=+:@;,!$'()*[]", "/&=+:@;,!$'()*[]"),
            ("/\"<>\\^`{|}\u{7f}\r\n", "/%22%3C%3E%5C%5E%60%7B%7C%7D%7F%0D%0A"),
        ];
        for (path, expected) in cases {
            assert_eq!(encode_path(path), expected, "{path}");
        }
        assert_eq!(encode_query("a=%20&b=1 2#x\n"), "a=%20&b=1%202%23x%0A");
    }

    #[test]
    fn a_query_is_appended_with_the_right_delimiter() {
        let cases = [
            ("/a", Some("b=1"), "/a?b=1"),
            ("/a?c=2", Some("b=1"), "/a?c=2&b=1"),
            ("/a", Some(""), "/a"),
            ("/a", None, "/a"),
        ];
        for (target, query, expected) in cases {
            let mut target = target.to_string();
            append_query(&mut target, query);
            assert_eq!(target, expected);
        }
    }
}
