//! IngestService through the door.

use proto::v1;

use super::{Door, digest, report, timestamp};
use crate::{
    change::{Change, Entry},
    model::{
        command::{Command, SubmitRequest},
        fault::{Fault, Reason},
        ids::ReportName,
        log::Revision,
    },
};

/// SubmitReport.
///
/// # Errors
/// Every fault of form.
pub fn submit(request: &v1::SubmitReportRequest) -> Result<Command<SubmitRequest>, Fault> {
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
    let content = draft.map(|draft| SubmitRequest { expected_revision, draft });
    door.finish(content.map(|content| Command { request: key, validate_only, content }))
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
