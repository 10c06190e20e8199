//! Which changes of the registry are accepted. A request is checked as a whole against what is there.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Display,
    hash::Hash,
};

use shared::{
    change::Change,
    limits::UNIT_EVENTS_MAX,
    model::{
        command::{EventsRequest, FormsRequest, UnitsRequest},
        event::UnitEvent,
        fault::{Fault, Reason, Violations},
        form::{Form, Waiver},
        ids::{EventId, IndicatorId, UnitId},
        indicator::Indicator,
        term::Term,
        unit::{Level, Unit},
    },
    registry::{Broken, Registry, Versions},
};

/// The units that are new, each after its parent; those that are there with the same content are left out.
///
/// # Errors
/// Every violation: an id twice, a parent that is nowhere, a second root, a level that is not below the parent's, a cycle,
/// a life that the parent does not share. `ExistsWithDifferentContent` where an id is there with other content.
pub(super) fn check_units(registry: &Registry, request: &UnitsRequest) -> Result<Vec<Unit>, Fault> {
    let mut new = new_ones("units", &request.units, |unit| &unit.id, |id| registered(registry, id))?;
    let mut violations = Violations::default();
    check_new_units(registry, &request.units, &HashSet::new(), &mut violations);
    violations.into_result()?;
    // Levels fall strictly from parent to child, so this puts every unit after its parent.
    new.sort_by_key(|unit| std::cmp::Reverse(unit.level));
    check_whole(registry, &new, &[], &Places::of(&request.units, &[]))?;
    Ok(new)
}

/// The units that are new, each after its parent, and the events that are new or say something new.
///
/// # Errors
/// Every violation: those of [`check_units`], units that are nowhere, and whatever would not hold on some day after the
/// change as a whole.
pub(super) fn check_events(registry: &Registry, request: &EventsRequest) -> Result<(Vec<Unit>, Vec<UnitEvent>), Fault> {
    let units = formed(registry, request);
    let mut new = new_ones("units", &units, |unit| &unit.id, |id| registered(registry, id))?;
    let mut violations = Violations::default();
    let mut events = Vec::new();
    let mut seen = HashSet::new();
    let requested: HashSet<&UnitId> = units.iter().map(|unit| &unit.id).collect();
    for (index, event) in request.events.iter().enumerate() {
        let path = |field: &str| format!("events[{index}].{field}");
        if !seen.insert(&event.id) {
            violations.add(path("id"), Reason::DuplicateId, format!("{} stands twice in this request", event.id));
        }
        let sides = [("from", &event.from), ("into", &event.into)];
        let sides = sides.into_iter().flat_map(|(side, units)| {
            units.iter().enumerate().map(move |(place, unit)| (format!("{side}[{place}]"), unit))
        });
        let parent = event.change.parent.iter().map(|unit| ("change.parent".to_owned(), unit));
        for (field, unit) in sides.chain(parent) {
            if !requested.contains(unit) && registry.unit(unit).is_none() {
                let message = format!("unit {unit} is neither registered nor in this request");
                violations.add(path(&field), Reason::UnknownUnit, message);
            }
        }
        if registry.event(&event.id).is_none_or(|there| there.value != *event) {
            events.push(event.clone());
        }
    }
    let changing: HashSet<&UnitId> = request.events.iter().flat_map(|event| &event.from).collect();
    check_new_units(registry, &units, &changing, &mut violations);
    violations.into_result()?;
    new.sort_by_key(|unit| std::cmp::Reverse(unit.level));
    check_whole(registry, &new, &events, &Places::of(&units, &request.events))?;
    Ok((new, events))
}

/// The units of a request. One without a start that a MERGE or SPLIT of the request forms is formed by that event, unless
/// it is there already and was not.
fn formed(registry: &Registry, request: &EventsRequest) -> Vec<Unit> {
    let forming = request.events.iter().flat_map(|event| event.roles().into_iter().map(move |role| (event, role)));
    let formed: HashSet<&UnitId> =
        forming.filter(|(event, (_, role))| event.forms(*role)).map(|(_, (unit, _))| unit).collect();
    let is_formed = |unit: &Unit| match registered(registry, &unit.id) {
        None => formed.contains(&unit.id),
        Some(there) => there.formed_by_event,
    };
    let begins_so = |unit: &Unit| unit.formed_by_event || unit.valid_from.is_none() && is_formed(unit);
    request.units.iter().map(|unit| Unit { formed_by_event: begins_so(unit), ..unit.clone() }).collect()
}

fn registered<'a>(registry: &'a Registry, id: &UnitId) -> Option<&'a Unit> {
    registry.record_of(id).map(|record| &*record.registration)
}

/// What can be said of new units before they are put together with what happens to units.
fn check_new_units(registry: &Registry, units: &[Unit], changing: &HashSet<&UnitId>, violations: &mut Violations) {
    let requested: HashMap<&UnitId, &Unit> = units.iter().map(|unit| (&unit.id, unit)).collect();
    let find = |id: &UnitId| requested.get(id).copied().or_else(|| registry.unit(id));
    let in_cycles = in_cycles(&requested);
    let mut root = registry.root();
    for (index, unit) in units.iter().enumerate() {
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
        // Where the parent has, or gets, several levels, it depends on the day.
        let had_one_level = registry.record_of(parent_id).is_none_or(|parent| parent.levels().count() <= 1);
        let has_one_level = had_one_level && !changing.contains(parent_id);
        if in_cycles.contains(&unit.id) {
            let message = format!("{} stands above itself", unit.id);
            violations.add(path("parent"), Reason::HierarchyCycle, message);
        } else if unit.level >= parent.level && has_one_level {
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
}

/// Where things stand in a request.
struct Places<'a> {
    units: HashMap<&'a UnitId, usize>,
    events: HashMap<&'a EventId, usize>,
    event_of: HashMap<&'a UnitId, usize>,
}

impl<'a> Places<'a> {
    fn of(units: &'a [Unit], events: &'a [UnitEvent]) -> Self {
        let mut event_of = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            for unit in event.roles().into_keys() {
                event_of.entry(unit).or_insert(index);
            }
        }
        Self {
            units: units.iter().map(|unit| &unit.id).zip(0..).collect(),
            events: events.iter().map(|event| &event.id).zip(0..).collect(),
            event_of,
        }
    }

    /// The path of what is at fault: the event, else the unit, else what in the request it follows from.
    fn path(&self, registry: &Registry, broken: &Broken) -> String {
        if let Some(index) = broken.event.as_ref().and_then(|event| self.events.get(event)) {
            return format!("events[{index}].{}", broken.field);
        }
        if let Some(index) = self.units.get(&broken.unit) {
            return format!("units[{index}].{}", broken.field);
        }
        let states = registry.record_of(&broken.unit).into_iter().flat_map(|record| record.states());
        let above = states.filter_map(|state| state.unit.parent.as_ref());
        let mut around = std::iter::once(&broken.unit).chain(above);
        match around.find_map(|unit| self.event_of.get(unit)) {
            Some(index) => format!("events[{index}]"),
            None if self.events.is_empty() => "units".to_owned(),
            None => "events".to_owned(),
        }
    }
}

/// What would not hold on some day after all of it.
fn check_whole(registry: &Registry, units: &[Unit], events: &[UnitEvent], places: &Places<'_>) -> Result<(), Fault> {
    let mut after = registry.clone();
    let mut next = registry.revision();
    // Units that an event named before it was revised change, too.
    let before = events.iter().filter_map(|event| registry.event(&event.id)).map(|event| &event.value);
    let named = events.iter().chain(before).flat_map(|event| event.roles().into_keys());
    let touched: BTreeSet<&UnitId> = units.iter().map(|unit| &unit.id).chain(named).collect();
    let units = units.iter().cloned().map(Change::UnitRegistered);
    for change in units.chain(events.iter().cloned().map(Change::UnitEventRecorded)) {
        // In the order in which they will be written.
        next = next.next();
        after.apply_part(next, &change);
    }
    after.settle();
    let mut violations = Violations::default();
    for unit in &touched {
        let count = after.events_of(unit).filter(|named| named.role.is_from).count();
        if count > UNIT_EVENTS_MAX {
            let message = format!("{count} events happen to {unit}, at most {UNIT_EVENTS_MAX} are allowed");
            violations.add("events", Reason::TooMany, message);
        }
    }
    violations.into_result()?;
    let mut violations = Violations::default();
    for broken in after.verify(touched) {
        violations.add(places.path(&after, &broken), broken.reason, broken.message);
    }
    violations.into_result()
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

/// The indicators that are new, or new versions.
///
/// # Errors
/// An id twice, indicators or units that are nowhere, a version that is not the next one or measures something else;
/// `ExistsWithDifferentContent` where a version is there with other content.
pub(super) fn check_indicators(registry: &Registry, indicators: &[Indicator]) -> Result<Vec<Indicator>, Fault> {
    let versions = |id: &IndicatorId| registry.indicator_versions(id);
    let new = new_versions("indicators", indicators, |i| (&i.id, i.version), versions)?;
    let requested: HashMap<&IndicatorId, &Indicator> = indicators.iter().map(|i| (&i.id, i)).collect();
    let mut violations = Violations::default();
    for (index, indicator) in indicators.iter().enumerate() {
        let path = |field: &str| format!("indicators[{index}].{field}");
        let before = registry.indicator(&indicator.id);
        if before.is_some_and(|before| !indicator.measures_the_same(before)) {
            let message = "another value_kind, temporality, roll_up or unit_of_measure is another indicator";
            violations.add(path("version"), Reason::InvalidDefinition, message);
        }
        let find = |id: &IndicatorId| requested.get(id).copied().or_else(|| registry.indicator(id));
        if let Some(of) = indicator.change_of.as_ref().filter(|of| find(of).is_none()) {
            let message = format!("indicator {of} is neither defined nor in this request");
            violations.add(path("change_of"), Reason::UnknownIndicator, message);
        }
        for part in indicator.balance.iter().flat_map(|balance| balance.parts()) {
            match find(part) {
                None => {
                    let message = format!("indicator {part} is neither defined nor in this request");
                    violations.add(path("balance"), Reason::UnknownIndicator, message);
                }
                Some(other) if counts(other) != counts(indicator) => {
                    let message = format!("{part} counts or measures something else; such values never add");
                    violations.add(path("balance"), Reason::InvalidDefinition, message);
                }
                Some(_) => {}
            }
        }
        for (place, exception) in indicator.not_applicable.iter().enumerate() {
            if registry.unit(&exception.under).is_none() {
                let message = format!("unit {} is not registered", exception.under);
                violations.add(path(&format!("not_applicable[{place}].under")), Reason::UnknownUnit, message);
            }
        }
    }
    violations.into_result()?;
    Ok(new)
}

/// What an indicator counts or measures, and with which kind of value: only equal ones ever add.
fn counts(indicator: &Indicator) -> (shared::model::indicator::ValueKind, &str) {
    (indicator.value_kind, &indicator.unit_of_measure)
}

/// The forms that are new, or new versions, and the waivers that are new.
///
/// # Errors
/// As [`check_indicators`]; a waiver of a form or a unit that is nowhere, or for what is no period of the form.
pub(super) fn check_forms(registry: &Registry, request: &FormsRequest) -> Result<(Vec<Form>, Vec<Waiver>), Fault> {
    let forms = new_versions("forms", &request.forms, |form| (&form.id, form.version), |id| registry.form(id))?;
    let mut violations = Violations::default();
    for (index, form) in request.forms.iter().enumerate() {
        if registry.unit(&form.under).is_none() {
            let message = format!("unit {} is not registered", form.under);
            violations.add(format!("forms[{index}].under"), Reason::UnknownUnit, message);
        }
        for (place, indicator) in form.indicators.iter().enumerate() {
            if registry.indicator(indicator).is_none() {
                let path = format!("forms[{index}].indicators[{place}]");
                violations.add(path, Reason::UnknownIndicator, format!("indicator {indicator} is not defined"));
            }
        }
    }
    let requested = |waiver: &Waiver| request.forms.iter().rev().find(|form| form.id == waiver.form);
    let mut waivers = Vec::new();
    let mut seen = HashSet::new();
    for (index, waiver) in request.waivers.iter().enumerate() {
        let path = |field: &str| format!("waivers[{index}].{field}");
        let span = waiver.period.span();
        let known = registry.form(&waiver.form).and_then(|versions| versions.on(span.last_day, |form| form.valid_from));
        // A version of this request holds from its day on.
        let new = requested(waiver).filter(|form| known.is_none() || form.valid_from <= span.last_day);
        match new.or(known) {
            None => {
                let message = format!("form {} is neither defined nor in this request", waiver.form);
                violations.add(path("form"), Reason::UnknownForm, message);
            }
            Some(form) => {
                if let (Some(frequency), Some(last)) = (form.frequency, span.last_day)
                    && let periods = frequency.periods_ending_in(last, last, 1)
                    && frequency != shared::model::form::Frequency::PerTerm
                    && periods.first().is_none_or(|period| period.span() != span)
                {
                    let message = format!("{} is no period for which {} is owed", waiver.period.written(), form.id);
                    violations.add(path("period"), Reason::InvalidPeriod, message);
                }
            }
        }
        if registry.unit(&waiver.unit).is_none() {
            violations.add(path("unit"), Reason::UnknownUnit, format!("unit {} is not registered", waiver.unit));
        }
        if !seen.insert((&waiver.form, &waiver.unit, span)) {
            violations.add(format!("waivers[{index}]"), Reason::DuplicateId, "stands twice in this request");
        }
        match registry.waiver(&waiver.form, &waiver.unit, span) {
            None => waivers.push(waiver.clone()),
            Some(there) if there == waiver => {}
            Some(_) => {
                let message = "the same duty is waived already, in other words";
                violations.add(format!("waivers[{index}]"), Reason::ExistsWithDifferentContent, message);
            }
        }
    }
    violations.into_result()?;
    Ok((forms, waivers))
}

/// Leaves out versions that are there with the same content. A new one has the next number.
fn new_versions<'a, T, K>(
    field: &str,
    requested: &'a [T],
    key: impl Fn(&'a T) -> (&'a K, u32),
    existing: impl Fn(&K) -> Option<&'a Versions<T>>,
) -> Result<Vec<T>, Fault>
where
    T: Clone + PartialEq,
    K: Eq + Hash + Display + 'a,
{
    let (mut twice, mut changed, mut skipped) = (Violations::default(), Violations::default(), Violations::default());
    let mut seen = HashSet::new();
    let mut new = Vec::new();
    for (index, item) in requested.iter().enumerate() {
        let (id, version) = key(item);
        if !seen.insert(id) {
            twice.add(format!("{field}[{index}]"), Reason::DuplicateId, format!("{id} stands twice in this request"));
        }
        let versions = existing(id);
        let newest = versions.map_or(0, Versions::count);
        match versions.and_then(|versions| versions.numbered(version)) {
            Some(there) if there == item => {}
            Some(_) => {
                let message =
                    format!("{id} is there with other content; to change the definition, give version {}", newest + 1);
                changed.add(format!("{field}[{index}]"), Reason::ExistsWithDifferentContent, message);
            }
            None if version == newest + 1 => new.push(item.clone()),
            None => {
                let message = format!("the next version of {id} is {}", newest + 1);
                skipped.add(format!("{field}[{index}].version"), Reason::InvalidNumber, message);
            }
        }
    }
    twice.into_result()?;
    changed.into_result()?;
    skipped.into_result()?;
    Ok(new)
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
mod tests;
