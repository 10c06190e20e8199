use std::os::unix::fs::FileExt;

use shared::codec::next_link;

use super::*;

fn records(previous: Link, entries: impl IntoIterator<Item = Vec<u8>>) -> Vec<Record> {
    let mut last = previous;
    let record = |entry: Vec<u8>| {
        last = next_link(&last, &entry);
        Record { link: last, entry }
    };
    entries.into_iter().map(record).collect()
}

fn append(log: &SledLog, count: usize, size: usize) {
    let entries = (0..count).map(|index| vec![u8::try_from(index % 251).unwrap(); size]);
    log.append(&records(log.tail(), entries)).unwrap();
}

fn all(log: &SledLog) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let after = all.last().map_or(Revision::ZERO, |record| record.link.revision);
        let more = log.read(after, 10_000).unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

#[test]
fn what_was_appended_is_there_after_a_restart_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open(directory.path(), 0).unwrap();
    let store = log.store();
    for size in [10, 60_000, 300] {
        append(&log, 7, size);
    }
    let before = all(&log);
    assert_eq!(before.len(), 21);
    log.settle().unwrap();
    drop(log);

    let log = SledLog::open(directory.path(), 0).unwrap();
    assert_eq!(log.store(), store);
    assert_eq!(all(&log), before);
    assert_eq!(log.tail(), before[20].link);
    assert_eq!(log.read(Revision::from(20), 1).unwrap(), before[20..]);
    assert_eq!(log.read(Revision::from(21), 1).unwrap(), []);
}

#[test]
fn nothing_goes_to_the_blob_files_that_sled_never_syncs() {
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open(directory.path(), 0).unwrap();
    for _ in 0..20 {
        append(&log, 100, 60_000);
    }
    assert_eq!(fs::read_dir(directory.path().join("log/blobs")).unwrap().count(), 0);
}

#[test]
fn a_second_log_on_one_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = SledLog::open(directory.path(), 0).unwrap();
    assert!(matches!(SledLog::open(directory.path(), 0), Err(OpenError::InUse)));
}

#[test]
fn a_log_that_lost_what_its_head_promised_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open(directory.path(), 0).unwrap();
    append(&log, 5, 100);
    log.settle().unwrap();
    drop(log);
    fs::remove_dir_all(directory.path().join("log")).unwrap();
    let refused = SledLog::open(directory.path(), 0).unwrap_err().to_string();
    assert!(refused.contains("revision 5 was durable, the log ends at 0"), "{refused}");
}

#[test]
fn a_log_without_its_head_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open(directory.path(), 0).unwrap();
    append(&log, 5, 100);
    drop(log);
    fs::remove_file(directory.path().join("head")).unwrap();
    assert!(matches!(SledLog::open(directory.path(), 0), Err(OpenError::Damaged(_))));
}

#[test]
fn the_head_of_another_store_is_refused() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for directory in [&ours, &other] {
        let log = SledLog::open(directory.path(), 0).unwrap();
        append(&log, 5, 100);
        log.settle().unwrap();
    }
    fs::copy(other.path().join("head"), ours.path().join("head")).unwrap();
    let refused = SledLog::open(ours.path(), 0).unwrap_err().to_string();
    assert!(refused.contains("different histories"), "{refused}");
}

#[test]
fn a_log_further_than_its_head_is_what_a_crash_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open(directory.path(), 0).unwrap();
    append(&log, 5, 100);
    log.settle().unwrap();
    let head = fs::read(directory.path().join("head")).unwrap();
    append(&log, 5, 100);
    log.settle().unwrap();
    drop(log);
    fs::write(directory.path().join("head"), head).unwrap();
    assert_eq!(SledLog::open(directory.path(), 0).unwrap().tail().revision, Revision::from(10));
}

#[test]
fn a_snapshot_that_a_crash_cut_short_does_not_keep_the_log_from_opening() {
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open(directory.path(), 0).unwrap();
    append(&log, 5, 100);
    drop(log);
    for name in ["snap.0000000000000001.generating", "snap.FFFFFFFFFFFFFFFF.generating"] {
        fs::write(directory.path().join("log").join(name), [1, 2, 3]).unwrap();
    }
    assert_eq!(SledLog::open(directory.path(), 0).unwrap().tail().revision, Revision::from(5));
}

#[test]
fn nothing_is_shown_or_accepted_after_a_failed_sync() {
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open_with(directory.path(), SpaceMin::default(), |_| {
        Err(io::Error::other("as if the disk had failed"))
    })
    .unwrap();
    let more = records(log.tail(), [vec![1]]);
    assert!(matches!(log.append(&more), Err(LogError::Storage(_))));
    assert_eq!(log.tail().revision, Revision::ZERO, "what may not be on disk is not shown");
    assert_eq!(log.read(Revision::ZERO, 100), Ok(vec![]));
    assert!(matches!(log.append(&more), Err(LogError::Storage(_))), "a failed sync is never tried again");
    assert!(matches!(log.settle(), Err(LogError::Storage(_))));
}

#[test]
fn every_append_is_synced_before_it_is_shown() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SYNCS: AtomicU64 = AtomicU64::new(0);
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open_with(directory.path(), SpaceMin::default(), |file| {
        SYNCS.fetch_add(1, Ordering::SeqCst);
        file.sync_data()
    });
    let log = log.unwrap();
    for appends in 1..=5 {
        append(&log, 3, 100);
        assert_eq!(SYNCS.load(Ordering::SeqCst), appends);
    }
}

#[test]
fn a_new_store_is_not_made_over_an_unreadable_head() {
    let directory = tempfile::tempdir().unwrap();
    drop(SledLog::open(directory.path(), 0).unwrap());
    fs::remove_dir_all(directory.path().join("log")).unwrap();
    fs::write(directory.path().join("head"), [0; 100]).unwrap();
    assert!(matches!(SledLog::open(directory.path(), 0), Err(OpenError::Damaged(_))));
}

#[test]
fn damaged_bytes_are_never_served() {
    let directory = tempfile::tempdir().unwrap();
    let log = SledLog::open(directory.path(), 0).unwrap();
    for _ in 0..50 {
        append(&log, 10, 500);
    }
    let good = all(&log);
    log.settle().unwrap();
    drop(log);
    let (mut refused, mut harmless) = (0, 0);
    let used = fs::read(directory.path().join("log/db")).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    for step in 0..40 {
        // A fresh copy each time: sled's lock and its own repairs must not reach the next round.
        let copy = tempfile::tempdir().unwrap();
        copy_directory(directory.path(), copy.path());
        if step == 0 {
            assert_eq!(all(&SledLog::open(copy.path(), 0).unwrap()), good, "the copy itself is whole");
            continue;
        }
        let data = copy.path().join("log/db");
        let at = used * step / 40;
        let byte = fs::read(&data).unwrap()[at];
        let file = File::options().write(true).open(&data).unwrap();
        file.write_all_at(&[byte ^ 0x10], u64::try_from(at).unwrap()).unwrap();
        let served = SledLog::open(copy.path(), 0).map_err(|error| error.to_string()).and_then(|log| try_all(&log));
        match served {
            Ok(records) => {
                assert_eq!(records, good, "bit flipped at byte {at}");
                harmless += 1;
            }
            Err(_) => refused += 1,
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 0, "some of the flips must have hit something");
}

fn try_all(log: &SledLog) -> Result<Vec<Record>, String> {
    let mut all: Vec<Record> = Vec::new();
    while all.len() < usize::try_from(log.tail().revision.get()).unwrap() {
        let after = all.last().map_or(Revision::ZERO, |record| record.link.revision);
        all.extend(log.read(after, 10_000).map_err(|error| error.to_string())?);
    }
    Ok(all)
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Bytes that an earlier version has written, or what this version writes if the fixture is new.
fn disk_fixture(name: &str, written: &[u8]) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/disk").join(name);
    if std::env::var_os("TONGHOP_WRITE_FIXTURES").is_some() && !path.exists() {
        fs::write(&path, written).unwrap();
    }
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn disk_format_1_is_read_and_still_written() {
    use shared::{
        change::{Change, Entry},
        codec,
    };
    let store = StoreId(uuid::Uuid::from_u128(0x0192_d0c2_7c3e_7f00_8000_0000_0000_0001));
    let genesis = genesis(store);
    let entry = Entry {
        revision: Revision::from(1),
        record_time: jiff::Timestamp::new(1_763_800_000, 5).unwrap(),
        ends_change: true,
        request: None,
        principal: Default::default(),
        findings: Vec::new(),
        change: Change::RegisterCompleteFrom(jiff::civil::date(2025, 6, 30)),
    };
    let records = records(genesis, [codec::encode(&entry).unwrap()]);
    let written = batch::write(&genesis, &records);
    let fixture = disk_fixture("batch-1.bin", &written);
    assert_eq!(fixture[0], 1, "the first byte is the format version");
    let read = Batch::read(&batch::key(Revision::from(1)), &fixture).unwrap();
    assert_eq!(read, Batch { previous: genesis, records: records.clone() });
    assert_eq!(codec::decode_next(&genesis, &read.records[0]), Ok(entry));
    assert_eq!(fixture, written);

    let head = Head { store, epoch: 1, link: records[0].link };
    let written = head::write_slot(7, &head);
    let fixture = disk_fixture("head-1.bin", &written);
    assert_eq!(head::read_slot(fixture.as_slice().try_into().unwrap()), Some((7, head)));
    assert_eq!(fixture, written);
}

#[test]
fn nothing_is_appended_where_too_little_is_free() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(SledLog::open(directory.path(), 0).unwrap().check_space(), Ok(()));
    let refused = SledLog::open(directory.path(), u64::MAX).unwrap().check_space().unwrap_err();
    assert!(refused.contains("must stay free"), "{refused}");
    let whole = SpaceMin { bytes: 0, percent: 100 };
    let refused = SledLog::open(directory.path(), whole).unwrap().check_space().unwrap_err();
    assert!(refused.contains("must stay free"), "{refused}");
    assert!(!directory.path().join("ballast").exists(), "there is no room for ballast either");
    assert_eq!(SledLog::open(directory.path(), 1).unwrap().check_space(), Ok(()));
    assert_eq!(fs::metadata(directory.path().join("ballast")).unwrap().len(), 32 * 1024 * 1024);
}
