//! The log: every accepted change, once, in order, on disk before anybody hears of it. Everything else is a fold of it.
//!
//! No code outside `log/sled` knows that sled exists. What follows describes that one implementation; the trait below is
//! what the rest of the service sees.
//!
//! # DIRECTORY
//!
//! ```text
//! <data>/head       two slots of 4 KiB: store id, epoch, a revision and its chain hash; locked by the running process
//! <data>/log/       sled: one tree, "log"
//! <data>/facts      what a start need not work out again (`submit/facts_file`); not synced, no loss if it is gone
//! <data>/ballast    32 MiB of nothing, given up when the disk is too full for sled to open
//! ```
//!
//! # KEYS AND VALUES
//!
//! | key | value |
//! |---|---|
//! | first revision, u64 big-endian | a batch of consecutive entries: format version, chain hash before it, entries with their chain hashes, CRC-32 |
//!
//! Big-endian, and must remain so: the order of the keys is the order of the log. A value has at most 100 KB and the
//! segment size is 8 MiB, because sled moves leaves above a quarter of a segment into blob files that it never syncs.
//!
//! # ORDER OF WRITES
//!
//! 1. All batches of a group in one `sled::Batch`: the group is there as a whole or not at all, and so is every change.
//! 2. `flush()`, which hands the bytes to the kernel but does not make them durable (sled 0.34.7 ends in
//!    `sync_file_range`).
//! 3. `fdatasync` on our own handle of `log/db`, opened before the first write. sled hides a failed sync; this does not.
//! 4. Only now the tail moves: readers, the feed and receipts see the group.
//! 5. At most every 10 ms, and when idle, and at the end: the head, into the older of its two slots, with its own
//!    `fdatasync`.
//!
//! # WHAT A CRASH LEAVES
//!
//! | crash after step | at the next start |
//! |---|---|
//! | 0 or in 1 | the log ends before the group; nobody was told otherwise |
//! | 1, 2 | the group is there as a whole or not at all; nobody was told |
//! | 3, 4 | the group is there; some callers were told |
//! | 5, torn | the other slot holds; the head is behind the log, which is allowed |
//!
//! The head is a lower bound: a log that ends before it, or has another chain hash there, has lost or changed something
//! that was acknowledged. The service then refuses to serve. sled can come back empty without an error, and a flipped
//! bit can make it lose its tail in silence; the head is what notices.
//!
//! A new log is made as `log.new/` and gets its name when it is whole.
//!
//! At the start every file of sled is synced and then dropped from the kernel's memory: what a killed process had written is
//! about to be shown and acknowledged, and what a failed sync could not save may not be.
//!
//! The directory `log/` gets the attribute "synchronous" (`chattr +S`) while it is empty: power cuts while sled opens,
//! and its file `conf`, are otherwise not covered by step 3.
//!
//! sled refuses to open where a crash has left it an unfinished snapshot: those are removed first, for the one before is
//! there.
//!
//! A full disk is seen coming: below a low-water mark of free space nothing is appended any more, reading goes on, and
//! appending goes on when there is space again. The ballast leaves sled the room that it needs to open (`log/sled/space`).
//!
//! A write that does not end is a failed one: a watchdog ends the process (`--stall-ms-max`).
//!
//! After a failed write or sync the outcome is not known. The log never tries again: it refuses everything, and the
//! process ends. The next start reads what is really there.

pub mod sled;

#[cfg(any(test, feature = "simulation"))]
pub mod memory;

use std::time::Instant;

use shared::{
    codec::Record,
    model::log::{Link, Revision, StoreId},
};

/// Why the log cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A write or a sync failed, now or before; what of it is on disk is not known.
    #[error("the log cannot be written: {0}")]
    Storage(String),
    /// What is on disk is not what was written.
    #[error("the log is damaged at revision {revision}: {detail}")]
    Damaged {
        /// The first revision that cannot be trusted.
        revision: Revision,
        /// What was found.
        detail: String,
    },
}

/// The log of one store. Its methods block; call them off the async threads.
pub trait Log: Send + Sync + 'static {
    /// Identity of the store.
    fn store(&self) -> StoreId;

    /// Epoch of the store; a new one begins after a restore from a backup.
    fn epoch(&self) -> u64;

    /// The newest durable entry. Only goes up.
    fn tail(&self) -> Link;

    /// Appends records that follow on the tail, as a whole. They are durable when this returns.
    ///
    /// # Errors
    /// [`LogError::Storage`]: the outcome is not known, and nothing can be appended from now on.
    fn append(&self, records: &[Record]) -> Result<(), LogError>;

    /// The durable records after `after`, in order: at least one if there is one, and about `bytes_max` bytes. Their
    /// place in the chain has been verified.
    ///
    /// # Errors
    /// [`LogError::Damaged`] where the chain breaks.
    fn read(&self, after: Revision, bytes_max: usize) -> Result<Vec<Record>, LogError>;

    /// Whether there is room to append. Asked before a group is decided: sled cannot reopen a full disk, so writing stops
    /// while it still can.
    ///
    /// # Errors
    /// How much room is left and how much is needed, in words.
    fn check_space(&self) -> Result<(), String>;

    /// Since when the write that is on its way takes; none if none is.
    fn busy_since(&self) -> Option<Instant>;

    /// Writes down what may lag behind the tail; for idle moments and the end.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn settle(&self) -> Result<(), LogError>;
}
