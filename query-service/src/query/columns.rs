//! What columns say of a unit, without reading a report.

use std::sync::Arc;

use jiff::civil::Date;
use shared::model::{
    indicator::Temporality,
    period::Span,
    query::Admitted,
    report::{Scope, Value},
};

use super::cell::Ask;
use crate::index::{Column, Columns, Known, effort};

/// The columns in which a question looks, in the order in which it does.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    /// Of the time that is asked for.
    pub(super) speaking: Vec<Arc<Column>>,
    /// Of parts of it.
    pub(super) tiles: Tiles,
    /// Of times before it that may be carried forward, the latest first; those that end on one day together.
    pub(super) carried: Vec<Vec<Arc<Column>>>,
    /// A unit that is rare in one of these has to be read.
    pub(super) rare: Vec<Arc<Column>>,
}

/// How a period can be put together.
#[derive(Clone, Debug, Default)]
pub(super) enum Tiles {
    /// Not at all.
    #[default]
    None,
    /// Only of all of these.
    All(Vec<Arc<Column>>),
    /// Perhaps of some of these, or in several ways.
    Some(Vec<Arc<Column>>),
}

/// What columns say of a unit.
pub(super) enum Seen<'a> {
    /// Nobody said anything of that time.
    Nothing,
    /// These plain values, several if they are tiles.
    Plain(&'a [Arc<Column>], bool),
    /// Reports have to be read.
    Unclear,
}

impl Reader {
    /// The columns for a question; none if it asks for more than columns know.
    pub(super) fn of(known: &Known<'_>, ask: &Ask<'_>) -> Option<Self> {
        let Admitted { reports, published_until, last_known } = ask.admitted;
        if ask.scope != Scope::Own || *reports != Default::default() || published_until.is_some() {
            return None;
        }
        let Some(columns) = known.columns(&ask.indicator.id, ask.by) else { return Some(Self::default()) };
        Some(match ask.indicator.temporality {
            Temporality::Flow => Self::of_flow(ask, columns),
            Temporality::State | Temporality::Stock => Self::of_day(ask, columns, *last_known),
        })
    }

    fn of_flow(ask: &Ask<'_>, columns: &Columns) -> Self {
        let Some(days) = ask.slot.span else { return Self::default() };
        let speaking: Vec<Arc<Column>> = columns.get(&days).into_iter().cloned().collect();
        let is_part = |span: &Span| *span != days && days.contains_span(span);
        let parts: Vec<(&Span, &Arc<Column>)> = match ask.is_tiled_by_its_roll_up() {
            true => columns.iter().filter(|(span, _)| is_part(span)).collect(),
            false => Vec::new(),
        };
        let rare = speaking.iter().chain(parts.iter().map(|(_, column)| *column)).cloned().collect();
        Self { speaking, tiles: Tiles::of(days, &parts), carried: Vec::new(), rare }
    }

    fn of_day(ask: &Ask<'_>, columns: &Columns, last_known: bool) -> Self {
        let (day, carries) = (ask.slot.day, last_known || ask.is_last);
        let of_day = columns.iter().filter(|(span, _)| span.contains(day));
        let speaking: Vec<Arc<Column>> = of_day.map(|(_, column)| column.clone()).collect();
        if !carries {
            return Self { rare: speaking.clone(), speaking, ..Self::default() };
        }
        let earliest = ask.slot.span.and_then(|span| span.first_day).filter(|_| !last_known);
        let end = |span: &Span| {
            span.last_day.filter(|end| *end < day).filter(|end| earliest.is_none_or(|first_day| first_day <= *end))
        };
        let mut before: Vec<(Date, &Arc<Column>)> =
            columns.iter().filter_map(|(span, column)| Some((end(span)?, column))).collect();
        before.sort_by(|(a, _), (b, _)| b.cmp(a));
        let of_one_day = before.chunk_by(|(a, _), (b, _)| a == b);
        let carried = of_one_day.map(|columns| columns.iter().map(|(_, column)| (*column).clone()).collect()).collect();
        // What is rare may have been known until another day than the last of its period.
        Self { speaking, tiles: Tiles::None, carried, rare: columns.values().cloned().collect() }
    }

    /// Puts what tells this reader from others of the same columns, and its columns.
    pub(super) fn origin<'r>(&'r self, way: &mut Vec<usize>, columns: &mut Vec<&'r Arc<Column>>) {
        let (kind, tiles) = match &self.tiles {
            Tiles::None => (0, &[][..]),
            Tiles::All(tiles) => (1, tiles.as_slice()),
            Tiles::Some(tiles) => (2, tiles.as_slice()),
        };
        way.extend([self.speaking.len(), kind, tiles.len(), self.carried.len()]);
        way.extend(self.carried.iter().map(Vec::len));
        way.push(self.rare.len());
        columns.extend(self.speaking.iter().chain(tiles).chain(self.carried.iter().flatten()).chain(&self.rare));
    }

    /// What is said of the unit with that number.
    pub(super) fn look(&self, unit: u32) -> Seen<'_> {
        effort::spend(effort::LOOK);
        if self.rare.iter().any(|column| column.is_rare(unit)) {
            return Seen::Unclear;
        }
        match one_of(&self.speaking, unit) {
            Seen::Nothing => {}
            seen => return seen,
        }
        match &self.tiles {
            Tiles::All(columns) if columns.iter().all(|column| column.is_plain(unit)) => {
                return Seen::Plain(columns, false);
            }
            Tiles::Some(columns) if columns.iter().any(|column| column.is_plain(unit)) => return Seen::Unclear,
            Tiles::All(_) | Tiles::Some(_) | Tiles::None => {}
        }
        for columns in &self.carried {
            match one_of(columns, unit) {
                Seen::Nothing => {}
                Seen::Plain(column, _) => return Seen::Plain(column, true),
                Seen::Unclear => return Seen::Unclear,
            }
        }
        Seen::Nothing
    }
}

impl Tiles {
    fn of(days: Span, parts: &[(&Span, &Arc<Column>)]) -> Self {
        let columns = || parts.iter().map(|(_, column)| (*column).clone()).collect();
        let follows = |before: Option<Date>, next: Option<Date>| match (before, next) {
            (Some(before), Some(next)) => before.tomorrow().ok() == Some(next),
            _ => false,
        };
        let pairs = || parts.windows(2).map(|pair| (pair[0].0, pair[1].0));
        let overlap = pairs().any(|(a, b)| a.overlaps(b));
        let (Some((first, _)), Some((last, _))) = (parts.first(), parts.last()) else { return Self::None };
        if overlap {
            return Self::Some(columns());
        }
        let is_whole = first.first_day == days.first_day
            && last.last_day == days.last_day
            && pairs().all(|(a, b)| follows(a.last_day, b.first_day));
        if is_whole { Self::All(columns()) } else { Self::None }
    }
}

/// The one column that has a plain value of the unit.
fn one_of(columns: &[Arc<Column>], unit: u32) -> Seen<'_> {
    let mut plain = (0..columns.len()).filter(|place| columns[*place].is_plain(unit));
    match (plain.next(), plain.next()) {
        (None, _) => Seen::Nothing,
        (Some(place), None) => Seen::Plain(&columns[place..=place], false),
        (Some(_), Some(_)) => Seen::Unclear,
    }
}

/// The plain values of a unit, each with the version of the definition.
pub(super) fn values(columns: &[Arc<Column>], unit: u32) -> Vec<(Value, u32)> {
    columns.iter().filter_map(|column| Some((column.value(unit)?, column.shape()?.version))).collect()
}
