//! `redirect`: sends the client elsewhere: to HTTPS, to a URI with variables, or to what a pattern makes of the path.

use a6_resources::PluginSpec;
use a6_resources::expr::{Operand, Variable, Variables};
use a6_snapshot::{Exchange, Phases, Plugin, Reply, Site, Stop};
use http::header::LOCATION;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::headers::{header_value, status};
use crate::support::limit::{flag, items, text};
use crate::support::pattern::{Pattern, Replacement};
use crate::support::shared::Shared;
use crate::support::uri::{append_query, encode_path};

/// APISIX's name.
pub(crate) const NAME: &str = "redirect";

/// A compiled configuration.
#[derive(Debug)]
pub struct Redirect {
    to: Destination,
    status: StatusCode,
    encodes: bool,
    keeps_query: bool,
}

#[derive(Debug)]
enum Destination {
    /// The same over HTTPS, on that port unless it is the usual one.
    Https(Option<u16>),
    Uri(Vec<Part>),
    Pattern(Pattern, Replacement),
    /// The client stays where it is.
    Nowhere,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Variable(Variable),
}

impl Redirect {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, shared: &Shared) -> Result<Self, String> {
        let to_https = flag(conf, "http_to_https", false);
        let keeps_query = flag(conf, "append_query_string", false);
        if to_https && keeps_query {
            let text = "only one of `http_to_https` and `append_query_string` can be configured.";
            return Err(text.into());
        }
        let to = match (text(conf, "uri"), items(conf, "regex_uri")) {
            _ if to_https => Destination::Https(shared.tls_port.get().copied().filter(|port| *port != 443)),
            (Some(uri), _) => Destination::Uri(parts(uri)),
            (None, [Value::String(pattern), Value::String(by)]) => {
                let refused = |error: String| format!("invalid regex_uri ({pattern}, {by}), err:{error}");
                let pattern = Pattern::new(pattern).map_err(refused)?;
                Destination::Pattern(pattern, Replacement::parse(by).map_err(refused)?)
            }
            _ => Destination::Nowhere,
        };
        Ok(Self {
            to,
            status: status(conf, "ret_code")?.unwrap_or(StatusCode::FOUND),
            encodes: flag(conf, "encode_uri", false),
            keeps_query,
        })
    }

    /// Where the client is sent, and with which status.
    fn destination(&self, exchange: &Exchange) -> Option<(StatusCode, String)> {
        let request = &exchange.request;
        let location = match &self.to {
            Destination::Https(_) if request.client.scheme == "https" => return None,
            Destination::Https(port) => {
                let is_read = [Method::GET, Method::HEAD].contains(request.method());
                let status = match is_read {
                    true => StatusCode::MOVED_PERMANENTLY,
                    false => StatusCode::PERMANENT_REDIRECT,
                };
                // As the client wrote it: what was encoded there has to stay so.
                let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
                let host = request.host().to_ascii_lowercase();
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                return Some((status, format!("https://{host}{port}{target}")));
            }
            Destination::Uri(parts) => fill(parts, exchange),
            Destination::Pattern(pattern, by) => pattern.captures(request.path())?.replaced(by),
            Destination::Nowhere => return None,
        };
        let mut location = if self.encodes { encoded(&location) } else { location };
        if self.keeps_query {
            append_query(&mut location, request.query());
        }
        Some((self.status, location))
    }
}

impl Plugin for Redirect {
    fn phases(&self) -> Phases {
        Phases { rewrite: true, ..Phases::default() }
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        match self.destination(exchange) {
            Some((status, location)) => {
                Err(Reply::html(status).with(LOCATION, header_value(&location)).into())
            }
            None => Ok(()),
        }
    }
}

/// Encodes a target's path; its query is encoded already.
fn encoded(target: &str) -> String {
    match target.split_once('?') {
        Some((path, query)) => format!("{}?{query}", encode_path(path)),
        None => encode_path(target).into_owned(),
    }
}

/// Takes a URI apart. Unlike elsewhere a variable's name has no dot and no default, and `\$name` stays as it is.
fn parts(uri: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once('$') {
        literal.push_str(before);
        match variable(after).filter(|_| !before.ends_with('\\')) {
            Some((name, length)) => {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                let variable = Variable::parse(name).unwrap_or_else(|_| Variable::Named(name.to_string()));
                parts.push(Part::Variable(variable));
                rest = &after[length..];
            }
            None => {
                literal.push('$');
                rest = after;
            }
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    parts
}

/// The name that a text behind `$` begins with, as `name` or `{name}`, and how long that is.
fn variable(rest: &str) -> Option<(&str, usize)> {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let (name, length) = match rest.strip_prefix('{') {
        Some(inner) => {
            let (name, _) = inner.split_once('}')?;
            (name, name.len() + 2)
        }
        None => {
            let length = rest.find(is_other).unwrap_or(rest.len());
            (&rest[..length], length)
        }
    };
    (!name.is_empty() && !name.contains(is_other)).then_some((name, length))
}

fn fill(parts: &[Part], exchange: &Exchange) -> String {
    let mut uri = String::new();
    for part in parts {
        match part {
            Part::Text(text) => uri.push_str(text),
            Part::Variable(variable) => {
                uri.push_str(&exchange.value(variable).map(Operand::into_text).unwrap_or_default());
            }
        }
    }
    uri
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    let with_variables = r"(\\\$[0-9a-zA-Z_]+)|\$\{([0-9a-zA-Z_]+)\}|\$([0-9a-zA-Z_]+)|(\$|[^$\\]+)";
    json!({
        "type": "object",
        "properties": {
            "ret_code": {"type": "integer", "minimum": 200, "default": 302},
            "uri": {"type": "string", "minLength": 2, "pattern": with_variables},
            "regex_uri": {
                "description": "a pattern for the path, and what takes its place",
                "type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"},
            },
            "http_to_https": {"type": "boolean"},
            "encode_uri": {"type": "boolean", "default": false},
            "append_query_string": {"type": "boolean", "default": false},
        },
        "oneOf": [{"required": ["uri"]}, {"required": ["regex_uri"]}, {"required": ["http_to_https"]}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    /// The status and the `Location` that a client at `a.com` gets.
    fn sent(conf: &Value, method: &str, target: &str) -> Option<(u16, String)> {
        let plugin = Redirect::compile(conf, &testing::site(), &testing::shared()).unwrap();
        let mut exchange = testing::exchange(method, target, &[("host", "A.com:9080")], "");
        match testing::run(plugin.rewrite(&mut exchange)) {
            Err(Stop::Reply(reply)) => {
                let location = String::from_utf8(reply.headers[LOCATION].as_bytes().to_vec()).unwrap();
                Some((reply.status.as_u16(), location))
            }
            Err(Stop::Fault(fault)) => panic!("{fault:?}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn clients_are_sent_where_the_configuration_says() {
        let uri = |uri: &str| json!({"uri": uri});
        let cases = [
            (json!({"uri": "/new", "ret_code": 301}), "/t?a=1", Some((301, "/new"))),
            (uri("https://a.com$request_uri"), "/t/p?a=1", Some((302, "https://a.com/t/p?a=1"))),
            (uri("/x/$arg_a/${host}.$host.org"), "/t?a=1", Some((302, "/x/1/a.com.a.com.org"))),
            (uri("/x/$arg_a-$-${a b}"), "/t", Some((302, "/x/-$-${a b}"))),
            (uri(r"/x\$uri/y"), "/t", Some((302, r"/x\$uri/y"))),
            (uri("/x/$arg_a"), "/t?a=%0D%0AX", Some((302, "/x/%0D%0AX"))),
            (json!({"uri": "/new", "append_query_string": true}), "/t?a=1", Some((302, "/new?a=1"))),
            (json!({"uri": "/n?b=2", "append_query_string": true}), "/t?a=1", Some((302, "/n?b=2&a=1"))),
            (json!({"uri": "/new", "append_query_string": true}), "/t", Some((302, "/new"))),
            (json!({"uri": "/a b$uri?x", "encode_uri": true}), "/%C3%A9", Some((302, "/a%20b/%C3%A9?x"))),
            (json!({"regex_uri": ["^/t/(.*)$", "/r/$1"]}), "/t/p?a=1", Some((302, "/r/p"))),
            (json!({"regex_uri": ["^/zzz/(.*)$", "/r/$1"]}), "/t/p", None),
            (json!({"http_to_https": true}), "/t%20?x=1", Some((301, "https://a.com/t%20?x=1"))),
            (json!({"http_to_https": false}), "/t", None),
        ];
        for (conf, target, expected) in cases {
            let expected = expected.map(|(status, location)| (status, location.to_string()));
            assert_eq!(sent(&conf, "GET", target), expected, "{conf} {target}");
        }
        let expected = Some((308, "https://a.com/t".to_string()));
        assert_eq!(sent(&json!({"http_to_https": true, "ret_code": 302}), "POST", "/t"), expected);
    }

    #[test]
    fn the_port_of_the_tls_listener_is_named_unless_it_is_the_usual_one() {
        for (port, expected) in [(9443, "https://a.com:9443/t"), (443, "https://a.com/t")] {
            let shared = testing::shared();
            shared.tls_port.set(port).unwrap();
            let conf = json!({"http_to_https": true});
            let plugin = Redirect::compile(&conf, &testing::site(), &shared).unwrap();
            let exchange = testing::exchange("GET", "/t", &[("host", "a.com")], "");
            assert_eq!(plugin.destination(&exchange).unwrap().1, expected);
        }
    }

    #[test]
    fn unusable_configurations_are_refused_as_apisix_words_it() {
        let cases = [
            (json!({}), "value should match only one schema, but matches none"),
            (
                json!({"http_to_https": true, "uri": "/x"}),
                "value should match only one schema, but matches both schemas 1 and 3",
            ),
            (
                json!({"regex_uri": ["(", "b"]}),
                "invalid regex_uri ((, b), err:pcre2_compile() failed: missing closing parenthesis in \"(\"",
            ),
            (
                json!({"http_to_https": true, "append_query_string": true}),
                "only one of `http_to_https` and `append_query_string` can be configured.",
            ),
            (
                json!({"uri": "/x", "ret_code": 199}),
                "property \"ret_code\" validation failed: expected 199 to be at least 200",
            ),
        ];
        let plugins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(plugins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
    }
}
