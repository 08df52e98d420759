//! What a question is answered from: a lane's own knowledge, or rows. Whoever asks of a room or a user waits behind what was written there
//! before.

use std::rc::Rc;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::change::PARTS;
use super::core::{Core, RoomJob, SIDE_BY_SIDE, UserJob};
use super::cql::{Trouble, blob, damaged, int, small};
use super::statements::S;
use super::{listing, lists, people, read, room, user};
use crate::base::{RoomId, Seq, WallTime};
use crate::store::{Answer, LoadedRoom, Query};

impl Core {
    /// Answers a question.
    pub(super) async fn read(self: &Rc<Self>, query: &Query) -> Result<Answer, Trouble> {
        Ok(match query {
            Query::Rooms { rooms, answered_since, answered_max } => {
                let load = |room: RoomId| self.load_room(room, *answered_since, *answered_max);
                let loads = stream::iter(rooms.iter().copied().map(load));
                Answer::Rooms(loads.buffered(SIDE_BY_SIDE).try_collect().await?)
            }
            Query::Events { room, span, limit, bytes_max } => match self.room_facts(*room).await? {
                Some(facts) => Answer::Events(read::events(self, *room, &facts, *span, *limit, *bytes_max).await?),
                None => Answer::Events(Vec::new()),
            },
            Query::Answered { room, user, client_id } => match self.room_facts(*room).await? {
                Some(facts) => Answer::Answered(read::answered(self, *room, &facts, *user, *client_id).await?),
                None => Answer::Answered(None),
            },
            Query::AnsweredIn { room, after, before } => match self.room_facts(*room).await? {
                Some(facts) => Answer::AnsweredIn(listing::answered_in(self, *room, &facts, *after, *before).await?),
                None => Answer::AnsweredIn(Vec::new()),
            },
            Query::SeqBefore { room, at } => match self.room_facts(*room).await? {
                Some(facts) => Answer::SeqAt(read::seq_before(self, *room, &facts, *at).await?),
                None => Answer::SeqAt(Seq(0)),
            },
            Query::User(user) => {
                let (tell, told) = oneshot::channel();
                self.user_job(*user, UserJob::Load(tell));
                Answer::User(heard(told).await?.map(Box::new))
            }
            Query::UserByName(name) => Answer::UserRecord(lists::user_by_name(self, name).await?.map(Box::new)),
            Query::Profiles(users) => Answer::Profiles(lists::profiles(self, users).await?),
            Query::FindUsers { text, after, limit } => Answer::Found(people::find(self, text, *after, *limit).await?),
            Query::ListRooms { user, after, limit } => {
                Answer::RoomList(lists::rooms(self, *user, *after, *limit).await?)
            }
            Query::Stream { user, after, limit } => Answer::Stream(user::stream(self, *user, *after, *limit).await?),
            Query::Cursors { user, device } => Answer::Cursors(lists::cursors(self, *user, *device).await?),
            Query::RoomIds { after, limit } => {
                let ids = self.ids(S::RoomIds, after.map(|id| *id.bytes()), *limit).await?;
                Answer::RoomIds(ids.into_iter().map(|id| RoomId(Uuid::from_bytes(id))).collect())
            }
            Query::Setting(name) => Answer::Setting(lists::setting(self, name).await?),
            Query::SettingNames => Answer::SettingNames(listing::setting_names(self).await?),
            Query::Names { after, limit } => Answer::Names(listing::names(self, *after, *limit).await?),
        })
    }

    async fn load_room(
        self: &Rc<Self>,
        room: RoomId,
        since: WallTime,
        max: usize,
    ) -> Result<Option<LoadedRoom>, Trouble> {
        let (tell, told) = oneshot::channel();
        self.room_job(room, RoomJob::Load(since, max, tell));
        heard(told).await
    }

    /// What the room's lane knows; loaded if it knows nothing.
    pub(super) async fn room_facts(self: &Rc<Self>, room: RoomId) -> Result<room::Known, Trouble> {
        if let Some(known) = self.room_in_memory(room) {
            return Ok(known);
        }
        let (tell, told) = oneshot::channel();
        self.room_job(room, RoomJob::Facts(tell));
        heard(told).await
    }

    /// Ids of a list in parts, ascending, after one of them.
    pub(super) async fn ids(&self, list: S, after: Option<[u8; 16]>, limit: usize) -> Result<Vec<[u8; 16]>, Trouble> {
        let from = match after {
            None => [0; 16],
            Some(after) => match u128::from_be_bytes(after).checked_add(1) {
                Some(next) => next.to_be_bytes(),
                None => return Ok(Vec::new()),
            },
        };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let most = i32::try_from(limit).unwrap_or(i32::MAX);
        let part = |part| self.cql.rows::<(Vec<u8>,)>(list, vec![small(part), blob(from), int(most)]);
        let parts = try_join_all((0..PARTS).map(part)).await?;
        let id = |(bytes,): (Vec<u8>,)| {
            let id = bytes.first_chunk::<16>().copied();
            id.ok_or_else(|| damaged("a list of ids", "one of them is too short"))
        };
        let mut ids = parts.into_iter().flatten().map(id).collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }

    /// Ids of users, ascending.
    pub(super) async fn user_ids(&self, after: Option<[u8; 16]>, limit: usize) -> Result<Vec<[u8; 16]>, Trouble> {
        self.ids(S::UserIds, after, limit).await
    }
}

async fn heard<T>(told: oneshot::Receiver<Result<T, Trouble>>) -> Result<T, Trouble> {
    told.await.unwrap_or_else(|_| Err(Trouble::Away("the store ends".to_owned())))
}
