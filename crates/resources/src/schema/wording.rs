//! Values as Lua sees them: APISIX's messages are printed by Lua, and some of its verdicts follow from Lua's types.

use serde_json::Value;

/// Lua's name of a JSON value's type.
pub(crate) fn lua_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    }
}

/// A text as Lua's `%q` quotes it: backslash, quote and newline get a backslash in front.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '\\' | '"' | '\n' => out.extend(['\\', character]),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// A number as Lua prints it (`%.14g`): 14 significant digits, no trailing zeros.
pub(super) fn number(value: &Value) -> String {
    let Some(number) = value.as_f64() else { return value.to_string() };
    let scientific = format!("{number:.13e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific.as_str(), "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..14).contains(&exponent) {
        let decimals = usize::try_from(13 - exponent).unwrap_or_default();
        return without_zeros(&format!("{number:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.unsigned_abs())
}

fn without_zeros(decimal: &str) -> &str {
    if !decimal.contains('.') {
        return decimal;
    }
    decimal.trim_end_matches('0').trim_end_matches('.')
}

/// A text that is the same for values that Lua holds for equal: 1 and 1.0, objects in any order, `{}` and `[]`.
pub(super) fn fingerprint(value: &Value) -> String {
    let joined = |mut parts: Vec<String>, sort: bool| {
        if sort {
            parts.sort_unstable();
        }
        format!("[{}]", parts.join(","))
    };
    match value {
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        Value::Array(items) => joined(items.iter().map(fingerprint).collect(), false),
        Value::Object(members) => {
            let parts = members.iter().map(|(name, member)| format!("{name:?}:{}", fingerprint(member)));
            joined(parts.collect(), true)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_print_as_in_lua() {
        for (value, text) in [
            (json!(0), "0"),
            (json!(-1), "-1"),
            (json!(1.0), "1"),
            (json!(0.5), "0.5"),
            (json!(65536), "65536"),
            (json!(0.1), "0.1"),
            (json!(99999999999999_u64), "99999999999999"),
            (json!(100000000000000_u64), "1e+14"),
            (json!(1.5e300), "1.5e+300"),
            (json!(0.00001), "1e-05"),
        ] {
            assert_eq!(number(&value), text);
        }
    }

    #[test]
    fn texts_are_quoted_as_in_lua() {
        assert_eq!(quoted(r#"^\S+"x"#), r#""^\\S+\"x""#);
        assert_eq!(quoted("a\nb"), "\"a\\\nb\"");
    }

    #[test]
    fn equal_in_lua_is_equal_here() {
        for (left, right, equal) in [
            (json!(1), json!(1.0), true),
            (json!({"a": 1, "b": [2]}), json!({"b": [2.0], "a": 1}), true),
            (json!({}), json!([]), true),
            (json!("1"), json!(1), false),
            (json!([1, 2]), json!([2, 1]), false),
            (json!(null), json!("null"), false),
        ] {
            assert_eq!(fingerprint(&left) == fingerprint(&right), equal, "{left} and {right}");
        }
    }
}
