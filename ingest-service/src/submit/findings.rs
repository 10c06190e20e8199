//! What is odd about a report: each rule in a function of its own. A finding refuses nothing.

mod sources;
mod stated;

use shared::{
    model::{
        finding::{Finding, FindingReason, Severity},
        log::Revision,
        report::Report,
        text,
        unit::Unit,
    },
    registry::Registry,
};

pub(super) use sources::Said;

/// Every finding about a report, given what the reports that count say about the same unit.
pub(super) fn of_report<'a>(
    registry: &Registry,
    report: &Report,
    others: impl Iterator<Item = &'a Said> + Clone,
) -> Vec<Finding> {
    let mut findings = stated::check(registry, &report.observations);
    findings.extend(sources::check(&Said::of(registry, report, Revision::ZERO), others));
    findings.extend(ends_after_publication(report));
    findings.extend(mixed_scripts("report.source.title", &report.source.title));
    findings.extend(mixed_scripts("report.note", &report.note));
    for (index, observation) in report.observations.iter().enumerate() {
        findings.extend(mixed_scripts(&format!("report.observations[{index}].note"), &observation.note));
    }
    findings
}

/// Every finding about a unit that stands at this place of a request.
pub(super) fn of_unit(unit: &Unit, index: usize) -> Vec<Finding> {
    mixed_scripts(&format!("units[{index}].name"), &unit.name).into_iter().collect()
}

/// A figure of what has happened cannot be about days that were still to come. Projections and plans can.
fn ends_after_publication(report: &Report) -> Option<Finding> {
    let published_on = report.source.published_on?;
    let last_day = report.period.span().last_day;
    let looks_back = report.observations.iter().any(|observation| !observation.basis.looks_ahead());
    if !looks_back || last_day.is_some_and(|last_day| last_day <= published_on) {
        return None;
    }
    let end = last_day.map_or_else(|| "is open".to_owned(), |last_day| format!("ends on {last_day}"));
    let message = format!("{} {end}, the report was published on {published_on}", report.period.written());
    Some(info(FindingReason::PeriodEndsAfterPublication, "report.period", message))
}

/// A word of letters that look alike in two scripts may pass for another word.
fn mixed_scripts(path: &str, text: &str) -> Option<Finding> {
    text::mixes_scripts(text).then(|| {
        let message = "a word of it mixes scripts; it may look like another one".to_owned();
        Finding { severity: Severity::Warning, ..info(FindingReason::MixedScripts, path, message) }
    })
}

fn info(reason: FindingReason, path: &str, message: String) -> Finding {
    Finding {
        severity: Severity::Info,
        reason,
        path: path.to_owned(),
        message,
        hypothesis: None,
        others: Vec::new(),
        unnamed_others: 0,
    }
}
