//! Who says what the configuration is: the embedded store, a file, or a client of the stand-alone Admin API.

use crate::check::Values;
use crate::error::{Origin, Report};
use crate::load::{DEFAULT_FILE, Options};
use crate::settings::{FileFormat, Source};
use std::path::{Path, PathBuf};

const ROLE: &str = "deployment.role";
const OF_DATA_PLANE: &str = "deployment.role_data_plane.config_provider";
const OF_TRADITIONAL: &str = "deployment.role_traditional.config_provider";
const FILE: &str = "a6.config_file";

/// Reads the role and its provider. A data plane of a6 reads a file; a traditional gateway has its own store or, with the
/// provider `yaml`, is told everything through the Admin API, or reads a file where that is off.
pub(crate) fn source(values: &Values, options: &Options, report: &mut Report) -> Source {
    let is_data_plane = values.text(ROLE).as_deref() == Some("data_plane");
    let (key, other) =
        if is_data_plane { (OF_DATA_PLANE, OF_TRADITIONAL) } else { (OF_TRADITIONAL, OF_DATA_PLANE) };
    let settings = Origin::Named("settings".into());
    if values.text(other).is_some() {
        report.warn(&settings, other, "another role than deployment.role; ignored");
    }
    let provider = values.text(key);
    let source = match provider.as_deref() {
        None if is_data_plane => {
            // What was given and cannot be used has been reported; it would be missed twice.
            let message = "missing; a data plane of a6 reads a file, so write yaml or json";
            report.error_if_sound(&settings, key, message);
            Source::Store
        }
        None => Source::Store,
        Some(_) if !is_data_plane && values.flag("apisix.enable_admin").unwrap_or(true) => Source::Client,
        Some("json") => file("apisix.json", FileFormat::Json, values, options),
        Some(_) => file("apisix.yaml", FileFormat::Yaml, values, options),
    };
    if values.text(FILE).is_some() && !matches!(source, Source::File { .. }) {
        let message =
            format!("no file is read; for one, set deployment.role to data_plane and {OF_DATA_PLANE}");
        report.warn(&settings, FILE, message);
    }
    source
}

/// The file that is named, else the one of APISIX's name beside the settings.
fn file(name: &str, format: FileFormat, values: &Values, options: &Options) -> Source {
    let settings = options.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let path = values.text(FILE).map(PathBuf::from).unwrap_or_else(|| settings.with_file_name(name));
    Source::File { path, format }
}
