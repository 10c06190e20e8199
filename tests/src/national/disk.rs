//! Bare sled: the stored values of a log, written again into a fresh sled with group commit and fdatasync, and nothing
//! around it. What a write costs at least.

use std::{
    error::Error,
    fs::{self, File},
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// As in the service's own log.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// As in the service's own log.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Stored values in the order of their keys.
pub type Values = Vec<(sled::IVec, sled::IVec)>;

fn open(directory: &Path) -> sled::Result<sled::Db> {
    sled::Config::new().path(directory).segment_size(SEGMENT_BYTES).cache_capacity(CACHE_BYTES).open()
}

/// The values of a store that nobody serves whose first revision lies in that range, at most so many bytes; and how many
/// revisions they hold.
///
/// # Errors
/// The store cannot be read.
pub fn values(data: &Path, revisions: Range<i64>, bytes_max: usize) -> Result<(Values, u64), Box<dyn Error>> {
    let db = open(&data.join("log"))?;
    let tree = db.open_tree("log")?;
    let key = |revision: i64| u64::try_from(revision).unwrap_or_default().to_be_bytes();
    let (mut values, mut bytes) = (Vec::new(), 0);
    let mut end = None;
    for found in tree.range(key(revisions.start)..) {
        let (first, value) = found?;
        if bytes >= bytes_max || *first >= key(revisions.end)[..] {
            end = Some(first);
            break;
        }
        bytes += value.len();
        values.push((first, value));
    }
    let number = |key: &[u8]| key.try_into().map(u64::from_be_bytes);
    let start = values.first().map(|(first, _)| number(first)).transpose()?.unwrap_or_default();
    let end = match end {
        Some(first) => number(&first)?,
        None => u64::try_from(revisions.end)?,
    };
    Ok((values, end.saturating_sub(start)))
}

/// How long it takes to make these values durable, `group` of them in each commit.
///
/// # Errors
/// sled, or the sync, fails.
pub fn write(directory: &Path, values: &Values, group: usize) -> Result<Duration, Box<dyn Error>> {
    fs::create_dir(directory)?;
    // Not every file system has it; the service's log asks for it, too.
    let handle = File::open(directory)?;
    let _ = ioctl_getflags(&handle).and_then(|flags| ioctl_setflags(&handle, flags | IFlags::SYNC));
    let db = open(directory)?;
    let tree = db.open_tree("log")?;
    let data = File::open(directory.join("db"))?;
    let start = Instant::now();
    for values in values.chunks(group) {
        let mut batch = sled::Batch::default();
        for (key, value) in values {
            batch.insert(key, value);
        }
        tree.apply_batch(batch)?;
        tree.flush()?;
        data.sync_data()?;
    }
    let took = start.elapsed();
    drop((tree, db));
    fs::remove_dir_all(directory)?;
    Ok(took)
}
