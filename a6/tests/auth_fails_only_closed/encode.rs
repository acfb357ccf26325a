//! Base64 and percent-encoding, written here so that the gateway is not held against its own libraries.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            let is_there = digit <= group.len();
            text.push(if is_there {
                char::from(STANDARD[usize::try_from(value).expect("six bits")])
            } else {
                '='
            });
        }
    }
    text
}

/// What the digits of a text say, of either alphabet; all other characters, and bits that make no byte, are passed over.
pub(crate) fn digits(text: &[u8]) -> Vec<u8> {
    let value = |byte: &u8| match byte {
        b'-' => Some(62),
        b'_' => Some(63),
        _ => STANDARD.iter().position(|digit| digit == byte),
    };
    let values: Vec<usize> = text.iter().filter_map(value).collect();
    let mut bytes = Vec::new();
    for group in values.chunks(4) {
        let bits = (0..4).fold(0, |bits, at| (bits << 6) | group.get(at).copied().unwrap_or_default());
        let whole = [bits >> 16, bits >> 8, bits].map(|byte| u8::try_from(byte & 255).expect("eight bits"));
        bytes.extend(&whole[..group.len() * 6 / 8]);
    }
    bytes
}

/// Every byte as `%XX`.
pub(crate) fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn base64_is_that_of_rfc_4648() {
    for (bytes, text) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
    ] {
        assert_eq!(base64(bytes.as_bytes()), text);
        assert_eq!(digits(text.as_bytes()), bytes.as_bytes());
    }
    assert_eq!(percent(b"a \xff"), "%61%20%FF");
}
