//! `ai-prompt-template`: builds the request from a template that the client names, with the client's values in it.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use a6_codec::json::{Document, text_of};
use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop};
use http::Method;
use serde_json::{Value, json};

use crate::support::limit::{items, text};
use crate::support::prompts;
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "ai-prompt-template";

/// A compiled configuration.
#[derive(Debug)]
pub struct AiPromptTemplate {
    templates: Vec<Template>,
    max_body: u64,
}

/// A template's JSON text with places for values in its strings.
#[derive(Debug)]
struct Template {
    name: Box<str>,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(Box<str>),
    /// A member of the client's values, and of that member, and so on.
    Value(Vec<String>),
}

/// Where values come from.
enum Values<'t> {
    Body(&'t [u8], &'t Document),
    Query(&'t str),
}

impl AiPromptTemplate {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let template = |(at, conf): (usize, &Value)| {
            let place = format!("templates[{at}].template");
            let mut writer = Writer::default();
            writer.value(conf.get("template").unwrap_or(&Value::Null), &place)?;
            Ok::<_, String>(Template {
                name: text(conf, "name").unwrap_or_default().into(),
                parts: writer.finish(),
            })
        };
        let templates = items(conf, "templates").iter().enumerate().map(template);
        Ok(Self { templates: templates.collect::<Result<_, String>>()?, max_body: prompts::max_body(conf)? })
    }
}

impl Plugin for AiPromptTemplate {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, ..Phases::default() }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let (text, document) = Box::pin(prompts::read(&mut exchange.body, self.max_body)).await?;
        let Some(name) = template_name(&text, document) else {
            return Err(prompts::bad("template name is missing in request.".to_string()));
        };
        let Some(template) = self.templates.iter().find(|template| *template.name == *name) else {
            return Err(prompts::bad(format!("template: {name} not configured.")));
        };
        let request = &exchange.request;
        let values = match *request.method() {
            Method::GET => Values::Query(request.query().unwrap_or_default()),
            _ => Values::Body(&text, document),
        };
        let body = template.fill(&values, self.max_body).map_err(|size| {
            let max = self.max_body;
            prompts::bad(format!(
                "could not get body: request size {size} is greater than the maximum size {max} allowed"
            ))
        })?;
        exchange.body.replace(body.into())?;
        Ok(())
    }
}

/// What the client calls the template; none where it says `null` or `false`, which are nothing to Lua.
fn template_name<'t>(text: &'t [u8], document: &Document) -> Option<Cow<'t, str>> {
    let raw = document.get(text, "template_name").filter(|raw| *raw != b"null" && *raw != b"false")?;
    Some(text_of(raw).unwrap_or_else(|| String::from_utf8_lossy(raw)))
}

impl Template {
    /// The request's new body. What a value is put in for more than once counts each time: the error is the size at
    /// which the values together were more than `max` bytes.
    fn fill(&self, values: &Values<'_>, max: u64) -> Result<Vec<u8>, u64> {
        let mut body = Vec::new();
        let mut size = 0;
        for part in &self.parts {
            match part {
                Part::Text(text) => body.extend_from_slice(text.as_bytes()),
                Part::Value(path) => {
                    let value = values.get(path).unwrap_or_default();
                    size += value.len() as u64;
                    if size > max {
                        return Err(size);
                    }
                    body.extend_from_slice(&value);
                }
            }
        }
        Ok(body)
    }
}

impl<'t> Values<'t> {
    /// A value as the inside of a JSON string; none if it is absent.
    fn get(&self, path: &[String]) -> Option<Cow<'t, [u8]>> {
        match *self {
            Self::Body(text, document) => member(text, document, path).map(inside),
            Self::Query(query) => {
                let [name] = path else { return None };
                let mut pairs = form_urlencoded::parse(query.as_bytes());
                let (_, value) = pairs.find(|(key, _)| key == name)?;
                Some(escaped(&value).into_bytes().into())
            }
        }
    }
}

fn member<'t>(text: &'t [u8], document: &Document, path: &[String]) -> Option<&'t [u8]> {
    let (first, rest) = path.split_first()?;
    let raw = document.get(text, first)?;
    if rest.is_empty() {
        return Some(raw);
    }
    member(raw, &Document::scan(raw).ok()?, rest)
}

/// A JSON value within a string: a string's own text, with the escapes that it came with; any other as JSON.
fn inside(raw: &[u8]) -> Cow<'_, [u8]> {
    match raw {
        b"null" => Cow::default(),
        [b'"', text @ .., b'"'] => Cow::Borrowed(text),
        [b'{' | b'[', ..] => escaped(&String::from_utf8_lossy(raw)).into_bytes().into(),
        _ => Cow::Borrowed(raw),
    }
}

/// A text as the inside of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_string()
}

/// Writes a template down as JSON text, and cuts it where values go.
#[derive(Default)]
struct Writer {
    parts: Vec<Part>,
    text: String,
}

impl Writer {
    fn finish(mut self) -> Vec<Part> {
        self.cut();
        self.parts
    }

    fn cut(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text).into()));
        }
    }

    /// `place` is where the value stands, for errors.
    fn value(&mut self, value: &Value, place: &str) -> Result<(), String> {
        match value {
            Value::String(text) => self.string(text, place)?,
            Value::Array(items) => {
                self.text.push('[');
                for (at, item) in items.iter().enumerate() {
                    self.comma(at);
                    self.value(item, &format!("{place}[{at}]"))?;
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (at, (name, member)) in members.iter().enumerate() {
                    let place = format!("{place}.{name}");
                    self.comma(at);
                    self.string(name, &place)?;
                    self.text.push(':');
                    self.value(member, &place)?;
                }
                self.text.push('}');
            }
            other => self.text.push_str(&other.to_string()),
        }
        Ok(())
    }

    fn comma(&mut self, at: usize) {
        if at > 0 {
            self.text.push(',');
        }
    }

    fn string(&mut self, text: &str, place: &str) -> Result<(), String> {
        self.text.push('"');
        let mut rest = text;
        while let Some(found) = placeholder(rest).map_err(|why| format!("{place}: {why}"))? {
            self.text.push_str(&escaped(found.before));
            self.cut();
            self.parts.push(Part::Value(found.path));
            rest = found.behind;
        }
        self.text.push_str(&escaped(rest));
        self.text.push('"');
        Ok(())
    }
}

struct Placeholder<'t> {
    before: &'t str,
    path: Vec<String>,
    behind: &'t str,
}

/// The first placeholder of a text. Whatever else APISIX's template language would run is an error: it has never been
/// text, and here it is not code.
fn placeholder(text: &str) -> Result<Option<Placeholder<'_>>, String> {
    for (at, _) in text.match_indices('{') {
        let (before, from) = text.split_at(at);
        let close = match from.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'*') => "*}",
            Some(b'%') => "%}",
            Some(b'(') => ")}",
            Some(b'[') => "]}",
            Some(b'-') => "-}",
            Some(b'#') => "#}",
            _ => continue,
        };
        let Some((inner, behind)) = from[2..].split_once(close) else {
            if close == "}}" {
                return Err("a {{ has no }} behind it".to_string());
            }
            continue;
        };
        let path = match close {
            "}}" | "*}" => path(inner),
            _ => None,
        };
        let written = &from[..inner.len() + 4];
        let path = path.ok_or_else(|| {
            format!(
                "{written} cannot be filled in; write {{{{ name }}}}, {{{{ name.member }}}} or {{* name *}}, since a6 \
                 runs no code in templates"
            )
        })?;
        return Ok(Some(Placeholder { before, path, behind }));
    }
    Ok(None)
}

/// Names of Lua's template language that are no members of the request.
const RESERVED: [&str; 2] = ["_body", "_ctx"];

/// A name or a dotted path. `_escape_json(...)` around it changes nothing, since every value is escaped for JSON.
fn path(inner: &str) -> Option<Vec<String>> {
    let inner = inner.trim();
    let argument = inner.strip_prefix("_escape_json(").and_then(|rest| rest.strip_suffix(')'));
    let names: Vec<String> = argument.unwrap_or(inner).trim().split('.').map(str::to_string).collect();
    let is_name = |name: &String| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_reserved = names.first().is_some_and(|first| RESERVED.contains(&first.as_str()));
    (names.iter().all(is_name) && !is_reserved).then_some(names)
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    let template = json!({
        "type": "object",
        "properties": {
            "model": {"type": "string", "minLength": 1},
            "messages": {"type": "array", "minItems": 1, "items": prompts::message_schema()},
        },
    });
    json!({
        "type": "object",
        "properties": {
            "templates": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string", "minLength": 1}, "template": template},
                    "required": ["name", "template"],
                },
            },
            "max_req_body_size": prompts::size_schema(),
        },
        "required": ["templates"],
    })
}
