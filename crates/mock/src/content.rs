//! What the assistant says, and in which pieces.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::knobs::Knobs;
use crate::tokens;

/// One choice of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Text in the pieces a stream sends; `json` when the whole is a JSON document.
    Text { pieces: Vec<String>, json: bool },
    /// A call of the tool with this name and the arguments `{}`.
    ToolCall(String),
}

impl Answer {
    /// The text answer to what the user said, shaped by the knobs. `choice` counts from 0.
    pub(crate) fn to(said: &str, choice: u64, json: bool, knobs: &Knobs) -> Self {
        let mut text = match (said, choice) {
            ("", 0) => "Hello from the mock.".to_owned(),
            (_, 0) => format!("You said: {said}"),
            _ => format!("You said ({}): {said}", choice + 1),
        };
        let pieces = if json {
            text = json!({"answer": text}).to_string();
            split(&text, knobs)
        } else {
            pieces(&text, knobs)
        };
        Self::Text { pieces, json }
    }

    /// The assistant's text; nothing for a tool call.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text { pieces, .. } => pieces.concat(),
            Self::ToolCall(_) => String::new(),
        }
    }

    /// Completion tokens: of the text, or of the tool's name and arguments.
    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Self::Text { .. } => tokens::count(&self.text()),
            Self::ToolCall(name) => tokens::count(name) + tokens::count("{}"),
        }
    }

    /// Makes a text this many bytes longer; JSON stays JSON.
    pub(crate) fn pad(&mut self, bytes: usize) {
        if let Self::Text { pieces, json } = self {
            let mut text = pieces.concat();
            // A JSON answer ends in `"}`, and the padding goes before it.
            let at = if *json { text.len().saturating_sub(2) } else { text.len() };
            text.insert_str(at, &" and so on".chars().cycle().take(bytes).collect::<String>());
            *pieces = vec![text];
        }
    }
}

/// The text of a message's content: a string, or the text parts of an array.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// The text of the last message by the user, and whether it is the last of all.
pub(crate) fn last_said(messages: &[Value]) -> (String, bool) {
    let at = messages.iter().rposition(|message| message["role"] == "user");
    at.map_or_else(Default::default, |at| (text_of(&messages[at]["content"]), at + 1 == messages.len()))
}

/// The tokens of all messages' text.
pub(crate) fn prompt_tokens(messages: &[Value]) -> u64 {
    messages.iter().map(|message| tokens::count(&text_of(&message["content"]))).sum()
}

/// A number that depends on these bytes only; ids are made of it, so that equal requests get equal answers.
pub(crate) fn seed(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Pieces of a text that may be repeated and cut.
fn pieces(text: &str, knobs: &Knobs) -> Vec<String> {
    let source = format!("{text} ");
    match (knobs.chunks, knobs.chunk_bytes) {
        (None, None) => text.split_inclusive(' ').map(str::to_owned).collect(),
        (Some(chunks), None) => {
            source.split_inclusive(' ').cycle().take(chunks as usize).map(str::to_owned).collect()
        }
        (chunks, Some(size)) => {
            let chunks = chunks.map_or_else(|| text.len().div_ceil(size.max(1)), |chunks| chunks as usize);
            let mut letters = source.chars().cycle().peekable();
            let mut piece = || {
                let mut piece = String::with_capacity(size);
                while let Some(letter) = letters.next_if(|letter| piece.len() + letter.len_utf8() <= size) {
                    piece.push(letter);
                }
                // Where the next character has more bytes than there is room.
                while piece.len() < size {
                    piece.push('.');
                }
                piece
            };
            (0..chunks).map(|_| piece()).collect()
        }
    }
}

/// Pieces of a text that has to stay as it is: at most as many, or about as large, as the knobs say.
fn split(text: &str, knobs: &Knobs) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let size = match (knobs.chunks, knobs.chunk_bytes) {
        (_, Some(size)) => size,
        (Some(chunks), None) => letters.len().div_ceil((chunks as usize).max(1)),
        (None, None) => return text.split_inclusive(' ').map(str::to_owned).collect(),
    };
    letters.chunks(size.max(1)).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_cut_and_repeated_to_the_pieces_asked_for() {
        for (chunks, chunk_bytes, expected) in [
            (None, None, vec!["You ", "said: ", "aä"]),
            (Some(2), None, vec!["You ", "said: "]),
            (Some(5), None, vec!["You ", "said: ", "aä ", "You ", "said: "]),
            (Some(0), None, vec![]),
            (Some(3), Some(4), vec!["You ", "said", ": a."]),
            (None, Some(6), vec!["You sa", "id: a.", "ä You"]),
            (Some(2), Some(0), vec!["", ""]),
        ] {
            let knobs = Knobs { chunks, chunk_bytes, ..Knobs::default() };
            let Answer::Text { pieces, .. } = Answer::to("aä", 0, false, &knobs) else { panic!("no text") };
            assert_eq!(pieces, expected, "{chunks:?} {chunk_bytes:?}");
        }
    }

    #[test]
    fn a_json_answer_stays_json_in_pieces_and_padded() {
        for (chunks, chunk_bytes, count) in [(None, None, 3), (Some(4), None, 4), (None, Some(10), 3)] {
            let knobs = Knobs { chunks, chunk_bytes, ..Knobs::default() };
            let mut answer = Answer::to("a\"b", 0, true, &knobs);
            let Answer::Text { pieces, .. } = &answer else { panic!("no text") };
            assert_eq!(pieces.len(), count, "{pieces:?}");
            let before = answer.text().len();
            answer.pad(25);
            let value: Value = serde_json::from_str(&answer.text()).unwrap();
            assert_eq!(value["answer"], "You said: a\"b and so on and so on and ");
            assert_eq!(answer.text().len(), before + 25);
        }
    }

    #[test]
    fn the_last_user_message_is_found() {
        let messages = [
            json!({"role": "user", "content": "one"}),
            json!({"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "image_url"}]}),
            json!({"role": "tool", "content": "three, four"}),
        ];
        assert_eq!(last_said(&messages), ("two".to_owned(), false));
        assert_eq!(last_said(&messages[..1]), ("one".to_owned(), true));
        assert_eq!(last_said(&[]), (String::new(), false));
        assert_eq!(prompt_tokens(&messages), 5);
    }
}
