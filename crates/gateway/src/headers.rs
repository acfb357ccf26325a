use a6_codec::event_stream;
use a6_codec::http1::ResponseHead;
use a6_protocols::Conversion;
use a6_snapshot::{Instance, Request};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER,
    SERVER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, StatusCode};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Whether a header speaks of one connection only and never passes (RFC 9110 §7.6.1).
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    // Made once: names are compared for every header of every request.
    static NAMES: [HeaderName; 10] = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        EXPECT,
    ];
    NAMES.contains(name)
}

/// Whether a client's header goes to an AI provider. The gateway writes some itself; a cookie is for this host alone.
fn goes_to_provider(name: &HeaderName, instance: &Instance) -> bool {
    static WRITTEN_HERE: [HeaderName; 8] = [
        HOST,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        ACCEPT_ENCODING,
        COOKIE,
        X_FORWARDED_PROTO,
        X_FORWARDED_HOST,
        X_FORWARDED_PORT,
    ];
    let stays = WRITTEN_HERE.contains(name)
        || is_hop_by_hop(name)
        || (instance.has_credentials && *name == AUTHORIZATION)
        || instance.head_names.contains(name);
    !stays
}

/// Appends a client's headers to a request head for a provider, and where the client was asking.
pub(crate) fn write_client_headers(
    head: &mut Vec<u8>,
    request: &Request,
    instance: &Instance,
    conversion: Option<Conversion>,
) {
    let named_by_connection = connection_tokens(&request.headers);
    let passes = |name: &HeaderName| {
        let stays = request.credentials.headers.contains(name)
            || named_by_connection.iter().any(|named| named == name.as_str());
        !stays && goes_to_provider(name, instance)
    };
    let passing = request.headers.iter().filter(|(name, _)| passes(name));
    match conversion {
        None => passing.for_each(|(name, value)| write(head, name, value.as_bytes())),
        Some(conversion) => {
            let mut headers = HeaderMap::with_capacity(request.headers.len() + 1);
            for (name, value) in passing {
                headers.append(name.clone(), value.clone());
            }
            conversion.headers(&mut headers);
            // What it put where the other protocol looks for it may stand in the configuration, too.
            let passing = headers.iter().filter(|(name, _)| goes_to_provider(name, instance));
            passing.for_each(|(name, value)| write(head, name, value.as_bytes()));
        }
    }
    write(head, &X_FORWARDED_PROTO, request.client.scheme.as_bytes());
    if let Some(authority) = request.authority() {
        write(head, &X_FORWARDED_HOST, authority.as_bytes());
    }
    write(head, &X_FORWARDED_PORT, request.client.local.port().to_string().as_bytes());
}

/// Appends a header line.
pub(crate) fn write(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// The headers that `connection` names, in lower case; they speak of this connection too. Its own words are left out.
pub(crate) fn connection_tokens(headers: &HeaderMap) -> Vec<String> {
    let own = |token: &&str| {
        ["", "close", "keep-alive", "te", "upgrade"].iter().any(|word| token.eq_ignore_ascii_case(word))
    };
    let tokens = words(headers).filter(|token| !own(token));
    tokens.map(str::to_ascii_lowercase).collect()
}

/// Whether `connection` says that the sender asks for another protocol.
pub(crate) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE) && words(headers).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

fn words(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).map(str::trim)
}

/// Whether an answer is a stream of events: it says so, or it says nothing and the client asked for one.
pub(crate) fn is_event_stream(headers: &HeaderMap, status: StatusCode, asked: bool) -> bool {
    const NAME: &[u8] = b"text/event-stream";
    match headers.get(CONTENT_TYPE) {
        Some(value) => value.as_bytes().windows(NAME.len()).any(|window| window.eq_ignore_ascii_case(NAME)),
        None => asked && status.is_success(),
    }
}

/// How a provider's stream is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Server-sent events.
    Events,
    /// An AWS event stream.
    Frames,
}

/// How a provider's answer is streamed, if it is.
pub(crate) fn stream_kind(headers: &HeaderMap, status: StatusCode, asked: bool) -> Option<StreamKind> {
    const FRAMES: &[u8] = event_stream::MEDIA_TYPE.as_bytes();
    let names_frames = headers.get(CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().get(..FRAMES.len()).is_some_and(|start| start.eq_ignore_ascii_case(FRAMES))
    });
    if names_frames {
        return Some(StreamKind::Frames);
    }
    is_event_stream(headers, status, asked).then_some(StreamKind::Events)
}

/// Whether a provider's answer is one JSON text: it says so, or it says nothing.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii().to_ascii_lowercase();
        essence.ends_with(b"/json") || essence.ends_with(b"+json")
    })
}

/// Whether a header of a provider's answer reaches the client: what describes the body, what identifies the request at
/// the provider, and what tells when to come back. Anything else may tell of the provider's account.
pub(crate) fn reaches_client(name: &HeaderName) -> bool {
    static NAMES: [HeaderName; 5] =
        [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_DISPOSITION, CONTENT_RANGE, RETRY_AFTER];
    if NAMES.contains(name) {
        return true;
    }
    let name = name.as_str();
    matches!(
        name,
        "retry-after-ms"
            | "x-should-retry"
            | "openai-processing-ms"
            | "openai-version"
            | "x-amzn-requestid"
            | "x-amzn-errortype"
    ) || name.ends_with("request-id")
        || name.contains("ratelimit-")
}

/// Whether a header of an ordinary upstream's answer is looked at. `connection` is, since it names others.
pub(crate) fn is_of_answer(name: &HeaderName) -> bool {
    *name == CONNECTION || *name == TRAILER || !(is_hop_by_hop(name) || *name == SERVER)
}

/// The same where the upstream may change the protocol: it says to which.
pub(crate) fn is_of_upgrade(name: &HeaderName) -> bool {
    *name == UPGRADE || is_of_answer(name)
}

/// Takes out what an ordinary upstream's answer says of its own connection, but for a change of the protocol.
pub(crate) fn clean_answer(head: &mut ResponseHead) {
    if !head.headers.contains_key(CONNECTION) {
        return;
    }
    for name in connection_tokens(&head.headers) {
        head.headers.remove(name.as_str());
    }
    head.headers.remove(CONNECTION);
}

/// Whether a field behind an answer's body passes. What frames, routes or authenticates a message may not stand there
/// (RFC 9110 §6.5.1).
pub(crate) fn is_trailer(name: &HeaderName) -> bool {
    let never = [
        AUTHORIZATION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        COOKIE,
        HOST,
        SERVER,
        SET_COOKIE,
    ];
    !never.contains(name) && !is_hop_by_hop(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_useful_answer_headers_reach_the_client() {
        let passes = |name: &'static str| reaches_client(&HeaderName::from_static(name));
        for name in [
            "content-type",
            "x-request-id",
            "request-id",
            "apim-request-id",
            "x-ratelimit-remaining-tokens",
            "anthropic-ratelimit-requests-reset",
            "retry-after",
        ] {
            assert!(passes(name), "{name}");
        }
        for name in ["set-cookie", "openai-organization", "server", "connection", "content-length", "cf-ray"]
        {
            assert!(!passes(name), "{name}");
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn an_answer_says_how_it_is_streamed() {
        let kind = |content_type, asked| {
            stream_kind(&headers(&[("content-type", content_type)]), StatusCode::OK, asked)
        };
        assert_eq!(kind("text/event-stream; charset=utf-8", false), Some(StreamKind::Events));
        assert_eq!(kind("Application/vnd.amazon.eventstream", false), Some(StreamKind::Frames));
        assert_eq!(kind("application/json", true), None);
        assert_eq!(stream_kind(&headers(&[]), StatusCode::OK, true), Some(StreamKind::Events));
        assert_eq!(stream_kind(&headers(&[]), StatusCode::BAD_REQUEST, true), None);
    }

    #[test]
    fn what_connection_names_is_found() {
        let found =
            connection_tokens(&headers(&[("connection", "Keep-Alive, X-Hop"), ("connection", ", x-b ")]));
        assert_eq!(found, ["x-hop", "x-b"]);
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")], true),
            (&[("connection", "upgrade")], false),
            (&[("upgrade", "websocket")], false),
        ];
        for (lines, expected) in cases {
            assert_eq!(asks_for_upgrade(&headers(lines)), *expected, "{lines:?}");
        }
    }

    #[test]
    fn an_answer_loses_what_speaks_of_its_connection() {
        let lines = [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("content-length", "3"),
            ("set-cookie", "a=b"),
            ("x-a", "1"),
        ];
        let mut head = ResponseHead {
            status: StatusCode::OK,
            reason: None,
            headers: headers(&lines),
            framing: a6_codec::http1::Framing::Length(3),
            reusable: true,
        };
        clean_answer(&mut head);
        let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "set-cookie", "x-a"]);
        for (name, passes) in [("server", false), ("keep-alive", false), ("upgrade", false), ("date", true)] {
            assert_eq!(is_of_answer(&HeaderName::from_static(name)), passes, "{name}");
        }
        assert!(is_of_upgrade(&UPGRADE) && is_trailer(&HeaderName::from_static("grpc-status")));
        assert!(!is_trailer(&CONTENT_LENGTH) && !is_trailer(&TRANSFER_ENCODING));
    }
}
