//! Exact numbers and what bounds them. Sums of decimals are exact; only quotients are rounded.

use std::cmp::Ordering;

use bigdecimal::{
    BigDecimal, RoundingMode, Zero,
    num_bigint::{BigInt, Sign},
};

use crate::model::report::Qualifier;

/// Digits behind the point of a quotient.
const QUOTIENT_DIGITS: u64 = 6;

/// An end of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The number.
    pub number: BigDecimal,
    /// The number itself is outside.
    pub is_exclusive: bool,
}

/// The numbers that a value can be; an end that is not there is infinite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Where it begins.
    pub lower: Option<End>,
    /// Where it ends.
    pub upper: Option<End>,
}

impl End {
    /// An end that is inside.
    pub fn inclusive(number: BigDecimal) -> Self {
        Self { number, is_exclusive: false }
    }

    fn plus(&self, other: &Self) -> Self {
        Self { number: &self.number + &other.number, is_exclusive: self.is_exclusive || other.is_exclusive }
    }

    /// The same with another number.
    pub fn map(&self, change: impl FnOnce(&BigDecimal) -> BigDecimal) -> Self {
        Self { number: change(&self.number), is_exclusive: self.is_exclusive }
    }
}

impl Interval {
    /// Nothing but this number.
    pub fn point(number: BigDecimal) -> Self {
        Self { lower: Some(End::inclusive(number.clone())), upper: Some(End::inclusive(number)) }
    }

    /// Whether it is nothing but that number.
    pub fn is_just(&self, number: &BigDecimal) -> bool {
        let is_it = |end: &Option<End>| end.as_ref().is_some_and(|end| !end.is_exclusive && end.number == *number);
        is_it(&self.lower) && is_it(&self.upper)
    }

    /// What a printed number says about the value.
    pub fn of(number: &BigDecimal, qualifier: Qualifier) -> Self {
        let end = |is_exclusive| Some(End { number: number.clone(), is_exclusive });
        match qualifier {
            Qualifier::Exact => Self::point(number.clone()),
            Qualifier::MoreThan => Self { lower: end(true), upper: None },
            Qualifier::AtLeast => Self { lower: end(false), upper: None },
            Qualifier::LessThan => Self { lower: None, upper: end(true) },
            Qualifier::AtMost => Self { lower: None, upper: end(false) },
            Qualifier::About => Self::default(),
        }
    }

    /// The same for what is never less than 0.
    pub fn not_negative(self) -> Self {
        let is_inside = self.lower.as_ref().is_some_and(|lower| lower.number >= BigDecimal::zero());
        let lower = if is_inside { self.lower } else { Some(End::inclusive(BigDecimal::zero())) };
        Self { lower, ..self }
    }

    /// The same for what is never more than that.
    pub fn at_most(self, most: &BigDecimal) -> Self {
        let is_inside = self.upper.as_ref().is_some_and(|upper| upper.number <= *most);
        let upper = if is_inside { self.upper } else { Some(End::inclusive(most.clone())) };
        Self { upper, ..self }
    }

    /// The one number in it; none if there are several.
    pub fn exact(&self) -> Option<&BigDecimal> {
        match (&self.lower, &self.upper) {
            (Some(lower), Some(upper)) if lower == upper && !lower.is_exclusive => Some(&lower.number),
            _ => None,
        }
    }

    /// What the sum of a number of each can be.
    pub fn plus(&self, other: &Self) -> Self {
        let add = |a: &Option<End>, b: &Option<End>| Some(a.as_ref()?.plus(b.as_ref()?));
        Self { lower: add(&self.lower, &other.lower), upper: add(&self.upper, &other.upper) }
    }

    /// What the difference `self − other` can be.
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&other.negated())
    }

    /// What the negative number can be.
    pub fn negated(&self) -> Self {
        let negate = |end: &Option<End>| end.as_ref().map(|end| end.map(|number| -number));
        Self { lower: negate(&self.upper), upper: negate(&self.lower) }
    }

    /// The same with other numbers at its ends.
    pub fn map(self, change: impl Fn(BigDecimal) -> BigDecimal) -> Self {
        let end = |end: Option<End>| end.map(|end| End { number: change(end.number), is_exclusive: end.is_exclusive });
        Self { lower: end(self.lower), upper: end(self.upper) }
    }

    /// The interval as a printed number: its point, or its only end.
    pub fn as_number(&self) -> Option<(BigDecimal, Qualifier)> {
        if let Some(number) = self.exact() {
            return Some((number.clone(), Qualifier::Exact));
        }
        match (&self.lower, &self.upper) {
            (Some(End { number, is_exclusive }), None) => {
                Some((number.clone(), if *is_exclusive { Qualifier::MoreThan } else { Qualifier::AtLeast }))
            }
            (None, Some(End { number, is_exclusive })) => {
                Some((number.clone(), if *is_exclusive { Qualifier::LessThan } else { Qualifier::AtMost }))
            }
            _ => None,
        }
    }
}

/// Lower ends in their order: an infinite one first, and of equal numbers the one that is inside.
pub fn order_lower(a: &Option<End>, b: &Option<End>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => a.number.cmp(&b.number).then(a.is_exclusive.cmp(&b.is_exclusive)),
    }
}

/// Upper ends in their order: an infinite one last, and of equal numbers the one that is inside.
pub fn order_upper(a: &Option<End>, b: &Option<End>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.number.cmp(&b.number).then(b.is_exclusive.cmp(&a.is_exclusive)),
    }
}

/// How a bound reads from the other side.
pub fn reverse(qualifier: Qualifier) -> Qualifier {
    match qualifier {
        Qualifier::MoreThan => Qualifier::LessThan,
        Qualifier::AtLeast => Qualifier::AtMost,
        Qualifier::LessThan => Qualifier::MoreThan,
        Qualifier::AtMost => Qualifier::AtLeast,
        Qualifier::Exact | Qualifier::About => qualifier,
    }
}

/// How two bounds bound what follows from both; none where they pull in two directions.
pub fn combine(a: Qualifier, b: Qualifier) -> Option<Qualifier> {
    use Qualifier::{About, AtLeast, AtMost, Exact, LessThan, MoreThan};
    match (a, b) {
        (Exact, other) | (other, Exact) => Some(other),
        (a, b) if a == b => Some(a),
        (MoreThan, AtLeast) | (AtLeast, MoreThan) => Some(MoreThan),
        (LessThan, AtMost) | (AtMost, LessThan) => Some(LessThan),
        (About | MoreThan | AtLeast | LessThan | AtMost, _) => None,
    }
}

/// part / whole with six digits, half away from 0; none where the whole is 0.
pub fn quotient(part: &BigDecimal, whole: &BigDecimal) -> Option<BigDecimal> {
    rounded_quotient(part, whole, QUOTIENT_DIGITS)
}

/// part / whole with so many digits, half away from 0; none where the whole is 0.
pub fn rounded_quotient(part: &BigDecimal, whole: &BigDecimal, digits: u64) -> Option<BigDecimal> {
    if whole.is_zero() {
        return None;
    }
    // Whole numbers of the same scale, so that the division is one of integers and the remainder is exact.
    let scale = part.fractional_digit_count().max(whole.fractional_digit_count()).max(0);
    let (part, _) = part.with_scale(scale).into_bigint_and_exponent();
    let (whole, _) = whole.with_scale(scale).into_bigint_and_exponent();
    let (part, whole) = if whole.sign() == Sign::Minus { (-part, -whole) } else { (part, whole) };
    let is_negative = part.sign() == Sign::Minus;
    let magnitude = BigInt::from(part.magnitude().clone());
    let factor = BigInt::from(10).pow(u32::try_from(digits).unwrap_or(u32::MAX));
    let rounded: BigInt = (magnitude * factor * 2 + &whole) / (&whole * 2);
    let rounded = if is_negative { -rounded } else { rounded };
    Some(BigDecimal::from_bigint(rounded, i64::try_from(digits).unwrap_or(i64::MAX)))
}

/// A number rounded to six digits, half away from 0.
pub fn six_digits(number: &BigDecimal) -> BigDecimal {
    number.with_scale_round(i64::try_from(QUOTIENT_DIGITS).unwrap_or(i64::MAX), RoundingMode::HalfUp)
}

/// part / whole of counts, with six digits; none where the whole is 0.
pub fn fraction(part: u32, whole: u32) -> Option<BigDecimal> {
    quotient(&BigDecimal::from(part), &BigDecimal::from(whole))
}

/// A number without zeros that say nothing, in plain digits.
pub fn plain(number: &BigDecimal) -> String {
    number.normalized().to_plain_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> BigDecimal {
        text.parse().unwrap()
    }

    #[test]
    fn fractions_have_six_digits_rounded_half_up_and_need_a_whole() {
        let text = |part, whole| fraction(part, whole).map(|f| f.to_plain_string());
        assert_eq!(text(1, 27).as_deref(), Some("0.037037"));
        assert_eq!(text(2, 3).as_deref(), Some("0.666667"));
        assert_eq!(text(1, 2_000_000).as_deref(), Some("0.000001"), "half rounds up");
        assert_eq!(text(0, 5).as_deref(), Some("0.000000"));
        assert_eq!(text(u32::MAX, u32::MAX).as_deref(), Some("1.000000"));
        assert_eq!(text(0, 0), None);
    }

    #[test]
    fn quotients_are_rounded_away_from_zero_whatever_the_signs() {
        let text = |a: &str, b: &str| quotient(&number(a), &number(b)).unwrap().to_plain_string();
        assert_eq!(text("-1", "2000000"), "-0.000001");
        assert_eq!(text("1", "-3"), "-0.333333");
        assert_eq!(text("0.5", "0.25"), "2.000000");
        assert_eq!(text("0", "-7"), "0.000000");
        assert_eq!(text("169000000000", "1E+1"), "16900000000.000000");
    }

    #[test]
    fn bounds_go_through_sums() {
        let sum = Interval::point(number("300")).plus(&Interval::of(&number("5000"), Qualifier::MoreThan));
        assert_eq!(sum.as_number(), Some((number("5300"), Qualifier::MoreThan)));
        let both = sum.plus(&Interval::of(&number("5"), Qualifier::LessThan));
        assert_eq!(both, Interval::default(), "bounds in two directions leave nothing");
        let counted = sum.plus(&Interval::of(&number("5"), Qualifier::LessThan).not_negative());
        assert_eq!(counted.lower.map(|end| end.number), Some(number("5300")), "a count is at least 0");
        let difference = Interval::point(number("1")).minus(&Interval::of(&number("2"), Qualifier::AtLeast));
        assert_eq!(difference.as_number(), Some((number("-1"), Qualifier::AtMost)));
    }

    #[test]
    fn numbers_are_printed_in_plain_digits() {
        assert_eq!(plain(&number("300.00")), "300");
        assert_eq!(plain(&number("169E+9")), "169000000000");
        assert_eq!(plain(&number("0.0")), "0");
        assert_eq!(plain(&number("-12.50")), "-12.5");
    }
}
