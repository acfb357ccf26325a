use std::sync::LazyLock;
use std::time::Instant;

use a6_core::{Clock, Fault};
use a6_limits::Key;
use a6_resources::Template;
use a6_resources::expr::{Operand, Variable, Variables};
use a6_snapshot::{Exchange, Stop};
use http::StatusCode;
use serde_json::Value;

/// Whole numbers up to here are exact in APISIX.
const MAX_WHOLE: u64 = (1 << 53) - 1;

/// A larger body counts as one without members.
const MAX_BODY: u64 = 64 << 20;

/// A member that is text.
pub(crate) fn text<'v>(conf: &'v Value, member: &str) -> Option<&'v str> {
    conf.get(member).and_then(Value::as_str)
}

/// A member that is true or false.
pub(crate) fn flag(conf: &Value, member: &str, default: bool) -> bool {
    conf.get(member).and_then(Value::as_bool).unwrap_or(default)
}

/// A member that is a list; empty if it is absent.
pub(crate) fn items<'v>(conf: &'v Value, member: &str) -> &'v [Value] {
    conf.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Refuses the policies that count outside of this process.
pub(crate) fn only_local(conf: &Value) -> Result<(), String> {
    match text(conf, "policy") {
        None | Some("local") => Ok(()),
        Some(policy) => Err(format!("policy {policy} is not supported yet; use local")),
    }
}

/// When the request began: milliseconds on a clock that never runs backwards, and that showed the time since the Unix
/// epoch when it was first asked.
pub(crate) fn now_ms(exchange: &Exchange) -> u64 {
    static BEGIN: LazyLock<(Instant, u64)> = LazyLock::new(|| (Instant::now(), Clock::system().unix_ms()));
    let (begin, unix_ms) = *BEGIN;
    let since = exchange.record.started.saturating_duration_since(begin);
    unix_ms.saturating_add(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reads the body for a key or limit that is in it.
pub(crate) async fn read_body(exchange: &mut Exchange) -> Result<(), Fault> {
    if exchange.body.announced().is_some_and(|length| length > MAX_BODY) {
        return Ok(());
    }
    if exchange.body.read(u64::MAX).await?.len() as u64 <= MAX_BODY {
        // Text that is not JSON has no members.
        let _ = exchange.body.document().await;
    }
    Ok(())
}

/// The counters of a configuration: told apart by what it is written on and by its content. Written again with the same
/// content, it goes on counting where it was.
pub(crate) fn counters(plugin: &str, owner: &str, conf: &Value) -> Key {
    Key::of(&[plugin, owner, &canonical(conf)])
}

/// A text that is the same for equal values, whatever the order of their members.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let member = |(name, member): (&String, &Value)| format!("{name:?}:{}", canonical(member));
            let mut members: Vec<_> = members.iter().map(member).collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// Whose requests are counted together.
#[derive(Debug)]
pub(crate) enum LimitKey {
    /// Those with the same value of a variable.
    Variable(Variable),
    /// Those for which a text with variables is the same.
    Combination(Template),
    /// All.
    Constant(Box<str>),
}

impl LimitKey {
    /// Reads `key` and `key_type`.
    pub(crate) fn compile(conf: &Value) -> Self {
        let key = text(conf, "key").unwrap_or("remote_addr");
        match text(conf, "key_type") {
            Some("constant") => Self::Constant(key.into()),
            Some("var_combination") => Self::Combination(Template::parse(key)),
            // A path into the body that cannot be parsed is a variable that nobody has.
            _ => Self::Variable(Variable::parse(key).unwrap_or_else(|_| Variable::Named(key.to_string()))),
        }
    }

    /// Whether it is in the request's body.
    pub(crate) fn needs_body(&self) -> bool {
        match self {
            Self::Variable(variable) => variable.needs_body(),
            Self::Combination(template) => template.needs_body(),
            Self::Constant(_) => false,
        }
    }

    /// The key of a request; the client's address where there is none.
    pub(crate) fn of(&self, exchange: &Exchange) -> String {
        let found = match self {
            Self::Variable(variable) => exchange.value(variable).map(Operand::into_text),
            Self::Combination(template) => fill(template, exchange),
            Self::Constant(text) => Some(text.to_string()),
        };
        let address = || exchange.request.client.peer.ip().to_canonical().to_string();
        found.filter(|text| !text.is_empty()).unwrap_or_else(address)
    }
}

/// Whom a rule concerns.
#[derive(Debug)]
pub(crate) enum RuleKey {
    /// Everybody.
    Everybody(LimitKey),
    /// Requests that have one of the variables; they are counted together by the text.
    IfKnown(Template),
}

impl RuleKey {
    /// Whether it is in the request's body.
    pub(crate) fn needs_body(&self) -> bool {
        match self {
            Self::Everybody(key) => key.needs_body(),
            Self::IfKnown(template) => template.needs_body(),
        }
    }

    /// The key of a request; none if the rule does not concern it.
    pub(crate) fn of(&self, exchange: &Exchange) -> Option<String> {
        match self {
            Self::Everybody(key) => Some(key.of(exchange)),
            Self::IfKnown(template) => fill(template, exchange),
        }
    }
}

/// None where no variable has a value, or there is no variable.
fn fill(template: &Template, exchange: &Exchange) -> Option<String> {
    let rendered = template.render(exchange);
    (rendered.resolved > 0).then_some(rendered.text)
}

/// A whole number that is written in a configuration, or that each request has its own of.
#[derive(Debug)]
pub(crate) struct Amount {
    source: Source,
    least: u64,
}

#[derive(Debug)]
enum Source {
    Number(u64),
    Text(Template),
}

impl Amount {
    /// Reads a member that is a number or text with variables; it must be `least` or more.
    ///
    /// # Errors
    /// It is absent, or not a whole number in range.
    pub(crate) fn compile(conf: &Value, member: &str, least: u64) -> Result<Self, String> {
        let value = conf.get(member).ok_or_else(|| format!("property \"{member}\" is required"))?;
        let source = match value {
            Value::String(text) => {
                let template = Template::parse(text);
                match parse(text, least).filter(|_| !template.has_variables()) {
                    Some(number) => Source::Number(number),
                    None => Source::Text(template),
                }
            }
            value => {
                let number = value.as_f64().and_then(|number| whole(number, least));
                let refused = || {
                    format!("{member}: expected a whole number from {least} to {MAX_WHOLE}, found {value}")
                };
                Source::Number(number.ok_or_else(refused)?)
            }
        };
        Ok(Self { source, least })
    }

    /// Whether it is in the request's body.
    pub(crate) fn needs_body(&self) -> bool {
        matches!(&self.source, Source::Text(template) if template.needs_body())
    }

    /// The number for a request; none if its text is not a whole number in range.
    pub(crate) fn of(&self, exchange: &Exchange) -> Option<u64> {
        match &self.source {
            Source::Number(number) => Some(*number),
            Source::Text(template) => parse(&template.render(exchange).text, self.least),
        }
    }
}

fn parse(text: &str, least: u64) -> Option<u64> {
    text.trim().parse::<f64>().ok().and_then(|number| whole(number, least))
}

fn whole(number: f64, least: u64) -> Option<u64> {
    let in_range = (least as f64..=MAX_WHOLE as f64).contains(&number) && number.fract() == 0.0;
    in_range.then_some(number as u64)
}

/// How a request over a limit is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: Option<Box<str>>,
}

impl Refusal {
    /// Reads `rejected_code` and `rejected_msg`.
    ///
    /// # Errors
    /// The code is no status.
    pub(crate) fn compile(conf: &Value) -> Result<Self, String> {
        let code = conf.get("rejected_code").and_then(Value::as_f64).unwrap_or(503.0);
        let status = StatusCode::from_u16(code as u16)
            .map_err(|_| format!("rejected_code: expected a status from 200 to 599, found {code}"))?;
        Ok(Self { status, message: text(conf, "rejected_msg").map(Into::into) })
    }

    /// The answer.
    pub(crate) fn stop(&self) -> Stop {
        match &self.message {
            Some(message) => Stop::error_msg(self.status, message),
            None => Stop::page(self.status),
        }
    }
}

/// What becomes of a request that no limit can be found for.
pub(crate) fn undecided(passes: bool) -> Result<(), Stop> {
    if passes { Ok(()) } else { Err(Stop::page(StatusCode::INTERNAL_SERVER_ERROR)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::testing;
    use serde_json::json;

    #[test]
    fn keys_are_variables_texts_or_constants_and_else_the_address() {
        let headers = [("a", "1"), ("empty", "")];
        let cases = [
            (json!({}), "127.0.0.1"),
            (json!({"key": "http_a"}), "1"),
            (json!({"key": "http_b"}), "127.0.0.1"),
            (json!({"key": "http_empty"}), "127.0.0.1"),
            (json!({"key": ""}), "127.0.0.1"),
            (json!({"key": "$http_a"}), "127.0.0.1"),
            (json!({"key": "$http_a $http_b", "key_type": "var_combination"}), "1 "),
            (json!({"key": "$http_b x", "key_type": "var_combination"}), "127.0.0.1"),
            (json!({"key": "x", "key_type": "var_combination"}), "127.0.0.1"),
            (json!({"key": "http_a", "key_type": "constant"}), "http_a"),
        ];
        let exchange = testing::exchange("GET", "/t", &headers, "");
        for (conf, expected) in cases {
            assert_eq!(LimitKey::compile(&conf).of(&exchange), expected, "{conf}");
        }
    }

    #[test]
    fn amounts_are_whole_numbers_or_texts_that_become_one() {
        let headers =
            [("n", "7"), ("zero", "0"), ("half", "1.5"), ("big", "9007199254740992"), ("inf", "inf")];
        let exchange = testing::exchange("GET", "/t", &headers, "");
        let cases = [
            (json!(5), Some(5)),
            (json!(5.0), Some(5)),
            (json!("5"), Some(5)),
            (json!("$http_n"), Some(7)),
            (json!("${http_n}0"), Some(70)),
            (json!("${http_none ?? 3}"), Some(3)),
            (json!("$http_none"), None),
            (json!("$http_zero"), None),
            (json!("$http_half"), None),
            (json!("$http_big"), None),
            (json!("$http_inf"), None),
            (json!("a"), None),
        ];
        for (value, expected) in cases {
            let amount = Amount::compile(&json!({"count": value}), "count", 1).unwrap();
            assert_eq!(amount.of(&exchange), expected, "{value}");
        }
        let zero = Amount::compile(&json!({"burst": "$http_zero"}), "burst", 0).unwrap();
        assert_eq!(zero.of(&exchange), Some(0));
        let error = Amount::compile(&json!({"count": 9_007_199_254_740_992_u64}), "count", 1).unwrap_err();
        assert_eq!(
            error,
            "count: expected a whole number from 1 to 9007199254740991, found 9007199254740992"
        );
    }

    #[test]
    fn counters_are_told_apart_by_owner_and_content_not_by_order() {
        let conf = json!({"count": 1, "rules": [{"a": 1, "b": "x"}]});
        let same = json!({"rules": [{"b": "x", "a": 1}], "count": 1});
        let own = counters("limit-count", "/routes/1", &conf);
        assert_eq!(own, counters("limit-count", "/routes/1", &same));
        let others = [
            counters("limit-req", "/routes/1", &conf),
            counters("limit-count", "/routes/2", &conf),
            counters("limit-count", "/routes/1", &json!({"count": 1, "rules": [{"a": 1, "b": "y"}]})),
            counters("limit-count", "/routes/1", &json!({"count": 1})),
        ];
        assert!(others.iter().all(|other| *other != own));
    }
}
