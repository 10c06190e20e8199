//! IngestService through the door.

use proto::v1;

use super::{Door, digest, finding, report, timestamp};
use crate::{
    change::{Change, Entry},
    limits::NOTE_CHARS_MAX,
    model::{
        command::{Command, FindingFilter, SubmitRequest, WithdrawRequest},
        fault::{Fault, Reason, Violations},
        finding::FindingRow,
        ids::{ReportName, UnitId},
        log::Revision,
        report::ReadReport,
    },
    page::PageRequest,
};

/// A submission of which not everything can be read.
#[derive(Debug)]
pub struct Unreadable {
    /// What is wrong with its form; not empty.
    pub violations: Violations,
    /// What can be read, so that the registry can say what else is wrong; none if there is no report at all.
    pub report: Option<ReadReport>,
}

/// SubmitReport.
///
/// # Errors
/// Every fault of form, with what can be read in spite of them.
pub fn submit(request: &v1::SubmitReportRequest) -> Result<Command<SubmitRequest>, Box<Unreadable>> {
    let mut door = Door::default();
    let expected_revision = read_expected(&mut door, request.expected_revision);
    let report = request.report.as_ref().map(|report| report::read_submitted(&mut door, report));
    if report.is_none() {
        door.missing("report", "is required");
    }
    // expected_revision is a condition, not content: a retry may come with what the first try has changed.
    let draft = report.clone().filter(|_| door.violations.is_empty()).and_then(ReadReport::complete);
    let key = door.request_key(&request.request_id, || digest("SubmitReport", draft.iter().map(report::write_draft)));
    let violations = door.violations;
    match draft {
        Some(draft) if violations.is_empty() => {
            let content = SubmitRequest { expected_revision, draft };
            Ok(Command { request: key, validate_only: request.validate_only, content })
        }
        _ => Err(Box::new(Unreadable { violations, report })),
    }
}

/// The report and the version that GetReport names; no version: the newest.
///
/// # Errors
/// Every fault of form.
pub fn get_report(request: &v1::GetReportRequest) -> Result<(ReportName, Option<u32>), Fault> {
    let mut door = Door::default();
    let name = door.required("name", &request.name, Reason::InvalidId);
    let version = match u32::try_from(request.version) {
        Ok(0) => None,
        Ok(version) => Some(version),
        Err(_) => {
            door.add("version", Reason::InvalidNumber, "is negative; 1 is the first version, 0 the newest");
            None
        }
    };
    door.finish(name.map(|name| (name, version)))
}

/// WithdrawReport.
///
/// # Errors
/// Every fault of form.
pub fn withdraw(request: &v1::WithdrawReportRequest) -> Result<Command<WithdrawRequest>, Fault> {
    let mut door = Door::default();
    let name = door.required("name", &request.name, Reason::InvalidId);
    let reason = door.required_text("reason", &request.reason, NOTE_CHARS_MAX);
    let expected_revision = read_expected(&mut door, request.expected_revision);
    let key = door.request_key(&request.request_id, || {
        let content =
            v1::WithdrawReportRequest { name: request.name.clone(), reason: reason.clone(), ..Default::default() };
        digest("WithdrawReport", [content])
    });
    let content = name.map(|name| WithdrawRequest { name, reason, expected_revision });
    door.finish(content.map(|content| Command { request: key, validate_only: request.validate_only, content }))
}

/// ListReports: only reports about this unit, if there is one.
///
/// # Errors
/// Every fault of form.
pub fn list_reports(request: &v1::ListReportsRequest) -> Result<(Option<UnitId>, PageRequest), Fault> {
    let mut door = Door::default();
    let unit = door.optional("unit", &request.unit, Reason::InvalidId);
    let rows = door.page_size(request.page_size);
    let query = v1::ListReportsRequest { unit: request.unit.clone(), ..Default::default() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListReports", [query]) };
    door.finish(Some((unit, page)))
}

/// ListFindings.
///
/// # Errors
/// Every fault of form.
pub fn list_findings(request: &v1::ListFindingsRequest) -> Result<(FindingFilter, PageRequest), Fault> {
    let mut door = Door::default();
    let unit = door.optional("unit", &request.unit, Reason::InvalidId);
    let severity = door.optional_enum("severity", request.severity);
    let rows = door.page_size(request.page_size);
    let query = v1::ListFindingsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListFindings", [query]) };
    door.finish(Some((FindingFilter { unit, severity, include_resolved: request.include_resolved }, page)))
}

fn read_expected(door: &mut Door, number: Option<i64>) -> Option<Revision> {
    number.and_then(|number| {
        let message = "is negative; 0 means that the report is new";
        Revision::try_from(number).map_err(|_| door.add("expected_revision", Reason::InvalidNumber, message)).ok()
    })
}

/// The report of an entry as the API writes it, with what the entry knows of it; nothing if the entry is none of a report.
pub fn report_of(entry: &Entry) -> Option<v1::Report> {
    let Change::ReportSubmitted(report) = &entry.change else { return None };
    let mut wired = report::write(report);
    wired.revision = entry.revision.as_i64();
    wired.record_time = Some(timestamp(entry.record_time));
    wired.findings = entry.findings.iter().map(finding::write).collect();
    Some(wired)
}

/// The withdrawal of an entry as the API writes it; nothing if the entry is none.
pub fn withdrawal_of(entry: &Entry) -> Option<v1::Withdrawal> {
    let Change::ReportWithdrawn { name, reason } = &entry.change else { return None };
    Some(v1::Withdrawal { report: name.to_string(), reason: reason.clone(), revision: entry.revision.as_i64() })
}

/// A row of ListFindings as the API writes it.
pub fn finding_row(row: &FindingRow) -> v1::list_findings_response::Row {
    v1::list_findings_response::Row {
        finding: Some(finding::write(&row.finding)),
        report: row.report.to_string(),
        revision: row.revision.as_i64(),
        unit: row.unit.to_string(),
        is_resolved: row.is_resolved,
    }
}
