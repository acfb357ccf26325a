use std::ops::Range;

/// The chunks of one stream differ in their text alone. What stands before and behind it in one chunk is kept, so that
/// the next ones are known by comparison.
#[derive(Debug, Default)]
pub(crate) struct Template {
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl Template {
    /// Keeps what stands around the text of a chunk, which is between the quotes of a JSON string.
    pub(crate) fn learn(&mut self, data: &[u8], text: Range<usize>) {
        let (Some(before), Some(behind)) = (data.get(..text.start), data.get(text.end..)) else { return };
        // Chunk after chunk may be learnt: the room is used again.
        self.before.clear();
        self.before.extend_from_slice(before);
        self.behind.clear();
        self.behind.extend_from_slice(behind);
    }

    /// The text of a chunk that is like the learnt one but for this text, which has neither quotes nor escapes.
    pub(crate) fn text<'d>(&self, data: &'d [u8]) -> Option<&'d [u8]> {
        if self.behind.is_empty() {
            return None;
        }
        let text = data.strip_prefix(self.before.as_slice())?.strip_suffix(self.behind.as_slice())?;
        memchr::memchr2(b'"', b'\\', text).is_none().then_some(text)
    }
}
