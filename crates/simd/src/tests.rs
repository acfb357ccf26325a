use super::{blocks, short_string, string_stop};

/// What the walks must say, byte by byte.
fn reference(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match text.get(at..).unwrap_or_default() {
            [] | [b'"' | ..0x20, ..] => return at,
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => at += 2,
            [b'\\', b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => {
                at += 6
            }
            [b'\\', ..] => return at,
            _ => at += 1,
        }
    }
}

#[track_caller]
fn check(text: &[u8], start: usize) {
    let stop = reference(text, start);
    let shown = || text.escape_ascii();
    assert_eq!(string_stop(text, start), stop, "this machine's walk from {start}: {}", shown());
    assert_eq!(blocks::string_stop(text, start), stop, "every machine's walk from {start}: {}", shown());
    let content = &text[start + 1..stop];
    let is_short = content.len() <= 32 && !content.contains(&b'\\') && text.get(stop) == Some(&b'"');
    assert_eq!(short_string(text, start), is_short.then_some(stop), "from {start}: {}", shown());
}

/// Numbers that are the same in every run (Steele, Lea and Flood's SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn pick<'a>(&mut self, pieces: &[&'a [u8]]) -> &'a [u8] {
        pieces[self.below(pieces.len())]
    }
}

const ESCAPES: [&[u8]; 12] = [
    b"\\\"",
    b"\\\\",
    b"\\/",
    b"\\b",
    b"\\f",
    b"\\n",
    b"\\r",
    b"\\t",
    b"\\u00e9",
    b"\\uFFFF",
    b"\\\\\\\\",
    b"\\\\\\\"",
];
const PLAIN: [&[u8]; 8] = [b"a", b"u", b"n", b"/", b"plain text", "é世".as_bytes(), b"\x7f", b"\xff"];
const FAULTS: [&[u8]; 11] =
    [b"\"", b"\x00", b"\x1f", b"\n", b"\\", b"\\x", b"\\u12g4", b"\\u", b"\\\x01", b"\\\xe2", b"\\u12\""];

#[test]
fn random_strings_of_every_length_stop_where_they_should() {
    let mut random = Random(6);
    for length in 0..300 {
        for round in 0..60 {
            let start = random.below(70);
            let mut text = vec![b'\\'; start];
            text.push(b'"');
            // From no escapes at all to hardly anything else; every third round has faults, and most no end.
            let density = [0, 1, 10, 60, 95][round % 5];
            while text.len() < start + 1 + length {
                let fault = round % 3 == 0 && random.below(100) < 2;
                let escape = random.below(100) < density;
                text.extend(random.pick(if fault {
                    &FAULTS
                } else if escape {
                    &ESCAPES
                } else {
                    &PLAIN
                }));
            }
            text.truncate(start + 1 + length);
            check(&text, start);
            text.extend(b"\":0,\n");
            text.resize(text.len() + random.below(200), b' ');
            check(&text, start);
        }
    }
}

#[test]
fn random_bytes_that_matter_stop_where_they_should() {
    let mut random = Random(64);
    for _ in 0..30_000 {
        let length = random.below(300);
        let mut text = vec![b'"'];
        for _ in 0..length {
            text.push(b"\\\\\\\\\\\\\"nu0aF/\x1f"[random.below(14)]);
        }
        check(&text, 0);
    }
}

#[test]
fn whatever_stands_at_a_border_of_blocks_is_seen() {
    let pieces = ESCAPES.iter().chain(&FAULTS).chain(&PLAIN);
    for piece in pieces {
        for before in 0..140 {
            for after in [0, 1, 3, 5, 40, 63, 64, 65, 130] {
                let filler = |count| vec![b'x'; count];
                let text = [&b"\""[..], &filler(before), piece, &filler(after)].concat();
                check(&text, 0);
                check(&[&text[..], b"\""].concat(), 0);
            }
        }
    }
}

#[test]
fn every_byte_is_judged_alone_and_behind_a_backslash() {
    for byte in 0..=255 {
        for place in [0, 1, 15, 16, 31, 32, 33, 62, 63, 64, 100] {
            let mut text = vec![b'x'; 200];
            text[0] = b'"';
            text[place + 1] = byte;
            check(&text, 0);
            text[place + 1] = b'\\';
            text[place + 2] = byte;
            check(&text, 0);
        }
    }
}
