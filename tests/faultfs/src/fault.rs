//! Which calls fail. `write:3=EIO;sync:5+=sleep(2000)` lets the third write fail and every sync from the fifth on take two
//! seconds.
//!
//! | call | what counts |
//! |---|---|
//! | `write` | `write`, `pwrite`, `writev`, `fallocate` |
//! | `sync` | `fsync`, `fdatasync` |
//! | `sync_file_range` | itself |
//!
//! | outcome | what happens |
//! |---|---|
//! | `EIO`, `ENOSPC`, `EFBIG` | nothing is done, and the caller is told so |
//! | `short` | half of it is written |
//! | `sleep(ms)` | it is done, later |

use std::{
    env,
    ffi::c_int,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Calls that can fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Sync,
    SyncFileRange,
}

/// What becomes of a call.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Proceed,
    Fail(c_int),
    Short,
}

#[derive(Clone, Copy)]
enum Action {
    Fail(c_int),
    Short,
    Sleep(Duration),
}

struct Fault {
    call: Call,
    first: u64,
    last: u64,
    action: Action,
}

/// What becomes of the call that is made now.
pub(crate) fn next(call: Call) -> Outcome {
    static FAULTS: OnceLock<Vec<Fault>> = OnceLock::new();
    static COUNTS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let faults = FAULTS.get_or_init(|| env::var("FAULTFS_FAULTS").map(|words| read(&words)).unwrap_or_default());
    let number = COUNTS[call as usize].fetch_add(1, Ordering::Relaxed) + 1;
    let fault = faults.iter().find(|fault| fault.call == call && (fault.first..=fault.last).contains(&number));
    match fault.map(|fault| fault.action) {
        None => Outcome::Proceed,
        Some(Action::Fail(errno)) => Outcome::Fail(errno),
        Some(Action::Short) => Outcome::Short,
        Some(Action::Sleep(time)) => {
            std::thread::sleep(time);
            Outcome::Proceed
        }
    }
}

fn read(words: &str) -> Vec<Fault> {
    words.split(';').filter(|word| !word.is_empty()).map(|word| read_one(word).expect("words of `fault`")).collect()
}

fn read_one(word: &str) -> Option<Fault> {
    let (place, action) = word.split_once('=')?;
    let (call, number) = place.split_once(':')?;
    let call = match call {
        "write" => Call::Write,
        "sync" => Call::Sync,
        "sync_file_range" => Call::SyncFileRange,
        _ => return None,
    };
    let first = number.trim_end_matches('+').parse().ok()?;
    let last = if number.ends_with('+') { u64::MAX } else { first };
    let action = match action {
        "EIO" => Action::Fail(libc::EIO),
        "ENOSPC" => Action::Fail(libc::ENOSPC),
        "EFBIG" => Action::Fail(libc::EFBIG),
        "short" => Action::Short,
        _ => {
            let time = action.strip_prefix("sleep(")?.strip_suffix(')')?.parse().ok()?;
            Action::Sleep(Duration::from_millis(time))
        }
    };
    Some(Fault { call, first, last, action })
}
