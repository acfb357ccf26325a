//! `a6 version`. What the build did not say is `unknown`: `A6_COMMIT` and `A6_BUILD_DATE` are read at compile time.

use serde_json::json;

use crate::errors::Result;
use crate::output::{self, Format};
use crate::session::Session;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The oldest compiler that builds this; the toolchain file pins the same one.
const RUST: &str = concat!("rust", env!("CARGO_PKG_RUST_VERSION"));

/// Prints the version. The key `goVersion` is the a6 tool's, for scripts that read it.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    let commit = option_env!("A6_COMMIT").unwrap_or("unknown");
    let date = option_env!("A6_BUILD_DATE").unwrap_or("unknown");
    let platform = platform();
    match output::requested(session)? {
        Some(format @ (Format::Json | Format::Yaml)) => {
            let value = json!({
                "version": VERSION,
                "commit": commit,
                "buildDate": date,
                "goVersion": RUST,
                "platform": platform,
            });
            let text = output::render(&value, format)?;
            write!(session.output, "{text}")?;
        }
        _ => {
            writeln!(session.output, "a6 version {VERSION}")?;
            for (label, value) in
                [("commit:", commit), ("built:", date), ("rust:", RUST), ("platform:", platform.as_str())]
            {
                writeln!(session.output, "  {label:<10} {value}")?;
            }
        }
    }
    Ok(())
}

/// Operating system and processor in Go's names, as release files are named.
fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}/{processor}")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::Shell;

    #[test]
    fn version_has_a_text_and_a_document_form() {
        let shell = Shell::new();
        let text = shell.run(&["version"]).output;
        assert!(text.starts_with(&format!("a6 version {VERSION}\n  commit:    ")), "{text}");
        assert!(text.ends_with(&format!("\n  platform:  {}\n", platform())), "{text}");
        let json: Value = serde_json::from_str(&shell.run(&["version", "-o", "json"]).output).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["version", "commit", "buildDate", "goVersion", "platform"]);
        assert!(!shell.run(&["version", "-o", "xml"]).succeeded);
    }
}
