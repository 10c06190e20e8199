//! Reports and their observations.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::{
    ids::{IndicatorId, ReportName, UnitId},
    period::{Period, WrittenPeriod},
    unit::Organ,
};

/// Whose figure it is, seen from the report's unit. Figures of different scopes are never added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The unit's own.
    #[default]
    Own,
    /// Of the units directly below it, taken together.
    Children,
    /// Of the unit and everything below it.
    Subtree,
}

/// How the printed number bounds the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qualifier {
    /// It is the value.
    #[default]
    Exact,
    /// The value is greater.
    MoreThan,
    /// The value is greater or equal.
    AtLeast,
    /// The value is less.
    LessThan,
    /// The value is less or equal.
    AtMost,
    /// The value is near it.
    About,
}

/// What a value rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// Happened.
    #[default]
    Actual,
    /// Estimated before all of it was known.
    Estimate,
    /// Expected.
    Projection,
    /// Intended.
    Planned,
}

impl Basis {
    /// Whether it speaks of days that were still to come when it was published.
    pub fn looks_ahead(self) -> bool {
        matches!(self, Self::Projection | Self::Planned)
    }
}

/// Why there is no value. None of these is a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The source says that it was not reported.
    NotReported,
    /// The question does not arise.
    NotApplicable,
    /// Known, and not given.
    Withheld,
}

/// The word behind an amount of money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// × 1.
    #[default]
    Unit,
    /// × 10³.
    Thousand,
    /// × 10⁶.
    Million,
    /// × 10⁹.
    Billion,
    /// × 10¹².
    Trillion,
}

/// Part of a whole, both counted: 0 ≤ numerator ≤ denominator, 0 < denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: i64,
    denominator: i64,
}

/// Two counts that are no part of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatioFault {
    /// The denominator is 0 or negative.
    ZeroDenominator,
    /// The numerator is negative.
    NegativeNumerator,
    /// The part is greater than the whole.
    NumeratorAboveDenominator,
}

impl Ratio {
    /// The ratio of two counts.
    ///
    /// # Errors
    /// [`RatioFault`] if they are no part of a whole.
    pub fn new(numerator: i64, denominator: i64) -> Result<Self, RatioFault> {
        if denominator <= 0 {
            Err(RatioFault::ZeroDenominator)
        } else if numerator < 0 {
            Err(RatioFault::NegativeNumerator)
        } else if numerator > denominator {
            Err(RatioFault::NumeratorAboveDenominator)
        } else {
            Ok(Self { numerator, denominator })
        }
    }

    /// The part.
    pub fn numerator(self) -> i64 {
        self.numerator
    }

    /// The whole.
    pub fn denominator(self) -> i64 {
        self.denominator
    }
}

/// What was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// Whole number, 0 or more.
    Count(i64),
    /// Decimal number as printed.
    Decimal(Decimal),
    /// Percentage as printed.
    Percent(Decimal),
    /// Part of a whole.
    Ratio(Ratio),
    /// Money as printed.
    Money {
        /// The number.
        amount: Decimal,
        /// The word behind it.
        scale: Scale,
        /// ISO 4217.
        currency: String,
    },
    /// Why there is no value.
    Missing(Missing),
}

impl Value {
    /// The name of its field in the API.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Count(_) => "count",
            Self::Decimal(_) => "decimal",
            Self::Percent(_) => "percent",
            Self::Ratio(_) => "ratio",
            Self::Money { .. } => "money",
            Self::Missing(_) => "missing",
        }
    }
}

/// One value of one indicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The indicator.
    pub indicator: IndicatorId,
    /// Code by dimension; empty: the total.
    pub by: BTreeMap<IndicatorId, IndicatorId>,
    /// Whose figure it is.
    pub scope: Scope,
    /// What was reported.
    pub value: Value,
    /// How the number bounds the value.
    pub qualifier: Qualifier,
    /// What the value rests on.
    pub basis: Basis,
    /// The percentage printed beside the counts.
    pub stated_percent: Option<Decimal>,
    /// Remark; may be empty.
    pub note: String,
}

/// Where figures were published. Title or uri is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Title; may be empty.
    pub title: String,
    /// URI; may be empty.
    pub uri: String,
    /// Day of publication; none: not known.
    pub published_on: Option<Date>,
    /// SHA-256 of the document in hexadecimal; may be empty.
    pub sha256: String,
    /// Place in the document; may be empty.
    pub locator: String,
}

/// A report as it is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportDraft {
    /// The report of which this is a new version, if the caller says so.
    pub name: Option<ReportName>,
    /// The unit that it is about.
    pub unit: UnitId,
    /// Who issued it.
    pub organ: Organ,
    /// The period as written.
    pub period: WrittenPeriod,
    /// The form; may be empty.
    pub form: String,
    /// Where it was published.
    pub source: Source,
    /// 1 to 500 values.
    pub observations: Vec<Observation>,
    /// Remark; may be empty.
    pub note: String,
}

/// An observation as far as it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadObservation {
    /// The indicator, if it is an id.
    pub indicator: Option<IndicatorId>,
    /// Code by dimension, as far as they are ids.
    pub by: BTreeMap<IndicatorId, IndicatorId>,
    /// Whose figure it is.
    pub scope: Scope,
    /// What was reported, if it is a value.
    pub value: Option<Value>,
    /// How the number bounds the value.
    pub qualifier: Qualifier,
    /// What the value rests on.
    pub basis: Basis,
    /// The percentage printed beside the counts.
    pub stated_percent: Option<Decimal>,
    /// Remark; may be empty.
    pub note: String,
}

impl ReadObservation {
    /// The observation, if all of it could be read.
    pub fn complete(self) -> Option<Observation> {
        let Self { indicator, by, scope, value, qualifier, basis, stated_percent, note } = self;
        Some(Observation { indicator: indicator?, by, scope, value: value?, qualifier, basis, stated_percent, note })
    }
}

/// A submitted report as far as it can be read; what cannot be read is a violation of form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReport {
    /// The report of which this is a new version, if the caller says so.
    pub name: Option<ReportName>,
    /// The unit that it is about, if it is an id.
    pub unit: Option<UnitId>,
    /// Who issued it.
    pub organ: Organ,
    /// The period as written, if it is one.
    pub period: Option<WrittenPeriod>,
    /// The form; may be empty.
    pub form: String,
    /// Where it was published.
    pub source: Source,
    /// Every observation, in its place.
    pub observations: Vec<ReadObservation>,
    /// Remark; may be empty.
    pub note: String,
}

impl ReadReport {
    /// The report, if all of it could be read.
    pub fn complete(self) -> Option<ReportDraft> {
        let Self { name, unit, organ, period, form, source, observations, note } = self;
        let observations = observations.into_iter().map(ReadObservation::complete).collect::<Option<Vec<_>>>()?;
        Some(ReportDraft { name, unit: unit?, organ, period: period?, form, source, observations, note })
    }
}

/// A version of a report as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub name: ReportName,
    /// 1 for the first.
    pub version: u32,
    /// The unit that it is about.
    pub unit: UnitId,
    /// Who issued it.
    pub organ: Organ,
    /// The period, a term's days as they were looked up at submission.
    pub period: Period,
    /// The form; may be empty.
    pub form: String,
    /// Where it was published.
    pub source: Source,
    /// 1 to 500 values.
    pub observations: Vec<Observation>,
    /// Remark; may be empty.
    pub note: String,
}
