use std::cmp::Reverse;
use std::sync::Arc;

use crate::radix::{Radix, Reach};
use crate::route::Match;

/// Finds the route of a request: hosts from the most specific to none, then paths from the exact one to the shortest
/// prefix, then priority, the longer pattern, and age. (APISIX's `radixtree_host_uri`.)
#[derive(Debug)]
pub struct Router<R> {
    hosts: Radix<Paths<R>>,
    any_host: Paths<R>,
}

type Paths<R> = Radix<Vec<Candidate<R>>>;

/// A route at one of its places in the tree.
#[derive(Debug)]
struct Candidate<R> {
    route: Arc<R>,
    rank: (Reverse<i64>, Reverse<usize>, u64),
    /// For a pattern with `*` in the middle: the literal texts that must follow in order.
    rest: Option<Arc<[Box<str>]>>,
}

/// What the router has to know of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) pattern: &'a str,
    pub(crate) priority: i64,
    pub(crate) age: u64,
}

impl<R> Clone for Candidate<R> {
    fn clone(&self) -> Self {
        Self { route: self.route.clone(), rank: self.rank, rest: self.rest.clone() }
    }
}

impl<R> Clone for Router<R> {
    fn clone(&self) -> Self {
        Self { hosts: self.hosts.clone(), any_host: self.any_host.clone() }
    }
}

impl<R> Default for Router<R> {
    fn default() -> Self {
        Self { hosts: Radix::default(), any_host: Radix::default() }
    }
}

impl<R> Router<R> {
    pub(crate) fn insert(&mut self, place: Place<'_>, route: &Arc<R>) {
        let pattern = Pattern::parse(place.pattern);
        let candidate = Candidate {
            route: route.clone(),
            rank: (Reverse(place.priority), Reverse(place.pattern.len()), place.age),
            rest: pattern.rest.map(Arc::from),
        };
        self.change_paths(place.host, |paths| {
            paths.change(pattern.literal.as_bytes(), pattern.reach, |slot| {
                let list = slot.get_or_insert_default();
                let at = list.partition_point(|other| other.rank <= candidate.rank);
                list.insert(at, candidate);
            });
        });
    }

    pub(crate) fn remove(&mut self, place: Place<'_>, route: &Arc<R>) {
        let pattern = Pattern::parse(place.pattern);
        self.change_paths(place.host, |paths| {
            paths.change(pattern.literal.as_bytes(), pattern.reach, |slot| {
                if let Some(list) = slot {
                    list.retain(|candidate| !Arc::ptr_eq(&candidate.route, route));
                    if list.is_empty() {
                        *slot = None;
                    }
                }
            });
        });
    }

    fn change_paths(&mut self, host: Option<&str>, change: impl FnOnce(&mut Paths<R>)) {
        let Some(host) = host else {
            change(&mut self.any_host);
            return;
        };
        let (suffix, reach) = match host.strip_prefix('*') {
            Some(suffix) => (suffix, Reach::Prefix),
            None => (host, Reach::Exact),
        };
        let key: Vec<u8> = suffix.to_ascii_lowercase().into_bytes().into_iter().rev().collect();
        self.hosts.change(&key, reach, |slot| {
            let paths = slot.get_or_insert_default();
            change(paths);
            if paths.is_empty() {
                *slot = None;
            }
        });
    }

    /// The first candidate that `fits`; or the need for the body, as soon as it decides.
    pub fn find(&self, host: &str, path: &str, mut fits: impl FnMut(&R) -> Match) -> Option<(Arc<R>, Match)> {
        let mut in_paths = |paths: &Paths<R>| {
            paths.visit(path.as_bytes(), |candidates| {
                candidates.iter().filter(|candidate| candidate.follows(path)).find_map(
                    |candidate| match fits(&candidate.route) {
                        Match::No => None,
                        verdict => Some((candidate.route.clone(), verdict)),
                    },
                )
            })
        };
        if !self.hosts.is_empty() {
            // Longer than any DNS name; such a host matches no configured one.
            let mut reversed = [0u8; 256];
            if let Some(key) = reversed.get_mut(..host.len()) {
                for (to, from) in key.iter_mut().zip(host.bytes().rev()) {
                    *to = from.to_ascii_lowercase();
                }
                if let Some(found) = self.hosts.visit(key, &mut in_paths) {
                    return Some(found);
                }
            }
        }
        in_paths(&self.any_host)
    }
}

impl<R> Candidate<R> {
    /// Whether what follows the literal prefix fits a pattern with `*` in the middle.
    fn follows(&self, path: &str) -> bool {
        let Some(rest) = &self.rest else { return true };
        middle_matches(rest, path)
    }
}

/// `parts` are the literals around the stars; a star stands for one or more characters.
fn middle_matches(parts: &[Box<str>], path: &str) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(mut left) = path.strip_prefix(&**first) else { return false };
    for part in middle {
        let from = left.char_indices().nth(1).map_or(left.len(), |(at, _)| at);
        match left[from..].find(&**part) {
            Some(at) => left = &left[from + at + part.len()..],
            None => return false,
        }
    }
    // A star at the very end needs no character.
    left.strip_suffix(&**last).is_some_and(|star| last.is_empty() || !star.is_empty())
}

/// How well a pattern fits a path, the more the better; none if it does not.
pub(crate) fn reach_of(pattern: &str, path: &str) -> Option<usize> {
    let parsed = Pattern::parse(pattern);
    match (parsed.reach, parsed.rest) {
        (Reach::Exact, _) => (parsed.literal == path).then_some(usize::MAX),
        (Reach::Prefix, Some(rest)) => middle_matches(&rest, path).then_some(parsed.literal.len()),
        (Reach::Prefix, None) => path.starts_with(parsed.literal).then_some(parsed.literal.len()),
    }
}

struct Pattern<'a> {
    literal: &'a str,
    reach: Reach,
    rest: Option<Vec<Box<str>>>,
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Self {
        let Some(star) = text.find('*') else {
            return Self { literal: text, reach: Reach::Exact, rest: None };
        };
        // A star that is not a segment of its own hides the text behind it; APISIX ignores that text.
        let is_segment = text[..star].ends_with('/') && text[star + 1..].starts_with('/');
        let rest = is_segment.then(|| text.split('*').map(Box::from).collect());
        Self { literal: &text[..star], reach: Reach::Prefix, rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[(&str, &str, i64)]) -> Router<String> {
        let mut router = Router::default();
        for (age, (host, pattern, priority)) in (0u64..).zip(routes) {
            let host = (!host.is_empty()).then_some(*host);
            let name = format!("{}{pattern}#{priority}", host.unwrap_or_default());
            router.insert(Place { host, pattern, priority: *priority, age }, &Arc::new(name));
        }
        router
    }

    fn order(router: &Router<String>, host: &str, path: &str) -> Vec<String> {
        let mut seen = Vec::new();
        router.find(host, path, |route| {
            seen.push(route.clone());
            Match::No
        });
        seen
    }

    #[test]
    fn hosts_then_paths_then_priority() {
        let router = router(&[
            ("", "/a", 0),
            ("", "/*", 100),
            ("a.foo.com", "/*", 0),
            ("*.foo.com", "/*", 0),
            ("*", "/a", 0),
            ("", "/a", 5),
            ("", "/a*", 0),
        ]);
        assert_eq!(
            order(&router, "A.foo.com", "/a"),
            ["a.foo.com/*#0", "*.foo.com/*#0", "*/a#0", "/a#5", "/a#0", "/a*#0", "/*#100"]
        );
        assert_eq!(order(&router, "foo.com", "/b"), ["/*#100"]);
        assert_eq!(order(&router, "x.y.foo.com", "/b"), ["*.foo.com/*#0", "/*#100"]);
    }

    #[test]
    fn stars_as_apisix_reads_them() {
        let cases = [
            ("/api/*", "/api/", true),
            ("/api/*", "/api/x/y", true),
            ("/api/*", "/api", false),
            ("/api*", "/apix", true),
            ("/*", "/", true),
            ("/a/*/b", "/a/x/b", true),
            ("/a/*/b", "/a/x/y/b", true),
            ("/a/*/b", "/a//b", false),
            ("/a/*/b", "/a/x/c", false),
            ("/a/*/b/*/c", "/a/1/b/2/c", true),
            ("/a/*/b/*/c", "/a/1/b/c", false),
            ("/a/*/b/*", "/a/x/b/", true),
            ("/a/*/b/*", "/a/x/b/c", true),
            ("/a/*/b/*", "/a/x/b", false),
            ("/a/*.json", "/a/x.xml", true),
            ("/a:id", "/a:id", true),
            ("/a:id", "/ab", false),
        ];
        for (pattern, path, expected) in cases {
            let found = router(&[("", pattern, 0)]).find("h", path, |_| Match::Yes);
            assert_eq!(found.is_some(), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_removed_is_gone_and_empties_the_tree() {
        let mut router = Router::default();
        let route = Arc::new("r".to_string());
        let place = Place { host: Some("*.a.com"), pattern: "/x*", priority: 0, age: 0 };
        router.insert(place, &route);
        assert_eq!(order(&router, "b.a.com", "/xy"), ["r"]);
        router.remove(place, &route);
        assert!(order(&router, "b.a.com", "/xy").is_empty() && router.hosts.is_empty());
    }
}
