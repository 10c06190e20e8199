//! The start: the whole log is folded, and every link of it verified. One thread reads, verifies and decodes, the other
//! takes in what the first has decoded.

use std::{
    panic::resume_unwind,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use shared::{
    change::{Change, Entry},
    codec,
    model::log::Link,
    registry::Registry,
};

use super::{ReplayError, ready::Facts, state::State};
use crate::log::{Log, LogError};

/// Bytes read from the log at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Chunks that were decoded and wait to be taken in.
const CHUNKS_AHEAD_MAX: usize = 2;

/// An entry, and of a report what the state keeps of it.
type Known = (Entry, Option<Facts>);

/// Folds the whole log.
///
/// # Errors
/// [`ReplayError`] where the log is not what was written.
pub(super) fn replay(log: &dyn Log) -> Result<State, ReplayError> {
    let mut state = State::default();
    let (chunks, decoded) = sync_channel(CHUNKS_AHEAD_MAX);
    let read = thread::scope(|scope| {
        let reading = scope.spawn(|| read(log, chunks));
        for (entry, facts) in decoded.into_iter().flatten() {
            state.apply(&entry, facts);
        }
        reading.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    let last = read?;
    if last == log.tail() {
        return Ok(state);
    }
    let detail = format!("the log ends at {}, {} was expected", last.revision, log.tail().revision);
    Err(LogError::Damaged { revision: last.revision.next(), detail }.into())
}

/// Reads all entries; answers the last one.
fn read(log: &dyn Log, chunks: SyncSender<Vec<Known>>) -> Result<Link, ReplayError> {
    let mut registry = Registry::default();
    let mut last = codec::genesis(log.store());
    loop {
        let records = log.read(last.revision, CHUNK_BYTES)?;
        if records.is_empty() {
            return Ok(last);
        }
        let mut chunk = Vec::with_capacity(records.len());
        for record in records {
            let entry = codec::decode_next(&last, &record)?;
            last = record.link;
            registry.apply_part(entry.revision, &entry.change);
            let facts = match &entry.change {
                Change::ReportSubmitted(report) => Some(Facts::of(&registry, report)),
                _ => None,
            };
            if entry.ends_change {
                registry.settle();
            }
            chunk.push((entry, facts));
        }
        // Nobody takes it when the other thread has panicked, and then that is what counts.
        if chunks.send(chunk).is_err() {
            return Ok(last);
        }
    }
}
