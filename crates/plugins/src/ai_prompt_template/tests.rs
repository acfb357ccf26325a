use a6_resources::Schema;
use a6_snapshot::{Plugin, Stop};
use serde_json::{Value, json};

use super::AiPromptTemplate;
use crate::support::testing;

fn conf() -> Value {
    let said = |content: &str| json!({"messages": [{"role": "user", "content": content}]});
    json!({
        "templates": [
            {
                "name": "t",
                "template": {
                    "model": "m",
                    "messages": [
                        {"role": "system", "content": "You know \"{{subject}}\"."},
                        {"role": "user", "content": "{{ prompt }}"},
                    ],
                    "temperature": 0.2,
                    "x": {"{{subject}}": [null, true]},
                },
            },
            {"name": "raw", "template": said("{* prompt *}")},
            {"name": "nested", "template": said("{{a.b}}-{{missing}}-{{a.none}}-{{prompt.b}}")},
            {"name": "escaped", "template": said("{* _escape_json(prompt) *}{{_escape_json( prompt )}}")},
            {"name": "braces", "template": said("{\"a\": {}} {*p = 1; {% {")},
            {"name": "raw", "template": said("never")},
        ],
    })
}

fn compile(conf: &Value) -> Result<AiPromptTemplate, String> {
    AiPromptTemplate::compile(conf, &testing::site(), &testing::shared())
}

/// What the upstream gets, or the text of the refusal with its status.
fn rewritten(conf: &Value, method: &str, target: &str, body: &str) -> Result<String, String> {
    let plugin = compile(conf).unwrap();
    let mut exchange = testing::exchange(method, target, &[], body);
    match testing::run(plugin.rewrite(&mut exchange)) {
        Ok(()) => Ok(String::from_utf8(exchange.body.bytes().unwrap().to_vec()).unwrap()),
        Err(Stop::Fault(fault)) => Err(format!("{} {}", fault.status.as_u16(), fault.text)),
        Err(Stop::Reply(reply)) => panic!("{reply:?}"),
    }
}

#[test]
fn the_template_takes_the_place_of_the_body() {
    let body = r#"{"template_name":"t","subject":"m\u0061ths","prompt":"1+1","stream":true}"#;
    let expected = concat!(
        r#"{"model":"m","messages":[{"role":"system","content":"You know \"m\u0061ths\"."},"#,
        r#"{"role":"user","content":"1+1"}],"temperature":0.2,"x":{"m\u0061ths":[null,true]}}"#
    );
    assert_eq!(rewritten(&conf(), "POST", "/x", body).as_deref(), Ok(expected));
}

#[test]
fn every_value_stays_inside_of_its_string() {
    // Template, the rest of the body, and the message's content as a JSON parser reads it.
    let cases = [
        ("raw", r#""prompt":"<b> & 'q' /""#, "<b> & 'q' /"),
        ("raw", r#""prompt":"say \"hi\"\n\\""#, "say \"hi\"\n\\"),
        ("raw", r#""prompt":"日本 \ud83d\ude00""#, "日本 😀"),
        ("raw", r#""prompt":1.0"#, "1.0"),
        ("raw", r#""prompt":false"#, "false"),
        ("raw", r#""prompt":null"#, ""),
        ("raw", r#""other":1"#, ""),
        ("raw", r#""prompt":{"a": ["b\n"]}"#, r#"{"a": ["b\n"]}"#),
        ("raw", r#""prompt":"1","prompt":"2""#, "2"),
        ("nested", r#""a":{"b":"x"},"prompt":"p""#, "x---"),
        ("nested", r#""a":[1],"missing":2"#, "-2--"),
        ("escaped", r#""prompt":"\"""#, "\"\""),
        ("braces", "\"p\":1", "{\"a\": {}} {*p = 1; {% {"),
    ];
    for (name, members, expected) in cases {
        let body = format!(r#"{{"template_name":"{name}",{members}}}"#);
        let sent = rewritten(&conf(), "POST", "/x", &body).unwrap();
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(sent["messages"][0]["content"], expected, "{body}");
    }
}

#[test]
fn a_get_request_has_its_values_in_the_query() {
    let body = r#"{"template_name":"raw","prompt":"of the body"}"#;
    let sent = |target: &str| rewritten(&conf(), "GET", target, body).unwrap();
    assert_eq!(sent("/x?prompt=a%22b+c&prompt=2"), r#"{"messages":[{"role":"user","content":"a\"b c"}]}"#);
    assert_eq!(sent("/x"), r#"{"messages":[{"role":"user","content":""}]}"#);
}

#[test]
fn requests_that_cannot_be_served_are_refused() {
    let small = |max: u64| {
        let mut conf = conf();
        conf["max_req_body_size"] = json!(max);
        conf
    };
    let missing = "400 template name is missing in request.";
    let cases = [
        (conf(), "", "400 could not get body: request body is empty"),
        (conf(), "{", "400 could not parse JSON request body: "),
        (conf(), r#"{"prompt":"x"}"#, missing),
        (conf(), r#"{"template_name":null}"#, missing),
        (conf(), "5", missing),
        (conf(), r#"{"template_name":"zz"}"#, "400 template: zz not configured."),
        (conf(), r#"{"template_name":7}"#, "400 template: 7 not configured."),
        (
            small(3),
            r#"{"template_name":"t"}"#,
            "400 could not get body: request size 21 is greater than the maximum size 3 allowed",
        ),
        (
            small(40),
            r#"{"template_name":"t","subject":"0123456"}"#,
            "400 could not get body: request size 41 is greater than",
        ),
        (small(64), r#"{"template_name":"escaped","prompt":"0123456789012345678901234"}"#, "none"),
        (small(66), r#"{"template_name":"escaped","prompt":"012345678901234567890123456"}"#, "none"),
    ];
    for (conf, body, expected) in cases {
        let refused = rewritten(&conf, "POST", "/x", body).err().unwrap_or_else(|| "none".to_string());
        assert!(refused.starts_with(expected), "{body}: {refused}");
    }
}

#[test]
fn values_together_are_held_against_the_limit() {
    let content = "{{p}}{{p}}{{p}}{{p}}{{p}}{{p}}";
    let template = json!({"messages": [{"role": "user", "content": content}]});
    let conf = json!({"templates": [{"name": "n", "template": template}], "max_req_body_size": 40});
    let with = |p: &str| rewritten(&conf, "POST", "/x", &format!(r#"{{"template_name":"n","p":"{p}"}}"#));
    assert!(with("123456").is_ok());
    assert_eq!(
        with("1234567"),
        Err("400 could not get body: request size 42 is greater than the maximum size 40 allowed".into())
    );
}

#[test]
fn what_is_no_placeholder_is_refused_when_written() {
    let cases = [
        ("{% if a %}x{% end %}", "{% if a %}"),
        ("x {{ a + b }}", "{{ a + b }}"),
        ("{{}}", "{{}}"),
        ("{{ a..b }}", "{{ a..b }}"),
        ("{{ 1a }}", "{{ 1a }}"),
        ("{{ a[1] }}", "{{ a[1] }}"),
        ("{* _escape_xml(a) *}", "{* _escape_xml(a) *}"),
        ("{{ _body }}", "{{ _body }}"),
        ("{* _ctx.var.uri *}", "{* _ctx.var.uri *}"),
        ("{(file)}", "{(file)}"),
        ("{[a]}", "{[a]}"),
        ("{-raw-}x{-raw-}", "{-raw-}"),
        ("{# note #}", "{# note #}"),
    ];
    let refused = |content: &str| {
        let template = json!({"messages": [{"role": "user", "content": content}]});
        compile(&json!({"templates": [{"name": "n", "template": template}]})).unwrap_err()
    };
    for (content, written) in cases {
        let expected = format!(
            "templates[0].template.messages[0].content: {written} cannot be filled in; write {{{{ name }}}}, \
             {{{{ name.member }}}} or {{* name *}}, since a6 runs no code in templates"
        );
        assert_eq!(refused(content), expected);
    }
    assert_eq!(refused("{{ a"), "templates[0].template.messages[0].content: a {{ has no }} behind it");
}

#[test]
fn configurations_are_held_against_the_schema() {
    let schema = Schema::compile(super::schema()).unwrap();
    let item = "property \"templates\" validation failed: failed to validate item 1: ";
    let cases = [
        (json!({}), "property \"templates\" is required".to_string()),
        (
            json!({"templates": []}),
            "property \"templates\" validation failed: expect array to have at least 1 items".to_string(),
        ),
        (json!({"templates": [{}]}), format!("{item}property \"name\" is required")),
        (
            json!({"templates": [{"name": "t", "template": {"model": ""}}]}),
            format!(
                "{item}property \"template\" validation failed: property \"model\" validation failed: string too \
                 short, expected at least 1, got 0"
            ),
        ),
    ];
    for (conf, expected) in cases {
        assert_eq!(schema.check(&conf), Err(expected), "{conf}");
    }
    assert_eq!(schema.check(&conf()), Ok(()));
}
