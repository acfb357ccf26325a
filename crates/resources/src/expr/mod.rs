//! `vars` expressions: lua-resty-expr's grammar, compiled once, evaluated per request.
//!
//! - `variable.rs`: what the left side names: `arg_a`, `http_x_canary`, `post_arg.model` ...
//! - `parse.rs`: JSON to [`Expr`], with lua-resty-expr's error texts.
//! - `eval.rs`: an [`Expr`] against the [`Variables`] of a request.

mod eval;
mod parse;
#[cfg(test)]
mod tests;
mod variable;

use ipnet::IpNet;
use regex::Regex;
use serde_json::Value;

pub use eval::{Operand, Variables};
pub use variable::{BodyPath, Variable};

/// A condition on a request.
#[derive(Clone, Debug)]
pub enum Expr {
    /// All must hold; none is true.
    All(Vec<Expr>),
    /// One must hold.
    Any(Vec<Expr>),
    /// The opposite.
    Not(Box<Expr>),
    /// A variable compared with a value.
    Test(Variable, Op),
}

/// What is asked of a variable.
#[derive(Clone, Debug)]
pub enum Op {
    /// Equal to a number, after conversion.
    EqNumber(f64),
    /// Equal in value and type; `null` means absent.
    Eq(Value),
    /// A numeric comparison; both sides are converted.
    Compare(Comparison, f64),
    /// A comparison with something that is not a number never holds.
    Never,
    /// A regular expression finds something.
    Matches(Regex),
    /// One of these, value and type.
    In(Vec<Value>),
    /// An array that contains this.
    Has(Value),
    /// An address in one of these networks.
    IpMatch(Vec<IpNet>),
}

/// `>`, `>=`, `<` or `<=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Expr {
    /// Parses the value of `vars`.
    ///
    /// # Errors
    /// lua-resty-expr's text, such as `invalid operator '==='`.
    pub fn parse(value: &Value) -> Result<Self, String> {
        parse::top(value)
    }

    /// Whether evaluating it may need the request's body.
    pub fn needs_body(&self) -> bool {
        match self {
            Self::All(list) | Self::Any(list) => list.iter().any(Self::needs_body),
            Self::Not(inner) => inner.needs_body(),
            Self::Test(variable, _) => variable.needs_body(),
        }
    }

    /// Whether the request satisfies it.
    pub fn holds(&self, variables: &dyn Variables) -> bool {
        match self {
            Self::All(list) => list.iter().all(|expr| expr.holds(variables)),
            Self::Any(list) => list.iter().any(|expr| expr.holds(variables)),
            Self::Not(inner) => !inner.holds(variables),
            Self::Test(variable, op) => eval::test(variables.value(variable).as_ref(), op),
        }
    }
}

/// Reads an IP address or CIDR.
pub fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}
