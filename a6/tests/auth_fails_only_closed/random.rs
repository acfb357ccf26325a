//! Numbers that are the same in every run, and what is made of them.

/// A generator (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a small number");
        usize::try_from(self.next() % limit).expect("a small number")
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }

    /// At most so many bytes of an alphabet.
    pub(crate) fn text(&mut self, longest: usize, alphabet: &[u8]) -> Vec<u8> {
        (0..self.below(longest + 1)).map(|_| *self.pick(alphabet)).collect()
    }

    /// A text that was changed in one place or a few.
    pub(crate) fn changed(&mut self, text: &[u8], alphabet: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for _ in 0..=self.below(3) {
            if text.is_empty() {
                return self.text(8, alphabet);
            }
            let place = self.below(text.len());
            match self.below(8) {
                0 | 1 => text[place] = *self.pick(alphabet),
                2 => text.insert(place, *self.pick(alphabet)),
                3 => {
                    text.remove(place);
                }
                4 if place > 0 => text.swap(place, place - 1),
                5 => text.truncate(place),
                6 if text[place].is_ascii_uppercase() => text[place].make_ascii_lowercase(),
                6 => text[place].make_ascii_uppercase(),
                7 if self.one_in(4) => text.extend_from_within(..),
                _ => text.push(*self.pick(alphabet)),
            }
        }
        text
    }
}
