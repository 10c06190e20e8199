//! What is odd about a report. A finding refuses nothing: it is the document that says so.
//!
//! Every rule is one function with one paragraph:
//!
//! | rule | where | looks at |
//! |---|---|---|
//! | STATED_PERCENT_TRUNCATED, STATED_PERCENT_CONTRADICTS, STATED_PERCENTS_SUM | `stated` | the report |
//! | PARTS_CONTRADICT_TOTAL, BALANCE_CONTRADICTS | `parts` | the report |
//! | INDEX_AS_INCREASE, AMBIGUOUS_CHANGE | `growth` | the report |
//! | POINTS_AS_PERCENT | `growth` | the report and what was said before |
//! | PERIOD_ENDS_AFTER_PUBLICATION, UNIT_LIVES_PARTLY, NOT_APPLICABLE_THEN, UNKNOWN_FORM | `time` | the report and the registry |
//! | SOURCES_DISAGREE | `sources` | what other reports say |
//! | CHILDREN_CONTRADICT | `children` | what other reports say |
//! | MIXED_SCRIPTS | here | the texts |

mod children;
mod growth;
mod looks;
mod parts;
mod said;
mod sources;
mod stated;
mod time;

use jiff::civil::Date;
use shared::{
    limits::FINDINGS_BYTES_MAX,
    model::{
        finding::{Finding, FindingReason, Severity},
        ids::{IndicatorId, ReportName},
        indicator::Indicator,
        log::Revision,
        period::Period,
        report::{Observation, Report, ReportDraft},
        text,
        unit::Unit,
    },
    registry::{Registry, Versions},
};

pub(super) use self::{
    looks::Looks,
    said::{Claims, Said},
};

/// What is known of the indicator of an observation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defined<'a> {
    /// The version that holds on the last day of the report's period.
    pub(super) then: Option<&'a Indicator>,
    /// The newest version.
    pub(super) newest: Option<&'a Indicator>,
}

/// What is known of the indicator of each observation, looked up once for all rules.
pub(super) fn defined<'a>(
    registry: &'a Registry,
    last_day: Option<Date>,
    observations: &[Observation],
) -> Vec<Defined<'a>> {
    let look_up = |observation: &Observation| {
        let versions = registry.indicator_versions(&observation.indicator);
        let then = versions.and_then(|versions| versions.on(last_day, |indicator| indicator.valid_from));
        Defined { then, newest: versions.and_then(Versions::newest) }
    };
    observations.iter().map(look_up).collect()
}

/// The definitions by which a report is read: those that hold on the last day of its period.
#[derive(Clone, Copy, Debug)]
struct Definitions<'a> {
    registry: &'a Registry,
    last_day: Option<Date>,
}

impl<'a> Definitions<'a> {
    fn of(self, indicator: &IndicatorId) -> Option<&'a Indicator> {
        self.registry.indicator_on(indicator, self.last_day)
    }
}

/// What the report itself and the registry tell: everything but other reports.
pub(super) fn of_draft(
    registry: &Registry,
    draft: &ReportDraft,
    period: &Period,
    defined: &[Defined<'_>],
) -> Vec<Finding> {
    let definitions = Definitions { registry, last_day: period.span().last_day };
    let observations = &draft.observations;
    let mut findings = stated::check(definitions, observations);
    findings.extend(parts::parts_and_totals(definitions, observations));
    findings.extend(parts::balances(defined, observations));
    findings.extend(growth::index_as_increase(definitions, period, observations));
    findings.extend(growth::ambiguous(observations));
    findings.extend(time::ends_after_publication(draft, period));
    findings.extend(time::lives_partly(registry, &draft.unit, period));
    findings.extend(time::not_applicable_then(registry, defined, &draft.unit, period, observations));
    findings.extend(time::unknown_form(registry, &draft.form));
    findings.extend(mixed_scripts("report.source.title", &draft.source.title));
    findings.extend(mixed_scripts("report.sender", &draft.sender));
    findings.extend(mixed_scripts("report.note", &draft.note));
    for (index, observation) in observations.iter().enumerate() {
        findings.extend(mixed_scripts(format_args!("report.observations[{index}].note"), &observation.note));
    }
    findings
}

/// What other reports that count tell. Where [`Looks::find_nothing`] says so, it is nothing.
pub(super) fn of_others(registry: &Registry, report: &Report, said: &Said) -> Vec<Finding> {
    let definitions = Definitions { registry, last_day: report.period.span().last_day };
    let mut findings = sources::check(registry, report, said);
    findings.extend(children::check(definitions, report, said));
    findings.extend(growth::points_as_percent(definitions, report, said));
    findings
}

/// The finding with the other versions that it is about: the newest ones by name, for they are the most likely to matter,
/// the others counted.
fn about(mut others: Vec<(ReportName, Revision)>, named_max: usize, finding: Finding) -> Finding {
    others.sort_by_key(|(name, version)| (std::cmp::Reverse(*version), *name));
    others.dedup();
    let unnamed_others = others.len().saturating_sub(named_max);
    others.truncate(named_max);
    Finding { others, unnamed_others, ..finding }
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
    mixed_scripts(format_args!("units[{index}].name"), &unit.name).into_iter().collect()
}

/// A word of letters that look alike in two scripts may pass for another word.
fn mixed_scripts(path: impl std::fmt::Display, text: &str) -> Option<Finding> {
    text::mixes_scripts(text).then(|| {
        let message = "a word of it mixes scripts; it may look like another one".to_owned();
        warning(FindingReason::MixedScripts, &path.to_string(), message)
    })
}

fn warning(reason: FindingReason, path: &str, message: String) -> Finding {
    Finding { severity: Severity::Warning, ..info(reason, path, message) }
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
