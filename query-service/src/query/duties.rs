//! What is owed, and what became of it?
//!
//! The unit that lives on the last day of a period owes the report for it. A form is owed under a unit; where that one has
//! ended, by those that came of the units that owed it on its last day. So a duty goes with the units through mergers and
//! divisions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};
use shared::{
    limits::DUTY_PERIODS_MAX,
    model::{
        fault::{Fault, Reason},
        form::{DutyState, Form, Frequency},
        ids::UnitId,
        period::{Period, Span},
        query::{DutiesQuery, DutyRow},
    },
    registry::{Registry, UnitRecord, Versions},
};

use super::select;
use crate::index::Known;

/// At most `rows_max` duties after the one with the key `after`, in the order of unit and period, and the day by which they
/// were judged.
///
/// # Errors
/// `FormNotFound`, `UnitNotFound`; `TooMany` periods.
pub fn duties(
    known: &Known<'_>,
    query: &DutiesQuery,
    now: Timestamp,
    after: &str,
    rows_max: usize,
) -> Result<(Vec<DutyRow>, Date), Fault> {
    let registry = known.registry();
    let not_found = || Fault::new(Reason::FormNotFound, format!("form {} is not defined", query.form));
    let versions = registry.form(&query.form).ok_or_else(not_found)?;
    let newest = versions.newest().ok_or_else(not_found)?;
    let today = query.as_of.unwrap_or_else(|| newest.day_of(now));
    let mut owed: BTreeMap<String, Owed<'_>> = BTreeMap::new();
    for (form, period) in periods(versions, query)? {
        for owed_here in owing(registry, form, period, query)? {
            if owed_here.key().as_str() > after {
                owed.insert(owed_here.key(), owed_here);
            }
        }
    }
    let rows = owed.into_values().take(rows_max).map(|owed| row(known, &owed, today)).collect();
    Ok((rows, today))
}

/// A report that a unit owes for a period.
struct Owed<'a> {
    form: &'a Form,
    unit: &'a UnitId,
    period: Period,
    last_day: Date,
}

impl Owed<'_> {
    fn key(&self) -> String {
        // Below every character of an id, so that keys have the order of their parts.
        const SEPARATOR: char = ' ';
        let first_day = self.period.span().first_day.map(|day| day.to_string()).unwrap_or_default();
        format!("{}{SEPARATOR}{}{SEPARATOR}{first_day}", self.unit, self.last_day)
    }
}

/// The periods that end in the span that is asked for, each with the version of the form that holds on its last day. No
/// period stands for the terms, which differ from unit to unit.
fn periods<'a>(versions: &'a Versions<Form>, query: &DutiesQuery) -> Result<Vec<(&'a Form, Option<Period>)>, Fault> {
    let mut found = Vec::new();
    for form in (1..=versions.count()).filter_map(|number| versions.numbered(number)) {
        let Some(frequency) = form.frequency else { continue };
        if frequency == Frequency::PerTerm {
            found.push((form, None));
            continue;
        }
        for period in frequency.periods_ending_in(query.first_day, query.last_day, DUTY_PERIODS_MAX + 1) {
            if holds(versions, form, &period.span()) {
                found.push((form, Some(period)));
            }
        }
    }
    if found.len() > DUTY_PERIODS_MAX {
        let message = format!("more than {DUTY_PERIODS_MAX} periods end in it; ask for a shorter period");
        return Err(Fault::new(Reason::TooMany, message));
    }
    Ok(found)
}

/// Whether a version of a form is the one that holds on the last day of a period.
fn holds(versions: &Versions<Form>, form: &Form, span: &Span) -> bool {
    let last_day = span.last_day;
    let is_it = versions.on(last_day, |form| form.valid_from).is_some_and(|holds| holds.version == form.version);
    let has_begun = form.valid_from.is_none_or(|first| last_day.is_some_and(|last| first <= last));
    let goes_on = form.valid_until.is_none_or(|until| last_day.is_some_and(|last| last <= until));
    is_it && has_begun && goes_on
}

/// Who owes a form for a period, as far as it is asked for.
fn owing<'a>(
    registry: &'a Registry,
    form: &'a Form,
    period: Option<Period>,
    query: &DutiesQuery,
) -> Result<Vec<Owed<'a>>, Fault> {
    let asked = |day: Date| -> Result<Option<BTreeSet<&UnitId>>, Fault> {
        let Some(selector) = &query.units else { return Ok(None) };
        Ok(Some(select::select(registry, selector, day)?.into_iter().map(|unit| &unit.id).collect()))
    };
    let mut found = Vec::new();
    if let Some(period) = period {
        let Some(last_day) = period.span().last_day else { return Ok(found) };
        let asked = asked(last_day)?;
        let units = owing_on(registry, form, last_day).into_iter();
        let units = units.filter(|unit| asked.as_ref().is_none_or(|asked| asked.contains(unit)));
        found.extend(units.map(|unit| Owed { form, unit, period: period.clone(), last_day }));
        return Ok(found);
    }
    // Terms: each unit has its own. Those that owe at one end of the span or at the other are asked.
    let span = Span { first_day: Some(query.first_day), last_day: Some(query.last_day) };
    let days = [query.first_day, query.last_day];
    let units: BTreeSet<&UnitId> = days.into_iter().flat_map(|day| owing_on(registry, form, day)).collect();
    let versions = registry.form(&form.id);
    for unit in units {
        for term in registry.terms_of(unit, form.organ, &span) {
            let Some(last_day) = term.end_on.filter(|last| span.contains(*last)) else { continue };
            let is_owed = versions.is_some_and(|versions| holds(versions, form, &term.span()));
            let is_asked = asked(last_day)?.is_none_or(|asked| asked.contains(unit));
            if is_owed && is_asked && owing_on(registry, form, last_day).contains(unit) {
                let period = Period::of_term(&term.key.label, term.span());
                found.push(Owed { form, unit, period, last_day });
            }
        }
    }
    Ok(found)
}

/// The units that owe a form on a day.
fn owing_on<'a>(registry: &'a Registry, form: &Form, day: Date) -> BTreeSet<&'a UnitId> {
    let ended_on = registry.record_of(&form.under).and_then(UnitRecord::life).and_then(|life| life.last_day);
    let standing_on = ended_on.filter(|ended| *ended < day).unwrap_or(day);
    let owed: Vec<&UnitId> = match form.level {
        None => registry.unit_on(&form.under, standing_on).map(|unit| &unit.id).into_iter().collect(),
        Some(level) => {
            let subtree = registry.subtree_on(&form.under, standing_on);
            subtree.filter(|unit| unit.level == level).map(|unit| &unit.id).collect()
        }
    };
    if standing_on == day {
        return owed.into_iter().collect();
    }
    owed.into_iter().flat_map(|unit| heirs(registry, unit, standing_on, day)).collect()
}

/// The unit itself if it lives on that day, else those that live of what it became after a day that it lived on.
fn heirs<'a>(registry: &'a Registry, unit: &UnitId, after: Date, day: Date) -> BTreeSet<&'a UnitId> {
    if let Some(unit) = registry.unit_on(unit, day) {
        return [&unit.id].into();
    }
    let span = Span { first_day: Some(after), last_day: Some(day) };
    let paths = registry.successors(unit, &span);
    let ends = paths.iter().filter_map(|path| path.0.last()).filter_map(|step| registry.unit_on(&step.into, day));
    ends.map(|unit| &unit.id).collect()
}

fn row(known: &Known<'_>, owed: &Owed<'_>, today: Date) -> DutyRow {
    let (registry, Owed { form, unit, period, last_day }) = (known.registry(), owed);
    let due = form.due.and_then(|due| due.of(*last_day));
    let waiver = registry.waiver(&form.id, unit, period.span());
    // Of several reports the one that came first counts, and only what had come by the day.
    let received = known.filed(&form.id, unit).into_iter().filter(|(filed, _)| filed.span == period.span());
    let received = received.map(|(filed, first)| (form.day_of(first), first, filed)).filter(|(on, ..)| *on <= today);
    let received = received.min_by_key(|(_, first, filed)| (*first, filed.report));
    let missing_indicators = received.as_ref().map_or_else(Vec::new, |(.., filed)| {
        form.indicators.iter().filter(|indicator| !filed.indicators.contains(*indicator)).cloned().collect()
    });
    let received = received.map(|(on, _, filed)| (filed.report, on));
    let sees_to_it_on = due.map_or(today, |(due_on, _)| due_on);
    let responsible = heirs(registry, unit, *last_day, sees_to_it_on.max(*last_day)).into_iter().cloned().collect();
    DutyRow {
        key: owed.key(),
        form: form.id.clone(),
        form_version: form.version,
        unit: (*unit).clone(),
        name: registry.unit_on(unit, *last_day).map(|unit| unit.name.clone()).unwrap_or_default(),
        period: period.clone(),
        due,
        state: DutyState::on(today, waiver.is_some(), received.map(|(_, on)| on), due.map(|(_, until)| until)),
        responsible,
        received,
        missing_indicators,
        waiver_reason: waiver.map(|waiver| waiver.reason.clone()).unwrap_or_default(),
    }
}
