//! How much work an answer may be before it is worth a thread of its own. Most answers are a few microseconds; some look at
//! every report, and nobody can tell beforehand. So work counts itself, and what turns out to be long is begun again elsewhere.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

thread_local! {
    /// What is left for the work of this thread, if it is bounded.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// About a tenth of a microsecond.
pub type Effort = u32;

/// The effort of reading an entry from the archive.
pub const ENTRY: Effort = 200;
/// The effort of making a row of an answer.
pub const ROW: Effort = 30;
/// The effort of looking at a unit by itself, or at a word of 64 units.
pub const LOOK: Effort = 2;

/// Does something if it takes no more than that effort; none: it takes more, or it panics, and has to be done elsewhere. It
/// must leave nothing half done when it unwinds.
pub fn within<T>(effort: Effort, work: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(Some(effort));
    let done = catch_unwind(AssertUnwindSafe(work));
    LEFT.set(None);
    done.ok()
}

/// Counts work that is about to be done, and unwinds if it is too much.
pub fn spend(effort: Effort) {
    if let Some(left) = LEFT.get() {
        match left.checked_sub(effort) {
            Some(left) => LEFT.set(Some(left)),
            // Without a message: nothing is wrong.
            None => resume_unwind(Box::new(())),
        }
    }
}

/// Counts work that is long whatever it is about.
pub fn spend_much() {
    spend(Effort::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_given_up_and_elsewhere_there_is_no_bound() {
        let work = |looks: u32| {
            (0..looks).for_each(|_| spend(LOOK));
            looks
        };
        assert_eq!(within(20, || work(10)), Some(10));
        assert_eq!(within(20, || work(11)), None);
        assert_eq!(within(20, spend_much), None);
        assert_eq!(work(1_000), 1_000);
        spend_much();
    }
}
