use std::sync::Arc;

use a6_resources::{Catalogue, Change, Kind, check, id_text, referrer};
use http::StatusCode;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::patch;
use crate::view::State;

/// The four ways to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Makes or replaces the resource of an id.
    Put,
    /// Makes a resource with an id of our choice.
    Post,
    /// Changes members of a resource.
    Patch,
    /// Removes a resource.
    Delete,
}

/// A write as the client asked for it.
pub(crate) struct Write {
    pub(crate) verb: Verb,
    pub(crate) kind: Kind,
    /// The id in the URL.
    pub(crate) id: Option<String>,
    /// What follows the id in the URL.
    pub(crate) path: Vec<String>,
    pub(crate) body: Option<Value>,
    /// Deletes also what others refer to.
    pub(crate) force: bool,
}

/// A write that passed every check.
pub(crate) struct Prepared {
    pub(crate) change: Change,
    /// The status that its client gets once it is in force.
    pub(crate) status: StatusCode,
}

/// What a write is held against.
pub(crate) struct Context<'a> {
    pub(crate) state: &'a State,
    pub(crate) catalogue: &'a dyn Catalogue,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// Checks a write and works out what it changes; the error is the client's answer.
pub(crate) fn prepare(write: Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    match write.verb {
        Verb::Put => put(write, context),
        Verb::Post => post(write, context),
        Verb::Patch => patch(write, context),
        Verb::Delete => delete(&write, context),
    }
}

fn put(write: Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let kind = write.kind;
    let mut value = document(write.body)?;
    let id = match write.id {
        Some(id) => {
            settle_id(kind, &mut value, &id)?;
            Some(id)
        }
        None => match value.get("id") {
            None => return Err(missing_id(kind)),
            Some(own) => id_text(own),
        },
    };
    forbid_times(&value)?;
    let mut value = checked(kind, value, context)?;
    // An id that is neither text nor number has failed the schema.
    let id =
        id.ok_or_else(|| Answer::refused("invalid configuration: the id is neither a string nor a number"))?;
    value.insert("create_time".to_string(), created(kind, &id, context));
    value.insert("update_time".to_string(), Value::from(context.now));
    let status = match context.state.get(kind, &id) {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    Ok(stored(kind, id, value, status))
}

fn post(write: Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let kind = write.kind;
    let value = document(write.body)?;
    if write.id.is_some() || value.contains_key("id") {
        return Err(Answer::refused(format!("wrong {} id, do not need it", kind.spec().singular)));
    }
    forbid_times(&value)?;
    let mut value = checked(kind, value, context)?;
    let id = next_id(kind, context.state);
    value.insert("id".to_string(), Value::from(id.as_str()));
    value.insert("create_time".to_string(), Value::from(context.now));
    value.insert("update_time".to_string(), Value::from(context.now));
    Ok(stored(kind, id, value, StatusCode::CREATED))
}

fn patch(write: Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let kind = write.kind;
    let Some(body) = write.body else { return Err(Answer::refused("missing new configuration")) };
    let id = write.id.ok_or_else(|| missing_id(kind))?;
    let old = |id: &str| {
        context.state.get(kind, id).map(|entry| (*entry.value).clone()).ok_or_else(Answer::missing)
    };
    let mut own_update_time = false;
    let mut value = if write.path.is_empty() {
        let changes = members(body)?;
        own_update_time = changes.get("update_time").is_some_and(|time| !time.is_null());
        let mut value = members(old(&id)?)?;
        patch::merge(&mut value, changes);
        value
    } else {
        let mut value = old(&id)?;
        patch::set(&mut value, &write.path, body).map_err(Answer::refused)?;
        members(value)?
    };
    settle_id(kind, &mut value, &id)?;
    let mut value = checked(kind, value, context)?;
    value.entry("create_time").or_insert_with(|| created(kind, &id, context));
    if !own_update_time {
        value.insert("update_time".to_string(), Value::from(context.now));
    }
    Ok(stored(kind, id, value, StatusCode::OK))
}

fn delete(write: &Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let kind = write.kind;
    let Some(id) = &write.id else { return Err(missing_id(kind)) };
    if !write.force
        && let Some(reason) = referrer(kind, id, &mut context.state.all())
    {
        return Err(Answer::refused(reason));
    }
    if context.state.get(kind, id).is_none() {
        return Err(Answer::missing());
    }
    let change = Change { kind, id: id.clone(), value: None };
    Ok(Prepared { change, status: StatusCode::OK })
}

fn stored(kind: Kind, id: String, value: Map<String, Value>, status: StatusCode) -> Prepared {
    let change = Change { kind, id, value: Some(Arc::new(Value::Object(value))) };
    Prepared { change, status }
}

fn document(body: Option<Value>) -> Result<Map<String, Value>, Answer> {
    body.map_or_else(|| Err(Answer::refused("missing configurations")), members)
}

/// The members of an object. An empty array is an empty object to APISIX; what is neither, it has no sensible answer for.
fn members(value: Value) -> Result<Map<String, Value>, Answer> {
    match value {
        Value::Object(members) => Ok(members),
        Value::Array(items) if items.is_empty() => Ok(Map::new()),
        _ => Err(Answer::refused("invalid configuration")),
    }
}

fn missing_id(kind: Kind) -> Answer {
    Answer::refused(format!("missing {} id", kind.spec().singular))
}

/// The URL's id is stored, as text, also where the body has it as a number; a different one is refused.
fn settle_id(kind: Kind, value: &mut Map<String, Value>, id: &str) -> Result<(), Answer> {
    if value.get("id").is_some_and(|own| id_text(own).as_deref() != Some(id)) {
        return Err(Answer::refused(format!("wrong {} id", kind.spec().singular)));
    }
    value.insert("id".to_string(), Value::from(id));
    Ok(())
}

/// A client cannot set times, not even by mistake in the places where a copied resource has them.
fn forbid_times(value: &Map<String, Value>) -> Result<(), Answer> {
    let places =
        [("", Some(value)), ("upstream.", inner(value, "upstream")), ("plugins.", inner(value, "plugins"))];
    for (prefix, place) in places {
        for name in ["create_time", "update_time"] {
            if place.is_some_and(|place| place.contains_key(name)) {
                return Err(Answer::refused(format!("the property is forbidden:  {prefix}{name}")));
            }
        }
    }
    Ok(())
}

fn inner<'a>(value: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    value.get(name).and_then(Value::as_object)
}

fn checked(
    kind: Kind,
    value: Map<String, Value>,
    context: &Context<'_>,
) -> Result<Map<String, Value>, Answer> {
    let value = Value::Object(value);
    check(kind, &value, context.state, context.catalogue).map_err(Answer::refused)?;
    members(value)
}

/// When the resource was made: what is stored, else now.
fn created(kind: Kind, id: &str, context: &Context<'_>) -> Value {
    let stored = context.state.get(kind, id).and_then(|old| old.value.get("create_time").cloned());
    stored.unwrap_or_else(|| Value::from(context.now))
}

/// The next revision in 20 digits; where a client has taken that id, the next free one.
fn next_id(kind: Kind, state: &State) -> String {
    let mut number = state.revision + 1;
    loop {
        let id = format!("{number:020}");
        if state.get(kind, &id).is_none() {
            return id;
        }
        number += 1;
    }
}
