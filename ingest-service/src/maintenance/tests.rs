use shared::{
    change::{Change, Entry},
    codec::{encode, next_link},
    model::ids::ReportName,
};

use super::*;

/// Entries in the log whose space is measured; `TONGHOP_TEST_ENTRIES` asks for more.
const ENTRIES: u64 = 10_000;

/// Appends one entry of the size of a small report at a time, as a caller who waits for each receipt makes it.
fn fill(directory: &Path, count: u64) {
    let log = SledLog::open(directory, 0).unwrap();
    for number in 0..count {
        let tail = log.tail();
        let entry = Entry {
            revision: tail.revision.next(),
            record_time: jiff::Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: None,
            principal: Default::default(),
            findings: Vec::new(),
            change: Change::ReportWithdrawn { name: ReportName(number + 1), reason: "because ".repeat(50) },
        };
        let entry = encode(&entry).unwrap();
        log.append(&[Record { link: next_link(&tail, &entry), entry }]).unwrap();
    }
    log.settle().unwrap();
}

fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[test]
fn a_compacted_log_holds_the_same_in_less_space() {
    let directory = in_memory();
    let entries = std::env::var("TONGHOP_TEST_ENTRIES").map_or(ENTRIES, |entries| entries.parse().unwrap());
    fill(directory.path(), entries);
    let (before, after) = compact(directory.path()).unwrap();
    println!("{entries} entries, one at a time\nwas {before}\nis {after}");
    assert!(after.disk_bytes < before.disk_bytes);
    // Opening it fills up its last segment.
    let verified = verify(directory.path()).unwrap();
    assert!(verified.disk_bytes < before.disk_bytes);
    assert_eq!(Verified { disk_bytes: 0, ..verified }, Verified { disk_bytes: 0, ..before });
}

#[test]
fn a_store_that_is_in_use_or_not_there_is_left_alone() {
    let directory = in_memory();
    for refused in [verify(directory.path()).map(drop), compact(directory.path()).map(drop)] {
        assert!(matches!(refused, Err(TransferError::Missing(_))));
    }
    let _log = SledLog::open(directory.path(), 0).unwrap();
    for refused in [verify(directory.path()).map(drop), begin_epoch(directory.path()).map(drop)] {
        assert!(matches!(refused, Err(TransferError::Open(crate::log::sled::OpenError::InUse))));
    }
}

#[test]
fn a_new_epoch_begins_where_the_log_ends() {
    let directory = in_memory();
    fill(directory.path(), 3);
    let begun = begin_epoch(directory.path()).unwrap();
    let verified = verify(directory.path()).unwrap();
    assert_eq!((begun.epoch, begun.last.revision.get()), (2, 3));
    assert_eq!((verified.epoch, verified.last), (2, begun.last));
}
