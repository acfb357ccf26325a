//! Messages that are put before and behind a client's own, where the request's wire protocol keeps them.

use std::borrow::Cow;

use a6_codec::json::{Document, Edit, Root, splice};
use serde_json::{Value, json};

/// Where a request keeps its prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `messages`, whose items are role and content (OpenAI chat completions, Anthropic Messages).
    Messages,
    /// `instructions` and `input` (OpenAI Responses).
    Responses,
    /// `system` and `messages`, whose texts are blocks (Bedrock Converse).
    Converse,
    /// Nowhere that is known, as in embeddings and whatever passes as it is.
    Elsewhere,
}

impl Dialect {
    /// The dialect of a request, by its path and body. A body that says nothing at all is one without messages yet.
    pub fn detect(path: &str, document: &Document, text: &[u8]) -> Self {
        let messages = document.get(text, "messages").and_then(<[u8]>::first).copied();
        let has_input = document.get(text, "input").is_some();
        let is_empty = match document.root {
            Root::Object => document.members.is_empty(),
            Root::Array { items } => items == 0,
            Root::Scalar => true,
        };
        match messages {
            Some(b'[') if path.ends_with("/converse") => Self::Converse,
            _ if path.ends_with("/v1/messages") => Self::Messages,
            _ if path.ends_with("/v1/responses") && has_input => Self::Responses,
            Some(b'[' | b'{') => Self::Messages,
            _ if is_empty => Self::Messages,
            _ => Self::Elsewhere,
        }
    }
}

/// A message to put into requests.
#[derive(Clone, Debug)]
pub struct Prompt {
    role: Box<str>,
    content: Box<str>,
    /// The whole message, as JSON text.
    text: Box<str>,
}

impl Prompt {
    /// Reads a message as chat completions have it. None if it has no role or no content in text.
    pub fn of(message: &Value) -> Option<Self> {
        let member = |name: &str| message.get(name).and_then(Value::as_str).map(Box::<str>::from);
        Some(Self { role: member("role")?, content: member("content")?, text: message.to_string().into() })
    }

    fn is_system(&self) -> bool {
        &*self.role == "system"
    }

    /// As a block of Converse's `system`.
    fn block(&self) -> String {
        json!({"text": *self.content}).to_string()
    }

    /// As one of Converse's `messages`.
    fn turn(&self) -> String {
        json!({"role": *self.role, "content": [{"text": *self.content}]}).to_string()
    }
}

/// A request into which no message can be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member} is not {wanted}")]
pub struct Undecorable {
    member: &'static str,
    wanted: &'static str,
}

/// Puts messages before and behind the client's own. Every byte that is not theirs stays as it came. None if nothing
/// changes.
///
/// Chat and Anthropic take them with their roles, into `messages`. Responses has no roles: what comes before goes before
/// `instructions`, what comes behind goes behind `input`. Converse keeps the role `system` apart.
///
/// # Errors
/// The place where they belong holds something else; the error names it.
pub fn decorate(
    dialect: Dialect,
    document: &Document,
    text: &[u8],
    before: &[Prompt],
    behind: &[Prompt],
) -> Result<Option<Vec<u8>>, Undecorable> {
    if dialect == Dialect::Elsewhere || (before.is_empty() && behind.is_empty()) {
        return Ok(None);
    }
    if document.root != Root::Object {
        return Err(Undecorable { member: "the body", wanted: "an object" });
    }
    let request = Request { document, text };
    let edits = match dialect {
        Dialect::Messages => {
            let messages = |prompts: &[Prompt]| -> Vec<String> {
                prompts.iter().map(|prompt| prompt.text.to_string()).collect()
            };
            vec![request.lengthen("messages", messages(before), messages(behind))?]
        }
        Dialect::Responses => request.responses(before, behind)?,
        Dialect::Converse => request.converse(before, behind)?,
        Dialect::Elsewhere => Vec::new(),
    };
    Ok(Some(splice(text, document, &edits)))
}

struct Request<'t> {
    document: &'t Document,
    text: &'t [u8],
}

impl<'t> Request<'t> {
    /// A member's value; `null` counts as none.
    fn get(&self, member: &str) -> Option<&'t [u8]> {
        self.document.get(self.text, member).filter(|raw| *raw != b"null")
    }

    fn responses(&self, before: &[Prompt], behind: &[Prompt]) -> Result<Vec<Edit<'static>>, Undecorable> {
        let mut edits = Vec::new();
        if !before.is_empty() {
            edits.push(match self.get("instructions") {
                None => set_text("instructions", &[&joined(before)]),
                Some(raw) => {
                    let wrong = Undecorable { member: "instructions", wanted: "text" };
                    set_text("instructions", &[&joined(before), inside(raw).ok_or(wrong)?])
                }
            });
        }
        if !behind.is_empty() {
            let added = joined(behind);
            edits.push(match self.get("input") {
                None => set_text("input", &[&added]),
                Some(raw) => match inside(raw) {
                    Some(own) => set_text("input", &[own, &added]),
                    None => {
                        let item = json!({"type": "message", "role": "user", "content": contents(behind)});
                        self.lengthen("input", Vec::new(), vec![item.to_string()])?
                    }
                },
            });
        }
        Ok(edits)
    }

    fn converse(&self, before: &[Prompt], behind: &[Prompt]) -> Result<Vec<Edit<'static>>, Undecorable> {
        let blocks = |prompts: &[Prompt]| -> Vec<String> {
            prompts.iter().filter(|prompt| prompt.is_system()).map(Prompt::block).collect()
        };
        let turns = |prompts: &[Prompt]| -> Vec<String> {
            prompts.iter().filter(|prompt| !prompt.is_system()).map(Prompt::turn).collect()
        };
        let members =
            [("system", blocks(before), blocks(behind)), ("messages", turns(before), turns(behind))];
        members
            .into_iter()
            .filter(|(_, before, behind)| !before.is_empty() || !behind.is_empty())
            .map(|(member, before, behind)| self.lengthen(member, before, behind))
            .collect()
    }

    /// Puts items, as JSON text, before and behind those of a list.
    fn lengthen(
        &self,
        member: &'static str,
        before: Vec<String>,
        behind: Vec<String>,
    ) -> Result<Edit<'static>, Undecorable> {
        let own = match self.get(member) {
            None => &b""[..],
            Some(raw) => items(raw).ok_or(Undecorable { member, wanted: "a list" })?,
        };
        let own = (!own.trim_ascii().is_empty()).then_some(own);
        let pieces: Vec<&[u8]> = before
            .iter()
            .map(String::as_bytes)
            .chain(own)
            .chain(behind.iter().map(String::as_bytes))
            .collect();
        let list = [&b"["[..], &pieces.join(&b','), b"]"].concat();
        Ok(Edit::Set(member, Cow::Owned(list)))
    }
}

/// The inside of a list. Lua's empty list and empty object are one.
fn items(raw: &[u8]) -> Option<&[u8]> {
    let between = |open: &[u8], close: &[u8]| raw.strip_prefix(open)?.strip_suffix(close);
    between(b"[", b"]").or_else(|| between(b"{", b"}").filter(|inside| inside.trim_ascii().is_empty()))
}

/// The inside of a string, with its escapes.
fn inside(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Sets a member to a text of several lines, each the inside of a JSON string.
fn set_text(member: &'static str, lines: &[&[u8]]) -> Edit<'static> {
    let text = [&b"\""[..], &lines.join(&b"\\n"[..]), b"\""].concat();
    Edit::Set(member, Cow::Owned(text))
}

/// The contents, a line each.
fn contents(prompts: &[Prompt]) -> String {
    let contents: Vec<&str> = prompts.iter().map(|prompt| &*prompt.content).collect();
    contents.join("\n")
}

/// The same as the inside of a JSON string.
fn joined(prompts: &[Prompt]) -> Vec<u8> {
    let quoted = Value::from(contents(prompts)).to_string();
    inside(quoted.as_bytes()).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "/v1/chat/completions";
    const RESPONSES: &str = "/v1/responses";
    const CONVERSE: &str = "/model/x/converse";

    fn prompts(list: &[(&str, &str)]) -> Vec<Prompt> {
        let prompt = |(role, content): &(&str, &str)| Prompt::of(&json!({"role": role, "content": content}));
        list.iter().map(|message| prompt(message).unwrap()).collect()
    }

    fn decorated(path: &str, body: &str, before: &[Prompt], behind: &[Prompt]) -> Result<String, String> {
        let text = body.as_bytes();
        let document = Document::scan(text).unwrap();
        let dialect = Dialect::detect(path, &document, text);
        match decorate(dialect, &document, text, before, behind) {
            Ok(None) => Ok("unchanged".to_string()),
            Ok(Some(text)) => Ok(String::from_utf8(text).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn messages_go_where_the_protocol_keeps_them_and_other_bytes_stay() {
        let before = prompts(&[("system", "P1"), ("user", "P\n2")]);
        let behind = prompts(&[("user", "X")]);
        let (p1, p2) = (r#"{"role":"system","content":"P1"}"#, r#"{"role":"user","content":"P\n2"}"#);
        let x = r#"{"role":"user","content":"X"}"#;
        let cases = [
            (
                CHAT,
                r#"{"n":1.0, "messages" : [ {"content":"\u0041"} ],"model":"m"}"#,
                format!(r#"{{"n":1.0, "messages" : [{p1},{p2}, {{"content":"\u0041"}} ,{x}],"model":"m"}}"#),
            ),
            (CHAT, "{}", format!(r#"{{"messages":[{p1},{p2},{x}]}}"#)),
            (CHAT, r#"{"messages":[ ]}"#, format!(r#"{{"messages":[{p1},{p2},{x}]}}"#)),
            (CHAT, r#"{"messages":{}}"#, format!(r#"{{"messages":[{p1},{p2},{x}]}}"#)),
            (
                CHAT,
                r#"{"messages":[1],"messages":[2]}"#,
                format!(r#"{{"messages":[{p1},{p2},2,{x}],"messages":[{p1},{p2},2,{x}]}}"#),
            ),
            (
                "/v1/messages",
                r#"{"system":"S","messages":[0]}"#,
                format!(r#"{{"system":"S","messages":[{p1},{p2},0,{x}]}}"#),
            ),
            ("/v1/messages", r#"{"a":1}"#, format!(r#"{{"a":1,"messages":[{p1},{p2},{x}]}}"#)),
            ("/v1/messages", r#"{"messages":null}"#, format!(r#"{{"messages":[{p1},{p2},{x}]}}"#)),
            (
                RESPONSES,
                r#"{"input":"\u0041"}"#,
                r#"{"input":"\u0041\nX","instructions":"P1\nP\n2"}"#.to_string(),
            ),
            (
                RESPONSES,
                r#"{"instructions":"I","input":[0]}"#,
                concat!(
                    r#"{"instructions":"P1\nP\n2\nI","input":[0,"#,
                    r#"{"type":"message","role":"user","content":"X"}]}"#
                )
                .to_string(),
            ),
            (
                RESPONSES,
                r#"{"input":null,"instructions":null}"#,
                r#"{"input":"X","instructions":"P1\nP\n2"}"#.to_string(),
            ),
            (RESPONSES, r#"{"messages":[0]}"#, format!(r#"{{"messages":[{p1},{p2},0,{x}]}}"#)),
            (
                CONVERSE,
                r#"{"messages":[0],"system":[9]}"#,
                concat!(
                    r#"{"messages":[{"role":"user","content":[{"text":"P\n2"}]},0,"#,
                    r#"{"role":"user","content":[{"text":"X"}]}],"system":[{"text":"P1"},9]}"#
                )
                .to_string(),
            ),
            (CONVERSE, r#"{"input":1}"#, "unchanged".to_string()),
            (CHAT, r#"{"input":"text"}"#, "unchanged".to_string()),
            (CHAT, r#"{"prompt":"x"}"#, "unchanged".to_string()),
            (CHAT, r#"{"messages":null}"#, "unchanged".to_string()),
            (CHAT, "[1]", "unchanged".to_string()),
        ];
        for (path, body, expected) in cases {
            assert_eq!(decorated(path, body, &before, &behind).as_deref(), Ok(&*expected), "{path} {body}");
        }
    }

    #[test]
    fn what_is_not_given_changes_nothing() {
        let x = prompts(&[("system", "X")]);
        let cases = [
            (CHAT, r#"{"messages":[0]}"#, r#"{"messages":[0,{"role":"system","content":"X"}]}"#),
            (RESPONSES, r#"{"input":"a","instructions":5}"#, r#"{"input":"a\nX","instructions":5}"#),
            (CONVERSE, r#"{"messages":[0]}"#, r#"{"messages":[0],"system":[{"text":"X"}]}"#),
        ];
        for (path, body, expected) in cases {
            assert_eq!(decorated(path, body, &[], &x).as_deref(), Ok(expected), "{path}");
            assert_eq!(decorated(path, body, &[], &[]).as_deref(), Ok("unchanged"), "{path}");
        }
    }

    #[test]
    fn what_holds_something_else_is_named() {
        let one = prompts(&[("user", "X")]);
        let cases = [
            (CHAT, "5", "the body is not an object"),
            (CHAT, "[]", "the body is not an object"),
            ("/v1/messages", "[1]", "the body is not an object"),
            (CHAT, r#"{"messages":{"a":1}}"#, "messages is not a list"),
            ("/v1/messages", r#"{"messages":"x"}"#, "messages is not a list"),
            (RESPONSES, r#"{"input":"a","instructions":5}"#, "instructions is not text"),
            (RESPONSES, r#"{"input":5}"#, "input is not a list"),
        ];
        for (path, body, expected) in cases {
            assert_eq!(decorated(path, body, &one, &one), Err(expected.to_string()), "{path} {body}");
        }
        assert!(Prompt::of(&json!("x")).is_none() && Prompt::of(&json!({"role": "user"})).is_none());
    }
}
