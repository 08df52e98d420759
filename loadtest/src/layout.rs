//! Who is in which room. Pure: numbers of users and rooms, from a scenario's population.
//!
//! With one room a user the users fill the rooms in turn. With more there are as many layers, and each mixes the users anew, so
//! that one meets others in each of one's rooms. Within a layer every user is in exactly one room.

use crate::scenario::Population;

/// Numbers of users and rooms, and who is where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    users: u32,
    layer: u32,
    /// Rooms of each user, user after user.
    rooms_of: Vec<u32>,
    rooms_per_user: usize,
    /// Members of each room, room after room, with where each room's begin.
    members: Vec<u32>,
    begins: Vec<u32>,
}

impl Layout {
    /// The layout of a population.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // a checked scenario has fewer users than 2^24
    pub fn new(population: &Population) -> Self {
        let users = population.connections as u32;
        let size = population.room_size.clamp(1, population.connections.max(1)) as u32;
        // A last room with one member would be a room without deliveries: it joins the one before.
        let layer = if users % size == 1 && users > size { users / size } else { users.div_ceil(size) };
        let rooms_per_user = population.rooms_per_user;
        let mut rooms_of = vec![0; users as usize * rooms_per_user];
        let mut members = Vec::with_capacity(rooms_of.len());
        let mut begins = Vec::with_capacity(layer as usize * rooms_per_user + 1);
        for round in 0..rooms_per_user {
            let stride = stride(users, round as u32);
            let mut user = 0;
            for place in 0..users {
                let room = round as u32 * layer + (place / size).min(layer - 1);
                if begins.len() <= room as usize {
                    begins.push(members.len() as u32);
                }
                members.push(user);
                rooms_of[user as usize * rooms_per_user + round] = room;
                user = ((u64::from(user) + u64::from(stride)) % u64::from(users)) as u32;
            }
        }
        begins.push(members.len() as u32);
        Self { users, layer, rooms_of, rooms_per_user, members, begins }
    }

    /// How many users there are.
    #[must_use]
    pub fn users(&self) -> u32 {
        self.users
    }

    /// How many rooms there are.
    #[must_use]
    pub fn rooms(&self) -> u32 {
        u32::try_from(self.begins.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The rooms of a user.
    #[must_use]
    pub fn rooms_of(&self, user: u32) -> &[u32] {
        let start = user as usize * self.rooms_per_user;
        &self.rooms_of[start..start + self.rooms_per_user]
    }

    /// Which of the user's rooms this is; `None`: it is none of them.
    #[must_use]
    pub fn place_of(&self, user: u32, room: u32) -> Option<usize> {
        let place = (room / self.layer.max(1)) as usize;
        (self.rooms_of(user).get(place) == Some(&room)).then_some(place)
    }

    /// The members of a room.
    #[must_use]
    pub fn members(&self, room: u32) -> &[u32] {
        let room = room as usize;
        &self.members[self.begins[room] as usize..self.begins[room + 1] as usize]
    }
}

/// The step that visits all users once, another one in each round.
fn stride(users: u32, round: u32) -> u32 {
    if round == 0 || users < 3 {
        return 1;
    }
    let mut stride = (round.wrapping_mul(0x9e37_79b1) >> 7) % users;
    while stride < 2 || gcd(stride, users) != 1 {
        stride = (stride + 1) % users;
        if stride == 1 {
            return 1;
        }
    }
    stride
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(connections: usize, room_size: usize, rooms_per_user: usize) -> Layout {
        Layout::new(&Population { connections, room_size, rooms_per_user, payload: 200 })
    }

    #[test]
    fn everybody_is_once_in_each_of_ones_rooms() {
        for (users, size, each) in [(100, 10, 1), (101, 10, 1), (105, 10, 3), (1000, 50, 50), (2, 2, 1), (3, 10, 2)] {
            let all = layout(users, size, each);
            let mut seen = vec![0; users];
            for room in 0..all.rooms() {
                assert!(all.members(room).len() >= 2, "nobody is alone in {room} of {users}/{size}");
                for &user in all.members(room) {
                    seen[user as usize] += 1;
                    assert!(all.rooms_of(user).contains(&room));
                    assert!(all.place_of(user, room).is_some());
                }
            }
            assert!(seen.iter().all(|&n| n == each), "{users}/{size}/{each}");
        }
    }

    #[test]
    fn a_stranger_has_no_place() {
        let all = layout(100, 10, 2);
        let strangers = (0..all.rooms()).filter(|&room| all.place_of(5, room).is_none()).count();
        assert_eq!(strangers, all.rooms() as usize - 2);
        assert_eq!(all.place_of(5, u32::MAX), None);
    }

    #[test]
    fn layers_bring_other_people_together() {
        let all = layout(1000, 10, 20);
        let mut met: Vec<u32> = all.rooms_of(7).iter().flat_map(|&room| all.members(room)).copied().collect();
        met.sort_unstable();
        met.dedup();
        assert!(met.len() > 100, "{}", met.len());
    }
}
