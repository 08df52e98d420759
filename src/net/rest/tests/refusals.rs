//! What is refused, and how.

use super::*;

#[test]
fn every_kind_of_bad_request_is_a_problem_with_its_code() {
    let world = World::new(nowhere);
    let auth = format!("Bearer {}", world.token(user(1)));
    let auth = ("authorization", auth.as_str());
    let json = ("content-type", "application/json");
    let key = ("idempotency-key", KEY);
    let rooms = "/api/v1/chat/rooms";
    let messages = format!("{rooms}/{}/messages", room(9));
    let is = |request, code: Code| world.send(request).is(code);

    is(raw("GET", "/api/v1/nothing", &[], ""), Code::NotFound);
    is(raw("GET", "/%ff/%3Cscript%3E", &[], ""), Code::NotFound);
    is(raw("PUT", rooms, &[auth, json], "{}"), Code::MethodNotAllowed);
    assert_eq!(world.send(raw("PUT", rooms, &[auth], "")).headers[header::ALLOW], "GET,HEAD,POST");
    is(raw("BREW", "/", &[], ""), Code::MethodNotAllowed);

    let missing = world.send(raw("GET", rooms, &[], ""));
    missing.is(Code::NotAuthenticated);
    assert_eq!(missing.headers[header::WWW_AUTHENTICATE], "Bearer");
    for wrong in ["", "Bearer", "Bearer ", "Bearer x.y.z", "Basic YTpi", "bearer \u{e9}"] {
        is(raw("GET", rooms, &[("authorization", wrong)], ""), Code::NotAuthenticated);
    }
    is(raw("GET", rooms, &[auth, auth], ""), Code::NotAuthenticated);
    let old = world.signer.sign(user(1), SessionId(Uuid::nil()), DeviceId(Uuid::nil()), WallTime(NOW.0 - 2_000_000));
    let old = format!("Bearer {}", old.expect("signed").0);
    is(raw("GET", rooms, &[("authorization", &old)], ""), Code::TokenExpired);
    let gone = format!("Bearer {}", world.token(user(99)));
    is(raw("GET", rooms, &[("authorization", &gone)], ""), Code::SessionEnded);

    is(raw("POST", rooms, &[auth, json], ""), Code::BadRequest);
    is(raw("POST", rooms, &[auth], "{}"), Code::UnsupportedMediaType);
    is(raw("POST", rooms, &[auth, ("content-type", "text/plain")], "{}"), Code::UnsupportedMediaType);
    is(raw("POST", rooms, &[auth, json], "{"), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], r#"{"type":"public"} {}"#), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], &b"{\"name\":\"\xff\"}"[..]), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], "[".repeat(10_000)), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], format!("{{\"x\":{}", "[".repeat(10_000))), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], r#"["public","an array is no object"]"#), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], "null"), Code::BadJson);
    is(raw("POST", rooms, &[auth, json], "{}"), Code::BadRequest);
    is(raw("POST", rooms, &[auth, json], format!("{{\"name\":\"{}\"}}", "x".repeat(70_000))), Code::TooLarge);
    let typed = is(raw("POST", rooms, &[auth, json], r#"{"type":"public","name":5}"#), Code::BadRequest);
    assert_eq!(typed["field"], "name");
    let typed = is(raw("POST", rooms, &[auth, json], r#"{"type":"direct","members":["x"]}"#), Code::BadRequest);
    assert_eq!(typed["field"], "members[0]");
    let typed = is(raw("POST", rooms, &[auth, json], r#"{"type":"<secret>"}"#), Code::BadRequest);
    assert_eq!(typed["field"], "type");

    for query in ["limit=0", "limit=101", "limit=x", "limit=-1", "cursor=x", "limit=1&limit=2", "limit=%ff"] {
        is(raw("GET", &format!("{rooms}?{query}"), &[auth], ""), Code::BadRequest);
    }
    for query in ["limit=0", "before=-1", "after=x", "before=281474976710656"] {
        is(raw("GET", &format!("{messages}?{query}"), &[auth], ""), Code::BadRequest);
    }
    is(raw("GET", &format!("{rooms}/x"), &[auth], ""), Code::BadRequest);
    is(raw("GET", &format!("{rooms}/{}", room(9)), &[auth], ""), Code::RoomNotFound);

    let say = r#"{"content":"hi"}"#;
    assert_eq!(is(raw("POST", &messages, &[auth, json], say), Code::BadId)["field"], "Idempotency-Key");
    let v4 = ("idempotency-key", "00000000-0000-4000-8000-000000000000");
    is(raw("POST", &messages, &[auth, json, v4], say), Code::BadId);
    for content in ["", " \\n ", "a\\u0000b"] {
        let body = format!("{{\"content\":\"{content}\"}}");
        assert_eq!(is(raw("POST", &messages, &[auth, json, key], body), Code::BadContent)["field"], "content");
    }
    for metadata in ["[]", "7", "\"x\"", &format!("{{\"k\":\"{}\"}}", "x".repeat(4096))] {
        let body = format!("{{\"content\":\"hi\",\"metadata\":{metadata}}}");
        assert_eq!(is(raw("POST", &messages, &[auth, json, key], body), Code::BadMetadata)["field"], "metadata");
    }
    is(raw("DELETE", &format!("{messages}/x"), &[auth], ""), Code::BadRequest);
}

#[test]
fn a_body_that_does_not_fit_is_not_echoed() {
    let world = World::new(nowhere);
    let answer = world.post("/api/v1/chat/rooms", json!({"type": "public", "name": 424_242_424_242_u64}));
    answer.is(Code::BadRequest);
    assert!(!answer.text.contains("424242"), "{}", answer.text);
}

#[test]
fn who_is_too_fast_is_told_when_to_come_back_and_the_room_hears_nothing() {
    let world = World::with_users(
        |_, _, command| panic!("{command:?}"),
        |_| Err(Refusal::new(Code::RateLimited).retry_after(1300)),
    );
    let answer = world.post(&format!("/api/v1/chat/rooms/{}/messages", room(9)), json!({"content": "hi"}));
    assert_eq!(answer.is(Code::RateLimited)["retry_after_ms"], 1300);
    assert_eq!(answer.headers[header::RETRY_AFTER], "2");
}

#[test]
fn a_room_that_is_hidden_and_one_that_is_not_there_answer_with_the_same_bytes() {
    // The shard refuses both with `room_not_found`; what is held here is that no handler says more than that.
    let world = World::new(nowhere);
    let foreign = crate::base::MessageId::new(room(77), Epoch(1), Seq(3));
    for (method, tail, body) in [
        (Method::GET, String::new(), None),
        (Method::PATCH, String::new(), Some(json!({"name": "x"}))),
        (Method::DELETE, String::new(), None),
        (Method::POST, "/join".into(), None),
        (Method::POST, "/leave".into(), None),
        (Method::GET, "/messages".into(), None),
        (Method::POST, "/messages".into(), Some(json!({"content": "hi"}))),
        (Method::DELETE, format!("/messages/{foreign}"), None),
        (Method::DELETE, "/messages/0".into(), None),
        (Method::DELETE, "/messages/7".into(), None),
        (Method::GET, "/participants".into(), None),
        (Method::POST, "/participants".into(), Some(json!({"user_id": user(2)}))),
        (Method::POST, "/participants".into(), Some(json!({"user_id": user(99)}))),
        (Method::PATCH, format!("/participants/{}", user(2)), Some(json!({"role": "owner"}))),
        (Method::DELETE, format!("/participants/{}", user(2)), None),
        (Method::DELETE, format!("/participants/{}", user(1)), None),
    ] {
        let answer = |n| {
            let path = format!("/api/v1/chat/rooms/{}{tail}", room(n));
            let answer = world.call(1, &method, &path, body.clone(), Some(KEY));
            answer.is(Code::RoomNotFound);
            answer.text
        };
        assert_eq!(answer(8), answer(9), "{method} {tail}");
    }
}

#[test]
fn our_own_faults_say_nothing_of_what_is_inside() {
    let world = World::new(|_, _, _| Ok(RoomReply::Reload { reason: "inside" }));
    let answer = world.get(&format!("/api/v1/chat/rooms/{}", room(9)));
    answer.is(Code::Internal);
    assert!(!answer.text.contains("inside") && !answer.text.contains("question"));
    let damaged = super::super::Problem::from(crate::store::Failure::Damaged("room 7, seq 3".to_owned()));
    assert_eq!(damaged.code(), Code::Internal);
    let full = super::super::Problem::from(crate::store::Failure::Unavailable("no space".to_owned()));
    assert_eq!(full.code(), Code::StorageUnavailable);
}

#[test]
fn what_a_room_calls_the_id_is_a_header_here() {
    let world = World::new(|_, _, _| Err(Refusal::new(Code::IdReused).field("id")));
    let answer = world.post(&format!("/api/v1/chat/rooms/{}/messages", room(9)), json!({"content": "hi"}));
    assert_eq!(answer.is(Code::IdReused)["field"], "Idempotency-Key");
}
