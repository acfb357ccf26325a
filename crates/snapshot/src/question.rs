use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use a6_core::Budget;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use crate::{BodyLimits, Client, Exchange, Record, Request, RequestBody};

/// What the gateway would do with a request is asked by describing it.
pub struct Question {
    /// The request that is described.
    pub(crate) exchange: Exchange,
    /// Whose it would be.
    pub(crate) consumer: Option<String>,
}

const MEMBERS: [&str; 7] = ["method", "host", "path", "headers", "body", "consumer", "remote_addr"];

impl Question {
    /// Reads `{"method", "host", "path", "headers": [[name, value]], "body", "consumer", "remote_addr"}`; all but `path`
    /// may be absent. `path` may have a query, `body` is text or JSON.
    ///
    /// # Errors
    /// A member is wrong; the text names it.
    pub fn read(question: &Value) -> Result<Self, String> {
        let members = question.as_object().ok_or("the question is no JSON object")?;
        if let Some(unknown) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(format!("{unknown}: there is no such member; known are {}", MEMBERS.join(", ")));
        }
        let path = text(members, "path")?.ok_or("path: it is missing; give the path, with a query if any")?;
        if !path.starts_with('/') {
            return Err("path: it must begin with /".to_string());
        }
        let method = text(members, "method")?.unwrap_or("GET");
        let method: Method = method.parse().map_err(|_| format!("method: {method:?} is none"))?;
        let mut request = http::Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers(members.get("headers"))? {
            request = request.header(name, value);
        }
        if let Some(host) = text(members, "host")? {
            let host = HeaderValue::from_str(host).map_err(|_| "host: no header can hold it")?;
            request = request.header(http::header::HOST, host);
        }
        let request = request.body(()).map_err(|error| format!("path: {error}"))?;
        let peer = match text(members, "remote_addr")? {
            Some(address) => {
                address.parse().map_err(|_| format!("remote_addr: {address:?} is no IP address"))?
            }
            None => IpAddr::from([127, 0, 0, 1]),
        };
        let client =
            Client { peer: SocketAddr::new(peer, 0), local: SocketAddr::new(peer, 0), scheme: "http" };
        let (request, is_sound) = Request::new(request.into_parts().0, Rc::new(client));
        if !is_sound {
            return Err(
                "path: it leaves the root or is not UTF-8 when decoded; the gateway answers 400".to_string()
            );
        }
        let exchange = Exchange::new(request, body(members.get("body")), Record::begin(method, 0));
        Ok(Self { exchange, consumer: text(members, "consumer")?.map(str::to_string) })
    }
}

fn text<'v>(members: &'v Map<String, Value>, name: &str) -> Result<Option<&'v str>, String> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name}: it must be text")),
    }
}

fn headers(value: Option<&Value>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let wrong = || "headers: write a list of pairs, such as [[\"X-Canary\", \"1\"]]".to_string();
    let Some(value) = value else { return Ok(Vec::new()) };
    let pairs = value.as_array().ok_or_else(wrong)?.iter().map(|pair| {
        let pair = pair.as_array().filter(|pair| pair.len() == 2).ok_or_else(wrong)?;
        let (name, value) = (pair[0].as_str().ok_or_else(wrong)?, pair[1].as_str().ok_or_else(wrong)?);
        let name: HeaderName = name.parse().map_err(|_| format!("headers: {name:?} is no header's name"))?;
        let value =
            HeaderValue::from_str(value).map_err(|_| format!("headers: no header can hold {value:?}"))?;
        Ok((name, value))
    });
    pairs.collect()
}

fn body(value: Option<&Value>) -> RequestBody {
    let bytes = match value {
        None => Bytes::new(),
        Some(Value::String(text)) => Bytes::from(text.clone()),
        Some(other) => Bytes::from(other.to_string()),
    };
    let limits = BodyLimits { budget: Budget::new(u64::MAX), timeout: Duration::ZERO, max: u64::MAX };
    let mut body = RequestBody::of(bytes, limits);
    body.scan_now();
    body
}
