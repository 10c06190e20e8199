//! The same question for one period after the other. Every period has its point; where other units or another definition
//! count than before, the series says that it is broken.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use shared::model::{
    fault::Fault,
    query::{BreakCause, Outcome, RowUnit, SeriesBreak, SeriesQuery, SeriesRow, Slot},
};

use super::{
    Rows, outcome, plan,
    select::{Group, RowKey},
};
use crate::index::Known;

/// One point, and what a break is told by.
struct Point {
    unit: RowUnit,
    outcome: Outcome,
    units: Arc<Vec<u32>>,
    version: u32,
}

/// One series for each group that has units in any period.
///
/// # Errors
/// As for a share or a figure.
pub fn rows(known: &Known<'_>, query: &SeriesQuery) -> Result<Rows<SeriesRow>, Fault> {
    let figure = &query.figure;
    let evaluated = plan::evaluate(known, &figure.plan, |frame, groups| {
        let version = frame.definition("indicator", &figure.indicator)?.version;
        let outcomes = outcome::of_groups(frame, figure, groups)?;
        let point = |(outcome, group): (Outcome, &Group<'_>)| Point {
            unit: group.row.clone(),
            outcome,
            units: group.numbers(frame.known),
            version,
        };
        Ok(outcomes.into_iter().zip(groups).map(point).collect())
    })?;
    let slots = plan::slots(known.registry(), &figure.plan)?;
    let mut by_key: BTreeMap<RowKey, BTreeMap<usize, Point>> = BTreeMap::new();
    for row in evaluated {
        by_key.entry(row.key).or_default().insert(row.slot, row.row);
    }
    let mut rows = Vec::with_capacity(by_key.len());
    for (key, mut points) in by_key {
        let Some(unit) = points.values().next_back().map(|point| point.unit.clone()) else { continue };
        for (number, slot) in slots.iter().enumerate() {
            let Entry::Vacant(missing) = points.entry(number) else { continue };
            let frame = plan::frame(known, &figure.plan, slot);
            let nobody = Group::listed(unit.clone(), Vec::new());
            let version = frame.definition("indicator", &figure.indicator)?.version;
            if let Some(outcome) = outcome::of_part(&frame, figure, &nobody)? {
                missing.insert(Point { unit: unit.clone(), outcome, units: Arc::default(), version });
            }
        }
        let breaks = breaks(&slots, &points);
        let points = slots.iter().zip(points.into_values());
        let points = points.map(|(slot, point)| (slot.period.clone(), slot.day, point.outcome)).collect();
        rows.push((key.token(), SeriesRow { unit, points, breaks }));
    }
    let least = figure.plan.coverage_min.clone();
    // A series is left out if no point of it is covered well enough.
    Ok(Rows::covered(rows, least, |row| row.points.iter().filter_map(|(.., outcome)| outcome.coverage()).max()))
}

fn breaks(slots: &[Slot], points: &BTreeMap<usize, Point>) -> Vec<SeriesBreak> {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut breaks = Vec::new();
    for (number, slot) in slots.iter().enumerate().skip(1) {
        let (Some(before), Some(after)) = (points.get(&(number - 1)), points.get(&number)) else { continue };
        if !Arc::ptr_eq(&before.units, &after.units) && before.units != after.units {
            let units = |point: &Point| point.units.iter().copied().collect::<BTreeSet<u32>>();
            let (before, after) = (units(before), units(after));
            let gone = count(before.difference(&after).count());
            let new = count(after.difference(&before).count());
            breaks.push(SeriesBreak { period: slot.period.clone(), cause: BreakCause::UnitsChanged { gone, new } });
        }
        if before.version != after.version {
            breaks.push(SeriesBreak { period: slot.period.clone(), cause: BreakCause::DefinitionChanged });
        }
    }
    breaks
}
