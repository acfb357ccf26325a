//! `cors`: tells browsers which other origins may read the answers, and answers their preflight requests.

use std::sync::Arc;

use a6_resources::{PluginSpec, Schema};
use a6_snapshot::{Exchange, Phases, Plugin, Reply, Site, Stop};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::headers::header_value;
use crate::support::limit::{flag, items, text};
use crate::support::pattern::Pattern;
use crate::support::shared::{Metadata, Shared};

/// APISIX's name.
pub(crate) const NAME: &str = "cors";

const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// What `**` stands for.
const ALL_METHODS: &str = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE";

const ORIGINS: &str = r"^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$";

/// A compiled configuration.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    /// Whether `allow_origins` is something else than `*`.
    is_narrow: bool,
    /// Names of lists in the plugin's metadata.
    listed: Vec<Box<str>>,
    timing: Option<Origins>,
    methods: HeaderValue,
    /// None allows what the browser asks for.
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: HeaderValue,
    credentials: bool,
    metadata: Arc<Metadata>,
}

#[derive(Debug)]
enum Origins {
    /// `*`, `**`, `null`, or origins with commas between them.
    List(Box<str>),
    Patterns(Vec<Pattern>),
}

/// The `Origin` that a request came with, before other plugins saw it.
struct Asked(HeaderValue);

impl Cors {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, shared: &Shared) -> Result<Self, String> {
        let or_all = |member| text(conf, member).unwrap_or("*");
        let credentials = flag(conf, "allow_credential", false);
        let narrow = [or_all("allow_origins"), or_all("allow_methods"), or_all("allow_headers")];
        let optional = ["expose_headers", "timing_allow_origins"].map(|member| text(conf, member));
        if credentials && (narrow.contains(&"*") || optional.contains(&Some("*"))) {
            return Err("you can not set '*' for other option when 'allow_credential' is true".into());
        }
        let [origins, methods, headers] = narrow;
        let by_pattern = patterns(conf, "allow_origins_by_regex")?;
        let timing_by_pattern = patterns(conf, "timing_allow_origins_by_regex")?;
        let timing = text(conf, "timing_allow_origins").map(|list| Origins::List(list.into()));
        let listed = items(conf, "allow_origins_by_metadata").iter().filter_map(Value::as_str);
        let max_age = conf.get("max_age").and_then(Value::as_f64).unwrap_or(5.0);
        Ok(Self {
            origins: by_pattern.unwrap_or_else(|| Origins::List(origins.into())),
            is_narrow: origins != "*",
            listed: listed.map(Box::from).collect(),
            timing: timing_by_pattern.or(timing),
            methods: header_value(if methods == "**" { ALL_METHODS } else { methods }),
            headers: (headers != "**").then(|| header_value(headers)),
            exposed: text(conf, "expose_headers").filter(|names| !names.is_empty()).map(header_value),
            max_age: header_value(&format!("{max_age:.0}")),
            credentials,
            metadata: shared.metadata.clone(),
        })
    }

    /// What `Access-Control-Allow-Origin` says to this origin; none if it is refused.
    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        if !self.listed.is_empty() {
            let metadata = self.metadata.get(NAME);
            let lists = metadata.as_ref().and_then(|metadata| metadata.get("allow_origins"));
            let mut lists =
                self.listed.iter().filter_map(|name| text(lists?, name)).map(|list| from_list(list, origin));
            if lists.any(|found| found.is_some()) {
                return origin.cloned();
            }
            if !self.is_narrow {
                return None;
            }
        }
        self.origins.allowed(origin)
    }
}

impl Origins {
    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::List(list) => from_list(list, origin),
            Self::Patterns(patterns) => {
                let text = origin?.to_str().ok()?;
                let matches = patterns.iter().any(|pattern| pattern.is_match(text));
                origin.filter(|_| matches).cloned()
            }
        }
    }
}

/// What a list says to an origin; none if it is not listed.
fn from_list(list: &str, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    match list {
        "*" => Some(HeaderValue::from_static("*")),
        "**" => Some(origin.cloned().unwrap_or(HeaderValue::from_static("*"))),
        _ => origin.filter(|origin| list.split(',').any(|listed| *origin == listed)).cloned(),
    }
}

fn patterns(conf: &Value, member: &str) -> Result<Option<Origins>, String> {
    let patterns = items(conf, member).iter().filter_map(Value::as_str).map(Pattern::new);
    let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
    Ok((!patterns.is_empty()).then_some(Origins::Patterns(patterns)))
}

impl Plugin for Cors {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, header_filter: true, ..Phases::default() }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if let Some(origin) = exchange.request.headers.get(ORIGIN).cloned() {
            exchange.keep(self, Asked(origin));
        }
        if *exchange.request.method() == Method::OPTIONS {
            return Err(Reply::text(StatusCode::OK, "").into());
        }
        Ok(())
    }

    fn header_filter(&self, exchange: &mut Exchange, head: &mut http::response::Parts) {
        let kept = exchange.kept::<_, Asked>(self).map(|asked| asked.0.clone());
        let origin = kept.or_else(|| exchange.request.headers.get(ORIGIN).cloned());
        let headers = &mut head.headers;
        if self.is_narrow {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(allowed) = self.allowed(origin.as_ref()) {
            self.accept(allowed, &exchange.request.headers, headers);
        }
        if let Some(allowed) = self.timing.as_ref().and_then(|timing| timing.allowed(origin.as_ref())) {
            headers.insert(TIMING_ALLOW_ORIGIN, allowed);
        }
    }
}

impl Cors {
    fn accept(&self, allowed: HeaderValue, asked: &HeaderMap, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        if let Some(exposed) = &self.exposed {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        match self.headers.as_ref().or_else(|| asked.get(ACCESS_CONTROL_REQUEST_HEADERS)) {
            Some(names) => {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            None => {
                headers.remove(ACCESS_CONTROL_ALLOW_HEADERS);
            }
        }
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec {
        metadata_schema: Some(Schema::of(metadata_schema)),
        ..PluginSpec::new(NAME, priority, "0.1", schema)
    }
}

fn metadata_schema() -> Value {
    let lists = json!({"type": "string", "pattern": ORIGINS});
    json!({
        "type": "object",
        "properties": {"allow_origins": {"type": "object", "additionalProperties": lists}},
    })
}

fn schema() -> Value {
    let several = |description: &str| {
        json!({
            "description": description,
            "type": "array", "minItems": 1, "uniqueItems": true,
            "items": {"type": "string", "minLength": 1, "maxLength": 4096},
        })
    };
    json!({
        "type": "object",
        "properties": {
            "allow_origins": {
                "description": "* for all, ** for whichever asks, or origins with commas between them",
                "type": "string", "pattern": ORIGINS, "default": "*",
            },
            "allow_methods": {
                "description": "* for all, ** for all by name, or methods with commas between them",
                "type": "string", "default": "*",
            },
            "allow_headers": {
                "description": "* for all, ** for those that are asked for, or names with commas between them",
                "type": "string", "default": "*",
            },
            "expose_headers": {
                "description": "headers that scripts may read, with commas between them",
                "type": "string",
            },
            "max_age": {
                "description": "seconds for which a browser may keep this; -1 for not at all",
                "type": "integer", "default": 5,
            },
            "allow_credential": {
                "description": "whether requests may carry credentials; then * is not allowed anywhere",
                "type": "boolean", "default": false,
            },
            "allow_origins_by_regex": several("patterns of origins, instead of allow_origins"),
            "allow_origins_by_metadata": several("names of lists in the plugin's metadata"),
            "timing_allow_origins": {
                "description": "origins that may see timing information, as in allow_origins",
                "type": "string", "pattern": ORIGINS,
            },
            "timing_allow_origins_by_regex": several("patterns of origins, instead of timing_allow_origins"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    /// The headers of an answer that had none; the request is rewritten on its way.
    fn told(conf: &Value, shared: &Shared, method: &str, headers: &[(&str, &str)]) -> (HeaderMap, bool) {
        let plugin = Cors::compile(conf, &testing::site(), shared).unwrap();
        let mut exchange = testing::exchange(method, "/t", headers, "");
        let stop = testing::run(plugin.rewrite(&mut exchange));
        exchange.request.headers.remove(ORIGIN);
        let (mut head, ()) = http::Response::new(()).into_parts();
        plugin.header_filter(&mut exchange, &mut head);
        (head.headers, stop.is_err())
    }

    fn origin_and_vary(conf: &Value, shared: &Shared, origin: Option<&str>) -> (Option<String>, bool) {
        let asked = origin.map(|origin| ("origin", origin));
        let (headers, _) = told(conf, shared, "GET", asked.as_slice());
        let allowed = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
        let allowed = allowed.map(|value| value.to_str().unwrap().to_string());
        // Either all of the headers are there, or none.
        assert_eq!(allowed.is_some(), headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
        (allowed, headers.contains_key(VARY))
    }

    #[test]
    fn origins_are_allowed_or_refused() {
        let (a, b) = (Some("http://a.com"), Some("http://b.com"));
        let two = json!({"allow_origins": "http://a.com,https://c.com"});
        let pattern = json!({"allow_origins_by_regex": [r".*\.x$", "^http://a"]});
        let by_name = json!({"allow_origins_by_metadata": ["none", "mine"]});
        let by_both = json!({"allow_origins_by_metadata": ["mine"], "allow_origins": "http://b.com"});
        let cases = [
            (json!({}), None, Some("*"), false),
            (json!({}), a, Some("*"), false),
            (json!({"allow_origins": "**"}), a, a, true),
            (json!({"allow_origins": "**"}), None, Some("*"), true),
            (json!({"allow_origins": "null"}), Some("null"), Some("null"), true),
            (json!({"allow_origins": "http://a.com"}), b, None, true),
            (two.clone(), a, a, true),
            (two.clone(), b, None, true),
            (two, None, None, true),
            (pattern.clone(), a, a, false),
            (pattern.clone(), Some("http://b.x"), Some("http://b.x"), false),
            (pattern.clone(), b, None, false),
            (pattern, None, None, false),
            (by_name.clone(), a, a, false),
            (by_name, b, None, false),
            (by_both.clone(), a, a, true),
            (by_both, b, b, true),
        ];
        let shared = testing::shared();
        shared.metadata.set(NAME, Some(&json!({"allow_origins": {"mine": "http://a.com,http://d.com"}})));
        for (conf, origin, allowed, varies) in cases {
            let expected = (allowed.map(str::to_string), varies);
            assert_eq!(origin_and_vary(&conf, &shared, origin), expected, "{conf} {origin:?}");
        }
    }

    #[test]
    fn a_preflight_request_ends_here() {
        let conf = json!({
            "allow_origins": "**", "allow_methods": "**", "allow_headers": "**", "expose_headers": "x-e",
            "max_age": -1, "allow_credential": true, "timing_allow_origins": "http://b.com",
        });
        let asked = [("origin", "http://a.com"), ("access-control-request-headers", "x-a")];
        let (headers, ended) = told(&conf, &testing::shared(), "OPTIONS", &asked);
        assert!(ended);
        let expected = [
            ("access-control-allow-origin", Some("http://a.com")),
            ("access-control-allow-methods", Some(ALL_METHODS)),
            ("access-control-allow-headers", Some("x-a")),
            ("access-control-expose-headers", Some("x-e")),
            ("access-control-max-age", Some("-1")),
            ("access-control-allow-credentials", Some("true")),
            ("timing-allow-origin", None),
        ];
        for (name, value) in expected {
            assert_eq!(headers.get(name).map(|value| value.to_str().unwrap()), value, "{name}");
        }
        let (headers, ended) = told(&conf, &testing::shared(), "GET", &asked[..1]);
        assert!(!ended && !headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
        let conf = json!({"timing_allow_origins_by_regex": ["a"]});
        let (headers, _) = told(&conf, &testing::shared(), "GET", &asked);
        assert_eq!(headers[TIMING_ALLOW_ORIGIN], "http://a.com");
    }

    #[test]
    fn unusable_configurations_are_refused_as_apisix_words_it() {
        let star = "you can not set '*' for other option when 'allow_credential' is true";
        let narrow = json!({"allow_origins": "http://a", "allow_methods": "GET", "allow_headers": "x"});
        let with = |member: &str, value: &str| {
            let mut conf = narrow.clone();
            conf["allow_credential"] = true.into();
            conf[member] = value.into();
            conf
        };
        let cases = [
            (json!({"allow_origins": "**", "allow_credential": true}), Some(star)),
            (with("expose_headers", "*"), Some(star)),
            (with("timing_allow_origins", "*"), Some(star)),
            (with("expose_headers", "x"), None),
            (
                json!({"allow_origins_by_regex": ["("]}),
                Some("pcre2_compile() failed: missing closing parenthesis in \"(\""),
            ),
            (
                json!({"allow_origins_by_regex": []}),
                Some(
                    "property \"allow_origins_by_regex\" validation failed: \
                     expect array to have at least 1 items",
                ),
            ),
        ];
        let plugins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(plugins.check(NAME, &conf, ConfKind::Route).err().as_deref(), expected, "{conf}");
        }
    }
}
