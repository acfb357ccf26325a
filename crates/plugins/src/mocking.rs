//! `mocking`: answers in the upstream's place, with an example or with values made up after a schema.

use std::time::Duration;

use a6_resources::{PluginSpec, Template};
use a6_snapshot::{Exchange, Phases, Plugin, Reply, Site, Stop};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::support::headers::{self, HeaderText};
use crate::support::limit::{self, flag, text};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "mocking";

const MOCKED_BY: HeaderName = HeaderName::from_static("x-mock-by");
/// The version that this gateway behaves as.
const VERSION: HeaderValue = HeaderValue::from_static("APISIX/3.18.0");

const CONTENT: &str = "application/json;charset=utf8";

/// A compiled configuration.
#[derive(Debug)]
pub struct Mocking {
    status: StatusCode,
    content_type: HeaderValue,
    headers: Vec<(HeaderName, HeaderText)>,
    is_marked: bool,
    delay: Duration,
    body: Body,
    needs_body: bool,
}

#[derive(Debug)]
enum Body {
    Example(Template),
    Json(Shape),
    Xml(Shape),
    Nothing,
}

/// What a value is made up after.
#[derive(Debug, PartialEq)]
enum Shape {
    /// The schema's example.
    Fixed(Value),
    Text,
    Number,
    Integer,
    Boolean,
    List(Option<Box<Shape>>),
    Object(Vec<(String, Shape)>),
    /// A type that nobody knows.
    Null,
}

impl Mocking {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let content = text(conf, "content_type").unwrap_or(CONTENT);
        let unsupported = "unsupported content type!";
        let media = content.split(';').next().unwrap_or_default();
        let made_up = |body: fn(Shape) -> Body| body(Shape::of(conf.get("response_schema"), true));
        let body = match (media, text(conf, "response_example")) {
            (
                "application/json" | "text/plain" | "application/xml" | "text/xml" | "text/html",
                Some(text),
            ) => Body::Example(Template::parse(text)),
            ("application/json" | "text/plain", None) => made_up(Body::Json),
            ("application/xml" | "text/xml", None) => made_up(Body::Xml),
            ("text/html", None) => Body::Nothing,
            _ => return Err(unsupported.into()),
        };
        let headers = headers::fields(conf.get("response_headers"));
        let in_headers = headers.iter().any(|(_, value)| value.needs_body());
        let in_body = matches!(&body, Body::Example(example) if example.needs_body());
        let seconds = conf.get("delay").and_then(Value::as_u64).unwrap_or_default();
        Ok(Self {
            status: headers::status(conf, "response_status")?.unwrap_or(StatusCode::OK),
            content_type: HeaderValue::from_str(content).map_err(|_| unsupported)?,
            is_marked: flag(conf, "with_mock_header", true),
            delay: Duration::from_secs(seconds),
            needs_body: in_body || in_headers,
            headers,
            body,
        })
    }

    fn reply(&self, exchange: &Exchange) -> Reply {
        let body = match &self.body {
            Body::Example(example) => example.render(exchange).text,
            Body::Json(shape) => shape.make_up().to_string(),
            Body::Xml(shape) => xml(&shape.make_up()),
            Body::Nothing => String::new(),
        };
        let mut reply = Reply::text(self.status, body).with(CONTENT_TYPE, self.content_type.clone());
        if self.is_marked {
            reply.headers.insert(MOCKED_BY, VERSION);
        }
        for (name, value) in &self.headers {
            reply.headers.append(name, value.render(exchange, None));
        }
        reply
    }
}

impl Shape {
    /// Reads a schema. The outermost one is an object even if it does not say so.
    fn of(schema: Option<&Value>, is_outermost: bool) -> Self {
        let Some(schema) = schema else { return Self::Null };
        let kind = text(schema, "type").map(str::to_ascii_lowercase);
        let fits = |example: &&Value| match kind.as_deref() {
            Some("string") => example.is_string(),
            Some("number" | "integer") => example.is_number(),
            Some("boolean") => example.is_boolean(),
            _ => false,
        };
        if let Some(example) = schema.get("example").filter(fits) {
            return Self::Fixed(example.clone());
        }
        match kind.as_deref() {
            Some("string") => Self::Text,
            Some("number") => Self::Number,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Boolean,
            Some("array") => {
                let items = schema.get("items").map(|items| Box::new(Self::of(Some(items), false)));
                Self::List(items)
            }
            None if !is_outermost => Self::Null,
            Some("object") | None => {
                let members = schema.get("properties").and_then(Value::as_object);
                let members = members.into_iter().flatten();
                Self::Object(
                    members.map(|(name, schema)| (name.clone(), Self::of(Some(schema), false))).collect(),
                )
            }
            Some(_) => Self::Null,
        }
    }

    fn make_up(&self) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text => {
                let length = fastrand::usize(1..=10);
                Value::String((0..length).map(|_| fastrand::lowercase()).collect())
            }
            Self::Number => json!(fastrand::f64() * 10_000.0),
            Self::Integer => json!(fastrand::u32(1..=10_000)),
            Self::Boolean => json!(fastrand::bool()),
            Self::List(None) | Self::Null => Value::Null,
            Self::List(Some(items)) => (0..fastrand::usize(1..=3)).map(|_| items.make_up()).collect(),
            Self::Object(members) => {
                let members = members.iter().map(|(name, shape)| (name.clone(), shape.make_up()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

/// A value as XML: an element per member, one for each item of a list.
fn xml(value: &Value) -> String {
    let mut text = String::new();
    element("data", value, &mut text);
    text
}

fn element(name: &str, value: &Value, into: &mut String) {
    if let Value::Array(items) = value {
        items.iter().for_each(|item| element(name, item, into));
        return;
    }
    into.push_str(&format!("<{name}>"));
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| element(name, member, into)),
        Value::String(text) => escape(text, into),
        Value::Null => {}
        other => into.push_str(&other.to_string()),
    }
    into.push_str(&format!("</{name}>"));
}

fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '&' => into.push_str("&amp;"),
            c => into.push(c),
        }
    }
}

impl Plugin for Mocking {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.needs_body {
            Box::pin(limit::read_body(exchange)).await?;
        }
        if !self.delay.is_zero() {
            Box::pin(tokio::time::sleep(self.delay)).await;
        }
        Err(self.reply(exchange).into())
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
            "delay": {"type": "integer", "default": 0},
            "response_status": {"type": "integer", "minimum": 100, "default": 200},
            "content_type": {"type": "string", "default": CONTENT},
            "response_example": {"type": "string"},
            "response_schema": {"type": "object"},
            "with_mock_header": {"type": "boolean", "default": true},
            "response_headers": {
                "type": "object",
                "minProperties": 1,
                "patternProperties": {"^[^:]+$": {"oneOf": [{"type": "string"}, {"type": "number"}]}},
            },
        },
        "anyOf": [{"required": ["response_example"]}, {"required": ["response_schema"]}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    fn mocked(conf: &Value) -> Reply {
        let plugin = Mocking::compile(conf, &testing::site(), &testing::shared()).unwrap();
        let mut exchange = testing::exchange("GET", "/t?a=1", &[], "");
        match testing::run(plugin.access(&mut exchange)) {
            Err(Stop::Reply(reply)) => *reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_example_is_the_answer() {
        let conf = json!({
            "response_example": "addr=$remote_addr arg=$arg_a",
            "response_schema": {"type": "object"},
            "response_status": 201,
            "content_type": "text/plain; charset=x",
            "response_headers": {"X-A": "$arg_a", "X-B": 2},
        });
        let reply = mocked(&conf);
        assert_eq!((&reply.body[..], reply.status.as_u16()), (&b"addr=127.0.0.1 arg=1"[..], 201));
        let expected = [
            ("content-type", "text/plain; charset=x"),
            ("x-mock-by", "APISIX/3.18.0"),
            ("x-a", "1"),
            ("x-b", "2"),
        ];
        for (name, value) in expected {
            assert_eq!(reply.headers[name], value);
        }
        let bare = mocked(&json!({"response_example": "x", "with_mock_header": false}));
        assert_eq!(bare.headers["content-type"], "application/json;charset=utf8");
        assert!(!bare.headers.contains_key("x-mock-by"));
    }

    #[test]
    fn values_are_made_up_after_the_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "s": {"type": "string"},
                "e": {"type": "string", "example": "<x>"},
                "w": {"type": "integer", "example": "no integer"},
                "n": {"type": "number"},
                "b": {"type": "boolean"},
                "l": {"type": "array", "items": {"type": "integer", "example": 7}},
                "o": {"type": "object", "properties": {"x": {"type": "boolean", "example": true}}},
                "u": {},
            },
        });
        for _ in 0..20 {
            let made: Value =
                serde_json::from_slice(&mocked(&json!({"response_schema": schema})).body).unwrap();
            let word = made["s"].as_str().unwrap();
            assert!((1..=10).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase()));
            assert!((1..=10_000).contains(&made["w"].as_u64().unwrap()));
            assert!((0.0..10_000.0).contains(&made["n"].as_f64().unwrap()) && made["b"].is_boolean());
            let list = made["l"].as_array().unwrap();
            assert!((1..=3).contains(&list.len()) && list.iter().all(|item| item == 7));
            assert_eq!(
                (&made["e"], &made["o"], &made["u"]),
                (&json!("<x>"), &json!({"x": true}), &Value::Null)
            );
        }
        let fixed = json!({"properties": {
            "e": {"type": "string", "example": "<x>"},
            "o": {"type": "object", "properties": {"x": {"type": "integer", "example": 1}}},
        }});
        let of = |content: &str| mocked(&json!({"response_schema": fixed, "content_type": content})).body;
        assert_eq!(of("text/xml"), "<data><e>&lt;x&gt;</e><o><x>1</x></o></data>");
        assert_eq!(of("text/plain"), "{\"e\":\"<x>\",\"o\":{\"x\":1}}");
        assert_eq!(of("text/html;charset=x"), "");
        assert_eq!(xml(&json!({"l": [1, 2]})), "<data><l>1</l><l>2</l></data>");
    }

    #[test]
    fn unusable_configurations_are_refused_as_apisix_words_it() {
        let cases = [
            (
                json!({}),
                "object matches none of the required: [\"response_example\"] or [\"response_schema\"]",
            ),
            (json!({"response_example": "x", "content_type": "image/png"}), "unsupported content type!"),
            (
                json!({"response_example": "x", "response_status": 99}),
                "property \"response_status\" validation failed: expected 99 to be at least 100",
            ),
        ];
        let plugins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(plugins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
    }
}
