//! Reads that list what is otherwise only looked up: answered client ids, unique names, names of settings. Asked when everything is
//! copied, by the owner and while nobody writes; they go through whole tables, page by page.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::change::BUCKET_EVENTS;
use super::core::{Core, SIDE_BY_SIDE};
use super::cql::{Trouble, blob, damaged, int};
use super::room::{self, Facts};
use super::statements::S;
use super::{read, user};
use crate::base::{ClientId, RoomId, Seq, UserId};
use crate::store::record::StoredAnswer;
use crate::store::{Answered, Holder, NameKey};

/// Rows of the log read at once.
const CHUNK: u64 = 512;

/// Client ids answered by the events between two seqs.
pub(super) async fn answered_in(
    core: &Core,
    id: RoomId,
    facts: &Facts,
    after: Seq,
    before: Seq,
) -> Result<Vec<Answered>, Trouble> {
    let mut low = after.0.saturating_add(1).max(facts.record.first_seq);
    let high = before.0.saturating_sub(1).min(facts.head.seq.0);
    let mut answered = Vec::new();
    while low <= high {
        let to = ((low / BUCKET_EVENTS + 1) * BUCKET_EVENTS - 1).min(low + CHUNK - 1).min(high);
        let mut found: Vec<(Seq, u32, StoredAnswer)> = Vec::new();
        for (seq, event) in read::stored(core, id, low, to, false).await? {
            found.extend(event.answered.iter().map(|answer| (seq, event.key_id, *answer)));
        }
        let newest = |(seq, key_id, answer): (Seq, u32, StoredAnswer)| async move {
            // The same id may have been answered again by a later event: the hint says which counts.
            let hint = read::hint(core, id, &answer.user, &answer.client_id).await?;
            let what = || {
                let client = ClientId(Uuid::from_bytes(answer.client_id));
                format!("answered id {client} of event {seq} of room {id}")
            };
            match hint {
                None => Err(damaged(what(), "it cannot be looked up")),
                Some(hint) if hint == seq => room::unmask(core, id, key_id, seq, &answer).await.map(Some),
                Some(_) => Ok(None),
            }
        };
        let own: Vec<Option<Answered>> =
            stream::iter(found.into_iter().map(newest)).buffered(SIDE_BY_SIDE).try_collect().await?;
        answered.extend(own.into_iter().flatten());
        low = to + 1;
    }
    answered.sort_by_key(|answer| (answer.seq, answer.user, answer.client_id));
    // An event may have answered one id twice.
    answered.dedup_by_key(|answer| (answer.seq, answer.user, answer.client_id));
    Ok(answered)
}

/// Names of all settings, ascending.
pub(super) async fn setting_names(core: &Core) -> Result<Vec<String>, Trouble> {
    let rows = core.cql.rows::<(String, Option<Vec<u8>>)>(S::SettingNames, Vec::new()).await?;
    let mut names: Vec<_> = rows.into_iter().filter_map(|(name, value)| value.map(|_| name)).collect();
    names.sort_unstable();
    Ok(names)
}

/// Unique names and who holds them, in the order of their tokens. A name that was taken for somebody who was never made counts as free.
pub(super) async fn names(
    core: &Core,
    mut after: Option<NameKey>,
    limit: usize,
) -> Result<Vec<(NameKey, Holder)>, Trouble> {
    let mut names = Vec::new();
    while names.len() < limit {
        let most = int(i32::try_from(limit - names.len()).unwrap_or(i32::MAX));
        let rows = match after {
            None => core.cql.rows::<(Vec<u8>, Uuid, bool)>(S::NamesFirst, vec![most]).await?,
            Some(after) => core.cql.rows(S::NamesAfter, vec![blob(after.0), most]).await?,
        };
        let Some((last, ..)) = rows.last() else { break };
        let key = |name: &[u8]| {
            let key = <[u8; 32]>::try_from(name).map(NameKey);
            key.map_err(|_| damaged("the list of names", "one of them is not 32 bytes long"))
        };
        after = Some(key(last)?);
        let held = |(name, holder, is_user): (Vec<u8>, Uuid, bool)| async move {
            let there = if is_user {
                user::stored(core, UserId(holder)).await?.is_some()
            } else {
                room::row(core, RoomId(holder)).await?.is_some()
            };
            let holder = if is_user { Holder::User(UserId(holder)) } else { Holder::Room(RoomId(holder)) };
            Ok::<_, Trouble>(there.then_some((key(&name)?, holder)))
        };
        let page: Vec<Option<_>> =
            stream::iter(rows.into_iter().map(held)).buffered(SIDE_BY_SIDE).try_collect().await?;
        names.extend(page.into_iter().flatten());
    }
    Ok(names)
}
