use std::sync::{Arc, Mutex};
use std::time::Duration;

use a6_core::Clock;
use a6_resources::{Change, Kind};
use a6_snapshot::{Publisher, Rejection};
use serde_json::{Value, json};

use crate::manager::Content;
use crate::{Resolving, Secrets};

/// Notes what it is to compile, and refuses what says `refuse`, quoting it.
#[derive(Clone, Default)]
struct Compiler(Arc<Mutex<Vec<(Vec<Change>, u64)>>>);

impl Publisher for Compiler {
    fn publish(&mut self, changes: &[Change], revision: u64) -> Vec<Rejection> {
        self.0.lock().unwrap().push((changes.to_vec(), revision));
        let refused = changes.iter().filter_map(|change| change.value.as_ref()?.pointer("/plugins/refuse"));
        let quoted = refused.map(|text| format!("{text:?} is of no use"));
        quoted.map(|reason| Rejection { key: "routes/1".to_string(), reason }).collect()
    }
}

impl Compiler {
    /// What came since it was asked last: kind, id and document of each change, and the revision of each call.
    fn taken(&self) -> Vec<(Vec<(String, Value)>, u64)> {
        let calls = std::mem::take(&mut *self.0.lock().unwrap());
        let seen = |change: &Change| (format!("{:?} {}", change.kind, change.id), value_of(change));
        calls.iter().map(|(changes, revision)| (changes.iter().map(seen).collect(), *revision)).collect()
    }
}

fn value_of(change: &Change) -> Value {
    change.value.as_ref().map_or(Value::Null, |value| (**value).clone())
}

fn start() -> (Resolving<Compiler>, Compiler, Arc<Secrets>) {
    let environment = |name: &str| (name == "KEY").then(|| "k-1".to_string());
    let secrets = Arc::new(Secrets::with_environment(Clock::manual(1_000), Arc::new(environment)));
    let compiler = Compiler::default();
    (Resolving::new(compiler.clone(), secrets.clone()), compiler, secrets)
}

fn change(kind: Kind, id: &str, value: Value) -> Change {
    let value = if value.is_null() { None } else { Some(Arc::new(value)) };
    Change { kind, id: id.to_string(), value }
}

fn plugin(text: &str) -> Value {
    json!({"plugins": {"a": {"key": text}}})
}

fn vault() -> Change {
    change(Kind::Secret, "vault/1", json!({"uri": "http://v", "prefix": "kv", "token": "t"}))
}

/// Answers everything that is asked for.
fn answer(secrets: &Secrets, key: &str) {
    let (jobs, _) = secrets.take_due(9);
    for job in jobs {
        secrets.finish(&job, Ok(Content::members(json!({ "key": key })).unwrap()));
    }
}

const REFERENCE: &str = "$secret://vault/1/main/key";

#[test]
fn the_compiler_sees_values_and_texts_that_do_not_resolve() {
    let (mut resolving, compiler, _) = start();
    let plain = change(Kind::Route, "0", plugin("text"));
    let changes = [
        plain.clone(),
        change(Kind::Route, "1", plugin("$env://KEY")),
        change(Kind::Consumer, "jack", plugin("$env://NONE")),
        change(Kind::Route, "2", plugin(REFERENCE)),
        change(Kind::Service, "3", Value::Null),
    ];
    assert!(resolving.publish(&changes, 7).is_empty());
    let passed = compiler.0.lock().unwrap()[0].0[0].value.clone().unwrap();
    assert!(Arc::ptr_eq(&passed, plain.value.as_ref().unwrap()), "nothing is copied without need");
    let expected = [
        ("Route 0", plugin("text")),
        ("Route 1", plugin("k-1")),
        ("Consumer jack", plugin("$env://NONE")),
        ("Route 2", plugin(REFERENCE)),
        ("Service 3", Value::Null),
    ];
    let expected = expected.map(|(key, value)| (key.to_string(), value)).to_vec();
    assert_eq!(compiler.taken(), [(expected, 7_u64)]);
}

#[test]
fn a_changed_value_compiles_only_its_owners() {
    let (mut resolving, compiler, secrets) = start();
    let others = [change(Kind::Route, "2", plugin("$env://KEY")), change(Kind::Route, "3", plugin("text"))];
    resolving.publish(&others, 1);
    resolving.publish(&[vault(), change(Kind::Route, "1", plugin(REFERENCE))], 2);
    compiler.taken();
    let only = |text: &str| vec![(vec![("Route 1".to_string(), plugin(text))], 2_u64)];

    answer(&secrets, "s-1");
    resolving.publish(&[], 2);
    assert_eq!(compiler.taken(), only("s-1"));
    resolving.publish(&[], 2);
    assert!(compiler.taken().is_empty(), "nothing has changed since");

    resolving.publish(&[vault()], 3);
    answer(&secrets, "s-2");
    compiler.taken();
    let write = change(Kind::Route, "3", plugin("other"));
    resolving.publish(&[write], 4);
    let expected = [("Route 3", plugin("other")), ("Route 1", plugin("s-2"))];
    let expected = expected.map(|(key, value)| (key.to_string(), value)).to_vec();
    assert_eq!(compiler.taken(), [(expected, 4_u64)], "a write takes along what has changed");

    resolving.publish(&[change(Kind::Secret, "vault/1", Value::Null)], 5);
    let expected = [("Secret vault/1", Value::Null), ("Route 1", plugin(REFERENCE))];
    let expected = expected.map(|(key, value)| (key.to_string(), value)).to_vec();
    assert_eq!(compiler.taken(), [(expected, 5_u64)], "without its manager, a secret is none");
}

#[test]
fn what_is_deleted_is_not_asked_for() {
    let (mut resolving, compiler, secrets) = start();
    resolving.publish(&[vault(), change(Kind::Route, "1", plugin(REFERENCE))], 1);
    resolving.publish(&[change(Kind::Route, "1", Value::Null)], 2);
    assert!(secrets.take_due(9).0.is_empty());
    resolving.publish(&[change(Kind::Route, "1", plugin(REFERENCE))], 3);
    resolving.publish(&[change(Kind::Route, "1", plugin("plain"))], 4);
    assert!(secrets.take_due(9).0.is_empty());
    compiler.taken();
    resolving.publish(&[], 4);
    assert!(compiler.taken().is_empty());
}

#[test]
fn a_write_waits_for_a_secret_that_is_new() {
    let (mut resolving, compiler, secrets) = start();
    secrets.set_kept(true);
    let keeper = secrets.clone();
    let keeping = std::thread::spawn(move || {
        // The write that waits has asked for it by then, or will.
        while keeper.generation() == 0 {
            answer(&keeper, "s-1");
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    resolving.publish(&[vault(), change(Kind::Route, "1", plugin(REFERENCE))], 1);
    keeping.join().unwrap();
    let (changes, _) = compiler.taken().remove(0);
    assert_eq!(changes[1], ("Route 1".to_string(), plugin("s-1")));
}

#[test]
fn a_refusal_names_references_instead_of_values() {
    let cases =
        [("s-1", "is of no use"), ("line\n\"quoted\"", "is of no use"), ("it's quoted", "is of no use")];
    for (secret, expected) in cases {
        let (mut resolving, _, secrets) = start();
        let route = change(Kind::Route, "1", json!({"plugins": {"refuse": REFERENCE}}));
        resolving.publish(&[vault(), route], 1);
        answer(&secrets, secret);
        let rejections = resolving.publish(&[], 1);
        let reason = &rejections[0].reason;
        assert!(reason.contains(REFERENCE) && reason.contains(expected), "{reason}");
        assert!(!reason.contains("s-1") && !reason.contains("quoted"), "{reason}");
    }
}
