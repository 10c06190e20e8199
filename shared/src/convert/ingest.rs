//! IngestService through the door.

use proto::v1;

use super::{Door, digest, enums::Wire, finding, report, timestamp};
use crate::{
    change::{Change, Entry},
    limits::NOTE_CHARS_MAX,
    model::{
        command::{Command, FindingFilter, SubmitRequest, VersionsQuery, WithdrawRequest},
        fault::{Fault, Reason, Violations},
        finding::FindingRow,
        ids::{ReportName, UnitId},
        log::{RequestKey, Revision},
        report::{Observation, ReadReport, compare},
        unit::Organ,
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
    let id = door.request_id(&request.request_id);
    let violations = door.violations;
    if !violations.is_empty() {
        return Err(Box::new(Unreadable { violations, report }));
    }
    let Some(draft) = report.and_then(ReadReport::complete) else {
        return Err(Box::new(Unreadable { violations, report: None }));
    };
    // expected_revision is a condition, not content: a retry may come with what the first try has changed.
    let key = id.map(|id| RequestKey { id, digest: digest("SubmitReport", [report::write_draft(&draft)]) });
    let content = SubmitRequest { expected_revision, draft };
    Ok(Command { request: key, validate_only: request.validate_only, content })
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

/// ListReportVersions.
///
/// # Errors
/// Every fault of form.
pub fn list_report_versions(request: &v1::ListReportVersionsRequest) -> Result<(ReportName, PageRequest), Fault> {
    let mut door = Door::default();
    let name = door.required("name", &request.name, Reason::InvalidId);
    let rows = door.page_size(request.page_size);
    let query = v1::ListReportVersionsRequest { name: request.name.clone(), ..Default::default() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListReportVersions", [query]) };
    door.finish(name.map(|name| (name, page)))
}

/// The report and the versions that CompareReportVersions names.
///
/// # Errors
/// Every fault of form.
pub fn compare_report_versions(request: &v1::CompareReportVersionsRequest) -> Result<VersionsQuery, Fault> {
    let mut door = Door::default();
    let name = door.required("name", &request.name, Reason::InvalidId);
    let base = door.version("base_version", request.base_version).filter(|_| request.base_version != 0);
    let version = door.version("version", request.version).filter(|_| request.version != 0);
    door.finish(name.map(|name| VersionsQuery { name, base, version }))
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

/// The receipt of a report of a stream, from its entry; nothing if the entry is none of a report.
pub fn stream_receipt(entry: &Entry) -> Option<v1::submit_reports_response::Receipt> {
    let Change::ReportSubmitted(report) = &entry.change else { return None };
    Some(v1::submit_reports_response::Receipt {
        revision: Some(entry.revision.as_i64()),
        report: report.name.to_string(),
        version: i32::try_from(report.version).unwrap_or(i32::MAX),
        findings: entry.findings.iter().map(finding::write).collect(),
    })
}

/// The withdrawal of an entry as the API writes it; nothing if the entry is none.
pub fn withdrawal_of(entry: &Entry) -> Option<v1::Withdrawal> {
    let Change::ReportWithdrawn { name, reason } = &entry.change else { return None };
    Some(v1::Withdrawal { report: name.to_string(), reason: reason.clone(), revision: entry.revision.as_i64() })
}

/// A version or a withdrawal as ListReportVersions writes it; nothing if the entry is neither.
pub fn version_row(entry: &Entry) -> Option<v1::list_report_versions_response::Row> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let row = v1::list_report_versions_response::Row {
        revision: entry.revision.as_i64(),
        record_time: Some(timestamp(entry.record_time)),
        ..Default::default()
    };
    match &entry.change {
        Change::ReportSubmitted(report) => Some(v1::list_report_versions_response::Row {
            version: i32::try_from(report.version).unwrap_or(i32::MAX),
            sender: report.sender.clone(),
            source: Some(report::write_source(&report.source)),
            observation_count: count(report.observations.len()),
            finding_count: count(entry.findings.len()),
            ..row
        }),
        Change::ReportWithdrawn { reason, .. } => {
            Some(v1::list_report_versions_response::Row { withdrawal_reason: reason.clone(), ..row })
        }
        _ => None,
    }
}

/// What differs between two versions, as the API writes it; nothing if an entry is none of a report.
pub fn comparison(base: &Entry, newer: &Entry) -> Option<v1::CompareReportVersionsResponse> {
    let (Change::ReportSubmitted(before), Change::ReportSubmitted(after)) = (&base.change, &newer.change) else {
        return None;
    };
    let head = |entry| report_of(entry).map(|report| v1::Report { observations: Vec::new(), ..report });
    let differences = compare(before, after);
    let field = |(path, before, after): (&str, String, String)| v1::compare_report_versions_response::FieldChange {
        path: path.to_owned(),
        before,
        after,
    };
    let organ = (before.organ != after.organ).then(|| {
        let name = |organ: Organ| organ.to_proto().as_str_name().to_owned();
        ("report.organ", name(before.organ), name(after.organ))
    });
    let write = |observation: Option<&Observation>| observation.map(report::write_observation);
    let observation = |(before, after)| v1::compare_report_versions_response::ObservationChange {
        before: write(before),
        after: write(after),
    };
    Some(v1::CompareReportVersionsResponse {
        base: head(base),
        report: head(newer),
        fields: organ.into_iter().chain(differences.fields).map(field).collect(),
        observations: differences.observations.into_iter().map(observation).collect(),
    })
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
