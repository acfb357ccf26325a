use std::sync::Arc;

use serde_json::Value;

/// A kind of resource. One table row each, in [`Kind::spec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A route.
    Route,
    /// A service.
    Service,
    /// An upstream.
    Upstream,
}

/// The names of a kind.
#[derive(Debug)]
pub struct KindSpec {
    /// The kind.
    pub kind: Kind,
    /// The path segment and the key prefix, such as `routes`.
    pub collection: &'static str,
    /// The name in messages, such as `route`.
    pub singular: &'static str,
}

const SPECS: [KindSpec; 3] = [
    KindSpec { kind: Kind::Route, collection: "routes", singular: "route" },
    KindSpec { kind: Kind::Service, collection: "services", singular: "service" },
    KindSpec { kind: Kind::Upstream, collection: "upstreams", singular: "upstream" },
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

    /// The kind whose collection has that name.
    pub fn of_collection(name: &str) -> Option<Self> {
        SPECS.iter().find(|spec| spec.collection == name).map(|spec| spec.kind)
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
