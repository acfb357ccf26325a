//! What APISIX answered to bad documents, replayed on this room's checks alone.
//!
//! Reads `../shared/golden` (seen from the project's root); skipped where the folder is missing.
#![allow(clippy::print_stdout, reason = "a test says what it skipped and which cases differ")]

use std::collections::HashMap;
use std::fs;

use a6_resources::{Catalogue, ConfKind, Entry, Kind, PluginSpec, References, Schema, check};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");

/// Texts of checks that are not this room's: the Admin API's own, and Lua's on code that a6 does not run.
const ELSEWHERE: [&str; 13] = [
    "the property is forbidden",
    "wrong route id",
    "wrong service id",
    "wrong upstream id",
    "wrong plugin config id",
    "wrong consumer group id",
    "wrong global rule id",
    "wrong ssl id",
    "wrong proto id",
    "missing configurations",
    "invalid request body",
    "invalid argument",
    "failed to load",
];

/// How a schema's violations begin.
const VIOLATIONS: [&str; 12] = [
    "property \"",
    "wrong type",
    "additional properties forbidden",
    "matches none",
    "object matches none",
    "value should match",
    "value wasn't",
    "expect",
    "failed to match pattern",
    "failed to validate dependent",
    "then clause",
    "else clause",
];

/// The empty gateway of a case's first step.
struct Nothing;

impl References for Nothing {
    fn exists(&self, _: Kind, _: &str) -> bool {
        false
    }

    fn entries(&self, _: Kind) -> Box<dyn Iterator<Item = &Entry> + '_> {
        Box::new(std::iter::empty())
    }
}

struct AiProxy(Vec<PluginSpec>);

impl Catalogue for AiProxy {
    fn specs(&self) -> &[PluginSpec] {
        &self.0
    }

    fn check(&self, name: &str, conf: &Value, _: ConfKind) -> Result<(), String> {
        match self.spec(name) {
            Some(spec) => spec.schema.check(conf),
            None => Err(format!("{name} is not in this catalogue")),
        }
    }
}

/// The cases and the recorded schemas; none if the folder is missing.
fn recorded() -> Option<(Vec<Value>, Value)> {
    let Ok(cases) = fs::read_to_string(format!("{GOLDEN}/admin.jsonl")) else {
        println!("skipped: ../shared/golden not found");
        return None;
    };
    let cases = cases.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
    let schemas = fs::read_to_string(format!("{GOLDEN}/schemas.json")).unwrap_or_default();
    Some((cases, serde_json::from_str(&schemas).unwrap_or_default()))
}

/// A PUT of a resource that has schemas of this room, and the `error_msg` of the 400 that it got.
struct Refused<'a> {
    kind: Kind,
    id: &'a str,
    document: Value,
    message: &'a str,
}

fn refused(step: &Value) -> Option<Refused<'_>> {
    let admin = step["on"] == "admin" && step["method"] == "PUT" && step["expect"]["status"] == 400;
    let (collection, id) = step["path"].as_str()?.strip_prefix("/apisix/admin/")?.split_once('/')?;
    // What metadata may be, the plugins say.
    let kind = Kind::of_collection(collection).filter(|kind| *kind != Kind::PluginMetadata)?;
    if !admin || id.contains(['/', '?']) {
        return None;
    }
    let mut document = match &step["body"] {
        Value::String(text) => serde_json::from_str(text).ok()?,
        body => body.clone(),
    };
    if let Some(members) = document.as_object_mut().filter(|_| kind != Kind::Consumer) {
        members.entry("id").or_insert_with(|| Value::from(id));
    }
    let message = step["expect"]["json"]["error_msg"].as_str()?;
    Some(Refused { kind, id, document, message })
}

/// Prints what differs and holds the rest to that share.
fn compare(rows: Vec<(String, String, String)>, percent: usize) {
    let differing: Vec<_> = rows.iter().filter(|(_, ours, recorded)| ours != recorded).collect();
    println!("{} of {} are worded as recorded", rows.len() - differing.len(), rows.len());
    for (case, ours, recorded) in &differing {
        println!("{case}\n  ours:     {ours}\n  recorded: {recorded}");
    }
    assert!(!rows.is_empty(), "no recorded case was found");
    assert!((rows.len() - differing.len()) * 100 >= rows.len() * percent, "fewer than {percent} % are equal");
}

#[test]
fn bad_documents_are_refused_as_recorded() {
    let Some((cases, mut schemas)) = recorded() else { return };
    let ai_proxy = PluginSpec {
        name: "ai-proxy",
        priority: 1040,
        version: "0.1",
        kind: None,
        schema: Schema::compile(schemas["plugins"]["ai-proxy"]["schema"].take()).unwrap(),
        consumer_schema: None,
        metadata_schema: None,
        consumer_key: None,
        encrypt_fields: &[],
    };
    let catalogue = AiProxy(vec![ai_proxy]);
    let known = schemas["plugins"].as_object().unwrap();
    let mut rows = Vec::new();
    for case in &cases {
        let Some([step]) = case["steps"].as_array().map(Vec::as_slice) else { continue };
        let Some(Refused { kind, id, document, message }) = refused(step) else { continue };
        let mut plugins = document["plugins"].as_object().into_iter().flat_map(|plugins| plugins.keys());
        let foreign = plugins.any(|name| name != "ai-proxy" && known.contains_key(name));
        if foreign || ELSEWHERE.iter().any(|text| message.starts_with(text)) {
            continue;
        }
        let ours = check(kind, Some(id), &document, &Nothing, &catalogue).err().unwrap_or_default();
        rows.push((case["id"].to_string(), ours, message.to_owned()));
    }
    compare(rows, 90);
}

#[test]
fn violations_of_plugin_schemas_are_worded_as_recorded() {
    let Some((cases, schemas)) = recorded() else { return };
    let mut compiled = HashMap::new();
    let mut rows = Vec::new();
    for case in &cases {
        for step in case["steps"].as_array().into_iter().flatten() {
            let Some(Refused { document, message, .. }) = refused(step) else { continue };
            let Some(message) = message.strip_prefix("failed to check the configuration of plugin ") else {
                continue;
            };
            let Some((name, violation)) = message.split_once(" err: ") else { continue };
            if !VIOLATIONS.iter().any(|text| violation.starts_with(text)) {
                continue;
            }
            let schema = compiled
                .entry(name.to_owned())
                .or_insert_with(|| Schema::compile(schemas["plugins"][name]["schema"].clone()).unwrap());
            let ours = schema.check(&document["plugins"][name]).err().unwrap_or_default();
            rows.push((case["id"].to_string(), ours, violation.to_owned()));
        }
    }
    compare(rows, 95);
}
