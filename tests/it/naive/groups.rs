//! Who is counted, and in which row.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{
    Unit, UnitFilter, UnitSelector,
    indicator::ValueKind,
    observation::{Scope, Value},
    unit::Level,
    unit_filter::{self, Condition},
};

use super::{
    Living, Question, World, above,
    amount::Amount,
    cell::{Ask, State},
    number::{End, Interval, Number},
    question::Slot,
};

/// The order of rows: by id or value, then "unassignable", then "none".
pub type Key = (u8, String);

/// The units of one row.
pub struct Group<'a> {
    pub key: Key,
    pub certain: Vec<&'a Unit>,
    /// Of these it is not known whether they belong to it.
    pub undetermined: Vec<&'a Unit>,
}

fn is_selected(living: &Living, unit: &Unit, selector: &UnitSelector) -> bool {
    if selector.ids.is_empty() {
        above(living, &unit.id).iter().any(|above| above.id == selector.under)
            && (selector.level == 0 || unit.level == selector.level)
    } else {
        selector.ids.contains(&unit.id)
    }
}

impl World {
    /// Every row, in order.
    pub fn groups<'a>(&self, question: &Question, slot: &Slot, living: &'a Living) -> Vec<Group<'a>> {
        let map = self.living(question.map_day(slot));
        let mut groups: BTreeMap<Key, (Vec<&Unit>, Vec<&Unit>)> = BTreeMap::new();
        let single = question.single();
        if question.group_by.is_empty() {
            groups.insert(single.clone(), Default::default());
        }
        for unit in living.values().filter(|unit| is_selected(living, unit, &question.units)) {
            let holds: Vec<Option<bool>> =
                question.filters.iter().map(|filter| self.holds(question, slot, living, unit, filter)).collect();
            if holds.contains(&Some(false)) {
                continue;
            }
            let key = if question.group_by.is_empty() {
                single.clone()
            } else if question.group_by == "UNIT" {
                (0, unit.id.clone())
            } else {
                let there = self.on_the_map(&unit.id, &slot.day, question.map_day(slot));
                let there = there.iter().filter_map(|id| map.get(id));
                let places: BTreeSet<Key> = there.map(|unit| place(&question.group_by, &map, unit)).collect();
                match places.into_iter().collect::<Vec<_>>().as_slice() {
                    [place] => place.clone(),
                    _ => (1, "unassignable".to_owned()),
                }
            };
            let (certain, undetermined) = groups.entry(key).or_default();
            if holds.contains(&None) { undetermined.push(unit) } else { certain.push(unit) }
        }
        let groups = groups.into_iter();
        groups.map(|(key, (certain, undetermined))| Group { key, certain, undetermined }).collect()
    }

    /// Whether a condition holds; none: it is not known.
    fn holds(
        &self,
        question: &Question,
        slot: &Slot,
        living: &Living,
        unit: &Unit,
        filter: &UnitFilter,
    ) -> Option<bool> {
        match filter.condition.as_ref().unwrap() {
            Condition::Attribute(attribute) => {
                unit.attributes.get(&attribute.key).map(|value| attribute.values.contains(value))
            }
            Condition::Kind(kind) => Some(unit.kind == *kind),
            Condition::Value(value) => {
                let ask = Ask {
                    indicator: &value.indicator,
                    by: BTreeMap::new(),
                    scope: Scope::Own,
                    slot,
                    question,
                    is_last: false,
                };
                let cell = self.cell(&ask, &unit.id);
                match self.state(&ask, living, unit, &cell) {
                    State::NotApplicable => return Some(false),
                    State::Reported => {}
                    State::NotReported | State::Withheld => return None,
                }
                match cell.counts[0].value() {
                    Value::Flag(flag) => Some(value.flag == Some(*flag)),
                    Value::Category(code) => Some(value.codes.contains(code)),
                    _ => is_within(value, &Amount::of(&cell)?),
                }
            }
        }
    }

    /// Whether what is counted may be of rows where one unit stands above another.
    pub fn overlaps(living: &Living, groups: &[&Group<'_>]) -> bool {
        let counted = || groups.iter().flat_map(|group| group.certain.iter().chain(&group.undetermined));
        counted().any(|unit| above(living, &unit.id).iter().skip(1).any(|above| counted().any(|c| c.id == above.id)))
    }

    /// Which filters the rules allow.
    pub fn allows_filters(&self, question: &Question, is_of_days: bool) -> bool {
        question.filters.iter().all(|filter| match filter.condition.as_ref().unwrap() {
            Condition::Value(value) => {
                let indicator = self.indicator(&value.indicator);
                let fits = match indicator.value_kind() {
                    ValueKind::Flag => value.flag.is_some(),
                    ValueKind::Category => !value.codes.is_empty(),
                    ValueKind::Direction | ValueKind::Change => false,
                    _ => value.flag.is_none() && value.codes.is_empty(),
                };
                fits && (is_of_days || !self.is_flow(&value.indicator))
            }
            _ => true,
        })
    }
}

impl Question {
    /// The key of the one row of a question without groups.
    pub fn single(&self) -> Key {
        let UnitSelector { under, ids, .. } = &self.units;
        (0, if ids.len() == 1 { ids[0].clone() } else { under.clone() })
    }

    /// Whether rows are of values, and not of units.
    pub fn is_by_value(&self) -> bool {
        let is_level = Level::from_str_name(&self.group_by).is_some_and(|level| level != Level::Unspecified);
        !self.group_by.is_empty() && self.group_by != "UNIT" && !is_level
    }
}

/// In which row a unit of the map is.
fn place(group_by: &str, map: &Living, unit: &Unit) -> Key {
    let found = match (group_by, Level::from_str_name(group_by)) {
        ("KIND", _) => Some(unit.kind.clone()).filter(|kind| !kind.is_empty()),
        (_, Some(level)) => {
            above(map, &unit.id).into_iter().find(|above| above.level() == level).map(|above| above.id.clone())
        }
        (key, None) => unit.attributes.get(key).cloned(),
    };
    found.map_or((2, "none".to_owned()), |found| (0, found))
}

/// Whether a number fulfils the comparisons; none: it may.
fn is_within(condition: &unit_filter::Value, amount: &Amount) -> Option<bool> {
    if amount.currencies.len() > 1 {
        return None;
    }
    let bounds =
        if amount.whole == Number::ZERO { amount.bounds } else { amount.bounds.map(|number| number / amount.whole) };
    let unit_filter::Value { more_than, at_least, less_than, at_most, .. } = condition;
    let end = |text: &str, open: bool| (!text.is_empty()).then(|| End { at: Number::read(text), open });
    let asked = [
        Interval { lower: end(more_than, true), upper: None },
        Interval { lower: end(at_least, false), upper: None },
        Interval { lower: None, upper: end(less_than, true) },
        Interval { lower: None, upper: end(at_most, false) },
    ];
    // What fulfils all comparisons lies in their intersection.
    let lower = asked.iter().filter_map(|one| one.lower).max_by_key(|end| (end.at, end.open));
    let upper = asked.iter().filter_map(|one| one.upper).min_by_key(|end| (end.at, !end.open));
    let asked = Interval { lower, upper };
    match (bounds.is_within(asked), bounds.is_apart_from(asked)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}
