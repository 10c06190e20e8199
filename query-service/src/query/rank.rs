//! Who comes first, and which places are certain whatever silent units would say.

use std::collections::BTreeSet;

use bigdecimal::BigDecimal;
use jiff::{Timestamp, civil::Date};
use shared::model::{
    fault::Fault,
    query::{
        End, Interval, Order, Place, RankCriterion, RankOf, RankQuery, Ranked, fraction, order_lower, order_upper,
    },
};

use super::{Rows, completeness, outcome, plan};
use crate::index::Known;

/// A row that is ranked.
struct Entry {
    token: String,
    number: Option<BigDecimal>,
    /// What its number can be; none: it has none in any case.
    interval: Option<Interval>,
    row: Ranked,
}

/// Rows in the order of their places, then those without one; and, for a form, the day by which duties were judged.
///
/// # Errors
/// As for a share, a figure or completeness.
pub fn rows(
    known: &Known<'_>,
    query: &RankQuery,
    now: Timestamp,
) -> Result<(Rows<Place<Ranked>>, Option<Date>), Fault> {
    let Entries { mut entries, below_coverage, as_of } = entries(known, query, now)?;
    // Amounts of different currencies have no order.
    let currencies: BTreeSet<&String> = entries.iter().filter_map(|entry| entry.row.currency()).collect();
    if currencies.len() > 1 {
        for entry in &mut entries {
            (entry.number, entry.interval) = (None, None);
        }
    }
    if query.order == Order::Ascending {
        for entry in &mut entries {
            entry.number = entry.number.take().map(|number| -number);
            entry.interval = entry.interval.take().map(|interval| interval.negated());
        }
    }
    let intervals = || entries.iter().filter_map(|entry| entry.interval.as_ref());
    let mut lowers: Vec<Option<End>> = intervals().map(|interval| interval.lower.clone()).collect();
    let mut uppers: Vec<Option<End>> = intervals().map(|interval| interval.upper.clone()).collect();
    let mut numbers: Vec<BigDecimal> = entries.iter().filter_map(|entry| entry.number.clone()).collect();
    lowers.sort_by(order_lower);
    uppers.sort_by(order_upper);
    numbers.sort();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    // Where every number is certain, no other place is possible than that of the number.
    let is_certain = |entry: &Entry| match (&entry.number, &entry.interval) {
        (Some(number), Some(interval)) => interval.is_just(number),
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
    };
    let are_certain = entries.iter().all(is_certain);
    let mut places: Vec<(String, Place<Ranked>)> = entries
        .into_iter()
        .map(|entry| {
            let Entry { token, number, interval, row } = entry;
            let place = number.map(|number| count(numbers.len() - numbers.partition_point(|n| *n <= number) + 1));
            let within = interval.map(|interval| {
                if are_certain && let Some(place) = place {
                    return (place, place);
                }
                let better = lowers.len() - lowers.partition_point(|lower| !is_better(lower.as_ref(), &interval));
                let maybe = uppers.len() - uppers.partition_point(|upper| !can_be_better(upper.as_ref(), &interval));
                let itself = usize::from(can_be_better(interval.upper.as_ref(), &interval));
                (count(better + 1), count(maybe - itself + 1))
            });
            (token, Place { place, within, row })
        })
        .collect();
    places.sort_by(|(token, a), (other_token, b)| {
        (a.place.is_none(), a.place, token).cmp(&(b.place.is_none(), b.place, other_token))
    });
    let placed = places.iter().take_while(|(_, place)| place.place.is_some()).count();
    if query.top.is_some() || query.bottom.is_some() {
        let place = |index: usize| places[index].1.place;
        let top = query.top.map_or(0, |top| top.min(placed));
        let top = (top..placed).find(|index| top == 0 || place(*index) != place(top - 1)).unwrap_or(placed);
        let top = if query.top.is_some() { top } else { 0 };
        let first = placed - query.bottom.map_or(0, |bottom| bottom.min(placed));
        let first = (0..first)
            .rev()
            .take_while(|index| first < placed && place(*index) == place(first))
            .last()
            .unwrap_or(first);
        let mut index = 0;
        places.retain(|_| {
            let stays = index < top || (first..placed).contains(&index);
            index += 1;
            stays
        });
    }
    Ok((Rows { rows: places, below_coverage }, as_of))
}

/// What is ranked.
struct Entries {
    entries: Vec<Entry>,
    /// Rows that were left out for their coverage.
    below_coverage: Option<u32>,
    /// The day by which duties were judged.
    as_of: Option<Date>,
}

fn entries(known: &Known<'_>, query: &RankQuery, now: Timestamp) -> Result<Entries, Fault> {
    match &query.of {
        RankOf::Figure(figure) => {
            let rows = plan::evaluate(known, &figure.plan, |frame, groups| outcome::of_groups(frame, figure, groups))?;
            let rows = rows.into_iter().map(|row| (row.key.token(), row.row)).collect();
            let rows = Rows::covered(rows, figure.plan.coverage_min.clone(), |row| row.coverage());
            let entry = |(token, row): (String, shared::model::query::Outcome)| {
                let (number, interval) = match query.criterion {
                    RankCriterion::Result => (row.number(), row.can_have_number().then(|| row.bounds())),
                    RankCriterion::Coverage => {
                        let coverage = row.coverage();
                        (coverage.clone(), coverage.map(Interval::point))
                    }
                };
                Entry { token, number, interval, row: Ranked::Outcome(row) }
            };
            let entries = rows.rows.into_iter().map(entry).collect();
            Ok(Entries { entries, below_coverage: rows.below_coverage, as_of: None })
        }
        RankOf::Completeness(duties) => {
            let (rows, as_of) = completeness::rows(known, duties, now)?;
            let entry = |(token, row): (String, shared::model::query::CompletenessRow)| {
                // Duties that are not due yet can come on time, or not.
                let all = row.judged() + row.not_yet_due;
                let end = |number: Option<BigDecimal>| number.map(End::inclusive);
                let interval = (all > 0).then(|| Interval {
                    lower: end(fraction(row.on_time, all)),
                    upper: end(fraction(row.on_time + row.not_yet_due, all)),
                });
                Entry { token, number: row.on_time_rate(), interval, row: Ranked::Completeness(row) }
            };
            let entries = rows.rows.into_iter().map(entry).collect();
            Ok(Entries { entries, below_coverage: None, as_of: Some(as_of) })
        }
    }
}

/// Whether a row that comes to at least that is greater for certain.
fn is_better(lower: Option<&End>, than: &Interval) -> bool {
    match (lower, &than.upper) {
        (Some(lower), Some(upper)) => {
            lower.number > upper.number || lower.number == upper.number && (lower.is_exclusive || upper.is_exclusive)
        }
        _ => false,
    }
}

/// Whether a row that comes to at most that can be greater.
fn can_be_better(upper: Option<&End>, than: &Interval) -> bool {
    match (upper, &than.lower) {
        (Some(upper), Some(lower)) => upper.number > lower.number,
        _ => true,
    }
}
