//! A flag has a share, a number a figure: what series, rankings and comparisons are made of.

use shared::model::{
    fault::{Fault, Reason},
    indicator::{Indicator, ValueKind},
    query::{FigureQuery, Measure, Outcome},
    report::Scope,
};

use super::{figure, plan, plan::Frame, published::Published, select::Group, share};

/// The rows of one time.
///
/// # Errors
/// As for a share or a figure.
pub(super) fn of_groups(frame: &Frame<'_>, query: &FigureQuery, groups: &[Group<'_>]) -> Result<Vec<Outcome>, Fault> {
    let published = if is_flag(frame, query)? {
        Published::of(frame, &share::ask(frame, flag(frame, query)?))
    } else {
        Published::of(frame, &figure::computation(frame, query)?.ask(frame))
    };
    with_claims(frame, query, groups, &published)
}

/// What some units come to, without what is published for them.
///
/// # Errors
/// As for a share or a figure.
pub(super) fn of_part(frame: &Frame<'_>, query: &FigureQuery, part: &Group<'_>) -> Result<Option<Outcome>, Fault> {
    Ok(with_claims(frame, query, std::slice::from_ref(part), &Published::none())?.pop())
}

fn with_claims(
    frame: &Frame<'_>,
    query: &FigureQuery,
    groups: &[Group<'_>],
    published: &Published,
) -> Result<Vec<Outcome>, Fault> {
    if !is_flag(frame, query)? {
        let rows = figure::with_claims(frame, query, groups, published)?;
        return Ok(rows.into_iter().map(|row| Outcome::Figure(Box::new(row))).collect());
    }
    let indicator = flag(frame, query)?;
    let has_filters = !query.plan.filters.is_empty();
    let shown = plan::shown_in_series(&query.plan, frame.slot);
    let rows = share::with_claims(frame, indicator, groups, has_filters, &shown, published);
    Ok(rows.into_iter().map(|row| Outcome::Share(Box::new(row))).collect())
}

/// The definition of the flag that is asked about.
fn flag<'a>(frame: &Frame<'a>, query: &FigureQuery) -> Result<&'a Indicator, Fault> {
    let only_for_numbers = [
        ("measure", query.measure.is_some()),
        ("by", !query.by.is_empty()),
        ("scope", query.scope != Scope::Own),
        ("denominator", query.denominator.is_some()),
        ("per", query.per != 1),
    ];
    if let Some((path, _)) = only_for_numbers.into_iter().find(|(_, is_there)| *is_there) {
        let message = format!("{} is a FLAG, which has a share and nothing else; leave it out", query.indicator);
        return Err(Fault::at(path, Reason::MeasureNotAllowed, message));
    }
    share::flag(frame, "indicator", &query.indicator)
}

/// Whether a question is about a flag.
///
/// # Errors
/// `IndicatorNotFound`.
pub(super) fn is_flag(frame: &Frame<'_>, query: &FigureQuery) -> Result<bool, Fault> {
    Ok(frame.definition("indicator", &query.indicator)?.value_kind == ValueKind::Flag)
}

/// Whether the numbers of a question are quotients, which keep their six digits.
///
/// # Errors
/// As for a figure.
pub(super) fn is_quotient(frame: &Frame<'_>, query: &FigureQuery) -> Result<bool, Fault> {
    if is_flag(frame, query)? {
        return Ok(true);
    }
    let computation = figure::computation(frame, query)?;
    let is_ratio = computation.indicator.value_kind == ValueKind::Ratio && computation.measure != Measure::Count;
    Ok(is_ratio || matches!(computation.measure, Measure::Mean | Measure::Median | Measure::Ratio))
}
