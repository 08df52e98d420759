//! Everybody's names, in memory, for who looks for somebody.
//!
//! Names are sealed, so the database cannot look for a part of one; reading every user for each key that is typed takes seconds with some thousands of
//! them. So they are read once, at the first search, and held: about 300 bytes each, [`KEPT`] at most; with more people a search reads them all,
//! as if nothing were held. No other process writes users while this one owns them. A user whose record was written, or may have been, is read
//! again before the next search.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::core::{Core, SIDE_BY_SIDE};
use super::cql::Trouble;
use super::user;
use crate::base::text::fold_name;
use crate::base::{Profile, User, UserId};

/// With more people than this nothing is held.
const KEPT: usize = 100_000;
/// Users read at once.
const READ_AT_ONCE: usize = 256;
/// Users looked at before others on this thread have their turn.
const LOOKED_AT: usize = 2_000;

/// Between two names; in no name.
const APART: char = '\n';

/// Who is held.
#[derive(Debug, Default)]
pub(super) struct People {
    all: RefCell<Option<BTreeMap<UserId, Person>>>,
    stale: RefCell<BTreeSet<UserId>>,
    /// Changes are noted: people are held, or are being read.
    watching: Cell<bool>,
    too_many: Cell<bool>,
    /// One at a time brings up to date what is held; who searches waits for it.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Person {
    profile: Profile,
    /// Both folded names, apart.
    folded: String,
}

impl Person {
    fn new(user: &User) -> Self {
        let folded = format!("{}{APART}{}", fold_name(&user.username), fold_name(&user.display_name));
        Self { profile: user.profile(), folded }
    }
}

impl People {
    /// The user's record was written, or may have been. To be called before the writer hears of it.
    pub(super) fn changed(&self, user: UserId) {
        if self.watching.get() {
            self.stale.borrow_mut().insert(user);
        }
    }

    /// Those in the next part after `after` who fit, and where that part ended; `None`: that was the last one.
    fn look(&self, text: &str, after: Option<UserId>) -> (Vec<Profile>, Option<UserId>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.all.borrow();
        let part = all.iter().flat_map(|all| all.range((from, Bound::Unbounded))).take(LOOKED_AT);
        let (mut found, mut last, mut seen) = (Vec::new(), None, 0);
        for (id, person) in part {
            (last, seen) = (Some(*id), seen + 1);
            if person.folded.contains(text) {
                found.push(person.profile.clone());
            }
        }
        (found, last.filter(|_| seen == LOOKED_AT))
    }
}

/// Users whose folded names hold the text, ascending by id.
pub(super) async fn find(
    core: &Core,
    text: &str,
    mut after: Option<UserId>,
    limit: usize,
) -> Result<Vec<Profile>, Trouble> {
    let mut found = Vec::new();
    if text.contains(APART) {
        return Ok(found);
    }
    // Everybody fits the empty text: the first ones need no search.
    if text.is_empty() || !hold(core).await? {
        return read_through(core, text, after, limit).await;
    }
    while found.len() < limit {
        let (fit, next) = core.people.look(text, after);
        found.extend(fit);
        if next.is_none() {
            break;
        }
        after = next;
        tokio::task::yield_now().await;
    }
    found.truncate(limit);
    Ok(found)
}

/// Brings up to date what is held. `false`: there are too many people for that.
async fn hold(core: &Core) -> Result<bool, Trouble> {
    let people = &core.people;
    let _turn = people.turn.lock().await;
    if people.too_many.get() {
        return Ok(false);
    }
    if people.all.borrow().is_none() {
        // Who is changed from here on is read again below.
        people.stale.borrow_mut().clear();
        people.watching.set(true);
        let Some(all) = read_all(core).await? else {
            people.too_many.set(true);
            people.watching.set(false);
            people.stale.borrow_mut().clear();
            return Ok(false);
        };
        people.all.replace(Some(all));
    }
    let stale: Vec<UserId> = std::mem::take(&mut *people.stale.borrow_mut()).into_iter().collect();
    let read = read(core, stale.clone()).await;
    let users = read.inspect_err(|_| people.stale.borrow_mut().extend(&stale))?;
    if let Some(all) = people.all.borrow_mut().as_mut() {
        for (id, user) in stale.into_iter().zip(users) {
            match user {
                Some(user) => drop(all.insert(id, Person::new(&user))),
                None => drop(all.remove(&id)),
            }
        }
        people.too_many.set(all.len() > KEPT);
    }
    if people.too_many.get() {
        people.all.replace(None);
        people.watching.set(false);
    }
    Ok(!people.too_many.get())
}

async fn read(core: &Core, ids: Vec<UserId>) -> Result<Vec<Option<User>>, Trouble> {
    let record = |id: UserId| user::record_of(core, id);
    stream::iter(ids.into_iter().map(record)).buffered(SIDE_BY_SIDE).try_collect().await
}

/// The next ones, ascending.
async fn read_part(core: &Core, after: Option<UserId>) -> Result<(Vec<User>, Option<UserId>), Trouble> {
    let ids = core.user_ids(after.map(|id| *id.bytes()), READ_AT_ONCE).await?;
    let ids: Vec<UserId> = ids.into_iter().map(|id| UserId(Uuid::from_bytes(id))).collect();
    let last = ids.last().copied();
    Ok((read(core, ids).await?.into_iter().flatten().collect(), last))
}

/// `None`: too many.
async fn read_all(core: &Core) -> Result<Option<BTreeMap<UserId, Person>>, Trouble> {
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let (users, last) = read_part(core, after).await?;
        all.extend(users.iter().map(|user| (user.id, Person::new(user))));
        if all.len() > KEPT {
            return Ok(None);
        }
        if last.is_none() {
            return Ok(Some(all));
        }
        after = last;
    }
}

/// The same without holding anybody.
async fn read_through(
    core: &Core,
    text: &str,
    mut after: Option<UserId>,
    limit: usize,
) -> Result<Vec<Profile>, Trouble> {
    let mut found = Vec::new();
    while found.len() < limit {
        let (users, last) = read_part(core, after).await?;
        let fits = |user: &&User| Person::new(user).folded.contains(text);
        found.extend(users.iter().filter(fits).map(User::profile));
        if last.is_none() {
            break;
        }
        after = last;
    }
    found.truncate(limit);
    Ok(found)
}
