use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::*;

struct Fixed {
    texts: HashMap<&'static str, &'static str>,
    body: Value,
}

impl Variables for Fixed {
    fn value(&self, variable: &Variable) -> Option<Operand<'_>> {
        match variable {
            Variable::Arg(name) => self.texts.get(name.as_str()).map(|t| Operand::Text(Cow::Borrowed(t))),
            Variable::Body(BodyPath::Members(path)) => path
                .iter()
                .try_fold(&self.body, |value, member| value.get(member))
                .map(|value| Operand::Json(Cow::Borrowed(value))),
            Variable::Body(BodyPath::Query(query)) => {
                let found: Vec<Value> = query.query(&self.body).all().into_iter().cloned().collect();
                (!found.is_empty()).then(|| Operand::Json(Cow::Owned(Value::Array(found))))
            }
            _ => None,
        }
    }
}

#[test]
fn every_operator_as_lua_resty_expr_decides() {
    let request = Fixed {
        texts: HashMap::from([("a", "1"), ("b", "abc"), ("ip", "10.1.2.3"), ("e", "")]),
        body: json!({"model": "gpt-4", "n": 5, "ok": true, "messages": [{"role": "user"}, {"role": "tool"}]}),
    };
    let cases = [
        (json!([]), true),
        (json!([["arg_a", "==", "1"]]), true),
        (json!([["arg_a", "1"]]), true),
        (json!([["arg_a", "==", 1]]), true),
        (json!([["arg_b", "==", 1]]), false),
        (json!([["arg_b", "~=", 1]]), true),
        (json!([["arg_missing", "~=", "x"]]), true),
        (json!([["arg_missing", "==", null]]), true),
        (json!([["arg_a", "==", null]]), false),
        (json!([["arg_a", ">", "0"]]), true),
        (json!([["arg_a", ">=", 1]]), true),
        (json!([["arg_a", "<", 1]]), false),
        (json!([["arg_a", "<=", 1]]), true),
        (json!([["arg_b", ">", 0]]), false),
        (json!([["arg_e", "<", 10]]), false),
        (json!([["arg_a", "<", "x"]]), false),
        (json!([["arg_b", "~~", "^[a-z]+$"]]), true),
        (json!([["arg_b", "~~", "^ABC$"]]), false),
        (json!([["arg_b", "~*", "^ABC$"]]), true),
        (json!([["arg_b", "!", "~~", "^x"]]), true),
        (json!([["arg_missing", "~~", ".*"]]), false),
        (json!([["arg_a", "in", ["1", "2"]]]), true),
        (json!([["arg_a", "in", [1]]]), false),
        (json!([["arg_ip", "ipmatch", ["10.0.0.0/8"]]]), true),
        (json!([["arg_ip", "ipmatch", "10.9.0.0/16"]]), false),
        (json!([["post_arg.model", "==", "gpt-4"]]), true),
        (json!([["post_arg.n", "==", 5]]), true),
        (json!([["post_arg.n", "==", "5"]]), false),
        (json!([["post_arg.ok", "==", true]]), true),
        (json!([["post_arg.messages[*].role", "has", "tool"]]), true),
        (json!([["post_arg.messages[*].role", "has", "system"]]), false),
        (json!(["OR", ["arg_a", "==", "2"], ["arg_b", "==", "abc"]]), true),
        (json!(["!or", ["arg_a", "==", "2"], ["arg_b", "==", "abc"]]), false),
        (json!(["!AND", ["arg_a", "==", "1"], ["arg_b", "==", "x"]]), true),
        (json!([["arg_a", "==", "1"], ["arg_b", "==", "x"]]), false),
        (json!(["AND", ["arg_a", "==", "1"], ["OR", ["arg_b", "==", "x"], ["arg_b", "==", "abc"]]]), true),
    ];
    for (vars, expected) in cases {
        let expr = Expr::parse(&vars).unwrap_or_else(|error| panic!("{vars}: {error}"));
        assert_eq!(expr.holds(&request), expected, "{vars}");
    }
}

#[test]
fn malformed_expressions_are_named() {
    let cases = [
        (json!(["arg_a", "==", "1"]), "rule should be wrapped inside brackets"),
        (json!("arg_a"), "rule should be wrapped inside brackets"),
        (json!([["arg_a", "===", "1"]]), "invalid operator '==='"),
        (json!([["arg_a", "!~~", "x"]]), "invalid operator '!~~'"),
        (json!([["arg_a"]]), "invalid expression"),
        (json!([["arg_a", "?", "==", "1"]]), "bad 'not' expression"),
        (json!(["OR", ["arg_a", "==", "1"]]), "rule too short"),
        (json!([["arg_a", "ipmatch", ["x"]]]), "invalid ip address"),
        (json!([["post_arg.a['\\u", "has", 1]]), "invalid expression \"$.a['\\u\": a string does not end"),
        (
            json!([["post_arg.a[?((((((((1", "has", 1]]),
            "invalid expression \"$.a[?((((((((1\": nested deeper than 8 levels",
        ),
    ];
    for (vars, expected) in cases {
        assert_eq!(Expr::parse(&vars).err().as_deref(), Some(expected), "{vars}");
    }
}

#[test]
fn only_body_variables_need_the_body() {
    let needs = |vars| Expr::parse(&vars).unwrap().needs_body();
    assert!(needs(json!([["arg_a", "==", "1"], ["!AND", ["post_arg.m", "==", "1"], ["arg_b", "1"]]])));
    assert!(!needs(json!([["arg_a", "==", "1"], ["http_x", "==", "1"]])));
}
