//! Days, periods and series as they are asked.

use jiff::civil::Date;

use super::questions::Selectors;
use crate::{
    convert::Door,
    limits::SERIES_PERIODS_MAX,
    model::{
        fault::Reason,
        period::{Period, Span, WrittenPeriod},
        query::{Slot, Step, Time},
    },
};

pub(super) fn read_time(door: &mut Door, selectors: &Selectors<'_>) -> Option<Time> {
    let span = selectors.span.filter(|(from, to, step)| !from.is_empty() || !to.is_empty() || *step != 0);
    match (selectors.on, selectors.period, span) {
        ("", "", None) if selectors.span.is_some() => {
            door.missing("on", "says which day is counted, such as 2017-08-17; or give a period, or from, to and step");
            None
        }
        ("", "", None) => {
            door.missing("on", "says which day is counted, such as 2017-08-17; or give a period");
            None
        }
        (on, "", None) => door.day("on", on).map(Time::On),
        ("", period, None) => match door.required("period", period, Reason::InvalidPeriod)? {
            WrittenPeriod::Days(days) if days.span().last_day.is_none() => {
                door.add("period", Reason::InvalidPeriod, "needs a last day, for that is the day counted");
                None
            }
            period => Some(Time::Period(period)),
        },
        ("", "", Some(span)) => read_series(door, span).map(Time::Series),
        (_, "", Some(_)) | ("", _, Some(_)) => {
            door.add("from", Reason::ConflictingFields, "give on, or period, or from, to and step");
            None
        }
        (_, _, _) => {
            door.add("period", Reason::ConflictingFields, "give on or period, not both");
            None
        }
    }
}

/// The periods of the calendar that fill a span.
fn read_series(door: &mut Door, (from, to, step): (&str, &str, i32)) -> Option<Vec<Slot>> {
    let mut end = |path: &str, text: &str| match door.required(path, text, Reason::InvalidPeriod)? {
        WrittenPeriod::Days(days) => Some(days.span()),
        WrittenPeriod::Term(_) => {
            door.add(
                path,
                Reason::InvalidPeriod,
                "a term is no period of the calendar; write a year, quarter, month or day",
            );
            None
        }
    };
    let (first, last) = (end("from", from), end("to", to));
    let step: Option<Step> = door.required_enum("step", step);
    let first_day = first.map(|span| span.first_day);
    let last_day = last.map(|span| span.last_day);
    for (path, day) in [("from", first_day), ("to", last_day)] {
        if day == Some(None) {
            door.add(path, Reason::InvalidPeriod, "is open; a series has a first and a last day");
        }
    }
    let (first_day, last_day, step) = (first_day??, last_day??, step?);
    if last_day < first_day {
        door.add("to", Reason::InvalidPeriod, format!("ends on {last_day}, before the span begins on {first_day}"));
        return None;
    }
    let mut slots = Vec::new();
    let mut day = first_day;
    while day <= last_day {
        if slots.len() == SERIES_PERIODS_MAX {
            let message =
                format!("the span has more than {SERIES_PERIODS_MAX} periods; take a longer step, or ask in parts");
            door.add("step", Reason::TooMany, message);
            return None;
        }
        let fits = slot(day, step).filter(|slot| slot.day <= last_day);
        let Some(slot) = fits else {
            let message = format!(
                "the days from {first_day} to {last_day} are no whole number of such periods: none begins on {day} and ends by then"
            );
            door.add("step", Reason::InvalidStep, message);
            return None;
        };
        let next = slot.day.tomorrow();
        slots.push(slot);
        match next {
            Ok(next) => day = next,
            // The last day there is.
            Err(_) => break,
        }
    }
    Some(slots)
}

/// The period of that length that begins on a day; none if none does.
fn slot(day: Date, step: Step) -> Option<Slot> {
    let (year, month) = (day.year(), day.month());
    let months = match step {
        Step::Day => 0,
        Step::Month => 1,
        Step::Quarter => 3,
        Step::HalfYear => 6,
        Step::Year => 12,
    };
    let period = match step {
        Step::Day => day.to_string(),
        _ if day.day() != 1 || (month - 1) % months != 0 => return None,
        Step::Month => format!("{year:04}-{month:02}"),
        Step::Quarter => format!("{year:04}-Q{}", (month - 1) / 3 + 1),
        Step::HalfYear => format!("{year:04}-S{}", (month - 1) / 6 + 1),
        Step::Year => format!("{year:04}"),
    };
    let span = period.parse::<Period>().ok()?.span();
    Some(Slot { period, day: span.last_day?, span: Some(Span { ..span }) })
}
