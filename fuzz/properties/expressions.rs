//! Any JSON as `vars`, held against any body: never a panic, and a negated rule holds where the rule does not.
//!
//! An input is the rule and, behind it, the request: one JSON object that stands for its body, and whose texts stand for
//! its other variables too.

use std::borrow::Cow;

use a6_resources::expr::{BodyPath, Expr, Operand, Variable, Variables};
use serde_json::Value;

/// Results of a JSONPath multiply with the depth of a body, and what an operator asks for is not looked at here.
const DEEPEST_BODY: usize = 8;

struct Request(Value);

impl Variables for Request {
    fn value(&self, variable: &Variable) -> Option<Operand<'_>> {
        match variable {
            Variable::Arg(name)
            | Variable::Header(name)
            | Variable::Cookie(name)
            | Variable::Form(name)
            | Variable::Named(name) => {
                self.0.get(name)?.as_str().map(|text| Operand::Text(Cow::Borrowed(text)))
            }
            Variable::Body(BodyPath::Members(path)) => path
                .iter()
                .try_fold(&self.0, |value, member| value.get(member))
                .map(|value| Operand::Json(Cow::Borrowed(value))),
            Variable::Body(BodyPath::Query(query)) => {
                let found: Vec<Value> = query.query(&self.0).all().into_iter().cloned().collect();
                (!found.is_empty()).then(|| Operand::Json(Cow::Owned(Value::Array(found))))
            }
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The opposite of a rule; none for the rule without expressions, which has none.
fn negation(rule: &Value) -> Option<Value> {
    let items = rule.as_array()?;
    let operands = match items.first()? {
        Value::Array(_) => items.clone(),
        _ => vec![rule.clone()],
    };
    // One operand twice, since a logical expression needs two.
    let mut negation = vec![Value::from("!AND"), operands.first()?.clone()];
    negation.extend(operands);
    Some(Value::Array(negation))
}

/// Holds an input to the property.
pub(crate) fn property(input: &[u8]) {
    let mut documents = serde_json::Deserializer::from_slice(input).into_iter::<Value>();
    let Some(Ok(rule)) = documents.next() else { return };
    let body = documents.next().and_then(Result::ok).filter(|body| depth(body) <= DEEPEST_BODY);
    let request = Request(body.unwrap_or_default());
    let expr = match Expr::parse(&rule) {
        Ok(expr) => expr,
        Err(reason) => {
            assert!(!reason.is_empty(), "refused without a reason");
            return;
        }
    };
    let holds = expr.holds(&request);
    if let Some(negation) = negation(&rule) {
        let negated = Expr::parse(&negation).map(|expr| (expr.holds(&request), expr.needs_body()));
        assert_eq!(negated, Ok((!holds, expr.needs_body())), "{negation}");
    }
}
