//! Stated percentages against the counts they stand beside.
//!
//! With a stated percentage S of k decimals, counts n of d and u = 10⁻ᵏ, the unit of its last digit:
//!
//! | | finding |
//! |---|---|
//! | \|S − 100 n/d\| ≤ u/2 | none: correctly rounded |
//! | < u, S below | INFO, truncated |
//! | < u, S above | INFO, rounding only |
//! | otherwise | WARNING; the hypotheses are tried with the tolerance u of what they make of S |
//!
//! Everything is compared as whole numbers: \|S − 100 n/d\| < u is \|s d − 100 n 10ᵏ\| < d with s = S 10ᵏ.

use std::collections::{BTreeMap, HashMap, HashSet};

use rust_decimal::Decimal;
use shared::model::{
    finding::{Finding, FindingReason, Hypothesis, Severity},
    ids::{IndicatorId, UnitId},
    indicator::Dimension,
    report::{Observation, Qualifier, Scope, Value},
};

use super::Definitions;

/// A part of a whole, both counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    part: i64,
    whole: i64,
}

/// The other classes of a value that is split by a closed list, if all of them are there.
struct Classes<'a> {
    /// Their observations, the value's own among them.
    members: Vec<&'a Observation>,
    /// The sum of their counts.
    total: i64,
}

/// What an observation of a report is about: indicator, scope, group and codes.
pub(super) type Cell<'a> = (&'a IndicatorId, Scope, &'a [UnitId], By);

/// The observations of a report by what they are about.
type ByCell<'a> = HashMap<Cell<'a>, &'a Observation>;

/// Findings about the stated percentages of a report.
pub(super) fn check(definitions: Definitions<'_>, observations: &[Observation]) -> Vec<Finding> {
    if observations.iter().all(|observation| observation.stated_percent.is_none()) {
        return Vec::new();
    }
    let cell = |observation| (cell_of(observation, observation.by.clone()), observation);
    let by_cell: ByCell<'_> = observations.iter().map(cell).collect();
    let mut findings = Vec::new();
    for (index, observation) in observations.iter().enumerate() {
        let path = || format!("report.observations[{index}].stated_percent");
        findings.extend(check_one(definitions, &by_cell, observation).map(|found| Finding { path: path(), ..found }));
    }
    findings.extend(check_sums(definitions, &by_cell, observations));
    findings
}

/// What an observation is about, with these codes.
pub(super) fn cell_of(observation: &Observation, by: By) -> Cell<'_> {
    (&observation.indicator, observation.scope, &observation.units, by)
}

fn check_one(definitions: Definitions<'_>, by_cell: &ByCell<'_>, observation: &Observation) -> Option<Finding> {
    let stated = observation.stated_percent?;
    let classes = classes(definitions, by_cell, observation);
    let counts = match (&observation.value, exact_count(observation)) {
        (Value::Ratio(ratio), _) if observation.qualifier == Qualifier::Exact => {
            Counts { part: ratio.numerator(), whole: ratio.denominator() }
        }
        (_, Some(part)) if !observation.by.is_empty() => {
            let whole = classes.as_ref().map(|classes| classes.total).or_else(|| total(by_cell, observation))?;
            Counts { part, whole }
        }
        _ => return None,
    };
    if counts.whole <= 0 {
        return None;
    }
    let (severity, reason, hypothesis) = match fit(stated, counts) {
        Fit::Rounded => return None,
        Fit::Truncated => (Severity::Info, FindingReason::StatedPercentTruncated, None),
        Fit::Near => (Severity::Info, FindingReason::StatedPercentContradicts, Some(Hypothesis::RoundingOnly)),
        Fit::Not => {
            (Severity::Warning, FindingReason::StatedPercentContradicts, explain(stated, counts, observation, classes))
        }
    };
    let Counts { part, whole } = counts;
    let message = format!("stated {stated} %, {part} of {whole} is {} %", printed_percent(counts, stated.scale()));
    Some(Finding { severity, reason, path: String::new(), message, hypothesis, others: Vec::new(), unnamed_others: 0 })
}

/// How a stated percentage lies beside its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Rounded,
    Truncated,
    Near,
    Not,
}

fn fit(stated: Decimal, counts: Counts) -> Fit {
    // |s| < 10¹² and the counts < 2⁶³, so nothing here comes near the limits of an i128.
    let (s, whole) = (stated.mantissa(), i128::from(counts.whole));
    let difference = s * whole - 100 * i128::from(counts.part) * 10i128.pow(stated.scale());
    if 2 * difference.abs() <= whole {
        Fit::Rounded
    } else if difference.abs() >= whole {
        Fit::Not
    } else if difference < 0 {
        Fit::Truncated
    } else {
        Fit::Near
    }
}

fn explain(
    stated: Decimal,
    counts: Counts,
    observation: &Observation,
    classes: Option<Classes<'_>>,
) -> Option<Hypothesis> {
    let fits = |stated, counts| fit(stated, counts) != Fit::Not;
    // At most 13 digits, so it always fits.
    let tenth = Decimal::from_i128_with_scale(stated.mantissa(), stated.scale() + 1);
    // Ten times as much, and its last digit ten times as coarse: the same test against a tenth of the counts.
    let tenfold = |counts: Counts| {
        let difference = 10 * stated.mantissa() * i128::from(counts.whole)
            - 100 * i128::from(counts.part) * 10i128.pow(stated.scale());
        difference.abs() < 10 * i128::from(counts.whole)
    };
    if fits(tenth, counts) || tenfold(counts) {
        return Some(Hypothesis::DecimalPointMoved);
    }
    let others = classes.into_iter().flat_map(|classes| classes.members);
    let is_swapped = others
        .filter(|other| other.by != observation.by)
        .filter_map(exact_count)
        .any(|part| fits(stated, Counts { part, ..counts }));
    is_swapped.then_some(Hypothesis::Swapped)
}

/// The count of an observation, if it is one and is exact.
fn exact_count(observation: &Observation) -> Option<i64> {
    match observation.value {
        Value::Count(count) if observation.qualifier == Qualifier::Exact => Some(count),
        _ => None,
    }
}

/// The classes beside a value along the first of its closed dimensions of which all codes are there with exact counts.
fn classes<'a>(definitions: Definitions<'_>, by_cell: &ByCell<'a>, observation: &Observation) -> Option<Classes<'a>> {
    let indicator = definitions.of(&observation.indicator)?;
    let closed = indicator.dimensions.iter().filter(|d| d.closed && observation.by.contains_key(&d.id));
    closed.into_iter().find_map(|dimension| {
        let members = members(by_cell, observation, dimension).collect::<Option<Vec<&Observation>>>()?;
        let total = members.iter().try_fold(0i64, |sum, member| sum.checked_add(exact_count(member)?))?;
        Some(Classes { members, total })
    })
}

/// What is said of each code of a dimension, the rest of `by` being as in this observation.
fn members<'a>(
    by_cell: &ByCell<'a>,
    observation: &Observation,
    dimension: &Dimension,
) -> impl Iterator<Item = Option<&'a Observation>> {
    dimension.codes.iter().map(|code| {
        let mut by = observation.by.clone();
        by.insert(dimension.id.clone(), code.clone());
        by_cell.get(&cell_of(observation, by)).copied()
    })
}

/// The count of the same without `by`.
fn total(by_cell: &ByCell<'_>, observation: &Observation) -> Option<i64> {
    by_cell.get(&cell_of(observation, By::new())).and_then(|total| exact_count(total))
}

pub(super) type By = BTreeMap<IndicatorId, IndicatorId>;

fn rest_of(by: &By, dimension: &IndicatorId) -> By {
    by.iter().filter(|(id, _)| *id != dimension).map(|(id, code)| (id.clone(), code.clone())).collect()
}

/// Lists of which every class states a percentage: do they add to 100, within the units of their last digits?
fn check_sums(definitions: Definitions<'_>, by_cell: &ByCell<'_>, observations: &[Observation]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = HashSet::new();
    for observation in observations {
        let Some(indicator) = definitions.of(&observation.indicator) else { continue };
        for dimension in indicator.dimensions.iter().filter(|d| d.closed && observation.by.contains_key(&d.id)) {
            if !seen.insert((cell_of(observation, rest_of(&observation.by, &dimension.id)), &dimension.id)) {
                continue;
            }
            let members = members(by_cell, observation, dimension);
            let stated = members.map(|member| member.and_then(|member| member.stated_percent));
            let Some(stated) = stated.collect::<Option<Vec<Decimal>>>() else { continue };
            let sum: Decimal = stated.iter().sum();
            let tolerance: Decimal = stated.iter().map(|stated| Decimal::new(1, stated.scale())).sum();
            if (sum - Decimal::ONE_HUNDRED).abs() > tolerance {
                findings.push(Finding {
                    severity: Severity::Warning,
                    reason: FindingReason::StatedPercentsSum,
                    path: "report.observations".to_owned(),
                    message: format!("the stated percentages of {} by {} add to {sum}", indicator.id, dimension.id),
                    hypothesis: None,
                    others: Vec::new(),
                    unnamed_others: 0,
                });
            }
        }
    }
    findings
}

/// The percentage of the counts, rounded half up to one digit more than was printed, without zeros at its end; with fewer
/// digits where a decimal holds no more.
fn printed_percent(counts: Counts, scale: u32) -> String {
    let (part, whole) = (i128::from(counts.part), i128::from(counts.whole));
    let rounded = (0..=scale + 1).rev().find_map(|scale| {
        let digits = (200 * part * 10i128.pow(scale) + whole) / (2 * whole);
        Decimal::try_from_i128_with_scale(digits, scale).ok()
    });
    rounded.map_or_else(|| "very many".to_owned(), |percent| percent.normalize().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit_of(stated: &str, part: i64, whole: i64) -> Fit {
        fit(stated.parse().unwrap(), Counts { part, whole })
    }

    #[test]
    fn rounded_truncated_near_and_wrong_percentages_are_told_apart() {
        assert_eq!(fit_of("98.2", 493, 502), Fit::Rounded);
        assert_eq!(fit_of("0.6", 6, 1004), Fit::Rounded);
        assert_eq!(fit_of("27.99", 281, 1004), Fit::Rounded);
        assert_eq!(fit_of("27.98", 281, 1004), Fit::Truncated);
        assert_eq!(fit_of("70.21", 705, 1004), Fit::Truncated);
        assert_eq!(fit_of("98.3", 493, 502), Fit::Near);
        assert_eq!(fit_of("11.95", 12, 1004), Fit::Not);
        assert_eq!(fit_of("50", 1, 2), Fit::Rounded);
        assert_eq!(fit_of("12.5", 1, 8), Fit::Rounded);
        assert_eq!(fit_of("12", 1, 8), Fit::Rounded, "a half may be rounded either way");
        assert_eq!(fit_of("13", 1, 8), Fit::Rounded);
        assert_eq!(fit_of("99999999999", i64::MAX, 1), Fit::Not, "no overflow");
    }

    #[test]
    fn a_moved_decimal_point_is_found_in_both_directions() {
        let observation = Observation {
            indicator: "x".parse().unwrap(),
            by: By::new(),
            scope: Scope::Own,
            units: Vec::new(),
            indicator_version: 1,
            value: Value::Count(12),
            qualifier: Qualifier::Exact,
            basis: Default::default(),
            stated_percent: None,
            note: String::new(),
        };
        let explain =
            |stated: &str, part, whole| explain(stated.parse().unwrap(), Counts { part, whole }, &observation, None);
        assert_eq!(explain("11.95", 12, 1004), Some(Hypothesis::DecimalPointMoved));
        assert_eq!(explain("9.82", 493, 502), Some(Hypothesis::DecimalPointMoved));
        assert_eq!(explain("42", 12, 1004), None);
    }

    #[test]
    fn the_true_percentage_is_printed_with_one_digit_more() {
        let print = |part, whole, scale| printed_percent(Counts { part, whole }, scale);
        assert_eq!(print(12, 1004, 2), "1.195");
        assert_eq!(print(1, 2, 0), "50");
        assert_eq!(print(i64::MAX, 1, 12), "922337203685477580700", "with the digits that a decimal holds");
    }
}
