use rusqlite::{Connection, TransactionBehavior};

/// The schema's history: step `n` (counted from 1) leads to `user_version` n. A step that was released never changes.
pub(crate) const STEPS: &[&str] = &[
    "
    CREATE TABLE resources (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        value TEXT NOT NULL,
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
    );
    CREATE TABLE meta (revision INTEGER NOT NULL);
    INSERT INTO meta (revision) VALUES (0);
",
    "
    CREATE TABLE expiries (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
    );
",
];

/// Why a file cannot be brought to the present schema.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrationError {
    /// A later a6 wrote it.
    #[error(
        "its schema has version {found}, this a6 knows versions up to {known}; start the a6 that wrote it"
    )]
    Newer { found: i64, known: usize },
    /// SQLite failed; the file is as it was before the step.
    #[error("the step to schema version {step} failed: {error}")]
    Step { step: usize, error: rusqlite::Error },
    /// The version could not be read.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl MigrationError {
    /// What SQLite said, where it was SQLite that failed.
    pub(crate) fn cause(&self) -> Option<&rusqlite::Error> {
        match self {
            Self::Newer { .. } => None,
            Self::Step { error, .. } | Self::Sqlite(error) => Some(error),
        }
    }
}

/// Takes the steps that the file has not taken yet, each in a transaction of its own together with its number, so that
/// a kill at any moment leaves the file before a step or after it.
pub(crate) fn run(connection: &mut Connection, steps: &[&str]) -> Result<(), MigrationError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = steps.len();
    let taken = usize::try_from(found).unwrap_or(usize::MAX);
    if taken > known {
        return Err(MigrationError::Newer { found, known });
    }
    for (index, sql) in steps.iter().enumerate().skip(taken) {
        let step = index + 1;
        take(connection, sql, step).map_err(|error| MigrationError::Step { step, error })?;
    }
    Ok(())
}

fn take(connection: &mut Connection, sql: &str, step: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    transaction.execute_batch(&format!("PRAGMA user_version = {step}"))?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    fn texts(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    const OLD: &[&str] = &["CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('kept');"];

    #[test]
    fn an_old_schema_takes_only_the_steps_it_lacks_and_keeps_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, OLD).unwrap();
        assert_eq!(version(&connection), 1);
        let steps = [OLD[0], "ALTER TABLE t ADD COLUMN b TEXT NOT NULL DEFAULT 'new';"];
        run(&mut connection, &steps).unwrap();
        run(&mut connection, &steps).unwrap();
        assert_eq!(version(&connection), 2);
        assert_eq!(texts(&connection, "SELECT a || ' ' || b FROM t"), ["kept new"]);
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, OLD).unwrap();
        let error =
            run(&mut connection, &[OLD[0], "INSERT INTO t VALUES ('half'); SELECT nonsense;"]).unwrap_err();
        assert!(error.to_string().starts_with("the step to schema version 2 failed: "), "{error}");
        assert_eq!(version(&connection), 1);
        assert_eq!(texts(&connection, "SELECT a FROM t"), ["kept"]);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA user_version = 9").unwrap();
        let error = run(&mut connection, STEPS).unwrap_err();
        assert!(matches!(error, MigrationError::Newer { found: 9, .. }), "{error}");
    }
}
