//! The request that a trace sends: what the flags say, and where they are silent, what the route asks for.

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::trace::Args;
use crate::errors::{Failure, Result};
use crate::kinds::Object;

/// A request for the data plane. Its headers may hold credentials.
#[cfg_attr(test, derive(Debug))]
pub(crate) struct TestRequest {
    pub(crate) method: Method,
    /// Path and query, encoded.
    pub(crate) target: String,
    /// In the order in which they are sent; `Host` is among them where it is known.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

impl TestRequest {
    /// Reads the `--header` flags, before anything is asked of anybody.
    pub(crate) fn headers(flags: &[String]) -> Result<Vec<(String, String)>> {
        let pair = |flag: &String| {
            let wrong = |what: &str| Failure::new(format!("invalid --header value {flag:?}, {what}"));
            let (name, value) = flag.split_once(':').ok_or_else(|| wrong("expected 'Key: Value'"))?;
            match name.trim() {
                "" => Err(wrong("header key is empty")),
                name => Ok((name.to_owned(), value.trim().to_owned())),
            }
        };
        flags.iter().map(pair).collect()
    }

    /// Puts the request together.
    pub(crate) fn new(route: &Object, args: &Args, mut headers: Vec<(String, String)>) -> Result<Self> {
        let text = |name: &str| route.get(name).and_then(Value::as_str).map(str::to_owned);
        let first = |name: &str| route.get(name)?.as_array()?.first()?.as_str().map(str::to_owned);
        let given = |flag: &Option<String>| flag.clone().filter(|value| !value.is_empty());
        let body = given(&args.body);
        // A body without a method of anybody's is what POST is for.
        let usual = || if body.is_some() { "POST".to_owned() } else { "GET".to_owned() };
        let method = given(&args.method).or_else(|| first("methods")).unwrap_or_else(usual).to_uppercase();
        let method: Method =
            method.parse().map_err(|_| Failure::new(format!("invalid --method value {method:?}")))?;
        let path = given(&args.path).or_else(|| text("uri")).or_else(|| first("uris")).unwrap_or_default();
        let host = given(&args.host).or_else(|| first("hosts")).or_else(|| text("host"));
        let has = |headers: &[(String, String)], name: &str| {
            headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
        };
        let is_json = body.as_ref().is_some_and(|body| serde_json::from_str::<Value>(body).is_ok());
        if is_json && !has(&headers, "content-type") {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        if let Some(host) = host.filter(|_| !has(&headers, "host")) {
            headers.push(("Host".to_owned(), host));
        }
        Ok(TestRequest { method, target: encode(&path), headers, body })
    }

    /// The headers as an object; of a name that stands twice the values are joined.
    pub(crate) fn header_object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in &self.headers {
            let joined = match object.get(name).and_then(Value::as_str) {
                Some(earlier) => format!("{earlier}, {value}"),
                None => value.clone(),
            };
            object.insert(name.clone(), Value::from(joined));
        }
        object
    }

    /// The same request as a question for the explain endpoint.
    pub(crate) fn question(&self, consumer: Option<&str>, gateway: &str) -> Value {
        let is_host = |pair: &&(String, String)| pair.0.eq_ignore_ascii_case("host");
        let host = self.headers.iter().find(is_host).map_or(gateway, |(_, host)| host.as_str());
        let others: Vec<_> = self.headers.iter().filter(|pair| !is_host(pair)).collect();
        let mut question =
            json!({"method": self.method.as_str(), "path": self.target, "host": host, "headers": others});
        if let Some(body) = &self.body {
            question["body"] = json!(body);
        }
        if let Some(consumer) = consumer {
            question["consumer"] = json!(consumer);
        }
        question
    }
}

/// With a slash in front, and encoded where a request line could not hold it. What is encoded already stays.
fn encode(path: &str) -> String {
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte) {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn flags_come_before_the_route_and_that_before_the_usual() {
        let of = |route_value: Value, args: Args| {
            let headers = TestRequest::headers(&args.header).unwrap();
            let request = TestRequest::new(&route(route_value), &args, headers).unwrap();
            format!("{} {} {}", request.method, request.target, Value::from(request.header_object()))
        };
        let full =
            json!({"uri": "/a/*", "methods": ["PUT", "GET"], "hosts": ["h.test", "i.test"], "host": "x"});
        let lists = json!({"uris": ["/b", "/c"], "host": "j.test"});
        let text = |value: &str| Some(value.to_owned());
        for (route, args, expected) in [
            (full.clone(), Args::default(), r#"PUT /a/* {"Host":"h.test"}"#),
            (lists.clone(), Args::default(), r#"GET /b {"Host":"j.test"}"#),
            (json!({}), Args::default(), "GET / {}"),
            (
                full,
                Args {
                    method: text("patch"),
                    path: text("x y?q=ü#"),
                    host: text("k.test"),
                    header: vec!["A: 1".to_owned(), "A:2".to_owned()],
                    ..Args::default()
                },
                r#"PATCH /x%20y?q=%C3%BC%23 {"A":"1, 2","Host":"k.test"}"#,
            ),
            (
                lists.clone(),
                Args { body: text("{}"), header: vec!["host: own".to_owned()], ..Args::default() },
                r#"POST /b {"host":"own","Content-Type":"application/json"}"#,
            ),
            (lists, Args { body: text("a=b"), ..Args::default() }, r#"POST /b {"Host":"j.test"}"#),
        ] {
            assert_eq!(of(route, args), expected);
        }
    }

    #[test]
    fn bad_flags_are_named() {
        for (flag, expected) in [
            ("nonsense", "invalid --header value \"nonsense\", expected 'Key: Value'"),
            (" : x", "invalid --header value \" : x\", header key is empty"),
        ] {
            assert_eq!(TestRequest::headers(&[flag.to_owned()]).unwrap_err().to_string(), expected);
        }
        let args = Args { method: Some("G T".to_owned()), ..Args::default() };
        let refused = TestRequest::new(&Object::new(), &args, Vec::new()).unwrap_err();
        assert_eq!(refused.to_string(), "invalid --method value \"G T\"");
    }

    #[test]
    fn a_question_tells_the_same_request() {
        let args = Args { body: Some("{}".to_owned()), ..Args::default() };
        let headers = vec![("X-A".to_owned(), "1".to_owned()), ("Host".to_owned(), "h.test:1".to_owned())];
        let request = TestRequest::new(&route(json!({"uri": "/a"})), &args, headers).unwrap();
        assert_eq!(
            request.question(Some("jack"), "gw:9080"),
            json!({"method": "POST", "path": "/a", "host": "h.test:1", "body": "{}", "consumer": "jack",
                "headers": [["X-A", "1"], ["Content-Type", "application/json"]]})
        );
    }
}
