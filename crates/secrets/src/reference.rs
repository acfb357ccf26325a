use a6_resources::{ENV_PREFIX, SECRET_PREFIX, after_prefix};

/// The managers that references may name.
const MANAGERS: [&str; 3] = ["vault", "aws", "gcp"];

/// What a text refers to, as people write it instead of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// `$env://NAME` or `$env://NAME/member`.
    Env {
        /// The variable.
        name: String,
        /// A member of the JSON object that it holds; without one, the whole text is meant.
        member: Option<String>,
    },
    /// `$secret://manager/id/path/key`.
    Managed(Managed),
}

/// A secret of a manager, or one value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Managed {
    /// The id of the manager's resource, such as `vault/1`.
    pub(crate) manager: String,
    /// The manager's own name of the secret; it may have slashes.
    pub(crate) path: String,
    /// A member of the JSON object that it holds; without one, the whole text is meant.
    pub(crate) key: Option<String>,
}

impl Reference {
    /// Reads a text; none if it is no reference.
    ///
    /// # Errors
    /// It begins as a reference and is none that can be resolved; the error says how one is written.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, String>> {
        if let Some(rest) = after_prefix(text, ENV_PREFIX) {
            return Some(Self::environment(rest));
        }
        after_prefix(text, SECRET_PREFIX).map(|rest| Self::managed(rest).map(Self::Managed))
    }

    fn environment(rest: &str) -> Result<Self, String> {
        let (name, member) = rest.split_once('/').map_or((rest, None), |(name, rest)| (name, Some(rest)));
        if name.is_empty() || name.contains(['=', '\0']) || member.is_some_and(str::is_empty) {
            return Err(
                "a reference to the environment is written $env://NAME or $env://NAME/member".to_string()
            );
        }
        Ok(Self::Env { name: name.to_string(), member: member.map(str::to_string) })
    }

    fn managed(rest: &str) -> Result<Managed, String> {
        let mut parts = rest.splitn(3, '/');
        let (Some(manager), Some(id), Some(tail)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(how_to_write());
        };
        if !MANAGERS.contains(&manager) {
            return Err(format!("there is no secret manager {manager}; there are {}", MANAGERS.join(", ")));
        }
        // What a manager would read as a way out of its prefix is no name of a secret.
        if id.is_empty() || tail.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(how_to_write());
        }
        let (path, key) = match tail.rsplit_once('/') {
            Some((path, key)) => (path, Some(key.to_string())),
            None if manager == "vault" => return Err(how_to_write()),
            None => (tail, None),
        };
        Ok(Managed { manager: format!("{manager}/{id}"), path: path.to_string(), key })
    }
}

fn how_to_write() -> String {
    "a reference to a secret manager is written $secret://manager/id/path/key, such as $secret://vault/1/main/openai/key"
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use a6_resources::is_reference;

    #[test]
    fn references_are_read_and_told_apart_from_text() {
        let cases = [
            ("sk-live", None),
            ("$env:/KEY", None),
            ("see $env://KEY", None),
            ("$env://KEY", Some("env KEY None")),
            ("$ENV://KEY/a/b", Some("env KEY Some(\"a/b\")")),
            ("$secret://vault/1/main/path/sub", Some("vault/1 main/path Some(\"sub\")")),
            ("$Secret://vault/own-id/main/sub", Some("vault/own-id main Some(\"sub\")")),
            ("$secret://aws/1/prod/db/password", Some("aws/1 prod/db Some(\"password\")")),
            ("$secret://aws/1/whole", Some("aws/1 whole None")),
            ("$secret://gcp/1/name/key", Some("gcp/1 name Some(\"key\")")),
        ];
        for (text, expected) in cases {
            let read = Reference::parse(text).map(|reference| match reference.unwrap() {
                Reference::Managed(Managed { manager, path, key }) => format!("{manager} {path} {key:?}"),
                Reference::Env { name, member } => format!("env {name} {member:?}"),
            });
            assert_eq!(read.as_deref(), expected, "{text}");
            assert_eq!(is_reference(text), expected.is_some(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_says_how_it_is_written() {
        let cases = [
            ("$env://", "$env://NAME"),
            ("$env://KEY/", "$env://NAME/member"),
            ("$env://A=B", "$env://NAME"),
            ("$secret://vault", "$secret://manager/id/path/key"),
            ("$secret://vault/1", "$secret://manager/id/path/key"),
            ("$secret://vault/1/key", "$secret://manager/id/path/key"),
            ("$secret://vault//main/key", "$secret://manager/id/path/key"),
            ("$secret://vault/1/main/", "$secret://manager/id/path/key"),
            ("$secret://vault/1/../sys/key", "$secret://manager/id/path/key"),
            ("$secret://safe/1/main/key", "no secret manager safe; there are vault, aws, gcp"),
        ];
        for (text, expected) in cases {
            let error = Reference::parse(text).unwrap().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(is_reference(text), "{text}");
        }
    }
}
