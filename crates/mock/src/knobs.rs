//! The faults and shapes that a flag, a request header or a query parameter can ask for.

use std::time::Duration;

use clap::ValueEnum;

use crate::request::Request;

/// How the connection ends where `cut-after` cuts a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CutWith {
    /// An orderly end of the connection.
    Fin,
    /// A reset (`SO_LINGER` 0).
    Rst,
}

/// How the end of a reply's body is told to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`, what streams use.
    Chunked,
    /// `Content-Length`, what plain replies use.
    Length,
    /// Neither: the body ends where the connection does.
    Close,
}

/// What part of a reply is nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Garbage {
    /// The first line is no HTTP status line; nothing follows and the connection closes.
    StatusLine,
    /// The status line is good, the header lines are not; the connection closes.
    Head,
    /// The first chunk size is not a hexadecimal number; the connection closes.
    ChunkSize,
    /// Well-framed, but the JSON of the body (of a stream: of its second event) stops half-way.
    Json,
    /// Well-framed `text/event-stream` with bytes that are neither SSE nor UTF-8 (in a stream: its second event).
    Sse,
}

/// What a reply should look like and how it should fail. Every knob is also a flag of `a6 mock`, the request
/// header `x-mock-«name»` and the query parameter `mock-«name»`; the header wins over the query, the query over
/// the flag. The defaults leave the reply as a real provider would send it.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Wait this many milliseconds before the reply's head (with `comment-ms`: after it).
    #[arg(long, value_name = "MS")]
    pub first_delay_ms: Option<u64>,
    /// Wait this many milliseconds between two writes of a stream.
    #[arg(long, value_name = "MS")]
    pub chunk_delay_ms: Option<u64>,
    /// Number of content chunks: the text is repeated or cut to it.
    #[arg(long, value_name = "N")]
    pub chunks: Option<u32>,
    /// Size of the content of each chunk in bytes.
    #[arg(long, value_name = "BYTES")]
    pub chunk_bytes: Option<usize>,
    /// Answer with this status, 200 to 599; from 300 up with the provider's error JSON.
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(200..600))]
    pub status: Option<u16>,
    /// Close the connection after this many bytes behind the head, chunk framing included.
    #[arg(long, value_name = "BYTES")]
    pub cut_after: Option<usize>,
    /// How `cut-after` and `refuse` close the connection [default: fin].
    #[arg(long, value_enum)]
    pub cut_with: Option<CutWith>,
    /// Leave out the stream's last event (`[DONE]`, `message_stop`).
    #[arg(long)]
    pub no_done: bool,
    /// Leave out the token usage.
    #[arg(long)]
    pub no_usage: bool,
    /// Never say why the answer ended (`finish_reason`, `stop_reason`).
    #[arg(long)]
    pub no_finish: bool,
    /// How the end of the body is told [default: length for plain replies, chunked for streams].
    #[arg(long, value_enum)]
    pub framing: Option<Framing>,
    /// Send this many bytes behind the head, chunk framing included, then nothing until the client leaves.
    #[arg(long, value_name = "BYTES")]
    pub stall_after: Option<usize>,
    /// Send nonsense in this place.
    #[arg(long, value_enum)]
    pub garbage: Option<Garbage>,
    /// Send all events in one write and one chunk instead of each in its own.
    #[arg(long)]
    pub one_write: bool,
    /// Pad a plain reply to about this many bytes.
    #[arg(long, value_name = "BYTES")]
    pub body_bytes: Option<usize>,
    /// Value of a `retry-after` header, whatever the status [default: 1 with 429 and 503, else none].
    #[arg(long, value_name = "VALUE")]
    pub retry_after: Option<String>,
    /// Send this many `103 Early Hints` before the head.
    #[arg(long, value_name = "N")]
    pub early_hints: Option<u32>,
    /// Say `connection: close` and close after the reply.
    #[arg(long)]
    pub close: bool,
    /// Close without a byte: as a flag at accept, as a header or query parameter once the request is read.
    #[arg(long)]
    pub refuse: bool,
    /// Put `usage: null` on each chunk, as OpenAI does with `include_usage`.
    #[arg(long)]
    pub usage_null: bool,
    /// Send the head of a stream at once and a `: ping` comment at this interval (ms) during `first-delay-ms`.
    #[arg(long, value_name = "MS")]
    pub comment_ms: Option<u64>,
}

/// A knob in a header or in the query that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnobError {
    /// No knob has this name.
    #[error("there is no knob `{0}`; the knobs are {list}", list = NAMES.join(", "))]
    Unknown(String),
    /// The value does not fit the knob.
    #[error("knob `{name}`: found `{found}`, expected {expected}")]
    Value {
        /// The knob's name without its prefix.
        name: String,
        /// What was given.
        found: String,
        /// What can be given.
        expected: &'static str,
    },
}

const NAMES: [&str; 21] = [
    "first-delay-ms",
    "chunk-delay-ms",
    "chunks",
    "chunk-bytes",
    "status",
    "cut-after",
    "cut-with",
    "no-done",
    "no-usage",
    "no-finish",
    "framing",
    "stall-after",
    "garbage",
    "one-write",
    "body-bytes",
    "retry-after",
    "early-hints",
    "close",
    "refuse",
    "usage-null",
    "comment-ms",
];

impl Knobs {
    /// Sets one knob from text, as a header or a query parameter gives it. An empty value switches a yes/no knob on.
    ///
    /// # Errors
    /// When there is no such knob or the value does not fit it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), KnobError> {
        match name {
            "first-delay-ms" => self.first_delay_ms = Some(number(name, value)?),
            "chunk-delay-ms" => self.chunk_delay_ms = Some(number(name, value)?),
            "chunks" => self.chunks = Some(number(name, value)?),
            "chunk-bytes" => self.chunk_bytes = Some(number(name, value)?),
            "status" => self.status = Some(status(name, value)?),
            "cut-after" => self.cut_after = Some(number(name, value)?),
            "cut-with" => self.cut_with = Some(choice(name, value, "fin or rst")?),
            "no-done" => self.no_done = yes(name, value)?,
            "no-usage" => self.no_usage = yes(name, value)?,
            "no-finish" => self.no_finish = yes(name, value)?,
            "framing" => self.framing = Some(choice(name, value, "chunked, length or close")?),
            "stall-after" => self.stall_after = Some(number(name, value)?),
            "garbage" => {
                self.garbage = Some(choice(name, value, "status-line, head, chunk-size, json or sse")?);
            }
            "one-write" => self.one_write = yes(name, value)?,
            "body-bytes" => self.body_bytes = Some(number(name, value)?),
            "retry-after" => self.retry_after = Some(value.to_owned()),
            "early-hints" => self.early_hints = Some(number(name, value)?),
            "close" => self.close = yes(name, value)?,
            "refuse" => self.refuse = yes(name, value)?,
            "usage-null" => self.usage_null = yes(name, value)?,
            "comment-ms" => self.comment_ms = Some(number(name, value)?),
            _ => return Err(KnobError::Unknown(name.to_owned())),
        }
        Ok(())
    }

    /// These knobs with what the request's query and headers ask for on top; `None` when it asks for nothing.
    pub(crate) fn asked_by(&self, request: &Request) -> Result<Option<Self>, KnobError> {
        let query = request.query().split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((name.strip_prefix("mock-")?, value))
        });
        let headers = request
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("x-mock-")?, value.as_str())));
        let mut changed: Option<Self> = None;
        for (name, value) in query.chain(headers) {
            changed.get_or_insert_with(|| self.clone()).set(name, value)?;
        }
        Ok(changed)
    }

    /// How long to wait before the first token.
    pub(crate) fn first_delay(&self) -> Duration {
        Duration::from_millis(self.first_delay_ms.unwrap_or(0))
    }

    /// How long to wait between two writes of a stream.
    pub(crate) fn chunk_delay(&self) -> Duration {
        Duration::from_millis(self.chunk_delay_ms.unwrap_or(0))
    }
}

fn wrong(name: &str, value: &str, expected: &'static str) -> KnobError {
    KnobError::Value { name: name.to_owned(), found: value.to_owned(), expected }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, KnobError> {
    value.parse().map_err(|_| wrong(name, value, "a whole number, 0 or more"))
}

fn status(name: &str, value: &str) -> Result<u16, KnobError> {
    let code: u16 = number(name, value)?;
    if (200..600).contains(&code) { Ok(code) } else { Err(wrong(name, value, "a status from 200 to 599")) }
}

fn choice<T: ValueEnum>(name: &str, value: &str, expected: &'static str) -> Result<T, KnobError> {
    T::from_str(value, false).map_err(|_| wrong(name, value, expected))
}

fn yes(name: &str, value: &str) -> Result<bool, KnobError> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(wrong(name, value, "nothing, 1, true, 0 or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_list_can_be_set_by_text_and_by_flag() {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            knobs: Knobs,
        }
        for name in NAMES {
            let value = match name {
                "cut-with" => "rst",
                "framing" => "close",
                "garbage" => "chunk-size",
                "no-done" | "no-usage" | "no-finish" | "one-write" | "close" | "refuse" | "usage-null" => "",
                _ => "201",
            };
            let mut by_text = Knobs::default();
            by_text.set(name, value).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_ne!(by_text, Knobs::default(), "{name} changed nothing");

            let flag = if value.is_empty() { format!("--{name}") } else { format!("--{name}={value}") };
            let by_flag = <Flags as clap::Parser>::try_parse_from(["mock", flag.as_str()]).unwrap().knobs;
            assert_eq!(by_flag, by_text, "{name}");
        }
    }

    #[test]
    fn a_wrong_value_or_name_says_what_was_expected() {
        for (name, value, message) in [
            ("chunks", "many", "knob `chunks`: found `many`, expected a whole number, 0 or more"),
            ("status", "99", "knob `status`: found `99`, expected a status from 200 to 599"),
            ("cut-with", "axe", "knob `cut-with`: found `axe`, expected fin or rst"),
            ("close", "maybe", "knob `close`: found `maybe`, expected nothing, 1, true, 0 or false"),
        ] {
            let error = Knobs::default().set(name, value).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let unknown = Knobs::default().set("cunks", "1").unwrap_err().to_string();
        assert!(unknown.starts_with("there is no knob `cunks`; the knobs are first-delay-ms, "), "{unknown}");
    }

    #[test]
    fn a_header_wins_over_the_query_and_the_query_over_the_flag() {
        let base = Knobs { chunks: Some(1), chunk_bytes: Some(1), status: Some(201), ..Knobs::default() };
        let request = Request {
            target: "/v1/chat/completions?mock-chunks=2&mock-chunk-bytes=2&x=1".to_owned(),
            headers: vec![("x-mock-chunks".to_owned(), "3".to_owned())],
            ..Request::default()
        };
        let asked = base.asked_by(&request).unwrap().unwrap();
        assert_eq!((asked.chunks, asked.chunk_bytes, asked.status), (Some(3), Some(2), Some(201)));
        assert_eq!(base.asked_by(&Request::default()).unwrap(), None);
    }
}
