//! Bare broadcast in plain text, as the small servers in `loadtest/peers` speak it; loadtest/peers/README.md has the protocol.
//!
//! Nothing is stored or numbered: the checker goes by sender and counter, and who was away has missed what was said.

use super::{Adapter, Can, Frames, Ground, Link, Message, Said, Upgrade};
use crate::Failure;
use crate::stamp::{Id, Stamp};
use crate::world::World;

/// Rooms in one `join`, so that a frame stays below what the servers take.
const JOINED_AT_ONCE: usize = 1000;

/// The adapter.
#[derive(Debug, Default)]
pub struct Raw;

impl Adapter for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn can(&self) -> Can {
        Can { ack: true, ..Can::default() }
    }

    fn greeting(&self) -> &'static str {
        "`joined NUMBER` in answer to `join ROOM…` (loadtest/peers/README.md)"
    }

    fn rooms(&self, ground: &Ground<'_>, world: &World) -> Result<Vec<String>, Failure> {
        Ok(names(ground, world, ""))
    }

    fn upgrade(&self, _world: &World, _user: u32) -> Upgrade {
        Upgrade::default()
    }

    fn opened(&self, world: &World, link: &mut Link, frames: &mut Frames) {
        for some in world.layout.rooms_of(link.user).chunks(JOINED_AT_ONCE) {
            let names: Vec<&str> = some.iter().map(|&room| world.room(room)).collect();
            frames.write(format_args!("join {}", names.join(" ")));
        }
    }

    fn hear(&self, world: &World, link: &mut Link, text: &str, said: &mut Vec<Said>, _frames: &mut Frames) {
        let one = heard(world, link, text);
        said.extend(one.unwrap_or_else(|| Some(Said::Nonsense(shortened(text)))));
    }

    fn send(&self, world: &World, _link: &mut Link, message: &Message<'_>, frames: &mut Frames) {
        // The connection says who: the counter alone is the id.
        let (number, room, text) = (message.id.number, world.room(message.room), message.text);
        frames.write(format_args!("send {number} {room} {text}"));
    }
}

/// What a frame says: nothing (`Some(None)`), or what the harness knows (`None`: it is none of the protocol).
#[allow(clippy::option_option)] // three cases, and only the caller sees them
fn heard(world: &World, link: &mut Link, text: &str) -> Option<Option<Said>> {
    let (verb, rest) = text.split_once(' ')?;
    let said = match verb {
        "message" => {
            let (room, text) = rest.split_once(' ')?;
            let (room, stamp) = (world.number(link, room), Stamp::read(text, world.payload)?);
            Said::Delivery { room, seq: None, stamp }
        }
        "ack" => Said::Ack { id: Id { user: link.user, number: rest.parse().ok()? }, room: None, seq: None },
        "error" => {
            let (id, why) = rest.split_once(' ')?;
            let id = id.parse().ok().map(|number| Id { user: link.user, number });
            Said::Refused { id, code: why.into(), retry_ms: None }
        }
        "joined" => {
            let (joined, wanted) = (rest.parse::<usize>().ok()?, world.layout.rooms_of(link.user).len());
            if joined < wanted {
                return Some(None);
            }
            Said::Ready
        }
        _ => return None,
    };
    Some(Some(said))
}

/// Names for rooms of a server that makes a room when it is first named. `before`: what each begins with.
pub(super) fn names(ground: &Ground<'_>, world: &World, before: &str) -> Vec<String> {
    (0..world.layout.rooms()).map(|room| format!("{before}{}-{room}", ground.mark)).collect()
}

/// The beginning of a frame, for whoever must find out what it is.
pub(super) fn shortened(text: &str) -> Box<str> {
    text.chars().take(200).collect()
}

/// What the tests of the adapters for other servers share.
#[cfg(test)]
pub(super) mod tested {
    use super::*;
    use crate::scenario::Population;
    use crate::token::Issuer;

    /// What the captured deliveries say.
    pub const STAMP: Stamp = Stamp { id: Id { user: 3, number: 7 }, due: 1_500_000_000, room: 0, nth: 5, whole: true };

    /// Four users, all in two rooms of these names.
    pub fn world(rooms: [&str; 2]) -> World {
        let population = Population { connections: 4, room_size: 4, rooms_per_user: 2, payload: 80 };
        let world = World::new(&population, &Issuer::go42("a secret"), "mark");
        world.with_rooms(rooms.map(str::to_owned).to_vec())
    }

    /// What a frame says, and what is answered.
    pub fn heard(adapter: &dyn Adapter, world: &World, link: &mut Link, text: &str) -> (Vec<Said>, Vec<String>) {
        let (mut said, mut frames) = (Vec::new(), Frames::default());
        adapter.hear(world, link, text, &mut said, &mut frames);
        (said, frames.iter().map(str::to_owned).collect())
    }

    /// What a frame says.
    pub fn hear(adapter: &dyn Adapter, world: &World, link: &mut Link, text: &str) -> Vec<Said> {
        heard(adapter, world, link, text).0
    }

    /// User 3's message 7, into room 1.
    pub fn message(text: &str) -> Message<'_> {
        let id = Id { user: 3, number: 7 };
        Message { room: 1, id, key: id.key(1_700_000_000_000, 5), text }
    }
}

#[cfg(test)]
mod tests {
    use super::super::UNKNOWN_ROOM;
    use super::*;

    /// What `gorilla` and `ws` sent, word for word, to clients that joined two rooms.
    const DELIVERY: &str =
        "message mark-0 018bcfe5-6800-7005-8000-000300000007 1500000000 0 5 lorem ipsum dolor sit amet c";

    #[test]
    fn frames_of_the_real_servers_are_understood() {
        let world = tested::world(["mark-0", "mark-1"]);
        let mut link = Link { user: 2, ..Link::default() };
        let mut hear = |text: &str| tested::hear(&Raw, &world, &mut link, text);
        assert_eq!(hear("joined 2"), [Said::Ready]);
        assert_eq!(hear(DELIVERY), [Said::Delivery { room: 0, seq: None, stamp: tested::STAMP }]);
        assert_eq!(hear("ack 7"), [Said::Ack { id: Id { user: 2, number: 7 }, room: None, seq: None }]);
        let refused = |id, code: &str| Said::Refused { id, code: code.into(), retry_ms: None };
        let id = Some(Id { user: 2, number: 8 });
        assert_eq!(hear("error 8 not in this room"), [refused(id, "not in this room")]);
        assert_eq!(hear("error - unknown verb"), [refused(None, "unknown verb")]);
    }

    #[test]
    fn what_is_none_of_it_is_said_to_be() {
        let world = tested::world(["mark-0", "mark-1"]);
        let mut link = Link::default();
        let mut hear = |text: &str| tested::hear(&Raw, &world, &mut link, text);
        for text in ["", "hello", "message mark-0", "message mark-0 hello", "ack x", "joined", "error 3"] {
            assert_eq!(hear(text), [Said::Nonsense(text.into())]);
        }
        let strange = DELIVERY.replace("mark-0", "mark-9");
        assert_eq!(hear(&strange), [Said::Delivery { room: UNKNOWN_ROOM, seq: None, stamp: tested::STAMP }]);
        let changed = DELIVERY.replace("dolor", "color");
        let stamp = Stamp { whole: false, ..tested::STAMP };
        assert_eq!(hear(&changed), [Said::Delivery { room: 0, seq: None, stamp }]);
    }

    #[test]
    fn everybody_joins_all_rooms_and_is_ready_after_the_last() {
        let world = tested::world(["mark-0", "mark-1"]);
        let (mut link, mut frames) = (Link::default(), Frames::default());
        Raw.opened(&world, &mut link, &mut frames);
        assert_eq!(frames.iter().collect::<Vec<_>>(), ["join mark-0 mark-1"]);
        assert_eq!(tested::hear(&Raw, &world, &mut link, "joined 1"), []);
        frames.clear();
        Raw.send(&world, &mut link, &tested::message("words"), &mut frames);
        assert_eq!(frames.iter().collect::<Vec<_>>(), ["send 7 mark-1 words"]);
    }
}
