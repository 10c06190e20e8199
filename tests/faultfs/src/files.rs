//! Which descriptors are files below the directory.

use std::{
    env,
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use libc::c_int;

use crate::journal::{self, Record};

const FDS_MAX: usize = 65_536;
/// Numbers of files by descriptor; 0 for those that nobody looks at.
static FILES: [AtomicU64; FDS_MAX] = [const { AtomicU64::new(0) }; FDS_MAX];

/// How many failed syncs a descriptor has heard of.
static HEARD: [AtomicU64; FDS_MAX] = [const { AtomicU64::new(0) }; FDS_MAX];
/// Syncs that failed: the file and the number of the error.
static FAILED: Mutex<Vec<(u64, c_int)>> = Mutex::new(Vec::new());

const CREATED: u64 = 1;
const EMPTIED: u64 = 2;
const SYNCHRONOUS: u64 = 4;
const DIRECTORY: u64 = 8;
const FS_SYNC_FL: u64 = 8;
const FS_IOC_GETFLAGS: u64 = 0x8008_6601;

/// The file of a descriptor.
pub(crate) fn at(fd: c_int) -> Option<u64> {
    let file = FILES.get(usize::try_from(fd).ok()?)?.load(Ordering::Relaxed);
    (file != 0).then_some(file)
}

fn failed() -> MutexGuard<'static, Vec<(u64, c_int)>> {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sync of this file has failed.
pub(crate) fn sync_failed(file: u64, errno: c_int) {
    failed().push((file, errno));
}

/// As the kernel does it: every descriptor that was open when a sync failed hears of it once, whoever asked for that sync.
pub(crate) fn unheard_failure(fd: c_int, file: u64) -> Option<c_int> {
    let heard = HEARD.get(usize::try_from(fd).ok()?)?;
    let failed = failed();
    let before = heard.swap(failed.len() as u64, Ordering::Relaxed) as usize;
    failed[before..].iter().find(|(of, _)| *of == file).map(|(_, errno)| *errno)
}

/// The directory.
fn top() -> Option<&'static OsString> {
    static TOP: OnceLock<Option<OsString>> = OnceLock::new();
    TOP.get_or_init(|| env::var_os("FAULTFS_DIRECTORY")).as_ref()
}

/// The path below the directory; none if it is somewhere else.
pub(crate) fn below(directory: c_int, path: &[u8]) -> Option<Vec<u8>> {
    let top = top()?;
    let whole = if directory == libc::AT_FDCWD || path.starts_with(b"/") {
        path.to_vec()
    } else {
        let above = std::fs::read_link(format!("/proc/self/fd/{directory}")).ok()?;
        [above.as_os_str().as_bytes(), b"/", path].concat()
    };
    let rest = whole.strip_prefix(top.as_bytes())?;
    match rest {
        [] => Some(Vec::new()),
        [b'/', rest @ ..] => Some(rest.to_vec()),
        _ => None,
    }
}

/// Opens a file and remembers it if it is one of ours.
pub(crate) fn open(directory: c_int, path: &[u8], flags: c_int, open: impl FnOnce() -> c_int) -> c_int {
    // A directory that is opened as one is walked through and closed where nobody sees it.
    let Some(name) = below(directory, path).filter(|_| flags & libc::O_DIRECTORY == 0) else { return open() };
    let _order = journal::lock();
    let is_there = top().is_some_and(|top| std::path::Path::new(top).join(OsString::from_vec(name.clone())).exists());
    let fd = open();
    let Ok(place) = usize::try_from(fd) else { return fd };
    let (number, is_directory) = look(fd);
    let mut facts = if is_there { 0 } else { CREATED };
    if flags & libc::O_TRUNC != 0 {
        facts |= EMPTIED;
    }
    if is_synchronous(fd) {
        facts |= SYNCHRONOUS;
    }
    if is_directory {
        facts |= DIRECTORY;
    }
    journal::append(&Record { kind: b'O', a: number, b: facts, bytes: &name });
    if let Some(file) = FILES.get(place) {
        HEARD[place].store(failed().len() as u64, Ordering::Relaxed);
        file.store(number, Ordering::Relaxed);
    }
    fd
}

/// Forgets a descriptor.
pub(crate) fn close(fd: c_int) {
    if let Some(file) = usize::try_from(fd).ok().and_then(|place| FILES.get(place)) {
        file.store(0, Ordering::Relaxed);
    }
}

/// The number of a file in its file system, and whether it is a directory.
fn look(fd: c_int) -> (u64, bool) {
    // SAFETY: the kernel fills what is handed in.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_fstat, fd, &raw mut stat) };
    (stat.st_ino, stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

fn is_synchronous(fd: c_int) -> bool {
    let mut flags: u64 = 0;
    // SAFETY: the kernel fills what is handed in.
    let asked = unsafe { libc::syscall(libc::SYS_ioctl, fd, FS_IOC_GETFLAGS, &raw mut flags) };
    asked == 0 && flags & FS_SYNC_FL != 0
}
