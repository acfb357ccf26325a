use wide::u8x16;

/// How many bytes are looked at together: one bit each in a `u64`.
const BLOCK: usize = 64;

/// A block and the byte before it, which tells whether its first byte is escaped.
pub(crate) type Window = [u8; BLOCK + 1];

/// One bit for each byte of a block, the first byte lowest.
pub(crate) struct Masks {
    pub(crate) quotes: u64,
    pub(crate) backslashes: u64,
    pub(crate) controls: u64,
    /// Of the letters and the slash that a backslash may stand before, those that it costs nothing to know.
    pub(crate) letters: u64,
}

/// What a block says of the string that it is part of.
enum Step {
    /// It goes on with the block at this offset.
    Next(usize),
    /// Its content stops at this offset.
    Stop(usize),
}

/// [`crate::string_stop`] with what every machine has.
pub(crate) fn string_stop(text: &[u8], start: usize) -> usize {
    walk(text, start, is_plain, masks)
}

/// The walk over a string: `is_plain` may be quick and say no too often, since `masks` then tells all. It is compiled
/// into each caller anew, for the instructions that the caller may use.
#[inline(always)]
pub(crate) fn walk(
    text: &[u8],
    start: usize,
    is_plain: impl Fn(&Window) -> bool,
    masks: impl Fn(&Window) -> Masks,
) -> usize {
    let mut at = start + 1;
    loop {
        // A loop of its own, so that what it compares with stays in registers.
        let mut rest = &text[at - 1..];
        while let Some((window, _)) = rest.split_first_chunk()
            && is_plain(window)
        {
            rest = &rest[BLOCK..];
        }
        at = text.len() - rest.len() + 1;
        let last;
        let window = match rest.first_chunk() {
            Some(window) => window,
            None => {
                last = last_window(rest);
                &last
            }
        };
        match step(text, at, window, masks(window)) {
            Step::Next(next) => at = next,
            Step::Stop(stop) => return stop,
        }
    }
}

/// Whether a block holds nothing but text and the two escapes that are most of all: `\"` and `\n`.
fn is_plain(window: &Window) -> bool {
    let (before, _) = window[..BLOCK].as_chunks();
    let (block, _) = window[1..].as_chunks();
    let mut odd = u8x16::ZERO;
    for (before, bytes) in before.iter().zip(block) {
        let (before, bytes) = (u8x16::from(*before), u8x16::from(*bytes));
        let differs = bytes.simd_eq(u8x16::splat(b'"')) ^ before.simd_eq(u8x16::splat(b'\\'));
        odd |= (differs & !bytes.simd_eq(u8x16::splat(b'n'))) | controls(bytes);
    }
    !odd.any()
}

/// The closing quote's offset, if the string that opens at `start` has neither escapes nor faults and at most 32
/// bytes: what nearly every member name is, and not worth the way into the loop for long ones.
#[inline]
pub fn short_string(text: &[u8], start: usize) -> Option<usize> {
    let content = &text[start + 1..];
    let place = match content.split_first_chunk::<32>() {
        // The bit behind the block: one more byte may be asked whether it is the quote.
        Some((block, _)) => (bits(block, specials) | 1 << 32).trailing_zeros() as usize,
        None => content.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?,
    };
    (content.get(place) == Some(&b'"')).then_some(start + 1 + place)
}

/// The last bytes of a text with NULs behind them: a string cannot go on over those, so that one without an end stops
/// just where the text does.
fn last_window(rest: &[u8]) -> Window {
    let mut window = [0; BLOCK + 1];
    window[..rest.len()].copy_from_slice(rest);
    window
}

/// Decides the block at `at`, whose first byte must be escaped exactly if the byte before it is a backslash.
#[inline(always)]
fn step(text: &[u8], at: usize, window: &Window, masks: Masks) -> Step {
    let escaped = escaped(masks.backslashes, window[0] == b'\\');
    let stops = (masks.quotes | masks.controls) & !escaped;
    let before_stop = stops.wrapping_sub(1) & !stops;
    let mut unchecked = escaped & before_stop & !(masks.quotes | masks.backslashes | masks.letters);
    while unchecked != 0 {
        let place = unchecked.trailing_zeros() as usize % BLOCK;
        let character = at + place;
        let escape = ESCAPES[usize::from(window[place + 1])];
        // The digits may lie in the next block, which then finds plain characters there.
        if escape != SHORT && !(escape == UNICODE && is_hex(text, character + 1)) {
            return Step::Stop(character - 1);
        }
        unchecked &= unchecked - 1;
    }
    if stops != 0 {
        return Step::Stop(at + stops.trailing_zeros() as usize);
    }
    // An escaped backslash at the end would look to the next block as if it escaped something.
    let overlap = (masks.backslashes & escaped) >> (BLOCK - 1);
    Step::Next(at + BLOCK - overlap as usize)
}

/// The bytes behind a backslash that is not itself escaped.
fn escaped(backslashes: u64, first: bool) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let first = u64::from(first);
    let behind = backslashes << 1 | first;
    if backslashes & behind == 0 {
        return behind;
    }
    // In a run of backslashes every second one is escaped. Subtracting the places where runs begin from the odd bits
    // borrows through each run, so that its bits alternate from its own beginning; Langdale and Lemire, "Parsing
    // gigabytes of JSON per second", 2019, and simdjson's later form of it.
    let opening = backslashes & !first;
    let alternating = ((opening << 1) | ODD).wrapping_sub(opening) ^ ODD;
    alternating ^ (backslashes | first)
}

fn is_hex(text: &[u8], at: usize) -> bool {
    match text[at..].first_chunk::<4>() {
        Some(digits) => digits.iter().fold(true, |all, digit| all & HEX[usize::from(*digit)]),
        None => false,
    }
}

fn masks(window: &Window) -> Masks {
    let block = &window[1..];
    Masks {
        quotes: bits(block, |bytes| bytes.simd_eq(u8x16::splat(b'"'))),
        backslashes: bits(block, |bytes| bytes.simd_eq(u8x16::splat(b'\\'))),
        controls: bits(block, controls),
        letters: 0,
    }
}

/// One bit for each byte that `find` finds, in up to 64 bytes, a multiple of 16.
#[inline]
fn bits(block: &[u8], find: impl Fn(u8x16) -> u8x16) -> u64 {
    let (parts, _) = block.as_chunks();
    parts.iter().rev().fold(0, |bits, part| bits << 16 | u64::from(find(u8x16::from(*part)).to_bitmask()))
}

#[inline]
fn specials(bytes: u8x16) -> u8x16 {
    bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | controls(bytes)
}

#[inline]
fn controls(bytes: u8x16) -> u8x16 {
    bytes.min(u8x16::splat(0x1f)).simd_eq(bytes)
}

const SHORT: u8 = 1;
const UNICODE: u8 = 2;

/// What may stand behind a backslash.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let short = b"\"\\/bfnrt";
    let mut index = 0;
    while index < short.len() {
        table[short[index] as usize] = SHORT;
        index += 1;
    }
    table[b'u' as usize] = UNICODE;
    table
};

static HEX: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_hexdigit();
        byte += 1;
    }
    table
};
