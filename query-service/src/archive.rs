//! The entries that were taken in, as they came: what an index reads again where its columns do not say enough.

use std::{
    fmt::Debug,
    sync::{Arc, PoisonError, RwLock},
};

use shared::{change::Entry, codec::Record, model::log::Revision};

/// Every entry that was taken in. Entries are only ever added, so that whoever holds an older index reads the same.
pub trait Archive: Debug + Send + Sync {
    /// Keeps the next entry, before an index takes it in; where one with its revision or later ones are there, in their place.
    fn keep(&self, record: &Record, entry: &Arc<Entry>);

    /// The entry with that revision; none if it is not there, or is damaged.
    fn entry(&self, revision: Revision) -> Option<Arc<Entry>>;
}

/// An archive in memory: gone with the process.
#[derive(Debug, Default)]
pub struct MemoryArchive(RwLock<Vec<Arc<Entry>>>);

impl Archive for MemoryArchive {
    fn keep(&self, record: &Record, entry: &Arc<Entry>) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = record.link.revision.get().saturating_sub(1);
        entries.truncate(usize::try_from(before).unwrap_or(usize::MAX));
        entries.push(entry.clone());
    }

    fn entry(&self, revision: Revision) -> Option<Arc<Entry>> {
        let place = usize::try_from(revision.get().checked_sub(1)?).ok()?;
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(place).cloned()
    }
}
