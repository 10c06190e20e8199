//! The log in memory, for tests of what stands on it.

use std::sync::Mutex;

use shared::{
    codec::{Record, genesis},
    model::log::{Link, Revision, StoreId},
};
use uuid::Uuid;

use super::{Log, LogError};

/// A log that is gone with its process.
#[derive(Debug, Default)]
pub struct MemoryLog {
    records: Mutex<Vec<Record>>,
    fails: std::sync::atomic::AtomicBool,
    is_full: std::sync::atomic::AtomicBool,
}

impl MemoryLog {
    /// From now on there is no room, or room again.
    pub fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, std::sync::atomic::Ordering::SeqCst);
    }

    /// From now on every append fails.
    pub fn fail(&self) {
        self.fails.store(true, std::sync::atomic::Ordering::SeqCst);
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
        self.records.lock().unwrap().last().map_or_else(|| genesis(self.store()), |record| record.link)
    }

    fn append(&self, records: &[Record]) -> Result<(), LogError> {
        if self.fails.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(LogError::Storage("told to fail".to_owned()));
        }
        self.records.lock().unwrap().extend_from_slice(records);
        Ok(())
    }

    fn read(&self, after: Revision, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let start = usize::try_from(after.get()).unwrap();
        let mut bytes = 0;
        let records = self.records.lock().unwrap();
        let wanted = records.iter().skip(start).take_while(|record| {
            let is_wanted = bytes < bytes_max;
            bytes += record.entry.len();
            is_wanted
        });
        Ok(wanted.cloned().collect())
    }

    fn check_space(&self) -> Result<(), String> {
        if self.is_full.load(std::sync::atomic::Ordering::SeqCst) { Err("told to be full".to_owned()) } else { Ok(()) }
    }

    fn settle(&self) -> Result<(), LogError> {
        Ok(())
    }
}
