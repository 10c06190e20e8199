//! Questions: what is asked of which units, when, and as known to whom.

use std::collections::BTreeMap;

use bigdecimal::BigDecimal;
use jiff::civil::Date;

use super::{KnownAt, UnitSelector};
use crate::model::{
    fault::Fault,
    ids::{FormId, IndicatorId, UnitId},
    period::{Span, WrittenPeriod},
    report::{Basis, Scope},
    unit::{Level, Organ},
};

/// What every question says: units × time, filtered and grouped, as known and published by then.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Who is counted.
    pub units: UnitSelector,
    /// Only units for which all of these hold.
    pub filters: Vec<Condition>,
    /// One row for each group; none: one row.
    pub group_by: Option<GroupBy>,
    /// When.
    pub time: Time,
    /// The day on whose map the groups are drawn; none: the day counted.
    pub boundaries_on: Option<Date>,
    /// What may speak.
    pub admitted: Admitted,
    /// Only what was recorded by then.
    pub known_at: KnownAt,
    /// Only rows of at least this coverage.
    pub coverage_min: Option<BigDecimal>,
}

/// What makes a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// The unit of that level above.
    Level(Level),
    /// The unit itself.
    Unit,
    /// Its kind.
    Kind,
    /// The value of that attribute.
    Attribute(String),
}

/// Which time is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Time {
    /// A day.
    On(Date),
    /// A period; for a state or a stock its last day.
    Period(WrittenPeriod),
    /// Periods of the calendar, one after the other.
    Series(Vec<Slot>),
}

/// One time that is asked for, with its days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The period as written; empty for a day that was named with `on`.
    pub period: String,
    /// The day counted.
    pub day: Date,
    /// The days of the period; none for a day that was named with `on`.
    pub span: Option<Span>,
}

/// How long the periods of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Days.
    Day,
    /// Months.
    Month,
    /// Quarters.
    Quarter,
    /// Half-years.
    HalfYear,
    /// Years.
    Year,
}

/// Which statements may speak, and for which days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Only these reports.
    pub reports: ReportFilter,
    /// Only what had been published by that day.
    pub published_until: Option<Date>,
    /// What was last known of a unit is carried forward.
    pub last_known: bool,
}

/// Which reports may speak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportFilter {
    /// Only reports of this organ.
    pub organ: Option<Organ>,
    /// Only reports issued by the organ of this unit.
    pub issuer: Option<UnitId>,
    /// Only reports on this form; empty: on any.
    pub form: String,
    /// Only reports of the source with this uri or title; empty: of any.
    pub source: String,
    /// Only values that rest on one of these; empty: on anything.
    pub basis: Vec<Basis>,
}

/// A condition on a unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// One of these values of an attribute.
    Attribute {
        /// Its key.
        key: String,
        /// Its values.
        values: Vec<String>,
    },
    /// Of this kind.
    Kind(String),
    /// A flag is set, or not.
    Flag {
        /// The flag.
        indicator: IndicatorId,
        /// What it has to be.
        is: bool,
    },
    /// A category is one of these codes.
    Category {
        /// The category.
        indicator: IndicatorId,
        /// The codes.
        codes: Vec<IndicatorId>,
    },
    /// A number lies within bounds.
    Number {
        /// The number.
        indicator: IndicatorId,
        /// The bounds.
        within: Numbers,
    },
}

impl Condition {
    /// The other indicator that it is about.
    pub fn indicator(&self) -> Option<&IndicatorId> {
        match self {
            Self::Flag { indicator, .. } | Self::Category { indicator, .. } | Self::Number { indicator, .. } => {
                Some(indicator)
            }
            Self::Attribute { .. } | Self::Kind(_) => None,
        }
    }
}

/// Numbers within bounds; at least one bound is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Greater than this.
    pub more_than: Option<BigDecimal>,
    /// This or greater.
    pub at_least: Option<BigDecimal>,
    /// Less than this.
    pub less_than: Option<BigDecimal>,
    /// This or less.
    pub at_most: Option<BigDecimal>,
}

impl Numbers {
    /// The bounds of so many times the number; `factor` is greater than 0.
    pub fn times(&self, factor: &BigDecimal) -> Self {
        let times = |bound: &Option<BigDecimal>| bound.as_ref().map(|bound| bound * factor);
        Self {
            more_than: times(&self.more_than),
            at_least: times(&self.at_least),
            less_than: times(&self.less_than),
            at_most: times(&self.at_most),
        }
    }
}

/// For which share of units is a flag set?
#[derive(Clone, Debug, PartialEq)]
pub struct ShareQuery {
    /// The flag.
    pub indicator: IndicatorId,
    /// Who, when, as known when.
    pub plan: Plan,
}

/// What is computed over the units of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The sum.
    Sum,
    /// How many reported a number.
    Count,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The sum divided by those that reported.
    Mean,
    /// The middle one.
    Median,
    /// Sum of numerators over sum of denominators.
    Ratio,
    /// The sum of what was last known in the period.
    Last,
    /// The value of the one unit.
    Value,
}

/// What do the numbers of units come to?
#[derive(Clone, Debug, PartialEq)]
pub struct FigureQuery {
    /// The number; of a series, a ranking or a comparison a flag, too.
    pub indicator: IndicatorId,
    /// What is computed; none: what the roll-up says.
    pub measure: Option<Measure>,
    /// Only values that are split so.
    pub by: BTreeMap<IndicatorId, IndicatorId>,
    /// Whose figures.
    pub scope: Scope,
    /// The indicator that is the denominator.
    pub denominator: Option<IndicatorId>,
    /// A ratio is given per so many.
    pub per: BigDecimal,
    /// Who, when, as known when.
    pub plan: Plan,
}

/// The same over time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesQuery {
    /// What is asked for each period.
    pub figure: FigureQuery,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The greatest first.
    #[default]
    Descending,
    /// The least first.
    Ascending,
}

/// By what rows are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RankCriterion {
    /// The share or the figure.
    #[default]
    Result,
    /// The coverage.
    Coverage,
}

/// What is ranked.
#[derive(Clone, Debug, PartialEq)]
pub enum RankOf {
    /// Shares or figures.
    Figure(Box<FigureQuery>),
    /// The on-time rate of a form.
    Completeness(CompletenessQuery),
}

/// Who comes first?
#[derive(Clone, Debug, PartialEq)]
pub struct RankQuery {
    /// What is ranked.
    pub of: RankOf,
    /// In which order.
    pub order: Order,
    /// By what.
    pub criterion: RankCriterion,
    /// Only the first so many.
    pub top: Option<usize>,
    /// Only the last so many.
    pub bottom: Option<usize>,
}

/// What is counted by class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DistributionOf {
    /// The classes of one indicator.
    Classes {
        /// A category, or a number with dimensions.
        indicator: IndicatorId,
        /// The dimension; none: the only one.
        dimension: Option<IndicatorId>,
    },
    /// Two flags together.
    Flags(IndicatorId, IndicatorId),
}

/// Units, or what they counted, by class.
#[derive(Clone, Debug, PartialEq)]
pub struct DistributionQuery {
    /// What.
    pub of: DistributionOf,
    /// Who, when, as known when.
    pub plan: Plan,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What is asked for it.
    pub figure: FigureQuery,
    /// Its field in the request.
    pub field: &'static str,
    /// The fields that it says itself; the others are as the request says.
    pub own_fields: Vec<&'static str>,
}

impl Side {
    /// A fault of it, with paths that begin with its field where it says the field itself.
    pub fn name(&self, mut fault: Fault) -> Fault {
        for violation in &mut fault.violations {
            let field = violation.path.split(['.', '[']).next().unwrap_or_default();
            if self.own_fields.contains(&field) {
                violation.path = format!("{}.{}", self.field, violation.path);
            }
        }
        fault
    }
}

/// The same twice.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareQuery {
    /// What it is compared with.
    pub a: Side,
    /// What is compared.
    pub b: Side,
    /// Only units that both sides have in the same group.
    pub constant_panel: bool,
}

/// Which duties were fulfilled?
#[derive(Clone, Debug, PartialEq)]
pub struct CompletenessQuery {
    /// The form.
    pub form: FormId,
    /// Whose duties; none: everybody's.
    pub units: Option<UnitSelector>,
    /// One row for each group; none: one row.
    pub group_by: Option<GroupBy>,
    /// First day of the span in which the periods end.
    pub first_day: Date,
    /// Last day of it.
    pub last_day: Date,
    /// The day on whose map the groups are drawn; none: the last day of each period.
    pub boundaries_on: Option<Date>,
    /// The day by which they are judged; none: today.
    pub as_of: Option<Date>,
    /// Only what was recorded by then.
    pub known_at: KnownAt,
}
