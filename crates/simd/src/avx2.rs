use std::arch::x86_64::{
    __m256i, _mm256_andnot_si256, _mm256_avg_epu8, _mm256_cmpeq_epi8, _mm256_min_epu8, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_set1_epi8, _mm256_setr_epi8, _mm256_setr_epi64x, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_subs_epu8, _mm256_testz_si256, _mm256_xor_si256,
};

use crate::blocks::{Masks, Window, walk};

/// [`crate::string_stop`] for a processor with AVX2.
#[target_feature(enable = "avx2")]
pub(crate) fn string_stop(text: &[u8], start: usize) -> usize {
    walk(text, start, |window| is_plain(window), |window| masks(window))
}

/// Whether a block holds nothing but text and escapes of two characters that are easy to tell: not `\\`, behind which a
/// byte is not what the one before it says, and not `\u`. Most blocks of most prompts.
#[target_feature(enable = "avx2")]
fn is_plain(window: &Window) -> bool {
    let (low, high) = (load(window, 1), load(window, 33));
    let odd = _mm256_or_si256(odd(low, load(window, 0)), odd(high, load(window, 32)));
    let controls = _mm256_subs_epu8(_mm256_set1_epi8(0x20), _mm256_min_epu8(low, high));
    let all = _mm256_or_si256(odd, controls);
    _mm256_testz_si256(all, all) == 1
}

/// The bytes that are a quote without a backslash before it, or neither a quote nor one of `/bfnrt` with one.
#[target_feature(enable = "avx2")]
fn odd(bytes: __m256i, before: __m256i) -> __m256i {
    let quotes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
    let behind = _mm256_cmpeq_epi8(before, _mm256_set1_epi8(b'\\' as i8));
    _mm256_andnot_si256(letters(bytes), _mm256_xor_si256(quotes, behind))
}

/// The bytes that are one of `/bfnrt`.
#[target_feature(enable = "avx2")]
fn letters(bytes: __m256i) -> __m256i {
    // Halved and rounded up, the six differ in their last four bits, and these are their places here.
    let none = -1;
    let (b, f, n, slash, r, t) = (b'b' as i8, b'f' as i8, b'n' as i8, b'/' as i8, b'r' as i8, b't' as i8);
    let places = _mm256_setr_epi8(
        none, b, none, f, none, none, none, n, slash, r, t, none, none, none, none, none, //
        none, b, none, f, none, none, none, n, slash, r, t, none, none, none, none, none,
    );
    let halved = _mm256_avg_epu8(bytes, _mm256_setzero_si256());
    _mm256_cmpeq_epi8(bytes, _mm256_shuffle_epi8(places, halved))
}

#[target_feature(enable = "avx2")]
fn masks(window: &Window) -> Masks {
    let (low, high) = (load(window, 1), load(window, 33));
    let equal = |byte: u8| {
        let byte = _mm256_set1_epi8(byte as i8);
        bits(_mm256_cmpeq_epi8(low, byte), _mm256_cmpeq_epi8(high, byte))
    };
    let last = _mm256_set1_epi8(0x1f);
    let control = |bytes| _mm256_cmpeq_epi8(bytes, _mm256_min_epu8(bytes, last));
    Masks {
        quotes: equal(b'"'),
        backslashes: equal(b'\\'),
        controls: bits(control(low), control(high)),
        letters: bits(letters(low), letters(high)),
    }
}

#[target_feature(enable = "avx2")]
fn bits(low: __m256i, high: __m256i) -> u64 {
    let (low, high) = (_mm256_movemask_epi8(low) as u32, _mm256_movemask_epi8(high) as u32);
    u64::from(low) | u64::from(high) << 32
}

/// 32 bytes from `from` on; the compiler makes one load of the four.
#[target_feature(enable = "avx2")]
fn load(window: &Window, from: usize) -> __m256i {
    let (words, _) = window[from..from + 32].as_chunks();
    let word = |index: usize| i64::from_le_bytes(words[index]);
    _mm256_setr_epi64x(word(0), word(1), word(2), word(3))
}
