//! Everything that the scenario wants to happen, in the order of time: one list for all processes and threads, of which each takes what
//! its own users do. Pure, and the same for the same seed.

use std::iter::Peekable;

use crate::layout::Layout;
use crate::plan::split_mix;
use crate::scenario::{Kind, Phase, Scenario};
use crate::schedule::{Arrivals, nanos};

/// Something that is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// When, in nanoseconds after the start of the first phase.
    pub at: u64,
    /// In which phase.
    pub phase: usize,
    /// What.
    pub what: What,
}

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The phase begins: whoever is to be cut is cut, whoever is to be slow stops reading.
    Begin,
    /// The user sends a message into a room.
    Send {
        /// Who.
        user: u32,
        /// Where.
        room: u32,
    },
    /// The user asks something about a room.
    Ask {
        /// What.
        kind: Kind,
        /// Who.
        user: u32,
        /// Where.
        room: u32,
    },
    /// The user leaves and comes back.
    Churn {
        /// Who.
        user: u32,
    },
    /// The phase ends: whoever was slow reads again.
    End,
}

/// The list, made as it is read.
pub struct Agenda {
    phases: Vec<Phase>,
    /// Users in an order that the seed chose.
    order: Vec<u32>,
    place: Vec<u32>,
    seed: u64,
    next_phase: usize,
    began: u64,
    ended: Option<u64>,
    streams: Vec<Stream>,
}

struct Stream {
    what: Wanted,
    arrivals: Peekable<Arrivals>,
    count: u64,
    seed: u64,
}

#[derive(Clone, Copy)]
enum Wanted {
    Send { hot: f64 },
    Ask(Kind),
    Churn,
}

impl Agenda {
    /// The agenda of a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario, layout: &Layout) -> Self {
        let mut order: Vec<u32> = (0..layout.users()).collect();
        let mut state = scenario.seed;
        for i in (1..order.len()).rev() {
            state = split_mix(state);
            #[allow(clippy::cast_possible_truncation)] // the remainder fits
            order.swap(i, (state % (i as u64 + 1)) as usize);
        }
        let mut place = vec![0; order.len()];
        for (at, &user) in order.iter().enumerate() {
            place[user as usize] = u32::try_from(at).unwrap_or(u32::MAX);
        }
        Self {
            phases: scenario.phases.clone(),
            order,
            place,
            seed: scenario.seed,
            next_phase: 0,
            began: 0,
            ended: None,
            streams: Vec::new(),
        }
    }

    /// Whether the user belongs to this share of all users. Shares count from the end of the order, and the larger holds the smaller.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn among(&self, user: u32, share: f64) -> bool {
        let count = (share * self.order.len() as f64).round() as usize;
        self.place[user as usize] as usize >= self.order.len() - count.min(self.order.len())
    }

    /// The `n`th user after this one, in the order of speaking.
    #[must_use]
    pub fn after(&self, user: u32, n: usize) -> u32 {
        self.order[(self.place[user as usize] as usize + n) % self.order.len()]
    }

    /// The next thing to happen.
    pub fn next(&mut self, layout: &Layout) -> Option<Action> {
        let Some(end) = self.ended else {
            let phase = self.phases.get(self.next_phase)?;
            let seed = split_mix(self.seed ^ split_mix(self.next_phase as u64 + 1));
            self.streams = streams(phase, seed);
            self.ended = Some(self.began + nanos(phase.seconds));
            self.next_phase += 1;
            return Some(Action { at: self.began, phase: self.next_phase - 1, what: What::Begin });
        };
        let phase = self.next_phase - 1;
        let first = self.streams.iter_mut().filter_map(|s| s.arrivals.peek().copied().map(|at| (at, s)));
        let Some((at, stream)) = first.min_by_key(|(at, _)| *at) else {
            self.ended = None;
            self.began = end;
            return Some(Action { at: end, phase, what: What::End });
        };
        stream.arrivals.next();
        let what = stream.what(layout, &self.order);
        Some(Action { at: self.began + at, phase, what })
    }
}

fn streams(phase: &Phase, seed: u64) -> Vec<Stream> {
    let mut all = Vec::new();
    let mut add = |what, arrivals: Arrivals, seed| {
        all.push(Stream { what, arrivals: arrivals.peekable(), count: 0, seed });
    };
    if let Some(messages) = &phase.messages {
        let what = Wanted::Send { hot: messages.hot_room };
        add(what, Arrivals::of(messages, phase.seconds, seed), seed);
    }
    let others = phase.mix.rates().into_iter().map(|(kind, rate)| (Wanted::Ask(kind), rate));
    let others = others.chain([(Wanted::Ask(Kind::Refresh), phase.refresh), (Wanted::Churn, phase.churn)]);
    for (number, (what, rate)) in (1..).zip(others) {
        if rate > 0.0 {
            let seed = split_mix(seed ^ number);
            add(what, Arrivals::poisson(rate, phase.seconds, seed), seed);
        }
    }
    all
}

impl Stream {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // remainders fit
    fn what(&mut self, layout: &Layout, order: &[u32]) -> What {
        let count = self.count;
        self.count += 1;
        let chance = split_mix(self.seed ^ split_mix(count));
        if let Wanted::Send { hot } = self.what
            && hot > 0.0
            && ((chance >> 40) as f64) < hot * (1u64 << 24) as f64
        {
            let members = layout.members(0);
            return What::Send { user: members[(count % members.len() as u64) as usize], room: 0 };
        }
        // Each kind begins at another place of the order.
        let user = order[((count + self.seed) % order.len() as u64) as usize];
        let rooms = layout.rooms_of(user);
        let room = rooms[(chance % rooms.len() as u64) as usize];
        match self.what {
            Wanted::Send { .. } => What::Send { user, room },
            Wanted::Ask(kind) => What::Ask { kind, user, room },
            Wanted::Churn => What::Churn { user },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Messages, Mix, Population};

    fn all(scenario: &Scenario) -> Vec<Action> {
        let layout = Layout::new(&scenario.population);
        let mut agenda = Agenda::new(scenario, &layout);
        std::iter::from_fn(|| agenda.next(&layout)).collect()
    }

    fn scenario() -> Scenario {
        let mut scenario = Scenario::read("name = \"x\"").expect("a scenario");
        scenario.population = Population { connections: 100, room_size: 10, rooms_per_user: 2, payload: 200 };
        let messages = Some(Messages { hot_room: 0.5, ..Messages::constant(100.0) });
        let mix = Mix { typing: 20.0, ..Mix::default() };
        let talk = Phase { seconds: 5.0, messages, mix, churn: 10.0, ..Phase::default() };
        scenario.phases = vec![Phase { name: "a".into(), ..Phase::default() }, talk];
        scenario
    }

    #[test]
    fn everything_comes_in_order_and_within_its_phase() {
        let all = all(&scenario());
        assert!(all.is_sorted_by_key(|action| action.at));
        assert_eq!((all[0].what, all[1].what, all[1].at), (What::Begin, What::End, nanos(10.0)));
        assert_eq!(all.last().map(|action| (action.at, action.what)), Some((nanos(15.0), What::End)));
        let sends: Vec<u32> = all.iter().filter_map(|action| room_of(action.what)).collect();
        assert_eq!(sends.len(), 500);
        let hot = sends.iter().filter(|&&room| room == 0).count();
        assert!((200..310).contains(&hot), "{hot}");
        assert!(all.iter().any(|action| matches!(action.what, What::Churn { .. })));
    }

    fn room_of(what: What) -> Option<u32> {
        match what {
            What::Send { room, .. } => Some(room),
            _ => None,
        }
    }

    #[test]
    fn the_seed_decides() {
        let other = Scenario { seed: 2, ..scenario() };
        assert_eq!(all(&scenario()), all(&scenario()));
        assert_ne!(all(&scenario()), all(&other));
    }

    #[test]
    fn senders_are_members_and_everybody_gets_a_turn() {
        let mut scenario = scenario();
        scenario.phases[1].messages = Some(Messages::constant(100.0));
        let layout = Layout::new(&scenario.population);
        let mut seen = vec![0; 100];
        for action in all(&scenario) {
            if let What::Send { user, room } = action.what {
                assert!(layout.place_of(user, room).is_some());
                seen[user as usize] += 1;
            }
        }
        assert_eq!(seen, [5; 100]);
    }

    #[test]
    fn shares_hold_as_many_as_they_say() {
        let scenario = scenario();
        let agenda = Agenda::new(&scenario, &Layout::new(&scenario.population));
        let count = |share| (0..100).filter(|&user| agenda.among(user, share)).count();
        assert_eq!((count(0.0), count(0.01), count(0.25), count(1.0)), (0, 1, 25, 100));
        assert_eq!(agenda.after(agenda.after(3, 40), 60), 3);
    }
}
