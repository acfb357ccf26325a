//! Loops over many bytes at once, for whom the machine's own instructions are worth a room.
//!
//! This is the one room that may say `unsafe`, and it does so once: whether a processor has AVX2 is known when the
//! program runs, not when it is compiled, and no safe call leads from the one to the other. Everything behind that call
//! is safe code, loads included.
//!
//! - `blocks.rs`: one block of a JSON string, decided exactly, and the walk for machines without AVX2.
//! - `avx2.rs`: the walk for machines that have it.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod blocks;
#[cfg(test)]
mod tests;

pub use blocks::short_string;

/// Where the content of a JSON string stops.
///
/// `start` is the offset of the opening quote. The answer is the offset of the first byte behind it that is
/// - the closing quote,
/// - a control character,
/// - the backslash of an escape that RFC 8259 does not know or that is cut short,
///
/// or the length of the text if there is none. UTF-8 is not checked.
pub fn string_stop(text: &[u8], start: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the one door to code for a processor that is known only now")]
        // SAFETY: the processor has AVX2, as the line above found, and nothing else is asked of a caller.
        return unsafe { avx2::string_stop(text, start) };
    }
    blocks::string_stop(text, start)
}
