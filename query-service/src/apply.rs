//! From the feed to an index: verifies every record and takes it in, or refuses it and leaves the index as it was. Pure.

use shared::{
    codec::{self, Record, RecordFault, genesis},
    feed::Position,
    model::log::StoreId,
};

use crate::index::Index;

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
}

/// The state of a follower.
#[derive(Clone, Debug, Default)]
pub struct Applier {
    /// Whom it follows, and its last entry.
    position: Option<Position>,
    /// Everything taken in, between the entries of one change, too.
    growing: Index,
    /// The same at the end of the last change.
    index: Index,
}

impl Applier {
    /// Whom to ask for what comes next; nothing before a store was opened.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Everything taken in up to the end of the last change: what may be shown.
    pub fn index(&self) -> &Index {
        &self.index
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
    ///
    /// A refused record changes nothing.
    ///
    /// # Errors
    /// As in the table.
    ///
    /// # Panics
    /// If nothing was opened: whose chain it is, is not known then.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyFault> {
        let position = self.position.as_mut().expect("a feed is opened before its records");
        let entry = codec::decode_next(&position.link, record)?;
        self.growing.apply(&entry);
        position.link = record.link;
        if entry.ends_change {
            self.index = self.growing.clone();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shared::{
        change::{Change, Entry},
        codec::{encode, next_link},
        model::log::Revision,
    };
    use uuid::Uuid;

    use super::*;

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
        let mut applier = Applier::default();
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
    fn another_store_is_refused() {
        let other = StoreId(Uuid::from_u128(2));
        let fault = ApplyFault::Store { expected: STORE, actual: other };
        assert_eq!(applier().open(other, 1), Err(fault));
    }

    #[test]
    fn an_entry_of_a_later_version_stops_the_follower() {
        // An entry whose change this version does not know: field 99.
        let mut entry = encode(&Entry {
            revision: 1.into(),
            record_time: jiff::Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: None,
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
