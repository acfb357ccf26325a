use std::rc::Rc;
use std::time::{Duration, Instant};

use a6_core::{Fault, FaultKind};
use a6_snapshot::{Attempt, Client, Meter, Outcome, Record, Request, RouteFacts};
use http::{Method, StatusCode};
use serde_json::json;

use super::spec::COUNT;
use super::*;

const BY_ID: Meter = Meter { prefer_name: false };

fn request(target: &str) -> Request {
    let (parts, ()) = http::Request::post(target).header("host", "m.test").body(()).unwrap().into_parts();
    let client = Client {
        peer: "192.0.2.7:4711".parse().unwrap(),
        local: "127.0.0.1:9080".parse().unwrap(),
        scheme: "http",
    };
    Request::new(parts, Rc::new(client)).0
}

fn attempt(status: Option<u16>) -> Attempt {
    Attempt {
        address: "127.0.0.1:1980".into(),
        instance: "ai-proxy-openai".into(),
        status: status.and_then(|code| StatusCode::from_u16(code).ok()),
        fault: status.is_none().then_some(FaultKind::UpstreamConnect),
        class: None,
        started: Instant::now(),
        connect: None,
        header: None,
        duration: Some(Duration::from_micros(4_500)),
        response_bytes: 0,
        scheme: "http",
        path: "/".into(),
    }
}

fn route(id: &str) -> RouteFacts {
    RouteFacts {
        number: id.parse().unwrap_or(1 << 40),
        id: id.into(),
        name: Some("the \"chat\"".into()),
        hosts: vec!["m.test".into()],
        patterns: vec!["/x*".into()],
        ..RouteFacts::default()
    }
}

fn record(status: u16, attempts: Vec<Attempt>) -> Record {
    let mut record = Record::begin(Method::POST, 0);
    record.route = Some(Arc::new(route("r1")));
    record.status = StatusCode::from_u16(status).ok();
    record.duration = Some(Duration::from_millis(12));
    record.request_length = 100;
    record.bytes_sent = 200;
    record.attempts = attempts;
    record.end(Outcome::Complete);
    record
}

fn model(status: u16, attempts: Vec<Attempt>) -> Record {
    let mut record = record(status, attempts);
    record.protocol = Some(a6_protocols::Protocol::OpenaiChat);
    record.set_request_model(Some("gpt-a"));
    record.set_model(Some("gpt-b"));
    record
}

/// The samples of a family, without its name.
fn samples(text: &str, family: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix('{'));
    lines.map(|line| line.replace('}', "")).collect()
}

fn told(records: &[Record]) -> String {
    let metrics = Arc::new(Metrics::default());
    let thread = metrics.thread();
    for record in records {
        thread.settle(BY_ID, &request("/xy"), record);
    }
    metrics.text()
}

#[test]
fn families_stand_where_their_names_say() {
    let places = [
        (Of::Outcomes, "a6_outcomes_total"),
        (Of::UsageUnknown, "a6_llm_usage_unknown_total"),
        (Of::Bandwidth, "bandwidth"),
        (Of::HttpLatency, "http_latency"),
        (Of::HttpStatus, "http_status"),
        (Of::ActiveConnections, "llm_active_connections"),
        (Of::CompletionTokens, "llm_completion_tokens"),
        (Of::CompletionDist, "llm_completion_tokens_dist"),
        (Of::LlmLatency, "llm_latency"),
        (Of::PromptTokens, "llm_prompt_tokens"),
        (Of::PromptDist, "llm_prompt_tokens_dist"),
    ];
    assert_eq!(places.len(), COUNT);
    for (of, name) in places {
        assert_eq!(SPECS[of as usize].name, name, "{of:?}");
    }
}

#[test]
fn an_ordinary_request() {
    let text = told(&[record(200, vec![attempt(None), attempt(Some(200))])]);
    let labels = r#"route="r1",service="",consumer="",node="127.0.0.1",request_type="traditional_http",request_llm_model="",llm_model="""#;
    let status = r#"code="200",route="r1",matched_uri="/x*",matched_host="m.test",service="",consumer="",node="127.0.0.1",request_type="traditional_http",request_llm_model="",llm_model="",response_source="upstream" 1"#;
    assert_eq!(samples(&text, "apisix_http_status"), [status]);
    let sent = format!("type=\"egress\",{labels} 200");
    assert_eq!(samples(&text, "apisix_bandwidth"), [sent, format!("type=\"ingress\",{labels} 100")]);
    let sums = ["apisix", "request", "upstream"].map(|kind| format!("type=\"{kind}\",{labels} "));
    let expected = [format!("{}3", sums[0]), format!("{}12", sums[1]), format!("{}9", sums[2])];
    assert_eq!(samples(&text, "apisix_http_latency_sum"), expected);
    let first = samples(&text, "apisix_http_latency_bucket").remove(0);
    assert_eq!(first, format!("type=\"apisix\",{labels},le=\"5\" 1"));
    assert_eq!(samples(&text, "apisix_a6_outcomes_total"), [r#"route="r1",outcome="complete",error="" 1"#]);
    assert!(!text.contains("llm_prompt_tokens"), "{text}");
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(names.is_sorted() && names.contains(&"apisix_http_status counter"), "{names:?}");
}

#[test]
fn whose_answer_it_was() {
    let mut lost = record(502, vec![attempt(None)]);
    lost.fail(&Fault::upstream(FaultKind::UpstreamConnect, "refused"));
    let mut gone = record(0, Vec::new());
    gone.outcome = Some(Outcome::ClientGone);
    let cases = [
        (lost, "502", "nginx"),
        (model(502, vec![attempt(None)]), "502", "apisix"),
        (model(429, vec![attempt(Some(429))]), "429", "upstream"),
        (record(403, Vec::new()), "403", "apisix"),
        (gone, "499", "apisix"),
    ];
    for (record, code, source) in cases {
        let found = samples(&told(&[record]), "apisix_http_status").remove(0);
        let expected = (format!("code=\"{code}\","), format!("response_source=\"{source}\" 1"));
        assert!(found.starts_with(&expected.0) && found.ends_with(&expected.1), "{found}");
    }
}

#[test]
fn a_model_s_answers() {
    let mut stream = model(200, vec![attempt(Some(200))]);
    (stream.stream, stream.ttft) = (true, Some(Duration::from_millis(3)));
    (stream.usage.prompt, stream.usage.completion) = (Some(23), Some(8));
    let mut failed = model(429, vec![attempt(Some(429))]);
    failed.ttft = Some(Duration::from_millis(3));
    let mut silent = model(200, vec![attempt(Some(200))]);
    silent.ttft = Some(Duration::ZERO);
    let text = told(&[stream, failed, silent]);
    let labels = |kind: &str| {
        format!(
            "route_id=\"r1\",service_id=\"\",consumer=\"\",node=\"ai-proxy-openai\",request_type=\"{kind}\",\
             request_llm_model=\"gpt-a\",llm_model=\"gpt-b\""
        )
    };
    let (chat, stream) = (labels("ai_chat"), labels("ai_stream"));
    let tokens = samples(&text, "apisix_llm_prompt_tokens");
    assert_eq!(tokens, [format!("{chat} 0"), format!("{stream} 23")]);
    let counts = samples(&text, "apisix_llm_completion_tokens_dist_count");
    assert_eq!(counts, [format!("{chat} 2"), format!("{stream} 1")]);
    let latencies = samples(&text, "apisix_llm_latency_count");
    let expected = [("total", &chat), ("total", &stream), ("ttft", &stream)];
    assert_eq!(latencies, expected.map(|(kind, labels)| format!("type=\"{kind}\",{labels} 1")));
    let unknown = samples(&text, "apisix_a6_llm_usage_unknown_total");
    assert_eq!(unknown, [r#"route_id="r1",consumer="",node="ai-proxy-openai",llm_model="gpt-b" 1"#]);
}

#[test]
fn an_active_connection_leaves_the_series_that_it_entered() {
    let metrics = Arc::new(Metrics::default());
    let thread = metrics.thread();
    let of = |node: &str| {
        let mut record = model(200, vec![attempt(None)]);
        record.attempts[0].instance = node.into();
        record
    };
    let first = thread.enter_model(&request("/x"), &of("a"));
    let second = thread.enter_model(&request("/x"), &of("b"));
    let active = || {
        let found = samples(&metrics.text(), "apisix_llm_active_connections");
        found.iter().map(|line| line.rsplit_once(' ').unwrap().1.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(active(), ["1", "1"]);
    drop(first);
    assert_eq!(active(), ["0", "1"]);
    drop(second);
    assert_eq!(active(), ["0", "0"]);
}

#[test]
fn names_labels_and_buckets_are_as_configured() {
    let status = MetricOptions {
        extra_labels: vec![
            ("agent".into(), "$http_user_agent".into()),
            ("key".into(), "$http_apikey".into()),
            ("nothing".into(), "$nothing".into()),
        ],
        ..MetricOptions::default()
    };
    let options = MetricsOptions {
        prefix: Some("my_".into()),
        http_latency: vec![10.0, 0.5],
        metrics: vec![("http_status".into(), status)],
        ..MetricsOptions::default()
    };
    let metrics = Arc::new(Metrics::new(options));
    let thread = metrics.thread();
    let mut asked = request("/x");
    asked.headers.insert("user-agent", "curl".parse().unwrap());
    asked.headers.insert("apikey", "sk-secret".parse().unwrap());
    let disabled = json!({"disabled_labels": {"http_status": ["matched_uri", "route"]}});
    metrics.hide_labels(Some(&disabled));
    thread.settle(Meter { prefer_name: true }, &asked, &record(200, Vec::new()));
    metrics.hide_labels(None);
    thread.settle(Meter { prefer_name: true }, &asked, &record(200, Vec::new()));
    let text = metrics.text();
    let found = samples(&text, "my_http_status");
    assert!(found[0].starts_with(r#"code="200",route="",matched_uri="","#), "{found:?}");
    assert!(found[1].starts_with(r#"code="200",route="the \"chat\"",matched_uri="/x*","#), "{found:?}");
    for line in &found {
        assert!(line.ends_with(r#"response_source="apisix",agent="curl",key="***",nothing="" 1"#), "{line}");
    }
    let bounds = samples(&text, "my_http_latency_bucket");
    assert!(bounds[0].ends_with(",le=\"+Inf\" 2") && bounds.len() == 2, "{bounds:?}");
}

#[test]
fn there_is_a_bound_and_sums_stay_true() {
    let metrics = Arc::new(Metrics::default());
    let thread = metrics.thread();
    for number in 0..MAX_MODELS + 5 {
        let mut record = model(200, Vec::new());
        (record.model, record.usage.prompt) = (None, Some(1));
        record.set_request_model(Some(&format!("m{number}")));
        thread.settle(BY_ID, &request("/x"), &record);
    }
    let text = metrics.text();
    let tokens = samples(&text, "apisix_llm_prompt_tokens");
    assert_eq!(tokens.len(), MAX_MODELS + 1);
    assert!(tokens.iter().any(|line| line.contains("request_llm_model=\"<other>\"") && line.ends_with(" 5")));
    assert!(!text.contains("apisix_nginx_metric_errors_total 0\n"), "{text}");
    // What clients make up leaves the names that the configuration gives alone.
    let mut configured = model(200, Vec::new());
    (configured.model, configured.usage.prompt) = (Some("configured".into()), Some(1));
    thread.settle(BY_ID, &request("/x"), &configured);
    let tokens = samples(&metrics.text(), "apisix_llm_prompt_tokens");
    assert!(tokens.iter().any(|line| line.contains(",llm_model=\"configured\"")), "{tokens:?}");

    let metrics = Arc::new(Metrics::default());
    let thread = metrics.thread();
    for number in 0..family::MAX_SERIES + 7 {
        let mut record = record(200, Vec::new());
        record.route = Some(Arc::new(route(&number.to_string())));
        thread.settle(BY_ID, &request("/x"), &record);
    }
    let statuses = samples(&metrics.text(), "apisix_http_status");
    assert_eq!(statuses.len(), family::MAX_SERIES + 1);
    assert!(statuses.iter().any(|line| line.starts_with("code=\"<other>\",") && line.ends_with(" 7")));
}

#[test]
fn idle_series_are_forgotten_and_begin_anew() {
    let own = MetricOptions { expire: Duration::from_secs(1), ..MetricOptions::default() };
    let metrics = ["http_status", "llm_active_connections"].map(|name| (name.to_string(), own.clone()));
    let options = MetricsOptions { metrics: metrics.to_vec(), ..MetricsOptions::default() };
    let metrics = Arc::new(Metrics::new(options));
    let thread = metrics.thread();
    thread.settle(BY_ID, &request("/x"), &record(200, Vec::new()));
    let active = thread.enter_model(&request("/x"), &model(200, vec![attempt(None)]));
    // The clock of the families stands still here; it is put forward by hand.
    assert!(metrics.family(Of::HttpStatus).forget_idle(u64::MAX));
    assert!(!metrics.family(Of::HttpLatency).forget_idle(u64::MAX), "nothing was said of it");
    assert!(!metrics.family(Of::ActiveConnections).forget_idle(u64::MAX), "it is in use");
    drop(active);
    assert!(metrics.family(Of::ActiveConnections).forget_idle(u64::MAX));
    metrics.generation.fetch_add(1, Ordering::Release);
    thread.settle(BY_ID, &request("/x"), &record(200, Vec::new()));
    let found = samples(&metrics.text(), "apisix_http_status");
    assert!(found.len() == 1 && found[0].ends_with(" 1"), "{found:?}");
}

#[test]
fn traffic_is_counted_over_all_threads() {
    let metrics = Arc::new(Metrics::default());
    let (one, two) = (metrics.thread(), metrics.thread());
    one.traffic().connect();
    two.traffic().connect();
    two.traffic().connect();
    two.traffic().disconnect();
    one.traffic().enter();
    two.traffic().enter();
    two.traffic().leave();
    metrics.add_source(|| {
        vec![Reading::gauge("node_info", "Info of APISIX node", vec![(vec![("hostname", "h".into())], 1)])]
    });
    let text = metrics.text();
    for expected in [
        "apisix_http_requests_total 2\n",
        "apisix_nginx_http_current_connections{state=\"accepted\"} 3\n",
        "apisix_nginx_http_current_connections{state=\"active\"} 2\n",
        "apisix_nginx_http_current_connections{state=\"writing\"} 1\n",
        "apisix_nginx_http_current_connections{state=\"waiting\"} 1\n",
        "# TYPE apisix_nginx_metric_errors_total counter\napisix_nginx_metric_errors_total 0\n",
        "# HELP apisix_node_info Info of APISIX node\n# TYPE apisix_node_info gauge\napisix_node_info{hostname=\"h\"} 1\n",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}
