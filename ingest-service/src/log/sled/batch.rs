//! The one key family: batches of consecutive entries.
//!
//! ```text
//! key    first revision, u64 big-endian
//! value  format version u8 ‖ chain hash before it, 32 ‖ { length u32 ‖ chain hash, 32 ‖ entry }* ‖ CRC-32 of all before
//! ```
//!
//! Numbers are big-endian. The revision before the batch follows from the key.

use shared::{
    codec::{Record, next_link},
    limits::{ENTRY_BYTES_MAX, FINDINGS_BYTES_MAX},
    model::log::{ChainHash, Link, Revision},
};

/// Bytes of a key.
pub(super) const KEY_LEN: usize = 8;
/// First byte of every value.
const FORMAT_VERSION: u8 = 1;
/// Values stay well below a quarter of a segment, above which they would go to blob files.
const VALUE_BYTES_MAX: usize = 100_000;
const HASH_LEN: usize = 32;
const LENGTH_LEN: usize = 4;
const CRC_LEN: usize = 4;

const _: () =
    assert!(1 + HASH_LEN + LENGTH_LEN + HASH_LEN + ENTRY_BYTES_MAX + FINDINGS_BYTES_MAX + CRC_LEN <= VALUE_BYTES_MAX);

/// Consecutive entries as they were stored together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The entry before it.
    pub(super) previous: Link,
    /// At least one.
    pub(super) records: Vec<Record>,
}

impl Batch {
    /// Its last entry.
    pub(super) fn tail(&self) -> Option<Link> {
        self.records.last().map(|record| record.link)
    }

    /// Reads a batch and verifies its checksum and its part of the chain.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(key: &[u8], value: &[u8]) -> Result<Self, String> {
        let first = u64::from_be_bytes(key.try_into().map_err(|_| format!("a key of {} bytes", key.len()))?);
        let before = first.checked_sub(1).ok_or("a batch at revision 0")?;
        let (body, crc) = value.split_last_chunk::<CRC_LEN>().ok_or("a value without checksum")?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return Err("the checksum does not fit".to_owned());
        }
        let (version, body) = body.split_first().ok_or("a value without format version")?;
        if *version != FORMAT_VERSION {
            return Err(format!("format version {version}, this version reads {FORMAT_VERSION}"));
        }
        let (hash, mut rest) = body.split_first_chunk::<HASH_LEN>().ok_or("a value without chain hash")?;
        let previous = Link { revision: Revision::from(before), chain_hash: ChainHash(*hash) };
        let mut last = previous;
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (entry, hash, after) = split_entry(rest).ok_or("an entry that is cut off")?;
            last = next_link(&last, entry);
            if last.chain_hash.0 != *hash {
                return Err(format!("the chain hash of revision {} does not fit", last.revision));
            }
            records.push(Record { link: last, entry: entry.to_vec() });
            rest = after;
        }
        if records.is_empty() { Err("a batch without entries".to_owned()) } else { Ok(Self { previous, records }) }
    }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8; HASH_LEN], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_LEN>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (hash, rest) = rest.split_first_chunk::<HASH_LEN>()?;
    let (entry, rest) = rest.split_at_checked(length)?;
    Some((entry, hash, rest))
}

/// The key of a batch that begins at this revision.
pub(super) fn key(first: Revision) -> [u8; KEY_LEN] {
    first.get().to_be_bytes()
}

/// The value of a batch that follows on `previous`.
pub(super) fn write(previous: &Link, records: &[Record]) -> Vec<u8> {
    let bytes: usize = records.iter().map(entry_bytes).sum();
    let mut value = Vec::with_capacity(1 + HASH_LEN + bytes + CRC_LEN);
    value.push(FORMAT_VERSION);
    value.extend_from_slice(&previous.chain_hash.0);
    for record in records {
        let length = u32::try_from(record.entry.len()).expect("an entry has at most 80 KiB");
        value.extend_from_slice(&length.to_be_bytes());
        value.extend_from_slice(&record.link.chain_hash.0);
        value.extend_from_slice(&record.entry);
    }
    let crc = crc32fast::hash(&value);
    value.extend_from_slice(&crc.to_be_bytes());
    value
}

/// Cuts records into batches that are small enough for a value.
pub(super) fn split(records: &[Record]) -> impl Iterator<Item = &[Record]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 1 + HASH_LEN + CRC_LEN;
        let fits = |record: &&Record| {
            bytes += entry_bytes(record);
            bytes <= VALUE_BYTES_MAX
        };
        let count = rest.iter().take_while(fits).count();
        let (batch, after) = rest.split_at(count);
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

fn entry_bytes(record: &Record) -> usize {
    LENGTH_LEN + HASH_LEN + record.entry.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(previous: Link, entries: Vec<Vec<u8>>) -> Vec<Record> {
        let mut last = previous;
        let record = |entry: Vec<u8>| {
            last = next_link(&last, &entry);
            Record { link: last, entry }
        };
        entries.into_iter().map(record).collect()
    }

    fn previous(revision: u64) -> Link {
        Link { revision: Revision::from(revision), chain_hash: ChainHash([7; 32]) }
    }

    proptest! {
        #[test]
        fn a_batch_comes_back_as_it_was_written(
            before in 0..u64::MAX / 2,
            entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
        ) {
            let previous = previous(before);
            let records = chain(previous, entries);
            let read = Batch::read(&key(previous.revision.next()), &write(&previous, &records));
            prop_assert_eq!(read, Ok(Batch { previous, records }));
        }

        #[test]
        fn a_changed_bit_is_noticed(
            entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..5),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let previous = previous(3);
            let mut value = write(&previous, &chain(previous, entries));
            let at = at.index(value.len());
            value[at] ^= 1 << bit;
            prop_assert!(Batch::read(&key(Revision::from(4)), &value).is_err());
        }

        #[test]
        fn a_cut_value_is_noticed(at in any::<prop::sample::Index>()) {
            let previous = previous(3);
            let value = write(&previous, &chain(previous, vec![vec![1; 30], vec![2; 30]]));
            prop_assert!(Batch::read(&key(Revision::from(4)), &value[..at.index(value.len())]).is_err());
        }

        #[test]
        fn no_value_is_larger_than_allowed(
            sizes in prop::collection::vec(prop_oneof![0usize..2000, Just(ENTRY_BYTES_MAX), Just(49_000)], 1..60),
        ) {
            let records = chain(previous(0), sizes.into_iter().map(|size| vec![0; size]).collect());
            let batches: Vec<_> = split(&records).collect();
            prop_assert!(batches.iter().all(|batch| write(&previous(0), batch).len() <= VALUE_BYTES_MAX));
            prop_assert_eq!(batches.concat(), records);
        }
    }
}
