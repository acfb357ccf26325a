//! The first violation of a document, in APISIX's words and order.
//!
//! Used only once the validator has called a value invalid, and then it has the last word, because Lua sees some values
//! differently: `{}` and `[]` are one thing, a secret reference passes any string's rules, and a member that is absent
//! counts with its default in the conditions that follow.
//!
//! Order within one schema: type; members with their dependencies and whether they are required; unknown members;
//! counts; items; strings; numbers; enum; allOf, anyOf, oneOf, if, not, format, const, contains.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use super::keywords::Patterns;
use super::wording::{fingerprint, lua_type, number, quoted};

type Members = Map<String, Value>;
type Outcome = Result<(), String>;

/// The first violation; none if Lua would accept the value.
pub(super) fn first_violation(document: &Value, value: &Value, patterns: &Patterns) -> Outcome {
    Walk { patterns }.value(document, value)
}

struct Walk<'a> {
    patterns: &'a Patterns,
}

impl Walk<'_> {
    fn value(&self, schema: &Value, value: &Value) -> Outcome {
        let rules = match schema {
            Value::Object(rules) => rules,
            Value::Bool(false) => return Err("expect false always".to_owned()),
            _ => return Ok(()),
        };
        let wanted = rules.get("type").and_then(Value::as_str);
        if matches!(wanted, None | Some("string")) && value.as_str().is_some_and(crate::is_reference) {
            return Ok(());
        }
        if let Some(wanted) = wanted
            && !is_type(value, wanted)
        {
            return Err(format!("wrong type: expected {wanted}, got {}", lua_type(value)));
        }
        let empty = Members::new();
        let filled = match members_of(value, &empty) {
            Some(members) => match self.object(rules, members)? {
                Cow::Owned(members) => Some(Value::Object(members)),
                Cow::Borrowed(_) => None,
            },
            None => None,
        };
        let value = filled.as_ref().unwrap_or(value);
        if let Some(items) = items_of(value) {
            self.array(rules, items)?;
        }
        match value {
            Value::String(text) => self.text(rules, text)?,
            Value::Number(_) => range(rules, value)?,
            _ => {}
        }
        one_of_values(rules, value)?;
        self.combined(rules, value)?;
        self.conditional(rules, value)
    }

    /// Checks an object; gives it back with the defaults of absent members.
    fn object<'v>(&self, rules: &Members, members: &'v Members) -> Result<Cow<'v, Members>, String> {
        let mut members = Cow::Borrowed(members);
        let properties = rules.get("properties").and_then(Value::as_object);
        let required = names(rules, "required");
        for (name, rule) in properties.into_iter().flatten() {
            if let Some(member) = members.get(name) {
                self.value(rule, member)
                    .map_err(|why| format!("property {} validation failed: {why}", quoted(name)))?;
                self.dependency(rules, name, &members)?;
            } else if required.contains(&name.as_str()) {
                return Err(format!("property {} is required", quoted(name)));
            } else if let Some(default) = rule.get("default") {
                members.to_mut().insert(name.clone(), default.clone());
            }
        }
        if let Some(name) = required.iter().find(|name| !members.contains_key(**name)) {
            return Err(format!("property {} is required", quoted(name)));
        }
        let dependent = rules.get("dependencies").and_then(Value::as_object);
        for name in dependent.into_iter().flat_map(Map::keys) {
            if members.contains_key(name) && !properties.is_some_and(|all| all.contains_key(name)) {
                self.dependency(rules, name, &members)?;
            }
        }
        self.other_members(rules, &members)?;
        let count = members.len() as u64;
        match (limit(rules, "minProperties"), limit(rules, "maxProperties")) {
            (Some(least), _) if count < least => {
                Err(format!("expect object to have at least {least} properties"))
            }
            (_, Some(most)) if count > most => {
                Err(format!("expect object to have at most {most} properties"))
            }
            _ => Ok(members),
        }
    }

    /// What must hold because the object has that member.
    fn dependency(&self, rules: &Members, name: &str, members: &Members) -> Outcome {
        match rules.get("dependencies").and_then(|all| all.get(name)) {
            None => Ok(()),
            Some(Value::Array(needed)) => {
                match needed.iter().filter_map(Value::as_str).find(|name| !members.contains_key(*name)) {
                    Some(absent) => {
                        Err(format!("property {} is required when {} is set", quoted(absent), quoted(name)))
                    }
                    None => Ok(()),
                }
            }
            Some(schema) => self
                .value(schema, &Value::Object(members.clone()))
                .map_err(|why| format!("failed to validate dependent schema for {}: {why}", quoted(name))),
        }
    }

    /// Members by pattern, and members that no rule names.
    fn other_members(&self, rules: &Members, members: &Members) -> Outcome {
        let properties = rules.get("properties").and_then(Value::as_object);
        let patterns = rules.get("patternProperties").and_then(Value::as_object);
        let additional = rules.get("additionalProperties");
        for (name, member) in members {
            let mut known = properties.is_some_and(|all| all.contains_key(name));
            for (pattern, rule) in patterns.into_iter().flatten() {
                if self.matches(pattern, name) {
                    known = true;
                    self.value(rule, member).map_err(|why| {
                        format!("failed to validate {name} (matching {}): {why}", quoted(pattern))
                    })?;
                }
            }
            match additional {
                _ if known => {}
                None => {}
                Some(Value::Bool(false)) => {
                    return Err(format!("additional properties forbidden, found {name}"));
                }
                Some(rule) => self
                    .value(rule, member)
                    .map_err(|why| format!("failed to validate additional property {name}: {why}"))?,
            }
        }
        Ok(())
    }

    fn array(&self, rules: &Members, items: &[Value]) -> Outcome {
        let count = items.len() as u64;
        if let Some(least) = limit(rules, "minItems").filter(|least| count < *least) {
            return Err(format!("expect array to have at least {least} items"));
        }
        if let Some(most) = limit(rules, "maxItems").filter(|most| count > *most) {
            return Err(format!("expect array to have at most {most} items"));
        }
        if let Some(rule) = rules.get("items") {
            for (number, item) in (1..).zip(items) {
                self.value(rule, item).map_err(|why| format!("failed to validate item {number}: {why}"))?;
            }
        }
        if rules.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = HashMap::with_capacity(items.len());
            for (number, item) in (1..).zip(items) {
                if let Some(earlier) = seen.insert(fingerprint(item), number) {
                    return Err(format!("expected unique items but items {earlier} and {number} are equal"));
                }
            }
        }
        Ok(())
    }

    fn text(&self, rules: &Members, text: &str) -> Outcome {
        let length = text.chars().count() as u64;
        if let Some(least) = limit(rules, "minLength").filter(|least| length < *least) {
            return Err(format!("string too short, expected at least {least}, got {length}"));
        }
        if let Some(most) = limit(rules, "maxLength").filter(|most| length > *most) {
            return Err(format!("string too long, expected at most {most}, got {length}"));
        }
        match rules.get("pattern").and_then(Value::as_str) {
            Some(pattern) if !self.matches(pattern, text) => {
                Err(format!("failed to match pattern {} with {}", quoted(pattern), quoted(text)))
            }
            _ => Ok(()),
        }
    }

    fn combined(&self, rules: &Members, value: &Value) -> Outcome {
        let options = |keyword: &str| rules.get(keyword).and_then(Value::as_array);
        for (number, option) in (1..).zip(options("allOf").into_iter().flatten()) {
            self.value(option, value).map_err(|why| format!("allOf {number} failed: {why}"))?;
        }
        if let Some(options) = options("anyOf")
            && !options.iter().any(|option| self.value(option, value).is_ok())
        {
            let listed: Vec<String> =
                options.iter().filter_map(|option| option.get("required")).map(Value::to_string).collect();
            let colon = if listed.is_empty() { "" } else { ": " };
            return Err(format!("object matches none of the required{colon}{}", listed.join(" or ")));
        }
        if let Some(options) = options("oneOf") {
            let mut matching = (1..)
                .zip(options)
                .filter(|(_, option)| self.value(option, value).is_ok())
                .map(|(number, _)| number);
            match (matching.next(), matching.next()) {
                (None, _) => {
                    return Err("value should match only one schema, but matches none".to_owned());
                }
                (Some(first), Some(second)) => {
                    return Err(format!(
                        "value should match only one schema, but matches both schemas {first} and {second}"
                    ));
                }
                (Some(_), None) => {}
            }
        }
        Ok(())
    }

    fn conditional(&self, rules: &Members, value: &Value) -> Outcome {
        if let Some(condition) = rules.get("if") {
            let clause = if self.value(condition, value).is_ok() { "then" } else { "else" };
            if let Some(consequence) = rules.get(clause)
                && self.value(consequence, value).is_err()
            {
                return Err(format!("{clause} clause did not match"));
            }
        }
        if let Some(unwanted) = rules.get("not")
            && self.value(unwanted, value).is_ok()
        {
            return Err("value wasn't supposed to match schema".to_owned());
        }
        format(rules, value)?;
        if let Some(wanted) = rules.get("const")
            && fingerprint(wanted) != fingerprint(value)
        {
            return Err("failed to check const value".to_owned());
        }
        if let Some(wanted) = rules.get("contains")
            && let Some(items) = items_of(value)
            && !items.iter().any(|item| self.value(wanted, item).is_ok())
        {
            return Err("failed to check contains".to_owned());
        }
        Ok(())
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        let compiled = self.patterns.get(pattern);
        compiled.is_none_or(|pattern| pattern.is_valid(&Value::String(text.to_owned())))
    }
}

fn range(rules: &Members, value: &Value) -> Outcome {
    let Some(found) = value.as_f64() else { return Ok(()) };
    for keyword in ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"] {
        let Some(rule) = rules.get(keyword) else { continue };
        let Some(bound) = rule.as_f64() else { continue };
        let (holds, words) = match keyword {
            "minimum" => (found >= bound, "at least"),
            "exclusiveMinimum" => (found > bound, "greater than"),
            "maximum" => (found <= bound, "at most"),
            _ => (found < bound, "less than"),
        };
        if !holds {
            return Err(format!("expected {} to be {words} {}", number(value), number(rule)));
        }
    }
    Ok(())
}

fn one_of_values(rules: &Members, value: &Value) -> Outcome {
    let Some(choices) = rules.get("enum").and_then(Value::as_array) else { return Ok(()) };
    let found = fingerprint(value);
    if choices.iter().any(|choice| fingerprint(choice) == found) {
        return Ok(());
    }
    Err("matches none of the enum values".to_owned())
}

fn format(rules: &Members, value: &Value) -> Outcome {
    let (Some(format), Some(text)) = (rules.get("format").and_then(Value::as_str), value.as_str()) else {
        return Ok(());
    };
    let valid = match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        _ => true,
    };
    if valid { Ok(()) } else { Err(format!("expect valid {format} address but got: {text}")) }
}

fn is_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object() || items_of(value).is_some_and(<[Value]>::is_empty),
        "array" => items_of(value).is_some(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "null" => value.is_null(),
        other => lua_type(value) == other,
    }
}

/// An object's members. An empty array is an empty object too.
fn members_of<'v>(value: &'v Value, empty: &'v Members) -> Option<&'v Members> {
    match value {
        Value::Object(members) => Some(members),
        Value::Array(items) if items.is_empty() => Some(empty),
        _ => None,
    }
}

/// An array's items. An empty object is an empty array too.
fn items_of(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        Value::Object(members) if members.is_empty() => Some(&[]),
        _ => None,
    }
}

fn names<'v>(rules: &'v Members, keyword: &str) -> Vec<&'v str> {
    rules.get(keyword).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn limit(rules: &Members, keyword: &str) -> Option<u64> {
    rules.get(keyword).and_then(Value::as_u64)
}
