use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use a6_core::Secret;
use a6_protocols::Endpoint;
use a6_snapshot::{Inquiry, Keepalive, Services, Target};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::similarity::Vector;
use crate::support::instance;

/// Where OpenAI's service is.
const OPENAI: &str = "https://api.openai.com/v1/embeddings";
/// Where an endpoint has no path of its own.
const PATH: &str = "/v1/embeddings";
const KEEPALIVE: Keepalive = Keepalive { size: 30, idle: Duration::from_secs(60) };
/// One vector is a few thousand numbers of some twenty bytes.
const ANSWER_PER_TEXT: usize = 256 << 10;
const MAX_ANSWER: usize = 64 << 20;
/// A longer answer is read on another thread, so that it does not hold up the other requests of this one.
const SHORT: usize = 1 << 20;

/// `semantic_opts.embeddings`.
#[derive(Deserialize)]
pub(super) struct EmbeddingsConf {
    provider: String,
    model: String,
    endpoint: Option<String>,
    #[serde(default)]
    auth: Auth,
    #[serde(default = "default_timeout")]
    timeout: u64,
    #[serde(default = "default_verify")]
    ssl_verify: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Auth {
    header: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
}

fn default_timeout() -> u64 {
    3000
}

fn default_verify() -> bool {
    true
}

/// A service that makes vectors of texts.
#[derive(Debug)]
pub(super) struct Embeddings {
    target: Arc<Target>,
    /// Request line, `host`, credentials and `content-type`.
    head: Secret<Vec<u8>>,
    /// None where the address says which.
    model: Option<String>,
    /// For a whole request.
    pub(super) limit: Duration,
}

impl fmt::Display for Embeddings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl Embeddings {
    /// Everything that does not depend on the request is made here, once.
    pub(super) fn compile(conf: EmbeddingsConf) -> Result<Self, String> {
        let url = conf.endpoint.as_deref().unwrap_or(OPENAI);
        let endpoint =
            Endpoint::parse(url).map_err(|_| "invalid `semantic_opts.embeddings.endpoint`".to_owned())?;
        let headers = instance::headers(&conf.auth.header, &[])
            .map_err(|why| format!("semantic_opts.embeddings.{why}"))?;
        let query = instance::query(&conf.auth.query, endpoint.query.as_deref());
        let query: Vec<&str> = query.iter().map(|argument| &**argument.written.expose()).collect();
        let path = endpoint.path.as_deref().unwrap_or(PATH);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut head = format!("POST {path}{mark}{} HTTP/1.1\r\n", query.join("&")).into_bytes();
        head.extend_from_slice(&instance::head(&endpoint.authority(), &headers));
        head.extend_from_slice(b"content-type: application/json\r\n");
        let target = Target {
            scheme: endpoint.scheme,
            host: endpoint.host.into(),
            port: endpoint.port,
            verify: conf.ssl_verify,
        };
        Ok(Self {
            target: Arc::new(target),
            head: Secret::new(head),
            model: (conf.provider != "azure-openai").then_some(conf.model),
            limit: Duration::from_millis(conf.timeout),
        })
    }

    /// The vectors of texts, in their order.
    ///
    /// # Errors
    /// There are none; the text says why and nothing of what was asked or answered.
    pub(super) async fn embed(
        &self,
        services: &Rc<dyn Services>,
        texts: &[String],
    ) -> Result<Vec<Vector>, Box<str>> {
        let inquiry = self.inquiry(texts);
        let found = services.clone().ask(inquiry).await.map_err(|fault| fault.text.into_owned())?;
        if found.status != StatusCode::OK {
            return Err(format!("{} answered with status {}", self.target, found.status.as_u16()).into());
        }
        let (body, count) = (found.body, texts.len());
        let vectors = match body.expose().len() {
            0..=SHORT => vectors(body.expose(), count),
            _ => tokio::task::spawn_blocking(move || vectors(body.expose(), count))
                .await
                .unwrap_or(Err("its answer could not be read")),
        };
        vectors.map_err(|why| format!("{}: {why}", self.target).into())
    }

    fn inquiry(&self, texts: &[String]) -> Inquiry {
        let body = match &self.model {
            Some(model) => json!({"model": model, "input": texts}),
            None => json!({"input": texts}),
        };
        let body = Bytes::from(body.to_string());
        let length = format!("content-length: {}\r\n\r\n", body.len());
        Inquiry {
            target: self.target.clone(),
            keepalive: Some(KEEPALIVE),
            limit: self.limit,
            max_answer: texts.len().saturating_mul(ANSWER_PER_TEXT).min(MAX_ANSWER),
            method: Method::POST,
            head: Secret::new([&self.head.expose()[..], length.as_bytes()].concat().into()),
            body: Secret::new(body),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    embedding: Vec<f64>,
    #[serde(default)]
    index: Value,
}

/// The vectors in an answer to so many texts. Every text must have got one, and each one that tells its place, a place
/// that there is.
fn vectors(answer: &[u8], count: usize) -> Result<Vec<Vector>, &'static str> {
    let is_object = answer.trim_ascii_start().starts_with(b"{");
    let answer: Answer = match serde_json::from_slice(answer) {
        Ok(answer) if is_object => answer,
        _ => return Err("its answer is no list of embeddings"),
    };
    let mut found: Vec<Option<Vector>> = Vec::new();
    found.resize_with(count, || None);
    for (position, item) in answer.data.iter().enumerate() {
        let place = match &item.index {
            Value::Number(index) => index.as_u64().and_then(|index| usize::try_from(index).ok()),
            _ => Some(position),
        };
        if item.embedding.is_empty() {
            return Err("an embedding in its answer is empty");
        }
        match place.and_then(|place| found.get_mut(place)) {
            Some(slot) => *slot = Some(Vector::of(&item.embedding)),
            None => return Err("an embedding in its answer is for no text that was sent"),
        }
    }
    found.into_iter().collect::<Option<_>>().ok_or("a text got no embedding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_is_taken() {
        let item = |rest: &str| format!(r#"{{"embedding":[1,2.5e-1]{rest}}}"#);
        let answer = |items: &[String]| format!(r#" {{"object":"list","data":[{}]}}"#, items.join(","));
        let plain = item("");
        let good = [
            answer(&[plain.clone(), plain.clone()]),
            answer(&[item(r#","index":1"#), item(r#","index":0"#)]),
            answer(&[item(r#","index":"x""#), item(r#","index":1"#)]),
            answer(&[item(r#","index":null"#), plain.clone()]),
        ];
        for text in good {
            assert_eq!(vectors(text.as_bytes(), 2).map(|all| all.len()), Ok(2), "{text}");
        }
        let bad = [
            answer(&[]),
            answer(std::slice::from_ref(&plain)),
            answer(&[plain.clone(), plain.clone(), plain.clone()]),
            answer(&[item(r#","index":0"#), item(r#","index":0"#)]),
            answer(&[item(r#","index":0"#), item(r#","index":2"#)]),
            answer(&[item(r#","index":0"#), item(r#","index":-1"#)]),
            answer(&[item(r#","index":0"#), item(r#","index":0.5"#)]),
            answer(&[plain.clone(), r#"{"embedding":[]}"#.into()]),
            answer(&[plain.clone(), r#"{"embedding":"AAAA"}"#.into()]),
            answer(&[plain.clone(), r#"{"embedding":[1,null]}"#.into()]),
            answer(&[plain.clone(), r#"{"embedding":[1e999]}"#.into()]),
            answer(&[plain.clone(), "7".into()]),
            format!("[[{plain},{plain}]]"),
            r#"{"data":{}}"#.into(),
            r#"{"error":"no"}"#.into(),
            "<html>".into(),
            String::new(),
        ];
        for text in bad {
            assert!(vectors(text.as_bytes(), 2).is_err(), "{text}");
        }
        let swapped = r#"{"data":[{"embedding":[0,1],"index":1},{"embedding":[1,0],"index":0}]}"#;
        let found = vectors(swapped.as_bytes(), 2).unwrap();
        assert_eq!(format!("{:?}", found[0]), format!("{:?}", Vector::of(&[1.0, 0.0])));
    }
}
