//! What callers ask the ingest-service for, once it has come through the door.

use jiff::civil::Date;

use super::{
    event::{EventStatus, UnitEvent},
    finding::Severity,
    form::{Form, Waiver},
    ids::{ReportName, UnitId},
    log::{RequestKey, Revision},
    period::Span,
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

/// What RecordUnitEvents asks for.
#[derive(Clone, Debug)]
pub struct EventsRequest {
    /// What happens.
    pub events: Vec<UnitEvent>,
    /// Units that come of it.
    pub units: Vec<Unit>,
}

/// What DefineForms asks for.
#[derive(Clone, Debug)]
pub struct FormsRequest {
    /// Forms to define.
    pub forms: Vec<Form>,
    /// Duties to waive.
    pub waivers: Vec<Waiver>,
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

/// Which unit GetUnit asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitQuery {
    /// The unit.
    pub id: UnitId,
    /// As it was on that day; none: as it is, or was last.
    pub on: Option<Date>,
}

/// Which two versions CompareReportVersions asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionsQuery {
    /// The report.
    pub name: ReportName,
    /// The older version; none: the one before the newer.
    pub base: Option<u32>,
    /// The newer version; none: the newest.
    pub version: Option<u32>,
}

/// Which events ListUnitEvents asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those that name this unit.
    pub unit: Option<UnitId>,
    /// Only those of this status.
    pub status: Option<EventStatus>,
}

/// Which way in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuccessionDirection {
    /// What a unit became.
    Successors,
    /// What it came from.
    Predecessors,
}

/// Which way in the hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HierarchyDirection {
    /// Units above.
    Ancestors,
    /// Units below.
    Descendants,
}

/// Whose relations of which kind are asked for, and on which days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationQuery<D> {
    /// The unit.
    pub unit: UnitId,
    /// Which way.
    pub direction: D,
    /// The days.
    pub span: Span,
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
