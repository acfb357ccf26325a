//! Recorded exchanges, answered again. The files are the YAML cassettes of Go's go-vcr (version 2): a list
//! `interactions` of `request` (method, url, body) and `response` (code, headers, body).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::reply::{Body, Facts, Reply, openai_error};
use crate::request::Request;

/// Headers of a recording that describe the recorded connection and the recorded encoding, not the reply.
const NOT_REPLAYED: [&str; 7] = [
    "alt-svc",
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "trailer",
    "transfer-encoding",
];

#[derive(Deserialize)]
struct Cassette {
    interactions: Vec<Interaction>,
}

#[derive(Deserialize)]
struct Interaction {
    request: RecordedRequest,
    response: RecordedResponse,
}

#[derive(Deserialize)]
struct RecordedRequest {
    method: String,
    url: String,
    #[serde(default)]
    body: String,
}

#[derive(Debug, Deserialize)]
struct RecordedResponse {
    code: u16,
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    body: String,
}

#[derive(Debug)]
struct Recording {
    name: String,
    method: String,
    path: String,
    body: Asked,
    response: RecordedResponse,
}

/// A request body to compare: JSON by value, anything else by its bytes.
#[derive(Debug, PartialEq)]
enum Asked {
    Json(Value),
    Other(Vec<u8>),
}

impl Asked {
    fn of(body: &[u8]) -> Self {
        serde_json::from_slice(body).map_or_else(|_| Self::Other(body.to_vec()), Self::Json)
    }
}

/// The recorded exchanges of a folder.
#[derive(Debug)]
pub(crate) struct Recordings {
    all: Vec<Recording>,
}

impl Recordings {
    /// Reads every `.yaml` file of a folder, in the order of their names.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let about = |what: &Path, error: &dyn std::fmt::Display, kind| {
            io::Error::new(kind, format!("cannot replay {}: {error}", what.display()))
        };
        let entries = fs::read_dir(folder).map_err(|error| about(folder, &error, error.kind()))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| about(folder, &error, error.kind()))?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
        files.sort();
        let mut all = Vec::new();
        for file in &files {
            let text = fs::read_to_string(file).map_err(|error| about(file, &error, error.kind()))?;
            let cassette: Cassette = serde_saphyr::from_str(&text)
                .map_err(|error| about(file, &error, io::ErrorKind::InvalidData))?;
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            all.extend(cassette.interactions.into_iter().map(|interaction| recording(&name, interaction)));
        }
        if all.is_empty() {
            return Err(about(folder, &"it has no recordings (*.yaml)", io::ErrorKind::NotFound));
        }
        Ok(Self { all })
    }

    /// The recorded reply to the request with this method, path and body, or a 404 that lists what there is.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let body = Asked::of(&request.body);
        let found = self.all.iter().find(|recording| {
            recording.method == request.method && recording.path == request.path() && recording.body == body
        });
        found.map_or_else(|| self.unknown(request), |recording| replayed(&recording.response))
    }

    fn unknown(&self, request: &Request) -> Reply {
        let names: Vec<&str> = self.all.iter().map(|recording| recording.name.as_str()).collect();
        let message = format!(
            "No recording has the method, path and body of this {} {}. The recordings are: {}.",
            request.method,
            request.path(),
            names.join(", ")
        );
        openai_error(404, "invalid_request_error", None, Some("no_recording"), &message)
    }
}

fn recording(name: &str, interaction: Interaction) -> Recording {
    let Interaction { request, response } = interaction;
    let after_scheme = request.url.split_once("://").map_or(request.url.as_str(), |(_, rest)| rest);
    let path = after_scheme.find('/').map_or("/", |at| &after_scheme[at..]);
    let path = path.split_once('?').map_or(path, |(path, _)| path).to_owned();
    Recording {
        name: name.to_owned(),
        method: request.method,
        path,
        body: Asked::of(request.body.as_bytes()),
        response,
    }
}

fn replayed(response: &RecordedResponse) -> Reply {
    let headers: Vec<(String, String)> = response
        .headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(|value| (name.to_ascii_lowercase(), value.clone())))
        .filter(|(name, _)| !NOT_REPLAYED.contains(&name.as_str()))
        .collect();
    let streamed =
        headers.iter().any(|(name, value)| name == "content-type" && value.contains("event-stream"));
    let (body, facts) = if streamed {
        let events = response.body.split_inclusive("\n\n").map(|event| event.as_bytes().to_vec()).collect();
        (Body::Events(events), streamed_facts(&response.body))
    } else {
        let value = serde_json::from_str(&response.body).unwrap_or(Value::Null);
        (Body::Whole(response.body.clone().into_bytes()), facts(&value, "message"))
    };
    Reply { status: response.code, headers, body, facts }
}

/// What one JSON document tells: the text in `message` or `delta` (or a legacy completion's `text`), and the usage.
fn facts(value: &Value, holder: &str) -> Facts {
    let mut facts = Facts::default();
    for choice in value["choices"].as_array().into_iter().flatten() {
        let text = choice[holder]["content"].as_str().or_else(|| choice["text"].as_str());
        facts.content.push_str(text.unwrap_or(""));
    }
    facts.prompt_tokens = value["usage"]["prompt_tokens"].as_u64().unwrap_or(0);
    facts.completion_tokens = value["usage"]["completion_tokens"].as_u64().unwrap_or(0);
    facts
}

fn streamed_facts(body: &str) -> Facts {
    let mut all = Facts::default();
    for data in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(value) = serde_json::from_str(data) else { continue };
        let one = facts(&value, "delta");
        all.content.push_str(&one.content);
        all.prompt_tokens = all.prompt_tokens.max(one.prompt_tokens);
        all.completion_tokens = all.completion_tokens.max(one.completion_tokens);
    }
    all
}
