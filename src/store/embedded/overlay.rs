//! A database file that is only looked at: what redb would write while it checks and repairs goes to memory instead. Offers no
//! locks; the data directory has its own.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const CHUNK: u64 = CHUNK_LEN as u64;
const CHUNK_LEN: usize = 4096;

/// A file under a layer of changes that are forgotten with it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Length of the file that is still visible below the changes.
    below: u64,
    len: u64,
    chunks: HashMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, state: Mutex::new(State { below: len, len, chunks: HashMap::new() }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunk(&self, state: &State, index: u64) -> io::Result<Box<[u8]>> {
        if let Some(chunk) = state.chunks.get(&index) {
            return Ok(chunk.clone());
        }
        let mut chunk = vec![0; CHUNK_LEN].into_boxed_slice();
        let from = index * CHUNK;
        let here = state.below.saturating_sub(from).min(CHUNK);
        if let Some(part) = chunk.get_mut(..usize::try_from(here).unwrap_or(0)) {
            self.file.read_exact_at(part, from)?;
        }
        Ok(chunk)
    }

    /// Calls `each(chunk, from byte of it, to byte of it, from byte of the whole)` for all chunks of a range.
    fn split(
        offset: u64,
        len: usize,
        mut each: impl FnMut(u64, usize, usize, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let inside = usize::try_from(at % CHUNK).unwrap_or(0);
            let take = (CHUNK_LEN - inside).min(len - done);
            each(at / CHUNK, inside, inside + take, done)?;
            done += take;
        }
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "read behind the end of the database"));
        }
        Self::split(offset, out.len(), |index, from, to, at| {
            let chunk = self.chunk(&state, index)?;
            out[at..at + (to - from)].copy_from_slice(&chunk[from..to]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.state();
        if len < state.len {
            // What was cut off must be zero if the file grows again.
            state.below = state.below.min(len);
            state.chunks.retain(|index, _| index * CHUNK < len);
            if let Some(chunk) = state.chunks.get_mut(&(len / CHUNK)) {
                chunk[usize::try_from(len % CHUNK).unwrap_or(0)..].fill(0);
            }
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.state();
        Self::split(offset, data.len(), |index, from, to, at| {
            let mut chunk = self.chunk(&state, index)?;
            chunk[from..to].copy_from_slice(&data[at..at + (to - from)]);
            state.chunks.insert(index, chunk);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_above_and_the_file_stays_as_it_was() {
        let path = tempfile::NamedTempFile::new().expect("a file");
        let before: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(path.path(), &before).expect("written");
        let over = Overlay::new(File::open(path.path()).expect("opened")).expect("overlay");
        let read = |from: u64, len: usize| {
            let mut out = vec![0; len];
            over.read(from, &mut out).map(|()| out)
        };
        assert_eq!(read(4000, 5000).expect("read"), before[4000..9000]);
        over.write(4090, &[7; 10]).expect("write");
        assert_eq!(read(4089, 12).expect("read"), [&before[4089..4090], &[7; 10], &before[4100..4101]].concat());
        assert!(read(9_999, 2).is_err());
        over.set_len(4095).expect("cut");
        over.set_len(12_000).expect("grown");
        assert_eq!(read(4094, 4).expect("read"), [7, 0, 0, 0]);
        assert_eq!(read(11_990, 10).expect("read"), [0; 10]);
        assert_eq!(std::fs::read(path.path()).expect("read"), before);
    }
}
