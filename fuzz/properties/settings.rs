//! Any bytes as config.yaml: they become settings that can be used, or problems of one printable line each, and the same
//! at every reading.
//!
//! An input is the file.

use std::path::Path;

use a6_settings::{Options, load_bytes};

fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// Holds an input to the property.
pub(crate) fn property(input: &[u8]) {
    let env = [("PORT", "9081"), ("ODD", "a #b: [c"), ("HOME", "/home/a6")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = Options { env, ..Options::default() };
    let read = || load_bytes(input, Some(Path::new("c.yaml")), &options);
    match read() {
        Ok(loaded) => {
            assert!(loaded.settings.workers > 0, "no worker");
            assert!(!loaded.settings.data.listen.is_empty(), "no listener");
            assert!(loaded.warnings.iter().all(|line| is_one_line(line)), "{:?}", loaded.warnings);
            let again = read().map(|again| (again.settings, again.warnings));
            assert_eq!(again, Ok((loaded.settings, loaded.warnings)), "read twice");
        }
        Err(error) => {
            let lines: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
            assert!(!lines.is_empty(), "refused without a reason");
            assert!(lines.iter().all(|line| is_one_line(line)), "{lines:?}");
            assert_eq!(error.to_string(), lines.join("\n"));
            assert_eq!(read().err(), Some(error), "read twice");
        }
    }
}
