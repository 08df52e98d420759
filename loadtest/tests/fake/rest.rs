//! The REST calls of the fake server: rooms, members, pages of a log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::socket::Request;
use super::world::{Room, World};

/// Whom a token names. Its signature is not looked at.
pub fn subject(token: &str) -> Option<Uuid> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    Uuid::try_parse(claims["sub"].as_str()?).ok()
}

/// A refusal.
pub fn problem(status: u16, code: &str) -> (u16, Value) {
    (
        status,
        json!({"type": "about:blank", "title": code, "status": status, "detail": code, "code": code, "advice": "None."}),
    )
}

/// The answer to a request of `user`.
pub fn answer(world: &mut World, user: Uuid, request: &Request) -> (u16, Value) {
    let path: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    if path == ["api", "v1", "users", "me"] {
        return (200, json!({"user_id": user, "username": user, "display_name": user, "admin": false}));
    }
    let ["api", "v1", "chat", "rooms", rest @ ..] = &path[..] else { return problem(404, "not_found") };
    let room = rest.first().and_then(|id| Uuid::try_parse(id).ok());
    let member = room.and_then(|id| world.rooms.get(&id)).filter(|room| room.members.contains(&user));
    match (request.method.as_str(), rest, room) {
        ("POST", [], _) => {
            let members: Vec<Uuid> =
                request.body["members"].as_array().into_iter().flatten().filter_map(uuid).collect();
            let name = request.body["name"].as_str().unwrap_or_default();
            let kind = request.body["type"].as_str().unwrap_or("public");
            if members.len() > 100 {
                return problem(400, "bad_request");
            }
            world.create(user, name, kind, &members).map_or_else(|| problem(409, "name_taken"), |r| (201, r.shape()))
        }
        ("GET", [_], _) => member.map_or_else(|| problem(404, "room_not_found"), |room| (200, room.shape())),
        ("GET", [_, "messages"], _) => {
            let asked = |name: &str| {
                request
                    .query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
            };
            let limit = usize::try_from(asked("limit").unwrap_or(100).min(100)).unwrap_or(100);
            let page = |room: &Room| (200, room.page(asked("before"), asked("after"), limit));
            member.map_or_else(|| problem(404, "room_not_found"), page)
        }
        ("GET", [_, "participants"], _) => {
            let list = |room: &Room| json!({"participants": room.members.iter().map(|m| json!({"user_id": m})).collect::<Vec<_>>()});
            member.map_or_else(|| problem(404, "room_not_found"), |room| (200, list(room)))
        }
        ("POST", [_, "participants"], Some(room)) => match uuid(&request.body["user_id"]) {
            Some(other) if world.join(room, other, user) => {
                (200, json!({"room_id": room, "user_id": other, "role": "member"}))
            }
            _ => problem(404, "user_not_found"),
        },
        ("POST", [_, "join"], Some(room)) if world.join(room, user, user) => (200, world.rooms[&room].shape()),
        ("POST", [_, "leave"], Some(room)) if world.leave(room, user) => (204, Value::Null),
        _ => problem(404, "not_found"),
    }
}

fn uuid(value: &Value) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?).ok()
}
