//! Whole settings: what a file, variables and flags become, and what is said about bad ones.

mod bad;
mod good;

use crate::keys::{find, is_section};
use crate::{Loaded, Options, SettingsError, load_bytes};
use proptest::prelude::{any, prop, proptest};
use std::path::Path;

/// Options with these variables.
fn options(env: &[(&str, &str)]) -> Options {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options { env, ..Options::default() }
}

/// Loads a text as `c.yaml`.
fn read(text: &str, env: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
    load_bytes(text.as_bytes(), Some(Path::new("c.yaml")), &options(env))
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let outcome = load_bytes(&bytes, Some(Path::new("c.yaml")), &Options::default());
        assert!(outcome.map_or_else(|error| !error.to_string().is_empty(), |loaded| loaded.settings.workers > 0));
    }

    #[test]
    fn no_yaml_makes_it_panic(
        text in "(a6|apisix|deployment|plugins|node_listen|admin_key|resolve|[ \n:,\\[\\]{}&*!|>'\"#$-]|\\$\\{\\{X\\}\\}|[0-9a-zü]{1,3}){0,60}",
        variable in "\\PC{0,40}",
    ) {
        let env = [("A6_CONF_APISIX__NODE_LISTEN", variable.as_str()), ("X", variable.as_str())];
        let outcome = read(&text, &env);
        assert!(outcome.map_or_else(|error| !error.problems().is_empty(), |loaded| loaded.source.is_some()));
    }

    #[test]
    fn every_name_of_a_variable_is_answered(name in "[A-Za-z0-9_]{0,40}", value in "\\PC{0,20}") {
        let outcome = read("", &[(format!("A6_CONF_{name}").as_str(), value.as_str())]);
        // Either it is known and fits, or somebody hears of it.
        let path = name.to_lowercase().replace("__", ".");
        let known = find(&path).is_some() || is_section(&path);
        let quiet = outcome.is_ok_and(|loaded| loaded.warnings.is_empty());
        assert!(known || !quiet, "A6_CONF_{name}");
    }
}
