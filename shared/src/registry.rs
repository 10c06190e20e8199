//! The fold of units, indicators and terms: who exists on a day, who stands above whom, what can be reported.
//!
//! Copies are cheap: they share everything that did not change, so that a reader keeps its own while the fold goes on.

use std::{borrow::Cow, ops::Bound, sync::Arc};

use jiff::civil::Date;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync, RedBlackTreeSetSync};

use crate::{
    change::Change,
    model::{
        ids::{IndicatorId, UnitId},
        indicator::Indicator,
        log::Revision,
        term::{Term, TermKey},
        text,
        unit::{Level, Organ, Unit},
    },
};

/// Something of the registry and the revision at which it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered<T> {
    /// When it came.
    pub revision: Revision,
    /// What came.
    pub value: T,
}

/// The fold of every change of units, indicators and terms up to a revision.
///
/// Invariants: at most one root; every other unit has a registered parent of a higher level, so there is no cycle; a unit
/// is alive only while its parent is; ids are never reused. Units come after their parents.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    revision: Revision,
    complete_from: Option<Date>,
    root: Option<UnitId>,
    units: RedBlackTreeMapSync<UnitId, Arc<Registered<Unit>>>,
    /// First day on which a unit and everything above it are alive; absent where none of them says when it began.
    alive_from: HashTrieMapSync<UnitId, Date>,
    children: HashTrieMapSync<UnitId, RedBlackTreeSetSync<UnitId>>,
    indicators: RedBlackTreeMapSync<IndicatorId, Arc<Registered<Indicator>>>,
    /// By unit, organ and label as one text, which is their order in lists.
    terms: RedBlackTreeMapSync<String, Arc<Registered<Term>>>,
    /// Units by their folded name, with and without their kind.
    by_name: HashTrieMapSync<String, RedBlackTreeSetSync<UnitId>>,
}

impl Registry {
    /// Takes in one accepted change. Reports are no matter of the registry and leave it as it is.
    pub fn apply(&mut self, revision: Revision, change: &Change) {
        match change {
            Change::UnitRegistered(unit) => self.add_unit(revision, unit.clone()),
            Change::RegisterCompleteFrom(day) => self.complete_from = Some(*day),
            Change::IndicatorDefined(indicator) => {
                let value = Registered { revision, value: indicator.clone() };
                self.indicators.insert_mut(indicator.id.clone(), Arc::new(value));
            }
            Change::TermDefined(term) => {
                self.terms.insert_mut(term.key.to_text(), Arc::new(Registered { revision, value: term.clone() }));
            }
            Change::ReportSubmitted(_) | Change::ReportWithdrawn { .. } | Change::Unchanged => return,
        }
        self.revision = revision;
    }

    fn add_unit(&mut self, revision: Revision, unit: Unit) {
        let mut alive_from = unit.valid_from;
        match &unit.parent {
            Some(parent) => {
                let mut siblings = self.children.get(parent).cloned().unwrap_or_default();
                siblings.insert_mut(unit.id.clone());
                self.children.insert_mut(parent.clone(), siblings);
                alive_from = alive_from.max(self.alive_from.get(parent).copied());
            }
            None => self.root = Some(unit.id.clone()),
        }
        if let Some(day) = alive_from {
            self.alive_from.insert_mut(unit.id.clone(), day);
        }
        for name in names(&unit) {
            let name = text::fold(&name);
            let mut units = self.by_name.get(&name).cloned().unwrap_or_default();
            units.insert_mut(unit.id.clone());
            self.by_name.insert_mut(name, units);
        }
        self.units.insert_mut(unit.id.clone(), Arc::new(Registered { revision, value: unit }));
    }

    /// Revision of its newest change; a check made against an older one has to be made again.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The day from which the register is known to be complete, by its newest statement.
    pub fn complete_from(&self) -> Option<Date> {
        self.complete_from
    }

    /// Whether the register is known to hold every unit of that day.
    pub fn is_complete_on(&self, day: Date) -> bool {
        self.complete_from.is_some_and(|first_day| first_day <= day)
    }

    /// The one unit without a parent.
    pub fn root(&self) -> Option<&UnitId> {
        self.root.as_ref()
    }

    /// The unit with that id.
    pub fn unit(&self, id: &UnitId) -> Option<&Unit> {
        self.units.get(id).map(|unit| &unit.value)
    }

    /// Every unit ever, in the order of the ids, from the first id after `after` on.
    pub fn units_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Registered<Unit>> {
        self.units.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, unit)| &**unit)
    }

    /// Whether the unit, and so everything above it, is alive on that day. An unknown start counts as ever.
    pub fn is_alive_on(&self, unit: &UnitId, day: Date) -> bool {
        self.alive_from.get(unit).is_none_or(|first_day| *first_day <= day)
    }

    /// The unit above it on that day.
    pub fn parent_on(&self, unit: &Unit, _day: Date) -> Option<&Unit> {
        unit.parent.as_ref().and_then(|parent| self.unit(parent))
    }

    /// The unit itself and those above it on that day, upwards.
    pub fn ancestry_on<'a>(&'a self, unit: &'a Unit, day: Date) -> impl Iterator<Item = &'a Unit> {
        std::iter::successors(Some(unit), move |below| self.parent_on(below, day))
    }

    /// The unit itself or the one above it that has that level on that day.
    pub fn at_level_on<'a>(&'a self, unit: &'a Unit, level: Level, day: Date) -> Option<&'a Unit> {
        self.ancestry_on(unit, day).find(|above| above.level == level)
    }

    /// The units directly below it that are alive on that day, in the order of their ids.
    pub fn children_on<'a>(&'a self, unit: &UnitId, day: Date) -> impl Iterator<Item = &'a Unit> {
        let children = self.children.get(unit).map(|ids| ids.iter()).into_iter().flatten();
        children.filter_map(|id| self.unit(id)).filter(move |child| self.is_alive_on(&child.id, day))
    }

    /// The unit itself and everything below it that is alive on that day, each before what is below it.
    pub fn subtree_on<'a>(&'a self, unit: &'a Unit, day: Date) -> impl Iterator<Item = &'a Unit> {
        let mut open = vec![unit];
        std::iter::from_fn(move || {
            let next = open.pop()?;
            open.extend(self.children_on(&next.id, day));
            Some(next)
        })
        .filter(move |unit| self.is_alive_on(&unit.id, day))
    }

    /// The indicator with that id.
    pub fn indicator(&self, id: &IndicatorId) -> Option<&Indicator> {
        self.indicators.get(id).map(|indicator| &indicator.value)
    }

    /// Every indicator, in the order of the ids, from the first id after `after` on.
    pub fn indicators_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Registered<Indicator>> {
        self.indicators.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, indicator)| &**indicator)
    }

    /// The term that identifies itself so, on exactly that unit.
    pub fn term(&self, key: &TermKey) -> Option<&Term> {
        self.terms.get(&key.to_text()).map(|term| &term.value)
    }

    /// Every term in the order of unit, organ and label, from the first one after `after` on.
    pub fn terms_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Registered<Term>> {
        self.terms.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, term)| &**term)
    }

    /// Every unit that is called so, with or without its kind, ignoring case, accents and the place of tones; only those
    /// alive on the day, if there is one. Order: equal with accents, then higher level, then id.
    pub fn find_units(&self, name: &str, on: Option<Date>) -> Vec<&Unit> {
        let ids = self.by_name.get(&text::fold(name));
        let units = ids.into_iter().flat_map(|ids| ids.iter()).filter_map(|id| self.unit(id));
        let mut found: Vec<&Unit> = units.filter(|unit| on.is_none_or(|day| self.is_alive_on(&unit.id, day))).collect();
        let wanted = text::lower(name);
        let differs = |unit: &Unit| names(unit).all(|name| text::lower(&name) != wanted);
        found.sort_by_cached_key(|unit| (differs(unit), std::cmp::Reverse(unit.level), unit.id.clone()));
        found
    }

    /// The term of that organ and label on the unit, else on the nearest unit above it that has one.
    pub fn find_term(&self, unit: &Unit, organ: Organ, label: &str) -> Option<&Term> {
        let mut here = Some(unit);
        while let Some(unit) = here {
            let key = TermKey { unit: unit.id.clone(), organ, label: label.to_owned() };
            if let Some(term) = self.term(&key) {
                return Some(term);
            }
            here = unit.parent.as_ref().and_then(|parent| self.unit(parent));
        }
        None
    }
}

/// What a unit is called: its name, with and without its kind.
fn names(unit: &Unit) -> impl Iterator<Item = Cow<'_, str>> {
    let (name, kind) = (unit.name.as_str(), unit.kind.as_str());
    let begins_with_kind = name.split_at_checked(kind.len()).filter(|(start, rest)| {
        !kind.is_empty() && text::lower(start) == text::lower(kind) && rest.starts_with(char::is_whitespace)
    });
    let other = match begins_with_kind {
        Some((_, rest)) => Some(Cow::Borrowed(rest.trim_start())),
        None if kind.is_empty() => None,
        None => Some(Cow::Owned(format!("{kind} {name}"))),
    };
    std::iter::once(Cow::Borrowed(name)).chain(other)
}
