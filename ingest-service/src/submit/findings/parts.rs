//! Parts against their total, within one report. Everything is added exactly.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;
use shared::model::{
    finding::{Finding, FindingReason},
    ids::IndicatorId,
    indicator::{RollUp, ValueKind},
    report::{Observation, Qualifier, Scale, Scope, Value},
};

use super::{
    Defined, Definitions,
    stated::{Cell, cell_of},
    warning,
};

/// A number that adds to others of the same kind, and its currency if it is money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amount<'a> {
    number: Decimal,
    currency: &'a str,
}

impl<'a> Amount<'a> {
    fn of(observation: &'a Observation) -> Option<Self> {
        let number = match &observation.value {
            Value::Count(count) => Decimal::from(*count),
            Value::Decimal(number) => *number,
            Value::Money { amount, scale, currency } => {
                let number = amount.checked_mul(factor(*scale))?;
                return (observation.qualifier == Qualifier::Exact).then_some(Self { number, currency });
            }
            _ => return None,
        };
        (observation.qualifier == Qualifier::Exact).then_some(Self { number, currency: "" })
    }

    /// The sum; none where they do not add, or where it is too large.
    fn sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut amounts = amounts.into_iter();
        let first = amounts.next()?;
        amounts.try_fold(first, |sum, next| {
            let number = sum.number.checked_add(next.number)?;
            (sum.currency == next.currency).then_some(Self { number, ..sum })
        })
    }
}

/// How many units a word stands for.
pub(super) fn factor(scale: Scale) -> Decimal {
    Decimal::from(match scale {
        Scale::Unit => 1i64,
        Scale::Thousand => 1_000,
        Scale::Million => 1_000_000,
        Scale::Billion => 1_000_000_000,
        Scale::Trillion => 1_000_000_000_000,
    })
}

/// PARTS_CONTRADICT_TOTAL: the classes of a closed list, all of them there, add to something else than the total beside
/// them, or some counts add to more than it; or a figure of the whole subtree is not the unit's own and that of the units
/// below it.
pub(super) fn parts_and_totals(definitions: Definitions<'_>, observations: &[Observation]) -> Vec<Finding> {
    // Nothing is a part of anything else.
    if observations.iter().all(|observation| observation.by.is_empty() && observation.scope != Scope::Subtree) {
        return Vec::new();
    }
    let by_cell: HashMap<Cell<'_>, (usize, &Observation)> = observations
        .iter()
        .enumerate()
        .map(|(index, observation)| (cell_of(observation, observation.by.clone()), (index, observation)))
        .collect();
    let mut findings = Vec::new();
    let mut seen = HashSet::new();
    for observation in observations {
        let indicator = definitions.of(&observation.indicator).filter(|indicator| indicator.roll_up != RollUp::None);
        let Some(indicator) = indicator else { continue };
        for dimension in indicator.dimensions.iter().filter(|d| d.closed && observation.by.contains_key(&d.id)) {
            let mut rest = observation.by.clone();
            rest.remove(&dimension.id);
            if !seen.insert((cell_of(observation, rest.clone()), &dimension.id)) {
                continue;
            }
            let Some((place, total)) = by_cell.get(&cell_of(observation, rest.clone())) else { continue };
            let classes: Vec<Option<&Observation>> = dimension
                .codes
                .iter()
                .map(|code| {
                    let mut by = rest.clone();
                    by.insert(dimension.id.clone(), code.clone());
                    by_cell.get(&cell_of(observation, by)).map(|(_, class)| *class)
                })
                .collect();
            let amounts: Option<Vec<Amount<'_>>> = classes.iter().flatten().map(|class| Amount::of(class)).collect();
            let sum = amounts.and_then(Amount::sum);
            let (Some(sum), Some(total)) = (sum, Amount::of(total)) else { continue };
            let is_complete = classes.iter().all(Option::is_some);
            // A missing class of money may be negative; one of a count is not.
            let is_more = indicator.value_kind == ValueKind::Count && sum.number > total.number;
            let contradicts = if is_complete { sum != total } else { is_more };
            if contradicts && sum.currency == total.currency {
                let (sum, total) = (sum.number.normalize(), total.number.normalize());
                let which = if is_complete { "all classes" } else { "some classes" };
                let message =
                    format!("{which} of {} by {} add to {sum}, the total says {total}", indicator.id, dimension.id);
                let path = format!("report.observations[{place}]");
                findings.push(warning(FindingReason::PartsContradictTotal, &path, message));
            }
        }
    }
    for (index, observation) in observations.iter().enumerate().filter(|(_, o)| o.scope == Scope::Subtree) {
        if definitions.of(&observation.indicator).is_none_or(|indicator| indicator.roll_up == RollUp::None) {
            continue;
        }
        let at = |scope| {
            let (indicator, _, units, by) = cell_of(observation, observation.by.clone());
            by_cell.get(&(indicator, scope, units, by)).and_then(|(_, part)| Amount::of(part))
        };
        let parts = at(Scope::Own).zip(at(Scope::Children));
        let (Some((own, children)), Some(subtree)) = (parts, Amount::of(observation)) else { continue };
        let sum = Amount::sum([own, children]);
        if sum.is_some_and(|sum| sum != subtree) {
            let message = format!(
                "its own {} and the {} of the units below it are not the {} of all of them",
                own.number.normalize(),
                children.number.normalize(),
                subtree.number.normalize()
            );
            let path = format!("report.observations[{index}]");
            findings.push(warning(FindingReason::PartsContradictTotal, &path, message));
        }
    }
    findings
}

/// BALANCE_CONTRADICTS: a closing stock is not opening + inflows − outflows, all of which stand in the report as exact
/// numbers with the same `by`, scope and group.
pub(super) fn balances(defined: &[Defined<'_>], observations: &[Observation]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, (closing, defined)) in observations.iter().zip(defined).enumerate() {
        let balance = defined.then.and_then(|indicator| indicator.balance.as_ref());
        let (Some(balance), Some(stated)) = (balance, Amount::of(closing)) else { continue };
        let find = |id: &IndicatorId| {
            let is_it = |o: &&Observation| {
                (&o.indicator, o.scope, &o.units, &o.by) == (id, closing.scope, &closing.units, &closing.by)
            };
            observations.iter().find(is_it).and_then(Amount::of)
        };
        let come: Option<Vec<Amount<'_>>> =
            std::iter::once(&balance.opening).chain(&balance.inflows).map(find).collect();
        let gone = balance.outflows.iter().map(|id| find(id).map(|a| Amount { number: -a.number, ..a }));
        let gone: Option<Vec<Amount<'_>>> = gone.collect();
        let sum = come.zip(gone).and_then(|(come, gone)| Amount::sum(come.into_iter().chain(gone)));
        if let Some(sum) = sum.filter(|sum| sum.currency == stated.currency && sum.number != stated.number) {
            let message = format!(
                "opening and inflows without outflows are {}, the closing stock says {}",
                sum.number.normalize(),
                stated.number.normalize()
            );
            findings.push(warning(
                FindingReason::BalanceContradicts,
                &format!("report.observations[{index}]"),
                message,
            ));
        }
    }
    findings
}
