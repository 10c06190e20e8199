//! Reads the journal of `faultfs`, and names a moment in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Something that happened to files. `file` is the number of a file in its file system, which may be used again.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the table in `faultfs::journal` says what each field is")]
pub enum Event {
    Opened { file: u64, path: String, is_created: bool, is_emptied: bool, is_synchronous: bool, is_directory: bool },
    Written { file: u64, offset: u64, bytes: Vec<u8> },
    Truncated { file: u64, length: u64 },
    SyncBegun { file: u64, sync: u64 },
    SyncDone { file: u64, sync: u64 },
    SyncFailed { file: u64, sync: u64 },
    Renamed { from: String, to: String },
    Removed { path: String },
    DirectoryMade { path: String },
}

/// A moment: so many processes before, and so many bytes of the journal of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Which process.
    pub life: usize,
    /// Bytes of its journal.
    pub bytes: u64,
}

/// The journals of one directory, one for every process that has used it.
#[derive(Clone, Debug)]
pub struct Journals {
    directory: PathBuf,
}

impl Journals {
    /// Journals in a directory that is there.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The file of a process.
    pub fn path(&self, life: usize) -> PathBuf {
        self.directory.join(format!("journal-{life}"))
    }

    /// How far the journal of this process is now.
    pub fn now(&self, life: usize) -> Moment {
        Moment { life, bytes: fs::metadata(self.path(life)).map_or(0, |file| file.len()) }
    }

    /// Everything that a process has done, each with the moment after it.
    ///
    /// # Panics
    /// If the journal is no journal.
    pub fn read(&self, life: usize) -> Vec<(Moment, Event)> {
        let journal = fs::read(self.path(life)).unwrap_or_default();
        let mut rest = journal.as_slice();
        let mut events = Vec::new();
        while let Some((event, after)) = take(rest) {
            rest = after;
            let bytes = u64::try_from(journal.len() - rest.len()).expect("a length is a number");
            events.push((Moment { life, bytes }, event));
        }
        events
    }
}

/// The next event; none at the end, also where a killed process has left a part of one.
fn take(journal: &[u8]) -> Option<(Event, &[u8])> {
    let (kind, rest) = journal.split_first()?;
    let (a, rest) = rest.split_first_chunk()?;
    let (b, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    let (file, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
    let text = || String::from_utf8(bytes.to_vec()).expect("our paths are text");
    let event = match kind {
        b'O' => Event::Opened {
            file,
            path: text(),
            is_created: b & 1 != 0,
            is_emptied: b & 2 != 0,
            is_synchronous: b & 4 != 0,
            is_directory: b & 8 != 0,
        },
        b'W' => Event::Written { file, offset: b, bytes: bytes.to_vec() },
        b'T' => Event::Truncated { file, length: b },
        b'B' => Event::SyncBegun { file, sync: b },
        b'E' => Event::SyncDone { file, sync: b },
        b'F' => Event::SyncFailed { file, sync: b },
        b'R' => {
            let names = text();
            let (from, to) = names.split_once('\0').expect("two names");
            Event::Renamed { from: from.to_owned(), to: to.to_owned() }
        }
        b'U' => Event::Removed { path: text() },
        b'M' => Event::DirectoryMade { path: text() },
        other => panic!("a journal with an event of kind {other}"),
    };
    Some((event, rest))
}
