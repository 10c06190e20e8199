//! The life of one unit: what it was like on every day, from its registration and the events that name it.

use std::sync::Arc;

use jiff::civil::Date;

use super::Named;
use crate::model::{
    event::EventType,
    log::Revision,
    period::Span,
    unit::{Level, Unit},
};

/// What a unit was like on the days of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitState {
    /// The days.
    pub span: Span,
    /// The unit as it was then; its valid_from and valid_until are those of its whole life.
    pub unit: Arc<Unit>,
}

/// A unit over its life.
///
/// Invariants: the states follow each other without gap and without overlap, and together are the life; there is none if
/// the unit has never lived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitRecord {
    /// When it was registered.
    pub revision: Revision,
    /// As it was registered.
    pub registration: Arc<Unit>,
    /// As it is, or was last; as it was registered if it has never lived.
    newest: Arc<Unit>,
    states: Vec<UnitState>,
}

impl UnitRecord {
    /// The life that follows from a registration and every event that names the unit.
    pub(super) fn new(revision: Revision, registration: Arc<Unit>, events: &[Named<'_>]) -> Self {
        let states = states(&registration, events);
        let newest = states.last().map_or_else(|| registration.clone(), |state| state.unit.clone());
        Self { revision, registration, newest, states }
    }

    /// As it is, or was last; as it was registered if it has never lived.
    pub fn newest(&self) -> &Arc<Unit> {
        &self.newest
    }

    /// What it was like, in the order of time.
    pub fn states(&self) -> &[UnitState] {
        &self.states
    }

    /// What it was like on any day, and as it was registered.
    pub(super) fn ever(&self) -> impl Iterator<Item = &Arc<Unit>> {
        self.states.iter().map(|state| &state.unit).chain([&self.registration])
    }

    /// What it was like on that day; none if it did not live. What is above it is not looked at.
    pub fn on(&self, day: Date) -> Option<&Unit> {
        // Nearly every unit has one state.
        self.states.iter().rev().find(|state| state.span.contains(day)).map(|state| &*state.unit)
    }

    /// Its life; none if it has never lived.
    pub fn life(&self) -> Option<Span> {
        let (first, last) = (self.states.first()?, self.states.last()?);
        Some(Span { first_day: first.span.first_day, last_day: last.span.last_day })
    }

    /// As it is for whom these are the days on which he sees it; none if it has lived on none of them.
    pub(super) fn within(self: &Arc<Self>, days: &[Span]) -> Option<Arc<Self>> {
        let parts = |state: &UnitState| {
            let unit = state.unit.clone();
            let spans: Vec<Span> = days.iter().filter_map(|days| state.span.intersection(days)).collect();
            spans.into_iter().map(move |span| UnitState { span, unit: unit.clone() })
        };
        let states: Vec<UnitState> = self.states.iter().flat_map(parts).collect();
        if states == self.states {
            return Some(self.clone());
        }
        let newest = states.last()?.unit.clone();
        Some(Arc::new(Self { newest, states, ..(**self).clone() }))
    }

    /// Every level that it ever had.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        self.states.iter().map(|state| state.unit.level)
    }
}

/// What a unit was like, by its registration and the events in effect.
///
/// | event | what it does |
/// |---|---|
/// | CORRECT | changes the registration itself, in the order in which they were first recorded |
/// | MERGE or SPLIT that forms it | begins its life, if it is formed by an event; the first one counts |
/// | MERGE, SPLIT, DISSOLVE of it | ends its life on the day before; the first one counts |
/// | TRANSFER, RENAME, CHANGE_LEVEL | a new state from that day on; those of one day apply together |
///
/// Events that come before or after its life say nothing; `verify` refuses them.
fn states(registration: &Arc<Unit>, events: &[Named<'_>]) -> Vec<UnitState> {
    let effective = || events.iter().filter(|named| named.event.value.is_effective());
    let dated = || effective().filter_map(|named| Some((named.event.value.day()?, named)));

    let is_correction = |named: &&Named<'_>| named.role.is_from && named.event.value.event_type == EventType::Correct;
    let mut corrections: Vec<&Named<'_>> = effective().filter(is_correction).collect();
    corrections.sort_by_key(|named| named.event.first_revision);
    let mut base = Unit::clone(registration);
    for correction in corrections {
        correction.event.value.change.apply(&mut base);
    }
    if base.formed_by_event {
        let forming = dated().filter(|(_, named)| named.event.value.forms(named.role));
        base.valid_from = forming.map(|(day, _)| day).min();
        if base.valid_from.is_none() {
            return Vec::new();
        }
    }
    let ending = dated().filter(|(_, named)| named.event.value.ends(named.role));
    let last_day = ending.map(|(day, _)| day).min().map(|day| day.yesterday().unwrap_or(Date::MIN));
    base.valid_until = match (base.valid_until, last_day) {
        (Some(registered), Some(ended)) => Some(registered.min(ended)),
        (registered, ended) => registered.or(ended),
    };
    let (begins, ends) = (base.valid_from, base.valid_until);
    if matches!((begins, ends), (Some(begins), Some(ends)) if ends < begins) {
        return Vec::new();
    }

    let changes_it = |day: Date, named: &Named<'_>| {
        let kind = named.event.value.event_type;
        let changes = matches!(kind, EventType::Transfer | EventType::Rename | EventType::ChangeLevel);
        let lives = begins.is_none_or(|begins| begins <= day) && ends.is_none_or(|ends| day <= ends);
        changes && named.role.is_from && lives
    };
    let mut changes: Vec<_> = dated().filter(|(day, named)| changes_it(*day, named)).collect();
    changes.sort_by_key(|(day, named)| (*day, named.event.first_revision));
    let mut states: Vec<UnitState> =
        vec![UnitState { span: Span { first_day: begins, last_day: ends }, unit: Arc::new(base) }];
    for (day, named) in changes {
        let Some(last) = states.last_mut() else { break };
        let mut unit = Unit::clone(&last.unit);
        named.event.value.difference().apply(&mut unit);
        // Nothing of its life is a difference of one state.
        (unit.valid_from, unit.valid_until) = (begins, ends);
        if last.span.first_day == Some(day) {
            last.unit = Arc::new(unit);
        } else {
            last.span.last_day = Some(day.yesterday().unwrap_or(Date::MIN));
            let span = Span { first_day: Some(day), last_day: ends };
            states.push(UnitState { span, unit: Arc::new(unit) });
        }
    }
    if let [state] = states.as_mut_slice()
        && state.unit == *registration
    {
        // The usual case: one copy is enough.
        state.unit = registration.clone();
    }
    states
}
