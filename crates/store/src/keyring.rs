use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use a6_core::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use crate::StoreError;

/// How a sealed text begins: no secret that a user writes is taken for one, since what begins so is always sealed.
const MARK: &str = "$a6$1$";
/// Bytes of a key.
const KEY: usize = 32;
/// Bytes of a key's name in a sealed text.
const NAME: usize = 4;

/// The keys that secrets are sealed with at rest (AES-256-GCM). The first one seals; every one opens. A key is
/// replaced by putting a new one in front: what was sealed before can still be read, and is sealed anew at the next
/// start.
pub struct KeyRing {
    keys: Vec<Key>,
    random: SystemRandom,
}

struct Key {
    name: [u8; NAME],
    key: LessSafeKey,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.keys.len())
    }
}

impl KeyRing {
    /// Those of the settings (`apisix.data_encryption.keyring`), each a text of any length, then those of the file, one
    /// key of 32 bytes in base64 per line. Where there are none of either, the file is made with a random key, for its
    /// owner's eyes only (mode 0600); unless `is_needed` says that something is sealed already.
    ///
    /// # Errors
    /// The file cannot be read or made, is missing although it is needed, or a line of it is no key. The text names file
    /// and line.
    pub fn open(path: &Path, texts: &[Secret<String>], is_needed: bool) -> Result<Self, StoreError> {
        let of_text = |text: &Secret<String>| Key::new(digest(&SHA256, text.expose().as_bytes()).as_ref());
        let mut keys: Vec<Key> = texts.iter().filter_map(of_text).collect();
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            StoreError(format!("{}: {what}: {error}", path.display()))
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !keys.is_empty() => String::new(),
            Err(error) if error.kind() == ErrorKind::NotFound && is_needed => {
                let why = "config.db beside it holds secrets that only its keys open; put the file back from a backup, \
                           or move config.db away to start with nothing";
                return Err(failed("the key ring is missing", &why));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut key = [0; KEY];
                SystemRandom::new().fill(&mut key).map_err(|error| failed("cannot make a key", &error))?;
                let text = format!("{}\n", STANDARD.encode(key));
                write_private(path, &text).map_err(|error| failed("cannot keep the new key", &error))?;
                text
            }
            Err(error) => return Err(failed("cannot read the keys", &error)),
        };
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let of_file = lines.map(|(number, line)| {
            let key = STANDARD.decode(line.trim()).ok().filter(|key| key.len() == KEY);
            key.and_then(|key| Key::new(&key)).ok_or_else(|| {
                failed("cannot use the keys", &format!("line {number} is not 32 bytes in base64"))
            })
        });
        keys.extend(of_file.collect::<Result<Vec<_>, _>>()?);
        if keys.is_empty() {
            return Err(failed("cannot use the keys", &"there is none; restore the file from a backup"));
        }
        Ok(Self { keys, random: SystemRandom::new() })
    }

    /// Whether a text is a sealed one.
    pub(crate) fn is_sealed(text: &str) -> bool {
        text.starts_with(MARK)
    }

    /// Whether a text was sealed with the first key.
    pub(crate) fn is_current(&self, text: &str) -> bool {
        let whole = text.strip_prefix(MARK).and_then(|sealed| STANDARD.decode(sealed).ok());
        let name = whole.as_ref().and_then(|whole| whole.get(..NAME));
        self.keys.first().is_some_and(|key| name == Some(&key.name[..]))
    }

    /// Seals a text for a place, such as `routes/1 plugins.ai-proxy.auth.header`: elsewhere it cannot be opened.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn seal(&self, place: &str, text: &str) -> Result<String, StoreError> {
        let failed = || StoreError("a secret cannot be sealed: the system gives no random bytes".to_string());
        let key = self.keys.first().ok_or_else(failed)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| failed())?;
        let mut sealed = text.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        key.key.seal_in_place_append_tag(unique, Aad::from(place), &mut sealed).map_err(|_| failed())?;
        let whole = [&key.name[..], &nonce, &sealed].concat();
        Ok(format!("{MARK}{}", STANDARD.encode(whole)))
    }

    /// Opens a sealed text. One that is not sealed stands as it is: it is older than the keys.
    ///
    /// # Errors
    /// The key is not in the ring, or the text was changed or moved.
    pub fn open_text(&self, place: &str, text: &str) -> Result<String, StoreError> {
        let Some(sealed) = text.strip_prefix(MARK) else { return Ok(text.to_string()) };
        let refused = |why: &str| StoreError(format!("{place}: the secret cannot be opened: {why}"));
        let whole = STANDARD.decode(sealed).map_err(|_| refused("it is damaged"))?;
        let (Some((name, rest)), true) = (whole.split_at_checked(NAME), whole.len() > NAME + NONCE_LEN)
        else {
            return Err(refused("it is damaged"));
        };
        let key = self.keys.iter().find(|key| key.name == *name).ok_or_else(|| {
            refused(
                "it was sealed with a key that is not in the key ring; put that key back, at the end of the file or of \
                 apisix.data_encryption.keyring",
            )
        })?;
        let (nonce, sealed) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused("it is damaged"))?;
        let mut bytes = sealed.to_vec();
        let opened = key.key.open_in_place(nonce, Aad::from(place), &mut bytes);
        let opened = opened.map_err(|_| refused("it was changed, or moved from another place"))?;
        String::from_utf8(opened.to_vec()).map_err(|_| refused("it is no text"))
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?);
        let mut name = [0; NAME];
        name.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..NAME]);
        Some(Self { name, key })
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A key that a crash takes away takes all secrets with it.
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn of_texts(texts: &[&str]) -> KeyRing {
        let texts: Vec<_> = texts.iter().map(|text| Secret::new((*text).to_string())).collect();
        KeyRing::open(Path::new("/nowhere/keyring"), &texts, true).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_only_where_it_belongs() {
        let ring = of_texts(&["new", "old"]);
        let old = of_texts(&["old"]);
        let sealed = old.seal("routes/1 key", "sk-live").unwrap();
        assert!(sealed.starts_with(MARK) && !sealed.contains("sk-live"));
        assert_eq!(ring.open_text("routes/1 key", &sealed).unwrap(), "sk-live");
        let anew = ring.seal("routes/1 key", "sk-live").unwrap();
        assert_ne!(anew, ring.seal("routes/1 key", "sk-live").unwrap());
        let says = |ring: &KeyRing, place: &str, text: &str| ring.open_text(place, text).unwrap_err().0;
        assert!(says(&old, "routes/1 key", &anew).contains("not in the key ring"));
        assert!(says(&ring, "routes/2 key", &sealed).contains("moved from another place"));
        assert!(says(&ring, "routes/1 key", "$a6$1$AAAA").contains("damaged"));
        assert_eq!(ring.open_text("p", "plain").unwrap(), "plain");
        assert!(ring.is_current(&anew) && !ring.is_current(&sealed) && old.is_current(&sealed));
        assert!(!ring.is_current("plain") && !ring.is_current("$a6$1$"));
    }

    #[test]
    fn a_new_ring_is_kept_for_its_owner_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring");
        let open = |texts: &[Secret<String>], is_needed| KeyRing::open(&path, texts, is_needed);
        let error = open(&[], true).unwrap_err().0;
        assert!(error.contains("keyring") && error.contains("put the file back from a backup"), "{error}");
        assert!(!path.exists(), "a new key would hide that the old one is gone");
        let texts = [Secret::new("text".to_string())];
        open(&texts, true).unwrap();
        assert!(!path.exists(), "the settings have a key");
        let sealed = open(&[], false).unwrap().seal("p", "t").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open(&[], true).unwrap().open_text("p", &sealed).unwrap(), "t");
        assert_eq!(open(&texts, true).unwrap().open_text("p", &sealed).unwrap(), "t", "the file's open too");
        assert!(!open(&texts, true).unwrap().is_current(&sealed), "those of the settings come first");
        for (text, expected) in [("AAAA\n", "line 1 is not 32 bytes"), ("\n", "there is none")] {
            fs::write(&path, text).unwrap();
            let error = open(&[], true).unwrap_err().0;
            assert!(error.contains(expected) && error.contains("keyring"), "{error}");
        }
    }
}
