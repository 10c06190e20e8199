//! Changes against a baseline: what their numbers can mean.

use rust_decimal::Decimal;
use shared::model::{
    finding::{Finding, FindingReason},
    indicator::ValueKind,
    period::Period,
    report::{Baseline, ChangeUnit, Observation, Qualifier, Report, Scope, Value, ValueChange},
};

use super::{Definitions, Said, info, sources::Amount, warning};

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

/// INDEX_AS_INCREASE: an increase of so many percent against a year is, within a unit of its last digit, the index to
/// which the average yearly growth that the same report states leads by the end of its period, or an index that it states
/// itself. Then not the increase was printed but the index, which is 100 more.
pub(super) fn index_as_increase(period: &Period, observations: &[Observation]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, observation, increase) in changes(observations) {
        if increase.unit != Some(ChangeUnit::Percent) || observation.qualifier != Qualifier::Exact {
            continue;
        }
        let tolerance = last_digit(increase.amount);
        let is_it = |of: Decimal| (of - increase.amount).abs() <= tolerance;
        let found = changes(observations).find_map(|(_, other, change)| {
            if change.baseline != increase.baseline || other.qualifier != Qualifier::Exact {
                return None;
            }
            match (change.unit, change.baseline) {
                (Some(ChangeUnit::Index), _) if is_it(change.amount) => {
                    Some(format!("{} % is the index of {}", increase.amount, other.indicator))
                }
                (Some(ChangeUnit::PercentPerYear), Some(Baseline::Year(year))) => {
                    let years = period.span().last_day?.year() - year;
                    let leads_to = compounded(change.amount, years).filter(|leads_to| is_it(*leads_to))?;
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

/// 100 (1 + r/100)ⁿ; none for no years, or where it grows beyond every index.
fn compounded(percent: Decimal, years: i16) -> Option<Decimal> {
    let factor = Decimal::ONE.checked_add(percent.checked_div(Decimal::ONE_HUNDRED)?)?;
    if !(1..=YEARS_MAX).contains(&years) || factor.is_sign_negative() {
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
        let at = |day| match (observation.scope, said.on(&report.unit, &of.id, &observation.by, day)) {
            (Scope::Own, Some(Amount::Percent { mantissa, scale })) => Some(Decimal::new(mantissa, scale)),
            _ => None,
        };
        let now = here.or_else(|| report.period.span().last_day.and_then(at));
        let then = jiff::civil::Date::new(year, 12, 31).ok().and_then(at);
        let (Some(now), Some(then)) = (now, then) else { continue };
        let (points, tolerance) = (now - then, last_digit(change.amount));
        let relative = points.checked_mul(Decimal::ONE_HUNDRED).and_then(|points| points.checked_div(then));
        let is = |number: Decimal| (number - change.amount).abs() <= tolerance;
        if observation.qualifier == Qualifier::Exact && is(points) && !relative.is_some_and(is) {
            let message = format!("from {then} % to {now} % are {points} percentage points, not {} %", change.amount);
            let path = format!("report.observations[{index}].change");
            findings.push(warning(FindingReason::PointsAsPercent, &path, message));
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
        assert_eq!(leads_to("11.5", 0), None);
        assert_eq!(leads_to("99999999999999", 100), None, "beyond every index");
    }
}
