//! `proxy-rewrite`: changes what the upstream is asked for: path, query, method, host and headers.

use std::borrow::Cow;

use a6_resources::{PluginSpec, Template};
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop, normalise};
use http::Method;
use http::header::HOST;
use serde_json::{Value, json};

use crate::support::headers::{self, Change, HeaderChanges};
use crate::support::limit::{self, flag, items, text};
use crate::support::pattern::{Pattern, Replacement};
use crate::support::shared::Shared;
use crate::support::uri::{append_query, encode_path, encode_query};

/// APISIX's name.
pub(crate) const NAME: &str = "proxy-rewrite";

/// Stands for a `?` of a variable's value until the template's own `?` is found. Unicode keeps this one free for a
/// program's own use, so no text is meant to have it.
const HIDDEN: &str = "\u{fdd0}";

/// A compiled configuration.
#[derive(Debug)]
pub struct ProxyRewrite {
    path: NewPath,
    /// The target as the client wrote it is taken, and sent as it is built.
    is_raw: bool,
    method: Option<Method>,
    host: Option<Box<str>>,
    headers: HeaderChanges,
    needs_body: bool,
}

#[derive(Debug)]
enum NewPath {
    Same,
    Template(Template),
    /// The first pattern that matches counts.
    Patterns(Vec<(Pattern, Replacement)>),
}

/// What the upstream is asked for, encoded, and its path, decoded.
#[derive(Debug, PartialEq)]
struct Target {
    raw: String,
    path: String,
}

impl ProxyRewrite {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let patterns = patterns(items(conf, "regex_uri"))?;
        let path = match text(conf, "uri") {
            Some(uri) => NewPath::Template(Template::parse(uri)),
            None if patterns.is_empty() => NewPath::Same,
            None => NewPath::Patterns(patterns),
        };
        let headers = match conf.get("headers") {
            Some(conf) => {
                check_old_form(conf)?;
                HeaderChanges::compile(conf).except(&HOST)
            }
            None => HeaderChanges::default(),
        };
        let method = text(conf, "method").map(|name| Method::from_bytes(name.as_bytes())).transpose();
        let in_path = matches!(&path, NewPath::Template(template) if template.needs_body());
        Ok(Self {
            path,
            is_raw: flag(conf, "use_real_request_uri_unsafe", false),
            method: method.map_err(|error| format!("method: {error}"))?,
            host: text(conf, "host").map(Box::from),
            needs_body: in_path || headers.needs_body(),
            headers,
        })
    }

    /// What changes. Headers see the request as it was.
    fn changes(&self, exchange: &Exchange) -> (Option<Target>, Vec<Change>) {
        let request = &exchange.request;
        let base = match self.is_raw {
            true => request.uri.path_and_query().map_or("/", |target| target.as_str()),
            false => request.path(),
        };
        let mut found = None;
        let path = match &self.path {
            NewPath::Same => Cow::Borrowed(base),
            NewPath::Template(template) => {
                Cow::Owned(template.render_with(exchange, |value| value.replace('?', HIDDEN).into()).text)
            }
            NewPath::Patterns(patterns) => {
                let first = patterns.iter().find_map(|(pattern, by)| Some((pattern.captures(base)?, by)));
                match first {
                    Some((captures, by)) => {
                        let path = captures.replaced(by);
                        found = Some(captures);
                        Cow::Owned(path)
                    }
                    None => Cow::Borrowed(base),
                }
            }
        };
        // A `?` that was in the decoded path before is part of a name, and does not begin a query.
        let has_query = matches!(path, Cow::Owned(_))
            && (matches!(self.path, NewPath::Template(_)) || !base.contains('?'));
        let target = match self.is_raw {
            true => Some(self.raw_target(exchange, &path)),
            false => target(exchange, &path, has_query),
        };
        (target, self.headers.render(exchange, found.as_ref()))
    }

    /// The target in which nothing is encoded but what no request line may hold.
    fn raw_target(&self, exchange: &Exchange, path: &str) -> Target {
        let mut raw = rooted(path).replace(HIDDEN, "%3F");
        if matches!(self.path, NewPath::Template(_)) {
            append_query(&mut raw, exchange.request.uri.query());
        }
        let path = raw.split_once('?').map_or(raw.as_str(), |(path, _)| path);
        let path = normalise(path).unwrap_or(Cow::Borrowed(path)).into_owned();
        Target { raw, path }
    }
}

/// The target for a decoded path, with its own query and the client's. None if it is what it was.
fn target(exchange: &Exchange, path: &str, has_query: bool) -> Option<Target> {
    let (path, own_query) = match path.split_once('?') {
        Some((path, query)) if has_query => (path, Some(query)),
        _ => (path, None),
    };
    let path = rooted(path).replace(HIDDEN, "?");
    let mut raw = encode_path(&path).into_owned();
    if let Some(query) = own_query {
        raw.push('?');
        raw.push_str(&encode_query(&query.replace(HIDDEN, "%3F")));
    }
    append_query(&mut raw, exchange.request.query());
    (raw != exchange.request.target()).then_some(Target { raw, path })
}

/// A request line asks for something that begins with a slash.
fn rooted(path: &str) -> Cow<'_, str> {
    if path.starts_with('/') { path.into() } else { format!("/{path}").into() }
}

impl Plugin for ProxyRewrite {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, ..Phases::default() }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.needs_body {
            Box::pin(limit::read_body(exchange)).await?;
        }
        let (target, changes) = self.changes(exchange);
        let request = &mut exchange.request;
        if let Some(target) = target {
            request.rewrite_target(&target.raw, &target.path);
        }
        headers::apply(changes, &mut request.headers);
        if let Some(host) = &self.host {
            request.rewrite_host(host);
        }
        if let Some(method) = &self.method {
            request.rewrite_method(method.clone());
        }
        Ok(())
    }
}

fn patterns(texts: &[Value]) -> Result<Vec<(Pattern, Replacement)>, String> {
    let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
    let (pairs, []) = texts.as_chunks::<2>() else {
        return Err("The length of regex_uri should be an even number".into());
    };
    pairs.iter().map(pair).collect()
}

fn pair([pattern, by]: &[&str; 2]) -> Result<(Pattern, Replacement), String> {
    let refused = |error: String| format!("invalid regex_uri({pattern}, {by}): {error}");
    Ok((Pattern::new(pattern).map_err(refused)?, Replacement::parse(by).map_err(refused)?))
}

/// Checks a plain map of headers; the newer form is not checked any closer by APISIX.
fn check_old_form(conf: &Value) -> Result<(), String> {
    let Some(members) = conf.as_object() else { return Ok(()) };
    if members.values().any(|member| member.is_object() || member.is_array()) {
        return Ok(());
    }
    for (name, value) in members {
        if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            return Err("invalid field character in header".into());
        }
        if !value.as_str().unwrap_or_default().bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("invalid value character in header".into());
        }
    }
    Ok(())
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    let methods = [
        "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND", "LOCK",
        "UNLOCK", "PATCH", "TRACE",
    ];
    json!({
        "type": "object",
        "properties": {
            "uri": {
                "description": "new path for the upstream, with variables",
                "type": "string", "minLength": 1, "maxLength": 4096, "pattern": r"^\/.*",
            },
            "regex_uri": {
                "description": "pairs of a pattern and what takes its place; counts only without uri",
                "type": "array", "minItems": 2, "items": {"type": "string"},
            },
            "method": {"description": "method for the upstream", "type": "string", "enum": methods},
            "host": {
                "description": "host for the upstream",
                "type": "string", "pattern": r"^[0-9a-zA-Z-.]+(:\d{1,5})?$",
            },
            "headers": headers_schema(),
            "use_real_request_uri_unsafe": {
                "description": "take the target as the client wrote it: UNSAFE",
                "type": "boolean", "default": false,
            },
        },
        "minProperties": 1,
    })
}

fn headers_schema() -> Value {
    let plain = json!([{"type": "string"}, {"type": "number"}]);
    let value = json!({"oneOf": [
        {"type": "string"},
        {"type": "number"},
        {"type": "array", "minItems": 1, "items": {"oneOf": plain}},
    ]});
    let fields = json!({"type": "object", "minProperties": 1, "patternProperties": {"^[^:]+$": value}});
    json!({
        "description": "changes of headers",
        "oneOf": [
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": false,
                "properties": {
                    "add": fields,
                    "set": fields,
                    "remove": {
                        "type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[^:]+$"},
                    },
                },
            },
            {"type": "object", "minProperties": 1, "patternProperties": {"^[^:]+$": {"oneOf": plain}}},
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    fn rewritten(conf: &Value, method: &str, target: &str) -> Exchange {
        let plugin = ProxyRewrite::compile(conf, &testing::site(), &testing::shared()).unwrap();
        let mut exchange = testing::exchange(method, target, &[("host", "h"), ("x-a", "0")], "");
        testing::run(plugin.rewrite(&mut exchange)).unwrap();
        exchange
    }

    #[test]
    fn paths_and_queries_are_rewritten() {
        let uri = |uri: &str| json!({"uri": uri});
        let pattern = |pattern: &str, by: &str| json!({"regex_uri": [pattern, by]});
        let raw = |mut conf: Value| {
            conf["use_real_request_uri_unsafe"] = true.into();
            conf
        };
        let cases = [
            (uri("/new"), "/t?a=1&b=2", "/new?a=1&b=2", "/new"),
            (uri("/new"), "/t?", "/new", "/new"),
            (uri("/new/$arg_a"), "/t?a=v", "/new/v?a=v", "/new/v"),
            (uri("/new/$arg_a"), "/t", "/new/", "/new/"),
            (uri("/n/$arg_a/x"), "/t?a=b%3Fc%25", "/n/b%3Fc%25/x?a=b%3Fc%25", "/n/b?c%/x"),
            (uri("/n?x=$arg_a"), "/t?a=b%3Fc%0A", "/n?x=b%3Fc%0A&a=b%3Fc%0A", "/n"),
            (uri("/test?a=1"), "/t?b=2", "/test?a=1&b=2", "/test"),
            (uri("/a b/é"), "/t", "/a%20b/%C3%A9", "/a b/é"),
            (json!({"uri": "/u", "regex_uri": ["/t", "/x"]}), "/t", "/u", "/u"),
            (pattern("^/api/v1/(.*)", "/$1"), "/api/v1/users?a=1", "/users?a=1", "/users"),
            (pattern("^/t/(.*)/(.*)$", "/$2/$1"), "/t/a/b", "/b/a", "/b/a"),
            (pattern("^/t/(.*)/(.*)$", "/$2/$1"), "/t/a", "/t/a", "/t/a"),
            (pattern("^/p/(.*)", "/p?id=$1"), "/p/7?x=1", "/p?id=7&x=1", "/p"),
            (pattern("^/p/(.*)", "/q/$1"), "/p/a%3Fb", "/q/a%3Fb", "/q/a?b"),
            (pattern("^/t/(.*)$", "$1"), "/t/a", "/a", "/a"),
            (json!({"regex_uri": ["^/t/a", "/A", "^/t", "/B"]}), "/t/a1", "/A1", "/A1"),
            (json!({"regex_uri": ["^/t/a", "/A", "^/t", "/B"]}), "/t/b", "/B/b", "/B/b"),
            (json!({"method": "PUT"}), "/t//a%2Fb?x=%20", "/t/a/b?x=%20", "/t/a/b"),
            (raw(json!({})), "/t/a%2Fb/../c?x=1", "/t/a%2Fb/../c?x=1", "/t/a/c"),
            (raw(uri("/n%2F?y=2")), "/t?x=1", "/n%2F?y=2&x=1", "/n/"),
            (raw(pattern("^/t/(.*)", "/n/$1")), "/t/a%2Fb?x=1", "/n/a%2Fb?x=1", "/n/a/b"),
        ];
        for (conf, target, raw, path) in cases {
            let exchange = rewritten(&conf, "GET", target);
            assert_eq!((exchange.request.target(), exchange.request.path()), (raw, path), "{conf} {target}");
        }
    }

    #[test]
    fn method_host_and_headers_are_rewritten() {
        let conf = json!({
            "method": "PUT",
            "host": "other:81",
            "regex_uri": ["^/t/(.*)$", "/x"],
            "headers": {
                "add": {"X-A": "$uri"},
                "set": {"X-Cap": "$1-$arg_a", "Host": "evil"},
                "remove": ["X-Gone"],
            },
        });
        let exchange = rewritten(&conf, "GET", "/t/hello?a=1");
        let request = &exchange.request;
        assert_eq!((request.method().as_str(), request.rewritten_host()), ("PUT", Some("other:81")));
        assert_eq!((request.method.as_str(), request.header("host")), ("GET", Some("h")));
        assert_eq!(request.header("x-cap"), Some("hello-1"));
        let all: Vec<_> = request.headers.get_all("x-a").iter().collect();
        assert_eq!(all, ["0", "/t/hello"]);
    }

    #[test]
    fn unusable_configurations_are_refused_as_apisix_words_it() {
        let one_of =
            "property \"headers\" validation failed: value should match only one schema, but matches none";
        let cases = [
            (json!({"regex_uri": ["a", "b", "c"]}), "The length of regex_uri should be an even number"),
            (
                json!({"regex_uri": ["(", "/b"]}),
                "invalid regex_uri((, /b): pcre2_compile() failed: missing closing parenthesis in \"(\"",
            ),
            (
                json!({"regex_uri": ["a", "/$b"]}),
                "invalid regex_uri(a, /$b): failed to compile the replacement template",
            ),
            (json!({"headers": {"a b": "x"}}), "invalid field character in header"),
            (json!({"headers": {"a": "x\ny"}}), "invalid value character in header"),
            (json!({"headers": {}}), one_of),
            (json!({"headers": {"set": {}}}), one_of),
            (
                json!({"uri": "x"}),
                "property \"uri\" validation failed: failed to match pattern \"^\\\\/.*\" with \"x\"",
            ),
        ];
        let plugins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(plugins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
        let accepted = [
            json!({}),
            json!({"headers": {"remove": "x"}}),
            json!({"headers": {"set": {"a b": "1"}}}),
            json!({"headers": {"X-A": 1}}),
        ];
        for conf in accepted {
            assert_eq!(plugins.check(NAME, &conf, ConfKind::Route), Ok(()), "{conf}");
        }
    }
}
