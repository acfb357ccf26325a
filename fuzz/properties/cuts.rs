//! How an input says where it is cut.

/// Takes the first line off an input: its bytes are choices, such as the lengths of pieces.
pub(crate) fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (&[], input),
    }
}

/// The number that a byte of the first line stands for: its distance from the digit 0, so that `3` is three.
pub(crate) fn number(choice: u8) -> usize {
    usize::from(choice.wrapping_sub(b'0'))
}

/// The same bytes whole, in even pieces (of one byte, if there are few bytes), and in pieces of the lengths that the
/// first line gives, the rest in one piece.
pub(crate) fn ways<'b>(choices: &[u8], bytes: &'b [u8]) -> [Vec<&'b [u8]>; 3] {
    let even = bytes.chunks(1 + bytes.len() / 512).collect();
    let mut rest = bytes;
    let mut chosen = Vec::new();
    for choice in choices {
        let (piece, after) = rest.split_at(number(*choice).min(rest.len()));
        chosen.push(piece);
        rest = after;
    }
    chosen.push(rest);
    [vec![bytes], even, chosen]
}
