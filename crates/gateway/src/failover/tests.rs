use std::pin::Pin;
use std::rc::Rc;
use std::sync::Mutex;

use a6_core::{Budget, Secret};
use a6_protocols::{PROVIDERS, Protocol, Scheme, Shaping};
use a6_snapshot::{
    Balancer, BodyLimits, Choice, Client, Instance, Member, Quotas, Record, Request, RequestBody, Target,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::*;

fn exchange() -> Exchange {
    let (parts, ()) = http::Request::builder().uri("/").body(()).unwrap().into_parts();
    let address = "127.0.0.1:9080".parse().unwrap();
    let (request, _) = Request::new(parts, Rc::new(Client { peer: address, local: address, scheme: "http" }));
    let limits = BodyLimits { budget: Budget::new(0), timeout: Duration::from_secs(1), max: 0 };
    let record = Record::begin(request.method.clone(), 0);
    Exchange::new(request, RequestBody::of(Bytes::new(), limits), record)
}

fn instance(name: &str) -> Instance {
    let target = Target { scheme: Scheme::Http, host: "h.test".into(), port: 80, verify: true };
    Instance {
        name: name.into(),
        provider: &PROVIDERS[0],
        address: "h.test:80".into(),
        target: Arc::new(target),
        ways: Vec::new(),
        is_strict: false,
        head: Secret::new(Vec::new()),
        query: Vec::new(),
        head_names: Vec::new(),
        has_credentials: false,
        account: None,
        shaping: Shaping::default(),
        timeout: Duration::from_secs(1),
        keepalive: None,
        max_stream_duration: None,
        max_response_bytes: None,
        streaming_keepalive: None,
    }
}

/// Instances that are taken in this order, since each has a lower priority than the one before.
fn group(names: &[&str], asks_quota: bool) -> Arc<Group> {
    let member = |(place, name): (usize, &&str)| Member {
        instance: Arc::new(instance(name)),
        weight: 1,
        priority: -(place as i64),
        model: None,
        state: Arc::default(),
        breakers: Arc::default(),
        checked: None,
        identity: 0,
    };
    Arc::new(Group {
        owner: "/routes/1".into(),
        members: names.iter().enumerate().map(member).collect(),
        balancer: Balancer::RoundRobin,
        state: Arc::default(),
        fallback: Fallback { asks_quota, ..Fallback::default() },
        breaker: None,
    })
}

fn plan(group: &Arc<Group>, first: Option<usize>, quotas: Option<Arc<dyn Quotas>>) -> Plan {
    Plan {
        choice: Choice::Group(group.clone()),
        first,
        quotas,
        protocol: Protocol::OpenaiChat,
        is_opaque: false,
        meta: None,
    }
}

/// Instances whose quota is used up, and who was asked about.
#[derive(Debug, Default)]
struct UsedUp {
    names: Vec<&'static str>,
    asked: Mutex<Vec<String>>,
}

impl Quotas for UsedUp {
    fn is_exhausted<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        instance: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + 'a>> {
        self.asked.lock().unwrap().push(instance.to_string());
        exchange.set_variable("rate_limiting_info", instance);
        Box::pin(std::future::ready(self.names.contains(&instance)))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn an_instance_whose_quota_is_used_up_is_passed_over() {
    let cases: [(&[&'static str], bool, &[usize], Option<usize>, usize); 6] = [
        (&["a"], true, &[], Some(1), 2),
        (&["a", "b", "c"], true, &[], None, 3),
        (&["b"], true, &[0], Some(2), 2),
        (&[], true, &[0], Some(1), 1),
        // Nobody has asked for it.
        (&["a"], false, &[], Some(0), 0),
        (&["c"], true, &[0, 1], None, 1),
    ];
    for (names, asks_quota, tried, expected, asked) in cases {
        let group = group(&["a", "b", "c"], asks_quota);
        let quotas = Arc::new(UsedUp { names: names.to_vec(), ..UsedUp::default() });
        let plan = plan(&group, None, Some(quotas.clone()));
        let mut exchange = exchange();
        assert_eq!(run(next(&mut exchange, &plan, &group, tried)), expected, "{names:?} {tried:?}");
        let told = quotas.asked.lock().unwrap();
        assert_eq!(told.len(), asked, "{names:?} {tried:?}: {told:?}");
        assert_eq!(exchange.plugin_variable("rate_limiting_info"), told.last().map(String::as_str));
    }
}

#[test]
fn what_a_plugin_has_chosen_itself_is_asked_alone() {
    let group = group(&["a", "b"], true);
    let used_up = Arc::new(UsedUp { names: vec!["a", "b"], ..UsedUp::default() });
    let plan = plan(&group, Some(1), Some(used_up));
    let found = [&[][..], &[1]].map(|tried| run(next(&mut exchange(), &plan, &group, tried)));
    assert_eq!(found, [Some(1), None]);
}

#[test]
fn the_pause_that_an_answer_asks_for_is_read() {
    let now = httpdate::parse_http_date("Tue, 24 Nov 2026 10:00:00 GMT").unwrap();
    let cases: [(&[(&str, &str)], Option<u64>); 10] = [
        (&[], None),
        (&[("retry-after", "3")], Some(3_000)),
        (&[("retry-after", " 0.5 ")], Some(500)),
        (&[("retry-after", "Tue, 24 Nov 2026 10:00:07 GMT")], Some(7_000)),
        (&[("retry-after", "Tue, 24 Nov 2026 09:00:00 GMT")], None),
        (&[("retry-after", "0")], None),
        (&[("retry-after", "-1")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "9"), ("retry-after-ms", "1200")], Some(1_200)),
        (&[("retry-after", "9"), ("retry-after-ms", "soon")], Some(9_000)),
    ];
    for (lines, expected) in cases {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        assert_eq!(pause(&headers, now), expected.map(Duration::from_millis), "{lines:?}");
    }
}

#[test]
fn only_what_another_instance_may_do_better_falls_back() {
    let fallback = Fallback { on_5xx: true, statuses: [400, 503].into(), ..Fallback::default() };
    let gateway = |kind, status| Fault::gateway(kind, status, "x");
    let cases = [
        (Fault::upstream(FaultKind::UpstreamConnect, "x"), true),
        (Fault::upstream(FaultKind::UpstreamTimeout, "x"), true),
        (Fault::policy(FaultKind::LimitExceeded, StatusCode::BAD_GATEWAY, "x"), true),
        (gateway(FaultKind::Misconfigured, StatusCode::INTERNAL_SERVER_ERROR), true),
        (gateway(FaultKind::Overloaded, StatusCode::SERVICE_UNAVAILABLE), false),
        (Fault::client(FaultKind::BadRequest, StatusCode::BAD_REQUEST, "x"), false),
        (Fault::client(FaultKind::ClientGone, StatusCode::BAD_REQUEST, "x"), false),
    ];
    for (fault, expected) in cases {
        assert_eq!(falls_back(&fallback, &Err(fault.clone())), expected, "{fault:?}");
        assert!(!falls_back(&Fallback::default(), &Err(fault)));
    }
}

#[test]
fn a_request_under_way_is_counted_until_it_is_dropped() {
    let group = group(&["a", "b"], false);
    let trial = Trial::begin(&group, 1, Some("m"));
    assert_eq!(group.members[1].state.in_flight(), 1);
    drop(trial);
    assert_eq!(group.members[1].state.in_flight(), 0);
    assert!(Trial::begin(&group, 2, None).is_none());
}
