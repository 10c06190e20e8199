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
    let not_found = || {
        Fault::at(
            "form",
            Reason::FormNotFound,
            format!("{} is not defined; ListForms lists those that are", query.form),
        )
    };
    let versions = registry.form(&query.form).ok_or_else(not_found)?;
    let newest = versions.newest().ok_or_else(not_found)?;
    let today = query.as_of.unwrap_or_else(|| newest.day_of(now));
    let after = Key::read(after);
    // Only what fits on the page is kept.
    let mut owed: BTreeMap<Key, Owed<'_>> = BTreeMap::new();
    for due in dues(registry, versions, query)? {
        let asked = match &query.units {
            Some(selector) => Some(select::select(registry, selector, due.last_day)?),
            None => None,
        };
        let asked: Option<BTreeSet<&UnitId>> = asked.map(|units| units.into_iter().map(|unit| &unit.id).collect());
        for unit in owing_on(registry, due.form, due.last_day) {
            if asked.as_ref().is_some_and(|asked| !asked.contains(unit)) {
                continue;
            }
            if after.as_ref().is_some_and(|after| unit < &after.unit) {
                continue;
            }
            for period in due.periods(registry, unit) {
                let key = Key { unit: unit.clone(), last_day: due.last_day, first_day: period.span().first_day };
                let is_after = after.as_ref().is_none_or(|after| key > *after);
                let fits = owed.len() < rows_max || owed.last_key_value().is_some_and(|(last, _)| key < *last);
                if is_after && fits {
                    owed.insert(key, Owed { form: due.form, unit, period, last_day: due.last_day });
                }
                if owed.len() > rows_max {
                    owed.pop_last();
                }
            }
        }
    }
    let rows = owed.into_iter().map(|(key, owed)| row(known, &key, &owed, today)).collect();
    Ok((rows, today))
}

/// What orders duties.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    unit: UnitId,
    last_day: Date,
    first_day: Option<Date>,
}

impl Key {
    /// As the token of a page holds it; none for the first page.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (unit, last_day) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { unit, last_day, first_day: parts.next().and_then(|day| day.parse().ok()) })
    }

    fn write(&self) -> String {
        let first_day = self.first_day.map(|day| day.to_string()).unwrap_or_default();
        format!("{} {} {first_day}", self.unit, self.last_day)
    }
}

/// A report that a unit owes for a period.
struct Owed<'a> {
    form: &'a Form,
    unit: &'a UnitId,
    period: Period,
    last_day: Date,
}

/// A day on which periods end for which a form is owed, and the version of the form that holds on it.
struct DueFor<'a> {
    form: &'a Form,
    last_day: Date,
    /// The period of the calendar; none: the terms of each unit that end on the day.
    period: Option<Period>,
}

impl DueFor<'_> {
    /// The periods that end on the day, for a unit that owes the form then.
    fn periods(&self, registry: &Registry, unit: &UnitId) -> Vec<Period> {
        if let Some(period) = &self.period {
            return vec![period.clone()];
        }
        let on_the_day = Span { first_day: Some(self.last_day), last_day: Some(self.last_day) };
        let terms = registry.terms_of(unit, self.form.organ, &on_the_day).into_iter();
        let terms = terms.filter(|term| term.end_on == Some(self.last_day));
        terms.map(|term| Period::of_term(&term.key.label, term.span())).collect()
    }
}

/// The days in the span that is asked for on which periods end.
fn dues<'a>(registry: &Registry, versions: &'a Versions<Form>, query: &DutiesQuery) -> Result<Vec<DueFor<'a>>, Fault> {
    let asked = Span { first_day: Some(query.first_day), last_day: Some(query.last_day) };
    let mut found = Vec::new();
    for form in (1..=versions.count()).filter_map(|number| versions.numbered(number)) {
        let Some(frequency) = form.frequency else { continue };
        if frequency == Frequency::PerTerm {
            let terms = registry.terms_after("").filter(|term| term.value.key.organ == form.organ);
            let ends: BTreeSet<Date> = terms.filter_map(|term| term.value.end_on).collect();
            let ends = ends.into_iter().filter(|end| asked.contains(*end) && holds(versions, form, *end));
            found.extend(ends.map(|last_day| DueFor { form, last_day, period: None }));
        } else {
            let periods = frequency.periods_ending_in(query.first_day, query.last_day, DUTY_PERIODS_MAX + 1);
            found.extend(periods.into_iter().filter_map(|period| {
                let last_day = period.span().last_day.filter(|last_day| holds(versions, form, *last_day))?;
                Some(DueFor { form, last_day, period: Some(period) })
            }));
        }
    }
    if found.len() > DUTY_PERIODS_MAX {
        let message = format!("more than {DUTY_PERIODS_MAX} periods end in it; ask for a shorter period");
        return Err(Fault::new(Reason::TooMany, message));
    }
    Ok(found)
}

/// Whether a version of a form is the one that holds on a day.
fn holds(versions: &Versions<Form>, form: &Form, day: Date) -> bool {
    let is_it = versions.on(Some(day), |form| form.valid_from).is_some_and(|holds| holds.version == form.version);
    let has_begun = form.valid_from.is_none_or(|first| first <= day);
    is_it && has_begun && form.valid_until.is_none_or(|until| day <= until)
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

/// The unit itself if it lives on that day, else those that live of what it became, or took over its functions, after a day
/// that it lived on.
fn heirs<'a>(registry: &'a Registry, unit: &UnitId, lived_on: Date, day: Date) -> BTreeSet<&'a UnitId> {
    match registry.unit_on(unit, day) {
        Some(unit) => [&unit.id].into(),
        None => registry.counterparts_on(unit, lived_on, day, true),
    }
}

fn row(known: &Known<'_>, key: &Key, owed: &Owed<'_>, today: Date) -> DutyRow {
    let (registry, Owed { form, unit, period, last_day }) = (known.registry(), owed);
    let due = form.due.and_then(|due| due.of(*last_day));
    let waiver = registry.waiver(&form.id, unit, period.span());
    // Of several reports the one that came first counts, and only what had come by the day.
    let received =
        known.filed(&form.id, unit, period.span()).into_iter().filter(|(filed, _)| filed.organ == form.organ);
    let received = received.map(|(filed, first)| (form.day_of(first), first, filed)).filter(|(on, ..)| *on <= today);
    let received = received.min_by_key(|(_, first, filed)| (*first, filed.report));
    let missing_indicators = received.as_ref().map_or_else(Vec::new, |(.., filed)| {
        form.indicators.iter().filter(|indicator| !filed.indicators.contains(*indicator)).cloned().collect()
    });
    let received = received.map(|(on, _, filed)| (filed.report, on));
    let sees_to_it_on = due.map_or(today, |(due_on, _)| due_on);
    let responsible = heirs(registry, unit, *last_day, sees_to_it_on.max(*last_day)).into_iter().cloned().collect();
    DutyRow {
        key: key.write(),
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
