//! The rows of the recipes' scenario tables, one file a recipe.
//!
//! - `multi_tenant.rs` (section 2), `key_auth.rs` (8), `limit_count.rs` (9), `proxy_rewrite.rs` (11),
//!   `consumer_restriction.rs` (13), `traffic_split.rs` (14), `canary.rs` (15).
//! - `rows.rs`: that every row of these sections has a test.
//! - this file: a gateway in front of a backend, and what most rows say to it.

mod canary;
mod consumer_restriction;
mod key_auth;
mod limit_count;
mod multi_tenant;
mod proxy_rewrite;
mod rows;
mod traffic_split;

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

    /// A route to the backend with these plugins; its uri is `/«id»`.
    pub(crate) fn route(&self, id: &str, plugins: Value) {
        self.route_with(id, plugins, json!({}));
    }

    /// The same; members of `more` are added to the route or replace its own.
    pub(crate) fn route_with(&self, id: &str, plugins: Value, more: Value) {
        let uri = format!("/{id}");
        let mut route = json!({"uri": uri, "plugins": plugins, "upstream": self.echo.upstream()});
        extend(&mut route, more);
        self.gateway.put(&format!("routes/{id}"), &route);
    }

    /// A consumer with the key-auth key `k-«name»` and these plugins.
    pub(crate) fn consumer(&self, name: &str, plugins: Value) {
        self.consumer_with(name, plugins, json!({}));
    }

    /// The same; members of `more` are added to the consumer.
    pub(crate) fn consumer_with(&self, name: &str, plugins: Value, more: Value) {
        let mut all = json!({"key-auth": {"key": key(name)}});
        extend(&mut all, plugins);
        let mut consumer = json!({"username": name, "plugins": all});
        extend(&mut consumer, more);
        self.gateway.put("consumers", &consumer);
    }

    /// Sends a request without a body on a connection of its own.
    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        Connection::open(self.gateway.data).answer(&request(method, target, headers, b""))
    }

    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", target, headers)
    }

    /// A GET with the key of that consumer.
    pub(crate) fn get_as(&self, consumer: &str, target: &str) -> Answer {
        self.get(target, &[("apikey", key(consumer).as_str())])
    }

    /// Writes an object, insists that it is refused with 400, and gives the reason.
    pub(crate) fn refusal(&self, path: &str, body: &Value) -> String {
        let (status, answer) = self.gateway.admin("PUT", path, Some(body));
        assert_eq!(status, 400, "PUT {path} {body}: {answer}");
        answer["error_msg"].as_str().unwrap_or_else(|| panic!("no error_msg: {answer}")).to_string()
    }
}

/// The key of a consumer of [`Stage::consumer`].
pub(crate) fn key(name: &str) -> String {
    format!("k-{name}")
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
}

/// Adds members to an object; of two with one name the new one stays.
pub(crate) fn extend(object: &mut Value, more: Value) {
    match (object, more) {
        (Value::Object(object), Value::Object(more)) => object.extend(more),
        (object, more) => panic!("not two objects: {object} and {more}"),
    }
}
