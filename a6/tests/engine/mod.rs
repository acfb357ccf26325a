//! What the tests of the plugin engine share: a gateway in front of a backend that tells what it received.

// Each test is a crate of its own and uses a part of this.
#![allow(dead_code)]

use serde_json::{Value, json};

use crate::support::{Answer, Connection, Echo, Gateway, Setup, request};

/// A gateway and the backend behind its routes.
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) echo: Echo,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::on(Setup::new())
    }

    pub(crate) fn on(setup: Setup) -> Self {
        Self { gateway: setup.start(), echo: Echo::start("echo") }
    }

    /// Writes an object and insists that it is taken.
    pub(crate) fn put(&self, path: &str, body: Value) {
        self.gateway.put(path, &body);
    }

    /// A route to the backend with these plugins; its uri is `/«id»`.
    pub(crate) fn route(&self, id: &str, plugins: Value) {
        let uri = format!("/{id}");
        let route = json!({"uri": uri, "plugins": plugins, "upstream": self.echo.upstream()});
        self.put(&format!("routes/{id}"), route);
    }

    /// A consumer with the key-auth key `k-«name»` and these plugins; members of `more` are added.
    pub(crate) fn consumer(&self, name: &str, plugins: Value, more: Value) {
        let plugins = with(json!({"key-auth": {"key": key(name)}}), plugins);
        self.put("consumers", with(json!({"username": name, "plugins": plugins}), more));
    }

    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Connection::open(self.gateway.data).answer(&request(method, target, headers, body))
    }

    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", target, headers, b"")
    }

    /// A GET with the key of that consumer.
    pub(crate) fn get_as(&self, consumer: &str, target: &str) -> Answer {
        self.get(target, &[("apikey", key(consumer).as_str())])
    }

    /// Writes an object, insists that it is refused with 400, and gives the reason.
    pub(crate) fn refusal(&self, path: &str, body: Value) -> String {
        let (status, answer) = self.gateway.admin("PUT", path, Some(&body));
        assert_eq!(status, 400, "PUT {path} {body}: {answer}");
        answer["error_msg"].as_str().unwrap_or_else(|| panic!("no error_msg: {answer}")).to_string()
    }
}

/// The key of a consumer of [`Stage::consumer`].
pub(crate) fn key(name: &str) -> String {
    format!("k-{name}")
}

/// An object with more members; of two with one name the new one stays.
pub(crate) fn with(mut object: Value, more: Value) -> Value {
    match (&mut object, more) {
        (Value::Object(object), Value::Object(more)) => object.extend(more),
        (object, more) => panic!("not two objects: {object} and {more}"),
    }
    object
}

/// Insists on a status and on a body, but for the line feed that ends it.
#[track_caller]
pub(crate) fn says(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.text()), (status, format!("{body}\n")));
}

/// Insists on 200, which only the backend says.
#[track_caller]
pub(crate) fn passes(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-answered-by"), Some("echo"), "{}", answer.text());
}

/// A header of the answer that response-rewrite sets.
pub(crate) fn tag(name: &str, value: &str) -> Value {
    json!({"response-rewrite": {"headers": {"set": {name: value}}}})
}
