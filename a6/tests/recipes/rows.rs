//! Holds the tests against the tables: no row without a test, no test of a row that there is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The sections that are tested here.
const SECTIONS: [u32; 7] = [2, 8, 9, 11, 13, 14, 15];

/// Rows that have no test here, and why.
const ELSEWHERE: [(Row, &str); 3] = [
    ((15, 6), "the exit status of the command line is the promise of cli_manages_routes.rs"),
    ((15, 7), "what an update does with a part of a document is the command line's own, and not decided yet"),
    ((15, 8), "there is no config sync and no config diff yet"),
];

/// Section and number.
type Row = (u32, u32);

#[test]
fn every_row_has_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes");
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/spec/recipes.md");
    if !spec.is_file() {
        println!("skipped: ../shared/spec/recipes.md not found");
        return;
    }
    let rows = rows_of(&fs::read_to_string(&spec).unwrap());
    for section in SECTIONS {
        assert!(rows.iter().any(|row| row.0 == section), "no rows of section {section} were found");
    }
    let mut tested = BTreeSet::new();
    for file in fs::read_dir(&tests).unwrap() {
        tested.extend(tests_in(&fs::read_to_string(file.unwrap().path()).unwrap()));
    }
    let elsewhere: BTreeSet<Row> = ELSEWHERE.iter().map(|(row, _)| *row).collect();
    let mut faults = Vec::new();
    for row in &rows {
        match (tested.contains(row), elsewhere.contains(row)) {
            (false, false) => faults.push(format!("{}.{} has no test", row.0, row.1)),
            (true, true) => faults.push(format!("{}.{} has a test: it is no exception", row.0, row.1)),
            _ => {}
        }
    }
    for (section, number) in tested.union(&elsewhere).filter(|row| !rows.contains(*row)) {
        faults.push(format!("{section}.{number} is not a row of the tables"));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The rows of the tested sections: lines of a table whose first cell is `«section».«number»`.
fn rows_of(spec: &str) -> BTreeSet<Row> {
    let row = |line: &str| -> Option<Row> {
        let (section, number) = line.strip_prefix("| ")?.split_once(" |")?.0.split_once('.')?;
        Some((section.parse().ok()?, number.parse().ok()?))
    };
    spec.lines().filter_map(row).filter(|row| SECTIONS.contains(&row.0)).collect()
}

/// The rows that a source has tests for. A test that is ignored is none.
fn tests_in(source: &str) -> Vec<Row> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let row = |pair: &[&str]| -> Option<Row> {
        let mut words = pair[1].strip_prefix("fn row_")?.split('_');
        let row = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (pair[0] == "#[test]").then_some(row)
    };
    lines.windows(2).filter_map(row).collect()
}

#[test]
fn rows_and_tests_are_found() {
    let spec = "## 8. key-auth\n| # | x |\n|---|---|\n| 8.1 | a | b |\n| 8.14 | a |\n| 3.1 | a |\n| 1 | a |\n8.2 | a |";
    assert_eq!(rows_of(spec), BTreeSet::from([(8, 1), (8, 14)]));
    let source = "#[test]\nfn row_8_1_a_b() {\n    #[test]\n    fn row_8_14_c() {\n#[ignore]\nfn row_8_2_d() {\nfn row_8_3_e() {";
    assert_eq!(tests_in(source), [(8, 1), (8, 14)]);
}
