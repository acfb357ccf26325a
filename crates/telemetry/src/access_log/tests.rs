use std::rc::Rc;
use std::time::Duration;

use a6_core::{Fault, FaultKind};
use a6_snapshot::{Attempt, Client, Outcome, Record, Request, RouteFacts};
use http::{Method, StatusCode, Version};

use super::*;

/// `POST target`, HTTP/1.1, with headers.
fn request(target: &str, version: Version, headers: &[(&str, &str)]) -> Request {
    let mut builder = http::Request::builder().method(Method::POST).uri(target).version(version);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let (parts, ()) = builder.body(()).unwrap().into_parts();
    let client = Client {
        peer: "[::ffff:192.0.2.7]:4711".parse().unwrap(),
        local: "127.0.0.1:9080".parse().unwrap(),
        scheme: "http",
    };
    Request::new(parts, Rc::new(client)).0
}

fn attempt(status: Option<u16>, fault: Option<FaultKind>) -> Attempt {
    Attempt {
        address: "api.test:443".into(),
        instance: "ai-proxy-openai".into(),
        status: status.and_then(|code| StatusCode::from_u16(code).ok()),
        fault,
        class: None,
        started: std::time::Instant::now(),
        connect: status.map(|_| Duration::ZERO),
        header: status.map(|_| Duration::from_millis(70)),
        duration: Some(Duration::from_millis(2_858)),
        response_bytes: status.map_or(0, |_| 512),
        scheme: "https",
        path: "/v1/chat/completions".into(),
    }
}

/// A request that ended 2,900 ms after 22 November 2026, 10:28:48.431.
fn record() -> Record {
    let mut record = Record::begin(Method::POST, 1_795_343_328_431);
    record.duration = Some(Duration::from_millis(2_900));
    record.request_id = "0123456789abcdef0123456789abcdef".into();
    record
}

fn line(format: &str, request: &Request, record: &Record) -> String {
    let mut line = b"before ".to_vec();
    Format::parse(format).unwrap().write(request, record, &mut line);
    let line = String::from_utf8(line).unwrap();
    line.strip_prefix("before ").unwrap().strip_suffix('\n').unwrap().to_string()
}

#[track_caller]
fn check(request: &Request, record: &Record, cases: &[(&str, &str)]) {
    for (format, expected) in cases {
        assert_eq!(line(format, request, record), *expected, "{format}");
    }
}

#[test]
fn the_request_is_told_as_nginx_tells_it() {
    let headers = [
        ("host", "A6.test:9080"),
        ("user-agent", "a \"client\"\\"),
        ("x-two", "one"),
        ("x-two", "two"),
        ("content-type", "application/json"),
    ];
    let request = request("/a%20b/../c?x=1&y=%20z", Version::HTTP_11, &headers);
    let mut record = record();
    record.status = Some(StatusCode::OK);
    record.response_bytes = 41;
    let route = RouteFacts { id: "r1".into(), name: Some("chat".into()), ..RouteFacts::default() };
    record.route = Some(Arc::new(route));
    record.end(Outcome::Complete);
    check(
        &request,
        &record,
        &[
            ("$remote_addr:$remote_port", "192.0.2.7:4711"),
            ("$server_addr:$server_port $scheme", "127.0.0.1:9080 http"),
            ("$host|$http_host", "a6.test|A6.test:9080"),
            ("$request", "POST /a%20b/../c?x=1&y=%20z HTTP/1.1"),
            ("$request_method $uri", "POST /c"),
            ("$request_uri|$args|$query_string|$is_args", "/a%20b/../c?x=1&y=%20z|x=1&y=%20z|x=1&y=%20z|?"),
            ("$arg_x$arg_y$arg_X", "1 z-"),
            ("$http_user_agent", "a \\x22client\\x22\\x5C"),
            ("$http_x_two $content_type", "one, two application/json"),
            ("$status $body_bytes_sent $request_time", "200 41 2.900"),
            ("$msec", "1795343331.331"),
            ("$apisix_request_id", "0123456789abcdef0123456789abcdef"),
            ("$route_id $route_name $service_id $consumer_name", "r1 chat - -"),
            ("$a6_outcome $a6_error", "complete -"),
            ("$remote_user \"$http_referer\"", "- \"-\""),
            ("${status}x${http_referer ?? none }${nobody ?? }.", "200xnone."),
            ("$nobody $bytes_sent", "- 0"),
            ("", ""),
        ],
    );
    let stamp = line("[$time_local] $time_iso8601", &request, &record);
    // Whatever the zone of the machine.
    let (local, iso8601) = stamp.split_once("] ").unwrap();
    assert!(local.len() == 27 && local.contains("/2026:") && local.contains(":51 "), "{stamp}");
    assert!(
        iso8601.len() == 25 && iso8601.starts_with("2026-11-2") && iso8601[16..].starts_with(":51"),
        "{stamp}"
    );
}

#[test]
fn other_versions_and_forms_of_the_target() {
    let record = record();
    for (target, version, headers, expected) in [
        ("*", Version::HTTP_11, &[("host", "h")][..], "POST * HTTP/1.1|h"),
        ("/x", Version::HTTP_10, &[], "POST /x HTTP/1.0|-"),
        ("https://h.test:444/x", Version::HTTP_2, &[], "POST /x HTTP/2.0|h.test:444"),
        (
            "http://u:pw@h.test:81/x?key=1",
            Version::HTTP_11,
            &[("host", "h")],
            "POST http://h.test:81/x?key=*** HTTP/1.1|h",
        ),
    ] {
        let request = request(target, version, headers);
        assert_eq!(line("$request|$http_host", &request, &record), expected);
    }
}

#[test]
fn no_credential_gets_into_a_line() {
    let headers = [
        ("authorization", "Basic YWxpY2U6c2VjcmV0"),
        ("x-api-key", "secret"),
        ("api-key", "secret"),
        ("apikey", "secret"),
        ("cookie", "a=1; session=secret"),
        ("proxy-authorization", "secret"),
        ("x-goog-api-key", "secret"),
    ];
    let request = request("/x?token=secret&k%65y=secret&a=b", Version::HTTP_11, &headers);
    let format = "$remote_user $http_authorization $http_x_api_key $http_api_key $http_apikey $http_cookie \
                  $http_proxy_authorization $http_x_goog_api_key $cookie_session $cookie_none $arg_token $arg_key";
    assert_eq!(line(format, &request, &record()), "alice *** *** *** *** *** *** *** *** - *** ***");
    let expected = "/x?token=***&k%65y=***&a=b token=***&k%65y=***&a=b";
    assert_eq!(line("$request_uri $args", &request, &record()), expected);
}

#[test]
fn every_attempt_has_its_value() {
    let request = request("/x", Version::HTTP_11, &[("host", "a6.test")]);
    let mut record = record();
    let url = "$upstream_scheme://$upstream_host$upstream_uri";
    check(
        &request,
        &record,
        &[
            ("$upstream_addr $upstream_status $upstream_response_time", "- - -"),
            (url, "http://a6.test"),
            ("$apisix_upstream_response_time $a6_attempts", "- -"),
        ],
    );
    record.attempts =
        vec![attempt(None, Some(FaultKind::UpstreamTimeout)), attempt(None, None), attempt(Some(200), None)];
    record.attempts[1].duration = None;
    check(
        &request,
        &record,
        &[
            ("$upstream_addr", "api.test:443, api.test:443, api.test:443"),
            ("$upstream_status", "504, -, 200"),
            ("$upstream_response_time", "2.858, -, 2.858"),
            ("$upstream_connect_time|$upstream_header_time", "-, -, 0.000|-, -, 0.070"),
            ("$upstream_response_length", "0, 0, 512"),
            (
                "$a6_attempts",
                "ai-proxy-openai=-/upstream_timeout/2.858, ai-proxy-openai=-/-/0.000, ai-proxy-openai=200/ok/2.858",
            ),
            ("$apisix_upstream_response_time", "2.858, -, 2.858"),
            (url, "https://api.test/v1/chat/completions"),
        ],
    );
    record.protocol = Some(a6_protocols::Protocol::OpenaiChat);
    check(&request, &record, &[("$apisix_upstream_response_time", "2858")]);
    record.attempts = vec![attempt(None, Some(FaultKind::UpstreamDns))];
    check(&request, &record, &[("$upstream_status", "502")]);
}

#[test]
fn tokens_that_nobody_told_are_not_zero() {
    let request = request("/x", Version::HTTP_11, &[]);
    let tokens = "$llm_prompt_tokens $llm_completion_tokens $llm_total_tokens $llm_cache_read_input_tokens \
                  $llm_cache_creation_input_tokens $llm_reasoning_tokens";
    let rest = "$request_type|$request_llm_model|$llm_model|$llm_time_to_first_token|$llm_stream|$llm_has_tool_calls|\
                $llm_tool_count|$llm_end_user_id";
    let mut record = record();
    check(&request, &record, &[(tokens, "0 0 0 0 0 0"), (rest, "traditional_http|||0|false|false|0|")]);

    record.protocol = Some(a6_protocols::Protocol::OpenaiChat);
    record.request_model = Some("gpt-a".into());
    record.model = Some("gpt-b".into());
    record.attempts = vec![attempt(Some(429), None)];
    check(&request, &record, &[(tokens, "0 0 0 0 0 0"), (rest, "ai_chat|gpt-a|gpt-b|0|false|false|0|")]);

    record.attempts = vec![attempt(Some(200), None)];
    record.stream = true;
    record.ttft = Some(Duration::from_micros(12_900));
    record.has_tool_calls = true;
    record.tool_count = 2;
    record.end_user = Some("user 7".into());
    check(
        &request,
        &record,
        &[(tokens, "- - - - - -"), (rest, "ai_stream|gpt-a|gpt-b|12|true|true|2|user 7")],
    );

    record.usage.prompt = Some(23);
    record.usage.completion = Some(8);
    record.usage.total = Some(31);
    record.usage.cache_creation = Some(4);
    check(&request, &record, &[(tokens, "23 8 31 0 4 0")]);
}

#[test]
fn a_status_that_nobody_got_is_nginxs_word_for_it() {
    let request = request("/x", Version::HTTP_11, &[]);
    let mut record = record();
    check(&request, &record, &[("$status $a6_outcome", "000 -")]);
    record.end(Outcome::ClientGone);
    record.fail(&Fault::client(FaultKind::ClientGone, StatusCode::BAD_REQUEST, "the client went away"));
    check(&request, &record, &[("$status $a6_outcome $a6_error", "499 client_gone client_gone")]);
}

#[test]
fn every_line_is_in_the_file_when_the_log_has_stopped() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("access.log");
    let format = Format::parse("$arg_n").unwrap();
    let log = AccessLog::open(AccessLogOptions { path: path.clone(), format, buffer: 64 }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..500 {
                    let target = format!("/?n={}", thread * 500 + number);
                    log.write(&request(&target, Version::HTTP_11, &[]), &record());
                }
            });
        }
    });
    log.stop();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2_000).collect::<Vec<u32>>());
    assert_eq!(log.dropped(), 0);
    log.write(&request("/?n=1", Version::HTTP_11, &[]), &record());
    assert_eq!(log.dropped(), 1);
}
