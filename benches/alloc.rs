//! Counts what is allocated: the server's own allocator with three counters in front of it.
//!
//! The counters are meant for one thread at work; when several allocate at once some are missed, so benchmarks with threads
//! report no allocations.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};

use mimalloc::MiMalloc;

/// What was allocated up to now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocated {
    /// Blocks, growing ones counted each time they grow.
    pub blocks: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
}

static BLOCKS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// What was allocated since the process began.
pub fn allocated() -> Allocated {
    Allocated { blocks: BLOCKS.load(Ordering::Relaxed), bytes: BYTES.load(Ordering::Relaxed) }
}

/// A plain load and store: a locked instruction would cost more than what is measured.
fn count(bytes: usize) {
    BLOCKS.store(BLOCKS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    BYTES.store(BYTES.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
}

struct Counting(MiMalloc);

#[global_allocator]
static ALLOCATOR: Counting = Counting(MiMalloc);

// Each call goes on to the allocator that is wrapped, with the same arguments.
#[allow(unsafe_code, reason = "an allocator can be wrapped in no other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        unsafe { self.0.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { self.0.dealloc(block, layout) }
    }
}
