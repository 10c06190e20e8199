//! Room on the disk: the low-water mark below which nothing is written, and a ballast for the day on which others fill the
//! disk. sled cannot open a store on a full disk; then the ballast is thrown overboard.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

/// What sled needs to open, and some more: it fills up a segment and writes a snapshot.
const BALLAST_BYTES: u64 = 32 * 1024 * 1024;

/// What must stay free; both hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceMin {
    /// Bytes. With 0 there is no ballast either.
    pub bytes: u64,
    /// Hundredths of the disk.
    pub percent: u8,
}

impl From<u64> for SpaceMin {
    fn from(bytes: u64) -> Self {
        Self { bytes, percent: 0 }
    }
}

/// The disk of a store.
#[derive(Debug)]
pub(super) struct Space {
    directory: File,
    ballast: PathBuf,
    has_ballast: AtomicBool,
    min: SpaceMin,
}

impl Space {
    /// Makes room for sled to open: where little is free, the ballast goes.
    pub(super) fn open(directory: &Path, min: SpaceMin) -> io::Result<Self> {
        let ballast = directory.join("ballast");
        let space =
            Self { directory: File::open(directory)?, has_ballast: AtomicBool::new(ballast.exists()), ballast, min };
        if space.has_ballast.load(Ordering::Relaxed) && space.free_and_all()?.0 < BALLAST_BYTES {
            tracing::warn!("the disk is full: the ballast is given up, so that the store can be opened");
            fs::remove_file(&space.ballast)?;
            space.has_ballast.store(false, Ordering::Relaxed);
        }
        Ok(space)
    }

    /// Whether there is room to write; if there is plenty, the ballast is laid again.
    ///
    /// # Errors
    /// What is free and what must be, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let (free, all) = self.free_and_all().map_err(|error| error.to_string())?;
        let share = u64::try_from(u128::from(all) * u128::from(self.min.percent) / 100).unwrap_or(u64::MAX);
        let must = self.min.bytes.max(share);
        // What the ballast has left is for opening the store, not for writing.
        let is_light = self.min.bytes > 0 && !self.has_ballast.load(Ordering::Relaxed);
        let must = if is_light { must.max(BALLAST_BYTES) } else { must };
        if free < must {
            return Err(format!("{free} bytes are free on the disk of the log, at least {must} must stay free"));
        }
        if is_light && free - must > BALLAST_BYTES && !self.has_ballast.swap(true, Ordering::Relaxed) {
            self.lay_ballast().unwrap_or_else(|error| {
                tracing::warn!(%error, "no ballast can be laid: on a full disk the store may not open");
            });
        }
        Ok(())
    }

    fn lay_ballast(&self) -> io::Result<()> {
        let file = File::create(&self.ballast)?;
        Ok(fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES)?)
    }

    /// Bytes that are free for us, and bytes of the whole disk.
    fn free_and_all(&self) -> io::Result<(u64, u64)> {
        let space = fstatvfs(&self.directory)?;
        Ok((space.f_bavail.saturating_mul(space.f_frsize), space.f_blocks.saturating_mul(space.f_frsize)))
    }
}
