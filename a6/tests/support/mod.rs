//! The harness of the promise tests: the real binary, real sockets, real bytes.
//!
//! - `gateway.rs`: [`Setup`] and [`Gateway`], one `a6 serve` process with a home of its own; [`a6`], any other command.
//! - `command.rs`: [`Ran`] and [`run`], a command through pipes. `terminal.rs`: [`Terminal`], one on a pseudo-terminal.
//! - `http.rs`: a raw HTTP/1.1 client that keeps every byte and knows how an answer ended.
//! - `http2.rs`: a raw HTTP/2 client that writes and reads frames by hand.
//! - `tls.rs`: authorities, certificates, and a client that shakes hands.
//! - `sse.rs`: reading of `text/event-stream` bodies.
//! - `echo.rs`: [`Echo`], a backend that answers every request with what it received.
//! - `random.rs`: [`Random`], numbers that can be had again.
//! - `scripted.rs`: [`Scripted`], an upstream that sends exactly the bytes it was told; [`Blackhole`], one that never accepts.
//! - this file: the mock and its ledger, the usual route, the usual chat request, waiting.

// Each test is a crate of its own and uses a part of the harness.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod command;
pub mod echo;
mod gateway;
mod http;
pub mod http2;
mod random;
mod scripted;
pub mod sse;
mod terminal;
pub mod tls;

use std::time::{Duration, Instant};

use a6_mock::{Exchange, Mock, Options, Outcome};
use serde_json::{Value, json};

pub use self::command::{Ran, run};
pub use self::echo::{Echo, Manner, Seen};
pub use self::gateway::{ADMIN_KEY, Gateway, Setup, a6};
pub use self::http::{Answer, Call, Connection, Head, post, request};
pub use self::random::Random;
pub use self::scripted::{Blackhole, Gate, Scripted, Step, chunk, closed_port};
pub use self::terminal::Terminal;

/// A mock provider on a free port, its ledger on.
pub fn mock() -> Mock {
    Mock::start(Options { port: 0, ledger: true, ..Options::default() }).expect("the mock starts")
}

/// The mock's ledger once all its exchanges have ended; there must be `count` of them.
pub fn ledger(mock: &Mock, count: usize) -> Vec<Exchange> {
    let exchanges = mock.settled(count);
    let ended = exchanges.iter().filter(|exchange| exchange.outcome != Outcome::Open).count();
    assert_eq!((ended, exchanges.len()), (count, count), "{exchanges:#?}");
    exchanges
}

/// The value of a header in a ledger's exchange; `None` where it was not sent, a panic where it was sent twice.
pub fn sent_once<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    let count = exchange.headers.iter().filter(|(n, _)| n == name).count();
    assert!(count <= 1, "{name} was sent {count} times: {:?}", exchange.headers);
    exchange.header(name)
}

/// A route on `uri` with ai-proxy to `endpoint`, provider openai; members of `extra` replace the plugin's.
pub fn ai_route(uri: &str, endpoint: &str, extra: Value) -> Value {
    let mut plugin = json!({
        "provider": "openai",
        "auth": {"header": {"Authorization": "Bearer sk-provider"}},
        "override": {"endpoint": endpoint},
    });
    if let (Some(plugin), Value::Object(extra)) = (plugin.as_object_mut(), extra) {
        plugin.extend(extra);
    }
    json!({"uri": uri, "plugins": {"ai-proxy": plugin}})
}

/// A chat request for one answer in one piece.
pub fn chat(text: &str) -> Value {
    json!({"model": "gpt-test", "messages": [{"role": "user", "content": text}]})
}

/// A chat request for a stream whose usage event the client wants too, so that the whole stream passes unchanged.
pub fn chat_stream(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    body
}

/// Polls until there is an answer; fails after five seconds.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited five seconds for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
