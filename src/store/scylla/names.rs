//! What is unique over all owners: names, and who was the first user. By lightweight transaction, each repeatable by its holder.

use uuid::Uuid;

use super::core::Core;
use super::cql::{Trouble, blob, boolean, damaged, text, uuid};
use super::lease::wall_ms;
use super::statements::S;
use crate::base::UserId;
use crate::store::record::StoredName;

/// Who holds a name now.
pub(super) async fn holder(core: &Core, name: &[u8; 32]) -> Result<Option<StoredName>, Trouble> {
    let rows = core.cql.rows_decided::<(Uuid, bool)>(S::Name, vec![blob(*name)]).await?;
    Ok(rows.first().map(|(holder, user)| StoredName { holder: holder.into_bytes(), user: *user }))
}

/// Takes a name. `false`: somebody else has it.
pub(super) async fn take(core: &Core, name: &[u8; 32], by: StoredName) -> Result<bool, Trouble> {
    let values = vec![blob(*name), uuid(&by.holder), boolean(by.user)];
    // Where the condition did not hold it may be one's own, also from a try whose answer was lost.
    Ok(core.cql.run_if(S::NameTake, values).await? || holder(core, name).await? == Some(by))
}

/// Releases a name, if it is this holder's.
pub(super) async fn release(core: &Core, name: &[u8; 32], by: StoredName) -> Result<(), Trouble> {
    let values = vec![blob(*name), uuid(&by.holder), boolean(by.user)];
    core.cql.run_if(S::NameRelease, values).await.map(drop)
}

const FIRST_USER: &str = "first_user";
/// Whoever was marked as first and is not there after so long has failed: the place is free again.
const MARK_HOLDS_MS: u64 = 60_000;

/// Whether this user is the only one, and nobody else will be told the same.
pub(super) async fn first_user(core: &Core, user: UserId) -> Result<bool, Trouble> {
    let others = core.user_ids(None, 2).await?;
    if others.iter().any(|other| other != user.bytes()) {
        return Ok(false);
    }
    let own = user.bytes();
    loop {
        let value = [&own[..], &wall_ms().to_be_bytes()].concat();
        if core.cql.run_if(S::MarkTake, vec![text(FIRST_USER), blob(value.clone())]).await? {
            return Ok(true);
        }
        let rows = core.cql.rows_decided::<(Option<Vec<u8>>,)>(S::Mark, vec![text(FIRST_USER)]).await?;
        let Some(mark) = rows.into_iter().next().and_then(|(value,)| value) else { continue };
        let broken = || damaged("the mark of the first user", "it is not an id and a time");
        let first: &[u8; 16] = mark.first_chunk().ok_or_else(broken)?;
        if first == own {
            return Ok(true);
        }
        let since = mark.get(16..).and_then(|rest| rest.first_chunk::<8>()).ok_or_else(broken)?;
        let row = core.cql.row::<(Option<Vec<u8>>, Option<Vec<u8>>)>(S::UserRow, vec![uuid(first)]).await?;
        if row.is_some() || u64::from_be_bytes(*since).saturating_add(MARK_HOLDS_MS) > wall_ms() {
            return Ok(false);
        }
        core.cql.run_if(S::MarkChange, vec![blob(value), text(FIRST_USER), blob(mark.clone())]).await?;
    }
}
