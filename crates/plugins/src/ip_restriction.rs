//! `ip-restriction`: lets some client addresses through, or refuses some.

use std::net::IpAddr;

use a6_resources::PluginSpec;
use a6_snapshot::{Exchange, Phases, Plugin, Site, Stop};
use http::StatusCode;
use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};

use crate::support::limit::{items, text};
use crate::support::shared::Shared;

/// APISIX's name.
pub(crate) const NAME: &str = "ip-restriction";

const DEFAULT_MESSAGE: &str = "Your IP address is not allowed";

/// A compiled configuration.
#[derive(Debug)]
pub struct IpRestriction {
    networks: Vec<IpNet>,
    /// Whether these networks alone may pass, or all others.
    admits_listed: bool,
    status: StatusCode,
    message: Box<str>,
}

impl IpRestriction {
    /// Compiles a configuration that the schema accepted.
    pub(crate) fn compile(conf: &Value, _site: &Site<'_>, _shared: &Shared) -> Result<Self, String> {
        let admits_listed = conf.get("whitelist").is_some();
        let list = items(conf, if admits_listed { "whitelist" } else { "blacklist" });
        let code = conf.get("response_code").and_then(Value::as_f64).unwrap_or(403.0);
        Ok(Self {
            networks: list.iter().filter_map(Value::as_str).map(network).collect::<Result<_, _>>()?,
            admits_listed,
            status: StatusCode::from_u16(code as u16)
                .map_err(|_| format!("response_code: expected 403 or 404, found {code}"))?,
            message: text(conf, "message").unwrap_or(DEFAULT_MESSAGE).into(),
        })
    }

    fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.networks.iter().any(|network| network.contains(&client)) == self.admits_listed
    }
}

/// An address or a network. One of IPv4 addresses written as IPv6 means the IPv4 addresses: that is how clients are seen.
fn network(written: &str) -> Result<IpNet, String> {
    let parsed = match written.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => written.parse().ok(),
    };
    let network = parsed.ok_or_else(|| format!("invalid ip address: {written}"))?;
    Ok(match network {
        IpNet::V6(v6) => {
            let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
            mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
        }
        IpNet::V4(_) => network,
    })
}

impl Plugin for IpRestriction {
    fn phases(&self) -> Phases {
        Phases { access: true, ..Phases::default() }
    }

    async fn access(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.admits(exchange.request.client.peer.ip()) {
            return Ok(());
        }
        Err(Stop::message(self.status, &self.message))
    }
}

/// Its row in the table of plugins.
pub(crate) fn spec(priority: i32) -> PluginSpec {
    PluginSpec::new(NAME, priority, "0.1", schema)
}

fn schema() -> Value {
    let byte = "([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
    let v4_network = format!(r"^{byte}\.{byte}\.{byte}\.{byte}/([12]?[0-9]|3[0-2])$");
    let group = "[a-fA-F0-9]{0,4}";
    let v6_network = format!("^({group}:){{1,8}}(:{group}){{0,8}}({group})?/[0-9]{{1,3}}$");
    let list = json!({
        "type": "array",
        "minItems": 1,
        "items": {
            "anyOf": [
                {"type": "string", "format": "ipv4"},
                {"type": "string", "pattern": v4_network},
                {"type": "string", "format": "ipv6"},
                {"type": "string", "pattern": v6_network},
            ],
        },
    });
    json!({
        "type": "object",
        "properties": {
            "whitelist": list,
            "blacklist": list,
            "message": {"type": "string", "minLength": 1, "maxLength": 1024, "default": DEFAULT_MESSAGE},
            "response_code": {"type": "integer", "minimum": 403, "maximum": 404, "default": 403},
        },
        "oneOf": [{"required": ["whitelist"]}, {"required": ["blacklist"]}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_tests::refusal;
    use crate::support::testing;
    use a6_resources::{Catalogue, ConfKind};

    fn compile(conf: &Value) -> IpRestriction {
        IpRestriction::compile(conf, &testing::site(), &testing::shared()).unwrap()
    }

    #[test]
    fn a_client_passes_if_the_whitelist_has_it_or_the_blacklist_has_it_not() {
        let cases = [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.1/8", "127.9.9.9", true),
            ("10.0.0.0/8", "127.0.0.1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::1", "::1", true),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("fe80::/32", "fe80::1:2", true),
            ("fe80::/32", "fe81::1", false),
            ("::/0", "::1", true),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
        ];
        for (listed, client, is_listed) in cases {
            let client: IpAddr = client.parse().unwrap();
            let white = compile(&json!({"whitelist": ["192.0.2.1", listed]}));
            let black = compile(&json!({"blacklist": ["192.0.2.1", listed]}));
            assert_eq!((white.admits(client), black.admits(client)), (is_listed, !is_listed), "{listed}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_configured() {
        let cases = [
            (json!({"whitelist": ["127.0.0.0/8"]}), None),
            (json!({"blacklist": ["127.0.0.1"]}), Some((403, DEFAULT_MESSAGE))),
            (json!({"whitelist": ["10.0.0.1"], "response_code": 404, "message": "no"}), Some((404, "no"))),
        ];
        for (conf, expected) in cases {
            let mut exchange = testing::exchange("GET", "/t", &[], "");
            let refused = testing::run(compile(&conf).access(&mut exchange)).err().map(refusal);
            let found = refused.as_ref().map(|refused| (refused.status, refused.message.as_str()));
            assert_eq!(found, expected, "{conf}");
        }
    }

    #[test]
    fn unusable_configurations_are_refused_by_name() {
        let cases = [
            (json!({}), "value should match only one schema, but matches none"),
            (
                json!({"whitelist": ["::1"], "blacklist": ["::1"]}),
                "value should match only one schema, but matches both schemas 1 and 2",
            ),
            (
                json!({"whitelist": ["127.0.0.1"], "response_code": 500}),
                "property \"response_code\" validation failed: expected 500 to be at most 404",
            ),
            (
                json!({"whitelist": ["localhost"]}),
                "property \"whitelist\" validation failed: failed to validate item 1: object matches none of the \
                 required",
            ),
            (json!({"blacklist": ["::1/129"]}), "invalid ip address: ::1/129"),
        ];
        let builtins = crate::Builtins::default();
        for (conf, expected) in cases {
            assert_eq!(builtins.check(NAME, &conf, ConfKind::Route).unwrap_err(), expected, "{conf}");
        }
    }
}
