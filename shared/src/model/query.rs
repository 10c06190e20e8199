//! Questions and answers of the query-service.

use jiff::{Timestamp, civil::Date};
use rust_decimal::Decimal;

use super::{
    finding::Finding,
    form::DutyState,
    ids::{FormId, IndicatorId, ReportName, UnitId},
    log::{Revision, StoreId},
    period::{Period, Span},
    report::{Basis, ChangeUnit, Observation, Qualifier, Ratio, Source},
    unit::{Level, Organ},
};

/// Version of the rules by which answers are computed. It rises when the same question over the same log gets another
/// answer.
pub const SEMANTICS_VERSION: u32 = 1;

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// For which share of units is a flag set?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareQuery {
    /// The flag.
    pub indicator: IndicatorId,
    /// Who is counted.
    pub units: UnitSelector,
    /// One row for each group; none: one row.
    pub group_by: Option<GroupBy>,
    /// The day counted.
    pub day: Date,
    /// The day on whose map the groups are drawn.
    pub boundaries_on: Date,
    /// Carries what was last known of a unit forward.
    pub last_known: bool,
    /// Only what was recorded by then.
    pub known_at: KnownAt,
    /// Only what had been published by that day.
    pub published_until: Option<Date>,
}

/// What makes a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The unit of that level above.
    Level(Level),
    /// The value of that attribute.
    Attribute(String),
}

/// How the units that are expected to report are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedBasis {
    /// The register is complete on the day counted.
    Registered,
    /// It is not known to be.
    Assumed,
}

/// Units by what is known about them on the day counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareCounts {
    /// The flag is set.
    pub yes: u32,
    /// It is not.
    pub no: u32,
    /// Nothing is known.
    pub not_reported: u32,
    /// It is known and not given.
    pub withheld: u32,
    /// The question does not arise.
    pub not_applicable: u32,
}

impl ShareCounts {
    /// All of them.
    pub fn expected(&self) -> u32 {
        self.applicable() + self.not_applicable
    }

    fn applicable(&self) -> u32 {
        self.yes + self.no + self.not_reported + self.withheld
    }

    /// yes / (yes + no); none where nobody said either.
    pub fn share(&self) -> Option<Decimal> {
        fraction(self.yes, self.yes + self.no)
    }

    /// The share if every silent unit were no; none where the question arises for no unit.
    pub fn lower(&self) -> Option<Decimal> {
        fraction(self.yes, self.applicable())
    }

    /// The share if every silent unit were yes; none where the question arises for no unit.
    pub fn upper(&self) -> Option<Decimal> {
        fraction(self.yes + self.not_reported + self.withheld, self.applicable())
    }
}

/// A decimal fraction of six digits, rounded half up; none where the whole is 0.
fn fraction(part: u32, whole: u32) -> Option<Decimal> {
    if whole == 0 {
        return None;
    }
    let (part, whole) = (i64::from(part), i64::from(whole));
    let millionths = (2_000_000 * part + whole) / (2 * whole);
    Some(Decimal::new(millionths, 6))
}

/// What a report claims about the share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A percentage as printed.
    Percent(Decimal),
    /// Two counts.
    Ratio(Ratio),
}

/// A share that a report itself publishes for exactly the units of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedShare {
    /// What it claims.
    pub claim: Claim,
    /// How the number bounds the value.
    pub qualifier: Qualifier,
    /// What it rests on.
    pub basis: Basis,
    /// Unit that the report is about.
    pub unit: UnitId,
    /// The report.
    pub report: ReportName,
    /// Its period as written.
    pub period: String,
    /// Day of publication, where it is known.
    pub published_on: Option<Date>,
}

/// Whose row it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowUnit {
    /// A unit's.
    Unit {
        /// Its id.
        id: UnitId,
        /// Its name.
        name: String,
    },
    /// Of several units that were named one by one.
    Several,
    /// Of units with that value of an attribute.
    Attribute(String),
    /// Of units that lie in several groups, or of which nobody knows where they lie.
    Unassignable,
    /// Of units without a group.
    None,
}

/// One row of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareRow {
    /// Whose row it is.
    pub unit: RowUnit,
    /// How many units are what.
    pub counts: ShareCounts,
    /// How the expected units are known.
    pub expected_basis: ExpectedBasis,
    /// What reports publish for exactly these units.
    pub published: Vec<PublishedShare>,
    /// Units about which current reports differ.
    pub contested: u32,
    /// Distinct open findings on what was counted and on what is published.
    pub findings: u32,
    /// Units of which an earlier day was carried forward; none if that was not asked for.
    pub carried: Option<u32>,
    /// Reports without a day of publication that were left out; none if that was not asked for.
    pub undated: Option<u32>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Revision up to which it knows.
    pub revision: Revision,
    /// When that revision was recorded; none before the first.
    pub known_at: Option<Timestamp>,
    /// The store.
    pub store: StoreId,
    /// The day on whose map the groups are drawn.
    pub boundaries_on: Option<Date>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_have_six_digits_rounded_half_up_and_need_a_whole() {
        let text = |part, whole| fraction(part, whole).map(|f| f.to_string());
        assert_eq!(text(1, 27).as_deref(), Some("0.037037"));
        assert_eq!(text(2, 3).as_deref(), Some("0.666667"));
        assert_eq!(text(1, 2_000_000).as_deref(), Some("0.000001"), "half rounds up");
        assert_eq!(text(0, 5).as_deref(), Some("0.000000"));
        assert_eq!(text(u32::MAX, u32::MAX).as_deref(), Some("1.000000"));
        assert_eq!(text(0, 0), None);
    }

    #[test]
    fn silent_and_withheld_units_widen_the_bounds_and_inapplicable_ones_leave() {
        let counts = ShareCounts { yes: 2, no: 1, not_reported: 3, withheld: 2, not_applicable: 4 };
        assert_eq!(counts.expected(), 12);
        assert_eq!(counts.share().unwrap().to_string(), "0.666667");
        assert_eq!(counts.lower().unwrap().to_string(), "0.250000");
        assert_eq!(counts.upper().unwrap().to_string(), "0.875000");

        let nothing_applies = ShareCounts { not_applicable: 4, ..ShareCounts::default() };
        assert_eq!((nothing_applies.share(), nothing_applies.lower(), nothing_applies.upper()), (None, None, None));
    }
}
