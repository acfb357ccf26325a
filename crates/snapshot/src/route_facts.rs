use crate::router::reach_of;

/// What is told of a route: one for all of its requests.
#[derive(Clone, Debug, Default)]
pub struct RouteFacts {
    /// Tells it from all other routes of this process, and from earlier states of the same route.
    pub number: u64,
    /// Its id.
    pub id: Box<str>,
    /// Its name.
    pub name: Option<Box<str>>,
    /// Its service's id.
    pub service_id: Option<Box<str>>,
    /// Its service's name.
    pub service_name: Option<Box<str>>,
    /// The hosts by which it is found; empty where every host is.
    pub hosts: Vec<String>,
    /// The paths by which it is found.
    pub patterns: Vec<String>,
}

impl RouteFacts {
    /// Whether requests may be found by different patterns.
    pub fn has_several_patterns(&self) -> bool {
        self.patterns.len() > 1 || self.hosts.len() > 1
    }

    /// The path pattern by which a path was found here: the exact one, else the one with the longest literal beginning.
    /// With `apisix.delete_uri_tail_slash` it may be found without its last slash.
    pub fn pattern(&self, path: &str) -> &str {
        if let [only] = &self.patterns[..] {
            return only;
        }
        let best = |path: &str| {
            let fitting =
                self.patterns.iter().filter_map(|pattern| Some((reach_of(pattern, path)?, pattern)));
            fitting.max_by_key(|(reach, _)| *reach).map(|(_, pattern)| pattern.as_str())
        };
        best(path).or_else(|| best(path.strip_suffix('/')?)).unwrap_or_default()
    }

    /// The host pattern by which a host was found here; empty where every host is.
    pub fn host(&self, host: &str) -> &str {
        if let [only] = &self.hosts[..] {
            return only;
        }
        let reach = |pattern: &str| match pattern.strip_prefix('*') {
            None => pattern.eq_ignore_ascii_case(host).then_some(usize::MAX),
            Some(suffix) => {
                let start = host.len().checked_sub(suffix.len())?;
                host.get(start..)?.eq_ignore_ascii_case(suffix).then_some(suffix.len())
            }
        };
        let fitting = self.hosts.iter().filter_map(|pattern| Some((reach(pattern)?, pattern)));
        fitting.max_by_key(|(reach, _)| *reach).map(|(_, pattern)| pattern.as_str()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_was_found_by() {
        let of = |hosts: &[&str], patterns: &[&str]| {
            let owned = |all: &[&str]| all.iter().map(|text| (*text).to_string()).collect();
            RouteFacts { hosts: owned(hosts), patterns: owned(patterns), ..RouteFacts::default() }
        };
        let several = of(&["*.a.test", "b.a.test", "*"], &["/v1/*", "/*", "/v1/chat", "/a/*/b"]);
        let cases = [
            ("b.a.test", "/v1/chat", "b.a.test", "/v1/chat"),
            ("B.A.test", "/v1/other", "b.a.test", "/v1/*"),
            ("c.a.test", "/a/x/b", "*.a.test", "/a/*/b"),
            ("c.test", "/a/x/c", "*", "/*"),
        ];
        for (host, path, expected_host, expected_pattern) in cases {
            let found = (several.host(host), several.pattern(path));
            assert_eq!(found, (expected_host, expected_pattern), "{host} {path}");
        }
        let one = of(&["m.test"], &["/x"]);
        assert_eq!((one.host("M.TEST"), one.pattern("/x/")), ("m.test", "/x"));
        let none = of(&[], &["/x", "/y"]);
        assert_eq!((none.host("any"), none.pattern("/y/"), none.pattern("/z")), ("", "/y", ""));
    }
}
