//! What there is at all.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use shared::model::{
    fault::{Fault, Reason},
    ids::UnitId,
    log::Revision,
    period::Span,
    query::{AvailabilityQuery, AvailabilityRow, Slice},
};

use super::select;
use crate::index::Known;

/// Periods that a row names.
const PERIODS_MAX: usize = 100;

/// At most `rows_max` indicators after that one, in the order of the ids, each with what there is about it.
///
/// # Errors
/// `IndicatorNotFound`, `UnitNotFound`.
pub fn rows(
    known: &Known<'_>,
    query: &AvailabilityQuery,
    after: &str,
    rows_max: usize,
) -> Result<Vec<AvailabilityRow>, Fault> {
    let registry = known.registry();
    if let Some(id) = query.indicator.as_ref().filter(|id| registry.indicator(id).is_none()) {
        return Err(Fault::at("indicator", Reason::IndicatorNotFound, format!("indicator {id} is not defined")));
    }
    let units: Option<HashSet<&UnitId>> = match &query.units {
        Some(selector) => Some(select::ever(registry, selector)?.into_iter().collect()),
        None => None,
    };
    let indicators = registry.indicators_after(after);
    let indicators = indicators.filter(|indicator| query.indicator.as_ref().is_none_or(|id| *id == indicator.id));
    let row = |indicator: &shared::model::indicator::Indicator| {
        let (mut reports, mut about) = (BTreeSet::new(), BTreeSet::new());
        let mut periods: BTreeMap<(Span, &str), ()> = BTreeMap::new();
        let mut slices: BTreeMap<(_, _), u32> = BTreeMap::new();
        let (mut observations, mut newest) = (0_u32, Revision::ZERO);
        let (mut first_day, mut last_day) = (None, None);
        let (mut is_open_before, mut is_open_after) = (false, false);
        let said = known.every(&indicator.id);
        for statement in said.filter(|s| units.as_ref().is_none_or(|units| units.contains(&s.report().unit))) {
            let (report, observation) = (statement.report(), statement.observation());
            let span = report.period.span();
            observations += 1;
            reports.insert(report.name);
            about.insert(&report.unit);
            periods.insert((span, report.period.written()), ());
            *slices.entry((observation.scope, &observation.by)).or_default() += 1;
            newest = newest.max(statement.source.revision);
            match span.first_day {
                Some(first) => {
                    first_day = Some(first_day.map_or(first, |earliest: jiff::civil::Date| earliest.min(first)))
                }
                None => is_open_before = true,
            }
            match span.last_day {
                Some(last) => last_day = Some(last_day.map_or(last, |latest: jiff::civil::Date| latest.max(last))),
                None => is_open_after = true,
            }
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let slice =
            |((scope, by), observations): ((_, &BTreeMap<_, _>), u32)| Slice { by: by.clone(), scope, observations };
        AvailabilityRow {
            indicator: indicator.id.clone(),
            version: indicator.version,
            value_kind: indicator.value_kind,
            roll_up: indicator.roll_up,
            observations,
            reports: count(reports.len()),
            units: count(about.len()),
            first_day: first_day.filter(|_| !is_open_before),
            last_day: last_day.filter(|_| !is_open_after),
            period_count: count(periods.len()),
            periods: periods.into_keys().take(PERIODS_MAX).map(|(_, written)| written.to_owned()).collect(),
            slices: slices.into_iter().map(slice).collect(),
            newest_revision: newest,
        }
    };
    Ok(indicators.take(rows_max).map(row).collect())
}
