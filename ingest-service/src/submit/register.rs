//! Which changes of the registry are accepted. A request is checked as a whole against what is there.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    hash::Hash,
};

use shared::{
    model::{
        command::UnitsRequest,
        fault::{Fault, Reason, Violations},
        ids::UnitId,
        indicator::Indicator,
        term::Term,
        unit::{Level, Unit},
    },
    registry::Registry,
};

/// The units that are new, each after its parent; those that are there with the same content are left out.
///
/// # Errors
/// Every violation: an id twice, a parent that is nowhere, a second root, a level that is not below the parent's, a cycle,
/// a life that begins before the parent's. `ExistsWithDifferentContent` where an id is there with other content.
pub(super) fn check_units(registry: &Registry, request: &UnitsRequest) -> Result<Vec<Unit>, Fault> {
    let mut new = new_ones("units", &request.units, |unit| &unit.id, |id| registry.unit(id))?;
    let requested: HashMap<&UnitId, &Unit> = request.units.iter().map(|unit| (&unit.id, unit)).collect();
    let find = |id: &UnitId| requested.get(id).copied().or_else(|| registry.unit(id));
    let in_cycles = in_cycles(&requested);

    let mut violations = Violations::default();
    let mut root = registry.root();
    for (index, unit) in request.units.iter().enumerate() {
        let path = |field: &str| format!("units[{index}].{field}");
        let Some(parent_id) = &unit.parent else {
            if unit.level != Level::Country {
                let message = "only a unit of level COUNTRY has no parent";
                violations.add(path("parent"), Reason::RequiredFieldMissing, message);
            } else if let Some(root) = root.filter(|root| **root != unit.id) {
                violations.add(
                    path("parent"),
                    Reason::SecondRoot,
                    format!("{root} is the root already; name a parent"),
                );
            } else {
                root = Some(&unit.id);
            }
            continue;
        };
        let Some(parent) = find(parent_id) else {
            let message = format!("unit {parent_id} is neither registered nor in this request");
            violations.add(path("parent"), Reason::UnknownParent, message);
            continue;
        };
        if in_cycles.contains(&unit.id) {
            let message = format!("{} stands above itself", unit.id);
            violations.add(path("parent"), Reason::HierarchyCycle, message);
        } else if unit.level >= parent.level {
            let message = format!("its level must be below that of its parent {parent_id}");
            violations.add(path("level"), Reason::LevelNotBelowParent, message);
        }
        if let (Some(first_day), Some(parent_first_day)) = (unit.valid_from, parent.valid_from)
            && first_day < parent_first_day
        {
            let message = format!("begins before its parent {parent_id}");
            violations.add(path("valid_from"), Reason::UnitNotAlive, message);
        }
    }
    violations.into_result()?;
    // Levels fall strictly from parent to child, so this puts every unit after its parent.
    new.sort_by_key(|unit| std::cmp::Reverse(unit.level));
    Ok(new)
}

/// The units that stand above themselves. Each walk upwards ends at the first unit that a walk has been at before, so
/// every unit is looked at once.
fn in_cycles<'a>(units: &HashMap<&'a UnitId, &'a Unit>) -> HashSet<&'a UnitId> {
    let mut walk_of: HashMap<&UnitId, usize> = HashMap::new();
    let mut in_cycles = HashSet::new();
    for (walk, start) in units.values().copied().enumerate() {
        let mut next = Some(start);
        while let Some(unit) = next {
            match walk_of.get(&unit.id) {
                None => {
                    walk_of.insert(&unit.id, walk);
                    next = unit.parent.as_ref().and_then(|parent| units.get(parent).copied());
                }
                // This walk has come back to where it was: once around is the cycle.
                Some(before) if *before == walk && in_cycles.insert(&unit.id) => {
                    next = unit.parent.as_ref().and_then(|parent| units.get(parent).copied());
                }
                Some(_) => next = None,
            }
        }
    }
    in_cycles
}

/// The indicators that are new.
///
/// # Errors
/// An id twice; `ExistsWithDifferentContent` where an id is there with other content.
pub(super) fn check_indicators(registry: &Registry, indicators: &[Indicator]) -> Result<Vec<Indicator>, Fault> {
    new_ones("indicators", indicators, |indicator| &indicator.id, |id| registry.indicator(id))
}

/// The terms that are new.
///
/// # Errors
/// A unit that is not registered, a term twice; `ExistsWithDifferentContent` where a term is there with other content.
pub(super) fn check_terms(registry: &Registry, terms: &[Term]) -> Result<Vec<Term>, Fault> {
    let mut violations = Violations::default();
    for (index, term) in terms.iter().enumerate() {
        if registry.unit(&term.key.unit).is_none() {
            let message = format!("unit {} is not registered", term.key.unit);
            violations.add(format!("terms[{index}].unit"), Reason::UnknownUnit, message);
        }
    }
    violations.into_result()?;
    new_ones("terms", terms, |term| &term.key, |key| registry.term(key))
}

/// Leaves out what is there with the same content, and refuses what is there with other content.
fn new_ones<'a, T, K>(
    field: &str,
    requested: &'a [T],
    key: impl Fn(&'a T) -> &'a K,
    existing: impl Fn(&'a K) -> Option<&'a T>,
) -> Result<Vec<T>, Fault>
where
    T: Clone + PartialEq,
    K: Eq + Hash + Display + 'a,
{
    let (mut twice, mut changed) = (Violations::default(), Violations::default());
    let mut seen = HashSet::new();
    let mut new = Vec::new();
    for (index, item) in requested.iter().enumerate() {
        let key = key(item);
        if !seen.insert(key) {
            twice.add(format!("{field}[{index}]"), Reason::DuplicateId, format!("{key} stands twice in this request"));
        }
        match existing(key) {
            None => new.push(item.clone()),
            Some(there) if there == item => {}
            Some(_) => changed.add(
                format!("{field}[{index}]"),
                Reason::ExistsWithDifferentContent,
                format!("{key} is there with other content; an id is never reused"),
            ),
        }
    }
    twice.into_result()?;
    changed.into_result()?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use shared::{change::Change, model::log::Revision};

    use super::*;

    fn unit(id: &str, level: Level, parent: Option<&str>) -> Unit {
        Unit {
            id: id.parse().unwrap(),
            level,
            kind: String::new(),
            name: id.to_owned(),
            parent: parent.map(|parent| parent.parse().unwrap()),
            official_code: String::new(),
            attributes: Default::default(),
            valid_from: None,
        }
    }

    fn registry() -> Registry {
        let mut registry = Registry::default();
        let units = [unit("vn", Level::Country, None), unit("p", Level::Province, Some("vn"))];
        for (revision, unit) in (1u64..).zip(units) {
            registry.apply(Revision::from(revision), &Change::UnitRegistered(unit));
        }
        registry
    }

    fn reasons(units: Vec<Unit>) -> Vec<(String, Reason)> {
        let request = UnitsRequest { units, complete_from: None };
        let fault = check_units(&registry(), &request).unwrap_err();
        fault.violations.into_iter().map(|v| (v.path, v.reason)).collect()
    }

    #[test]
    fn parents_may_come_later_and_known_units_are_left_out() {
        let units = vec![
            unit("c", Level::Commune, Some("d")),
            unit("d", Level::District, Some("p")),
            unit("p", Level::Province, Some("vn")),
        ];
        let new = check_units(&registry(), &UnitsRequest { units, complete_from: None }).unwrap();
        assert_eq!(new.iter().map(|unit| unit.id.as_str()).collect::<Vec<_>>(), ["d", "c"], "parents first");
    }

    #[test]
    fn every_violation_is_named_with_its_place() {
        let at = |path: &str, reason| (path.to_owned(), reason);
        assert_eq!(
            reasons(vec![
                unit("a", Level::District, Some("b")),
                unit("b", Level::Commune, Some("a")),
                unit("c", Level::Country, None),
                unit("d", Level::Commune, Some("nowhere")),
                unit("e", Level::Province, Some("p")),
            ]),
            [
                at("units[0].parent", Reason::HierarchyCycle),
                at("units[1].parent", Reason::HierarchyCycle),
                at("units[2].parent", Reason::SecondRoot),
                at("units[3].parent", Reason::UnknownParent),
                at("units[4].level", Reason::LevelNotBelowParent),
            ]
        );
        let twice = vec![unit("a", Level::District, Some("p")), unit("a", Level::District, Some("p"))];
        assert_eq!(reasons(twice), [at("units[1]", Reason::DuplicateId)]);
        let other = vec![unit("p", Level::District, Some("vn"))];
        assert_eq!(reasons(other), [at("units[0]", Reason::ExistsWithDifferentContent)]);
    }

    #[test]
    fn a_unit_does_not_begin_before_its_parent() {
        let day = |text: &str| Some(text.parse().unwrap());
        let parent = Unit { valid_from: day("2000-01-01"), ..unit("d", Level::District, Some("p")) };
        let early = Unit { valid_from: day("1999-12-31"), ..unit("c", Level::Commune, Some("d")) };
        let violations = reasons(vec![parent, early]);
        assert_eq!(violations, [("units[1].valid_from".to_owned(), Reason::UnitNotAlive)]);
    }

    #[test]
    fn a_unit_of_unknown_age_is_alive_when_its_parent_is() {
        let parent = Unit { valid_from: Some("2000-01-01".parse().unwrap()), ..unit("d", Level::District, Some("p")) };
        let units = vec![unit("c", Level::Commune, Some("d")), parent];
        let new = check_units(&registry(), &UnitsRequest { units, complete_from: None }).unwrap();
        assert_eq!(new.iter().map(|unit| unit.id.as_str()).collect::<Vec<_>>(), ["d", "c"], "parents first");
        let mut registry = registry();
        for (revision, unit) in (3u64..).zip(new) {
            registry.apply(Revision::from(revision), &Change::UnitRegistered(unit));
        }
        let is_alive = |day: &str| registry.is_alive_on(&"c".parse().unwrap(), day.parse().unwrap());
        assert_eq!((is_alive("1999-12-31"), is_alive("2000-01-01")), (false, true));
    }
}
