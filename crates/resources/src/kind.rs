use std::sync::Arc;

use serde_json::Value;

use crate::split_credential_id;

/// A kind of resource. One table row each, in [`Kind::spec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A route.
    Route,
    /// A service.
    Service,
    /// Plugins that routes share.
    PluginConfig,
    /// One more way to know a consumer.
    Credential,
    /// Who may ask.
    Consumer,
    /// Plugins that consumers share.
    ConsumerGroup,
    /// Plugins for every request.
    GlobalRule,
    /// An upstream.
    Upstream,
    /// What a plugin is told once for all its configurations.
    PluginMetadata,
    /// A certificate and its key.
    Ssl,
    /// A Protocol Buffers definition.
    Proto,
    /// How a secret manager is reached.
    Secret,
}

/// What the Admin API shows of the secrets that a kind has outside of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The secrets as they were written.
    Open,
    /// The sealed texts, which may be written back where they came from.
    Sealed,
    /// The sealed texts in answers to writes, and nothing in answers to reads.
    Absent,
}

/// The names of a kind, and how it is written.
#[derive(Debug)]
pub struct KindSpec {
    /// The kind.
    pub kind: Kind,
    /// The path segment and the key prefix, such as `routes`. Credentials live in that of consumers, and their ids say
    /// whose they are: `consumers/jack/credentials/phone`.
    pub collection: &'static str,
    /// One of them in a path, such as `consumer_group`.
    pub name: &'static str,
    /// Several of them in a path, such as `consumer_groups`; no two kinds have the same.
    pub plural: &'static str,
    /// One of them in messages, such as `consumer group`.
    pub singular: &'static str,
    /// Whether the Admin API makes one with an id of its own choice.
    pub has_post: bool,
    /// Whether the Admin API changes single members.
    pub has_patch: bool,
    /// Dotted paths of members outside of plugins that hold secrets; a list means each of its items.
    pub secrets: &'static [&'static str],
    /// What the Admin API shows of those.
    pub shown: Shown,
}

const SPECS: [KindSpec; 12] = [
    KindSpec {
        kind: Kind::Route,
        collection: "routes",
        name: "route",
        plural: "routes",
        singular: "route",
        has_post: true,
        has_patch: true,
        secrets: &["upstream.tls.client_key"],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::Service,
        collection: "services",
        name: "service",
        plural: "services",
        singular: "service",
        has_post: true,
        has_patch: true,
        secrets: &["upstream.tls.client_key"],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::PluginConfig,
        collection: "plugin_configs",
        name: "plugin_config",
        plural: "plugin_configs",
        singular: "plugin config",
        has_post: false,
        has_patch: true,
        secrets: &[],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::Credential,
        collection: "consumers",
        name: "credential",
        plural: "credentials",
        singular: "credential",
        has_post: false,
        has_patch: false,
        secrets: &[],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::Consumer,
        collection: "consumers",
        name: "consumer",
        plural: "consumers",
        singular: "consumer",
        has_post: false,
        has_patch: false,
        secrets: &[],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::ConsumerGroup,
        collection: "consumer_groups",
        name: "consumer_group",
        plural: "consumer_groups",
        singular: "consumer group",
        has_post: false,
        has_patch: true,
        secrets: &[],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::GlobalRule,
        collection: "global_rules",
        name: "global_rule",
        plural: "global_rules",
        singular: "global rule",
        has_post: false,
        has_patch: true,
        secrets: &[],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::Upstream,
        collection: "upstreams",
        name: "upstream",
        plural: "upstreams",
        singular: "upstream",
        has_post: true,
        has_patch: true,
        secrets: &["tls.client_key"],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::PluginMetadata,
        collection: "plugin_metadata",
        name: "plugin_metadata",
        plural: "plugin_metadatas",
        singular: "plugin_metadata",
        has_post: false,
        has_patch: false,
        secrets: &[],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::Ssl,
        collection: "ssls",
        name: "ssl",
        plural: "ssls",
        singular: "ssl",
        has_post: true,
        has_patch: true,
        secrets: &["key", "keys"],
        shown: Shown::Absent,
    },
    KindSpec {
        kind: Kind::Proto,
        collection: "protos",
        name: "proto",
        plural: "protos",
        singular: "proto",
        has_post: true,
        has_patch: false,
        secrets: &[],
        shown: Shown::Sealed,
    },
    KindSpec {
        kind: Kind::Secret,
        collection: "secrets",
        name: "secret",
        plural: "secrets",
        singular: "secret",
        has_post: false,
        has_patch: true,
        secrets: &["token", "secret_access_key", "session_token", "auth_config.private_key"],
        shown: Shown::Open,
    },
];

impl Kind {
    /// Every kind, in the order in which references point: a kind refers to later ones only.
    pub fn all() -> &'static [KindSpec] {
        &SPECS
    }

    /// The kind's row.
    pub fn spec(self) -> &'static KindSpec {
        &SPECS[self as usize]
    }

    /// The kind whose collection has that name; of consumers and credentials it is consumers.
    pub fn of_collection(name: &str) -> Option<Self> {
        let mut specs = SPECS.iter().filter(|spec| spec.kind != Self::Credential);
        specs.find(|spec| spec.collection == name).map(|spec| spec.kind)
    }

    /// The kind of what is stored in a collection under an id.
    pub fn of_key(collection: &str, id: &str) -> Option<Self> {
        match Self::of_collection(collection) {
            Some(Self::Consumer) if split_credential_id(id).is_some() => Some(Self::Credential),
            kind => kind,
        }
    }
}

/// A resource as stored: what the user wrote, plus `id` and times.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The kind.
    pub kind: Kind,
    /// The id within its collection.
    pub id: String,
    /// The document.
    pub value: Arc<Value>,
    /// The store revision at which it was created.
    pub created: u64,
    /// The store revision of its last write.
    pub modified: u64,
}

/// A resource was written, or (without a value) deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The kind.
    pub kind: Kind,
    /// The id within its collection.
    pub id: String,
    /// The new document; none for a deletion.
    pub value: Option<Arc<Value>>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_finds_its_row_by_each_of_its_names() {
        for spec in Kind::all() {
            assert_eq!(spec.kind.spec().kind, spec.kind);
            let id = if spec.kind == Kind::Credential { "jack/credentials/1" } else { "1" };
            assert_eq!(Kind::of_key(spec.collection, id), Some(spec.kind));
        }
        let names: [fn(&KindSpec) -> &'static str; 2] = [|spec| spec.plural, |spec| spec.name];
        for name in names {
            assert_eq!(Kind::all().iter().map(name).collect::<HashSet<_>>().len(), Kind::all().len());
        }
        assert_eq!(Kind::of_collection("consumers"), Some(Kind::Consumer));
        assert_eq!(Kind::of_key("routes", "a/credentials/b"), Some(Kind::Route));
        assert_eq!([Kind::of_collection("route"), Kind::of_collection("credentials")], [None, None]);
    }
}
