//! Socket.IO 4: Engine.IO 4 over WebSocket alone, Socket.IO packets in revision 5, acknowledged events.
//!
//! What the server must do with the events `join` and `send` stands in loadtest/peers/README.md. Nothing is stored or numbered:
//! the checker goes by sender and counter.

use serde_json::Value;

use super::raw::{names, shortened};
use super::{Adapter, Can, Frames, Ground, Link, Message, Said, Upgrade};
use crate::Failure;
use crate::stamp::{Id, Stamp};
use crate::world::World;

/// The number under which `join` is acknowledged; that of a message is its counter and one more.
const JOIN: u64 = 0;

/// The adapter.
#[derive(Debug, Default)]
pub struct SocketIo;

impl Adapter for SocketIo {
    fn name(&self) -> &'static str {
        "socketio"
    }

    fn can(&self) -> Can {
        Can { ack: true, ..Can::default() }
    }

    fn greeting(&self) -> &'static str {
        "the open packet of Engine.IO 4 (`0{…}`), then `40{…}`, then the acknowledgement of the event `join` (loadtest/peers/README.md)"
    }

    fn rooms(&self, ground: &Ground<'_>, world: &World) -> Result<Vec<String>, Failure> {
        Ok(names(ground, world, ""))
    }

    fn upgrade(&self, _world: &World, _user: u32) -> Upgrade {
        Upgrade { path: "/socket.io/?EIO=4&transport=websocket".to_owned(), headers: Vec::new() }
    }

    // The server speaks first.
    fn opened(&self, _world: &World, _link: &mut Link, _frames: &mut Frames) {}

    fn hear(&self, world: &World, link: &mut Link, text: &str, said: &mut Vec<Said>, frames: &mut Frames) {
        let one = heard(world, link, text, frames);
        said.push(one.unwrap_or_else(|| Said::Nonsense(shortened(text))));
    }

    fn send(&self, world: &World, _link: &mut Link, message: &Message<'_>, frames: &mut Frames) {
        let (ack, room, text) = (u64::from(message.id.number) + 1, world.room(message.room), message.text);
        frames.write(format_args!(r#"42{ack}["send","{room}","{text}"]"#));
    }
}

/// What a frame says; `None`: it is none of this protocol, or of no event that the peer has.
fn heard(world: &World, link: &mut Link, text: &str, frames: &mut Frames) -> Option<Said> {
    // The first digit is Engine.IO's kind of packet, the second one Socket.IO's.
    if let Some(event) = text.strip_prefix("42") {
        return delivery(world, link, event);
    }
    if let Some(answer) = text.strip_prefix("43") {
        return acknowledged(world, link, answer);
    }
    match (text.get(..1)?, text.get(1..2)) {
        // Open: now the default namespace can be connected to.
        ("0", _) => frames.push("40"),
        ("2", None) => {
            frames.push("3");
            return Some(Said::Other("ping"));
        }
        ("4", Some("0")) => {
            let rooms: Vec<&str> = world.layout.rooms_of(link.user).iter().map(|&room| world.room(room)).collect();
            let rooms = Value::from(rooms);
            frames.write(format_args!(r#"42{JOIN}["join",{rooms}]"#));
        }
        ("4", Some("1" | "4")) => return Some(Said::Refused { id: None, code: shortened(text), retry_ms: None }),
        ("6", None) => {}
        _ => return None,
    }
    Some(Said::Other("handshake"))
}

/// `["message","ROOM","TEXT"]`. No text of the harness has anything in it that JSON would escape.
fn delivery(world: &World, link: &mut Link, event: &str) -> Option<Said> {
    let inner = event.strip_prefix(r#"["message",""#)?.strip_suffix(r#""]"#)?;
    let (room, text) = inner.split_once(r#"",""#)?;
    let (room, stamp) = (world.number(link, room), Stamp::read(text, world.payload)?);
    Some(Said::Delivery { room, seq: None, stamp })
}

/// `NUMBER[]`, `0[JOINED]`, or `NUMBER[{"error":WHY}]`.
fn acknowledged(world: &World, link: &Link, answer: &str) -> Option<Said> {
    let (number, arguments) = answer.split_at_checked(answer.find('[')?)?;
    let number: u64 = number.parse().ok()?;
    let id = number.checked_sub(JOIN + 1).and_then(|number| u32::try_from(number).ok());
    let id = id.map(|number| Id { user: link.user, number });
    if arguments == "[]" {
        return Some(Said::Ack { id: id?, room: None, seq: None });
    }
    let arguments: Value = serde_json::from_str(arguments).ok()?;
    if let Some(code) = arguments[0]["error"].as_str() {
        return Some(Said::Refused { id, code: code.into(), retry_ms: None });
    }
    let all = world.layout.rooms_of(link.user).len() as u64;
    (number == JOIN && arguments[0].as_u64() == Some(all)).then_some(Said::Ready)
}

#[cfg(test)]
mod tests {
    use super::super::UNKNOWN_ROOM;
    use super::super::raw::tested;
    use super::*;

    /// What `socket.io` 4.8.4 sent, word for word.
    const OPEN: &str = r#"0{"sid":"6Qh6_C70-vudzmx6AAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    const CONNECTED: &str = r#"40{"sid":"LvhilxSfhKOofwD6AAAA"}"#;
    const DELIVERY: &str =
        r#"42["message","mark-0","018bcfe5-6800-7005-8000-000300000007 1500000000 0 5 lorem ipsum dolor sit amet c"]"#;

    #[test]
    fn frames_of_the_real_server_are_understood() {
        let world = tested::world(["mark-0", "mark-1"]);
        let mut link = Link { user: 2, ..Link::default() };
        let mut hear = |text: &str| tested::heard(&SocketIo, &world, &mut link, text);
        let (done, ping) = (Said::Other("handshake"), Said::Other("ping"));
        assert_eq!(hear(OPEN), (vec![done.clone()], vec!["40".to_owned()]));
        assert_eq!(hear(CONNECTED), (vec![done], vec![r#"420["join",["mark-0","mark-1"]]"#.to_owned()]));
        assert_eq!(hear("430[2]"), (vec![Said::Ready], vec![]));
        assert_eq!(hear(DELIVERY), (vec![Said::Delivery { room: 0, seq: None, stamp: tested::STAMP }], vec![]));
        assert_eq!(hear("2"), (vec![ping], vec!["3".to_owned()]));
        let id = Id { user: 2, number: 7 };
        assert_eq!(hear("438[]").0, [Said::Ack { id, room: None, seq: None }]);
        let refused = Said::Refused { id: Some(id), code: "not in this room".into(), retry_ms: None };
        assert_eq!(hear(r#"438[{"error":"not in this room"}]"#).0, [refused]);
    }

    #[test]
    fn what_is_none_of_it_is_said_to_be() {
        let world = tested::world(["mark-0", "mark-1"]);
        let mut link = Link::default();
        let mut hear = |text: &str| tested::hear(&SocketIo, &world, &mut link, text);
        for text in [
            "",
            "x",
            "2probe",
            "42",
            "42[]",
            r#"42["message","a"]"#,
            r#"42["other","a","b"]"#,
            "43[]",
            "430[1]",
            "430[]",
        ] {
            assert_eq!(hear(text), [Said::Nonsense(text.into())]);
        }
        let strange = DELIVERY.replace("mark-0", "mark-9");
        assert_eq!(hear(&strange), [Said::Delivery { room: UNKNOWN_ROOM, seq: None, stamp: tested::STAMP }]);
        assert_eq!(hear("41"), [Said::Refused { id: None, code: "41".into(), retry_ms: None }]);
    }

    #[test]
    fn a_send_asks_for_its_acknowledgement() {
        let world = tested::world(["mark-0", "mark-1"]);
        let (mut link, mut frames) = (Link::default(), Frames::default());
        SocketIo.send(&world, &mut link, &tested::message("words"), &mut frames);
        assert_eq!(frames.iter().collect::<Vec<_>>(), [r#"428["send","mark-1","words"]"#]);
    }
}
