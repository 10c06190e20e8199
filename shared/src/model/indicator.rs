//! Indicators: what is measured and how it rolls up.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{
    ids::{IndicatorId, UnitId},
    period::Span,
    unit::Level,
};

/// Which kind of value an observation carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Yes or no about one unit.
    Flag,
    /// Whole number of things counted.
    Count,
    /// Decimal number.
    Decimal,
    /// Percentage without its two counts.
    Percent,
    /// Part of a whole, both counted.
    Ratio,
    /// Amount of money.
    Money,
    /// One of a closed list of codes.
    Category,
    /// More or less than before.
    Direction,
    /// Change against a baseline.
    Change,
}

/// How a value relates to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// Holds, or does not, on a day.
    State,
    /// A level on a day.
    Stock,
    /// Adds up over time.
    Flow,
}

/// How values of several units or periods become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollUp {
    /// The sum.
    Sum,
    /// The last value in time; the sum over units.
    Last,
    /// Sum of the numerators over sum of the denominators.
    RatioOfSums,
    /// Share of the units for which the flag is set.
    ShareOfUnits,
    /// Sum of each class.
    Distribution,
    /// Never.
    None,
}

/// A way in which observations are split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Its id.
    pub id: IndicatorId,
    /// Codes of its classes.
    pub codes: Vec<IndicatorId>,
    /// Whether any other code is refused.
    pub closed: bool,
}

/// Units for which a question does not arise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// This unit and the units below it.
    pub under: UnitId,
    /// Only units of this level.
    pub level: Option<Level>,
    /// Only units of this kind; empty: of any.
    pub kind: String,
    /// The days.
    pub span: Span,
    /// Why.
    pub reason: String,
}

/// closing = opening + inflows − outflows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The opening stock.
    pub opening: IndicatorId,
    /// What comes in.
    pub inflows: Vec<IndicatorId>,
    /// What goes out.
    pub outflows: Vec<IndicatorId>,
}

impl Balance {
    /// Every indicator of it but the closing stock.
    pub fn parts(&self) -> impl Iterator<Item = &IndicatorId> {
        std::iter::once(&self.opening).chain(&self.inflows).chain(&self.outflows)
    }
}

/// A definition of what is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indicator {
    /// Its id.
    pub id: IndicatorId,
    /// Names by language; at least one.
    pub names: BTreeMap<String, String>,
    /// Kind of its values.
    pub value_kind: ValueKind,
    /// How they relate to time.
    pub temporality: Temporality,
    /// How they roll up.
    pub roll_up: RollUp,
    /// Ways in which they are split.
    pub dimensions: Vec<Dimension>,
    /// What is counted or measured; may be empty.
    pub unit_of_measure: String,
    /// 1 for the first.
    pub version: u32,
    /// The first day on which this version holds; none: ever.
    pub valid_from: Option<Date>,
    /// Codes of a category.
    pub codes: Vec<IndicatorId>,
    /// The question arises only for units of these levels; empty: for all.
    pub levels: Vec<Level>,
    /// Units for which it does not arise.
    pub not_applicable: Vec<Exception>,
    /// The indicator of which it is the change.
    pub change_of: Option<IndicatorId>,
    /// What its opening, inflows and outflows are.
    pub balance: Option<Balance>,
    /// What exactly is counted or measured; may be empty.
    pub description: String,
}

impl Indicator {
    /// What the parts of the definition say against each other, each with the field at fault; nothing if they agree.
    pub fn contradictions(&self) -> Vec<(&'static str, &'static str)> {
        let is_flag = self.value_kind == ValueKind::Flag;
        let is_ratio = self.value_kind == ValueKind::Ratio;
        let is_category = self.value_kind == ValueKind::Category;
        let is_relative = matches!(self.value_kind, ValueKind::Direction | ValueKind::Change);
        let rules = [
            (
                is_flag && self.temporality != Temporality::State,
                "temporality",
                "a FLAG holds or does not on a day: STATE",
            ),
            (
                !is_flag && !is_category && self.temporality == Temporality::State,
                "temporality",
                "STATE goes with FLAG and CATEGORY only; use STOCK or FLOW",
            ),
            (
                is_flag != (self.roll_up == RollUp::ShareOfUnits),
                "roll_up",
                "SHARE_OF_UNITS goes with FLAG, and FLAG with nothing else",
            ),
            (
                !is_ratio && self.roll_up == RollUp::RatioOfSums,
                "roll_up",
                "RATIO_OF_SUMS needs the two counts of a RATIO",
            ),
            (
                is_ratio && !matches!(self.roll_up, RollUp::RatioOfSums | RollUp::None),
                "roll_up",
                "a RATIO rolls up as RATIO_OF_SUMS or NONE",
            ),
            (
                self.value_kind == ValueKind::Percent && self.roll_up != RollUp::None,
                "roll_up",
                "a PERCENT without its counts never rolls up: NONE",
            ),
            (
                self.roll_up == RollUp::Distribution && self.dimensions.is_empty() && !is_category,
                "dimensions",
                "a DISTRIBUTION needs the dimension whose classes it adds",
            ),
            (is_flag && !self.dimensions.is_empty(), "dimensions", "a FLAG is about one unit and has no dimensions"),
            (
                is_category && !matches!(self.roll_up, RollUp::Distribution | RollUp::None),
                "roll_up",
                "a CATEGORY rolls up as DISTRIBUTION, units by class, or NONE",
            ),
            (
                is_relative && self.roll_up != RollUp::None,
                "roll_up",
                "a CHANGE or DIRECTION is about its own baseline and never rolls up: NONE",
            ),
            (is_category == self.codes.is_empty(), "codes", "a CATEGORY needs its codes, and nothing else has any"),
            (
                self.change_of.is_some() && !is_relative,
                "change_of",
                "goes with CHANGE and DIRECTION; this is a value itself",
            ),
            (self.change_of.as_ref() == Some(&self.id), "change_of", "is another indicator"),
            (
                self.balance.is_some() && self.temporality != Temporality::Stock,
                "balance",
                "goes with a STOCK: it says what the stock is made of",
            ),
            (
                self.balance.as_ref().is_some_and(|balance| balance.parts().any(|part| *part == self.id)),
                "balance",
                "is made of other indicators",
            ),
        ];
        rules.into_iter().filter(|(broken, ..)| *broken).map(|(_, field, message)| (field, message)).collect()
    }

    /// Whether it measures the same as another version. What measures something else is another indicator.
    pub fn measures_the_same(&self, other: &Self) -> bool {
        let measure = |indicator: &Self| {
            (indicator.value_kind, indicator.temporality, indicator.roll_up, indicator.unit_of_measure.clone())
        };
        measure(self) == measure(other)
    }

    /// The dimension with that id.
    pub fn dimension(&self, id: &IndicatorId) -> Option<&Dimension> {
        self.dimensions.iter().find(|dimension| dimension.id == *id)
    }
}
