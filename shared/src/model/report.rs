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
    /// Of units that are named: a flag, a category or a direction of each of them, a number of them together.
    Group,
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

/// More or less than before, without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More.
    Increase,
    /// Less.
    Decrease,
    /// The same.
    Unchanged,
    /// Much more.
    SharpIncrease,
    /// Much less.
    SharpDecrease,
}

/// What the number of a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeUnit {
    /// Percent of the baseline.
    Percent,
    /// Percentage points.
    PercentagePoint,
    /// As many of what the indicator counts or measures.
    Absolute,
    /// The baseline is 100.
    Index,
    /// The baseline times the number.
    Times,
    /// The baseline, and the baseline times the number on top of it.
    TimesMore,
    /// Percent a year on average, compounded.
    PercentPerYear,
}

impl ChangeUnit {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Percent,
        Self::PercentagePoint,
        Self::Absolute,
        Self::Index,
        Self::Times,
        Self::TimesMore,
        Self::PercentPerYear,
    ];
}

/// What a change is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Baseline {
    /// The plan for the same period.
    Plan,
    /// A year.
    Year(i16),
    /// The term before.
    PreviousTerm,
    /// The same period of the year before.
    SamePeriodLastYear,
}

/// A change against a baseline, as it was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueChange {
    /// The number, negative for a decrease.
    pub amount: Decimal,
    /// What it is; none: the source does not tell.
    pub unit: Option<ChangeUnit>,
    /// What it is compared with; none: the source does not tell.
    pub baseline: Option<Baseline>,
    /// What the number can be where the source does not tell; empty: anything.
    pub possible_units: Vec<ChangeUnit>,
}

impl ValueChange {
    /// Every reading of a change that does not say what its number is; none if it does.
    pub fn readings(&self) -> &[ChangeUnit] {
        match (self.unit, self.possible_units.as_slice()) {
            (Some(_), _) => &[],
            (None, []) => &ChangeUnit::ALL,
            (None, possible) => possible,
        }
    }
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
    /// Code of a category.
    Category(IndicatorId),
    /// More or less than before.
    Direction(Direction),
    /// Change against a baseline.
    Change(ValueChange),
    /// Why there is no value.
    Missing(Missing),
}

impl Value {
    /// Whether it is said of each unit of a group, and not of them together.
    pub fn is_said_of_each(&self) -> bool {
        match self {
            Self::Flag(_) | Self::Category(_) | Self::Direction(_) | Self::Missing(_) => true,
            Self::Count(_)
            | Self::Decimal(_)
            | Self::Percent(_)
            | Self::Ratio(_)
            | Self::Money { .. }
            | Self::Change(_) => false,
        }
    }

    /// Whether a qualifier can bound it.
    pub fn is_number(&self) -> bool {
        !self.is_said_of_each()
    }

    /// The name of its field in the API.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Count(_) => "count",
            Self::Decimal(_) => "decimal",
            Self::Percent(_) => "percent",
            Self::Ratio(_) => "ratio",
            Self::Money { .. } => "money",
            Self::Category(_) => "category",
            Self::Direction(_) => "direction",
            Self::Change(_) => "change",
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
    /// The units of a group, in the order of their ids; empty for any other scope.
    pub units: Vec<UnitId>,
    /// Version of the indicator by which it was accepted; 1 before.
    pub indicator_version: u32,
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

/// What an observation is about, within its report.
pub type Cell<'a> = (&'a IndicatorId, &'a BTreeMap<IndicatorId, IndicatorId>, Scope, &'a [UnitId]);

impl Observation {
    /// What it is about, within its report.
    pub fn cell(&self) -> Cell<'_> {
        (&self.indicator, &self.by, self.scope, &self.units)
    }
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
    /// The unit whose organ issued it, where it is another one.
    pub issuer: Option<UnitId>,
    /// Who sends it, as it calls itself; may be empty.
    pub sender: String,
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
    /// The units of a group, as far as they are ids.
    pub units: Vec<UnitId>,
    /// Version of the indicator by which it was accepted.
    pub indicator_version: u32,
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
        let Self { indicator, by, scope, units, indicator_version, value, qualifier, basis, stated_percent, note } =
            self;
        let (indicator, value) = (indicator?, value?);
        Some(Observation {
            indicator,
            by,
            scope,
            units,
            indicator_version,
            value,
            qualifier,
            basis,
            stated_percent,
            note,
        })
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
    /// The unit whose organ issued it, where it is another one.
    pub issuer: Option<UnitId>,
    /// Who sends it, as it calls itself; may be empty.
    pub sender: String,
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
        let Self { name, unit, organ, period, issuer, sender, form, source, observations, note } = self;
        let observations = observations.into_iter().map(ReadObservation::complete).collect::<Option<Vec<_>>>()?;
        let (unit, period) = (unit?, period?);
        Some(ReportDraft { name, unit, organ, period, issuer, sender, form, source, observations, note })
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
    /// The unit whose organ issued it, where it is another one.
    pub issuer: Option<UnitId>,
    /// Who sends it, as it calls itself; may be empty.
    pub sender: String,
    /// The form; may be empty.
    pub form: String,
    /// Where it was published.
    pub source: Source,
    /// 1 to 500 values.
    pub observations: Vec<Observation>,
    /// Remark; may be empty.
    pub note: String,
}

/// What differs between two versions of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differences<'a> {
    /// Fields of the report itself but its organ: path, what it was, what it is.
    pub fields: Vec<(&'static str, String, String)>,
    /// What it says about one thing: before and after. In the order of the later version, what went last.
    pub observations: Vec<(Option<&'a Observation>, Option<&'a Observation>)>,
}

/// What differs between two versions of a report.
pub fn compare<'a>(before: &'a Report, after: &'a Report) -> Differences<'a> {
    let text = |value: Option<String>| value.unwrap_or_default();
    let header = |report: &Report| {
        [
            ("report.unit", report.unit.to_string()),
            ("report.period", report.period.written().to_owned()),
            ("report.period_start_on", text(report.period.span().first_day.map(|day| day.to_string()))),
            ("report.period_end_on", text(report.period.span().last_day.map(|day| day.to_string()))),
            ("report.issuer", text(report.issuer.as_ref().map(ToString::to_string))),
            ("report.sender", report.sender.clone()),
            ("report.form", report.form.clone()),
            ("report.source.title", report.source.title.clone()),
            ("report.source.uri", report.source.uri.clone()),
            ("report.source.published_on", text(report.source.published_on.map(|day| day.to_string()))),
            ("report.source.sha256", report.source.sha256.clone()),
            ("report.source.locator", report.source.locator.clone()),
            ("report.note", report.note.clone()),
        ]
    };
    let fields = header(before).into_iter().zip(header(after));
    let fields = fields.filter(|((_, before), (_, after))| before != after);
    let mut gone: BTreeMap<_, &Observation> = before.observations.iter().map(|o| (o.cell(), o)).collect();
    let mut observations = Vec::new();
    for observation in &after.observations {
        let earlier = gone.remove(&observation.cell());
        if earlier != Some(observation) {
            observations.push((earlier, Some(observation)));
        }
    }
    // What went, in the order in which it stood.
    let went = before.observations.iter().filter(|observation| gone.contains_key(&observation.cell()));
    observations.extend(went.map(|observation| (Some(observation), None)));
    Differences { fields: fields.map(|((path, before), (_, after))| (path, before, after)).collect(), observations }
}
