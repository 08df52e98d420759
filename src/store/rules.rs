//! What both backends decide alike: whether a write is well formed, what becomes of a refresh token, which sessions are kept.
//!
//! Only decisions on plain values; nothing here keeps anything.

#[cfg(feature = "server")]
use super::Span;
use super::{Failure, Outcome, RoomWrite, UserWrite};
use crate::base::room::Head;
use crate::base::{Room, Seq, Session, WallTime};

/// How long an ended session is still shown, in milliseconds.
const ENDED_SHOWN_MS: u64 = 24 * 60 * 60 * 1000;

fn misuse<T>(what: impl std::fmt::Display) -> Result<T, Failure> {
    Err(Failure::Misuse(what.to_string()))
}

/// Which seqs of a log from `first` to `head` a page of at most `limit` events can hold: from, to (both included), and whether it is read from its end.
/// `None`: it is empty.
#[cfg(feature = "server")]
pub(super) fn reach(span: Span, limit: usize, first: u64, head: u64) -> Option<(u64, u64, bool)> {
    let (mut low, mut high) = (first, head);
    let backwards = match span {
        Span::Newest => true,
        Span::Before(before) => {
            high = high.min(before.0.saturating_sub(1));
            true
        }
        Span::After(after) => {
            low = low.max(after.0.saturating_add(1));
            false
        }
        Span::Between(after, before) => {
            low = low.max(after.0.saturating_add(1));
            high = high.min(before.0.saturating_sub(1));
            false
        }
    };
    if low > high || limit == 0 {
        return None;
    }
    let most = u64::try_from(limit - 1).unwrap_or(u64::MAX);
    if backwards {
        low = low.max(high.saturating_sub(most));
    } else {
        high = high.min(low.saturating_add(most));
    }
    Some((low, high, backwards))
}

/// Whether the parts of a room's write fit each other.
pub(super) fn check_room_write(write: &RoomWrite) -> Result<(), Failure> {
    let room = write.room;
    if write.create && write.record.is_none() {
        return misuse(format_args!("room {room} shall be made without a record"));
    }
    if write.record.as_ref().is_some_and(|record| record.id != room)
        || write.events.iter().chain(&write.rewritten).any(|event| event.room != room)
        || write.members.iter().any(|member| member.room != room)
    {
        return misuse(format_args!("a write to room {room} holds something of another room"));
    }
    if write.events.windows(2).any(|pair| pair[1].seq != Seq(pair[0].seq.0.wrapping_add(1))) {
        return misuse(format_args!("events for room {room} are not dense"));
    }
    let (first, last) = (write.events.first().map(|e| e.seq), write.events.last().map(|e| e.seq));
    if last.is_some_and(|last| last > Seq::MAX) {
        return misuse(format_args!("room {room} has no seq left"));
    }
    if write.answered.iter().any(|a| Some(a.seq) < first || Some(a.seq) > last || first.is_none()) {
        return misuse(format_args!(
            "a client id of room {room} is answered by an event that is not in the same write"
        ));
    }
    Ok(())
}

/// Whether the parts of a user's write fit each other.
pub(super) fn check_user_write(write: &UserWrite) -> Result<(), Failure> {
    let user = write.user;
    if write.create && write.record.is_none() {
        return misuse(format_args!("user {user} shall be made without a record"));
    }
    if write.record.as_ref().is_some_and(|record| record.id != user)
        || write.sessions.iter().any(|session| session.user != user)
        || write.devices.iter().any(|device| device.user != user)
        || write.stream.iter().any(|entry| entry.user != user)
        || write.cursors.iter().any(|cursor| cursor.user != user)
    {
        return misuse(format_args!("a write to user {user} holds something of another user"));
    }
    if write.stream.windows(2).any(|pair| pair[1].seq != Seq(pair[0].seq.0.wrapping_add(1))) {
        return misuse(format_args!("stream entries for user {user} are not dense"));
    }
    Ok(())
}

/// The record to be kept: retention's marks never move back within an epoch.
pub(super) fn keep_trimmed(new: &mut Room, stored: &Room) {
    if new.epoch == stored.epoch && stored.first_seq > new.first_seq {
        new.first_seq = stored.first_seq;
    }
    if new.epoch == stored.epoch && stored.trimmed.seq > new.trimmed.seq {
        new.trimmed = stored.trimmed;
    }
}

/// The room's record after everything up to `last` is gone.
pub(super) fn trim_to(room: &mut Room, last: Head) {
    room.first_seq = last.seq.next();
    room.trimmed = last;
}

/// What becomes of a session (of a user whose sessions are valid from `valid_from`) to which `presented` was shown. `Ok`: the session is to be kept as it stands in the outcome.
pub(super) fn rotate(
    valid_from: WallTime,
    mut session: Session,
    presented: [u8; 32],
    next: [u8; 32],
    at: WallTime,
    expires_at: WallTime,
) -> Outcome {
    if session.ended_at.is_some() || session.expires_at <= at || session.created_at < valid_from {
        return Outcome::Ended;
    }
    // Zeroes stand for "there is none": an external session, or one that was not refreshed yet.
    if presented == [0; 32] {
        return Outcome::NotFound;
    }
    if presented == session.refresh_hash {
        session.previous_hash = session.refresh_hash;
        session.refresh_hash = next;
        session.used_at = at;
        session.expires_at = expires_at;
        Outcome::Rotated(Box::new(session))
    } else if presented == session.previous_hash {
        session.ended_at = Some(at);
        Outcome::Reused(Box::new(session))
    } else {
        Outcome::NotFound
    }
}

/// The newest time that stands in these sessions: it cannot be earlier than that.
pub(super) fn latest(sessions: &[Session]) -> WallTime {
    sessions.iter().map(|s| s.used_at.max(s.created_at).max(s.ended_at.unwrap_or_default())).max().unwrap_or_default()
}

/// Whether a session ended so long before `now` that nobody asks for it any more.
pub(crate) fn forgotten(session: &Session, now: WallTime) -> bool {
    session.ended_at.unwrap_or(session.expires_at).min(session.expires_at).plus_ms(ENDED_SHOWN_MS) < now
}

/// How many entries of a stream are removed so that `max` stay: those before the seq that is returned.
pub(super) fn stream_first(head: Seq, max: u64) -> Seq {
    Seq(head.0.saturating_sub(max) + 1)
}
