//! What a row rests on, report by report.

use bigdecimal::BigDecimal;
use jiff::civil::Date;

use crate::model::{
    finding::Finding,
    ids::{ReportName, UnitId},
    log::Revision,
    report::Observation,
};

/// What became of a report in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It counts for its unit.
    Counts,
    /// It is one of the reports that tile the period.
    CountsAsTile,
    /// An earlier day was carried forward.
    CountsCarried,
    /// Another current report counts, and says the same.
    Outranked,
    /// Another current report counts, and says something else.
    Contested,
    /// A later version says something else.
    Superseded,
    /// The report was withdrawn.
    Withdrawn,
    /// Published after the day that is asked for.
    PublishedLater,
    /// Nobody knows when it was published.
    Undated,
    /// It speaks of another time.
    OtherPeriod,
    /// Of another scope.
    OtherScope,
    /// Split otherwise.
    OtherClass,
    /// The question does not arise.
    NotApplicable,
    /// Its unit lies in no group, or in several.
    OffTheMap,
    /// The filter of reports leaves it out.
    Filtered,
    /// It is not known whether its unit belongs to the row.
    Undetermined,
    /// The unit said nothing.
    Silent,
    /// The unit says why there is no value.
    Missing,
}

/// One report, or a silent unit, and what became of it in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The unit.
    pub unit: UnitId,
    /// The report; none for a silent unit.
    pub said: Option<Said>,
    /// What became of it.
    pub verdict: Verdict,
    /// With which weight it enters.
    pub weight: Option<BigDecimal>,
    /// With which weight it enters the denominator.
    pub denominator_weight: Option<BigDecimal>,
}

/// What a version of a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The report.
    pub report: ReportName,
    /// Its version.
    pub version: u32,
    /// Revision of that version.
    pub revision: Revision,
    /// Place of the observation in the report.
    pub index: usize,
    /// The observation.
    pub observation: Observation,
    /// Its period as written.
    pub period: String,
    /// Day of publication, where it is known.
    pub published_on: Option<Date>,
    /// Open findings on it.
    pub findings: Vec<Finding>,
}
