//! Input that nobody thought of: whatever comes, the answer is one that the contract names, well formed, without markup.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Rooms that have everything, so that what gets past the checks goes as deep as it can.
fn plenty(id: RoomId, _: Actor, command: RoomCommand) -> Result<RoomReply, Refusal> {
    Ok(match command {
        RoomCommand::Create(spec) => return entered(entry(id, spec.kind, &spec.name), true),
        RoomCommand::Describe | RoomCommand::Join | RoomCommand::Change(_) => {
            return entered(entry(id, RoomType::Public, "A<&>B"), false);
        }
        RoomCommand::Post { .. } | RoomCommand::Delete { .. } => {
            RoomReply::Posted { epoch: Epoch(1), seq: Seq(1), number: Number(1), at: NOW, duplicate: false }
        }
        RoomCommand::History { .. } => RoomReply::Page(Box::new(HistoryPage {
            room: id,
            epoch: Epoch(1),
            first_seq: Seq(1),
            last_seq: Seq(1),
            more: false,
            events: Vec::new(),
        })),
        RoomCommand::Participants { .. } => {
            RoomReply::Participants { members: vec![(user(1), Role::Owner, Status::Online)], total: 1, more: false }
        }
        _ => RoomReply::Done { at: NOW },
    })
}

/// Text that people send, and that people send who mean no good.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9 ]{1,20}",
        1 => Just("<script>alert(1)</script>&\u{2028}\u{202e}".to_owned()),
        1 => Just("a\u{0}b".to_owned()),
        1 => ".{0,100}",
        1 => "x{4000,5000}",
    ]
}

/// Any JSON at all.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::String),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-z<&]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A body whose fields mostly are of the right type, and sometimes not.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let word = |words: &[&str]| prop::sample::select(words.iter().map(|word| json!(word)).collect::<Vec<_>>()).boxed();
    let people = word(&[&user(1).to_string(), &user(2).to_string(), &user(3).to_string(), &user(99).to_string()]);
    let string = || text().prop_map(Value::String).boxed();
    let object = prop::collection::btree_map("[a-z<&]{0,6}", any_json(), 0..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()));
    let fields = vec![
        ("type", word(&["public", "private", "direct"])),
        ("name", string()),
        ("description", string()),
        ("display_name", string()),
        ("content", string()),
        ("members", prop::collection::vec(people.clone(), 0..3).prop_map(Value::Array).boxed()),
        ("user_id", people),
        ("role", word(&["member", "moderator", "owner"])),
        ("retention_days", any::<u16>().prop_map(Value::from).boxed()),
        ("metadata", object.boxed()),
        ("unknown", any_json().boxed()),
    ];
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, right)| {
            let value = prop_oneof![20 => right, 1 => any_json()];
            prop::option::weighted(0.7, value).prop_map(move |value| value.map(|value| (name.to_owned(), value)))
        })
        .collect();
    let object =
        fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect()).to_string().into_bytes());
    prop_oneof![18 => object, 1 => prop::collection::vec(any::<u8>(), 0..200), 1 => Just(Vec::new())]
}

/// Something in the place of an id.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => Just(user(2).to_string()),
        1 => Just("0".to_owned()),
        2 => (0u64..1000).prop_map(|n| n.to_string()),
        1 => any::<u64>().prop_map(|n| n.to_string()),
        1 => any::<u128>().prop_map(|n| Uuid::from_u128(n).to_string()),
        1 => "(%[0-9a-fA-F]{2}|[a-z.~-]){1,12}",
    ]
}

#[test]
fn every_answer_is_one_that_the_contract_names() {
    let world = World::with_users(plenty, |command| match command {
        UserCommand::Presence => Ok(UserReply::Presence(Status::Online, NOW)),
        UserCommand::Sessions => Ok(UserReply::Sessions(Vec::new())),
        _ => Ok(UserReply::Done),
    });
    let contract = world.send(raw("GET", "/api/openapi.json", &[], "")).json();
    // Argon2 takes too long to be tried thousands of times.
    let operations: Vec<(String, String, Value)> = contract["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods
                .map(move |(method, operation)| (path.clone(), method.to_uppercase(), operation["responses"].clone()))
        })
        .filter(|(path, ..)| !path.starts_with("/api/v1/auth/"))
        .collect();
    let input = (
        prop::sample::select(operations.clone()),
        (id(), id()),
        prop_oneof![
            Just(String::new()),
            "(limit|cursor|query|before|after)=[0-9a-f%<-]{0,8}".prop_map(|q| q.replace('<', "%3C"))
        ],
        body(),
        prop_oneof![9 => Just(KEY.to_owned()), 1 => "[ -~]{0,40}"],
        prop_oneof![18 => Just("application/json"), 1 => Just("text/plain"), 1 => Just("application/x+json; charset=x")],
    );
    let token = format!("Bearer {}", world.token(user(1)));
    let mut runner = TestRunner::new(Config { cases: 3000, failure_persistence: None, ..Config::default() });
    let seen = std::cell::RefCell::new(BTreeMap::<_, Vec<u16>>::new());
    runner
        .run(&input, |((path, method, responses), (first, second), query, body, key, kind)| {
            let operation = (method.clone(), path.clone());
            let path = path.replace("{room_id}", &first).replace("{user_id}", &second).replace("{message_id}", &second);
            let target = if query.is_empty() { path } else { format!("{path}?{query}") };
            let request = Request::builder()
                .method(method.as_str())
                .uri(&target)
                .header(header::AUTHORIZATION, &token)
                .header(header::CONTENT_TYPE, kind)
                .header("idempotency-key", &key)
                .body(Body::from(body));
            // What is no URI never reaches the routes.
            let Ok(request) = request else { return Ok(()) };
            let answer = world.send(request);
            let status = answer.status.as_u16();
            prop_assert!(status < 500, "{method} {target}: {}", answer.text);
            if status == 404 && !answer.text.contains("user_not_found") && !answer.text.contains("message_not_found") {
                // A broken path may belong to no route at all.
                prop_assert!(answer.text.contains("\"not_found\""), "{method} {target}: {}", answer.text);
                return Ok(());
            }
            if status == 405 {
                return Ok(());
            }
            seen.borrow_mut().entry(operation).or_default().push(status);
            let named = &responses[status.to_string()];
            prop_assert!(!named.is_null(), "{method} {target}: {status} stands in no contract: {}", answer.text);
            if status >= 400 {
                prop_assert_eq!(&answer.headers[header::CONTENT_TYPE], "application/problem+json");
                let body = answer.json();
                let code = body["code"].as_str().unwrap_or_default();
                let description = named["description"].as_str().unwrap_or_default();
                prop_assert!(
                    description.contains(&format!("`{code}`")),
                    "{method} {target}: {code} stands in no contract"
                );
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let seen = seen.into_inner();
    // Inputs that are all refused at the door prove nothing.
    for (path, method, responses) in operations {
        let done = seen.get(&(method.clone(), path.clone())).map(Vec::as_slice).unwrap_or_default();
        assert!(done.iter().any(|status| *status < 300), "{method} {path} never went through: {done:?}");
        let body = responses.get("422").is_some();
        assert!(!body || done.contains(&422), "{method} {path} never found a text wrong: {done:?}");
    }
}
