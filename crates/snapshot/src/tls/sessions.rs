use std::sync::Arc;

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// Sessions that can be taken up again, of all certificates together; the oldest go first.
const REMEMBERED: usize = 4096;

/// The sessions of all certificates.
pub(super) fn memory() -> Arc<ServerSessionMemoryCache> {
    ServerSessionMemoryCache::new(REMEMBERED)
}

/// The sessions of one certificate resource as it was written once. What another one, or an earlier form of it, has let in
/// it does not know: the other may have asked for less.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) all: Arc<ServerSessionMemoryCache>,
    pub(super) owner: u64,
}

impl Sessions {
    fn own(&self, key: &[u8]) -> Vec<u8> {
        [&self.owner.to_be_bytes(), key].concat()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.all.put(self.own(&key), value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.all.get(&self.own(key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.all.take(&self.own(key))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_up_what_another_has_begun() {
        let all = memory();
        let [one, two] = [1, 2].map(|owner| Sessions { all: all.clone(), owner });
        assert!(one.put(b"k".to_vec(), b"v".to_vec()));
        assert_eq!((two.get(b"k"), two.take(b"k")), (None, None));
        assert_eq!(one.get(b"k").as_deref(), Some(&b"v"[..]));
        assert_eq!(one.take(b"k").as_deref(), Some(&b"v"[..]));
        assert_eq!(one.get(b"k"), None);
    }
}
