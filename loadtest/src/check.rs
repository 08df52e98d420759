//! The checker: holds the log of every room against what every client was told, and names each fault. Pure: no IO, no clock.
//!
//! It believes nothing but the logs it is given (read back through the server's own history) and the transcripts of the
//! clients. It promises to find: a hole or a disorder in a log, a message stored twice, an acked message that is not where
//! its ack said, two answers to one id, one sender's messages out of the order they were sent in, and in each client's
//! view a gap, a duplicate, a reordering, a delivery that differs from the log, a delivery from a room outside.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

/// One event, in a log or as a client saw it. `key` is the id its sender gave it (`None`: not a message).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: u64,
    /// Which message it is.
    pub key: Option<Uuid>,
}

/// A room's log as it was read back, page after page, in the order read.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// All its events.
    pub entries: Vec<Entry>,
}

/// An answer to a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The id that was sent.
    pub key: Uuid,
    /// The room.
    pub room: Uuid,
    /// The seq the ack named.
    pub seq: u64,
}

/// What one connection saw of one room while it was there.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Who looked, for the report.
    pub who: String,
    /// The room.
    pub room: Uuid,
    /// Everything after this seq had to come …
    pub after: u64,
    /// … up to this one. `None`: up to the newest that this connection itself saw (it was cut off, nobody knows where).
    pub until: Option<u64>,
    /// Events as they came, in the order they came.
    pub live: Vec<Entry>,
    /// Seqs of own acked sends: the sender gets the ack and no copy.
    pub own: Vec<u64>,
}

/// What somebody sent into one room over time, in the order they meant it: each send began after the one before was answered,
/// or on the same connection after it.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Who.
    pub who: String,
    /// Into which room.
    pub room: Uuid,
    /// The ids, in order.
    pub keys: Vec<Uuid>,
}

/// All that is held against each other.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The truth: each room's log.
    pub logs: BTreeMap<Uuid, Log>,
    /// Every ack that came.
    pub answers: Vec<Answer>,
    /// Every view.
    pub views: Vec<View>,
    /// Every sender's order.
    pub sent: Vec<Sent>,
    /// Deliveries from rooms where the receiver is not: who, room, seq.
    pub foreign: Vec<(String, Uuid, u64)>,
}

/// What was found to be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A log is not dense.
    #[error("log of {room}: after {before} comes {found}")]
    LogHole {
        /// The room.
        room: Uuid,
        /// The seq before the hole.
        before: u64,
        /// The next one.
        found: u64,
    },
    /// A log's pages are not ascending.
    #[error("log of {room}: {found} stands after {before}")]
    LogOrder {
        /// The room.
        room: Uuid,
        /// The seq before.
        before: u64,
        /// The one that follows although it is not larger.
        found: u64,
    },
    /// A message stands in the logs twice.
    #[error("message {key} is stored at {first} and again at {second}")]
    StoredTwice {
        /// The message.
        key: Uuid,
        /// Here.
        first: u64,
        /// And here.
        second: u64,
    },
    /// An acked message is not where its ack said.
    #[error("acked message {key} is not at {seq} in {room}: {found}")]
    AckedMissing {
        /// The message.
        key: Uuid,
        /// The room.
        room: Uuid,
        /// Where it should be.
        seq: u64,
        /// What is there.
        found: String,
    },
    /// One id was answered in two ways.
    #[error("id {key} was answered with {first} and with {second}")]
    TwoAnswers {
        /// The id.
        key: Uuid,
        /// Once.
        first: u64,
        /// And then.
        second: u64,
    },
    /// A sender's messages stand in another order than sent.
    #[error("{who}: message {key} stands at {seq}, before an earlier one of theirs at {earlier}")]
    SenderOrder {
        /// Who.
        who: String,
        /// The later message.
        key: Uuid,
        /// Where it stands.
        seq: u64,
        /// Where the earlier one stands.
        earlier: u64,
    },
    /// A client did not get an event.
    #[error("{who} in {room}: {seq} never came")]
    Gap {
        /// Who.
        who: String,
        /// Where.
        room: Uuid,
        /// What.
        seq: u64,
    },
    /// A client got an event twice.
    #[error("{who} in {room}: {seq} came twice")]
    Duplicate {
        /// Who.
        who: String,
        /// Where.
        room: Uuid,
        /// What.
        seq: u64,
    },
    /// A client got an event after a later one.
    #[error("{who} in {room}: {seq} came after {after}")]
    Reordered {
        /// Who.
        who: String,
        /// Where.
        room: Uuid,
        /// What.
        seq: u64,
        /// After which.
        after: u64,
    },
    /// A client saw something else than what the log holds.
    #[error("{who} in {room}: {seq} was shown as {shown:?} but is {stored:?}")]
    Differs {
        /// Who.
        who: String,
        /// Where.
        room: Uuid,
        /// Which.
        seq: u64,
        /// What came.
        shown: Option<Uuid>,
        /// What is stored.
        stored: Option<Uuid>,
    },
    /// A client saw an event that the log does not hold: a crash took it back, or it never was stored.
    #[error("{who} in {room}: {seq} was shown but is not in the log")]
    Unstored {
        /// Who.
        who: String,
        /// Where.
        room: Uuid,
        /// Which.
        seq: u64,
    },
    /// Something came from a room where the receiver is not.
    #[error("{who} got {seq} of {room} without being in it")]
    Foreign {
        /// Who.
        who: String,
        /// From where.
        room: Uuid,
        /// Which.
        seq: u64,
    },
}

/// Every fault there is, in the order of the evidence.
#[must_use]
pub fn check(evidence: &Evidence) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at: HashMap<Uuid, (Uuid, u64)> = HashMap::new();
    let mut index: HashMap<Uuid, BTreeMap<u64, Option<Uuid>>> = HashMap::new();
    for (&room, log) in &evidence.logs {
        check_log(room, log, &mut at, &mut faults);
        index.insert(room, log.entries.iter().map(|e| (e.seq, e.key)).collect());
    }
    check_answers(evidence, &index, &mut faults);
    for sent in &evidence.sent {
        check_sender(sent, &at, &mut faults);
    }
    let nothing = BTreeMap::new();
    for view in &evidence.views {
        check_view(view, index.get(&view.room).unwrap_or(&nothing), &mut faults);
    }
    for (who, room, seq) in &evidence.foreign {
        faults.push(Fault::Foreign { who: who.clone(), room: *room, seq: *seq });
    }
    faults
}

fn check_log(room: Uuid, log: &Log, at: &mut HashMap<Uuid, (Uuid, u64)>, faults: &mut Vec<Fault>) {
    for pair in log.entries.windows(2) {
        let (before, found) = (pair[0].seq, pair[1].seq);
        if found <= before {
            faults.push(Fault::LogOrder { room, before, found });
        } else if found != before + 1 {
            faults.push(Fault::LogHole { room, before, found });
        }
    }
    for entry in &log.entries {
        let Some(key) = entry.key else { continue };
        if let Some((_, first)) = at.insert(key, (room, entry.seq)) {
            faults.push(Fault::StoredTwice { key, first, second: entry.seq });
        }
    }
}

fn check_answers(evidence: &Evidence, index: &HashMap<Uuid, BTreeMap<u64, Option<Uuid>>>, faults: &mut Vec<Fault>) {
    let mut first: HashMap<Uuid, u64> = HashMap::new();
    for answer in &evidence.answers {
        let Answer { key, room, seq } = *answer;
        match first.get(&key) {
            Some(&earlier) if earlier != seq => faults.push(Fault::TwoAnswers { key, first: earlier, second: seq }),
            Some(_) => {}
            None => {
                first.insert(key, seq);
            }
        }
        let found = index.get(&room).and_then(|log| log.get(&seq));
        if found != Some(&Some(key)) {
            let found = match found {
                None => "nothing".to_owned(),
                Some(None) => "no message".to_owned(),
                Some(Some(other)) => format!("message {other}"),
            };
            faults.push(Fault::AckedMissing { key, room, seq, found });
        }
    }
}

fn check_sender(sent: &Sent, at: &HashMap<Uuid, (Uuid, u64)>, faults: &mut Vec<Fault>) {
    let mut earlier = 0;
    for &key in &sent.keys {
        // What was never acked may be missing; whether an acked one is there, `check_answers` says.
        let Some(&(_, seq)) = at.get(&key).filter(|(room, _)| *room == sent.room) else { continue };
        if seq < earlier {
            faults.push(Fault::SenderOrder { who: sent.who.clone(), key, seq, earlier });
        }
        earlier = earlier.max(seq);
    }
}

fn check_view(view: &View, log: &BTreeMap<u64, Option<Uuid>>, faults: &mut Vec<Fault>) {
    let (who, room) = (&view.who, view.room);
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    let mut newest = 0;
    for entry in &view.live {
        let seq = entry.seq;
        if !seen.insert(seq) {
            faults.push(Fault::Duplicate { who: who.clone(), room, seq });
            continue;
        }
        if seq < newest {
            faults.push(Fault::Reordered { who: who.clone(), room, seq, after: newest });
        }
        newest = newest.max(seq);
        match log.get(&seq) {
            None => faults.push(Fault::Unstored { who: who.clone(), room, seq }),
            Some(&stored) if stored != entry.key => {
                faults.push(Fault::Differs { who: who.clone(), room, seq, shown: entry.key, stored });
            }
            Some(_) => {}
        }
    }
    for &seq in &view.own {
        // The sending connection gets the ack and no copy.
        if view.live.iter().any(|e| e.seq == seq) {
            faults.push(Fault::Duplicate { who: who.clone(), room, seq });
        }
        seen.insert(seq);
    }
    // Without a known end the newest *live* event is the end: an ack may overtake deliveries that the cut took away.
    let until = view.until.unwrap_or(newest);
    for (&seq, _) in log.range(view.after.saturating_add(1)..=until.max(view.after.saturating_add(1))) {
        if seq <= until && !seen.contains(&seq) {
            faults.push(Fault::Gap { who: who.clone(), room, seq });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Uuid = Uuid::from_u128(1);

    fn key(n: u64) -> Uuid {
        Uuid::from_u128(0x1000 + u128::from(n))
    }

    fn entry(seq: u64) -> Entry {
        Entry { seq, key: Some(key(seq)) }
    }

    /// Ten messages after one event that is none; ann sent the odd ones and saw the even ones, bob saw all from 5 on.
    fn sound() -> Evidence {
        let mut entries = vec![Entry { seq: 1, key: None }];
        entries.extend((2..=11).map(entry));
        let odd: Vec<u64> = (2..=11).filter(|n| n % 2 == 1).collect();
        Evidence {
            logs: BTreeMap::from([(ROOM, Log { entries })]),
            answers: odd.iter().map(|&n| Answer { key: key(n), room: ROOM, seq: n }).collect(),
            views: vec![
                View {
                    who: "ann".into(),
                    room: ROOM,
                    after: 1,
                    until: Some(11),
                    live: (2..=11).filter(|n| n % 2 == 0).map(entry).collect(),
                    own: odd.clone(),
                },
                View {
                    who: "bob".into(),
                    room: ROOM,
                    after: 4,
                    until: None,
                    live: (5..=9).map(entry).collect(),
                    own: Vec::new(),
                },
            ],
            sent: vec![Sent { who: "ann".into(), room: ROOM, keys: odd.iter().map(|&n| key(n)).collect() }],
            foreign: Vec::new(),
        }
    }

    fn log(evidence: &mut Evidence) -> &mut Vec<Entry> {
        &mut evidence.logs.get_mut(&ROOM).expect("the room").entries
    }

    #[test]
    fn sound_evidence_has_no_fault() {
        assert_eq!(check(&sound()), []);
    }

    #[test]
    fn a_lost_event_is_a_gap() {
        let mut broken = sound();
        broken.views[0].live.remove(2);
        assert_eq!(check(&broken), [Fault::Gap { who: "ann".into(), room: ROOM, seq: 6 }]);
    }

    #[test]
    fn a_lost_last_event_is_a_gap_when_the_end_is_known() {
        let mut broken = sound();
        broken.views[0].live.pop();
        assert_eq!(check(&broken), [Fault::Gap { who: "ann".into(), room: ROOM, seq: 10 }]);
    }

    #[test]
    fn a_cut_view_owes_nothing_after_its_newest_event() {
        let mut cut = sound();
        cut.views[1].live.truncate(2);
        assert_eq!(check(&cut), []);
    }

    #[test]
    fn an_event_that_came_twice_is_a_duplicate() {
        let mut broken = sound();
        broken.views[1].live.push(entry(9));
        assert_eq!(check(&broken), [Fault::Duplicate { who: "bob".into(), room: ROOM, seq: 9 }]);
    }

    #[test]
    fn a_copy_of_an_own_acked_send_is_a_duplicate() {
        let mut broken = sound();
        broken.views[0].live.insert(1, entry(3));
        assert_eq!(check(&broken), [Fault::Duplicate { who: "ann".into(), room: ROOM, seq: 3 }]);
    }

    #[test]
    fn events_in_another_order_are_found() {
        let mut broken = sound();
        broken.views[1].live.swap(0, 1);
        assert_eq!(check(&broken), [Fault::Reordered { who: "bob".into(), room: ROOM, seq: 5, after: 6 }]);
    }

    #[test]
    fn a_delivery_from_outside_is_found() {
        let mut broken = sound();
        broken.foreign.push(("eve".into(), ROOM, 3));
        assert_eq!(check(&broken), [Fault::Foreign { who: "eve".into(), room: ROOM, seq: 3 }]);
    }

    #[test]
    fn an_acked_message_that_is_gone_is_missing_and_leaves_a_hole() {
        let mut broken = sound();
        log(&mut broken).remove(4);
        let faults = check(&broken);
        assert!(faults.contains(&Fault::LogHole { room: ROOM, before: 4, found: 6 }));
        assert!(faults.iter().any(|f| matches!(f, Fault::AckedMissing { seq: 5, .. })), "{faults:?}");
        assert!(faults.contains(&Fault::Unstored { who: "bob".into(), room: ROOM, seq: 5 }));
    }

    #[test]
    fn an_acked_message_lost_from_the_end_is_missing() {
        let mut broken = sound();
        log(&mut broken).pop();
        assert!(check(&broken).iter().any(|f| matches!(f, Fault::AckedMissing { seq: 11, .. })));
    }

    #[test]
    fn another_message_at_an_acked_place_is_found() {
        let mut broken = sound();
        log(&mut broken)[4].key = Some(key(99));
        let faults = check(&broken);
        assert!(faults.iter().any(|f| matches!(f, Fault::AckedMissing { seq: 5, .. })), "{faults:?}");
        assert!(faults.iter().any(|f| matches!(f, Fault::Differs { seq: 5, .. })), "{faults:?}");
    }

    #[test]
    fn a_message_stored_twice_is_found() {
        let mut broken = sound();
        log(&mut broken).push(Entry { seq: 12, key: Some(key(4)) });
        assert_eq!(check(&broken), [Fault::StoredTwice { key: key(4), first: 4, second: 12 }]);
    }

    #[test]
    fn two_answers_to_one_id_are_found() {
        let mut broken = sound();
        broken.answers.push(Answer { key: key(3), room: ROOM, seq: 4 });
        assert!(check(&broken).contains(&Fault::TwoAnswers { key: key(3), first: 3, second: 4 }));
    }

    #[test]
    fn a_sender_whose_messages_changed_places_is_found() {
        let mut broken = sound();
        broken.sent[0].keys.swap(0, 1);
        assert_eq!(check(&broken), [Fault::SenderOrder { who: "ann".into(), key: key(3), seq: 3, earlier: 5 }]);
    }

    #[test]
    fn pages_that_overlap_are_found() {
        let mut broken = sound();
        let again = log(&mut broken)[10];
        log(&mut broken).push(again);
        assert!(check(&broken).contains(&Fault::LogOrder { room: ROOM, before: 11, found: 11 }));
    }
}
