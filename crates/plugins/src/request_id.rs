//! `request-id`: gives each request an identifier of its own, for the upstream and for the client.

use a6_core::Clock;
use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::support::headers::header_value;
use crate::support::ids;
use crate::support::limit::{flag, text};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "request-id";

/// APISIX's own characters; `G` comes twice among them and `J` never.
const CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789";
const DEFAULT_LENGTH: u64 = 16;

/// Servers refuse longer headers.
const MAX_LENGTH: u64 = 4096;

/// A compiled configuration.
#[derive(Debug)]
pub struct RequestId {
    header: HeaderName,
    algorithm: Algorithm,
    in_answer: bool,
}

#[derive(Debug)]
enum Algorithm {
    UuidV4,
    UuidV7,
    Nanoid,
    Ksuid,
    Characters(Vec<char>, usize),
}

/// The request's identifier, whatever other plugins make of its headers.
struct Id(HeaderValue);

impl RequestId {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let header = text(conf, "header_name").unwrap_or("X-Request-Id");
        let algorithm = match text(conf, "algorithm").unwrap_or("uuid") {
            "uuid" => Algorithm::UuidV4,
            "uuidv7" => Algorithm::UuidV7,
            "nanoid" => Algorithm::Nanoid,
            "ksuid" => Algorithm::Ksuid,
            "range_id" => characters(conf.get("range_id").unwrap_or(&Value::Null))?,
            other => return Err(format!("algorithm: {other:?} is unknown")),
        };
        Ok(Self {
            header: HeaderName::try_from(header)
                .map_err(|_| format!("header_name: no header can be called {header:?}"))?,
            algorithm,
            in_answer: flag(conf, "include_in_response", true),
        })
    }

    fn generate(&self) -> String {
        let clock = Clock::system();
        match &self.algorithm {
            Algorithm::UuidV4 => ids::uuid_v4(),
            Algorithm::UuidV7 => ids::uuid_v7(clock.unix_ms()),
            Algorithm::Nanoid => ids::nanoid(),
            Algorithm::Ksuid => ids::ksuid(clock.unix_seconds()),
            Algorithm::Characters(characters, length) => ids::of_characters(characters, *length),
        }
    }
}

/// Reads `range_id`.
fn characters(conf: &Value) -> Result<Algorithm, String> {
    let characters = text(conf, "char_set").unwrap_or(CHARACTERS);
    if HeaderValue::from_bytes(characters.as_bytes()).is_err() {
        return Err("range_id.char_set: it has a character that no header may have".into());
    }
    let length = conf.get("length").and_then(Value::as_u64).unwrap_or(DEFAULT_LENGTH);
    if length > MAX_LENGTH {
        return Err(format!("range_id.length: {length} is too long; use at most {MAX_LENGTH}"));
    }
    Ok(Algorithm::Characters(characters.chars().collect(), length as usize))
}

impl Plugin for RequestId {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, header_filter: self.in_answer, ..Phases::default() }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let headers = &mut exchange.request.headers;
        let id = match headers.get(&self.header).filter(|id| !id.is_empty()) {
            Some(id) => id.clone(),
            None => {
                let id = header_value(&self.generate());
                headers.insert(&self.header, id.clone());
                id
            }
        };
        exchange.set_variable("apisix_request_id", String::from_utf8_lossy(id.as_bytes()));
        if self.in_answer {
            exchange.keep(self, Id(id));
        }
        Ok(())
    }

    fn header_filter(&self, exchange: &mut Exchange, head: &mut http::response::Parts) {
        if head.headers.get(&self.header).is_some_and(|id| !id.is_empty()) {
            return;
        }
        if let Some(Id(id)) = exchange.kept::<_, Id>(self) {
            head.headers.insert(&self.header, id.clone());
        }
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
            "header_name": {"type": "string", "default": "X-Request-Id"},
            "include_in_response": {"type": "boolean", "default": true},
            "algorithm": {
                "type": "string",
                "enum": ["uuid", "nanoid", "range_id", "ksuid", "uuidv7"],
                "default": "uuid",
            },
            "range_id": {
                "type": "object",
                "properties": {
                    "length": {"type": "integer", "minimum": 6, "default": DEFAULT_LENGTH},
                    "char_set": {"type": "string", "minLength": 6, "default": CHARACTERS},
                },
                "default": {"length": DEFAULT_LENGTH, "char_set": CHARACTERS},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;

    fn compile(conf: &Value) -> Result<RequestId, String> {
        RequestId::compile(conf, &testing::site(), &testing::shared())
    }

    /// What upstream and client see, and the variable.
    fn seen(
        conf: &Value,
        asked: &[(&str, &str)],
        answered: Option<&str>,
        header: &str,
    ) -> (String, Option<String>, String) {
        let plugin = compile(conf).unwrap();
        let mut exchange = testing::exchange("GET", "/t", asked, "");
        testing::run(plugin.rewrite(&mut exchange)).unwrap();
        let (mut head, ()) = http::Response::new(()).into_parts();
        if let Some(value) = answered {
            head.headers.insert(HeaderName::try_from(header).unwrap(), value.parse().unwrap());
        }
        if plugin.phases().header_filter {
            plugin.header_filter(&mut exchange, &mut head);
        }
        let upstream = exchange.request.header(header).unwrap().to_string();
        let client = head.headers.get(header).map(|id| id.to_str().unwrap().to_string());
        (upstream, client, exchange.plugin_variable("apisix_request_id").unwrap().to_string())
    }

    #[test]
    fn a_missing_identifier_is_made_and_a_given_one_kept() {
        let nothing: &[(&str, &str)] = &[];
        for asked in [nothing, &[("x-request-id", "")]] {
            let (upstream, client, variable) = seen(&json!({}), asked, None, "x-request-id");
            assert_eq!((client.as_deref(), &*variable), (Some(&*upstream), &*upstream));
            assert_eq!((upstream.len(), upstream.matches('-').count()), (36, 4));
        }
        let mine = |name| [(name, "mine")];
        let cases = [
            (json!({}), "x-request-id", None, Some("mine")),
            (json!({"header_name": "X-Trace"}), "x-trace", None, Some("mine")),
            (json!({"include_in_response": false}), "x-request-id", None, None),
            (json!({}), "x-request-id", Some("theirs"), Some("theirs")),
            (json!({}), "x-request-id", Some(""), Some("mine")),
        ];
        for (conf, header, answered, expected) in cases {
            let (upstream, client, variable) = seen(&conf, &mine(header), answered, header);
            assert_eq!((&*upstream, &*variable), ("mine", "mine"), "{conf}");
            assert_eq!(client.as_deref(), expected, "{conf} {answered:?}");
        }
    }

    #[test]
    fn each_algorithm_has_its_length() {
        let range = |conf: Value| json!({"algorithm": "range_id", "range_id": conf});
        let cases = [
            (json!({"algorithm": "uuid"}), 36),
            (json!({"algorithm": "uuidv7"}), 36),
            (json!({"algorithm": "nanoid"}), 21),
            (json!({"algorithm": "ksuid"}), 27),
            (json!({"algorithm": "range_id"}), 16),
            (range(json!({"length": 9})), 9),
            (range(json!({"char_set": "abcdef"})), 16),
        ];
        for (conf, length) in cases {
            assert_eq!(compile(&conf).unwrap().generate().len(), length, "{conf}");
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        let range = |conf: Value| json!({"algorithm": "range_id", "range_id": conf});
        let cases = [
            (json!({"header_name": "a b"}), "header_name: no header can be called \"a b\""),
            (range(json!({"length": 5000})), "range_id.length: 5000 is too long; use at most 4096"),
            (
                range(json!({"char_set": "abcdef\n"})),
                "range_id.char_set: it has a character that no header may have",
            ),
        ];
        for (conf, expected) in cases {
            assert_eq!(compile(&conf).err().as_deref(), Some(expected), "{conf}");
        }
    }
}
