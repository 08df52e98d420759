//! The store that the settings name, opened, and the handle through which the shards and the metrics see it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{AppError, embedded_settings, master_key};
use crate::config::Settings;
use crate::config::settings::StoreKind;
use crate::runtime::seam::{StoreDone, StoreFull, StorePort};
use crate::shard::StoreOp;
use crate::store::Backend;
use crate::store::driver::{Driver, DriverNumbers, DriverSettings};
use crate::store::embedded::Embedded;
use crate::store::memory::Memory;
#[cfg(feature = "scylla")]
use crate::store::scylla::Scylla;

/// Who carries out jobs: threads in front of a backend that blocks, or the one that does not.
#[derive(Clone)]
pub(super) enum StoreHandle {
    Threads(Driver),
    #[cfg(feature = "scylla")]
    Scylla(Arc<Scylla>),
}

impl StoreHandle {
    /// The numbers as they are now.
    pub(super) fn numbers(&self) -> DriverNumbers {
        match self {
            Self::Threads(driver) => driver.numbers(),
            #[cfg(feature = "scylla")]
            Self::Scylla(scylla) => scylla.numbers(),
        }
    }
}

impl StorePort for StoreHandle {
    fn submit(&self, op: StoreOp, done: StoreDone) -> Result<(), StoreFull> {
        match self {
            Self::Threads(driver) => driver.submit(op, done).map_err(|_| StoreFull),
            #[cfg(feature = "scylla")]
            Self::Scylla(scylla) => scylla.submit(op, done).map_err(|_| StoreFull),
        }
    }

    fn drain(&self) {
        match self {
            Self::Threads(driver) => driver.drain(),
            #[cfg(feature = "scylla")]
            Self::Scylla(scylla) => scylla.drain(),
        }
    }

    fn depth(&self) -> usize {
        let waiting = match self {
            Self::Threads(driver) => {
                let numbers = driver.numbers();
                numbers.writes_waiting + numbers.reads_waiting
            }
            #[cfg(feature = "scylla")]
            Self::Scylla(scylla) => scylla.waiting(),
        };
        usize::try_from(waiting).unwrap_or(usize::MAX)
    }
}

/// A store that is open.
pub(super) struct Opened {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) handle: StoreHandle,
    /// Another server has taken over what this one owned: it is ending.
    pub(super) lost: Arc<AtomicBool>,
}

/// Opens the store; waits for a database that cannot be reached, and for another server that owns the rooms.
pub(super) fn open(settings: &Settings) -> Result<Opened, AppError> {
    let lost = Arc::new(AtomicBool::new(false));
    let backend: Arc<dyn Backend> = match settings.store.kind {
        StoreKind::Memory => {
            let mut key = [0; 32];
            // All is gone at the end: so is the key.
            ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut key)
                .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
            Arc::new(Memory::new(key))
        }
        StoreKind::Embedded => {
            Arc::new(Embedded::open(&settings.data_dir, &master_key(settings), embedded_settings(settings))?)
        }
        #[cfg(feature = "scylla")]
        StoreKind::Scylla => {
            let scylla = Arc::new(super::scylla::open(settings, &lost)?);
            return Ok(Opened { backend: Arc::clone(&scylla) as _, handle: StoreHandle::Scylla(scylla), lost });
        }
        #[cfg(not(feature = "scylla"))]
        StoreKind::Scylla => {
            let text = "this program was built without ScyllaDB".to_owned();
            return Err(AppError::Store(crate::store::Failure::Unavailable(text)));
        }
    };
    let driver_settings = DriverSettings { readers: settings.store.readers, ..DriverSettings::default() };
    let handle = StoreHandle::Threads(Driver::start(backend.clone(), driver_settings)?);
    Ok(Opened { backend, handle, lost })
}
