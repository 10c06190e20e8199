//! Who is counted, and in which group.

use std::collections::BTreeMap;

use jiff::civil::Date;
use shared::{
    model::{
        fault::{Fault, Reason, Violations},
        ids::UnitId,
        query::{RowUnit, UnitSelector},
        unit::{Level, Unit},
    },
    registry::{Registry, UnitRecord},
};

/// Units of one row.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// Whose row it is.
    pub(super) row: RowUnit,
    /// Its units, in the order of their ids.
    pub(super) units: Vec<&'a Unit>,
}

/// The unit with that id.
///
/// # Errors
/// `UnitNotFound`.
pub fn unit_named<'a>(registry: &'a Registry, id: &UnitId) -> Result<&'a Unit, Fault> {
    registry.unit(id).ok_or_else(|| Fault::new(Reason::UnitNotFound, format!("unit {id} is not registered")))
}

/// The units that are alive on that day, in their groups: in the order of the groups' ids, those without a group last.
/// Without `group_by` there is one group, even if it is empty.
///
/// # Errors
/// `UnitNotFound` for a unit that the selector names.
pub(super) fn groups<'a>(
    registry: &'a Registry,
    selector: &UnitSelector,
    group_by: Option<Level>,
    day: Date,
) -> Result<Vec<Group<'a>>, Fault> {
    let mut units = select(registry, selector, day)?;
    units.sort_by(|a, b| a.id.cmp(&b.id));
    let Some(level) = group_by else {
        return Ok(vec![Group { row: whole_row(registry, selector, day)?, units }]);
    };
    let mut by_unit: BTreeMap<&UnitId, Group<'a>> = BTreeMap::new();
    let mut without = Group { row: RowUnit::None, units: Vec::new() };
    for unit in units {
        match registry.at_level_on(&unit.id, level, day) {
            Some(above) => {
                let group = by_unit.entry(&above.id);
                group.or_insert_with(|| Group { row: row_of(above), units: Vec::new() }).units.push(unit);
            }
            None => without.units.push(unit),
        }
    }
    let mut groups: Vec<Group<'a>> = by_unit.into_values().collect();
    if !without.units.is_empty() {
        groups.push(without);
    }
    Ok(groups)
}

/// The units of a selector, whenever they live.
///
/// # Errors
/// `UnitNotFound` for a unit that the selector names.
pub(super) fn ever<'a>(registry: &'a Registry, selector: &UnitSelector) -> Result<Vec<&'a UnitId>, Fault> {
    match selector {
        UnitSelector::Under { unit, level } => {
            unit_named(registry, unit)?;
            let had_level = |record: &&UnitRecord| level.is_none_or(|level| record.levels().any(|had| had == level));
            let subtree = registry.subtree_ever(unit).into_iter().filter(had_level);
            Ok(subtree.map(|record| &record.registration.id).collect())
        }
        UnitSelector::Ids(ids) => {
            check_known(registry, ids)?;
            Ok(ids.iter().filter_map(|id| registry.unit(id)).map(|unit| &unit.id).collect())
        }
    }
}

/// The units of a selector that are alive on that day, as they were then.
///
/// # Errors
/// `UnitNotFound` for a unit that the selector names.
pub(super) fn select<'a>(registry: &'a Registry, selector: &UnitSelector, day: Date) -> Result<Vec<&'a Unit>, Fault> {
    match selector {
        UnitSelector::Under { unit, level } => {
            unit_named(registry, unit)?;
            let subtree = registry.subtree_on(unit, day);
            Ok(subtree.filter(|unit| level.is_none_or(|level| unit.level == level)).collect())
        }
        UnitSelector::Ids(ids) => {
            check_known(registry, ids)?;
            Ok(ids.iter().filter_map(|id| registry.unit_on(id, day)).collect())
        }
    }
}

fn check_known(registry: &Registry, ids: &[UnitId]) -> Result<(), Fault> {
    let mut unknown = Violations::default();
    for id in ids.iter().filter(|id| registry.unit(id).is_none()) {
        unknown.add("units.ids", Reason::UnitNotFound, format!("unit {id} is not registered"));
    }
    unknown.into_result()
}

/// The row of a selector: the unit that it names, as it was called on that day or, if it did not live then, last.
fn whole_row(registry: &Registry, selector: &UnitSelector, day: Date) -> Result<RowUnit, Fault> {
    let named = |unit: &UnitId| {
        let newest = unit_named(registry, unit)?;
        Ok(row_of(registry.unit_on(unit, day).unwrap_or(newest)))
    };
    match selector {
        UnitSelector::Under { unit, .. } => named(unit),
        UnitSelector::Ids(ids) => match ids.as_slice() {
            [unit] => named(unit),
            _ => Ok(RowUnit::Several),
        },
    }
}

fn row_of(unit: &Unit) -> RowUnit {
    RowUnit::Unit { id: unit.id.clone(), name: unit.name.clone() }
}
