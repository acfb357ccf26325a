use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version of Anthropic's API that these conversions speak.
const SPOKEN: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Takes the headers of one vendor and its SDK out.
fn remove(headers: &mut HeaderMap, prefixes: &[&str]) {
    let is_one = |name: &&HeaderName| prefixes.iter().any(|prefix| name.as_str().starts_with(prefix));
    let names: Vec<HeaderName> = headers.keys().filter(is_one).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// From a client of Anthropic's to a provider that speaks OpenAI's protocol: the key moves.
pub(super) fn messages_to_chat(headers: &mut HeaderMap) {
    let key = headers.remove(API_KEY).filter(|key| !key.is_empty());
    if let Some(key) = key.filter(|_| !headers.contains_key(AUTHORIZATION)) {
        let bearer = [b"Bearer ", key.as_bytes()].concat();
        if let Ok(mut value) = HeaderValue::from_bytes(&bearer) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    remove(headers, &["anthropic-", "x-stainless-"]);
}

/// From a client of OpenAI's to Anthropic: the key moves, and the version is said.
pub(super) fn chat_to_messages(headers: &mut HeaderMap) {
    if let Some(value) = headers.remove(AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(7).unwrap_or_default();
        let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
        let key = is_bearer.then(|| HeaderValue::from_bytes(key.trim_ascii()).ok()).flatten();
        if let Some(mut key) = key.filter(|_| !headers.contains_key(API_KEY)) {
            key.set_sensitive(true);
            headers.insert(API_KEY, key);
        }
    }
    remove(headers, &["openai-", "x-stainless-"]);
    headers.entry(VERSION).or_insert(SPOKEN);
}

/// From a client of OpenAI's to a provider of another kind.
pub(super) fn from_openai(headers: &mut HeaderMap) {
    remove(headers, &["openai-", "x-stainless-"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn keys_move_and_vendors_headers_go() {
        let mut sent =
            headers(&[("x-api-key", "k"), ("anthropic-beta", "b"), ("x-stainless-os", "o"), ("x", "y")]);
        messages_to_chat(&mut sent);
        assert_eq!(sent, headers(&[("authorization", "Bearer k"), ("x", "y")]));

        let mut own = headers(&[("x-api-key", "k"), ("authorization", "Bearer own")]);
        messages_to_chat(&mut own);
        assert_eq!(own, headers(&[("authorization", "Bearer own")]));

        let mut back = headers(&[("authorization", "Bearer k"), ("openai-organization", "o")]);
        chat_to_messages(&mut back);
        assert_eq!(back, headers(&[("x-api-key", "k"), ("anthropic-version", "2023-06-01")]));

        for (authorization, key) in [("bearer  k", Some("k")), ("Basic k", None), ("Bear", None)] {
            let mut sent = headers(&[("authorization", authorization)]);
            chat_to_messages(&mut sent);
            assert_eq!(
                sent.get(API_KEY).map(HeaderValue::as_bytes),
                key.map(str::as_bytes),
                "{authorization}"
            );
        }

        let mut newer = headers(&[("anthropic-version", "2030-01-01")]);
        chat_to_messages(&mut newer);
        assert_eq!(newer, headers(&[("anthropic-version", "2030-01-01")]));
    }
}
