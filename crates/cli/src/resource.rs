//! The verbs on resources, the same for every kind: what differs stands in the kind's row.

use serde_json::Value;
use ureq::http::Method;

use crate::client::Client;
use crate::errors::{Failure, Result};
use crate::kind_commands::Verb;
use crate::kinds::{self, Create, Item, Kind, Object, Place};
use crate::output::{self, Format};
use crate::session::Session;
use crate::{bulk, export, health, input, pick, table, update};

/// Carries out one verb on one kind.
pub(crate) fn run(
    session: &mut Session<'_>,
    kind: &'static Kind,
    owner: Option<&str>,
    verb: Verb,
) -> Result<()> {
    let place = Place { kind, owner };
    match verb {
        Verb::List { page, page_size, filters } => list(session, place, page, page_size, &filters),
        Verb::Get { id } => get(session, place, id),
        Verb::Create { id, file } => create(session, place, id, file),
        Verb::Update { id, file, merge, replace } => {
            update::run(session, place, id, file, update::mode(merge, replace)?)
        }
        Verb::Delete { id, all, label } => delete(session, place, id, all, label),
        Verb::Export { label, file } => export::run(session, place, label.as_deref(), file.as_deref()),
        Verb::Health { id, control_url } => health::run(session, place, id, control_url.as_deref()),
    }
}

fn list(
    session: &mut Session<'_>,
    place: Place<'_>,
    page: i64,
    page_size: i64,
    filters: &[(&'static str, String)],
) -> Result<()> {
    let kind = place.kind;
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
    let mut items = match client.json(Method::GET, &place.collection(), &query, None) {
        Err(failure) if failure.status() == Some(404) => none_of_the_owners(&client, place, failure)?,
        answer => items(kind, &answer?)?,
    };
    items.retain(|item| label.as_ref().is_none_or(|label| label.matches(&item.object)));
    let text = if format != Format::Table {
        let arranged = items.into_iter().map(|item| output::arrange(item.object, kind.shape));
        output::render(&Value::Array(arranged.collect()), format)?
    } else if items.is_empty() {
        format!("No {} found.\n", kind.plural)
    } else {
        let headings: Vec<&str> = kind.columns.iter().map(|column| column.title).collect();
        let row =
            |item: &Item| -> Vec<String> { kind.columns.iter().map(|column| (column.cell)(item)).collect() };
        let rows: Vec<Vec<String>> = items.iter().map(row).collect();
        table::render(&headings, &rows)
    };
    Ok(write!(session.output, "{text}")?)
}

/// The Admin API has no list where an owner has nothing yet, and none where there is no such owner: only the second is
/// a failure to a person.
fn none_of_the_owners(client: &Client, place: Place<'_>, failure: Failure) -> Result<Vec<Item>> {
    let owners = place.kind.owner.and_then(kinds::by_command);
    let (Some(kind), Some(owner)) = (owners, place.owner) else { return Err(failure) };
    let path = Place { kind, owner: None }.object(owner)?;
    match client.send(Method::GET, &path, &[], None) {
        Ok(_) => Ok(Vec::new()),
        Err(missing) if missing.status() == Some(404) => {
            Err(failure.with_hint(format!("there is no {} {owner:?}", kind.singular)))
        }
        Err(other) => Err(other),
    }
}

fn get(session: &mut Session<'_>, place: Place<'_>, id: Option<String>) -> Result<()> {
    let format = output::object_format(session)?;
    let path = place.object(&pick::id(session, place, id)?)?;
    let answer = session.client()?.json(Method::GET, &path, &[], None)?;
    print_value(session, place.kind, answer, format)
}

fn create(
    session: &mut Session<'_>,
    place: Place<'_>,
    id: Option<String>,
    file: Option<String>,
) -> Result<()> {
    let file = required_file(file)?;
    let format = output::object_format(session)?;
    let client = session.client()?;
    let mut document = read_document(session, &file)?;
    let (method, path) = address(place, id, &mut document)?;
    let answer = client.json(method, &path, &[], Some(&Value::Object(document)))?;
    print_value(session, place.kind, answer, format)
}

/// Where a new object goes, and how.
fn address(place: Place<'_>, id: Option<String>, document: &mut Object) -> Result<(Method, String)> {
    let kind = place.kind;
    let missing = |field: &str| {
        Failure::new(format!("{} configuration must include an {field:?} field", kind.singular))
    };
    match kind.create {
        Create::PostOrPut => match document_id(document, kind.identity)? {
            Some(id) => Ok((Method::PUT, place.object(&id)?)),
            None => Ok((Method::POST, place.collection())),
        },
        Create::PutToCollection => Ok((Method::PUT, place.collection())),
        Create::PutById => match document_id(document, kind.identity)? {
            Some(id) => Ok((Method::PUT, place.object(&id)?)),
            None => Err(missing(kind.identity)),
        },
        Create::PutByArgument(fields) => {
            let id = match id.filter(|id| !id.is_empty()) {
                Some(id) => {
                    drop_own_name(kind, &id, document);
                    id
                }
                None => taken_out(document, fields)?.ok_or_else(|| {
                    missing(fields.first().unwrap_or(&kind.identity)).with_hint(format!(
                        "or name it: a6 {} create {} -f FILE",
                        kind.command, kind.example_id
                    ))
                })?,
            };
            Ok((Method::PUT, place.object(&id)?))
        }
    }
}

/// The id that one of these members holds, and the document without it: the server knows it by the path.
fn taken_out(document: &mut Object, fields: &[&str]) -> Result<Option<String>> {
    for field in fields {
        if let Some(id) = document_id(document, field)? {
            document.shift_remove(*field);
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Takes the id out of a document of a kind that the path names; another id stays, for the server to refuse.
pub(crate) fn drop_own_name(kind: &Kind, id: &str, document: &mut Object) {
    if let Create::PutByArgument(fields) = kind.create {
        document.retain(|name, value| {
            !fields.contains(&name.as_str()) || kinds::scalar(value).as_deref() != Some(id)
        });
    }
}

fn delete(
    session: &mut Session<'_>,
    place: Place<'_>,
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
        return bulk::delete(session, place, label.as_deref().map(Label::parse).as_ref());
    }
    let id = pick::id(session, place, id)?;
    let question = match place.kind.deletion {
        Some([question, _]) => words_of(question, place, &id),
        None => format!("Delete {} {id}?", place.kind.singular),
    };
    if !session.confirm(&question)? {
        return Ok(());
    }
    let client = session.client()?;
    delete_one(session, &client, place, &id)
}

/// Deletes one object and says so.
pub(crate) fn delete_one(
    session: &mut Session<'_>,
    client: &Client,
    place: Place<'_>,
    id: &str,
) -> Result<()> {
    client.send(Method::DELETE, &place.object(id)?, &[], None)?;
    let done = match place.kind.deletion {
        Some([_, done]) => words_of(done, place, id),
        None => format!("✓ {} {id} deleted.", place.kind.title),
    };
    Ok(writeln!(session.output, "{done}")?)
}

fn words_of(template: &str, place: Place<'_>, id: &str) -> String {
    template.replace("{owner}", place.owner.unwrap_or_default()).replace("{id}", id)
}

/// The file that a command must have.
pub(crate) fn required_file(file: Option<String>) -> Result<String> {
    file.ok_or_else(|| Failure::new("required flag \"file\" not set"))
}

/// The document of a write. The times in it are the server's, who refuses them: what was shown can be written back.
pub(crate) fn read_document(session: &mut Session<'_>, file: &str) -> Result<Object> {
    let mut document = input::read(file, session.input)?;
    for time in TIMES {
        document.shift_remove(time);
    }
    Ok(document)
}

/// Members that the server keeps.
pub(crate) const TIMES: [&str; 2] = ["create_time", "update_time"];

/// The id a document brings, if any; a number counts as its digits.
fn document_id(document: &Object, field: &str) -> Result<Option<String>> {
    match document.get(field) {
        None => Ok(None),
        Some(Value::String(id)) if !id.is_empty() => Ok(Some(id.clone())),
        Some(Value::Number(id)) => Ok(Some(id.to_string())),
        Some(other) => Err(Failure::new(format!("{field:?} must be a string or a number, found {other}"))
            .with_hint("leave it out to let the server choose one")),
    }
}

/// Prints the object of an answer.
pub(crate) fn print_value(
    session: &mut Session<'_>,
    kind: &Kind,
    mut answer: Value,
    format: Format,
) -> Result<()> {
    match answer.get_mut("value").map(Value::take) {
        Some(Value::Object(object)) => {
            let text = output::render(&output::arrange(object, kind.shape), format)?;
            Ok(write!(session.output, "{text}")?)
        }
        _ => Err(Failure::new("failed to parse response: it has no object in \"value\"")),
    }
}

/// The objects of a list answer, where `list` may also be an empty object, null or absent.
pub(crate) fn items(kind: &Kind, answer: &Value) -> Result<Vec<Item>> {
    let Value::Object(envelope) = answer else {
        return Err(Failure::new("failed to parse response: a list must be an object"));
    };
    let items = envelope.get("list").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().filter_map(|item| Item::read(kind, item)).collect())
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

    /// Whether the object has it.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        let Some(wanted) = &self.value else { return true };
        let found = object.get("labels").and_then(|labels| labels.get(&self.key)).and_then(kinds::scalar);
        found.as_ref() == Some(wanted)
    }
}

#[cfg(test)]
mod tests;
