//! Messages to other shards, and what happens when a lane is full: refused, kept, marked or lost, as `message.rs` says of each.

use std::collections::{BTreeMap, VecDeque};

use crate::base::time::Now;
use crate::base::{Close, Code, Refusal, RoomId, Seq, ShardId};
use crate::chat::ReplyTo;

use super::message::{Reply, ShardMessage};
use super::{Effects, Shard};

/// What waits for a full lane to one shard.
#[derive(Debug, Default)]
pub(super) struct Lane {
    kept: VecDeque<ShardMessage>,
    /// Rooms of which deliveries were not taken, and where they stand.
    behind: BTreeMap<RoomId, Seq>,
    /// The lane was full in this turn: nothing more is tried before the next.
    full: bool,
}

impl Lane {
    /// Whether something waits.
    pub(super) fn waits(&self) -> bool {
        !self.kept.is_empty() || !self.behind.is_empty()
    }
}

/// How long somebody refused for a full lane should wait.
const BUSY_RETRY_MS: u64 = 200;
/// So many kept messages go out in one turn.
const RETRY_BATCH: usize = 1024;

impl Shard {
    /// Sends a message; to ourselves it goes without a lane.
    pub(super) fn send(&mut self, to: ShardId, message: ShardMessage, effects: &mut Effects) {
        if to == self.setup.id {
            self.local.push_back(message);
            return;
        }
        // What is kept goes first, so that order holds among what must arrive.
        if let Some(lane) = self.lanes.get_mut(to.index())
            && lane.waits()
        {
            match message {
                message if is_kept(&message) => {
                    lane.kept.push_back(message);
                    return;
                }
                ShardMessage::Deliver(delivery) => {
                    mark(&mut lane.behind, delivery.event.room, delivery.event.seq);
                    return;
                }
                other => {
                    effects.sends.push((to, other));
                    return;
                }
            }
        }
        self.counters.lane_messages += 1;
        effects.sends.push((to, message));
    }

    /// A batch was not taken.
    pub(super) fn lane_full(&mut self, to: ShardId, batch: Vec<ShardMessage>, now: Now, effects: &mut Effects) {
        self.counters.lane_full += 1;
        let Some(place) = self.lanes.get(to.index()).map(|_| to.index()) else { return };
        self.lanes[place].full = true;
        let mut again = VecDeque::new();
        for message in batch {
            let kind = kind(&message);
            match message {
                ShardMessage::Deliver(delivery) => {
                    mark(&mut self.lanes[place].behind, delivery.event.room, delivery.event.seq);
                }
                ShardMessage::Connect(connect) => {
                    self.end(connect.conn, Close::TooSlow, Some(Code::Busy), now, effects);
                }
                ShardMessage::Subscribe { conn, .. } => self.end(conn, Close::TooSlow, Some(Code::Busy), now, effects),
                ShardMessage::Command(command) => {
                    let refusal = Refusal::new(Code::Busy).retry_after(BUSY_RETRY_MS);
                    let reply = Reply { room: command.room, to: command.to, result: Err(refusal), subscribed: false };
                    match command.to {
                        ReplyTo::Nobody => {}
                        ReplyTo::Conn { .. } | ReplyTo::Ask { .. } => {
                            self.local.push_back(ShardMessage::Reply(Box::new(reply)));
                        }
                    }
                }
                ShardMessage::StreamAsk { conn, id, .. } => {
                    let refusal = Refusal::new(Code::Busy).retry_after(BUSY_RETRY_MS);
                    self.error(conn, id, None, refusal, now, effects);
                }
                message if is_kept(&message) => again.push_back(message),
                _ => {}
            }
            crate::metrics::Counters::count(&mut self.counters.shed, (kind, "lane_full"));
        }
        let lane = &mut self.lanes[place];
        again.append(&mut lane.kept);
        lane.kept = again;
    }

    /// Tries what waits, at the end of each turn.
    pub(super) fn retry_lanes(&mut self, effects: &mut Effects) {
        for (place, lane) in self.lanes.iter_mut().enumerate() {
            if !lane.waits() {
                continue;
            }
            if std::mem::take(&mut lane.full) {
                continue;
            }
            let to = ShardId(u16::try_from(place).unwrap_or(0));
            for _ in 0..RETRY_BATCH {
                let Some(message) = lane.kept.pop_front() else { break };
                effects.sends.push((to, message));
            }
            if lane.kept.is_empty() {
                for (room, seq) in std::mem::take(&mut lane.behind) {
                    effects.sends.push((to, ShardMessage::Behind { room, seq }));
                }
            }
        }
    }
}

fn mark(behind: &mut BTreeMap<RoomId, Seq>, room: RoomId, seq: Seq) {
    let stands = behind.entry(room).or_default();
    *stands = seq.max(*stands);
}

/// Whether a message that a full lane did not take must arrive later.
fn is_kept(message: &ShardMessage) -> bool {
    matches!(
        message,
        ShardMessage::Disconnect { .. }
            | ShardMessage::Status { .. }
            | ShardMessage::Membership(_)
            | ShardMessage::ReadMoved { .. }
            | ShardMessage::Welcome(_)
            | ShardMessage::End { .. }
            | ShardMessage::Shared { .. }
            | ShardMessage::Stream { .. }
            | ShardMessage::StreamMissed(_)
            | ShardMessage::Unsubscribe { .. }
            | ShardMessage::Statuses { .. }
            | ShardMessage::Subscribed { .. }
            | ShardMessage::Reply(_)
            | ShardMessage::Behind { .. }
            | ShardMessage::RoomGone { .. }
            | ShardMessage::Lost { .. }
    )
}

/// The kind, as a label of the metrics.
fn kind(message: &ShardMessage) -> &'static str {
    match message {
        ShardMessage::Deliver(_) => "event",
        ShardMessage::Connect(_) | ShardMessage::Subscribe { .. } => "connect",
        ShardMessage::Command(_) | ShardMessage::StreamAsk { .. } => "request",
        ShardMessage::Presence { .. } | ShardMessage::PresenceAll { .. } | ShardMessage::Watch { .. } => "presence",
        ShardMessage::Typing { .. } => "typing",
        ShardMessage::Spent { .. } | ShardMessage::Debited { .. } | ShardMessage::Confirmed { .. } => "hint",
        message if is_kept(message) => "kept",
        _ => "other",
    }
}
