//! What the gateway has, as a file would say it.

use serde_json::Value;
use ureq::http::Method;

use super::sections::{Identity, SECTIONS, Section};
use crate::client::{Client, escape};
use crate::errors::{Failure, Result};
use crate::kinds::Object;

/// The largest page the Admin API gives.
const PAGE: usize = 500;

/// The objects of each section that was asked for, in the order of a dump.
pub(super) struct Remote {
    /// Sections with their objects, each with its key.
    pub(super) sections: Vec<(&'static Section, Vec<(String, Object)>)>,
}

impl Remote {
    /// Asks for the sections that are `wanted`.
    pub(super) fn fetch(client: &Client, wanted: &dyn Fn(&Section) -> bool) -> Result<Self> {
        let mut sections: Vec<(&'static Section, Vec<(String, Object)>)> = Vec::new();
        for section in SECTIONS.iter().filter(|section| wanted(section)) {
            let found = match section.identity {
                Identity::Credential => credentials(client, section, &sections)?,
                Identity::Plugin => metadata(client, section)?,
                // Every gateway has routes: what knows of none is not the Admin API.
                _ if section.name == "routes" => listed(client, section, &section.collection_path(), never)?,
                _ => listed(client, section, &section.collection_path(), is_switched_off)?,
            };
            sections.push((section, found));
        }
        Ok(Self { sections })
    }
}

/// A gateway without such a collection answers 404, and 400 where a whole feature is switched off.
fn is_switched_off(failure: &Failure) -> bool {
    matches!(failure.status(), Some(400 | 404))
}

fn never(_: &Failure) -> bool {
    false
}

fn listed(
    client: &Client,
    section: &Section,
    path: &str,
    is_absent: fn(&Failure) -> bool,
) -> Result<Vec<(String, Object)>> {
    let mut found = Vec::new();
    let mut seen = 0;
    for page in 1.. {
        let query = [("page", page.to_string()), ("page_size", PAGE.to_string())];
        let answer = match client.json(Method::GET, path, &query, None) {
            Ok(answer) => answer,
            Err(failure) if seen == 0 && is_absent(&failure) => break,
            Err(failure) => return Err(failure),
        };
        let Value::Object(mut envelope) = answer else {
            return Err(Failure::new(format!("failed to parse response: {path}: a list must be an object")));
        };
        let total = envelope.get("total").and_then(Value::as_u64).unwrap_or(0);
        let items = match envelope.shift_remove("list") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        seen += items.len();
        let is_last = items.is_empty() || seen as u64 >= total;
        for item in items {
            found.push(
                object(section, item)
                    .map_err(|why| Failure::new(format!("failed to parse response: {path}: {why}")))?,
            );
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// The object of an item of a list, with its key: what its own document says, else what the item's key says.
fn object(section: &Section, mut item: Value) -> std::result::Result<(String, Object), String> {
    let Some(Value::Object(value)) = item.get_mut("value").map(Value::take) else {
        return Err("an item without an object in \"value\"".to_owned());
    };
    let stored = item.get("key").and_then(Value::as_str).unwrap_or_default();
    let mut last = stored.rsplit('/').filter(|part| !part.is_empty());
    let (own, before, owner) = (last.next(), last.next(), last.next());
    let own_key = section.key(&value).ok();
    let key = match (section.identity, own, before, owner) {
        (Identity::Credential, Some(id), Some("credentials"), Some(owner)) => Some(format!("{owner}/{id}")),
        (Identity::Secret, Some(id), Some(manager), _) => Some(format!("{manager}/{id}")),
        (Identity::Plugin, Some(name), ..) => Some(name.to_owned()),
        _ => own_key.or_else(|| own.map(str::to_owned)),
    };
    let key = key.ok_or_else(|| "an item that has no name".to_owned())?;
    let object = section.in_file(&key, value);
    Ok((key, object))
}

/// The credentials of every consumer, whose names are known by now. Who has none is answered with 404.
fn credentials(
    client: &Client,
    section: &Section,
    known: &[(&'static Section, Vec<(String, Object)>)],
) -> Result<Vec<(String, Object)>> {
    let consumers = known.iter().find(|(section, _)| section.identity == Identity::Username);
    let mut found = Vec::new();
    for (username, _) in consumers.into_iter().flat_map(|(_, consumers)| consumers) {
        let path = format!("{}/{}/credentials", section.collection_path(), escape(username));
        found.extend(listed(client, section, &path, |failure| failure.status() == Some(404))?);
    }
    Ok(found)
}

/// Plugin metadata, from the collection; where a gateway has no such list, plugin by plugin.
fn metadata(client: &Client, section: &Section) -> Result<Vec<(String, Object)>> {
    match listed(client, section, &section.collection_path(), never) {
        Err(failure) if is_switched_off(&failure) => {}
        outcome => return outcome,
    }
    let plugins = match client.json(Method::GET, "/apisix/admin/plugins/list", &[], None) {
        Ok(plugins) => plugins,
        Err(failure) if is_switched_off(&failure) => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    let mut found = Vec::new();
    for name in plugins.as_array().into_iter().flatten().filter_map(Value::as_str) {
        match client.json(Method::GET, &section.path(name), &[], None) {
            Ok(answer) => {
                let (_, value) = object(section, answer)
                    .map_err(|why| Failure::new(format!("failed to parse response: {name}: {why}")))?;
                found.push((name.to_owned(), value));
            }
            Err(failure) if failure.status() == Some(404) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}
