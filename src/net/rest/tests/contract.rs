//! The contract holds what is there, and what is there holds to the contract; the pages beside it.

use super::*;

#[test]
fn a_page_of_history_is_that_of_the_room() {
    let world = World::new(|id, _, command| {
        assert_eq!(command, RoomCommand::History { before: Some(Seq(9)), after: None, limit: 2 });
        let event = Event {
            room: id,
            epoch: Epoch(1),
            seq: Seq(8),
            number: Number(4),
            user: user(2),
            at: NOW,
            kind: EventKind::Message,
            content: "<script>".to_owned(),
            metadata: r#"{"k":"v"}"#.to_owned(),
            client_id: None,
            status: EventStatus::Live,
        };
        let (first_seq, last_seq) = (Seq(1), Seq(12));
        let events = vec![Arc::new(event)];
        Ok(RoomReply::Page(Box::new(HistoryPage {
            room: id,
            epoch: Epoch(1),
            first_seq,
            last_seq,
            more: true,
            events,
        })))
    });
    let page = world.get(&format!("/api/v1/chat/rooms/{}/messages?before=9&limit=2", room(9))).json();
    assert_eq!((&page["first_seq"], &page["last_seq"], &page["epoch"]), (&json!(1), &json!(12), &json!(1)));
    assert_eq!(page["more"], true);
    assert_eq!(page["messages"][0]["content"], "<script>");
    assert_eq!(page["messages"][0]["metadata"]["k"], "v");

    // The contract describes exactly what is written.
    let contract = world.send(raw("GET", "/api/openapi.json", &[], "")).json();
    let schemas = &contract["components"]["schemas"];
    for (schema, value) in [
        ("MessagePage", &page),
        ("Message", &page["messages"][0]),
        ("MessageMetadata", &page["messages"][0]["metadata"]),
    ] {
        let schema = &schemas[schema];
        for required in schema["required"].as_array().expect("a list") {
            assert!(!value[required.as_str().expect("a name")].is_null(), "{required} is missing in {value}");
        }
        for field in value.as_object().expect("an object").keys().filter(|field| *field != "k") {
            assert!(schema["properties"].get(field).is_some(), "{field} stands in no contract");
        }
    }
}

#[test]
fn pages_load_and_run_nothing() {
    let world = World::new(nowhere);
    for path in ["/api", "/api/", "/api/problems"] {
        let page = world.send(raw("GET", path, &[], ""));
        assert_eq!(page.status, StatusCode::OK);
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
        assert!(!page.text.contains("<script") && page.text.contains("<h1>"));
        for code in Code::ALL.iter().filter(|_| path == "/api/problems") {
            assert!(page.text.contains(&format!("<dt id=\"{}\">", code.name())));
            assert!(!code.sentence().contains(['<', '>', '&']) && !code.advice().contains(['<', '>', '&']));
        }
    }
    assert_eq!(world.send(raw("GET", "/healthz", &[], "")).status, StatusCode::OK);
    world.send(raw("GET", "/readyz", &[], "")).is(Code::Draining);
    world.ready.set(true);
    assert_eq!(world.send(raw("GET", "/readyz", &[], "")).status, StatusCode::OK);
}

#[test]
fn the_contract_holds_every_route_with_what_it_may_refuse() {
    let world = World::new(nowhere);
    let contract = world.send(raw("GET", "/api/openapi.json", &[], "")).json();
    assert_eq!(contract["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    let mut names = BTreeSet::new();
    for (path, methods) in contract["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} twice");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} says nothing");
            let responses = operation["responses"].as_object().expect("answers");
            for status in ["500", "503"] {
                let schema = &responses[status]["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            }
            assert_eq!(
                responses.contains_key("400"),
                path.contains('{') || operation.get("requestBody").is_some() || operation.get("parameters").is_some(),
                "{name}"
            );
            // It is there: who has no token is told so, whoever needs none is told what is wrong.
            let open = super::super::contract::OPEN.contains(&name);
            assert_eq!(operation.get("security") == Some(&json!([])), open, "{name}");
            let path = path.replace("{room_id}", &room(1).to_string()).replace("{user_id}", &user(1).to_string());
            let path = path.replace("{message_id}", "1").replace("{session_id}", &user(1).to_string());
            let answer = world.send(raw(&method.to_uppercase(), &path, &[], ""));
            let found = answer.status.as_u16();
            assert_eq!(found, if open { 400 } else { 401 }, "{method} {path}");
        }
    }
    for name in
        ["get_me", "change_me", "find_users", "get_user", "list_rooms", "create_room", "get_room", "change_room"]
    {
        assert!(names.contains(name), "{name}");
    }
    let events = world.send(raw("GET", "/api/asyncapi.json", &[], "")).json();
    assert!(events["asyncapi"].as_str().is_some_and(|version| version.starts_with('3')));
    // Every reference leads somewhere.
    let text = contract.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(contract.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
}
