use a6_codec::http1::ResponseHead;
use a6_snapshot::{Instance, Request};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Whether a header speaks of one connection only and never passes (RFC 9110 §7.6.1).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [
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
    ]
    .contains(name)
}

/// Whether a client's header goes to an AI provider. The gateway writes some itself; a cookie is for this host alone.
fn goes_to_provider(name: &HeaderName, instance: &Instance) -> bool {
    let written_here = [
        HOST,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        ACCEPT_ENCODING,
        COOKIE,
        X_FORWARDED_PROTO,
        X_FORWARDED_HOST,
        X_FORWARDED_PORT,
    ];
    let stays = written_here.contains(name)
        || is_hop_by_hop(name)
        || (instance.has_credentials && *name == AUTHORIZATION)
        || instance.head_names.contains(name);
    !stays
}

/// Appends a client's headers to a request head for a provider, and where the client was asking.
pub(crate) fn write_client_headers(head: &mut Vec<u8>, request: &Request, instance: &Instance) {
    let named_by_connection = connection_tokens(&request.headers);
    for (name, value) in &request.headers {
        if goes_to_provider(name, instance) && !named_by_connection.iter().any(|named| named == name.as_str())
        {
            write(head, name, value.as_bytes());
        }
    }
    write(head, &X_FORWARDED_PROTO, request.client.scheme.as_bytes());
    if let Some(authority) = request.authority() {
        write(head, &X_FORWARDED_HOST, authority.as_bytes());
    }
    write(head, &X_FORWARDED_PORT, request.client.local.port().to_string().as_bytes());
}

fn write(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// The headers that `connection` names, in lower case; they speak of this connection too.
fn connection_tokens(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).map(|token| token.trim().to_ascii_lowercase()).collect()
}

/// Whether an answer is a stream of events: it says so, or it says nothing and the client asked for one.
pub(crate) fn is_event_stream(head: &ResponseHead, asked: bool) -> bool {
    const NAME: &[u8] = b"text/event-stream";
    match head.headers.get(CONTENT_TYPE) {
        Some(value) => value.as_bytes().windows(NAME.len()).any(|window| window.eq_ignore_ascii_case(NAME)),
        None => asked && head.status.is_success(),
    }
}

/// Whether a header of a provider's answer reaches the client: what describes the body, what identifies the request at
/// the provider, and what tells when to come back. Anything else may tell of the provider's account.
pub(crate) fn reaches_client(name: &HeaderName) -> bool {
    if [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_DISPOSITION, RETRY_AFTER].contains(name) {
        return true;
    }
    let name = name.as_str();
    matches!(
        name,
        "retry-after-ms" | "x-should-retry" | "openai-processing-ms" | "openai-version" | "x-amzn-requestid"
    ) || name.ends_with("request-id")
        || name.contains("ratelimit-")
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
}
