//! Users come into memory; external ones are made at first sight.

use crate::auth::Claims;
use crate::base::time::Now;
use crate::base::{Code, Epoch, Refusal, User, UserId, WallTime, text};
use crate::chat::UserReply;
use crate::chat::rate::Bucket;
use crate::chat::room::storage_unavailable;
use crate::store::{Answer, Failure, NameChange, NameKind, Outcome, Query, UserWrite, Write};

use super::message::ShardMessage;
use super::person::{Denied, Person};
use super::users::{UserSlot, UserWork};
use super::{AskAnswer, AskId, Effects, Job, Shard};

impl Shard {
    /// Does something with a user, who is loaded before if need be.
    pub(super) fn with_user(&mut self, user: UserId, work: UserWork, now: Now, effects: &mut Effects) {
        match self.users.get_mut(&user) {
            Some(UserSlot::Ready(_)) => self.user_work(user, work, now, effects),
            Some(UserSlot::Loading(waiting)) => {
                if waiting.len() >= crate::base::limits::WAITING_PER_ROOM_MAX && work.may_be_refused() {
                    self.refuse_work(work, Refusal::new(Code::Busy).retry_after(200), effects);
                } else {
                    waiting.push(work);
                }
            }
            None => {
                self.users.insert(user, UserSlot::Loading(vec![work]));
                self.read(Job::UserLoad { user }, Query::User(user), effects);
            }
        }
    }

    pub(super) fn user_loaded(
        &mut self,
        user: UserId,
        result: Result<Answer, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        match result {
            Ok(Answer::User(Some(loaded))) => {
                let limits = &self.setup.limits;
                let bucket = Bucket::new(limits.messages_per_second, limits.messages_burst, now.mono);
                let person = Person::new(*loaded, bucket, now.mono);
                let waiting = self.users.insert(user, UserSlot::Ready(Box::new(person)));
                if let Some(UserSlot::Loading(waiting)) = waiting {
                    for work in waiting {
                        self.with_user(user, work, now, effects);
                    }
                }
                self.count_user(user);
            }
            Ok(_) => {
                let claims = match self.users.get(&user) {
                    Some(UserSlot::Loading(waiting)) => {
                        waiting.iter().find_map(UserWork::claims).filter(|c| c.external.is_some()).cloned()
                    }
                    Some(UserSlot::Ready(_)) | None => None,
                };
                match claims {
                    Some(claims) => self.create_user(&claims, 0, now, effects),
                    None => self.refuse_all(user, &Code::SessionEnded.into(), effects),
                }
            }
            Err(failure) => {
                let kind = super::rooms::failure_kind(&failure);
                crate::metrics::Counters::count(&mut self.counters.store_failures, kind);
                self.refuse_all(user, &storage_unavailable(), effects);
            }
        }
    }

    /// Makes an external user. `attempt` counts names that were taken.
    fn create_user(&mut self, claims: &Claims, attempt: u32, now: Now, effects: &mut Effects) {
        let Some(external) = &claims.external else { return };
        let user = claims.user;
        let short: String = user.0.simple().to_string();
        let wanted = external.username.clone().filter(|name| text::check_username(name).is_ok());
        let base = wanted.unwrap_or_else(|| format!("user-{}", short.get(..8).unwrap_or(&short)));
        let suffix = match attempt {
            0 => String::new(),
            1 => format!("-{}", short.get(..6).unwrap_or(&short)),
            // Nobody else can have this one.
            _ => format!("-{}", short.get(..20).unwrap_or(&short)),
        };
        let room_for = crate::base::limits::USERNAME_CHARS.1.saturating_sub(suffix.len());
        let username: String = base.chars().take(room_for).chain(suffix.chars()).collect();
        let key = (self.setup.name_keys.0)(NameKind::User, &text::fold_name(&username));
        let display_name = external.display_name.clone().unwrap_or_else(|| username.clone());
        let record = User {
            id: user,
            username,
            display_name,
            password_hash: String::new(),
            external: Some((external.issuer.clone(), external.subject.clone())),
            admin: false,
            suspended: false,
            created_at: now.wall,
            sessions_valid_from: WallTime(0),
            last_seen: WallTime(0),
            stream_epoch: Epoch(1),
        };
        let write = UserWrite {
            record: Some(record),
            create: true,
            // Who administers a server of an external issuer is not decided by who comes first.
            admin_if_first: false,
            name: NameChange { release: None, take: Some(key) },
            ..UserWrite::new(user)
        };
        self.write(Job::UserCreate { user, attempt }, Write::User(Box::new(write)), effects);
    }

    pub(super) fn user_created(
        &mut self,
        user: UserId,
        attempt: u32,
        result: Result<Outcome, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        match result {
            Ok(Outcome::NameTaken) if attempt < 2 => {
                let claims = match self.users.get(&user) {
                    Some(UserSlot::Loading(waiting)) => waiting.iter().find_map(UserWork::claims).cloned(),
                    Some(UserSlot::Ready(_)) | None => None,
                };
                if let Some(claims) = claims {
                    self.create_user(&claims, attempt + 1, now, effects);
                }
            }
            Ok(Outcome::Done { .. } | Outcome::Exists) => {
                self.read(Job::UserLoad { user }, Query::User(user), effects);
            }
            _ => self.refuse_all(user, &storage_unavailable(), effects),
        }
    }

    fn refuse_all(&mut self, user: UserId, refusal: &Refusal, effects: &mut Effects) {
        if let Some(UserSlot::Loading(waiting)) = self.users.remove(&user) {
            for work in waiting {
                self.refuse_work(work, refusal.clone(), effects);
            }
        }
    }

    fn refuse_work(&mut self, work: UserWork, refusal: Refusal, effects: &mut Effects) {
        match work {
            UserWork::Connect(connect) => {
                let close = match refusal.code {
                    Code::SessionEnded => crate::base::Close::SessionEnded,
                    _ => crate::base::Close::TooSlow,
                };
                let message = ShardMessage::End { conn: connect.conn, close, code: Some(refusal.code) };
                self.send(connect.conn.shard, message, effects);
            }
            UserWork::Authenticate(id, _) | UserWork::Ask(id, _) => effects.answers.push((id, Err(refusal))),
            // A user without a record has no stream; one whose record cannot be read finds the truth in the rooms when they come.
            UserWork::Membership(_) | UserWork::ReadMoved { .. } | UserWork::Confirmed { .. } => {
                tracing::warn!(
                    code = refusal.code.name(),
                    "a user could not be loaded; an entry of the stream is missing"
                );
            }
            UserWork::StreamAsk { conn, id, .. } => {
                let result = Err(super::message::StreamRefused::Unavailable);
                let missed = super::message::StreamMissed { conn, id, result };
                self.send(conn.shard, ShardMessage::StreamMissed(Box::new(missed)), effects);
            }
        }
    }

    /// Does this session live, and whose is it?
    pub(super) fn authenticate_ask(
        &mut self,
        id: AskId,
        user: UserId,
        claims: &Claims,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(UserSlot::Ready(person)) = self.users.get_mut(&user) else { return };
        person.used = now.mono;
        match person.admit(claims, None, "", now.wall) {
            Ok((actor, write)) => {
                let profile = Box::new(person.user.profile());
                let reply = UserReply::Identity(Box::new(actor), profile);
                effects.answers.push((id, Ok(AskAnswer::User(reply))));
                if let Some(write) = write {
                    self.write(Job::SessionsWrite { ask: None }, Write::User(Box::new(write)), effects);
                }
            }
            Err(Denied { code, .. }) => effects.answers.push((id, Err(code.into()))),
        }
    }
}
