//! Hundreds of consumers and credentials that make no sense: whatever of them is taken, nobody passes by them, and nobody
//! else is disturbed.

use serde_json::{Map, Value, json};

use crate::encode::base64;
use crate::engine::{Stage, passes};
use crate::random::Random;
use crate::support::{Answer, Connection, request};
use crate::tokens;

const ROUNDS: usize = 300;

/// A reference that resolves to nothing.
const REFERENCE: &str = "$env://A6_TEST_UNSET";

/// The auth plugins, the route that asks for each, and the members that a consumer's configuration may have.
const PLUGINS: [(&str, &str, &[&str]); 3] = [
    ("key-auth", "/key", &["key", "header", "query"]),
    ("basic-auth", "/basic", &["username", "password", "realm"]),
    (
        "jwt-auth",
        "/jwt",
        &["key", "secret", "algorithm", "public_key", "base64_secret", "exp", "lifetime_grace_period"],
    ),
];

/// Any value. Its texts are `gen-` and a number, or such as stand for nothing.
fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth > 0 { 13 } else { 11 }) {
        0 => Value::Null,
        1 => json!(random.one_in(2)),
        2 => random.pick(&[json!(0), json!(1), json!(-1), json!(1.5), json!(1e300), json!(i64::MAX)]).clone(),
        3 => json!(""),
        4 => json!(REFERENCE),
        5 => json!("$secret://vault/1/consumers/key"),
        6 => json!("gen-\u{0}\u{7f}é"),
        7 => json!("gen-".repeat(random.below(2_000))),
        8 => json!("gen-jwt"),
        9 => random.pick(&["HS256", "HS512", "RS256", "EdDSA", "none"]).to_string().into(),
        10 => json!(format!("gen-{}", random.below(20))),
        11 => (0..random.below(3)).map(|_| value(random, depth - 1)).collect(),
        _ => object(random, &["key", "a"], depth - 1),
    }
}

fn object(random: &mut Random, members: &[&str], depth: usize) -> Value {
    let mut object = Map::new();
    for member in members {
        if !random.one_in(4) {
            object.insert((*member).to_string(), value(random, depth));
        }
    }
    if random.one_in(6) {
        object.insert("no-such-member".to_string(), value(random, depth));
    }
    if random.one_in(6) {
        let meta = random.pick(&["disable", "filter", "priority", "error_response", "what"]);
        object.insert("_meta".to_string(), json!({*meta: value(random, depth)}));
    }
    Value::Object(object)
}

/// What a consumer, or a credential, has in `plugins`.
fn plugins(random: &mut Random, most: usize) -> Value {
    let mut plugins = Map::new();
    for _ in 0..=random.below(most) {
        let (name, _, members) = *random.pick(&PLUGINS);
        let conf = if random.one_in(10) { value(random, 2) } else { object(random, members, 2) };
        plugins.insert(name.to_string(), conf);
    }
    if most > 1 && random.one_in(4) {
        let name = random.pick(&["limit-count", "response-rewrite", "cors", "ai-proxy", "no-such-plugin"]);
        plugins
            .insert((*name).to_string(), object(random, &["count", "time_window", "status_code", "body"], 1));
    }
    Value::Object(plugins)
}

/// One write: where, and what.
fn write(random: &mut Random) -> (&'static str, Value) {
    match random.below(4) {
        0 => ("consumers/jack/credentials/c1", json!({"plugins": plugins(random, 1)})),
        1 => ("consumers/fuzz/credentials/c2", json!({"plugins": plugins(random, 1)})),
        _ => {
            let mut consumer = json!({"username": "fuzz", "plugins": plugins(random, 3)});
            for member in ["labels", "group_id", "desc"] {
                if random.one_in(8) {
                    consumer[member] = value(random, 1);
                }
            }
            ("consumers", consumer)
        }
    }
}

/// Requests of people who have no right credential, but such as a careless program might take for one: nothing, or how
/// something else than text is written.
fn strangers() -> Vec<Vec<u8>> {
    let nothings =
        ["null", "true", "false", "0", "1", "-1", "1.5", "[]", "{}", "undefined", "***", REFERENCE];
    let mut all = Vec::new();
    for (_, uri, _) in PLUGINS {
        all.push(request("GET", uri, &[], b""));
    }
    // The harness leaves headers without a value out.
    all.push(b"GET /key HTTP/1.1\r\nHost: a6.test\r\napikey:\r\n\r\n".to_vec());
    for query in ["/key?apikey", "/key?apikey=", "/jwt?jwt=", "/jwt?jwt=..", "/key?apikey=%00"] {
        all.push(request("GET", query, &[], b""));
    }
    for nothing in nothings {
        all.push(request("GET", "/key", &[("apikey", nothing)], b""));
        let pairs = [format!("{nothing}:{nothing}"), format!("gen-1:{nothing}"), format!("{nothing}:gen-1")];
        for pair in pairs {
            let header = format!("Basic {}", base64(pair.as_bytes()));
            all.push(request("GET", "/basic", &[("Authorization", header.as_str())], b""));
        }
    }
    for pair in [":", "gen-1:", ":gen-1", "::", "gen-1::"] {
        let header = format!("Basic {}", base64(pair.as_bytes()));
        all.push(request("GET", "/basic", &[("Authorization", header.as_str())], b""));
    }
    for token in tokens::SIGNED_WITH_NOTHING {
        all.push(request("GET", "/jwt", &[("Authorization", token)], b""));
    }
    all
}

/// Requests of jack's, who has every right credential, and of somebody on a route that asks for none.
fn friends() -> Vec<Vec<u8>> {
    let basic = format!("Basic {}", base64(b"jack:right"));
    vec![
        request("GET", "/key", &[("apikey", "k-jack")], b""),
        request("GET", "/basic", &[("Authorization", basic.as_str())], b""),
        request("GET", "/jwt", &[("Authorization", tokens::TOKEN)], b""),
        request("GET", "/open", &[], b""),
    ]
}

fn stage() -> Stage {
    let stage = Stage::new();
    let plugins = json!({
        "basic-auth": {"username": "jack", "password": "right"},
        "jwt-auth": {"key": tokens::KEY, "secret": tokens::SECRET},
    });
    stage.consumer("jack", plugins, json!({}));
    for (plugin, uri, _) in PLUGINS {
        stage.route(&uri[1..], json!({plugin: {}}));
    }
    stage.route("open", json!({}));
    stage
}

#[test]
fn whatever_is_written_lets_nobody_in() {
    let stage = stage();
    let (strangers, friends) = (strangers(), friends());
    let mut random = Random::new(4);
    let (mut taken, mut refused) = (0, 0);
    let mut admin = Connection::open(stage.gateway.admin);
    for round in 0..ROUNDS {
        let (path, body) = write(&mut random);
        let answer = stage.gateway.admin_on(&mut admin, "PUT", path, Some(&body));
        match answer.status {
            200 | 201 => taken += 1,
            400 | 404 => refused += 1,
            status => panic!("round {round}: PUT {path} {body}: {status} {}", answer.text()),
        }
        let mut connection = Connection::open(stage.gateway.data);
        let mut ask = |request: &Vec<u8>| -> Answer { connection.answer(request) };
        let all_of_them = round % 25 == 0;
        for stranger in strangers.iter().filter(|_| all_of_them || random.one_in(4)) {
            let answer = ask(stranger);
            let sent = String::from_utf8_lossy(stranger);
            assert_eq!(answer.status, 401, "round {round}, after {path} {body}: {sent}: {}", answer.text());
        }
        friends.iter().for_each(|friend| passes(&ask(friend)));
    }
    assert!(taken >= ROUNDS / 20 && refused >= ROUNDS / 20, "{taken} were taken, {refused} were refused");
    assert_eq!(stage.echo.count(), ROUNDS * friends.len(), "somebody else reached the backend");
}

#[test]
fn what_was_taken_lets_nobody_in_after_a_restart_either() {
    let mut stage = stage();
    let mut random = Random::new(5);
    for _ in 0..ROUNDS {
        let (path, body) = write(&mut random);
        stage.gateway.admin("PUT", path, Some(&body));
    }
    let home = std::sync::Arc::clone(&stage.gateway.home);
    stage.gateway.terminate();
    assert!(stage.gateway.wait().success(), "{}", stage.gateway.output());
    stage.gateway = crate::support::Setup::new().home(&home).start();
    for stranger in strangers() {
        let answer = Connection::open(stage.gateway.data).answer(&stranger);
        assert_eq!(answer.status, 401, "{}: {}", String::from_utf8_lossy(&stranger), answer.text());
    }
    for friend in friends() {
        passes(&Connection::open(stage.gateway.data).answer(&friend));
    }
}
