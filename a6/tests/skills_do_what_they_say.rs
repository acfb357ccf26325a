//! Promise: what a skill tells an agent to type works, and prints what the skill says. Every `sh` block of every
//! `skills/*/SKILL.md` is run by bash, in order, in a folder of the skill's own, against a gateway of its own; where a `text` block
//! follows, it is what must be printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{ADMIN_KEY, Echo, Setup, a6};

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    language: String,
    /// Where it begins.
    line: usize,
    text: String,
}

/// A skill: what stands between its `---` lines, and its blocks.
struct Skill {
    front: Vec<(String, String)>,
    blocks: Vec<Block>,
}

impl Skill {
    fn read(text: &str) -> Self {
        let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
        assert_eq!(lines.next(), Some((1, "---")), "a skill begins with its front matter");
        let front = lines.by_ref().take_while(|(_, line)| *line != "---");
        let front =
            front.map(|(_, line)| line.split_once(": ").unwrap_or_else(|| panic!("front matter: {line}")));
        let front = front.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut blocks = Vec::new();
        while let Some((number, line)) = lines.next() {
            let Some(language) = line.strip_prefix("```") else { continue };
            let text = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let text = text.map(|line| format!("{line}\n")).collect();
            blocks.push(Block { language: language.to_string(), line: number, text });
        }
        Self { front, blocks }
    }

    /// Each command with what it must print, if the skill says so.
    fn commands(&self) -> Vec<(&Block, Option<&str>)> {
        let expected = |place: usize| {
            let next = self.blocks.get(place + 1).filter(|next| next.language == "text");
            next.map(|next| next.text.as_str())
        };
        let commands = self.blocks.iter().enumerate().filter(|(_, block)| block.language == "sh");
        commands.map(|(place, block)| (block, expected(place))).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../skills")
}

fn skill(name: &str) -> Skill {
    let file = folder().join(name).join("SKILL.md");
    Skill::read(&fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Runs all commands of a skill.
fn run(name: &str) {
    for program in ["bash", "curl"] {
        if !is_there(program) {
            eprintln!("skipped: {program} is missing");
            return;
        }
    }
    let skill = skill(name);
    let commands = skill.commands();
    assert!(!commands.is_empty(), "{name} has no command");
    let gateway = Setup::new().start();
    let mock = support::mock();
    let (blue, green) = (Echo::start("blue"), Echo::start("green"));
    let home = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_a6"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for (block, expected) in commands {
        let script = format!("set -euo pipefail\n{}", block.text);
        // The same surroundings as any a6 command's, with another program.
        let surroundings = a6(home.path());
        let variables = surroundings.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let ran = Command::new("bash")
            .args(["-c", &script])
            .current_dir(home.path())
            .env_clear()
            .envs(variables)
            .env("PATH", &path)
            .env("LC_ALL", "C.UTF-8")
            .env("A6_SERVER", format!("http://{}", gateway.admin))
            .env("A6_API_KEY", ADMIN_KEY)
            .env("GATEWAY", format!("http://{}", gateway.data))
            .env("CONTROL", format!("http://{}", gateway.control))
            .env("PROVIDER", mock.url())
            .env("BLUE", blue.address.to_string())
            .env("GREEN", green.address.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let place = format!("skills/{name}/SKILL.md:{}", block.line);
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{place}: {}\n{script}--- stdout\n{out}--- stderr\n{err}", ran.status);
        if let Some(expected) = expected {
            assert_eq!(out, expected, "{place}\n{script}--- stderr\n{err}");
        }
    }
}

/// A test for each skill.
macro_rules! skills {
    ($($test:ident: $name:literal,)*) => {
        /// The skills that have a test.
        static TESTED: &[&str] = &[$($name,)*];

        $(
            #[test]
            fn $test() {
                run($name);
            }
        )*
    };
}

skills! {
    shared_conventions: "a6-shared",
    one_provider: "a6-ai-proxy",
    several_providers: "a6-ai-proxy-multi",
    prompt_templates: "a6-ai-prompt-template",
    prompt_decoration: "a6-ai-prompt-decorator",
    keys_of_callers: "a6-key-auth",
    limits_of_callers: "a6-limit-count",
    rewritten_requests: "a6-proxy-rewrite",
    split_traffic: "a6-traffic-split",
    several_tenants: "a6-multi-tenant",
    a_canary_release: "a6-canary",
}

#[test]
fn every_skill_is_tested_and_says_what_it_is_for() {
    let entries = fs::read_dir(folder()).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let names: BTreeSet<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(names, TESTED.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
    for name in names {
        let skill = skill(&name);
        let keys: Vec<&str> = skill.front.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["name", "description"], "{name}");
        assert_eq!(skill.front[0].1, name);
        let length = skill.front[1].1.len();
        assert!((50..=1024).contains(&length), "{name}: a description of {length} bytes");
        let known = ["sh", "text"];
        let unknown = skill.blocks.iter().find(|block| !known.contains(&block.language.as_str()));
        assert_eq!(unknown, None, "{name}: nobody runs or compares such a block");
    }
}

#[test]
fn blocks_are_found_with_what_they_print() {
    let text = "---\nname: a\ndescription: b: c\n---\n\n```sh\necho 1\n```\n\nBetween.\n\n```text\n1\n```\n```sh\n\ntrue\n```\n";
    let skill = Skill::read(text);
    assert_eq!(skill.front[1], ("description".to_string(), "b: c".to_string()));
    let commands: Vec<_> = skill
        .commands()
        .into_iter()
        .map(|(block, expected)| (block.line, block.text.as_str(), expected))
        .collect();
    assert_eq!(commands, [(6, "echo 1\n", Some("1\n")), (15, "\ntrue\n", None)]);
}
