//! Of which traces the newest entries are, so that followers can go on with them. It is kept beside the log and not in it:
//! an entry is the same whoever looks on, and after a restart nobody does.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use shared::model::log::Revision;

/// Entries of which it is known.
const RECENT_MAX: usize = 1_024;

/// Traces of the newest entries.
pub(crate) static RECENT: Recent = Recent(Mutex::new(VecDeque::new()));

/// Ends of changes with the traces that they are of, oldest first.
pub(crate) struct Recent(Mutex<VecDeque<(Revision, String)>>);

impl Recent {
    /// Remembers them, before anybody hears of the entries.
    pub(crate) fn remember(&self, traces: Vec<(Revision, String)>) {
        if traces.is_empty() {
            return;
        }
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.extend(traces);
        let too_many = recent.len().saturating_sub(RECENT_MAX);
        recent.drain(..too_many);
    }

    /// Those of these revisions.
    pub(crate) fn of(&self, revisions: &RangeInclusive<Revision>) -> Vec<(Revision, String)> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().filter(|(revision, _)| revisions.contains(revision)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_remembered() {
        let recent = Recent(Mutex::default());
        let end = RECENT_MAX as u64 + 10;
        for revision in 1..=end {
            recent.remember(vec![(revision.into(), revision.to_string())]);
        }
        let all = recent.of(&(Revision::ZERO..=end.into()));
        assert_eq!((all.len(), all[0].0), (RECENT_MAX, Revision::from(11)));
        assert_eq!(recent.of(&(12.into()..=13.into())), [(12.into(), "12".to_owned()), (13.into(), "13".to_owned())]);
    }
}
