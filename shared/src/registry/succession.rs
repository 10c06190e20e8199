//! What units became and what they came from; who stood above and below them, and when.

use std::collections::{BTreeSet, HashSet};

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::{DEPTH_MAX, Registry, UnitRecord};
use crate::{
    limits::SUCCESSION_PATHS_MAX,
    model::{
        event::{EventType, Role, UnitEvent},
        fault::{Fault, Reason},
        ids::{EventId, UnitId},
        period::Span,
        unit::Unit,
    },
};

/// How much of a unit went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// A part of it.
    Part,
    /// Its functions; what became of its territory is not said.
    Functions,
}

/// One step from an earlier unit to a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The earlier unit.
    pub from: UnitId,
    /// The later unit.
    pub into: UnitId,
    /// The event; none: `into` stood below `from` until that one ended.
    pub event: Option<EventId>,
    /// Day of the event, or the first day on which `from` has ended.
    pub day: Date,
    /// How much of `from` went into `into`.
    pub extent: Extent,
    /// The part where it is known.
    pub share: Option<Decimal>,
    /// `into` is the main successor of a divided unit.
    pub is_main: bool,
}

/// A way from a unit to a successor, or to it from a predecessor; in the order of time, at least one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// WHOLE if every step with an event is, FUNCTIONS if one is, else PART.
    pub fn extent(&self) -> Extent {
        let events = || self.0.iter().filter(|step| step.event.is_some()).map(|step| step.extent);
        if events().any(|extent| extent == Extent::Functions) {
            Extent::Functions
        } else if events().all(|extent| extent == Extent::Whole) {
            Extent::Whole
        } else {
            Extent::Part
        }
    }
}

/// A unit above or below another one, and the days on which it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relative<'a> {
    /// The unit as it was on the last of these days.
    pub unit: &'a Unit,
    /// The days.
    pub span: Span,
    /// How many steps lie between the two.
    pub distance: usize,
}

impl Registry {
    /// Every path from a unit to what became of it through events of a span, in the order of the last units. A unit that
    /// nobody took over as a whole or in parts has become what the units below it became, or what they still are.
    ///
    /// # Errors
    /// `TooMany` if there are more than [`SUCCESSION_PATHS_MAX`].
    pub fn successors(&self, unit: &UnitId, span: &Span) -> Result<Vec<Path>, Fault> {
        let mut paths = Vec::new();
        self.follow(unit, *span, &mut Vec::new(), &mut paths)?;
        sort(&mut paths, |path| path.0.last().map(|step| &step.into));
        Ok(paths)
    }

    fn follow(&self, unit: &UnitId, span: Span, walked: &mut Vec<Step>, paths: &mut Vec<Path>) -> Result<(), Fault> {
        for step in self.steps_on(unit, &span) {
            let (rest, into) = (after(&step, &span), step.into.clone());
            let is_end = step.event.is_some() || self.is_alive_on(&into, step.day);
            walked.push(step);
            if is_end {
                push(paths, walked.clone())?;
            }
            self.follow(&into, rest, walked, paths)?;
            walked.pop();
        }
        Ok(())
    }

    /// Every path to a unit from what it came from through events of a span, in the order of the first units.
    ///
    /// # Errors
    /// `TooMany` if there are more than [`SUCCESSION_PATHS_MAX`].
    pub fn predecessors(&self, unit: &UnitId, span: &Span) -> Result<Vec<Path>, Fault> {
        let mut paths = Vec::new();
        self.follow_back(unit, *span, &mut Vec::new(), &mut paths)?;
        sort(&mut paths, |path| path.0.first().map(|step| &step.from));
        Ok(paths)
    }

    fn follow_back(
        &self,
        unit: &UnitId,
        span: Span,
        walked: &mut Vec<Step>,
        paths: &mut Vec<Path>,
    ) -> Result<(), Fault> {
        for step in self.steps_into(unit, &span) {
            let (rest, from) = (before(&step, &span), step.from.clone());
            walked.push(step);
            push(paths, walked.iter().rev().cloned().collect())?;
            self.follow_back(&from, rest, walked, paths)?;
            walked.pop();
        }
        Ok(())
    }

    /// What a unit that lives on one day is on another day: itself if it lives on both, and what recorded succession says
    /// that it became, or came from, in between. Empty: nobody knows. Functions are no territory: they are followed only
    /// where that is asked for.
    pub fn counterparts_on(&self, unit: &UnitId, lives_on: Date, day: Date, with_functions: bool) -> BTreeSet<&UnitId> {
        let is_later = day > lives_on;
        let between = |a: Date, b: Date| Span { first_day: a.tomorrow().ok(), last_day: Some(b) };
        let span = if is_later { between(lives_on, day) } else { between(day, lives_on) };
        // A unit is walked from once for each span: ways are many, units and the days of their events are few. A wider span
        // does not stand for a narrower one: what happened in the wider one can hide that in the end nobody took it over.
        let mut walked: HashSet<(UnitId, Span)> = HashSet::new();
        let mut open = vec![(unit.clone(), span)];
        while let Some((unit, span)) = open.pop() {
            if !walked.insert((unit.clone(), span)) {
                continue;
            }
            let steps = if is_later { self.steps_on(&unit, &span) } else { self.steps_into(&unit, &span) };
            let is_followed = |step: &Step| with_functions || step.extent != Extent::Functions;
            for step in steps.into_iter().filter(is_followed) {
                open.push(match is_later {
                    true => (step.into.clone(), after(&step, &span)),
                    false => (step.from.clone(), before(&step, &span)),
                });
            }
        }
        walked.iter().filter_map(|(unit, _)| self.unit_on(unit, day)).map(|unit| &unit.id).collect()
    }

    fn effective<'a>(&'a self, unit: &UnitId, span: &'a Span) -> impl Iterator<Item = (Date, &'a UnitEvent, Role)> {
        let events = self.events_of(unit).filter(|named| named.event.value.is_effective());
        let dated = events.filter_map(|named| Some((named.event.value.day()?, &named.event.value, named.role)));
        dated.filter(|(day, ..)| span.contains(*day))
    }

    /// Steps from a unit in a span: by events, and to the units below it where nobody took it over.
    fn steps_on(&self, unit: &UnitId, span: &Span) -> Vec<Step> {
        let events = self.effective(unit, span).filter(|(.., role)| role.is_from);
        let mut steps: Vec<Step> = events
            .flat_map(|(day, event, _)| event.into.iter().filter_map(move |into| step(event, day, unit, into)))
            .collect();
        if steps.iter().all(|step| step.extent == Extent::Functions) {
            steps.extend(self.steps_below(unit, span));
        }
        steps
    }

    fn steps_into(&self, unit: &UnitId, span: &Span) -> Vec<Step> {
        let events = self.effective(unit, span).filter(|(.., role)| role.is_into);
        events
            .flat_map(|(day, event, _)| event.from.iter().filter_map(move |from| step(event, day, from, unit)))
            .collect()
    }

    /// Steps to the units directly below one that has ended in the span, on its last day.
    fn steps_below(&self, unit: &UnitId, span: &Span) -> Vec<Step> {
        let last_day = self.record_of(unit).and_then(UnitRecord::life).and_then(|life| life.last_day);
        let Some((last_day, day)) = last_day.and_then(|last| Some((last, last.tomorrow().ok()?))) else {
            return Vec::new();
        };
        if !span.contains(day) {
            return Vec::new();
        }
        let below = |child: &Unit| Step {
            from: unit.clone(),
            into: child.id.clone(),
            event: None,
            day,
            extent: Extent::Part,
            share: None,
            is_main: false,
        };
        self.children_on(unit, last_day).map(below).collect()
    }

    /// Who stood above a unit on the days of a span: each with the days without a break.
    pub fn ancestors(&self, unit: &UnitId, span: &Span) -> Vec<Relative<'_>> {
        let mut found = Vec::new();
        self.climb(unit, *span, 1, &mut found);
        join(found)
    }

    fn climb<'a>(&'a self, unit: &UnitId, span: Span, distance: usize, found: &mut Vec<Relative<'a>>) {
        let states = if distance == 1 { self.record_of(unit) } else { self.climbed(unit) };
        let states = states.map(UnitRecord::states).unwrap_or_default();
        for state in states.iter().filter(|_| distance <= DEPTH_MAX) {
            let (Some(days), Some(parent)) = (state.span.intersection(&span), &state.unit.parent) else { continue };
            for above in self.climbed(parent).map(UnitRecord::states).unwrap_or_default() {
                if let Some(span) = above.span.intersection(&days) {
                    found.push(Relative { unit: &above.unit, span, distance });
                }
            }
            self.climb(parent, days, distance + 1, found);
        }
    }

    /// Who stood below a unit on the days of a span: each with the days without a break.
    pub fn descendants(&self, unit: &UnitId, span: &Span) -> Vec<Relative<'_>> {
        let life = self.record_of(unit).and_then(UnitRecord::life);
        let mut found = Vec::new();
        if let Some(days) = life.and_then(|life| life.intersection(span)) {
            self.descend(unit, days, 1, &mut found);
        }
        join(found)
    }

    fn descend<'a>(&'a self, unit: &UnitId, span: Span, distance: usize, found: &mut Vec<Relative<'a>>) {
        if distance > DEPTH_MAX {
            return;
        }
        for child in self.children_ever(unit) {
            for state in child.states().iter().filter(|state| state.unit.parent.as_ref() == Some(unit)) {
                if let Some(span) = state.span.intersection(&span) {
                    found.push(Relative { unit: &state.unit, span, distance });
                    self.descend(&child.registration.id, span, distance + 1, found);
                }
            }
        }
    }
}

/// The days of a span in which a path goes on after a step: after the day of an event, and from the day on of a step to a
/// unit below. There may be none.
fn after(step: &Step, span: &Span) -> Span {
    let first_day = if step.event.is_some() { step.day.tomorrow().unwrap_or(Date::MAX) } else { step.day };
    Span { first_day: Some(first_day), ..*span }
}

/// The days of a span in which a path came to a step. There may be none.
fn before(step: &Step, span: &Span) -> Span {
    Span { last_day: Some(step.day.yesterday().unwrap_or(Date::MIN)), ..*span }
}

fn push(paths: &mut Vec<Path>, steps: Vec<Step>) -> Result<(), Fault> {
    if paths.len() == SUCCESSION_PATHS_MAX {
        let message = format!("there are more than {SUCCESSION_PATHS_MAX} paths; narrow start_on and end_on");
        return Err(Fault::new(Reason::TooMany, message));
    }
    paths.push(Path(steps));
    Ok(())
}

/// What an event does with one unit and one that comes of it; nothing if the one does not go into the other.
fn step(event: &UnitEvent, day: Date, from: &UnitId, into: &UnitId) -> Option<Step> {
    let extent = match event.event_type {
        EventType::Merge => Extent::Whole,
        EventType::Split => Extent::Part,
        EventType::Dissolve => Extent::Functions,
        EventType::Transfer | EventType::Rename | EventType::ChangeLevel | EventType::Correct => return None,
    };
    let part = event.parts.iter().find(|part| part.unit == *into);
    Some(Step {
        from: from.clone(),
        into: into.clone(),
        event: Some(event.id.clone()),
        day,
        extent,
        share: part.and_then(|part| part.share),
        is_main: part.is_some_and(|part| part.is_main),
    })
}

fn sort(paths: &mut [Path], unit: impl Fn(&Path) -> Option<&UnitId>) {
    let key = |path: &Path| {
        let steps: Vec<(UnitId, UnitId)> = path.0.iter().map(|step| (step.from.clone(), step.into.clone())).collect();
        (unit(path).cloned(), steps)
    };
    paths.sort_by_cached_key(key);
}

/// Days that follow each other without a break become one row; rows in the order of ids and days.
fn join(mut rows: Vec<Relative<'_>>) -> Vec<Relative<'_>> {
    rows.sort_by(|a, b| (&a.unit.id, a.distance, a.span).cmp(&(&b.unit.id, b.distance, b.span)));
    let mut joined: Vec<Relative<'_>> = Vec::new();
    for row in rows {
        let follows = |last: &Relative<'_>| {
            let next = last.span.last_day.and_then(|last| last.tomorrow().ok());
            last.unit.id == row.unit.id && last.distance == row.distance && next.is_some() && next == row.span.first_day
        };
        match joined.last_mut().filter(|last| follows(last)) {
            Some(last) => (last.unit, last.span.last_day) = (row.unit, row.span.last_day),
            None => joined.push(row),
        }
    }
    joined.sort_by(|a, b| (&a.unit.id, a.span, a.distance).cmp(&(&b.unit.id, b.span, b.distance)));
    joined
}
