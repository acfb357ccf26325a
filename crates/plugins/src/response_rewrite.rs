//! `response-rewrite`: changes what the client is told: status, headers, and the body, as a whole or by patterns.

use std::borrow::Cow;

use a6_codec::coding::{Coding, Inflater};
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
/// A compressed body is undone in pieces of this size, so that it is held before it has grown much.
const PIECE: usize = 4 << 10;
/// No coding makes more of a piece than this.
const MAX_INFLATED: usize = 8 << 20;

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
    Collect { coding: Option<Coding>, collected: BytesMut },
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
        let coding = coding(headers)?;
        Some(Work::Collect { coding, collected: BytesMut::new() })
    }

    /// The whole body, decoded and filtered.
    fn filtered(
        &self,
        coding: Option<Coding>,
        body: &[u8],
        hold: &mut dyn FnMut(u64) -> Result<(), Fault>,
    ) -> Result<Bytes, Fault> {
        let mut body = match coding {
            Some(coding) => Cow::Owned(decoded(coding, body, self.max_body, hold)?),
            None => Cow::Borrowed(body),
        };
        for filter in &self.filters {
            if let Some(changed) = filter.apply(&body) {
                hold(changed.len() as u64)?;
                body = Cow::Owned(changed);
            }
        }
        Ok(body.into_owned().into())
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

/// What the head says of the body's coding; none if nobody here can undo it.
fn coding(headers: &HeaderMap) -> Option<Option<Coding>> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let Some(coding) = codings.next() else { return Some(None) };
    let name = coding.as_bytes().trim_ascii();
    match codings.next() {
        Some(_) => None,
        None if name.is_empty() || name.eq_ignore_ascii_case(b"identity") => Some(None),
        None => Coding::named(name).map(Some),
    }
}

/// The body without its coding, of at most so many bytes, held as it grows. What was cut may break off: then there is what
/// stands before the break.
fn decoded(
    coding: Coding,
    body: &[u8],
    max: usize,
    hold: &mut dyn FnMut(u64) -> Result<(), Fault>,
) -> Result<Vec<u8>, Fault> {
    let may_break = body.len() >= max;
    let mut inflater = Inflater::new(coding, MAX_INFLATED);
    let mut decoded = Vec::new();
    for piece in body.chunks(PIECE) {
        match inflater.push(piece) {
            Ok(more) => {
                hold(more.len() as u64)?;
                decoded.extend_from_slice(&more);
            }
            Err(_) if may_break => return Ok(decoded),
            Err(_) => return Err(broken_coding()),
        }
        if decoded.len() >= max {
            decoded.truncate(max);
            return Ok(decoded);
        }
    }
    if may_break || inflater.is_at_end() { Ok(decoded) } else { Err(broken_coding()) }
}

fn broken_coding() -> Fault {
    let text = "the answer's content-encoding breaks off, so that it cannot be filtered";
    Fault::upstream(FaultKind::UpstreamTruncated, text)
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
                let (coding, collected) = (*coding, std::mem::take(collected));
                match self.filtered(coding, &collected, &mut |bytes| exchange.body.hold(bytes)) {
                    Ok(filtered) => filtered,
                    Err(fault) => return FrameFlow::Abort(Box::new(fault)),
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
