use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::LazyLock;

/// Secrets of this process: nobody can make two names collide on purpose.
static SEEDS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// The name of a counter, hashed to 128 bits. It means nothing to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    high: u64,
    low: u64,
}

impl Key {
    /// The key of a name in parts; `["a", "b"]` and `["ab"]` are two names.
    pub fn of(parts: &[&str]) -> Self {
        let [high, low] = SEEDS.each_ref().map(|seed| {
            let mut hasher = seed.build_hasher();
            for part in parts {
                add(&mut hasher, part);
            }
            hasher.finish()
        });
        Self { high, low }
    }

    /// The key of a name below this one.
    #[must_use]
    pub fn child(self, part: &str) -> Self {
        let [high, low] = SEEDS.each_ref().map(|seed| {
            let mut hasher = seed.build_hasher();
            hasher.write_u64(self.high);
            hasher.write_u64(self.low);
            add(&mut hasher, part);
            hasher.finish()
        });
        Self { high, low }
    }

    /// The key of the same name where a number tells several counters apart.
    pub(crate) fn numbered(self, number: u64) -> Self {
        Self { low: self.low ^ number, ..self }
    }

    /// A number that is spread evenly over all keys, independent of the hash.
    pub(crate) fn spread(self) -> u64 {
        self.high
    }
}

fn add(hasher: &mut impl Hasher, part: &str) {
    hasher.write_usize(part.len());
    hasher.write(part.as_bytes());
}

impl Hash for Key {
    /// A key is a hash already.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// Takes what a [`Key`] says for the hash.
pub(crate) type AsItIs = BuildHasherDefault<Same>;

/// See [`AsItIs`].
#[derive(Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn equal_names_are_equal_and_no_others() {
        let owner = Key::of(&["a", "b"]);
        let keys = [
            owner,
            Key::of(&["ab"]),
            Key::of(&["a", "", "b"]),
            Key::of(&["b", "a"]),
            owner.child(""),
            owner.child("c"),
            owner.child("c").child("d"),
            owner.child("cd"),
            owner.numbered(1),
            owner.numbered(2),
        ];
        let distinct: HashSet<Key, AsItIs> = keys.into_iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(owner, Key::of(&["a", "b"]));
        assert_eq!(owner.child("c"), Key::of(&["a", "b"]).child("c"));
    }
}
