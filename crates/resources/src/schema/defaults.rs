//! What absent members count as.

use serde_json::Value;

use super::explain::first_violation;
use super::keywords::Patterns;

/// Puts in the defaults of absent members, also in members and items, as far as the schemas apply to the value.
pub(super) fn fill(schema: &Value, value: &mut Value, patterns: &Patterns) {
    let Value::Object(rules) = schema else { return };
    if let (Value::Object(members), Some(Value::Object(properties))) = (&mut *value, rules.get("properties"))
    {
        for (name, rule) in properties {
            if let Some(default) = rule.get("default").filter(|_| !members.contains_key(name)) {
                members.insert(name.clone(), default.clone());
            }
            if let Some(member) = members.get_mut(name) {
                fill(rule, member, patterns);
            }
        }
    }
    if let (Value::Array(items), Some(rule)) = (&mut *value, rules.get("items")) {
        items.iter_mut().for_each(|item| fill(rule, item, patterns));
    }
    for rule in rules.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        fill(rule, value, patterns);
    }
    for keyword in ["anyOf", "oneOf"] {
        let options = rules.get(keyword).and_then(Value::as_array);
        let fits = |option: &&Value| first_violation(option, value, patterns).is_ok();
        if let Some(option) = options.into_iter().flatten().find(fits) {
            fill(option, value, patterns);
        }
    }
    if let Some(condition) = rules.get("if") {
        let clause = if first_violation(condition, value, patterns).is_ok() { "then" } else { "else" };
        if let Some(rule) = rules.get(clause) {
            fill(rule, value, patterns);
        }
    }
}
