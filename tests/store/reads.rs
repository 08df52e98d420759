//! Reads: pages of a log, lists, look-ups, what is recent.

use causerie::base::{EventKind, RoomType, Seq, WallTime};
use causerie::store::{
    Answer, Answered, Backend, Holder, NameChange, NameKind, Query, RoomWrite, Span, UserWrite, Write,
};

use crate::kit::*;

#[test]
fn pages_of_a_log_in_all_directions() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(2));
        // Neighbours on both sides must never show.
        for n in 1..=3 {
            assert_eq!(store.one(create_room(room_id(n), RoomType::Public)), DONE);
            assert_eq!(store.one(messages(room_id(n), 1, 10)), DONE);
        }
        let none = [0u64; 0];
        let page = |span, limit| store.seqs(id, span, limit);
        assert_eq!(page(Span::Newest, 3), [8, 9, 10], "{}", bench.name);
        assert_eq!(page(Span::Newest, 100).len(), 10);
        assert_eq!(page(Span::Newest, 0), none);
        assert_eq!(page(Span::Before(Seq(4)), 2), [2, 3]);
        assert_eq!(page(Span::Before(Seq(1)), 2), none);
        assert_eq!(page(Span::Before(Seq(0)), 2), none);
        assert_eq!(page(Span::Before(Seq(99)), 2), [9, 10]);
        assert_eq!(page(Span::After(Seq(0)), 2), [1, 2]);
        assert_eq!(page(Span::After(Seq(9)), 5), [10]);
        assert_eq!(page(Span::After(Seq(10)), 5), none);
        assert_eq!(page(Span::After(Seq(u64::MAX)), 5), none);
        assert_eq!(page(Span::Between(Seq(3), Seq(6)), 5), [4, 5]);
        assert_eq!(page(Span::Between(Seq(3), Seq(9)), 2), [4, 5]);
        assert_eq!(page(Span::Between(Seq(3), Seq(4)), 5), none);
        assert_eq!(page(Span::Between(Seq(6), Seq(3)), 5), none);
        assert_eq!(store.seqs(room_id(9), Span::Newest, 5), none);
        assert_eq!(page(Span::Newest, usize::MAX).len(), 10);
    }
}

#[test]
fn a_page_is_bounded_in_bytes_but_never_empty() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        assert_eq!(store.one(create_room(id, RoomType::Public)), DONE);
        assert_eq!(store.one(messages(id, 1, 9)), DONE);
        let weight = message(id, 1, user_id(1), "text 1").weight();
        let page = |span, bytes_max| match store.read(&Query::Events { room: id, span, limit: 9, bytes_max }).unwrap() {
            Answer::Events(events) => events.iter().map(|event| event.seq.0).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(page(Span::After(Seq(0)), 3 * weight), [1, 2, 3], "{}", bench.name);
        assert_eq!(page(Span::After(Seq(0)), 3 * weight - 1), [1, 2]);
        assert_eq!(page(Span::After(Seq(0)), 0), [1]);
        assert_eq!(page(Span::Newest, 2 * weight), [8, 9]);
        assert_eq!(page(Span::Newest, 0), [9]);
    }
}

#[test]
fn recent_client_ids_are_bounded_and_say_since_when_they_are_complete() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        assert_eq!(store.one(create_room(id, RoomType::Public)), DONE);
        let mut write = messages(id, 1, 10);
        write.events[4].kind = EventKind::Void;
        write.answered.remove(4);
        assert_eq!(store.one(write), DONE);
        let load = |since, answered_max| {
            let query = Query::Rooms { rooms: vec![room_id(9), id], answered_since: WallTime(since), answered_max };
            let Answer::Rooms(rooms) = store.read(&query).unwrap() else { panic!("rooms") };
            assert_eq!(rooms[0], None);
            let room = rooms[1].clone().unwrap();
            (room.answered.iter().map(|a| a.seq.0).collect::<Vec<_>>(), room.answered_since.0)
        };
        assert_eq!(load(0, 100), (vec![1, 2, 3, 4, 6, 7, 8, 9, 10], 0), "{}", bench.name);
        assert_eq!(load(4000, 100), (vec![4, 6, 7, 8, 9, 10], 4000));
        assert_eq!(load(0, 9), (vec![1, 2, 3, 4, 6, 7, 8, 9, 10], 0));
        assert_eq!(load(0, 5), (vec![6, 7, 8, 9, 10], 4001));
        assert_eq!(load(0, 0), (vec![], 10_001));
        assert_eq!(load(99_000, 5), (vec![], 99_000));
    }
}

#[test]
fn the_last_event_before_a_time_is_found() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        let before = |at| match store.read(&Query::SeqBefore { room: id, at: WallTime(at) }).unwrap() {
            Answer::SeqAt(seq) => seq.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(before(5), 0);
        assert_eq!(store.one(create_room(id, RoomType::Public)), DONE);
        assert_eq!(before(5), 0);
        let mut write = messages(id, 1, 9);
        // Several at the same time.
        write.events[4].at = WallTime(4000);
        assert_eq!(store.one(write), DONE);
        let found: Vec<_> = [0, 1000, 1001, 4000, 4001, 6000, 9000, 9001, u64::MAX].map(before).to_vec();
        assert_eq!(found, [0, 0, 1, 3, 5, 5, 8, 9, 9], "{}", bench.name);
        let trim = causerie::store::Write::Trim { room: id, up_to: Seq(6), limit: 100 };
        store.one(trim);
        assert_eq!([6000, 7001, u64::MAX].map(before), [0, 7, 9]);
    }
}

#[test]
fn private_rooms_are_listed_to_members_only() {
    for bench in benches() {
        let (store, ann, bob) = (&*bench.store, user_id(1), user_id(2));
        let rooms = [
            (1, RoomType::Public, vec![]),
            (2, RoomType::Private, vec![(ann, None), (bob, None)]),
            (3, RoomType::Private, vec![(bob, None)]),
            (4, RoomType::Direct, vec![(ann, None), (bob, None)]),
            (5, RoomType::Public, vec![(ann, None), (bob, Some(4))]),
            (6, RoomType::Private, vec![(ann, Some(3))]),
            (7, RoomType::Public, vec![(ann, None)]),
        ];
        for (n, kind, members) in rooms {
            let id = room_id(n);
            let members = members.into_iter().map(|(user, to)| member(id, user, 1, to)).collect();
            let mut write = RoomWrite { members, ..create_room(id, kind) };
            write.record.as_mut().unwrap().removed = n == 7;
            assert_eq!(store.one(write), DONE);
        }
        let list = |user, after: Option<u128>, limit| {
            let query = Query::ListRooms { user, after: after.map(room_id), limit };
            let Answer::RoomList(list) = store.read(&query).unwrap() else { panic!("a list") };
            let short = list.into_iter().map(|(room, own, count)| {
                let number = room.id.0.as_u128() >> 64;
                assert_eq!(room.name, format!("room {}", room.id));
                (number, own.map(|member| (member.user, member.active())), count)
            });
            short.collect::<Vec<_>>()
        };
        let all = list(ann, None, 100);
        let expected =
            vec![(1, None, 0), (2, Some((ann, true)), 2), (4, Some((ann, true)), 2), (5, Some((ann, true)), 1)];
        assert_eq!(all, expected, "{}", bench.name);
        assert_eq!(list(ann, None, 2), expected[..2]);
        assert_eq!(list(ann, Some(2), 1), expected[2..3]);
        assert_eq!(list(ann, Some(5), 9), []);
        let of_bob: Vec<_> = list(bob, None, 100).iter().map(|(n, ..)| *n).collect();
        assert_eq!(of_bob, [1, 2, 3, 4, 5]);
        assert_eq!(list(bob, Some(4), 9), [(5, Some((bob, false)), 1)]);
        let stranger: Vec<_> = list(user_id(9), None, 100).iter().map(|(n, ..)| *n).collect();
        assert_eq!(stranger, [1, 5]);
        // A room that turns public or private changes lists.
        let record = room(room_id(3), RoomType::Public);
        assert_eq!(store.one(RoomWrite { record: Some(record), ..RoomWrite::new(room_id(3)) }), DONE);
        let record = room(room_id(1), RoomType::Private);
        assert_eq!(store.one(RoomWrite { record: Some(record), ..RoomWrite::new(room_id(1)) }), DONE);
        let stranger: Vec<_> = list(user_id(9), None, 100).iter().map(|(n, ..)| *n).collect();
        assert_eq!(stranger, [3, 5]);
    }
}

#[test]
fn users_are_found_by_folded_names_in_pages() {
    for bench in benches() {
        let store = &*bench.store;
        let names = [("Ann.Smith", "Ann"), ("bob", "ŁUKASZ Smithson"), ("carol", "Carol"), ("dave", "ＳＭＩＴＨ")];
        for (n, (username, display_name)) in names.into_iter().enumerate() {
            let id = user_id(n as u128 + 1);
            let mut record = user(id);
            (record.username, record.display_name) = (username.to_owned(), display_name.to_owned());
            assert_eq!(store.one(UserWrite { record: Some(record), ..create_user(id) }), DONE);
        }
        let find = |text: &str, after: Option<u128>, limit| {
            let query = Query::FindUsers { text: text.to_owned(), after: after.map(user_id), limit };
            let Answer::Found(found) = store.read(&query).unwrap() else { panic!("users") };
            found.into_iter().map(|profile| profile.username).collect::<Vec<_>>()
        };
        assert_eq!(find("smith", None, 10), ["Ann.Smith", "bob", "dave"], "{}", bench.name);
        assert_eq!(find("smith", None, 2), ["Ann.Smith", "bob"]);
        assert_eq!(find("smith", Some(2), 2), ["dave"]);
        assert_eq!(find("łukasz", None, 2), ["bob"]);
        assert_eq!(find("", None, 10).len(), 4);
        assert_eq!(find("nobody", None, 10), [""; 0]);
        // A change of a name is found at once, the old one no more.
        let mut record = user(user_id(3));
        record.display_name = "Smithy".to_owned();
        record.username = "carol".to_owned();
        assert_eq!(store.one(UserWrite { record: Some(record), ..UserWrite::new(user_id(3)) }), DONE);
        assert_eq!(find("smith", Some(1), 2), ["bob", "carol"]);
        // So is who came since.
        let mut record = user(user_id(5));
        record.username = "smithers".to_owned();
        assert_eq!(store.one(UserWrite { record: Some(record), ..create_user(user_id(5)) }), DONE);
        assert_eq!(find("smith", Some(3), 9), ["dave", "smithers"]);
        assert_eq!(find("mithers\n", None, 9), [""; 0]);
    }
}

#[test]
fn ids_of_rooms_come_in_pages() {
    for bench in benches() {
        let store = &*bench.store;
        for n in [3, 1, 2] {
            assert_eq!(store.one(create_room(room_id(n), RoomType::Private)), DONE);
        }
        let page = |after, limit| store.read(&Query::RoomIds { after, limit }).unwrap();
        assert_eq!(page(None, 2), Answer::RoomIds(vec![room_id(1), room_id(2)]), "{}", bench.name);
        assert_eq!(page(Some(room_id(2)), 2), Answer::RoomIds(vec![room_id(3)]));
        assert_eq!(page(Some(room_id(3)), 2), Answer::RoomIds(vec![]));
    }
}

#[test]
fn everything_can_be_listed_to_be_copied() {
    for bench in benches() {
        let store = &*bench.store;
        let id = room_id(1);
        assert_eq!(store.read(&Query::SettingNames).unwrap(), Answer::SettingNames(vec![]), "{}", bench.name);
        for (n, value) in [("b", Some(vec![1])), ("a", Some(vec![2])), ("c", Some(vec![3])), ("c", None)] {
            assert_eq!(store.one(Write::Setting { name: n.to_owned(), value }), DONE);
        }
        let names = Answer::SettingNames(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(store.read(&Query::SettingNames).unwrap(), names);

        assert_eq!(store.one(RoomWrite { name: take(name(9)), ..create_room(id, RoomType::Public) }), DONE);
        for n in 1..=4 {
            let write = UserWrite { name: take(name(n)), ..create_user(user_id(n.into())) };
            assert_eq!(store.one(write), DONE);
        }
        let moved = NameChange { release: Some(name(1)), take: Some(name(5)) };
        assert_eq!(store.one(UserWrite { name: moved, ..UserWrite::new(user_id(1)) }), DONE);
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let Answer::Names(page) = store.read(&Query::Names { after, limit: 2 }).unwrap() else { panic!() };
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(last.0);
            found.extend(page);
        }
        found.sort_by_key(|(name, _)| *name);
        let user = |n| Holder::User(user_id(n));
        let expected = [(2, user(2)), (3, user(3)), (4, user(4)), (5, user(1)), (9, Holder::Room(id))];
        assert_eq!(found, expected.map(|(n, holder)| (name(n), holder)), "{}", bench.name);

        let mut write = messages(id, 1, 6);
        // Answered again later, and answered twice by one event.
        write.answered[4].client_id = client_id(2);
        write.answered.push(Answered { client_id: client_id(60), ..write.answered[5] });
        let all = write.answered.clone();
        assert_eq!(store.one(write), DONE);
        let answered = |after, before| {
            let query = Query::AnsweredIn { room: id, after: Seq(after), before: Seq(before) };
            let Answer::AnsweredIn(found) = store.read(&query).unwrap() else { panic!() };
            found
        };
        assert_eq!(answered(0, 99), [all[0], all[2], all[3], all[4], all[5], all[6]], "{}", bench.name);
        assert_eq!(answered(2, 5), [all[2], all[3]]);
        assert_eq!(answered(3, 4), []);
        assert_eq!(answered(9, 3), []);
        let none = Query::AnsweredIn { room: room_id(7), after: Seq(0), before: Seq(9) };
        assert_eq!(store.read(&none).unwrap(), Answer::AnsweredIn(vec![]));
    }
}

#[test]
fn keyed_hashes_differ_by_kind_name_and_server() {
    let (one, other) = (benches(), benches());
    for (a, b) in one.iter().zip(&other) {
        let (a, b): (&dyn Backend, &dyn Backend) = (&*a.store, &*b.store);
        let key = a.name_key(NameKind::User, "ann");
        assert_eq!(key, a.name_key(NameKind::User, "ann"));
        assert_ne!(key, a.name_key(NameKind::Room, "ann"));
        assert_ne!(key, a.name_key(NameKind::User, "bob"));
        assert_eq!(a.pair_key(user_id(1), user_id(2)), a.pair_key(user_id(2), user_id(1)));
        assert_ne!(a.pair_key(user_id(1), user_id(2)), a.pair_key(user_id(1), user_id(3)));
        let _ = b;
    }
    // The memory stores of this suite share a key by choice; the embedded ones never do.
    let key = |benches: &[Bench]| benches[1].store.name_key(NameKind::User, "ann");
    assert_ne!(key(&one), key(&other));
}
