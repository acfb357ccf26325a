use std::sync::Arc;

use a6_codec::yaml::printable;
use a6_core::Secret;
use a6_resources::{Catalogue, Configuration, ItemFault, Kind, each_secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use serde_json::Value;

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
struct ApisixKeys(Vec<Secret<String>>);

impl ApisixKeys {
    /// Those of the settings that have a size of AES's. Where the settings have none, APISIX has the published ones.
    fn new(texts: &[Secret<String>]) -> Self {
        if texts.is_empty() {
            return Self(PUBLISHED.iter().map(|key| Secret::new((*key).to_string())).collect());
        }
        Self(texts.iter().filter(|key| matches!(key.expose().len(), 16 | 32)).cloned().collect())
    }

    /// What APISIX has encrypted, opened; none if the text is something else. A mode without authentication cannot tell for
    /// sure, but what opens to printable text with a right end by chance is less than one text in a hundred millions.
    fn open(&self, text: &str) -> Option<String> {
        let sealed = blocks(text)?;
        self.0.iter().find_map(|key| decrypt(key.expose().as_bytes(), sealed.clone()))
    }
}

/// The bytes of a text in base64 that are blocks of AES.
fn blocks(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty() && bytes.len() % BLOCK == 0)
}

/// Whether a text has the form of APISIX's ciphertexts. A text of hexadecimal digits alone is a key that somebody made.
fn has_form(text: &str) -> bool {
    !text.bytes().all(|byte| byte.is_ascii_hexdigit()) && blocks(text).is_some()
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

/// Opens what APISIX has encrypted in the documents of a configuration that was taken from there.
#[derive(Clone)]
pub struct Opener {
    keys: Arc<ApisixKeys>,
    opens_fields: bool,
    catalogue: Arc<dyn Catalogue>,
}

/// A secret that has the form of APISIX's ciphertexts, and no key opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// Of which resource it is.
    pub kind: Kind,
    /// The id of that.
    pub id: String,
    /// Where it stands there, such as `plugins.key-auth.key`; of a list the path to the list.
    pub path: String,
}

impl Opener {
    /// With the keys of the settings (`apisix.data_encryption.keyring`), without any with APISIX's published ones. What
    /// plugins declare as encrypted is left alone unless `opens_fields`.
    pub fn new(texts: &[Secret<String>], opens_fields: bool, catalogue: Arc<dyn Catalogue>) -> Self {
        Self { keys: Arc::new(ApisixKeys::new(texts)), opens_fields, catalogue }
    }

    /// Opens the secrets of a document; gives the paths of those that could not be opened. They stand as they are.
    pub fn open(&self, kind: Kind, id: &str, document: &mut Value) -> Vec<String> {
        let mut unopened = Vec::new();
        each_secret(kind, id, document, &*self.catalogue, &mut |path, secret| {
            let Some(text) = secret.as_str().filter(|_| self.opens_fields || !is_field(kind, path)) else {
                return;
            };
            match self.keys.open(text) {
                Some(opened) => *secret = Value::String(opened),
                None if has_form(text) => unopened.push(path.to_string()),
                None => {}
            }
        });
        unopened
    }

    /// Opens the secrets of a whole configuration; gives those that could not be opened.
    pub fn open_all(&self, configuration: &mut Configuration) -> Vec<Unopened> {
        let mut unopened = Vec::new();
        configuration.change_each(&mut |kind, id, document| {
            let paths = self.open(kind, id, document).into_iter();
            unopened.extend(paths.map(|path| Unopened { kind, id: id.to_string(), path }));
        });
        unopened
    }
}

impl Unopened {
    /// What follows, and what to do, for a person.
    pub fn warning(&self) -> String {
        let (collection, id, path) = (self.kind.spec().collection, printable(&self.id, 80), &self.path);
        format!(
            "{collection} {id}: {path} looks as if APISIX has encrypted it, and no key opens it: it is used as it stands; \
             if it is encrypted, put its key into apisix.data_encryption.keyring"
        )
    }

    /// The fault, and that it may come from a secret of its item that could not be opened.
    pub fn explain(unopened: &[Self], fault: &ItemFault) -> String {
        let of_item = |one: &&Self| one.kind.spec().collection == fault.collection && one.id == fault.id;
        match unopened.iter().find(of_item) {
            Some(Self { path, .. }) => format!(
                "{}; {path} looks as if APISIX has encrypted it, and no key of apisix.data_encryption.keyring opens it",
                fault.reason
            ),
            None => fault.reason.clone(),
        }
    }
}

/// Whether a plugin declares what stands there as encrypted, and not the kind of resource.
pub(crate) fn is_field(kind: Kind, path: &str) -> bool {
    kind == Kind::PluginMetadata || path.starts_with("plugins.")
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
    fn what_has_the_form_of_a_ciphertext_is_told_from_what_has_not() {
        for text in [WITH_16, WITH_OTHER, WITH_32, "AAAAAAAAAAAAAAAAAAAAAA=="] {
            assert!(has_form(text), "{text}");
        }
        let hex = "0123456789abcdef".repeat(4);
        for text in ["", "sk-live", "AAAA", "c2stbGl2ZS0xMjM0NTY3ODkw", &hex, "-----BEGIN KEY-----\nc2s=\n"] {
            assert!(!has_form(text), "{text}");
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
