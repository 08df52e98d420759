//! Sends whose client id only the store knows: they wait, in the order in which each user sent them.
//!
//! Somebody who comes back with a full outbox has many of them at once. So the ids of those who stand behind are asked for together with the
//! first one's, [`ASKED_AHEAD`] at a time, and the sends are decided one after the other as their turn comes.

use std::collections::{BTreeMap, VecDeque};

use crate::base::time::Now;
use crate::base::{ClientId, UserId};
use crate::store::{Answer, Answered, Failure, Query};

use super::RoomCommand;
use super::answered::Known;
use super::effect::{Purpose, RoomEffect};
use super::room::{Room, Waiting, storage_unavailable};

/// How many ids of one user are being looked up at once.
const ASKED_AHEAD: usize = 32;

/// A send that waits.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) send: Waiting,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    /// Not yet, or there is no need.
    No,
    /// The store is being asked.
    Yes,
    /// What it said.
    Told(Result<Option<Answered>, Failure>),
}

impl Parked {
    fn id(&self) -> Option<ClientId> {
        match &self.send.command {
            RoomCommand::Post { client_id, .. } => Some(*client_id),
            _ => None,
        }
    }
}

impl Room {
    /// Puts a send behind the earlier ones of its user.
    pub(super) fn park(&mut self, send: Waiting, effects: &mut Vec<RoomEffect>) {
        let user = send.actor.user;
        let queue = self.parked.entry(user).or_default();
        queue.push_back(Parked { send, asked: Asked::No });
        if queue.len() <= ASKED_AHEAD {
            self.ask_ahead(user, effects);
        }
    }

    /// Asks for the ids of those who come next and about whom nothing is known.
    fn ask_ahead(&mut self, user: UserId, effects: &mut Vec<RoomEffect>) {
        let Some(mut queue) = self.parked.remove(&user) else { return };
        for parked in queue.iter_mut().take(ASKED_AHEAD).filter(|parked| matches!(parked.asked, Asked::No)) {
            let Some(client_id) = parked.id() else { continue };
            if self.answered.look_up(user, client_id) == Known::AskStore {
                parked.asked = Asked::Yes;
                let query = Query::Answered { room: self.record.id, user, client_id };
                effects.push(self.ask(Purpose::LookUp { user, client_id }, query));
            }
        }
        self.parked.insert(user, queue);
    }

    /// The store has said how a parked send of this user was answered before, if it was.
    pub(super) fn looked_up(
        &mut self,
        user: UserId,
        client_id: ClientId,
        result: Result<Answer, Failure>,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) {
        let Some(queue) = self.parked.get_mut(&user) else { return };
        let asked = queue.iter_mut().find(|one| one.id() == Some(client_id) && matches!(one.asked, Asked::Yes));
        let Some(parked) = asked else { return };
        parked.asked = Asked::Told(match result {
            Ok(Answer::Answered(answered)) => Ok(answered),
            Ok(_) => Err(Failure::Misuse("an id was looked up, and something else was answered".to_owned())),
            Err(failure) => Err(failure),
        });
        if self.barrier {
            // What was begun before it may be undone, so nothing is numbered now. They come again behind it, in order.
            let queue = self.parked.remove(&user).unwrap_or_default();
            self.behind_barrier.extend(queue.into_iter().map(|parked| parked.send));
            return;
        }
        self.go_on(user, now, effects);
    }

    /// Decides the sends of a user up to the first one about whom the store has not answered.
    fn go_on(&mut self, user: UserId, now: Now, effects: &mut Vec<RoomEffect>) {
        loop {
            let Some(queue) = self.parked.get_mut(&user) else { return };
            let Some(first) = queue.pop_front() else {
                self.parked.remove(&user);
                return;
            };
            match first.asked {
                Asked::Yes => {
                    queue.push_front(first);
                    return;
                }
                Asked::Told(result) => self.decide(first.send, result, now, effects),
                Asked::No => {
                    let known = first.id().map_or(Known::No, |id| self.answered.look_up(user, id));
                    if known == Known::AskStore {
                        // Its place is kept; `ask_ahead` below asks.
                        self.parked.entry(user).or_default().push_front(first);
                    } else {
                        self.decide(first.send, Ok(None), now, effects);
                    }
                }
            }
            self.ask_ahead(user, effects);
        }
    }

    /// A send whose turn it is, with what the store said of its id. Much may have happened since it was parked.
    fn decide(
        &mut self,
        send: Waiting,
        stored: Result<Option<Answered>, Failure>,
        now: Now,
        effects: &mut Vec<RoomEffect>,
    ) {
        let RoomCommand::Post { client_id, content, metadata } = &send.command else { return };
        if let Err(refusal) = self.may_post(&send.actor, *client_id, content, metadata, now) {
            effects.push(RoomEffect::Reply { to: send.to, result: Err(refusal) });
            return;
        }
        // The same id may have stood before it in the queue.
        let here = match self.answered.look_up(send.actor.user, *client_id) {
            Known::Yes(answered) => Some(answered),
            Known::No | Known::AskStore => None,
        };
        match (here, stored) {
            (Some(answered), _) | (None, Ok(Some(answered))) => self.answer_again(&send, answered, effects),
            (None, Ok(None)) if !self.is_broken() => self.accept(send, now),
            (None, _) => effects.push(RoomEffect::Reply { to: send.to, result: Err(storage_unavailable()) }),
        }
    }

    /// Takes all that are parked, user by user.
    pub(super) fn unpark_all(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        let parked = std::mem::take(&mut self.parked);
        let ordered: BTreeMap<UserId, VecDeque<Parked>> = parked.into_iter().collect();
        ordered.into_values().flatten().map(|parked| parked.send)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::base::limits::Limits;
    use crate::base::{Seq, WallTime};
    use crate::chat::RoomChange;
    use crate::chat::reads::tests::{HEAD, NOW, actor, room_that_knows_ids_since, told};
    use crate::store::{NameKey, Outcome};

    fn id(n: u8) -> ClientId {
        ClientId(Uuid::from_u128(0x7000_8000_0000_0000_0000 | u128::from(n)))
    }

    /// A room that has to ask for all ids.
    fn room() -> Room {
        room_that_knows_ids_since(WallTime(1))
    }

    /// Sends it; answers for which ids the store is asked.
    fn send(room: &mut Room, n: u8) -> Vec<ClientId> {
        let command = RoomCommand::Post { client_id: id(n), content: format!("message {n}"), metadata: String::new() };
        asked(&told(room, command))
    }

    fn asked(effects: &[RoomEffect]) -> Vec<ClientId> {
        let of = |effect: &RoomEffect| match effect {
            RoomEffect::Read { purpose: Purpose::LookUp { client_id, .. }, .. } => Some(*client_id),
            _ => None,
        };
        effects.iter().filter_map(of).collect()
    }

    /// The store says so of an id.
    fn say(room: &mut Room, n: u8, found: Option<Seq>) -> Vec<RoomEffect> {
        let user = actor().user;
        let body_hash = super::super::posting::body_hash(&format!("message {n}"), "");
        let found = found.map(|seq| Answered { user, client_id: id(n), seq, body_hash, at: WallTime(3) });
        let mut effects = Vec::new();
        room.read(Purpose::LookUp { user, client_id: id(n) }, Ok(Answer::Answered(found)), NOW, &mut effects);
        effects
    }

    /// What goes to the store now: the texts, in order.
    fn written(room: &mut Room) -> Vec<String> {
        let mut effects = Vec::new();
        room.flush(&mut effects);
        let Some(RoomEffect::Store { write, batch }) = effects.pop() else { return Vec::new() };
        room.stored_batch(batch, Ok(Outcome::Done { first_user: false }), NOW, &Limits::default(), &mut effects);
        write.events.iter().map(|event| event.content.clone()).collect()
    }

    #[test]
    fn many_are_looked_up_at_once_and_decided_in_the_order_in_which_they_were_sent() {
        let mut room = room();
        assert_eq!((1..=4).flat_map(|n| send(&mut room, n)).collect::<Vec<_>>(), [1, 2, 3, 4].map(id));
        assert!(say(&mut room, 3, None).is_empty() && say(&mut room, 2, Some(Seq(4))).is_empty());
        assert!(written(&mut room).is_empty(), "the first one is not known yet");
        let effects = say(&mut room, 1, None);
        assert_eq!(written(&mut room), ["message 1", "message 3"]);
        // The second was answered before: it is told so, when what stands before it is durable or at once.
        assert!(effects.len() <= 1, "{effects:?}");
        say(&mut room, 4, None);
        assert_eq!(written(&mut room), ["message 4"]);
        assert!(room.is_quiet());
    }

    #[test]
    fn a_full_outbox_is_asked_for_in_portions() {
        let mut room = room();
        let many = u8::try_from(ASKED_AHEAD).unwrap() + 5;
        let first: Vec<_> = (1..=many).flat_map(|n| send(&mut room, n)).collect();
        assert_eq!(first.len(), ASKED_AHEAD);
        let next: Vec<_> = (1..=5).flat_map(|n| asked(&say(&mut room, n, None))).collect();
        assert_eq!(next, (many - 4..=many).map(id).collect::<Vec<_>>());
        (6..=many).for_each(|n| assert!(asked(&say(&mut room, n, None)).is_empty()));
        assert_eq!(written(&mut room).len(), usize::from(many));
    }

    #[test]
    fn the_same_id_twice_is_one_message() {
        for found in [None, Some(Seq(2))] {
            let mut room = room();
            assert_eq!([send(&mut room, 1), send(&mut room, 1)].concat(), [id(1), id(1)]);
            say(&mut room, 1, found);
            say(&mut room, 1, found);
            assert_eq!(written(&mut room).len(), usize::from(found.is_none()));
            assert!(room.is_quiet());
        }
    }

    #[test]
    fn nothing_is_numbered_behind_a_change_that_may_be_refused() {
        for taken in [false, true] {
            let mut room = room();
            send(&mut room, 1);
            send(&mut room, 2);
            let name = Some(("another".to_owned(), NameKey([1; 32])));
            let name = RoomChange { name, old_name_key: Some(NameKey([2; 32])), ..RoomChange::default() };
            let mut effects = told(&mut room, RoomCommand::Change(Box::new(name)));
            let Some(RoomEffect::Store { batch, .. }) = effects.pop() else { panic!("the name is claimed") };
            say(&mut room, 1, None);
            say(&mut room, 2, None);
            room.flush(&mut effects);
            assert!(effects.is_empty(), "{effects:?}");
            let outcome = if taken { Outcome::NameTaken } else { Outcome::Done { first_user: false } };
            room.stored_batch(batch, Ok(outcome), NOW, &Limits::default(), &mut effects);
            // They come again, and are asked for again.
            assert_eq!(asked(&effects), [id(1), id(2)]);
            say(&mut room, 1, None);
            say(&mut room, 2, None);
            let mut effects = Vec::new();
            room.flush(&mut effects);
            let Some(RoomEffect::Store { write, .. }) = effects.pop() else { panic!("they are written") };
            let first = HEAD.seq.0 + if taken { 1 } else { 2 };
            assert_eq!(write.events.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [first, first + 1]);
        }
    }
}
