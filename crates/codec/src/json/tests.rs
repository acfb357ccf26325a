use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn edited(text: &str, edits: &[Edit<'_>]) -> String {
    let document = Document::scan(text.as_bytes()).unwrap();
    let shared = splice_shared(&text.to_string().into(), &document, edits).concat();
    assert_eq!(shared, splice(text.as_bytes(), &document, edits));
    String::from_utf8(splice(text.as_bytes(), &document, edits)).unwrap()
}

fn set<'a>(key: &'a str, value: &'a str) -> Edit<'a> {
    Edit::Set(key, value.as_bytes().into())
}

#[test]
fn edits_leave_every_other_byte_alone() {
    let cases: &[(&str, &[Edit<'_>], &str)] = &[
        (r#"{"model":"a","x":1.0}"#, &[set("model", "\"b\"")], r#"{"model":"b","x":1.0}"#),
        (r#"{ "x" : 1e5 }"#, &[set("model", "\"b\"")], r#"{ "x" : 1e5,"model":"b" }"#),
        ("{}", &[set("a", "1"), set("b", "2")], r#"{"a":1,"b":2}"#),
        (" {\n} ", &[set("a", "1")], " {\n\"a\":1} "),
        (r#"{"a":1,"a":2}"#, &[set("a", "3")], r#"{"a":3,"a":3}"#),
        (r#"{"\u0061":1}"#, &[set("a", "3")], r#"{"\u0061":3}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &[Edit::Remove("a")], r#"{"b":2,"c":3}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &[Edit::Remove("b")], r#"{"a":1,"c":3}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &[Edit::Remove("c")], r#"{"a":1,"b":2}"#),
        (r#"{"a":1,"b":2 , "c":3 }"#, &[Edit::Remove("b"), Edit::Remove("c")], r#"{"a":1 }"#),
        (r#"{"a":1}"#, &[Edit::Remove("a")], "{}"),
        (r#"{"a":1}"#, &[Edit::Remove("a"), set("b", "2")], r#"{"b":2}"#),
        (r#"{"a":1,"b":2}"#, &[Edit::Remove("b"), set("c", "3")], r#"{"a":1,"c":3}"#),
        (r#"{"a":1}"#, &[set("a", "2"), Edit::Remove("a")], "{}"),
        (r#"{"a":1}"#, &[Edit::Remove("zz")], r#"{"a":1}"#),
        (r#"{"q\"":1}"#, &[set("n\"", "2")], r#"{"q\"":1,"n\"":2}"#),
    ];
    for (text, edits, expected) in cases {
        assert_eq!(&edited(text, edits), expected, "{text} {edits:?}");
    }
}

#[test]
fn long_stretches_are_shared_and_the_text_is_the_same() {
    let long = "x".repeat(20_000);
    let text = Bytes::from(format!(r#"{{"model":"a","messages":"{long}","last":1}}"#));
    let document = Document::scan(&text).unwrap();
    let cases: [&[Edit<'_>]; 3] = [&[set("model", "\"b\"")], &[Edit::Remove("last")], &[set("new", "1")]];
    for edits in cases {
        let parts = splice_shared(&text, &document, edits);
        assert_eq!(parts.concat(), splice(&text, &document, edits), "{edits:?}");
        let is_shared = |part: &Bytes| text.as_ptr_range().contains(&part.as_ptr());
        assert!(matches!(edits, [Edit::Remove(_)]) || parts.iter().any(is_shared), "{edits:?}");
    }
}

#[test]
fn a_patch_merges_deep_and_fills_or_forces() {
    let text = r#"{"a":{"x":1},"b":[1],"c":"s"}"#;
    let patch = json!({"a": {"x": 2, "y": {}}, "b": [2], "d": null});
    let merged = |force| String::from_utf8(merge(text.as_bytes(), &patch, force).unwrap()).unwrap();
    assert_eq!(merged(false), r#"{"a":{"x":1,"y":{}},"b":[1],"c":"s","d":null}"#);
    assert_eq!(merged(true), r#"{"a":{"x":2,"y":{}},"b":[2],"c":"s","d":null}"#);
    assert_eq!(merge(text.as_bytes(), &json!({"c": "t"}), false), None);
}

#[test]
fn malformed_texts_are_refused_with_their_place() {
    let cases: &[(&[u8], usize)] = &[
        (b"", 1),
        (b"abc", 1),
        (b"{\"a\":1", 7),
        (b"{\"a\" 1}", 6),
        (b"{a:1}", 2),
        (b"{\"a\":1,}", 8),
        (b"[1,]", 4),
        (b"[1 2]", 4),
        (b"{\"a\":1}x", 8),
        (b"\"abc", 5),
        (b"\"a\x01\"", 3),
        (b"\"\\x\"", 2),
        (b"\"\\u12g4\"", 2),
        (b"01", 1),
        (b"1.", 1),
        (b"-", 1),
        (b"1e", 1),
        (b"nul", 1),
        (b"[}", 2),
        (b"{\"a\":\"\xff\"}", 7),
        (b"\"\xe2\x82\"", 2),
    ];
    for (text, at) in cases {
        let found = Document::scan(text).map(|_| ()).map_err(|error| error.at);
        assert_eq!(found, Err(*at), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_fault_in_a_string_is_named_wherever_it_stands() {
    let faults: [(&str, usize, &str); 9] = [
        ("", 0, "a string does not end"),
        ("\\\"", 2, "a string does not end"),
        ("\\", 0, "an unknown escape"),
        ("\\x\"", 0, "an unknown escape"),
        ("\\\u{1}\"", 0, "an unknown escape"),
        ("\\\\\\u12g4\"", 2, "a malformed \\u escape"),
        ("\\u123\"", 0, "a malformed \\u escape"),
        ("\\u", 0, "a malformed \\u escape"),
        ("\n\"", 0, "a control character in a string"),
    ];
    for (fault, offset, what) in faults {
        for before in 0..200 {
            let text = format!("[\"{}{fault}", "x".repeat(before));
            let found = Document::scan(text.as_bytes()).unwrap_err();
            assert_eq!(found, JsonError { at: before + offset + 3, what }, "{text:?}");
        }
    }
}

#[test]
fn an_escaped_key_is_marked_however_long_it_is() {
    for length in 0..100 {
        for escape in ["", "\\n", "\\\\", "\\u0041"] {
            let key = format!("\"{}{escape}\"", "k".repeat(length));
            let text = format!("{{{key}:1}}");
            let member = &Document::scan(text.as_bytes()).unwrap().members[0];
            assert_eq!((&text[member.key.clone()], member.escaped), (key.as_str(), !escape.is_empty()));
        }
    }
}

#[test]
fn deep_nesting_is_an_error_and_costs_no_stack() {
    let deep = vec![b'['; 5_000_000];
    assert_eq!(Document::scan(&deep).unwrap_err().what, "nested deeper than 1000 levels");
    let allowed = [vec![b'['; 1000], vec![b']'; 1000]].concat();
    assert_eq!(Document::scan(&allowed).unwrap().root, Root::Array { items: 1 });
}

#[test]
fn more_members_than_anybody_needs_are_an_error() {
    let object = |count: usize| format!("{{{}}}", vec!["\"\":0"; count].join(","));
    assert_eq!(Document::scan(object(4096).as_bytes()).unwrap().members.len(), 4096);
    assert_eq!(Document::scan(object(4097).as_bytes()).unwrap_err().what, "more than 4096 members");
}

#[test]
fn the_root_is_told_apart() {
    let root = |text: &str| Document::scan(text.as_bytes()).unwrap().root;
    assert_eq!(root(" {} "), Root::Object);
    assert_eq!(root("[]"), Root::Array { items: 0 });
    assert_eq!(root("[[]]"), Root::Array { items: 1 });
    assert_eq!(root("[1, {\"a\": [2, 3]}, []]"), Root::Array { items: 3 });
    assert_eq!(root("\"x\""), Root::Scalar);
    assert_eq!(root("null"), Root::Scalar);
}

#[test]
fn the_last_of_two_equal_keys_is_read() {
    let text = br#"{"m":"a","m":"b\n","s":true}"#;
    let document = Document::scan(text).unwrap();
    assert_eq!(document.get_str(text, "m").as_deref(), Some("b\n"));
    assert!(document.is_true(text, "s") && !document.is_true(text, "m"));
}

#[test]
fn one_level_of_a_value_is_walked_over() {
    let items = |text: &'static str| {
        items_of(text.as_bytes()).map(|found| found.map(|item| &text[item]).collect::<Vec<_>>())
    };
    let cases: &[(&'static str, Option<&[&str]>)] = &[
        ("[]", Some(&[])),
        (" [ ] ", Some(&[])),
        ("[1]", Some(&["1"])),
        (
            r#" [ -1.5e3 ,"]\",[" , [{}, [2]] ,null,{"a":"}"}]"#,
            Some(&["-1.5e3", r#""]\",[""#, "[{}, [2]]", "null", r#"{"a":"}"}"#]),
        ),
        ("{}", None),
        ("\"[]\"", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(items(text).as_deref(), *expected, "{text}");
    }
    assert!(
        members_of(b"[{}]").is_none() && members_of(b"{}").is_some_and(|mut found| found.next().is_none())
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Quarters, since serde_json's default reading of other fractions may be off by one bit.
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c\\\\\"]{0,2}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_any_bytes(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let ours = Document::scan(&text).is_ok();
        let theirs = serde_json::from_slice::<Value>(&text);
        // serde_json refuses numbers beyond f64; the scanner has no opinion on their size.
        let too_large = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        prop_assert!(ours == theirs.is_ok() || too_large);
    }

    #[test]
    fn slices_of_any_size_give_the_same_document(value in any_json(), step in 1usize..40) {
        let text = serde_json::to_vec_pretty(&value).unwrap();
        let whole = Document::scan(&text).unwrap();
        let mut scanner = Scanner::new();
        let sliced = loop {
            if let Some(document) = scanner.advance(&text, step).unwrap() { break document; }
        };
        prop_assert_eq!(whole.members, sliced.members);
    }

    #[test]
    fn a_walk_finds_what_a_scan_finds(value in any_json(), is_pretty: bool) {
        let text = if is_pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        let text = text.unwrap();
        let document = Document::scan(&text).unwrap();
        if document.root == Root::Object {
            let written = Document::written(&text);
            prop_assert_eq!((written.members, written.span), (document.members, document.span));
        } else {
            prop_assert!(members_of(&text).is_none());
        }
        let items = items_of(&text).map(|found| {
            found.map(|item| serde_json::from_slice::<Value>(&text[item]).unwrap()).collect::<Vec<_>>()
        });
        prop_assert_eq!(items.as_ref(), value.as_array());
    }

    #[test]
    fn a_walk_over_anything_ends(text in "[\\[{][\\[\\]{}\",:0 a\\\\]{0,32}") {
        let ends = |found: usize| found <= text.len();
        prop_assert!(members_of(text.as_bytes()).is_none_or(|found| ends(found.count())));
        prop_assert!(items_of(text.as_bytes()).is_none_or(|found| ends(found.count())));
    }

    #[test]
    fn a_splice_is_the_edit_of_the_tree(value in any_json(), key in "[a-c\\\\\"]{0,2}", remove: bool) {
        let text = serde_json::to_vec_pretty(&value).unwrap();
        let document = Document::scan(&text).unwrap();
        prop_assume!(document.root == Root::Object);
        let edit = if remove { Edit::Remove(&key) } else { set(&key, "[0]") };
        let spliced: Value = serde_json::from_slice(&splice(&text, &document, &[edit])).unwrap();
        let mut expected = value;
        let object = expected.as_object_mut().unwrap();
        if remove { object.shift_remove(&key); } else { object.insert(key, json!([0])); }
        prop_assert_eq!(spliced, expected);
    }
}
