//! The routers, called as a client calls them, with a real store, a real writer's thread and a fake snapshot.

mod control;
mod expiry;
mod identities;
mod pipeline;
mod sealed;
mod stand_alone;
mod stored;
mod validate;
mod writes;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use a6_core::{Clock, Secret};
use a6_resources::{Catalogue, Change, ConfKind, Entry, PluginSpec, Schema};
use a6_snapshot::{Publisher, Rejection};
use a6_store::{Expiry, Opener, SqliteStore, Store, StoreError};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderMap, Request};
use serde_json::{Value, json};
use tower::ServiceExt;

use a6_telemetry::RequestLog;

use crate::{Admin, AdminState, Control, Key, Role, Writer, control_router, router};

const ROUTE: &str = r#"{"uri":"/x","upstream":{"type":"roundrobin","nodes":{"127.0.0.1:1980":1}}}"#;
const UPSTREAM: &str = r#"{"type":"roundrobin","nodes":{"127.0.0.1:1980":1}}"#;
/// The manual clock's start, in Unix seconds.
const START: u64 = 1_700_000_000;

/// Two plugins with secrets, one of which knows consumers, and one with metadata.
struct FewPlugins {
    specs: Vec<PluginSpec>,
}

impl FewPlugins {
    fn new() -> Self {
        let schema = |document| Schema::compile(document).unwrap();
        let plain = |name, priority| PluginSpec {
            name,
            priority,
            version: "0.1",
            kind: None,
            schema: schema(json!({"type": "object"})),
            consumer_schema: None,
            metadata_schema: None,
            consumer_key: None,
            encrypt_fields: &[],
        };
        let key = json!({"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]});
        let key_auth = PluginSpec {
            kind: Some("auth"),
            consumer_schema: Some(schema(key)),
            consumer_key: Some("key"),
            encrypt_fields: &["key"],
            ..plain("key-auth", 2500)
        };
        let ai_proxy = PluginSpec {
            schema: schema(json!({
                "type": "object",
                "properties": {"provider": {"type": "string"}, "auth": {"type": "object"}},
                "required": ["provider"],
            })),
            encrypt_fields: &["auth.header", "auth.query"],
            ..plain("ai-proxy", 1040)
        };
        let logger = PluginSpec {
            metadata_schema: Some(schema(json!({
                "type": "object",
                "properties": {"log_format": {"type": "object"}, "token": {"type": "string"}},
                "encrypt_fields": ["token"],
            }))),
            ..plain("http-logger", 410)
        };
        Self { specs: vec![key_auth, ai_proxy, logger] }
    }
}

impl Catalogue for FewPlugins {
    fn specs(&self) -> &[PluginSpec] {
        &self.specs
    }

    fn check(&self, name: &str, conf: &Value, kind: ConfKind) -> Result<(), String> {
        let spec = self.spec(name).ok_or_else(|| format!("unknown plugin [{name}]"))?;
        let schema = match kind {
            ConfKind::Route => Some(&spec.schema),
            ConfKind::Consumer => spec.consumer_schema.as_ref(),
            ConfKind::Metadata => spec.metadata_schema.as_ref(),
        };
        schema.unwrap().check(conf)
    }
}

type Log = Arc<Mutex<Vec<(u64, Vec<Change>)>>>;

/// Writes down what is published; refuses a resource whose `desc` says `refuse` and panics where it says `panic`.
struct Snapshots {
    log: Log,
}

impl Publisher for Snapshots {
    fn publish(&mut self, changes: &[Change], revision: u64) -> Vec<Rejection> {
        let mut rejections = Vec::new();
        for change in changes {
            let desc = change.value.as_ref().and_then(|value| value.get("desc")).and_then(Value::as_str);
            assert_ne!(desc, Some("panic"), "the compiler meets a bug");
            if desc == Some("refuse") {
                let key = format!("{}/{}", change.kind.spec().collection, change.id);
                rejections.push(Rejection { key, reason: "no such thing".to_string() });
            }
        }
        self.log.lock().unwrap().push((revision, changes.to_vec()));
        rejections
    }
}

/// A store whose disk can fill.
struct Frail {
    store: SqliteStore,
    full: Arc<AtomicBool>,
}

impl Store for Frail {
    fn commit_until(&mut self, changes: &[Change], until: Option<u64>) -> Result<u64, StoreError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError("config.db: database or disk is full: free disk space".to_string()));
        }
        self.store.commit_until(changes, until)
    }

    fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.store.rewrite(entries)
    }

    fn load(&self) -> Result<(u64, Vec<Entry>), StoreError> {
        self.store.load()
    }

    fn expiries(&self) -> Result<Vec<Expiry>, StoreError> {
        self.store.expiries()
    }
}

/// A running Admin and Control API.
struct House {
    admin: Router,
    control: Router,
    log: Log,
    full: Arc<AtomicBool>,
    clock: Clock,
    rejections: Vec<Rejection>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn error(&self) -> (u16, String) {
        (self.status, self.json()["error_msg"].as_str().unwrap_or_default().to_string())
    }
}

fn config() -> Admin {
    let key = |text: &str, role| Key { key: Secret::new(text.to_string()), role };
    Admin {
        keys: vec![key("adm", Role::Admin), key("vi", Role::Viewer)],
        key_required: true,
        allow: vec!["127.0.0.0/24".parse().unwrap()],
        cors: false,
        server_tokens: true,
        names: Vec::new(),
    }
}

fn house(dir: &tempfile::TempDir) -> House {
    house_with(dir, config())
}

fn house_with(dir: &tempfile::TempDir, config: Admin) -> House {
    house_at(dir, config, Clock::manual(START * 1000))
}

fn house_at(dir: &tempfile::TempDir, config: Admin, clock: Clock) -> House {
    let full = Arc::new(AtomicBool::new(false));
    let store = Frail { store: SqliteStore::open(dir.path()).unwrap(), full: full.clone() };
    house_over(Box::new(store), full, config, clock)
}

fn house_over(store: Box<dyn Store>, full: Arc<AtomicBool>, config: Admin, clock: Clock) -> House {
    let log = Log::default();
    let catalogue: Arc<dyn Catalogue> = Arc::new(FewPlugins::new());
    let publisher = Box::new(Snapshots { log: log.clone() });
    let (writer, _, rejections) = Writer::start(store, publisher, catalogue.clone(), clock.clone()).unwrap();
    let control = control_router(Control {
        health: a6_snapshot::HealthRegistry::default(),
        groups: a6_snapshot::GroupRegistry::default(),
        view: writer.view().clone(),
        catalogue: catalogue.clone(),
        requests: Arc::new(RequestLog::new(8)),
        names: Vec::new(),
        exposed: true,
        counters: Box::new(|| serde_json::json!({"access_log_dropped": 7})),
        troubles: Box::new(Vec::new),
    });
    let opener = Opener::new(&[], true, catalogue.clone());
    let admin = router(AdminState::new(config, writer, catalogue).opening(opener));
    House { admin, control, log, full, clock, rejections }
}

impl House {
    /// Asks the Admin API as its administrator.
    async fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        self.ask_with(method, path, &[("host", "localhost"), ("x-api-key", "adm")], body).await
    }

    async fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        send(&self.admin, method, path, headers, Body::from(body.to_string())).await
    }

    /// Asks the Admin API as its administrator, on that condition.
    async fn ask_if(&self, method: &str, path: &str, if_match: &str, body: &str) -> Reply {
        let headers = [("host", "localhost"), ("x-api-key", "adm"), ("if-match", if_match)];
        self.ask_with(method, path, &headers, body).await
    }

    /// Asks the Control API.
    async fn control(&self, path: &str) -> Reply {
        send(&self.control, "GET", path, &[("host", "127.0.0.1:9090")], Body::empty()).await
    }
}

async fn send(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}
