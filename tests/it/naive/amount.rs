//! The number of one unit, with what it leaves open.

use std::collections::BTreeSet;

use proto::v1::{
    indicator::ValueKind,
    observation::{Money, Qualifier, Value, money::Scale},
};

use super::{
    cell::Cell,
    number::{Interval, Number},
};

/// What a unit reported, in one piece or in tiles.
#[derive(Clone, Debug)]
pub struct Amount {
    /// The sum of what was printed; of a ratio, of the numerators.
    pub number: Number,
    /// Of a ratio: the sum of the denominators.
    pub whole: Number,
    pub qualifiers: Vec<Qualifier>,
    /// Where it lies by its qualifiers.
    pub printed: Interval,
    /// The same as far as it is possible.
    pub bounds: Interval,
    pub currencies: BTreeSet<String>,
}

/// An amount of money in units of its currency.
pub fn units_of(money: &Money) -> Number {
    let zeros = match money.scale() {
        Scale::Unspecified | Scale::Unit => 0,
        Scale::Thousand => 3,
        Scale::Million => 6,
        Scale::Billion => 9,
        Scale::Trillion => 12,
    };
    Number::read(&money.amount) * Number::whole(10_i128.pow(zeros))
}

/// Whether a value is never less than 0.
pub fn is_never_negative(kind: ValueKind) -> bool {
    matches!(kind, ValueKind::Count | ValueKind::Percent | ValueKind::Ratio)
}

impl Amount {
    /// None if nothing that counts is a number.
    pub fn of(cell: &Cell<'_>) -> Option<Self> {
        let said = cell.counts.iter().filter_map(|said| Self::said(said.value(), said.observation().qualifier()));
        let parts: Vec<Self> = said.collect();
        if parts.is_empty() {
            return None;
        }
        Some(Self {
            number: parts.iter().map(|part| part.number).sum(),
            whole: parts.iter().map(|part| part.whole).sum(),
            qualifiers: parts.iter().flat_map(|part| part.qualifiers.clone()).collect(),
            printed: parts.iter().map(|part| part.printed).sum(),
            bounds: parts.iter().map(|part| part.bounds).sum(),
            currencies: parts.into_iter().flat_map(|part| part.currencies).collect(),
        })
    }

    /// One value that was said.
    pub fn said(value: &Value, qualifier: Qualifier) -> Option<Self> {
        let mut whole = Number::ZERO;
        let mut currencies = BTreeSet::new();
        let number = match value {
            Value::Count(count) => Number::whole(*count),
            Value::Decimal(text) | Value::Percent(text) => Number::read(text),
            Value::Ratio(ratio) => {
                whole = Number::whole(ratio.denominator());
                Number::whole(ratio.numerator())
            }
            Value::Money(money) => {
                currencies.insert(money.currency.clone());
                units_of(money)
            }
            _ => return None,
        };
        let printed = Interval::of(number, qualifier);
        let bounds = match value {
            Value::Count(_) | Value::Percent(_) => printed.cut(None),
            Value::Ratio(_) => printed.cut(Some(whole)),
            _ => printed,
        };
        let qualifier = if qualifier == Qualifier::Unspecified { Qualifier::Exact } else { qualifier };
        Some(Self { number, whole, qualifiers: vec![qualifier], printed, bounds, currencies })
    }

    /// A ratio as one number, with six digits.
    pub fn quotient(&self, per: Number) -> Self {
        let whole = self.whole;
        let one = |number: Number| (number / whole * per).rounded(6);
        Self { number: one(self.number), printed: self.printed.map(one), bounds: self.bounds.map(one), ..self.clone() }
    }
}
