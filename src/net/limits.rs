//! Who may connect: connections of the whole instance and of one address, counted over all shards.
//!
//! Touched when a connection is accepted and when it is gone, never between. An IPv6 client counts by its /64, since that is what
//! one subscriber is given.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const PARTS: usize = 16;

/// Counts connections over all shards. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connections_max: usize,
    per_address_max: u32,
    open: AtomicUsize,
    refused: AtomicU64,
    hasher: ahash::RandomState,
    parts: [Mutex<HashMap<IpAddr, u32, ahash::RandomState>>; PARTS],
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    key: IpAddr,
}

impl Admission {
    /// Allows this many connections in all, and of one address.
    #[must_use]
    pub fn new(connections: usize, per_address: u32) -> Self {
        // Chosen by the process, so that nobody can aim at one part.
        let seed = std::collections::hash_map::RandomState::new();
        let hasher =
            ahash::RandomState::with_seeds(seed.hash_one(0), seed.hash_one(1), seed.hash_one(2), seed.hash_one(3));
        Self(Arc::new(Shared {
            connections_max: connections,
            per_address_max: per_address,
            open: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            parts: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))),
            hasher,
        }))
    }

    /// A place for a connection from `peer`, if there is one.
    #[must_use]
    pub fn enter(&self, peer: IpAddr) -> Option<Place> {
        let shared = &self.0;
        let place = shared.enter(peer);
        if place {
            return Some(Place { shared: Arc::clone(shared), key: key_of(peer) });
        }
        shared.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Connections refused since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn enter(&self, peer: IpAddr) -> bool {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.connections_max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let key = key_of(peer);
        let mut part = self.part(key).lock().unwrap_or_else(PoisonError::into_inner);
        let count = part.entry(key).or_insert(0);
        if *count >= self.per_address_max {
            if *count == 0 {
                part.remove(&key);
            }
            self.open.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        *count += 1;
        true
    }

    fn part(&self, key: IpAddr) -> &Mutex<HashMap<IpAddr, u32, ahash::RandomState>> {
        // The remainder is a place in the array.
        let at = usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or(0);
        &self.parts[at]
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        let mut part = self.shared.part(self.key).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = part.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                part.remove(&self.key);
            }
        }
    }
}

/// What an address counts as.
fn key_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn places_are_counted_in_all_and_by_address_and_come_back() {
        let admission = Admission::new(3, 2);
        let a = admission.enter(addr("10.0.0.1")).expect("first");
        let b = admission.enter(addr("::ffff:10.0.0.1")).expect("second of the same");
        assert!(admission.enter(addr("10.0.0.1")).is_none(), "third of the same");
        let c = admission.enter(addr("10.0.0.2")).expect("of another");
        assert!(admission.enter(addr("10.0.0.3")).is_none(), "fourth in all");
        assert_eq!((admission.open(), admission.refused()), (3, 2));
        drop((a, b));
        let again = admission.enter(addr("10.0.0.1")).expect("there is room again");
        drop((c, again));
        assert_eq!(admission.open(), 0);
        assert!(admission.0.parts.iter().all(|p| p.lock().expect("not poisoned").is_empty()), "nothing is remembered");
    }

    #[test]
    fn an_ipv6_client_counts_by_its_64() {
        let admission = Admission::new(10, 1);
        let _place = admission.enter(addr("2001:db8:1:2::1")).expect("first");
        assert!(admission.enter(addr("2001:db8:1:2:ffff::9")).is_none());
        assert!(admission.enter(addr("2001:db8:1:3::1")).is_some());
    }
}
