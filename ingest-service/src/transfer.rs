//! A whole store as one file, and back: backup, restore, and copying to a fresh directory to win back space.
//!
//! # FILE
//!
//! ```text
//! start   "tonghop-export\x01" ‖ store id, 16 ‖ epoch u64
//! entry   length u32, not 0 ‖ the bytes of the entry ‖ chain hash, 32          as many as there are
//! end     0 u32 ‖ revision u64 of the last entry ‖ its chain hash, 32
//! ```
//!
//! Numbers are big-endian. The bytes of an entry are those of the log, so revisions, chain and followers stay as they are.
//! Every entry is verified against the chain on its way out and on its way in, and a file without its end is refused: it
//! is a part of a history.
//!
//! # WHAT A CRASH LEAVES
//!
//! An export to a file writes beside it, under its name with `.part` at the end, and gives it its name last. An import
//! builds the store in `.importing` inside the directory, walks it once more, and moves the log and then the head to their
//! place; without a head there is no store. What is left of one that did not come to its end is thrown away by the next.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use shared::{
    codec::{self, Record, RecordFault},
    model::log::{ChainHash, Link, Revision, StoreId},
};
use uuid::Uuid;

use crate::log::{
    Log, LogError,
    sled::{OpenError, SledLog, sync_directory},
};

/// First bytes of a file; the last one is its format version.
const MAGIC: &[u8; 15] = b"tonghop-export\x01";
/// Bytes read from the log, or appended to it, at a time.
const GROUP_BYTES: usize = 1024 * 1024;
/// Where an import builds the store, inside its directory.
const BUILDING: &str = ".importing";
/// Longer than any entry with its findings.
const ENTRY_LEN_MAX: u32 = 1024 * 1024;

/// Why a store cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// The file cannot be read or written.
    #[error("the file cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The directory of the store cannot be used.
    #[error("the directory {0:?} cannot be used: {1}")]
    Directory(PathBuf, io::Error),
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An entry does not follow on the ones before it.
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// The file is no export, or not a whole one.
    #[error("the file is damaged: {0}")]
    File(String),
    /// There is something already where the store is to be.
    #[error("{0:?} is there already and not empty; import into a fresh directory")]
    Exists(PathBuf),
    /// A running service does not give what is asked of it.
    #[error("the ingest-service: {0}")]
    Remote(String),
    /// There is no store to export.
    #[error("{0:?} holds no store")]
    Missing(PathBuf),
}

impl TransferError {
    /// Exit code of the process, after `sysexits.h`: 65 damaged data, 66 no store, 69 the service is not there, or refuses,
    /// 73 directory in use or not empty, 74 the disk or the file failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(OpenError::Damaged(_)) | Self::Record(_) | Self::File(_) => 65,
            Self::Log(LogError::Damaged { .. }) => 65,
            Self::Missing(_) => 66,
            Self::Remote(_) => 69,
            Self::Open(OpenError::InUse | OpenError::Io(_)) | Self::Exists(_) | Self::Directory(..) => 73,
            Self::Io(_) | Self::Log(LogError::Storage(_)) => 74,
        }
    }
}

/// What was transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The store.
    pub store: StoreId,
    /// Its last entry.
    pub last: Link,
}

impl fmt::Display for Transferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {} up to revision {}", self.store, self.last.revision)
    }
}

/// Writes the whole store of a directory to a file. Nobody else may use the store meanwhile.
///
/// # Errors
/// [`TransferError`]; what was written then has no end and is refused by an import.
pub fn export(directory: &Path, file: &mut impl Write) -> Result<Transferred, TransferError> {
    if !directory.join("head").exists() {
        return Err(TransferError::Missing(directory.to_owned()));
    }
    let log = SledLog::open(directory, 0)?;
    write_start(file, log.store(), log.epoch())?;
    let last = walk(&log, |record| write_record(file, record))?;
    write_end(file, &last)?;
    Ok(Transferred { store: log.store(), last })
}

pub(crate) fn write_start(file: &mut impl Write, store: StoreId, epoch: u64) -> Result<(), TransferError> {
    file.write_all(MAGIC)?;
    file.write_all(store.0.as_bytes())?;
    file.write_all(&epoch.to_be_bytes())?;
    Ok(())
}

pub(crate) fn write_end(file: &mut impl Write, last: &Link) -> Result<(), TransferError> {
    file.write_all(&0u32.to_be_bytes())?;
    file.write_all(&last.revision.get().to_be_bytes())?;
    file.write_all(&last.chain_hash.0)?;
    file.flush()?;
    Ok(())
}

/// The same into a file of that name, which must not be there.
///
/// # Errors
/// [`TransferError`]; there is no file of that name then.
pub fn export_to_file(directory: &Path, path: &Path) -> Result<Transferred, TransferError> {
    into_file(path, |file| export(directory, file))
}

/// Writes an export into a file of that name, which is there when it is whole and durable.
pub(crate) fn into_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<Transferred, TransferError>,
) -> Result<Transferred, TransferError> {
    if path.exists() {
        return Err(TransferError::Exists(path.to_owned()));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = BufWriter::new(File::create(&part)?);
    let exported = write(&mut file);
    if exported.is_err() {
        // A file without its end is of no use.
        let _ = fs::remove_file(&part);
        return exported;
    }
    file.get_ref().sync_all()?;
    fs::rename(&part, path)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    sync_directory(above.unwrap_or(Path::new(".")))?;
    exported
}

pub(crate) fn write_record(file: &mut impl Write, record: &Record) -> Result<(), TransferError> {
    let too_long = |_| TransferError::File(format!("entry {} is too long", record.link.revision));
    let length = u32::try_from(record.entry.len()).map_err(too_long)?;
    file.write_all(&length.to_be_bytes())?;
    file.write_all(&record.entry)?;
    file.write_all(&record.link.chain_hash.0)?;
    Ok(())
}

/// Hands on every record of a log, each verified against the ones before it; answers the last link.
pub(crate) fn walk(
    log: &SledLog,
    mut each: impl FnMut(&Record) -> Result<(), TransferError>,
) -> Result<Link, TransferError> {
    let mut last = codec::genesis(log.store());
    loop {
        let records = log.read(last.revision, GROUP_BYTES)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            codec::decode_next(&last, &record)?;
            each(&record)?;
            last = record.link;
        }
    }
    let tail = log.tail();
    if last == tail {
        return Ok(last);
    }
    let detail = format!("the log ends at {}, {} was expected", last.revision, tail.revision);
    Err(LogError::Damaged { revision: last.revision.next(), detail }.into())
}

/// Creates a store in a directory from a file: the same store with the same history, or with that history up to the last change
/// that ends at `until` or before.
///
/// # Errors
/// [`TransferError`]; there is no store in the directory then.
pub fn import(directory: &Path, file: &mut impl Read, until: Option<Revision>) -> Result<Transferred, TransferError> {
    // What a file system keeps for itself, and what is left of an import that did not come to its end.
    let is_ours = |name: &std::ffi::OsStr| name == BUILDING || name == "lost+found";
    let there = match fs::read_dir(directory) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>().map_err(unusable(directory))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unusable(directory)(error)),
    };
    if there.iter().any(|entry| !is_ours(&entry.file_name())) {
        return Err(TransferError::Exists(directory.to_owned()));
    }
    let building = directory.join(BUILDING);
    if let Ok(head) = File::open(building.join("head")) {
        // Another import that still runs has it locked.
        head.try_lock().map_err(|_| OpenError::InUse)?;
    }
    match fs::remove_dir_all(&building) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&building)(error)),
        _ => {}
    }
    let transferred = build(&building, file, until)?;
    // The head comes last: a log without it is no store.
    for name in ["log", "head"] {
        fs::rename(building.join(name), directory.join(name)).map_err(unusable(directory))?;
        sync_directory(directory).map_err(unusable(directory))?;
    }
    fs::remove_dir(&building).map_err(unusable(&building))?;
    Ok(transferred)
}

fn unusable(directory: &Path) -> impl Fn(io::Error) -> TransferError {
    let directory = directory.to_owned();
    move |error| TransferError::Directory(directory.clone(), error)
}

fn build(directory: &Path, file: &mut impl Read, until: Option<Revision>) -> Result<Transferred, TransferError> {
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(short)?;
    if magic != *MAGIC {
        return Err(TransferError::File("it does not begin like an export of this version".to_owned()));
    }
    let store = StoreId(Uuid::from_bytes(take(file)?));
    let epoch = u64::from_be_bytes(take(file)?);
    let log = SledLog::create(directory, store, epoch)?;
    let (mut last, mut ends_change) = (codec::genesis(store), true);
    let (mut group, mut bytes) = (Vec::new(), 0);
    let (mut change, mut kept) = (Vec::new(), last);
    while let Some(record) = read_record(file, last.revision.next())? {
        ends_change = codec::decode_next(&last, &record)?.ends_change;
        last = record.link;
        let is_wanted = until.is_none_or(|until| last.revision <= until);
        change.push(record);
        if !ends_change {
            continue;
        }
        // What comes after is verified all the same: a file that is damaged anywhere is not to be trusted.
        if !is_wanted {
            change.clear();
            continue;
        }
        kept = last;
        bytes += change.iter().map(|record| record.entry.len()).sum::<usize>();
        group.append(&mut change);
        // Group by group; nobody sees the store before it is whole.
        if bytes >= GROUP_BYTES {
            log.append(&group)?;
            (group, bytes) = (Vec::new(), 0);
        }
    }
    log.append(&group)?;
    let end = Link { revision: u64::from_be_bytes(take(file)?).into(), chain_hash: ChainHash(take(file)?) };
    if end != last || !ends_change {
        let message = format!("its end speaks of revision {}, its entries end at {}", end.revision, last.revision);
        return Err(TransferError::File(message));
    }
    if file.read(&mut [0])? != 0 {
        return Err(TransferError::File("something follows after its end".to_owned()));
    }
    log.settle()?;
    // What sled gives back is what it was given.
    walk(&log, |_| Ok(()))?;
    Ok(Transferred { store, last: kept })
}

/// The next record; none at the end.
fn read_record(file: &mut impl Read, revision: Revision) -> Result<Option<Record>, TransferError> {
    match u32::from_be_bytes(take(file)?) {
        0 => Ok(None),
        length if length > ENTRY_LEN_MAX => {
            Err(TransferError::File(format!("entry {revision} has {length} bytes, more than any entry has")))
        }
        length => {
            let mut entry = vec![0; length as usize];
            file.read_exact(&mut entry).map_err(short)?;
            Ok(Some(Record { link: Link { revision, chain_hash: ChainHash(take(file)?) }, entry }))
        }
    }
}

fn take<const N: usize>(file: &mut impl Read) -> Result<[u8; N], TransferError> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).map_err(short)?;
    Ok(bytes)
}

fn short(error: io::Error) -> TransferError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TransferError::File("it ends before its end".to_owned()),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests;
