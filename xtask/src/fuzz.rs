use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

/// Each a file in `fuzz/fuzz_targets` and a folder of kept inputs in `fuzz/corpus`.
const TARGETS: [&str; 10] = [
    "upstream_codec",
    "sse",
    "event_stream",
    "json_scan",
    "expressions",
    "settings",
    "messages_to_chat",
    "chat_to_messages",
    "chat_to_converse",
    "embeddings_to_predict",
];

/// Where cargo-fuzz builds and where the inputs that libFuzzer finds worth keeping go, from the project's root.
const BUILT: &str = "target/fuzz";
const FOUND: &str = "target/fuzz/found";

/// An input that takes longer is a finding; the slowest that is right takes well under a second.
const LONGEST: &str = "-timeout=20";

/// Flags of `cargo xtask fuzz`.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How long each target runs, in seconds, building not counted.
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The targets to run; all of them unless named.
    #[arg(value_name = "TARGET", value_parser = TARGETS)]
    targets: Vec<String>,
}

/// Runs the targets one after the other and names those that an input broke. Without nightly or cargo-fuzz it says so
/// and succeeds: the kept inputs are replayed by plain tests in any case.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = root();
    if let Some(reason) = lacking(&root)? {
        println!("skipped: {reason}");
        return Ok(ExitCode::SUCCESS);
    }
    let chosen =
        |target: &&str| arguments.targets.is_empty() || arguments.targets.iter().any(|t| t == target);
    let mut broken = Vec::new();
    for target in TARGETS.into_iter().filter(chosen) {
        println!("{target}: {} s", arguments.seconds);
        if !holds(&root, target, arguments.seconds)? {
            broken.push(target);
        }
    }
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nbroken by an input: {}", broken.join(", "));
    println!("The input is in fuzz/artifacts; fuzz/README.md says what to do with it.");
    Ok(ExitCode::FAILURE)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What fuzzing needs and this machine does not have.
fn lacking(root: &Path) -> Result<Option<&'static str>> {
    let answers = |arguments: &[&str]| -> Result<bool> {
        let status = nightly(root, arguments)
            // A question must not install a toolchain.
            .env("RUSTUP_AUTO_INSTALL", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("starting cargo")?;
        Ok(status.success())
    };
    if !answers(&["--version"])? {
        return Ok(Some("nightly is not installed (rustup toolchain install nightly)"));
    }
    if !answers(&["fuzz", "--version"])? {
        return Ok(Some("nightly is here, but cargo-fuzz is not (cargo install --locked cargo-fuzz)"));
    }
    Ok(None)
}

fn nightly(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").args(arguments).current_dir(root);
    command
}

/// Builds the target and runs it; false if an input broke it.
fn holds(root: &Path, target: &str, seconds: u32) -> Result<bool> {
    // On its own, so that code that does not compile is not taken for a finding.
    let built = nightly(root, &["fuzz", "build", "--target-dir", BUILT, target]).status();
    let built = built.context("starting cargo fuzz build")?;
    ensure!(built.success(), "cargo fuzz build {target} ended with {built}");

    let found = format!("{FOUND}/{target}");
    fs::create_dir_all(root.join(&found)).with_context(|| format!("making the folder {found}"))?;
    let kept = format!("fuzz/corpus/{target}");
    let time = format!("-max_total_time={seconds}");
    // libFuzzer writes into the first folder only.
    let run = ["fuzz", "run", "--target-dir", BUILT, target, &found, &kept, "--", &time, LONGEST];
    let status = nightly(root, &run).status().context("starting cargo fuzz run")?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_file_its_binary_and_kept_inputs() {
        let fuzz = root().join("fuzz");
        let mut files: Vec<String> = fs::read_dir(fuzz.join("fuzz_targets"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        let mut targets = TARGETS.map(String::from);
        targets.sort();
        assert_eq!(files, targets);
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "no [[bin]] for {target}");
            let kept = fs::read_dir(fuzz.join("corpus").join(target)).unwrap().count();
            assert!(kept >= 10, "{kept} inputs for {target}");
        }
    }
}
