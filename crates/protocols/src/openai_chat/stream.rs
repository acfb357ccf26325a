use a6_codec::sse::Event;
use memchr::memmem;
use serde::Deserialize;

use crate::protocol::{End, Verdict};
use crate::{Totals, Usage};

/// A streamed chat completion, as far as it has come.
///
/// It is complete on `[DONE]`, or when every choice that was seen has a `finish_reason` and the transport ended
/// properly. Everything else is truncated.
#[derive(Debug)]
pub(crate) struct ChatStream {
    hide_usage: bool,
    done: bool,
    errored: bool,
    /// One per choice index seen, and whether it has finished.
    choices: Vec<(u64, bool)>,
    usage: Usage,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Totals>,
    #[serde(default)]
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    finish_reason: Option<serde::de::IgnoredAny>,
}

impl ChatStream {
    /// At the start of a stream.
    pub(crate) fn new(hide_usage: bool) -> Self {
        Self { hide_usage, done: false, errored: false, choices: Vec::new(), usage: Usage::default() }
    }

    /// The next event.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Verdict {
        let Some(data) = event.data.as_deref() else { return Verdict::Pass };
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Verdict::Pass;
        }
        if is_plain_delta(data) {
            self.see(0, false);
            return Verdict::Pass;
        }
        // A chunk that is not JSON is passed on as it is: the client asked this provider, not us, to make sense.
        let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return Verdict::Pass };
        self.errored |= chunk.error.is_some();
        let choices = chunk.choices.unwrap_or_default();
        for choice in &choices {
            self.see(choice.index, choice.finish_reason.is_some());
        }
        let Some(told) = chunk.usage else { return Verdict::Pass };
        self.usage.merge(told.into());
        if self.hide_usage && choices.is_empty() { Verdict::Hide } else { Verdict::Pass }
    }

    /// How the stream stands.
    pub(crate) fn end(&self) -> End {
        if self.done {
            End::Complete
        } else if self.errored {
            End::UpstreamError
        } else if !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished) {
            End::CompleteWithoutTerminal
        } else {
            End::Truncated
        }
    }

    /// The usage so far.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    fn see(&mut self, index: u64, finished: bool) {
        match self.choices.iter_mut().find(|(seen, _)| *seen == index) {
            Some((_, done)) => *done |= finished,
            None => self.choices.push((index, finished)),
        }
    }
}

/// Whether a chunk is the common kind: a piece of text for choice 0 that tells neither a finish nor usage nor an error.
///
/// Told by looking for member names only, since a stream has one such chunk per token: a name in double quotes cannot
/// stand inside a JSON string, where its quotes would be escaped. Any doubt means "no", and the chunk is parsed.
fn is_plain_delta(data: &[u8]) -> bool {
    let absent_or_null = |name: &[u8]| {
        let mut places = memmem::find_iter(data, name);
        match places.next() {
            None => true,
            Some(at) => {
                data[at + name.len()..].trim_ascii_start().starts_with(b":null") && places.next().is_none()
            }
        }
    };
    let mut indices = memmem::find_iter(data, b"\"index\":");
    let only_choice_0 = indices.next().is_some_and(|at| data[at + 8..].trim_ascii_start().starts_with(b"0"))
        && indices.next().is_none();
    only_choice_0
        && absent_or_null(b"\"finish_reason\"")
        && absent_or_null(b"\"usage\"")
        && memmem::find(data, b"\"error\"").is_none()
}
