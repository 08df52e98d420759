//! `ScyllaDB` as the settings describe it: opened for the server, and its schema for `causerie migrate`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use super::master_key;
use crate::config::Settings;
use crate::config::settings::Replicas;
use crate::store::Failure;
use crate::store::scylla::{self, Bounds, ReadWrite, Replication, Scylla, ScyllaSettings, Status, TlsFiles};

/// A database that cannot be reached at the start is looked for again after so long, at most.
const RETRY_MOST: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(500);

fn replicas(wanted: Replicas) -> ReadWrite {
    match wanted {
        Replicas::One => ReadWrite::One,
        Replicas::LocalOne => ReadWrite::LocalOne,
        Replicas::Quorum => ReadWrite::Quorum,
        Replicas::LocalQuorum => ReadWrite::LocalQuorum,
        Replicas::EachQuorum => ReadWrite::EachQuorum,
        Replicas::All => ReadWrite::All,
    }
}

/// The settings as the store wants them.
#[must_use]
pub fn store_settings(settings: &Settings) -> ScyllaSettings {
    let wanted = &settings.store.scylla;
    let replication = match &wanted.replication[..] {
        [(None, factor)] => Replication::Everywhere(*factor),
        all => {
            Replication::ByDatacenter(all.iter().filter_map(|(name, factor)| Some((name.clone()?, *factor))).collect())
        }
    };
    ScyllaSettings {
        nodes: wanted.nodes.clone(),
        keyspace: wanted.keyspace.clone(),
        replication,
        consistency: replicas(wanted.consistency),
        table_consistency: wanted
            .table_consistency
            .iter()
            .map(|(table, one)| (table.clone(), replicas(*one)))
            .collect(),
        login: wanted.login.as_ref().map(|(user, password)| (user.clone(), password.0.clone())),
        tls: wanted.tls.as_ref().map(|tls| TlsFiles { ca: tls.ca.clone(), own: tls.own.clone() }),
        bundle: wanted.bundle.clone(),
        datacenter: wanted.datacenter.clone(),
        request_timeout: Duration::from_millis(wanted.request_timeout_ms),
        give_up: Duration::from_millis(wanted.give_up_ms),
        in_flight: wanted.in_flight,
        lease: Duration::from_millis(wanted.lease_ms),
        bounds: Bounds { write_jobs: wanted.write_jobs, write_bytes: wanted.write_bytes, read_jobs: wanted.read_jobs },
    }
}

/// Opens the store. A database that cannot be reached is waited for; what has to be mended by somebody is an error.
pub(super) fn open(settings: &Settings, lost: &Arc<AtomicBool>) -> Result<Scylla, Failure> {
    let (wanted, lost) = (store_settings(settings), Arc::clone(lost));
    wait_for(&wanted);
    let lost = move || {
        lost.store(true, Ordering::Release);
        // The same way out as when an operator asks: everybody is told, what is under way is refused, and the process ends.
        if let Err(e) = kill_process(getpid(), Signal::TERM) {
            tracing::error!("this process cannot end itself: {e}; end it");
        }
    };
    Scylla::open(&settings.data_dir, &master_key(settings), wanted, Box::new(lost))
}

fn wait_for(settings: &ScyllaSettings) {
    let mut pause = RETRY_FIRST;
    while let Err(failure) = scylla::reach(settings) {
        tracing::warn!("{failure}; trying again in {} ms", pause.as_millis());
        std::thread::sleep(pause);
        pause = (pause * 2).min(RETRY_MOST);
    }
}

/// Brings the schema up to this program; names the steps that were applied.
///
/// # Errors
/// [`Failure::Unavailable`]: the database cannot be reached, refuses, or has a newer schema.
pub fn migrate(settings: &Settings) -> Result<Vec<&'static str>, Failure> {
    scylla::migrate(&store_settings(settings))
}

/// As [`migrate`], waiting for a database that cannot be reached: before a server starts.
///
/// # Errors
/// As [`migrate`].
pub fn migrate_before(settings: &Settings) -> Result<Vec<&'static str>, Failure> {
    let wanted = store_settings(settings);
    wait_for(&wanted);
    scylla::migrate(&wanted)
}

/// What of the schema is there.
///
/// # Errors
/// [`Failure::Unavailable`]: the database cannot be reached.
pub fn status(settings: &Settings) -> Result<Status, Failure> {
    scylla::migration_status(&store_settings(settings))
}
