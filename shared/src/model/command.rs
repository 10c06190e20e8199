//! What callers ask the ingest-service for, once it has come through the door.

use jiff::civil::Date;

use super::{
    finding::Severity,
    ids::{ReportName, UnitId},
    log::{RequestKey, Revision},
    report::ReportDraft,
    unit::{Level, Unit},
};

/// A write as a command.
#[derive(Clone, Debug)]
pub struct Command<T> {
    /// What the call said about being repeated.
    pub request: Option<RequestKey>,
    /// Whether only the checks are asked for.
    pub validate_only: bool,
    /// What is asked for.
    pub content: T,
}

/// What RegisterUnits asks for.
#[derive(Clone, Debug)]
pub struct UnitsRequest {
    /// Units to register.
    pub units: Vec<Unit>,
    /// The day from which the register is complete, if the request says so.
    pub complete_from: Option<Date>,
}

/// What SubmitReport asks for.
#[derive(Clone, Debug)]
pub struct SubmitRequest {
    /// Revision of the newest version that the caller knows; 0: none.
    pub expected_revision: Option<Revision>,
    /// The report.
    pub draft: ReportDraft,
}

/// What WithdrawReport asks for.
#[derive(Clone, Debug)]
pub struct WithdrawRequest {
    /// The report.
    pub name: ReportName,
    /// Why.
    pub reason: String,
    /// Revision of the newest version that the caller knows.
    pub expected_revision: Option<Revision>,
}

/// Which units FindUnits asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameQuery {
    /// As somebody writes it.
    pub name: String,
    /// Only those alive on that day.
    pub on: Option<Date>,
}

/// Which findings ListFindings asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingFilter {
    /// Only those about reports on this unit.
    pub unit: Option<UnitId>,
    /// Only those of this severity.
    pub severity: Option<Severity>,
    /// Resolved ones too.
    pub include_resolved: bool,
}

/// Which units ListUnits asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFilter {
    /// Only those alive on that day.
    pub on: Option<Date>,
    /// Only this one and those below it.
    pub under: Option<UnitId>,
    /// Only those of that level.
    pub level: Option<Level>,
}
