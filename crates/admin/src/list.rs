use a6_resources::{Entry, Kind, credential_id, id_text};
use http::StatusCode;
use regex::Regex;
use serde_json::Value;

use crate::answer::{Answer, Envelope};
use crate::query::Query;
use crate::view::State;

/// The entries of a kind, or those of one owner, that pass the query's filters; a page of them where it asks for one.
/// An owner who has none is as unknown as one who does not exist.
pub(crate) fn list(kind: Kind, owner: Option<&str>, state: &State, query: &Query) -> Answer {
    let filter = Filter::of(kind, query);
    let below = owner.map(|owner| credential_id(owner, "")).unwrap_or_default();
    let mut entries: Vec<&Entry> = state.below(kind, &below).collect();
    if owner.is_some() && entries.is_empty() {
        return Answer::missing();
    }
    entries.retain(|entry| filter.passes(&entry.value));
    let total = entries.len();
    if let (Some(page), Some(size)) = (query.number("page"), query.number("page_size")) {
        if !(10.0..=500.0).contains(&size) {
            return Answer::text(StatusCode::BAD_REQUEST, "page_size must be between 10 and 500");
        }
        let (page, size) = (page.max(1.0) as usize, size as usize);
        entries.sort_by_key(|entry| entry.created);
        entries = entries.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
    }
    let list: Vec<Envelope<'_>> = entries.into_iter().map(|entry| Envelope::of(entry, state)).collect();
    Answer::json(StatusCode::OK, &Listing { total, list })
}

#[derive(serde::Serialize)]
struct Listing<'a> {
    total: usize,
    list: Vec<Envelope<'a>>,
}

/// What a query asks for; every part must hold.
struct Filter {
    name: Option<Pattern>,
    label: Option<String>,
    uri: Option<Pattern>,
    /// Members and the values that they must have.
    references: Vec<(String, String)>,
}

impl Filter {
    fn of(kind: Kind, query: &Query) -> Self {
        // APISIX reads `filter`, a query string of its own, for routes only.
        let filter = query.get("filter").filter(|_| kind == Kind::Route);
        let filter = Query::parse(filter);
        let references = ["service_id", "upstream_id"]
            .into_iter()
            .filter_map(|name| filter.get(name).map(|value| (name.to_string(), value.to_string())))
            .collect();
        Self {
            // An empty one is found in whatever has no name, too.
            name: query.get("name").filter(|pattern| !pattern.is_empty()).map(Pattern::of),
            label: query.get("label").map(str::to_string),
            uri: query.get("uri").map(Pattern::of),
            references,
        }
    }

    fn passes(&self, value: &Value) -> bool {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let name = |pattern: &Pattern| text("name").is_some_and(|name| pattern.finds(name));
        let label = |label: &String| value.get("labels").is_some_and(|labels| labels.get(label).is_some());
        let uri = |pattern: &Pattern| {
            let several =
                value.get("uris").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            text("uri").into_iter().chain(several).any(|uri| pattern.finds(uri))
        };
        let refers = |(name, id): &(String, String)| value.get(name).and_then(id_text).as_ref() == Some(id);
        self.name.as_ref().is_none_or(name)
            && self.label.as_ref().is_none_or(label)
            && self.uri.as_ref().is_none_or(uri)
            && self.references.iter().all(refers)
    }
}

/// A regular expression that is searched for; an invalid one finds nothing.
struct Pattern(Option<Regex>);

impl Pattern {
    fn of(text: &str) -> Self {
        Self(Regex::new(text).ok())
    }

    fn finds(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::View;
    use serde_json::json;
    use std::sync::Arc;

    fn ids(query: &str) -> (u64, Vec<String>) {
        let entry = |id: &str, created: u64, value: Value| Entry {
            kind: Kind::Route,
            id: id.to_string(),
            value: Arc::new(value),
            created,
            modified: created,
        };
        let mut entries = vec![
            entry("a", 30, json!({"uri": "/one", "name": "alpha", "labels": {"team": "x"}, "service_id": 7})),
            entry(
                "b",
                20,
                json!({"uris": ["/two", "/one/deep"], "name": "beta", "service_id": "7", "upstream_id": "u"}),
            ),
            entry("c", 10, json!({"uri": "/three", "labels": {"team": "y", "env": "p"}})),
        ];
        entries.extend((0..20).map(|n| entry(&format!("d{n:02}"), 100 - n, json!({"uri": "/many"}))));
        let view = View::new(1, entries, None);
        let answer = list(Kind::Route, None, &view.read(), &Query::parse(Some(query)));
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let ids = body["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["key"].as_str().unwrap().replace("/apisix/routes/", ""));
        (body["total"].as_u64().unwrap(), ids.collect())
    }

    #[test]
    fn filters() {
        let cases: [(&str, &[&str]); 14] = [
            ("name=alph", &["a"]),
            ("name=&label=env", &["c"]),
            ("name=%5Eb", &["b"]),
            ("name=%28", &[]),
            ("label=team", &["a", "c"]),
            ("label=team:x", &[]),
            ("uri=one", &["a", "b"]),
            ("uri=%5E/one%24", &["a"]),
            ("uri=one&name=beta", &["b"]),
            ("filter=service_id%3D7", &["a", "b"]),
            ("filter=service_id%3D7%26upstream_id%3Du", &["b"]),
            ("filter=service_id%3D8", &[]),
            ("filter=unknown%3D8&label=env", &["c"]),
            ("page=2&uri=three", &["c"]),
        ];
        for (query, expected) in cases {
            let (total, ids) = ids(query);
            assert_eq!(ids, expected, "{query}");
            assert_eq!(total, expected.len() as u64, "{query}");
        }
    }

    #[test]
    fn pages_are_in_the_order_of_creation() {
        let (total, first) = ids("page=1&page_size=10.5");
        assert_eq!(
            (total, first.len(), &first[..4]),
            (23, 10, &["c", "b", "a", "d19"].map(str::to_string)[..])
        );
        assert_eq!(ids("page=0&page_size=10").1, first);
        assert_eq!(ids("page=3&page_size=10").1, ["d02", "d01", "d00"]);
        assert_eq!(ids("page=9&page_size=10"), (23, vec![]));
        assert_eq!(ids("page=x&page_size=10").1.len(), 23);
    }

    #[test]
    fn page_sizes_have_bounds() {
        let view = View::new(0, Vec::new(), None);
        for size in ["9", "501", "-1"] {
            let query = format!("page=1&page_size={size}");
            let answer = list(Kind::Route, None, &view.read(), &Query::parse(Some(&query)));
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{size}");
            assert_eq!(answer.body, "page_size must be between 10 and 500", "{size}");
        }
    }
}
