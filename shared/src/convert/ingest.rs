//! IngestService through the door.

use proto::v1;

use super::{Door, digest, report, timestamp};
use crate::{
    change::{Change, Entry},
    model::{
        fault::{Fault, Reason},
        ids::ReportName,
        log::{RequestKey, Revision},
        report::ReportDraft,
    },
};

/// SubmitReport as a command.
#[derive(Clone, Debug)]
pub struct SubmitCommand {
    /// What the call said about being repeated.
    pub request: Option<RequestKey>,
    /// Whether only the checks are asked for.
    pub validate_only: bool,
    /// Revision of the newest version that the caller knows; 0: none.
    pub expected_revision: Option<Revision>,
    /// The report.
    pub draft: ReportDraft,
}

/// SubmitReport.
///
/// # Errors
/// Every fault of form.
pub fn submit(request: &v1::SubmitReportRequest) -> Result<SubmitCommand, Fault> {
    let mut door = Door::default();
    let expected_revision = request.expected_revision.and_then(|number| {
        let message = "is negative; 0 means that the report is new";
        Revision::try_from(number).map_err(|_| door.add("expected_revision", Reason::InvalidNumber, message)).ok()
    });
    let draft = match &request.report {
        Some(report) => report::read_draft(&mut door, report),
        None => {
            door.missing("report", "is required");
            None
        }
    };
    // expected_revision is a condition, not content: a retry may come with what the first try has changed.
    let key = door.request_key(&request.request_id, || digest("SubmitReport", draft.iter().map(report::write_draft)));
    let validate_only = request.validate_only;
    door.finish(draft.map(|draft| SubmitCommand { request: key, validate_only, expected_revision, draft }))
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

/// The report of an entry as the API writes it, with what the entry knows of it; nothing if the entry is none of a report.
pub fn report_of(entry: &Entry) -> Option<v1::Report> {
    let Change::ReportSubmitted(report) = &entry.change else { return None };
    let mut wired = report::write(report);
    wired.revision = entry.revision.as_i64();
    wired.record_time = Some(timestamp(entry.record_time));
    Some(wired)
}
