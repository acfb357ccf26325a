//! `a6 config dump`: everything that the gateway has, as a file that `a6 config sync` takes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use serde_json::Value;

use super::remote::Remote;
use super::sections::{Identity, Section};
use crate::errors::{Failure, Result, system_text};
use crate::kinds::{KINDS, Object, Shape};
use crate::output::{self, Format};
use crate::session::Session;

/// The members that kinds without an order of their own begin with.
static PLAIN: Shape = Shape {
    fields: &["id", "username", "consumer", "plugin_name", "name", "desc", "plugins", "group_id", "labels"],
    nested: &[],
};

/// Prints everything, or writes it to the file.
pub(super) fn run(session: &mut Session<'_>, file: Option<&str>) -> Result<()> {
    let format = match output::requested(session)? {
        Some(Format::Table) => return Err(Failure::new("unsupported output format: table")),
        requested => requested.unwrap_or(Format::Yaml),
    };
    let remote = Remote::fetch(&session.client()?, &|_| true)?;
    let text = output::render(&document(remote), format)?;
    match file {
        None | Some("-") => Ok(write!(session.output, "{text}")?),
        Some(path) => write_private(path, &text).map_err(|error| {
            Failure::new(format!("failed to create file: open {path}: {}", system_text(&error)))
        }),
    }
}

/// A new file is for its owner alone, since it holds keys.
fn write_private(path: &str, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn document(remote: Remote) -> Value {
    let mut document = Object::from_iter([("version".to_owned(), Value::from("1"))]);
    for (section, objects) in remote.sections {
        if !objects.is_empty() {
            let items = objects.into_iter().map(|(_, object)| arranged(section, object));
            document.insert(section.name.to_owned(), items.collect());
        }
    }
    Value::Object(document)
}

/// The object in the order in which its kind prints. Unlike what is printed for people, a member that says nothing stays: the
/// file is written back.
fn arranged(section: &Section, mut object: Object) -> Value {
    let kind = KINDS.iter().find(|kind| kind.path == section.collection_path());
    let shape = match section.identity {
        Identity::Credential => &PLAIN,
        _ => kind.map_or(&PLAIN, |kind| kind.shape),
    };
    let mut arranged = Object::new();
    for field in shape.fields {
        if let Some(value) = object.shift_remove(*field) {
            arranged.insert((*field).to_owned(), value);
        }
    }
    object.sort_keys();
    arranged.extend(object);
    Value::Object(arranged)
}
