//! Promise: the route that answers is the one that APISIX would have picked.
//!
//! Each route sends its own id to the mock in a header, so the ledger tells who answered. The tables are text:
//! `# case`, then `put «path» «members»`, then `«method» «target» [«header»] «body members» -> «id»` (header and members
//! may be left out; `404` for nobody). A case begins with no routes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use a6_mock::Mock;
use serde_json::{Value, json};
use support::{Answer, Connection, Gateway, Setup, ai_route, chat};

struct Stage {
    mock: Mock,
    gateway: Gateway,
}

impl Stage {
    fn new() -> Self {
        Self { mock: support::mock(), gateway: Setup::new().start() }
    }

    /// Plays a table.
    fn play(&self, table: &str) {
        let (mut case, mut written) = ("", Vec::new());
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(name) = line.strip_prefix("# ") {
                written.drain(..).rev().for_each(|path| self.gateway.delete(path));
                case = name;
            } else if let Some((path, members)) =
                line.strip_prefix("put ").and_then(|put| put.split_once(' '))
            {
                self.put(path, &serde_json::from_str(members).unwrap());
                if !written.contains(&path) {
                    written.push(path);
                }
            } else {
                let (request, expected) = line.rsplit_once(" -> ").unwrap();
                let (request, members) = request.split_once(" {").unwrap_or((request, "}"));
                let (request, header) = request.split_once(" [").unwrap_or((request, "]"));
                let mut body = chat("who are you?");
                let members: Value = serde_json::from_str(&format!("{{{members}")).unwrap();
                body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
                let (id, _) = self.ask(request, header.trim_end_matches(']'), &body);
                assert_eq!(id.as_deref().unwrap_or("404"), expected, "{case}: {line}");
            }
        }
        written.drain(..).rev().for_each(|path| self.gateway.delete(path));
    }

    /// Writes an object: a service as it is, a route with an ai-proxy that tells its id.
    fn put(&self, path: &str, members: &Value) {
        let Some(id) = path.strip_prefix("routes/") else {
            self.gateway.put(path, members);
            return;
        };
        let mut route = ai_route("", &self.mock.url(), json!({"auth": {"header": {"x-answered-by": id}}}));
        let object = route.as_object_mut().unwrap();
        object.remove("uri");
        object.extend(members.as_object().unwrap().clone());
        self.gateway.put(path, &route);
    }

    /// Sends a request and says which route answered it.
    fn ask(&self, line: &str, header: &str, body: &Value) -> (Option<String>, Answer) {
        self.mock.clear();
        let (method, target) = line.split_once(' ').unwrap();
        let headers: Vec<(&str, &str)> = header.split_once(": ").into_iter().collect();
        let request = support::request(method, target, &headers, body.to_string().as_bytes());
        let answer = Connection::open(self.gateway.data).answer(&request);
        let ledger = self.mock.ledger();
        assert!(ledger.len() <= 1, "{line}: {} requests reached the provider", ledger.len());
        let id =
            ledger.first().map(|exchange| support::sent_once(exchange, "x-answered-by").unwrap().to_string());
        assert_eq!(
            answer.status == 404,
            id.is_none(),
            "{line} {header}: {} {}",
            answer.status,
            answer.text()
        );
        (id, answer)
    }
}

#[test]
fn nobody_answers_in_apisix_words() {
    let stage = Stage::new();
    for line in ["GET /", "POST /nothing", "DELETE /nothing?a=1"] {
        let (id, answer) = stage.ask(line, "", &chat("hello"));
        assert_eq!(id, None, "{line}");
        assert_eq!(answer.text(), "{\"error_msg\":\"404 Route Not Found\"}\n", "{line}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{line}");
        assert!(answer.header("server").is_some_and(|server| server.starts_with("APISIX/")), "{line}");
    }
}

#[test]
fn paths_match_exactly_then_by_the_longest_prefix() {
    Stage::new().play(PATHS);
}

#[test]
fn hosts_match_from_the_most_specific_to_none() {
    Stage::new().play(HOSTS);
}

#[test]
fn methods_status_and_address_are_conditions() {
    Stage::new().play(CONDITIONS);
}

#[test]
fn vars_look_at_the_request() {
    Stage::new().play(&with_and_without(VARS));
}

#[test]
fn vars_look_into_json_bodies() {
    Stage::new().play(&with_and_without(BODY_VARS));
}

/// A table whose cases are `vars`: each gets a route `hit` with them and a route `miss` without.
fn with_and_without(table: &str) -> String {
    let mut text = String::new();
    for line in table.lines().map(str::trim) {
        match line.strip_prefix("# ") {
            Some(vars) => text.push_str(&format!(
                "{line}\nput routes/miss {{\"uri\": \"/v\"}}\n\
                 put routes/hit {{\"uri\": \"/v\", \"priority\": 1, \"vars\": {vars}}}\n"
            )),
            None => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

#[test]
fn the_model_in_the_body_splits_one_path() {
    let uri = "/v1/chat/completions";
    let only = |model: &str| json!({"uri": uri, "vars": [["post_arg.model", "==", model]]});
    let stage = Stage::new();
    stage.put("routes/big", &only("big"));
    stage.put("routes/small", &only("small"));
    for (model, answered_by) in
        [("big", Some("big")), ("small", Some("small")), ("other", None), ("big", Some("big"))]
    {
        // The model is written last, behind text that names the other one.
        let body = json!({"messages": [{"role": "user", "content": "\"model\":\"small\""}], "model": model});
        let (id, _) = stage.ask(&format!("POST {uri}"), "", &body);
        assert_eq!(id.as_deref(), answered_by, "{model}");
    }
}

#[test]
fn vars_that_mean_nothing_are_refused() {
    let cases = [
        (json!(["arg_a", "==", "1"]), "rule should be wrapped inside brackets"),
        (json!([["arg_a", "!~~", "x"]]), "invalid operator '!~~'"),
        (json!([["arg_a"]]), "invalid expression"),
        (json!([["remote_addr", "ipmatch", ["not-an-address"]]]), "invalid ip address"),
    ];
    let stage = Stage::new();
    for (vars, why) in cases {
        let route =
            json!({"uri": "/v", "vars": vars, "plugins": {"ai-proxy": {"provider": "openai", "auth": {}}}});
        let (status, answer) = stage.gateway.admin("PUT", "routes/r", Some(&route));
        let text = answer["error_msg"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{vars}: {answer}");
        assert!(text.starts_with("failed to validate the 'vars' expression: "), "{vars}: {text}");
        assert!(text.contains(why), "{vars}: {text}");
    }
}

const PATHS: &str = r#"
    # exact
    put routes/r {"uri": "/hello"}
    GET /hello -> r
    GET /hello?a=1 -> r
    GET /%68ello -> r
    GET /hello/ -> 404
    GET /Hello -> 404
    GET /hello/x -> 404
    GET /hell -> 404
    GET /hello%20 -> 404
    # prefix
    put routes/r {"uri": "/api/*"}
    GET /api/ -> r
    GET /api/x/y -> r
    GET /api -> 404
    GET /apix -> 404
    # prefix inside a segment
    put routes/r {"uri": "/api*"}
    GET /api -> r
    GET /apix -> r
    GET /api/x -> r
    GET /ap -> 404
    # everything
    put routes/r {"uri": "/*"}
    GET / -> r
    GET /x/y -> r
    # a star in the middle
    put routes/r {"uri": "/a/*/b"}
    GET /a/x/b -> r
    GET /a/x/y/b -> r
    GET /a//b -> 404
    GET /a/b -> 404
    GET /a/x/b/c -> 404
    GET /a/x/c -> 404
    # a star with text behind it
    put routes/r {"uri": "/a/*.json"}
    GET /a/x.json -> r
    GET /a/x.xml -> r
    GET /a/x/y.json -> r
    # several
    put routes/r {"uris": ["/one", "/two/*", "/three"]}
    GET /one -> r
    GET /two/x -> r
    GET /three -> r
    GET /four -> 404
    # dot segments and double slashes
    put routes/r {"uri": "/a/c"}
    GET /a/b/../c -> r
    GET /a/./c -> r
    GET /a//c -> r
    GET /a/c/. -> 404
    GET /a/c/ -> 404
    # not ASCII
    put routes/r {"uri": "/é"}
    GET /%C3%A9 -> r
    # exact before prefix, whatever the priority
    put routes/p {"uri": "/api/*", "priority": 100}
    put routes/e {"uri": "/api/x"}
    GET /api/x -> e
    GET /api/y -> p
    # long before short, whatever the priority
    put routes/all {"uri": "/*", "priority": 100}
    put routes/api {"uri": "/api/*"}
    put routes/v1 {"uri": "/api/v1/*"}
    GET /api/v1/x -> v1
    GET /api/v1 -> api
    GET /x -> all
    # a star in the middle before its prefix
    put routes/p {"uri": "/a/*"}
    put routes/m {"uri": "/a/*/b"}
    GET /a/x/b -> m
    GET /a/x -> p
    # priority on one path
    put routes/low {"uri": "/p", "priority": -1}
    put routes/high {"uri": "/p"}
    GET /p -> high
    # the older one of equals
    put routes/r1 {"uri": "/p"}
    put routes/r0 {"uri": "/p"}
    GET /p -> r1
    # a condition that fails falls to the shorter prefix
    put routes/long {"uri": "/p/a/*", "vars": [["arg_a", "==", "1"]]}
    put routes/short {"uri": "/p/*"}
    GET /p/a/x -> short
    GET /p/a/x?a=1 -> long
    # a route that moves
    put routes/r {"uri": "/old"}
    GET /old -> r
    put routes/r {"uri": "/new"}
    GET /old -> 404
    GET /new -> r
"#;

const HOSTS: &str = r#"
    # case, port and trailing dot
    put routes/r {"uri": "/h", "host": "Foo.COM"}
    GET /h [Host: foo.com] -> r
    GET /h [Host: FOO.com:81] -> r
    GET /h [Host: foo.com.] -> r
    GET /h [Host: bar.com] -> 404
    # wildcard with a dot
    put routes/r {"uri": "/h", "host": "*.foo.com"}
    GET /h [Host: a.foo.com] -> r
    GET /h [Host: a.b.foo.com] -> r
    GET /h [Host: a.foo.com:80] -> r
    GET /h [Host: foo.com] -> 404
    GET /h [Host: xfoo.com] -> 404
    # wildcard without a dot
    put routes/r {"uri": "/h", "host": "*foo.com"}
    GET /h [Host: a.foo.com] -> r
    GET /h [Host: foo.com] -> r
    GET /h [Host: xfoo.com] -> r
    # any host
    put routes/r {"uri": "/h", "host": "*"}
    GET /h [Host: any.com] -> r
    # the most specific, whatever the priority
    put routes/com {"uri": "/h", "host": "*.com", "priority": 9}
    put routes/foo {"uri": "/h", "host": "*.foo.com", "priority": 5}
    put routes/a {"uri": "/h", "host": "a.foo.com"}
    put routes/none {"uri": "/h"}
    GET /h [Host: a.foo.com] -> a
    GET /h [Host: b.foo.com] -> foo
    GET /h [Host: x.com] -> com
    GET /h [Host: x.org] -> none
    # a host before an exact path
    put routes/host {"uri": "/*", "host": "a.com"}
    put routes/exact {"uri": "/x"}
    GET /x [Host: a.com] -> host
    GET /x [Host: b.com] -> exact
    # falls to the next host, and to none
    put routes/exact {"uri": "/a", "host": "x.foo.com", "methods": ["PUT"]}
    put routes/wild {"uri": "/b", "host": "*.foo.com"}
    put routes/none {"uri": "/*"}
    GET /b [Host: x.foo.com] -> wild
    GET /a [Host: x.foo.com] -> none
    PUT /a [Host: x.foo.com] -> exact
    # a list
    put routes/r {"uri": "/h", "hosts": ["a.com", "*.b.com"]}
    GET /h [Host: a.com] -> r
    GET /h [Host: x.b.com] -> r
    GET /h [Host: b.com] -> 404
    # a host with a port never matches
    put routes/r {"uri": "/h", "host": "a.com:9080"}
    GET /h [Host: a.com:9080] -> 404
    GET /h [Host: a.com] -> 404
    # the service's hosts
    put services/s {"hosts": ["svc.com"]}
    put routes/s {"uri": "/h", "service_id": "s"}
    put routes/none {"uri": "/h"}
    GET /h [Host: svc.com] -> s
    GET /h [Host: x.com] -> none
    # the route's host instead of the service's
    put services/s {"hosts": ["svc.com"]}
    put routes/r {"uri": "/h", "host": "r.com", "service_id": "s"}
    GET /h [Host: svc.com] -> 404
    GET /h [Host: r.com] -> r
"#;

const CONDITIONS: &str = r#"
    # methods
    put routes/g {"uri": "/m", "methods": ["GET"]}
    put routes/p {"uri": "/m", "methods": ["POST", "PUT"]}
    GET /m -> g
    POST /m -> p
    PUT /m -> p
    PATCH /m -> 404
    HEAD /m -> 404
    FOO /m -> 404
    # no methods are all methods
    put routes/r {"uri": "/m", "methods": []}
    GET /m -> r
    DELETE /m -> r
    FOO /m -> r
    # switched off
    put routes/off {"uri": "/s", "status": 0, "priority": 5}
    put routes/on {"uri": "/s"}
    GET /s -> on
    # only one, and that is off
    put routes/off {"uri": "/s", "status": 0}
    GET /s -> 404
    # one address
    put routes/other {"uri": "/r", "remote_addr": "10.1.1.1", "priority": 5}
    put routes/r {"uri": "/r", "remote_addr": "127.0.0.1"}
    GET /r -> r
    # several addresses
    put routes/other {"uri": "/r", "remote_addrs": ["10.0.0.0/8", "::1"], "priority": 5}
    put routes/r {"uri": "/r", "remote_addrs": ["192.0.2.1", "127.0.0.0/8"]}
    GET /r -> r
"#;

const VARS: &str = r#"
    # [["arg_a", "==", "1"]]
    GET /v?a=1 -> hit
    GET /v?a=2 -> miss
    GET /v -> miss
    GET /v?a=1&a=2 -> hit
    GET /v?a=2&a=1 -> miss
    GET /v?a=%31 -> hit
    GET /v?A=1 -> miss
    # [["arg_a", "1"]]
    GET /v?a=1 -> hit
    GET /v?a=2 -> miss
    # [["arg_a", "==", 1]]
    GET /v?a=1 -> hit
    GET /v?a=1.0 -> hit
    GET /v?a=x -> miss
    GET /v -> miss
    # [["arg_a", "~=", 1]]
    GET /v?a=1 -> miss
    GET /v?a=x -> hit
    GET /v -> hit
    # [["arg_a", ">", "10"]]
    GET /v?a=9 -> miss
    GET /v?a=11 -> hit
    # [["arg_a", "<", 10]]
    GET /v?a=9 -> hit
    GET /v?a=10 -> miss
    GET /v?a= -> miss
    GET /v -> miss
    # [["arg_a", "~~", "^[a-z]+$"]]
    GET /v?a=abc -> hit
    GET /v?a=ABC -> miss
    GET /v -> miss
    # [["arg_a", "!", "~~", "^[a-z]+$"]]
    GET /v?a=abc -> miss
    GET /v?a=1 -> hit
    # [["arg_a", "in", ["1", "2"]]]
    GET /v?a=1 -> hit
    GET /v?a=3 -> miss
    GET /v -> miss
    # [["arg_a", "in", [1]]]
    GET /v?a=1 -> miss
    # [["arg_a", "==", "1"], ["arg_b", "==", "2"]]
    GET /v?a=1&b=2 -> hit
    GET /v?a=1 -> miss
    GET /v?b=2 -> miss
    # ["or", ["arg_a", "==", "1"], ["arg_b", "==", "2"]]
    GET /v?b=2 -> hit
    GET /v -> miss
    # ["!OR", ["arg_a", "==", "1"], ["arg_b", "==", "2"]]
    GET /v?a=1 -> miss
    GET /v?a=3 -> hit
    # ["!AND", ["arg_a", "==", "1"], ["arg_b", "==", "2"]]
    GET /v?a=1&b=2 -> miss
    GET /v?a=1 -> hit
    # ["AND", ["arg_v", "==", "1"], ["OR", ["arg_a", "==", "1"], ["arg_b", "==", "2"]]]
    GET /v?v=1&a=1 -> hit
    GET /v?v=1&b=2 -> hit
    GET /v?v=1 -> miss
    GET /v?a=1 -> miss
    # []
    GET /v -> hit
    # [["request_method", "==", "POST"], ["scheme", "==", "http"], ["uri", "==", "/v"]]
    POST /v?a=1 -> hit
    GET /v -> miss
    # [["http_x_canary", "==", "yes"]]
    GET /v [X-Canary: yes] -> hit
    GET /v [x-canary: no] -> miss
    GET /v -> miss
    # [["http_x-canary", "==", "yes"]]
    GET /v [X-Canary: yes] -> hit
    GET /v -> miss
    # [["cookie_plan", "==", "pro"]]
    GET /v [Cookie: a=b; plan=pro] -> hit
    GET /v [Cookie: plan=free] -> miss
    # [["host", "==", "a.com"]]
    GET /v [Host: a.com] -> hit
    GET /v [Host: A.com:80] -> hit
    GET /v [Host: b.com] -> miss
    # [["remote_addr", "ipmatch", ["10.0.0.0/8", "127.0.0.1"]]]
    GET /v -> hit
    # [["remote_addr", "ipmatch", ["10.0.0.0/8"]]]
    GET /v -> miss
    # [["consumer_name", "==", "jack"]]
    GET /v [X-Consumer-Username: jack] -> miss
"#;

const BODY_VARS: &str = r#"
    # [["post_arg.model", "==", "gpt-4"]]
    POST /v {"model": "gpt-4"} -> hit
    POST /v {"model": "gpt-3"} -> miss
    POST /v {"metadata": {"model": "gpt-4"}} -> miss
    # [["post_arg.model", "~~", "^gpt-4"]]
    POST /v {"model": "gpt-4o"} -> hit
    POST /v {"model": "claude"} -> miss
    POST /v {"model": 5} -> miss
    # [["post_arg.ab.c", "==", "x"]]
    POST /v {"ab": {"c": "x"}} -> hit
    POST /v {"ab.c": "x"} -> miss
    POST /v {"ab": "x"} -> miss
    POST /v {"ab": {"c": null}} -> miss
    # [["post_arg.num", "==", 5]]
    POST /v {"num": 5} -> hit
    POST /v {"num": "5"} -> hit
    POST /v {"num": 5.0} -> hit
    POST /v {"num": 6} -> miss
    # [["post_arg.num", "==", "5"]]
    POST /v {"num": 5} -> miss
    POST /v {"num": "5"} -> hit
    # [["post_arg.str", "==", true]]
    POST /v {"str": true} -> hit
    POST /v {"str": "true"} -> miss
    POST /v {"str": false} -> miss
    # [["post_arg.max_tokens", ">", 100]]
    POST /v {"max_tokens": 200} -> hit
    POST /v {"max_tokens": 50} -> miss
    POST /v {"max_tokens": "200"} -> hit
    # [["post_arg.messages[*].role", "has", "tool"]]
    POST /v {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}]} -> hit
    POST /v -> miss
"#;
