//! Server-Sent Events: whole events out of a byte stream that is cut anywhere.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// An event that does not end within this many bytes is passed on in pieces, unread.
pub const MAX_EVENT: usize = 1 << 20;

/// Holds back the piece of an event that has not ended yet.
///
/// What it gives out always ends where an event ends. So the stream can be inspected, and an error event can be put
/// behind what was sent without landing in the middle of another event.
#[derive(Debug, Default)]
pub struct SseDecoder {
    tail: BytesMut,
    /// What was given out last ends in the middle of an event.
    is_inside: bool,
}

impl SseDecoder {
    /// Takes the next bytes and gives all events that are whole now, as they stand; empty if there are none.
    ///
    /// An event longer than [`MAX_EVENT`] comes out as it is so far: memory stays bounded, nothing is lost.
    pub fn push(&mut self, bytes: Bytes) -> Bytes {
        if self.tail.is_empty() {
            let end = last_boundary(&bytes, 0);
            if end < bytes.len() {
                self.tail.extend_from_slice(&bytes[end..]);
            }
            return self.bounded(bytes.slice(..end));
        }
        // A boundary may have begun in the last bytes of the tail.
        let from = self.tail.len().saturating_sub(3);
        self.tail.extend_from_slice(&bytes);
        let end = last_boundary(&self.tail, from);
        let whole = self.tail.split_to(end).freeze();
        self.bounded(whole)
    }

    /// What has come since the last whole event.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Whether what was given out ends where an event ends, so that something may be put behind it.
    pub fn is_between_events(&self) -> bool {
        !self.is_inside
    }

    /// Gives out the tail, for a stream that ended properly without a final blank line.
    pub fn take_tail(&mut self) -> Bytes {
        self.tail.split().freeze()
    }

    fn bounded(&mut self, whole: Bytes) -> Bytes {
        if self.tail.len() > MAX_EVENT && whole.is_empty() {
            self.is_inside = true;
            return self.take_tail();
        }
        self.is_inside &= whole.is_empty();
        whole
    }
}

/// The end of the last blank line at or behind `from`; 0 if there is none.
fn last_boundary(bytes: &[u8], from: usize) -> usize {
    let mut end = bytes.len();
    while let Some(newline) = memchr::memrchr(b'\n', &bytes[from..end]).map(|found| from + found) {
        let line_end = match bytes[..newline].last() {
            Some(b'\r') => newline - 1,
            _ => newline,
        };
        if line_end > 0 && bytes[line_end - 1] == b'\n' {
            return newline + 1;
        }
        end = newline;
    }
    0
}

/// One event of a run of whole events.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Where it stands in the run, its blank line included.
    pub span: Range<usize>,
    /// The `event` field.
    pub name: Option<&'a [u8]>,
    /// The `data` fields, joined by newlines; none if the event has no data (a comment, a keep-alive).
    pub data: Option<Cow<'a, [u8]>>,
}

/// The events of a run of whole events, in order.
pub fn events(run: &[u8]) -> impl Iterator<Item = Event<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < run.len()).then(|| {
            let start = at;
            let mut event = Event { span: start..run.len(), name: None, data: None };
            loop {
                let line_end = memchr::memchr(b'\n', &run[at..]).map_or(run.len(), |found| at + found);
                let line = trim_cr(&run[at..line_end]);
                at = (line_end + 1).min(run.len());
                if line.is_empty() {
                    // Blank lines before the first field belong to nothing; the event goes on.
                    if event.name.is_some() || event.data.is_some() || at >= run.len() || line_end > start {
                        event.span.end = at;
                        return event;
                    }
                } else {
                    field(&mut event, line);
                }
                if at >= run.len() {
                    return event;
                }
            }
        })
    })
}

fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn field<'a>(event: &mut Event<'a>, line: &'a [u8]) {
    let (name, value) = match memchr::memchr(b':', line) {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        None => (line, &line[line.len()..]),
    };
    let value = value.strip_prefix(b" ").unwrap_or(value);
    match name {
        b"data" => {
            event.data = Some(match event.data.take() {
                None => Cow::Borrowed(value),
                Some(before) => Cow::Owned([before.as_ref(), b"\n", value].concat()),
            });
        }
        b"event" => event.name = Some(value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name and data of an event.
    type Texts = (Option<String>, Option<String>);

    fn texts(run: &[u8]) -> Vec<Texts> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        events(run).map(|e| (e.name.map(text), e.data.as_deref().map(text))).collect()
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let some = |text: &str| Some(text.to_string());
        let cases: &[(&str, Vec<Texts>)] = &[
            ("data: a\n\n", vec![(None, some("a"))]),
            ("data:a\r\n\r\n", vec![(None, some("a"))]),
            ("data: a\ndata:  b\n\n", vec![(None, some("a\n b"))]),
            (
                "event: x\ndata: {\"a\":1}\n\ndata: y\n\n",
                vec![(some("x"), some("{\"a\":1}")), (None, some("y"))],
            ),
            (": ping\n\n", vec![(None, None)]),
            ("data\n\n", vec![(None, some(""))]),
            ("id: 3\nretry: 5\ndata: z\n\n", vec![(None, some("z"))]),
        ];
        for (run, expected) in cases {
            assert_eq!(&texts(run.as_bytes()), expected, "{run:?}");
        }
    }

    #[test]
    fn every_cut_gives_the_same_events_and_nothing_is_lost() {
        let stream = "data: é\n\n: c\n\r\ndata: b\r\n\r\nevent: m\ndata: x\ndata: y\n\ndata: tail";
        for cut in 0..=stream.len() {
            for second in [cut, (cut + 1).min(stream.len()), (cut + 5).min(stream.len())] {
                let mut decoder = SseDecoder::default();
                let mut out = Vec::new();
                for piece in
                    [&stream.as_bytes()[..cut], &stream.as_bytes()[cut..second], &stream.as_bytes()[second..]]
                {
                    let whole = decoder.push(Bytes::copy_from_slice(piece));
                    assert!(whole.is_empty() || whole.ends_with(b"\n\n") || whole.ends_with(b"\n\r\n"));
                    out.extend_from_slice(&whole);
                }
                assert_eq!(decoder.tail(), b"data: tail", "cut {cut} {second}");
                out.extend_from_slice(&decoder.take_tail());
                assert_eq!(out, stream.as_bytes());
            }
        }
    }

    #[test]
    fn spans_cover_the_run_without_gaps() {
        let run = b"data: a\n\n\n: c\n\ndata: b\r\n\r\n";
        let mut at = 0;
        for event in events(run) {
            assert_eq!(event.span.start, at);
            at = event.span.end;
        }
        assert_eq!(at, run.len());
    }

    #[test]
    fn an_endless_event_is_passed_on_in_pieces() {
        let mut decoder = SseDecoder::default();
        let piece = Bytes::from(vec![b'x'; MAX_EVENT / 2 + 1]);
        assert!(decoder.push(piece.clone()).is_empty());
        assert!(decoder.is_between_events());
        assert_eq!(decoder.push(piece).len(), MAX_EVENT + 2);
        assert!(decoder.tail().is_empty() && !decoder.is_between_events());
        assert_eq!(decoder.push("x\n\ndata: y".into()), "x\n\n");
        assert!(decoder.is_between_events());
    }
}
