//! The log in sled. The essay is in the module above.

mod batch;
mod head;
mod space;

use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use shared::{
    codec::{Record, genesis},
    fault_point::{is_planted, reach},
    model::log::{Link, Revision, StoreId},
};

pub use self::space::SpaceMin;
use self::{
    batch::{Batch, KEY_LEN},
    head::{Head, HeadFile},
    space::Space,
};
use super::{Log, LogError};
use crate::metrics::METRICS;

/// Above a quarter of it a leaf becomes a blob file, which sled never syncs. It cannot be changed later.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// sled's own default is 1 GB.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// A head for every group would double the time of a commit.
const HEAD_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Longest time in which sled gives back a lock of this process.
const UNLOCK_MAX: Duration = Duration::from_secs(10);

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process uses this directory")]
    InUse,
    /// The directory or a file cannot be used.
    #[error("the directory cannot be used: {0}")]
    Io(#[from] io::Error),
    /// What is on disk is not what was written; a backup or a follower has what is missing.
    #[error("{0}")]
    Damaged(String),
}

/// A log in a directory of its own.
#[derive(Debug)]
pub struct SledLog {
    tree: Handle<sled::Tree>,
    /// Kept open: sled stops its flusher when the last handle is gone.
    _db: Handle<sled::Db>,
    /// Our own handle of sled's file, and the sync that makes an acknowledgement true.
    data_file: File,
    sync_data: SyncData,
    space: Space,
    store: StoreId,
    epoch: u64,
    tail: RwLock<Link>,
    writer: Mutex<Writer>,
    busy_since: Mutex<Option<Instant>>,
}

/// Keeps other processes out of a directory whose log is closed.
#[derive(Debug)]
pub struct Lock {
    _head: HeadFile,
}

/// A handle of sled. The last one syncs on its way out, and sled panics if that fails, which would hide why we end.
#[derive(Debug)]
struct Handle<T>(Option<T>);

impl<T> std::ops::Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        let handle = self.0.take();
        let ended = guard(|| {
            drop(handle);
            Ok(())
        });
        if let Err(error) = ended {
            tracing::error!(error, "sled did not end well");
        }
    }
}

/// `fdatasync`; tests put in one that fails.
type SyncData = fn(&File) -> io::Result<()>;

#[derive(Debug)]
struct Writer {
    head: HeadFile,
    head_written: Instant,
    head_revision: Revision,
    /// Why nothing can be appended any more.
    failed: Option<LogError>,
}

impl SledLog {
    /// Opens the store of that directory, or creates one where nothing is. Nothing is appended while less than
    /// `space_min` is free.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is served from a store that is in use, or that has lost what was acknowledged.
    pub fn open(directory: &Path, space_min: impl Into<SpaceMin>) -> Result<Self, OpenError> {
        Self::open_with(directory, space_min.into(), File::sync_data)
    }

    /// Creates a store with this identity where nothing is: a copy of another one.
    ///
    /// # Errors
    /// [`OpenError`], also if the directory is in use.
    pub fn create(directory: &Path, store: StoreId, epoch: u64) -> Result<Self, OpenError> {
        create_directories(directory)?;
        HeadFile::create(&directory.join("head"), store, epoch)?;
        Self::open(directory, 0)
    }

    fn open_with(directory: &Path, space_min: SpaceMin, sync_data: SyncData) -> Result<Self, OpenError> {
        let log_directory = directory.join("log");
        let head_path = directory.join("head");
        create_directories(directory)?;
        let is_new = !log_directory.exists() || fs::read_dir(&log_directory)?.next().is_none();
        let (head_file, head) = HeadFile::open(&head_path, is_new)?;
        sync_directory(directory)?;
        let space = Space::open(directory, space_min)?;
        match (is_new, head.link.revision) {
            (false, _) => {}
            (true, Revision::ZERO) => create_sled(directory, &log_directory)?,
            (true, promised) => return Err(lost(promised, Revision::ZERO)),
        }

        remove_unfinished_snapshots(&log_directory)?;
        read_what_is_on_disk(&log_directory)?;
        // Open before sled has it, so that it hears of every sync that fails, also of those that sled makes and hides.
        let data_file = File::open(log_directory.join("db")).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::Damaged("its file \"log/db\" is missing".to_owned()),
            _ => error.into(),
        })?;
        let (db, tree) = open_sled(&log_directory)?;
        data_file.sync_all()?;
        // sled leaves some of its files to chance.
        sync_files(&log_directory)?;
        sync_directory(&log_directory)?;

        let log = Self {
            tree: Handle(Some(tree)),
            _db: Handle(Some(db)),
            data_file,
            sync_data,
            space,
            store: head.store,
            epoch: head.epoch,
            tail: RwLock::new(genesis(head.store)),
            writer: Mutex::new(Writer {
                head: head_file,
                head_written: Instant::now(),
                head_revision: head.link.revision,
                failed: None,
            }),
            busy_since: Mutex::new(None),
        };
        let tail = log.stored_tail()?;
        *log.tail.write().unwrap_or_else(PoisonError::into_inner) = tail;
        log.check_head(&head)?;
        // Lays the ballast while there is room; whether there is room to write is asked again before each group.
        let _ = log.space.check();
        Ok(log)
    }

    /// Closes the log and keeps others out.
    pub fn close(self) -> Lock {
        Lock { _head: self.writer.into_inner().unwrap_or_else(PoisonError::into_inner).head }
    }

    /// Begins the next epoch at the last entry.
    ///
    /// # Errors
    /// [`LogError::Storage`]: which epoch it is now is not known.
    pub fn begin_epoch(&mut self) -> Result<(), LogError> {
        let head = Head { store: self.store, epoch: self.epoch + 1, link: self.tail() };
        self.as_writer(|writer| writer.head.write(&head).map_err(|error| error.to_string()))?;
        self.epoch = head.epoch;
        Ok(())
    }

    /// The last entry that sled has.
    fn stored_tail(&self) -> Result<Link, OpenError> {
        let last = guard(|| self.tree.last()).map_err(OpenError::Damaged)?;
        let Some((key, value)) = last else { return Ok(genesis(self.store)) };
        let batch =
            Batch::read(&key, &value).map_err(|detail| OpenError::Damaged(format!("its last batch: {detail}")))?;
        batch.tail().ok_or_else(|| OpenError::Damaged("its last batch is empty".to_owned()))
    }

    /// Refuses a log that ends before its head or has another history there.
    fn check_head(&self, head: &Head) -> Result<(), OpenError> {
        if is_planted("head_ignored") {
            return Ok(());
        }
        let tail = self.tail();
        let promised = head.link;
        if tail.revision < promised.revision {
            return Err(lost(promised.revision, tail.revision));
        }
        let found = match promised.revision {
            Revision::ZERO => genesis(self.store),
            revision => {
                let before = Revision::from(revision.get() - 1);
                let records = self.read(before, 1).map_err(|error| OpenError::Damaged(error.to_string()))?;
                records.first().map_or_else(|| genesis(self.store), |record| record.link)
            }
        };
        if found == promised || is_planted("skip_chain_check") {
            Ok(())
        } else {
            let message = format!("the log and its head have different histories at revision {}", promised.revision);
            Err(OpenError::Damaged(message))
        }
    }

    /// The batch that holds this revision. Reading backwards under writes is not exact in sled, so the batch is looked at
    /// before it is believed.
    fn batch_with(&self, revision: Revision) -> Result<Batch, LogError> {
        const TRIES: usize = 3;
        let damaged = |detail: String| LogError::Damaged { revision, detail };
        for _ in 0..TRIES {
            let key = batch::key(revision);
            let found = guard(|| self.tree.range(..=key).next_back().transpose()).map_err(damaged)?;
            let Some((key, value)) = found else { continue };
            let batch = Batch::read(&key, &value).map_err(damaged)?;
            if batch.tail().is_some_and(|tail| tail.revision >= revision) {
                return Ok(batch);
            }
        }
        Err(damaged("no batch holds it".to_owned()))
    }

    fn write(&self, records: &[Record]) -> Result<(), String> {
        let mut previous = self.tail();
        let mut batch = sled::Batch::default();
        for records in batch::split(records) {
            batch.insert(&batch::key(previous.revision.next()), batch::write(&previous, records));
            previous = records.last().map_or(previous, |record| record.link);
        }
        guard(|| self.tree.apply_batch(batch))?;
        reach("batch_written");
        if is_planted("acknowledge_before_flush") {
            return Ok(());
        }
        guard(|| self.tree.flush())?;
        reach("flushed");
        if !is_planted("drop_fdatasync") {
            let begun = Instant::now();
            (self.sync_data)(&self.data_file).map_err(|error| error.to_string())?;
            METRICS.sync_time.observe(begun.elapsed().as_secs_f64());
        }
        reach("synced");
        Ok(())
    }

    fn write_head(&self, writer: &mut Writer) -> Result<(), String> {
        let link = self.tail();
        if link.revision == writer.head_revision || is_planted("head_not_written") {
            return Ok(());
        }
        let head = Head { store: self.store, epoch: self.epoch, link };
        writer.head.write(&head).map_err(|error| error.to_string())?;
        writer.head_revision = link.revision;
        writer.head_written = Instant::now();
        reach("head_written");
        Ok(())
    }

    fn set_busy_since(&self, since: Option<Instant>) {
        *self.busy_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Does something as the only writer, unless something has failed before; remembers if it fails.
    fn as_writer(&self, work: impl FnOnce(&mut Writer) -> Result<(), String>) -> Result<(), LogError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &writer.failed {
            return Err(error.clone());
        }
        self.set_busy_since(Some(Instant::now()));
        let worked = work(&mut writer);
        self.set_busy_since(None);
        worked.map_err(|detail| {
            let error = LogError::Storage(detail);
            writer.failed = Some(error.clone());
            error
        })
    }
}

impl Log for SledLog {
    fn store(&self) -> StoreId {
        self.store
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn tail(&self) -> Link {
        *self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, records: &[Record]) -> Result<(), LogError> {
        let Some(last) = records.last() else { return Ok(()) };
        self.as_writer(|writer| {
            self.write(records)?;
            *self.tail.write().unwrap_or_else(PoisonError::into_inner) = last.link;
            if writer.head_written.elapsed() >= HEAD_INTERVAL_MIN { self.write_head(writer) } else { Ok(()) }
        })
    }

    fn read(&self, after: Revision, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let tail = self.tail();
        let mut records: Vec<Record> = Vec::new();
        if after >= tail.revision {
            return Ok(records);
        }
        let damaged = |revision: Revision, detail: String| LogError::Damaged { revision, detail };
        let first = self.batch_with(after.next())?;
        let mut bytes = 0;
        let mut previous = first.previous;
        let start = batch::key(first.previous.revision.next());
        // Forwards, for only that direction is exact while others write.
        let mut stored = self.tree.range(start..);
        while bytes < bytes_max && previous.revision < tail.revision {
            let next =
                guard(|| stored.next().transpose()).map_err(|detail| damaged(previous.revision.next(), detail))?;
            let Some((key, value)) = next else {
                return Err(damaged(previous.revision.next(), "the batch is missing".to_owned()));
            };
            let batch = Batch::read(&key, &value).map_err(|detail| damaged(previous.revision.next(), detail))?;
            if batch.previous != previous {
                return Err(damaged(
                    previous.revision.next(),
                    "the batch does not follow on the one before it".to_owned(),
                ));
            }
            for record in batch.records {
                previous = record.link;
                if record.link.revision > after && record.link.revision <= tail.revision && bytes < bytes_max {
                    bytes += record.entry.len();
                    records.push(record);
                }
            }
        }
        Ok(records)
    }

    fn check_space(&self) -> Result<(), String> {
        self.space.check()
    }

    fn busy_since(&self) -> Option<Instant> {
        *self.busy_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self) -> Result<(), LogError> {
        self.as_writer(|writer| self.write_head(writer))
    }
}

fn lost(promised: Revision, last: Revision) -> OpenError {
    OpenError::Damaged(format!(
        "acknowledged entries are lost: revision {promised} was durable, the log ends at {last}"
    ))
}

fn open_sled(directory: &Path) -> Result<(sled::Db, sled::Tree), OpenError> {
    let config = sled::Config::new().path(directory).segment_size(SEGMENT_BYTES).cache_capacity(CACHE_BYTES);
    let start = Instant::now();
    let db = loop {
        // A damaged store can panic inside sled.
        match guard(|| config.open()) {
            Ok(db) => break db,
            // Ours is the only process here, and sled gives its lock back some time after its last handle is gone.
            Err(detail) if detail.contains("could not acquire lock") && start.elapsed() < UNLOCK_MAX => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(detail) => return Err(OpenError::Damaged(format!("sled cannot open it: {detail}"))),
        }
    };
    let tree = db.open_tree(sled::IVec::from(&b"log"[..])).map_err(|error| OpenError::Damaged(error.to_string()))?;
    Ok((db, tree))
}

/// Creates an empty log under another name first: what a crash leaves of sled's own files while it makes them cannot be
/// opened.
fn create_sled(directory: &Path, log_directory: &Path) -> Result<(), OpenError> {
    let building = directory.join("log.new");
    match fs::remove_dir_all(&building) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir(&building)?;
    keep_synchronous(&building);
    let (db, tree) = open_sled(&building)?;
    // It hears of a sync that fails while sled ends.
    let data_file = File::open(building.join("db"))?;
    drop((Handle(Some(tree)), Handle(Some(db))));
    data_file.sync_all()?;
    sync_files(&building)?;
    sync_directory(&building)?;
    fs::rename(&building, log_directory)?;
    sync_directory(directory)?;
    Ok(())
}

/// Runs sled behind a boundary: its panics on damaged data become errors.
fn guard<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("sled panicked: {}", text.unwrap_or("without a message")))
        }
    }
}

/// Every file of the directory is written through: covers what our own sync does not reach.
fn keep_synchronous(directory: &Path) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let set = || -> io::Result<bool> {
        let directory = File::open(directory)?;
        let flags = ioctl_getflags(&directory)?;
        ioctl_setflags(&directory, flags | IFlags::SYNC)?;
        Ok(ioctl_getflags(&directory)?.contains(IFlags::SYNC))
    };
    match set() {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            "the file system drops the attribute \"synchronous\": a power cut while the store opens may damage it"
        ),
        Err(error) => {
            tracing::warn!(%error, "the file system has no attribute \"synchronous\": a power cut while the store opens may damage it")
        }
    }
}

/// Creates a directory and those above it that are missing, and makes their names durable.
fn create_directories(directory: &Path) -> io::Result<()> {
    let is_missing = |directory: &&Path| !directory.as_os_str().is_empty() && !directory.exists();
    let missing: Vec<&Path> = directory.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(directory)?;
    for created in missing {
        let above = created.parent().filter(|above| !above.as_os_str().is_empty());
        sync_directory(above.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// sled takes a snapshot that a crash has cut short for its newest one, and then refuses to open. A finished one has
/// another name, and those before it are removed only after that.
fn remove_unfinished_snapshots(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Makes what follows read the disk and not what the kernel has in memory of it. What a killed process wrote and never
/// synced is there, too, and it is about to be acknowledged: so it is synced. What a sync could not save counts as clean
/// in memory and is not on disk: so it is forgotten.
fn read_what_is_on_disk(directory: &Path) -> io::Result<()> {
    sync_files(directory)?;
    for file in files(directory)? {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Makes the content of every file in a directory durable.
fn sync_files(directory: &Path) -> io::Result<()> {
    files(directory)?.iter().try_for_each(File::sync_all)
}

fn files(directory: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(File::open(entry.path())?);
        }
    }
    Ok(files)
}

/// Makes the names in a directory durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

const _: () = assert!(KEY_LEN == 8);

#[cfg(test)]
mod tests;
