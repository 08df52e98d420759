//! Writes to rooms: whole or not at all, independent of their neighbours, dense, with unique names.

use causerie::base::room::Head;
use causerie::base::{EventKind, EventStatus, Interval, Number, RoomType, Seq, WallTime};
use causerie::store::{Answer, Failure, NameChange, Outcome, Query, RoomWrite, Span, Write};

use crate::kit::*;

#[test]
fn a_room_its_events_members_and_answered_ids_come_back_as_written() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        let mut write = create_room(id, RoomType::Private);
        let record = write.record.clone().unwrap();
        write.events = messages(id, 1, 3).events;
        write.events[1].kind = EventKind::Joined { subject: user_id(9) };
        write.events[1].content = String::new();
        write.events[2].metadata = "{\"k\":\"v\"}".to_owned();
        write.answered = write.events.iter().map(answered).collect();
        write.members = vec![member(id, user_id(1), 1, None), member(id, user_id(2), 1, Some(2))];
        let (events, answers, members) = (write.events.clone(), write.answered.clone(), write.members.clone());
        assert_eq!(store.one(write), DONE, "{}", bench.name);

        let loaded = store.room(id).unwrap();
        assert_eq!(loaded.room, record);
        assert_eq!(loaded.head, Head { seq: Seq(3), number: Number(3), at: WallTime(3000) });
        assert_eq!(loaded.members, members);
        assert_eq!(loaded.answered, answers);
        assert_eq!(loaded.answered_since, WallTime(0));
        assert_eq!(store.events(id, Span::Newest, 100), events);
        assert_eq!(store.answered(id, user_id(1), 2), Some(answers[1]));
        assert_eq!(store.answered(id, user_id(2), 2), None);
        assert_eq!(store.room(room_id(2)), None);
    }
}

#[test]
fn a_write_that_is_refused_changes_nothing_at_all() {
    for bench in benches() {
        let store = &*bench.store;
        let (a, b) = (room_id(1), room_id(2));
        assert_eq!(store.one(RoomWrite { name: take(name(1)), ..create_room(a, RoomType::Public) }), DONE);
        assert_eq!(store.one(RoomWrite { name: take(name(2)), ..create_room(b, RoomType::Public) }), DONE);
        assert_eq!(store.one(messages(b, 1, 5)), DONE);
        let before = store.room(b);

        let full = |mut write: RoomWrite| {
            let mut record = room(b, RoomType::Private);
            record.name = "changed".to_owned();
            write.record = Some(record);
            write.members = vec![member(b, user_id(8), 1, None)];
            let mut old = message(b, 2, user_id(1), "rewritten");
            old.status = EventStatus::Deleted(WallTime(9));
            write.rewritten = vec![old];
            write
        };
        // Name taken, though all else fits.
        let change = NameChange { release: Some(name(2)), take: Some(name(1)) };
        let taken = full(RoomWrite { name: change, ..messages(b, 6, 7) });
        assert_eq!(store.one(taken), Outcome::NameTaken);
        // The head is elsewhere: behind, ahead.
        for from in [5, 7] {
            let change = NameChange { release: Some(name(2)), take: Some(name(3)) };
            let conflict = full(RoomWrite { name: change, ..messages(b, from, from + 1) });
            assert_eq!(store.one(conflict), Outcome::Conflict);
        }
        // There already, not there.
        assert_eq!(store.one(full(RoomWrite { create: true, ..messages(b, 6, 7) })), Outcome::Exists);
        let mut nowhere = messages(room_id(3), 1, 1);
        nowhere.name = take(name(3));
        assert_eq!(store.one(nowhere), Outcome::NotFound);

        assert_eq!(store.room(b), before, "{}", bench.name);
        assert_eq!(store.seqs(b, Span::Newest, 100), [1, 2, 3, 4, 5]);
        assert_eq!(store.events(b, Span::Before(Seq(3)), 1)[0].content, "text 2");
        assert!(store.user(user_id(8)).is_none());
        // The names stayed where they were: 2 with b, 3 free.
        let third = RoomWrite { name: take(name(2)), ..create_room(room_id(3), RoomType::Public) };
        assert_eq!(store.one(third.clone()), Outcome::NameTaken);
        assert_eq!(store.one(RoomWrite { name: take(name(3)), ..third }), DONE);
    }
}

#[test]
fn writes_of_a_batch_take_effect_in_order_and_do_not_touch_each_other() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        let mut gap = messages(id, 3, 5);
        gap.events.remove(1);
        let batch = vec![
            write_of(create_room(id, RoomType::Public)),
            write_of(messages(id, 1, 2)),
            write_of(create_room(id, RoomType::Private)),
            write_of(messages(id, 2, 3)),
            write_of(gap),
            write_of(messages(room_id(7), 1, 1)),
            write_of(messages(id, 3, 4)),
            write_of(RoomWrite { answered: messages(id, 5, 5).answered, ..messages(id, 6, 6) }),
        ];
        let results = store.write_each(batch).unwrap();
        assert_eq!(results[..4], [Ok(DONE), Ok(DONE), Ok(Outcome::Exists), Ok(Outcome::Conflict)]);
        assert!(matches!(results[4], Err(Failure::Misuse(_))), "{:?}", results[4]);
        assert_eq!(results[5..7], [Ok(Outcome::NotFound), Ok(DONE)]);
        assert!(matches!(results[7], Err(Failure::Misuse(_))), "an answer without its event");
        assert_eq!(store.seqs(id, Span::Newest, 100), [1, 2, 3, 4], "{}", bench.name);
        assert_eq!(store.room(id).unwrap().room.kind, RoomType::Public);
        assert_eq!(store.room(id).unwrap().answered.len(), 4);
    }
}

#[test]
fn what_belongs_to_another_room_is_refused() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        assert_eq!(store.one(create_room(id, RoomType::Public)), DONE);
        let strange = [
            RoomWrite { events: messages(room_id(2), 1, 1).events, ..RoomWrite::new(id) },
            RoomWrite { rewritten: messages(room_id(2), 1, 1).events, ..RoomWrite::new(id) },
            RoomWrite { members: vec![member(room_id(2), user_id(1), 1, None)], ..RoomWrite::new(id) },
            RoomWrite { record: Some(room(room_id(2), RoomType::Public)), ..RoomWrite::new(id) },
            RoomWrite { create: true, ..RoomWrite::new(room_id(2)) },
            RoomWrite { rewritten: messages(id, 1, 1).events, ..RoomWrite::new(id) },
        ];
        for write in strange {
            let result = store.one_result(write.clone());
            assert!(matches!(result, Err(Failure::Misuse(_))), "{}: {write:?} {result:?}", bench.name);
        }
    }
}

#[test]
fn names_are_unique_and_follow_their_holders() {
    for bench in benches() {
        let store = &*bench.store;
        let (a, b) = (room_id(1), room_id(2));
        assert_eq!(store.one(RoomWrite { name: take(name(1)), ..create_room(a, RoomType::Public) }), DONE);
        assert_eq!(store.one(create_room(b, RoomType::Public)), DONE);
        // A user's name is none of a room's business: the keys differ, but if they did not, it would be taken.
        let ann = user_id(1);
        let want = |key| causerie::store::UserWrite { name: take(key), ..create_user(ann) };
        assert_eq!(store.one(want(name(1))), Outcome::NameTaken);
        // Somebody else's name cannot be released.
        let steal = NameChange { release: Some(name(1)), take: None };
        assert_eq!(store.one(RoomWrite { name: steal, ..RoomWrite::new(b) }), DONE);
        assert_eq!(store.one(RoomWrite { name: take(name(1)), ..RoomWrite::new(b) }), Outcome::NameTaken);
        // Taking one's own again changes nothing; releasing and taking the same keeps it.
        let same = NameChange { release: Some(name(1)), take: Some(name(1)) };
        for change in [take(name(1)), same] {
            assert_eq!(store.one(RoomWrite { name: change, ..RoomWrite::new(a) }), DONE);
            assert_eq!(store.one(RoomWrite { name: take(name(1)), ..RoomWrite::new(b) }), Outcome::NameTaken);
        }
        // Exchanged, the old one is free, also within one batch.
        let exchange = NameChange { release: Some(name(1)), take: Some(name(2)) };
        let batch = vec![
            write_of(RoomWrite { name: exchange, ..RoomWrite::new(a) }),
            write_of(RoomWrite { name: take(name(2)), ..RoomWrite::new(b) }),
            write_of(RoomWrite { name: take(name(1)), ..RoomWrite::new(b) }),
        ];
        assert_eq!(store.write(batch).unwrap(), [DONE, Outcome::NameTaken, DONE], "{}", bench.name);
    }
}

#[test]
fn a_rewritten_event_replaces_what_stood_there_and_keeps_its_answered_id() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        assert_eq!(store.one(create_room(id, RoomType::Private)), DONE);
        assert_eq!(store.one(messages(id, 1, 3)), DONE);
        let mut deleted = message(id, 2, user_id(1), "");
        deleted.status = EventStatus::Deleted(WallTime(4000));
        let mut deletion = message(id, 4, user_id(1), "");
        deletion.kind = EventKind::Deletion { target: Seq(2) };
        deletion.number = Number(3);
        let events = vec![deletion.clone()];
        let write = RoomWrite { events, rewritten: vec![deleted.clone()], ..RoomWrite::new(id) };
        assert_eq!(store.one(write), DONE);
        let events = store.events(id, Span::After(Seq(1)), 3);
        assert_eq!(events[0], deleted, "{}", bench.name);
        assert_eq!(events[1].content, "text 3");
        assert_eq!(events[2], deletion);
        assert_eq!(store.answered(id, user_id(1), 2).unwrap().body_hash, 154);
        // An event written and rewritten in one go ends in its new state.
        let mut edited = message(id, 5, user_id(1), "edited");
        edited.metadata = "{}".to_owned();
        let write = RoomWrite { rewritten: vec![edited.clone()], ..messages(id, 5, 6) };
        assert_eq!(store.one(write), DONE);
        assert_eq!(store.events(id, Span::Newest, 2)[0], edited);
        assert_eq!(store.answered(id, user_id(1), 5).unwrap().seq, Seq(5));
    }
}

#[test]
fn the_list_of_a_users_rooms_follows_the_members() {
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        assert_eq!(store.one(create_user(ann)), DONE);
        let rooms = || store.user(ann).unwrap().rooms;
        let (a, b) = (room_id(1), room_id(2));
        for id in [b, a] {
            let members = vec![member(id, ann, 1, None)];
            assert_eq!(store.one(RoomWrite { members, ..create_room(id, RoomType::Private) }), DONE);
        }
        assert_eq!(rooms(), [a, b], "{}", bench.name);
        // Out, and in again.
        assert_eq!(store.one(RoomWrite { members: vec![member(a, ann, 1, Some(4))], ..RoomWrite::new(a) }), DONE);
        assert_eq!(rooms(), [b]);
        let mut again = member(a, ann, 1, Some(4));
        again.intervals.push(Interval { from: Seq(9), to: None });
        // Of two states in one write the last one counts.
        let members = vec![again.clone(), member(a, ann, 1, Some(4)), again.clone()];
        assert_eq!(store.one(RoomWrite { members, ..RoomWrite::new(a) }), DONE);
        assert_eq!(rooms(), [a, b]);
        assert_eq!(store.room(a).unwrap().members, [again]);
        // A removed room stands in nobody's list, also when somebody is added afterwards; it may come back.
        let mut record = room(a, RoomType::Private);
        record.removed = true;
        assert_eq!(store.one(RoomWrite { record: Some(record.clone()), ..RoomWrite::new(a) }), DONE);
        assert_eq!(rooms(), [b]);
        assert_eq!(store.one(RoomWrite { members: vec![member(a, ann, 1, None)], ..RoomWrite::new(a) }), DONE);
        assert_eq!(rooms(), [b]);
        record.removed = false;
        assert_eq!(store.one(RoomWrite { record: Some(record), ..RoomWrite::new(a) }), DONE);
        assert_eq!(rooms(), [a, b]);
    }
}

fn trim(room: causerie::base::RoomId, up_to: u64, limit: usize) -> Write {
    Write::Trim { room, up_to: Seq(up_to), limit }
}

#[test]
fn retention_goes_in_steps_takes_answered_ids_along_and_keeps_the_head() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        assert_eq!(store.one(trim(id, 5, 5)), Outcome::NotFound);
        assert_eq!(store.one(create_room(id, RoomType::Private)), DONE);
        assert_eq!(store.one(messages(id, 1, 10)), DONE);

        let Outcome::Trimmed(3, room) = store.one(trim(id, 5, 3)) else { panic!("three of five") };
        assert_eq!(room.first_seq, Seq(4), "{}", bench.name);
        assert_eq!(room.trimmed, Head { seq: Seq(3), number: Number(3), at: WallTime(3000) });
        assert_eq!(room.name, format!("room {id}"));
        assert_eq!(store.room(id).unwrap().room, *room);
        assert_eq!(store.seqs(id, Span::Newest, 100), [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(store.seqs(id, Span::After(Seq(0)), 2), [4, 5]);
        assert_eq!(store.answered(id, user_id(1), 3), None);
        assert_eq!(store.answered(id, user_id(1), 4).unwrap().seq, Seq(4));
        assert_eq!(store.room(id).unwrap().answered.len(), 7);

        assert!(matches!(store.one(trim(id, 5, 3)), Outcome::Trimmed(2, _)));
        assert!(matches!(store.one(trim(id, 5, 3)), Outcome::Trimmed(0, _)));
        assert!(matches!(store.one(trim(id, 9, 0)), Outcome::Trimmed(0, _)));

        // A record read before the trim does not move it back; what is gone is not rewritten.
        let mut stale = crate::kit::room(id, RoomType::Private);
        stale.description = "newer".to_owned();
        let write = RoomWrite {
            record: Some(stale),
            rewritten: vec![message(id, 2, user_id(1), "x"), message(id, 7, user_id(1), "y")],
            ..RoomWrite::new(id)
        };
        assert_eq!(store.one(write), DONE);
        let loaded = store.room(id).unwrap();
        assert_eq!((loaded.room.first_seq, loaded.room.trimmed.seq), (Seq(6), Seq(5)));
        assert_eq!(loaded.room.description, "newer");
        assert_eq!(store.events(id, Span::After(Seq(0)), 2)[1].content, "y");

        // Never past the head; an empty log still knows its head and goes on from it.
        let Outcome::Trimmed(5, room) = store.one(trim(id, 99, 100)) else { panic!("all that is left") };
        assert_eq!((room.first_seq, room.trimmed.seq), (Seq(11), Seq(10)));
        let loaded = store.room(id).unwrap();
        assert_eq!(loaded.head, Head { seq: Seq(10), number: Number(10), at: WallTime(10_000) });
        assert_eq!(store.seqs(id, Span::Newest, 100), [0u64; 0]);
        assert_eq!(store.one(messages(id, 1, 1)), Outcome::Conflict);
        assert_eq!(store.one(messages(id, 11, 12)), DONE);
        assert_eq!(store.seqs(id, Span::Newest, 100), [11, 12]);
    }
}

#[test]
fn an_id_that_was_answered_again_survives_the_trimming_of_its_first_event() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        assert_eq!(store.one(create_room(id, RoomType::Public)), DONE);
        let mut write = messages(id, 1, 2);
        write.answered[1].client_id = write.answered[0].client_id;
        assert_eq!(store.one(write), DONE);
        let loaded = store.room(room_id(1)).unwrap().answered;
        assert_eq!(loaded.iter().map(|answer| answer.seq.0).collect::<Vec<_>>(), [2], "{}", bench.name);
        assert!(matches!(store.one(trim(id, 1, 9)), Outcome::Trimmed(1, _)));
        assert_eq!(store.answered(id, user_id(1), 1).unwrap().seq, Seq(2), "{}", bench.name);
    }
}

#[test]
fn settings_are_kept_changed_and_removed() {
    for bench in benches() {
        let store = &*bench.store;
        let set = |value: Option<&[u8]>| Write::Setting { name: "key".to_owned(), value: value.map(<[u8]>::to_vec) };
        let get = || match store.read(&Query::Setting("key".to_owned())).unwrap() {
            Answer::Setting(value) => value,
            other => panic!("{other:?}"),
        };
        assert_eq!(get(), None);
        for value in [&b"one"[..], b"", b"two"] {
            assert_eq!(store.one(set(Some(value))), DONE);
            assert_eq!(get().as_deref(), Some(value), "{}", bench.name);
        }
        assert_eq!(store.one(set(None)), DONE);
        assert_eq!(get(), None);
    }
}
