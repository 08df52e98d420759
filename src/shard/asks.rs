//! Questions from outside the sockets: REST and operators.

use crate::base::time::Now;
use crate::base::{Code, Refusal, UserId};
use crate::chat::room::storage_unavailable;
use crate::chat::{ReplyTo, UserCommand, UserReply};
use crate::metrics::Snapshot;
use crate::store::{Answer, Failure, Outcome, Query};

use super::message::{Command, ShardMessage};
use super::users::{UserSlot, UserWork};
use super::{Ask, AskAnswer, AskId, Effects, Job, Shard};

impl Shard {
    pub(super) fn ask(&mut self, id: AskId, ask: Ask, now: Now, effects: &mut Effects) {
        match ask {
            Ask::Authenticate { claims } => {
                self.with_user(claims.user, UserWork::Authenticate(id, claims), now, effects);
            }
            Ask::Room { room, actor, command } => {
                let to = ReplyTo::Ask { shard: self.setup.id, id: id.0 };
                let command = Command { room, actor, command, to, taken: now.mono };
                self.room_command(command, now, effects);
            }
            Ask::User { user, command } => self.with_user(user, UserWork::Ask(id, command), now, effects),
            Ask::Attempt { key } => {
                let answer = self
                    .throttle
                    .attempt(&key, now.mono)
                    .map(|()| AskAnswer::Allowed)
                    .map_err(|wait_ms| Refusal::new(Code::TooManyAttempts).retry_after(wait_ms));
                effects.answers.push((id, answer));
            }
            Ask::AttemptSucceeded { key } => {
                self.throttle.succeeded(&key);
                effects.answers.push((id, Ok(AskAnswer::Allowed)));
            }
            Ask::Metrics => {
                let shard = self.setup.id.0;
                let counters = self.counters().clone();
                let snapshot = Snapshot { shard, counters, ..Snapshot::default() };
                effects.answers.push((id, Ok(AskAnswer::Metrics(Box::new(snapshot)))));
            }
        }
    }

    /// Something of a user who is in memory.
    pub(super) fn user_ask(&mut self, id: AskId, user: UserId, command: UserCommand, now: Now, effects: &mut Effects) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        person.used = now.mono;
        let reply = match command {
            UserCommand::Sessions => {
                let mut sessions: Vec<_> =
                    person.sessions.iter().filter(|session| session.ended_at.is_none()).cloned().collect();
                sessions.sort_by_key(|session| std::cmp::Reverse(session.used_at));
                Ok(UserReply::Sessions(sessions))
            }
            UserCommand::EndSession(session) => {
                self.end_sessions(id, user, |other| other == session, now, effects);
                return;
            }
            UserCommand::EndOtherSessions(kept) => {
                self.end_sessions(id, user, |other| other != kept, now, effects);
                return;
            }
            UserCommand::SessionWritten(session) => {
                person.sessions.retain(|other| other.id != session.id);
                person.sessions.push(*session);
                Ok(UserReply::Done)
            }
            UserCommand::Reload => {
                self.read(Job::UserAgain { user, ask: Some(id) }, Query::User(user), effects);
                return;
            }
            UserCommand::Spend => match person.bucket.take(now.mono) {
                Ok(()) => {
                    for shard in person.shards() {
                        self.send(shard, ShardMessage::Debited { user, n: 1 }, effects);
                    }
                    Ok(UserReply::Done)
                }
                Err(wait_ms) => Err(Refusal::new(Code::RateLimited).retry_after(wait_ms)),
            },
            UserCommand::Presence => Ok(UserReply::Presence(person.status(), person.last_seen)),
            UserCommand::Stream { after, limit } => {
                let limit = usize::try_from(limit).unwrap_or(100).clamp(1, 500);
                self.read(Job::StreamAsk { ask: id }, Query::Stream { user, after, limit }, effects);
                return;
            }
        };
        effects.answers.push((id, reply.map(AskAnswer::User)));
    }
}

/// Entries of a user stream, for REST.
pub(super) fn stream_answer(ask: AskId, result: Result<Answer, Failure>, effects: &mut Effects) {
    let answer = match result {
        Ok(Answer::Stream(events)) => Ok(AskAnswer::User(UserReply::Stream(events))),
        _ => Err(storage_unavailable()),
    };
    effects.answers.push((ask, answer));
}

/// Sessions, devices or cursors were stored.
pub(super) fn sessions_written(ask: Option<AskId>, result: Result<Outcome, Failure>, effects: &mut Effects) {
    let stored = match result {
        Ok(_) => true,
        Err(failure) => {
            tracing::warn!(%failure, "sessions, devices or positions could not be stored");
            false
        }
    };
    if let Some(ask) = ask {
        let answer = if stored { Ok(AskAnswer::User(UserReply::Done)) } else { Err(storage_unavailable()) };
        effects.answers.push((ask, answer));
    }
}
