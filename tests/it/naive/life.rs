//! The lives of units and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use proto::v1::{
    Indicator, Unit, UnitEvent,
    unit_event::{Status, Type},
};

use super::World;

/// A unit as its registration and the events in effect tell it.
struct Life {
    /// Its registration as it was corrected.
    unit: Unit,
    /// It waits for an event that forms it.
    is_planned: bool,
    /// The first day on which something has ended it; empty: nothing has.
    gone_on: String,
    /// What changed in its life, in the order of the days.
    changes: Vec<(String, UnitEvent)>,
}

impl Life {
    fn contains(&self, day: &str) -> bool {
        let Unit { valid_from, valid_until, .. } = &self.unit;
        !self.is_planned
            && valid_from.as_str() <= day
            && (valid_until.is_empty() || day <= valid_until.as_str())
            && (self.gone_on.is_empty() || day < self.gone_on.as_str())
    }

    /// The unit after everything that happened to it up to a day.
    fn until(&self, day: &str) -> Unit {
        let mut unit = self.unit.clone();
        for (_, event) in self.changes.iter().filter(|(on, _)| on.as_str() <= day && self.contains(on)) {
            if event.r#type() == Type::Transfer {
                unit.parent.clone_from(&event.into[0]);
            } else {
                change(&mut unit, event);
            }
        }
        unit
    }
}

/// What an event says becomes different; what it leaves out stays.
fn change(unit: &mut Unit, event: &UnitEvent) {
    let change = event.change.clone().unwrap();
    let texts = [(&mut unit.name, change.name), (&mut unit.kind, change.kind), (&mut unit.parent, change.parent)];
    for (field, text) in texts.into_iter().chain([(&mut unit.valid_until, change.valid_until)]) {
        if !text.is_empty() {
            *field = text;
        }
    }
    if change.level != 0 {
        unit.level = change.level;
    }
    for (key, value) in change.attributes {
        if value.is_empty() {
            unit.attributes.remove(&key);
        } else {
            unit.attributes.insert(key, value);
        }
    }
}

/// The day from which an event counts: the last one of a period.
fn last_day(effective_on: &str) -> String {
    match effective_on.strip_prefix("../") {
        Some(day) => day.to_owned(),
        None if effective_on.len() == 4 => format!("{effective_on}-12-31"),
        None => effective_on.to_owned(),
    }
}

/// The units that live on a day, as they were then.
pub type Living = BTreeMap<String, Unit>;

/// The unit and those above it, upwards; nothing if it does not live.
pub fn above<'a>(living: &'a Living, id: &str) -> Vec<&'a Unit> {
    std::iter::successors(living.get(id), |unit| living.get(&unit.parent)).collect()
}

impl World {
    /// Whether something that happened to a unit, or a correction, gave it that attribute.
    pub fn was_given(&self, key: &str) -> bool {
        let lives = self.units.values().map(|unit| self.life(unit));
        let mut units = lives.flat_map(|life| {
            let after = life.changes.iter().filter(|(on, _)| life.contains(on)).map(|(on, _)| life.until(on));
            after.chain([life.unit.clone()]).collect::<Vec<Unit>>()
        });
        units.any(|unit| unit.attributes.contains_key(key))
    }

    /// The units that live on a day: they and everything above them have begun, as far as that is known, and not ended.
    pub fn living(&self, day: &str) -> Living {
        let own = self.living_alone(day);
        let stands = |unit: &Unit| above(&own, &unit.id).last().is_some_and(|top| top.parent.is_empty());
        own.values().filter(|unit| stands(unit)).map(|unit| (unit.id.clone(), unit.clone())).collect()
    }

    /// The same without a look at what is above them.
    fn living_alone(&self, day: &str) -> Living {
        let lives = self.units.values().map(|unit| self.life(unit)).filter(|life| life.contains(day));
        lives.map(|life| (life.unit.id.clone(), life.until(day))).collect()
    }

    fn life(&self, unit: &Unit) -> Life {
        let is_effective = |event: &&UnitEvent| matches!(event.status(), Status::Unspecified | Status::Effective);
        let mut life = Life { unit: unit.clone(), is_planned: false, gone_on: String::new(), changes: Vec::new() };
        let mut formed_on: Vec<String> = Vec::new();
        let mut gone_on: Vec<String> = Vec::new();
        for event in self.events.iter().filter(is_effective) {
            let (is_from, is_into) = (event.from.contains(&unit.id), event.into.contains(&unit.id));
            let day = last_day(&event.effective_on);
            match event.r#type() {
                Type::Merge | Type::Split if is_into && !is_from => formed_on.push(day),
                Type::Merge | Type::Split | Type::Dissolve if is_from && !is_into => gone_on.push(day),
                Type::Transfer | Type::Rename | Type::ChangeLevel if is_from => life.changes.push((day, event.clone())),
                Type::Correct if is_from => change(&mut life.unit, event),
                _ => {}
            }
        }
        life.changes.sort_by_key(|(day, _)| day.clone());
        life.gone_on = gone_on.into_iter().min().unwrap_or_default();
        if unit.formed_by_event {
            life.is_planned = formed_on.is_empty();
            life.unit.valid_from = formed_on.into_iter().min().unwrap_or_default();
        }
        life
    }

    /// What a unit is called on a day; last, if it does not live then.
    pub(super) fn name(&self, living: &Living, id: &str) -> String {
        let last = || self.units.get(id).map(|unit| self.life(unit).until("9999-12-31"));
        living.get(id).cloned().or_else(last).map(|unit| unit.name).unwrap_or_default()
    }

    /// The unit, and what it has become by the later day, or had been on the earlier one.
    pub(super) fn on_the_map(&self, unit: &str, day: &str, map_day: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if map_day >= day {
            self.became(unit, day, map_day, &mut found);
        } else {
            self.came_from(unit, day, map_day, &mut found);
        }
        found
    }

    /// Mergers and divisions in effect, with their days.
    fn successions(&self) -> impl Iterator<Item = (String, &UnitEvent)> {
        let events =
            self.events.iter().filter(|event| matches!(event.status(), Status::Unspecified | Status::Effective));
        let events = events.filter(|event| matches!(event.r#type(), Type::Merge | Type::Split));
        events.map(|event| (last_day(&event.effective_on), event))
    }

    fn became(&self, unit: &str, after: &str, until: &str, found: &mut BTreeSet<String>) {
        found.insert(unit.to_owned());
        let events = self.successions().filter(|(_, event)| event.from.iter().any(|from| from == unit));
        let events: Vec<(String, &UnitEvent)> =
            events.filter(|(day, _)| after < day.as_str() && day.as_str() <= until).collect();
        for (day, event) in &events {
            event.into.iter().for_each(|into| self.became(into, day, until, found));
        }
        // Nobody took it over: it is what stood below it when it ended.
        let Some(registered) = self.units.get(unit).filter(|_| events.is_empty()) else { return };
        let life = self.life(registered);
        let next = |day: &str| day.parse::<Date>().unwrap().tomorrow().unwrap().to_string();
        let mut ends: Vec<String> = vec![life.gone_on.clone(), life.unit.valid_until.clone()];
        ends[1] = if ends[1].is_empty() { String::new() } else { next(&ends[1]) };
        ends.retain(|end| !end.is_empty());
        let Some(ended_on) = ends.into_iter().min().filter(|_| !life.is_planned) else { return };
        if after < ended_on.as_str() && ended_on.as_str() <= until && life.unit.valid_from < ended_on {
            let last_day = ended_on.parse::<Date>().unwrap().yesterday().unwrap().to_string();
            for (id, other) in self.living_alone(&last_day) {
                if other.parent == unit {
                    self.became(&id, &last_day, until, found);
                }
            }
        }
    }

    fn came_from(&self, unit: &str, until: &str, map_day: &str, found: &mut BTreeSet<String>) {
        found.insert(unit.to_owned());
        for (day, event) in self.successions().filter(|(_, event)| event.into.iter().any(|into| into == unit)) {
            if map_day < day.as_str() && day.as_str() <= until {
                let before = day.parse::<Date>().unwrap().yesterday().unwrap().to_string();
                event.from.iter().for_each(|from| self.came_from(from, &before, map_day, found));
            }
        }
    }
}

/// Whether by its definition the question arises for a unit on a day.
pub(super) fn arises(indicator: &Indicator, living: &Living, unit: &Unit, day: &str) -> bool {
    let is_excepted = indicator.not_applicable.iter().any(|exception| {
        exception.start_on.as_str() <= day
            && (exception.end_on.is_empty() || day <= exception.end_on.as_str())
            && (exception.level == 0 || exception.level == unit.level)
            && (exception.kind.is_empty() || exception.kind == unit.kind)
            && above(living, &unit.id).iter().any(|above| above.id == exception.under)
    });
    (indicator.levels.is_empty() || indicator.levels.contains(&unit.level)) && !is_excepted
}
