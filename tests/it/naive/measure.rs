//! Sums, extremes, means, ratios, and their bounds.

use std::collections::BTreeSet;

use proto::v1::{
    figure::{EmptyReason, Measure},
    indicator::ValueKind,
    observation::Qualifier,
};

use super::{
    amount::{Amount, is_never_negative},
    cell::State,
    number::{End, Interval, Number, combined, reversed},
    row::Fact,
};

/// How a measure is taken.
#[derive(Clone, Copy)]
pub struct Taking {
    pub measure: Measure,
    pub kind: ValueKind,
    /// Of the denominator, if there is one.
    pub over: Option<ValueKind>,
    pub per: Number,
}

/// What came of it.
pub struct Measured {
    pub value: Option<(Number, Qualifier)>,
    pub empty_reason: EmptyReason,
    pub bounds: Interval,
    /// Of a ratio.
    pub parts: Option<(Number, Number)>,
    pub currency: String,
    /// It is written with six digits.
    pub is_quotient: bool,
}

/// The numbers of the units of a row, certain and undetermined, and how many units of either say nothing.
struct Units<'f> {
    certain: Vec<&'f Fact<'f>>,
    maybe: Vec<&'f Fact<'f>>,
    silent: usize,
    maybe_silent: usize,
}

fn reporting<'f>(facts: &[&'f Fact<'f>]) -> (Vec<&'f Fact<'f>>, usize) {
    let silent = facts.iter().filter(|fact| fact.is_silent()).count();
    (facts.iter().filter(|fact| fact.state == State::Reported).copied().collect(), silent)
}

/// Whether amounts that are added or divided have more than one currency.
fn differ<'f>(facts: impl Iterator<Item = &'f &'f Fact<'f>>) -> bool {
    let amounts = facts.flat_map(|fact| &fact.amounts);
    amounts.flat_map(|amount| &amount.currencies).collect::<BTreeSet<_>>().len() > 1
}

impl Taking {
    fn is_ratio(self) -> bool {
        self.kind == ValueKind::Ratio
    }

    pub fn is_quotient(self) -> bool {
        match self.measure {
            Measure::Mean | Measure::Median | Measure::Ratio => true,
            Measure::Min | Measure::Max | Measure::Value => self.is_ratio(),
            _ => false,
        }
    }

    /// The measure of these units.
    pub fn take<'f>(self, certain: &[&'f Fact<'f>], maybe: &[&'f Fact<'f>]) -> Measured {
        let ((certain, silent), (maybe, maybe_silent)) = (reporting(certain), reporting(maybe));
        let has_maybe = maybe.len() + maybe_silent > 0;
        let units = Units { certain, maybe, silent, maybe_silent };
        let all = || units.certain.iter().chain(&units.maybe);
        let reported = !units.certain.is_empty();
        let is_mixed = differ(units.certain.iter()) && self.measure != Measure::Count;
        let is_mixed_maybe = differ(all()) && self.measure != Measure::Count;
        let arises = all().count() + units.silent + units.maybe_silent > 0;
        let found = if self.measure == Measure::Count || reported && !is_mixed {
            self.value(&units)
        } else {
            Err(EmptyReason::CurrenciesDiffer)
        };
        let (value, empty_reason) = match found {
            Ok(value) => (Some(value), EmptyReason::Unspecified),
            Err(reason) => (None, reason),
        };
        let has_bounds = self.measure == Measure::Count || arises && !is_mixed_maybe;
        let currency = units.certain.iter().flat_map(|fact| &fact.amounts[0].currencies).next();
        let is_money =
            self.kind == ValueKind::Money && self.over != Some(ValueKind::Money) && self.measure != Measure::Count;
        let of = |of: usize| -> Number {
            let whole = |fact: &&Fact<'_>| {
                if self.is_ratio() { fact.amounts[0].whole } else { fact.amounts[1].number }
            };
            units.certain.iter().map(|fact| if of == 0 { fact.amounts[0].number } else { whole(fact) }).sum()
        };
        Measured {
            empty_reason,
            bounds: if has_bounds { self.bounds(&units, has_maybe) } else { Interval::EVERY },
            parts: (self.measure == Measure::Ratio && reported && !is_mixed).then(|| (of(0), of(1))),
            currency: currency.filter(|_| is_money && value.is_some()).cloned().unwrap_or_default(),
            value,
            is_quotient: self.is_quotient(),
        }
    }

    /// The number of a unit in MIN, MAX, MEDIAN and VALUE.
    fn single(self, fact: &Fact<'_>) -> Amount {
        if self.is_ratio() { fact.amounts[0].quotient(self.per) } else { fact.amounts[0].clone() }
    }

    fn value(self, units: &Units<'_>) -> Result<(Number, Qualifier), EmptyReason> {
        let amounts = |of: usize| units.certain.iter().map(move |fact| &fact.amounts[of]);
        let qualifiers = |of: usize| -> Vec<Qualifier> { amounts(of).flat_map(|a| a.qualifiers.clone()).collect() };
        let sum = |of: usize| amounts(of).map(|amount| amount.number).sum::<Number>();
        let count = Number::whole(i128::try_from(units.certain.len()).unwrap());
        let none = EmptyReason::NoSingleNumber;
        let added = || combined(&qualifiers(0)).ok_or(none);
        match self.measure {
            Measure::Count => Ok((count, Qualifier::Exact)),
            Measure::Sum | Measure::Last => Ok((sum(0), added()?)),
            Measure::Mean => Ok(((sum(0) / count).rounded(6), added()?)),
            Measure::Ratio if self.is_ratio() => {
                let whole: Number = amounts(0).map(|amount| amount.whole).sum();
                Ok(((sum(0) / whole * self.per).rounded(6), added()?))
            }
            Measure::Ratio if sum(1) == Number::ZERO => Err(EmptyReason::DenominatorZero),
            Measure::Ratio => {
                let below = qualifiers(1).into_iter().map(reversed);
                let all: Vec<Qualifier> = qualifiers(0).into_iter().chain(below).collect();
                Ok(((sum(0) / sum(1) * self.per).rounded(6), combined(&all).ok_or(none)?))
            }
            Measure::Value => {
                let amount = self.single(units.certain[0]);
                Ok((amount.number, added()?))
            }
            _ => self.ranked_value(units).ok_or(none),
        }
    }

    /// MIN, MAX or MEDIAN as a number.
    fn ranked_value(self, units: &Units<'_>) -> Option<(Number, Qualifier)> {
        let amounts: Vec<Amount> = units.certain.iter().map(|fact| self.single(fact)).collect();
        let qualifiers: Vec<Qualifier> = amounts.iter().flat_map(|amount| amount.qualifiers.clone()).collect();
        let found = if qualifiers.contains(&Qualifier::About) {
            let is_plain = |qualifier: &Qualifier| matches!(qualifier, Qualifier::About | Qualifier::Exact);
            let numbers = amounts.iter().map(|amount| Some(End::closed(amount.number)));
            let number = self.pick(numbers.collect(), true)?.at;
            qualifiers.iter().all(is_plain).then_some((number, Qualifier::About))
        } else {
            let lower = self.pick(amounts.iter().map(|amount| amount.printed.lower).collect(), true);
            let upper = self.pick(amounts.iter().map(|amount| amount.printed.upper).collect(), false);
            match (lower, upper) {
                (Some(lower), Some(upper)) if lower == upper && !lower.open => Some((lower.at, Qualifier::Exact)),
                (Some(End { at, open: true }), None) => Some((at, Qualifier::MoreThan)),
                (Some(End { at, open: false }), None) => Some((at, Qualifier::AtLeast)),
                (None, Some(End { at, open: true })) => Some((at, Qualifier::LessThan)),
                (None, Some(End { at, open: false })) => Some((at, Qualifier::AtMost)),
                _ => None,
            }
        };
        found.map(|(number, qualifier)| (if self.is_quotient() { number.rounded(6) } else { number }, qualifier))
    }

    /// The least, greatest or middle one of lower ends, or of upper ends; none is −∞ or ∞.
    fn pick(self, mut ends: Vec<Option<End>>, is_lower: bool) -> Option<End> {
        ends.sort_by_key(|end| match end {
            None if is_lower => (0, Number::ZERO, false),
            None => (2, Number::ZERO, false),
            Some(end) => (1, end.at, end.open == is_lower),
        });
        match self.measure {
            Measure::Min => *ends.first()?,
            Measure::Max => *ends.last()?,
            _ => {
                let (a, b) = ((*ends.get(ends.len().checked_sub(1)? / 2)?)?, ends[ends.len() / 2]?);
                Some(End { at: (a.at + b.at) / Number::whole(2), open: a.open || b.open })
            }
        }
    }

    fn bounds(self, units: &Units<'_>, has_maybe: bool) -> Interval {
        let Units { certain, maybe, silent, maybe_silent } = units;
        let is_silent = silent + maybe_silent > 0;
        let count = Number::whole(i128::try_from(certain.len() + silent).unwrap());
        let six = |interval: Interval| interval.map(|number| number.rounded(6));
        match self.measure {
            Measure::Count => {
                let most = certain.len() + silent + maybe.len() + maybe_silent;
                let end = |count: usize| Some(End::closed(Number::whole(i128::try_from(count).unwrap())));
                Interval { lower: end(certain.len()), upper: end(most) }
            }
            Measure::Sum | Measure::Last => self.sum(units, 0),
            Measure::Mean | Measure::Median if has_maybe => Interval::EVERY,
            Measure::Mean => six(self.sum(units, 0).map(|number| number / count)),
            Measure::Ratio if self.is_ratio() => {
                if is_silent || !maybe.is_empty() {
                    let (zero, most) = (End::closed(Number::ZERO), End::closed(self.per));
                    return Interval { lower: Some(zero), upper: Some(most) };
                }
                let whole: Number = certain.iter().map(|fact| fact.amounts[0].whole).sum();
                six(self.sum(units, 0).map(|number| number / whole * self.per))
            }
            Measure::Ratio => {
                let is_positive = is_never_negative(self.kind) && self.over.is_some_and(is_never_negative);
                if is_silent || has_maybe {
                    let lower = is_positive.then_some(End::closed(Number::ZERO));
                    return Interval { lower, upper: None };
                }
                let (above, below) = (self.sum(units, 0), self.sum(units, 1));
                let over = |a: Option<End>, b: Option<End>| {
                    let (a, b) = (a?, b?);
                    let is_bound = b.at > Number::ZERO && a.at >= Number::ZERO;
                    is_bound.then(|| End { at: a.at / b.at * self.per, open: a.open || b.open })
                };
                let lower = over(above.lower, below.upper);
                six(Interval { lower, upper: over(above.upper, below.lower) })
            }
            Measure::Value => match (certain.first().or(maybe.first()), is_silent) {
                (Some(fact), _) => self.single(fact).bounds,
                _ => self.silence(),
            },
            _ => six_if(self.is_quotient(), self.ranked_bounds(units)),
        }
    }

    /// What a unit may say that says nothing.
    fn silence(self) -> Interval {
        if is_never_negative(self.kind) { Interval::EVERY.cut(None) } else { Interval::EVERY }
    }

    /// The ends of a sum over all units, of the numerators or the denominators.
    fn sum(self, units: &Units<'_>, of: usize) -> Interval {
        let zero = Some(End::closed(Number::ZERO));
        let may_add = |fact: &&Fact<'_>| {
            let Interval { lower, upper } = fact.amounts[of].bounds;
            let lower = lower.map(|end| if end.at < Number::ZERO { end } else { End::closed(Number::ZERO) });
            let upper = upper.map(|end| if end.at > Number::ZERO { end } else { End::closed(Number::ZERO) });
            Interval { lower, upper }
        };
        let certain = units.certain.iter().map(|fact| fact.amounts[of].bounds);
        let silent = Interval { lower: zero.filter(|_| is_never_negative(self.kind)), upper: None };
        let silent = (units.silent + units.maybe_silent > 0).then_some(silent);
        certain.chain(units.maybe.iter().map(may_add)).chain(silent).sum()
    }

    /// MIN, MAX or MEDIAN over all units.
    fn ranked_bounds(self, units: &Units<'_>) -> Interval {
        let of = |facts: &[&Fact<'_>]| -> Vec<Interval> { facts.iter().map(|fact| self.single(fact).bounds).collect() };
        let silent = |count: usize| vec![self.silence(); count];
        let certain = [of(&units.certain), silent(units.silent)].concat();
        let all = [certain.clone(), of(&units.maybe), silent(units.maybe_silent)].concat();
        let (lower, upper) = match self.measure {
            Measure::Min => (&all, &certain),
            _ => (&certain, &all),
        };
        let lower = self.pick(lower.iter().map(|interval| interval.lower).collect(), true);
        let upper = self.pick(upper.iter().map(|interval| interval.upper).collect(), false);
        Interval { lower, upper }
    }
}

fn six_if(is_quotient: bool, interval: Interval) -> Interval {
    if is_quotient { interval.map(|number| number.rounded(6)) } else { interval }
}
