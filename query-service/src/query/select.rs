//! Who is counted, and in which group.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use shared::{
    model::{
        fault::{Fault, Reason, Violations},
        ids::UnitId,
        query::{GroupBy, RowUnit, UnitSelector},
        unit::Unit,
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

/// The units that are alive on that day, in their groups: in the order of the groups' ids or values, then those that lie in
/// several, then those without one. Without `group_by` there is one group, even if it is empty.
///
/// The units stay those of the day; `boundaries_on` says on whose map they are grouped.
///
/// # Errors
/// `UnitNotFound` for a unit that the selector names.
pub(super) fn groups<'a>(
    registry: &'a Registry,
    selector: &UnitSelector,
    group_by: Option<&GroupBy>,
    day: Date,
    boundaries_on: Date,
) -> Result<Vec<Group<'a>>, Fault> {
    let mut units = select(registry, selector, day)?;
    units.sort_by(|a, b| a.id.cmp(&b.id));
    let Some(group_by) = group_by else {
        return Ok(vec![Group { row: whole_row(registry, selector, day)?, units }]);
    };
    let mut groups: BTreeMap<Place<'a>, Vec<&'a Unit>> = BTreeMap::new();
    for unit in units {
        groups.entry(place(registry, unit, group_by, day, boundaries_on)).or_default().push(unit);
    }
    let row = |place: &Place<'a>| match *place {
        Place::Unit(id) => registry.unit_on(id, boundaries_on).map_or(RowUnit::None, row_of),
        Place::Value(value) => RowUnit::Attribute(value.to_owned()),
        Place::Unassignable => RowUnit::Unassignable,
        Place::Nowhere => RowUnit::None,
    };
    Ok(groups.into_iter().map(|(place, units)| Group { row: row(&place), units }).collect())
}

/// Where a unit is counted, in the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Unit(&'a UnitId),
    Value(&'a str),
    Unassignable,
    Nowhere,
}

/// Where a unit of one day is counted on the map of another: in the one group in which all of it lies.
fn place<'a>(registry: &'a Registry, unit: &'a Unit, group_by: &GroupBy, day: Date, boundaries_on: Date) -> Place<'a> {
    let on_the_map = |unit: &UnitId| match group_by {
        GroupBy::Level(level) => {
            registry.at_level_on(unit, *level, boundaries_on).map_or(Place::Nowhere, |above| Place::Unit(&above.id))
        }
        GroupBy::Attribute(key) => {
            let unit = registry.unit_on(unit, boundaries_on);
            unit.and_then(|unit| unit.attributes.get(key)).map_or(Place::Nowhere, |value| Place::Value(value))
        }
    };
    if day == boundaries_on {
        return on_the_map(&unit.id);
    }
    let counterparts = registry.counterparts_on(&unit.id, day, boundaries_on, false);
    let places: BTreeSet<Place<'a>> = counterparts.into_iter().map(on_the_map).collect();
    match places.first() {
        Some(place) if places.len() == 1 => *place,
        _ => Place::Unassignable,
    }
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
