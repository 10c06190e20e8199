//! Findings: what is odd about a report that was accepted as it is. It is the document that says so.

use super::{
    ids::{ReportName, UnitId},
    log::Revision,
};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A figure that cannot be true together with another one.
    Warning,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingReason {
    /// The stated percentage was cut off instead of rounded.
    StatedPercentTruncated,
    /// The stated percentage is not that of its counts.
    StatedPercentContradicts,
    /// The stated percentages of all classes do not add to 100.
    StatedPercentsSum,
    /// Current reports say different things about the same.
    SourcesDisagree,
    /// The period ends after the report was published.
    PeriodEndsAfterPublication,
    /// A text mixes scripts, so that it may look like another one.
    MixedScripts,
    /// There is more than an entry has room for.
    MoreFindings,
    /// The parts do not add to the total.
    PartsContradictTotal,
    /// An increase in percent is the index that the yearly growth beside it leads to.
    IndexAsIncrease,
    /// The closing stock is not opening + inflows − outflows.
    BalanceContradicts,
    /// The figure of the units below is not the sum of what they report themselves.
    ChildrenContradict,
    /// The unit lives only in a part of the period.
    UnitLivesPartly,
    /// By its definition the question did not arise for this unit then.
    NotApplicableThen,
    /// A change printed in percent is the difference in percentage points.
    PointsAsPercent,
    /// The source does not say what the number of a change is.
    AmbiguousChange,
    /// The report says that it fulfils a form that is not defined.
    UnknownForm,
}

/// What may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hypothesis {
    /// The decimal point was moved by one digit.
    DecimalPointMoved,
    /// Rounded in another way.
    RoundingOnly,
    /// It is the percentage of another class.
    Swapped,
}

/// Something odd about a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// What was found.
    pub reason: FindingReason,
    /// Where, such as `report.observations[3].stated_percent`.
    pub path: String,
    /// The same for a person, with the figures.
    pub message: String,
    /// What may have happened.
    pub hypothesis: Option<Hypothesis>,
    /// The versions of other reports that it is about, each with its revision.
    pub others: Vec<(ReportName, Revision)>,
    /// How many more it is about.
    pub unnamed_others: usize,
}

impl Finding {
    /// Whether it is still so, as far as other reports matter. A disagreement is, while one of those that it names says
    /// what it said then; what the unnamed ones say is not known, so it stays. What was found in several figures together
    /// is, while all of them are as they were: one that changes is looked at anew with its own report.
    pub fn is_open(&self, still_says: impl Fn(ReportName, Revision) -> bool) -> bool {
        let mut others = self.others.iter();
        match self.reason {
            FindingReason::ChildrenContradict | FindingReason::PointsAsPercent => {
                others.all(|(name, version)| still_says(*name, *version))
            }
            _ => {
                let (is_about_others, is_known) = (!self.others.is_empty(), self.unnamed_others == 0);
                !(is_about_others && is_known) || others.any(|(name, version)| still_says(*name, *version))
            }
        }
    }
}

/// A finding and the version of a report that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRow {
    /// The finding.
    pub finding: Finding,
    /// The report.
    pub report: ReportName,
    /// Revision of the version.
    pub revision: Revision,
    /// Unit that the report is about.
    pub unit: UnitId,
    /// It is no longer so.
    pub is_resolved: bool,
}
