use jiff::{Timestamp, civil::Date};
use shared::{
    change::{Change, Entry},
    codec::{encode, next_link},
    registry::Registry,
};

use super::*;

/// A store with so many statements of completeness, each a change of its own.
fn filled(directory: &Path, count: usize) -> Link {
    let log = SledLog::open(directory, 0).unwrap();
    for day in 0..count {
        let tail = log.tail();
        let day = Date::new(2000, 1, 1).unwrap().checked_add(jiff::Span::new().days(i64::try_from(day).unwrap()));
        let entry = Entry {
            revision: tail.revision.next(),
            record_time: Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: None,
            principal: Default::default(),
            findings: Vec::new(),
            change: Change::RegisterCompleteFrom(day.unwrap()),
        };
        let entry = encode(&entry).unwrap();
        log.append(&[Record { link: next_link(&tail, &entry), entry }]).unwrap();
    }
    log.settle().unwrap();
    log.tail()
}

/// Opens a store that this process has closed: sled gives its lock back a moment later.
fn open(directory: &Path) -> SledLog {
    loop {
        match SledLog::open(directory, 0) {
            Err(OpenError::Damaged(why)) if why.contains("could not acquire lock") => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn fold(directory: &Path) -> Registry {
    let log = open(directory);
    let mut registry = Registry::default();
    walk(&log, |record| {
        let entry = codec::decode(record)?;
        registry.apply(entry.revision, &entry.change);
        Ok(())
    })
    .unwrap();
    registry
}

fn exported(directory: &Path) -> Vec<u8> {
    let mut file = Vec::new();
    drop(open(directory));
    loop {
        file.clear();
        match export(directory, &mut file) {
            Err(TransferError::Open(OpenError::Damaged(why))) if why.contains("could not acquire lock") => {}
            exported => {
                exported.unwrap();
                return file;
            }
        }
    }
}

#[test]
fn a_store_comes_back_with_its_identity_and_history() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let last = filled(&old, 300);
    let file = exported(&old);
    let imported = import(&new, &mut file.as_slice(), None).unwrap();
    assert_eq!(imported.last, last);
    assert_eq!(open(&new).tail(), last);
    assert_eq!(fold(&new), fold(&old));
    assert_eq!(exported(&new), file, "the same store with the same history");
    // And it goes on from there.
    let went_on = open(&new);
    assert_eq!((went_on.store(), went_on.epoch()), (open(&old).store(), 1));
}

#[test]
fn a_store_comes_into_a_directory_that_is_there_as_a_volume_is() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let last = filled(&old, 3);
    fs::create_dir_all(new.join("lost+found")).unwrap();
    // What is left of an import that was killed.
    fs::create_dir_all(new.join(BUILDING).join("log")).unwrap();
    let file = directory.path().join("file");
    drop(open(&old));
    while export_to_file(&old, &file).is_err() {}
    assert!(matches!(export_to_file(&old, &file), Err(TransferError::Exists(_))));
    import(&new, &mut fs::read(&file).unwrap().as_slice(), None).unwrap();
    assert_eq!(open(&new).tail(), last);
    assert!(!new.join(BUILDING).exists() && !directory.path().join("file.part").exists());
}

#[test]
fn an_empty_store_is_a_store_too() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    filled(&old, 0);
    let imported = import(&new, &mut exported(&old).as_slice(), None).unwrap();
    assert_eq!(imported.last.revision, Revision::ZERO);
}

#[test]
fn every_changed_byte_and_every_missing_end_is_noticed_and_leaves_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    filled(&old, 3);
    let file = exported(&old);
    // The epoch says of which time the history is, and is not part of it; every other byte is.
    let epoch = MAGIC.len() + 16..MAGIC.len() + 24;
    for at in (0..file.len()).filter(|at| !epoch.contains(at)) {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        assert!(import(&new, &mut damaged.as_slice(), None).is_err(), "byte {at}");
        assert!(import(&new, &mut &file[..at], None).is_err(), "cut at {at}");
        assert!(!new.join("head").exists());
    }
    let mut longer = file.clone();
    longer.push(0);
    assert!(import(&new, &mut longer.as_slice(), None).is_err());
    // What failed before is no obstacle.
    import(&new, &mut file.as_slice(), None).unwrap();
}

#[test]
fn nothing_is_overwritten_and_nothing_comes_from_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let (old, empty) = (directory.path().join("old"), directory.path().join("empty"));
    filled(&old, 1);
    let file = exported(&old);
    assert!(matches!(import(&old, &mut file.as_slice(), None), Err(TransferError::Exists(_))));
    assert!(matches!(export(&empty, &mut Vec::new()), Err(TransferError::Missing(_))));
    assert!(!empty.exists());
    let _held = open(&old);
    assert!(matches!(export(&old, &mut Vec::new()), Err(TransferError::Open(OpenError::InUse))));
}

#[test]
fn export_format_1_is_read_and_still_written() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/disk/export-1.bin");
    let store = StoreId(Uuid::from_u128(0x0192_d0c2_7c3e_7f00_8000_0000_0000_0001));
    let entry = Entry {
        revision: Revision::from(1),
        record_time: Timestamp::new(1_763_800_000, 5).unwrap(),
        ends_change: true,
        request: None,
        principal: "reporter".into(),
        findings: Vec::new(),
        change: Change::RegisterCompleteFrom(jiff::civil::date(2025, 6, 30)),
    };
    let bytes = encode(&entry).unwrap();
    let record = Record { link: next_link(&codec::genesis(store), &bytes), entry: bytes };
    let mut written = Vec::new();
    write_start(&mut written, store, 3).unwrap();
    write_record(&mut written, &record).unwrap();
    write_end(&mut written, &record.link).unwrap();
    // A new format gets a new file; this one stays as it is.
    if std::env::var_os("TONGHOP_WRITE_FIXTURES").is_some() && !Path::new(path).exists() {
        fs::write(path, &written).unwrap();
    }
    let fixture = fs::read(path).unwrap();
    assert_eq!(fixture, written);
    let directory = tempfile::tempdir().unwrap();
    let imported = import(&directory.path().join("store"), &mut fixture.as_slice(), None).unwrap();
    assert_eq!(imported, Transferred { store, last: record.link });
    let log = open(&directory.path().join("store"));
    assert_eq!((log.store(), log.epoch(), log.tail()), (store, 3, record.link));
    assert_eq!(codec::decode(&log.read(Revision::ZERO, 1).unwrap()[0]), Ok(entry));
}
