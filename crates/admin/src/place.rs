use a6_resources::{Kind, credential_id};

use crate::answer::label;

/// What a path of the Admin API names: a collection, one of its resources, or a member of that.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    /// Whose it is: the consumer of a credential; the manager of a secret where the URL names no more than that.
    pub(crate) owner: Option<String>,
    /// The id in the URL.
    pub(crate) id: Option<String>,
    /// What follows the id in the URL.
    pub(crate) path: Vec<String>,
}

impl Place {
    /// Reads the segments that follow a kind's collection. Credentials lie below their consumer, and the id of a secret
    /// is of two segments.
    pub(crate) fn of(kind: Kind, rest: &[String]) -> Self {
        match rest {
            [manager, id, path @ ..] if kind == Kind::Secret => {
                return Self { kind, owner: None, id: Some(format!("{manager}/{id}")), path: path.to_vec() };
            }
            [manager] if kind == Kind::Secret => {
                return Self { kind, owner: Some(manager.clone()), id: None, path: Vec::new() };
            }
            _ => {}
        }
        let (kind, owner, rest) = match rest {
            [owner, below, rest @ ..] if kind == Kind::Consumer && below == "credentials" => {
                (Kind::Credential, Some(owner.clone()), rest)
            }
            _ => (kind, None, rest),
        };
        let path = rest.get(1..).unwrap_or_default().to_vec();
        Self { kind, owner, id: rest.first().cloned(), path }
    }

    /// The id under which the collection holds the resource that is called `id` here.
    pub(crate) fn stored_id(&self, id: &str) -> String {
        match &self.owner {
            Some(manager) if self.kind == Kind::Secret => format!("{manager}/{id}"),
            Some(owner) => credential_id(owner, id),
            None => id.to_string(),
        }
    }

    /// The key of what is named, without prefix: `routes/1`; of a collection, `routes/`.
    pub(crate) fn label(&self) -> String {
        label(self.kind, &self.stored_id(self.id.as_deref().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_places() {
        let cases: [(Kind, &[&str], Kind, &str, &[&str]); 11] = [
            (Kind::Route, &[], Kind::Route, "routes/", &[]),
            (Kind::Route, &["1", "plugins", "a"], Kind::Route, "routes/1", &["plugins", "a"]),
            (Kind::Route, &["1", "credentials"], Kind::Route, "routes/1", &["credentials"]),
            (Kind::Consumer, &["jack"], Kind::Consumer, "consumers/jack", &[]),
            (Kind::Consumer, &["jack", "x"], Kind::Consumer, "consumers/jack", &["x"]),
            (Kind::Consumer, &["jack", "credentials"], Kind::Credential, "consumers/jack/credentials/", &[]),
            (
                Kind::Consumer,
                &["jack", "credentials", "c", "x"],
                Kind::Credential,
                "consumers/jack/credentials/c",
                &["x"],
            ),
            (Kind::Secret, &[], Kind::Secret, "secrets/", &[]),
            (Kind::Secret, &["aws"], Kind::Secret, "secrets/aws/", &[]),
            (Kind::Secret, &["aws", "1", "region"], Kind::Secret, "secrets/aws/1", &["region"]),
            (
                Kind::PluginMetadata,
                &["http-logger"],
                Kind::PluginMetadata,
                "plugin_metadata/http-logger",
                &[],
            ),
        ];
        for (collection, rest, kind, label, path) in cases {
            let rest: Vec<String> = rest.iter().map(ToString::to_string).collect();
            let place = Place::of(collection, &rest);
            assert_eq!((place.kind, place.label().as_str()), (kind, label), "{rest:?}");
            assert_eq!(place.path, path, "{rest:?}");
        }
    }
}
