//! Headers as plugins' configurations write them: names, values with variables, and what is added, set and removed.

use a6_resources::Template;
use a6_resources::expr::Variables;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::pattern::{Captures, group_reference};

/// A header's value: text with variables, and with `$1` for what a pattern has found.
#[derive(Debug)]
pub(crate) struct HeaderText(Kind);

#[derive(Debug)]
enum Kind {
    Fixed(HeaderValue),
    Pieces(Vec<Piece>),
}

#[derive(Debug)]
enum Piece {
    Text(Template),
    Group(usize),
}

/// What becomes of headers: first some are added, then some are set, then some are removed.
#[derive(Debug, Default)]
pub(crate) struct HeaderChanges {
    add: Vec<(HeaderName, HeaderText)>,
    set: Vec<(HeaderName, Vec<HeaderText>)>,
    remove: Vec<HeaderName>,
}

/// One change, its value filled in.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    /// Another header of that name.
    Add(HeaderName, HeaderValue),
    /// Instead of every header of that name.
    Set(HeaderName, HeaderValue),
    /// None of that name.
    Remove(HeaderName),
}

impl HeaderText {
    fn parse(text: &str) -> Self {
        if !text.contains('$') {
            return Self(Kind::Fixed(header_value(text)));
        }
        let mut pieces = Vec::new();
        let mut pending = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            pending.push_str(before);
            match group_reference(after) {
                Some((group, length)) => {
                    if !pending.is_empty() {
                        pieces.push(Piece::Text(Template::parse(&std::mem::take(&mut pending))));
                    }
                    pieces.push(Piece::Group(group));
                    rest = &after[length..];
                }
                None => {
                    pending.push('$');
                    rest = after;
                }
            }
        }
        pending.push_str(rest);
        if !pending.is_empty() {
            pieces.push(Piece::Text(Template::parse(&pending)));
        }
        Self(Kind::Pieces(pieces))
    }

    /// Whether filling it in may need the request's body.
    pub(crate) fn needs_body(&self) -> bool {
        match &self.0 {
            Kind::Fixed(_) => false,
            Kind::Pieces(pieces) => {
                pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.needs_body()))
            }
        }
    }

    /// Fills in what it refers to; what is absent leaves nothing.
    pub(crate) fn render(&self, variables: &dyn Variables, found: Option<&Captures<'_>>) -> HeaderValue {
        let pieces = match &self.0 {
            Kind::Fixed(value) => return value.clone(),
            Kind::Pieces(pieces) => pieces,
        };
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(template) => text.push_str(&template.render(variables).text),
                Piece::Group(group) => {
                    text.push_str(found.and_then(|found| found.get(*group)).unwrap_or_default());
                }
            }
        }
        header_value(&text)
    }
}

impl HeaderChanges {
    /// Reads `{"add": .., "set": .., "remove": [..]}`, or a map of headers to set. `add` is a map, or a list of
    /// `Name: value`; one malformed line there makes all of the changes void, as in APISIX. Names that no header can
    /// have, and those that frame a body, are left out.
    pub(crate) fn compile(conf: &Value) -> Self {
        let member = |name: &str| conf.get(name);
        let is_new = member("add").is_some_and(|add| add.is_object() || add.is_array())
            || member("set").is_some_and(Value::is_object)
            || member("remove").is_some_and(Value::is_array);
        if !is_new {
            let set = fields(Some(conf)).into_iter().map(|(name, value)| (name, vec![value])).collect();
            return Self { set, ..Self::default() };
        }
        let add = match member("add") {
            Some(Value::Array(lines)) => match lines.iter().map(line).collect::<Option<_>>() {
                Some(fields) => fields,
                None => return Self::default(),
            },
            map => fields(map),
        };
        let mut set = Vec::new();
        for (name, value) in object(member("set")) {
            if let Some(name) = header_name(name) {
                set.push((name, texts(value)));
            }
        }
        let remove = member("remove").and_then(Value::as_array).into_iter().flatten();
        let remove = remove.filter_map(Value::as_str).filter_map(|name| HeaderName::try_from(name).ok());
        Self { add, set, remove: remove.collect() }
    }

    /// The same without a header's name.
    pub(crate) fn except(mut self, name: &HeaderName) -> Self {
        self.add.retain(|(own, _)| own != name);
        self.set.retain(|(own, _)| own != name);
        self.remove.retain(|own| own != name);
        self
    }

    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.add.is_empty() && self.set.is_empty() && self.remove.is_empty()
    }

    /// Whether filling in the values may need the request's body.
    pub(crate) fn needs_body(&self) -> bool {
        let set = self.set.iter().flat_map(|(_, values)| values);
        self.add.iter().map(|(_, value)| value).chain(set).any(HeaderText::needs_body)
    }

    /// The changes in their order, with their values filled in.
    pub(crate) fn render(&self, variables: &dyn Variables, found: Option<&Captures<'_>>) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.add.len() + self.set.len() + self.remove.len());
        for (name, value) in &self.add {
            changes.push(Change::Add(name.clone(), value.render(variables, found)));
        }
        for (name, values) in &self.set {
            for (index, value) in values.iter().enumerate() {
                let value = value.render(variables, found);
                changes.push(match index {
                    0 => Change::Set(name.clone(), value),
                    _ => Change::Add(name.clone(), value),
                });
            }
        }
        changes.extend(self.remove.iter().cloned().map(Change::Remove));
        changes
    }
}

/// Makes the changes.
pub(crate) fn apply(changes: Vec<Change>, headers: &mut HeaderMap) {
    for change in changes {
        match change {
            Change::Add(name, value) => {
                headers.append(name, value);
            }
            Change::Set(name, value) => {
                headers.insert(name, value);
            }
            Change::Remove(name) => {
                headers.remove(name);
            }
        }
    }
}

/// Reads a map of headers to texts, numbers or lists of them.
pub(crate) fn fields(map: Option<&Value>) -> Vec<(HeaderName, HeaderText)> {
    let mut fields = Vec::new();
    for (name, value) in object(map) {
        if let Some(name) = header_name(name) {
            fields.extend(texts(value).into_iter().map(|text| (name.clone(), text)));
        }
    }
    fields
}

/// Text as a header's value. Characters that would end it are percent-encoded, as OpenResty does.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
        return value;
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => safe.push(c),
            c if c.is_ascii_control() => safe.push_str(&format!("%{:02X}", u32::from(c))),
            c => safe.push(c),
        }
    }
    HeaderValue::from_bytes(safe.as_bytes()).unwrap_or(HeaderValue::from_static(""))
}

/// A member that is the status of an answer, such as `ret_code`. A status below 200 announces an answer and is none: a
/// client would wait for ever.
///
/// # Errors
/// It is not within 200 and 999; the text names it.
pub(crate) fn status(conf: &Value, member: &str) -> Result<Option<StatusCode>, String> {
    let Some(value) = conf.get(member) else { return Ok(None) };
    let whole = value.as_f64().filter(|number| number.fract() == 0.0 && (200.0..=999.0).contains(number));
    match whole.and_then(|number| StatusCode::from_u16(number as u16).ok()) {
        Some(status) => Ok(Some(status)),
        None => {
            Err(format!("{member}: {value} is no status of an answer; use a whole number from 200 to 999"))
        }
    }
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// None for what no header is called, and for headers that say where a body ends: those are the gateway's own.
fn header_name(name: &str) -> Option<HeaderName> {
    let name = HeaderName::try_from(name).ok()?;
    (name != CONTENT_LENGTH && name != TRANSFER_ENCODING).then_some(name)
}

fn texts(value: &Value) -> Vec<HeaderText> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => vec![HeaderText::parse(text)],
        Value::Number(_) => vec![HeaderText::parse(&number(value))],
        _ => Vec::new(),
    }
}

/// A number as Lua prints it: a whole one without a fraction.
fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}"),
        _ => value.to_string(),
    }
}

/// `Name: value`; the value may hold no colon.
fn line(line: &Value) -> Option<(HeaderName, HeaderText)> {
    let (name, value) = line.as_str()?.split_once(':')?;
    let value = value.trim_start();
    if value.is_empty() || value.contains(':') {
        return None;
    }
    Some((header_name(name.trim())?, HeaderText::parse(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::pattern::Pattern;
    use crate::support::testing;
    use serde_json::json;

    /// What a list of headers becomes, as `name=value` texts.
    fn changed(conf: &Value, before: &[(&str, &str)]) -> Vec<String> {
        let exchange = testing::exchange("GET", "/t?a=1&n=x%0D%0Ay", before, "");
        let found = Pattern::new("^/(.)").unwrap();
        let found = found.captures("/t");
        let mut headers = exchange.request.headers.clone();
        apply(HeaderChanges::compile(conf).render(&exchange, found.as_ref()), &mut headers);
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.iter().map(|(name, value)| format!("{name}={}", text(value))).collect()
    }

    #[test]
    fn headers_are_added_then_set_then_removed() {
        let before: &[(&str, &str)] = &[("x-a", "0")];
        let cases: [(Value, &[&str]); 14] = [
            (json!({"add": {"X-A": "1"}}), &["x-a=0", "x-a=1"]),
            (json!({"set": {"X-A": "1"}}), &["x-a=1"]),
            (json!({"set": {"X-A": ["1", 2]}}), &["x-a=1", "x-a=2"]),
            (json!({"remove": ["X-A"]}), &[]),
            (json!({"add": {"X-A": 1}, "set": {"X-A": 2}, "remove": ["x-a"]}), &[]),
            (json!({"X-A": "1", "X-B": 2.0}), &["x-a=1", "x-b=2"]),
            (json!({"remove": "x"}), &["x-a=0", "remove=x"]),
            (json!({"set": {"X-A": "$nothing"}}), &["x-a="]),
            (json!({"set": {"X-A": "$arg_a-${arg_z ?? d}-$1|${1}x|$2"}}), &["x-a=1-d-t|tx|"]),
            (json!({"set": {"X-A": "$arg_n"}}), &["x-a=x%0D%0Ay"]),
            (json!({"set": {"a b": "1", "Content-Length": "5"}}), &["x-a=0"]),
            (json!({"add": ["X-A: 1", "X-A : 2 "]}), &["x-a=0", "x-a=1", "x-a=2 "]),
            (json!({"add": ["X-A: 1", "X-B: a:b"], "set": {"X-C": "1"}}), &["x-a=0"]),
            (json!({}), &["x-a=0"]),
        ];
        for (conf, expected) in cases {
            assert_eq!(changed(&conf, before), expected, "{conf}");
        }
    }

    #[test]
    fn one_name_can_be_left_out() {
        let conf = json!({"add": {"Host": "a"}, "set": {"host": "b"}, "remove": ["HOST"]});
        assert!(HeaderChanges::compile(&conf).except(&http::header::HOST).is_empty());
        assert!(!HeaderChanges::compile(&conf).is_empty());
    }

    #[test]
    fn statuses_have_three_digits() {
        let of = |value| status(&json!({"s": value}), "s");
        assert_eq!(of(json!(302)), Ok(Some(StatusCode::FOUND)));
        assert_eq!(of(json!(404.0)), Ok(Some(StatusCode::NOT_FOUND)));
        assert_eq!(status(&json!({}), "s"), Ok(None));
        for number in [1000, 199, 100] {
            let refused =
                format!("s: {number} is no status of an answer; use a whole number from 200 to 999");
            assert_eq!(of(json!(number)), Err(refused));
        }
    }
}
