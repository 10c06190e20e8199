//! Current reports that say different things about the same.
//!
//! Two observations speak about the same if they are of one unit, indicator, `by` and scope, and have a day in common; of
//! a FLOW, if their periods have exactly the same days. A flag does not speak of days after its publication, unless it
//! looks ahead.
//!
//! Of every report that counts, the state keeps what decides this and nothing else: [`Said`]. Equal hashes stand for equal
//! things; 64 bits make that as good as certain for the few reports about one unit.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use rust_decimal::Decimal;
use shared::{
    model::{
        finding::{Finding, FindingReason, Severity},
        ids::ReportName,
        indicator::{Temporality, ValueKind},
        log::Revision,
        period::Span,
        report::{Observation, Report, Scale, Scope, Value},
    },
    registry::Registry,
};

/// Other reports that a finding names; further ones are counted.
const OTHERS_NAMED_MAX: usize = 10;

/// What a version of a report says about one thing, as far as others can disagree with it.
#[derive(Clone, Copy, Debug)]
struct Claim {
    report: ReportName,
    version: Revision,
    /// What is said, however it is printed.
    value: u64,
    /// The days that it speaks of.
    days: Span,
}

/// What the reports that count say about one unit, by indicator, `by` and scope; of a FLOW by the days, too.
#[derive(Clone, Debug, Default)]
pub(in crate::submit) struct Said {
    claims: HashMap<u64, Vec<Claim>>,
    cells_of: HashMap<ReportName, Box<[u64]>>,
}

impl Said {
    /// Takes in a version of a report, in place of what it said before.
    pub(in crate::submit) fn put(&mut self, registry: &Registry, report: &Report, version: Revision) {
        self.remove(report.name);
        let claims: Vec<(u64, Claim)> =
            report.observations.iter().filter_map(|o| claim(registry, report, version, o)).collect();
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
            }
        }
    }
}

/// What an observation claims and about what; nothing if it was published before the days that it speaks of.
fn claim(registry: &Registry, report: &Report, version: Revision, observation: &Observation) -> Option<(u64, Claim)> {
    let indicator = registry.indicator(&observation.indicator)?;
    let span = report.period.span();
    let is_state_of_unit = indicator.value_kind == ValueKind::Flag && observation.scope == Scope::Own;
    let cut = report.source.published_on.filter(|_| is_state_of_unit && !observation.basis.looks_ahead());
    let last_day = match (span.last_day, cut) {
        (Some(last_day), Some(cut)) => Some(last_day.min(cut)),
        (last_day, cut) => last_day.or(cut),
    };
    if matches!((span.first_day, last_day), (Some(first), Some(last)) if last < first) {
        return None;
    }
    let flow_days = (indicator.temporality == Temporality::Flow).then_some(span);
    let cell = hash_of((&observation.indicator, &observation.by, observation.scope, flow_days));
    let value = hash_value(observation);
    Some((cell, Claim { report: report.name, version, value, days: Span { last_day, ..span } }))
}

/// One finding for each observation with which another report about the same unit disagrees.
pub(super) fn check(registry: &Registry, report: &Report, said: &Said) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, observation) in report.observations.iter().enumerate() {
        let Some((cell, ours)) = claim(registry, report, Revision::ZERO, observation) else { continue };
        let theirs = said.claims.get(&cell).map_or(&[][..], Vec::as_slice);
        let disagree = |other: &&Claim| {
            other.report != report.name && other.value != ours.value && other.days.overlaps(&ours.days)
        };
        let mut others: Vec<(ReportName, Revision)> =
            theirs.iter().filter(disagree).map(|other| (other.report, other.version)).collect();
        if others.is_empty() {
            continue;
        }
        // The newest ones are the most likely to matter.
        others.sort_by_key(|(_, version)| std::cmp::Reverse(*version));
        let message = match others.len() {
            1 => "another report says something else about the same".to_owned(),
            count => format!("{count} other reports say something else about the same"),
        };
        let unnamed_others = others.len().saturating_sub(OTHERS_NAMED_MAX);
        others.truncate(OTHERS_NAMED_MAX);
        findings.push(Finding {
            severity: Severity::Warning,
            reason: FindingReason::SourcesDisagree,
            path: format!("report.observations[{index}]"),
            message,
            hypothesis: None,
            others,
            unnamed_others,
        });
    }
    findings
}

fn hash_of(thing: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
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
        Value::Money { amount, scale, currency } => match amount.checked_mul(factor(*scale)) {
            Some(full) => hash_of(("money", full.normalize(), currency)),
            None => hash_of(("money", amount.normalize(), *scale as u8, currency)),
        },
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

fn factor(scale: Scale) -> Decimal {
    Decimal::from(match scale {
        Scale::Unit => 1i64,
        Scale::Thousand => 1_000,
        Scale::Million => 1_000_000,
        Scale::Billion => 1_000_000_000,
        Scale::Trillion => 1_000_000_000_000,
    })
}

#[cfg(test)]
mod tests {
    use shared::model::report::{Qualifier, Ratio};

    use super::*;

    fn value(value: Value) -> u64 {
        hash_value(&Observation {
            indicator: "x".parse().unwrap(),
            by: Default::default(),
            scope: Scope::Own,
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
