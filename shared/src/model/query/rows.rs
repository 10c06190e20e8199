//! Rows of answers.

use bigdecimal::BigDecimal;
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::{CompletenessRow, Interval, fraction};
use crate::model::{
    finding::Finding,
    ids::{ReportName, UnitId},
    report::{Basis, Observation, Qualifier, Ratio, Scope},
};

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
    /// Of units with that kind, or that value of an attribute.
    Attribute(String),
    /// Of units that lie in several groups, or of which nobody knows where they lie.
    Unassignable,
    /// Of units without a group.
    None,
}

/// Which time a row is of, where rows show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The day counted.
    pub on: Option<Date>,
    /// The period as written; may be empty.
    pub period: String,
}

/// How the units that are expected to report are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedBasis {
    /// The register is complete on the day counted.
    Registered,
    /// It is not known to be.
    Assumed,
}

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyReason {
    /// No unit belongs to the row for certain.
    NoUnits,
    /// The question arises for none.
    AllNotApplicable,
    /// All who said something withheld it.
    Withheld,
    /// Nobody knows when the reports were published.
    Undated,
    /// There are reports of other periods only.
    OtherPeriods,
    /// There are figures of another scope or of other classes only.
    OtherScopes,
    /// Nobody reported.
    NothingReported,
    /// Amounts of different currencies.
    CurrenciesDiffer,
    /// Bounds pull in two directions.
    NoSingleNumber,
    /// The denominator is 0.
    DenominatorZero,
}

/// What stands between a row and another one that looks like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caveat {
    /// Not all units that could have reported did.
    Incomplete,
    /// It rests on estimates, projections or plans only.
    NotActual,
    /// It rests on values of different basis.
    BasisMixed,
    /// It rests on values accepted under different versions of the indicator.
    DefinitionsMixed,
    /// A value was put together of reports that tile the period.
    Tiled,
    /// A value of an earlier day was carried forward.
    CarriedForward,
    /// A unit did not yet live on the first day of the period.
    UnitsChanged,
    /// A unit counts of which reports differ.
    Contested,
}

/// What a row rests on, whatever it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// How the expected units are known.
    pub expected_basis: ExpectedBasis,
    /// Units about which current reports differ.
    pub contested: u32,
    /// Distinct open findings on what was counted and on what is published.
    pub findings: u32,
    /// Units of which an earlier day was carried forward; none if that was not asked for.
    pub carried: Option<u32>,
    /// Reports without a day of publication that were left out; none if that was not asked for.
    pub undated: Option<u32>,
    /// Units of which it is not known whether they belong to the row; none without filters.
    pub undetermined: Option<u32>,
    /// Why there is no number.
    pub empty_reason: Option<EmptyReason>,
    /// What stands between it and rows that look like it; in their order.
    pub comparability: Vec<Caveat>,
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
    /// Of the units that may belong to the row: the flag is set.
    pub undetermined_yes: u32,
    /// It is not.
    pub undetermined_no: u32,
    /// Nothing is known.
    pub undetermined_silent: u32,
}

impl ShareCounts {
    /// All that belong for certain.
    pub fn expected(&self) -> u32 {
        self.applicable() + self.not_applicable
    }

    /// Those for which the question arises.
    pub fn applicable(&self) -> u32 {
        self.yes + self.no + self.not_reported + self.withheld
    }

    /// The share; none where nobody said yes or no.
    pub fn share(&self) -> Option<BigDecimal> {
        fraction(self.yes, self.yes + self.no)
    }

    /// The share if every silent unit were no, and of those that may belong the ones that lower it did.
    pub fn lower(&self) -> Option<BigDecimal> {
        fraction(self.yes, self.applicable() + self.undetermined_no + self.undetermined_silent)
    }

    /// The share if every silent unit were yes, and of those that may belong the ones that raise it did.
    pub fn upper(&self) -> Option<BigDecimal> {
        let (more, silent) = (self.undetermined_yes + self.undetermined_silent, self.not_reported + self.withheld);
        fraction(self.yes + silent + more, self.applicable() + more)
    }

    /// How many of those for which the question arises said yes or no.
    pub fn coverage(&self) -> Option<BigDecimal> {
        fraction(self.yes + self.no, self.applicable())
    }
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

/// A row of shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareRow {
    /// Whose row it is.
    pub unit: RowUnit,
    /// Its time, in a series.
    pub shown: Shown,
    /// How many units are what.
    pub counts: ShareCounts,
    /// What reports publish for exactly these units.
    pub published: Vec<PublishedShare>,
    /// What it rests on.
    pub support: Support,
}

/// A figure that a report itself publishes for exactly the units of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFigure {
    /// The figure.
    pub observation: Observation,
    /// Unit that the report is about.
    pub unit: UnitId,
    /// The report.
    pub report: ReportName,
    /// Its period as written.
    pub period: String,
    /// Day of publication, where it is known.
    pub published_on: Option<Date>,
    /// The same in the measure of the row.
    pub value: Option<BigDecimal>,
}

/// A report that says something near what was asked, and is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// The report.
    pub report: ReportName,
    /// Unit that it is about.
    pub unit: UnitId,
    /// Its period as written.
    pub period: String,
    /// Whose figure it is.
    pub scope: Scope,
}

/// A row of figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FigureRow {
    /// Whose row it is.
    pub unit: RowUnit,
    /// Its time.
    pub shown: Shown,
    /// The number, and how it bounds the value of those who reported.
    pub value: Option<(BigDecimal, Qualifier)>,
    /// What all units can come to.
    pub bounds: Interval,
    /// What is counted or measured; may be empty.
    pub unit_of_measure: String,
    /// For money with a value: its currency.
    pub currency: Option<String>,
    /// Units that count with a number.
    pub reported: u32,
    /// Units about which nothing is known.
    pub not_reported: u32,
    /// Units that withhold it.
    pub withheld: u32,
    /// Units for which the question does not arise.
    pub not_applicable: u32,
    /// What reports publish for exactly these units.
    pub published: Vec<PublishedFigure>,
    /// Where it is empty: reports that come near.
    pub unused: Vec<Unused>,
    /// For a ratio: the sums of the numerators and of the denominators.
    pub sums: Option<(BigDecimal, BigDecimal)>,
    /// What it rests on.
    pub support: Support,
}

impl FigureRow {
    /// Units for which the question arises.
    pub fn applicable(&self) -> u32 {
        self.reported + self.not_reported + self.withheld
    }

    /// How many of them reported.
    pub fn coverage(&self) -> Option<BigDecimal> {
        fraction(self.reported, self.applicable())
    }
}

/// A share or a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a flag.
    Share(Box<ShareRow>),
    /// Of a number.
    Figure(Box<FigureRow>),
}

impl Outcome {
    /// Whose row it is.
    pub fn unit(&self) -> &RowUnit {
        match self {
            Self::Share(row) => &row.unit,
            Self::Figure(row) => &row.unit,
        }
    }

    /// The number, if it is exact; a share always is.
    pub fn exact(&self) -> Option<BigDecimal> {
        match self {
            Self::Share(row) => row.counts.share(),
            Self::Figure(row) => match &row.value {
                Some((number, Qualifier::Exact)) => Some(number.clone()),
                _ => None,
            },
        }
    }

    /// The number as it stands in the row.
    pub fn number(&self) -> Option<BigDecimal> {
        match self {
            Self::Share(row) => row.counts.share(),
            Self::Figure(row) => row.value.as_ref().map(|(number, _)| number.clone()),
        }
    }

    /// Whether there is a number, or can be one when units say more: the question arises for one that belongs, or may.
    pub fn can_have_number(&self) -> bool {
        let (applicable, support) = match self {
            Self::Share(row) => (row.counts.applicable(), &row.support),
            Self::Figure(row) => (row.applicable(), &row.support),
        };
        let units = applicable > 0 || support.undetermined.is_some_and(|count| count > 0) || self.number().is_some();
        units && support.empty_reason != Some(EmptyReason::CurrenciesDiffer)
    }

    /// What all units can come to.
    pub fn bounds(&self) -> Interval {
        match self {
            Self::Share(row) => {
                let end = |number: Option<BigDecimal>| number.map(super::End::inclusive);
                Interval { lower: end(row.counts.lower()), upper: end(row.counts.upper()) }
            }
            Self::Figure(row) => row.bounds.clone(),
        }
    }

    /// Of money with a value: its currency.
    pub fn currency(&self) -> Option<&String> {
        match self {
            Self::Share(_) => None,
            Self::Figure(row) => row.currency.as_ref(),
        }
    }

    /// How many of those that could have reported did.
    pub fn coverage(&self) -> Option<BigDecimal> {
        match self {
            Self::Share(row) => row.counts.coverage(),
            Self::Figure(row) => row.coverage(),
        }
    }
}

/// Why a series is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BreakCause {
    /// Other units are counted than before.
    UnitsChanged {
        /// Counted before and no more.
        gone: u32,
        /// Counted and not before.
        new: u32,
    },
    /// Another version of the indicator holds.
    DefinitionChanged,
}

/// A place where what stands before and after cannot be compared as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesBreak {
    /// The first period after it.
    pub period: String,
    /// What happened.
    pub cause: BreakCause,
}

/// The rows of one group over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRow {
    /// Whose rows they are.
    pub unit: RowUnit,
    /// Period as written, its last day, and the answer for it.
    pub points: Vec<(String, Date, Outcome)>,
    /// Where the series is broken.
    pub breaks: Vec<SeriesBreak>,
}

/// A row and its place in a ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<T> {
    /// Its place; none: the row has no number.
    pub place: Option<u32>,
    /// The best and the worst place that bounds allow.
    pub within: Option<(u32, u32)>,
    /// The row.
    pub row: T,
}

/// What a row of a ranking is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranked {
    /// A share or a figure.
    Outcome(Outcome),
    /// Duties.
    Completeness(CompletenessRow),
}

impl Ranked {
    /// Of money with a value: its currency.
    pub fn currency(&self) -> Option<&String> {
        match self {
            Self::Outcome(row) => row.currency(),
            Self::Completeness(_) => None,
        }
    }
}

/// A percentage as a report printed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// As printed.
    pub percent: Decimal,
    /// Unit that the report is about.
    pub unit: UnitId,
    /// The report.
    pub report: ReportName,
}

/// One class of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its code.
    pub code: String,
    /// Units in it, or the sum of what they counted; none: bounds pull in two directions, or currencies differ.
    pub count: Option<(BigDecimal, Qualifier)>,
    /// count / total, where it can be told.
    pub share: Option<BigDecimal>,
    /// The same as a percentage of two digits.
    pub percent: Option<BigDecimal>,
    /// For units: what the share can be.
    pub bounds: Option<(Option<BigDecimal>, Option<BigDecimal>)>,
    /// For what is counted: units that reported this class.
    pub reported: Option<u32>,
    /// For what is counted: percentages as printed.
    pub printed: Vec<Printed>,
}

/// Units, or what they counted, of one group by class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributionRow {
    /// Whose row it is.
    pub unit: RowUnit,
    /// Its time, in a series.
    pub shown: Shown,
    /// The classes.
    pub classes: Vec<Class>,
    /// For two flags: units with at least one.
    pub either: Option<Class>,
    /// Of money: its currency.
    pub currency: Option<String>,
    /// The sum of the classes.
    pub total: Option<(BigDecimal, Qualifier)>,
    /// The sum of what units report without a class.
    pub reported_total: Option<(BigDecimal, Qualifier)>,
    /// Every unit that reported any class reported all of them, or the list is open.
    pub is_complete: bool,
    /// Units that count in a class.
    pub reported: u32,
    /// Units about which nothing is known, or not enough.
    pub not_reported: u32,
    /// Units that withhold it.
    pub withheld: u32,
    /// Units for which the question does not arise.
    pub not_applicable: u32,
    /// Units that reported some classes of a closed list and not others; none where units are counted.
    pub partial: Option<u32>,
    /// Open findings on what was counted.
    pub findings: Vec<Finding>,
    /// What it rests on.
    pub support: Support,
}

impl DistributionRow {
    /// How many of the units for which the question arises reported.
    pub fn coverage(&self) -> Option<BigDecimal> {
        fraction(self.reported, self.reported + self.not_reported + self.withheld)
    }
}

/// How the flag of each unit of a panel moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    /// Set on both sides.
    pub stayed_yes: u32,
    /// Set on neither.
    pub stayed_no: u32,
    /// Not known on one side at least.
    pub unknown: u32,
    /// Set on side a only.
    pub stopped: Vec<UnitId>,
    /// Set on side b only.
    pub started: Vec<UnitId>,
}

/// Two sides of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompareRow {
    /// Whose row it is.
    pub unit: RowUnit,
    /// Side a, if it has units in this group.
    pub a: Option<Outcome>,
    /// Side b, if it has units in this group.
    pub b: Option<Outcome>,
    /// b − a.
    pub difference: Option<BigDecimal>,
    /// What b − a can be.
    pub bounds: Interval,
    /// The difference as a part of a.
    pub relative: Option<BigDecimal>,
    /// Units that both sides have.
    pub panel_units: u32,
    /// Units that only side a has.
    pub only_a: u32,
    /// Units that only side b has.
    pub only_b: u32,
    /// The part of the difference that comes from units of the panel that reported on both sides.
    pub behaviour: Option<BigDecimal>,
    /// The part that comes from units of the panel that reported on one side only.
    pub reporting: Option<BigDecimal>,
    /// The rest of it.
    pub reorganisation: Option<BigDecimal>,
    /// For a flag: how the units of the panel moved.
    pub transitions: Option<Transitions>,
    /// Another version of the indicator holds on side b.
    pub definition_changed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_and_withheld_units_widen_the_bounds_and_inapplicable_ones_leave() {
        let counts =
            ShareCounts { yes: 2, no: 1, not_reported: 3, withheld: 2, not_applicable: 4, ..ShareCounts::default() };
        assert_eq!(counts.expected(), 12);
        assert_eq!(counts.share().unwrap().to_plain_string(), "0.666667");
        assert_eq!(counts.lower().unwrap().to_plain_string(), "0.250000");
        assert_eq!(counts.upper().unwrap().to_plain_string(), "0.875000");

        let nothing_applies = ShareCounts { not_applicable: 4, ..ShareCounts::default() };
        assert_eq!((nothing_applies.share(), nothing_applies.lower(), nothing_applies.upper()), (None, None, None));
    }

    #[test]
    fn units_that_may_belong_widen_the_bounds_only() {
        let counts = ShareCounts {
            yes: 1,
            no: 1,
            undetermined_yes: 2,
            undetermined_no: 1,
            undetermined_silent: 1,
            ..ShareCounts::default()
        };
        assert_eq!(counts.share().unwrap().to_plain_string(), "0.500000");
        assert_eq!(counts.lower().unwrap().to_plain_string(), "0.250000");
        assert_eq!(counts.upper().unwrap().to_plain_string(), "0.800000");
        assert_eq!(counts.expected(), 2);
    }
}
