//! One run from end to end: prepare, connect, let everything happen, wait for the last delivery, hold it against the logs, report.

use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::adapter::{self, Adapter, Ground};
use crate::check::{Entry, Log};
use crate::drive;
use crate::http::Http;
use crate::plan::{Given, Plan};
use crate::report::Report;
use crate::world::World;
use crate::{Context as _, Failure};

/// A run whose rooms are there and whose users are in them.
pub struct Prepared {
    #[allow(dead_code)] // until `go` goes
    adapter: Box<dyn Adapter>,
    world: World,
}

/// Makes users and rooms, or takes those that were given.
///
/// # Errors
/// When the server refuses, or there is no such adapter.
pub fn prepare(plan: &Plan) -> Result<Prepared, Failure> {
    let adapter = adapter::by_name(&plan.adapter)?;
    let mark = Uuid::now_v7().simple().to_string()[4..12].to_owned() + &Uuid::new_v4().simple().to_string()[..4];
    let mark = plan.given.as_ref().map_or(&*mark, |given| &*given.mark);
    let population = &plan.scenario.population;
    let world = World::new(population, &plan.issuer, mark);
    let ground = Ground { target: &plan.target, population, issuer: &plan.issuer, mark };
    let rooms = match &plan.given {
        Some(given) => given.rooms.clone(),
        None => adapter.rooms(&ground, &world)?,
    };
    Ok(Prepared { adapter, world: world.with_rooms(rooms) })
}

impl Prepared {
    /// What the other processes of the run must know.
    #[must_use]
    pub fn given(&self) -> Given {
        Given { mark: self.world.mark.clone(), rooms: self.world.rooms().to_vec() }
    }

    /// Opens every connection (with all rounds of the scenario) and waits until all are live.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses a user.
    pub fn connect(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Carries the phases out, the first of which begins at `start`; then waits for the last delivery, checks and reports.
    ///
    /// # Errors
    /// When the run could not be carried out at all. What the server did wrong stands in the report.
    pub fn go(self, start: Instant) -> Result<Report, Failure> {
        let _ = start;
        Err(Failure::new("the run", "it is being rebuilt"))
    }
}

/// All of it in one process: prepare, connect, go.
///
/// # Errors
/// See [`prepare`], [`Prepared::connect`] and [`Prepared::go`].
pub fn run(plan: &Plan) -> Result<Report, Failure> {
    let mut prepared = prepare(plan)?;
    prepared.connect()?;
    prepared.go(Instant::now() + Duration::from_millis(50))
}

/// One room's log from its first event on, page after page.
///
/// # Errors
/// When a page is refused.
pub fn read_log(http: &mut Http, token: &str, room: Uuid) -> Result<Log, Failure> {
    let mut log = Log::default();
    let mut after = 0;
    let mut waits = 0;
    loop {
        let path = format!("/api/v1/chat/rooms/{room}/messages?after={after}&limit=100");
        let answer = http.call("GET", &path, Some(token), &[], None)?;
        if matches!(answer.status, 429 | 503) && waits < 100 {
            waits += 1;
            thread::sleep(Duration::from_millis(answer.json()["retry_after_ms"].as_u64().unwrap_or(200).min(5000)));
            continue;
        }
        if answer.status != 200 {
            return Err(Failure::new(format!("GET {path}"), format!("{}: {}", answer.status, answer.text())));
        }
        let page = answer.json();
        let rows = page["messages"].as_array().context_none("a page without messages")?;
        for row in rows {
            let seq = row["seq"].as_u64().context_none("a row without seq")?;
            let text = row["content"].as_str().filter(|_| row["type"].as_str().is_none_or(|kind| kind == "chat"));
            let key = text.and_then(drive::key);
            log.entries.push(Entry { seq, key });
            after = after.max(seq);
        }
        if page["more"] != true || rows.is_empty() {
            return Ok(log);
        }
    }
}

/// Names what an `Option` lacks.
trait ContextNone<T> {
    /// The value, or a failure that says so.
    fn context_none(self, what: &str) -> Result<T, Failure>;
}

impl<T> ContextNone<T> for Option<T> {
    fn context_none(self, what: &str) -> Result<T, Failure> {
        self.ok_or("it is not there").context(what)
    }
}
