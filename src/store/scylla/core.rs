//! What lives on the bridge's thread: the session, the lease, the keys, and the lanes.
//!
//! A *lane* is the queue of one room, one user, or the settings: what is in it happens one after the other, so that order is kept whatever
//! order the database answers in; lanes run side by side. A room's lane takes all appends that wait as one batch, so batches grow with the
//! load, and nobody waits for another room. How many statements are under way at once is bounded by [`super::cql`], how much
//! waits by [`super::driver`].

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::cql::{Cql, Trouble, blob, stamp, text};
use super::driver::Numbers;
use super::keys::{KeyRing, nonce};
use super::lease::Lease;
use super::people::People;
use super::statements::S;
use super::{read, room, room_plan, user};
use crate::base::room::Head;
use crate::base::{Event, RoomId, Seq, SessionId, UserId, WallTime};
use crate::store::record::{self, StoredBytes};
use crate::store::{Failure, LoadedRoom, LoadedUser, Outcome, RoomWrite, UserWrite, Write, rules};

/// Lanes kept in memory; beyond that those that rest are forgotten and loaded anew.
const LANES_KEPT: usize = 65_536;
/// Rooms and users that this process has loaded before, so that nothing of an earlier owner can come up in them.
const FENCED_KEPT: usize = 1_000_000;
/// Appends that go together at most, in jobs and in bytes.
const MERGED_JOBS: usize = 512;
const MERGED_BYTES: usize = 128 * 1024;
/// Rows of different partitions that one read asks for at once.
pub(super) const SIDE_BY_SIDE: usize = 32;

/// How a write's outcome leaves.
pub(super) type Tell = Box<dyn FnOnce(Result<Outcome, Failure>)>;

type Told<T> = oneshot::Sender<Result<T, Trouble>>;

pub(super) enum RoomJob {
    Write(Box<RoomWrite>, Tell),
    Trim(Seq, usize, Tell),
    Load(WallTime, usize, Told<Option<LoadedRoom>>),
    Facts(Told<room::Known>),
}

pub(super) enum UserJob {
    Write(Box<UserWrite>, Tell),
    Rotate(SessionId, [[u8; 32]; 2], [WallTime; 2], Tell),
    Load(Told<Option<LoadedUser>>),
}

struct SettingJob(String, Option<Vec<u8>>, Tell);

/// What a lane knows: nothing (`None`), that there is no such thing (`Some(None)`), or what it is.
#[allow(clippy::option_option, reason = "three states, each of which is asked for")]
type Known<F> = Option<Option<F>>;

struct Lane<J, F> {
    waiting: RefCell<VecDeque<J>>,
    running: Cell<bool>,
    known: RefCell<Known<F>>,
}

impl<J, F> Default for Lane<J, F> {
    fn default() -> Self {
        Self { waiting: RefCell::default(), running: Cell::new(false), known: RefCell::new(None) }
    }
}

type Lanes<K, J, F> = RefCell<HashMap<K, Rc<Lane<J, F>>>>;

/// Puts a job in its lane. Gives the lane if it has to be set going.
fn enqueue<K: Eq + Hash, J, F>(lanes: &Lanes<K, J, F>, key: K, job: J) -> Option<Rc<Lane<J, F>>> {
    let mut lanes = lanes.borrow_mut();
    if lanes.len() >= LANES_KEPT {
        lanes.retain(|_, lane| lane.running.get());
    }
    let lane = Rc::clone(lanes.entry(key).or_default());
    lane.waiting.borrow_mut().push_back(job);
    (!lane.running.replace(true)).then_some(lane)
}

/// See the file's head.
pub(super) struct Core {
    pub(super) cql: Cql,
    pub(super) lease: Rc<Lease>,
    pub(super) ring: KeyRing,
    pub(super) numbers: Arc<Numbers>,
    pub(super) rooms_fenced: RefCell<HashSet<RoomId>>,
    pub(super) users_fenced: RefCell<HashSet<UserId>>,
    pub(super) people: People,
    rooms: Lanes<RoomId, RoomJob, room::Facts>,
    users: Lanes<UserId, UserJob, user::Facts>,
    settings: Lanes<(), SettingJob, ()>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn new(cql: Cql, lease: Rc<Lease>, ring: KeyRing, numbers: Arc<Numbers>) -> Self {
        Self {
            cql,
            lease,
            ring,
            numbers,
            rooms_fenced: RefCell::default(),
            users_fenced: RefCell::default(),
            people: People::default(),
            rooms: RefCell::default(),
            users: RefCell::default(),
            settings: RefCell::default(),
        }
    }

    /// Queues a write in its lane; `tell` is called once.
    pub(super) fn write(self: &Rc<Self>, write: Write, tell: Tell) {
        match write {
            Write::Room(write) => self.room_job(write.room, RoomJob::Write(write, tell)),
            Write::Trim { room, up_to, limit } => self.room_job(room, RoomJob::Trim(up_to, limit, tell)),
            Write::User(write) => self.user_job(write.user, UserJob::Write(write, tell)),
            Write::RotateRefresh { user, session, presented, next, at, expires_at } => {
                self.user_job(user, UserJob::Rotate(session, [presented, next], [at, expires_at], tell));
            }
            Write::Setting { name, value } => {
                if let Some(lane) = enqueue(&self.settings, (), SettingJob(name, value, tell)) {
                    let core = Rc::clone(self);
                    tokio::task::spawn_local(async move { core.run_settings(&lane).await });
                }
            }
        }
    }

    pub(super) fn room_job(self: &Rc<Self>, room: RoomId, job: RoomJob) {
        if let Some(lane) = enqueue(&self.rooms, room, job) {
            let core = Rc::clone(self);
            tokio::task::spawn_local(async move { Box::pin(core.run_room(room, &lane)).await });
        }
    }

    pub(super) fn user_job(self: &Rc<Self>, user: UserId, job: UserJob) {
        if let Some(lane) = enqueue(&self.users, user, job) {
            let core = Rc::clone(self);
            tokio::task::spawn_local(async move { Box::pin(core.run_user(user, &lane)).await });
        }
    }

    // ---- lanes ----

    async fn run_room(&self, id: RoomId, lane: &Lane<RoomJob, room::Facts>) {
        loop {
            let Some(job) = lane.waiting.borrow_mut().pop_front() else { break };
            // Who only reads finds meanwhile what was confirmed before.
            let mut known = lane.known.borrow().clone();
            let result = Box::pin(self.room_step(id, lane, job, &mut known)).await;
            if result.is_err() {
                // What became of it is not known: it is looked up, and made to stay so, before the next job.
                known = None;
                self.rooms_fenced.borrow_mut().remove(&id);
            }
            lane.known.replace(known);
        }
        lane.running.set(false);
    }

    async fn room_known(&self, id: RoomId, known: &mut Known<room::Facts>) -> Result<(), Trouble> {
        if known.is_none() {
            make_place(&self.rooms_fenced);
            *known = Some(room::load(self, id).await?);
        }
        Ok(())
    }

    /// One job, or all appends that wait. `Err`: the room's facts cannot be relied on any more; the job was answered all the same.
    async fn room_step(
        &self,
        id: RoomId,
        lane: &Lane<RoomJob, room::Facts>,
        job: RoomJob,
        known: &mut Known<room::Facts>,
    ) -> Result<(), ()> {
        let loaded = self.room_known(id, known).await;
        let nobody = &mut None;
        let facts = known.as_mut().unwrap_or(nobody);
        match (job, loaded) {
            (RoomJob::Write(write, tell), Ok(())) if room::appends(&write) => {
                let mut batch = vec![(write, tell)];
                let mut bytes = 0;
                while batch.len() < MERGED_JOBS && bytes < MERGED_BYTES {
                    let mut waiting = lane.waiting.borrow_mut();
                    match waiting.pop_front() {
                        Some(RoomJob::Write(write, tell)) if room::appends(&write) => {
                            bytes += write.events.iter().map(Event::weight).sum::<usize>();
                            batch.push((write, tell));
                        }
                        Some(other) => {
                            waiting.push_front(other);
                            break;
                        }
                        None => break,
                    }
                }
                self.append(id, facts, batch).await
            }
            (RoomJob::Write(write, tell), Ok(())) => {
                let result = match rules::check_room_write(&write) {
                    Ok(()) => self.counted(1, room_plan::write(self, facts, *write)).await,
                    Err(misuse) => Err(Trouble::Own(misuse)),
                };
                tell_one(tell, result)
            }
            (RoomJob::Trim(up_to, limit, tell), Ok(())) => {
                let result = self.counted(1, room_plan::trim(self, facts, id, up_to, limit)).await;
                tell_one(tell, result)
            }
            (RoomJob::Write(_, tell) | RoomJob::Trim(_, _, tell), Err(trouble)) => tell_one(tell, Err(trouble)),
            (RoomJob::Load(since, max, told), loaded) => {
                let result = match (loaded, facts) {
                    (Err(trouble), _) => Err(trouble),
                    (Ok(()), None) => Ok(None),
                    (Ok(()), Some(facts)) => Box::pin(read::loaded(self, id, facts, since, max)).await.map(Some),
                };
                let _ = told.send(result);
                Ok(())
            }
            (RoomJob::Facts(told), loaded) => {
                // Whoever asked may have gone.
                let _ = told.send(loaded.map(|()| facts.clone().map(Rc::new)));
                Ok(())
            }
        }
    }

    /// Appends that wait in one room, in one go: each is looked at by itself, those that fit are written together.
    async fn append(
        &self,
        id: RoomId,
        known: &mut Option<room::Facts>,
        batch: Vec<(Box<RoomWrite>, Tell)>,
    ) -> Result<(), ()> {
        let Some(facts) = known.as_mut() else {
            for (write, tell) in batch {
                tell(rules::check_room_write(&write).map(|()| Outcome::NotFound));
            }
            return Ok(());
        };
        let (mut head, mut changes, mut results) = (facts.head, Vec::new(), Vec::new());
        let mut fitting = 0;
        let bucket = |seq: Seq| super::change::bucket(seq);
        let mut first_bucket = None;
        let mut batch = batch.into_iter();
        let mut put_off = Vec::new();
        for (write, tell) in batch.by_ref() {
            let result = match (rules::check_room_write(&write), write.events.first(), write.events.last()) {
                (Err(misuse), ..) => Err(misuse),
                (Ok(()), Some(first), Some(last)) if first.seq == head.seq.next() => {
                    if *first_bucket.get_or_insert(bucket(first.seq)) != bucket(first.seq) {
                        // The next bucket begins: what is written together stands in one partition.
                        put_off.push((write, tell));
                        break;
                    }
                    let next = Head { seq: last.seq, number: last.number, at: last.at };
                    let before = changes.len();
                    match room::seal_events(self, &write.events, &write.answered, &mut changes).await {
                        Ok(()) => {
                            head = next;
                            fitting += 1;
                            Ok(Outcome::Done { first_user: false })
                        }
                        Err(trouble) => {
                            changes.truncate(before);
                            Err(trouble.failure())
                        }
                    }
                }
                _ => Ok(Outcome::Conflict),
            };
            results.push((result, tell));
        }
        put_off.extend(batch);
        let written = if fitting == 0 {
            Ok(())
        } else {
            self.counted(fitting, room::append(self, id, facts, &changes, head)).await
        };
        let failed = written.is_err();
        for (result, tell) in results {
            match (&written, result) {
                (Err(trouble), Ok(Outcome::Done { .. })) => tell(Err(trouble.clone().failure())),
                (_, result) => tell(result),
            }
        }
        if failed {
            for (_, tell) in put_off {
                tell(Err(Failure::Unavailable("what was to be written before it was not".to_owned())));
            }
            return Err(());
        }
        if put_off.is_empty() { Ok(()) } else { Box::pin(self.append(id, known, put_off)).await }
    }

    async fn run_user(&self, id: UserId, lane: &Lane<UserJob, user::Facts>) {
        loop {
            let Some(job) = lane.waiting.borrow_mut().pop_front() else { break };
            let mut known = lane.known.borrow().clone();
            let result = Box::pin(self.user_step(id, job, &mut known)).await;
            if result.is_err() {
                known = None;
                self.users_fenced.borrow_mut().remove(&id);
            }
            lane.known.replace(known);
        }
        lane.running.set(false);
    }

    async fn user_step(&self, id: UserId, job: UserJob, known: &mut Known<user::Facts>) -> Result<(), ()> {
        let mut loaded = Ok(());
        if known.is_none() {
            make_place(&self.users_fenced);
            let doubtful = !self.users_fenced.borrow().contains(&id);
            match user::load(self, id).await {
                Ok(found) => *known = Some(found),
                Err(trouble) => loaded = Err(trouble),
            }
            if doubtful {
                // What an unanswered write left is certain only now.
                self.people.changed(id);
            }
        }
        let nobody = &mut None;
        let facts = known.as_mut().unwrap_or(nobody);
        match (job, loaded) {
            (UserJob::Write(write, tell), Ok(())) => {
                let named = write.record.is_some();
                let result = match rules::check_user_write(&write) {
                    Ok(()) => self.counted(1, user::write(self, facts, *write)).await,
                    Err(misuse) => Err(Trouble::Own(misuse)),
                };
                if named {
                    self.people.changed(id);
                }
                tell_one(tell, result)
            }
            (UserJob::Rotate(session, [presented, next], [at, expires_at], tell), Ok(())) => {
                let rotated = user::rotate(self, facts.as_ref(), (id, session), (presented, next), (at, expires_at));
                let result = self.counted(1, rotated).await;
                tell_one(tell, result)
            }
            (UserJob::Write(_, tell) | UserJob::Rotate(.., tell), Err(trouble)) => tell_one(tell, Err(trouble)),
            (UserJob::Load(told), loaded) => {
                let result = match (loaded, facts) {
                    (Err(trouble), _) => Err(trouble),
                    (Ok(()), None) => Ok(None),
                    (Ok(()), Some(facts)) => Box::pin(user::loaded(self, id, facts)).await.map(Some),
                };
                let _ = told.send(result);
                Ok(())
            }
        }
    }

    async fn run_settings(&self, lane: &Lane<SettingJob, ()>) {
        loop {
            let Some(SettingJob(name, value, tell)) = lane.waiting.borrow_mut().pop_front() else { break };
            let result = self.counted(1, self.set(&name, value)).await;
            tell(result.map(|()| Outcome::Done { first_user: false }).map_err(Trouble::failure));
        }
        lane.running.set(false);
    }

    async fn set(&self, name: &str, value: Option<Vec<u8>>) -> Result<(), Trouble> {
        let at = self.lease.stamp()?;
        match value {
            Some(value) => {
                let own = |e: &dyn std::fmt::Display| super::cql::damaged(format!("setting {name}"), e);
                let bytes = self.ring.server.seal_setting(name, nonce()?, &value).map_err(|e| own(&e))?;
                let bytes = record::encode(name.as_bytes(), &StoredBytes { bytes }).map_err(|e| own(&e))?;
                self.cql.run(S::SettingPut, vec![text(name), blob(bytes), stamp(at)]).await?;
            }
            None => drop(self.cql.run(S::SettingGone, vec![stamp(at), text(name)]).await?),
        }
        self.lease.check()
    }

    /// Counts what goes to the database as one commit of so many writes.
    async fn counted<T>(&self, writes: u64, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let began = Instant::now();
        let result = work.await;
        self.numbers.committed(writes, began, result.as_ref().err());
        result
    }

    /// A fence that may not stand is not relied on.
    pub(super) fn unfence_on_error<T>(&self, room: RoomId, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if result.is_err() {
            self.rooms_fenced.borrow_mut().remove(&room);
        }
        result
    }

    /// The same for a user.
    pub(super) fn unfence_user_on_error<T>(&self, user: UserId, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if result.is_err() {
            self.users_fenced.borrow_mut().remove(&user);
        }
        result
    }

    /// What the room's lane knows without asking.
    pub(super) fn room_in_memory(&self, room: RoomId) -> Option<room::Known> {
        let known = self.rooms.borrow().get(&room).and_then(|lane| lane.known.borrow().clone());
        known.map(|facts| facts.map(Rc::new))
    }

    /// Whether any lane has something to do.
    pub(super) fn busy(&self) -> bool {
        self.rooms.borrow().values().any(|lane| lane.running.get())
            || self.users.borrow().values().any(|lane| lane.running.get())
            || self.settings.borrow().values().any(|lane| lane.running.get())
    }
}

/// Forgets all when there are too many: they are fenced once more.
fn make_place<T>(fenced: &RefCell<HashSet<T>>) {
    if fenced.borrow().len() >= FENCED_KEPT {
        fenced.borrow_mut().clear();
    }
}

/// Answers one job. `Err`: nobody knows what became of it.
fn tell_one(tell: Tell, result: Result<Outcome, Trouble>) -> Result<(), ()> {
    let away = matches!(result, Err(Trouble::Away(_)));
    tell(result.map_err(Trouble::failure));
    if away { Err(()) } else { Ok(()) }
}
