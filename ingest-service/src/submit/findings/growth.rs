//! Changes against a baseline: what their numbers can mean.

use rust_decimal::Decimal;
use shared::model::{
    finding::{Finding, FindingReason},
    indicator::ValueKind,
    period::Period,
    report::{Baseline, ChangeUnit, Observation, Qualifier, Report, Scope, Value, ValueChange},
};

use super::{Definitions, Said, info, said::Amount, warning};

/// Years over which a yearly growth is compounded at most.
const YEARS_MAX: i16 = 100;

fn changes(observations: &[Observation]) -> impl Iterator<Item = (usize, &Observation, &ValueChange)> {
    observations.iter().enumerate().filter_map(|(index, observation)| match &observation.value {
        Value::Change(change) => Some((index, observation, change)),
        _ => None,
    })
}

/// One unit of the last digit.
fn last_digit(number: Decimal) -> Decimal {
    Decimal::new(1, number.scale())
}

/// INDEX_AS_INCREASE: an increase of so many percent against a year is, as it would be rounded, the index to which an
/// average yearly growth in the same report leads by the end of its period, over two years or more; or it is exactly an
/// index in the same report of the same thing. Then not the increase was printed but the index, which is 100 more.
pub(super) fn index_as_increase(
    definitions: Definitions<'_>,
    period: &Period,
    observations: &[Observation],
) -> Vec<Finding> {
    let of = |observation: &Observation| definitions.of(&observation.indicator).and_then(|it| it.change_of.clone());
    let mut findings = Vec::new();
    for (index, observation, increase) in changes(observations) {
        if increase.unit != Some(ChangeUnit::Percent) || observation.qualifier != Qualifier::Exact {
            continue;
        }
        let found = changes(observations).find_map(|(_, other, change)| {
            let place = |o: &'_ Observation| (o.scope, o.by.clone(), o.units.clone());
            let is_comparable = change.baseline == increase.baseline && place(other) == place(observation);
            if !is_comparable || other.qualifier != Qualifier::Exact {
                return None;
            }
            match (change.unit, change.baseline) {
                (Some(ChangeUnit::Index), _) if change.amount == increase.amount && of(other) == of(observation) => {
                    Some(format!("{} % is the index of {}", increase.amount, other.indicator))
                }
                (Some(ChangeUnit::PercentPerYear), Some(Baseline::Year(year))) => {
                    let years = period.span().last_day?.year() - year;
                    let leads_to = compounded(change.amount, years)?;
                    if leads_to.round_dp(increase.amount.scale()) != increase.amount {
                        return None;
                    }
                    let leads_to = leads_to.round_dp(increase.amount.scale() + 1).normalize();
                    Some(format!(
                        "{} % is the index {leads_to} to which {} % a year ({}) leads in {years} years",
                        increase.amount, change.amount, other.indicator
                    ))
                }
                _ => None,
            }
        });
        let path = format!("report.observations[{index}].change");
        findings.extend(found.map(|message| {
            let message = format!("{message}; as an increase it would be 100 less");
            warning(FindingReason::IndexAsIncrease, &path, message)
        }));
    }
    findings
}

/// 100 (1 + r/100)ⁿ; none for less than two years, or where it grows beyond every index.
fn compounded(percent: Decimal, years: i16) -> Option<Decimal> {
    let factor = Decimal::ONE.checked_add(percent.checked_div(Decimal::ONE_HUNDRED)?)?;
    if !(2..=YEARS_MAX).contains(&years) || factor.is_sign_negative() {
        return None;
    }
    (0..years).try_fold(Decimal::ONE_HUNDRED, |index, _| index.checked_mul(factor))
}

/// AMBIGUOUS_CHANGE: the source does not say what the number is. It is kept so, and answers give every reading.
pub(super) fn ambiguous(observations: &[Observation]) -> Vec<Finding> {
    let ambiguous = changes(observations).filter(|(.., change)| change.unit.is_none());
    let finding = |(index, _, change): (usize, &Observation, &ValueChange)| {
        let message = format!("{} can be read in {} ways; none is picked", change.amount, change.readings().len());
        info(FindingReason::AmbiguousChange, &format!("report.observations[{index}].change"), message)
    };
    ambiguous.map(finding).collect()
}

/// POINTS_AS_PERCENT: a change of a percentage is printed in percent, and is the difference of the two percentages, which
/// are both known: at the end of the period, from this report or another one, and at the end of the baseline year.
pub(super) fn points_as_percent(definitions: Definitions<'_>, report: &Report, said: &Said) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, observation, change) in changes(&report.observations) {
        let (Some(ChangeUnit::Percent), Some(Baseline::Year(year))) = (change.unit, change.baseline) else { continue };
        let of = definitions.of(&observation.indicator).and_then(|indicator| indicator.change_of.as_ref());
        let Some(of) = of.and_then(|of| definitions.of(of)).filter(|of| of.value_kind == ValueKind::Percent) else {
            continue;
        };
        let here = report
            .observations
            .iter()
            .find(|other| other.indicator == of.id && other.scope == observation.scope && other.by == observation.by);
        let here = here.and_then(|other| match (&other.value, other.qualifier) {
            (Value::Percent(percent), Qualifier::Exact) => Some(*percent),
            _ => None,
        });
        // What this report said before does not count any more.
        let at = |day| match (observation.scope, said.on(report.name, &report.unit, &of.id, &observation.by, day)) {
            (Scope::Own, Some((Amount::Percent { mantissa, scale }, version))) => {
                Some((Decimal::new(mantissa, scale), Some(version)))
            }
            _ => None,
        };
        let now = here.map(|now| (now, None)).or_else(|| report.period.span().last_day.and_then(at));
        let then = jiff::civil::Date::new(year, 12, 31).ok().and_then(at);
        let (Some((now, now_in)), Some((then, then_in))) = (now, then) else { continue };
        let tolerance = last_digit(change.amount);
        let Some(points) = now.checked_sub(then) else { continue };
        let relative = points.checked_mul(Decimal::ONE_HUNDRED).and_then(|points| points.checked_div(then));
        let is = |number: Decimal| number.checked_sub(change.amount).is_some_and(|off| off.abs() <= tolerance);
        if observation.qualifier == Qualifier::Exact && is(points) && !relative.is_some_and(is) {
            let message = format!("from {then} % to {now} % are {points} percentage points, not {} %", change.amount);
            let path = format!("report.observations[{index}].change");
            let others = now_in.into_iter().chain(then_in).collect();
            findings.push(Finding { others, ..warning(FindingReason::PointsAsPercent, &path, message) });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yearly_growth_is_compounded() {
        let leads_to = |percent: &str, years| compounded(percent.parse().unwrap(), years);
        assert_eq!(leads_to("11.5", 5).unwrap().round_dp(2).to_string(), "172.34");
        assert_eq!(leads_to("0", 3).unwrap(), Decimal::ONE_HUNDRED);
        assert_eq!(leads_to("11.5", 1), None);
        assert_eq!(leads_to("99999999999999", 100), None, "beyond every index");
    }
}
