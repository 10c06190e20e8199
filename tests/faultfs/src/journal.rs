//! The journal: what was written and synced, in order.
//!
//! ```text
//! record  kind u8 ‖ a u64 ‖ b u64 ‖ length u32 ‖ that many bytes
//! ```
//!
//! | kind | a | b | bytes |
//! |---|---|---|---|
//! | `O` opened | number of the file | 1 created, 2 emptied, 4 has the attribute "synchronous", 8 directory; added up | path below the directory |
//! | `W` written | file | offset | what |
//! | `T` truncated | file | new length | |
//! | `B` a sync begins | file | its number | |
//! | `E` it has succeeded | file | its number | |
//! | `F` it has failed | file | its number | |
//! | `R` renamed, `U` removed, `M` directory made | 0 | 0 | path; two with a zero byte between |
//!
//! Numbers are little-endian. A write is noted before it is done, a sync that succeeded before its caller hears of it. A
//! killed process can leave the last record unfinished.

use std::{
    env,
    ffi::CString,
    os::unix::ffi::OsStringExt,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use libc::c_int;

/// One line of the journal.
pub(crate) struct Record<'a> {
    pub(crate) kind: u8,
    pub(crate) a: u64,
    pub(crate) b: u64,
    pub(crate) bytes: &'a [u8],
}

/// What is written is noted in the order in which it is done.
pub(crate) fn lock() -> MutexGuard<'static, ()> {
    static ORDER: Mutex<()> = Mutex::new(());
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for a sync.
pub(crate) fn token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where the journal is written; none if nobody wants one.
fn file() -> Option<c_int> {
    static FILE: OnceLock<Option<c_int>> = OnceLock::new();
    *FILE.get_or_init(|| {
        let path = CString::new(env::var_os("FAULTFS_JOURNAL")?.into_vec()).ok()?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        // SAFETY: the path is a string of ours.
        let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) };
        (fd >= 0).then_some(fd as c_int)
    })
}

/// Adds a record, by one call: what a killed process has noted is there.
pub(crate) fn append(record: &Record<'_>) {
    let Some(file) = file() else { return };
    let mut line = Vec::with_capacity(21 + record.bytes.len());
    line.push(record.kind);
    line.extend_from_slice(&record.a.to_le_bytes());
    line.extend_from_slice(&record.b.to_le_bytes());
    line.extend_from_slice(&(record.bytes.len() as u32).to_le_bytes());
    line.extend_from_slice(record.bytes);
    // SAFETY: the line is ours.
    let written = unsafe { libc::syscall(libc::SYS_write, file, line.as_ptr(), line.len()) };
    // A journal with a hole would lie.
    if written != line.len() as i64 {
        std::process::abort();
    }
}
