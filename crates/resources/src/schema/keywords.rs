//! Which keywords a document may use. One that `explain.rs` does not word would make it call an invalid value valid,
//! so that such a document is refused when it is compiled.

use std::collections::HashMap;

use jsonschema::Validator;
use serde_json::{Value, json};

/// A regular expression of a document to its validator; the same engine as for the whole document.
pub(super) type Patterns = HashMap<String, Validator>;

/// The formats that are checked; APISIX knows few more.
const FORMATS: [&str; 2] = ["ipv4", "ipv6"];

/// Every pattern of the document. The error names the place of a keyword that is not known.
pub(super) fn patterns(document: &Value) -> Result<Patterns, String> {
    let mut found = Patterns::new();
    collect(document, "#", &mut found)?;
    Ok(found)
}

fn collect(schema: &Value, place: &str, found: &mut Patterns) -> Result<(), String> {
    let Value::Object(rules) = schema else { return Ok(()) };
    for (keyword, rule) in rules {
        let here = format!("{place}/{keyword}");
        match keyword.as_str() {
            "properties" | "patternProperties" | "dependencies" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if keyword == "patternProperties" {
                        add(name, &here, found)?;
                    }
                    collect(schema, &format!("{here}/{name}"), found)?;
                }
            }
            "allOf" | "anyOf" | "oneOf" => {
                for (index, schema) in rule.as_array().into_iter().flatten().enumerate() {
                    collect(schema, &format!("{here}/{index}"), found)?;
                }
            }
            "items" if rule.is_array() => {
                return Err(format!(
                    "{here}: a list of schemas is not supported; give one schema for all items"
                ));
            }
            "additionalProperties" | "items" | "contains" | "not" | "if" | "then" | "else" => {
                collect(rule, &here, found)?;
            }
            "pattern" => add(rule.as_str().unwrap_or_default(), &here, found)?,
            "type" if !rule.is_string() => {
                return Err(format!("{here}: expected one type name, found {rule}"));
            }
            "format" if !FORMATS.iter().any(|format| rule == format) => {
                return Err(format!("{here}: expected one of {}, found {rule}", FORMATS.join(", ")));
            }
            "type" | "format" | "enum" | "const" | "required" | "minProperties" | "maxProperties"
            | "minItems" | "maxItems" | "uniqueItems" | "minLength" | "maxLength" | "minimum" | "maximum"
            | "exclusiveMinimum" | "exclusiveMaximum" => {}
            "title" | "description" | "default" | "examples" | "$comment" | "$schema" | "encrypt_fields" => {}
            _ => return Err(format!("{here}: this keyword is not supported")),
        }
    }
    Ok(())
}

fn add(pattern: &str, place: &str, found: &mut Patterns) -> Result<(), String> {
    if found.contains_key(pattern) {
        return Ok(());
    }
    let compiled =
        super::validator(&json!({ "pattern": pattern })).map_err(|why| format!("{place}: {why}"))?;
    found.insert(pattern.to_owned(), compiled);
    Ok(())
}
