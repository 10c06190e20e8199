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
    hash::{DefaultHasher, Hash, Hasher},
};

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

use super::{about, warning};

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

/// What is spoken of: a hash of unit, indicator, `by`, scope and, of a FLOW, the days.
type CellHash = u128;

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

/// What the reports that count say, by what they speak of.
#[derive(Clone, Debug, Default)]
pub(in crate::submit) struct Said {
    claims: HashMap<CellHash, Vec<Claim>>,
    cells_of: HashMap<ReportName, Box<[CellHash]>>,
}

impl Said {
    /// Takes in a version of a report, in place of what it said before.
    pub(in crate::submit) fn put(&mut self, registry: &Registry, report: &Report, version: Revision) {
        self.remove(report.name);
        let claims: Vec<(CellHash, Claim)> =
            report.observations.iter().flat_map(|o| claims(registry, report, version, o)).collect();
        self.cells_of.insert(report.name, claims.iter().map(|(cell, _)| *cell).collect());
        for (cell, claim) in claims {
            self.claims.entry(cell).or_default().push(claim);
        }
    }

    /// What a report has said no longer counts.
    pub(in crate::submit) fn remove(&mut self, report: ReportName) {
        for cell in self.cells_of.remove(&report).into_iter().flatten() {
            if let Some(claims) = self.claims.get_mut(&cell) {
                claims.retain(|claim| claim.report != report);
                if claims.is_empty() {
                    self.claims.remove(&cell);
                }
            }
        }
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
        let flow_days = (temporality == Temporality::Flow).then_some(days);
        let claims = self.claims.get(&cell(std::slice::from_ref(unit), indicator, by, scope, flow_days))?;
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
        let claims = self.claims.get(&cell(std::slice::from_ref(unit), indicator, by, Scope::Own, None))?;
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

fn cell(
    units: &[UnitId],
    indicator: &IndicatorId,
    by: &BTreeMap<IndicatorId, IndicatorId>,
    scope: Scope,
    flow_days: Option<Span>,
) -> CellHash {
    let half = |salt: u8| u128::from(hash_of((salt, units, indicator, by, scope, flow_days)));
    half(0) << 64 | half(1)
}

/// What an observation claims and about what: of each unit of a group where it says so. Nothing if it was published
/// before the days that it speaks of.
fn claims(
    registry: &Registry,
    report: &Report,
    version: Revision,
    observation: &Observation,
) -> Vec<(CellHash, Claim)> {
    let Some(indicator) = registry.indicator(&observation.indicator) else { return Vec::new() };
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
        return Vec::new();
    }
    let flow_days = (indicator.temporality == Temporality::Flow).then_some(span);
    let cell = |units: &[UnitId]| cell(units, &observation.indicator, &observation.by, scope, flow_days);
    let value = amount(observation);
    let claim = Claim { report: report.name, version, value, days: Span { last_day, ..span } };
    match (observation.scope, is_of_each) {
        (_, true) => observation.units.iter().map(|unit| (cell(std::slice::from_ref(unit)), claim)).collect(),
        (Scope::Group, false) => vec![(cell(&observation.units), claim)],
        (_, false) => vec![(cell(std::slice::from_ref(&report.unit)), claim)],
    }
}

/// SOURCES_DISAGREE: one finding for each observation of which another report that counts says something else. See the
/// top of this file for what is about the same.
pub(super) fn check(registry: &Registry, report: &Report, said: &Said) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, observation) in report.observations.iter().enumerate() {
        let mut others: Vec<(ReportName, Revision)> = Vec::new();
        for (cell, ours) in claims(registry, report, Revision::ZERO, observation) {
            let theirs = said.claims.get(&cell).map_or(&[][..], Vec::as_slice);
            let disagree = |other: &&Claim| {
                other.report != report.name && other.value != ours.value && other.days.overlaps(&ours.days)
            };
            others.extend(theirs.iter().filter(disagree).map(|other| (other.report, other.version)));
        }
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
