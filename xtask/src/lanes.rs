use anyhow::{Result, bail, ensure};

use crate::client::{self, Answer};

/// A kind of request whose cost is counted.
///
/// The cost of one is that of `many` requests less that of `few`, divided by the difference: what starting, warming up
/// and stopping cost is in both and cancels.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Its section in `bench/instructions.toml`.
    pub(crate) name: &'static str,
    /// Requests of the short run.
    pub(crate) few: u32,
    /// Requests of the long run.
    pub(crate) many: u32,
    /// What the gateway is set up for.
    pub(crate) setup: Setup,
    /// What it may cost beside another lane, in instructions.
    pub(crate) at_most: Option<Bound>,
    /// Where the client asks: its protocol.
    path: &'static str,
    stream: bool,
    /// What the mock is asked for, by header.
    knobs: &'static [(&'static str, &'static str)],
}

/// What a lane may cost beside the lane of that name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// So many times as much.
    Times(f64, &'static str),
    /// So many instructions more.
    More(f64, &'static str),
}

/// What a gateway is set up for, besides the route to the mock provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// Nothing.
    Alone,
    /// The route asks for a key, counts and gives ids.
    Keyed,
    /// So many other routes.
    Among(u32),
    /// The route goes to an ordinary upstream and has no plugins.
    Ordinary,
    /// The route counts its requests.
    Counted,
    /// The route shares its requests among so many instances of the mock provider.
    Sharing(u32),
}

/// The lanes, those of the bench that come out the same at each run.
///
/// The pause between two events is longer than a gateway under callgrind needs for one, so that each event is a read
/// and a write of its own at every run.
pub(crate) const LANES: [Lane; 10] = [
    PLAIN,
    Lane { name: "counted", setup: Setup::Counted, ..PLAIN },
    Lane { name: "keyed", setup: Setup::Keyed, ..PLAIN },
    Lane { name: "ordinary", setup: Setup::Ordinary, ..PLAIN },
    Lane { name: "routes", setup: Setup::Among(10_000), ..PLAIN },
    Lane { name: "one", setup: Setup::Sharing(1), ..PLAIN },
    Lane { name: "sixteen", setup: Setup::Sharing(16), at_most: Some(Bound::More(1500.0, "one")), ..PLAIN },
    STREAM,
    Lane { name: "converted", path: MESSAGES, at_most: Some(Bound::Times(1.5, "plain")), ..PLAIN },
    Lane { name: "converted-stream", path: MESSAGES, at_most: Some(Bound::Times(2.0, "stream")), ..STREAM },
];

/// The path of Anthropic's protocol, which the provider of these lanes does not speak.
const MESSAGES: &str = "/v1/messages";

const PLAIN: Lane = Lane {
    name: "plain",
    few: 100,
    many: 600,
    setup: Setup::Alone,
    at_most: None,
    path: "/v1/chat/completions",
    stream: false,
    knobs: &[("x-mock-body-bytes", "1024")],
};

const STREAM: Lane = Lane {
    name: "stream",
    few: 4,
    many: 24,
    stream: true,
    knobs: &[("x-mock-chunks", "64"), ("x-mock-chunk-bytes", "16"), ("x-mock-chunk-delay-ms", "5")],
    ..PLAIN
};

/// The key that callers of a keyed route have.
pub(crate) const CALLER_KEY: &str = "caller-key";

impl Lane {
    /// The request's bytes.
    pub(crate) fn request(&self) -> Vec<u8> {
        let body = format!(
            r#"{{"model":"gpt-4o","messages":[{{"role":"system","content":"You are a careful assistant."}},{{"role":"user","content":"Which of the two roads through the wood is the shorter one, and by how much? Answer in one sentence."}}],"temperature":0.2,"max_tokens":64,"stream":{}}}"#,
            self.stream
        );
        let mut headers = vec![("content-type", "application/json"), ("authorization", "Bearer client")];
        headers.extend_from_slice(self.knobs);
        if self.setup == Setup::Keyed {
            headers.push(("apikey", CALLER_KEY));
        }
        client::request("POST", self.path, &headers, &body)
    }

    /// An error unless the answer is whole and right: a cheap wrong answer must not pass for a gain.
    pub(crate) fn check(&self, answer: &Answer) -> Result<()> {
        let body = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "lane {}: status {} instead of 200: {body}", self.name, answer.status);
        if self.stream {
            let events = body.matches("\n\n").count();
            let end =
                if self.path == MESSAGES { "{\"type\":\"message_stop\"}\n\n" } else { "data: [DONE]\n\n" };
            if events < 64 || !body.ends_with(end) {
                bail!("lane {}: a stream of {events} events that ends with {:?}", self.name, tail(&body));
            }
            return Ok(());
        }
        let reply: serde_json::Value = serde_json::from_str(&body)?;
        let counted = if self.path == MESSAGES { "output_tokens" } else { "total_tokens" };
        ensure!(reply["usage"][counted].is_u64(), "lane {}: no usage in the reply: {body}", self.name);
        Ok(())
    }
}

fn tail(text: &str) -> String {
    let skipped = text.chars().count().saturating_sub(60);
    text.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_is_right() {
        let events = "data: {}\n\n".repeat(64);
        let cases = [
            ("plain", 200, r#"{"usage":{"total_tokens":3}}"#.to_owned(), true),
            ("plain", 200, r#"{"usage":null}"#.to_owned(), false),
            ("plain", 502, r#"{"usage":{"total_tokens":3}}"#.to_owned(), false),
            ("stream", 200, format!("{events}data: [DONE]\n\n"), true),
            ("stream", 200, events.clone(), false),
            ("stream", 200, "data: [DONE]\n\n".to_owned(), false),
            ("converted", 200, r#"{"usage":{"output_tokens":3}}"#.to_owned(), true),
            ("converted", 200, r#"{"usage":{"total_tokens":3}}"#.to_owned(), false),
            ("converted-stream", 200, format!("{events}data: {{\"type\":\"message_stop\"}}\n\n"), true),
            ("converted-stream", 200, format!("{events}data: [DONE]\n\n"), false),
        ];
        for (name, status, body, right) in cases {
            let lane = LANES.iter().find(|lane| lane.name == name).unwrap();
            let answer = Answer { status, body: body.clone().into_bytes() };
            assert_eq!(lane.check(&answer).is_ok(), right, "{name} {status} {body}");
        }
    }
}
