use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The path that routes are matched against: percent-decoded, `.` and `..` resolved, slashes merged.
///
/// `None` where it climbs above the root or is not UTF-8 when decoded.
pub fn normalise(raw: &str) -> Option<Cow<'_, str>> {
    let is_plain = !raw.contains('%') && !raw.contains("//") && !raw.contains("/.");
    if is_plain {
        return Some(Cow::Borrowed(raw));
    }
    let decoded = percent_decode_str(raw).decode_utf8().ok()?;
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            other => segments.push(other),
        }
    }
    let mut path = String::with_capacity(decoded.len());
    for segment in &segments {
        path.push('/');
        path.push_str(segment);
    }
    let is_directory = decoded.ends_with('/') || decoded.ends_with("/.") || decoded.ends_with("/..");
    if is_directory || path.is_empty() {
        path.push('/');
    }
    Some(Cow::Owned(path))
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn paths_are_decoded_merged_and_resolved() {
        let cases = [
            ("/a/b", Some("/a/b")),
            ("/", Some("/")),
            ("/a//b", Some("/a/b")),
            ("/a/./b/", Some("/a/b/")),
            ("/a/../b", Some("/b")),
            ("/a/..", Some("/")),
            ("/a%20b", Some("/a b")),
            ("/a%2Fb", Some("/a/b")),
            ("/%2e%2e/etc", None),
            ("/../etc", None),
            ("/%ff", None),
            ("/a.b", Some("/a.b")),
            ("/.well-known/x", Some("/.well-known/x")),
        ];
        for (raw, expected) in cases {
            assert_eq!(normalise(raw).as_deref(), expected, "{raw}");
        }
    }
}
