//! One user in the memory of their owner: sessions, connections, presence, stream.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::auth::Claims;
use crate::base::{
    Close, Code, ConnId, Device, DeviceId, Moment, Position, RoomId, Seq, Session, SessionId, ShardId, Status,
    StreamEvent, StreamKind, User, WallTime,
};
use crate::chat::Actor;
use crate::chat::rate::Bucket;
use crate::store::{Cursor, LoadedUser, UserWrite};

use super::bounds::Share;

/// A connection of a user, on whichever shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct PersonConn {
    pub(super) conn: ConnId,
    pub(super) session: SessionId,
    pub(super) device: DeviceId,
    pub(super) status: Status,
}

/// One user.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) user: User,
    pub(super) sessions: Vec<Session>,
    pub(super) devices: Vec<Device>,
    pub(super) rooms: BTreeSet<RoomId>,
    pub(super) conns: Vec<PersonConn>,
    pub(super) bucket: Bucket,
    pub(super) told: Status,
    pub(super) last_seen: WallTime,
    pub(super) used: Moment,
    /// The newest durable entry of the stream.
    pub(super) stream_head: Seq,
    pub(super) stream_first: Seq,
    /// Entries that wait to be written, oldest first.
    pub(super) stream_waiting: VecDeque<(StreamKind, WallTime)>,
    /// Entries on their way to the disk.
    pub(super) stream_in_flight: Vec<StreamEvent>,
    pub(super) cursors: BTreeMap<(DeviceId, RoomId), Seq>,
    /// In `Shard::user_due`.
    pub(super) due: Option<Moment>,
    /// What they count for in `Shard::bounds`.
    pub(super) share: Share,
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) close: Close,
    pub(super) code: Code,
}

impl Person {
    pub(super) fn new(loaded: LoadedUser, bucket: Bucket, now: Moment) -> Self {
        let last_seen = loaded.devices.iter().map(|d| d.seen_at).max().unwrap_or_default().max(loaded.user.last_seen);
        Self {
            user: loaded.user,
            sessions: loaded.sessions,
            devices: loaded.devices,
            rooms: loaded.rooms.into_iter().collect(),
            conns: Vec::new(),
            bucket,
            told: Status::Offline,
            last_seen,
            used: now,
            stream_head: loaded.stream_head,
            stream_first: loaded.stream_first,
            stream_waiting: VecDeque::new(),
            stream_in_flight: Vec::new(),
            cursors: BTreeMap::new(),
            due: None,
            share: Share::default(),
        }
    }

    /// Whether a token's session lives. A session of an external issuer begins at first sight: then it is in the second part, to be
    /// stored, with its device.
    pub(super) fn admit(
        &mut self,
        claims: &Claims,
        device: Option<DeviceId>,
        agent: &str,
        now: WallTime,
    ) -> Result<(Actor, Option<UserWrite>), Denied> {
        if self.user.suspended {
            return Err(Denied { close: Close::NotAllowed, code: Code::Suspended });
        }
        let ended = Denied { close: Close::SessionEnded, code: Code::SessionEnded };
        let mut write = None;
        let known = self.sessions.iter_mut().find(|session| session.id == claims.session);
        let session = match known {
            Some(session) if session.ended_at.is_none() => {
                // An external token does not say on which device it is used: the first frame does, perhaps after REST was.
                if let Some(id) = device.filter(|id| claims.external.is_some() && *id != session.device) {
                    session.device = id;
                    let mut moved = UserWrite { sessions: vec![session.clone()], ..UserWrite::new(self.user.id) };
                    if !self.devices.iter().any(|known| known.id == id) {
                        let device = Device { id, user: self.user.id, created_at: now, seen_at: now };
                        self.devices.push(device.clone());
                        moved.devices.push(device);
                    }
                    write = Some(moved);
                }
                session.clone()
            }
            // An external session that was ended lives again only with a token made after that.
            Some(session) if claims.external.is_some() && session.ended_at.is_some_and(|at| claims.issued_at > at) => {
                session.ended_at = None;
                session.used_at = now;
                write = Some(UserWrite { sessions: vec![session.clone()], ..UserWrite::new(self.user.id) });
                session.clone()
            }
            Some(_) => return Err(ended),
            None if claims.external.is_some() => {
                let id = device.or(claims.device).unwrap_or(DeviceId(claims.session.0));
                let session = Session {
                    id: claims.session,
                    user: self.user.id,
                    device: id,
                    created_at: now,
                    used_at: now,
                    expires_at: claims.expires_at,
                    refresh_hash: [0; 32],
                    previous_hash: [0; 32],
                    ended_at: None,
                    agent: agent.chars().take(200).collect(),
                };
                // A platform may sign each token as a login of its own: what the store has dropped is not kept here either.
                self.sessions.retain(|session| !crate::store::rules::forgotten(session, now));
                self.sessions.push(session.clone());
                let mut new = UserWrite { sessions: vec![session.clone()], ..UserWrite::new(self.user.id) };
                if !self.devices.iter().any(|known| known.id == id) {
                    let device = Device { id, user: self.user.id, created_at: now, seen_at: now };
                    self.devices.push(device.clone());
                    new.devices.push(device);
                }
                write = Some(new);
                session
            }
            None => return Err(ended),
        };
        if claims.external.is_none() && session.created_at < self.user.sessions_valid_from {
            return Err(ended);
        }
        let actor = Actor { user: self.user.id, session: session.id, device: session.device, admin: self.user.admin };
        Ok((actor, write))
    }

    /// What others see: online if any connection is, else away if any is there.
    pub(super) fn status(&self) -> Status {
        if self.conns.is_empty() {
            Status::Offline
        } else if self.conns.iter().any(|c| c.status == Status::Online) {
            Status::Online
        } else {
            Status::Away
        }
    }

    /// Shards on which the user is connected, each once.
    pub(super) fn shards(&self) -> BTreeSet<ShardId> {
        self.conns.iter().map(|c| c.conn.shard).collect()
    }

    /// Where the durable stream stands.
    pub(super) fn stream(&self) -> Position {
        Position { epoch: self.user.stream_epoch, seq: self.stream_head }
    }

    /// The next entries to be written, if none are on their way.
    pub(super) fn next_stream_write(&mut self) -> Option<UserWrite> {
        if !self.stream_in_flight.is_empty() || self.stream_waiting.is_empty() {
            return None;
        }
        let mut seq = self.stream_head;
        for (kind, at) in self.stream_waiting.drain(..) {
            seq = seq.next();
            self.stream_in_flight.push(StreamEvent { user: self.user.id, seq, at, kind });
        }
        Some(UserWrite { stream: self.stream_in_flight.clone(), ..UserWrite::new(self.user.id) })
    }

    /// Cursors to be written.
    pub(super) fn take_cursors(&mut self) -> Vec<Cursor> {
        let user = self.user.id;
        std::mem::take(&mut self.cursors)
            .into_iter()
            .map(|((device, room), seq)| Cursor { user, device, room, seq })
            .collect()
    }

    /// How much memory they take, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        let text = |session: &Session| size_of::<Session>() + session.agent.len();
        // An entry of a tree takes half as much again as what is in it.
        size_of::<Self>()
            + self.user.username.len()
            + self.user.display_name.len()
            + self.user.password_hash.len()
            + self.sessions.iter().map(text).sum::<usize>()
            + self.devices.len() * size_of::<Device>()
            + self.rooms.len() * size_of::<RoomId>() * 3 / 2
    }

    /// Whether nothing waits, so that the user may leave memory.
    pub(super) fn is_quiet(&self) -> bool {
        self.conns.is_empty()
            && self.stream_waiting.is_empty()
            && self.stream_in_flight.is_empty()
            && self.cursors.is_empty()
    }
}
