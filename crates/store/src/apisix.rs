use a6_core::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};

/// The keys in the configuration that APISIX is delivered with: they hide nothing.
const PUBLISHED: [&str; 2] = ["qeddd145sfvddff3", "edd1c9f0985e76a2"];
/// Bytes of AES's block.
const BLOCK: usize = 16;

/// Whether everybody knows this key.
pub fn is_published(key: &Secret<String>) -> bool {
    PUBLISHED.contains(&key.expose().as_str())
}

/// The keys with which APISIX's own ciphertexts are read: AES-CBC, PKCS #7, in base64. The key's first 16 bytes are the
/// initialisation vector, too.
pub(crate) struct ApisixKeys(Vec<Secret<String>>);

impl ApisixKeys {
    /// Those of the settings that have a size of AES's. Where the settings have none, APISIX has the published ones.
    pub(crate) fn new(texts: &[Secret<String>]) -> Self {
        if texts.is_empty() {
            return Self(PUBLISHED.iter().map(|key| Secret::new((*key).to_string())).collect());
        }
        Self(texts.iter().filter(|key| matches!(key.expose().len(), 16 | 32)).cloned().collect())
    }

    /// What APISIX has encrypted; none if the text is something else. A mode without authentication cannot tell for sure,
    /// but what opens to printable text with a right end by chance is less than one text in a hundred millions.
    pub(crate) fn open(&self, text: &str) -> Option<String> {
        let sealed =
            STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty() && bytes.len() % BLOCK == 0)?;
        self.0.iter().find_map(|key| decrypt(key.expose().as_bytes(), sealed.clone()))
    }
}

fn decrypt(key: &[u8], mut bytes: Vec<u8>) -> Option<String> {
    let vector = key.get(..BLOCK)?;
    let plain = match key.len() {
        16 => Decryptor::<aes::Aes128>::new_from_slices(key, vector)
            .ok()?
            .decrypt_padded_mut::<Pkcs7>(&mut bytes),
        32 => Decryptor::<aes::Aes256>::new_from_slices(key, vector)
            .ok()?
            .decrypt_padded_mut::<Pkcs7>(&mut bytes),
        _ => return None,
    };
    let text = str::from_utf8(plain.ok()?).ok()?;
    let is_printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    (!text.is_empty() && text.chars().all(is_printable)).then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: &[&str]) -> ApisixKeys {
        ApisixKeys::new(&texts.iter().map(|text| Secret::new((*text).to_string())).collect::<Vec<_>>())
    }

    /// Made by `openssl enc -aes-128-cbc -base64 -A`, or `-aes-256-cbc`, with `-K` and `-iv` as above.
    const WITH_16: &str = "Yp0DN37Kt9N6gOe079LZBhAjzq2/XbO4ritsZqIV2Vk=";
    const WITH_OTHER: &str = "ABz19mkRZHV2dP7T3nX1i0peemtltaKGUZ19HKmgHd0=";
    const WITH_32: &str = "FtahxR6SDzeOjeBDXXU7tAjNwl3AGtIH7x4PDLE5qAc=";
    const LONG: &str = "0123456789abcdef0123456789ABCDEF";

    #[test]
    fn ciphertexts_open_with_any_of_the_keys_and_nothing_else_does() {
        let unset = keys(&[]);
        let other = keys(&["not of AES's size", "ABCDEFGHIJKLMNOP", LONG]);
        let opens = |keys: &ApisixKeys, text: &str| keys.open(text);
        assert_eq!(opens(&unset, WITH_16).as_deref(), Some("sk-live-1234567890"));
        assert_eq!(opens(&other, WITH_OTHER).as_deref(), Some("sk-live-1234567890"));
        assert_eq!(opens(&other, WITH_32).as_deref(), Some("-----BEGIN KEY-----\nc2s=\n"));
        assert_eq!(opens(&other, WITH_16), None, "the published keys count only where no others are set");
        let texts = ["", "sk-live", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA==", "c2stbGl2ZS0xMjM0NTY3ODkw"];
        for text in texts {
            assert_eq!((opens(&unset, text), opens(&other, text)), (None, None), "{text}");
        }
    }

    #[test]
    fn random_keys_in_base64_are_no_ciphertexts() {
        let (unset, mut random) = (keys(&[]), 7_u64);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..32)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    random.to_be_bytes()[0]
                })
                .collect();
            let text = STANDARD.encode(bytes);
            assert_eq!(unset.open(&text), None, "{text}");
        }
    }

    #[test]
    fn what_everybody_knows_is_known() {
        for (key, expected) in [(PUBLISHED[0], true), (PUBLISHED[1], true), ("qeddd145sfvddff4", false)] {
            assert_eq!(is_published(&Secret::new(key.to_string())), expected);
        }
    }
}
