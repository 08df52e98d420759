//! Count and checksum of everything in a store, user by user and room by room, and the comparison of two stores by them.
//!
//! The checksum goes over the values themselves and not over how they are kept, so it is the same in every backend; it tells a difference,
//! and is no protection against somebody who wants to hide one.

use std::hash::{Hash, Hasher as _};

use xxhash_rust::xxh3::Xxh3;

use super::reads::{Side, events_page};
use super::{Copied, CopyError, MARK, Phase, Progress, drop_forgotten};
use crate::base::{RoomId, UserId};

/// So many differences are named.
const NAMED: usize = 20;

/// How much there is of something, and its checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Rows of every kind.
    pub rows: u64,
    /// Events among them.
    pub events: u64,
    /// Over all of them.
    pub checksum: u64,
}

struct Summing {
    rows: u64,
    hasher: Xxh3,
}

impl Summing {
    fn new() -> Self {
        Self { rows: 0, hasher: Xxh3::new() }
    }

    fn row(&mut self, row: &impl Hash) {
        self.rows += 1;
        row.hash(&mut self.hasher);
    }

    fn all<'a, T: Hash + 'a>(&mut self, rows: impl IntoIterator<Item = &'a T>) {
        for row in rows {
            self.row(row);
        }
        // So that no row can pass for one of the next kind.
        self.hasher.write_u64(self.rows);
    }
}

/// A user, if there is one.
fn user(side: Side<'_>, id: UserId) -> Result<Option<Digest>, CopyError> {
    let Some(mut user) = side.user(id)? else { return Ok(None) };
    drop_forgotten(&mut user);
    let mut sum = Summing::new();
    sum.row(&user.user);
    sum.row(&(user.stream_first, user.stream_head));
    user.sessions.sort_by_key(|session| session.id);
    sum.all(&user.sessions);
    user.devices.sort_by_key(|device| device.id);
    sum.all(&user.devices);
    user.rooms.sort();
    sum.all(&user.rooms);
    sum.all(&side.stream(id, crate::base::Seq(0))?);
    for device in &user.devices {
        let mut cursors = side.cursors(id, device.id)?;
        cursors.sort_by_key(|cursor| cursor.room);
        sum.all(&cursors);
    }
    Ok(Some(Digest { rows: sum.rows, events: 0, checksum: sum.hasher.digest() }))
}

/// A room, if there is one.
fn room(side: Side<'_>, id: RoomId) -> Result<Option<Digest>, CopyError> {
    let Some(mut loaded) = side.room(id)? else { return Ok(None) };
    let (mut sum, mut answers, mut events) = (Summing::new(), Summing::new(), 0);
    sum.row(&loaded.room);
    sum.row(&loaded.head);
    loaded.members.sort_by_key(|member| member.user);
    sum.all(&loaded.members);
    let mut after = loaded.room.trimmed.seq;
    loop {
        let (page, answered) = events_page(side, id, after)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        events += page.len() as u64;
        for event in &page {
            sum.row(event);
        }
        for answer in &answered {
            answers.row(answer);
        }
    }
    sum.row(&(events, answers.rows, answers.hasher.digest()));
    Ok(Some(Digest { rows: sum.rows + answers.rows, events, checksum: sum.hasher.digest() }))
}

/// All names: in whatever order they come, the sum is the same.
fn names(side: Side<'_>) -> Result<Digest, CopyError> {
    let (mut digest, mut after) = (Digest::default(), None);
    loop {
        let page = side.names(after)?;
        let Some((last, _)) = page.last().copied() else { return Ok(digest) };
        for row in page {
            let mut sum = Summing::new();
            sum.row(&row);
            digest.rows += 1;
            digest.checksum = digest.checksum.wrapping_add(sum.hasher.digest());
        }
        after = Some(last);
    }
}

fn settings(side: Side<'_>) -> Result<Digest, CopyError> {
    let mut sum = Summing::new();
    for name in side.setting_names()?.into_iter().filter(|name| name != MARK) {
        let value = side.setting(&name)?;
        sum.row(&(name, value));
    }
    Ok(Digest { rows: sum.rows, events: 0, checksum: sum.hasher.digest() })
}

/// What was found so far.
struct Comparing<'a> {
    whole: Xxh3,
    copied: Copied,
    differences: Vec<String>,
    more: usize,
    progress: &'a mut dyn FnMut(Progress),
}

impl Comparing<'_> {
    fn hold(&mut self, what: String, from: Option<Digest>, to: Option<Digest>) {
        (from.unwrap_or_default().rows, from.unwrap_or_default().checksum).hash(&mut self.whole);
        if from == to {
            return;
        }
        if self.differences.len() >= NAMED {
            self.more += 1;
            return;
        }
        let say = |digest: Option<Digest>| match digest {
            None => "nothing".to_owned(),
            Some(Digest { rows, checksum, .. }) => format!("{rows} rows with the checksum {checksum:016x}"),
        };
        self.differences.push(format!("{what} has {} in the source and {} in the copy", say(from), say(to)));
    }

    fn tell(&mut self, phase: Phase, done: usize, of: Option<usize>) {
        let of = of.map(|of| of as u64);
        (self.progress)(Progress { phase, done: done as u64, of, events: self.copied.events });
    }
}

/// Reads both stores through. `Err`: they differ, or one cannot be read.
pub(super) fn compare(from: Side<'_>, to: Side<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Copied, CopyError> {
    let mut comparing =
        Comparing { whole: Xxh3::new(), copied: Copied::default(), differences: Vec::new(), more: 0, progress };
    let (own, copy) = (settings(from)?, settings(to)?);
    comparing.copied.settings = own.rows;
    comparing.hold("the list of settings".to_owned(), Some(own), Some(copy));
    let (own, copy) = (names(from)?, names(to)?);
    comparing.copied.names = own.rows;
    comparing.hold("the list of names".to_owned(), Some(own), Some(copy));

    let (mut after, mut done) = (None, 0);
    loop {
        let page = from.user_ids(after)?;
        if page != to.user_ids(after)? {
            comparing.hold("the list of users".to_owned(), Some(Digest::default()), None);
        }
        let Some(last) = page.last().copied() else { break };
        for id in page {
            comparing.hold(format!("user {id}"), user(from, id)?, user(to, id)?);
            done += 1;
        }
        comparing.tell(Phase::CheckingUsers, done, None);
        after = Some(last);
    }
    comparing.copied.users = done as u64;

    let rooms = from.all_room_ids()?;
    if rooms != to.all_room_ids()? {
        comparing.hold("the list of rooms".to_owned(), Some(Digest::default()), None);
    }
    for (done, id) in rooms.iter().enumerate() {
        let own = room(from, *id)?;
        comparing.copied.events += own.map_or(0, |digest| digest.events);
        comparing.hold(format!("room {id}"), own, room(to, *id)?);
        comparing.tell(Phase::CheckingRooms, done + 1, Some(rooms.len()));
    }
    comparing.copied.rooms = rooms.len() as u64;

    let Comparing { whole, mut copied, mut differences, more, .. } = comparing;
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    if differences.is_empty() {
        copied.checksum = whole.digest();
        Ok(copied)
    } else {
        Err(CopyError::Differs(differences))
    }
}
