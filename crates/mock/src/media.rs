//! Sound, pictures and files: replies that are bytes, and requests that need not be JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::content::seed;
use crate::reply::{Body, Reply};
use crate::request::Request;

/// Bytes in a sound, a picture or a file.
const SIZE: u64 = 3000;

/// `POST …/audio/speech`: bytes that depend on the request's body alone.
pub(crate) fn speech(request: &Request) -> Reply {
    bytes("audio/mpeg", &request.body)
}

/// `POST …/audio/transcriptions` and `…/translations`: tells how much came, and of which kind.
pub(crate) fn transcription(request: &Request) -> Reply {
    let kind = request.header("content-type").unwrap_or("nothing");
    Reply::json(200, &json!({"text": format!("{} bytes of {kind}", request.body.len())}))
}

/// `POST …/images/…`: one picture in base64.
pub(crate) fn image(request: &Request) -> Reply {
    let picture = STANDARD.encode(noise(&request.body));
    Reply::json(200, &json!({"created": 1_755_000_000, "data": [{"b64_json": picture}]}))
}

/// `GET …/files/«id»/content`: bytes that depend on the target alone.
pub(crate) fn file(request: &Request) -> Reply {
    bytes("application/octet-stream", request.target.as_bytes())
}

fn bytes(content_type: &str, of: &[u8]) -> Reply {
    let mut reply = Reply::text(200, content_type, String::new());
    reply.body = Body::Whole(noise(of));
    reply
}

/// Bytes of every value that are no text.
fn noise(of: &[u8]) -> Vec<u8> {
    let start = seed(of);
    (0..SIZE / 8).flat_map(|at| start.wrapping_mul(2 * at + 1).wrapping_add(at).to_be_bytes()).collect()
}
