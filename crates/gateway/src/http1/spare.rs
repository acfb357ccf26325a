use std::cell::{Cell, RefCell};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use http::HeaderMap;

/// Most requests fit.
pub(super) const READ_BUFFER: usize = 8 << 10;
const TEXT_BUFFER: usize = 4 << 10;
/// What a thread keeps of each kind, and the largest it keeps.
const KEPT: usize = 32;
const LARGEST: usize = 4;
/// `Sun, 06 Nov 1994 08:49:37 GMT`
type Date = [u8; 29];

struct Spare {
    reads: Vec<BytesMut>,
    texts: Vec<Vec<u8>>,
    headers: Vec<HeaderMap>,
}

thread_local! {
    static SPARE: RefCell<Spare> =
        const { RefCell::new(Spare { reads: Vec::new(), texts: Vec::new(), headers: Vec::new() }) };
    static DATE: Cell<(u64, Date)> = const { Cell::new((0, [b' '; 29])) };
}

/// A buffer to read into.
pub(super) fn read_buffer() -> BytesMut {
    let spare = SPARE.with_borrow_mut(|spare| spare.reads.pop());
    spare.unwrap_or_else(|| BytesMut::with_capacity(READ_BUFFER))
}

/// Takes an empty buffer back, if nobody holds a piece of its memory.
pub(super) fn give_read_buffer(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.try_reclaim(READ_BUFFER) && buffer.capacity() <= LARGEST * READ_BUFFER {
        keep(buffer, |spare| &mut spare.reads);
    }
}

/// A buffer to write heads and framing into.
pub(super) fn text_buffer() -> Vec<u8> {
    let spare = SPARE.with_borrow_mut(|spare| spare.texts.pop());
    spare.unwrap_or_else(|| Vec::with_capacity(TEXT_BUFFER))
}

/// Takes such a buffer back.
pub(super) fn give_text_buffer(mut buffer: Vec<u8>) {
    buffer.clear();
    if buffer.capacity() <= LARGEST * TEXT_BUFFER {
        keep(buffer, |spare| &mut spare.texts);
    }
}

/// An empty map.
pub(super) fn headers() -> HeaderMap {
    SPARE.with_borrow_mut(|spare| spare.headers.pop()).unwrap_or_default()
}

/// Takes a map back, to use its memory again.
pub(super) fn give_headers(mut headers: HeaderMap) {
    headers.clear();
    if (1..=128).contains(&headers.capacity()) {
        keep(headers, |spare| &mut spare.headers);
    }
}

fn keep<T>(value: T, place: impl FnOnce(&mut Spare) -> &mut Vec<T>) {
    SPARE.with_borrow_mut(|spare| {
        let kept = place(spare);
        if kept.len() < KEPT {
            kept.push(value);
        }
    });
}

/// The time of day as the `date` header tells it, made once a second.
pub(super) fn date() -> Date {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (known, date) = DATE.get();
    if known == second {
        return date;
    }
    let text = httpdate::fmt_http_date(now);
    let Ok(date) = Date::try_from(text.as_bytes()) else { return date };
    DATE.set((second, date));
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_serves_again_once_nobody_holds_its_memory() {
        let mut buffer = read_buffer();
        buffer.extend_from_slice(b"held");
        let memory = buffer.as_ptr();
        let held = buffer.split_to(4);
        give_read_buffer(buffer);
        let mut other = read_buffer();
        assert_ne!(other.as_ptr(), memory);
        drop(held);
        other.extend_from_slice(b"free");
        let memory = other.as_ptr();
        drop(other.split_to(4));
        give_read_buffer(other);
        let again = read_buffer();
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        assert!(again.capacity() >= READ_BUFFER);
    }

    #[test]
    fn the_date_has_the_form_of_rfc_9110() {
        let text = String::from_utf8(date().to_vec()).unwrap();
        let shape: String = text
            .chars()
            .map(|c| {
                if c.is_ascii_digit() {
                    '9'
                } else if c.is_ascii_alphabetic() {
                    'a'
                } else {
                    c
                }
            })
            .collect();
        assert_eq!(shape, "aaa, 99 aaa 9999 99:99:99 aaa", "{text}");
    }
}
