//! The fold of units and what happens to them, of indicators, terms and forms: who exists on a day, who stands above whom,
//! what can be reported and what is owed.
//!
//! Copies are cheap: they share everything that did not change, so that a reader keeps its own while the fold goes on.
//!
//! A unit is looked up either on a day or as it is now, which is as it was last if it has ended. A unit that carries a
//! life of its own is alive while everything above it is, too; the checks of changes see to it that the two never differ
//! by more than an unknown start.

mod sight;
mod succession;
mod unit;
mod verify;
mod versions;

use std::{borrow::Cow, collections::BTreeSet, ops::Bound, sync::Arc};

use jiff::civil::Date;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync, RedBlackTreeSetSync};

pub use self::{
    sight::{Sight, is_shown},
    succession::{Extent, Path, Relative, Step},
    unit::{UnitRecord, UnitState},
    verify::Broken,
    versions::{Registries, Versions},
};
use crate::{
    change::Change,
    model::{
        command::UnitQuery,
        event::{Role, UnitEvent},
        fault::{Fault, Reason},
        form::{Form, Waiver},
        ids::{EventId, FormId, IndicatorId, UnitId},
        indicator::Indicator,
        log::Revision,
        period::Span,
        term::{Term, TermKey},
        text,
        unit::{Level, Organ, Unit},
    },
};

/// Units that can stand above one another: as many as there are levels. No walk upwards is longer.
const DEPTH_MAX: usize = 6;

/// Something of the registry and the revision at which it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered<T> {
    /// When it came.
    pub revision: Revision,
    /// What came.
    pub value: T,
}

/// An event of units in its newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// When its first version came.
    pub first_revision: Revision,
    /// When this version came.
    pub revision: Revision,
    /// What happens.
    pub value: UnitEvent,
}

/// An event and what a unit is in it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The event.
    pub event: &'a RecordedEvent,
    /// What the unit is in it.
    pub role: Role,
}

/// The fold of every change of units, indicators, terms and forms up to a revision.
///
/// Invariants, once every change was checked: one root; on every day every other unit that lives stands below a living unit
/// of a higher level, so there is no cycle; ids are never reused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    revision: Revision,
    complete_from: Option<Date>,
    root: Option<UnitId>,
    units: RedBlackTreeMapSync<UnitId, Arc<UnitRecord>>,
    /// Units above those of a register that is restricted: climbed through, and not found.
    above: HashTrieMapSync<UnitId, Arc<UnitRecord>>,
    /// Every unit that stands directly below it on any day, or was registered so.
    children: HashTrieMapSync<UnitId, RedBlackTreeSetSync<UnitId>>,
    events: RedBlackTreeMapSync<EventId, Arc<RecordedEvent>>,
    /// Events that name a unit, and what it is in them.
    events_of: HashTrieMapSync<UnitId, RedBlackTreeMapSync<EventId, Role>>,
    /// Units of which events have come and whose life is not told anew yet; empty at the end of a change.
    untold: RedBlackTreeSetSync<UnitId>,
    indicators: RedBlackTreeMapSync<IndicatorId, Versions<Indicator>>,
    /// By unit, organ and label as one text, which is their order in lists.
    terms: RedBlackTreeMapSync<String, Arc<Registered<Term>>>,
    forms: RedBlackTreeMapSync<FormId, Versions<Form>>,
    /// By form, unit and days.
    waivers: HashTrieMapSync<(FormId, UnitId, Span), Arc<Registered<Waiver>>>,
    /// Units by every folded name that they ever had, with and without their kind.
    by_name: HashTrieMapSync<String, RedBlackTreeSetSync<UnitId>>,
}

impl Registry {
    /// Takes in one accepted change. Reports are no matter of the registry and leave it as it is.
    pub fn apply(&mut self, revision: Revision, change: &Change) {
        self.apply_part(revision, change);
        self.settle();
    }

    /// Takes in a part of a change. What events do to units shows after [`Registry::settle`], so that each unit is told anew
    /// once, however many events of the change name it.
    pub fn apply_part(&mut self, revision: Revision, change: &Change) {
        match change {
            Change::UnitRegistered(unit) => {
                if unit.parent.is_none() {
                    self.root = Some(unit.id.clone());
                }
                self.put_unit(revision, Arc::new(unit.clone()));
            }
            Change::UnitEventRecorded(event) => self.record(revision, event),
            Change::RegisterCompleteFrom(day) => self.complete_from = Some(*day),
            Change::IndicatorDefined(indicator) => {
                let versions = self.indicators.get(&indicator.id).cloned().unwrap_or_default();
                self.indicators.insert_mut(indicator.id.clone(), versions.with(revision, indicator.clone()));
            }
            Change::TermDefined(term) => {
                self.terms.insert_mut(term.key.to_text(), Arc::new(Registered { revision, value: term.clone() }));
            }
            Change::FormDefined(form) => {
                let versions = self.forms.get(&form.id).cloned().unwrap_or_default();
                self.forms.insert_mut(form.id.clone(), versions.with(revision, form.clone()));
            }
            Change::DutyWaived(waiver) => {
                let key = (waiver.form.clone(), waiver.unit.clone(), waiver.period.span());
                self.waivers.insert_mut(key, Arc::new(Registered { revision, value: waiver.clone() }));
            }
            Change::ReportSubmitted(_) | Change::ReportWithdrawn { .. } | Change::Unchanged => return,
        }
        self.revision = revision;
    }

    /// The change ends: tells the life of every unit anew that its events name, or named before.
    pub fn settle(&mut self) {
        if self.untold.is_empty() {
            return;
        }
        let untold = std::mem::replace(&mut self.untold, RedBlackTreeSetSync::new_sync());
        for unit in untold.iter() {
            if let Some(record) = self.units.get(unit).cloned() {
                self.put_unit(record.revision, record.registration.clone());
            }
        }
    }

    /// Takes in an event in place of what was known of it.
    fn record(&mut self, revision: Revision, event: &UnitEvent) {
        let before = self.events.get(&event.id).cloned();
        for unit in before.iter().flat_map(|before| before.value.roles().into_keys()) {
            if let Some(mut events) = self.events_of.get(unit).cloned() {
                events.remove_mut(&event.id);
                if events.is_empty() {
                    self.events_of.remove_mut(unit);
                } else {
                    self.events_of.insert_mut(unit.clone(), events);
                }
            }
            self.untold.insert_mut(unit.clone());
        }
        for (unit, role) in event.roles() {
            let mut events = self.events_of.get(unit).cloned().unwrap_or_default();
            events.insert_mut(event.id.clone(), role);
            self.events_of.insert_mut(unit.clone(), events);
            self.untold.insert_mut(unit.clone());
        }
        let first_revision = before.map_or(revision, |before| before.first_revision);
        let event = RecordedEvent { first_revision, revision, value: event.clone() };
        self.events.insert_mut(event.value.id.clone(), Arc::new(event));
    }

    /// Puts a unit in with the life that the events tell, in place of what was told of it.
    fn put_unit(&mut self, revision: Revision, registration: Arc<Unit>) {
        let id = registration.id.clone();
        if let Some(told) = self.units.get(&id).cloned() {
            for unit in told.ever() {
                if let Some(parent) = &unit.parent {
                    remove(&mut self.children, parent, &id);
                }
                for name in names(unit) {
                    remove(&mut self.by_name, &text::fold(&name), &id);
                }
            }
        }
        let events: Vec<Named<'_>> = self.events_of(&id).collect();
        let record = UnitRecord::new(revision, registration, &events);
        for unit in record.ever() {
            if let Some(parent) = &unit.parent {
                insert(&mut self.children, parent, id.clone());
            }
            for name in names(unit) {
                insert(&mut self.by_name, &text::fold(&name), id.clone());
            }
        }
        self.units.insert_mut(id, Arc::new(record));
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

    /// The unit over its life.
    pub fn record_of(&self, id: &UnitId) -> Option<&UnitRecord> {
        self.units.get(id).map(|record| &**record)
    }

    /// A unit that stands above another one.
    fn climbed(&self, id: &UnitId) -> Option<&UnitRecord> {
        self.above.get(id).or_else(|| self.units.get(id)).map(|record| &**record)
    }

    /// The unit as it is, or was last.
    pub fn unit(&self, id: &UnitId) -> Option<&Unit> {
        self.units.get(id).map(|record| &**record.newest())
    }

    /// The unit as it was on that day; none if it, or what was above it, did not live then. An unknown start counts as
    /// ever.
    pub fn unit_on(&self, id: &UnitId, day: Date) -> Option<&Unit> {
        let unit = self.record_of(id)?.on(day)?;
        let mut above = unit;
        for _ in 0..DEPTH_MAX {
            match &above.parent {
                None => return Some(unit),
                Some(parent) => above = self.climbed(parent)?.on(day)?,
            }
        }
        None
    }

    /// The unit that is asked for, as it was on the day that is asked for.
    ///
    /// # Errors
    /// `UnitNotFound`; `UnitNotAlive` if it does not live on that day.
    pub fn unit_as_of(&self, query: &UnitQuery) -> Result<&Unit, Fault> {
        let id = &query.id;
        let newest = self.unit(id);
        let newest = newest.ok_or_else(|| Fault::new(Reason::UnitNotFound, format!("unit {id} is not registered")))?;
        let Some(day) = query.on else { return Ok(newest) };
        let not_alive = || Fault::new(Reason::UnitNotAlive, format!("{id} does not live on {day}"));
        self.unit_on(id, day).ok_or_else(not_alive)
    }

    /// Every unit ever, in the order of the ids, from the first id after `after` on.
    pub fn units_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a UnitRecord> {
        self.units.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, record)| &**record)
    }

    /// Whether the unit, and so everything above it, is alive on that day. An unknown start counts as ever.
    pub fn is_alive_on(&self, unit: &UnitId, day: Date) -> bool {
        self.unit_on(unit, day).is_some()
    }

    /// Whether the unit is alive on any day of a span.
    pub fn is_alive_in(&self, unit: &UnitId, span: &Span) -> bool {
        let Some(life) = self.record_of(unit).and_then(UnitRecord::life) else { return false };
        let Some(common) = life.intersection(span) else { return false };
        // What is above it may begin later, where the unit's own start is not known, but never ends before it.
        common.last_day.is_none_or(|last_day| self.is_alive_on(unit, last_day))
    }

    /// The unit itself and those above it on that day, upwards; nothing if it does not live then.
    pub fn ancestry_on(&self, unit: &UnitId, day: Date) -> impl Iterator<Item = &Unit> {
        let start = self.record_of(unit).and_then(|record| record.on(day));
        let above = move |below: &&Unit| self.climbed(below.parent.as_ref()?)?.on(day);
        std::iter::successors(start, above).take(DEPTH_MAX)
    }

    /// The unit itself or the one above it that has that level on that day.
    pub fn at_level_on(&self, unit: &UnitId, level: Level, day: Date) -> Option<&Unit> {
        self.ancestry_on(unit, day).find(|above| above.level == level)
    }

    /// The units that stand directly below a living unit on that day, in the order of their ids.
    pub fn children_on<'a>(&'a self, unit: &UnitId, day: Date) -> impl Iterator<Item = &'a Unit> {
        let unit = unit.clone();
        let states = self.children_ever(&unit).filter_map(move |record| record.on(day));
        states.filter(move |child| child.parent.as_ref() == Some(&unit))
    }

    /// The unit itself and everything below it on that day, each before what is below it; nothing if it does not live then.
    pub fn subtree_on<'a>(&'a self, unit: &UnitId, day: Date) -> impl Iterator<Item = &'a Unit> {
        let mut open: Vec<&Unit> = self.unit_on(unit, day).into_iter().collect();
        std::iter::from_fn(move || {
            let next = open.pop()?;
            open.extend(self.children_on(&next.id, day));
            Some(next)
        })
    }

    /// The unit itself and everything that stood below it on any day, in the order of the ids.
    pub fn subtree_ever(&self, unit: &UnitId) -> Vec<&UnitRecord> {
        let mut seen: BTreeSet<&UnitId> = BTreeSet::new();
        let mut found = Vec::new();
        let mut open: Vec<(&UnitRecord, Span)> =
            self.record_of(unit).map(|record| (record, Span::EVER)).into_iter().collect();
        while let Some((record, span)) = open.pop() {
            if seen.insert(&record.registration.id) {
                found.push(record);
            }
            for child in self.children_ever(&record.registration.id) {
                let states = child.states().iter();
                let below = states.filter(|state| state.unit.parent.as_ref() == Some(&record.registration.id));
                open.extend(below.filter_map(|state| Some((child, state.span.intersection(&span)?))));
            }
        }
        found.sort_by(|a, b| a.registration.id.cmp(&b.registration.id));
        found
    }

    /// Units that stand directly below it on any day, or were registered so, in the order of the ids.
    fn children_ever<'a>(&'a self, unit: &UnitId) -> impl Iterator<Item = &'a UnitRecord> + use<'a> {
        let children = self.children.get(unit).map(|ids| ids.iter()).into_iter().flatten();
        children.filter_map(|id| self.record_of(id))
    }

    /// The newest version of the event with that id.
    pub fn event(&self, id: &EventId) -> Option<&RecordedEvent> {
        self.events.get(id).map(|event| &**event)
    }

    /// Every event in its newest version, in the order of the ids, from the first id after `after` on.
    pub fn events_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a RecordedEvent> {
        self.events.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, event)| &**event)
    }

    /// Every event that names a unit, and what it is in it, in the order of the ids.
    pub fn events_of(&self, unit: &UnitId) -> impl Iterator<Item = Named<'_>> {
        let roles = self.events_of.get(unit).map(|roles| roles.iter()).into_iter().flatten();
        roles.filter_map(|(id, role)| Some(Named { event: self.event(id)?, role: *role }))
    }

    /// The newest version of the indicator with that id.
    pub fn indicator(&self, id: &IndicatorId) -> Option<&Indicator> {
        self.indicators.get(id).and_then(Versions::newest)
    }

    /// Every version of the indicator with that id.
    pub fn indicator_versions(&self, id: &IndicatorId) -> Option<&Versions<Indicator>> {
        self.indicators.get(id)
    }

    /// That version of the indicator.
    pub fn indicator_version(&self, id: &IndicatorId, version: u32) -> Option<&Indicator> {
        self.indicators.get(id).and_then(|versions| versions.numbered(version))
    }

    /// The version of the indicator that holds on that day; none: on the last there is.
    pub fn indicator_on(&self, id: &IndicatorId, day: Option<Date>) -> Option<&Indicator> {
        self.indicators.get(id).and_then(|versions| versions.on(day, |indicator| indicator.valid_from))
    }

    /// Every indicator in its newest version, in the order of the ids, from the first id after `after` on.
    pub fn indicators_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Indicator> {
        let indicators = self.indicators.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        indicators.filter_map(|(_, versions)| versions.newest())
    }

    /// Why, by its definition, the question of an indicator does not arise for a unit on that day; none if it does.
    pub fn not_applicable_on<'a>(&self, indicator: &'a Indicator, unit: &Unit, day: Date) -> Option<&'a str> {
        if !indicator.levels.is_empty() && !indicator.levels.contains(&unit.level) {
            return Some("the indicator is defined for other levels");
        }
        let applies = indicator.not_applicable.iter().find(|exception| {
            exception.span.contains(day)
                && exception.level.is_none_or(|level| level == unit.level)
                && (exception.kind.is_empty() || exception.kind == unit.kind)
                && self.ancestry_on(&unit.id, day).any(|above| above.id == exception.under)
        });
        applies.map(|exception| exception.reason.as_str())
    }

    /// The term that identifies itself so, on exactly that unit.
    pub fn term(&self, key: &TermKey) -> Option<&Term> {
        self.terms.get(&key.to_text()).map(|term| &term.value)
    }

    /// Every term in the order of unit, organ and label, from the first one after `after` on.
    pub fn terms_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Registered<Term>> {
        self.terms.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, term)| &**term)
    }

    /// The term of that organ and label on the unit, else on the nearest unit that stood above it on a day of the term; of
    /// several the one that stood there last.
    pub fn find_term(&self, unit: &UnitId, organ: Organ, label: &str) -> Option<&Term> {
        let of = |unit: &UnitId| self.term(&TermKey { unit: unit.clone(), organ, label: label.to_owned() });
        if let Some(term) = of(unit) {
            return Some(term);
        }
        let above = self.ancestors(unit, &Span::EVER).into_iter();
        let terms = above.filter_map(|above| Some((above.distance, above.span, of(&above.unit.id)?)));
        let during = terms.filter(|(_, span, term)| term.span().overlaps(span));
        during.min_by_key(|(distance, span, _)| (*distance, std::cmp::Reverse(*span))).map(|(.., term)| term)
    }

    /// Every term of that organ that holds for a unit on some day of a span: its own, and those of units above it whose
    /// labels it has not itself; in the order of their days.
    pub fn terms_of(&self, unit: &UnitId, organ: Organ, span: &Span) -> Vec<&Term> {
        let mut labels: BTreeSet<&str> = BTreeSet::new();
        let above = self.ancestors(unit, &Span::EVER);
        let units: BTreeSet<&UnitId> = above.iter().map(|above| &above.unit.id).chain([unit]).collect();
        for unit in units {
            let start = format!("{unit}/{}/", organ as u8);
            let terms = self.terms.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
            let terms = terms.take_while(|(key, _)| key.starts_with(&start)).map(|(_, term)| &term.value);
            labels.extend(terms.map(|term| term.key.label.as_str()));
        }
        let mut terms: Vec<&Term> = labels.into_iter().filter_map(|label| self.find_term(unit, organ, label)).collect();
        terms.retain(|term| term.span().overlaps(span));
        terms.sort_by_key(|term| (term.span(), term.key.to_text()));
        terms
    }

    /// Every version of the form with that id.
    pub fn form(&self, id: &FormId) -> Option<&Versions<Form>> {
        self.forms.get(id)
    }

    /// Every form in its newest version, in the order of the ids, from the first id after `after` on.
    pub fn forms_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Form> {
        let forms = self.forms.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        forms.filter_map(|(_, versions)| versions.newest())
    }

    /// Whether a unit was freed from a form for exactly those days.
    pub fn waiver(&self, form: &FormId, unit: &UnitId, span: Span) -> Option<&Waiver> {
        self.waivers.get(&(form.clone(), unit.clone(), span)).map(|waiver| &waiver.value)
    }

    /// Every unit that is, or ever was, called so, with or without its kind, ignoring case, accents and the place of tones;
    /// only those that live and are called so on the day, if there is one. Order: equal with accents, then higher level,
    /// then id.
    pub fn find_units(&self, name: &str, on: Option<Date>) -> Vec<&Unit> {
        let (folded, wanted) = (text::fold(name), text::lower(name));
        let ids = self.by_name.get(&folded).into_iter().flat_map(|ids| ids.iter());
        let mut found: Vec<(bool, &Unit)> = Vec::new();
        for record in ids.filter_map(|id| self.record_of(id)) {
            let ever = record.states().iter().map(|state| &*state.unit);
            let never_lived = record.states().is_empty().then(|| &**record.newest());
            let called: Vec<&Unit> = match on {
                Some(day) => self.unit_on(&record.registration.id, day).into_iter().collect(),
                None => ever.chain(never_lived).collect(),
            };
            let is = |unit: &&Unit| names(unit).any(|name| text::fold(&name) == folded);
            let with_accents = |unit: &Unit| names(unit).any(|name| text::lower(&name) == wanted);
            let called: Vec<&Unit> = called.into_iter().filter(is).collect();
            if let Some(last) = called.last() {
                let answer = on.map_or(&**record.newest(), |_| last);
                found.push((!called.iter().any(|unit| with_accents(unit)), answer));
            }
        }
        found.sort_by(|(a_differs, a), (b_differs, b)| (a_differs, b.level, &a.id).cmp(&(b_differs, a.level, &b.id)));
        found.into_iter().map(|(_, unit)| unit).collect()
    }
}

/// Adds to one of the sets of a map.
fn insert<K, V>(map: &mut HashTrieMapSync<K, RedBlackTreeSetSync<V>>, key: &K, value: V)
where
    K: Clone + Eq + std::hash::Hash,
    V: Ord,
{
    let mut set = map.get(key).cloned().unwrap_or_default();
    if !set.contains(&value) {
        set.insert_mut(value);
        map.insert_mut(key.clone(), set);
    }
}

/// Takes away from one of the sets of a map.
fn remove<K, V>(map: &mut HashTrieMapSync<K, RedBlackTreeSetSync<V>>, key: &K, value: &V)
where
    K: Clone + Eq + std::hash::Hash,
    V: Ord + Clone,
{
    let Some(mut set) = map.get(key).cloned() else { return };
    if set.remove_mut(value) {
        if set.is_empty() {
            map.remove_mut(key);
        } else {
            map.insert_mut(key.clone(), set);
        }
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

#[cfg(test)]
mod tests;
