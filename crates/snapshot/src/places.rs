use crate::router::reach_of;

/// Where a route listens: by which hosts and which paths it is found.
#[derive(Debug, Default)]
pub struct Places {
    pub(crate) hosts: Vec<String>,
    pub(crate) patterns: Vec<String>,
}

impl Places {
    /// A route that is found by these.
    pub fn new(hosts: Vec<String>, patterns: Vec<String>) -> Self {
        Self { hosts, patterns }
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
            Places::new(owned(hosts), owned(patterns))
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
