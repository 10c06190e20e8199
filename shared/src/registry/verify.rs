//! What must hold of units on every day, whatever was recorded.
//!
//! The checks look at units that a change touches and at those below them, after the change was applied as a whole to a
//! copy. One function each.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::{DEPTH_MAX, Named, Registry, UnitRecord, UnitState};
use crate::model::{
    event::{EventType, UnitEvent},
    fault::Reason,
    ids::{EventId, UnitId},
    unit::Level,
};

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The unit at fault.
    pub unit: UnitId,
    /// The event at fault, if it is one.
    pub event: Option<EventId>,
    /// The field of the unit or the event.
    pub field: &'static str,
    /// Which rule.
    pub reason: Reason,
    /// The same for a person.
    pub message: String,
}

impl Registry {
    /// Every rule that does not hold for these units or the ones below them.
    pub fn verify<'a>(&'a self, touched: impl IntoIterator<Item = &'a UnitId>) -> Vec<Broken> {
        let mut units: BTreeSet<&UnitId> = BTreeSet::new();
        let mut opened: BTreeSet<&UnitId> = BTreeSet::new();
        let mut open: Vec<&UnitId> = touched.into_iter().collect();
        while let Some(unit) = open.pop() {
            units.insert(unit);
            if !opened.insert(unit) {
                continue;
            }
            for child in self.children_ever(unit) {
                let id = &child.registration.id;
                units.insert(id);
                // A unit whose start is not known hands down the start of what is above it.
                if child.life().is_some_and(|life| life.first_day.is_none()) {
                    open.push(id);
                }
            }
        }
        let mut broken = Vec::new();
        for record in units.into_iter().filter_map(|unit| self.record_of(unit)) {
            let events: Vec<Named<'_>> =
                self.events_of(&record.registration.id).filter(|named| named.event.value.is_effective()).collect();
            broken.extend(check_life(record, &events));
            broken.extend(self.check_events(record, &events));
            broken.extend(self.check_place(record));
        }
        broken
    }

    /// A unit lives when what happens to it happens, and when it comes of it; it ends once; two events of one day do not
    /// say different things of it.
    fn check_events(&self, record: &UnitRecord, events: &[Named<'_>]) -> Vec<Broken> {
        let id = &record.registration.id;
        let broken = |event: &UnitEvent, field, reason, message| Broken {
            unit: id.clone(),
            event: Some(event.id.clone()),
            field,
            reason,
            message,
        };
        let mut found = Vec::new();
        let mut ending: Option<&UnitEvent> = None;
        let mut on_the_day: BTreeMap<Date, Vec<&UnitEvent>> = BTreeMap::new();
        let dated = events.iter().filter(|named| named.event.value.event_type != EventType::Correct);
        for Named { event, role } in dated {
            let event = &event.value;
            let Some(day) = event.day() else { continue };
            if role.is_from {
                let before = day.yesterday().unwrap_or(Date::MIN);
                let lives =
                    self.is_alive_on(id, before) || record.life().is_some_and(|life| life.first_day == Some(day));
                if !lives {
                    let message = format!("{id} does not live on {before}, the day before {}", event.id);
                    found.push(broken(event, "from", Reason::UnitNotAlive, message));
                } else if !event.ends(*role) && record.on(day).is_none() {
                    let message = format!("{id} has ended when {} takes effect on {day}", event.id);
                    found.push(broken(event, "from", Reason::UnitNotAlive, message));
                }
                let others = on_the_day.entry(day).or_default();
                if let Some(other) = others.iter().find(|other| other.difference().contradicts(&event.difference())) {
                    let message = format!("{} says something else of {id} on the same day", other.id);
                    found.push(broken(event, "from", Reason::ConflictingEvents, message));
                }
                others.push(event);
            }
            if role.is_into && !self.is_alive_on(id, day) {
                let message = format!("{id} does not live on {day}, when {} takes effect", event.id);
                found.push(broken(event, "into", Reason::UnitNotAlive, message));
            }
            if event.ends(*role) {
                match ending {
                    None => ending = Some(event),
                    Some(other) => {
                        let message = format!("{id} is ended by {} already; it ends once", other.id);
                        found.push(broken(event, "from", Reason::ConflictingEvents, message));
                    }
                }
            }
        }
        found
    }

    /// On every day of its life a unit but the root stands below a living unit of a higher level.
    fn check_place(&self, record: &UnitRecord) -> Vec<Broken> {
        let id = &record.registration.id;
        let broken = |field, reason, message| Broken { unit: id.clone(), event: None, field, reason, message };
        let mut found = Vec::new();
        for state in record.states() {
            let Some(parent_id) = &state.unit.parent else {
                if self.root() != Some(id) {
                    let message = "only the root has no parent; name one".to_owned();
                    found.push(broken("parent", Reason::SecondRoot, message));
                } else if state.unit.level != Level::Country {
                    let message = format!("{id} is the root, so its level is COUNTRY");
                    found.push(broken("level", Reason::LevelNotBelowParent, message));
                }
                continue;
            };
            if self.root() == Some(id) {
                found.push(broken("parent", Reason::HierarchyCycle, format!("{id} is the root and has no parent")));
                continue;
            }
            let Some(parent) = self.record_of(parent_id) else {
                let message = format!("unit {parent_id} is neither registered nor in this request");
                found.push(broken("parent", Reason::UnknownParent, message));
                continue;
            };
            if let Some(message) = self.gap(record, state, parent) {
                found.push(broken("valid_from", Reason::ParentNotAlive, message));
            }
            let not_above =
                |above: &&UnitState| above.span.overlaps(&state.span) && above.unit.level <= state.unit.level;
            if parent.states().iter().any(|above| not_above(&above)) {
                let (field, reason, message) = if self.stands_above_itself(id, state) {
                    ("parent", Reason::HierarchyCycle, format!("{id} would stand above itself"))
                } else {
                    let message = format!("its level must be below that of its parent {parent_id}");
                    ("level", Reason::LevelNotBelowParent, message)
                };
                found.push(broken(field, reason, message));
            }
        }
        if self.root() == Some(id) && record.life().is_none_or(|life| life.last_day.is_some()) {
            found.push(broken("id", Reason::UnitNotAlive, format!("{id} is the root and does not end")));
        }
        found
    }

    /// What is wrong with the life of a parent in a state of a unit; nothing if it lives all the time. A unit whose start is
    /// not known begins with what is above it.
    fn gap(&self, record: &UnitRecord, state: &UnitState, parent: &UnitRecord) -> Option<String> {
        let (unit, parent_id) = (&record.registration.id, &parent.registration.id);
        let Some(life) = parent.life() else {
            return Some(format!("{parent_id}, above {unit}, does not live on any day"));
        };
        if let Some(first) = state.span.first_day
            && !self.is_alive_on(parent_id, first)
        {
            return Some(format!("{parent_id}, above {unit}, does not live on {first}; move or end one of them"));
        }
        let ends_before = match (life.last_day, state.span.last_day) {
            (None, _) => None,
            (Some(end), None) => Some(end),
            (Some(end), Some(last)) => (end < last).then_some(end),
        };
        let end = ends_before?;
        Some(format!("{parent_id}, above {unit}, ends on {end}; move or end {unit}, too"))
    }

    /// Whether a walk upwards on a day of a state comes back to the unit.
    fn stands_above_itself(&self, unit: &UnitId, state: &UnitState) -> bool {
        let day = state.span.last_day.unwrap_or(Date::MAX);
        let mut above = Some(&*state.unit);
        for _ in 0..=2 * DEPTH_MAX {
            let Some(parent) = above.and_then(|above| above.parent.as_ref()) else { return false };
            if parent == unit {
                return true;
            }
            above = self.record_of(parent).and_then(|parent| parent.on(day));
        }
        false
    }
}

/// A life does not end before it begins.
fn check_life(record: &UnitRecord, events: &[Named<'_>]) -> Option<Broken> {
    let unit = &record.registration;
    if !record.states().is_empty() {
        return None;
    }
    // A unit that events form, and none of them is in effect, is planned.
    let begins = |named: &Named<'_>| {
        let Named { event, role } = named;
        event.value.forms(*role) || role.is_from && event.value.change.valid_from.is_some()
    };
    let is_planned = unit.formed_by_event && !events.iter().any(begins);
    let id = unit.id.clone();
    let message = format!("{id} ends before it begins");
    (!is_planned).then_some(Broken {
        unit: id,
        event: None,
        field: "valid_until",
        reason: Reason::UnitNotAlive,
        message,
    })
}
