use std::cell::RefCell;
use std::collections::VecDeque;

use a6_core::{Fault, FaultKind, Secret};
use a6_snapshot::{Findings, Inquiring, Inquiry};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::*;
use crate::support::testing::{exchange, run};

const CHAT: Protocol = Protocol::OpenaiChat;

/// A service that answers with the next of these, and keeps what it was asked. Each answer takes a turn of the runtime.
#[derive(Debug, Default)]
struct Service {
    answers: RefCell<VecDeque<Result<Findings, Fault>>>,
    asked: RefCell<Vec<(String, Value)>>,
}

impl Services for Service {
    fn ask(self: Rc<Self>, inquiry: Inquiry) -> Inquiring {
        let head = String::from_utf8(inquiry.head.expose().to_vec()).unwrap();
        let body: Value = serde_json::from_slice(inquiry.body.expose()).unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n\r\n", inquiry.body.expose().len())));
        self.asked.borrow_mut().push((head, body));
        let answer = self.answers.borrow_mut().pop_front().expect("more was asked than was expected");
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer
        })
    }
}

impl Service {
    fn answering(answers: impl IntoIterator<Item = Result<Findings, Fault>>) -> Rc<Self> {
        Rc::new(Self { answers: RefCell::new(answers.into_iter().collect()), ..Self::default() })
    }

    /// What was sent as `input`, request by request.
    fn inputs(&self) -> Vec<Value> {
        self.asked.borrow().iter().map(|(_, body)| body["input"].clone()).collect()
    }
}

fn found(status: u16, body: &Value) -> Result<Findings, Fault> {
    let status = StatusCode::from_u16(status).unwrap();
    Ok(Findings { status, body: Secret::new(body.to_string().into()) })
}

fn vectors(vectors: &[&[f64]]) -> Result<Findings, Fault> {
    let data: Vec<_> = vectors.iter().map(|vector| json!({"embedding": vector})).collect();
    found(200, &json!({"data": data}))
}

/// What the examples of [`document`] mean.
fn references() -> Result<Findings, Fault> {
    vectors(&[&[1.0, 0.0], &[0.8, 0.6], &[0.0, 1.0]])
}

/// `code` has two examples, `poems` one; a prompt has to be like one of `code` by 0.9.
fn document(options: Value) -> Value {
    let mut semantic = json!({
        "embeddings": {
            "provider": "openai",
            "model": "m",
            "endpoint": "http://e.test:81/v1/embeddings?v=1",
            "auth": {"header": {"Authorization": "Bearer sk-embed"}, "query": {"key": "a b"}},
        },
        "debugging": true,
        "threshold": 0.5,
    });
    semantic.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    json!({
        "instances": [
            {"name": "code", "examples": ["write a loop", "fix this bug"], "threshold": 0.9, "weight": 1},
            {"name": "poems", "examples": ["sing of spring"], "weight": 1},
        ],
        "balancer": {"algorithm": "semantic"},
        "semantic_opts": semantic,
    })
}

fn semantic(options: Value) -> Semantic {
    Semantic::compile(&document(options)).unwrap()
}

/// A request with that body, which asks that service.
fn asking(service: &Rc<Service>, body: &Value) -> Exchange {
    let mut exchange = exchange("POST", "/v1/chat/completions", &[], &body.to_string());
    exchange.services = Some(service.clone());
    exchange
}

fn saying(service: &Rc<Service>, text: &str) -> Exchange {
    asking(service, &json!({"messages": [{"role": "user", "content": text}]}))
}

/// The two headers.
fn told(exchange: &Exchange) -> [Option<String>; 2] {
    let mut headers = HeaderMap::new();
    exchange.answer.apply(&mut headers);
    [SCORES, PICKED].map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_string()))
}

#[test]
fn the_instance_whose_example_is_most_like_the_prompt_takes_it() {
    let cases = [
        ([0.0, 2.0], 1, "poems:1.0000,code:0.6000", "poems"),
        ([4.0, 0.0], 0, "code:1.0000,poems:0.0000", "code"),
        ([0.6, 0.8], 0, "code:0.9600,poems:0.8000", "code"),
        ([0.28, 0.96], 1, "poems:0.9600,code:0.8000", "poems"),
        // Not like enough for code, which is the first all the same.
        ([0.8, -0.6], 0, "code:0.8000,poems:-0.6000", "fallback"),
        ([-1.0, 0.0], 0, "poems:0.0000,code:-0.8000", "fallback"),
    ];
    let semantic = semantic(json!({}));
    let answers = cases.iter().map(|(prompt, ..)| vectors(&[prompt]));
    let service = Service::answering(std::iter::once(references()).chain(answers));
    for (prompt, expected, scores, picked) in cases {
        let mut exchange = saying(&service, "hello");
        assert_eq!(run(semantic.pick(&mut exchange, CHAT)), expected, "{prompt:?}");
        let [told_scores, told_picked] = told(&exchange);
        // A zero may be negative.
        assert_eq!(told_scores.unwrap().replace("-0.0000", "0.0000"), scores);
        assert_eq!(told_picked.as_deref(), Some(picked));
    }
    let examples = json!(["write a loop", "fix this bug", "sing of spring"]);
    assert_eq!(service.inputs()[0], examples, "all examples in one request, and once");
    assert_eq!(service.inputs()[1..], vec![json!(["hello"]); cases.len()]);
}

#[test]
fn whatever_fails_leaves_the_fallback_and_is_tried_again() {
    let options = json!({"fallback": "poems"});
    let cases: [Vec<Result<Findings, Fault>>; 6] = [
        vec![Err(Fault::upstream(FaultKind::UpstreamTimeout, "e.test:81 took long"))],
        vec![found(429, &json!({"error": "slow down"}))],
        vec![found(200, &json!({"data": [{"embedding": [1.0]}]}))],
        vec![references(), found(500, &json!({}))],
        vec![references(), vectors(&[&[1.0, 0.0, 0.0]])],
        vec![references(), vectors(&[])],
    ];
    for answers in cases {
        let semantic = semantic(options.clone());
        let shown = format!("{answers:?}");
        let before = answers.len();
        let is_known = before > 1;
        let again = (!is_known).then(references).into_iter().chain([vectors(&[&[1.0, 0.0]])]);
        let service = Service::answering(answers.into_iter().chain(again));
        let mut first = saying(&service, "hello");
        assert_eq!(run(semantic.pick(&mut first, CHAT)), 1, "{shown}");
        assert_eq!(told(&first), [None, None], "{shown}");
        assert_eq!(run(semantic.pick(&mut saying(&service, "hello"), CHAT)), 0, "{shown}");
        assert!(service.answers.borrow().is_empty(), "{shown}");
    }
}

#[test]
fn without_a_prompt_nothing_is_asked() {
    let semantic = semantic(json!({}));
    let service = Service::answering([]);
    let silent = json!({"messages": [{"role": "system", "content": "be kind"}]});
    assert_eq!(run(semantic.pick(&mut asking(&service, &silent), CHAT)), 0);
    assert_eq!(run(semantic.pick(&mut saying(&service, "x"), Protocol::Passthrough)), 0);
    let mut alone = saying(&service, "x");
    alone.services = None;
    assert_eq!(run(semantic.pick(&mut alone, CHAT)), 0);
    assert!(service.asked.borrow().is_empty());
}

#[test]
fn one_request_fetches_for_all_that_wait() {
    let (semantic, prompt) = (semantic(json!({"fallback": "poems"})), || vectors(&[&[1.0, 0.0]]));
    let service = Service::answering([references(), prompt(), prompt()]);
    let (mut one, mut other) = (saying(&service, "one"), saying(&service, "other"));
    let both = async { tokio::join!(semantic.pick(&mut one, CHAT), semantic.pick(&mut other, CHAT)) };
    assert_eq!(run(both), (0, 0));
    assert_eq!(service.asked.borrow().len(), 3);
}

#[test]
fn a_failure_is_shared_and_whoever_leaves_is_followed() {
    let semantic = semantic(json!({"fallback": "poems"}));
    let service =
        Service::answering([found(500, &json!({})), references(), references(), vectors(&[&[1.0, 0.0]])]);
    let (mut one, mut other) = (saying(&service, "one"), saying(&service, "other"));
    let both = async { tokio::join!(semantic.pick(&mut one, CHAT), semantic.pick(&mut other, CHAT)) };
    assert_eq!((run(both), service.asked.borrow().len()), ((1, 1), 1));

    let (mut gone, mut stays) = (saying(&service, "one"), saying(&service, "other"));
    let leaving = async {
        let mut picking = Box::pin(semantic.pick(&mut gone, CHAT));
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(picking.as_mut().poll(cx).is_pending()));
        assert!(first.await, "it waits for the vectors");
        drop(picking);
        semantic.pick(&mut stays, CHAT).await
    };
    assert_eq!((run(leaving), service.asked.borrow().len()), (0, 4));
}

#[test]
fn a_long_prompt_is_cut_between_characters() {
    let service = Service::answering([references(), vectors(&[&[1.0, 0.0]])]);
    let text = format!("a{}", "\u{e9}".repeat(MAX_PROMPT));
    run(semantic(json!({})).pick(&mut saying(&service, &text), CHAT));
    let sent = service.inputs().pop().unwrap();
    let sent = sent[0].as_str().unwrap();
    assert!(sent.len() == MAX_PROMPT - 1 && text.starts_with(sent), "{}", sent.len());
}

#[test]
fn the_service_is_asked_as_it_wants_and_its_key_is_not_shown() {
    let service = Service::answering([references(), vectors(&[&[1.0, 0.0]])]);
    let openai = semantic(json!({"debugging": false}));
    let mut exchange = saying(&service, "hello");
    run(openai.pick(&mut exchange, CHAT));
    assert_eq!(told(&exchange), [None, None], "nobody asked for it");
    let (head, body) = service.asked.borrow_mut().pop().unwrap();
    let expected = "POST /v1/embeddings?key=a%20b&v=1 HTTP/1.1\r\nhost: e.test:81\r\nauthorization: Bearer \
                    sk-embed\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n";
    assert_eq!((head.as_str(), body), (expected, json!({"model": "m", "input": ["hello"]})));
    assert!(!format!("{openai:?}").contains("sk-embed"));

    let service = Service::answering([references(), vectors(&[&[1.0, 0.0]])]);
    let azure = json!({"embeddings": {
        "provider": "azure-openai",
        "model": "m",
        "endpoint": "https://a.test/openai/deployments/d/embeddings?api-version=1",
        "auth": {"header": {"api-key": "k"}},
    }});
    run(semantic(azure).pick(&mut saying(&service, "hello"), CHAT));
    let (head, body) = service.asked.borrow_mut().pop().unwrap();
    assert!(head.starts_with("POST /openai/deployments/d/embeddings?api-version=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, json!({"input": ["hello"]}));
}

#[test]
fn what_cannot_be_used_is_told() {
    let embeddings = |more: Value| {
        let mut conf = json!({"provider": "openai", "model": "m", "auth": {}});
        conf.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"embeddings": conf})
    };
    let cases = [
        (json!({"fallback": "prose"}), "`semantic_opts.fallback` names unknown instance 'prose'"),
        (embeddings(json!({"endpoint": "e.test"})), "invalid `semantic_opts.embeddings.endpoint`"),
        (
            embeddings(json!({"auth": {"header": {"a b": "sk-x"}}})),
            "semantic_opts.embeddings.auth.header.a b: this is not a header name",
        ),
        (
            embeddings(json!({"auth": {"header": {"k": "sk-x\n"}}})),
            "semantic_opts.embeddings.auth.header.k: the value has a character that no header may have",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(Semantic::compile(&document(options)).unwrap_err(), expected);
    }
}
