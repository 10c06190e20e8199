//! What can be done with a store that nobody serves, besides taking it out and in: verify it, compact it, begin a new epoch.
//!
//! # COMPACTION
//!
//! sled never shrinks in place. A compaction copies every entry, verified against the chain, into a fresh log in
//! `.compacting/`, walks that once more, and then lets it and `log/` change places by one call (`renameat2` with
//! `RENAME_EXCHANGE`). The head stays: it names the same entry of the same chain. Entries, revisions, hashes, store id and
//! epoch are the same before and after, so followers follow on.
//!
//! | crash | at the next start |
//! |---|---|
//! | before the exchange | `log/` is the old one; `.compacting/` is thrown away by the next compaction |
//! | after it | `log/` is the new one; `.compacting/` holds the old one and is thrown away likewise |

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use shared::{
    codec::Record,
    fault_point::reach,
    model::log::{Link, StoreId},
};

use crate::{
    log::{
        Log,
        sled::{Lock, SledLog, sync_directory},
    },
    transfer::{TransferError, walk},
};

/// Where a compaction builds the new log, inside the directory of the store.
const BUILDING: &str = ".compacting";
/// Bytes appended at a time.
const GROUP_BYTES: usize = 1024 * 1024;

/// A store that was read from its first entry to its last, each verified against the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The store.
    pub store: StoreId,
    /// Its epoch.
    pub epoch: u64,
    /// Its last entry.
    pub last: Link,
    /// Bytes of its entries.
    pub entry_bytes: u64,
    /// Bytes that its log takes on the disk.
    pub disk_bytes: u64,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, epoch, last, entry_bytes, disk_bytes } = self;
        let times = hundredths(*disk_bytes, *entry_bytes);
        let (whole, part) = (times / 100, times % 100);
        write!(f, "store {store}, epoch {epoch}, revision {}, chain hash {:?}: ", last.revision, last.chain_hash)?;
        write!(f, "{entry_bytes} bytes of entries, {disk_bytes} bytes on disk, {whole}.{part:02} times as much")
    }
}

fn hundredths(of: u64, to: u64) -> u64 {
    of.saturating_mul(100).checked_div(to).unwrap_or_default()
}

/// Reads a whole store and verifies every entry.
///
/// # Errors
/// [`TransferError`]; what is damaged is named with the first revision that cannot be trusted, where that is known.
pub fn verify(directory: &Path) -> Result<Verified, TransferError> {
    let log = open(directory)?;
    let (last, entry_bytes) = measure(&log, |_| Ok(()))?;
    let (store, epoch) = (log.store(), log.epoch());
    drop(log);
    Ok(Verified { store, epoch, last, entry_bytes, disk_bytes: disk_bytes(&directory.join("log"))? })
}

/// Copies the log into a fresh one and puts that in its place; answers what it was and what it is.
///
/// # Errors
/// [`TransferError`]; the store is as it was then.
pub fn compact(directory: &Path) -> Result<(Verified, Verified), TransferError> {
    let log = open(directory)?;
    let building = directory.join(BUILDING);
    remove(&building)?;
    let (store, epoch) = (log.store(), log.epoch());
    let copy = SledLog::create(&building, store, epoch)?;
    let (mut group, mut bytes): (Vec<Record>, usize) = (Vec::new(), 0);
    let (last, entry_bytes) = measure(&log, |record| {
        bytes += record.entry.len();
        group.push(record.clone());
        if bytes >= GROUP_BYTES {
            copy.append(&std::mem::take(&mut group))?;
            bytes = 0;
        }
        Ok(())
    })?;
    copy.append(&group)?;
    reach("compaction_copied");
    // What sled gives back is what it was given.
    let (copied, _) = measure(&copy, |_| Ok(()))?;
    if copied != last {
        return Err(TransferError::File(format!("the copy ends at revision {}", copied.revision)));
    }
    // The head must be right about both logs, and nobody else may come in between.
    log.settle()?;
    let before = Verified { store, epoch, last, entry_bytes, disk_bytes: disk_bytes(&directory.join("log"))? };
    let _lock: Lock = log.close();
    drop(copy);
    sync_directory(&building.join("log"))?;
    reach("compaction_verified");
    let (old, new) = (directory.join("log"), building.join("log"));
    renameat_with(CWD, &new, CWD, &old, RenameFlags::EXCHANGE).map_err(|error| unusable(directory, error.into()))?;
    reach("compaction_exchanged");
    sync_directory(directory)?;
    sync_directory(&building)?;
    remove(&building)?;
    Ok((before, Verified { disk_bytes: disk_bytes(&old)?, ..before }))
}

/// Says that history goes on from here although more of it may be known elsewhere: after a restore from an older backup.
/// Whoever follows a later epoch, or is further, is refused by this store; whoever is not hears of the new epoch.
///
/// # Errors
/// [`TransferError`]; the epoch is what it was then.
pub fn begin_epoch(directory: &Path) -> Result<Verified, TransferError> {
    let mut log = open(directory)?;
    let (last, entry_bytes) = measure(&log, |_| Ok(()))?;
    log.begin_epoch()?;
    let (store, epoch) = (log.store(), log.epoch());
    drop(log);
    Ok(Verified { store, epoch, last, entry_bytes, disk_bytes: disk_bytes(&directory.join("log"))? })
}

fn open(directory: &Path) -> Result<SledLog, TransferError> {
    if !directory.join("head").exists() {
        return Err(TransferError::Missing(directory.to_owned()));
    }
    Ok(SledLog::open(directory, 0)?)
}

/// Walks a log; answers its last entry and the bytes of all.
fn measure(
    log: &SledLog,
    mut each: impl FnMut(&Record) -> Result<(), TransferError>,
) -> Result<(Link, u64), TransferError> {
    let mut bytes = 0;
    let last = walk(log, |record| {
        bytes += record.entry.len() as u64;
        each(record)
    })?;
    Ok((last, bytes))
}

/// What the files of a directory take on the disk; a hole takes nothing.
fn disk_bytes(directory: &Path) -> Result<u64, TransferError> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        bytes +=
            if entry.file_type()?.is_dir() { disk_bytes(&entry.path())? } else { entry.metadata()?.blocks() * 512 };
    }
    Ok(bytes)
}

fn remove(directory: &PathBuf) -> Result<(), TransferError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(directory, error)),
        _ => Ok(()),
    }
}

fn unusable(directory: &Path, error: io::Error) -> TransferError {
    TransferError::Directory(directory.to_owned(), error)
}

#[cfg(test)]
mod tests;
