//! What reports themselves publish about units together, by exactly the units that they speak of.

use std::collections::{BTreeSet, HashMap};

use shared::model::{ids::UnitId, report::Scope};

use super::{
    cell::{Ask, name_of},
    plan::Frame,
    select::Group,
};
use crate::index::Statement;

/// Figures of units together that speak of one time.
pub(super) struct Published {
    by_units: HashMap<Vec<UnitId>, Vec<Statement>>,
}

impl Published {
    /// None: for parts of rows, which show no claims.
    pub(super) fn none() -> Self {
        Self { by_units: HashMap::new() }
    }

    /// All of them, in the classes that are asked for.
    pub(super) fn of(frame: &Frame<'_>, ask: &Ask<'_>) -> Self {
        let mut by_units: HashMap<Vec<UnitId>, Vec<Statement>> = HashMap::new();
        let holds = |statement: &Statement| match frame.slot.span {
            Some(days) if ask.indicator.temporality == shared::model::indicator::Temporality::Flow => {
                statement.report().period.span() == days
            }
            _ => statement.speaks_of(frame.slot.day),
        };
        let is_number = |statement: &Statement| statement.observation().value.is_number();
        let below = frame.known.below(&ask.indicator.id).into_iter().filter(holds).filter(is_number);
        for statement in below.filter(|statement| statement.observation().by == *ask.by && ask.admits(statement)) {
            if let Some(units) = denoted(frame, &statement) {
                by_units.entry(units).or_default().push(statement);
            }
        }
        for statements in by_units.values_mut() {
            statements.sort_by_key(|statement| (name_of(statement), statement.index));
        }
        Self { by_units }
    }

    /// What is published for exactly the units that belong to a row for certain.
    pub(super) fn for_units(&self, group: &Group<'_>) -> &[Statement] {
        if self.by_units.is_empty() {
            return &[];
        }
        let units: Vec<UnitId> = group.certain().map(|unit| unit.id.clone()).collect();
        self.by_units.get(&units).map_or(&[], Vec::as_slice)
    }
}

/// The set of units that a figure speaks of, in the order of their ids; none if it is empty.
fn denoted(frame: &Frame<'_>, statement: &Statement) -> Option<Vec<UnitId>> {
    let (registry, day) = (frame.registry, frame.slot.day);
    let unit = &statement.report().unit;
    let units: BTreeSet<UnitId> = match statement.observation().scope {
        Scope::Own => return None,
        Scope::Children if !registry.is_alive_on(unit, day) => return None,
        Scope::Children => registry.children_on(unit, day).map(|unit| unit.id.clone()).collect(),
        Scope::Subtree => registry.subtree_on(unit, day).map(|unit| unit.id.clone()).collect(),
        Scope::Group => {
            let units = statement.observation().units.iter();
            units.filter_map(|unit| registry.unit_on(unit, day)).map(|unit| unit.id.clone()).collect()
        }
    };
    (!units.is_empty()).then(|| units.into_iter().collect())
}
