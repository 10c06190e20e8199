//! The start: the whole log is read, every link of it verified, and folded. One thread reads, verifies and decodes, the
//! other takes in what the first has decoded. What the file of facts knows need not be decoded.

use std::{
    panic::resume_unwind,
    path::Path,
    sync::mpsc::{SyncSender, sync_channel},
    thread, vec,
};

use shared::{
    change::{Change, Entry},
    codec::{self, Record, RecordFault},
    model::log::{Link, Revision},
    registry::Registry,
};

use super::{
    ReplayError,
    facts_file::{FactsFile, Line, Lines, Outline},
    ready::Facts,
    state::State,
};
use crate::log::{Log, LogError};

/// Bytes read from the log at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Chunks that were decoded and wait to be taken in.
const CHUNKS_AHEAD_MAX: usize = 4;

/// What the state needs to know of an entry.
enum Known {
    /// The entry, and of a report what the state keeps of it.
    Entry(Box<Entry>, Option<Facts>),
    /// A report about which nothing was found.
    Outline(Revision, Box<Outline>),
}

/// Folds the whole log; answers also where facts of what follows are kept.
///
/// # Errors
/// [`ReplayError`] where the log is not what was written.
pub(super) fn replay(log: &dyn Log, facts: Option<&Path>) -> Result<(State, Option<FactsFile>), ReplayError> {
    let facts = facts.and_then(|path| match FactsFile::open(path, log.store()) {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!(%error, "facts are not kept: starts take longer");
            None
        }
    });
    let mut state = State::default();
    state.expect_claims(facts.as_ref().map_or(0, FactsFile::claims_about));
    let (chunks, known) = sync_channel(CHUNKS_AHEAD_MAX);
    let read = thread::scope(|scope| {
        let reading = scope.spawn(|| Reader::new(log, facts).read(chunks));
        for known in known.into_iter().flatten() {
            match known {
                Known::Entry(entry, facts) => state.apply(&entry, facts),
                Known::Outline(revision, outline) => state.apply_outline(revision, *outline),
            }
        }
        reading.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    let (last, facts) = read?;
    if last == log.tail() {
        return Ok((state, facts));
    }
    let detail = format!("the log ends at {}, {} was expected", last.revision, log.tail().revision);
    Err(LogError::Damaged { revision: last.revision.next(), detail }.into())
}

struct Reader<'a> {
    log: &'a dyn Log,
    /// Records that were read and not looked at.
    ahead: vec::IntoIter<Record>,
    last: Link,
    registry: Registry,
    facts: Option<FactsFile>,
}

impl<'a> Reader<'a> {
    fn new(log: &'a dyn Log, facts: Option<FactsFile>) -> Self {
        let last = codec::genesis(log.store());
        Self { log, ahead: Vec::new().into_iter(), last, registry: Registry::default(), facts }
    }

    /// Reads all entries; answers the last one.
    fn read(mut self, chunks: SyncSender<Vec<Known>>) -> Result<(Link, Option<FactsFile>), ReplayError> {
        loop {
            let chunk = match self.facts.as_mut().and_then(|facts| facts.next(&self.last)) {
                Some(block) => self.with_facts(block.last, block.lines)?,
                None => self.without_facts()?,
            };
            // Nobody takes it when the other thread has panicked, and then that is what counts.
            if chunk.is_empty() || chunks.send(chunk).is_err() {
                return Ok((self.last, self.facts));
            }
        }
    }

    /// The entries that a block of facts is about; of others, if the log does not have those.
    fn with_facts(&mut self, end: Link, lines: Vec<Line>) -> Result<Vec<Known>, ReplayError> {
        let (mut link, mut records) = (self.last, Vec::with_capacity(lines.len()));
        while records.len() < lines.len() {
            let Some(record) = self.next_record(link)? else { break };
            link = record.link;
            records.push(record);
        }
        if link != end {
            if let Some(facts) = &mut self.facts {
                facts.cut();
            }
            return records.into_iter().map(|record| self.decoded(&record)).collect();
        }
        let known = records.into_iter().zip(lines).map(|(record, line)| match line {
            Line::Unknown => self.decoded(&record),
            Line::Report(outline) => {
                self.last = record.link;
                Ok(Known::Outline(record.link.revision, outline))
            }
        });
        known.collect()
    }

    /// The next entries, of which nothing is known. From now on it is.
    fn without_facts(&mut self) -> Result<Vec<Known>, ReplayError> {
        let (mut known, mut bytes, mut lines) = (Vec::new(), 0, Lines::default());
        while bytes < CHUNK_BYTES {
            let Some(record) = self.next_record(self.last)? else { break };
            bytes += record.entry.len();
            let previous = self.last;
            let decoded = self.decoded(&record)?;
            if let Known::Entry(entry, facts) = &decoded {
                lines.push(&previous, entry, facts.as_ref());
            }
            known.push(decoded);
        }
        if let Some(facts) = &mut self.facts {
            facts.append(lines, &self.last);
        }
        Ok(known)
    }

    /// The record behind that one.
    fn next_record(&mut self, after: Link) -> Result<Option<Record>, ReplayError> {
        if self.ahead.as_slice().is_empty() {
            let records = self.log.read(after.revision, CHUNK_BYTES)?;
            // The log has verified how they follow on each other; how they follow on those before them is seen here.
            if let Some(first) = records.first()
                && codec::next_link(&after, &first.entry) != first.link
            {
                return Err(RecordFault::Chain(after.revision.next()).into());
            }
            self.ahead = records.into_iter();
        }
        Ok(self.ahead.next())
    }

    fn decoded(&mut self, record: &Record) -> Result<Known, ReplayError> {
        let entry = codec::decode_next(&self.last, record)?;
        self.last = record.link;
        self.registry.apply_part(entry.revision, &entry.change);
        let facts = match &entry.change {
            Change::ReportSubmitted(report) => Some(Facts::of(&self.registry, report)),
            _ => None,
        };
        if entry.ends_change {
            self.registry.settle();
        }
        Ok(Known::Entry(Box::new(entry), facts))
    }
}
