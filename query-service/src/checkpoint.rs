//! What is known, on disk: columns and the revision that they are of, and every entry, so that a start loads them instead of
//! reading the log again. The log stays the truth: a checkpoint that is damaged is thrown away and built again.
//!
//! ```text
//! <data>/lock           keeps other processes out
//! <data>/store-<n>/     sled; the highest n counts
//!   entries             first revision → batch of entries ‖ CRC-32
//!   pieces              name of a piece ‖ generation → piece
//!   root                the one value that makes a generation count
//! ```
//!
//! A save writes the pieces that differ under a new generation, makes them durable, and then writes the root. The root holds
//! a digest of all pieces that count, so one that is missing, stale or changed is noticed, whatever the disk did. Until the
//! root is there, the generation before it counts; what a crash leaves of a later one is removed at the next start.

mod archive;
mod pieces;

use std::{
    fmt::Debug,
    fs::{self, File, TryLockError},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{archive::SledArchive, pieces::Pieces};
use crate::{apply::Snapshot, archive::Archive, metrics::METRICS};

/// sled's own default is 1 GB.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Above a quarter of it a value becomes a file of its own.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// Why there can be no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process uses this directory")]
    InUse,
    /// The directory or a file cannot be used.
    #[error("the directory cannot be used: {0}")]
    Io(#[from] io::Error),
    /// A new one cannot be made.
    #[error("{0}")]
    Storage(String),
}

/// A checkpoint in a directory of its own.
#[derive(Debug)]
pub struct Checkpoint {
    directory: PathBuf,
    number: u64,
    archive: Arc<SledArchive>,
    pieces: Arc<Mutex<Pieces>>,
    /// Keeps other processes out.
    _lock: File,
}

impl Checkpoint {
    /// Opens the checkpoint of that directory, or creates one where none is; answers what it holds. One that is damaged is
    /// thrown away.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(directory: &Path) -> Result<(Self, Option<Snapshot>), OpenError> {
        let lock = lock(directory)?;
        let newest = stores(directory)?.into_iter().max();
        if let Some(number) = newest {
            match load(&directory.join(store_name(number))) {
                Ok((archive, pieces, saved)) => {
                    let pieces = Arc::new(Mutex::new(pieces));
                    let opened = Self { directory: directory.to_owned(), number, archive, pieces, _lock: lock };
                    opened.remove_others();
                    return Ok((opened, Some(saved)));
                }
                Err(why) => tracing::warn!(why, "the checkpoint is thrown away, the log is read again"),
            }
        }
        let number = newest.map_or(1, |number| number + 1);
        let (archive, pieces) = create(&directory.join(store_name(number)))?;
        let pieces = Arc::new(Mutex::new(pieces));
        let created = Self { directory: directory.to_owned(), number, archive, pieces, _lock: lock };
        created.remove_others();
        Ok((created, None))
    }

    /// Throws away what a directory holds, while nobody uses it: the next start reads the log again.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn discard(directory: &Path) -> Result<(), OpenError> {
        let _lock = lock(directory)?;
        for number in stores(directory)? {
            fs::remove_dir_all(directory.join(store_name(number)))?;
        }
        Ok(())
    }

    /// The same directory with nothing in it. Who still reads what was there goes on reading it.
    ///
    /// # Errors
    /// [`OpenError`]; what was there stays.
    pub fn renewed(self) -> Result<Self, OpenError> {
        let number = self.number + 1;
        let (archive, pieces) = create(&self.directory.join(store_name(number)))?;
        let Self { directory, _lock, .. } = self;
        let renewed = Self { directory, number, archive, pieces: Arc::new(Mutex::new(pieces)), _lock };
        renewed.remove_others();
        Ok(renewed)
    }

    /// Where entries are kept.
    pub fn archive(&self) -> Arc<dyn Archive> {
        self.archive.clone()
    }

    /// Waits until an entry could not be read. What was saved is not to be believed any more.
    pub fn damaged(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut damaged = self.archive.damaged();
        async move {
            if damaged.wait_for(|damaged| *damaged).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Saves an index, as far as it differs from what was saved before. Blocks.
    ///
    /// # Errors
    /// Why it is not saved; what was saved before counts.
    fn save(archive: &SledArchive, pieces: &Mutex<Pieces>, saved: &Snapshot) -> Result<(), String> {
        let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
        archive.settle()?;
        pieces.save(saved)
    }

    /// Removes what was thrown away. What cannot be removed now is at the next start.
    fn remove_others(&self) {
        let others = stores(&self.directory).unwrap_or_default().into_iter().filter(|other| *other != self.number);
        for other in others {
            if let Err(error) = fs::remove_dir_all(self.directory.join(store_name(other))) {
                tracing::warn!(%error, "an old checkpoint cannot be removed");
            }
        }
    }

    /// Saves what is shown, now and then, and once more when `stop` is cancelled.
    pub fn keep(
        &self,
        mut shown: watch::Receiver<Option<Snapshot>>,
        interval: Duration,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (archive, pieces) = (self.archive.clone(), self.pieces.clone());
        async move {
            let mut next = Instant::now();
            loop {
                let is_last = tokio::select! {
                    biased;
                    () = stop.cancelled() => true,
                    changed = shown.changed() => changed.is_err(),
                };
                if !is_last {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep_until(next) => {}
                    }
                }
                let saved = shown.borrow_and_update().clone();
                if let Some(saved) = saved {
                    let (archive, pieces) = (archive.clone(), pieces.clone());
                    let begun = Instant::now();
                    let revision = saved.index.revision().get();
                    let work = move || guard(|| Self::save(&archive, &pieces, &saved));
                    let done = tokio::task::spawn_blocking(work).await;
                    if matches!(done, Ok(Ok(()))) {
                        METRICS.save_time.observe(begun.elapsed().as_secs_f64());
                        METRICS.note_saved(revision.into());
                    } else {
                        METRICS.save_failures.inc();
                    }
                    match done {
                        Ok(Ok(())) => {
                            tracing::debug!(revision, millis = begun.elapsed().as_millis(), "checkpoint saved");
                        }
                        Ok(Err(why)) => tracing::error!(why, revision, "no checkpoint is saved; answers go on"),
                        Err(error) => tracing::error!(%error, revision, "no checkpoint is saved; answers go on"),
                    }
                    // Of a large index a save takes long, and others need the disk, too.
                    next = Instant::now() + interval.max(begun.elapsed() * 4);
                }
                // A stop in the middle of a save is followed by one more: something may have been shown meanwhile.
                if is_last {
                    return;
                }
            }
        }
    }
}

/// Keeps other processes out of a directory, which is made if it is not there.
fn lock(directory: &Path) -> Result<File, OpenError> {
    fs::create_dir_all(directory)?;
    let lock = File::create(directory.join("lock"))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse,
        TryLockError::Error(error) => error.into(),
    })?;
    Ok(lock)
}

/// The numbers of the stores in a directory.
fn stores(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix("store-")?.parse::<u64>().ok()));
    }
    Ok(numbers)
}

fn store_name(number: u64) -> String {
    format!("store-{number}")
}

fn open_sled(directory: &Path) -> Result<sled::Db, String> {
    let config = sled::Config::new()
        .path(directory)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput);
    guard(|| config.open().map_err(|error| error.to_string()))
}

fn create(directory: &Path) -> Result<(Arc<SledArchive>, Pieces), OpenError> {
    let made =
        open_sled(directory).and_then(|db| Ok((Arc::new(SledArchive::create(&db)?), Pieces::create(&db, directory)?)));
    made.map_err(OpenError::Storage)
}

fn load(directory: &Path) -> Result<(Arc<SledArchive>, Pieces, Snapshot), String> {
    let db = open_sled(directory)?;
    guard(|| {
        let (mut pieces, root) = Pieces::open(&db, directory)?;
        let archive = Arc::new(SledArchive::open(&db, root.position.link.revision)?);
        let index = pieces.load(archive.clone(), &root)?;
        Ok((archive, pieces, Snapshot { position: root.position, index }))
    })
}

/// Runs sled behind a boundary: its panics on damaged data become errors.
fn guard<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", text.unwrap_or("without a message")))
    })
}
