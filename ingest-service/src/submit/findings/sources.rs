//! Current reports that say different things about the same.
//!
//! Two observations speak about the same if they are of one unit, indicator, `by` and scope, and have a day in common; of
//! a FLOW, if their periods have exactly the same days. A flag does not speak of days after its publication, unless it
//! looks ahead.
//!
//! Of every report that counts, the state keeps what decides this and nothing else: [`Said`]. Equal hashes of values stand
//! for equal values; 64 bits make that as good as certain for the few reports about one thing. Things are told apart by 128
//! bits.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
};

use foldhash::fast::RandomState;
use jiff::civil::Date;
use shared::{
    model::{
        finding::{Finding, FindingReason},
        ids::{IndicatorId, ReportName, UnitId},
        indicator::{Temporality, ValueKind},
        log::Revision,
        period::Span,
        report::{Observation, Qualifier, Report, Scope, Value},
    },
    registry::Registry,
};
use siphasher::sip128::{Hasher128, SipHasher13};
use smallvec::SmallVec;

use super::{Defined, about, defined, warning};

/// Other reports that a finding names; further ones are counted.
const OTHERS_NAMED_MAX: usize = 10;

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

impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64((self.0 >> 64) as u64);
    }
}

/// A cell is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct CellHasher(u64);

impl Hasher for CellHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a cell writes one number");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

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

    fn of(units: &[UnitId], days: Span) -> Self {
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

/// What a version of a report says about one thing, as far as others can disagree with it.
#[derive(Clone, Copy, Debug)]
struct Claim {
    report: ReportName,
    version: Revision,
    /// What is said, however it is printed.
    value: Amount,
    /// The days that it speaks of.
    days: Span,
}

impl Claim {
    /// Whether it says something else than a claim of that report about the same.
    fn disagrees(&self, report: ReportName, ours: &Claim) -> bool {
        self.report != report && self.value != ours.value && self.days.overlaps(&ours.days)
    }
}

/// What a report says about what, as far as others can disagree with it; by the place of the observation.
#[derive(Clone, Debug)]
pub(in crate::submit) struct Claims(Box<[(Cell, Claim)]>);

impl Claims {
    /// What a report says, before it has a name.
    pub(in crate::submit) fn of(report: &Report, defined: &[Defined<'_>]) -> Self {
        let subject = Subject::of_unit(&report.unit, report.period.span());
        let mut all = Vec::with_capacity(report.observations.len());
        for (observation, defined) in report.observations.iter().zip(defined) {
            claims(report, &subject, *defined, observation, |cell, claim| all.push((cell, claim)));
        }
        Self(all.into())
    }
}

/// Nearly always there is one claim, which lies in the map itself.
type ByCell = HashMap<Cell, SmallVec<[Claim; 1]>, BuildHasherDefault<CellHasher>>;

/// What the reports that count say, by what they speak of.
#[derive(Clone, Debug, Default)]
pub(in crate::submit) struct Said {
    of_units: ByCell,
    /// Of children, subtrees and groups: few, and looked for with nearly every report.
    of_several: ByCell,
    cells_of: HashMap<ReportName, Box<[Cell]>, RandomState>,
}

impl Said {
    /// Takes in a version of a report, in place of what it said before.
    pub(in crate::submit) fn put(&mut self, report: ReportName, version: Revision, claims: Claims) {
        self.remove(report);
        self.cells_of.insert(report, claims.0.iter().map(|(cell, _)| *cell).collect());
        for (cell, claim) in claims.0 {
            self.part_mut(cell).entry(cell).or_default().push(Claim { report, version, ..claim });
        }
    }

    /// What a report has said no longer counts.
    pub(in crate::submit) fn remove(&mut self, report: ReportName) {
        for cell in self.cells_of.remove(&report).into_iter().flatten() {
            let part = self.part_mut(cell);
            if let Some(claims) = part.get_mut(&cell) {
                claims.retain(|claim| claim.report != report);
                if claims.is_empty() {
                    part.remove(&cell);
                }
            }
        }
    }

    fn part_mut(&mut self, cell: Cell) -> &mut ByCell {
        if cell.is_own() { &mut self.of_units } else { &mut self.of_several }
    }

    fn get(&self, cell: Cell) -> Option<&[Claim]> {
        let part = if cell.is_own() { &self.of_units } else { &self.of_several };
        part.get(&cell).map(SmallVec::as_slice)
    }

    /// Whether anything is said of that.
    pub(super) fn knows(&self, cell: Cell) -> bool {
        self.get(cell).is_some()
    }

    /// Whether another report disagrees with what that one claims.
    pub(super) fn disagrees(&self, report: ReportName, claims: &Claims) -> bool {
        let disagrees = |(cell, ours): &(Cell, Claim)| {
            self.get(*cell).is_some_and(|theirs| theirs.iter().any(|other| other.disagrees(report, ours)))
        };
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
        let claims = self.get(Cell::of_unit(unit, indicator, by, scope, temporality, days))?;
        agreed(claims.iter().filter(|claim| claim.report != but && claim.days == days))
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
        let claims = self.get(Cell::of_unit(unit, indicator, by, Scope::Own, Temporality::State, Span::EVER))?;
        agreed(claims.iter().filter(|claim| claim.report != but && claim.days.last_day == Some(day)))
    }
}

/// What claims say if all of them say the same, and the newest version that does.
fn agreed<'a>(mut claims: impl Iterator<Item = &'a Claim>) -> Option<(Amount, (ReportName, Revision))> {
    let first = claims.next()?;
    let newest = claims.try_fold(first, |newest, claim| {
        let later = if claim.version > newest.version { claim } else { newest };
        (claim.value == first.value).then_some(later)
    })?;
    Some((newest.value, (newest.report, newest.version)))
}

/// What an observation claims and about what: of each unit of a group where it says so. Nothing if it was published
/// before the days that it speaks of. `subject` is the report's unit on the report's days.
fn claims(
    report: &Report,
    subject: &Subject,
    defined: Defined<'_>,
    observation: &Observation,
    mut each: impl FnMut(Cell, Claim),
) {
    let Some(indicator) = defined.newest else { return };
    let span = report.period.span();
    let is_of_each = observation.scope == Scope::Group && observation.value.is_said_of_each();
    let scope = if is_of_each { Scope::Own } else { observation.scope };
    let is_state_of_unit = indicator.value_kind == ValueKind::Flag && scope == Scope::Own;
    let cut = report.source.published_on.filter(|_| is_state_of_unit && !observation.basis.looks_ahead());
    let last_day = match (span.last_day, cut) {
        (Some(last_day), Some(cut)) => Some(last_day.min(cut)),
        (last_day, cut) => last_day.or(cut),
    };
    if matches!((span.first_day, last_day), (Some(first), Some(last)) if last < first) {
        return;
    }
    let cell = |subject: &Subject| subject.cell(&observation.indicator, &observation.by, scope, indicator.temporality);
    let value = amount(observation);
    let claim = Claim { report: report.name, version: Revision::ZERO, value, days: Span { last_day, ..span } };
    match (observation.scope, is_of_each) {
        (_, true) => observation.units.iter().for_each(|unit| each(cell(&Subject::of_unit(unit, span)), claim)),
        (Scope::Group, false) => each(cell(&Subject::of(&observation.units, span)), claim),
        (_, false) => each(cell(subject), claim),
    }
}

/// SOURCES_DISAGREE: one finding for each observation of which another report that counts says something else. See the
/// top of this file for what is about the same.
pub(super) fn check(registry: &Registry, report: &Report, said: &Said) -> Vec<Finding> {
    let span = report.period.span();
    let subject = Subject::of_unit(&report.unit, span);
    let defined = defined(registry, span.last_day, &report.observations);
    let mut findings = Vec::new();
    for (index, (observation, defined)) in report.observations.iter().zip(defined).enumerate() {
        let mut others: Vec<(ReportName, Revision)> = Vec::new();
        claims(report, &subject, defined, observation, |cell, ours| {
            let theirs = said.get(cell).unwrap_or_default();
            let disagree = theirs.iter().filter(|other| other.disagrees(report.name, &ours));
            others.extend(disagree.map(|other| (other.report, other.version)));
        });
        others.sort();
        others.dedup();
        let message = match others.len() {
            0 => continue,
            1 => "another report says something else about the same".to_owned(),
            count => format!("{count} other reports say something else about the same"),
        };
        let path = format!("report.observations[{index}]");
        let finding = warning(FindingReason::SourcesDisagree, &path, message);
        findings.push(about(others, OTHERS_NAMED_MAX, finding));
    }
    findings
}

fn hash_of(thing: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

fn amount(observation: &Observation) -> Amount {
    match (&observation.value, observation.qualifier) {
        (Value::Count(count), Qualifier::Exact) => Amount::Count(*count),
        (Value::Percent(percent), Qualifier::Exact) if observation.scope == Scope::Own => {
            let percent = percent.normalize();
            let mantissa = i64::try_from(percent.mantissa());
            // A percentage of that many digits is compared by its hash.
            mantissa.map_or(Amount::Other(hash_value(observation)), |mantissa| Amount::Percent {
                mantissa,
                scale: percent.scale(),
            })
        }
        _ => Amount::Other(hash_value(observation)),
    }
}

/// Equal for what says the same: 62,299 million and 62.299 billion, 90 % and 27 of 30.
fn hash_value(observation: &Observation) -> u64 {
    let value = match &observation.value {
        Value::Flag(flag) => hash_of(("flag", flag)),
        Value::Count(count) => hash_of(("count", count)),
        Value::Decimal(number) => hash_of(("decimal", number.normalize())),
        Value::Percent(percent) => {
            let whole = 100 * 10i128.pow(percent.scale());
            hash_of(("part", reduced(percent.mantissa(), whole)))
        }
        Value::Ratio(ratio) => {
            hash_of(("part", reduced(i128::from(ratio.numerator()), i128::from(ratio.denominator()))))
        }
        Value::Money { amount, scale, currency } => match amount.checked_mul(super::parts::factor(*scale)) {
            Some(full) => hash_of(("money", full.normalize(), currency)),
            None => hash_of(("money", amount.normalize(), *scale as u8, currency)),
        },
        Value::Category(code) => hash_of(("category", code)),
        Value::Direction(direction) => hash_of(("direction", *direction as u8)),
        Value::Change(change) => {
            let possible: std::collections::BTreeSet<_> = change.possible_units.iter().collect();
            hash_of(("change", change.amount.normalize(), change.unit, change.baseline, possible))
        }
        Value::Missing(missing) => hash_of(("missing", *missing as u8)),
    };
    hash_of((value, observation.qualifier as u8))
}

/// A fraction in its lowest terms.
fn reduced(part: i128, whole: i128) -> (i128, i128) {
    let (mut a, mut b) = (part.abs(), whole);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (part / a, whole / a)
}

#[cfg(test)]
mod tests {
    use shared::model::report::{Ratio, Scale};

    use super::*;

    fn value(value: Value) -> u64 {
        hash_value(&Observation {
            indicator: "x".parse().unwrap(),
            by: Default::default(),
            scope: Scope::Own,
            units: Vec::new(),
            indicator_version: 1,
            value,
            qualifier: Qualifier::Exact,
            basis: Default::default(),
            stated_percent: None,
            note: String::new(),
        })
    }

    proptest::proptest! {
        #[test]
        fn equal_parts_are_equal(part in 0i64..1000, more in 1i64..1000, times in 1i64..1000) {
            let ratio = |part, whole| value(Value::Ratio(Ratio::new(part, whole).unwrap()));
            proptest::prop_assert_eq!(ratio(part, part + more), ratio(part * times, (part + more) * times));
        }
    }

    #[test]
    fn what_says_the_same_is_equal_however_it_is_printed() {
        let money = |amount: &str, scale| {
            value(Value::Money { amount: amount.parse().unwrap(), scale, currency: "VND".to_owned() })
        };
        assert_eq!(money("62299", Scale::Million), money("62.299", Scale::Billion));
        assert_ne!(money("62299", Scale::Million), money("62.3", Scale::Billion));
        let ratio = |part, whole| value(Value::Ratio(Ratio::new(part, whole).unwrap()));
        let percent = |text: &str| value(Value::Percent(text.parse().unwrap()));
        assert_eq!(ratio(27, 30), percent("90.0"));
        assert_eq!(ratio(1, 3), ratio(2, 6));
        assert_eq!(ratio(5, 6), ratio(10, 12));
        assert_ne!(ratio(5, 6), percent("83.33"));
        assert_ne!(percent("-5"), percent("5"));
        assert_ne!(ratio(1, 3), ratio(1, 6));
        assert_ne!(value(Value::Flag(true)), value(Value::Flag(false)));
    }
}
