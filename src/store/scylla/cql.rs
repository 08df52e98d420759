//! The session with the database: prepared statements, values, and what becomes of an error.
//!
//! Every statement here may be sent again without harm (a write carries its own time and whole values; a lightweight transaction looks first),
//! so a try that timed out or broke off is repeated, with jitter, until [`Patience`] ends. What is then still open is [`Trouble::Away`]: it may
//! have happened or not, and who asked has to read before telling anybody.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlTimestamp, CqlValue, MaybeUnset};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::statements::{ALL, S};
use crate::store::Failure;

/// One value of a statement: something, null, or left as it is (which, other than null, leaves no trace on disk).
pub(super) type Value = MaybeUnset<Option<CqlValue>>;

/// The values of a statement.
pub(super) type Values = Vec<Value>;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This write or read alone.
    Own(Failure),
    /// The database cannot be reached or does not manage; a write may have happened.
    Away(String),
}

impl Trouble {
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Own(failure) => failure,
            Self::Away(text) => Failure::Unavailable(text),
        }
    }
}

/// Says which row is damaged and how.
pub(super) fn damaged(what: impl std::fmt::Display, how: impl std::fmt::Display) -> Trouble {
    Trouble::Own(Failure::Damaged(format!("{what}: {how}")))
}

/// Why a statement was given up.
struct GaveUp {
    why: String,
    /// The same may go through a moment later.
    would_pass: bool,
}

/// How long is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// One try.
    pub(super) one: Duration,
    /// All of them.
    pub(super) all: Duration,
}

/// Pauses between two tries grow from this to the other one.
const PAUSE_FIRST_MS: u64 = 20;
const PAUSE_MOST_MS: u64 = 500;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Cql {
    session: Session,
    prepared: Vec<PreparedStatement>,
    patience: Patience,
    in_flight: Semaphore,
    consistency: Consistency,
    /// Why the database is taken to be away: nothing is tried until a renewal of the lease has gone through.
    away: RefCell<Option<String>>,
}

/// Of which table which consistency is wanted; the others take the general one.
#[derive(Clone, Debug)]
pub(super) struct Consistencies {
    pub(super) general: Consistency,
    pub(super) serial: SerialConsistency,
    pub(super) of_table: Vec<(String, Consistency)>,
}

impl Cql {
    /// Prepares all statements.
    pub(super) async fn prepare(
        session: Session,
        keyspace: &str,
        patience: Patience,
        in_flight: usize,
        consistencies: &Consistencies,
        reading: &ExecutionProfileHandle,
    ) -> Result<Self, Trouble> {
        let mut prepared = Vec::with_capacity(ALL.len());
        for (_, table, text) in ALL {
            // By its full name: a keyspace that a connection is in is another connection's to forget.
            let full = text.replacen(table, &format!("{keyspace}.{table}"), 1);
            let one = session.prepare(full).await;
            let mut one = one.map_err(|e| Trouble::Away(format!("a statement on {table} cannot be prepared: {e}")))?;
            let own = consistencies.of_table.iter().find(|(name, _)| name == table);
            one.set_consistency(own.map_or(consistencies.general, |(_, consistency)| *consistency));
            one.set_serial_consistency(Some(consistencies.serial));
            one.set_request_timeout(Some(patience.one));
            if text.starts_with("SELECT") {
                one.set_execution_profile_handle(Some(reading.clone()));
            }
            // The driver may try another node; lightweight transactions are repeated here alone.
            one.set_is_idempotent(!text.contains(" IF "));
            prepared.push(one);
        }
        let consistency = consistencies.general;
        let (in_flight, away) = (Semaphore::new(in_flight), RefCell::default());
        Ok(Self { session, prepared, patience, in_flight, consistency, away })
    }

    fn statement(&self, which: S) -> Result<&PreparedStatement, Trouble> {
        let found = self.prepared.get(which as usize);
        found.ok_or_else(|| Trouble::Own(Failure::Misuse(format!("the statement {which:?} was not prepared"))))
    }

    /// Carries out one statement.
    pub(super) async fn run(&self, which: S, values: Values) -> Result<QueryResult, Trouble> {
        let statement = self.statement(which)?;
        self.guarded(which, || self.session.execute_unpaged(statement, &values)).await
    }

    /// Carries out statements on one partition, whole or not at all.
    pub(super) async fn together(&self, mut statements: Vec<(S, Values)>) -> Result<(), Trouble> {
        if statements.len() == 1
            && let Some((which, values)) = statements.pop()
        {
            return self.run(which, values).await.map(drop);
        }
        let Some((first, _)) = statements.first() else { return Ok(()) };
        let first = *first;
        let mut batch = self.batch(BatchType::Unlogged);
        let mut values = Vec::with_capacity(statements.len());
        let consistency = self.statement(first)?.get_consistency();
        batch.set_consistency(consistency.unwrap_or(self.consistency));
        for (which, row) in statements {
            batch.append_statement(self.statement(which)?.clone());
            values.push(row);
        }
        self.guarded(first, || self.session.batch(&batch, &values)).await.map(drop)
    }

    /// Carries out a conditional batch on one partition; answers whether all conditions held.
    pub(super) async fn together_if(&self, statements: Vec<(S, Values)>) -> Result<bool, Trouble> {
        let Some((first, _)) = statements.first() else { return Ok(true) };
        let first = *first;
        let mut batch = self.batch(BatchType::Unlogged);
        batch.set_is_idempotent(false);
        batch.set_serial_consistency(self.statement(first)?.get_serial_consistency());
        let mut values = Vec::with_capacity(statements.len());
        for (which, row) in statements {
            batch.append_statement(self.statement(which)?.clone());
            values.push(row);
        }
        applied(self.guarded(first, || self.session.batch(&batch, &values)).await?)
    }

    fn batch(&self, kind: BatchType) -> Batch {
        let mut batch = Batch::new(kind);
        batch.set_request_timeout(Some(self.patience.one));
        batch.set_is_idempotent(true);
        batch
    }

    /// Carries out a lightweight transaction; answers whether its condition held. One that was repeated may find its own effect: who calls
    /// looks at what is there when the condition did not hold.
    pub(super) async fn run_if(&self, which: S, values: Values) -> Result<bool, Trouble> {
        applied(self.run(which, values).await?)
    }

    /// Rows of one statement.
    pub(super) async fn rows<R>(&self, which: S, values: Values) -> Result<Vec<R>, Trouble>
    where
        R: for<'frame, 'meta> DeserializeRow<'frame, 'meta>,
    {
        let rows = rows_of(self.run(which, values).await?)?;
        let rows = rows.rows::<R>().map_err(strange)?;
        rows.collect::<Result<_, _>>().map_err(strange)
    }

    /// As [`Self::rows`], but the newest decided state of what lightweight transactions change, those under way included.
    pub(super) async fn rows_decided<R>(&self, which: S, values: Values) -> Result<Vec<R>, Trouble>
    where
        R: for<'frame, 'meta> DeserializeRow<'frame, 'meta>,
    {
        let mut statement = self.statement(which)?.clone();
        let serial = statement.get_serial_consistency().unwrap_or(SerialConsistency::LocalSerial);
        statement.set_consistency(match serial {
            SerialConsistency::Serial => Consistency::Serial,
            SerialConsistency::LocalSerial => Consistency::LocalSerial,
        });
        let rows = rows_of(self.guarded(which, || self.session.execute_unpaged(&statement, &values)).await?)?;
        let rows = rows.rows::<R>().map_err(strange)?;
        rows.collect::<Result<_, _>>().map_err(strange)
    }

    /// At most one row.
    pub(super) async fn row<R>(&self, which: S, values: Values) -> Result<Option<R>, Trouble>
    where
        R: for<'frame, 'meta> DeserializeRow<'frame, 'meta>,
    {
        Ok(self.rows(which, values).await?.pop())
    }

    /// The lease's own statement: tried also while the database is away, and what says that it is back.
    pub(super) async fn probe_if(&self, which: S, values: Values) -> Result<bool, Trouble> {
        let statement = self.statement(which)?;
        let result = self.tried(which, || self.session.execute_unpaged(statement, &values)).await;
        if result.is_ok() {
            drop(self.away.take());
        }
        applied(result.map_err(|gave_up| self.told(gave_up))?)
    }

    fn went_away(&self, why: &str) {
        if self.away.replace(Some(why.to_owned())).is_none() {
            tracing::error!("the database does not answer: {why}; writes and reads are refused until it does");
        }
    }

    /// Whether nothing is tried now.
    pub(super) fn is_away(&self) -> bool {
        self.away.borrow().is_some()
    }

    async fn guarded<F>(&self, which: S, attempt: impl FnMut() -> F) -> Result<QueryResult, Trouble>
    where
        F: Future<Output = Result<QueryResult, ExecutionError>>,
    {
        if let Some(why) = &*self.away.borrow() {
            return Err(Trouble::Away(why.clone()));
        }
        // A closed semaphore is a store that ends.
        let place = self.in_flight.acquire().await.map_err(|_| Trouble::Away("the store ends".to_owned()))?;
        if let Some(why) = &*self.away.borrow() {
            return Err(Trouble::Away(why.clone()));
        }
        let result = self.tried(which, attempt).await;
        drop(place);
        result.map_err(|gave_up| self.told(gave_up))
    }

    /// What the database refuses for good (a statement that is too large) says nothing of whether it is there.
    fn told(&self, gave_up: GaveUp) -> Trouble {
        if gave_up.would_pass {
            self.went_away(&gave_up.why);
        }
        Trouble::Away(gave_up.why)
    }

    async fn tried<F>(&self, which: S, mut attempt: impl FnMut() -> F) -> Result<QueryResult, GaveUp>
    where
        F: Future<Output = Result<QueryResult, ExecutionError>>,
    {
        let began = Instant::now();
        let mut pause = PAUSE_FIRST_MS;
        loop {
            let error = match attempt().await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let wait = Duration::from_millis(jitter(pause));
            let would_pass = passes(&error);
            if !would_pass || began.elapsed() + wait >= self.patience.all {
                tracing::debug!(statement = ?which, "given up: {error}");
                return Err(GaveUp { why: error.to_string(), would_pass });
            }
            pause = (pause * 2).min(PAUSE_MOST_MS);
            tokio::time::sleep(wait).await;
        }
    }
}

/// Between half of it and all of it, so that many who wait do not come back at once.
pub(super) fn jitter(ms: u64) -> u64 {
    let mut byte = [0];
    // Without chance it is only less even.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut byte);
    ms / 2 + ms * u64::from(byte[0]) / 512
}

/// Whether the same may go through a moment later.
fn passes(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::RequestTimeout(_) | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => matches!(
            error,
            DbError::Unavailable { .. }
                | DbError::Overloaded
                | DbError::IsBootstrapping
                | DbError::ReadTimeout { .. }
                | DbError::WriteTimeout { .. }
                | DbError::ReadFailure { .. }
                | DbError::WriteFailure { .. }
                | DbError::RateLimitReached { .. }
                | DbError::ServerError
        ),
        ExecutionError::LastAttemptError(
            RequestAttemptError::BrokenConnectionError(_) | RequestAttemptError::UnableToAllocStreamId,
        ) => true,
        _ => false,
    }
}

fn strange(error: impl std::fmt::Display) -> Trouble {
    damaged("an answer of the database", error)
}

fn rows_of(result: QueryResult) -> Result<QueryRowsResult, Trouble> {
    result.into_rows_result().map_err(strange)
}

/// The first column of a conditional statement's answer.
fn applied(result: QueryResult) -> Result<bool, Trouble> {
    let rows = rows_of(result)?;
    let mut rows = rows.rows::<scylla::value::Row>().map_err(strange)?;
    let first = rows.next().transpose().map_err(strange)?;
    match first.and_then(|row| row.columns.into_iter().next().flatten()) {
        Some(CqlValue::Boolean(applied)) => Ok(applied),
        other => Err(strange(format!("[applied] is {other:?}"))),
    }
}

// ---- values ----

/// A number that the database keeps with a sign; ours end below 2^63 (times beyond are "for ever").
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back again.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn set(value: CqlValue) -> Value {
    MaybeUnset::Set(Some(value))
}

/// Null: what stood there goes.
pub(super) fn null() -> Value {
    MaybeUnset::Set(None)
}

/// What stands there stays; in a new row nothing is written.
pub(super) fn left() -> Value {
    MaybeUnset::Unset
}

pub(super) fn big(number: u64) -> Value {
    set(CqlValue::BigInt(signed(number)))
}

pub(super) fn stamp(micros: i64) -> Value {
    set(CqlValue::BigInt(micros))
}

pub(super) fn int(number: i32) -> Value {
    set(CqlValue::Int(number))
}

pub(super) fn small(number: i16) -> Value {
    set(CqlValue::SmallInt(number))
}

pub(super) fn tiny(number: u8) -> Value {
    set(CqlValue::TinyInt(i8::try_from(number).unwrap_or(i8::MAX)))
}

pub(super) fn uuid(bytes: &[u8; 16]) -> Value {
    set(CqlValue::Uuid(Uuid::from_bytes(*bytes)))
}

pub(super) fn blob(bytes: impl Into<Vec<u8>>) -> Value {
    set(CqlValue::Blob(bytes.into()))
}

pub(super) fn text(text: &str) -> Value {
    set(CqlValue::Text(text.to_owned()))
}

pub(super) fn boolean(value: bool) -> Value {
    set(CqlValue::Boolean(value))
}

pub(super) fn time(ms: u64) -> Value {
    set(CqlValue::Timestamp(CqlTimestamp(signed(ms))))
}
