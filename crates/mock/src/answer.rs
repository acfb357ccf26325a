//! Which endpoint answers a request; the key check; spoiling.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::anthropic;
use crate::aws::AwsKey;
use crate::converse;
use crate::echo;
use crate::embeddings;
use crate::google::TokenEndpoint;
use crate::knobs::{Garbage, Knobs};
use crate::media;
use crate::openai;
use crate::replay::Recordings;
use crate::reply::{self, Body, Dialect, Reply};
use crate::request::Request;
use crate::responses;

const NO_SSE: &[u8] = b"\xff\xfe\x00this is no event \xc3\x28\r\r: nor this\n\n";

/// What a mock answers with.
pub(crate) struct Provider {
    /// The key that requests have to carry.
    pub(crate) api_key: Option<String>,
    /// Recorded exchanges; with them nothing else is answered.
    pub(crate) recordings: Option<Recordings>,
    /// The key that requests below `/model/` have to be signed with.
    pub(crate) aws: Option<AwsKey>,
    /// Who gives tokens, which requests with a path of `/projects/` have to carry.
    pub(crate) google: Option<TokenEndpoint>,
}

impl Provider {
    /// The reply to a request, spoiled as the knobs want it. `number` makes the request id.
    pub(crate) fn answer(&self, request: &Request, knobs: &Knobs, number: u64) -> Reply {
        let mut reply = self.reply(request, knobs, number);
        if let Some(status) = knobs.status
            && status < 300
        {
            reply.status = status;
        }
        spoil(&mut reply, knobs.garbage);
        let id = format!("req_mock_{number:08}");
        reply.add("x-request-id", &id);
        if is_anthropic(request) {
            reply.add("request-id", &id);
        }
        reply.add("openai-processing-ms", &knobs.first_delay_ms.unwrap_or(0).to_string());
        reply.add("x-ratelimit-remaining-requests", "9999");
        match &knobs.retry_after {
            Some(value) => reply.add("retry-after", value),
            None if matches!(knobs.status, Some(429 | 503)) => reply.add("retry-after", "1"),
            None => {}
        }
        reply
    }

    fn reply(&self, request: &Request, knobs: &Knobs, number: u64) -> Reply {
        if let Some(refusal) = self.key_refusal(request).or_else(|| self.account_refusal(request)) {
            return refusal;
        }
        if let Some(status) = knobs.status
            && status >= 300
        {
            return reply::asked_for(status, dialect(request));
        }
        if let Some(recordings) = &self.recordings {
            return recordings.answer(request);
        }
        let path = request.path();
        if let Some(google) = self.google.as_ref().filter(|_| path.ends_with("/token")) {
            return google.token(request, now(), number);
        }
        match request.method.as_str() {
            // Covers `/chat/completions` and Azure's paths.
            "POST" if path.ends_with("/completions") => openai::chat(request, knobs),
            "POST" if is_anthropic(request) => anthropic::messages(request, knobs),
            "POST" if path.ends_with("/embeddings") => embeddings::embeddings(request),
            "POST" if path.ends_with("/responses") => responses::responses(request, knobs),
            "POST" if path.ends_with("/converse") => converse::converse(request, knobs),
            "POST" if path.ends_with("/converse-stream") => converse::converse_stream(request, knobs),
            "POST" if path.ends_with("/audio/speech") => media::speech(request),
            "POST" if path.contains("/audio/trans") => media::transcription(request),
            "POST" if path.contains("/images/") => media::image(request),
            "GET" if path.contains("/files/") && path.ends_with("/content") => media::file(request),
            "GET" if path.ends_with("/models") => openai::models(),
            _ => echo::echo(request),
        }
    }

    /// The refusal of a request that is not signed, or carries no token, where it has to.
    fn account_refusal(&self, request: &Request) -> Option<Reply> {
        let path = request.path();
        let aws = self.aws.as_ref().filter(|_| path.starts_with("/model/"));
        let google = self.google.as_ref().filter(|_| path.contains("/projects/"));
        aws.and_then(|key| key.refusal(request, now())).or_else(|| google?.refusal(request))
    }

    fn key_refusal(&self, request: &Request) -> Option<Reply> {
        let key = self.api_key.as_deref()?;
        let bearer = request.header("authorization").map(|value| value.strip_prefix("Bearer ").unwrap_or(""));
        let given = [bearer, request.header("x-api-key"), request.header("api-key")];
        if given.contains(&Some(key)) {
            return None;
        }
        Some(reply::wrong_key(given.iter().any(Option::is_some), dialect(request)))
    }
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn is_anthropic(request: &Request) -> bool {
    request.path().ends_with("/v1/messages")
}

fn dialect(request: &Request) -> Dialect {
    match () {
        () if is_anthropic(request) => Dialect::Anthropic,
        () if request.path().starts_with("/model/") => Dialect::Aws,
        () => Dialect::OpenAi,
    }
}

/// Puts nonsense into the body; what is wrong with status line, head and chunk sizes is the script's matter.
fn spoil(reply: &mut Reply, garbage: Option<Garbage>) {
    match garbage {
        Some(Garbage::Json) => match &mut reply.body {
            Body::Whole(body) => body.truncate(body.len() / 2),
            Body::Events(events) => {
                if let Some(event) = second(events) {
                    event.truncate(event.len() / 2);
                    event.extend_from_slice(b"\n\n");
                }
            }
        },
        Some(Garbage::Sse) => match &mut reply.body {
            Body::Whole(body) => {
                *body = NO_SSE.to_vec();
                reply.headers.retain(|(name, _)| name != "content-type");
                reply.add("content-type", "text/event-stream");
            }
            Body::Events(events) => {
                if let Some(event) = second(events) {
                    *event = NO_SSE.to_vec();
                }
            }
        },
        _ => {}
    }
}

/// The second event, or the only one.
fn second(events: &mut [Vec<u8>]) -> Option<&mut Vec<u8>> {
    let at = usize::from(events.len() > 1);
    events.get_mut(at)
}
