use std::sync::Arc;

use a6_resources::{Catalogue, Change, Kind, Shown, check, credential_id, id_text, referrer};
use a6_store::Store;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, key, label, shown};
use crate::condition::Expected;
use crate::patch;
use crate::place::Place;
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
    pub(crate) place: Place,
    pub(crate) body: Option<Value>,
    /// Deletes also what others refer to.
    pub(crate) force: bool,
    /// How long what is written lasts, in milliseconds; none for good.
    pub(crate) ttl: Option<u64>,
    /// What must be there.
    pub(crate) expected: Option<Expected>,
}

/// A write that passed every check.
pub(crate) struct Prepared {
    /// The key, without prefix, of what was asked for.
    pub(crate) key: String,
    /// What it changes: all or nothing. What was asked for comes last.
    pub(crate) changes: Vec<Change>,
    /// When what it writes ends, in Unix milliseconds; none if it lasts.
    pub(crate) until: Option<u64>,
    /// What its client is told once it is in force.
    pub(crate) answer: Answer,
}

/// What a write is held against.
pub(crate) struct Context<'a> {
    pub(crate) state: &'a State,
    pub(crate) catalogue: &'a dyn Catalogue,
    /// Unix seconds.
    pub(crate) now: u64,
    /// The same in milliseconds.
    pub(crate) now_ms: u64,
    /// Where it will be kept.
    pub(crate) store: &'a dyn Store,
}

/// Checks a write and works out what it changes; the error is the client's answer.
pub(crate) fn prepare(write: Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let Write { ttl, expected, .. } = write;
    let mut prepared = match write.verb {
        Verb::Put => put(write, context),
        Verb::Post => post(write, context),
        Verb::Patch => patch(write, context),
        Verb::Delete => delete(&write, context),
    }?;
    prepared.until = ttl.map(|ttl| context.now_ms.saturating_add(ttl));
    if let (Some(expected), Some(subject)) = (expected, prepared.changes.last()) {
        expected.check(subject.kind, &subject.id, context.state)?;
    }
    Ok(prepared)
}

fn put(write: Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let place = write.place;
    let kind = place.kind;
    let id = place.id.as_deref().unwrap_or_default();
    let mut value = opened(kind, id, document(write.body)?, context)?;
    let named = named_id(&place, &mut value)?;
    forbid_times(&value)?;
    let mut value = checked(kind, named.as_deref(), value, context)?;
    if let Some(owner) = &place.owner
        && context.state.get(Kind::Consumer, owner).is_none()
    {
        return Err(Answer::error(StatusCode::NOT_FOUND, "consumer not found"));
    }
    let id = if kind == Kind::Consumer { value.get("username").and_then(id_text) } else { named };
    // An id that is neither text nor number has failed the schema.
    let id =
        id.ok_or_else(|| Answer::refused("invalid configuration: the id is neither a string nor a number"))?;
    if kind == Kind::PluginMetadata {
        value.insert("id".to_string(), Value::from(id.as_str()));
    } else {
        value.insert("create_time".to_string(), created(kind, &id, context));
        value.insert("update_time".to_string(), Value::from(context.now));
    }
    let status = match context.state.get(kind, &id) {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    stored(kind, id, value, status, context)
}

/// What a PUT stores under, as far as that is known before the document is checked. A consumer's id is its username and
/// that of metadata the plugin's name, whatever `id` their documents have.
fn named_id(place: &Place, value: &mut Map<String, Value>) -> Result<Option<String>, Answer> {
    if matches!(place.kind, Kind::Consumer | Kind::PluginMetadata) {
        return Ok(place.id.clone());
    }
    if let Some(id) = &place.id {
        settle_id(place.kind, value, id)?;
        return Ok(Some(place.stored_id(id)));
    }
    // APISIX fails where the URL has no whole id of a secret.
    let own = value.get("id").filter(|_| place.kind != Kind::Secret);
    let own = own.ok_or_else(|| missing_id(place.kind))?;
    Ok(id_text(own).map(|id| place.stored_id(&id)))
}

fn post(write: Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let kind = write.place.kind;
    let value = opened(kind, "", document(write.body)?, context)?;
    if write.place.id.is_some() || value.contains_key("id") {
        return Err(Answer::refused(format!("wrong {} id, do not need it", kind.spec().singular)));
    }
    forbid_times(&value)?;
    let mut value = checked(kind, None, value, context)?;
    let id = next_id(kind, context.state);
    value.insert("id".to_string(), Value::from(id.as_str()));
    value.insert("create_time".to_string(), Value::from(context.now));
    value.insert("update_time".to_string(), Value::from(context.now));
    stored(kind, id, value, StatusCode::CREATED, context)
}

fn patch(write: Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let Place { kind, id, path, .. } = write.place;
    let Some(body) = write.body else { return Err(Answer::refused("missing new configuration")) };
    let no_id = || if kind == Kind::Secret { Answer::refused("no secret id") } else { missing_id(kind) };
    let id = id.ok_or_else(no_id)?;
    let old = |id: &str| {
        context.state.get(kind, id).map(|entry| (*entry.value).clone()).ok_or_else(Answer::missing)
    };
    let mut own_update_time = false;
    let value = if path.is_empty() {
        let changes = members(body)?;
        own_update_time = changes.get("update_time").is_some_and(|time| !time.is_null());
        let mut value = members(old(&id)?)?;
        patch::merge(&mut value, changes);
        value
    } else {
        let mut value = old(&id)?;
        patch::set(&mut value, &path, body).map_err(Answer::refused)?;
        members(value)?
    };
    let mut value = opened(kind, &id, value, context)?;
    settle_id(kind, &mut value, &id)?;
    let mut value = checked(kind, Some(&id), value, context)?;
    value.entry("create_time").or_insert_with(|| created(kind, &id, context));
    if !own_update_time {
        value.insert("update_time".to_string(), Value::from(context.now));
    }
    stored(kind, id, value, StatusCode::OK, context)
}

fn delete(write: &Write, context: &Context<'_>) -> Result<Prepared, Answer> {
    let place = &write.place;
    let kind = place.kind;
    let id = place.id.as_deref().ok_or_else(|| missing_id(kind))?;
    let id = place.stored_id(id);
    if !write.force
        && let Some(reason) = referrer(kind, &id, &mut context.state.referrers(kind, &id))
    {
        return Err(Answer::refused(reason));
    }
    if context.state.get(kind, &id).is_none() {
        return Err(Answer::missing());
    }
    Ok(removal(kind, id, context.state))
}

/// Takes a resource away, and of a consumer all its credentials with it.
pub(crate) fn removal(kind: Kind, id: String, state: &State) -> Prepared {
    let mut changes = Vec::new();
    if kind == Kind::Consumer {
        let below = credential_id(&id, "");
        let credentials = state.below(Kind::Credential, &below);
        changes.extend(credentials.map(|entry| deletion(entry.kind, entry.id.clone())));
    }
    let body = json!({ "key": key(kind, &id), "deleted": "1" });
    let own_key = label(kind, &id);
    changes.push(deletion(kind, id));
    Prepared { key: own_key, changes, until: None, answer: Answer::json(StatusCode::OK, &body) }
}

fn deletion(kind: Kind, id: String) -> Change {
    Change { kind, id, value: None }
}

/// The answer shows the document as it is kept, with its secrets sealed, unless its kind shows them open.
fn stored(
    kind: Kind,
    id: String,
    value: Map<String, Value>,
    status: StatusCode,
    context: &Context<'_>,
) -> Result<Prepared, Answer> {
    let value = Arc::new(Value::Object(value));
    let at_rest = match kind.spec().shown {
        Shown::Open => Ok((*value).clone()),
        Shown::Sealed | Shown::Absent => context.store.at_rest(kind, &id, &value),
    };
    let at_rest =
        at_rest.map_err(|error| Answer::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    // Where nothing is sealed, a certificate's key is left out.
    let at_rest = if at_rest == *value { shown(kind, &value).into_owned() } else { at_rest };
    let body = json!({ "key": key(kind, &id), "value": at_rest });
    let own_key = label(kind, &id);
    let change = Change { kind, id, value: Some(value) };
    Ok(Prepared { key: own_key, changes: vec![change], until: None, answer: Answer::json(status, &body) })
}

/// The document with what APISIX has encrypted in it opened: it was taken from there.
fn opened(
    kind: Kind,
    id: &str,
    value: Map<String, Value>,
    context: &Context<'_>,
) -> Result<Map<String, Value>, Answer> {
    let mut value = Value::Object(value);
    context.store.open_foreign(kind, id, &mut value);
    members(value)
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
    id: Option<&str>,
    value: Map<String, Value>,
    context: &Context<'_>,
) -> Result<Map<String, Value>, Answer> {
    let mut value = Value::Object(value);
    // What a read showed sealed may be written back.
    if let Some((id, sealer)) = id.zip(context.store.sealer()) {
        sealer.open_own(kind, id, &mut value);
    }
    check(kind, id, &value, context.state, context.catalogue).map_err(Answer::refused)?;
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
