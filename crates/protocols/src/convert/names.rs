use std::borrow::Cow;

use ring::digest::{SHA256, digest};

use super::json::Text;

/// The longest name of a tool that OpenAI takes.
const LONGEST: usize = 64;
/// How much of a name is kept where it has to change.
const KEPT: usize = 55;

/// The name under which a tool goes to OpenAI, which takes letters, digits, `_` and `-` only, at most 64 of them. A
/// name that does not fit keeps its beginning and gets eight digits of its hash, so that no two become one.
pub(super) fn openai_name(name: Text<'_>) -> Cow<'_, str> {
    let original = name.decoded().unwrap_or(Cow::Borrowed(name.0));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if original.len() <= LONGEST && original.bytes().all(fits) {
        return original;
    }
    let mut mapped: String =
        original.bytes().take(KEPT).map(|byte| if fits(byte) { char::from(byte) } else { '_' }).collect();
    mapped.push('_');
    for byte in digest(&SHA256, original.as_bytes()).as_ref().iter().take(4) {
        mapped.push_str(&format!("{byte:02x}"));
    }
    Cow::Owned(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_openai_refuses_are_mapped() {
        let cases = [
            ("get_weather".to_string(), "get_weather".to_string()),
            ("b".repeat(64), "b".repeat(64)),
            ("a".repeat(70), format!("{}_6bd5e503", "a".repeat(55))),
            ("we.ird/name".to_string(), "we_ird_name_e6ca377a".to_string()),
            (r"we.ird\/name".to_string(), "we_ird_name_e6ca377a".to_string()),
        ];
        for (name, expected) in cases {
            assert_eq!(openai_name(Text(&name)), expected, "{name}");
        }
        assert!(openai_name(Text("é")).starts_with("___"));
    }
}
