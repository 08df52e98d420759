//! Making a room, changing what stands in its record, removing it.

use crate::base::limits::{METADATA_BYTES_MAX, ROOM_DESCRIPTION_CHARS_MAX, ROOM_NAME_CHARS_MAX};
use crate::base::room::Head;
use crate::base::time::Now;
use crate::base::{
    Code, Epoch, EventKind, Interval, Member, Number, Refusal, Role, Room as Record, RoomId, RoomType, Seq, UserId,
    text,
};
use crate::store::NameKey;

use super::effect::{ReplyTo, RoomEffect};
use super::room::Room;
use super::{Actor, RoomChange, RoomReply, RoomSpec};

type Answer = Result<Option<RoomReply>, Refusal>;

fn check_name(name: &str) -> Result<(), Refusal> {
    text::check_line(name, ROOM_NAME_CHARS_MAX).map_err(|wrong| {
        Refusal::because(Code::BadName, format!("The room's name cannot be used: {wrong}.")).field("name")
    })
}

fn check_description(description: &str) -> Result<(), Refusal> {
    if description.is_empty() {
        return Ok(());
    }
    let lines_allowed = description.replace(['\n', '\t'], " ");
    text::check_line(&lines_allowed, ROOM_DESCRIPTION_CHARS_MAX).map_err(|wrong| {
        Refusal::because(Code::BadRequest, format!("The description cannot be used: {wrong}.")).field("description")
    })
}

fn check_metadata(metadata: &str) -> Result<(), Refusal> {
    if metadata.len() > METADATA_BYTES_MAX { Err(Refusal::new(Code::BadMetadata).field("metadata")) } else { Ok(()) }
}

impl Room {
    /// Makes a room, with its batch on the way to the store: everything else waits until its name is known to be free.
    ///
    /// # Errors
    /// What is wrong with the specification.
    pub fn create(
        id: RoomId,
        spec: RoomSpec,
        actor: &Actor,
        to: ReplyTo,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) -> Result<Self, Refusal> {
        let direct = spec.kind == RoomType::Direct;
        if direct {
            if spec.members.len() != 1 || spec.members.first() == Some(&actor.user) {
                let why = "A direct room needs exactly one other member.";
                return Err(Refusal::because(Code::BadRequest, why).field("members"));
            }
        } else {
            check_name(&spec.name)?;
        }
        check_description(&spec.description)?;
        check_metadata(&spec.metadata)?;
        let record = Record {
            id,
            kind: spec.kind,
            name: spec.name,
            description: spec.description,
            metadata: spec.metadata,
            created_by: actor.user,
            created_at: now.wall,
            epoch: Epoch(1),
            first_seq: Seq(1),
            trimmed: Head::default(),
            retention_days: None,
            removed: false,
        };
        let mut room = Self::bare(record, Head::default());
        let before = (room.head, room.record.clone(), room.members.clone());
        let event = room.number(actor.user, EventKind::Settings, "created".to_owned(), String::new(), now);
        let first = if direct { Role::Member } else { Role::Owner };
        let mut people = vec![(actor.user, first)];
        people.extend(spec.members.into_iter().filter(|&user| user != actor.user).map(|user| (user, Role::Member)));
        for &(user, role) in &people {
            let member = Member {
                room: id,
                user,
                role,
                intervals: vec![Interval { from: Seq(1), to: None }],
                read_number: Number(0),
            };
            room.members.insert(user, member.clone());
            room.keep(member);
        }
        room.active = room.members.len();
        let open = room.open();
        open.create = true;
        open.name.take = spec.name_key;
        room.open().record = Some(room.record.clone());
        room.append(event, to, now.mono);
        let members: Vec<(UserId, Role)> = room.members.values().map(|m| (m.user, m.role)).collect();
        for (user, role) in members {
            room.then(RoomEffect::Membership { user, role: Some(role), by: actor.user, at: now.wall });
        }
        let entry = Box::new(room.entry_at(actor.user, room.head));
        room.then(RoomEffect::Reply { to, result: Ok(RoomReply::Entry { entry, created: true, joined: true }) });
        room.close_conditional(before, effects);
        Ok(room)
    }

    /// A room that is there already: for a member of a direct room that is what was wanted.
    pub(super) fn create_again(&self, actor: &Actor) -> Answer {
        if self.record.kind == RoomType::Direct && self.has(actor.user) {
            let entry = Box::new(self.entry(actor.user));
            return Ok(Some(RoomReply::Entry { entry, created: false, joined: false }));
        }
        Err(Refusal::because(Code::NameTaken, "There is a room with this id already."))
    }

    /// Changes the record. Owners may, and administrators in public rooms.
    pub(super) fn change(
        &mut self,
        actor: &Actor,
        change: RoomChange,
        to: ReplyTo,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) -> Answer {
        self.may_govern(actor)?;
        if self.record.kind == RoomType::Direct && change.name.is_some() {
            return Err(Refusal::because(Code::NotAllowed, "A direct room has no name.").field("name"));
        }
        let mut record = self.record.clone();
        let mut what = Vec::new();
        let mut taken_name = None;
        if let Some((name, key)) = change.name
            && name != record.name
        {
            check_name(&name)?;
            let folded_differs = text::fold_name(&name) != text::fold_name(&record.name);
            taken_name = folded_differs.then_some(key);
            record.name = name;
            what.push("name");
        }
        if let Some(description) = change.description
            && description != record.description
        {
            check_description(&description)?;
            record.description = description;
            what.push("description");
        }
        if let Some(metadata) = change.metadata
            && metadata != record.metadata
        {
            check_metadata(&metadata)?;
            record.metadata = metadata;
            what.push("metadata");
        }
        if let Some(days) = change.retention_days
            && days != record.retention_days
        {
            record.retention_days = days;
            what.push("retention_days");
        }
        if what.is_empty() {
            let entry = Box::new(self.entry(actor.user));
            return Ok(Some(RoomReply::Entry { entry, created: false, joined: false }));
        }
        if taken_name.is_some() {
            // It may be refused: what was given before goes first, on its own.
            self.flush(effects);
        }
        let before = (self.head, self.record.clone(), self.members.clone());
        let event = self.number(actor.user, EventKind::Settings, what.join(","), String::new(), now);
        self.record = record.clone();
        let open = self.open();
        open.record = Some(record);
        if taken_name.is_some() {
            open.name.take = taken_name;
            open.name.release = change.old_name_key;
        }
        self.append(event, to, now.mono);
        self.then_entry(actor.user, false, to);
        if taken_name.is_some() {
            self.close_conditional(before, effects);
        }
        Ok(None)
    }

    /// Removes the room for everybody. Owners may, and administrators in public rooms.
    pub(super) fn destroy(
        &mut self,
        actor: &Actor,
        name_key: Option<NameKey>,
        to: ReplyTo,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) -> Answer {
        self.may_govern(actor)?;
        if self.record.kind == RoomType::Direct {
            return Err(Refusal::because(Code::NotAllowed, "A direct room cannot be removed."));
        }
        let event = self.number(actor.user, EventKind::Settings, "removed".to_owned(), String::new(), now);
        self.record.removed = true;
        let record = self.record.clone();
        let open = self.open();
        open.record = Some(record);
        open.name.release = name_key;
        let last = event.seq;
        self.append(event, to, now.mono);
        let gone: Vec<UserId> = self.members.values().filter(|m| m.active()).map(|m| m.user).collect();
        for user in gone {
            if let Some(member) = self.members.get_mut(&user) {
                if let Some(interval) = member.intervals.last_mut() {
                    interval.to = Some(last);
                }
                let member = member.clone();
                self.keep(member);
            }
            self.then(RoomEffect::Membership { user, role: None, by: actor.user, at: now.wall });
        }
        self.active = 0;
        self.then(RoomEffect::Reply { to, result: Ok(RoomReply::Done { at: now.wall }) });
        self.then(RoomEffect::Removed);
        self.flush(effects);
        Ok(None)
    }

    fn may_govern(&self, actor: &Actor) -> Result<(), Refusal> {
        if actor.admin && self.record.kind == RoomType::Public {
            return Ok(());
        }
        let role = self.member(actor.user)?.role;
        if role == Role::Owner || self.record.kind == RoomType::Direct { Ok(()) } else { Err(Code::NotAllowed.into()) }
    }
}
