use regex::RegexBuilder;
use serde_json::Value;

use super::{Comparison, Expr, Op, Variable, parse_network};

/// The whole rule: an array of expressions, or one logical expression.
pub(super) fn top(value: &Value) -> Result<Expr, String> {
    let Value::Array(rule) = value else {
        return Err("rule should be wrapped inside brackets".into());
    };
    match rule.first() {
        None => Ok(Expr::All(Vec::new())),
        Some(Value::String(word)) if Logical::of(word).is_some() => expression(value),
        Some(Value::Array(_)) => rule.iter().map(expression).collect::<Result<_, _>>().map(Expr::All),
        Some(_) => Err("rule should be wrapped inside brackets".into()),
    }
}

#[derive(Clone, Copy)]
struct Logical {
    any: bool,
    negated: bool,
}

impl Logical {
    fn of(word: &str) -> Option<Self> {
        let (negated, name) = match word.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let any = match name.to_ascii_uppercase().as_str() {
            "AND" => false,
            "OR" => true,
            _ => return None,
        };
        Some(Self { any, negated })
    }
}

fn expression(value: &Value) -> Result<Expr, String> {
    let Value::Array(items) = value else {
        return Err("rule should be wrapped inside brackets".into());
    };
    let Some(Value::String(first)) = items.first() else {
        return Err("invalid expression".into());
    };
    let Some(logical) = Logical::of(first) else {
        return comparison(first, &items[1..]);
    };
    if items.len() < 3 {
        return Err("rule too short".into());
    }
    let operands = items[1..].iter().map(expression).collect::<Result<Vec<_>, _>>()?;
    let joined = if logical.any { Expr::Any(operands) } else { Expr::All(operands) };
    Ok(if logical.negated { Expr::Not(Box::new(joined)) } else { joined })
}

fn comparison(name: &str, rest: &[Value]) -> Result<Expr, String> {
    let variable = Variable::parse(name)?;
    match rest {
        [value] => operator("==", value).map(|op| Expr::Test(variable, op)),
        [Value::String(word), value] => {
            if word == "~=" {
                return operator("==", value).map(|op| Expr::Not(Box::new(Expr::Test(variable, op))));
            }
            operator(word, value).map(|op| Expr::Test(variable, op))
        }
        [not, Value::String(word), value] => {
            if not != "!" {
                return Err("bad 'not' expression".into());
            }
            comparison(name, &[Value::String(word.clone()), value.clone()]).map(|e| Expr::Not(Box::new(e)))
        }
        _ => Err("invalid expression".into()),
    }
}

fn operator(word: &str, value: &Value) -> Result<Op, String> {
    let compare = |comparison| match to_number(value) {
        Some(number) => Op::Compare(comparison, number),
        None => Op::Never,
    };
    Ok(match word {
        "==" => match value.as_f64() {
            Some(number) => Op::EqNumber(number),
            None => Op::Eq(value.clone()),
        },
        ">" => compare(Comparison::Greater),
        ">=" => compare(Comparison::GreaterOrEqual),
        "<" => compare(Comparison::Less),
        "<=" => compare(Comparison::LessOrEqual),
        "~~" | "~*" => pattern(value, word == "~*")?,
        "in" => Op::In(value.as_array().ok_or("invalid expression")?.clone()),
        "has" => Op::Has(value.clone()),
        "ipmatch" | "IPMATCH" => Op::IpMatch(networks(value)?),
        other => return Err(format!("invalid operator '{other}'")),
    })
}

fn pattern(value: &Value, ignore_case: bool) -> Result<Op, String> {
    let text = value.as_str().ok_or("invalid expression")?;
    RegexBuilder::new(text)
        .case_insensitive(ignore_case)
        .build()
        .map(Op::Matches)
        .map_err(|error| format!("invalid regular expression \"{text}\": {error}"))
}

fn networks(value: &Value) -> Result<Vec<ipnet::IpNet>, String> {
    let one = |value: &Value| {
        value.as_str().and_then(parse_network).ok_or_else(|| "invalid ip address".to_string())
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        single => one(single).map(|network| vec![network]),
    }
}

/// Lua's `tonumber` for what occurs in requests: a JSON number, or text that is a decimal number.
pub(super) fn to_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text_to_number(text),
        _ => None,
    }
}

pub(super) fn text_to_number(text: &str) -> Option<f64> {
    // Rust also reads "inf" and "nan", which Lua does not.
    let text = text.trim();
    if text.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) {
        return None;
    }
    text.parse().ok()
}
