//! The log in memory, for tests of what stands on it and for simulations: what was written and not yet synced can be lost.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use shared::{
    codec::{Record, genesis},
    model::log::{Link, Revision, StoreId},
};
use uuid::Uuid;

use super::{Log, LogError};

/// A log that is gone with its process.
#[derive(Debug, Default)]
pub struct MemoryLog {
    disk: Mutex<Disk>,
    fails: AtomicBool,
    is_full: AtomicBool,
    /// Whoever holds it holds up every append.
    held: Mutex<()>,
}

#[derive(Debug, Default)]
struct Disk {
    written: Vec<Record>,
    /// How many of them are said to be durable.
    durable: usize,
    /// How many of them survive.
    synced: usize,
    lies: bool,
}

/// As long as it is there, no append ends.
#[derive(Debug)]
pub struct Held<'a>(#[expect(dead_code, reason = "being there is all that it does")] MutexGuard<'a, ()>);

impl MemoryLog {
    /// From now on there is no room, or room again.
    pub fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    /// Appends take until this is dropped.
    pub fn hold(&self) -> Held<'_> {
        Held(self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on every append fails.
    pub fn fail(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }

    /// From now on a sync says that it is done, and does nothing.
    pub fn lie(&self) {
        self.disk().lies = true;
    }

    /// Writes records that follow on the tail. They are not durable before [`MemoryLog::sync`].
    pub fn write(&self, records: &[Record]) {
        self.disk().written.extend_from_slice(records);
    }

    /// Makes durable what was written.
    pub fn sync(&self) {
        let mut disk = self.disk();
        disk.durable = disk.written.len();
        if !disk.lies {
            disk.synced = disk.durable;
        }
    }

    /// The machine went down and came up again: what was written and not synced is there, or is not.
    pub fn crash(&self, keeps_unsynced: bool) {
        let mut disk = self.disk();
        if !keeps_unsynced {
            let synced = disk.synced;
            disk.written.truncate(synced);
        }
        disk.durable = disk.written.len();
        disk.synced = disk.durable;
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // Nothing is done under the lock that leaves it half done.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for MemoryLog {
    fn store(&self) -> StoreId {
        StoreId(Uuid::from_u128(1))
    }

    fn epoch(&self) -> u64 {
        1
    }

    fn tail(&self) -> Link {
        let disk = self.disk();
        disk.written[..disk.durable].last().map_or_else(|| genesis(self.store()), |record| record.link)
    }

    fn append(&self, records: &[Record]) -> Result<(), LogError> {
        drop(self.held.lock().unwrap_or_else(PoisonError::into_inner));
        if self.fails.load(Ordering::SeqCst) {
            return Err(LogError::Storage("told to fail".to_owned()));
        }
        self.write(records);
        self.sync();
        Ok(())
    }

    fn read(&self, after: Revision, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let start = usize::try_from(after.get()).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let disk = self.disk();
        let wanted = disk.written[..disk.durable].iter().skip(start).take_while(|record| {
            let is_wanted = bytes < bytes_max;
            bytes += record.entry.len();
            is_wanted
        });
        Ok(wanted.cloned().collect())
    }

    fn check_space(&self) -> Result<(), String> {
        if self.is_full.load(Ordering::SeqCst) { Err("told to be full".to_owned()) } else { Ok(()) }
    }

    fn busy_since(&self) -> Option<std::time::Instant> {
        None
    }

    fn settle(&self) -> Result<(), LogError> {
        Ok(())
    }
}
