//! What the state keeps of reports, on disk, so that a start need not work it out of every report again. The log stays the
//! truth: a start reads and verifies all of it, and of what is wrong here, the rest is thrown away and written anew.
//!
//! ```text
//! <data>/facts
//! head    "tonghop facts 1\n" ‖ store id, 16 ‖ what they were worked out by, 64
//! block   length u32 ‖ CRC-32 of the rest u32 ‖ entry before it ‖ its last entry ‖ line for each entry
//! entry   revision u64 ‖ chain hash, 32
//! line    0: look into the log  |  1: a report about which nothing was found ‖ its facts
//! ```
//!
//! Numbers are little-endian. Another version may work out other facts, so it does not use these. Nothing is synced: a
//! block counts if it follows on the one before it and the log has the same last entry, so one that a crash has torn, or
//! that the log has lost, does not.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

use bytes::{Buf, BufMut};
use jiff::Timestamp;
use shared::{
    change::{Change, Entry},
    model::{
        ids::{ReportName, UnitId},
        log::{ChainHash, Link, RequestKey, Revision, StoreId},
        report::Report,
    },
};
use uuid::Uuid;

use super::{findings::Claims, ready::Facts};

const MAGIC: &[u8; 16] = b"tonghop facts 1\n";
/// Sources, dependencies and compiler: see `build.rs`.
const FACTS_BY: &str = env!("FACTS_BY");
const HEAD_LEN: usize = 16 + 16 + FACTS_BY.len();
const LINK_LEN: usize = 8 + 32;
/// A length that was changed must not take all memory.
const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;
const READ_BYTES: usize = 1024 * 1024;
/// What a claim takes, with its part of the report.
const CLAIM_BYTES: usize = 28;

/// The file of one store, at first read, then appended to.
#[derive(Debug)]
pub(super) struct FactsFile {
    reader: Option<BufReader<File>>,
    writer: Option<File>,
    /// Where the block that was read last begins, and where the next one does.
    begins: u64,
    ends: u64,
}

/// What the file knows of consecutive entries.
#[derive(Debug)]
pub(super) struct Block {
    /// The last of them.
    pub(super) last: Link,
    /// One for each.
    pub(super) lines: Vec<Line>,
}

/// What the file knows of an entry.
#[derive(Debug)]
pub(super) enum Line {
    /// Nothing: it is in the log.
    Unknown,
    /// All that the state keeps of it.
    Report(Box<Outline>),
}

/// A report about which nothing was found, as far as the state keeps it.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    pub(super) record_time: Timestamp,
    pub(super) request: Option<RequestKey>,
    pub(super) name: ReportName,
    pub(super) unit: UnitId,
    pub(super) facts: Facts,
}

/// Lines of entries that are not in the file yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    previous: Option<Link>,
    bytes: Vec<u8>,
}

impl Lines {
    /// Adds an entry that follows on `previous`.
    pub(super) fn push(&mut self, previous: &Link, entry: &Entry, facts: Option<&Facts>) {
        self.previous.get_or_insert(*previous);
        match (&entry.change, facts) {
            (Change::ReportSubmitted(report), Some(facts)) if entry.ends_change && entry.findings.is_empty() => {
                self.push_report(entry, report, facts);
            }
            _ => self.bytes.put_u8(0),
        }
    }

    fn push_report(&mut self, entry: &Entry, report: &Report, facts: &Facts) {
        let unit = report.unit.as_str().as_bytes();
        let Ok(unit_len) = u8::try_from(unit.len()) else { return self.bytes.put_u8(0) };
        let bytes = &mut self.bytes;
        bytes.put_u8(1);
        bytes.put_i64_le(entry.record_time.as_second());
        bytes.put_i32_le(entry.record_time.subsec_nanosecond());
        bytes.put_u8(u8::from(entry.request.is_some()));
        if let Some(RequestKey { id, digest }) = entry.request {
            bytes.put_slice(id.as_bytes());
            bytes.put_slice(&digest);
        }
        bytes.put_u64_le(report.name.0);
        bytes.put_u8(unit_len);
        bytes.put_slice(unit);
        bytes.put_slice(&facts.identity);
        facts.claims.write(bytes);
    }
}

fn read_lines(bytes: &mut &[u8]) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    while let Ok(kind) = bytes.try_get_u8() {
        lines.push(match kind {
            0 => Line::Unknown,
            1 => Line::Report(Box::new(read_outline(bytes)?)),
            _ => return None,
        });
    }
    Some(lines)
}

fn read_outline(bytes: &mut &[u8]) -> Option<Outline> {
    let record_time = Timestamp::new(bytes.try_get_i64_le().ok()?, bytes.try_get_i32_le().ok()?).ok()?;
    let request = match bytes.try_get_u8().ok()? {
        0 => None,
        _ => Some(RequestKey { id: Uuid::from_bytes(array(bytes)?), digest: array(bytes)? }),
    };
    let name = ReportName(bytes.try_get_u64_le().ok()?);
    let unit_len = usize::from(bytes.try_get_u8().ok()?);
    let (unit, rest) = bytes.split_at_checked(unit_len)?;
    *bytes = rest;
    let unit = std::str::from_utf8(unit).ok()?.parse().ok()?;
    let facts = Facts { identity: array(bytes)?, claims: Claims::read(bytes)? };
    Some(Outline { record_time, request, name, unit, facts })
}

fn array<const LEN: usize>(bytes: &mut &[u8]) -> Option<[u8; LEN]> {
    let (array, rest) = bytes.split_first_chunk::<LEN>()?;
    *bytes = rest;
    Some(*array)
}

fn link(bytes: &mut &[u8]) -> Option<Link> {
    Some(Link { revision: Revision::from(bytes.try_get_u64_le().ok()?), chain_hash: ChainHash(array(bytes)?) })
}

impl FactsFile {
    /// Opens the file of a store, or begins it.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(super) fn open(path: &Path, store: StoreId) -> io::Result<Self> {
        let head = [&MAGIC[..], store.0.as_bytes(), FACTS_BY.as_bytes()].concat();
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut found = [0; HEAD_LEN];
        let is_ours = file.read_exact(&mut found).is_ok() && found[..] == head[..];
        if !is_ours {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&head)?;
        }
        let (begins, ends) = (HEAD_LEN as u64, HEAD_LEN as u64);
        Ok(Self { reader: Some(BufReader::with_capacity(READ_BYTES, file)), writer: None, begins, ends })
    }

    /// How many claims are in it, roughly, so that room for them can be made at once.
    pub(super) fn claims_about(&self) -> usize {
        let file = self.reader.as_ref().map(BufReader::get_ref);
        let length = file.and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
        usize::try_from(length).unwrap_or_default() / CLAIM_BYTES
    }

    /// The next block, if it follows on that entry. If there is none, what is left is thrown away.
    pub(super) fn next(&mut self, previous: &Link) -> Option<Block> {
        let reader = self.reader.as_mut()?;
        self.begins = self.ends;
        let Some((block, length)) = read_block(reader, previous) else {
            self.cut();
            return None;
        };
        self.ends += length;
        Some(block)
    }

    /// Throws away the block that was read last, and all behind it.
    pub(super) fn cut(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        let mut file = reader.into_inner();
        let cut = file.set_len(self.begins).and_then(|()| file.seek(SeekFrom::Start(self.begins)));
        match cut {
            Ok(_) => self.writer = Some(file),
            Err(error) => tracing::warn!(%error, "facts are not kept: the next start takes longer"),
        }
    }

    /// Adds a block that ends with that entry. If that fails, nothing is added any more.
    pub(super) fn append(&mut self, lines: Lines, last: &Link) {
        let (Some(file), Some(previous)) = (&mut self.writer, lines.previous) else { return };
        let mut body = Vec::with_capacity(2 * LINK_LEN + lines.bytes.len());
        for link in [&previous, last] {
            body.put_u64_le(link.revision.get());
            body.put_slice(&link.chain_hash.0);
        }
        body.put_slice(&lines.bytes);
        let Ok(length) = u32::try_from(body.len()) else { return };
        let head = [length.to_le_bytes(), crc32fast::hash(&body).to_le_bytes()].concat();
        if let Err(error) = file.write_all(&head).and_then(|()| file.write_all(&body)) {
            tracing::warn!(%error, "facts are no longer kept: the next start takes longer");
            self.writer = None;
        }
    }
}

/// A block that follows on that entry, and how long it is.
fn read_block(reader: &mut impl Read, previous: &Link) -> Option<(Block, u64)> {
    let mut head = [0; 8];
    reader.read_exact(&mut head).ok()?;
    let (mut length, mut crc) = (&head[..4], &head[4..]);
    let (length, crc) = (length.get_u32_le() as usize, crc.get_u32_le());
    if !(2 * LINK_LEN..=BLOCK_BYTES_MAX).contains(&length) {
        return None;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut bytes = body.as_slice();
    if crc32fast::hash(bytes) != crc || link(&mut bytes)? != *previous {
        return None;
    }
    let last = link(&mut bytes)?;
    let lines = read_lines(&mut bytes)?;
    let count = last.revision.get().checked_sub(previous.revision.get())?;
    let is_whole = !lines.is_empty() && usize::try_from(count) == Ok(lines.len());
    is_whole.then_some((Block { last, lines }, 8 + length as u64))
}
