//! Turns a document into nonsense.

use serde_json::{Value, json};

use crate::support::Random;

/// What stands where it should not. Nothing here is a name that can be looked up.
pub(crate) fn odd() -> Vec<Value> {
    let mut all = json!([
        null, true, false, 0, -1, 1, 0.5, 1e308, -1e308, 9_007_199_254_740_993_u64, 18_446_744_073_709_551_615_u64, 65_536,
        "", " ", "*", "/", "/*", "*.*", "..", "/../../x", "%00", "%zz", "\u{0}", "\r\nX: y", "\\", "$1", "$uri", "${x}",
        "$env://NOPE", "$secret://vault/1/x/y", "(", "[", "(?=a)b", "(a+)+$", "127.0.0.1:0", "[::1]:65536", "http://",
        "http://[::1", "GET", "remote_addr", "X-A", "^/a/(.*)", "text/plain",
        [], {}, [[]], [null], {"": ""}, {"a": {"b": [{"c": null}]}}
    ]);
    let all = all.as_array_mut().map(std::mem::take).unwrap_or_default();
    let long = ["a".repeat(5_000), "é".repeat(300), "9".repeat(400), "[".repeat(200), "/a".repeat(2_000)];
    all.into_iter().chain(long.map(Value::from)).collect()
}

/// Members that mean something somewhere.
const NAMES: [&str; 16] = [
    "uri", "uris", "host", "hosts", "plugins", "_meta", "id", "nodes", "vars", "priority", "timeout",
    "disable", "filter", "key", "upstream", "type",
];

/// Changes up to three places.
pub(crate) fn mutate(document: &mut Value, random: &mut Random, odd: &[Value]) {
    for _ in 0..random.below(4) {
        let mut places = Vec::new();
        collect(document, String::new(), &mut places);
        if places.is_empty() {
            return;
        }
        let place = random.of(&places).clone();
        match random.below(10) {
            0..5 => put(document, &place, random.of(odd).clone()),
            5..7 => remove(document, &place),
            7 => {
                let other =
                    document.pointer(random.of(places.as_slice()).as_str()).cloned().unwrap_or_default();
                put(document, &place, other);
            }
            8 => {
                let (name, value) = (*random.of(&NAMES), random.of(odd).clone());
                if let Some(Value::Object(members)) = document.pointer_mut(&place) {
                    members.insert(name.to_string(), value);
                }
            }
            _ => {
                let value = document.pointer(&place).cloned().unwrap_or_default();
                let times = *random.of(&[1, 2, 50]);
                put(document, &place, Value::Array(vec![value; times]));
            }
        }
    }
}

/// The JSON pointers of all members and items.
fn collect(value: &Value, at: String, places: &mut Vec<String>) {
    let names: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.replace('~', "~0").replace('/', "~1"), member))
            .collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => return,
    };
    for (name, member) in names {
        let place = format!("{at}/{name}");
        places.push(place.clone());
        collect(member, place, places);
    }
}

fn put(document: &mut Value, place: &str, new: Value) {
    // What is larger than a body may be would say nothing more.
    if let Some(old) = document.pointer_mut(place).filter(|_| new.to_string().len() < 100_000) {
        *old = new;
    }
}

fn remove(document: &mut Value, place: &str) {
    let Some((parent, name)) = place.rsplit_once('/') else { return };
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Ok(index) = name.parse::<usize>() {
                items.remove(index);
            }
        }
        _ => {}
    }
}
