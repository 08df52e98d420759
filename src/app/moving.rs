//! `causerie copy`: opens the two stores that are named, copies one into the other, and says how far it is.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::{AppError, embedded_settings, master_key};
use crate::config::Settings;
use crate::store::copy::{self, Copied, CopyError, Phase, Progress};
use crate::store::embedded::{DATABASE_FILE, Embedded};
use crate::store::scylla::{Scylla, ScyllaSettings, is_keyspace_name};
use crate::store::seal::Secret;
use crate::store::{Backend, Failure};

/// How far it is, is told this often.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// A store, as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `embedded:DIR`, a data directory.
    Embedded(PathBuf),
    /// `scylla:NODE,NODE…/KEYSPACE`; a node is `host:port`.
    Scylla {
        /// Nodes to ask first.
        nodes: Vec<String>,
        /// Where the tables are.
        keyspace: String,
    },
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("embedded", dir)) if !dir.is_empty() => Ok(Self::Embedded(dir.into())),
            Some(("scylla", place)) => {
                let (nodes, keyspace) = place.rsplit_once('/').ok_or("scylla:NODES/KEYSPACE lacks a keyspace")?;
                let nodes: Vec<String> = nodes.split(',').map(|node| node.trim().to_owned()).collect();
                let is_address =
                    |node: &String| node.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                if let Some(bad) = nodes.iter().find(|node| !is_address(node)) {
                    return Err(format!("{bad:?} is not host:port"));
                }
                if !is_keyspace_name(keyspace) {
                    return Err(format!(
                        "{keyspace:?} cannot be a keyspace: lower-case letters, digits and _, at most 48"
                    ));
                }
                Ok(Self::Scylla { nodes, keyspace: keyspace.to_owned() })
            }
            _ => Err("a store is embedded:DIR or scylla:HOST:PORT,HOST:PORT…/KEYSPACE".to_owned()),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "embedded:{}", dir.display()),
            Self::Scylla { nodes, keyspace } => write!(f, "scylla:{}/{keyspace}", nodes.join(",")),
        }
    }
}

/// Copies everything from one place into the other. Everything that the configuration says of keys, logins and certificates goes for
/// both; `data.dir` is where the master key of a keyspace lies unless it comes from elsewhere.
///
/// # Errors
/// [`AppError::Store`]: a store cannot be opened. [`AppError::Copy`]: see [`CopyError`].
pub fn copy(settings: &Settings, from: &Place, to: &Place) -> Result<Copied, AppError> {
    if from == to {
        return Err(AppError::Copy(CopyError::NotEmpty));
    }
    let lock = !shares_directory(settings, from, to);
    let source = open_source(settings, from, lock)?;
    let target = open_target(settings, to, source.server_key(), lock)?;
    let mut telling = Telling { began: Instant::now(), phase: None, told: Instant::now() };
    let copied = copy::copy(&*source, &*target, &origin(from), &mut |progress| telling.take(progress));
    // Also after a failure: what was copied is kept for the next try.
    target.close();
    source.close();
    Ok(copied?)
}

/// A source by a name that stays the same when the command is given again.
fn origin(place: &Place) -> String {
    match place {
        Place::Embedded(dir) => {
            let whole = dir.canonicalize().unwrap_or_else(|_| dir.clone());
            Place::Embedded(whole).to_string()
        }
        // Whichever node is asked.
        Place::Scylla { keyspace, .. } => format!("scylla:{keyspace}"),
    }
}

/// Whether one of the two is embedded in the data directory, in which the key of the other's keyspace lies: then it locks it for both.
fn shares_directory(settings: &Settings, from: &Place, to: &Place) -> bool {
    let own = settings.data_dir.canonicalize().unwrap_or_else(|_| settings.data_dir.clone());
    let is_own = |place: &Place| match place {
        Place::Embedded(dir) => dir.canonicalize().unwrap_or_else(|_| dir.clone()) == own,
        Place::Scylla { .. } => false,
    };
    is_own(from) || is_own(to)
}

fn open_source(settings: &Settings, place: &Place, lock: bool) -> Result<Box<dyn Backend>, Failure> {
    match place {
        Place::Embedded(dir) => {
            if !dir.join(DATABASE_FILE).exists() {
                return Err(Failure::Unavailable(format!("there is no {DATABASE_FILE} in {}", dir.display())));
            }
            Ok(Box::new(Embedded::open(dir, &master_key(settings), embedded_settings(settings))?))
        }
        Place::Scylla { nodes, keyspace } => open_scylla(settings, (nodes, keyspace), None, lock),
    }
}

fn open_target(
    settings: &Settings,
    place: &Place,
    server_key: Secret,
    lock: bool,
) -> Result<Box<dyn Backend>, Failure> {
    match place {
        Place::Embedded(dir) => {
            let store = Embedded::open_as(dir, &master_key(settings), embedded_settings(settings), server_key)?;
            Ok(Box::new(store))
        }
        Place::Scylla { nodes, keyspace } => {
            crate::store::scylla::migrate(&scylla_settings(settings, nodes, keyspace))?;
            open_scylla(settings, (nodes, keyspace), Some(server_key), lock)
        }
    }
}

fn scylla_settings(settings: &Settings, nodes: &[String], keyspace: &str) -> ScyllaSettings {
    ScyllaSettings { nodes: nodes.to_vec(), keyspace: keyspace.to_owned(), ..super::scylla::store_settings(settings) }
}

fn open_scylla(
    settings: &Settings,
    (nodes, keyspace): (&[String], &str),
    server_key: Option<Secret>,
    lock: bool,
) -> Result<Box<dyn Backend>, Failure> {
    let (dir, source): (&Path, _) = (&settings.data_dir, master_key(settings));
    let lost = Box::new(|| tracing::error!("the keyspace was taken over by another process"));
    let settings = scylla_settings(settings, nodes, keyspace);
    Ok(Box::new(Scylla::open_to_copy(dir, &source, settings, lost, server_key, lock)?))
}

/// Says on standard error how far it is.
struct Telling {
    began: Instant,
    phase: Option<Phase>,
    told: Instant,
}

impl Telling {
    fn take(&mut self, progress: Progress) {
        let now = Instant::now();
        let done = progress.of == Some(progress.done);
        if self.phase == Some(progress.phase) && now - self.told < TELL_EVERY && !done {
            return;
        }
        if self.phase != Some(progress.phase) {
            (self.began, self.phase) = (now, Some(progress.phase));
        }
        self.told = now;
        // A terminal that is gone can be told nothing; the copy goes on.
        let _ = writeln!(std::io::stderr(), "{}", line(progress, now - self.began));
    }
}

fn line(Progress { phase, done, of, events }: Progress, since: Duration) -> String {
    let of = of.map_or(String::new(), |of| format!(" of {of}"));
    match phase {
        Phase::Users => format!("copying: user {done}{of}"),
        Phase::Names => format!("copying: name {done}{of}"),
        Phase::CheckingUsers => format!("comparing: user {done}{of}"),
        Phase::Rooms | Phase::CheckingRooms => {
            let what = if phase == Phase::Rooms { "copying" } else { "comparing" };
            let rate = events.checked_div(since.as_secs()).map_or(String::new(), |rate| format!(", {rate} a second"));
            format!("{what}: room {done}{of}, {events} events{rate}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for good in ["embedded:/var/lib/causerie", "scylla:10.0.0.1:9042/causerie", "scylla:a:9042,b:9043/c_1"] {
            assert_eq!(good.parse::<Place>().map(|place| place.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "embedded:",
            "memory:",
            "/var/lib",
            "scylla:a:9042",
            "scylla:a/b",
            "scylla:a:9042/B",
            "scylla:a:9042,/b",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn progress_says_how_much_and_how_fast() {
        let progress = Progress { phase: Phase::Rooms, done: 3, of: Some(9), events: 1000 };
        assert_eq!(line(progress, Duration::from_secs(4)), "copying: room 3 of 9, 1000 events, 250 a second");
        let progress = Progress { phase: Phase::CheckingUsers, done: 3, of: None, events: 0 };
        assert_eq!(line(progress, Duration::ZERO), "comparing: user 3");
    }
}
