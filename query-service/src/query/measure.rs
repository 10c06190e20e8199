//! Measures: what the numbers of units come to, and what bounds it. The table of SEMANTICS.md, row by row.

use std::cmp::Ordering;

use bigdecimal::{BigDecimal, Zero};
use shared::model::{
    query::{EmptyReason, End, Interval, Measure, combine, order_lower, order_upper, quotient, reverse, six_digits},
    report::Qualifier,
};

use super::cell::{Currency, Number, State};

/// What is known of one unit, or of several together whose numbers are exact.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// How many units; of several the numbers are their sums.
    pub(super) units: u32,
    /// It belongs to the row; else it may.
    pub(super) is_certain: bool,
    /// What is known.
    pub(super) state: State,
    /// Its number, if it reported one.
    pub(super) number: Option<Number>,
    /// Its denominator, where that is another indicator.
    pub(super) denominator: Option<Number>,
}

impl Sample {
    /// So many units that belong to the row and reported numbers with that sum.
    pub(super) fn reported(units: u32, number: Number, denominator: Option<Number>) -> Self {
        Self { units, is_certain: true, state: State::Reported, number: Some(number), denominator }
    }

    /// So many units that belong to the row and of which nothing is known.
    pub(super) fn silent(units: u32) -> Self {
        Self { units, is_certain: true, state: State::NotReported, number: None, denominator: None }
    }
}

/// What the values of units are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// They are never less than 0.
    pub(super) never_negative: bool,
    /// They are quotients.
    pub(super) is_ratio: bool,
    /// Their denominator is another indicator.
    pub(super) is_of_two: bool,
}

/// What the units of a row come to.
#[derive(Clone, Debug)]
pub(super) struct Computed {
    /// The number, and how it bounds the value of those who reported.
    pub(super) value: Option<(BigDecimal, Qualifier)>,
    /// What all units can come to.
    pub(super) bounds: Interval,
    /// Of a ratio: the sums of numerators and denominators.
    pub(super) sums: Option<(BigDecimal, BigDecimal)>,
    /// Of money.
    pub(super) currency: Currency,
    /// Why there is no value though units reported, if bounds are not the reason.
    pub(super) fault: Option<EmptyReason>,
}

/// Units by what is known of them.
struct Units<'a> {
    /// Belong to the row and reported.
    reported: Vec<&'a Sample>,
    /// How many these are.
    reported_count: usize,
    /// Belong to the row and say nothing.
    silent: usize,
    /// May belong to the row and reported.
    maybe: Vec<&'a Sample>,
    /// May belong to the row and say nothing.
    maybe_silent: usize,
    kind: Kind,
}

/// What a measure makes of the units of a row.
pub(super) fn compute(measure: Measure, samples: &[Sample], kind: Kind, per: &BigDecimal) -> Computed {
    let of = |is_certain: bool, state: fn(State) -> bool| {
        samples.iter().filter(move |sample| sample.is_certain == is_certain && state(sample.state))
    };
    let is_silent = |state| matches!(state, State::NotReported | State::Withheld);
    let count = |is_certain: bool, state: fn(State) -> bool| {
        of(is_certain, state).map(|sample| usize::try_from(sample.units).unwrap_or(usize::MAX)).sum()
    };
    let units = Units {
        reported: of(true, |state| state == State::Reported).collect(),
        reported_count: count(true, |state| state == State::Reported),
        silent: count(true, is_silent),
        maybe: of(false, |state| state == State::Reported).collect(),
        maybe_silent: count(false, is_silent),
        kind,
    };
    let currency = |samples: &[&Sample], number: fn(&Sample) -> Option<&Number>| {
        let numbers = samples.iter().filter_map(|sample| number(sample));
        numbers.fold(Currency::None, |all, number| all.and(number.currency.clone()))
    };
    let numerator: fn(&Sample) -> Option<&Number> = |sample| sample.number.as_ref();
    let denominator: fn(&Sample) -> Option<&Number> = |sample| sample.denominator.as_ref();
    let (reported, divisors) = (currency(&units.reported, numerator), currency(&units.reported, denominator));
    // Money per money of another currency is nothing that can be told. What is not known to belong to the row does not
    // change its value.
    let certain = reported.clone().and(divisors.clone());
    let all = certain.clone().and(currency(&units.maybe, numerator)).and(currency(&units.maybe, denominator));
    if measure != Measure::Count && certain == Currency::Several {
        let fault = Some(EmptyReason::CurrenciesDiffer);
        return Computed { value: None, bounds: Interval::default(), sums: None, currency: reported, fault };
    }
    let mut computed = units.compute(measure, per);
    // Money per money is no money.
    computed.currency = if divisors == Currency::None { reported } else { Currency::None };
    let nobody = units.reported.is_empty() && units.silent == 0 && units.maybe.is_empty() && units.maybe_silent == 0;
    if measure != Measure::Count && (all == Currency::Several || nobody) {
        computed.bounds = Interval::default();
    }
    computed
}

impl Units<'_> {
    fn compute(&self, measure: Measure, per: &BigDecimal) -> Computed {
        match measure {
            Measure::Sum | Measure::Last => without_sums(self.sum(), self.sum_bounds()),
            Measure::Count => self.count(),
            Measure::Min => self.least(),
            Measure::Max => self.greatest(),
            Measure::Mean => self.mean(),
            Measure::Median => self.median(),
            Measure::Value => self.value(),
            Measure::Ratio if self.kind.is_of_two => self.ratio_of_two(per),
            Measure::Ratio => self.ratio(per),
        }
    }

    /// Whether units may belong to the row for which the question arises.
    fn may_have_more(&self) -> bool {
        !self.maybe.is_empty() || self.maybe_silent > 0
    }

    fn numbers(&self) -> impl Iterator<Item = &Number> {
        self.reported.iter().filter_map(|sample| sample.number.as_ref())
    }

    fn maybe_numbers(&self) -> impl Iterator<Item = &Number> {
        self.maybe.iter().filter_map(|sample| sample.number.as_ref())
    }

    /// What a unit that says nothing can be.
    fn unknown(&self) -> Interval {
        let all = Interval::default();
        if self.kind.never_negative { all.not_negative() } else { all }
    }

    fn sum(&self) -> Option<(BigDecimal, Qualifier)> {
        total(self.numbers(), |number| (&number.printed, number.qualifier))
    }

    fn sum_bounds(&self) -> Interval {
        let zero = || End::inclusive(BigDecimal::zero());
        let mut sum =
            self.numbers().fold(Interval::point(BigDecimal::zero()), |sum, number| sum.plus(&number.interval));
        if self.silent > 0 {
            sum = sum.plus(&self.unknown());
        }
        // A unit that may belong counts where that lowers, or raises, the sum.
        let unknown = self.unknown();
        let maybe_silent = (self.maybe_silent > 0).then_some(&unknown);
        for interval in self.maybe_numbers().map(|number| &number.interval).chain(maybe_silent) {
            let least =
                interval.lower.clone().map(|lower| if lower.number < BigDecimal::zero() { lower } else { zero() });
            let most =
                interval.upper.clone().map(|upper| if upper.number > BigDecimal::zero() { upper } else { zero() });
            sum = sum.plus(&Interval { lower: least, upper: most });
        }
        normalized(sum)
    }

    fn count(&self) -> Computed {
        let number = |count: usize| BigDecimal::from(u64::try_from(count).unwrap_or(u64::MAX));
        let least = number(self.reported_count);
        let most = number(self.reported_count + self.silent + self.maybe.len() + self.maybe_silent);
        let bounds = Interval { lower: Some(End::inclusive(least.clone())), upper: Some(End::inclusive(most)) };
        without_sums(Some((least, Qualifier::Exact)), bounds)
    }

    /// Intervals of the units that belong, silent ones included.
    fn intervals(&self) -> Vec<Interval> {
        let silent = std::iter::repeat_n(self.unknown(), self.silent);
        self.numbers().map(|number| number.interval.clone()).chain(silent).collect()
    }

    /// Intervals of the units that may belong.
    fn maybe_intervals(&self) -> Vec<Interval> {
        let silent = std::iter::repeat_n(self.unknown(), self.maybe_silent);
        self.maybe_numbers().map(|number| number.interval.clone()).chain(silent).collect()
    }

    fn least(&self) -> Computed {
        let value = self.picked(
            |printed| printed.iter().min().map(|least| (*least).clone()),
            |raw| Interval {
                lower: least_lower(raw),
                upper: raw.iter().map(|i| &i.upper).min_by(|a, b| order_upper(a, b)).cloned().flatten(),
            },
        );
        let (units, maybe) = (self.intervals(), self.maybe_intervals());
        let all: Vec<Interval> = units.iter().chain(&maybe).cloned().collect();
        let upper = units.iter().map(|interval| &interval.upper).min_by(|a, b| order_upper(a, b)).cloned().flatten();
        self.of_units(value, Interval { lower: least_lower(&all), upper })
    }

    fn greatest(&self) -> Computed {
        let value = self.picked(
            |printed| printed.iter().max().map(|most| (*most).clone()),
            |raw| Interval {
                lower: raw.iter().map(|i| &i.lower).max_by(|a, b| order_lower(a, b)).cloned().flatten(),
                upper: greatest_upper(raw),
            },
        );
        let (units, maybe) = (self.intervals(), self.maybe_intervals());
        let all: Vec<Interval> = units.iter().chain(&maybe).cloned().collect();
        let lower = units.iter().map(|interval| &interval.lower).max_by(|a, b| order_lower(a, b)).cloned().flatten();
        self.of_units(value, Interval { lower, upper: greatest_upper(&all) })
    }

    /// A number of one unit: of a ratio its quotient, with all its digits.
    fn of_units(&self, value: Option<(BigDecimal, Qualifier)>, bounds: Interval) -> Computed {
        if !self.kind.is_ratio {
            return without_sums(value, bounds);
        }
        let end = |end: Option<End>| end.map(|end| end.map(six_digits));
        let value = value.map(|(number, qualifier)| (six_digits(&number), qualifier));
        without_sums(value, Interval { lower: end(bounds.lower), upper: end(bounds.upper) })
    }

    fn mean(&self) -> Computed {
        let divided = |number: &BigDecimal, count: usize| {
            quotient(number, &BigDecimal::from(u64::try_from(count).unwrap_or(u64::MAX))).unwrap_or_default()
        };
        let value = self.sum().map(|(sum, qualifier)| (divided(&sum, self.reported_count), qualifier));
        let count = self.reported_count + self.silent;
        let bounds = if self.may_have_more() || count == 0 {
            Interval::default()
        } else {
            let sum = self.sum_bounds();
            let divide = |end: Option<End>| end.map(|end| end.map(|number| divided(number, count)));
            Interval { lower: divide(sum.lower), upper: divide(sum.upper) }
        };
        without_sums(value, bounds)
    }

    fn median(&self) -> Computed {
        let middle_of = |numbers: &[&BigDecimal]| {
            let mut sorted: Vec<Option<End>> = numbers.iter().map(|n| Some(End::inclusive((*n).clone()))).collect();
            sorted.sort_by(order_lower);
            middle(&sorted).map(|end| end.number)
        };
        let value = self.picked(middle_of, median_interval);
        let bounds = if self.may_have_more() { Interval::default() } else { median_interval(&self.intervals()) };
        without_sums(value.map(|(number, qualifier)| (six_digits(&number), qualifier)), bounds)
    }

    /// A number that one of the values stands for: that of the interval, or, where values are printed as "about", that of
    /// the printed numbers.
    fn picked(
        &self,
        pick: impl Fn(&[&BigDecimal]) -> Option<BigDecimal>,
        interval: impl Fn(&[Interval]) -> Interval,
    ) -> Option<(BigDecimal, Qualifier)> {
        let qualifiers: Vec<Qualifier> = self.numbers().map(|number| number.qualifier).collect::<Option<_>>()?;
        if qualifiers.contains(&Qualifier::About) {
            let all_near = qualifiers.iter().all(|qualifier| matches!(qualifier, Qualifier::About | Qualifier::Exact));
            let printed: Vec<&BigDecimal> = self.numbers().map(|number| &number.printed).collect();
            return pick(&printed).filter(|_| all_near).map(|number| (number, Qualifier::About));
        }
        let raw: Vec<Interval> = self.numbers().map(|number| number.raw.clone()).collect();
        if raw.is_empty() { None } else { interval(&raw).as_number() }
    }

    fn value(&self) -> Computed {
        let number = self.numbers().next();
        let value = number.and_then(|number| Some((number.printed.clone(), number.qualifier?)));
        let bounds = self.intervals().into_iter().chain(self.maybe_intervals()).next().unwrap_or_default();
        self.of_units(value, bounds)
    }

    fn ratio(&self, per: &BigDecimal) -> Computed {
        let sum = self.sum();
        let part: BigDecimal = self.numbers().map(|number| &number.printed).sum();
        let whole: BigDecimal = self.numbers().filter_map(|number| number.whole.as_ref()).sum();
        let value = sum.and_then(|(part, qualifier)| Some((quotient(&(part * per), &whole)?, qualifier)));
        let bounds = if self.silent > 0 || self.may_have_more() {
            Interval {
                lower: Some(End::inclusive(six_digits(&BigDecimal::zero()))),
                upper: Some(End::inclusive(six_digits(per))),
            }
        } else {
            let parts = self.sum_bounds();
            let divide = |end: Option<End>| {
                let end = end?;
                let number = quotient(&(&end.number * per), &whole)?;
                Some(End { number, is_exclusive: end.is_exclusive })
            };
            Interval { lower: divide(parts.lower), upper: divide(parts.upper) }
        };
        let sums = (!self.reported.is_empty()).then(|| (part.normalized(), whole.normalized()));
        Computed { sums, ..without_sums(value, bounds) }
    }

    fn ratio_of_two(&self, per: &BigDecimal) -> Computed {
        let divisors = || self.reported.iter().filter_map(|sample| sample.denominator.as_ref());
        let part = total(self.numbers(), |number| (&number.printed, number.qualifier));
        let whole = total(divisors(), |number| (&number.printed, number.qualifier.map(reverse)));
        let printed: (BigDecimal, BigDecimal) =
            (self.numbers().map(|n| &n.printed).sum(), divisors().map(|n| &n.printed).sum());
        let mut fault = None;
        let value = match (&part, &whole) {
            _ if !self.reported.is_empty() && printed.1.is_zero() => {
                fault = Some(EmptyReason::DenominatorZero);
                None
            }
            (Some((part, a)), Some((whole, b))) => {
                combine(*a, *b).zip(quotient(&(part * per), whole)).map(|(qualifier, number)| (number, qualifier))
            }
            _ => None,
        };
        let bounds = self.ratio_of_two_bounds(per, divisors());
        let sums = (!self.reported.is_empty()).then(|| (printed.0.normalized(), printed.1.normalized()));
        Computed { value, bounds, sums, currency: Currency::None, fault }
    }

    fn ratio_of_two_bounds<'b>(&self, per: &BigDecimal, divisors: impl Iterator<Item = &'b Number>) -> Interval {
        if self.silent > 0 || self.may_have_more() {
            let zero = Some(End::inclusive(six_digits(&BigDecimal::zero())));
            return Interval { lower: zero.filter(|_| self.kind.never_negative), upper: None };
        }
        let zero = || Interval::point(BigDecimal::zero());
        let parts = self.numbers().fold(zero(), |sum, number| sum.plus(&number.interval));
        let wholes = divisors.fold(zero(), |sum, number| sum.plus(&number.interval));
        let divide = |part: &Option<End>, whole: &Option<End>| {
            let (part, whole) = (part.as_ref()?, whole.as_ref()?);
            if whole.number <= BigDecimal::zero() || part.number < BigDecimal::zero() {
                return None;
            }
            let number = quotient(&(&part.number * per), &whole.number)?;
            Some(End { number, is_exclusive: part.is_exclusive || whole.is_exclusive })
        };
        Interval { lower: divide(&parts.lower, &wholes.upper), upper: divide(&parts.upper, &wholes.lower) }
    }
}

fn without_sums(value: Option<(BigDecimal, Qualifier)>, bounds: Interval) -> Computed {
    Computed { value, bounds, sums: None, currency: Currency::None, fault: None }
}

/// The sum of printed numbers and how it bounds the value; none without numbers, or where bounds pull in two directions.
fn total<'a>(
    numbers: impl Iterator<Item = &'a Number>,
    part: impl Fn(&'a Number) -> (&'a BigDecimal, Option<Qualifier>),
) -> Option<(BigDecimal, Qualifier)> {
    let mut sum: Option<(BigDecimal, Qualifier)> = None;
    for number in numbers {
        let (number, qualifier) = part(number);
        sum = Some(match sum {
            None => (number.clone(), qualifier?),
            Some((sum, before)) => (sum + number, combine(before, qualifier?)?),
        });
    }
    sum.map(|(number, qualifier)| (number.normalized(), qualifier))
}

fn normalized(interval: Interval) -> Interval {
    let end = |end: Option<End>| end.map(|end| end.map(BigDecimal::normalized));
    Interval { lower: end(interval.lower), upper: end(interval.upper) }
}

fn least_lower(intervals: &[Interval]) -> Option<End> {
    intervals.iter().map(|interval| &interval.lower).min_by(|a, b| order_lower(a, b)).cloned().flatten()
}

fn greatest_upper(intervals: &[Interval]) -> Option<End> {
    intervals.iter().map(|interval| &interval.upper).max_by(|a, b| order_upper(a, b)).cloned().flatten()
}

fn median_interval(intervals: &[Interval]) -> Interval {
    let sorted = |ends: Vec<Option<End>>, order: fn(&Option<End>, &Option<End>) -> Ordering| {
        let mut ends = ends;
        ends.sort_by(order);
        middle(&ends).map(|end| end.map(six_digits))
    };
    Interval {
        lower: sorted(intervals.iter().map(|interval| interval.lower.clone()).collect(), order_lower),
        upper: sorted(intervals.iter().map(|interval| interval.upper.clone()).collect(), order_upper),
    }
}

/// The middle one, or the mean of the middle two; none if one of them is infinite.
fn middle(sorted: &[Option<End>]) -> Option<End> {
    let after = sorted.get(sorted.len() / 2)?.clone()?;
    if sorted.len() % 2 == 1 {
        return Some(after);
    }
    let before = sorted[sorted.len() / 2 - 1].clone()?;
    let number = (before.number + after.number) / BigDecimal::from(2);
    Some(End { number, is_exclusive: before.is_exclusive || after.is_exclusive })
}
