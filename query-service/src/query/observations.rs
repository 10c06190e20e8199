//! What do current reports say?

use shared::model::{
    fault::{Fault, Reason},
    ids::IndicatorId,
    query::{ObservationRow, ObservationsQuery, TimeFilter},
    unit::Unit,
};

use super::select;
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
        return Err(Fault::new(Reason::IndicatorNotFound, format!("indicator {id} is not defined")));
    }
    let mut units = select::ever(registry, &query.units)?;
    units.sort_by(|a, b| a.id.cmp(&b.id));
    // The key begins with the unit: those before that of the last row need no second look.
    let from_unit = after.split(SEPARATOR).next().unwrap_or_default();
    let units = units.into_iter().filter(|unit| unit.id.as_str() >= from_unit);
    let indicators: Vec<&IndicatorId> = match &query.indicator {
        Some(indicator) => vec![indicator],
        None => registry.indicators_after("").map(|indicator| &indicator.value.id).collect(),
    };
    let statements = units.flat_map(|unit| {
        let about = indicators.iter().flat_map(move |indicator| known.all(indicator, &unit.id));
        let mut about: Vec<(String, &Statement)> = about
            .filter(|statement| is_of_time(statement, query.time))
            .map(|statement| (key(unit, statement), statement))
            .filter(|(key, _)| key.as_str() > after)
            .collect();
        about.sort_by(|(a, _), (b, _)| a.cmp(b));
        about
    });
    Ok(statements.take(rows_max).map(|(key, statement)| row(known, key, statement)).collect())
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

fn key(unit: &Unit, statement: &Statement) -> String {
    let (report, indicator) = (statement.report().name.0, &statement.observation().indicator);
    let (unit, place) = (&unit.id, statement.index);
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
        revision: statement.source.revision,
        observation: statement.observation().clone(),
        findings: known.findings(statement).map(|(_, finding)| finding.clone()).collect(),
    }
}
