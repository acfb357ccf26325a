//! `response-rewrite`: changes what the client is told: status, headers, and the body, as a whole or by patterns.

use std::borrow::Cow;
use std::io::Read;

use a6_core::{Fault, FaultKind};
use a6_resources::PluginSpec;
use a6_resources::expr::Expr;
use a6_snapshot::{AnswerVariables, Exchange, Frame, FrameFlow, Phases, Plugin, Site};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::support::headers::{self, HeaderChanges};
use crate::support::limit::{flag, items, text};
use crate::support::pattern::{Pattern, Replacement, Scope, check_options};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "response-rewrite";

const DEFAULT_MAX_BODY: u64 = 64 << 20;
const DECODER_BUFFER: usize = 4096;

/// A compiled configuration.
#[derive(Debug)]
pub struct ResponseRewrite {
    status: Option<StatusCode>,
    body: Option<Bytes>,
    headers: HeaderChanges,
    condition: Option<Expr>,
    filters: Vec<Filter>,
    max_body: usize,
}

#[derive(Debug)]
struct Filter {
    pattern: Pattern,
    by: Replacement,
    scope: Scope,
}

/// What becomes of one answer's body.
enum Work {
    /// All of it is replaced, and that has begun or not.
    Replace { has_begun: bool },
    /// It is collected until it is whole, or as long as it may be.
    Collect { coding: Coding, collected: BytesMut },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Coding {
    Plain,
    Gzip,
    Brotli,
}

impl ResponseRewrite {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let body = match text(conf, "body") {
            body if flag(conf, "body_base64", false) => {
                let decoded = STANDARD.decode(body.unwrap_or_default()).unwrap_or_default();
                if decoded.is_empty() {
                    return Err("invalid base64 content".into());
                }
                Some(decoded.into())
            }
            body => body.map(|body| Bytes::copy_from_slice(body.as_bytes())),
        };
        let condition = conf.get("vars").map(Expr::parse).transpose();
        let filters: Result<Vec<_>, _> = items(conf, "filters").iter().map(Filter::compile).collect();
        let max_body = conf.get("max_resp_body_size").and_then(Value::as_u64).unwrap_or(DEFAULT_MAX_BODY);
        Ok(Self {
            status: headers::status(conf, "status_code")?,
            body,
            headers: conf.get("headers").map(HeaderChanges::compile).unwrap_or_default(),
            condition: condition
                .map_err(|error| format!("failed to validate the 'vars' expression: {error}"))?,
            filters: filters?.into_iter().flatten().collect(),
            max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
        })
    }

    /// What is to be done with the body that this head announces. A body in a coding that nobody here can read stays
    /// as it is.
    fn work(&self, headers: &HeaderMap) -> Option<Work> {
        if self.body.is_some() {
            return Some(Work::Replace { has_begun: false });
        }
        if self.filters.is_empty() {
            return None;
        }
        let coding = Coding::of(headers)?;
        Some(Work::Collect { coding, collected: BytesMut::new() })
    }

    /// The whole body, decoded and filtered; none if its coding breaks off. What was cut at `max_resp_body_size` may.
    fn filtered(&self, coding: Coding, body: &[u8]) -> Option<Bytes> {
        let may_break = body.len() >= self.max_body;
        let mut body = coding.decoded(body, self.max_body, may_break)?;
        for filter in &self.filters {
            if let Some(changed) = filter.apply(&body) {
                body = Cow::Owned(changed);
            }
        }
        Some(body.into_owned().into())
    }
}

impl Filter {
    /// None for a pattern or replacement that is malformed: APISIX accepts it as well, and it changes nothing.
    fn compile(conf: &Value) -> Result<Option<Self>, String> {
        let pattern = text(conf, "regex").unwrap_or_default();
        let options = text(conf, "options").unwrap_or("jo");
        check_options(options).map_err(|error| format!("regex \"{pattern}\" validation failed: {error}"))?;
        let scope = if text(conf, "scope") == Some("global") { Scope::Global } else { Scope::Once };
        let pattern = Pattern::with_options(pattern, options);
        let by = Replacement::parse(text(conf, "replace").unwrap_or_default());
        Ok(pattern.ok().zip(by.ok()).map(|(pattern, by)| Self { pattern, by, scope }))
    }

    /// The body with its matches replaced; none if there are none. Bytes that are no text are passed over.
    fn apply(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut changed = Vec::new();
        let mut has_changed = false;
        for chunk in body.utf8_chunks() {
            let is_done = has_changed && self.scope == Scope::Once;
            let replaced = match is_done {
                true => None,
                false => self.pattern.replace(chunk.valid(), &self.by, self.scope),
            };
            has_changed |= replaced.is_some();
            changed.extend_from_slice(replaced.as_deref().unwrap_or(chunk.valid()).as_bytes());
            changed.extend_from_slice(chunk.invalid());
        }
        has_changed.then_some(changed)
    }
}

impl Coding {
    /// What the head says; none if it is none of these.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let Some(coding) = codings.next() else { return Some(Self::Plain) };
        let coding = coding.to_str().ok().filter(|_| codings.next().is_none())?;
        match coding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Plain),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "br" => Some(Self::Brotli),
            _ => None,
        }
    }

    /// The body without its coding, of at most so many bytes. None for a broken one, unless it may break: then there is
    /// what stands before the break.
    fn decoded(self, body: &[u8], max: usize, may_break: bool) -> Option<Cow<'_, [u8]>> {
        let decoded = match self {
            Self::Plain => return Some(Cow::Borrowed(body)),
            _ if body.is_empty() => return Some(Cow::Borrowed(body)),
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(body), max, may_break),
            Self::Brotli => {
                read(brotli_decompressor::Decompressor::new(body, DECODER_BUFFER), max, may_break)
            }
        };
        decoded.map(Cow::Owned)
    }
}

fn read(reader: impl Read, max: usize, may_break: bool) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    let whole = reader.take(max).read_to_end(&mut body);
    (may_break || whole.is_ok()).then_some(body)
}

fn broken_coding() -> FrameFlow {
    let text = "the answer's content-encoding breaks off, so that it cannot be filtered";
    FrameFlow::Abort(Box::new(Fault::upstream(FaultKind::UpstreamTruncated, text)))
}

impl Plugin for ResponseRewrite {
    fn phases(&self) -> Phases {
        let frame = self.body.is_some() || !self.filters.is_empty();
        Phases { header_filter: true, frame, ..Phases::default() }
    }

    fn header_filter(&self, exchange: &mut Exchange, head: &mut http::response::Parts) {
        if let Some(condition) = &self.condition
            && !condition.holds(&AnswerVariables { exchange, head })
        {
            return;
        }
        if let Some(status) = self.status {
            head.status = status;
        }
        if let Some(work) = self.work(&head.headers) {
            for name in [CONTENT_LENGTH, CONTENT_ENCODING, LAST_MODIFIED, ETAG] {
                head.headers.remove(name);
            }
            exchange.keep(self, work);
        }
        if !self.headers.is_empty() {
            let changes = self.headers.render(&AnswerVariables { exchange, head }, None);
            headers::apply(changes, &mut head.headers);
        }
    }

    fn frame(&self, exchange: &mut Exchange, frame: Frame) -> FrameFlow {
        if matches!(exchange.kept::<_, Work>(self), Some(Work::Collect { .. }))
            && let Err(fault) = exchange.body.hold(frame.data.len() as u64)
        {
            return FrameFlow::Abort(Box::new(fault));
        }
        let data = match exchange.kept::<_, Work>(self) {
            None => return FrameFlow::Pass(frame),
            Some(Work::Replace { has_begun }) => match &self.body {
                Some(body) if !std::mem::replace(has_begun, true) => body.clone(),
                _ if frame.is_last => Bytes::new(),
                _ => return FrameFlow::Hold,
            },
            Some(Work::Collect { coding, collected }) => {
                let room = self.max_body.saturating_sub(collected.len());
                collected.extend_from_slice(&frame.data[..room.min(frame.data.len())]);
                if !frame.is_last {
                    return FrameFlow::Hold;
                }
                match self.filtered(*coding, collected) {
                    Some(filtered) => filtered,
                    None => return broken_coding(),
                }
            }
        };
        FrameFlow::Pass(Frame { data, ..frame })
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "headers": headers_schema(),
            // Before `body`: of the two that exclude each other APISIX names this one.
            "filters": filters_schema(),
            "body": {"description": "in place of the whole body", "type": "string"},
            "body_base64": {
                "description": "whether body is in base64",
                "type": "boolean", "default": false,
            },
            "status_code": {
                "description": "in place of the status",
                "type": "integer", "minimum": 200, "maximum": 598,
            },
            "vars": {"type": "array"},
            "max_resp_body_size": {
                "description": "bytes of a body that filters see; the rest is cut off",
                "type": "integer", "minimum": 1, "default": DEFAULT_MAX_BODY,
            },
        },
        "dependencies": {
            "filters": {"not": {"required": ["body"]}},
            "body": {"not": {"required": ["filters"]}},
        },
    })
}

fn headers_schema() -> Value {
    let fields = json!({
        "type": "object",
        "minProperties": 1,
        "patternProperties": {"^[^:]+$": {"oneOf": [{"type": "string"}, {"type": "number"}]}},
    });
    let lines = |pattern: &str| {
        let item = json!({"type": "string", "pattern": pattern});
        json!({"type": "array", "minItems": 1, "items": item})
    };
    json!({
        "description": "changes of headers",
        "anyOf": [
            fields,
            {"properties": {"add": lines("^[^:]+:[^:]*[^/]$"), "remove": lines("^[^:]+$"), "set": fields}},
        ],
    })
}

fn filters_schema() -> Value {
    json!({
        "description": "what is replaced in the body, in this order",
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {
                "regex": {"description": "what is looked for", "type": "string", "minLength": 1},
                "scope": {
                    "description": "the first match or all",
                    "type": "string", "enum": ["once", "global"], "default": "once",
                },
                "replace": {"description": "what takes its place", "type": "string"},
                "options": {"description": "as ngx.re has them", "type": "string", "default": "jo"},
            },
            "required": ["regex", "replace"],
        },
    })
}

#[cfg(test)]
mod tests;
