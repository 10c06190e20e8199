//! What the reports that count say, as far as others can disagree with it. There are tens of millions of claims, so each is
//! kept in 40 bytes of one long list, beside an index by what it speaks of.
//!
//! Equal hashes of values stand for equal values; 64 bits make that as good as certain for the few reports about one thing.
//! Things are told apart by 128 bits.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use bytes::{Buf, BufMut};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use jiff::civil::Date;
use shared::model::{
    ids::{IndicatorId, ReportName, UnitId},
    indicator::Temporality,
    log::Revision,
    period::Span,
    report::{Report, Scope},
};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::{Defined, sources::claims};

/// Parts of the index; only one of them is moved to a larger place at a time.
const PARTS: usize = 64;

/// What is said, as far as rules need it. Equal for what says the same, however it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// An exact count.
    Count(i64),
    /// An exact percentage.
    Percent {
        /// Its digits, without zeros at its end.
        mantissa: i64,
        /// How many of them stand behind the point.
        scale: u32,
    },
    /// Anything else.
    Other(u64),
}

/// What is spoken of: a hash of unit, indicator, `by`, scope and, of a FLOW, the days. Its last bit says whether the scope
/// is OWN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell(u128);

impl Cell {
    /// What is said of one unit.
    pub(super) fn of_unit(
        unit: &UnitId,
        indicator: &IndicatorId,
        by: &BTreeMap<IndicatorId, IndicatorId>,
        scope: Scope,
        temporality: Temporality,
        days: Span,
    ) -> Self {
        Subject::of_unit(unit, days).cell(indicator, by, scope, temporality)
    }

    fn is_own(self) -> bool {
        self.0 & 1 == 1
    }

    fn hash(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

/// Units of which one report says many things, on its days: their part of the hash of a cell, computed once.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// Of what speaks of exactly these days.
    flow: SipHasher13,
    /// Of anything else.
    other: SipHasher13,
}

impl Subject {
    /// One unit.
    pub(super) fn of_unit(unit: &UnitId, days: Span) -> Self {
        Self::of(std::slice::from_ref(unit), days)
    }

    /// Several, as one.
    pub(super) fn of(units: &[UnitId], days: Span) -> Self {
        let (mut flow, mut other) = (SipHasher13::new(), SipHasher13::new());
        (units, Some(days)).hash(&mut flow);
        (units, None::<Span>).hash(&mut other);
        Self { flow, other }
    }

    /// What is said of them.
    pub(super) fn cell(
        &self,
        indicator: &IndicatorId,
        by: &BTreeMap<IndicatorId, IndicatorId>,
        scope: Scope,
        temporality: Temporality,
    ) -> Cell {
        let mut hasher = if temporality == Temporality::Flow { self.flow } else { self.other };
        (indicator, by, scope as u8).hash(&mut hasher);
        Cell(hasher.finish128().as_u128() & !1 | u128::from(scope == Scope::Own))
    }
}

/// What a report says about one thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// What is said, however it is printed.
    pub(super) value: Amount,
    /// The days that it speaks of.
    pub(super) days: Span,
}

/// What a report says about what; by the place of the observation.
#[derive(Clone, Debug)]
pub(in crate::submit) struct Claims(Box<[(Cell, Claim)]>);

impl Claims {
    /// What a report says.
    pub(in crate::submit) fn of(report: &Report, defined: &[Defined<'_>]) -> Self {
        let subject = Subject::of_unit(&report.unit, report.period.span());
        let mut all = Vec::with_capacity(report.observations.len());
        for (observation, defined) in report.observations.iter().zip(defined) {
            claims(report, &subject, *defined, observation, |cell, claim| all.push((cell, claim)));
        }
        Self(all.into())
    }

    /// Adds their bytes: count u32 ‖ days of the first ‖ { cell, 16 ‖ kind u8 ‖ value ‖ days where they differ }*. Numbers are
    /// little-endian.
    pub(in crate::submit) fn write(&self, bytes: &mut Vec<u8>) {
        let usual = self.0.first().map_or(Span::EVER, |(_, claim)| claim.days);
        bytes.put_u32_le(place(self.0.len()));
        write_span(bytes, usual);
        for (cell, Claim { value, days }) in &self.0 {
            bytes.put_u128_le(cell.0);
            let unusual = if *days == usual { 0 } else { OTHER_DAYS };
            match *value {
                Amount::Count(count) => {
                    bytes.put_u8(COUNT | unusual);
                    bytes.put_i64_le(count);
                }
                Amount::Percent { mantissa, scale } => {
                    bytes.put_u8(PERCENT | unusual);
                    bytes.put_i64_le(mantissa);
                    bytes.put_u32_le(scale);
                }
                Amount::Other(hash) => {
                    bytes.put_u8(OTHER | unusual);
                    bytes.put_u64_le(hash);
                }
            }
            if unusual != 0 {
                write_span(bytes, *days);
            }
        }
    }

    /// Reads what was written so; none if it was not.
    pub(in crate::submit) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let count = bytes.try_get_u32_le().ok()? as usize;
        let usual = read_span(bytes)?;
        // The bytes bound what a count that was changed can take.
        let mut all = Vec::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            let cell = Cell(bytes.try_get_u128_le().ok()?);
            let kind = bytes.try_get_u8().ok()?;
            let value = match kind & !OTHER_DAYS {
                COUNT => Amount::Count(bytes.try_get_i64_le().ok()?),
                PERCENT => {
                    Amount::Percent { mantissa: bytes.try_get_i64_le().ok()?, scale: bytes.try_get_u32_le().ok()? }
                }
                OTHER => Amount::Other(bytes.try_get_u64_le().ok()?),
                _ => return None,
            };
            let days = if kind & OTHER_DAYS == 0 { usual } else { read_span(bytes)? };
            all.push((cell, Claim { value, days }));
        }
        Some(Self(all.into()))
    }
}

/// Kinds of values, and what is added where the days are not those of the first claim.
const COUNT: u8 = 1;
const PERCENT: u8 = 2;
const OTHER: u8 = 3;
const OTHER_DAYS: u8 = 4;

/// Two days: year i16 ‖ month u8 ‖ day u8; zeros for an open end.
fn write_span(bytes: &mut Vec<u8>, span: Span) {
    for day in [span.first_day, span.last_day] {
        let (year, month, day) = day.map_or((0, 0, 0), |day| (day.year(), day.month(), day.day()));
        bytes.put_i16_le(year);
        bytes.put_i8(month);
        bytes.put_i8(day);
    }
}

fn read_span(bytes: &mut &[u8]) -> Option<Span> {
    let mut day = || {
        let (year, month) = (bytes.try_get_i16_le().ok()?, bytes.try_get_i8().ok()?);
        let day = bytes.try_get_i8().ok()?;
        if (year, month, day) == (0, 0, 0) { Some(None) } else { Date::new(year, month, day).ok().map(Some) }
    };
    Some(Span { first_day: day()?, last_day: day()? })
}

/// A claim of a report that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) report: ReportName,
    pub(super) version: Revision,
    pub(super) claim: Claim,
}

impl Heard {
    /// Whether it says something else than a claim of that report about the same.
    pub(super) fn disagrees(&self, report: ReportName, ours: &Claim) -> bool {
        self.report != report && self.claim.value != ours.value && self.claim.days.overlaps(&ours.days)
    }
}

/// What the reports that count say, by what they speak of.
#[derive(Clone, Debug, Default)]
pub(in crate::submit) struct Said {
    /// The claims of each speaker are neighbours.
    kept: Vec<Kept>,
    index: Index,
    speakers: Vec<Speaker>,
    by_report: HashMap<ReportName, u32, RandomState>,
    days: Days,
    /// Places of claims that no longer count, by how many there are side by side.
    free: HashMap<u32, Vec<u32>>,
    free_speakers: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    /// Two halves of a cell, for a number of 128 bits would begin at a multiple of 16 bytes.
    cell: [u64; 2],
    value: Amount,
    speaker: u32,
    days: u32,
}

const _: () = assert!(size_of::<Kept>() == 40);

/// A report that counts.
#[derive(Clone, Copy, Debug)]
struct Speaker {
    report: ReportName,
    version: Revision,
    first: u32,
    count: u32,
}

/// Places of claims.
#[derive(Clone, Debug)]
struct Index {
    of_units: Vec<HashTable<u32>>,
    /// Of children, subtrees and groups: few, and looked for with nearly every report.
    of_several: HashTable<u32>,
}

impl Default for Index {
    fn default() -> Self {
        Self { of_units: vec![HashTable::new(); PARTS], of_several: HashTable::new() }
    }
}

impl Index {
    fn part(&self, cell: Cell) -> &HashTable<u32> {
        if cell.is_own() { &self.of_units[part_of(cell)] } else { &self.of_several }
    }

    fn part_mut(&mut self, cell: Cell) -> &mut HashTable<u32> {
        if cell.is_own() { &mut self.of_units[part_of(cell)] } else { &mut self.of_several }
    }
}

/// By bits that the tables make little use of themselves: they begin with the lowest and the highest.
fn part_of(cell: Cell) -> usize {
    (cell.hash() >> 32) as usize % PARTS
}

/// Days that claims speak of. There are few that differ.
#[derive(Clone, Debug, Default)]
struct Days {
    all: Vec<Span>,
    numbers: HashMap<Span, u32, RandomState>,
    newest: u32,
}

impl Days {
    fn number(&mut self, days: Span) -> u32 {
        if self.all.get(self.newest as usize) != Some(&days) {
            self.newest = *self.numbers.entry(days).or_insert_with(|| {
                self.all.push(days);
                place(self.all.len() - 1)
            });
        }
        self.newest
    }
}

/// The number of something that is kept.
fn place(place: usize) -> u32 {
    u32::try_from(place).expect("memory ends long before 2^32 claims")
}

impl Kept {
    fn cell(&self) -> Cell {
        Cell(u128::from(self.cell[0]) << 64 | u128::from(self.cell[1]))
    }
}

impl Said {
    /// Makes room for so many claims, nearly all of single units.
    pub(in crate::submit) fn reserve(&mut self, count: usize) {
        self.kept.reserve(count);
        let Self { kept, index, .. } = self;
        for part in &mut index.of_units {
            part.reserve(count / PARTS, |at| kept[*at as usize].cell[0]);
        }
    }

    /// Takes in a version of a report, in place of what it said before.
    pub(in crate::submit) fn put(&mut self, report: ReportName, version: Revision, claims: Claims) {
        self.remove(report);
        let count = place(claims.0.len());
        let first = self.room(count);
        let number = self.speaker(Speaker { report, version, first, count });
        let Self { kept, index, days, .. } = self;
        for (at, (cell, Claim { value, days: span })) in (first..).zip(claims.0) {
            let halves = [cell.hash(), cell.0 as u64];
            kept[at as usize] = Kept { cell: halves, value, speaker: number, days: days.number(span) };
            index.part_mut(cell).insert_unique(cell.hash(), at, |at| kept[*at as usize].cell[0]);
        }
    }

    /// Where so many claims find a place.
    fn room(&mut self, count: u32) -> u32 {
        if let Some(first) = self.free.get_mut(&count).and_then(Vec::pop) {
            return first;
        }
        const NOTHING: Kept = Kept { cell: [0; 2], value: Amount::Other(0), speaker: 0, days: 0 };
        let first = self.kept.len();
        self.kept.resize(first + count as usize, NOTHING);
        place(first)
    }

    fn speaker(&mut self, speaker: Speaker) -> u32 {
        let number = match self.free_speakers.pop() {
            Some(number) => number,
            None => {
                self.speakers.push(speaker);
                place(self.speakers.len() - 1)
            }
        };
        self.speakers[number as usize] = speaker;
        self.by_report.insert(speaker.report, number);
        number
    }

    /// What a report has said no longer counts.
    pub(in crate::submit) fn remove(&mut self, report: ReportName) {
        let Some(number) = self.by_report.remove(&report) else { return };
        let Speaker { first, count, .. } = self.speakers[number as usize];
        for at in first..first + count {
            let cell = self.kept[at as usize].cell();
            if let Ok(found) = self.index.part_mut(cell).find_entry(cell.hash(), |other| *other == at) {
                found.remove();
            }
        }
        self.free_speakers.push(number);
        self.free.entry(count).or_default().push(first);
    }

    /// What is said of that, in no order.
    pub(super) fn get(&self, cell: Cell) -> impl Iterator<Item = Heard> {
        let places = self.index.part(cell).iter_hash(cell.hash());
        let kept = places.map(|at| &self.kept[*at as usize]).filter(move |kept| kept.cell() == cell);
        kept.map(|kept| {
            let Speaker { report, version, .. } = self.speakers[kept.speaker as usize];
            let claim = Claim { value: kept.value, days: self.days.all[kept.days as usize] };
            Heard { report, version, claim }
        })
    }

    /// Whether anything is said of that.
    pub(super) fn knows(&self, cell: Cell) -> bool {
        self.get(cell).next().is_some()
    }

    /// Whether another report disagrees with what that one claims.
    pub(super) fn disagrees(&self, report: ReportName, claims: &Claims) -> bool {
        let disagrees = |(cell, ours): &(Cell, Claim)| self.get(*cell).any(|other| other.disagrees(report, ours));
        claims.0.iter().any(disagrees)
    }

    /// What reports but that one say of exactly these days, and the newest version that does; none if they differ.
    #[allow(clippy::too_many_arguments, reason = "they are the parts of a cell")]
    pub(super) fn exactly(
        &self,
        but: ReportName,
        unit: &UnitId,
        indicator: &IndicatorId,
        by: &BTreeMap<IndicatorId, IndicatorId>,
        scope: Scope,
        temporality: Temporality,
        days: Span,
    ) -> Option<(Amount, (ReportName, Revision))> {
        let claims = self.get(Cell::of_unit(unit, indicator, by, scope, temporality, days));
        agreed(claims.filter(|other| other.report != but && other.claim.days == days))
    }

    /// What reports but that one say of a stock of a unit itself in a period that ends on that day, and the newest version
    /// that does; none if they differ.
    pub(super) fn on(
        &self,
        but: ReportName,
        unit: &UnitId,
        indicator: &IndicatorId,
        by: &BTreeMap<IndicatorId, IndicatorId>,
        day: Date,
    ) -> Option<(Amount, (ReportName, Revision))> {
        let claims = self.get(Cell::of_unit(unit, indicator, by, Scope::Own, Temporality::State, Span::EVER));
        agreed(claims.filter(|other| other.report != but && other.claim.days.last_day == Some(day)))
    }
}

/// What claims say if all of them say the same, and the newest version that does.
fn agreed(mut claims: impl Iterator<Item = Heard>) -> Option<(Amount, (ReportName, Revision))> {
    let first = claims.next()?;
    let newest = claims.try_fold(first, |newest, other| {
        let later = if other.version > newest.version { other } else { newest };
        (other.claim.value == first.claim.value).then_some(later)
    })?;
    Some((newest.claim.value, (newest.report, newest.version)))
}

#[cfg(test)]
impl Said {
    /// What every report says, in words.
    pub(in crate::submit) fn image(&self) -> BTreeMap<ReportName, Vec<String>> {
        let image = |number: &u32| {
            let Speaker { version, first, count, .. } = self.speakers[*number as usize];
            let kept = &self.kept[first as usize..(first + count) as usize];
            kept.iter()
                .map(|kept| {
                    let mut heard: Vec<_> = self.get(kept.cell()).map(|heard| format!("{heard:?}")).collect();
                    heard.sort_unstable();
                    format!("{version} {heard:?}")
                })
                .collect()
        };
        self.by_report.iter().map(|(report, number)| (*report, image(number))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of each: a cell, a value, a day.
    type Plain = Vec<(u128, i64, i8)>;

    #[derive(Clone, Debug)]
    enum Step {
        Put { report: u64, claims: Plain },
        Remove { report: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let claims = prop::collection::vec((0u128..20, 0i64..3, 1i8..5), 0..4);
        prop_oneof![
            3 => (0u64..6, claims).prop_map(|(report, claims)| Step::Put { report, claims }),
            1 => (0u64..6).prop_map(|report| Step::Remove { report }),
        ]
    }

    /// Half of them with the same hash, so that they stay apart by what is behind it.
    fn cell(number: u128) -> Cell {
        Cell((number % 10) << 64 | number << 1 | (number % 2))
    }

    fn claim(value: i64, day: i8) -> Claim {
        Claim {
            value: Amount::Count(value),
            days: Span { first_day: Some(Date::constant(2025, 1, day)), last_day: None },
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_the_reports_that_count_say(steps in prop::collection::vec(step(), 0..40)) {
            let mut said = Said::default();
            let mut plain: BTreeMap<u64, (u64, Plain)> = BTreeMap::new();
            let mut claims_max = 0;
            for (version, step) in (1..).zip(steps) {
                match step {
                    Step::Put { report, claims } => {
                        let all = claims.iter().map(|(number, value, day)| (cell(*number), claim(*value, *day)));
                        said.put(ReportName(report), Revision::from(version), Claims(all.collect()));
                        plain.insert(report, (version, claims));
                    }
                    Step::Remove { report } => {
                        said.remove(ReportName(report));
                        plain.remove(&report);
                    }
                }
                claims_max = claims_max.max(plain.values().map(|(_, claims)| claims.len()).sum());
                for number in 0..20 {
                    let mut heard: Vec<_> = said.get(cell(number)).map(|it| format!("{it:?}")).collect();
                    let expected = plain.iter().flat_map(|(report, (version, claims))| {
                        let about = claims.iter().filter(move |(about, ..)| *about == number);
                        about.map(|(_, value, day)| {
                            let (report, version) = (ReportName(*report), Revision::from(*version));
                            format!("{:?}", Heard { report, version, claim: claim(*value, *day) })
                        })
                    });
                    let mut expected: Vec<_> = expected.collect();
                    heard.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(heard, expected);
                }
            }
            // Room of claims that no longer count is used again.
            prop_assert!(said.kept.len() <= claims_max + 4 * 6 * 4);
            prop_assert!(said.speakers.len() <= 6);
        }
    }
}
