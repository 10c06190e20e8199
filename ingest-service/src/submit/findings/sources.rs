//! Current reports that say different things about the same.
//!
//! Two observations speak about the same if they are of one unit, indicator, `by` and scope, and have a day in common; of
//! a FLOW, if their periods have exactly the same days. A flag does not speak of days after its publication, unless it
//! looks ahead.
//!
//! Of every report that counts, the state keeps what decides this and nothing else: [`Said`].

use std::hash::{DefaultHasher, Hash, Hasher};

use shared::{
    model::{
        finding::{Finding, FindingReason},
        ids::ReportName,
        indicator::ValueKind,
        log::Revision,
        period::Span,
        report::{Observation, Qualifier, Report, Scope, Value},
    },
    registry::Registry,
};

use super::{
    Defined, about, defined,
    said::{Amount, Cell, Claim, Said, Subject},
    warning,
};

/// Other reports that a finding names; further ones are counted.
const OTHERS_NAMED_MAX: usize = 10;

/// What an observation claims and about what: of each unit of a group where it says so. Nothing if it was published
/// before the days that it speaks of. `subject` is the report's unit on the report's days.
pub(super) fn claims(
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
    let claim = Claim { value, days: Span { last_day, ..span } };
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
            let disagree = said.get(cell).filter(|other| other.disagrees(report.name, &ours));
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
