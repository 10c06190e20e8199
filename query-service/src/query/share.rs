//! For which share of units is a flag set?

use shared::model::{
    fault::{Fault, Reason},
    ids::IndicatorId,
    indicator::{Indicator, RollUp, Temporality},
    query::{Claim, EmptyReason, PublishedShare, ShareCounts, ShareQuery, ShareRow, Shown},
    report::{Scope, Value},
};

use super::{
    bulk,
    cell::{Ask, Cell, NOT_SPLIT, State},
    plan::{self, Evaluated, Frame},
    published::Published,
    select::Group,
    tally::{self, Tally},
};
use crate::index::{Known, Statement};

/// The rows of the answer.
///
/// # Errors
/// `IndicatorNotFound`, `UnitNotFound`, `MeasureNotAllowed` for an indicator that does not roll up so, `TooMany` cells.
pub(super) fn rows(known: &Known<'_>, query: &ShareQuery) -> Result<Vec<Evaluated<ShareRow>>, Fault> {
    plan::evaluate(known, &query.plan, |frame, groups| {
        let indicator = flag(frame, "indicator", &query.indicator)?;
        let has_filters = !query.plan.filters.is_empty();
        Ok(of_groups(frame, indicator, groups, has_filters, &plan::shown_in_series(&query.plan, frame.slot)))
    })
}

/// The rows of one time.
pub(super) fn of_groups(
    frame: &Frame<'_>,
    indicator: &Indicator,
    groups: &[Group<'_>],
    has_filters: bool,
    shown: &Shown,
) -> Vec<ShareRow> {
    let published = Published::of(frame, &ask(frame, indicator));
    with_claims(frame, indicator, groups, has_filters, shown, &published)
}

/// The rows of one time, with what is published for their units.
pub(super) fn with_claims(
    frame: &Frame<'_>,
    indicator: &Indicator,
    groups: &[Group<'_>],
    has_filters: bool,
    shown: &Shown,
    published: &Published,
) -> Vec<ShareRow> {
    let ask = ask(frame, indicator);
    groups.iter().map(|group| row(frame, &ask, group, published.for_units(group), has_filters, shown.clone())).collect()
}

/// What a question about a flag asks of each unit.
pub(super) fn ask<'q>(frame: &Frame<'q>, indicator: &'q Indicator) -> Ask<'q> {
    Ask {
        indicator,
        by: &NOT_SPLIT,
        scope: Scope::Own,
        slot: frame.slot,
        admitted: frame.admitted,
        is_last: false,
        reader: Default::default(),
    }
}

/// The definition of a flag.
///
/// # Errors
/// `IndicatorNotFound`, `MeasureNotAllowed`.
pub(super) fn flag<'a>(frame: &Frame<'a>, path: &str, id: &IndicatorId) -> Result<&'a Indicator, Fault> {
    let indicator = frame.definition(path, id)?;
    if indicator.roll_up != RollUp::ShareOfUnits {
        let message = format!(
            "{id} is no flag of units, so it has no share of units; Aggregate and GetDistribution answer for numbers and classes"
        );
        return Err(Fault::at(path, Reason::MeasureNotAllowed, message));
    }
    Ok(indicator)
}

/// What a flag says of a unit; none where nothing is known or the question does not arise.
pub(super) fn flag_of(cell: &Cell) -> Option<bool> {
    match cell.value() {
        Some(Value::Flag(flag)) if cell.state == State::Reported => Some(*flag),
        _ => None,
    }
}

fn row(
    frame: &Frame<'_>,
    ask: &Ask<'_>,
    group: &Group<'_>,
    claims: &[Statement],
    has_filters: bool,
    shown: Shown,
) -> ShareRow {
    let mut counts = ShareCounts::default();
    let mut tally = Tally::default();
    let members = match bulk::flags(frame, ask, group) {
        None => group.members().to_vec(),
        Some((yes, no, bulk)) => {
            (counts.yes, counts.no, counts.not_reported) = (yes, no, bulk.silent);
            tally.bulk(&bulk);
            bulk.members(group)
        }
    };
    for member in &members {
        let cell = ask.read(frame.known, member.unit);
        let flag = flag_of(&cell);
        if member.is_certain {
            *match (cell.state, flag) {
                (State::Reported, Some(true)) => &mut counts.yes,
                (State::Reported, Some(false)) => &mut counts.no,
                (State::Withheld, _) => &mut counts.withheld,
                (State::NotApplicable, _) => &mut counts.not_applicable,
                // Nothing but a flag passes the checks of a flag; a kind of value to come would be no report of it.
                (State::NotReported | State::Reported, _) => &mut counts.not_reported,
            } += 1;
            tally.unit(frame, Temporality::State, member.unit, cell.state, std::slice::from_ref(&cell));
        } else {
            tally.undetermined();
            match (cell.state, flag) {
                (State::NotApplicable, _) => {}
                (_, Some(true)) => counts.undetermined_yes += 1,
                (_, Some(false)) => counts.undetermined_no += 1,
                (_, None) => counts.undetermined_silent += 1,
            }
        }
    }
    let shown_claims = claims.iter().filter(|statement| tally.published(frame, ask, statement));
    let published = shown_claims.filter_map(published).collect();
    let mut empty_reason = tally.empty_reason(None);
    if empty_reason == Some(EmptyReason::NothingReported) {
        empty_reason = tally.empty_reason(tally::near(frame, ask, group).0);
    }
    ShareRow {
        unit: group.row.clone(),
        shown,
        counts,
        published,
        support: tally.support(frame, has_filters, false, empty_reason),
    }
}

fn published(statement: &Statement) -> Option<PublishedShare> {
    let (report, observation) = (statement.report(), statement.observation());
    let claim = match &observation.value {
        Value::Percent(percent) => Claim::Percent(*percent),
        Value::Ratio(ratio) => Claim::Ratio(*ratio),
        _ => return None,
    };
    Some(PublishedShare {
        claim,
        qualifier: observation.qualifier,
        basis: observation.basis,
        unit: report.unit.clone(),
        report: report.name,
        period: report.period.written().to_owned(),
        published_on: report.source.published_on,
    })
}
