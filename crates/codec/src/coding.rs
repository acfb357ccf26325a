//! Content codings: what is inside a compressed body, as it comes or as a whole.

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

const BUFFER: usize = 4096;

/// A content coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, `x-gzip`.
    Gzip,
    /// `deflate`: zlib as the standard says, or bare deflate as some send it.
    Deflate,
    /// `br`.
    Brotli,
}

/// A compressed body that is broken, or grows beyond what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// The bytes are not of that coding.
    #[error("its content-encoding is broken")]
    Broken,
    /// More comes out of it than is allowed.
    #[error("its content-encoding hides more than is allowed")]
    TooLarge,
}

impl Coding {
    /// The coding that a `content-encoding` names. None for one that is not known, and for several.
    pub fn named(name: &[u8]) -> Option<Self> {
        let name = name.trim_ascii().to_ascii_lowercase();
        match name.as_slice() {
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"br" => Some(Self::Brotli),
            _ => None,
        }
    }

    /// What is inside a whole body, if it is at most `max` bytes.
    ///
    /// # Errors
    /// The body is broken or hides more than that.
    pub fn undo(self, body: &[u8], max: usize) -> Result<Vec<u8>, CodingError> {
        Inflater::new(self, max).push(body)
    }
}

/// Undoes a coding piece by piece: what a piece makes known comes out with it.
pub struct Inflater {
    decoder: Decoder,
    max: usize,
    /// Nothing has come yet.
    is_untouched: bool,
}

#[allow(
    clippy::large_enum_variant,
    reason = "there is one for a whole answer, and only where it is compressed"
)]
enum Decoder {
    Gzip(MultiGzDecoder<Sink>),
    /// Nothing has come yet that tells which of the two it is.
    Deflate,
    Zlib(ZlibDecoder<Sink>),
    Bare(DeflateDecoder<Sink>),
    Brotli(DecompressorWriter<Sink>),
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("max", &self.max).finish_non_exhaustive()
    }
}

impl Inflater {
    /// At the start of a body. One piece may grow to at most `max` bytes.
    pub fn new(coding: Coding, max: usize) -> Self {
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(MultiGzDecoder::new(Sink::new(max))),
            Coding::Deflate => Decoder::Deflate,
            Coding::Brotli => Decoder::Brotli(DecompressorWriter::new(Sink::new(max), BUFFER)),
        };
        Self { decoder, max, is_untouched: true }
    }

    /// What the next piece makes known.
    ///
    /// # Errors
    /// The body is broken or hides too much; nothing may be pushed after that.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, CodingError> {
        let Some(first) = piece.first() else { return Ok(Vec::new()) };
        self.is_untouched = false;
        if let Decoder::Deflate = self.decoder {
            // The first byte of zlib names the method, which is always 8. A bare stream that begins so is not written by
            // anybody: it would be a stored block with padding that is not zero.
            self.decoder = if first & 0x0f == 8 {
                Decoder::Zlib(ZlibDecoder::new(Sink::new(self.max)))
            } else {
                Decoder::Bare(DeflateDecoder::new(Sink::new(self.max)))
            };
        }
        match &mut self.decoder {
            Decoder::Gzip(decoder) => {
                let done = all(decoder, piece);
                decoder.get_mut().give(done)
            }
            Decoder::Zlib(decoder) => {
                let done = all(decoder, piece);
                decoder.get_mut().give(done)
            }
            Decoder::Bare(decoder) => {
                let done = all(decoder, piece);
                decoder.get_mut().give(done)
            }
            Decoder::Brotli(decoder) => {
                let done = all(decoder, piece);
                decoder.get_mut().give(done)
            }
            Decoder::Deflate => Ok(Vec::new()),
        }
    }

    /// At the end of the body: whether the coding has come to its end as well, or something of it is missing. Nothing may
    /// be pushed after that.
    pub fn is_at_end(&mut self) -> bool {
        // A decoder at its end takes no further byte; one that is not waits for it.
        let is_full = |decoder: &mut dyn Write| matches!(decoder.write(&[0]), Ok(0));
        match &mut self.decoder {
            _ if self.is_untouched => true,
            Decoder::Deflate => true,
            Decoder::Gzip(decoder) => decoder.try_finish().is_ok(),
            Decoder::Zlib(decoder) => is_full(decoder),
            Decoder::Bare(decoder) => is_full(decoder),
            Decoder::Brotli(decoder) => decoder.close().is_ok(),
        }
    }
}

fn all(decoder: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    decoder.write_all(piece)?;
    decoder.flush()
}

/// Where decoders write to, up to a limit.
struct Sink {
    out: Vec<u8>,
    max: usize,
    is_full: bool,
}

impl Sink {
    fn new(max: usize) -> Self {
        Self { out: Vec::new(), max, is_full: false }
    }

    fn give(&mut self, done: io::Result<()>) -> Result<Vec<u8>, CodingError> {
        match done {
            _ if self.is_full => Err(CodingError::TooLarge),
            Ok(()) => Ok(std::mem::take(&mut self.out)),
            Err(_) => Err(CodingError::Broken),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full || self.out.len() + bytes.len() > self.max {
            self.is_full = true;
            return Err(io::Error::other(CodingError::TooLarge));
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = b"data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: [DONE]\n\n";

    fn compressed() -> Vec<(Coding, Vec<u8>)> {
        fn written<W: Write>(mut encoder: W) -> W {
            // A piece that leaves early is flushed early.
            encoder.write_all(&TEXT[..15]).unwrap();
            encoder.flush().unwrap();
            encoder.write_all(&TEXT[15..]).unwrap();
            encoder
        }
        let fast = Compression::fast();
        vec![
            (Coding::Gzip, written(GzEncoder::new(Vec::new(), fast)).finish().unwrap()),
            (Coding::Deflate, written(ZlibEncoder::new(Vec::new(), fast)).finish().unwrap()),
            (Coding::Deflate, written(DeflateEncoder::new(Vec::new(), fast)).finish().unwrap()),
        ]
    }

    #[test]
    fn every_cut_gives_the_same_text() {
        for (coding, body) in compressed() {
            assert_eq!(coding.undo(&body, 1 << 20).unwrap(), TEXT, "{coding:?}");
            for cut in 0..=body.len() {
                let mut inflater = Inflater::new(coding, 1 << 20);
                let mut text = inflater.push(&body[..cut]).unwrap();
                text.extend(inflater.push(&body[cut..]).unwrap());
                assert_eq!(text, TEXT, "{coding:?} cut at {cut}");
            }
            let mut inflater = Inflater::new(coding, 1 << 20);
            let text: Vec<u8> = body.chunks(1).flat_map(|byte| inflater.push(byte).unwrap()).collect();
            assert_eq!(text, TEXT, "{coding:?}");
        }
    }

    #[test]
    fn a_cut_anywhere_is_no_end() {
        let mut bodies = compressed();
        bodies.push((Coding::Brotli, b"\x0b\x04\x80{\"a\":\"b\"}\x03".to_vec()));
        for (coding, body) in bodies {
            for cut in 0..=body.len() {
                let mut inflater = Inflater::new(coding, 1 << 20);
                inflater.push(&body[..cut]).unwrap();
                let is_whole = cut == 0 || cut == body.len();
                assert_eq!(inflater.is_at_end(), is_whole, "{coding:?} cut at {cut} of {}", body.len());
            }
        }
    }

    #[test]
    fn brotli_is_undone_too() {
        // One meta-block that is not compressed, and the last, which is empty.
        let body = b"\x0b\x04\x80{\"a\":\"b\"}\x03";
        assert_eq!(Coding::Brotli.undo(body, 100).unwrap(), b"{\"a\":\"b\"}");
        let mut inflater = Inflater::new(Coding::Brotli, 100);
        let text: Vec<u8> = body.chunks(1).flat_map(|byte| inflater.push(byte).unwrap()).collect();
        assert_eq!(text, b"{\"a\":\"b\"}");
    }

    #[test]
    fn broken_and_boundless_bodies_are_refused() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
            let error = coding.undo(b"\xff\xff\xffthis is none of them, by far", 1 << 20).unwrap_err();
            assert_eq!(error, CodingError::Broken, "{coding:?}");
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b'x'; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 4096);
        assert_eq!(Coding::Gzip.undo(&bomb, (1 << 20) - 1), Err(CodingError::TooLarge));
        assert_eq!(Coding::Gzip.undo(&bomb, 1 << 20).unwrap().len(), 1 << 20);
    }

    #[test]
    fn codings_have_their_names() {
        let cases: &[(&[u8], Option<Coding>)] = &[
            (b"gzip", Some(Coding::Gzip)),
            (b" X-GZIP ", Some(Coding::Gzip)),
            (b"deflate", Some(Coding::Deflate)),
            (b"br", Some(Coding::Brotli)),
            (b"zstd", None),
            (b"gzip, br", None),
            (b"", None),
        ];
        for (name, coding) in cases {
            assert_eq!(Coding::named(name), *coding, "{name:?}");
        }
    }
}
