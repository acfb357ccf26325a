//! The road from file, variables and flags to [`Loaded`].

use crate::error::{Origin, Report, SettingsError};
use crate::settings::Settings;
use crate::{build, check, env, tree};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings file when no other is named; it may be missing.
pub(crate) const DEFAULT_FILE: &str = "conf/config.yaml";
/// Far more than any settings need; it bounds what a wrong path can make us read.
const MAX_FILE: u64 = 1 << 20;

/// What the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--config`. None reads `./conf/config.yaml` if it is there, else takes the defaults.
    pub file: Option<PathBuf>,
    /// The environment: for `${{VAR}}`, `A6_CONF_*`, `A6_DATA_DIR`, `XDG_DATA_HOME` and `HOME`.
    pub env: Vec<(String, String)>,
    /// `--workers`, at least 1.
    pub workers: Option<usize>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--drain-timeout`.
    pub drain_timeout: Option<Duration>,
}

/// Settings that can be used, and what to tell about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// One line each: unknown keys, keys that a6 does not serve yet.
    pub warnings: Vec<String>,
    /// The file that was read.
    pub source: Option<PathBuf>,
}

/// Reads the settings. A flag wins over a variable, a variable over the file, the file over the defaults.
///
/// # Errors
/// The file cannot be read, is no YAML, has a duplicate key, a value of the wrong type or out of range, a reference to
/// a variable that is not set, or asks for a store that a6 does not have. All that can be found is reported at once.
pub fn load(options: &Options) -> Result<Loaded, SettingsError> {
    let path = options.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    match read(&path) {
        Ok(bytes) => load_bytes(&bytes, Some(&path), options),
        Err(error) if options.file.is_none() && error.kind() == io::ErrorKind::NotFound => {
            load_bytes(b"", None, options)
        }
        Err(error) => {
            let message = format!("cannot read the settings: {error}; check the path and its permissions");
            Err(Report::fail(&path.display().to_string(), message))
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// [`load`] for bytes that are already in memory; `source` is the file they came from, for messages.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8], source: Option<&Path>, options: &Options) -> Result<Loaded, SettingsError> {
    let file = source.map(|path| path.display().to_string()).unwrap_or_default();
    if bytes.len() as u64 > MAX_FILE {
        let message =
            "larger than 1 MiB; this is not a settings file, or it holds what belongs into the Admin API";
        return Err(Report::fail(&file, message.into()));
    }
    let mut report = Report::new(&file);
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let (line, column) = position(bytes, error.valid_up_to());
            report.error(&Origin::File { line, column }, "", "not UTF-8; save the file as UTF-8");
            ""
        }
    };
    let at = |line, column| Origin::File { line, column };
    // Without a tree of the file, variables are still checked: all problems are shown at once.
    let parsed = tree::parse(&tree::mask(text), at, &mut report);
    let mut root = parsed.unwrap_or_else(|| tree::Node::null(at(1, 1)));
    tree::expand(&mut root, &options.env, &mut report);
    tree::report_duplicates(&root, "", &mut report);
    env::overlay(&mut root, &options.env, &mut report);
    let values = check::check(&root, &mut report);
    if env::lookup(&options.env, ETCD_VARIABLE).is_some() {
        let message = "etcd is not supported yet; the variable is ignored and the embedded store is used";
        report.warn(&Origin::Named(ETCD_VARIABLE.into()), "", message);
    }
    let settings = build::build(&values, options, &mut report);
    let warnings = report.finish()?;
    Ok(Loaded { settings, warnings, source: source.map(Path::to_owned) })
}

/// APISIX's own override of `deployment.etcd.host`.
const ETCD_VARIABLE: &str = "APISIX_DEPLOYMENT_ETCD_HOST";

/// Line and column, both from 1, of a byte.
fn position(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = bytes.get(..offset).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    (line, String::from_utf8_lossy(last).chars().count() + 1)
}
