//! Questions answered: pure functions of an index.
//!
//! Every aggregation is one plan: units × time → filter → cells → group → measure → order. `plan` selects and groups,
//! `cell` says what is known of a unit, `measure` and `share` compute a row, and the other modules put rows together.
//! The rules are those of SEMANTICS.md.

pub mod availability;
mod bulk;
mod cell;
mod columns;
pub mod compare;
pub mod completeness;
mod condition;
pub mod distribution;
pub mod duties;
pub mod explain;
mod figure;
mod measure;
pub mod observations;
mod outcome;
mod plan;
mod published;
pub mod rank;
mod select;
pub mod series;
mod share;
mod tally;

use bigdecimal::BigDecimal;
use shared::model::{
    fault::Fault,
    query::{FigureQuery, FigureRow, Measure, Plan, ShareQuery, ShareRow, Time},
};

use crate::index::Known;

/// The rows of an answer, each with what names it in the token of a page, in their order.
#[derive(Debug)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<(String, T)>,
    /// Rows that were left out because too few units reported; none if that was not asked for.
    pub below_coverage: Option<u32>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), below_coverage: None }
    }
}

impl<T> Rows<T> {
    /// Rows of at least some coverage.
    fn covered(rows: Vec<(String, T)>, least: Option<BigDecimal>, coverage: impl Fn(&T) -> Option<BigDecimal>) -> Self {
        let Some(least) = least else { return Self { rows, below_coverage: None } };
        let all = rows.len();
        let rows: Vec<(String, T)> =
            rows.into_iter().filter(|(_, row)| coverage(row).is_some_and(|coverage| coverage >= least)).collect();
        let below = u32::try_from(all - rows.len()).unwrap_or(u32::MAX);
        Self { rows, below_coverage: Some(below) }
    }
}

fn is_series(plan: &Plan) -> bool {
    matches!(plan.time, Time::Series(_))
}

/// For which share of units is a flag set?
///
/// # Errors
/// `IndicatorNotFound`, `UnitNotFound`, `MeasureNotAllowed` for an indicator that does not roll up so, `TooMany` cells.
pub fn shares(known: &Known<'_>, query: &ShareQuery) -> Result<Rows<ShareRow>, Fault> {
    let is_series = is_series(&query.plan);
    let rows = share::rows(known, query)?.into_iter().map(|row| (row.token(is_series), row.row)).collect();
    Ok(Rows::covered(rows, query.plan.coverage_min.clone(), |row| row.counts.coverage()))
}

/// What do the numbers of units come to?
///
/// # Errors
/// `IndicatorNotFound`, `UnitNotFound`; `MeasureNotAllowed` with the reason, `PeriodRequired`, `UnitsOverlap`, and what
/// else the question cannot ask; `TooMany` cells.
pub fn figures(known: &Known<'_>, query: &FigureQuery) -> Result<Rows<FigureRow>, Fault> {
    let is_series = is_series(&query.plan);
    let rows = figure::rows(known, query)?.into_iter().map(|row| (row.token(is_series), row.row)).collect();
    Ok(Rows::covered(rows, query.plan.coverage_min.clone(), FigureRow::coverage))
}

/// The last day that a question counts; none if it names a term that is not there.
pub fn day_counted(known: &Known<'_>, plan: &Plan) -> Option<jiff::civil::Date> {
    plan::slots(known.registry(), plan).ok()?.last().map(|slot| slot.day)
}

/// What a question about numbers computes, where it does not say.
///
/// # Errors
/// As for the figures.
pub fn measure(known: &Known<'_>, query: &FigureQuery) -> Result<Measure, Fault> {
    let slots = plan::slots(known.registry(), &query.plan)?;
    let Some(slot) = slots.first() else { return Ok(Measure::Value) };
    Ok(figure::computation(&plan::frame(known, &query.plan, slot), query)?.measure)
}

#[cfg(test)]
mod tests;
