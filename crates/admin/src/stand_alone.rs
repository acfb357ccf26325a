//! The stand-alone Admin API: a client holds the whole configuration and puts it here at once; nothing is kept on disk.

use std::collections::HashSet;
use std::sync::Arc;

use a6_resources::{Catalogue, Configuration, ItemFault, Kind};
use a6_store::{Opener, Unopened};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Number, Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::answer::{Answer, shown};
use crate::validate::{NO_STREAMS, item_error, not_a_number, parse, repeated, told};
use crate::writer::{Refused, Writer};

/// Collections that APISIX has besides those of the kinds: `plugins` are kept without effect, of streams there may be none.
const OTHERS: [&str; 2] = ["stream_routes", "plugins"];
const DIGEST: &str = "x-digest";
const MODIFIED: &str = "x-last-modified";
/// So many secrets that no key opens are told in the log.
const TOLD: usize = 10;

/// The configuration as its client gave it.
#[derive(Default)]
pub(crate) struct Whole(Arc<Mutex<Held>>);

/// What is held.
#[derive(Clone, Default)]
struct Held {
    /// The client's own word for this state; empty before the first.
    digest: String,
    /// Unix seconds.
    modified: u64,
    collections: Vec<Collection>,
}

#[derive(Clone)]
struct Collection {
    name: &'static str,
    kind: Option<Kind>,
    version: Number,
    items: Vec<Value>,
}

/// A configuration that is to be held next, and what is wrong with it.
struct Checked {
    next: Held,
    configuration: Arc<Configuration>,
    unopened: Vec<Unopened>,
    troubles: Vec<Trouble>,
}

/// What is wrong with a collection, or with an item of it.
struct Trouble {
    collection: &'static str,
    /// Which item, from 0.
    index: Option<usize>,
    /// What a PUT says of it.
    refusal: String,
    /// What the validation says of it. Boxed, since a JSON value is large.
    error: Box<Value>,
}

impl Whole {
    /// Everything, as JSON or, where the client prefers it, YAML.
    pub(crate) async fn get(&self, headers: &HeaderMap) -> Answer {
        let held = self.0.lock().await;
        let document = held.document();
        let wants_yaml = headers
            .get(header::ACCEPT)
            .is_some_and(|accept| accept.as_bytes().starts_with(b"application/yaml"));
        let answer = if wants_yaml {
            match serde_saphyr::to_string(&document) {
                Ok(text) => Answer::yaml(text),
                Err(error) => Answer::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("the configuration cannot be written as YAML: {error}"),
                ),
            }
        } else {
            Answer::json(StatusCode::OK, &document)
        };
        held.mark(answer)
    }

    /// The headers of [`Whole::get`].
    pub(crate) async fn head(&self) -> Answer {
        self.0.lock().await.mark(Answer::text(StatusCode::OK, ""))
    }

    /// Takes a whole configuration into force, or nothing of it.
    pub(crate) async fn put(
        &self,
        headers: &HeaderMap,
        bytes: &[u8],
        writer: &Writer,
        catalogue: &dyn Catalogue,
        opener: Option<&Opener>,
    ) -> Result<Answer, Answer> {
        let digest = headers.get(DIGEST).and_then(|digest| digest.to_str().ok());
        let digest = digest.ok_or_else(|| Answer::refused("missing digest header"))?;
        let members = members(headers, bytes)?;
        // Held until it is in force: two of them are taken one after the other.
        let held = self.0.clone().lock_owned().await;
        if !held.digest.is_empty() && held.digest == digest {
            return Ok(Answer::text(StatusCode::NO_CONTENT, ""));
        }
        let Checked { mut next, configuration, unopened, troubles } =
            held.checked(members, catalogue, opener);
        if let Some(first) = troubles.into_iter().next() {
            return Err(Answer::refused(first.refusal));
        }
        digest.clone_into(&mut next.digest);
        // A task of its own: a client that leaves must not keep what is in force from being what is held.
        let taking = tokio::spawn(take(held, next, configuration, unopened, writer.clone()));
        taking.await.unwrap_or_else(|_| {
            Err(Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "the configuration could not be taken over"))
        })
    }

    /// Tells all that a PUT of this body would be refused for; only what shows when it is compiled does not.
    pub(crate) async fn validate(
        &self,
        headers: &HeaderMap,
        bytes: &[u8],
        catalogue: &dyn Catalogue,
        opener: Option<&Opener>,
    ) -> Result<Answer, Answer> {
        let members = members(headers, bytes)?;
        let checked = self.0.lock().await.checked(members, catalogue, opener);
        let errors: Vec<Value> = checked.troubles.into_iter().map(|trouble| *trouble.error).collect();
        Ok(told(&errors))
    }
}

/// The collections that a body has.
fn members(headers: &HeaderMap, bytes: &[u8]) -> Result<Map<String, Value>, Answer> {
    let failed = |why: String| Answer::refused(format!("invalid request body: {why}"));
    match parse(headers, bytes).map_err(failed)? {
        Value::Object(members) => Ok(members),
        _ => Err(failed("expected an object of arrays, one for each collection".to_string())),
    }
}

/// Takes into force what is to be held next.
async fn take(
    mut held: OwnedMutexGuard<Held>,
    mut next: Held,
    configuration: Arc<Configuration>,
    unopened: Vec<Unopened>,
    writer: Writer,
) -> Result<Answer, Answer> {
    match writer.replace(configuration).await {
        Ok((_, now)) => {
            for one in unopened.iter().take(TOLD) {
                tracing::warn!("{}", one.warning());
            }
            next.modified = now;
            *held = next;
            Ok(held.mark(Answer::text(StatusCode::ACCEPTED, "")))
        }
        Err(Refused::Snapshot(rejection)) => {
            Err(Answer::refused(format!("{}: {}", rejection.key, rejection.reason)))
        }
        Err(refused) => {
            // What is in force is not known to be what is held: no digest may say that there is nothing to do.
            held.digest.clear();
            Err(refused.answer())
        }
    }
}

impl Held {
    /// Every collection, in the order in which the kinds refer to each other.
    fn all(&self) -> Vec<Collection> {
        if !self.collections.is_empty() {
            return self.collections.clone();
        }
        let kinds = Kind::all().iter().filter(|spec| spec.kind != Kind::Credential);
        let named = kinds.map(|spec| (spec.collection, Some(spec.kind)));
        let named = named.chain(OTHERS.map(|name| (name, None)));
        named
            .map(|(name, kind)| Collection { name, kind, version: Number::from(0), items: Vec::new() })
            .collect()
    }

    /// What becomes of it by a request's body, and all that is wrong with that, by collection and item.
    fn checked(
        &self,
        members: Map<String, Value>,
        catalogue: &dyn Catalogue,
        opener: Option<&Opener>,
    ) -> Checked {
        let mut troubles = Vec::new();
        let next = self.next(members, &mut troubles);
        let mut configuration = next.configuration(&mut troubles);
        let unopened = opener.map(|opener| opener.open_all(&mut configuration)).unwrap_or_default();
        for fault in configuration.check(catalogue) {
            let error = Unopened::explain(&unopened, &fault);
            let ItemFault { collection, index, .. } = fault;
            let held = next.collections.iter().find(|held| held.name == collection);
            let item = held.and_then(|held| held.items.get(index));
            troubles.push(Trouble::of_item(collection, index, item, error));
        }
        let place = |name: &str| next.collections.iter().position(|held| held.name == name);
        troubles.sort_by_key(|trouble| (place(trouble.collection), trouble.index));
        Checked { next, configuration: Arc::new(configuration), unopened, troubles }
    }

    /// Of a collection with a later version the items are replaced, of one with the same version they stay.
    fn next(&self, mut members: Map<String, Value>, troubles: &mut Vec<Trouble>) -> Self {
        let mut collections = self.all();
        for collection in &mut collections {
            let name = collection.name;
            match collection.version_in(&members) {
                Ok(version) if compare(&version, &collection.version).is_eq() => continue,
                Ok(version) => collection.version = version,
                Err(trouble) => troubles.push(trouble),
            }
            collection.items = match members.shift_remove(name) {
                Some(Value::Array(items)) => items,
                // An empty table of Lua has no type.
                Some(Value::Object(items)) if items.is_empty() => Vec::new(),
                None | Some(Value::Null) => Vec::new(),
                Some(_) => {
                    troubles.push(Trouble::of_collection(name, format!("{name} must be an array")));
                    Vec::new()
                }
            };
        }
        Self { collections, ..self.clone() }
    }

    fn configuration(&self, troubles: &mut Vec<Trouble>) -> Configuration {
        let mut configuration = Configuration::default();
        for &Collection { name, kind, ref items, .. } in &self.collections {
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let Some(kind) = kind else {
                    if name != "plugins" {
                        troubles.push(Trouble::of_item(name, index, Some(item), NO_STREAMS.to_string()));
                    }
                    continue;
                };
                if let Some(why) = repeated(kind, item, &mut seen) {
                    let trouble = Trouble::of_item(name, index, Some(item), why.clone());
                    troubles.push(Trouble { refusal: why, ..trouble });
                }
                let mut item = item.clone();
                if let Value::Object(members) = &mut item {
                    // It tells APISIX what it need not build anew; here that is seen from the item itself.
                    members.shift_remove("modifiedIndex");
                }
                configuration.add(kind, index, item);
            }
        }
        configuration
    }

    fn document(&self) -> Value {
        let mut document = Map::new();
        for Collection { name, kind, version, items } in self.all() {
            let items = items.iter().map(|item| match kind {
                Some(kind) => shown(kind, item).into_owned(),
                None => item.clone(),
            });
            document.insert(name.to_string(), items.collect());
            document.insert(format!("{name}_conf_version"), Value::Number(version));
        }
        document.insert("X-Last-Modified".to_string(), json!(self.modified));
        document.insert("X-Digest".to_string(), json!(self.digest));
        Value::Object(document)
    }

    fn mark(&self, answer: Answer) -> Answer {
        answer.with(MODIFIED, &self.modified.to_string()).with(DIGEST, &self.digest)
    }
}

impl Collection {
    /// Its version in a request's body; without one it is the next.
    fn version_in(&self, members: &Map<String, Value>) -> Result<Number, Trouble> {
        let name = format!("{}_conf_version", self.name);
        let version = match members.get(&name) {
            None => later(&self.version),
            Some(Value::Number(version)) if is_countable(version) => version.clone(),
            Some(Value::Number(_)) => {
                let text = format!("{name} must be below 9007199254740992 (2^53)");
                return Err(Trouble::of_collection(self.name, text));
            }
            Some(other) => {
                let trouble = Trouble::of_collection(self.name, not_a_number(&name, other));
                return Err(Trouble { refusal: format!("{name} must be a number"), ..trouble });
            }
        };
        if compare(&version, &self.version).is_lt() {
            let text = format!("{name} must be greater than or equal to ({})", self.version);
            return Err(Trouble::of_collection(self.name, text));
        }
        Ok(version)
    }
}

impl Trouble {
    fn of_collection(collection: &'static str, why: String) -> Self {
        let error = Box::new(json!({ "resource_type": collection, "error": why }));
        Self { collection, index: None, refusal: why, error }
    }

    fn of_item(collection: &'static str, index: usize, item: Option<&Value>, why: String) -> Self {
        let refusal = format!("invalid {collection} at index {index}, err: {why}");
        Self {
            collection,
            index: Some(index),
            refusal,
            error: Box::new(item_error(collection, index, item, why)),
        }
    }
}

fn compare(a: &Number, b: &Number) -> std::cmp::Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
    }
}

/// Whether there is a number after this one, also for a client that counts in doubles.
fn is_countable(version: &Number) -> bool {
    version.as_f64().is_some_and(|version| version.abs() < 9_007_199_254_740_992.0)
}

/// The version after this one.
fn later(version: &Number) -> Number {
    let whole = version.as_i64().and_then(|version| version.checked_add(1)).map(Number::from);
    let whole = whole.or_else(|| Number::from_f64(version.as_f64().unwrap_or_default() + 1.0));
    whole.unwrap_or_else(|| version.clone())
}
