//! From the feed to an index: verifies every record and takes it in, or refuses it and leaves the index as it was. Pure.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use shared::{
    change::Entry,
    codec::{self, Record, RecordFault, genesis},
    feed::Position,
    model::log::{Link, Revision, StoreId},
};

use crate::{archive::Archive, index::Index};

/// Why the feed cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyFault {
    /// The feed is of another store than before.
    #[error("the feed is of store {actual}, {expected} was followed before")]
    Store {
        /// Followed before.
        expected: StoreId,
        /// What answers now.
        actual: StoreId,
    },
    /// A record does not follow on the ones before it.
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// This version panics while it takes the entry in.
    #[error("revision {0} cannot be taken in by this version")]
    Poison(Revision),
}

/// An index at the end of a change, and the place in the log that it is of.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The store, and the entry at the end of that change.
    pub position: Position,
    /// What is known there.
    pub index: Index,
}

/// The state of a follower. A copy shares the archive, so only one of the two goes on.
#[derive(Clone, Debug)]
pub struct Applier {
    archive: Arc<dyn Archive>,
    /// Whom it follows, and its last entry.
    position: Option<Position>,
    /// Everything taken in, between the entries of one change, too.
    growing: Index,
    /// The same at the end of the last change, while one has begun that has not ended.
    ended: Option<Index>,
    /// What was shown last, and its last entry: what is gone back to where the fold panics.
    shown: (Index, Option<Link>),
    /// The entry at the end of the last change; none before the first one.
    ended_at: Option<Link>,
}

impl Applier {
    /// Nothing is taken in yet.
    pub fn new(archive: Arc<dyn Archive>) -> Self {
        let index = Index::new(archive.clone());
        Self { archive, position: None, growing: index.clone(), ended: None, shown: (index, None), ended_at: None }
    }

    /// Everything up to a snapshot is taken in, and lies in the archive.
    pub fn resume(archive: Arc<dyn Archive>, Snapshot { position, index }: Snapshot) -> Self {
        let ended_at = Some(position.link);
        let shown = (index.clone(), ended_at);
        Self { archive, position: Some(position), growing: index, ended: None, shown, ended_at }
    }

    /// The end of the last change; none before the first one.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let position = Position { link: self.ended_at?, ..self.position? };
        Some(Snapshot { position, index: self.index().clone() })
    }

    /// Whom to ask for what comes next; nothing before a store was opened.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Everything taken in up to the end of the last change: what may be shown.
    pub fn index(&self) -> &Index {
        self.ended.as_ref().unwrap_or(&self.growing)
    }

    /// The same, to be shown.
    pub fn show(&mut self) -> Index {
        self.shown = (self.index().clone(), self.ended_at);
        self.shown.0.clone()
    }

    /// The feed says whom it is of.
    ///
    /// | store | answer |
    /// |---|---|
    /// | none was followed | it is followed from now on |
    /// | the same | its epoch is noted |
    /// | another | [`ApplyFault::Store`], even if nothing was taken in yet |
    ///
    /// # Errors
    /// As in the table.
    pub fn open(&mut self, store: StoreId, epoch: u64) -> Result<(), ApplyFault> {
        let position = self.position.get_or_insert(Position { store, epoch, link: genesis(store) });
        if position.store != store {
            return Err(ApplyFault::Store { expected: position.store, actual: store });
        }
        position.epoch = epoch;
        Ok(())
    }

    /// Takes in the next record. If a change ends with it, the index shows it.
    ///
    /// | record | answer |
    /// |---|---|
    /// | the next revision, of the same history, readable | taken in |
    /// | a revision that is there already, or one too many ahead | [`RecordFault::Gap`] |
    /// | the next revision of another history, or changed on its way | [`RecordFault::Chain`] |
    /// | readable only for a later version | [`RecordFault::Unreadable`] |
    /// | one at which the fold panics | [`ApplyFault::Poison`] |
    ///
    /// A refused record changes nothing that is shown. One at which the fold panics takes back what was taken in since
    /// something was shown: how far the fold came with it, nobody knows.
    ///
    /// # Errors
    /// As in the table.
    ///
    /// # Panics
    /// If nothing was opened: whose chain it is, is not known then.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyFault> {
        let position = self.position.as_ref().expect("a feed is opened before its records");
        let entry = Arc::new(codec::decode_next(&position.link, record)?);
        self.take_in(record, &entry, Index::apply)
    }

    /// Takes in the entry of a record that follows.
    fn take_in(
        &mut self,
        record: &Record,
        entry: &Arc<Entry>,
        fold: impl FnOnce(&mut Index, &Arc<Entry>),
    ) -> Result<(), ApplyFault> {
        let position = self.position.as_mut().expect("a feed is opened before its records");
        self.archive.keep(record, entry);
        // A copy makes the next changes copy what they touch, so there is none where the change ends at once.
        if entry.ends_change {
            self.ended = None;
        } else if self.ended.is_none() {
            self.ended = Some(self.growing.clone());
        }
        if catch_unwind(AssertUnwindSafe(|| fold(&mut self.growing, entry))).is_err() {
            position.link = self.shown.1.unwrap_or_else(|| genesis(position.store));
            (self.growing, self.ended, self.ended_at) = (self.shown.0.clone(), None, self.shown.1);
            return Err(ApplyFault::Poison(record.link.revision));
        }
        position.link = record.link;
        if entry.ends_change {
            self.ended_at = Some(record.link);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shared::{
        change::Change,
        codec::{encode, next_link},
        model::log::Revision,
    };
    use uuid::Uuid;

    use super::*;
    use crate::archive::MemoryArchive;

    const STORE: StoreId = StoreId(Uuid::from_u128(1));

    /// Records of a store, one change each.
    fn records(store: StoreId, count: u64) -> Vec<Record> {
        let mut last = genesis(store);
        let record = |revision: u64| {
            let day =
                jiff::civil::date(2000, 1, 1).checked_add(jiff::Span::new().days(i64::try_from(revision).unwrap()));
            let entry = Entry {
                revision: Revision::from(revision),
                record_time: jiff::Timestamp::UNIX_EPOCH,
                ends_change: revision.is_multiple_of(2),
                request: None,
                principal: Default::default(),
                findings: Vec::new(),
                change: Change::RegisterCompleteFrom(day.unwrap()),
            };
            let entry = encode(&entry).unwrap();
            last = next_link(&last, &entry);
            Record { link: last, entry }
        };
        (1..=count).map(record).collect()
    }

    fn applier() -> Applier {
        let mut applier = Applier::new(Arc::new(MemoryArchive::default()));
        applier.open(STORE, 1).unwrap();
        applier
    }

    #[test]
    fn records_in_order_are_taken_in_and_shown_at_the_end_of_their_change() {
        let mut applier = applier();
        let mut shown = |record| {
            applier.apply(record).unwrap();
            (applier.position().unwrap().link.revision.get(), applier.index().revision().get())
        };
        let shown: Vec<(u64, u64)> = records(STORE, 4).iter().map(&mut shown).collect();
        assert_eq!(shown, [(1, 0), (2, 2), (3, 2), (4, 4)]);
    }

    #[test]
    fn what_does_not_follow_is_refused_and_changes_nothing() {
        let ours = records(STORE, 4);
        let foreign = records(StoreId(Uuid::from_u128(2)), 4);
        let mut applier = applier();
        applier.apply(&ours[0]).unwrap();
        applier.apply(&ours[1]).unwrap();
        let gap = |expected: u64, actual: u64| RecordFault::Gap { expected: expected.into(), actual: actual.into() };
        let mut changed = ours[2].clone();
        *changed.entry.last_mut().unwrap() ^= 1;
        for (record, fault) in [
            (&ours[3], gap(3, 4)),
            (&ours[1], gap(3, 2)),
            (&foreign[2], RecordFault::Chain(3.into())),
            (&changed, RecordFault::Chain(3.into())),
        ] {
            assert_eq!(applier.apply(record), Err(ApplyFault::Record(fault)));
            assert_eq!(applier.index().revision(), Revision::from(2));
        }
        applier.apply(&ours[2]).unwrap();
    }

    #[test]
    fn an_entry_at_which_the_fold_panics_is_refused_and_its_change_taken_back() {
        let records = records(STORE, 4);
        let mut applier = applier();
        for record in &records[..3] {
            applier.apply(record).unwrap();
        }
        assert_eq!(applier.show().revision(), Revision::from(2));
        let entry = Arc::new(codec::decode(&records[3]).unwrap());
        for _ in 0..2 {
            let fault = applier.take_in(&records[3], &entry, |growing, _| {
                *growing = Index::default();
                panic!("as if the fold had a fault")
            });
            assert_eq!(fault, Err(ApplyFault::Poison(4.into())));
            assert_eq!(applier.index().revision(), Revision::from(2));
            assert_eq!(applier.position().unwrap().link, records[1].link, "its change is asked for again as a whole");
        }
        // Once there is a version that can, it goes on there.
        for record in &records[2..] {
            applier.apply(record).unwrap();
        }
        assert_eq!(applier.index().revision(), Revision::from(4));
    }

    #[test]
    fn another_store_is_refused() {
        let other = StoreId(Uuid::from_u128(2));
        let fault = ApplyFault::Store { expected: STORE, actual: other };
        assert_eq!(applier().open(other, 1), Err(fault));
    }

    #[test]
    fn what_a_later_version_adds_to_an_entry_is_left_alone() {
        // Field 99 of the entry, with two bytes, which this version does not know; the chain is computed over it.
        let Record { mut entry, .. } = records(STORE, 1).remove(0);
        entry.extend([0x9a, 0x06, 2, b'?', b'?']);
        let record = Record { link: next_link(&genesis(STORE), &entry), entry };
        let mut applier = applier();
        applier.apply(&record).unwrap();
        assert_eq!(applier.position().unwrap().link, record.link, "it goes on from the chain as it is");
    }

    #[test]
    fn an_entry_of_a_later_version_stops_the_follower() {
        // An entry whose change this version does not know: field 99.
        let mut entry = encode(&Entry {
            revision: 1.into(),
            record_time: jiff::Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: None,
            principal: Default::default(),
            findings: Vec::new(),
            change: Change::RegisterCompleteFrom(jiff::civil::date(2000, 1, 1)),
        })
        .unwrap();
        let text = entry.windows(10).position(|window| window == b"2000-01-01").unwrap();
        // Field 11, length-delimited, has a tag of one byte; field 13 keeps the length and is a term that is none.
        entry[text - 2] = 15 << 3 | 2;
        let record = Record { link: next_link(&genesis(STORE), &entry), entry };
        let fault = applier().apply(&record).unwrap_err();
        assert!(matches!(fault, ApplyFault::Record(RecordFault::Unreadable { .. })), "{fault}");
    }
}
