//! The head: what was durable, kept outside sled so that sled can be doubted.
//!
//! ```text
//! slot  magic "tonghop\1" ‖ sequence u64 ‖ store id, 16 ‖ epoch u64 ‖ revision u64 ‖ chain hash, 32 ‖ CRC-32 of all before
//! ```
//!
//! Two slots, 4 KiB apart, are written in turn; a torn write leaves the other one. The slot with the higher sequence
//! holds. Numbers are big-endian.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use shared::{
    codec::genesis,
    model::log::{ChainHash, Link, Revision, StoreId},
};
use uuid::Uuid;

use super::OpenError;

/// First bytes of a slot; the last one is its format version.
const MAGIC: [u8; 8] = *b"tonghop\x01";
const SLOT_LEN: usize = 8 + 8 + 16 + 8 + 8 + 32 + 4;
const SLOT_DISTANCE: u64 = 4096;
const _: () = assert!(SLOT_LEN == 84 && SLOT_LEN as u64 <= SLOT_DISTANCE);

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Identity of the store.
    pub(super) store: StoreId,
    /// Its epoch.
    pub(super) epoch: u64,
    /// An entry that was durable when this was written.
    pub(super) link: Link,
}

/// The file, locked by this process.
#[derive(Debug)]
pub(super) struct HeadFile {
    file: File,
    sequence: u64,
}

impl HeadFile {
    /// Opens the head, or creates one for a new store. `may_create` says that there is no log which would need it.
    pub(super) fn open(path: &Path, may_create: bool) -> Result<(Self, Head), OpenError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Self::read(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Err(_) if may_create => Self::create(path, StoreId(Uuid::now_v7()), 1),
            Err(_) => {
                let message = "a log without its file \"head\"; restore both from a backup";
                Err(OpenError::Damaged(message.to_owned()))
            }
        }
    }

    fn read(file: File) -> Result<(Self, Head), OpenError> {
        lock(&file)?;
        match read_slots(&file)? {
            Some((sequence, head)) => Ok((Self { file, sequence }, head)),
            None => Err(OpenError::Damaged("neither slot of its file \"head\" can be read".to_owned())),
        }
    }

    /// Creates the head of an empty store: under another name first, so that a head is there as a whole or not at all.
    pub(super) fn create(path: &Path, store: StoreId, epoch: u64) -> Result<(Self, Head), OpenError> {
        let new_path = path.with_extension("new");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&new_path)?;
        lock(&file)?;
        if path.exists() {
            // Another process was faster, and has it.
            return Err(OpenError::InUse);
        }
        let head = Head { store, epoch, link: genesis(store) };
        let mut head_file = Self { file, sequence: 0 };
        // Both slots, so that the file has its full length before it matters.
        head_file.write(&head)?;
        head_file.write(&head)?;
        head_file.file.sync_all()?;
        fs::rename(&new_path, path)?;
        Ok((head_file, head))
    }

    /// Writes the older slot and makes it durable.
    pub(super) fn write(&mut self, head: &Head) -> io::Result<()> {
        self.sequence += 1;
        let offset = (self.sequence % 2) * SLOT_DISTANCE;
        self.file.write_all_at(&write_slot(self.sequence, head), offset)?;
        self.file.sync_data()
    }
}

/// Keeps other processes out for as long as the file is open.
fn lock(file: &File) -> Result<(), OpenError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse,
        TryLockError::Error(error) => OpenError::Io(error),
    })
}

fn read_slots(file: &File) -> io::Result<Option<(u64, Head)>> {
    let mut newest: Option<(u64, Head)> = None;
    for slot in 0..2 {
        let mut bytes = [0; SLOT_LEN];
        match file.read_exact_at(&mut bytes, slot * SLOT_DISTANCE) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        }
        if let Some(read) = read_slot(&bytes)
            && newest.is_none_or(|(sequence, _)| read.0 > sequence)
        {
            newest = Some(read);
        }
    }
    Ok(newest)
}

pub(super) fn write_slot(sequence: u64, head: &Head) -> [u8; SLOT_LEN] {
    let body = [
        &MAGIC[..],
        &sequence.to_be_bytes(),
        head.store.0.as_bytes(),
        &head.epoch.to_be_bytes(),
        &head.link.revision.get().to_be_bytes(),
        &head.link.chain_hash.0,
    ]
    .concat();
    let crc = crc32fast::hash(&body).to_be_bytes();
    let mut slot = [0; SLOT_LEN];
    slot[..SLOT_LEN - 4].copy_from_slice(&body);
    slot[SLOT_LEN - 4..].copy_from_slice(&crc);
    slot
}

pub(super) fn read_slot(bytes: &[u8; SLOT_LEN]) -> Option<(u64, Head)> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
        return None;
    }
    let (magic, rest) = body.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (store, rest) = rest.split_first_chunk::<16>()?;
    let (epoch, rest) = rest.split_first_chunk::<8>()?;
    let (revision, hash) = rest.split_first_chunk::<8>()?;
    let link =
        Link { revision: Revision::from(u64::from_be_bytes(*revision)), chain_hash: ChainHash(hash.try_into().ok()?) };
    let head = Head { store: StoreId(Uuid::from_bytes(*store)), epoch: u64::from_be_bytes(*epoch), link };
    (*magic == MAGIC).then_some((u64::from_be_bytes(*sequence), head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(revision: u64) -> Head {
        let link = Link { revision: Revision::from(revision), chain_hash: ChainHash([5; 32]) };
        Head { store: StoreId(Uuid::from_u128(9)), epoch: 3, link }
    }

    #[test]
    fn a_slot_comes_back_as_it_was_written_and_no_changed_bit_passes() {
        let slot = write_slot(8, &head(1207));
        assert_eq!(read_slot(&slot), Some((8, head(1207))));
        for bit in 0..SLOT_LEN * 8 {
            let mut changed = slot;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_slot(&changed), None, "bit {bit}");
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        let (mut file, first) = HeadFile::open(&path, true).unwrap();
        assert_eq!(first.link, genesis(first.store));
        let at = |revision| Head { link: head(revision).link, ..first };
        file.write(&at(1)).unwrap();
        file.write(&at(2)).unwrap();
        let torn = (file.sequence % 2) * SLOT_DISTANCE + 40;
        file.file.write_all_at(&[0xff; 10], torn).unwrap();
        drop(file);
        let (_, found) = HeadFile::open(&path, false).unwrap();
        assert_eq!(found, at(1));
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        let _first = HeadFile::open(&path, true).unwrap();
        assert!(matches!(HeadFile::open(&path, true), Err(OpenError::InUse)));
    }
}
