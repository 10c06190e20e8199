//! Which versions of which reports there are, by revision and by unit: a few bytes for each, so that bodies can lie
//! elsewhere.

use std::sync::Arc;

use rpds::HashTrieMapSync;
use shared::model::{
    ids::{IndicatorId, ReportName, UnitId},
    log::Revision,
    period::Span,
};

use super::{
    chunks::{CHUNK_LEN, Chunks},
    image::Damaged,
};

/// What is known of a version without its body.
#[derive(Clone, Debug)]
pub struct VersionRecord {
    /// Its revision.
    pub revision: Revision,
    /// A bit for each indicator of which it says something; several indicators share a bit.
    pub(super) said: u64,
    /// Number of its unit.
    pub unit: u32,
    /// Number of its days.
    pub(super) span: u32,
    /// Place of the first version of its report.
    pub(super) first: u32,
    /// Of a first version the place of the newest one, of any other that of the one before it.
    pub(super) link: u32,
}

/// Every version of every report.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    pub(super) records: Chunks<VersionRecord>,
    /// Versions that no longer count, and since when.
    ended: HashTrieMapSync<u32, Revision>,
    pub(super) spans: Chunks<Span>,
    span_numbers: HashTrieMapSync<Span, u32>,
    pub(super) bits: HashTrieMapSync<IndicatorId, u32>,
    pub(super) units: Chunks<UnitId>,
    unit_numbers: HashTrieMapSync<UnitId, u32>,
    /// Places of the versions that say something of a unit, by its number, oldest first.
    of_unit: Chunks<Arc<Vec<u32>>>,
}

/// What a new version is about.
pub struct About<'a> {
    /// Its report.
    pub name: ReportName,
    /// Its revision.
    pub revision: Revision,
    /// Its unit.
    pub unit: &'a UnitId,
    /// Its days.
    pub span: Span,
    /// Indicators of which it says something.
    pub indicators: &'a mut dyn Iterator<Item = &'a IndicatorId>,
}

impl Versions {
    /// The number of a unit; it gets one if it has none.
    pub fn number(&mut self, unit: &UnitId) -> u32 {
        if let Some(number) = self.unit_numbers.get(unit) {
            return *number;
        }
        let number = place(self.units.len());
        self.units.push(unit.clone());
        self.of_unit.push(Arc::default());
        self.unit_numbers.insert_mut(unit.clone(), number);
        number
    }

    /// The number of a unit; none if nothing was ever said of it.
    pub fn number_of(&self, unit: &UnitId) -> Option<u32> {
        self.unit_numbers.get(unit).copied()
    }

    /// The unit with that number.
    pub fn unit(&self, number: u32) -> Option<&UnitId> {
        self.units.get(number as usize)
    }

    /// Adds a version, the newest of its report. Its place.
    pub fn add(&mut self, about: About<'_>) -> u32 {
        let added = place(self.records.len());
        let said = about.indicators.fold(0, |said, indicator| said | 1 << self.bit_for(indicator));
        let unit = self.number(about.unit);
        let span = self.span_number(about.span);
        let first = self.first_of(about.name).unwrap_or(added);
        let before = self.get(first).map_or(added, |first| first.link);
        self.records.push(VersionRecord { revision: about.revision, said, unit, span, first, link: before });
        if first != added
            && let Some(first) = self.records.get_mut(first as usize)
        {
            first.link = added;
        }
        self.post(unit, added);
        added
    }

    /// Notes that a version says something of a unit.
    pub fn post(&mut self, unit: u32, version: u32) {
        if let Some(posted) = self.of_unit.get_mut(unit as usize)
            && posted.last() != Some(&version)
        {
            Arc::make_mut(posted).push(version);
        }
    }

    /// A version no longer counts.
    pub fn end(&mut self, version: u32, revision: Revision) {
        self.ended.insert_mut(version, revision);
    }

    /// The newest version of a report, if it counts.
    pub fn newest(&self, name: ReportName) -> Option<u32> {
        let newest = self.get(self.first_of(name)?)?.link;
        self.ended_at(newest).is_none().then_some(newest)
    }

    /// The version at that place.
    pub fn get(&self, version: u32) -> Option<&VersionRecord> {
        self.records.get(version as usize)
    }

    /// Since when a version does not count; none: it counts.
    pub fn ended_at(&self, version: u32) -> Option<Revision> {
        self.ended.get(&version).copied()
    }

    /// The version with that revision.
    pub fn find(&self, revision: Revision) -> Option<u32> {
        let found = self.records.count_while(|record| record.revision < revision);
        self.records.get(found).filter(|record| record.revision == revision).map(|_| place(found))
    }

    /// The name of the report of a version.
    pub fn name(&self, version: &VersionRecord) -> Option<ReportName> {
        Some(ReportName(self.get(version.first)?.revision.get()))
    }

    /// The version of a report that no longer counts since that revision.
    pub fn ended_by(&self, name: ReportName, revision: Revision) -> Option<u32> {
        let first = self.first_of(name)?;
        let mut version = self.get(first)?.link;
        while self.ended_at(version) != Some(revision) {
            if version == first {
                return None;
            }
            version = self.get(version)?.link;
        }
        Some(version)
    }

    /// Versions that say something of the unit with that number, oldest first.
    pub fn of_unit(&self, unit: u32) -> &[u32] {
        self.of_unit.get(unit as usize).map_or(&[], |posted| posted.as_slice())
    }

    /// The days of a version.
    pub fn span(&self, version: &VersionRecord) -> Span {
        self.spans.get(version.span as usize).copied().unwrap_or(Span::EVER)
    }

    /// Whether a version may say something about an indicator; it does not if this says so.
    pub fn may_say(&self, version: &VersionRecord, indicator: &IndicatorId) -> bool {
        self.bits.get(indicator).is_some_and(|bit| version.said & (1 << bit) != 0)
    }

    /// Units of which something was said after a revision.
    pub fn units_after(&self, revision: Revision) -> impl Iterator<Item = u32> {
        let first = self.records.count_while(|record| record.revision <= revision);
        self.records.iter_from(first).map(|record| record.unit)
    }

    /// Every version, oldest first.
    pub fn places(&self) -> std::ops::Range<u32> {
        0..place(self.records.len())
    }

    /// Versions that were ended after a revision, each with the revision that ended it, in order.
    pub(super) fn ended_after(&self, revision: Revision) -> Vec<[u64; 2]> {
        let new = self.ended.iter().filter(|(_, end)| **end > revision);
        let mut ended: Vec<[u64; 2]> = new.map(|(version, end)| [u64::from(*version), end.get()]).collect();
        ended.sort_unstable();
        ended
    }

    /// Pairs of a unit and a version that says something of it, as far as an earlier copy does not have the version.
    pub(super) fn posts_since(&self, before: Option<&Self>) -> Vec<u32> {
        let first = before.map_or(0, |it| it.places().end);
        let mut posts = Vec::new();
        for (number, chunk) in self.of_unit.chunks_since(before.map(|it| &it.of_unit)) {
            for (index, posted) in chunk.iter().enumerate() {
                let unit = place(number * CHUNK_LEN + index);
                let new = posted.partition_point(|version| *version < first);
                posts.extend(posted[new..].iter().flat_map(|version| [unit, *version]));
            }
        }
        posts
    }

    /// Takes in what was added: pairs as [`Self::ended_after`] and [`Self::posts_since`] answer them.
    pub(super) fn take_added(&mut self, ended: &[u64], posts: &[u32]) -> Result<(), Damaged> {
        let damaged = |what: &str| Damaged(format!("{what} is not there"));
        for pair in ended.chunks(2) {
            let [version, end] = pair else { return Err(damaged("the end of a version")) };
            let version = u32::try_from(*version).map_err(|_| damaged("a version"))?;
            self.end(version, Revision::from(*end));
        }
        for pair in posts.chunks(2) {
            let [unit, version] = pair else { return Err(damaged("the version of a post")) };
            self.of_unit.get(*unit as usize).ok_or_else(|| damaged("a unit"))?;
            self.get(*version).ok_or_else(|| damaged("a version"))?;
            self.post(*unit, *version);
        }
        Ok(())
    }

    /// Makes what follows from the lists of units and spans.
    pub(super) fn settle(&mut self) {
        for number in 0..self.units.len() {
            if let Some(unit) = self.units.get(number) {
                self.unit_numbers.insert_mut(unit.clone(), place(number));
                self.of_unit.push(Arc::default());
            }
        }
        for number in 0..self.spans.len() {
            if let Some(span) = self.spans.get(number) {
                self.span_numbers.insert_mut(*span, place(number));
            }
        }
    }

    /// Gives back room that is there for what comes.
    pub(super) fn shrink(&mut self) {
        for number in 0..self.of_unit.len() {
            if let Some(posted) = self.of_unit.get_mut(number) {
                Arc::make_mut(posted).shrink_to_fit();
            }
        }
    }

    fn first_of(&self, name: ReportName) -> Option<u32> {
        self.find(Revision::from(name.0))
    }

    fn bit_for(&mut self, indicator: &IndicatorId) -> u32 {
        if let Some(bit) = self.bits.get(indicator) {
            return *bit;
        }
        let bit = place(self.bits.size()) % u64::BITS;
        self.bits.insert_mut(indicator.clone(), bit);
        bit
    }

    fn span_number(&mut self, span: Span) -> u32 {
        if let Some(number) = self.span_numbers.get(&span) {
            return *number;
        }
        let number = place(self.spans.len());
        self.spans.push(span);
        self.span_numbers.insert_mut(span, number);
        number
    }
}

fn place(count: usize) -> u32 {
    u32::try_from(count).expect("there are fewer than 2^32 versions and units")
}
