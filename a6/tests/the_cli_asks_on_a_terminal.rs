//! Promise: in front of a person `a6` shows tables and YAML, asks before it deletes, and lets them pick what they did
//! not name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::process::Command;

use serde_json::json;
use support::{ADMIN_KEY, Gateway, Setup, Terminal, a6, ai_route};

/// A gateway with the routes `first` and `second`.
fn gateway() -> Gateway {
    let gateway = Setup::new().start();
    for name in ["first", "second"] {
        let mut route = ai_route(&format!("/{name}"), "http://127.0.0.1:1", json!({}));
        route["name"] = json!(name);
        gateway.put(&format!("routes/{name}-id"), &route);
    }
    gateway
}

fn command(gateway: &Gateway, line: &str) -> Command {
    let mut command = a6(gateway.home.path());
    command.env("A6_SERVER", format!("http://{}", gateway.admin)).env("A6_API_KEY", ADMIN_KEY);
    command.args(line.split(' '));
    command
}

fn routes(gateway: &Gateway) -> u64 {
    gateway.admin("GET", "routes", None).1["total"].as_u64().unwrap()
}

#[test]
fn a_person_sees_tables_and_yaml() {
    let gateway = gateway();
    let (code, screen) = Terminal::start(&mut command(&gateway, "route list")).end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.starts_with("ID          NAME     URI       METHODS   STATUS   UPSTREAM\n"), "{screen}");
    assert!(screen.contains("\nsecond-id   second   /second"), "{screen}");
    let (code, screen) = Terminal::start(&mut command(&gateway, "route get first-id")).end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.starts_with("id: first-id\nuri: /first\nname: first\n"), "{screen}");
    let (_, screen) = Terminal::start(&mut command(&gateway, "route get first-id -o json")).end();
    assert!(screen.starts_with("{\n  \"id\": \"first-id\",\n"), "{screen}");
    let (_, screen) = Terminal::start(&mut command(&gateway, "plugin get key-auth")).end();
    assert!(screen.starts_with("{\n"), "{screen}");
}

#[test]
fn nothing_is_deleted_unasked() {
    let gateway = gateway();
    let question = "Delete route first-id? (y/N): ";
    for (answer, left) in [("\n", 2), ("no\n", 2), ("yes\n", 1)] {
        let mut terminal = Terminal::start(&mut command(&gateway, "route delete first-id"));
        terminal.wait_for(question);
        terminal.press(answer);
        let (code, screen) = terminal.end();
        assert_eq!(code, Some(0), "{answer:?}: {screen}");
        let last = if left == 2 { "Aborted.\n" } else { "\u{2713} Route first-id deleted.\n" };
        assert!(screen.ends_with(last), "{answer:?}: {screen}");
        assert_eq!(routes(&gateway), left, "{answer:?}");
    }
    // Ctrl-D is the end of the input.
    let mut terminal = Terminal::start(&mut command(&gateway, "route delete second-id"));
    terminal.wait_for("Delete route second-id? (y/N): ");
    terminal.press("\u{4}");
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("failed to read confirmation: EOF\n"), "{screen}");

    let mut terminal = Terminal::start(&mut command(&gateway, "route delete --all"));
    terminal.wait_for("Delete 1 routes? (y/N): ");
    terminal.press("n\n");
    assert_eq!(terminal.end().0, Some(0));
    assert_eq!(routes(&gateway), 1);
    let (code, screen) = Terminal::start(&mut command(&gateway, "--force route delete --all")).end();
    assert_eq!(
        (code, screen.as_str()),
        (Some(0), "\u{2713} Route second-id deleted.\n\u{2713} 1 routes deleted.\n")
    );
    assert_eq!(routes(&gateway), 0);
}

#[test]
fn what_is_not_named_is_picked() {
    let gateway = gateway();
    let mut terminal = Terminal::start(&mut command(&gateway, "route get -o json"));
    terminal.wait_for("Select a route");
    terminal.wait_for("second (second-id)");
    terminal.press("\u{1b}[B");
    terminal.press("\r");
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("\"uri\": \"/second\"") && !screen.contains("\"uri\": \"/first\""), "{screen}");

    // Typing narrows the list.
    let mut terminal = Terminal::start(command(&gateway, "route get -o json").env("NO_COLOR", "1"));
    terminal.wait_for("second (second-id)");
    terminal.press("sec");
    terminal.press("\r");
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("\"uri\": \"/second\""), "{screen}");
    assert!(!screen.contains("\u{1b}[38;5;"), "NO_COLOR and a colour: {screen:?}");

    let mut terminal = Terminal::start(&mut command(&gateway, "route delete"));
    terminal.wait_for("first (first-id)");
    terminal.press("\u{3}");
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("selection canceled\n"), "{screen}");
    assert_eq!(routes(&gateway), 2);

    let (code, screen) = Terminal::start(&mut command(&gateway, "upstream get")).end();
    assert_eq!((code, screen.as_str()), (Some(1), "no upstreams found\n"));
}
