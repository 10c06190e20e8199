//! Findings through the door.

use proto::v1;

use super::{Door, Wire};
use crate::model::{fault::Reason, finding::Finding, ids::ReportName, log::Revision};

/// A finding as it was stored.
pub(super) fn read(door: &mut Door, finding: &v1::Finding) -> Option<Finding> {
    let severity = door.required_enum("findings.severity", finding.severity);
    let reason = door.required_enum("findings.reason", finding.reason);
    let hypothesis = door.optional_enum("findings.hypothesis", finding.hypothesis);
    let mut others = Vec::with_capacity(finding.others.len());
    for other in &finding.others {
        let name = door.required("findings.others.report", &other.report, Reason::InvalidId);
        let revision = Revision::try_from(other.revision)
            .map_err(|_| door.add("findings.others.revision", Reason::InvalidNumber, "is negative"))
            .ok();
        others.extend(name.zip(revision));
    }
    let (path, message) = (finding.path.clone(), finding.message.clone());
    let unnamed_others = usize::try_from(finding.unnamed_others).unwrap_or_default();
    Some(Finding { severity: severity?, reason: reason?, path, message, hypothesis, others, unnamed_others })
}

/// Whether a finding surely comes back as it is.
pub(super) fn is_surely_readable(finding: &Finding) -> bool {
    let is_named = |(report, revision): &(ReportName, Revision)| report.0 > 0 && i64::try_from(revision.get()).is_ok();
    i32::try_from(finding.unnamed_others).is_ok() && finding.others.iter().all(is_named)
}

/// What was found and how much it weighs, in the words of the API.
pub fn words(finding: &Finding) -> (&'static str, &'static str) {
    (finding.reason.to_proto().as_str_name(), finding.severity.to_proto().as_str_name())
}

/// A finding as the API writes it.
pub(super) fn write(finding: &Finding) -> v1::Finding {
    let other = |(report, revision): &(_, Revision)| v1::finding::Other {
        report: ReportName::to_string(report),
        revision: revision.as_i64(),
    };
    v1::Finding {
        severity: finding.severity.number(),
        reason: finding.reason.number(),
        path: finding.path.clone(),
        message: finding.message.clone(),
        hypothesis: finding.hypothesis.map_or(0, Wire::number),
        others: finding.others.iter().map(other).collect(),
        unnamed_others: i32::try_from(finding.unnamed_others).unwrap_or(i32::MAX),
    }
}
