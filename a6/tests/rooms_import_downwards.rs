//! The laws of the house that a compiler does not hold: which room imports which, how long a file may be, and what a
//! room says of itself. `docs/architecture.md` says why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const THIS: &str = "a6/tests/rooms_import_downwards.rs";
const LONGEST_FILE: usize = 700;

/// The rooms and what each may import; `core` is allowed to all, and the binary `a6` may import everything.
static ROOMS: [(&str, &[&str]); 19] = [
    ("admin", &["snapshot", "telemetry", "store", "resources"]),
    ("bench", &["mock"]),
    ("cli", &["codec", "resources", "settings"]),
    ("codec", &["simd"]),
    ("core", &[]),
    ("gateway", &["snapshot", "upstream", "telemetry", "limits", "protocols", "codec", "resources"]),
    ("limits", &[]),
    ("mock", &["protocols", "codec", "resources"]),
    ("plugins", &["snapshot", "upstream", "telemetry", "limits", "protocols", "codec", "resources"]),
    ("protocols", &["codec"]),
    ("resources", &[]),
    ("secrets", &["upstream", "snapshot", "resources"]),
    ("settings", &["codec"]),
    ("simd", &[]),
    ("snapshot", &["resources", "protocols", "codec"]),
    ("store", &["snapshot", "codec", "resources"]),
    ("telemetry", &["snapshot", "protocols", "codec", "resources"]),
    ("upstream", &["snapshot", "codec", "resources", "protocols"]),
    ("xtask", &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn room(package: &str) -> &str {
    package.strip_prefix("a6-").unwrap_or(package)
}

/// What is wrong with the import of a room by a room; `tests_only` for a dev-dependency.
fn verdict(importer: &str, imported: &str, tests_only: bool) -> Result<(), String> {
    if importer == "a6" {
        return Ok(());
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == importer) else {
        return Err(format!(
            "`{importer}` is a new room: give it a sentence in docs/architecture.md and a row in ROOMS of {THIS}"
        ));
    };
    if imported == "core" || (tests_only && imported == "mock") || allowed.contains(&imported) {
        return Ok(());
    }
    Err(format!(
        "`{importer}` imports `{imported}`, but may import only core and {allowed:?} (ROOMS in {THIS}, the table of \
         docs/architecture.md): move the code down into a room that both may import, or let a trait of `snapshot` or \
         `resources` carry it"
    ))
}

#[test]
fn every_room_imports_only_rooms_below_it() {
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut seen = 0;
    let mut wrong = BTreeSet::new();
    for package in &packages {
        let importer = room(package["name"].as_str().expect("a name"));
        // A room that imports nothing must be known too.
        wrong.extend(verdict(importer, "core", false).err());
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name = dependency["name"].as_str().expect("a name");
            if names.contains(name) {
                seen += 1;
                wrong.extend(verdict(importer, room(name), dependency["kind"] == "dev").err());
            }
        }
    }
    assert!(seen > 20, "only {seen} imports between rooms were found, so the test looks at the wrong thing");
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_table_itself_points_down() {
    let mut low = BTreeSet::from(["core"]);
    let mut left: Vec<_> = ROOMS.iter().filter(|(room, _)| *room != "core").collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|(room, imports)| {
            let grounded = imports.iter().all(|import| low.contains(import));
            if grounded {
                low.insert(*room);
            }
            !grounded
        });
        assert!(left.len() < before, "these rooms import each other in a circle: {left:?}");
    }
}

#[test]
fn an_import_is_judged_by_the_table() {
    let cases = [
        ("a6", "gateway", false, true),
        ("gateway", "core", false, true),
        ("gateway", "upstream", false, true),
        ("gateway", "plugins", false, false),
        ("plugins", "gateway", false, false),
        ("core", "codec", false, false),
        ("gateway", "mock", true, true),
        ("gateway", "mock", false, false),
        ("attic", "core", false, false),
    ];
    for (importer, imported, tests_only, allowed) in cases {
        let verdict = verdict(importer, imported, tests_only);
        assert_eq!(verdict.is_ok(), allowed, "{importer} -> {imported}: {verdict:?}");
    }
}

/// Every file of the project with one of the endings, without what is built or fetched.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "data"].contains(&name) {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

#[test]
fn no_source_file_is_too_long() {
    let mut found = Vec::new();
    files(&root(), &[".rs", ".py", ".js", ".mjs", ".ts", ".tsx", ".sh"], &mut found);
    assert!(found.len() > 30, "only {} source files were found", found.len());
    let long: Vec<String> = found
        .iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(path).expect("a text file").lines().count();
            (lines > LONGEST_FILE).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(
        long.is_empty(),
        "over {LONGEST_FILE} lines; split by what the parts are for:\n{}",
        long.join("\n")
    );
}

#[test]
fn every_room_says_what_it_is_for_and_lists_its_files() {
    let mut wrong = Vec::new();
    for package in packages() {
        let source = Path::new(package["manifest_path"].as_str().expect("a path")).with_file_name("src");
        let Ok(text) = fs::read_to_string(source.join("lib.rs")) else {
            continue; // a binary
        };
        let opening: String =
            text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n");
        let at = source.join("lib.rs");
        if opening.is_empty() {
            wrong.push(format!("{} does not open with `//!` and what the room is for", at.display()));
        }
        for entry in fs::read_dir(&source).expect("a readable folder") {
            let name = entry.expect("a readable entry").file_name().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".rs").unwrap_or(&name);
            if stem == "lib" || stem == "tests" || stem.ends_with("_tests") {
                continue;
            }
            if !opening.contains(&format!("`{stem}.rs`")) && !opening.contains(&format!("`{stem}/`")) {
                wrong.push(format!("{} does not list `{name}` in its opening", at.display()));
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
