use std::ops::Range;
use std::sync::LazyLock;

use a6_codec::sse::Event;
use a6_core::Fault;
use bytes::Bytes;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Template, told_usage};
use crate::Usage;
use crate::protocol::{End, Verdict};

/// A streamed chat completion, as far as it has come.
///
/// It is complete on `[DONE]`, or when every choice that was seen has a `finish_reason` and the transport ended
/// properly. Everything else is truncated.
#[derive(Debug)]
pub(crate) struct ChatStream {
    hide_usage: bool,
    done: bool,
    errored: bool,
    calls_tools: bool,
    template: Template,
    /// One per choice index seen, and whether it has finished.
    choices: Vec<(u64, bool)>,
    usage: Usage,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    finish_reason: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    delta: Option<Delta>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    tool_calls: Option<Vec<serde::de::IgnoredAny>>,
}

impl ChatStream {
    /// At the start of a stream.
    pub(crate) fn new(hide_usage: bool) -> Self {
        Self {
            hide_usage,
            done: false,
            errored: false,
            calls_tools: false,
            template: Template::default(),
            choices: Vec::new(),
            usage: Usage::default(),
        }
    }

    /// The next event.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Verdict {
        let Some(data) = event.data.as_deref() else { return Verdict::Pass };
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Verdict::Pass;
        }
        if self.template.text(data).is_some() {
            return Verdict::Pass;
        }
        if is_plain_delta(data) {
            if let Some(text) = place_of_text(data) {
                self.template.learn(data, text);
            }
            self.see(0, false);
            return Verdict::Pass;
        }
        // A chunk that is not JSON is passed on as it is: the client asked this provider, not us, to make sense.
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else { return Verdict::Pass };
        self.errored |= chunk.error.is_some();
        let choices = chunk.choices.unwrap_or_default();
        for choice in &choices {
            self.see(choice.index, choice.finish_reason.is_some());
            let calls = choice.delta.as_ref().and_then(|delta| delta.tool_calls.as_ref());
            self.calls_tools |= calls.is_some_and(|calls| !calls.is_empty());
        }
        let Some(told) = chunk.usage else { return Verdict::Pass };
        self.usage.merge(told_usage(told.get().as_bytes()));
        if self.hide_usage && choices.is_empty() { Verdict::Hide } else { Verdict::Pass }
    }

    /// How the stream stands.
    pub(crate) fn end(&self) -> End {
        if self.errored {
            // Some send `[DONE]` behind it.
            End::UpstreamError
        } else if self.done {
            End::Complete
        } else if !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished) {
            End::CompleteWithoutTerminal
        } else {
            End::Truncated
        }
    }

    /// Whether a tool was called so far.
    pub(crate) fn has_tool_calls(&self) -> bool {
        self.calls_tools
    }

    /// The usage so far.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// The event that tells of a fault.
    pub(crate) fn error_event(&self, fault: &Fault) -> Option<Bytes> {
        Some(super::error_event(fault))
    }

    fn see(&mut self, index: u64, finished: bool) {
        match self.choices.iter_mut().find(|(seen, _)| *seen == index) {
            Some((_, done)) => *done |= finished,
            None => self.choices.push((index, finished)),
        }
    }
}

/// Where the text of a plain chunk stands, if it has no escapes.
fn place_of_text(data: &[u8]) -> Option<Range<usize>> {
    let start = NAMES.content.find(data)? + NAMES.content.needle().len();
    let end = start + memchr::memchr2(b'"', b'\\', &data[start..])?;
    (data[end] == b'"').then_some(start..end)
}

/// Finds member names; built once, since a stream has one chunk per token.
struct Names {
    index: Finder<'static>,
    finish_reason: Finder<'static>,
    usage: Finder<'static>,
    error: Finder<'static>,
    tool_calls: Finder<'static>,
    content: Finder<'static>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    index: Finder::new(b"\"index\":"),
    finish_reason: Finder::new(b"\"finish_reason\""),
    usage: Finder::new(b"\"usage\""),
    error: Finder::new(b"\"error\""),
    tool_calls: Finder::new(b"\"tool_calls\""),
    content: Finder::new(b"\"content\":\""),
});

/// Whether a chunk is the common kind: a piece of text for choice 0 that tells neither a finish nor usage nor an error.
///
/// Told by looking for member names only: a name in double quotes cannot stand inside a JSON string, where its quotes
/// would be escaped. Any doubt means "no", and the chunk is parsed.
fn is_plain_delta(data: &[u8]) -> bool {
    let names = &*NAMES;
    let absent_or_null = |name: &Finder<'_>| {
        let mut places = name.find_iter(data);
        match places.next() {
            None => true,
            Some(at) => {
                let behind = data[at + name.needle().len()..].trim_ascii_start();
                behind.starts_with(b":null") && places.next().is_none()
            }
        }
    };
    let mut indices = names.index.find_iter(data);
    let only_choice_0 = indices
        .next()
        .is_some_and(|at| data[at + names.index.needle().len()..].trim_ascii_start().starts_with(b"0"))
        && indices.next().is_none();
    only_choice_0
        && absent_or_null(&names.finish_reason)
        && absent_or_null(&names.usage)
        && absent_or_null(&names.tool_calls)
        && names.error.find(data).is_none()
}
