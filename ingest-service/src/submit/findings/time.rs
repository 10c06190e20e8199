//! What a report says about days on which it cannot be so, or not for all of it.

use jiff::civil::Date;
use shared::{
    model::{
        finding::{Finding, FindingReason},
        ids::UnitId,
        period::Period,
        report::{Observation, ReportDraft, Scope, Value},
    },
    registry::{Registry, UnitRecord},
};

use super::{Defined, info, warning};

/// PERIOD_ENDS_AFTER_PUBLICATION: a figure of what has happened cannot be about days that were still to come. Projections
/// and plans can.
pub(super) fn ends_after_publication(draft: &ReportDraft, period: &Period) -> Option<Finding> {
    let published_on = draft.source.published_on?;
    let last_day = period.span().last_day;
    let looks_back = draft.observations.iter().any(|observation| !observation.basis.looks_ahead());
    if !looks_back || last_day.is_some_and(|last_day| last_day <= published_on) {
        return None;
    }
    let end = last_day.map_or_else(|| "is open".to_owned(), |last_day| format!("ends on {last_day}"));
    let message = format!("{} {end}, the report was published on {published_on}", period.written());
    Some(info(FindingReason::PeriodEndsAfterPublication, "report.period", message))
}

/// UNIT_LIVES_PARTLY: the unit begins after the first day of the period, or ends before its last. Open ends and unknown
/// starts say nothing.
pub(super) fn lives_partly(registry: &Registry, unit: &UnitId, period: &Period) -> Option<Finding> {
    let (life, span) = (registry.record_of(unit).and_then(UnitRecord::life)?, period.span());
    let begins = life.first_day.filter(|begins| span.first_day.is_some_and(|first| first < *begins));
    let ends = life.last_day.filter(|ends| span.last_day.is_some_and(|last| *ends < last));
    let message = match (begins, ends) {
        (None, None) => return None,
        (Some(begins), None) => format!("{unit} begins on {begins}, in {}", period.written()),
        (None, Some(ends)) => format!("{unit} ends on {ends}, in {}", period.written()),
        (Some(begins), Some(ends)) => format!("{unit} lives from {begins} to {ends}, a part of {}", period.written()),
    };
    Some(info(FindingReason::UnitLivesPartly, "report.period", message))
}

/// NOT_APPLICABLE_THEN: a value of a unit about which, by the definition, the question did not arise on the first or the
/// last day of the period on which it lived.
pub(super) fn not_applicable_then(
    registry: &Registry,
    defined: &[Defined<'_>],
    unit: &UnitId,
    period: &Period,
    observations: &[Observation],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, (observation, defined)) in observations.iter().zip(defined).enumerate() {
        let Some(indicator) = defined.then else { continue };
        if matches!(observation.value, Value::Missing(_))
            || indicator.levels.is_empty() && indicator.not_applicable.is_empty()
        {
            continue;
        }
        let units: &[UnitId] = match observation.scope {
            Scope::Own => std::slice::from_ref(unit),
            Scope::Group if observation.value.is_said_of_each() => &observation.units,
            Scope::Group | Scope::Children | Scope::Subtree => continue,
        };
        let found = units.iter().find_map(|unit| {
            days(registry, unit, period).into_iter().find_map(|day| {
                let state = registry.unit_on(unit, day)?;
                let why = registry.not_applicable_on(indicator, state, day)?;
                Some(format!("on {day} the question of {} did not arise for {unit}: {why}", indicator.id))
            })
        });
        let path = format!("report.observations[{index}]");
        findings.extend(found.map(|message| warning(FindingReason::NotApplicableThen, &path, message)));
    }
    findings
}

/// The first and the last day of a period on which a unit lives; any day it lived for one without days.
fn days(registry: &Registry, unit: &UnitId, period: &Period) -> Vec<Date> {
    let life = registry.record_of(unit).and_then(UnitRecord::life);
    let Some(common) = life.and_then(|life| life.intersection(&period.span())) else { return Vec::new() };
    let mut days: Vec<Date> = common.first_day.into_iter().chain(common.last_day).collect();
    days.dedup();
    days
}

/// UNKNOWN_FORM: the report says that it fulfils a form that is not defined, so it fulfils no duty.
pub(super) fn unknown_form(registry: &Registry, form: &str) -> Option<Finding> {
    let id = form.parse().ok()?;
    registry.form(&id).is_none().then(|| {
        let message = format!("form {form} is not defined, so the report fulfils no duty");
        info(FindingReason::UnknownForm, "report.form", message)
    })
}
