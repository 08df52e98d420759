//! Users and rooms of a run: what everybody looks up and nobody changes once the clock starts.

use std::collections::HashMap;

use uuid::Uuid;

use crate::adapter::{Link, UNKNOWN_ROOM};
use crate::layout::Layout;
use crate::scenario::Population;
use crate::token::{Issuer, user_id};

/// How long a token lives: longer than any run.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// The users and rooms.
#[derive(Clone, Debug)]
pub struct World {
    /// Tells this run from every other.
    pub mark: String,
    /// Some bits of the mark, for keys.
    pub bits: u16,
    /// Who is where.
    pub layout: Layout,
    /// Characters of a message.
    pub payload: usize,
    issuer: Issuer,
    rooms: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl World {
    /// A world without rooms.
    #[must_use]
    pub fn new(population: &Population, issuer: &Issuer, mark: &str) -> Self {
        let bits = user_id(mark).as_u64_pair().1 & 0xffff;
        Self {
            mark: mark.to_owned(),
            bits: u16::try_from(bits).unwrap_or_default(),
            layout: Layout::new(population),
            payload: population.payload,
            issuer: issuer.clone(),
            rooms: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// The same with these rooms, by number.
    #[must_use]
    pub fn with_rooms(mut self, rooms: Vec<String>) -> Self {
        self.numbers = rooms.iter().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        self.rooms = rooms;
        self
    }

    /// The rooms' names as the server says them, by number.
    #[must_use]
    pub fn rooms(&self) -> &[String] {
        &self.rooms
    }

    /// The name of a room.
    #[must_use]
    pub fn room(&self, number: u32) -> &str {
        self.rooms.get(number as usize).map_or("", |name| name)
    }

    /// The number of a room; [`UNKNOWN_ROOM`] when it is none of this run. The room that was named last costs one comparison.
    pub fn number(&self, link: &mut Link, name: &str) -> u32 {
        if self.rooms.get(link.room as usize).is_some_and(|last| last == name) {
            return link.room;
        }
        match self.numbers.get(name) {
            Some(&number) => {
                link.room = number;
                number
            }
            None => UNKNOWN_ROOM,
        }
    }

    /// A user's name.
    #[must_use]
    pub fn name(&self, user: u32) -> String {
        format!("load-{}-{user}", self.mark)
    }

    /// The subject of a user's tokens.
    #[must_use]
    pub fn subject(&self, user: u32) -> Uuid {
        user_id(&self.name(user))
    }

    /// A fresh token.
    #[must_use]
    pub fn token(&self, user: u32) -> String {
        let name = self.name(user);
        self.issuer.token(user_id(&name), &name, TOKEN_SECONDS)
    }
}
