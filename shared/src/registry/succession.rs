//! What units became and what they came from; who stood above and below them, and when.

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::{DEPTH_MAX, Registry, UnitRecord};
use crate::model::{
    event::{EventType, UnitEvent},
    ids::{EventId, UnitId},
    period::Span,
    unit::Unit,
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
    /// nobody took over as a whole or in parts has become what the units below it became.
    pub fn successors(&self, unit: &UnitId, span: &Span) -> Vec<Path> {
        let mut paths = Vec::new();
        self.follow(unit, span, &mut Vec::new(), &mut paths);
        sort(&mut paths, |path| path.0.last().map(|step| &step.into));
        paths
    }

    fn follow(&self, unit: &UnitId, span: &Span, walked: &mut Vec<Step>, paths: &mut Vec<Path>) {
        let steps = self.steps_from(unit, span);
        let steps = if steps.iter().any(|step| step.extent != Extent::Functions) {
            steps
        } else {
            let mut below = self.steps_below(unit, span);
            below.extend(steps);
            below
        };
        for step in steps {
            let is_back = step.into == *unit || walked.iter().any(|walked| walked.from == step.into);
            let into = step.into.clone();
            let is_event = step.event.is_some();
            walked.push(step);
            if is_event {
                paths.push(Path(walked.clone()));
            }
            if !is_back {
                self.follow(&into, span, walked, paths);
            }
            walked.pop();
        }
    }

    /// Every path to a unit from what it came from through events of a span, in the order of the first units.
    pub fn predecessors(&self, unit: &UnitId, span: &Span) -> Vec<Path> {
        let mut paths = Vec::new();
        self.follow_back(unit, span, &mut Vec::new(), &mut paths);
        sort(&mut paths, |path| path.0.first().map(|step| &step.from));
        paths
    }

    fn follow_back(&self, unit: &UnitId, span: &Span, walked: &mut Vec<Step>, paths: &mut Vec<Path>) {
        for step in self.steps_into(unit, span) {
            let is_back = step.from == *unit || walked.iter().any(|walked| walked.into == step.from);
            let from = step.from.clone();
            walked.push(step);
            paths.push(Path(walked.iter().rev().cloned().collect()));
            if !is_back {
                self.follow_back(&from, span, walked, paths);
            }
            walked.pop();
        }
    }

    fn effective<'a>(&'a self, unit: &UnitId, span: &'a Span) -> impl Iterator<Item = (Date, &'a UnitEvent)> {
        let events = self.events_of(unit).map(|event| &event.value).filter(|event| event.is_effective());
        events.filter_map(|event| Some((event.day()?, event))).filter(|(day, _)| span.contains(*day))
    }

    fn steps_from(&self, unit: &UnitId, span: &Span) -> Vec<Step> {
        let events = self.effective(unit, span).filter(|(_, event)| event.from.contains(unit));
        events.flat_map(|(day, event)| event.into.iter().filter_map(move |into| step(event, day, unit, into))).collect()
    }

    fn steps_into(&self, unit: &UnitId, span: &Span) -> Vec<Step> {
        let events = self.effective(unit, span).filter(|(_, event)| event.into.contains(unit));
        events.flat_map(|(day, event)| event.from.iter().filter_map(move |from| step(event, day, from, unit))).collect()
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
        let states = self.record_of(unit).map(UnitRecord::states).unwrap_or_default();
        for state in states.iter().filter(|_| distance <= DEPTH_MAX) {
            let (Some(days), Some(parent)) = (state.span.intersection(&span), &state.unit.parent) else { continue };
            for above in self.record_of(parent).map(UnitRecord::states).unwrap_or_default() {
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
