//! The schema's numbered steps, embedded in the program, and how they are brought in.
//!
//! What was applied stands in `schema_migrations`; who applies holds a lock (a row that ends by itself), so that two that start at once do it
//! one after the other. A schema that is newer than the program is refused. Steps only add, and say `IF NOT EXISTS`, so that one that broke
//! off is begun again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::value::{CqlTimestamp, CqlValue, Row};
use uuid::Uuid;

use super::connect::{Replication, ScyllaSettings};
use super::cql::{Trouble, signed};
use super::lease::wall_ms;
use crate::store::Failure;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number: 1, 2, 3 …
    pub version: i32,
    /// The file's name.
    pub name: &'static str,
    text: &'static str,
}

/// All steps, in their order.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "001_chat.cql", text: include_str!("../../../schema/cql/001_chat.cql") }];

/// What the database has, and what this program knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Number, name and time (milliseconds since 1970) of each step that was applied.
    pub applied: Vec<(i32, String, u64)>,
    /// Steps that were not.
    pub missing: Vec<Migration>,
    /// The newest number that is not known here, if there is one.
    pub newer: Option<i32>,
}

/// A lock is given up after so many seconds without a step.
const LOCK_SECONDS: i32 = 60;
/// The lock itself is tried so long, when the database fails.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(300);
/// A table is listed a moment before it can be read: so long is waited for that.
const TABLE_PATIENCE: Duration = Duration::from_secs(10);

const BASE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS {}.schema_migrations (part int, version int, name text, applied timestamp, PRIMARY KEY (part, version))",
    "CREATE TABLE IF NOT EXISTS {}.schema_lock (name text PRIMARY KEY, holder uuid)",
];

/// The statements of a step: each ends with a semicolon at the end of a line.
fn statements(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("--")).fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "{line}");
            all
        });
    code.split(";\n").map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

fn failed(what: &str) -> impl Fn(ExecutionError) -> Failure + '_ {
    move |e| Failure::Unavailable(format!("{what}: {e}"))
}

/// What a query gives. As long as the database calls it invalid it is asked again, with this patience.
async fn rows(session: &Session, text: &str, patience: Duration) -> Result<Vec<Vec<Option<CqlValue>>>, Failure> {
    let began = Instant::now();
    let result = loop {
        match session.query_unpaged(text, ()).await {
            Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, why)))
                if began.elapsed() < patience =>
            {
                tracing::debug!("the schema cannot be read yet: {why}");
            }
            result => break result.map_err(failed("the schema cannot be read"))?,
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    };
    let rows = result.into_rows_result().map_err(|e| Failure::Unavailable(e.to_string()))?;
    let rows = rows.rows::<Row>().map_err(|e| Failure::Unavailable(e.to_string()))?;
    rows.map(|row| row.map(|row| row.columns).map_err(|e| Failure::Unavailable(e.to_string()))).collect()
}

/// What the keyspace has; nothing when there is no such keyspace.
async fn status_of(session: &Session, keyspace: &str) -> Result<Status, Failure> {
    let mut applied = BTreeMap::new();
    let there = format!(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{keyspace}' AND table_name = 'schema_migrations'"
    );
    if !rows(session, &there, Duration::ZERO).await?.is_empty() {
        let all = format!("SELECT version, name, applied FROM {keyspace}.schema_migrations WHERE part = 0");
        // Another process may be making it just now.
        for row in rows(session, &all, TABLE_PATIENCE).await? {
            if let [Some(CqlValue::Int(version)), Some(CqlValue::Text(name)), Some(CqlValue::Timestamp(at))] = &row[..]
            {
                applied.insert(*version, (name.clone(), super::cql::unsigned(at.0)));
            }
        }
    }
    let missing = MIGRATIONS.iter().filter(|step| !applied.contains_key(&step.version)).copied().collect();
    let known = MIGRATIONS.last().map_or(0, |step| step.version);
    let newer = applied.keys().next_back().copied().filter(|newest| *newest > known);
    Ok(Status {
        applied: applied.into_iter().map(|(version, (name, at))| (version, name, at)).collect(),
        missing,
        newer,
    })
}

/// What the database has.
pub(super) async fn status(settings: &ScyllaSettings) -> Result<Status, Failure> {
    status_of(&settings.connect_to_one().await?, &settings.keyspace).await
}

fn too_new(keyspace: &str, newer: i32) -> Failure {
    let known = MIGRATIONS.last().map_or(0, |step| step.version);
    Failure::Unavailable(format!(
        "the schema in the keyspace {keyspace} was made by a newer causerie (step {newer}, this one knows {known}): start that one"
    ))
}

/// Refuses a schema that does not fit this program, with the command that mends it.
pub(super) async fn demand(settings: &ScyllaSettings) -> Result<(), Failure> {
    let status = status(settings).await?;
    if let Some(newer) = status.newer {
        return Err(too_new(&settings.keyspace, newer));
    }
    if let Some(first) = status.missing.first() {
        return Err(Failure::Unavailable(format!(
            "the keyspace {} lacks {} of {} steps of its schema, from {} on: run `causerie migrate`, or start with `causerie serve --migrate`",
            settings.keyspace,
            status.missing.len(),
            MIGRATIONS.len(),
            first.name
        )));
    }
    Ok(())
}

fn keyspace_statement(settings: &ScyllaSettings, scylla: bool) -> String {
    let factors = match &settings.replication {
        Replication::Everywhere(factor) => format!("'replication_factor': {factor}"),
        Replication::ByDatacenter(all) => {
            all.iter().map(|(name, factor)| format!("'{name}': {factor}")).collect::<Vec<_>>().join(", ")
        }
    };
    // Lightweight transactions need tables without tablets in many versions of ScyllaDB; Cassandra does not know the option.
    let tablets = if scylla { " AND tablets = {'enabled': false}" } else { "" };
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'NetworkTopologyStrategy', {factors}}} AND durable_writes = true{tablets}",
        settings.keyspace
    )
}

/// Makes the keyspace and the tables as far as they are missing. Gives the steps that were applied now.
pub(super) async fn migrate(settings: &ScyllaSettings) -> Result<Vec<&'static str>, Failure> {
    let session = settings.connect_to_one().await?;
    let keyspace = &settings.keyspace;
    let before = status_of(&session, keyspace).await?;
    if let Some(newer) = before.newer {
        return Err(too_new(keyspace, newer));
    }
    if before.missing.is_empty() {
        return Ok(Vec::new());
    }
    // Only ScyllaDB tells its drivers about shards.
    let scylla = session.get_cluster_state().get_nodes_info().iter().any(|node| node.sharder().is_some());
    let make = keyspace_statement(settings, scylla);
    session.query_unpaged(make, ()).await.map_err(failed("the keyspace cannot be made"))?;
    for text in BASE {
        let text = text.replace("{}", keyspace);
        session.query_unpaged(text, ()).await.map_err(failed("the schema's own tables cannot be made"))?;
    }
    agree(&session).await?;
    let holder = Uuid::new_v4();
    lock(&session, keyspace, holder).await?;
    let done = apply(&session, keyspace, holder).await;
    let unlock = format!("DELETE FROM {keyspace}.schema_lock WHERE name = 'migrate' IF holder = ?");
    let unlocked = session.query_unpaged(unlock, (holder,)).await;
    if let Err(e) = unlocked {
        tracing::warn!("the lock of the schema could not be released and ends by itself in {LOCK_SECONDS} s: {e}");
    }
    let done = done?;
    // The others hear of it later, and whoever comes next may ask one of them.
    agree(&settings.connect().await?).await?;
    Ok(done)
}

/// Waits until all nodes that the session knows and reaches have the same schema.
async fn agree(session: &Session) -> Result<(), Failure> {
    let agreed = session.await_schema_agreement().await;
    agreed.map(drop).map_err(|e| Failure::Unavailable(format!("the nodes do not agree about the schema: {e}")))
}

/// Carries out a lightweight transaction on the lock; whether it is `holder`'s after it. Repeated while it fails: other nodes may not have heard
/// of the table yet, and a try that timed out may have happened (then the next one finds its own name there).
async fn held(
    session: &Session,
    text: &str,
    values: impl scylla::serialize::row::SerializeRow,
    holder: Uuid,
) -> Result<bool, Failure> {
    let began = Instant::now();
    let result = loop {
        match session.query_unpaged(text, &values).await {
            Ok(result) => break result,
            Err(e) if began.elapsed() > LOCK_PATIENCE => return Err(failed("the lock of the schema")(e)),
            Err(e) => tracing::debug!("the lock of the schema: {e}; once more"),
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    };
    let rows = result.into_rows_result().map_err(|e| Failure::Unavailable(e.to_string()))?;
    let row = rows.first_row::<Row>().map_err(|e| Failure::Unavailable(e.to_string()))?;
    let own = Some(CqlValue::Uuid(holder));
    Ok(matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true)))) || row.columns.contains(&own))
}

/// Waits for the lock.
async fn lock(session: &Session, keyspace: &str, holder: Uuid) -> Result<(), Failure> {
    let take = format!(
        "INSERT INTO {keyspace}.schema_lock (name, holder) VALUES ('migrate', ?) IF NOT EXISTS USING TTL {LOCK_SECONDS}"
    );
    let mut told = false;
    while !held(session, &take, (holder,), holder).await? {
        if !told {
            tracing::info!("another process changes the schema; waiting for it");
            told = true;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(())
}

async fn apply(session: &Session, keyspace: &str, holder: Uuid) -> Result<Vec<&'static str>, Failure> {
    // Looked at again under the lock: somebody may have been faster.
    let mut now = Vec::new();
    session
        .use_keyspace(keyspace, false)
        .await
        .map_err(|e| Failure::Unavailable(format!("the keyspace {keyspace}: {e}")))?;
    let status = status_of(session, keyspace).await?;
    if let Some(newer) = status.newer {
        return Err(too_new(keyspace, newer));
    }
    for step in status.missing {
        for statement in statements(step.text) {
            let hold = format!(
                "UPDATE {keyspace}.schema_lock USING TTL {LOCK_SECONDS} SET holder = ? WHERE name = 'migrate' IF holder = ?"
            );
            if !held(session, &hold, (holder, holder), holder).await? {
                return Err(Failure::Unavailable(
                    "the lock of the schema was lost to another process: run it again".to_owned(),
                ));
            }
            session.query_unpaged(statement, ()).await.map_err(failed(step.name))?;
        }
        agree(session).await?;
        note(session, keyspace, step.version, step.name).await?;
        now.push(step.name);
    }
    Ok(now)
}

/// Notes a step as applied.
pub(super) async fn note(session: &Session, keyspace: &str, version: i32, name: &str) -> Result<(), Failure> {
    let note = format!("INSERT INTO {keyspace}.schema_migrations (part, version, name, applied) VALUES (0, ?, ?, ?)");
    let values = (version, name, CqlTimestamp(signed(wall_ms())));
    session.query_unpaged(note, values).await.map(drop).map_err(failed(name))
}

/// Removes the keyspace with all that is in it (for tests).
pub(super) async fn drop_keyspace(settings: &ScyllaSettings) -> Result<(), Failure> {
    let session = settings.connect_to_one().await?;
    let text = format!("DROP KEYSPACE IF EXISTS {}", settings.keyspace);
    session.query_unpaged(text, ()).await.map(drop).map_err(failed("the keyspace cannot be removed"))
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(text) => Self::Away(text),
            own @ (Failure::Damaged(_) | Failure::Misuse(_)) => Self::Own(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_without_a_hole_and_each_statement_can_be_repeated() {
        for (n, step) in (1..).zip(MIGRATIONS) {
            assert_eq!(step.version, n);
            assert!(step.name.starts_with(&format!("{n:03}_")), "{}", step.name);
            let statements = statements(step.text);
            assert!(!statements.is_empty());
            for statement in statements {
                assert!(statement.starts_with("CREATE TABLE IF NOT EXISTS chat_"), "{statement}");
            }
        }
    }

    #[test]
    fn every_table_that_a_statement_names_is_made() {
        for (_, table, text) in super::super::statements::ALL {
            assert!(text.contains(table), "{text}");
            let made = format!("CREATE TABLE IF NOT EXISTS {table} (");
            assert!(MIGRATIONS.iter().any(|step| step.text.contains(&made)), "{table}");
        }
    }

    #[test]
    fn a_keyspace_is_made_as_the_settings_say() {
        let mut settings = ScyllaSettings::default();
        let text = keyspace_statement(&settings, false);
        assert!(text.contains("'replication_factor': 3}") && !text.contains("tablets"), "{text}");
        settings.replication = Replication::ByDatacenter(vec![("a".to_owned(), 3), ("b".to_owned(), 2)]);
        let text = keyspace_statement(&settings, true);
        assert!(text.contains("'a': 3, 'b': 2}") && text.contains("tablets = {'enabled': false}"), "{text}");
    }
}
