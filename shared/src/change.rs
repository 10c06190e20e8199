//! One entry of the log: what was accepted, where it stands and when it was recorded.

use jiff::{Timestamp, civil::Date};
use smol_str::SmolStr;

use crate::model::{
    event::UnitEvent,
    finding::Finding,
    form::{Form, Waiver},
    ids::ReportName,
    indicator::Indicator,
    log::{RequestKey, Revision},
    report::Report,
    term::Term,
    unit::Unit,
};

/// An entry of the log. Entries of one change have consecutive revisions; nothing of it is shown before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log.
    pub revision: Revision,
    /// When it was recorded; never before the entry ahead of it.
    pub record_time: Timestamp,
    /// Whether the change ends here.
    pub ends_change: bool,
    /// What the call said about being repeated; at the end of the change.
    pub request: Option<RequestKey>,
    /// Who wanted it, as the service knows callers; at the end of the change. Empty where callers are not asked.
    pub principal: SmolStr,
    /// What was odd about it when it was accepted.
    pub findings: Vec<Finding>,
    /// What was accepted.
    pub change: Change,
}

/// What can be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A unit was registered.
    UnitRegistered(Unit),
    /// An event of units was recorded, or revised.
    UnitEventRecorded(UnitEvent),
    /// The register is complete from that day on.
    RegisterCompleteFrom(Date),
    /// An indicator was defined, or a new version of one.
    IndicatorDefined(Indicator),
    /// A term was defined.
    TermDefined(Term),
    /// A form was defined, or a new version of one.
    FormDefined(Form),
    /// A unit was freed from a duty.
    DutyWaived(Waiver),
    /// A version of a report was submitted.
    ReportSubmitted(Box<Report>),
    /// A call with a request id found all of it there already; kept so that a retry gets the same receipt.
    Unchanged,
    /// A report was withdrawn: none of its versions counts any more.
    ReportWithdrawn {
        /// The report.
        name: ReportName,
        /// Why.
        reason: String,
    },
}
