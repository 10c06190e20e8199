//! The same twice, and where the difference comes from.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::{BigDecimal, Zero};
use shared::model::{
    fault::Fault,
    ids::UnitId,
    indicator::ValueKind,
    query::{CompareQuery, CompareRow, FigureQuery, Measure, Outcome, RowUnit, Transitions, quotient, six_digits},
};

use super::{
    Rows, figure, outcome,
    plan::{self, Frame},
    select::{Group, Member, RowKey},
    share,
};
use crate::index::Known;

/// One side: its groups, and what computes over them.
struct Side<'a> {
    frame: Frame<'a>,
    query: &'a FigureQuery,
    groups: BTreeMap<RowKey, Group<'a>>,
    version: u32,
}

impl<'a> Side<'a> {
    fn of(known: &'a Known<'a>, query: &'a FigureQuery, slot: &'a shared::model::query::Slot) -> Result<Self, Fault> {
        let frame = plan::frame(known, &query.plan, slot);
        let groups = plan::groups(&frame, &query.plan)?;
        let version = frame.definition("indicator", &query.indicator)?.version;
        // Without groups there is one row, whichever units each side has.
        let key = |group: &Group<'_>| match query.plan.group_by {
            Some(_) => group.key(),
            None => RowKey::of(&RowUnit::Several),
        };
        let groups = groups.into_iter().map(|group| (key(&group), group)).collect();
        Ok(Self { frame, query, groups, version })
    }

    fn units(&self, key: &RowKey) -> BTreeSet<&'a UnitId> {
        self.groups.get(key).into_iter().flat_map(Group::members).map(|member| &member.unit.id).collect()
    }

    /// A group with some of its units only.
    fn part(&self, key: &RowKey, units: &BTreeSet<&UnitId>) -> Option<Group<'a>> {
        let group = self.groups.get(key)?;
        let members = group.members().iter().filter(|member| units.contains(&member.unit.id)).copied().collect();
        Some(Group::listed(group.row.clone(), members))
    }

    /// The exact number of some units of a group; of no units nothing adds up to 0.
    fn number(&self, group: Option<Group<'a>>) -> Result<Option<BigDecimal>, Fault> {
        let Some(group) = group else { return Ok(None) };
        let Some(outcome) = outcome::of_part(&self.frame, self.query, &group)? else { return Ok(None) };
        let adds = match &outcome {
            Outcome::Share(_) => false,
            Outcome::Figure(row) => row.reported == 0 && self.is_sum()?,
        };
        Ok(if adds { Some(BigDecimal::zero()) } else { outcome.exact() })
    }

    fn is_sum(&self) -> Result<bool, Fault> {
        let computation = figure::computation(&self.frame, self.query)?;
        Ok(matches!(computation.measure, Measure::Sum | Measure::Last | Measure::Count))
    }

    /// The units of a group that say something that counts.
    fn reporting(&self, key: &RowKey) -> Result<BTreeMap<&'a UnitId, Answer>, Fault> {
        let Some(group) = self.groups.get(key) else { return Ok(BTreeMap::new()) };
        let indicator = self.frame.definition("indicator", &self.query.indicator)?;
        let mut found = BTreeMap::new();
        if indicator.value_kind == ValueKind::Flag {
            let ask = share::ask(&self.frame, indicator);
            for Member { unit, is_certain } in group.members().iter().copied() {
                let flag = share::flag_of(&ask.read(self.frame.known, unit));
                found.extend(flag.map(|flag| (&unit.id, Answer { is_certain, flag: Some(flag) })));
            }
        } else {
            let computation = figure::computation(&self.frame, self.query)?;
            let ask = computation.ask(&self.frame);
            for Member { unit, is_certain } in group.members().iter().copied() {
                let (sample, _) = computation.sample(&self.frame, &ask, unit, is_certain);
                found.extend(sample.number.map(|_| (&unit.id, Answer { is_certain, flag: None })));
            }
        }
        Ok(found)
    }
}

/// That a unit says something that counts.
#[derive(Clone, Copy)]
struct Answer {
    /// The unit belongs to its group for certain.
    is_certain: bool,
    /// Of a flag: what it says.
    flag: Option<bool>,
}

/// One row for each group that either side has.
///
/// # Errors
/// As for a share or a figure.
pub fn rows(known_a: &Known<'_>, known_b: &Known<'_>, query: &CompareQuery) -> Result<Rows<CompareRow>, Fault> {
    let (slots_a, slots_b) = (
        plan::slots(known_a.registry(), &query.a.figure.plan).map_err(|fault| query.a.name(fault))?,
        plan::slots(known_b.registry(), &query.b.figure.plan).map_err(|fault| query.b.name(fault))?,
    );
    let (Some(slot_a), Some(slot_b)) = (slots_a.first(), slots_b.first()) else { return Ok(Rows::default()) };
    let a = Side::of(known_a, &query.a.figure, slot_a).map_err(|fault| query.a.name(fault))?;
    let b = Side::of(known_b, &query.b.figure, slot_b).map_err(|fault| query.b.name(fault))?;
    let is_quotient = outcome::is_quotient(&b.frame, b.query)?;
    let keys: BTreeSet<&RowKey> = a.groups.keys().chain(b.groups.keys()).collect();
    let mut rows = Vec::with_capacity(keys.len());
    let panel_of = |key: &RowKey| -> BTreeSet<&UnitId> {
        let of_b = b.units(key);
        a.units(key).into_iter().filter(|unit| of_b.contains(*unit)).collect()
    };
    let outcomes_of = |side: &Side<'_>| -> Result<BTreeMap<RowKey, Outcome>, Fault> {
        let groups: Vec<(RowKey, Group<'_>)> = side
            .groups
            .iter()
            .filter_map(|(key, group)| {
                let units = if query.constant_panel {
                    panel_of(key)
                } else {
                    group.members().iter().map(|m| &m.unit.id).collect()
                };
                Some((key.clone(), side.part(key, &units)?))
            })
            .collect();
        let (keys, groups): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let outcomes = outcome::of_groups(&side.frame, side.query, &groups)?;
        Ok(keys.into_iter().zip(outcomes).collect())
    };
    let (mut outcomes_a, mut outcomes_b) = (outcomes_of(&a)?, outcomes_of(&b)?);
    for key in keys {
        let panel = panel_of(key);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (only_a, only_b) = (a.units(key).len() - panel.len(), b.units(key).len() - panel.len());
        let (row_a, row_b) = (outcomes_a.remove(key), outcomes_b.remove(key));
        let tidy = |number: BigDecimal| if is_quotient { six_digits(&number) } else { number.normalized() };
        let currency = |row: &Option<Outcome>| row.as_ref().and_then(|row| row.currency().cloned());
        let one_currency = !matches!((currency(&row_a), currency(&row_b)), (Some(a), Some(b)) if a != b);
        let exact = |row: &Option<Outcome>| row.as_ref().and_then(Outcome::exact).filter(|_| one_currency);
        let number_a = exact(&row_a);
        let difference = number_a.as_ref().zip(exact(&row_b)).map(|(a, b)| tidy(b - a));
        let bounds = match (&row_a, &row_b) {
            (Some(a), Some(b)) if one_currency => b.bounds().minus(&a.bounds()).map(tidy),
            _ => Default::default(),
        };
        let relative = difference.as_ref().zip(number_a.as_ref()).filter(|(_, a)| **a > BigDecimal::zero());
        let relative = relative.and_then(|(difference, a)| quotient(difference, a));
        let (said_a, said_b) = (a.reporting(key)?, b.reporting(key)?);
        let said = |side: &Answers<'_>, unit: &UnitId| side.get(unit).is_some_and(|answer| answer.is_certain);
        let both: BTreeSet<&UnitId> =
            panel.iter().copied().filter(|unit| said(&said_a, unit) && said(&said_b, unit)).collect();
        let change = |units: &BTreeSet<&UnitId>| -> Result<Option<BigDecimal>, Fault> {
            let (a, b) = (a.number(a.part(key, units))?, b.number(b.part(key, units))?);
            Ok(a.zip(b).map(|(a, b)| tidy(b - a)))
        };
        let parts = match &difference {
            Some(difference) => change(&both)?.zip(change(&panel)?).map(|(behaviour, of_panel)| {
                (behaviour.clone(), tidy(&of_panel - &behaviour), tidy(difference - &of_panel))
            }),
            None => None,
        };
        let (behaviour, rest) = parts.map(|(behaviour, reporting, moved)| (behaviour, (reporting, moved))).unzip();
        let (reporting, reorganisation) = rest.unzip();
        let is_flag = outcome::is_flag(&b.frame, b.query)?;
        let unit: RowUnit = match (b.groups.get(key), a.groups.get(key)) {
            (Some(b), Some(a)) if b.key() != a.key() => RowUnit::Several,
            (Some(group), _) | (None, Some(group)) => group.row.clone(),
            (None, None) => RowUnit::None,
        };
        let row = CompareRow {
            unit,
            a: row_a,
            b: row_b,
            difference,
            bounds,
            relative,
            panel_units: count(panel.len()),
            only_a: count(only_a),
            only_b: count(only_b),
            behaviour,
            reporting,
            reorganisation,
            transitions: is_flag.then(|| transitions(&panel, &said_a, &said_b)),
            definition_changed: a.version != b.version,
        };
        rows.push((key.token(), row));
    }
    for (side, known) in [(&query.a, known_a), (&query.b, known_b)] {
        plan::check_group(known.registry(), side.figure.plan.group_by.as_ref())?;
    }
    let least = query.b.figure.plan.coverage_min.clone();
    Ok(Rows::covered(rows, least, |row| {
        let coverage = |side: &Option<Outcome>| side.as_ref().and_then(Outcome::coverage);
        coverage(&row.a).zip(coverage(&row.b)).map(|(a, b)| a.min(b))
    }))
}

type Answers<'a> = BTreeMap<&'a UnitId, Answer>;

fn transitions(panel: &BTreeSet<&UnitId>, a: &Answers<'_>, b: &Answers<'_>) -> Transitions {
    let mut moved = Transitions::default();
    for unit in panel {
        let flag = |side: &Answers<'_>| side.get(*unit).and_then(|answer| answer.flag);
        match (flag(a), flag(b)) {
            (Some(true), Some(true)) => moved.stayed_yes += 1,
            (Some(true), Some(false)) => moved.stopped.push((*unit).clone()),
            (Some(false), Some(true)) => moved.started.push((*unit).clone()),
            (Some(false), Some(false)) => moved.stayed_no += 1,
            _ => moved.unknown += 1,
        }
    }
    moved
}
