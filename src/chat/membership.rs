//! Coming and going, and who may do what to whom.

use crate::base::limits::Limits;
use crate::base::time::Now;
use crate::base::{Code, EventKind, Interval, Member, Number, Refusal, Role, RoomType, Seq, UserId};

use super::effect::{ReplyTo, RoomEffect};
use super::room::Room;
use super::{Actor, RoomReply};

type Answer = Result<Option<RoomReply>, Refusal>;

impl Room {
    /// Comes in by oneself: public rooms only. Done again it answers the same.
    pub(super) fn join(&mut self, actor: &Actor, to: ReplyTo, now: Now, limits: &Limits) -> Answer {
        if self.has(actor.user) {
            // Perhaps not durable yet: the same answer, at the same time.
            let entry = Box::new(self.entry_at(actor.user, self.head));
            return if self.head.seq == self.stored.seq {
                Ok(Some(RoomReply::Entry { entry, created: false, joined: false }))
            } else {
                let reply = RoomReply::Entry { entry, created: false, joined: false };
                let mut now_effects = Vec::new();
                self.once_stored(RoomEffect::Reply { to, result: Ok(reply.clone()) }, &mut now_effects);
                if now_effects.is_empty() { Ok(None) } else { Ok(Some(reply)) }
            };
        }
        if self.record.kind != RoomType::Public {
            return Err(Code::RoomNotFound.into());
        }
        self.begin(actor, actor.user, Role::Member, to, now, limits)?;
        if let Some(conn) = to.conn() {
            self.then(RoomEffect::Subscribe { conn });
        }
        self.then_entry(actor.user, true, to);
        Ok(None)
    }

    /// Brings somebody in. Moderators and owners may; nobody gives more than their own role.
    pub(super) fn add(
        &mut self,
        actor: &Actor,
        user: UserId,
        role: Role,
        to: ReplyTo,
        now: Now,
        limits: &Limits,
    ) -> Answer {
        let own = self.member(actor.user)?.role;
        if self.record.kind == RoomType::Direct {
            return Err(Refusal::because(Code::NotAllowed, "A direct room has two members, always the same."));
        }
        if own < Role::Moderator || role > own {
            return Err(Code::NotAllowed.into());
        }
        if !self.has(user) {
            self.begin(actor, user, role, to, now, limits)?;
        } else if self.head.seq == self.stored.seq {
            return Ok(Some(RoomReply::Done { at: now.wall }));
        }
        self.then(RoomEffect::Reply { to, result: Ok(RoomReply::Done { at: now.wall }) });
        Ok(None)
    }

    fn begin(
        &mut self,
        actor: &Actor,
        user: UserId,
        role: Role,
        to: ReplyTo,
        now: Now,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        if self.active >= limits.members_per_room {
            return Err(Code::RoomFull.into());
        }
        let event = self.number(actor.user, EventKind::Joined { subject: user }, String::new(), String::new(), now);
        // In a public room everything may be read; elsewhere what is said from now on.
        let from = if self.record.kind == RoomType::Public { Seq(1) } else { event.seq };
        let member = self.members.entry(user).or_insert_with(|| Member {
            room: event.room,
            user,
            role,
            intervals: Vec::new(),
            read_number: Number(0),
        });
        if self.record.kind == RoomType::Public {
            member.intervals.clear();
        }
        member.intervals.push(Interval { from, to: None });
        member.role = role;
        // What was said before one came is not unread.
        member.read_number = member.read_number.max(event.number);
        let member = member.clone();
        self.active += 1;
        self.keep(member);
        self.append(event, to, now.mono);
        self.then(RoomEffect::Membership { user, role: Some(role), by: actor.user, at: now.wall });
        Ok(())
    }

    /// Goes out by oneself. The last owner stays as long as others are there.
    pub(super) fn leave(&mut self, actor: &Actor, to: ReplyTo, now: Now) -> Answer {
        let role = self.member(actor.user)?.role;
        if self.record.kind == RoomType::Direct {
            return Err(Refusal::because(Code::NotAllowed, "A direct room cannot be left."));
        }
        if role == Role::Owner && self.active > 1 && self.owners() == 1 {
            return Err(Code::LastOwner.into());
        }
        self.end(actor, actor.user, to, now);
        Ok(None)
    }

    /// Puts somebody out who has a smaller role.
    pub(super) fn remove(&mut self, actor: &Actor, user: UserId, to: ReplyTo, now: Now) -> Answer {
        let own = self.member(actor.user)?.role;
        if user == actor.user {
            return self.leave(actor, to, now);
        }
        let Some(theirs) = self.members.get(&user).filter(|m| m.active()).map(|m| m.role) else {
            return Err(Code::UserNotFound.into());
        };
        if self.record.kind == RoomType::Direct || own < Role::Moderator || theirs >= own {
            return Err(Code::NotAllowed.into());
        }
        self.end(actor, user, to, now);
        Ok(None)
    }

    fn end(&mut self, actor: &Actor, user: UserId, to: ReplyTo, now: Now) {
        let event = self.number(actor.user, EventKind::Left { subject: user }, String::new(), String::new(), now);
        if let Some(member) = self.members.get_mut(&user) {
            if let Some(last) = member.intervals.last_mut() {
                last.to = Some(event.seq);
            }
            let member = member.clone();
            self.active = self.active.saturating_sub(1);
            self.keep(member);
        }
        self.present.forget(user, now.mono);
        self.append(event, to, now.mono);
        self.then(RoomEffect::Membership { user, role: None, by: actor.user, at: now.wall });
        self.then(RoomEffect::Reply { to, result: Ok(RoomReply::Done { at: now.wall }) });
    }

    /// Gives somebody another role. Owners may; the last owner keeps theirs.
    pub(super) fn set_role(&mut self, actor: &Actor, user: UserId, role: Role, to: ReplyTo, now: Now) -> Answer {
        let own = self.member(actor.user)?.role;
        if own < Role::Owner || self.record.kind == RoomType::Direct {
            return Err(Code::NotAllowed.into());
        }
        let Some(theirs) = self.members.get(&user).filter(|m| m.active()).map(|m| m.role) else {
            return Err(Code::UserNotFound.into());
        };
        if theirs == role {
            return Ok(Some(RoomReply::Done { at: now.wall }));
        }
        if theirs == Role::Owner && self.owners() == 1 {
            return Err(Code::LastOwner.into());
        }
        let kind = EventKind::RoleChanged { subject: user, role };
        let event = self.number(actor.user, kind, String::new(), String::new(), now);
        if let Some(member) = self.members.get_mut(&user) {
            member.role = role;
            let member = member.clone();
            self.keep(member);
        }
        self.append(event, to, now.mono);
        self.then(RoomEffect::Reply { to, result: Ok(RoomReply::Done { at: now.wall }) });
        Ok(None)
    }

    fn owners(&self) -> usize {
        self.members.values().filter(|m| m.active() && m.role == Role::Owner).count()
    }

    /// Puts a member's new state into the open batch.
    pub(super) fn keep(&mut self, member: Member) {
        let open = self.open();
        open.members.retain(|other| other.user != member.user);
        open.members.push(member);
    }

    /// Answers with the room as it is after what was just given.
    pub(super) fn then_entry(&mut self, user: UserId, joined: bool, to: ReplyTo) {
        let entry = Box::new(self.entry_at(user, self.head));
        self.then(RoomEffect::Reply { to, result: Ok(RoomReply::Entry { entry, created: false, joined }) });
    }
}
