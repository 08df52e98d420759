//! On what machine a run was made: figures of another one are other figures.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The model of its processors.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// The kind of machine: `x86_64`.
    pub architecture: String,
    /// Runnable threads of the whole machine over the last minute, when the run began. Above 0 somebody else was busy.
    #[serde(default)]
    pub load_before: Option<f64>,
    /// Where the server keeps its data, if known.
    #[serde(default)]
    pub data: Option<DataPlace>,
}

/// Where data is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataPlace {
    /// The kind of file system: `ext4`, `tmpfs`.
    pub filesystem: String,
    /// What it lies on.
    pub device: String,
    /// Whether a synced commit reaches a disk. In memory (`tmpfs`) it does not, and ack times are too good.
    pub durable: Option<bool>,
}

/// This machine; `data` is where the server keeps its data, if that is here.
#[must_use]
pub fn here(data: Option<&Path>) -> Machine {
    let _ = data;
    Machine::default()
}

/// The commit of the checkout that the harness runs in or was built from, with `-dirty` when something is changed. `None` outside.
#[must_use]
pub fn commit() -> Option<String> {
    None
}

impl Machine {
    /// Whether it is the same machine, whatever it was busy with.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let of = |m: &Self| (m.cpu.clone(), m.cores, m.memory_bytes, m.kernel.clone(), m.architecture.clone());
        of(self) == of(other)
    }
}
