//! Indicators: what is measured and how it rolls up.

use std::collections::BTreeMap;

use super::ids::IndicatorId;

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
}

impl Indicator {
    /// What the parts of the definition say against each other, each with the field at fault; nothing if they agree.
    pub fn contradictions(&self) -> Vec<(&'static str, &'static str)> {
        let is_flag = self.value_kind == ValueKind::Flag;
        let is_ratio = self.value_kind == ValueKind::Ratio;
        let rules = [
            (
                is_flag && self.temporality != Temporality::State,
                "temporality",
                "a FLAG holds or does not on a day: STATE",
            ),
            (
                !is_flag && self.temporality == Temporality::State,
                "temporality",
                "STATE goes with FLAG only; use STOCK or FLOW",
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
                self.roll_up == RollUp::Distribution && self.dimensions.is_empty(),
                "dimensions",
                "a DISTRIBUTION needs the dimension whose classes it adds",
            ),
            (is_flag && !self.dimensions.is_empty(), "dimensions", "a FLAG is about one unit and has no dimensions"),
        ];
        rules.into_iter().filter(|(broken, ..)| *broken).map(|(_, field, message)| (field, message)).collect()
    }

    /// The dimension with that id.
    pub fn dimension(&self, id: &IndicatorId) -> Option<&Dimension> {
        self.dimensions.iter().find(|dimension| dimension.id == *id)
    }
}
