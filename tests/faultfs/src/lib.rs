//! Stands between a service and its files (`LD_PRELOAD`). It notes every write and every sync in a journal, from which a
//! test builds what a disk would hold after a power cut, and lets chosen calls fail, fall short, or take their time.
//!
//! | variable | meaning |
//! |---|---|
//! | `FAULTFS_DIRECTORY` | only files below it are looked at |
//! | `FAULTFS_JOURNAL` | file of the journal; `journal` has its format |
//! | `FAULTFS_FAULTS` | what fails; `fault` has the words |
//!
//! Everything here goes to the kernel by number and not through the C library, which would lead back here.

mod fault;
mod files;
mod journal;

use std::ffi::{CStr, c_char, c_int, c_void};

use libc::{AT_FDCWD, iovec, mode_t, off64_t, size_t, ssize_t};

use fault::{Call, Outcome};
use journal::Record;

fn fail(errno: c_int) -> c_int {
    // SAFETY: the address is that of this thread's own number.
    unsafe { *libc::__errno_location() = errno };
    -1
}

unsafe fn text(path: *const c_char) -> Vec<u8> {
    // SAFETY: the caller of the C function hands in a string.
    unsafe { CStr::from_ptr(path) }.to_bytes().to_vec()
}

unsafe fn do_open(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let open = || {
        // SAFETY: the arguments are the caller's.
        unsafe { libc::syscall(libc::SYS_openat, directory, path, flags, mode) as c_int }
    };
    // SAFETY: as above.
    let name = unsafe { text(path) };
    files::open(directory, &name, flags, open)
}

/// Writes by `write`, as often as the kernel takes less than all.
fn do_write(fd: c_int, bytes: &[u8], offset: Option<off64_t>) -> ssize_t {
    // SAFETY: the slice is the caller's buffer.
    let write = |length: usize| unsafe {
        match offset {
            Some(offset) => libc::syscall(libc::SYS_pwrite64, fd, bytes.as_ptr(), length, offset) as ssize_t,
            None => libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), length) as ssize_t,
        }
    };
    let Some(file) = files::at(fd) else { return write(bytes.len()) };
    let length = match fault::next(Call::Write) {
        Outcome::Fail(errno) => return fail(errno) as ssize_t,
        Outcome::Short if bytes.len() > 1 => bytes.len() / 2,
        Outcome::Short | Outcome::Proceed => bytes.len(),
    };
    let _order = journal::lock();
    // SAFETY: it asks where the file stands.
    let at = offset.unwrap_or_else(|| unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) } as off64_t);
    journal::append(&Record { kind: b'W', a: file, b: at as u64, bytes: &bytes[..length] });
    write(length)
}

fn do_sync(fd: c_int, number: libc::c_long) -> c_int {
    // SAFETY: only numbers are handed on.
    let sync = || unsafe { libc::syscall(number, fd) as c_int };
    let Some(file) = files::at(fd) else { return sync() };
    let token = journal::token();
    journal::append(&Record { kind: b'B', a: file, b: token, bytes: &[] });
    if let Outcome::Fail(errno) = fault::next(Call::Sync) {
        // What was dirty counts as clean from now on: a later sync succeeds and saves nothing of it.
        journal::append(&Record { kind: b'F', a: file, b: token, bytes: &[] });
        files::sync_failed(file, errno);
    }
    if let Some(errno) = files::unheard_failure(fd, file) {
        return fail(errno);
    }
    let done = sync();
    if done == 0 {
        journal::append(&Record { kind: b'E', a: file, b: token, bytes: &[] });
    }
    done
}

fn do_truncate(fd: c_int, length: off64_t) -> c_int {
    let _order = journal::lock();
    if let Some(file) = files::at(fd) {
        journal::append(&Record { kind: b'T', a: file, b: length as u64, bytes: &[] });
    }
    // SAFETY: only numbers are handed on.
    unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) as c_int }
}

fn do_fallocate(fd: c_int, mode: c_int, offset: off64_t, length: off64_t) -> c_int {
    if files::at(fd).is_some()
        && let Outcome::Fail(errno) = fault::next(Call::Write)
    {
        return fail(errno);
    }
    // SAFETY: only numbers are handed on. The content stays what it was, so the journal has no need of it.
    unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, length) as c_int }
}

/// A change of names: noted if it is done, in the order in which it is done.
fn change_names(kind: u8, names: &[Vec<u8>], change: impl FnOnce() -> c_int) -> c_int {
    change_names_in(AT_FDCWD, kind, names, change)
}

fn change_names_in(directory: c_int, kind: u8, names: &[Vec<u8>], change: impl FnOnce() -> c_int) -> c_int {
    let _order = journal::lock();
    let names: Option<Vec<Vec<u8>>> = names.iter().map(|name| files::below(directory, name)).collect();
    let done = change();
    if done == 0
        && let Some(names) = names
    {
        journal::append(&Record { kind, a: 0, b: 0, bytes: &names.join(&0) });
    }
    done
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { do_open(AT_FDCWD, path, flags, mode) }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { do_open(AT_FDCWD, path, flags, mode) }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { do_open(directory, path, flags, mode) }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { do_open(directory, path, flags, mode) }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn creat(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { do_open(AT_FDCWD, path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    files::close(fd);
    // SAFETY: only a number is handed on.
    unsafe { libc::syscall(libc::SYS_close, fd) as c_int }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, length: size_t) -> ssize_t {
    if files::at(fd).is_none() || length == 0 {
        // SAFETY: the arguments are the caller's.
        return unsafe { libc::syscall(libc::SYS_write, fd, bytes, length) as ssize_t };
    }
    // SAFETY: the caller's buffer has that length.
    do_write(fd, unsafe { std::slice::from_raw_parts(bytes.cast(), length) }, None)
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: c_int, bytes: *const c_void, length: size_t, offset: off64_t) -> ssize_t {
    // SAFETY: the arguments are the caller's.
    unsafe { pwrite64(fd, bytes, length, offset) }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, length: size_t, offset: off64_t) -> ssize_t {
    if files::at(fd).is_none() || length == 0 {
        // SAFETY: the arguments are the caller's.
        return unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, length, offset) as ssize_t };
    }
    // SAFETY: the caller's buffer has that length.
    do_write(fd, unsafe { std::slice::from_raw_parts(bytes.cast(), length) }, Some(offset))
}

/// As in the C library. A file takes the first piece; whoever writes goes on with the rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    if files::at(fd).is_some() && count > 0 {
        // SAFETY: there is at least one piece, as the caller says.
        let first = unsafe { &*pieces };
        // SAFETY: the caller's buffer has that length.
        return unsafe { write(fd, first.iov_base, first.iov_len) };
    }
    // SAFETY: the arguments are the caller's.
    unsafe { libc::syscall(libc::SYS_writev, fd, pieces, count) as ssize_t }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    do_sync(fd, libc::SYS_fsync)
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    do_sync(fd, libc::SYS_fdatasync)
}

/// As in the C library. It makes nothing durable, so the journal does not hear of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(fd: c_int, offset: off64_t, length: off64_t, flags: libc::c_uint) -> c_int {
    if files::at(fd).is_some()
        && let Outcome::Fail(errno) = fault::next(Call::SyncFileRange)
    {
        return fail(errno);
    }
    // SAFETY: only numbers are handed on.
    unsafe { libc::syscall(libc::SYS_sync_file_range, fd, offset, length, flags) as c_int }
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(fd: c_int, length: off64_t) -> c_int {
    do_truncate(fd, length)
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: off64_t) -> c_int {
    do_truncate(fd, length)
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off64_t, length: off64_t) -> c_int {
    do_fallocate(fd, mode, offset, length)
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off64_t, length: off64_t) -> c_int {
    do_fallocate(fd, mode, offset, length)
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller hands in strings.
    let names = unsafe { [text(from), text(to)] };
    // SAFETY: the arguments are the caller's.
    let change = || unsafe { libc::syscall(libc::SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0) as c_int };
    change_names(b'R', &names, change)
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller hands in a string.
    let names = unsafe { [text(path)] };
    // SAFETY: the arguments are the caller's.
    change_names(b'U', &names, || unsafe { libc::syscall(libc::SYS_unlinkat, AT_FDCWD, path, 0) as c_int })
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller hands in a string.
    let names = unsafe { [text(path)] };
    // SAFETY: the arguments are the caller's.
    let change = || unsafe { libc::syscall(libc::SYS_unlinkat, directory, path, flags) as c_int };
    change_names_in(directory, b'U', &names, change)
}

/// As in the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller hands in a string.
    let names = unsafe { [text(path)] };
    // SAFETY: the arguments are the caller's.
    change_names(b'M', &names, || unsafe { libc::syscall(libc::SYS_mkdirat, AT_FDCWD, path, mode) as c_int })
}
