use a6_resources::{Catalogue, ConfKind};
use a6_snapshot::{Class, Evidence, GroupRegistry, HealthRegistry, Trial};
use a6_upstream::balance::choose_member;

use super::*;
use crate::support::testing;

fn check(conf: &Value) -> Result<(), String> {
    crate::Builtins::default().check(NAME, conf, ConfKind::Route)
}

/// An instance of OpenAI's; members of `extra` are added or replaced.
fn instance(name: &str, extra: Value) -> Value {
    let mut instance = json!({"name": name, "provider": "openai", "weight": 1, "auth": {}});
    if let (Some(own), Value::Object(extra)) = (instance.as_object_mut(), extra) {
        own.extend(extra);
    }
    instance
}

/// Two instances; members of `extra` are added or replaced.
fn conf(extra: Value) -> Value {
    let mut conf = json!({"instances": [instance("a", json!({})), instance("b", json!({}))]});
    if let (Some(own), Value::Object(extra)) = (conf.as_object_mut(), extra) {
        own.extend(extra);
    }
    conf
}

/// Where configurations of one route stand one after the other.
#[derive(Default)]
struct Place {
    groups: GroupRegistry,
    health: HealthRegistry,
}

impl Place {
    fn compile(&self, conf: &Value) -> AiProxyMulti {
        let site = Site { groups: &self.groups, health: &self.health, ..testing::site() };
        AiProxyMulti::compile(conf, &site, &testing::shared()).unwrap()
    }
}

fn weighted(weights: &[u64], balancer: Value) -> AiProxyMulti {
    let instances: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(number, weight)| instance(&format!("i{number}"), json!({"weight": weight})))
        .collect();
    Place::default().compile(&json!({"instances": instances, "balancer": balancer}))
}

fn pick(group: &Group, key: &str, tried: &[usize]) -> Option<usize> {
    choose_member(group, None, &mut || Some(key.to_owned()), tried)
}

#[test]
fn shares_are_exact_over_few_picks() {
    let plugin = weighted(&[2, 8], json!({}));
    let picked: Vec<_> = (0..10).filter_map(|_| pick(&plugin.group, "", &[])).collect();
    assert_eq!(picked.iter().filter(|place| **place == 0).count(), 2, "{picked:?}");
    assert_eq!(picked.len(), 10);
}

#[test]
fn shares_hold_over_many_picks_of_all_threads() {
    let weights = [1, 2, 3, 5, 8, 13, 21, 34];
    let group = weighted(&weights, json!({"algorithm": "roundrobin"})).group;
    let counts: Vec<[u64; 8]> = std::thread::scope(|scope| {
        let count = || {
            let mut counts = [0; 8];
            for _ in 0..25_000 {
                counts[pick(&group, "", &[]).unwrap()] += 1;
            }
            counts
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let total: u64 = weights.iter().sum();
    let squares: f64 = (0..weights.len())
        .map(|place| {
            let observed = counts.iter().map(|counts| counts[place]).sum::<u64>() as f64;
            let expected = 100_000.0 * weights[place] as f64 / total as f64;
            (observed - expected).powi(2) / expected
        })
        .sum();
    // Seven degrees of freedom at 95 %.
    assert!(squares < 14.07, "{squares}: {counts:?}");
}

#[test]
fn few_keys_move_when_an_instance_leaves() {
    let balancer = json!({"algorithm": "chash", "hash_on": "header", "key": "x-user"});
    let (count, keys) = (5, 20_000);
    let group = weighted(&[1; 5], balancer).group;
    let places = |group: &Group| -> Vec<usize> {
        (0..keys).filter_map(|key| pick(group, &format!("user-{key}"), &[])).collect()
    };
    let before = places(&group);
    let limits = a6_snapshot::Checks::parse(&json!({"active": {"unhealthy": {"tcp_failures": 1}}})).unwrap();
    group.members[2].state.health.report(a6_snapshot::Finding::TcpFailure, &limits.active.limits);
    let after = places(&group);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!(moved as f64 <= 1.25 / f64::from(count) * f64::from(keys), "{moved}");
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == 2));
    assert!(!after.contains(&2));
}

#[test]
fn whoever_is_passed_over_for_a_while_comes_last() {
    let place = Place::default();
    let breaker = json!({"failures": 1});
    let instances = json!([
        instance("a", json!({"priority": 1})),
        instance("b", json!({})),
        instance("c", json!({"weight": 0})),
    ]);
    let plugin = place.compile(&json!({"instances": instances, "breaker": breaker}));
    let fails = |place: usize, pause: u64| {
        let pause = Some(std::time::Duration::from_secs(pause));
        Trial::begin(&plugin.group, place, Some("m")).unwrap().judge(Evidence::Bad(Class::Quota, pause));
    };
    let asks = |tried: &[usize]| choose_member(&plugin.group, Some("m"), &mut || None, tried);
    assert_eq!((asks(&[]), asks(&[0])), (Some(0), Some(1)));
    fails(0, 200);
    assert_eq!((asks(&[]), asks(&[1]), asks(&[1, 2])), (Some(1), Some(2), Some(0)));
    // Another model is not concerned.
    assert_eq!(choose_member(&plugin.group, Some("other"), &mut || None, &[]), Some(0));
    fails(1, 100);
    fails(2, 150);
    assert_eq!((asks(&[]), asks(&[1]), asks(&[0, 1, 2])), (Some(1), Some(2), None));
    let off = place.compile(&json!({"instances": instances, "breaker": {"enabled": false}}));
    assert_eq!(choose_member(&off.group, Some("m"), &mut || None, &[]), Some(0));
}

#[test]
fn what_is_known_of_an_instance_outlives_changes_of_others() {
    let place = Place::default();
    let checks = json!({"active": {"http_path": "/up"}});
    let with = |name: &str, extra: Value| {
        let mut extra = extra;
        extra["checks"] = checks.clone();
        instance(name, extra)
    };
    let before = place.compile(&json!({"instances": [with("a", json!({})), with("b", json!({}))]}));
    assert_eq!(place.health.all().len(), 2);
    let states = |plugin: &AiProxyMulti, name: &str| {
        let member = plugin.group.members.iter().find(|member| &*member.instance.name == name).unwrap();
        (Arc::as_ptr(&member.state), Arc::as_ptr(&member.breakers))
    };
    let endpoint = |url: &str| json!({"override": {"endpoint": url}});
    let cases = [
        (json!([with("a", json!({"weight": 7})), with("b", json!({}))]), true),
        (json!([with("a", json!({"options": {"model": "x"}})), with("c", json!({}))]), true),
        (json!([with("z", json!({})), with("a", json!({}))]), true),
        (json!([with("a", endpoint("http://other"))]), false),
        (json!([with("a", json!({"auth": {"header": {"Authorization": "new"}}}))]), false),
        (json!([with("a", json!({"provider": "deepseek"}))]), false),
    ];
    for (instances, is_kept) in cases {
        let after = place.compile(&json!({"instances": instances}));
        assert_eq!(states(&before, "a") == states(&after, "a"), is_kept, "{instances}");
        // The group before stays the one that is in force.
        drop(after);
    }
    let same =
        place.compile(&json!({"instances": [with("a", json!({})), with("b", json!({}))], "timeout": 5}));
    let checked = |plugin: &AiProxyMulti| plugin.group.members[0].checked.clone().unwrap();
    assert!(
        Arc::ptr_eq(&checked(&before), &checked(&same))
            && Arc::ptr_eq(&before.group.state, &same.group.state)
    );
}

#[test]
fn probes_show_credentials_and_nobody_else_does() {
    let place = Place::default();
    let auth = json!({"header": {"Authorization": "Bearer sk-live"}, "query": {"key": "sk live"}});
    let own = json!({"auth": auth, "checks": {"active": {"port": 81}}, "override": {"endpoint": "http://h:8080/x"}});
    let plugin = place.compile(&json!({"instances": [instance("a", own)]}));
    let checked = place.health.all().pop().unwrap();
    assert_eq!(&*checked.key, "/routes/1#plugins['ai-proxy-multi'].instances[0]");
    assert_eq!(checked.auth.expose().query, "key=sk%20live");
    assert_eq!(checked.auth.expose().headers[0].1, "Bearer sk-live");
    assert_eq!((&*checked.nodes[0].host, checked.nodes[0].target.port), ("h:8080", 8080));
    let shown = format!("{plugin:?} {checked:?}");
    assert!(
        !shown.contains("sk-live") && !shown.contains("sk%20live") && !shown.contains("sk live"),
        "{shown}"
    );
}

#[test]
fn one_instance_is_asked_whatever_is_known_of_it() {
    let body = r#"{"model":"m","messages":[]}"#;
    let first = |conf: &Value| {
        let plugin = Place::default().compile(conf);
        let headers = [("content-type", "application/json")];
        let mut exchange = testing::exchange("POST", "/v1/chat/completions", &headers, body);
        testing::run(plugin.access(&mut exchange)).unwrap();
        exchange.plan.unwrap().first
    };
    assert_eq!(first(&json!({"instances": [instance("a", json!({}))]})), Some(0));
    assert_eq!(first(&conf(json!({}))), None);
}

#[test]
fn both_spellings_of_the_strategy_mean_the_same() {
    let cases = [
        (json!({}), [false, false, false]),
        (json!({"fallback_strategy": "instance_health_and_rate_limiting"}), [true, false, false]),
        (json!({"fallback_strategy": "rate_limiting"}), [true, false, false]),
        (json!({"fallback_strategy": ["instance_health_and_rate_limiting"]}), [true, false, false]),
        (json!({"fallback_strategy": "http_429"}), [false, true, false]),
        (json!({"fallback_strategy": "http_5xx"}), [false, false, true]),
        (json!({"fallback_strategy": []}), [false, false, false]),
        (
            json!({"fallback_strategy": ["rate_limiting", "http_429", "http_5xx", "http_429"]}),
            [true, true, true],
        ),
    ];
    for (extra, expected) in cases {
        let fallback = &Place::default().compile(&conf(extra.clone())).group.fallback;
        assert_eq!([fallback.asks_quota, fallback.on_429, fallback.on_5xx], expected, "{extra}");
        assert_eq!(check(&conf(extra)), Ok(()));
    }
}

#[test]
fn violations_of_the_schema_have_apisixs_words() {
    let item = "property \"instances\" validation failed: failed to validate item 1: ";
    let with = |extra: Value| json!({"instances": [instance("a", extra)]});
    let cases = [
        (json!({}), "property \"instances\" is required".to_owned()),
        (
            json!({"instances": []}),
            "property \"instances\" validation failed: expect array to have at least 1 items".to_owned(),
        ),
        (
            json!({"instances": [{"name": "a", "provider": "openai", "auth": {}}]}),
            format!("{item}property \"weight\" is required"),
        ),
        (
            with(json!({"checks": {}})),
            format!("{item}property \"checks\" validation failed: property \"active\" is required"),
        ),
        (
            with(json!({"threshold": 2})),
            format!("{item}property \"threshold\" validation failed: expected 2 to be at most 1"),
        ),
        (
            conf(json!({"max_retries": -1})),
            "property \"max_retries\" validation failed: expected -1 to be at least 0".to_owned(),
        ),
        (
            conf(json!({"fallback_strategy": "nope"})),
            "property \"fallback_strategy\" validation failed: object matches none of the required"
                .to_owned(),
        ),
        (
            conf(json!({"semantic_opts": {}})),
            "property \"semantic_opts\" validation failed: property \"embeddings\" is required".to_owned(),
        ),
    ];
    for (conf, expected) in cases {
        assert_eq!(check(&conf).unwrap_err(), expected, "{conf}");
    }
}

#[test]
fn what_a_schema_cannot_say_is_checked_in_apisixs_order() {
    let chash = |extra: Value| {
        let mut balancer = json!({"algorithm": "chash"});
        balancer.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        conf(json!({"balancer": balancer}))
    };
    let semantic = |embeddings: Value, extra: Value| {
        let mut own = json!({"provider": "openai", "model": "e", "auth": {}});
        own.as_object_mut().unwrap().extend(embeddings.as_object().unwrap().clone());
        let mut opts = json!({"embeddings": own});
        opts.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let instances =
            [instance("a", json!({"examples": ["x"]})), instance("b", json!({"examples": ["y"]}))];
        json!({"instances": instances, "balancer": {"algorithm": "semantic"}, "semantic_opts": opts})
    };
    let azure = json!({"provider": "azure-openai", "endpoint": "https://a.b/"});
    let mut no_examples = semantic(json!({}), json!({}));
    no_examples["instances"][1].as_object_mut().unwrap().remove("examples");
    let bad_gcp = json!({"provider": "vertex-ai", "auth": {"gcp": {"service_account_json": "{"}}});
    let cases = [
        (
            json!({"instances": [instance("x", json!({})), instance("a", json!({})), instance("x", json!({}))]}),
            "duplicate instance name 'x' at instances[1] and instances[3]",
        ),
        (
            json!({"instances": [instance("a", json!({"override": {"endpoint": "nope"}}))], "balancer": {"algorithm": "chash"}}),
            "invalid endpoint",
        ),
        (
            json!({"instances": [instance("a", bad_gcp)]}),
            "invalid gcp service_account_json: EOF while parsing an object at line 1 column 1",
        ),
        (
            json!({"instances": [instance("a", json!({"provider": "bedrock"}))]}),
            "instance 'a': bedrock requires provider_conf.region",
        ),
        (
            json!({"instances": [instance("a", json!({"provider": "azure-openai"}))]}),
            "instance 'a': provider azure-openai has no host of its own; set override.endpoint to its URL",
        ),
        (chash(json!({})), "must configure `hash_key` when balancer `hash_on` is not set to cookie"),
        (
            chash(json!({"key": "zzz"})),
            "invalid configuration: failed to match pattern \"^((uri|server_name|server_addr|request_uri|remote_port\
             |remote_addr|query_string|host|hostname|mqtt_client_id)|arg_[0-9a-zA-z_-]+)$\" with \"zzz\"",
        ),
        (
            chash(json!({"hash_on": "header", "key": "x a"})),
            "invalid configuration: failed to match pattern \"^[a-zA-Z0-9-_]+$\" with \"x a\"",
        ),
        (
            conf(json!({"balancer": {"algorithm": "semantic"}})),
            "must configure `semantic_opts.embeddings` when balancer algorithm is semantic",
        ),
        (semantic(json!({"endpoint": "nope"}), json!({})), "invalid `semantic_opts.embeddings.endpoint`"),
        (
            semantic(json!({"provider": "azure-openai"}), json!({})),
            "must configure `semantic_opts.embeddings.endpoint` when embeddings provider is azure-openai",
        ),
        (
            semantic(azure, json!({})),
            "`semantic_opts.embeddings.endpoint` for azure-openai must include the full deployment path, e.g. \
             https://{resource}.openai.azure.com/openai/deployments/{deployment}/embeddings?api-version=...",
        ),
        (no_examples, "instance 'b': must configure non-empty `examples` for the semantic algorithm"),
        (
            semantic(json!({}), json!({"fallback": "zz"})),
            "`semantic_opts.fallback` names unknown instance 'zz'",
        ),
    ];
    for (conf, expected) in cases {
        assert_eq!(check(&conf).unwrap_err(), expected, "{conf}");
    }
}

#[test]
fn every_balancer_is_taken() {
    for balancer in [
        json!({}),
        json!({"algorithm": "roundrobin"}),
        json!({"algorithm": "least_conn"}),
        json!({"algorithm": "ewma"}),
        json!({"algorithm": "chash", "hash_on": "consumer"}),
        json!({"algorithm": "chash", "hash_on": "vars_combinations", "key": "$host$arg_a"}),
    ] {
        assert_eq!(check(&conf(json!({"balancer": balancer}))), Ok(()), "{balancer}");
    }
}

#[test]
fn keys_of_instances_are_secrets() {
    let auth = json!({"header": {"A": "h"}, "query": {"k": "q"}});
    let opts = json!({"embeddings": {"auth": {"header": {"A": "e"}}}});
    let mut route = json!({"plugins": {NAME: {"instances": [{}, {"auth": auth}], "semantic_opts": opts}}});
    let mut found = Vec::new();
    let plugins = crate::Builtins::default();
    a6_resources::each_secret(a6_resources::Kind::Route, "r", &mut route, &plugins, &mut |_, secret| {
        found.push(secret.to_string());
    });
    found.sort_unstable();
    assert_eq!(found, ["\"e\"", "\"h\"", "\"q\""]);
}
