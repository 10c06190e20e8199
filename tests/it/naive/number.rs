//! Exact numbers as fractions, and the ends between which one lies.

use std::{
    cmp::Ordering,
    iter::Sum,
    ops::{Add, Div, Mul, Neg, Sub},
};

use proto::v1::observation::Qualifier;

/// A fraction in lowest terms; the denominator is greater than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    numerator: i128,
    denominator: i128,
}

impl Number {
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    pub fn new(numerator: i128, denominator: i128) -> Self {
        let (mut a, mut b) = (numerator.abs(), denominator.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = a.max(1) * denominator.signum();
        Self { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    pub fn whole(number: impl TryInto<i128>) -> Self {
        Self::new(number.try_into().ok().unwrap(), 1)
    }

    /// A decimal number as it is written.
    pub fn read(text: &str) -> Self {
        let places = text.split_once('.').map_or(0, |(_, places)| places.len());
        let digits: i128 = text.replace('.', "").parse().unwrap();
        Self::new(digits, 10_i128.pow(u32::try_from(places).unwrap()))
    }

    /// To so many places, half away from 0.
    pub fn rounded(self, places: u32) -> Self {
        let scale = 10_i128.pow(places);
        let Self { numerator, denominator } = self;
        let nearest = (numerator.abs() * scale * 2 + denominator) / (denominator * 2);
        Self::new(nearest * numerator.signum(), scale)
    }

    /// With exactly so many places.
    pub fn with_places(self, places: u32) -> String {
        let scale = 10_i128.pow(places);
        let digits = (self.rounded(places) * Self::whole(scale)).numerator;
        let sign = if digits < 0 { "-" } else { "" };
        let (whole, rest) = (digits.abs() / scale, digits.abs() % scale);
        if places == 0 {
            return format!("{sign}{whole}");
        }
        format!("{sign}{whole}.{rest:0places$}", places = usize::try_from(places).unwrap())
    }

    /// With the places that it has; there are not infinitely many.
    pub fn plain(self) -> String {
        let places = (0..30).find(|places| self.rounded(*places) == self);
        self.with_places(places.expect("a sum of decimal numbers is one"))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

impl Add for Number {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let numerator = self.numerator * other.denominator + other.numerator * self.denominator;
        Self::new(numerator, self.denominator * other.denominator)
    }
}

impl Neg for Number {
    type Output = Self;
    fn neg(self) -> Self {
        Self::new(-self.numerator, self.denominator)
    }
}

impl Sub for Number {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Number {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self::new(self.numerator * other.numerator, self.denominator * other.denominator)
    }
}

impl Div for Number {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        Self::new(self.numerator * other.denominator, self.denominator * other.numerator)
    }
}

impl Sum for Number {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::ZERO, Add::add)
    }
}

/// Where an interval ends; `open`: the number itself is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub at: Number,
    pub open: bool,
}

impl End {
    pub fn closed(at: Number) -> Self {
        Self { at, open: false }
    }

    fn map(self, change: impl Fn(Number) -> Number) -> Self {
        Self { at: change(self.at), ..self }
    }
}

/// The numbers between two ends; none: it goes on without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub lower: Option<End>,
    pub upper: Option<End>,
}

impl Interval {
    pub const EVERY: Self = Self { lower: None, upper: None };

    pub fn of(number: Number, qualifier: Qualifier) -> Self {
        let (closed, open) = (Some(End::closed(number)), Some(End { at: number, open: true }));
        let (lower, upper) = match qualifier {
            Qualifier::Unspecified | Qualifier::Exact => (closed, closed),
            Qualifier::MoreThan => (open, None),
            Qualifier::AtLeast => (closed, None),
            Qualifier::LessThan => (None, open),
            Qualifier::AtMost => (None, closed),
            Qualifier::About => (None, None),
        };
        Self { lower, upper }
    }

    /// What of it is not less than 0, and not more than `most`.
    pub fn cut(self, most: Option<Number>) -> Self {
        let zero = End::closed(Number::ZERO);
        let lower = Some(self.lower.filter(|end| end.at >= zero.at).unwrap_or(zero));
        let most = most.map(End::closed);
        let upper = self.upper.filter(|end| most.is_none_or(|most| end.at <= most.at)).or(most);
        Self { lower, upper }
    }

    pub fn map(self, change: impl Fn(Number) -> Number + Copy) -> Self {
        Self { lower: self.lower.map(|end| end.map(change)), upper: self.upper.map(|end| end.map(change)) }
    }

    /// Whether every number of it lies in the other one.
    pub fn is_within(self, other: Self) -> bool {
        let starts = match (self.lower, other.lower) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(theirs)) => own.at > theirs.at || own.at == theirs.at && (own.open || !theirs.open),
        };
        let ends = match (self.upper, other.upper) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(theirs)) => own.at < theirs.at || own.at == theirs.at && (own.open || !theirs.open),
        };
        starts && ends
    }

    /// Whether no number of it lies in the other one.
    pub fn is_apart_from(self, other: Self) -> bool {
        let ends_before = |a: Self, b: Self| match (a.upper, b.lower) {
            (Some(last), Some(first)) => last.at < first.at || last.at == first.at && (last.open || first.open),
            _ => false,
        };
        ends_before(self, other) || ends_before(other, self)
    }
}

impl Sum for Interval {
    fn sum<I: Iterator<Item = Self>>(intervals: I) -> Self {
        let zero = Some(End::closed(Number::ZERO));
        let add = |a: Option<End>, b: Option<End>| {
            let (a, b) = (a?, b?);
            Some(End { at: a.at + b.at, open: a.open || b.open })
        };
        intervals.fold(Self { lower: zero, upper: zero }, |sum, one| Self {
            lower: add(sum.lower, one.lower),
            upper: add(sum.upper, one.upper),
        })
    }
}

/// Qualifiers of numbers that are added; none: nothing stands for the sum.
pub fn combined(qualifiers: &[Qualifier]) -> Option<Qualifier> {
    let mut found = Qualifier::Exact;
    for qualifier in qualifiers {
        found = match (found, *qualifier) {
            (found, Qualifier::Exact | Qualifier::Unspecified) => found,
            (Qualifier::Exact, other) => other,
            (one, other) if one == other => one,
            (Qualifier::MoreThan, Qualifier::AtLeast) | (Qualifier::AtLeast, Qualifier::MoreThan) => {
                Qualifier::MoreThan
            }
            (Qualifier::LessThan, Qualifier::AtMost) | (Qualifier::AtMost, Qualifier::LessThan) => Qualifier::LessThan,
            _ => return None,
        };
    }
    Some(found)
}

/// The qualifier of what becomes less where the number becomes greater.
pub fn reversed(qualifier: Qualifier) -> Qualifier {
    match qualifier {
        Qualifier::MoreThan => Qualifier::LessThan,
        Qualifier::AtLeast => Qualifier::AtMost,
        Qualifier::LessThan => Qualifier::MoreThan,
        Qualifier::AtMost => Qualifier::AtLeast,
        other => other,
    }
}
