//! Writes to users: accounts, sessions, devices, the user stream, positions.

use causerie::base::limits::STREAM_EVENTS_MAX;
use causerie::base::{Role, Seq, Session, WallTime};
use causerie::store::{Answer, Cursor, Failure, NameChange, Outcome, Query, UserWrite, Write};

use crate::kit::*;

#[test]
fn a_user_with_everything_comes_back_as_written() {
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        let mut record = user(ann);
        record.external = Some(("https://issuer".to_owned(), "subject 17".to_owned()));
        record.suspended = true;
        let write = UserWrite {
            record: Some(record.clone()),
            sessions: vec![session(ann, 1, 10), session(ann, 2, 20)],
            devices: vec![device(ann, 1), device(ann, 2)],
            stream: (1..=3).map(|seq| entry(ann, seq)).collect(),
            name: take(name(1)),
            ..create_user(ann)
        };
        assert_eq!(store.one(write.clone()), DONE);
        let loaded = store.user(ann).unwrap();
        assert_eq!(loaded.user, record, "{}", bench.name);
        assert_eq!((loaded.sessions, loaded.devices), (write.sessions, write.devices));
        assert_eq!((loaded.stream_first, loaded.stream_head), (Seq(1), Seq(3)));
        let stream = |after, limit| match store.read(&Query::Stream { user: ann, after: Seq(after), limit }).unwrap() {
            Answer::Stream(entries) => entries,
            other => panic!("{other:?}"),
        };
        assert_eq!(stream(0, 10), write.stream);
        assert_eq!(stream(1, 1), write.stream[1..2]);
        assert_eq!(stream(3, 10), []);
        let by_name = |key| match store.read(&Query::UserByName(key)).unwrap() {
            Answer::UserRecord(user) => user.map(|user| *user),
            other => panic!("{other:?}"),
        };
        assert_eq!(by_name(name(1)), Some(record.clone()));
        assert_eq!(by_name(name(2)), None);
        let profiles = match store.read(&Query::Profiles(vec![user_id(2), ann])).unwrap() {
            Answer::Profiles(profiles) => profiles,
            other => panic!("{other:?}"),
        };
        assert_eq!(profiles, [None, Some(record.profile())]);
        assert_eq!(store.user(user_id(2)), None);
        let empty = store.one(create_user(user_id(3)));
        assert_eq!(empty, DONE);
        let loaded = store.user(user_id(3)).unwrap();
        assert_eq!((loaded.stream_first, loaded.stream_head), (Seq(1), Seq(0)));
    }
}

#[test]
fn a_user_write_that_is_refused_changes_nothing() {
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        let first = UserWrite { name: take(name(1)), stream: vec![entry(ann, 1)], ..create_user(ann) };
        assert_eq!(store.one(first), DONE);
        assert_eq!(store.one(UserWrite { name: take(name(2)), ..create_user(user_id(2)) }), DONE);
        let before = store.user(ann);
        let mut record = user(ann);
        record.display_name = "changed".to_owned();
        let full = |write: UserWrite| UserWrite {
            record: Some(record.clone()),
            sessions: vec![session(ann, 1, 10)],
            devices: vec![device(ann, 1)],
            cursors: vec![Cursor { user: ann, device: device_id(1), room: room_id(1), seq: Seq(4) }],
            ..write
        };
        let base = UserWrite::new(ann);
        let change = NameChange { release: Some(name(1)), take: Some(name(2)) };
        assert_eq!(store.one(full(UserWrite { name: change, ..base.clone() })), Outcome::NameTaken);
        for seq in [1, 3] {
            assert_eq!(store.one(full(UserWrite { stream: vec![entry(ann, seq)], ..base.clone() })), Outcome::Conflict);
        }
        assert_eq!(store.one(full(UserWrite { create: true, ..base.clone() })), Outcome::Exists);
        let other = user_id(9);
        assert_eq!(
            store.one(UserWrite { devices: vec![device(other, 1)], ..UserWrite::new(other) }),
            Outcome::NotFound
        );
        let strange = [
            UserWrite { sessions: vec![session(other, 1, 1)], ..base.clone() },
            UserWrite { devices: vec![device(other, 1)], ..base.clone() },
            UserWrite { stream: vec![entry(other, 2)], ..base.clone() },
            UserWrite { stream: vec![entry(ann, 2), entry(ann, 4)], ..base.clone() },
            UserWrite { record: Some(user(other)), ..base.clone() },
            UserWrite { create: true, ..UserWrite::new(other) },
        ];
        for write in strange {
            assert!(matches!(store.one_result(write), Err(Failure::Misuse(_))), "{}", bench.name);
        }
        assert_eq!(store.user(ann), before, "{}", bench.name);
        assert_eq!(store.user(other), None);
        let cursors = store.read(&Query::Cursors { user: ann, device: device_id(1) }).unwrap();
        assert_eq!(cursors, Answer::Cursors(vec![]));
        let again = UserWrite { name: take(name(1)), ..create_user(other) };
        assert_eq!(store.one(again), Outcome::NameTaken, "the name was not released");
    }
}

#[test]
fn only_the_first_user_becomes_admin_also_within_one_batch() {
    for bench in benches() {
        let store = &*bench.store;
        let first = |n| write_of(UserWrite { admin_if_first: true, ..create_user(user_id(n)) });
        let outcomes = store.write(vec![first(5), first(1)]).unwrap();
        assert_eq!(outcomes, [Outcome::Done { first_user: true }, DONE], "{}", bench.name);
        assert!(store.user(user_id(5)).unwrap().user.admin);
        assert!(!store.user(user_id(1)).unwrap().user.admin);
        assert_eq!(store.one(first(9)), DONE);
    }
}

#[test]
fn whoever_is_alone_may_still_become_admin() {
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        assert_eq!(store.one(create_user(ann)), DONE);
        let write = UserWrite { admin_if_first: true, ..UserWrite::new(ann) };
        assert_eq!(store.one(write), Outcome::Done { first_user: true });
        let loaded = store.user(ann).unwrap().user;
        assert!(loaded.admin, "{}", bench.name);
        assert_eq!(loaded.display_name, user(ann).display_name);
    }
}

fn rotate(user: u128, presented: u8, next: u8, at: u64) -> Write {
    Write::RotateRefresh {
        user: user_id(user),
        session: session_id(1),
        presented: [presented; 32],
        next: [next; 32],
        at: WallTime(at),
        expires_at: WallTime(at + 1_000_000),
    }
}

#[test]
fn a_refresh_token_is_exchanged_once_and_its_reuse_ends_the_session() {
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        assert_eq!(store.one(rotate(1, 1, 2, 50)), Outcome::NotFound);
        assert_eq!(store.one(create_user(ann)), DONE);
        assert_eq!(store.one(rotate(1, 1, 2, 50)), Outcome::NotFound);
        let began = session(ann, 1, 10);
        assert_eq!(store.one(UserWrite { sessions: vec![session(ann, 1, 10)], ..UserWrite::new(ann) }), DONE);
        // Guesses, zeroes among them, change nothing.
        for guess in [9, 0] {
            assert_eq!(store.one(rotate(1, guess, 2, 50)), Outcome::NotFound);
        }
        let now = Session {
            refresh_hash: [2; 32],
            previous_hash: [1; 32],
            used_at: WallTime(50),
            expires_at: WallTime(1_000_050),
            ..began
        };
        assert_eq!(store.one(rotate(1, 1, 2, 50)), Outcome::Rotated(Box::new(now.clone())), "{}", bench.name);
        assert_eq!(store.user(ann).unwrap().sessions, [now]);
        // Of two at once, the second is a reuse.
        let outcomes = store.write(vec![rotate(1, 2, 3, 60), rotate(1, 2, 4, 60)]).unwrap();
        let Outcome::Rotated(third) = &outcomes[0] else { panic!("{outcomes:?}") };
        let ended = Session { ended_at: Some(WallTime(60)), ..(**third).clone() };
        assert_eq!(outcomes[1], Outcome::Reused(Box::new(ended.clone())));
        assert_eq!(store.user(ann).unwrap().sessions, [ended]);
        for presented in [1, 2, 3] {
            assert_eq!(store.one(rotate(1, presented, 7, 70)), Outcome::Ended);
        }
    }
}

#[test]
fn an_expired_session_and_one_before_a_new_password_are_over() {
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        let write = UserWrite { sessions: vec![session(ann, 1, 10)], ..create_user(ann) };
        assert_eq!(store.one(write), DONE);
        assert_eq!(store.one(rotate(1, 1, 2, 1_000_010)), Outcome::Ended, "{}", bench.name);
        let mut record = user(ann);
        record.sessions_valid_from = WallTime(11);
        assert_eq!(store.one(UserWrite { record: Some(record), ..UserWrite::new(ann) }), DONE);
        assert_eq!(store.one(rotate(1, 1, 2, 20)), Outcome::Ended);
        assert_eq!(store.user(ann).unwrap().sessions[0].refresh_hash, [1; 32]);
    }
}

#[test]
fn sessions_long_over_are_forgotten_when_another_is_written() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        let mut old = session(ann, 1, 10);
        old.ended_at = Some(WallTime(100));
        let mut lasting = session(ann, 2, 10);
        lasting.expires_at = WallTime(50 * DAY);
        let write = UserWrite { sessions: vec![old, lasting], ..create_user(ann) };
        assert_eq!(store.one(write), DONE);
        let ids = || store.user(ann).unwrap().sessions.iter().map(|s| s.id).collect::<Vec<_>>();
        let write = |n, at| UserWrite { sessions: vec![session(ann, n, at)], ..UserWrite::new(ann) };
        assert_eq!(store.one(write(3, 100 + DAY)), DONE);
        assert_eq!(ids(), [session_id(1), session_id(2), session_id(3)], "{}", bench.name);
        assert_eq!(store.one(write(4, 101 + DAY)), DONE);
        assert_eq!(ids(), [session_id(2), session_id(3), session_id(4)]);
        // Expired counts like ended.
        assert_eq!(store.one(write(5, 200 + 2 * DAY + 1_000_000)), DONE);
        assert_eq!(ids(), [session_id(2), session_id(5)]);
    }
}

#[test]
fn the_user_stream_is_dense_and_keeps_the_newest() {
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        assert_eq!(store.one(create_user(ann)), DONE);
        let extra = 7;
        let mut seq = 0;
        while seq < STREAM_EVENTS_MAX + extra {
            let to = (seq + 2500).min(STREAM_EVENTS_MAX + extra);
            let stream = (seq + 1..=to).map(|seq| entry(ann, seq)).collect();
            assert_eq!(store.one(UserWrite { stream, ..UserWrite::new(ann) }), DONE);
            seq = to;
        }
        let loaded = store.user(ann).unwrap();
        assert_eq!((loaded.stream_first, loaded.stream_head), (Seq(extra + 1), Seq(seq)), "{}", bench.name);
        let Answer::Stream(entries) = store.read(&Query::Stream { user: ann, after: Seq(0), limit: 2 }).unwrap() else {
            panic!("a stream")
        };
        assert_eq!(entries, [entry(ann, extra + 1), entry(ann, extra + 2)]);
    }
}

#[test]
fn a_position_only_moves_forward() {
    for bench in benches() {
        let (store, ann) = (&*bench.store, user_id(1));
        assert_eq!(store.one(create_user(ann)), DONE);
        let cursor =
            |device, room, seq| Cursor { user: ann, device: device_id(device), room: room_id(room), seq: Seq(seq) };
        for (room, seqs) in [(1, vec![5, 3]), (2, vec![1, 9, 4]), (1, vec![4, 6, 5])] {
            let cursors = seqs.into_iter().map(|seq| cursor(1, room, seq)).collect();
            assert_eq!(store.one(UserWrite { cursors, ..UserWrite::new(ann) }), DONE);
        }
        assert_eq!(store.one(UserWrite { cursors: vec![cursor(2, 1, 1)], ..UserWrite::new(ann) }), DONE);
        let read = |device| store.read(&Query::Cursors { user: ann, device: device_id(device) }).unwrap();
        assert_eq!(read(1), Answer::Cursors(vec![cursor(1, 1, 6), cursor(1, 2, 9)]), "{}", bench.name);
        assert_eq!(read(2), Answer::Cursors(vec![cursor(2, 1, 1)]));
        assert_eq!(read(3), Answer::Cursors(vec![]));
    }
}

#[test]
fn members_keep_role_intervals_and_read_marker() {
    for bench in benches() {
        let (store, id) = (&*bench.store, room_id(1));
        let mut owner = member(id, user_id(1), 1, None);
        (owner.role, owner.read_number) = (Role::Owner, causerie::base::Number(77));
        let members = vec![owner.clone()];
        let write = causerie::store::RoomWrite { members, ..create_room(id, causerie::base::RoomType::Direct) };
        assert_eq!(store.one(write), DONE);
        assert_eq!(store.room(id).unwrap().members, [owner], "{}", bench.name);
    }
}
