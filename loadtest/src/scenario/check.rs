//! Reads a scenario and says what in it makes no sense, by the name of the key.

use super::{Messages, Phase, Scenario, Shape};
use crate::Failure;
use crate::stamp::TEXT_MIN;

impl Scenario {
    /// Reads the TOML. An unknown key is an error with its place.
    ///
    /// # Errors
    /// When it is not TOML, or has keys that no scenario has. It is not [`checked`](Self::checked) yet.
    pub fn read(text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|why| Failure::new("reading the scenario", why))
    }

    /// The scenario, if it can be carried out.
    ///
    /// # Errors
    /// Names the first key that makes no sense, and what would.
    pub fn checked(self) -> Result<Self, Failure> {
        let who = &self.population;
        at_least("population.connections", who.connections, 1)?;
        at_least("population.room_size", who.room_size, 2)?;
        at_least("population.rooms_per_user", who.rooms_per_user, 1)?;
        if who.connections > 4_000_000 {
            return wrong("population.connections", "at most 4,000,000");
        }
        if !(TEXT_MIN..=4096).contains(&who.payload) {
            return wrong("population.payload", &format!("{TEXT_MIN} to 4,096 characters"));
        }
        at_least("connect.in_flight", self.connect.in_flight, 1)?;
        at_least("connect.storm_in_flight", self.connect.storm_in_flight, 1)?;
        at_least("connect.rounds", self.connect.rounds, 1)?;
        if let Some(rate) = self.connect.rate {
            positive("connect.rate", rate)?;
        }
        not_negative("connect.settle_seconds", self.connect.settle_seconds)?;
        not_negative("drain_seconds", self.drain_seconds)?;
        positive("lateness_limit_ms", self.lateness_limit_ms)?;
        for (number, phase) in self.phases.iter().enumerate() {
            phase.check().map_err(|why| {
                Failure::new(format!("scenario {}: phase {} ({})", self.name, number + 1, phase.name), why)
            })?;
            if self.phases[..number].iter().any(|earlier| earlier.name == phase.name) {
                return wrong("phase.name", &format!("{:?} is the name of two phases", phase.name));
            }
        }
        if let Some(name) = &self.expect.phase
            && !self.phases.iter().any(|phase| phase.name == *name)
        {
            return wrong("expect.phase", &format!("no phase is named {name:?}"));
        }
        Ok(self)
    }

    /// Seconds of all phases.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }
}

impl Phase {
    fn check(&self) -> Result<(), Failure> {
        positive("seconds", self.seconds)?;
        for (key, share) in [("cut", self.cut), ("slow", self.slow)] {
            if !(0.0..=1.0).contains(&share) {
                return wrong(key, "a share from 0 to 1");
            }
        }
        for (key, rate) in [("churn", self.churn), ("refresh", self.refresh)] {
            not_negative(key, rate)?;
        }
        for (kind, rate) in self.mix.rates() {
            not_negative(&format!("mix.{}", kind.name()), rate)?;
        }
        self.messages.as_ref().map_or(Ok(()), Messages::check)
    }
}

impl Messages {
    fn check(&self) -> Result<(), Failure> {
        if !(0.0..=1.0).contains(&self.hot_room) {
            return wrong("messages.hot_room", "a share from 0 to 1");
        }
        let only = |key: &str, set: bool, shape: Shape| {
            if set == (self.shape == shape) {
                Ok(())
            } else {
                let shape = format!("{shape:?}").to_lowercase();
                wrong(&format!("messages.{key}"), &format!("needed with shape = \"{shape}\", and only there"))
            }
        };
        only("to", self.to.is_some(), Shape::Ramp)?;
        only("burst", self.burst.is_some(), Shape::Burst)?;
        only("every", self.every.is_some(), Shape::Burst)?;
        match self.shape {
            Shape::Constant | Shape::Poisson => positive("messages.rate", self.rate),
            Shape::Ramp => {
                not_negative("messages.rate", self.rate)?;
                not_negative("messages.to", self.to.unwrap_or_default())
            }
            Shape::Burst => {
                at_least("messages.burst", self.burst.unwrap_or_default() as usize, 1)?;
                positive("messages.every", self.every.unwrap_or_default())
            }
        }
    }
}

fn wrong<T>(key: &str, why: &str) -> Result<T, Failure> {
    Err(Failure::new(key, why))
}

fn at_least(key: &str, value: usize, least: usize) -> Result<(), Failure> {
    if value < least { wrong(key, &format!("at least {least}, not {value}")) } else { Ok(()) }
}

fn positive(key: &str, value: f64) -> Result<(), Failure> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { wrong(key, &format!("above 0, not {value}")) }
}

fn not_negative(key: &str, value: f64) -> Result<(), Failure> {
    if value.is_finite() && value >= 0.0 { Ok(()) } else { wrong(key, &format!("0 or more, not {value}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        Scenario::read(text).and_then(Scenario::checked).expect_err("it makes no sense").to_string()
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let phase = |rest: &str| why(&format!("name = \"x\"\n[[phase]]\nname = \"a\"\nseconds = 5\n{rest}"));
        assert!(why("name = \"x\"\nsede = 1").contains("sede"));
        assert!(why("name = \"x\"\n[population]\nroom_size = 1").contains("population.room_size"));
        assert!(why("name = \"x\"\n[population]\npayload = 3").contains("population.payload"));
        assert!(why("name = \"x\"\n[expect]\nphase = \"b\"").contains("expect.phase"));
        assert!(phase("cut = 1.5").contains("cut"));
        assert!(phase("mix = { typing = -1 }").contains("mix.typing"));
        assert!(phase("messages = { rate = 0 }").contains("messages.rate"));
        assert!(phase("messages = { rate = 1, to = 5 }").contains("messages.to"));
        assert!(phase("messages = { shape = \"burst\", burst = 5 }").contains("messages.every"));
        assert!(phase("messages = { rate = nan }").contains("messages.rate"));
        assert!(phase("[[phase]]\nname = \"a\"\nseconds = 1").contains("two phases"));
    }

    #[test]
    fn what_is_left_out_is_as_documented() {
        let scenario = Scenario::read("name = \"x\"").and_then(Scenario::checked).expect("a scenario");
        assert_eq!((scenario.seed, scenario.population.connections, scenario.connect.rounds), (1, 200, 1));
        let again = Scenario::read(&toml::to_string(&scenario).expect("TOML")).expect("the same");
        assert_eq!(again, scenario);
    }
}
