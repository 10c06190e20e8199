//! Who is counted, and in which group.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::civil::Date;
use shared::{
    model::{
        fault::{Fault, Reason, Violations},
        ids::UnitId,
        query::{GroupBy, Plan, RowUnit, UnitSelector},
        unit::{Level, Unit},
    },
    registry::{Registry, UnitRecord},
};

use super::plan::Frame;
use crate::index::{Known, LaidRow, Layout, LayoutKey, bits_of, effort};

/// A unit that is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// As it was on the day counted.
    pub(super) unit: &'a Unit,
    /// Every condition holds for it; else it is not known whether they do.
    pub(super) is_certain: bool,
}

/// Units of one row.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// Whose row it is.
    pub(super) row: RowUnit,
    /// Its units, in the order of their ids, once somebody has looked at them one by one.
    members: OnceCell<Vec<Member<'a>>>,
    laid: Option<Laid<'a>>,
}

/// Where the units of a group are laid out.
#[derive(Clone, Debug)]
struct Laid<'a> {
    known: &'a Known<'a>,
    registry: &'a Registry,
    day: Date,
    layout: Arc<Layout>,
    place: usize,
}

impl<'a> Group<'a> {
    /// A row of these units, which are in the order of their ids.
    pub(super) fn listed(row: RowUnit, members: Vec<Member<'a>>) -> Self {
        Self { row, members: OnceCell::from(members), laid: None }
    }

    /// Its units, in the order of their ids.
    pub(super) fn members(&self) -> &[Member<'a>] {
        self.members.get_or_init(|| {
            let laid = self.laid.as_ref();
            let looked_at = |unit: &u32| {
                effort::spend(effort::LOOK);
                *unit
            };
            let member = |laid: &Laid<'a>, unit| laid.member(looked_at(unit));
            laid.into_iter().flat_map(|laid| laid.units().iter().filter_map(|unit| member(laid, unit))).collect()
        })
    }

    /// How many units it has.
    pub(super) fn len(&self) -> usize {
        self.laid.as_ref().map_or_else(|| self.members().len(), |laid| laid.units().len())
    }

    /// Its units as they are laid out, if all of them belong to it for certain.
    pub(super) fn laid(&self) -> Option<&LaidRow> {
        self.laid.as_ref().map(|laid| &laid.layout.rows[laid.place])
    }

    /// The layout in which its units are, and its place there.
    pub(super) fn place(&self) -> Option<(&Arc<Layout>, usize)> {
        self.laid.as_ref().map(|laid| (&laid.layout, laid.place))
    }

    /// The unit with that number, of those that are laid out.
    pub(super) fn member(&self, number: u32) -> Option<Member<'a>> {
        self.laid.as_ref()?.member(number)
    }

    /// Numbers of the units that belong to it for certain, in the order of their ids.
    pub(super) fn numbers(&self, known: &Known<'_>) -> Arc<Vec<u32>> {
        match self.laid() {
            Some(laid) => laid.units.clone(),
            None => Arc::new(self.certain().filter_map(|unit| known.number_of(&unit.id)).collect()),
        }
    }

    /// The units that belong to it for certain.
    pub(super) fn certain(&self) -> impl Iterator<Item = &'a Unit> {
        self.members().iter().filter(|member| member.is_certain).map(|member| member.unit)
    }

    /// What orders it among others, and names it.
    pub(super) fn key(&self) -> RowKey {
        RowKey::of(&self.row)
    }
}

impl<'a> Laid<'a> {
    fn units(&self) -> &[u32] {
        &self.layout.rows[self.place].units
    }

    fn member(&self, number: u32) -> Option<Member<'a>> {
        let unit = self.registry.unit_on(self.known.unit(number)?, self.day)?;
        Some(Member { unit, is_certain: true })
    }
}

/// What orders rows: by id or value, then what lies in several groups, then what has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey {
    class: u8,
    /// The unit's id or the value; the word for the last two.
    pub(super) name: String,
}

impl RowKey {
    /// The key of a row.
    pub(super) fn of(row: &RowUnit) -> Self {
        let (class, name) = match row {
            RowUnit::Several => (0, ""),
            RowUnit::Unit { id, .. } => (0, id.as_str()),
            RowUnit::Attribute(value) => (0, value.as_str()),
            RowUnit::Unassignable => (1, UnitId::UNASSIGNABLE),
            RowUnit::None => (2, UnitId::NONE),
        };
        Self { class, name: name.to_owned() }
    }

    /// As the token of a page holds it.
    pub(super) fn token(&self) -> String {
        format!("{}{}", self.class, self.name)
    }
}

/// The unit with that id, which a field names.
///
/// # Errors
/// `UnitNotFound`.
pub fn unit_named<'a>(registry: &'a Registry, path: &str, id: &UnitId) -> Result<&'a Unit, Fault> {
    registry.unit(id).ok_or_else(|| {
        let message = format!("unit {id} is not registered; FindUnits finds it by its name");
        Fault::at(path, Reason::UnitNotFound, message)
    })
}

/// Units in their groups: in the order of the groups' ids or values, then those that lie in several, then those without
/// one. Without `group_by` there is one group, even if it is empty.
///
/// The units stay those of the day; `boundaries_on` says on whose map they are grouped.
///
/// # Errors
/// `UnitNotFound` for a unit that the selector names.
pub(super) fn groups<'a>(
    registry: &'a Registry,
    selector: &UnitSelector,
    mut members: Vec<Member<'a>>,
    group_by: Option<&GroupBy>,
    day: Date,
    boundaries_on: Date,
) -> Result<Vec<Group<'a>>, Fault> {
    members.sort_by(|a, b| a.unit.id.cmp(&b.unit.id));
    let Some(group_by) = group_by else {
        return Ok(vec![Group::listed(whole_row(registry, selector, day)?, members)]);
    };
    let mut groups: BTreeMap<Place<'a>, Vec<Member<'a>>> = BTreeMap::new();
    for member in members {
        groups.entry(place(registry, member.unit, group_by, day, boundaries_on)).or_default().push(member);
    }
    let row = |place: &Place<'a>| row_of_place(registry, *place, group_by, day, boundaries_on);
    Ok(groups.into_iter().map(|(place, members)| Group::listed(row(&place), members)).collect())
}

/// The same for all units of a selector, as they are laid out.
///
/// # Errors
/// `UnitNotFound` for a unit that the selector names.
pub(super) fn laid_groups<'a>(frame: &Frame<'a>, plan: &Plan) -> Result<Vec<Group<'a>>, Fault> {
    let Frame { known, registry, slot, boundaries_on, .. } = *frame;
    let first_day = slot.span.and_then(|span| span.first_day);
    let key = LayoutKey {
        registry: registry.revision(),
        units: plan.units.clone(),
        group_by: plan.group_by.clone(),
        day: known.map_day(slot.day),
        boundaries_on: known.map_day(boundaries_on),
        first_day: first_day.map(|first_day| known.map_day(first_day)),
    };
    let layout = known.layout(key, || {
        let members = select(registry, &plan.units, slot.day)?;
        let members = members.into_iter().map(|unit| Member { unit, is_certain: true }).collect();
        let groups = groups(registry, &plan.units, members, plan.group_by.as_ref(), slot.day, boundaries_on)?;
        Ok(Layout { rows: groups.iter().map(|group| laid_row(known, registry, group, first_day)).collect() })
    })?;
    let laid = |place| Laid { known, registry, day: slot.day, layout: layout.clone(), place };
    let group = |(place, row): (usize, &LaidRow)| Group {
        row: row.row.clone(),
        members: OnceCell::new(),
        laid: Some(laid(place)),
    };
    Ok(layout.rows.iter().enumerate().map(group).collect())
}

fn laid_row(known: &Known<'_>, registry: &Registry, group: &Group<'_>, first_day: Option<Date>) -> LaidRow {
    let units = group.numbers(known);
    let levels: BTreeSet<Level> = group.certain().map(|unit| unit.level).collect();
    let is_new = |unit: &Unit| first_day.is_some_and(|first_day| !registry.is_alive_on(&unit.id, first_day));
    LaidRow {
        row: group.row.clone(),
        bits: bits_of(&units),
        units,
        levels: levels.into_iter().collect(),
        has_newcomers: group.certain().any(is_new),
    }
}

/// The row in which a unit of one day is counted on the map of another.
pub(super) fn row_of_unit(
    registry: &Registry,
    unit: &Unit,
    group_by: &GroupBy,
    day: Date,
    boundaries_on: Date,
) -> RowUnit {
    let place = place(registry, unit, group_by, day, boundaries_on);
    row_of_place(registry, place, group_by, day, boundaries_on)
}

fn row_of_place(registry: &Registry, place: Place<'_>, group_by: &GroupBy, day: Date, boundaries_on: Date) -> RowUnit {
    match place {
        Place::Unit(id) => match group_by {
            // A unit is called as on the day counted, on which it lives.
            GroupBy::Unit => registry.unit_on(id, day).map_or(RowUnit::None, row_of),
            _ => registry.unit_on(id, boundaries_on).map_or(RowUnit::None, row_of),
        },
        Place::Value(value) => RowUnit::Attribute(value.to_owned()),
        Place::Unassignable => RowUnit::Unassignable,
        Place::Nowhere => RowUnit::None,
    }
}

/// Where a unit is counted, in the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place<'a> {
    /// In the row of that unit.
    Unit(&'a UnitId),
    /// In the row of that value.
    Value(&'a str),
    /// In several.
    Unassignable,
    /// In none.
    Nowhere,
}

impl<'a> Place<'a> {
    /// The unit or the value of the row; none for the rows of those without one.
    pub(super) fn name(&self) -> Option<&'a str> {
        match self {
            Self::Unit(unit) => Some(unit.as_str()),
            Self::Value(value) => Some(value),
            Self::Unassignable | Self::Nowhere => None,
        }
    }
}

/// Where a unit of one day is counted on the map of another: in the one group in which all of it lies.
fn place<'a>(registry: &'a Registry, unit: &'a Unit, group_by: &GroupBy, day: Date, boundaries_on: Date) -> Place<'a> {
    let places = places(registry, unit, group_by, day, boundaries_on);
    match places.first() {
        Some(place) if places.len() == 1 => *place,
        _ => Place::Unassignable,
    }
}

/// Every group in which a part of a unit of one day lies on the map of another; none if nobody knows.
pub(super) fn places<'a>(
    registry: &'a Registry,
    unit: &'a Unit,
    group_by: &GroupBy,
    day: Date,
    boundaries_on: Date,
) -> BTreeSet<Place<'a>> {
    let valued = |value: &'a str| if value.is_empty() { Place::Nowhere } else { Place::Value(value) };
    let on_the_map = |unit: &'a UnitId| match group_by {
        GroupBy::Unit => Place::Unit(unit),
        GroupBy::Level(level) => {
            registry.at_level_on(unit, *level, boundaries_on).map_or(Place::Nowhere, |above| Place::Unit(&above.id))
        }
        GroupBy::Kind => registry.unit_on(unit, boundaries_on).map_or(Place::Nowhere, |unit| valued(&unit.kind)),
        GroupBy::Attribute(key) => {
            let unit = registry.unit_on(unit, boundaries_on);
            unit.and_then(|unit| unit.attributes.get(key)).map_or(Place::Nowhere, |value| valued(value))
        }
    };
    if day == boundaries_on || *group_by == GroupBy::Unit {
        return [on_the_map(&unit.id)].into();
    }
    effort::spend_much();
    let counterparts = registry.counterparts_on(&unit.id, day, boundaries_on, false);
    counterparts.into_iter().map(on_the_map).collect()
}

/// The units of a selector, whenever they live.
///
/// # Errors
/// `UnitNotFound` for a unit that the selector names.
pub(super) fn ever<'a>(registry: &'a Registry, selector: &UnitSelector) -> Result<Vec<&'a UnitId>, Fault> {
    match selector {
        UnitSelector::Under { unit, level } => {
            unit_named(registry, "units.under", unit)?;
            let had_level = |record: &&UnitRecord| level.is_none_or(|level| record.levels().any(|had| had == level));
            effort::spend_much();
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
            unit_named(registry, "units.under", unit)?;
            let subtree = registry.subtree_on(unit, day).inspect(|_| effort::spend(effort::LOOK));
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
pub(super) fn whole_row(registry: &Registry, selector: &UnitSelector, day: Date) -> Result<RowUnit, Fault> {
    let named = |path: &str, unit: &UnitId| {
        let newest = unit_named(registry, path, unit)?;
        Ok(row_of(registry.unit_on(unit, day).unwrap_or(newest)))
    };
    match selector {
        UnitSelector::Under { unit, .. } => named("units.under", unit),
        UnitSelector::Ids(ids) => match ids.as_slice() {
            [unit] => named("units.ids", unit),
            _ => Ok(RowUnit::Several),
        },
    }
}

fn row_of(unit: &Unit) -> RowUnit {
    RowUnit::Unit { id: unit.id.clone(), name: unit.name.clone() }
}
