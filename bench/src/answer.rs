//! What a reply says: read once per lane and gateway with care, so that the load needs only cheap checks after.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::http::Reply;

/// The meaning of a chat completion, plain or streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The model that answered.
    pub(crate) model: String,
    /// The assistant's text.
    pub(crate) text: String,
    /// Total tokens that the reply says were used.
    pub(crate) total_tokens: u64,
}

/// Cheap facts that every reply of a lane must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Body bytes, chunk framing not counted.
    pub(crate) bytes: u64,
    /// Events of a stream, 0 for a plain reply.
    pub(crate) events: u64,
}

impl Expected {
    /// Fails unless `reply` is a 200 that is as long as it should be and, if a stream, has its end.
    pub(crate) fn check(self, reply: &Reply) -> Result<()> {
        if reply.status != 200 {
            bail!("status {} instead of 200", reply.status);
        }
        let seen = Expected { bytes: reply.bytes, events: reply.events };
        if seen != self {
            bail!("a reply of {seen:?} instead of {self:?}");
        }
        if self.events > 0 && !reply.ends_with_done() {
            bail!("a stream without [DONE] at its end");
        }
        Ok(())
    }
}

/// Reads a kept reply: what it says, and what every further one of the lane must look like.
pub(crate) fn read(reply: &Reply, stream: bool) -> Result<(Answer, Expected)> {
    let body = reply.body.as_deref().unwrap_or_default();
    let text = std::str::from_utf8(body).context("the reply is not UTF-8")?;
    let expected = Expected { bytes: reply.bytes, events: reply.events };
    expected.check(reply).with_context(|| format!("the reply is {}", excerpt(text)))?;
    let answer = if stream { read_events(text) } else { read_plain(text) };
    let answer = answer.with_context(|| format!("the reply is {}", excerpt(text)))?;
    if stream && expected.events == 0 {
        bail!("a stream was asked for, the reply is {}", excerpt(text));
    }
    Ok((answer, expected))
}

fn read_plain(text: &str) -> Result<Answer> {
    let reply: Value = serde_json::from_str(text).context("not JSON")?;
    let Some(content) = reply["choices"][0]["message"]["content"].as_str() else { bail!("no content in it") };
    let Some(model) = reply["model"].as_str() else { bail!("no model in it") };
    let Some(total_tokens) = reply["usage"]["total_tokens"].as_u64() else { bail!("no usage in it") };
    Ok(Answer { model: model.to_owned(), text: content.to_owned(), total_tokens })
}

fn read_events(text: &str) -> Result<Answer> {
    let mut answer = Answer { model: String::new(), text: String::new(), total_tokens: 0 };
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            continue;
        }
        let event: Value =
            serde_json::from_str(data).with_context(|| format!("event {data:?} is not JSON"))?;
        if let Some(model) = event["model"].as_str() {
            model.clone_into(&mut answer.model);
        }
        answer.text.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        answer.total_tokens += event["usage"]["total_tokens"].as_u64().unwrap_or_default();
    }
    if answer.total_tokens == 0 {
        bail!("no usage event in it, though the request asks for one");
    }
    Ok(answer)
}

fn excerpt(text: &str) -> String {
    let short: String = text.chars().take(300).collect();
    if short.len() < text.len() { format!("{short}… ({} bytes)", text.len()) } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        let wire = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut reply = Reply::keeping_body();
        reply.advance(wire.as_bytes()).unwrap();
        reply
    }

    const PLAIN: &str =
        r#"{"model":"m","choices":[{"message":{"content":"hi there"}}],"usage":{"total_tokens":7}}"#;
    const STREAM: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"hi \"}}]}\n\n\
        data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"there\"}}]}\n\n\
        data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\ndata: [DONE]\n\n";

    #[test]
    fn plain_and_streamed_say_the_same() {
        let (plain, _) = read(&reply(200, PLAIN), false).unwrap();
        let (streamed, expected) = read(&reply(200, STREAM), true).unwrap();
        assert_eq!(plain, Answer { model: "m".into(), text: "hi there".into(), total_tokens: 7 });
        assert_eq!(plain, streamed);
        assert_eq!(expected, Expected { bytes: STREAM.len() as u64, events: 4 });
    }

    #[test]
    fn wrong_replies_are_errors() {
        let unfinished = STREAM.trim_end().trim_end_matches("data: [DONE]");
        let cases = [
            (500, PLAIN, false, "status 500"),
            (200, "{}", false, "no content"),
            (200, "oops", false, "not JSON"),
            (200, unfinished, true, "without [DONE]"),
            (200, "data: [DONE]\n\n", true, "no usage event"),
        ];
        for (status, body, stream, expected) in cases {
            let error = format!("{:#}", read(&reply(status, body), stream).unwrap_err());
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn the_cheap_check_sees_a_shorter_reply() {
        let (_, expected) = read(&reply(200, STREAM), true).unwrap();
        expected.check(&reply(200, STREAM)).unwrap();
        assert!(expected.check(&reply(200, &STREAM[1..])).is_err());
        assert!(expected.check(&reply(200, PLAIN)).is_err());
    }
}
