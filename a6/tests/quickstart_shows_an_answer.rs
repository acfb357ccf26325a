//! Promise: a newcomer with nothing types one command and sees an answer, and nothing of theirs is touched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::fs;

use serde_json::{Value, json};

const KEY: &str = "sk-a-key-that-must-stay-at-home";
const CONTEXTS: &str =
    "current-context: mine\ncontexts:\n    - name: mine\n      server: http://192.0.2.1:9180\n";

#[test]
fn quickstart_answers_with_the_mock_and_leaves_nothing_behind() {
    let cases: [(&str, &[&str], Option<&str>); 3] = [
        ("asked for the mock", &["--once", "--mock"], None),
        ("no key in the environment", &["--once"], None),
        ("asked for the mock in spite of a key", &["--once", "--mock"], Some("OPENAI_API_KEY")),
    ];
    for (name, arguments, variable) in cases {
        let home = tempfile::tempdir().unwrap();
        let (temporary, contexts) = (home.path().join("tmp"), home.path().join("a6"));
        fs::create_dir(&temporary).unwrap();
        fs::create_dir(&contexts).unwrap();
        fs::write(contexts.join("config.yaml"), CONTEXTS).unwrap();

        let mut command = support::a6(home.path());
        command.arg("quickstart").args(arguments).env("TMPDIR", &temporary);
        if let Some(variable) = variable {
            command.env(variable, KEY);
        }
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {}\n{printed}\n{errors}", output.status);

        let answer = answer_of_the_mock(&curl_body(&printed));
        assert!(words(&printed).contains(&words(&answer)), "{name}: no {answer:?} in\n{printed}");
        for wanted in ["route", "provider", "model", "tokens", "a6 route create"] {
            assert!(printed.to_lowercase().contains(wanted), "{name}: no {wanted:?} in\n{printed}");
        }
        assert!(!printed.contains(KEY) && !errors.contains(KEY), "{name}: the key was printed");

        assert_eq!(fs::read_to_string(contexts.join("config.yaml")).unwrap(), CONTEXTS, "{name}");
        assert_eq!(names_in(&contexts), ["config.yaml"], "{name}");
        assert_eq!(names_in(&temporary), [""; 0], "{name}: the temporary data directory stays");
        assert_eq!(names_in(home.path()), ["a6", "tmp"], "{name}");
    }
}

/// The JSON body of the curl command that was printed: what the shell passes between single quotes.
fn curl_body(printed: &str) -> Value {
    let curl = &printed[printed.find("curl ").unwrap_or_else(|| panic!("no curl command in\n{printed}"))..];
    let body = curl.split('\'').find(|quoted| quoted.trim_start().starts_with('{'));
    let body = body.unwrap_or_else(|| panic!("no JSON in single quotes in\n{curl}"));
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"))
}

/// What a mock of our own says to the same request.
fn answer_of_the_mock(request: &Value) -> String {
    let mut request = request.clone();
    request["stream"] = json!(true);
    let mock = support::mock();
    let answer = support::post(mock.addr, "/v1/chat/completions", &[], &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let content = support::ledger(&mock, 1).remove(0).content;
    assert!(!content.is_empty());
    content
}

/// The text without the line breaks and indents that a terminal's layout may add.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn names_in(directory: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
