//! Causerie's own protocol (docs/protocol.md), and its REST interface for what must be there before a run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Adapter, Asked, Can, Frames, Ground, Link, Message, Position, Request, Said, UNKNOWN_ROOM, Upgrade};
use crate::check::Log;
use crate::http::Http;
use crate::scenario::Kind;
use crate::stamp::{Id, Stamp};
use crate::target::Target;
use crate::world::World;
use crate::{Context as _, Failure, run, skim};

/// HTTP connections that prepare a run at the same time.
const PREPARERS: usize = 16;
/// Members that a room may be made with, beside its owner.
const FIRST_MEMBERS: usize = 100;
/// Rooms in one `resume`.
const RESUMED_AT_ONCE: usize = 1000;

/// The adapter.
#[derive(Debug, Default)]
pub struct Native;

impl Adapter for Native {
    fn name(&self) -> &'static str {
        "causerie"
    }

    fn can(&self) -> Can {
        Can { seq: true, ack: true, resume: true, log: true, echo: false, heartbeat: true }
    }

    fn greeting(&self) -> &'static str {
        "a frame of type \"hello\" with the user's rooms, right after the upgrade (docs/protocol.md)"
    }

    fn rooms(&self, ground: &Ground<'_>, world: &World) -> Result<Vec<String>, Failure> {
        let layout = &world.layout;
        // A room is made with members that the server must know: everybody shows a token first.
        in_parallel(ground.target, layout.users() as usize, |http, user| {
            let token = world.token(number(user));
            patiently(http, "GET", "/api/v1/users/me", &token, None).map(drop)
        })?;
        let made = in_parallel(ground.target, layout.rooms() as usize, |http, room| {
            let members = layout.members(number(room));
            let (owner, others) =
                members.split_first().ok_or_else(|| Failure::new("making a room", "nobody is in it"))?;
            let first: Vec<Uuid> = others.iter().take(FIRST_MEMBERS).map(|&user| world.subject(user)).collect();
            let body = json!({"name": format!("load {} {room}", world.mark), "type": "public", "members": first});
            let answer = patiently(http, "POST", "/api/v1/chat/rooms", &world.token(*owner), Some(&body))?;
            match answer["room_id"].as_str() {
                Some(id) => Ok(id.to_owned()),
                None => Err(Failure::new("making a room", format!("no room_id in {answer}"))),
            }
        })?;
        let late: Vec<(usize, u32)> = (0..layout.rooms())
            .flat_map(|room| {
                layout.members(room).iter().skip(1 + FIRST_MEMBERS).map(move |&user| (room as usize, user))
            })
            .collect();
        in_parallel(ground.target, late.len(), |http, place| {
            let (room, user) = late[place];
            let path = format!("/api/v1/chat/rooms/{}/join", made[room]);
            patiently(http, "POST", &path, &world.token(user), None).map(drop)
        })?;
        Ok(made)
    }

    fn upgrade(&self, world: &World, user: u32) -> Upgrade {
        let bearer = format!("Bearer {}", world.token(user));
        Upgrade { path: String::new(), headers: vec![("Authorization", bearer)] }
    }

    fn opened(&self, _world: &World, _link: &mut Link, _frames: &mut Frames) {}

    fn hear(&self, world: &World, link: &mut Link, text: &str, said: &mut Vec<Said>, frames: &mut Frames) {
        let (mut kind, mut id, mut room, mut seq, mut content) = ("", None, None, None, None);
        for (name, value) in skim::members(text) {
            match name {
                "type" => kind = skim::string(value).unwrap_or(""),
                "id" => id = skim::string(value).and_then(Id::of_text),
                "room_id" => room = skim::string(value).map(|name| world.number(link, name)),
                "seq" => seq = skim::number(value),
                "content" => content = skim::string(value),
                // The server writes it last, and no delivery needs it. Another order of the fields is no fault.
                "metadata" if !kind.is_empty() => break,
                _ => {}
            }
        }
        match (kind, room, seq) {
            ("chat", Some(room), Some(seq)) => {
                let stamp = content.and_then(|content| Stamp::read(content, world.payload));
                said.push(match stamp {
                    Some(stamp) => Said::Delivery { room, seq: Some(seq), stamp },
                    None if content.is_none() => Said::Gone { room, seq },
                    None => Said::Event { room, seq },
                });
            }
            ("join" | "leave" | "delete" | "system", Some(room), Some(seq)) => said.push(Said::Event { room, seq }),
            ("ack", room, seq) => {
                let Some(id) = id else { return said.push(Said::Other("ack")) };
                said.push(match id.number & Id::REQUEST {
                    0 => Said::Ack { id, room, seq },
                    _ => Said::Done { id, seq },
                });
            }
            ("typing", ..) => said.push(Said::Other("typing")),
            ("presence", ..) => said.push(Said::Other("presence")),
            ("stream", ..) => said.push(Said::Other("stream")),
            ("resync", Some(room), _) => said.push(Said::Resync { room }),
            _ => rare(world, link, text, kind, id, room, seq, said, frames),
        }
    }

    fn send(&self, world: &World, _link: &mut Link, message: &Message<'_>, frames: &mut Frames) {
        let (key, room, text) = (message.key, world.room(message.room), message.text);
        frames.write(format_args!(r#"{{"type":"chat","id":"{key}","room_id":"{room}","content":"{text}"}}"#));
    }

    fn request(&self, world: &World, link: &mut Link, request: &Request, frames: &mut Frames) -> Asked {
        let (key, room, seq) = (request.key, world.room(request.room), request.seq);
        match request.kind {
            Kind::Typing => {
                frames.write(format_args!(r#"{{"type":"typing","room_id":"{room}","metadata":{{"active":true}}}}"#));
                return Asked::Silent;
            }
            Kind::Presence => {
                // Every second time the other one, so that something changes each time.
                link.number ^= 1;
                let status = if link.number == 1 { "away" } else { "online" };
                frames.write(format_args!(r#"{{"type":"presence","metadata":{{"status":"{status}"}}}}"#));
                return Asked::Silent;
            }
            Kind::Read => {
                frames.write(format_args!(r#"{{"type":"read","id":"{key}","room_id":"{room}","seq":{seq}}}"#));
            }
            Kind::History => frames.write(format_args!(
                r#"{{"type":"history","id":"{key}","room_id":"{room}","metadata":{{"limit":50}}}}"#
            )),
            Kind::Past => frames.write(format_args!(
                r#"{{"type":"history","id":"{key}","room_id":"{room}","metadata":{{"limit":50,"before":{seq}}}}}"#
            )),
            Kind::Delete => {
                frames.write(format_args!(r#"{{"type":"delete","id":"{key}","room_id":"{room}","seq":{seq}}}"#));
            }
            Kind::Refresh => {
                let token = world.token(link.user);
                frames.write(format_args!(r#"{{"type":"auth","id":"{key}","content":"{token}"}}"#));
            }
            Kind::Edit => return Asked::Unknown,
        }
        Asked::Answered
    }

    fn resume(&self, world: &World, _link: &mut Link, positions: &[Position], frames: &mut Frames) {
        for some in positions.chunks(RESUMED_AT_ONCE) {
            let rooms: Vec<Value> = some
                .iter()
                .map(|at| json!({"room_id": world.room(at.room), "epoch": at.epoch, "seq": at.seq}))
                .collect();
            frames.push(&json!({"type": "resume", "metadata": {"rooms": rooms}}).to_string());
        }
    }

    fn logs(&self, target: &Target, world: &World, rooms: &[u32]) -> Result<Vec<Log>, Failure> {
        in_parallel(target, rooms.len(), |http, place| {
            let room = rooms[place];
            let id = Uuid::try_parse(world.room(room)).context("a room's id")?;
            match world.layout.members(room).first() {
                Some(&reader) => run::read_log(http, &world.token(reader), id),
                None => Ok(Log::default()),
            }
        })
    }
}

/// Frames that come seldom: read in full.
#[allow(clippy::too_many_arguments)] // what was skimmed already
fn rare(
    world: &World,
    link: &mut Link,
    text: &str,
    kind: &str,
    id: Option<Id>,
    room: Option<u32>,
    seq: Option<u64>,
    said: &mut Vec<Said>,
    frames: &mut Frames,
) {
    let Ok(whole) = serde_json::from_str::<Value>(text) else {
        return said.push(Said::Nonsense(format!("a frame that is no JSON: {}", shortened(text)).into()));
    };
    let metadata = &whole["metadata"];
    match (kind, room, seq) {
        ("hello" | "rooms", ..) => {
            for entry in metadata["rooms"].as_array().into_iter().flatten() {
                let room = entry["room_id"].as_str().map_or(UNKNOWN_ROOM, |name| world.number(link, name));
                let (epoch, seq) = (entry["epoch"].as_u64().unwrap_or(0), entry["last_seq"].as_u64().unwrap_or(0));
                said.push(Said::Position { room, epoch, seq });
            }
            match metadata["cursor"].as_str().filter(|_| metadata["more_rooms"] == true) {
                Some(cursor) => frames.push(&json!({"type": "rooms", "metadata": {"cursor": cursor}}).to_string()),
                None => said.push(Said::Ready),
            }
        }
        ("resumed", Some(room), Some(seq)) => {
            said.push(Said::Resumed { room, seq, more: metadata["more"] == true });
        }
        ("reload", Some(room), _) => {
            said.push(Said::Reload { room, reason: metadata["reason"].as_str().unwrap_or("?").into() });
        }
        ("history", ..) => {
            let rows = metadata["messages"].as_array().map_or(0, Vec::len);
            let Some(id) = id else { return said.push(Said::Other("history")) };
            said.push(Said::History { id, rows: u32::try_from(rows).unwrap_or(u32::MAX) });
        }
        ("error", ..) => said.push(Said::Refused {
            id,
            code: metadata["code"].as_str().unwrap_or("?").into(),
            retry_ms: metadata["retry_after_ms"].as_u64(),
        }),
        ("resumed" | "reload", None, _) => said.push(Said::Other("stream")),
        ("notice", ..) => said.push(Said::Other("notice")),
        _ => said.push(Said::Nonsense(format!("a frame of no known type: {}", shortened(text)).into())),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn http(target: &Target) -> Result<Http, Failure> {
    let tls = target.tls.as_ref().ok_or_else(|| Failure::new("reaching the REST interface", "it needs wss://"))?;
    Ok(Http::new(&target.address, tls))
}

/// Does `work` for each number below `count`, over several kept-alive connections. Answers in order.
fn in_parallel<T: Send>(
    target: &Target,
    count: usize,
    work: impl Fn(&mut Http, usize) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let next = AtomicUsize::new(0);
    let one = || -> Result<Vec<(usize, T)>, Failure> {
        let mut http = http(target)?;
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return Ok(done);
            }
            match work(&mut http, place) {
                Ok(answer) => done.push((place, answer)),
                Err(why) => {
                    // The others need not go on.
                    next.store(count, Ordering::Relaxed);
                    return Err(why);
                }
            }
        }
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..PREPARERS.min(count.max(1))).map(|_| scope.spawn(one)).collect();
        let ended = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(Failure::new("a thread of the harness", "it panicked")))
        };
        threads.into_iter().map(ended).collect::<Result<Vec<_>, _>>()
    })?;
    let mut all: HashMap<usize, T> = parts.into_iter().flatten().collect();
    Ok((0..count).filter_map(|place| all.remove(&place)).collect())
}

/// A request that waits when it is told to wait.
fn patiently(http: &mut Http, method: &str, path: &str, token: &str, body: Option<&Value>) -> Result<Value, Failure> {
    for _ in 0..100 {
        let answer = http.call(method, path, Some(token), &[], body)?;
        match answer.status {
            200..=299 => return Ok(answer.json()),
            429 | 503 => {
                let wait = answer.json()["retry_after_ms"].as_u64().unwrap_or(200).clamp(10, 5000);
                thread::sleep(Duration::from_millis(wait));
            }
            status => return Err(Failure::new(format!("{method} {path}"), format!("{status}: {}", answer.text()))),
        }
    }
    Err(Failure::new(format!("{method} {path}"), "told to wait 100 times"))
}
