//! A migration that is killed leaves the old schema or the new one, with every row.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;

use crate::migrations::{STEPS, run};
use crate::sqlite::{connect, use_log};

/// Where the child finds its file; set for the child alone.
const FILE: &str = "STORE_TEST_MIGRATE";
const ROWS: usize = 2_000;
const KILLS: u64 = 12;

/// A later version: the rows are rewritten, so that there is time to be killed in.
const NEXT: &str = "ALTER TABLE resources ADD COLUMN note TEXT NOT NULL DEFAULT '';
    UPDATE resources SET note = 'of ' || id;
    CREATE INDEX notes ON resources (note);
    UPDATE meta SET revision = revision + 1;";

#[test]
fn a_kill_during_a_migration_leaves_the_old_schema_or_the_new() {
    if let Some(file) = std::env::var_os(FILE) {
        return migrate(Path::new(&file));
    }
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("version-1.db");
    prepare(&original);

    let whole = Instant::now();
    let file = dir.path().join("undisturbed.db");
    fs::copy(&original, &file).unwrap();
    assert!(child(&file).wait().unwrap().success(), "the migration works when nobody kills it");
    let whole = u64::try_from(whole.elapsed().as_micros()).unwrap();
    assert_eq!(state(&connect(&file).unwrap()), (2, ROWS));

    let mut random = seed();
    let mut found = Vec::new();
    for kill in 0..KILLS {
        let file = dir.path().join(format!("killed-{kill}.db"));
        fs::copy(&original, &file).unwrap();
        let mut child = child(&file);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // One moment in each stretch: most of them fall into the migration however slow the start is.
        thread::sleep(Duration::from_micros((kill * whole + (random >> 33) % whole) / KILLS));
        child.kill().unwrap();
        child.wait().unwrap();

        let mut connection = connect(&file).unwrap();
        let verdict: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok", "kill {kill}");
        let (version, rows) = state(&connection);
        assert!(rows == ROWS && (1..=2).contains(&version), "kill {kill}: version {version}, {rows} rows");
        found.push(version);
        run(&mut connection, &[STEPS[0], NEXT]).unwrap();
        assert_eq!(state(&connection), (2, ROWS), "kill {kill}: the next start ends what was begun");
    }
    println!("versions after the kills: {found:?}");
}

/// What the child does: the steps as a start takes them.
fn migrate(file: &Path) {
    let mut connection = connect(file).unwrap();
    assert_eq!(use_log(&connection).unwrap(), "wal");
    run(&mut connection, &[STEPS[0], NEXT]).unwrap();
}

/// This test program once more, as a process of its own that can be killed.
fn child(file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .arg("a_kill_during_a_migration_leaves_the_old_schema_or_the_new")
        .env(FILE, file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A closed file of version 1.
fn prepare(file: &Path) {
    let mut connection = Connection::open(file).unwrap();
    use_log(&connection).unwrap();
    run(&mut connection, &STEPS[..1]).unwrap();
    let transaction = connection.transaction().unwrap();
    for row in 0..ROWS {
        let value = format!("{{\"uri\":\"/{}\"}}", "x".repeat(1_000));
        let sql = "INSERT INTO resources VALUES ('routes', ?1, ?2, 1, 1)";
        transaction.execute(sql, [format!("r{row}"), value]).unwrap();
    }
    transaction.commit().unwrap();
}

/// The version, and how many rows are as they must be in it.
fn state(connection: &Connection) -> (i64, usize) {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let (revision, sql) = match version {
        1 => (0, "SELECT count(*) FROM resources WHERE length(value) = 1011"),
        _ => (1, "SELECT count(*) FROM resources WHERE length(value) = 1011 AND note = 'of ' || id"),
    };
    let counted: i64 = connection.query_row("SELECT revision FROM meta", [], |row| row.get(0)).unwrap();
    assert_eq!(counted, revision, "the revision of version {version}");
    let noted = connection.prepare("SELECT note FROM resources").is_ok();
    assert_eq!(noted, version == 2, "the new column belongs to version 2");
    let rows: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    (version, usize::try_from(rows).unwrap())
}

/// From `TEST_SEED`, else from the clock; printed, so that a failure can be had again.
fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    println!("TEST_SEED={seed}");
    seed
}
