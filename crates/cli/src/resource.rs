//! The verbs on resources, the same for every kind: what differs stands in the kind's row.

use serde_json::Value;
use ureq::http::Method;

use crate::client::{Client, escape};
use crate::command_line::Verb;
use crate::errors::{Failure, Result};
use crate::kinds::{self, Kind, Object};
use crate::output::{self, Format};
use crate::session::Session;
use crate::{bulk, input, table};

/// Carries out one verb on one kind.
pub(crate) fn run(session: &mut Session<'_>, kind: &Kind, verb: Verb) -> Result<()> {
    match verb {
        Verb::List { page, page_size, filters } => list(session, kind, page, page_size, &filters),
        Verb::Get { id } => get(session, kind, id),
        Verb::Create { file } => create(session, kind, file),
        Verb::Update { id, file } => update(session, kind, id, file),
        Verb::Delete { id, all, label } => delete(session, kind, id, all, label),
    }
}

fn list(
    session: &mut Session<'_>,
    kind: &Kind,
    page: i64,
    page_size: i64,
    filters: &[(&'static str, String)],
) -> Result<()> {
    let format = output::list_format(session)?;
    let client = session.client()?;
    let mut query = vec![("page", page.to_string()), ("page_size", page_size.to_string())];
    let mut label = None;
    for (name, value) in filters {
        if *name == "label" {
            let wanted = Label::parse(value);
            query.push((*name, wanted.key.clone()));
            label = Some(wanted);
        } else {
            query.push((*name, value.clone()));
        }
    }
    let answer = client.json(Method::GET, kind.path, &query, None)?;
    let objects = objects(&answer, label.as_ref())?;
    let text = if format != Format::Table {
        let arranged = objects.into_iter().map(|object| output::arrange(object, kind.shape));
        output::render(&Value::Array(arranged.collect()), format)?
    } else if objects.is_empty() {
        format!("No {} found.\n", kind.plural)
    } else {
        let headings: Vec<&str> = kind.columns.iter().map(|column| column.title).collect();
        let row = |object: &Object| -> Vec<String> {
            kind.columns.iter().map(|column| (column.cell)(object)).collect()
        };
        let rows: Vec<Vec<String>> = objects.iter().map(row).collect();
        table::render(&headings, &rows)
    };
    Ok(write!(session.output, "{text}")?)
}

fn get(session: &mut Session<'_>, kind: &Kind, id: Option<String>) -> Result<()> {
    let format = output::object_format(session)?;
    let path = object_path(kind, &required_id(kind, id)?);
    let answer = session.client()?.json(Method::GET, &path, &[], None)?;
    print_value(session, kind, answer, format)
}

/// POST, or PUT to its own path for a document that brings its id.
fn create(session: &mut Session<'_>, kind: &Kind, file: Option<String>) -> Result<()> {
    let file = required_file(file)?;
    let format = output::object_format(session)?;
    let client = session.client()?;
    let document = input::read(&file, session.input)?;
    let (method, path) = match document_id(&document)? {
        Some(id) => (Method::PUT, object_path(kind, &id)),
        None => (Method::POST, kind.path.to_owned()),
    };
    let answer = client.json(method, &path, &[], Some(&Value::Object(document)))?;
    print_value(session, kind, answer, format)
}

/// PUT: the document replaces what is there.
fn update(session: &mut Session<'_>, kind: &Kind, id: Option<String>, file: Option<String>) -> Result<()> {
    let file = required_file(file)?;
    let path = object_path(kind, &required_id(kind, id)?);
    let format = output::object_format(session)?;
    let client = session.client()?;
    let document = input::read(&file, session.input)?;
    let answer = client.json(Method::PUT, &path, &[], Some(&Value::Object(document)))?;
    print_value(session, kind, answer, format)
}

fn delete(
    session: &mut Session<'_>,
    kind: &Kind,
    id: Option<String>,
    all: bool,
    label: Option<String>,
) -> Result<()> {
    let conflict = match (all, &label, &id) {
        (true, Some(_), _) => Some("--all and --label are mutually exclusive"),
        (true, _, Some(_)) => Some("--all cannot be used with a specific ID"),
        (_, Some(_), Some(_)) => Some("--label cannot be used with a specific ID"),
        _ => None,
    };
    if let Some(conflict) = conflict {
        return Err(Failure::new(conflict));
    }
    if all || label.is_some() {
        return bulk::delete(session, kind, label.as_deref().map(Label::parse).as_ref());
    }
    let id = required_id(kind, id)?;
    if !session.confirm(&format!("Delete {} {id}?", kind.singular))? {
        return Ok(());
    }
    let client = session.client()?;
    delete_one(session, &client, kind, &id)
}

/// Deletes one object and says so.
pub(crate) fn delete_one(session: &mut Session<'_>, client: &Client, kind: &Kind, id: &str) -> Result<()> {
    client.send(Method::DELETE, &object_path(kind, id), &[], None)?;
    Ok(writeln!(session.output, "✓ {} {id} deleted.", kind.title)?)
}

fn required_file(file: Option<String>) -> Result<String> {
    file.ok_or_else(|| Failure::new("required flag \"file\" not set"))
}

fn required_id(kind: &Kind, id: Option<String>) -> Result<String> {
    let missing = || {
        Failure::new("id argument is required")
            .with_hint(format!("`a6 {} list -o table` shows the ids", kind.command))
    };
    id.filter(|id| !id.is_empty()).ok_or_else(missing)
}

fn object_path(kind: &Kind, id: &str) -> String {
    format!("{}/{}", kind.path, escape(id))
}

/// The id a document brings, if any; a number counts as its digits.
fn document_id(document: &Object) -> Result<Option<String>> {
    match document.get("id") {
        None => Ok(None),
        Some(Value::String(id)) if !id.is_empty() => Ok(Some(id.clone())),
        Some(Value::Number(id)) => Ok(Some(id.to_string())),
        Some(other) => Err(Failure::new(format!("\"id\" must be a string or a number, found {other}"))
            .with_hint("leave it out to let the server choose one")),
    }
}

fn print_value(session: &mut Session<'_>, kind: &Kind, mut answer: Value, format: Format) -> Result<()> {
    match answer.get_mut("value").map(Value::take) {
        Some(Value::Object(object)) => {
            let text = output::render(&output::arrange(object, kind.shape), format)?;
            Ok(write!(session.output, "{text}")?)
        }
        _ => Err(Failure::new("failed to parse response: it has no object in \"value\"")),
    }
}

/// The objects of a list answer, where `list` may also be an empty object, null or absent.
pub(crate) fn objects(answer: &Value, label: Option<&Label>) -> Result<Vec<Object>> {
    let Value::Object(envelope) = answer else {
        return Err(Failure::new("failed to parse response: a list must be an object"));
    };
    let items = envelope.get("list").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let values = items.iter().filter_map(|item| item.get("value")?.as_object());
    Ok(values.filter(|object| label.is_none_or(|label| label.matches(object))).cloned().collect())
}

/// `key` or `key=value`: the server filters by key, the value is compared here.
pub(crate) struct Label {
    /// What the server is asked for.
    pub(crate) key: String,
    value: Option<String>,
}

impl Label {
    /// Splits at the first `=`.
    pub(crate) fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Label { key: key.to_owned(), value: Some(value.to_owned()) },
            None => Label { key: text.to_owned(), value: None },
        }
    }

    fn matches(&self, object: &Object) -> bool {
        let Some(wanted) = &self.value else { return true };
        let found = object.get("labels").and_then(|labels| labels.get(&self.key)).and_then(kinds::scalar);
        found.as_ref() == Some(wanted)
    }
}

#[cfg(test)]
mod tests;
