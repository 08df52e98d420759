//! Attempts to sign in, by address and by name: free at first, then with growing waits, and nobody is locked out by a stranger.
//!
//! A key's first word says its class. The REST interface asks for all that belong to an attempt, in this order, and stops at
//! the first refusal:
//!
//! | key | free | then | for |
//! |---|---|---|---|
//! | `addr:ADDRESS` | 100 | 0.25 s, doubling to 30 s | one address that tries many names |
//! | `name:NAME@ADDRESS` | 5 | 1 s, doubling to 15 min | one address that tries one name |
//! | `device:NAME@DEVICE` | 5 | 1 s, doubling to 15 min | a device that this user has used before, **instead of** the next line |
//! | `all:NAME` | 50 | 1 s, doubling to 2 s | one name tried from many addresses |
//! | `signup:ADDRESS` | 1,000 | 1 s, doubling to 60 s | accounts made from one address |
//!
//! Who spreads an attack on a name over many addresses gets one guess in two seconds from all of them together; the devices on
//! which its owner has signed in before do not notice. A new device of the owner has to take turns with the attackers for as long
//! as the attack lasts: that is the price, and no account is ever closed. An attempt that succeeded is taken back: the class of the pair
//! (`name`, `device`) forgets all, the shared ones (`addr`, `all`) only this one attempt, so that an attacker's own
//! account does not wash his address clean.
//!
//! An attempt while one has to wait is refused and not counted, so that trying on does not prolong the wait. Memory is bounded:
//! what would be forgotten first makes room, and keys are kept as hashes only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use crate::base::{DeviceId, Moment};

/// Keys that one table holds.
pub const KEYS_MAX: usize = 65_536;

/// How one class of keys is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    /// Attempts without a wait.
    free: u32,
    /// The first wait, in milliseconds; the next ones double.
    wait_ms: u64,
    /// The longest wait, in milliseconds.
    wait_max_ms: u64,
    /// After this time without an attempt one of them is forgotten, in milliseconds.
    forget_ms: u64,
    /// Whether a success forgets all attempts, or only itself.
    clean_slate: bool,
}

impl Class {
    fn of(key: &str) -> Self {
        match key.split_once(':').map(|(class, _)| class) {
            Some("name" | "device") => {
                Self { free: 5, wait_ms: 1000, wait_max_ms: 15 * 60_000, forget_ms: 5 * 60_000, clean_slate: true }
            }
            Some("all") => Self { free: 50, wait_ms: 1000, wait_max_ms: 2000, forget_ms: 30_000, clean_slate: false },
            Some("signup") => {
                Self { free: 1000, wait_ms: 1000, wait_max_ms: 60_000, forget_ms: 10_000, clean_slate: false }
            }
            // `addr`, and whatever somebody comes to ask for later.
            _ => Self { free: 100, wait_ms: 250, wait_max_ms: 30_000, forget_ms: 10_000, clean_slate: false },
        }
    }

    fn wait_ms(self, attempts: u32) -> u64 {
        let Some(beyond) = attempts.checked_sub(self.free).filter(|beyond| *beyond > 0) else { return 0 };
        let doubled = 1u64.checked_shl(beyond - 1).and_then(|factor| self.wait_ms.checked_mul(factor));
        doubled.map_or(self.wait_max_ms, |wait| wait.min(self.wait_max_ms))
    }

    /// From here on more attempts change nothing, so that forgetting stays bounded too.
    fn attempts_max(self) -> u32 {
        self.free + 24
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    class: Class,
    attempts: u32,
    /// When the last attempt was made (or the last one forgotten).
    since: Moment,
    /// No attempt before this.
    next: Moment,
}

impl Entry {
    /// Forgets what is long enough ago.
    fn fade(&mut self, now: Moment) {
        let step = self.class.forget_ms * 1000;
        let steps = now.micros_since(self.since) / step;
        if steps > 0 {
            self.attempts = self.attempts.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
            self.since = Moment(self.since.0 + steps * step);
        }
    }

    /// When nothing of it is left.
    fn gone_at(&self) -> Moment {
        self.since.plus_ms(self.class.forget_ms.saturating_mul(u64::from(self.attempts))).max(self.next)
    }
}

type KeyHash = [u8; 16];

/// The keys of one attempt to sign in, in the order in which they are asked for. `name` is folded; `known_device` is one on which
/// this user has signed in before.
#[must_use]
pub fn sign_in_keys(address: IpAddr, name: &str, known_device: Option<DeviceId>) -> [String; 3] {
    let address = network(address);
    let third = known_device.map_or_else(|| format!("all:{name}"), |device| format!("device:{name}@{device}"));
    [format!("addr:{address}"), format!("name:{name}@{address}"), third]
}

/// The key of one attempt to sign up.
#[must_use]
pub fn sign_up_key(address: IpAddr) -> String {
    format!("signup:{}", network(address))
}

/// What one customer of a provider has: an IPv4 address, or the first 64 bits of an IPv6 one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Attempts of the recent past.
#[derive(Debug, Default)]
pub struct Throttle {
    entries: BTreeMap<KeyHash, Entry>,
    /// The same keys by when they are forgotten.
    order: BTreeSet<(Moment, KeyHash)>,
}

impl Throttle {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// May it be tried? If so, it counts as an attempt.
    ///
    /// # Errors
    /// How long to wait, in milliseconds (at least 1).
    pub fn attempt(&mut self, key: &str, now: Moment) -> Result<(), u64> {
        self.expire(now);
        let hash = hash(key);
        let mut entry =
            self.remove(&hash).unwrap_or(Entry { class: Class::of(key), attempts: 0, since: now, next: now });
        if entry.next > now {
            let wait_ms = entry.next.micros_since(now).div_ceil(1000).max(1);
            self.insert(hash, entry);
            return Err(wait_ms);
        }
        entry.fade(now);
        entry.attempts = (entry.attempts + 1).min(entry.class.attempts_max());
        entry.since = now;
        entry.next = now.plus_ms(entry.class.wait_ms(entry.attempts));
        self.insert(hash, entry);
        Ok(())
    }

    /// The last attempt succeeded: it is taken back, or, where only its maker could have made them, all of them.
    pub fn succeeded(&mut self, key: &str) {
        let hash = hash(key);
        let Some(mut entry) = self.remove(&hash) else { return };
        entry.attempts = entry.attempts.saturating_sub(1);
        if entry.class.clean_slate || entry.attempts == 0 {
            return;
        }
        entry.next = entry.since.plus_ms(entry.class.wait_ms(entry.attempts));
        self.insert(hash, entry);
    }

    /// Forgets keys of which nothing is left.
    pub fn expire(&mut self, now: Moment) {
        while let Some((at, hash)) = self.order.first().copied().filter(|(at, _)| *at <= now) {
            self.order.remove(&(at, hash));
            self.entries.remove(&hash);
        }
    }

    /// When [`Throttle::expire`] has something to do. Nothing depends on its being called: it only gives memory back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.order.first().map(|(at, _)| *at)
    }

    /// How many keys are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, hash: KeyHash, entry: Entry) {
        if self.entries.len() >= KEYS_MAX
            && let Some((_, least)) = self.order.pop_first()
        {
            self.entries.remove(&least);
        }
        self.order.insert((entry.gone_at(), hash));
        self.entries.insert(hash, entry);
    }

    fn remove(&mut self, hash: &KeyHash) -> Option<Entry> {
        let entry = self.entries.remove(hash)?;
        self.order.remove(&(entry.gone_at(), *hash));
        Some(entry)
    }
}

fn hash(key: &str) -> KeyHash {
    let mut short = [0; 16];
    short.copy_from_slice(&super::sha256(key.as_bytes())[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Attempts allowed when somebody tries every `step_ms` for `total_ms`.
    fn allowed(throttle: &mut Throttle, key: &str, from: Moment, step_ms: u64, total_ms: u64) -> u32 {
        (0..total_ms / step_ms)
            .filter(|n| throttle.attempt(key, from.plus_ms(n * step_ms)).is_ok())
            .count()
            .try_into()
            .expect("few")
    }

    #[test]
    fn waits_grow_and_an_attempt_while_waiting_does_not_prolong_them() {
        let mut throttle = Throttle::new();
        let now = Moment(7);
        for _ in 0..6 {
            assert_eq!(throttle.attempt("name:bob@1.2.3.4", now), Ok(()));
        }
        assert_eq!(throttle.attempt("name:bob@1.2.3.4", now), Err(1000));
        assert_eq!(throttle.attempt("name:bob@1.2.3.4", now.plus_ms(400)), Err(600));
        assert_eq!(throttle.attempt("name:bob@1.2.3.4", now.plus_ms(1000)), Ok(()));
        assert_eq!(throttle.attempt("name:bob@1.2.3.4", now.plus_ms(1000)), Err(2000));
        // Another address is not concerned.
        assert_eq!(throttle.attempt("name:bob@1.2.3.5", now.plus_ms(1000)), Ok(()));
    }

    #[test]
    fn one_address_gets_few_guesses_a_day_at_one_name() {
        let mut throttle = Throttle::new();
        let guesses = allowed(&mut throttle, "name:bob@1.2.3.4", Moment(0), 500, 24 * 3_600_000);
        assert!(guesses < 350, "{guesses}");
    }

    #[test]
    fn a_spread_attack_gets_a_guess_in_two_seconds_and_a_known_device_does_not_notice() {
        let mut throttle = Throttle::new();
        let guesses = allowed(&mut throttle, "all:bob", Moment(0), 10, 1_000_000);
        assert!((500..600).contains(&guesses), "{guesses}");
        let now = Moment(0).plus_ms(1_000_000);
        assert!(throttle.attempt("all:bob", now).is_err_and(|wait| wait <= 2000));
        assert_eq!(throttle.attempt("device:bob@his", now), Ok(()));
    }

    #[test]
    fn success_forgets_the_pair_but_only_itself_of_an_address() {
        let mut throttle = Throttle::new();
        let now = Moment(0);
        for key in ["name:bob@1.2.3.4", "addr:1.2.3.4"] {
            while throttle.attempt(key, now).is_ok() {}
            throttle.succeeded(key);
        }
        assert_eq!(allowed(&mut throttle, "name:bob@1.2.3.4", now, 1, 100), 6);
        // One's own account does not help: the address is where it was before its success.
        assert_eq!(allowed(&mut throttle, "addr:1.2.3.4", now, 1, 100), 1);
    }

    #[test]
    fn many_who_sign_in_rightly_from_one_address_never_wait() {
        let mut throttle = Throttle::new();
        for n in 0..10_000 {
            assert_eq!(throttle.attempt("addr:10.0.0.1", Moment(n)), Ok(()));
            throttle.succeeded("addr:10.0.0.1");
        }
        assert!(throttle.is_empty());
    }

    #[test]
    fn keys_name_the_network_of_an_address_and_a_known_device_instead_of_everybody() {
        let keys = |address: &str, device| sign_in_keys(address.parse().expect("an address"), "bob", device);
        assert_eq!(keys("10.0.0.1", None), ["addr:10.0.0.1", "name:bob@10.0.0.1", "all:bob"]);
        assert_eq!(keys("::ffff:10.0.0.1", None), keys("10.0.0.1", None));
        assert_eq!(keys("2001:db8:1:2:3:4:5:6", None), keys("2001:db8:1:2::1", None));
        assert_ne!(keys("2001:db8:1:2::1", None), keys("2001:db8:1:3::1", None));
        let device = DeviceId(uuid::Uuid::nil());
        assert_eq!(keys("::1", Some(device))[2], format!("device:bob@{device}"));
        assert_eq!(sign_up_key("2001:db8:1:2::1".parse().expect("an address")), "signup:2001:db8:1:2::");
    }

    #[test]
    fn everything_is_forgotten_in_the_end() {
        let mut throttle = Throttle::new();
        while throttle.attempt("name:bob@1.2.3.4", Moment(0)).is_ok() {}
        let mut deadlines = 0;
        while let Some(at) = throttle.next_deadline() {
            throttle.expire(at);
            deadlines += 1;
            assert!(deadlines < 10);
        }
        assert!(throttle.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_worst_offender_stays() {
        let mut throttle = Throttle::new();
        let now = Moment(0);
        while throttle.attempt("name:bob@1.2.3.4", now).is_ok() {}
        for n in 0..KEYS_MAX + 5000 {
            let _ = throttle.attempt(&format!("name:{n}@1.2.3.4"), now);
        }
        assert_eq!(throttle.len(), KEYS_MAX);
        assert!(throttle.attempt("name:bob@1.2.3.4", now).is_err());
    }

    proptest! {
        #[test]
        fn both_tables_agree_and_a_wait_that_was_told_is_enough(
            steps in prop::collection::vec((0usize..8, 0u64..400_000, any::<bool>()), 1..200)
        ) {
            let keys = ["name:a@1", "name:b@1", "addr:1", "addr:2", "all:a", "device:a@d", "signup:1", "odd"];
            let mut throttle = Throttle::new();
            let mut now = Moment(0);
            for (key, wait, success) in steps {
                now = now.plus_ms(wait);
                match throttle.attempt(keys[key], now) {
                    Ok(()) if success => throttle.succeeded(keys[key]),
                    Ok(()) => {}
                    Err(ms) => {
                        prop_assert!((1..=15 * 60_000).contains(&ms));
                        now = now.plus_ms(ms);
                        prop_assert_eq!(throttle.attempt(keys[key], now), Ok(()));
                    }
                }
                prop_assert_eq!(throttle.entries.len(), throttle.order.len());
                for (at, hash) in &throttle.order {
                    prop_assert_eq!(throttle.entries[hash].gone_at(), *at);
                }
            }
        }
    }
}
