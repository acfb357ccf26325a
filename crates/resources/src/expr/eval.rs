use std::borrow::Cow;

use serde_json::Value;

use super::parse::{text_to_number, to_number};
use super::{Comparison, Op, Variable};

/// The value of a variable in one request.
#[derive(Clone, Debug)]
pub enum Operand<'a> {
    /// Text, as everything outside a JSON body is.
    Text(Cow<'a, str>),
    /// A value of a JSON body, with its type.
    Json(Cow<'a, Value>),
}

/// Where the values come from.
pub trait Variables {
    /// The variable's value; none if it is absent.
    fn value(&self, variable: &Variable) -> Option<Operand<'_>>;
}

impl Operand<'_> {
    /// The value as text: a string as it stands, any other JSON value as JSON.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text.into_owned(),
            Self::Json(value) => match &*value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            },
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text_to_number(text),
            Self::Json(value) => to_number(value),
        }
    }

    fn equals(&self, other: &Value) -> bool {
        match self {
            Self::Text(text) => other.as_str() == Some(text.as_ref()),
            Self::Json(value) => **value == *other || both_numbers_equal(value, other),
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Json(value) => match &**value {
                Value::String(text) => Some(Cow::Borrowed(text)),
                Value::Number(number) => Some(Cow::Owned(number.to_string())),
                _ => None,
            },
        }
    }
}

fn both_numbers_equal(a: &Value, b: &Value) -> bool {
    matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

/// Holds a value against an operator; `None` is an absent variable.
pub(super) fn test(operand: Option<&Operand<'_>>, op: &Op) -> bool {
    let Some(operand) = operand else {
        return matches!(op, Op::Eq(Value::Null));
    };
    match op {
        Op::EqNumber(number) => operand.number() == Some(*number),
        Op::Eq(Value::Null) => matches!(operand, Operand::Json(value) if value.is_null()),
        Op::Eq(value) => operand.equals(value),
        Op::Compare(comparison, right) => operand.number().is_some_and(|left| match comparison {
            Comparison::Greater => left > *right,
            Comparison::GreaterOrEqual => left >= *right,
            Comparison::Less => left < *right,
            Comparison::LessOrEqual => left <= *right,
        }),
        Op::Never => false,
        Op::Matches(regex) => operand.text().is_some_and(|text| regex.is_match(&text)),
        Op::In(list) => list.iter().any(|value| operand.equals(value)),
        Op::Has(wanted) => match operand {
            Operand::Json(value) => value
                .as_array()
                .is_some_and(|list| list.iter().any(|v| v == wanted || both_numbers_equal(v, wanted))),
            Operand::Text(_) => false,
        },
        Op::IpMatch(networks) => operand
            .text()
            .and_then(|text| text.parse().ok())
            .is_some_and(|ip: std::net::IpAddr| networks.iter().any(|network| network.contains(&ip))),
    }
}
