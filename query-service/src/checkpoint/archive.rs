//! Entries on disk, in batches.
//!
//! ```text
//! key    first revision, u64 big-endian
//! value  count u32 ‖ { length u32 }* ‖ { entry }* ‖ CRC-32 of all before
//! ```

use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::{Weighter, sync::Cache};
use shared::{
    change::Entry,
    codec::{self, Record},
    model::log::{ChainHash, Link, Revision},
};
use tokio::sync::watch;

use super::guard;
use crate::archive::Archive;

/// Bytes of entries from which on a batch is written.
const BATCH_BYTES: usize = 60_000;
/// Encoded bytes of entries that are kept decoded; in memory they take some times as much.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Entries that such a cache is made for.
const CACHE_ENTRIES: usize = 10_000;
const LENGTH_LEN: usize = 4;
/// Reading backwards under writes is not exact in sled, so what was found is looked at before it is believed.
const TRIES: usize = 3;

/// Weighs an entry by its encoded bytes.
#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<u64, (Arc<Entry>, usize)> for ByBytes {
    fn weight(&self, _: &u64, (_, bytes): &(Arc<Entry>, usize)) -> u64 {
        *bytes as u64
    }
}

/// Every entry that was taken in.
pub(super) struct SledArchive {
    tree: sled::Tree,
    pending: RwLock<Pending>,
    /// Entries that were read lately.
    recent: Cache<u64, (Arc<Entry>, usize), ByBytes>,
    damaged: watch::Sender<bool>,
}

impl std::fmt::Debug for SledArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledArchive").finish_non_exhaustive()
    }
}

/// Entries that are not written yet.
#[derive(Debug)]
struct Pending {
    /// Revision of the first of them, or of the next one to come.
    first: Revision,
    entries: Vec<(Vec<u8>, Arc<Entry>)>,
    bytes: usize,
    /// Writing has failed: everything from now on stays in memory.
    has_failed: bool,
}

impl SledArchive {
    /// An archive of nothing.
    pub(super) fn create(db: &sled::Db) -> Result<Self, String> {
        Self::of(db, Revision::ZERO)
    }

    /// The archive of entries up to that revision; what is there beyond it is forgotten.
    pub(super) fn open(db: &sled::Db, last: Revision) -> Result<Self, String> {
        let archive = Self::of(db, last)?;
        archive.cut(last.next())?;
        // The batch with the last entry, and with it the length, is right; others are looked at when they are read.
        if last > Revision::ZERO {
            archive.read(last)?;
        }
        Ok(archive)
    }

    fn of(db: &sled::Db, last: Revision) -> Result<Self, String> {
        let tree = db.open_tree("entries").map_err(|error| error.to_string())?;
        let pending = Pending { first: last.next(), entries: Vec::new(), bytes: 0, has_failed: false };
        let recent = Cache::with_weighter(CACHE_ENTRIES, CACHE_BYTES, ByBytes);
        Ok(Self { tree, pending: RwLock::new(pending), recent, damaged: watch::Sender::new(false) })
    }

    /// Whether an entry could not be read.
    pub(super) fn damaged(&self) -> watch::Receiver<bool> {
        self.damaged.subscribe()
    }

    /// Gives everything that was kept to sled.
    pub(super) fn settle(&self) -> Result<(), String> {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        self.write(&mut pending)
    }

    fn write(&self, pending: &mut Pending) -> Result<(), String> {
        if pending.has_failed {
            return Err("an earlier write of entries has failed".to_owned());
        }
        if pending.entries.is_empty() {
            return Ok(());
        }
        let value = batch_of(pending.entries.iter().map(|(bytes, _)| bytes.as_slice()));
        let written = guard(|| self.tree.insert(key(pending.first), value).map_err(|error| error.to_string()));
        pending.has_failed = written.is_err();
        written?;
        pending.first = Revision::from(pending.first.get() + pending.entries.len() as u64);
        pending.entries.clear();
        pending.bytes = 0;
        Ok(())
    }

    /// Forgets everything from a revision on.
    fn cut(&self, first: Revision) -> Result<(), String> {
        let later: Result<Vec<_>, _> = self.tree.range(key(first)..).keys().collect();
        for key in later.map_err(|error| error.to_string())? {
            self.tree.remove(key).map_err(|error| error.to_string())?;
        }
        let before = self.tree.range(..key(first)).next_back().transpose().map_err(|error| error.to_string())?;
        let Some((begin, value)) = before else { return Ok(()) };
        let begin = revision_of(&begin)?;
        let entries = entries_of(&value)?;
        let kept = usize::try_from(first.get() - begin.get()).unwrap_or(usize::MAX);
        if entries.len() > kept {
            let shortened = batch_of(entries.into_iter().take(kept));
            self.tree.insert(key(begin), shortened).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn read(&self, revision: Revision) -> Result<(Arc<Entry>, usize), String> {
        for _ in 0..TRIES {
            let found = self.tree.range(..=key(revision)).next_back().transpose().map_err(|error| error.to_string())?;
            let Some((begin, value)) = found else { continue };
            let begin = revision_of(&begin)?;
            let place = usize::try_from(revision.get() - begin.get()).unwrap_or(usize::MAX);
            let Some(bytes) = entries_of(&value)?.get(place).copied() else { continue };
            // Its place in the chain was verified when it came.
            let link = Link { revision, chain_hash: ChainHash([0; 32]) };
            let entry = codec::decode(&Record { link, entry: bytes.to_vec() }).map_err(|fault| fault.to_string())?;
            return Ok((Arc::new(entry), bytes.len()));
        }
        Err("no batch holds it".to_owned())
    }
}

impl Archive for SledArchive {
    fn keep(&self, record: &Record, entry: &Arc<Entry>) {
        let revision = record.link.revision;
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        if revision < pending.first {
            let cut = if pending.has_failed { Ok(()) } else { guard(|| self.cut(revision)) };
            if let Err(why) = cut {
                tracing::error!(why, "entries cannot be taken back");
                pending.has_failed = true;
            }
            pending.first = revision;
        }
        for later in revision.get()..pending.first.get() + pending.entries.len() as u64 {
            self.recent.remove(&later);
        }
        let kept = usize::try_from(revision.get() - pending.first.get()).unwrap_or(usize::MAX);
        pending.entries.truncate(kept);
        pending.bytes += record.entry.len();
        pending.entries.push((record.entry.clone(), entry.clone()));
        if pending.bytes >= BATCH_BYTES
            && !pending.has_failed
            && let Err(why) = self.write(&mut pending)
        {
            tracing::error!(why, "entries cannot be written; they stay in memory, and no checkpoint is saved");
        }
    }

    fn entry(&self, revision: Revision) -> Option<Arc<Entry>> {
        {
            let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
            if revision >= pending.first {
                let place = usize::try_from(revision.get() - pending.first.get()).ok()?;
                return pending.entries.get(place).map(|(_, entry)| entry.clone());
            }
        }
        if let Some((entry, _)) = self.recent.get(&revision.get()) {
            return Some(entry);
        }
        match guard(|| self.read(revision)) {
            Ok((entry, bytes)) => {
                self.recent.insert(revision.get(), (entry.clone(), bytes));
                Some(entry)
            }
            Err(why) => {
                tracing::error!(why, revision = revision.get(), "an entry of the checkpoint cannot be read");
                self.damaged.send_replace(true);
                None
            }
        }
    }
}

fn key(first: Revision) -> [u8; 8] {
    first.get().to_be_bytes()
}

fn revision_of(key: &[u8]) -> Result<Revision, String> {
    let key = key.try_into().map_err(|_| format!("a key of {} bytes", key.len()))?;
    Ok(Revision::from(u64::from_be_bytes(key)))
}

fn batch_of<'a>(entries: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).expect("an entry has at most 80 KiB").to_le_bytes();
    let mut value = length(entries.clone().count()).to_vec();
    entries.clone().for_each(|entry| value.extend_from_slice(&length(entry.len())));
    entries.for_each(|entry| value.extend_from_slice(entry));
    let crc = crc32fast::hash(&value);
    value.extend_from_slice(&crc.to_le_bytes());
    value
}

fn entries_of(value: &[u8]) -> Result<Vec<&[u8]>, String> {
    let (body, crc) = value.split_last_chunk::<LENGTH_LEN>().ok_or("a value without checksum")?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err("the checksum does not fit".to_owned());
    }
    let (count, rest) = body.split_first_chunk::<LENGTH_LEN>().ok_or("a value without count")?;
    let count = u32::from_le_bytes(*count) as usize;
    let (lengths, mut rest) =
        rest.split_at_checked(count.saturating_mul(LENGTH_LEN)).ok_or("a value that is cut off")?;
    let (lengths, _) = lengths.as_chunks::<LENGTH_LEN>();
    let mut entries = Vec::with_capacity(count);
    for length in lengths {
        let (entry, after) =
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or("an entry that is cut off")?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}
