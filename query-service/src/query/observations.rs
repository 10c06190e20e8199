//! What do current reports say?

use rust_decimal::{Decimal, RoundingStrategy};
use shared::model::{
    fault::{Fault, Reason},
    ids::UnitId,
    query::{ObservationRow, ObservationsQuery, Reading, TimeFilter, combine, reverse},
    report::{ChangeUnit, Qualifier, Value},
};

use super::{cell::precedence, select};
use crate::index::{Known, Statement};

/// At most `rows_max` rows after the row with the key `after`, in the order of unit,
/// indicator, report and place in it.
///
/// # Errors
/// `IndicatorNotFound`, `UnitNotFound`.
pub fn observations(
    known: &Known<'_>,
    query: &ObservationsQuery,
    after: &str,
    rows_max: usize,
) -> Result<Vec<ObservationRow>, Fault> {
    let registry = known.registry();
    if let Some(id) = query.indicator.as_ref().filter(|id| registry.indicator(id).is_none()) {
        return Err(Fault::at("indicator", Reason::IndicatorNotFound, format!("indicator {id} is not defined")));
    }
    let mut units = select::ever(registry, &query.units)?;
    units.sort();
    // The key begins with the unit: those before that of the last row need no second look.
    let from_unit = after.split(SEPARATOR).next().unwrap_or_default();
    let units = units.into_iter().filter(|unit| unit.as_str() >= from_unit);
    let statements = units.flat_map(|unit| {
        let about = match &query.indicator {
            Some(indicator) => known.all(indicator, unit, |_| true),
            None => known.by_unit(unit),
        };
        let mut about: Vec<(String, Statement)> = about
            .into_iter()
            .filter(|statement| is_of_time(statement, query.time))
            .filter(|statement| query.organ.is_none_or(|organ| statement.report().organ == organ))
            .filter(|statement| {
                let published_on = statement.report().source.published_on;
                query.published_until.is_none_or(|until| published_on.is_some_and(|published_on| published_on <= until))
            })
            .map(|statement| (key(unit, &statement), statement))
            .filter(|(key, _)| key.as_str() > after)
            .collect();
        about.sort_by(|(a, _), (b, _)| a.cmp(b));
        about
    });
    Ok(statements.take(rows_max).map(|(key, statement)| row(known, key, &statement)).collect())
}

fn is_of_time(statement: &Statement, time: TimeFilter) -> bool {
    match time {
        TimeFilter::Every => true,
        TimeFilter::On(day) => statement.speaks_of(day),
        TimeFilter::Exactly(days) => statement.report().period.span() == days,
    }
}

/// Between the parts of a key: below every character of an id, so that keys have the order of their parts.
const SEPARATOR: char = ' ';

fn key(unit: &UnitId, statement: &Statement) -> String {
    let (report, indicator) = (statement.report().name.0, &statement.observation().indicator);
    let place = statement.index;
    format!("{unit}{SEPARATOR}{indicator}{SEPARATOR}{report:020}{SEPARATOR}{place:05}")
}

fn row(known: &Known<'_>, key: String, statement: &Statement) -> ObservationRow {
    let report = statement.report();
    ObservationRow {
        key,
        unit: report.unit.clone(),
        organ: report.organ,
        period: report.period.clone(),
        source: report.source.clone(),
        report: report.name,
        version: report.version,
        revision: statement.source.revision(),
        observation: statement.observation().clone(),
        findings: known.findings(statement).into_iter().map(|(_, finding)| finding).collect(),
        readings: readings(known, statement),
        issuer: report.issuer.clone(),
    }
}

/// Every reading of a change that does not say what its number is.
fn readings(known: &Known<'_>, statement: &Statement) -> Vec<Reading> {
    let observation = statement.observation();
    let Value::Change(change) = &observation.value else { return Vec::new() };
    let value = || value_of_change(known, statement);
    let implied = |unit| {
        let (value, bound) = value()?;
        let baseline = baseline(value, change.amount, unit)?;
        // The greater the change, the less there was before.
        let bounded = combine(bound, reverse(observation.qualifier))?;
        Some((baseline.round_dp_with_strategy(6, RoundingStrategy::MidpointAwayFromZero).normalize(), bounded))
    };
    change.readings().iter().map(|unit| Reading { unit: *unit, implied_baseline: implied(*unit) }).collect()
}

/// The value of which it is the change, as the same unit states it for the same last day, and how the number bounds it.
fn value_of_change(known: &Known<'_>, statement: &Statement) -> Option<(Decimal, Qualifier)> {
    let (report, observation) = (statement.report(), statement.observation());
    let registry = known.registry();
    let definition = registry.indicator_version(&observation.indicator, observation.indicator_version)?;
    let of = definition.change_of.as_ref()?;
    let last_day = report.period.span().last_day?;
    let said = known.all(of, &report.unit, |span| span.last_day == Some(last_day));
    let is_of_the_same = |other: &&Statement| {
        let theirs = other.observation();
        (theirs.scope, &theirs.by, &theirs.units) == (observation.scope, &observation.by, &observation.units)
    };
    let said = said.iter().filter(is_of_the_same).min_by_key(|other| precedence(other))?.observation();
    let number = match &said.value {
        Value::Count(count) => Decimal::from(*count),
        Value::Decimal(number) | Value::Percent(number) | Value::Money { amount: number, .. } => *number,
        _ => return None,
    };
    (number > Decimal::ZERO).then_some((number, said.qualifier))
}

/// The value at the baseline if the number of a change is read so; none where it cannot be.
fn baseline(value: Decimal, change: Decimal, read_as: ChangeUnit) -> Option<Decimal> {
    let part = |factor: Option<Decimal>| factor.filter(|f| *f > Decimal::ZERO).and_then(|f| value.checked_div(f));
    match read_as {
        ChangeUnit::Percent => part(change.checked_div(Decimal::ONE_HUNDRED)?.checked_add(Decimal::ONE)),
        ChangeUnit::PercentagePoint | ChangeUnit::Absolute => value.checked_sub(change),
        ChangeUnit::Index => part(change.checked_div(Decimal::ONE_HUNDRED)),
        ChangeUnit::Times => part(Some(change)),
        ChangeUnit::TimesMore => part(change.checked_add(Decimal::ONE)),
        // Over how many years is not said.
        ChangeUnit::PercentPerYear => None,
    }
}
