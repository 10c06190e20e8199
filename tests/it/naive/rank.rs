//! Rows in the order of their numbers.

use proto::v1::{
    figure::EmptyReason,
    rank_request::{Criterion, Order},
    rank_response::{Place, place},
};

use super::{
    Answer, Question, Refused, World,
    number::{End, Interval, Number},
    row::count,
    series::Outcome,
};

/// In which order, and how many rows.
#[derive(Clone, Copy, Debug)]
pub struct Ranking {
    pub order: Order,
    pub criterion: Criterion,
    /// 0: all.
    pub top: i32,
    pub bottom: i32,
}

impl Outcome {
    /// The ends that the row itself gives.
    pub fn bounds(&self) -> Interval {
        let end = |text: &Option<String>, open: bool| text.as_ref().map(|text| End { at: Number::read(text), open });
        match self {
            Self::Share(share) => Interval { lower: end(&share.lower, false), upper: end(&share.upper, false) },
            Self::Figure(figure) => Interval {
                lower: end(&figure.lower, figure.lower_exclusive),
                upper: end(&figure.upper, figure.upper_exclusive),
            },
        }
    }
}

/// A row, its number, and where that lies whatever silent units would say.
struct Ranked {
    outcome: Outcome,
    number: Option<Number>,
    bounds: Option<Interval>,
}

/// The same with less for more.
fn mirrored(bounds: Interval) -> Interval {
    let Interval { lower, upper } = bounds.map(|number| -number);
    Interval { lower: upper, upper: lower }
}

/// Whether every number of the one is greater than every number of the other.
fn is_above(one: Interval, other: Interval) -> bool {
    match (one.lower, other.upper) {
        (Some(least), Some(most)) => least.at > most.at || least.at == most.at && (least.open || most.open),
        _ => false,
    }
}

/// Whether some number of the one is greater than some number of the other.
fn may_be_above(one: Interval, other: Interval) -> bool {
    match (one.upper, other.lower) {
        (Some(most), Some(least)) => most.at > least.at,
        _ => true,
    }
}

impl World {
    pub fn rank(&self, question: &Question, ranking: Ranking) -> Result<Answer<Place>, Refused> {
        let slots = self.check_units(question)?;
        let living = self.living(&slots[0].day);
        let rows = self.computed(question, &slots[0], self.groups(question, &slots[0], &living));
        let Answer { rows, below } = Self::covered(question, rows, |row| question.is_enough(row.outcome.coverage()));
        let is_ascending = ranking.order == Order::Ascending;
        let ranked = |outcome: Outcome| {
            let by_coverage = ranking.criterion == Criterion::Coverage;
            let number = if by_coverage { outcome.coverage() } else { outcome.number() };
            let number = number.map(|text| Number::read(text));
            let bounds = if by_coverage {
                number.map(|number| Interval { lower: Some(End::closed(number)), upper: Some(End::closed(number)) })
            } else {
                can_have_number(&outcome).then(|| outcome.bounds())
            };
            let turned = |number: Number| if is_ascending { -number } else { number };
            let bounds = bounds.map(|bounds| if is_ascending { mirrored(bounds) } else { bounds });
            Ranked { outcome, number: number.map(turned), bounds }
        };
        let rows: Vec<Ranked> = rows.into_iter().map(|row| ranked(row.outcome)).collect();
        let mut places: Vec<Place> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let others = || rows.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
            let number = row.number;
            let place = number.map(|number| 1 + count(others().filter(|o| o.number > Some(number)).count()));
            let better = |is: fn(Interval, Interval) -> bool| {
                row.bounds
                    .map(|own| 1 + count(others().filter(|other| other.bounds.is_some_and(|b| is(b, own))).count()))
            };
            let (best, worst) = (better(is_above), better(may_be_above));
            let result = match row.outcome.clone() {
                Outcome::Share(share) => place::Result::Share(share),
                Outcome::Figure(figure) => place::Result::Figure(figure),
            };
            places.push(Place {
                place,
                best,
                worst,
                is_certain: place.is_some() && best == worst,
                result: Some(result),
            });
        }
        // Stable: equal places stay in the order of rows.
        places.sort_by_key(|place| place.place.unwrap_or(i32::MAX));
        let numbers: Vec<i32> = places.iter().filter_map(|place| place.place).collect();
        let last = |top: i32| numbers.get(usize::try_from(top).unwrap() - 1).or(numbers.last()).copied();
        let first = |bottom: i32| {
            let from = numbers.len().saturating_sub(usize::try_from(bottom).unwrap());
            numbers.get(from).copied()
        };
        let is_cut = ranking.top > 0 || ranking.bottom > 0;
        let is_kept = |place: &Place| {
            let Some(number) = place.place else { return !is_cut };
            !is_cut
                || ranking.top > 0 && last(ranking.top).is_some_and(|last| number <= last)
                || ranking.bottom > 0 && first(ranking.bottom).is_some_and(|first| number >= first)
        };
        places.retain(is_kept);
        Ok(Answer { rows: places, below })
    }
}

/// Whether the question arises for a unit that belongs to a row, or may, and its amounts are of one currency.
fn can_have_number(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Share(share) => share.expected > share.not_applicable || share.undetermined > Some(0),
        Outcome::Figure(figure) => {
            let may_arise = figure.expected > figure.not_applicable || figure.undetermined > Some(0);
            (may_arise || figure.value.is_some()) && figure.empty_reason() != EmptyReason::CurrenciesDiffer
        }
    }
}
