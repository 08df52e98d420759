//! What handlers ask of rooms, users and the store, and how they answer.

use super::*;
use crate::wire::schema::check::{Side, check};

#[test]
fn a_message_is_sent_once_and_looks_as_in_a_frame() {
    let posted = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&posted);
    let world = World::new(move |_, actor, command| {
        let RoomCommand::Post { client_id, content, metadata } = command else { panic!("{command:?}") };
        let mut seen = seen.lock().expect("not poisoned");
        let duplicate = !seen.is_empty();
        seen.push((actor.user, client_id, content, metadata));
        Ok(RoomReply::Posted { epoch: Epoch(1), seq: Seq(5), number: Number(3), at: NOW, duplicate })
    });
    let path = format!("/api/v1/chat/rooms/{}/messages", room(9));
    let metadata = r#"{"k": 1.10, "big": 123456789012345678901234567890, "number": "mine", "<": "&"}"#;
    let body = format!("{{\"content\":\"a<b>&\u{2028}\",\"unknown\":1,\"metadata\": {metadata} }}");
    let headers = [
        ("authorization", format!("bearer {}", world.token(user(1)))),
        ("content-type", "application/json; charset=utf-8".to_owned()),
        ("idempotency-key", format!("\"{KEY}\"")),
    ];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let first = world.send(raw("POST", &path, &headers, body.clone()));
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let said = first.json();
    check(Side::Server, &said).expect("the very shape of a frame");
    assert_eq!(said["type"], "chat");
    assert_eq!(said["id"], KEY);
    assert_eq!(said["seq"], 5);
    assert_eq!(said["content"], "a<b>&\u{2028}");
    assert_eq!(said["user_id"], user(1).to_string());
    assert_eq!(said["room_id"], room(9).to_string());
    assert_eq!(said["timestamp"], NOW.rfc3339());
    assert_eq!(said["metadata"]["number"], 3);
    assert_eq!(said["metadata"]["message_type"], "text");
    assert!(
        first.text.contains(r#""k":1.10"#) && first.text.contains("123456789012345678901234567890"),
        "{}",
        first.text
    );

    let again = world.send(raw("POST", &path, &headers, body));
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json()["message_id"], said["message_id"]);
    let posted = posted.lock().expect("not poisoned");
    assert_eq!(posted[0], posted[1]);
    assert_eq!(posted[0].3, metadata, "kept exactly as written");
    let spent = world.users.lock().expect("not poisoned");
    assert_eq!(*spent, vec![(user(1), UserCommand::Spend); 2], "each try counts");
}

#[test]
fn a_direct_room_is_the_same_whoever_starts() {
    let made = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&made);
    let world = World::new(move |id, _, command| {
        let RoomCommand::Create(spec) = command else { panic!("{command:?}") };
        assert!(spec.name.is_empty() && spec.name_key.is_none() && spec.members.len() == 1);
        entered(entry(id, RoomType::Direct, ""), seen.lock().expect("not poisoned").insert(id))
    });
    let make = |who, with| {
        let body = json!({"type": "direct", "members": [user(with), user(who)]});
        world.call(who, &Method::POST, "/api/v1/chat/rooms", Some(body), None)
    };
    let first = make(1, 2);
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let id = first.json()["room_id"].as_str().expect("an id").to_owned();
    assert_eq!(first.headers[header::LOCATION], format!("/api/v1/chat/rooms/{id}"));
    assert_eq!(id.parse::<Uuid>().expect("a UUID").get_version_num(), 8);
    let second = make(2, 1);
    assert_eq!(second.status, StatusCode::OK);
    assert_eq!(second.json()["room_id"], id);
    assert_ne!(make(1, 3).json()["room_id"], id);

    make(1, 99).is(Code::UserNotFound);
    make(1, 1).is(Code::BadRequest);
    let named = json!({"type": "direct", "members": [user(2)], "name": "x"});
    world.post("/api/v1/chat/rooms", named).is(Code::BadName);
}

#[test]
fn a_room_is_made_once_for_a_key_and_a_taken_name_is_told() {
    let made = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&made);
    let world = World::new(move |id, _, command| {
        let mut made = seen.lock().expect("not poisoned");
        match command {
            RoomCommand::Create(_) if made.is_some() => Err(Code::NameTaken.into()),
            RoomCommand::Create(spec) => {
                *made = Some((id, spec.clone()));
                entered(entry(id, spec.kind, &spec.name), true)
            }
            RoomCommand::Describe => match &*made {
                Some((mine, spec)) if *mine == id => entered(entry(id, spec.kind, &spec.name), false),
                _ => Err(Code::RoomNotFound.into()),
            },
            other => panic!("{other:?}"),
        }
    });
    let make = |name: &str, key| {
        let body = json!({"type": "private", "name": name, "metadata": {}});
        world.call(1, &Method::POST, "/api/v1/chat/rooms", Some(body), key)
    };
    let first = make("General", Some(KEY));
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let again = make("General", Some(KEY));
    assert_eq!((again.status, again.json()), (StatusCode::OK, first.json()));
    make("Other", Some(KEY)).is(Code::IdReused);
    make("General", Some("018f3e1c-7c00-7000-8000-000000000002")).is(Code::NameTaken);
    make("General", None).is(Code::NameTaken);
    let spec = made.lock().expect("not poisoned").clone().expect("made").1;
    assert_eq!(spec.name_key, Some(world.backend.name_key(crate::store::NameKind::Room, "general")));
    assert_eq!(spec.metadata, "");
    assert_eq!(make("", None).is(Code::BadName)["field"], "name");
    make(&"x".repeat(81), None).is(Code::BadName);
}

#[test]
fn a_change_names_what_is_to_be_different_and_nothing_else() {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&changes);
    let world = World::new(move |id, _, command| match command {
        RoomCommand::Describe => entered(entry(id, RoomType::Public, "Old Name"), false),
        RoomCommand::Change(change) => {
            seen.lock().expect("not poisoned").push(*change);
            Ok(RoomReply::Done { at: NOW })
        }
        RoomCommand::Destroy { name_key } => {
            assert!(name_key.is_some());
            Ok(RoomReply::Done { at: NOW })
        }
        other => panic!("{other:?}"),
    });
    let path = format!("/api/v1/chat/rooms/{}", room(9));
    let change = |body: Value| world.call(1, &Method::PATCH, &path, Some(body), None);
    assert_eq!(change(json!({})).status, StatusCode::OK);
    assert!(changes.lock().expect("not poisoned").is_empty());
    assert_eq!(change(json!({"name": "New", "description": "", "metadata": {"a": 1}})).status, StatusCode::OK);
    assert_eq!(change(json!({"retention_days": null})).status, StatusCode::OK);
    assert_eq!(change(json!({"retention_days": 7})).status, StatusCode::OK);
    change(json!({"retention_days": 0})).is(Code::BadRequest);
    change(json!({"metadata": [1]})).is(Code::BadMetadata);
    let changes = changes.lock().expect("not poisoned");
    let key = |name| Some(world.backend.name_key(crate::store::NameKind::Room, name));
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[0].name.as_ref().map(|(name, _)| name.as_str()), Some("New"));
    assert_eq!(changes[0].name.as_ref().map(|(_, key)| *key), key("new"));
    assert_eq!(changes[0].old_name_key, key("old name"));
    assert_eq!(changes[0].description.as_deref(), Some(""));
    assert_eq!(changes[0].metadata.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(changes[0].retention_days, None);
    assert_eq!(changes[1].retention_days, Some(None));
    assert_eq!(changes[2].retention_days, Some(Some(7)));
    assert_eq!(world.call(1, &Method::DELETE, &path, None, None).status, StatusCode::NO_CONTENT);
}

#[test]
fn profiles_are_read_found_and_changed() {
    let world = World::with_users(nowhere, |command| match command {
        UserCommand::Presence => Ok(UserReply::Presence(Status::Away, NOW)),
        _ => Ok(UserReply::Done),
    });
    let me = world.get("/api/v1/users/me").json();
    assert_eq!((&me["username"], &me["display_name"]), (&json!("alice"), &json!("<b>alice</b>")));
    let one = world.get(&format!("/api/v1/users/{}", user(2))).json();
    assert_eq!((&one["username"], &one["status"]), (&json!("bob"), &json!("away")));
    world.get(&format!("/api/v1/users/{}", user(99))).is(Code::UserNotFound);

    let found = world.get("/api/v1/users?query=BOB").json();
    assert_eq!(found["users"].as_array().map(Vec::len), Some(1));
    let mut names = Vec::new();
    let mut next = "/api/v1/users?limit=1".to_owned();
    loop {
        let page = world.get(&next).json();
        names.extend(page["users"].as_array().expect("a list").iter().map(|user| user["username"].clone()));
        let Some(cursor) = page["cursor"].as_str() else { break };
        next = format!("/api/v1/users?limit=1&cursor={cursor}");
    }
    assert_eq!(names, ["alice", "bob", "carol"]);

    let change = |body: Value| world.call(1, &Method::PATCH, "/api/v1/users/me", Some(body), None);
    assert_eq!(change(json!({"display_name": "Alice L."})).json()["display_name"], "Alice L.");
    assert_eq!(world.get("/api/v1/users/me").json()["display_name"], "Alice L.");
    let asked = world.users.lock().expect("not poisoned").clone();
    assert!(asked.contains(&(user(1), UserCommand::Reload)), "the owner must hear of it");
    assert_eq!(change(json!({"display_name": "a\nb"})).is(Code::BadName)["field"], "display_name");
    change(json!({"display_name": "x".repeat(65)})).is(Code::BadName);
}

#[test]
fn participants_have_names_roles_and_presence() {
    let world = World::new(|_, _, command| match command {
        RoomCommand::Participants { after: None, limit: 2 } => Ok(RoomReply::Participants {
            members: vec![(user(1), Role::Owner, Status::Online), (user(2), Role::Member, Status::Offline)],
            total: 3,
            more: true,
        }),
        RoomCommand::Describe => entered(entry(room(9), RoomType::Private, "x"), false),
        RoomCommand::Add { user: who, role } => {
            assert_eq!((who, role), (user(2), Role::Member));
            Ok(RoomReply::Done { at: NOW })
        }
        RoomCommand::SetRole { .. } | RoomCommand::Remove { .. } | RoomCommand::Leave => Err(Code::NotAllowed.into()),
        other => panic!("{other:?}"),
    });
    let path = format!("/api/v1/chat/rooms/{}/participants", room(9));
    let page = world.get(&format!("{path}?limit=2")).json();
    let first = json!({"user_id": user(1), "username": "alice", "display_name": "<b>alice</b>", "role": "owner", "status": "online"});
    assert_eq!(page["participants"][0], first);
    assert_eq!((&page["total"], &page["cursor"]), (&json!(3), &json!(user(2))));
    assert_eq!(world.post(&path, json!({"user_id": user(2)})).status, StatusCode::OK);
    assert_eq!(world.post(&path, json!({"user_id": user(99)})).is(Code::UserNotFound)["field"], "user_id");
    world.post(&path, json!({"user_id": user(2), "role": "king"})).is(Code::BadRequest);
    world
        .call(1, &Method::PATCH, &format!("{path}/{}", user(2)), Some(json!({"role": "owner"})), None)
        .is(Code::NotAllowed);
    world.call(1, &Method::DELETE, &format!("{path}/{}", user(2)), None, None).is(Code::NotAllowed);
}
