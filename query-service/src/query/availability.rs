//! What there is at all.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use shared::model::{
    fault::{Fault, Reason},
    ids::{IndicatorId, ReportName, UnitId},
    indicator::Indicator,
    log::Revision,
    period::Span,
    query::{AvailabilityQuery, AvailabilityRow, Slice},
    report::{Observation, Scope},
};

use super::select;
use crate::index::{Known, ReportVersion};

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
    let mut found: BTreeMap<&IndicatorId, (&Indicator, Found)> =
        indicators.take(rows_max).map(|indicator| (&indicator.id, (indicator, Found::default()))).collect();
    let asked: Vec<IndicatorId> = found.keys().map(|id| (*id).clone()).collect();
    for version in known.counting(&asked) {
        if units.as_ref().is_none_or(|units| units.contains(&version.report().unit)) {
            for observation in &version.report().observations {
                if let Some((_, found)) = found.get_mut(&observation.indicator) {
                    found.add(&version, observation);
                }
            }
        }
    }
    Ok(found.into_values().map(|(indicator, found)| found.row(indicator)).collect())
}

/// What there is about one indicator.
#[derive(Default)]
struct Found {
    reports: BTreeSet<ReportName>,
    units: BTreeSet<UnitId>,
    periods: BTreeSet<(Span, String)>,
    slices: BTreeMap<(Scope, BTreeMap<IndicatorId, IndicatorId>), u32>,
    observations: u32,
    newest: Revision,
}

impl Found {
    fn add(&mut self, version: &ReportVersion, observation: &Observation) {
        let report = version.report();
        self.observations += 1;
        self.reports.insert(report.name);
        self.units.insert(report.unit.clone());
        self.periods.insert((report.period.span(), report.period.written().to_owned()));
        *self.slices.entry((observation.scope, observation.by.clone())).or_default() += 1;
        self.newest = self.newest.max(version.revision());
    }

    fn row(self, indicator: &Indicator) -> AvailabilityRow {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let spans = || self.periods.iter().map(|(span, _)| span);
        let slice = |((scope, by), observations)| Slice { by, scope, observations };
        AvailabilityRow {
            indicator: indicator.id.clone(),
            version: indicator.version,
            value_kind: indicator.value_kind,
            roll_up: indicator.roll_up,
            observations: self.observations,
            reports: count(self.reports.len()),
            units: count(self.units.len()),
            // Open if one of them is.
            first_day: spans().map(|span| span.first_day).min().flatten(),
            last_day: spans().map(|span| span.last_day).max_by_key(|end| (end.is_none(), *end)).flatten(),
            period_count: count(self.periods.len()),
            periods: self.periods.into_iter().take(PERIODS_MAX).map(|(_, written)| written).collect(),
            slices: self.slices.into_iter().map(slice).collect(),
            newest_revision: self.newest,
        }
    }
}
