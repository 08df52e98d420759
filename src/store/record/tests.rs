//! Stored forms come back as they were, and nothing else comes back.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Member), Just(Role::Moderator), Just(Role::Owner)]
}

fn kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        Just(EventKind::Message),
        any::<u64>().prop_map(|n| EventKind::Deletion { target: Seq(n) }),
        id().prop_map(|u| EventKind::Joined { subject: UserId(u) }),
        id().prop_map(|u| EventKind::Left { subject: UserId(u) }),
        (id(), role()).prop_map(|(u, role)| EventKind::RoleChanged { subject: UserId(u), role }),
        Just(EventKind::Settings),
        Just(EventKind::Void),
    ]
}

prop_compose! {
    fn event()(
        ids in (id(), id(), proptest::option::of(id())),
        numbers in (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>()),
        kind in kind(),
        content in ".{0,60}",
        metadata in ".{0,20}",
        deleted in proptest::option::of(any::<u64>()),
    ) -> Event {
        Event {
            room: RoomId(ids.0),
            epoch: Epoch(numbers.0),
            seq: Seq(numbers.1),
            number: Number(numbers.2),
            user: UserId(ids.1),
            at: WallTime(numbers.3),
            kind,
            content,
            metadata,
            client_id: ids.2.map(ClientId),
            status: deleted.map_or(EventStatus::Live, |at| EventStatus::Deleted(WallTime(at))),
        }
    }
}

fn as_stored(event: &Event) -> StoredEvent {
    let answer = StoredAnswer { user: *event.user.bytes(), client_id: [3; 16], masked_hash: event.number.0, at: 5 };
    StoredEvent::of(event, 1, event.content.clone().into_bytes(), event.metadata.clone().into_bytes(), vec![answer])
}

proptest! {
    #[test]
    fn an_event_comes_back_as_it_was(event in event(), place in any::<[u8; 24]>()) {
        let stored = as_stored(&event);
        let bytes = encode(&place, &stored).expect("encodes");
        let back = decode::<StoredEvent>(&place, &bytes).expect("decodes");
        prop_assert_eq!(&back, &stored);
        let again = back.event(event.room, event.seq, event.content.clone(), event.metadata.clone()).expect("valid");
        prop_assert_eq!(again, event);
    }

    #[test]
    fn a_flipped_bit_a_cut_and_another_place_are_refused(
        event in event(), place in any::<[u8; 24]>(), at in any::<prop::sample::Index>(), bit in 0u8..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = encode(&place, &as_stored(&event)).expect("encodes");
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1 << bit;
        prop_assert!(decode::<StoredEvent>(&place, &flipped).is_err());
        prop_assert!(decode::<StoredEvent>(&place, &bytes[..cut.index(bytes.len())]).is_err());
        let mut other = place;
        other[at.index(24)] ^= 1 << bit;
        prop_assert_eq!(decode::<StoredEvent>(&other, &bytes), Err(Broken::Checksum));
        let mut longer = bytes;
        longer.push(0);
        prop_assert!(decode::<StoredEvent>(&place, &longer).is_err());
    }

    #[test]
    fn any_bytes_at_all_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode::<StoredEvent>(b"", &bytes).is_err());
        // With a right head the structure check has to hold by itself.
        let mut framed = vec![StoredEvent::VERSION];
        framed.extend_from_slice(&checksum(StoredEvent::KIND, b"", StoredEvent::VERSION, &bytes).to_le_bytes());
        framed.extend_from_slice(&bytes);
        let _ = decode::<StoredEvent>(b"", &framed);
    }

    #[test]
    fn members_streams_sessions_and_devices_come_back(
        room in id(), user in id(), role in role(), n in any::<u64>(), stays in any::<bool>(),
        agent in ".{0,200}", ended in proptest::option::of(any::<u64>()), hash in any::<[u8; 32]>(),
        stream in 0..3usize,
    ) {
        let (room, user) = (RoomId(room), UserId(user));
        let intervals = vec![
            Interval { from: Seq(1), to: Some(Seq(n % (1 << 48))) },
            Interval { from: Seq(9), to: (!stays).then_some(Seq(0)) },
        ];
        let member = Member { room, user, role, intervals, read_number: Number(n) };
        let bytes = encode(b"m", &StoredMember::from(&member)).expect("encodes");
        prop_assert_eq!(decode::<StoredMember>(b"m", &bytes).expect("decodes").member(room, user), Ok(member));

        let session = Session {
            id: SessionId(room.0), user, device: DeviceId(user.0), created_at: WallTime(n), used_at: WallTime(1),
            expires_at: WallTime(2), refresh_hash: hash, previous_hash: [0; 32], ended_at: ended.map(WallTime), agent,
        };
        let bytes = encode(b"s", &StoredSession::from(&session)).expect("encodes");
        prop_assert_eq!(decode::<StoredSession>(b"s", &bytes).expect("decodes").session(user, session.id), session);

        let kind = [
            StreamKind::Added { room, by: user, role },
            StreamKind::Removed { room, by: user },
            StreamKind::Read { room, number: Number(n) },
        ][stream].clone();
        let entry = StreamEvent { user, seq: Seq(n), at: WallTime(7), kind };
        let bytes = encode(b"e", &StoredStream::from(&entry)).expect("encodes");
        prop_assert_eq!(decode::<StoredStream>(b"e", &bytes).expect("decodes").event(user, Seq(n)), Ok(entry));

        let device = Device { id: DeviceId(room.0), user, created_at: WallTime(n), seen_at: WallTime(3) };
        let bytes = encode(b"d", &StoredDevice::from(&device)).expect("encodes");
        prop_assert_eq!(decode::<StoredDevice>(b"d", &bytes).expect("decodes").device(user, device.id), device);
    }
}

#[test]
fn another_version_is_named_and_refused() {
    let mut bytes = encode(b"k", &StoredCursor { seq: 7 }).expect("encodes");
    bytes[0] = 2;
    assert_eq!(decode::<StoredCursor>(b"k", &bytes), Err(Broken::Version { found: 2, known: 1 }));
    assert_eq!(decode::<StoredCursor>(b"k", &bytes[..4]), Err(Broken::Short(4)));
}

#[test]
fn one_kind_is_never_read_as_another_of_the_same_shape() {
    let bytes = encode(b"k", &StoredCursor { seq: 7 }).expect("encodes");
    assert_eq!(decode::<StoredAnswered>(b"k", &bytes), Err(Broken::Checksum));
    assert_eq!(decode::<StoredCursor>(b"k", &bytes), Ok(StoredCursor { seq: 7 }));
}

#[test]
fn unknown_numbers_for_roles_and_room_types_are_refused() {
    let member = StoredMember { role: 9, intervals: vec![], read_number: 0 };
    assert!(member.member(RoomId(Uuid::nil()), UserId(Uuid::nil())).is_err());
}
