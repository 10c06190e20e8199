//! Rows over time.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{
    Figure, Series, Share,
    indicator::ValueKind,
    series::{Break, Point, r#break::Cause, point},
};

use super::{
    Answer, Question, Refused, World,
    groups::{Group, Key},
    question::Slot,
    row::count,
};

/// A row of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Share(Share),
    Figure(Figure),
}

impl Outcome {
    pub fn number(&self) -> Option<&String> {
        match self {
            Self::Share(share) => share.share.as_ref(),
            Self::Figure(figure) => figure.value.as_ref(),
        }
    }

    pub fn coverage(&self) -> Option<&String> {
        match self {
            Self::Share(share) => share.coverage.as_ref(),
            Self::Figure(figure) => figure.coverage.as_ref(),
        }
    }
}

/// A row with its units.
pub struct Computed {
    pub key: Key,
    pub names: (String, String, String),
    pub outcome: Outcome,
    pub certain: BTreeSet<String>,
    /// With those of which it is not known whether they belong to it.
    pub units: BTreeSet<String>,
}

impl World {
    /// The rows of one time, of a flag or of a number, of these groups.
    pub fn computed(&self, question: &Question, slot: &Slot, groups: Vec<Group<'_>>) -> Vec<Computed> {
        let living = self.living(&slot.day);
        let is_flag = self.kind(&question.indicator) == ValueKind::Flag;
        let asks = question.asks(slot, self.measure(question));
        let compute = |group: Group<'_>| {
            let ids = |units: &[&proto::v1::Unit]| units.iter().map(|unit| unit.id.clone()).collect::<BTreeSet<_>>();
            let (certain, maybe) = (ids(&group.certain), ids(&group.undetermined));
            let row = self.row(question, slot, &living, group, &|unit| self.fact(&asks, &living, unit));
            Computed {
                key: row.key.clone(),
                names: (row.unit.clone(), row.name.clone(), row.attribute_value.clone()),
                outcome: if is_flag {
                    Outcome::Share(self.share_row(question, slot, &living, &row))
                } else {
                    Outcome::Figure(self.figure_row(question, slot, &living, &row))
                },
                units: certain.union(&maybe).cloned().collect(),
                certain,
            }
        };
        groups.into_iter().map(compute).collect()
    }

    pub fn series(&self, question: &Question) -> Result<Answer<Series>, Refused> {
        let slots = self.check_units(question)?;
        let living: Vec<_> = slots.iter().map(|slot| self.living(&slot.day)).collect();
        let groups = || slots.iter().zip(&living).map(|(slot, living)| self.groups(question, slot, living));
        let keys: BTreeSet<Key> = groups().flatten().map(|group| group.key).collect();
        let mut series: BTreeMap<Key, Series> = BTreeMap::new();
        let mut before: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
        let mut padded: BTreeSet<(Key, usize)> = BTreeSet::new();
        for (place, (slot, mut groups)) in slots.iter().zip(groups()).enumerate() {
            for key in &keys {
                if groups.iter().all(|group| group.key != *key) {
                    padded.insert((key.clone(), place));
                    groups.push(Group { key: key.clone(), certain: Vec::new(), undetermined: Vec::new() });
                }
            }
            let version = |slot: &Slot| self.definition(&question.indicator, &slot.day).version;
            for Computed { key, names: (unit, name, attribute_value), outcome, certain, units } in
                self.computed(question, slot, groups)
            {
                let one = series.entry(key.clone()).or_default();
                (one.unit, one.attribute_value) = (unit, attribute_value);
                if !units.is_empty() || one.name.is_empty() {
                    one.name = name;
                }
                let mut breaks = |cause: Cause, gone: Option<i32>, new: Option<i32>| {
                    let period = slot.period.clone();
                    one.breaks.push(Break { period, cause: cause.into(), units_gone: gone, units_new: new });
                };
                let then = before.insert(key, certain.clone()).filter(|then| *then != certain);
                if let Some(then) = then {
                    let (gone, new) = (then.difference(&certain).count(), certain.difference(&then).count());
                    breaks(Cause::UnitsChanged, Some(count(gone)), Some(count(new)));
                }
                if place > 0 && version(slot) != version(&slots[place - 1]) {
                    breaks(Cause::DefinitionChanged, None, None);
                }
                let result = match outcome {
                    Outcome::Share(share) => point::Result::Share(share),
                    Outcome::Figure(figure) => point::Result::Figure(figure),
                };
                one.points.push(Point { period: slot.period.clone(), on: slot.day.clone(), result: Some(result) });
            }
        }
        // Where there is nothing, it is called as in the last period in which there is something.
        for (key, place) in &padded {
            let series = series.get_mut(key).unwrap();
            let name = series.name.clone();
            match series.points[*place].result.as_mut().unwrap() {
                point::Result::Share(share) => share.name = name,
                point::Result::Figure(figure) => figure.name = name,
            }
        }
        let is_enough = |series: &Series| {
            series.points.iter().any(|point| {
                question.is_enough(match point.result.as_ref().unwrap() {
                    point::Result::Share(share) => share.coverage.as_ref(),
                    point::Result::Figure(figure) => figure.coverage.as_ref(),
                })
            })
        };
        Ok(Self::covered(question, series.into_values().collect(), is_enough))
    }
}
