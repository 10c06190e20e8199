//! How SDMX writes what a row says.
//!
//! # Observation status
//!
//! Codes of `SDMX:CL_OBS_STATUS`, of which a row has one:
//!
//! | code | in the code list | here |
//! |---|---|---|
//! | `A` | normal value | a value that rests on what happened |
//! | `E` | estimated value | an `ESTIMATE`; an answer that rests, even in part, on estimates, projections or plans |
//! | `F` | forecast value | a `PROJECTION` or a `PLANNED` value; `BASIS` says which, the list has no code for a plan |
//! | `I` | imputed value | an answer for which an earlier value was carried forward |
//! | `M` | missing value; data cannot exist | `NOT_APPLICABLE`; an answer where the question arises for no unit, or the denominator is 0 |
//! | `O` | missing value | `NOT_REPORTED`, and every other reason for which there is none; `EMPTY_REASON` says which |
//! | `Q` | missing value; suppressed | `WITHHELD` |
//!
//! `L` (data exist but were not collected) is not used: a silent unit does not tell that there are data. Nor is `P`
//! (provisional): no report says of itself that it will be revised.
//!
//! # Time
//!
//! A year, half-year, quarter, month or day is written as in SDMX already. Any other closed span is a time range of SDMX,
//! its first day and how many days it has: `2015/2019-11-22` is `2015-01-01/P1787D`. An open span cannot be written.

use proto::v1::{
    Observation,
    figure::{Caveat, EmptyReason},
    observation::{Basis, Missing, Value},
};
use shared::model::period::{Period, Span, parse_day};

use super::column::Cell;

/// Status of an observation.
pub(super) fn status_of_observation(observation: &Observation) -> &'static str {
    if let Some(Value::Missing(missing)) = observation.value {
        return match Missing::try_from(missing) {
            Ok(Missing::NotApplicable) => "M",
            Ok(Missing::Withheld) => "Q",
            Ok(Missing::NotReported | Missing::Unspecified) | Err(_) => "O",
        };
    }
    match observation.basis() {
        Basis::Unspecified | Basis::Actual => "A",
        Basis::Estimate => "E",
        Basis::Projection | Basis::Planned => "F",
    }
}

/// Status of the row of an answer.
pub(super) fn status_of_answer(
    has_value: bool,
    empty: EmptyReason,
    mut caveats: impl Iterator<Item = Caveat> + Clone,
) -> &'static str {
    if !has_value {
        return match empty {
            EmptyReason::AllNotApplicable | EmptyReason::DenominatorZero => "M",
            EmptyReason::Withheld => "Q",
            EmptyReason::Unspecified
            | EmptyReason::NoUnits
            | EmptyReason::Undated
            | EmptyReason::OtherPeriods
            | EmptyReason::OtherScopes
            | EmptyReason::NothingReported
            | EmptyReason::CurrenciesDiffer
            | EmptyReason::NoSingleNumber => "O",
        };
    }
    if caveats.clone().any(|caveat| matches!(caveat, Caveat::NotActual | Caveat::BasisMixed)) {
        "E"
    } else if caveats.any(|caveat| caveat == Caveat::CarriedForward) {
        "I"
    } else {
        "A"
    }
}

/// The time of an observation, whose report says its period and the days of it.
pub(super) fn time_of_observation<'a>(period: &'a str, start_on: &str, end_on: &str) -> Cell<'a> {
    let days = Span { first_day: parse_day(start_on), last_day: parse_day(end_on) };
    if is_simple(period) { Cell::text(period) } else { range(days).map_or(Cell::Absent, Cell::text) }
}

/// The time of an answer: its period if it has one that can be written, else the day counted.
pub(super) fn time_of_answer<'a>(period: &'a str, on: &'a str) -> Cell<'a> {
    if is_simple(period) {
        return Cell::text(period);
    }
    // A term's days are not in its name.
    let range = period.parse::<Period>().ok().and_then(|period| range(period.span()));
    range.map_or_else(|| Cell::text(on), Cell::text)
}

/// Whether it is one year, half-year, quarter, month or day.
fn is_simple(period: &str) -> bool {
    !period.contains('/') && period.parse::<Period>().is_ok()
}

fn range(days: Span) -> Option<String> {
    Some(format!("{}/P{}D", days.first_day?, days.day_count()?))
}
