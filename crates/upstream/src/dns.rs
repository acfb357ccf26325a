use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;

const HOSTS: &str = "/etc/hosts";
/// An entry of the hosts file is good for this time.
const HOSTS_TTL: Duration = Duration::from_secs(5);
/// Name servers that want to be asked for every request are not.
const LEAST_TTL: Duration = Duration::from_secs(1);

/// The system's hosts file and name servers (`/etc/resolv.conf`, read once).
#[derive(Debug)]
pub(crate) struct Dns {
    resolver: TokioResolver,
}

/// What a name stands for.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) until: Instant,
}

/// Why there is nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The name servers say that the name has no address.
    NoSuchName(String),
    /// They do not say.
    NoAnswer(String),
}

impl Trouble {
    /// The cause.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::NoSuchName(text) | Self::NoAnswer(text) => text,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName(text) | Self::NoAnswer(text) => f.write_str(text),
        }
    }
}

impl Dns {
    /// Reads the system's configuration. Call it within the runtime that will look names up.
    pub(crate) fn of_the_system() -> Result<Self, String> {
        let (config, mut options) = read_system_conf().unwrap_or_else(|error| {
            tracing::warn!(%error, "/etc/resolv.conf names no name server; only /etc/hosts is asked");
            (ResolverConfig::from_parts(None, Vec::new(), Vec::new()), ResolverOpts::default())
        });
        // IPv6 where there is no IPv4: whoever has both is reached without waiting for the second answer.
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build();
        let resolver = resolver.map_err(|error| format!("the resolver could not start: {error}"))?;
        Ok(Self { resolver })
    }

    /// Looks a name up.
    pub(crate) async fn look_up(&self, host: &str) -> Result<Found, Trouble> {
        // A small file on this machine, read in the thread that does nothing else.
        let hosts = std::fs::read_to_string(HOSTS).unwrap_or_default();
        let addresses = in_hosts(&hosts, host);
        if !addresses.is_empty() {
            return Ok(Found { addresses, until: Instant::now() + HOSTS_TTL });
        }
        let answer = self.resolver.lookup_ip(host).await.map_err(|error| {
            if error.is_no_records_found() {
                Trouble::NoSuchName("the name has no address".to_string())
            } else {
                Trouble::NoAnswer(error.to_string())
            }
        })?;
        let addresses: Vec<_> = answer.iter().collect();
        if addresses.is_empty() {
            return Err(Trouble::NoSuchName("the name has no address".to_string()));
        }
        Ok(Found { addresses, until: answer.valid_until().max(Instant::now() + LEAST_TTL) })
    }
}

/// What a hosts file says of a name; case does not count.
fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut addresses = Vec::new();
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        // A scope such as `%eth0` means nothing to us.
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|name| name.eq_ignore_ascii_case(host)) {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_is_read_as_the_system_reads_it() {
        let hosts = "127.0.0.1\tlocalhost\n::1 localhost ip6-localhost # loopback\n# 9.9.9.9 api\nfe80::1%lo0 api\n\
                     10.0.0.5  API.internal api\n10.0.0.6 api#2\nnonsense api\n";
        let cases: &[(&str, &[&str])] = &[
            ("localhost", &["127.0.0.1", "::1"]),
            ("api.Internal", &["10.0.0.5"]),
            ("api.internal.", &["10.0.0.5"]),
            ("api", &["10.0.0.5", "10.0.0.6"]),
            ("loopback", &[]),
            ("internal", &[]),
        ];
        for (host, expected) in cases {
            let expected: Vec<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(in_hosts(hosts, host), expected, "{host}");
        }
    }
}
