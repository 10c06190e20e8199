//! Questions and answers of the query-service.

mod explained;
mod number;
mod overview;
mod plan;
mod rows;

use jiff::{Timestamp, civil::Date};
use rust_decimal::Decimal;

pub use self::{
    explained::{Contribution, Said, Verdict},
    number::{
        End, Interval, combine, fraction, order_lower, order_upper, plain, quotient, reverse, rounded_quotient,
        six_digits,
    },
    overview::{AvailabilityRow, CompletenessRow, Slice},
    plan::{
        Admitted, CompareQuery, CompletenessQuery, Condition, DistributionOf, DistributionQuery, FigureQuery, GroupBy,
        Measure, Numbers, Order, Plan, RankCriterion, RankOf, RankQuery, ReportFilter, SeriesQuery, ShareQuery, Side,
        Slot, Step, Time,
    },
    rows::{
        BreakCause, Caveat, Claim, Class, CompareRow, DistributionRow, EmptyReason, ExpectedBasis, FigureRow, Outcome,
        Place, Printed, PublishedFigure, PublishedShare, Ranked, RowUnit, SeriesBreak, SeriesRow, ShareCounts,
        ShareRow, Shown, Support, Transitions, Unused,
    },
};

use super::{
    finding::Finding,
    form::DutyState,
    ids::{FormId, IndicatorId, ReportName, UnitId},
    log::{Revision, StoreId},
    period::{Period, Span},
    report::{ChangeUnit, Observation, Qualifier, Source},
    unit::{Level, Organ},
};

/// Version of the rules by which answers are computed. It rises when the same question over the same log gets another
/// answer.
pub const SEMANTICS_VERSION: u32 = 1;

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnitSelector {
    /// A unit and those below it.
    Under {
        /// The unit.
        unit: UnitId,
        /// Only those of that level.
        level: Option<Level>,
    },
    /// These units.
    Ids(Vec<UnitId>),
}

/// A state of knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownAt {
    /// Everything.
    Now,
    /// Up to this revision.
    Revision(Revision),
    /// Up to this time of recording.
    Time(Timestamp),
}

/// Which time the observations speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFilter {
    /// Any.
    Every,
    /// A period that contains this day.
    On(Date),
    /// Exactly these days.
    Exactly(Span),
}

/// What do current reports say?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationsQuery {
    /// Only observations of this indicator.
    pub indicator: Option<IndicatorId>,
    /// Whose reports.
    pub units: UnitSelector,
    /// Which time they speak of.
    pub time: TimeFilter,
    /// Only reports of this organ.
    pub organ: Option<Organ>,
    /// Only reports that had been published by that day.
    pub published_until: Option<Date>,
    /// Only what was recorded by then.
    pub known_at: KnownAt,
}

/// What is there at all?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvailabilityQuery {
    /// Only this indicator.
    pub indicator: Option<IndicatorId>,
    /// Only reports on these units, whenever they live; none: all.
    pub units: Option<UnitSelector>,
    /// Only what was recorded by then.
    pub known_at: KnownAt,
}

/// What a change can mean that does not say what its number is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the number would be.
    pub unit: ChangeUnit,
    /// The value at the baseline that follows from it, and how the number bounds it.
    pub implied_baseline: Option<(Decimal, Qualifier)>,
}

/// An observation and the report that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationRow {
    /// What orders it among others, and where a page goes on.
    pub key: String,
    /// Unit that the report is about.
    pub unit: UnitId,
    /// Who issued it.
    pub organ: Organ,
    /// Its period.
    pub period: Period,
    /// Where it was published.
    pub source: Source,
    /// The report.
    pub report: ReportName,
    /// Its version.
    pub version: u32,
    /// Revision of that version.
    pub revision: Revision,
    /// The observation.
    pub observation: Observation,
    /// Open findings on it.
    pub findings: Vec<Finding>,
    /// Every reading of a change that does not say what its number is.
    pub readings: Vec<Reading>,
    /// Unit whose organ issued it, where it is another one.
    pub issuer: Option<UnitId>,
}

/// What is owed, and what became of it?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DutiesQuery {
    /// The form.
    pub form: FormId,
    /// Whose duties; none: everybody's.
    pub units: Option<UnitSelector>,
    /// First day of the span in which the periods end.
    pub first_day: Date,
    /// Last day of it.
    pub last_day: Date,
    /// The day by which they are judged; none: today.
    pub as_of: Option<Date>,
    /// Only what was recorded by then.
    pub known_at: KnownAt,
}

/// A single duty and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DutyRow {
    /// What orders it among others, and where a page goes on.
    pub key: String,
    /// The form.
    pub form: FormId,
    /// Version of the form that it follows from.
    pub form_version: u32,
    /// Unit that the report is about.
    pub unit: UnitId,
    /// Name of that unit at the end of the period.
    pub name: String,
    /// The period.
    pub period: Period,
    /// By when, and until when it is on time.
    pub due: Option<(Date, Date)>,
    /// What became of it.
    pub state: DutyState,
    /// Who has to see to it.
    pub responsible: Vec<UnitId>,
    /// The report that fulfils it, and the day on which it was received.
    pub received: Option<(ReportName, Date)>,
    /// Indicators of the form about which that report says nothing.
    pub missing_indicators: Vec<IndicatorId>,
    /// Why it was waived; may be empty.
    pub waiver_reason: String,
}

/// What an answer rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Revision up to which it knows.
    pub revision: Revision,
    /// When that revision was recorded; none before the first.
    pub known_at: Option<Timestamp>,
    /// The store.
    pub store: StoreId,
    /// The day on whose map the groups are drawn.
    pub boundaries_on: Option<Date>,
    /// Indicators that were used, each with its version.
    pub definitions: Vec<(IndicatorId, u32)>,
    /// The units at the top of what the caller sees; none: nothing was hidden.
    pub visible: Option<Vec<UnitId>>,
    /// Names the question and its answer; may be empty.
    pub citation: String,
}
