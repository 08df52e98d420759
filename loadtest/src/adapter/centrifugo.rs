//! Centrifugo 6, client protocol 2 as JSON: several commands or replies in a frame, one a line; a ping is an empty object.
//!
//! Two variants. In the namespace `load` nothing is kept, and the checker goes by sender and counter. In the namespace
//! `load-history` publications are numbered and kept: gaps are found by their offsets, and who comes back reads on from where it
//! was. How the server is set up stands in loadtest/peers/README.md. A publisher who is subscribed gets a copy of its own message.
//!
//! A command's number says what it was: 1 connects, then come the subscriptions, catching up, messages, other requests.

use serde_json::Value;

use super::raw::{names, shortened};
use super::{Adapter, Asked, Can, Frames, Ground, Link, Message, Position, Request, Said, Upgrade};
use crate::scenario::Kind;
use crate::stamp::{Id, Stamp};
use crate::world::World;
use crate::{Failure, skim};

/// Subscriptions in one frame, which the server takes up to 64 KiB of.
const SUBSCRIBED_AT_ONCE: usize = 200;
/// Publications in one page when somebody catches up; the server gives 300 at most unless told otherwise.
const PAGE: u32 = 300;
/// Messages in a page of history that is asked for on its own.
const HISTORY: u32 = 50;

const CONNECT: u32 = 1;
const SUBSCRIBE: u32 = 2;
const CATCH_UP: u32 = 1 << 29;
const MESSAGE: u32 = 1 << 30;

/// The adapter.
#[derive(Debug)]
pub struct Centrifugo {
    /// Whether the channels are those with history.
    pub history: bool,
}

impl Adapter for Centrifugo {
    fn name(&self) -> &'static str {
        if self.history { "centrifugo-history" } else { "centrifugo" }
    }

    fn can(&self) -> Can {
        Can { seq: self.history, ack: true, resume: self.history, log: false, echo: true, heartbeat: false }
    }

    fn greeting(&self) -> &'static str {
        "a reply in JSON to `connect`, then one to each `subscribe`"
    }

    fn rooms(&self, ground: &Ground<'_>, world: &World) -> Result<Vec<String>, Failure> {
        Ok(names(ground, world, if self.history { "load-history:" } else { "load:" }))
    }

    fn upgrade(&self, _world: &World, _user: u32) -> Upgrade {
        Upgrade { path: "/connection/websocket".to_owned(), headers: Vec::new() }
    }

    fn opened(&self, world: &World, link: &mut Link, frames: &mut Frames) {
        let token = world.token(link.user);
        frames.write(format_args!(r#"{{"id":{CONNECT},"connect":{{"token":"{token}"}}}}"#));
        let rooms = world.layout.rooms_of(link.user);
        let commands: Vec<String> = (SUBSCRIBE..)
            .zip(rooms)
            .map(|(id, &room)| format!(r#"{{"id":{id},"subscribe":{{"channel":"{}"}}}}"#, world.room(room)))
            .collect();
        for some in commands.chunks(SUBSCRIBED_AT_ONCE) {
            frames.push(&some.join("\n"));
        }
    }

    fn hear(&self, world: &World, link: &mut Link, text: &str, said: &mut Vec<Said>, frames: &mut Frames) {
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            if line == "{}" {
                frames.push("{}");
                said.push(Said::Other("ping"));
            } else if self.reply(world, link, line, said).is_none() {
                said.push(Said::Nonsense(shortened(line)));
            }
        }
    }

    fn send(&self, world: &World, _link: &mut Link, message: &Message<'_>, frames: &mut Frames) {
        let (id, room, text) = (MESSAGE | message.id.number, world.room(message.room), message.text);
        frames.write(format_args!(r#"{{"id":{id},"publish":{{"channel":"{room}","data":"{text}"}}}}"#));
    }

    fn request(&self, world: &World, link: &mut Link, request: &Request, frames: &mut Frames) -> Asked {
        let (id, room) = (request.id.number, world.room(request.room));
        match request.kind {
            Kind::History if self.history => frames.write(format_args!(
                r#"{{"id":{id},"history":{{"channel":"{room}","limit":{HISTORY},"reverse":true}}}}"#
            )),
            Kind::Refresh => {
                let token = world.token(link.user);
                frames.write(format_args!(r#"{{"id":{id},"refresh":{{"token":"{token}"}}}}"#));
            }
            _ => return Asked::Unknown,
        }
        Asked::Answered
    }

    fn resume(&self, world: &World, link: &mut Link, positions: &[Position], frames: &mut Frames) {
        for at in positions {
            let rooms = world.layout.rooms_of(link.user);
            let Some(place) = rooms.iter().zip(CATCH_UP..).find(|(room, _)| **room == at.room) else { continue };
            let (id, room, seq, epoch) = (place.1, world.room(at.room), at.seq, epoch_text(at.epoch));
            frames.write(format_args!(
                r#"{{"id":{id},"history":{{"channel":"{room}","limit":{PAGE},"since":{{"offset":{seq},"epoch":"{epoch}"}}}}}}"#
            ));
        }
    }
}

impl Centrifugo {
    /// Reads one reply; `None`: it is none of this protocol.
    fn reply(&self, world: &World, link: &mut Link, line: &str, said: &mut Vec<Said>) -> Option<()> {
        let (mut id, mut result) = (0, None);
        for (name, value) in skim::members(line) {
            match name {
                "id" => id = u32::try_from(skim::number(value)?).ok()?,
                "push" => return self.push(world, link, value, said),
                _ => result = Some((name, value)),
            }
        }
        match result? {
            ("error", error) => refused(world, link, id, error, said),
            ("connect", _) => said.push(Said::Other("handshake")),
            ("subscribe", result) => return subscribed(world, link, id, result, said),
            ("publish", _) => said.push(Said::Ack { id: message(link, id)?, room: None, seq: None }),
            ("history", result) if id < MESSAGE => {
                return self.caught_up(world, link, id.checked_sub(CATCH_UP)?, result, said);
            }
            ("history", result) => {
                let page: Value = serde_json::from_str(result).ok()?;
                let rows = page["publications"].as_array().map_or(0, Vec::len);
                said.push(Said::History { id: Id { user: link.user, number: id }, rows: u32::try_from(rows).ok()? });
            }
            ("refresh", _) => said.push(Said::Done { id: Id { user: link.user, number: id }, seq: None }),
            _ => return None,
        }
        Some(())
    }

    fn push(&self, world: &World, link: &mut Link, push: &str, said: &mut Vec<Said>) -> Option<()> {
        let (mut channel, mut publication) = (None, None);
        for (name, value) in skim::members(push) {
            match name {
                "channel" => channel = skim::string(value),
                "pub" => publication = Some(value),
                "join" | "leave" => {
                    said.push(Said::Other("presence"));
                    return Some(());
                }
                // Subscriptions or the connection that the server ended.
                "unsubscribe" | "disconnect" => {
                    said.push(Said::Refused { id: None, code: shortened(push), retry_ms: None });
                    return Some(());
                }
                _ => {}
            }
        }
        let room = world.number(link, channel?);
        self.publication(world, room, publication?, said)
    }

    fn publication(&self, world: &World, room: u32, publication: &str, said: &mut Vec<Said>) -> Option<()> {
        let (mut stamp, mut offset) = (None, None);
        for (name, value) in skim::members(publication) {
            match name {
                "data" => stamp = skim::string(value).and_then(|text| Stamp::read(text, world.payload)),
                "offset" => offset = skim::number(value),
                _ => {}
            }
        }
        let seq = if self.history { Some(offset?) } else { None };
        said.push(Said::Delivery { room, seq, stamp: stamp? });
        Some(())
    }

    /// A page of what was missed.
    fn caught_up(&self, world: &World, link: &Link, place: u32, result: &str, said: &mut Vec<Said>) -> Option<()> {
        let &room = world.layout.rooms_of(link.user).get(place as usize)?;
        let page: Value = serde_json::from_str(result).ok()?;
        let newest = page["offset"].as_u64().unwrap_or(0);
        let publications = page["publications"].as_array().map_or(&[][..], |all| all);
        for publication in publications {
            self.publication(world, room, &publication.to_string(), said)?;
        }
        let last = publications.last().and_then(|one| one["offset"].as_u64()).unwrap_or(newest);
        said.push(Said::Resumed { room, seq: last, more: last < newest });
        Some(())
    }
}

/// A subscription stands. After the last one the connection is ready.
fn subscribed(world: &World, link: &mut Link, id: u32, result: &str, said: &mut Vec<Said>) -> Option<()> {
    let rooms = world.layout.rooms_of(link.user);
    let &room = rooms.get(id.checked_sub(SUBSCRIBE)? as usize)?;
    let (mut epoch, mut seq) = (0, 0);
    for (name, value) in skim::members(result) {
        match name {
            "epoch" => epoch = epoch_number(skim::string(value)?)?,
            "offset" => seq = skim::number(value)?,
            _ => {}
        }
    }
    said.push(Said::Position { room, epoch, seq });
    link.stage += 1;
    if link.stage as usize == rooms.len() {
        said.push(Said::Ready);
    }
    Some(())
}

fn refused(world: &World, link: &Link, id: u32, error: &str, said: &mut Vec<Said>) {
    let error: Value = serde_json::from_str(error).unwrap_or_default();
    let (number, words) = (error["code"].as_u64().unwrap_or(0), error["message"].as_str().unwrap_or("?"));
    // Too old an offset, or another epoch: what was kept since is not all.
    if let Some(&room) = id.checked_sub(CATCH_UP).and_then(|place| world.layout.rooms_of(link.user).get(place as usize))
    {
        return said.push(Said::Reload { room, reason: words.into() });
    }
    said.push(Said::Refused {
        id: message(link, id).or_else(|| (id >= Id::REQUEST).then_some(Id { user: link.user, number: id })),
        code: format!("{number} {words}").into(),
        retry_ms: (error["temporary"] == true).then_some(1000),
    });
}

/// Which message a command was about.
fn message(link: &Link, id: u32) -> Option<Id> {
    (MESSAGE..Id::REQUEST).contains(&id).then(|| Id { user: link.user, number: id - MESSAGE })
}

/// An epoch is a short word; up to eight characters of it fit into a number.
fn epoch_number(epoch: &str) -> Option<u64> {
    (epoch.len() <= 8).then(|| epoch.bytes().fold(0, |number, byte| number << 8 | u64::from(byte)))
}

fn epoch_text(epoch: u64) -> String {
    epoch.to_be_bytes().into_iter().filter(|byte| *byte != 0).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    //! The frames are written after the protocol's published definition; this server is in no registry the tests could install it from.

    use super::super::UNKNOWN_ROOM;
    use super::super::raw::tested;
    use super::*;

    const ROOMS: [&str; 2] = ["load:mark-0", "load:mark-1"];
    const PLAIN: Centrifugo = Centrifugo { history: false };
    const KEPT: Centrifugo = Centrifugo { history: true };
    const CONNECTED: &str = r#"{"id":1,"connect":{"client":"5cd3f1ef-6c0c-4b2c-a0a5-1b6c4ef10cd4","version":"6.9.1","ping":25,"pong":true}}"#;
    const PUSH: &str = r#"{"push":{"channel":"load:mark-0","pub":{"data":"018bcfe5-6800-7005-8000-000300000007 1500000000 0 5 lorem ipsum dolor sit amet c","info":{"user":"u","client":"c"},"offset":41}}}"#;

    #[test]
    fn connecting_subscribing_and_being_ready() {
        let world = tested::world(ROOMS);
        let (mut link, mut frames) = (Link { user: 2, ..Link::default() }, Frames::default());
        PLAIN.opened(&world, &mut link, &mut frames);
        let sent: Vec<&str> = frames.iter().collect();
        assert!(sent[0].starts_with(r#"{"id":1,"connect":{"token":"ey"#));
        let subscriptions =
            [r#"{"id":2,"subscribe":{"channel":"load:mark-0"}}"#, r#"{"id":3,"subscribe":{"channel":"load:mark-1"}}"#];
        assert_eq!(sent[1..], [subscriptions.join("\n")]);
        assert_eq!(tested::hear(&PLAIN, &world, &mut link, CONNECTED), [Said::Other("handshake")]);
        // Two replies in one frame.
        let both = "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"subscribe\":{}}";
        let position = |room| Said::Position { room, epoch: 0, seq: 0 };
        assert_eq!(tested::hear(&PLAIN, &world, &mut link, both), [position(0), position(1), Said::Ready]);
    }

    #[test]
    fn publications_acks_pings_and_errors() {
        let world = tested::world(ROOMS);
        let mut link = Link { user: 2, ..Link::default() };
        let mut hear = |adapter: &Centrifugo, text: &str| tested::hear(adapter, &world, &mut link, text);
        let delivery = |room, seq| Said::Delivery { room, seq, stamp: tested::STAMP };
        assert_eq!(hear(&PLAIN, PUSH), [delivery(0, None)]);
        assert_eq!(hear(&KEPT, PUSH), [delivery(0, Some(41))]);
        let strange = PUSH.replace("mark-0", "mark-9");
        assert_eq!(hear(&PLAIN, &strange), [delivery(UNKNOWN_ROOM, None)]);
        let id = Id { user: 2, number: 7 };
        assert_eq!(hear(&PLAIN, r#"{"id":1073741831,"publish":{}}"#), [Said::Ack { id, room: None, seq: None }]);
        let refused = Said::Refused { id: Some(id), code: "103 permission denied".into(), retry_ms: None };
        let error = r#"{"id":1073741831,"error":{"code":103,"message":"permission denied"}}"#;
        assert_eq!(hear(&PLAIN, error), [refused]);
        let error = r#"{"id":2,"error":{"code":100,"message":"internal server error","temporary":true}}"#;
        let refused = Said::Refused { id: None, code: "100 internal server error".into(), retry_ms: Some(1000) };
        assert_eq!(hear(&PLAIN, error), [refused]);
        let ping = tested::heard(&PLAIN, &world, &mut Link::default(), "{}\n");
        assert_eq!(ping, (vec![Said::Other("ping")], vec!["{}".to_owned()]));
    }

    #[test]
    fn what_is_none_of_it_is_said_to_be() {
        let world = tested::world(ROOMS);
        let mut link = Link::default();
        let mut hear = |adapter: &Centrifugo, text: &str| tested::hear(adapter, &world, &mut link, text);
        let texts = [
            "hello",
            r#"{"id":9}"#,
            r#"{"push":{"pub":{}}}"#,
            r#"{"id":9,"subscribe":{}}"#,
            r#"{"id":9,"publish":{}}"#,
        ];
        for text in texts {
            assert_eq!(hear(&PLAIN, text), [Said::Nonsense(text.into())]);
        }
        let unnumbered = PUSH.replace(r#","offset":41"#, "");
        assert_eq!(hear(&PLAIN, &unnumbered).len(), 1);
        assert_eq!(hear(&KEPT, &unnumbered), [Said::Nonsense(shortened(&unnumbered))]);
    }

    #[test]
    fn who_comes_back_reads_on_from_its_offset() {
        let world = tested::world(ROOMS);
        let (mut link, mut frames) = (Link { user: 2, ..Link::default() }, Frames::default());
        let stands = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"aBcd","positioned":true,"offset":43}}"#;
        let epoch = 0x6142_6364;
        assert_eq!(tested::hear(&KEPT, &world, &mut link, stands), [Said::Position { room: 0, epoch, seq: 43 }]);
        KEPT.resume(&world, &mut link, &[Position { room: 0, epoch, seq: 40 }], &mut frames);
        let asked =
            r#"{"id":536870912,"history":{"channel":"load:mark-0","limit":300,"since":{"offset":40,"epoch":"aBcd"}}}"#;
        assert_eq!(frames.iter().collect::<Vec<_>>(), [asked]);
        let publication = PUSH.split_once(r#""pub":"#).unwrap().1.strip_suffix("}}").unwrap();
        let mut page = |newest: u64| {
            let text = format!(
                r#"{{"id":536870912,"history":{{"publications":[{publication}],"epoch":"aBcd","offset":{newest}}}}}"#
            );
            tested::hear(&KEPT, &world, &mut link, &text)
        };
        let delivery = Said::Delivery { room: 0, seq: Some(41), stamp: tested::STAMP };
        let resumed = |more| Said::Resumed { room: 0, seq: 41, more };
        assert_eq!(page(41), [delivery.clone(), resumed(false)]);
        assert_eq!(page(43), [delivery, resumed(true)]);
        let gone = r#"{"id":536870912,"error":{"code":112,"message":"unrecoverable position"}}"#;
        let reload = Said::Reload { room: 0, reason: "unrecoverable position".into() };
        assert_eq!(tested::hear(&KEPT, &world, &mut link, gone), [reload]);
    }
}
