//! What is odd about a report: each rule in a function of its own. A finding refuses nothing.

mod sources;
mod stated;

use shared::{
    limits::FINDINGS_BYTES_MAX,
    model::{
        finding::{Finding, FindingReason, Severity},
        period::Period,
        report::{Report, ReportDraft},
        text,
        unit::Unit,
    },
    registry::Registry,
};

pub(super) use sources::Said;

/// What the report itself and the registry tell: everything but other reports.
pub(super) fn of_draft(registry: &Registry, draft: &ReportDraft, period: &Period) -> Vec<Finding> {
    let mut findings = stated::check(registry, &draft.observations);
    findings.extend(ends_after_publication(draft, period));
    findings.extend(mixed_scripts("report.source.title", &draft.source.title));
    findings.extend(mixed_scripts("report.note", &draft.note));
    for (index, observation) in draft.observations.iter().enumerate() {
        findings.extend(mixed_scripts(&format!("report.observations[{index}].note"), &observation.note));
    }
    findings
}

/// What other reports that count about the same unit tell.
pub(super) fn of_others(registry: &Registry, report: &Report, said: &Said) -> Vec<Finding> {
    sources::check(registry, report, said)
}

/// No more findings than an entry has room for: warnings before the rest, and a last one that counts what is left out.
pub(super) fn bounded(mut findings: Vec<Finding>) -> Vec<Finding> {
    let bytes = |finding: &Finding| 64 + finding.path.len() + finding.message.len() + 40 * finding.others.len();
    let total: usize = findings.iter().map(bytes).sum();
    if total <= FINDINGS_BYTES_MAX {
        return findings;
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut room = FINDINGS_BYTES_MAX;
    let fits = findings.iter().take_while(|finding| {
        let fits = bytes(finding) <= room;
        room = room.saturating_sub(bytes(finding));
        fits
    });
    let kept = fits.count();
    let left_out = findings.split_off(kept);
    let message = format!("and {} more findings that are not listed", left_out.len());
    findings.push(Finding {
        severity: left_out.first().map_or(Severity::Info, |finding| finding.severity),
        ..info(FindingReason::MoreFindings, "report", message)
    });
    findings
}

/// Every finding about a unit that stands at this place of a request.
pub(super) fn of_unit(unit: &Unit, index: usize) -> Vec<Finding> {
    mixed_scripts(&format!("units[{index}].name"), &unit.name).into_iter().collect()
}

/// A figure of what has happened cannot be about days that were still to come. Projections and plans can.
fn ends_after_publication(draft: &ReportDraft, period: &Period) -> Option<Finding> {
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
