//! Promise: the metrics tell every request that a route counts, once, and what they say is true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "metrics_tell_every_request/exposition.rs"]
mod exposition;
mod support;

use exposition::{PATH, Scrape, scrape};
use serde_json::{Value, json};
use support::{
    Connection, Echo, Gateway, Scripted, Setup, Step, ai_route, chat, chat_stream, closed_port, eventually,
    post, request,
};

/// A route with one more plugin.
fn with(mut route: Value, plugin: &str, conf: Value) -> Value {
    route["plugins"][plugin] = conf;
    route
}

fn counted(route: Value) -> Value {
    with(route, "prometheus", json!({}))
}

fn get(gateway: &Gateway, target: &str) -> u16 {
    Connection::open(gateway.data).answer(&request("GET", target, &[], b"")).status
}

#[test]
fn tokens_and_requests_are_those_of_the_provider() {
    let mock = support::mock();
    let gateway = Setup::new().workers(2).start();
    let options = json!({"options": {"model": "gpt-used"}});
    gateway.put("routes/r", &counted(ai_route("/chat", &mock.url(), options)));
    gateway.put("routes/quiet", &ai_route("/uncounted", &mock.url(), json!({})));
    for number in 0..6 {
        assert_eq!(post(gateway.data, "/chat", &[], &chat(&"word ".repeat(number + 1))).status, 200);
        assert!(post(gateway.data, "/chat", &[], &chat_stream("and as a stream")).clean_end);
        assert_eq!(post(gateway.data, "/uncounted", &[], &chat("hello")).status, 200);
    }
    assert_eq!(post(gateway.data, "/chat", &[("x-mock-no-usage", "1")], &chat("quiet")).status, 200);
    assert_eq!(post(gateway.data, "/chat", &[("x-mock-status", "429")], &chat("hello")).status, 429);

    let ledger = support::ledger(&mock, 20);
    let chats: Vec<_> = ledger.iter().filter(|exchange| exchange.body.contains("gpt-used")).collect();
    let told = |stream: bool, count: fn(&a6_mock::Exchange) -> u64| -> u64 {
        let of_kind = chats.iter().filter(|exchange| exchange.body.contains("\"stream\":true") == stream);
        let with_usage =
            of_kind.filter(|exchange| exchange.status == 200 && exchange.header("x-mock-no-usage").is_none());
        with_usage.map(|exchange| count(exchange)).sum()
    };
    let metrics = scrape(&gateway);
    for (kind, stream) in [("ai_chat", false), ("ai_stream", true)] {
        let of = format!("request_type=\"{kind}\"");
        let labels =
            [of.as_str(), "route_id=\"r\"", "request_llm_model=\"gpt-test\"", "llm_model=\"gpt-used\""];
        let sum = |name: &str| metrics.only(name, &labels);
        assert_eq!(sum("apisix_llm_prompt_tokens"), told(stream, |it| it.prompt_tokens), "{kind}");
        assert_eq!(sum("apisix_llm_completion_tokens"), told(stream, |it| it.completion_tokens), "{kind}");
        let answers = chats.iter().filter(|it| it.body.contains("\"stream\":true") == stream).count() as u64;
        assert_eq!(sum("apisix_llm_prompt_tokens_dist_count"), answers, "{kind}");
        assert_eq!(sum("apisix_llm_active_connections"), 0, "{kind}");
        let total = [&labels[..], &["type=\"total\""]].concat();
        let good = answers - u64::from(!stream);
        assert_eq!(metrics.only("apisix_llm_latency_count", &total), good, "{kind}");
    }
    let streams = ["type=\"ttft\"", "request_type=\"ai_stream\""];
    assert_eq!(metrics.only("apisix_llm_latency_count", &streams), 6);
    assert_eq!(metrics.sum("apisix_llm_latency_count", &["type=\"ttft\"", "request_type=\"ai_chat\""]), 0);
    assert_eq!(metrics.sum("apisix_a6_llm_usage_unknown_total", &[]), 1);
    assert_eq!(metrics.sum("apisix_http_status", &["code=\"200\"", "response_source=\"upstream\""]), 13);
    assert_eq!(metrics.sum("apisix_http_status", &["code=\"429\"", "response_source=\"upstream\""]), 1);
    // What is not counted by a route is still a request.
    assert_eq!(metrics.sum("apisix_http_requests_total", &[]), 20);
    assert_eq!(metrics.sum("apisix_http_status", &["route=\"quiet\""]), 0);
}

#[test]
fn a_route_s_own_rule_counts_in_place_of_the_global_one() {
    let echo = Echo::start("echo");
    let gateway = Setup::new().start();
    let refused = closed_port();
    let to = |uri: &str, node: String| json!({"uri": uri, "plugins": {}, "upstream": {"nodes": {node: 1}}});
    let mut named = with(to("/named", echo.address.to_string()), "prometheus", json!({"prefer_name": true}));
    named["name"] = json!("a name");
    gateway.put("routes/named", &named);
    gateway.put("routes/plain", &to("/plain/*", echo.address.to_string()));
    gateway.put("routes/refused", &to("/refused", refused.to_string()));
    gateway.put("global_rules/1", &json!({"plugins": {"prometheus": {}}}));
    gateway.put("consumers/jack", &json!({"username": "jack", "plugins": {"key-auth": {"key": "jack-key"}}}));
    gateway.put("routes/asks", &with(to("/asks", echo.address.to_string()), "key-auth", json!({})));
    for target in ["/named", "/plain/a", "/plain/b"] {
        assert_eq!(get(&gateway, target), 200);
    }
    assert_eq!(
        (get(&gateway, "/refused"), get(&gateway, "/nothing"), get(&gateway, "/asks")),
        (502, 404, 401)
    );
    let key = request("GET", "/asks", &[("apikey", "jack-key")], b"");
    assert_eq!(Connection::open(gateway.data).answer(&key).status, 200);

    let metrics = scrape(&gateway);
    let status = |labels: &[&str]| metrics.only("apisix_http_status", labels);
    let source = |word: &str| format!("response_source=\"{word}\"");
    let (upstream, apisix, nginx) = (source("upstream"), source("apisix"), source("nginx"));
    assert_eq!(status(&["route=\"a name\"", "matched_uri=\"/named\"", "node=\"127.0.0.1\"", &upstream]), 1);
    assert_eq!(status(&["route=\"plain\"", "matched_uri=\"/plain/*\"", "matched_host=\"\"", &upstream]), 2);
    assert_eq!(status(&["code=\"502\"", "route=\"refused\"", &nginx]), 1);
    assert_eq!(status(&["code=\"404\"", "route=\"\"", "node=\"\"", &apisix]), 1);
    assert_eq!(status(&["code=\"401\"", "consumer=\"\"", &apisix]), 1);
    assert_eq!(status(&["code=\"200\"", "consumer=\"jack\""]), 1);
    assert_eq!(metrics.sum("apisix_http_status", &[]), 7);
    assert_eq!(metrics.only("apisix_a6_outcomes_total", &["route=\"refused\"", "outcome=\"failed\""]), 1);
    let upstreams = metrics.sum("apisix_http_latency_count", &["type=\"upstream\""]);
    assert_eq!((metrics.sum("apisix_http_latency_count", &["type=\"request\""]), upstreams), (7, 5));
    assert!(!metrics.text.contains("jack-key"), "{}", metrics.text);
}

#[test]
fn bytes_are_those_on_the_wire() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let script = Scripted::start(vec![Step::Send(answer.as_bytes().to_vec())]);
    let gateway = Setup::new().start();
    let upstream = json!({"nodes": {script.address.to_string(): 1}});
    gateway.put("routes/r", &counted(json!({"uri": "/x", "plugins": {}, "upstream": upstream})));
    let asked = request("POST", "/x?a=b", &[("x-some", "header")], b"{\"a\": 1}");
    let mut client = std::net::TcpStream::connect(gateway.data).unwrap();
    std::io::Write::write_all(&mut client, &asked).unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello") {
        let mut piece = [0; 1024];
        let count = std::io::Read::read(&mut client, &mut piece).unwrap();
        assert!(count > 0, "{seen:?}");
        seen.extend_from_slice(&piece[..count]);
    }
    let metrics = scrape(&gateway);
    assert_eq!(metrics.only("apisix_bandwidth", &["type=\"ingress\""]), asked.len() as u64);
    assert_eq!(metrics.only("apisix_bandwidth", &["type=\"egress\""]), seen.len() as u64);
}

#[test]
fn an_active_connection_is_told_while_it_lasts_and_never_longer() {
    let quiet = Scripted::start(vec![Step::AwaitHangUp]);
    let gateway = Setup::new().start();
    // Nobody counts the requests of this route; its connections are told all the same.
    gateway.put("routes/r", &ai_route("/quiet", &quiet.url(), json!({})));
    let mut client = Connection::open(gateway.data);
    client.write(&request("POST", "/quiet", &[], chat("hello").to_string().as_bytes()));
    let active = || scrape(&gateway).sum("apisix_llm_active_connections", &["route_id=\"r\""]);
    let writing = || scrape(&gateway).sum("apisix_nginx_http_current_connections", &["state=\"writing\""]);
    eventually("an active connection", || (active() == 1).then_some(()));
    assert_eq!(writing(), 1);
    drop(client);
    eventually("its end", || (active() == 0 && writing() == 0).then_some(()));
}

#[test]
fn without_a_listener_of_their_own_they_stand_behind_a_route() {
    let settings = "plugin_attr:\n  prometheus:\n    enable_export_server: false\n    metric_prefix: my_\n    \
                    metrics: {http_status: {extra_labels: [{agent: $http_user_agent}]}}\n";
    let gateway = Setup::new().settings(settings).start();
    let page = json!({"uri": PATH, "plugins": {"public-api": {}, "key-auth": {}, "prometheus": {}}});
    gateway.put("routes/metrics", &page);
    gateway.put("consumers/prom", &json!({"username": "prom", "plugins": {"key-auth": {"key": "k-prom"}}}));
    gateway.put("routes/none", &json!({"uri": "/apisix/status", "plugins": {"public-api": {}}}));
    assert_eq!((get(&gateway, PATH), get(&gateway, "/apisix/status")), (401, 404));
    let ask = || {
        let headers = [("apikey", "k-prom"), ("user-agent", "Prometheus/3")];
        let answer = Connection::open(gateway.data).answer(&request("GET", PATH, &headers, b""));
        assert_eq!(answer.status, 200, "{}", answer.text());
        Scrape::parse(answer.text())
    };
    ask();
    let metrics = ask();
    let labels = ["code=\"200\"", "consumer=\"prom\"", "response_source=\"apisix\",agent=\"Prometheus/3\""];
    assert_eq!(metrics.only("my_http_status", &labels), 1);
    assert!(std::net::TcpStream::connect(gateway.exporter).is_err());
}

#[test]
fn the_exporter_answers_at_its_path_alone() {
    let gateway = Setup::new().start();
    for (method, target, status) in
        [("GET", PATH, 200), ("GET", "/", 404), ("POST", PATH, 404), ("GET", "/apisix/admin/routes", 404)]
    {
        let answer = Connection::open(gateway.exporter).answer(&request(method, target, &[], b""));
        assert_eq!(answer.status, status, "{method} {target}");
        let expected = if status == 200 { "text/plain; charset=utf-8" } else { "text/html; charset=utf-8" };
        assert_eq!(answer.header("content-type"), Some(expected), "{method} {target}");
    }
    let before = scrape(&gateway).only("apisix_etcd_modify_indexes", &["key=\"routes\""]);
    gateway.put(
        "routes/r",
        &json!({"uri": "/x", "plugins": {"prometheus": {}}, "upstream": {"nodes": {"127.0.0.1:1": 1}}}),
    );
    let metrics = scrape(&gateway);
    assert!(metrics.only("apisix_etcd_modify_indexes", &["key=\"routes\""]) > before, "{}", metrics.text);
    assert_eq!(metrics.only("apisix_node_info", &["version=\"3.18.0\""]), 1);
    let capacity = metrics.only("apisix_shared_dict_capacity_bytes", &[]);
    assert!(metrics.only("apisix_shared_dict_free_space_bytes", &[]) <= capacity && capacity > 0);

    // Labels that are left empty, from the next request on.
    gateway
        .put("plugin_metadata/prometheus", &json!({"disabled_labels": {"http_status": ["node", "route"]}}));
    assert_eq!(get(&gateway, "/x"), 502);
    assert_eq!(scrape(&gateway).only("apisix_http_status", &["route=\"\"", "node=\"\"", "code=\"502\""]), 1);
    let (status, _) = gateway.admin(
        "PUT",
        "plugin_metadata/prometheus",
        Some(&json!({"disabled_labels": {"http_status": ["code"]}})),
    );
    assert_eq!(status, 400);
}

#[test]
fn logs_tell_of_prompt_and_answer_only_where_they_are_asked_to() {
    let mock = support::mock();
    let format = "$llm_summary $llm_request $llm_response_text";
    let settings =
        format!("nginx_config:\n  http:\n    access_log: access.log\n    access_log_format: '{format}'\n");
    let gateway = Setup::new().settings(&settings).start();
    gateway.put("routes/no", &ai_route("/no", &mock.url(), json!({})));
    let both = json!({"logging": {"summaries": true, "payloads": true}});
    gateway.put("routes/both", &ai_route("/both", &mock.url(), both));
    post(gateway.data, "/no", &[], &chat("tell nobody"));
    post(gateway.data, "/both", &[], &chat("a plain one"));
    post(gateway.data, "/both", &[], &chat_stream("a streamed one"));
    let ledger = support::ledger(&mock, 3);
    let log = || {
        let text = std::fs::read_to_string(gateway.home.path().join("access.log")).unwrap_or_default();
        // nginx's escaping, undone.
        text.lines().map(|line| line.replace("\\x22", "\"").replace("\\x5C", "\\")).collect::<Vec<_>>()
    };
    let lines = eventually("three lines", || Some(log()).filter(|lines| lines.len() == 3));
    assert_eq!(lines[0], "- - -");
    for (line, (exchange, stream)) in lines[1..].iter().zip(ledger[1..].iter().zip([false, true])) {
        let told: Vec<Value> = serde_json::Deserializer::from_str(line)
            .into_iter::<Value>()
            .collect::<Result<_, _>>()
            .expect(line);
        let [summary, asked, said] = &told[..] else { panic!("{line}") };
        assert_eq!(summary["prompt_tokens"], exchange.prompt_tokens, "{line}");
        assert_eq!(summary["completion_tokens"], exchange.completion_tokens, "{line}");
        assert_eq!(summary["stream"], stream.to_string(), "{line}");
        assert_eq!(asked["messages"], exchange.json().unwrap()["messages"], "{line}");
        assert_eq!(
            (&asked["stream"], &said["content"]),
            (&json!(stream), &json!(exchange.content)),
            "{line}"
        );
    }
    // Nothing of it is remembered.
    let records = json!(gateway.records()).to_string();
    assert!(!records.contains("a plain one") && !records.contains("a streamed one"), "{records}");
}
