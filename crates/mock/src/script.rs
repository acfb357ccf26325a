//! A reply as the exact bytes and writes that go out.

use http::StatusCode;

use crate::knobs::{Framing, Garbage, Knobs};
use crate::player::Ended;
use crate::reply::{Body, Reply};
use crate::request::Request;

const NO_STATUS_LINE: &[u8] = b"SMTP/7 220 this is no status line\r\n\r\n";
const NO_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nthis line has no colon\r\n\x01\x02\x03: \x7f\r\n\r\n";
const COMMENT: &[u8] = b": ping\n\n";
const COMMENT_CHUNK: &[u8] = b"8\r\n: ping\n\n\r\n";

/// All bytes of a reply and where the writes and the events end in them.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) status: u16,
    pub(crate) bytes: Vec<u8>,
    /// Where the head ends.
    pub(crate) head: usize,
    /// Where each write ends, ascending; the last is the length of `bytes`.
    pub(crate) writes: Vec<usize>,
    /// Where each event of a stream ends, with its framing, ascending.
    events: Vec<usize>,
    /// A comment with its framing, where one can be sent between head and body.
    pub(crate) comment: Option<&'static [u8]>,
    /// Whether the connection ends with this reply.
    pub(crate) closes: bool,
}

impl Script {
    /// Frames a reply to this request.
    pub(crate) fn of(reply: &Reply, request: &Request, knobs: &Knobs) -> Self {
        match knobs.garbage {
            Some(Garbage::StatusLine) => return Self::garbage(reply.status, NO_STATUS_LINE),
            Some(Garbage::Head) => return Self::garbage(reply.status, NO_HEAD),
            _ => {}
        }
        let whole;
        let (parts, streamed): (&[Vec<u8>], bool) = match &reply.body {
            Body::Events(events) => (events.as_slice(), true),
            Body::Whole(body) => {
                whole = [body.clone()];
                (whole.as_slice(), false)
            }
        };
        let bad_chunk = knobs.garbage == Some(Garbage::ChunkSize);
        let framing = if bad_chunk { Framing::Chunked } else { framing(request, knobs, streamed) };
        let bodiless = request.method == "HEAD" || matches!(reply.status, 204 | 304);
        let closes = knobs.close || bad_chunk || !request.keeps_alive() || framing == Framing::Close;

        let length = parts.iter().map(Vec::len).sum();
        let mut bytes = head(reply, knobs, framing, length);
        if closes {
            bytes.extend_from_slice(b"connection: close\r\n");
        } else if request.version == 0 {
            bytes.extend_from_slice(b"connection: keep-alive\r\n");
        }
        bytes.extend_from_slice(b"\r\n");

        let head = bytes.len();
        let mut script = Self {
            status: reply.status,
            bytes,
            head,
            writes: Vec::new(),
            events: Vec::new(),
            comment: None,
            closes,
        };
        if !bodiless {
            script.comment = comment(framing, streamed);
            script.add_body(parts, streamed, framing, knobs.one_write, bad_chunk);
        }
        if script.writes.is_empty() {
            script.writes.push(script.bytes.len());
        }
        script
    }

    fn garbage(status: u16, bytes: &[u8]) -> Self {
        Self {
            status,
            bytes: bytes.to_vec(),
            head: bytes.len(),
            writes: vec![bytes.len()],
            events: Vec::new(),
            comment: None,
            closes: true,
        }
    }

    fn add_body(
        &mut self,
        parts: &[Vec<u8>],
        streamed: bool,
        framing: Framing,
        one_write: bool,
        bad_chunk: bool,
    ) {
        let group = if one_write { parts.len().max(1) } else { 1 };
        for (number, parts) in parts.chunks(group).enumerate() {
            let size: usize = parts.iter().map(Vec::len).sum();
            if size == 0 {
                // A chunk of no bytes would end the body.
                continue;
            }
            if framing == Framing::Chunked {
                let line =
                    if bad_chunk && number == 0 { "zz\r\n".to_owned() } else { format!("{size:x}\r\n") };
                self.bytes.extend_from_slice(line.as_bytes());
            }
            for part in parts {
                self.bytes.extend_from_slice(part);
                if streamed {
                    self.events.push(self.bytes.len());
                }
            }
            if framing == Framing::Chunked {
                self.bytes.extend_from_slice(b"\r\n");
                if let Some(last) = self.events.last_mut() {
                    *last = self.bytes.len();
                }
            }
            self.writes.push(self.bytes.len());
        }
        if framing == Framing::Chunked {
            self.bytes.extend_from_slice(b"0\r\n\r\n");
            if let Some(last) = self.writes.last_mut() {
                *last = self.bytes.len();
            }
        }
    }

    /// How many events are whole in the first `sent` bytes.
    pub(crate) fn events_in(&self, sent: usize) -> u64 {
        self.events.partition_point(|&end| end <= sent) as u64
    }

    /// Where the knobs stop this reply before its end, and how; the earlier of a cut and a stall.
    pub(crate) fn stop(&self, knobs: &Knobs) -> Option<(usize, Ended)> {
        let at = |after: Option<usize>, ended| {
            after
                .map(|bytes| (self.head.saturating_add(bytes), ended))
                .filter(|(at, _)| *at < self.bytes.len())
        };
        match (at(knobs.cut_after, Ended::Cut), at(knobs.stall_after, Ended::Stalled)) {
            (Some(cut), Some(stall)) => Some(if stall.0 < cut.0 { stall } else { cut }),
            (cut, stall) => cut.or(stall),
        }
    }
}

fn framing(request: &Request, knobs: &Knobs, streamed: bool) -> Framing {
    let wanted = knobs.framing.unwrap_or(if streamed { Framing::Chunked } else { Framing::Length });
    // HTTP/1.0 has no chunks.
    if wanted == Framing::Chunked && request.version == 0 { Framing::Close } else { wanted }
}

fn comment(framing: Framing, streamed: bool) -> Option<&'static [u8]> {
    match framing {
        Framing::Chunked if streamed => Some(COMMENT_CHUNK),
        Framing::Close if streamed => Some(COMMENT),
        // Comments would break the promised length.
        _ => None,
    }
}

/// Interim responses, status line, the reply's headers and the framing ones; without the blank line.
fn head(reply: &Reply, knobs: &Knobs, framing: Framing, length: usize) -> Vec<u8> {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </mock>; rel=preload\r\n\r\n";
    let mut head = hint.repeat(knobs.early_hints.unwrap_or(0) as usize);
    let reason = StatusCode::from_u16(reply.status).ok().and_then(|status| status.canonical_reason());
    head.push_str(&format!("HTTP/1.1 {} {}\r\n", reply.status, reason.unwrap_or("Mocked")));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match framing {
        _ if matches!(reply.status, 204 | 304) => {}
        Framing::Length => head.push_str(&format!("content-length: {length}\r\n")),
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::Close => {}
    }
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(knobs: &Knobs) -> Script {
        let events = vec!["data: a\n\n".to_owned(), "data: bc\n\n".to_owned()];
        Script::of(&Reply::events(events), &Request { version: 1, ..Request::default() }, knobs)
    }

    #[test]
    fn each_event_is_a_write_and_a_chunk_unless_asked_otherwise() {
        let script = stream(&Knobs::default());
        let body = &script.bytes[script.head..];
        assert_eq!(body, b"9\r\ndata: a\n\n\r\na\r\ndata: bc\n\n\r\n0\r\n\r\n");
        assert_eq!(script.writes, [script.head + 14, script.bytes.len()]);
        let counts: Vec<u64> =
            [0, 13, 14, 28, 29, 34].iter().map(|sent| script.events_in(script.head + sent)).collect();
        assert_eq!(counts, [0, 0, 1, 1, 2, 2]);

        let script = stream(&Knobs { one_write: true, ..Knobs::default() });
        assert_eq!(&script.bytes[script.head..], b"13\r\ndata: a\n\ndata: bc\n\n\r\n0\r\n\r\n");
        assert_eq!(script.writes, [script.bytes.len()]);
        assert_eq!((script.events_in(script.head + 13), script.events_in(script.bytes.len())), (1, 2));
    }

    #[test]
    fn the_framing_is_told_in_the_head() {
        for (framing, line, closes) in [
            (None, "\r\ntransfer-encoding: chunked\r\n\r\n", false),
            (Some(Framing::Length), "\r\ncontent-length: 19\r\n\r\n", false),
            (Some(Framing::Close), "\r\nconnection: close\r\n\r\n", true),
        ] {
            let script = stream(&Knobs { framing, ..Knobs::default() });
            let head = std::str::from_utf8(&script.bytes[..script.head]).unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with(line), "{head}");
            assert_eq!(script.closes, closes, "{framing:?}");
        }
    }

    #[test]
    fn a_bodiless_reply_is_a_head() {
        for (status, method) in [(204, "POST"), (304, "POST"), (200, "HEAD")] {
            let reply = Reply::json(status, &serde_json::json!({}));
            let request = Request { version: 1, method: method.to_owned(), ..Request::default() };
            let script = Script::of(&reply, &request, &Knobs::default());
            assert_eq!(
                (script.bytes.len(), &script.writes[..]),
                (script.head, &[script.head][..]),
                "{status}"
            );
        }
    }

    #[test]
    fn the_earlier_of_cut_and_stall_stops_a_reply_before_its_end() {
        for (cut_after, stall_after, stop) in [
            (None, None, None),
            (Some(5), None, Some((5, Ended::Cut))),
            (Some(5), Some(4), Some((4, Ended::Stalled))),
            (Some(0), Some(4), Some((0, Ended::Cut))),
            (Some(usize::MAX), Some(4), Some((4, Ended::Stalled))),
            (Some(34), None, None),
        ] {
            let knobs = Knobs { cut_after, stall_after, ..Knobs::default() };
            let script = stream(&knobs);
            assert_eq!(script.stop(&knobs), stop.map(|(at, ended)| (at + script.head, ended)));
        }
    }
}
