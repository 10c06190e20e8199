//! What a row rests on: every report that counts with its weight, and every one that does not with the reason.

use std::collections::BTreeSet;

use bigdecimal::BigDecimal;
use shared::model::{
    fault::{Fault, Reason},
    ids::{ReportName, UnitId},
    log::Revision,
    query::{Contribution, EmptyReason, FigureQuery, Measure, Outcome, Plan, Said, ShareQuery, Verdict},
    report::{Missing, Value},
    unit::Unit,
};

use super::{
    cell::{Ask, Cell, Number, State, says_the_same},
    figure,
    plan::{self, Frame},
    published::Published,
    select::{self, Group, RowKey},
    share,
};
use crate::index::{Known, Statement};

/// What makes up one row.
#[derive(Debug)]
pub struct Explanation {
    /// In the order of unit and report.
    pub contributions: Vec<Contribution>,
    /// The row.
    pub row: Outcome,
    /// The sum of all weights.
    pub weight: BigDecimal,
    /// The sum of all weights of the denominator; none where there are none.
    pub denominator_weight: Option<BigDecimal>,
}

/// With which weight a counting statement enters.
type Weigh<'w> = &'w dyn Fn(&Cell, &Statement) -> (Option<BigDecimal>, Option<BigDecimal>);

/// What makes up a row of a share.
///
/// # Errors
/// As for the share; `RowNotFound`.
pub fn share(known: &Known<'_>, query: &ShareQuery, row: &str) -> Result<Explanation, Fault> {
    let weigh = |cell: &Cell, _: &Statement| match share::flag_of(cell) {
        Some(flag) => (Some(BigDecimal::from(u8::from(flag))), Some(BigDecimal::from(1))),
        None => (None, None),
    };
    in_row(known, &query.plan, row, |frame, groups, group| {
        let indicator = share::flag(frame, "indicator", &query.indicator)?;
        let has_filters = !query.plan.filters.is_empty();
        let shown = plan::shown_in_series(&query.plan, frame.slot);
        let mut rows = share::of_groups(frame, indicator, std::slice::from_ref(group), has_filters, &shown);
        let Some(outcome) = rows.pop() else { return Err(not_found(row)) };
        let ask = share::ask(frame, indicator);
        let contributions = contributions(frame, &query.plan, &ask, groups, group, &weigh);
        Ok(total(contributions, Outcome::Share(Box::new(outcome)), true))
    })
}

/// What makes up a row of figures.
///
/// # Errors
/// As for the figure; `MeasureNotAllowed` for a measure that is no sum; `RowNotFound`.
pub fn figure(known: &Known<'_>, query: &FigureQuery, row: &str) -> Result<Explanation, Fault> {
    in_row(known, &query.plan, row, |frame, groups, group| {
        let computation = figure::computation(frame, query)?;
        let measure = computation.measure;
        let is_sum = matches!(measure, Measure::Sum | Measure::Last | Measure::Count)
            || measure == Measure::Ratio && computation.denominator.is_none();
        if !is_sum {
            let message = "is explained for SUM, LAST, COUNT and RATIO without denominator, which are sums over reports; ask for the numerator and the denominator one by one, or for ListObservations";
            return Err(Fault::at("figure.measure", Reason::MeasureNotAllowed, message));
        }
        let weigh = |cell: &Cell, statement: &Statement| {
            let number = Number::of(statement.observation());
            match measure {
                Measure::Count => {
                    let is_first = cell.counting.first().is_some_and(|first| first.key() == statement.key());
                    (number.map(|_| BigDecimal::from(u8::from(is_first))), None)
                }
                Measure::Ratio => {
                    number.map(|number| (number.printed, number.whole)).map_or((None, None), |(a, b)| (Some(a), b))
                }
                _ => (number.map(|number| number.printed), None),
            }
        };
        let mut rows = figure::of_groups(frame, query, std::slice::from_ref(group))?;
        let Some(outcome) = rows.pop() else { return Err(not_found(row)) };
        let ask = computation.ask(frame);
        let contributions = contributions(frame, &query.plan, &ask, groups, group, &weigh);
        Ok(total(contributions, Outcome::Figure(Box::new(outcome)), measure == Measure::Ratio))
    })
}

fn not_found(row: &str) -> Fault {
    let message = format!(
        "{row:?} is no row of the answer; it is the unit or the attribute_value of one, empty where there is only one"
    );
    Fault::at("row", Reason::RowNotFound, message)
}

/// Looks for a row, and explains it.
fn in_row(
    known: &Known<'_>,
    plan: &Plan,
    row: &str,
    explain: impl for<'a> FnOnce(&Frame<'a>, &[Group<'a>], &Group<'a>) -> Result<Explanation, Fault>,
) -> Result<Explanation, Fault> {
    let slots = plan::slots(known.registry(), plan)?;
    let [slot] = slots.as_slice() else {
        return Err(Fault::at("from", Reason::ConflictingFields, "a row of one time is explained; give on or period"));
    };
    let frame = plan::frame(known, plan, slot);
    let groups = plan::groups(&frame, plan)?;
    let is_only = plan.group_by.is_none() && row.is_empty();
    let group = groups.iter().find(|group| is_only || group.key().name == row).ok_or_else(|| not_found(row))?;
    explain(&frame, &groups, group)
}

fn total(mut contributions: Vec<Contribution>, row: Outcome, has_denominator: bool) -> Explanation {
    if matches!(&row, Outcome::Figure(row) if row.support.empty_reason == Some(EmptyReason::CurrenciesDiffer)) {
        // Amounts of different currencies are never added.
        contributions.iter_mut().for_each(|contribution| contribution.weight = None);
    }
    let weight: BigDecimal = contributions.iter().filter_map(|contribution| contribution.weight.as_ref()).sum();
    let denominator: BigDecimal =
        contributions.iter().filter_map(|contribution| contribution.denominator_weight.as_ref()).sum();
    Explanation {
        contributions,
        row,
        weight: weight.normalized(),
        denominator_weight: has_denominator.then(|| denominator.normalized()),
    }
}

fn contributions<'a>(
    frame: &Frame<'a>,
    plan: &Plan,
    ask: &Ask<'_>,
    groups: &[Group<'a>],
    group: &Group<'a>,
    weigh: Weigh<'_>,
) -> Vec<Contribution> {
    let mut found = Vec::new();
    for member in group.members() {
        let cell = ask.read_reports(frame.known, member.unit);
        found.extend(of_unit(frame, ask, member.unit, &cell, |statement, verdict| match verdict {
            Verdict::Counts | Verdict::CountsAsTile | Verdict::CountsCarried if !member.is_certain => {
                (Verdict::Undetermined, None, None)
            }
            Verdict::Counts | Verdict::CountsAsTile | Verdict::CountsCarried => {
                let (weight, denominator) = weigh(&cell, statement);
                (verdict, weight, denominator)
            }
            other => (other, None, None),
        }));
        if cell.counting.is_empty() {
            let verdict = match (cell.state, member.is_certain) {
                (State::NotApplicable, _) => Verdict::NotApplicable,
                (_, false) => Verdict::Undetermined,
                (_, true) => Verdict::Silent,
            };
            found.push(silent(member.unit, verdict));
        }
    }
    for unit in off_the_map(frame, plan, groups, group) {
        let cell = ask.read_reports(frame.known, unit);
        found.extend(of_unit(frame, ask, unit, &cell, |_, _| (Verdict::OffTheMap, None, None)));
        if cell.counting.is_empty() {
            found.push(silent(unit, Verdict::OffTheMap));
        }
    }
    let seen: BTreeSet<(ReportName, Revision, usize)> = found.iter().filter_map(place_of).collect();
    for claim in Published::of(frame, ask).for_units(group) {
        let claim = contribution(frame, &claim.report().unit, claim, Verdict::OtherScope);
        if place_of(&claim).is_some_and(|place| !seen.contains(&place)) {
            found.push(claim);
        }
    }
    found.sort_by(|a, b| (&a.unit, place_of(a)).cmp(&(&b.unit, place_of(b))));
    found
}

fn place_of(contribution: &Contribution) -> Option<(ReportName, Revision, usize)> {
    contribution.said.as_ref().map(|said| (said.report, said.revision, said.index))
}

/// Units that lie partly in a group on the map, and so are not counted in it.
fn off_the_map<'a>(frame: &Frame<'a>, plan: &Plan, groups: &[Group<'a>], group: &Group<'a>) -> Vec<&'a Unit> {
    let Some(group_by) = &plan.group_by else { return Vec::new() };
    let unassignable = RowKey::of(&shared::model::query::RowUnit::Unassignable);
    if group.key() == unassignable {
        return Vec::new();
    }
    let (day, map) = (frame.slot.day, frame.boundaries_on);
    let others = groups.iter().filter(|group| group.key() == unassignable).flat_map(Group::members);
    let lies_partly = |unit: &&'a Unit| {
        select::places(frame.registry, unit, group_by, day, map)
            .into_iter()
            .any(|place| place.name() == Some(group.key().name.as_str()))
    };
    others.map(|member| member.unit).filter(lies_partly).collect()
}

/// What became of everything that was ever said of a unit.
fn of_unit(
    frame: &Frame<'_>,
    ask: &Ask<'_>,
    unit: &Unit,
    cell: &Cell,
    weighed: impl Fn(&Statement, Verdict) -> (Verdict, Option<BigDecimal>, Option<BigDecimal>),
) -> Vec<Contribution> {
    let statements = frame.known.ever(&ask.indicator.id, &unit.id);
    let one = |statement: &Statement| {
        let (verdict, weight, denominator_weight) = weighed(statement, verdict(frame, ask, cell, statement));
        Contribution { weight, denominator_weight, ..contribution(frame, &unit.id, statement, verdict) }
    };
    statements.iter().map(one).collect()
}

fn verdict(frame: &Frame<'_>, ask: &Ask<'_>, cell: &Cell, statement: &Statement) -> Verdict {
    let is = |other: &Statement| other.key() == statement.key();
    let observation = statement.observation();
    if let Some(was_superseded) = frame.known.was_superseded(statement) {
        return if was_superseded { Verdict::Superseded } else { Verdict::Withdrawn };
    }
    let is_of_each = observation.value.is_said_of_each() && ask.scope == shared::model::report::Scope::Own;
    let is_of_the_scope =
        observation.scope == ask.scope || is_of_each && observation.scope == shared::model::report::Scope::Group;
    if !is_of_the_scope {
        return Verdict::OtherScope;
    }
    if observation.by != *ask.by {
        return Verdict::OtherClass;
    }
    if !ask.admits(statement) {
        return Verdict::Filtered;
    }
    if !ask.is_published(statement) {
        let is_dated = statement.report().source.published_on.is_some();
        return if is_dated { Verdict::PublishedLater } else { Verdict::Undated };
    }
    let counts = cell.counting.iter().any(&is);
    let speaks = counts || cell.speaking.iter().any(is);
    if !speaks {
        return Verdict::OtherPeriod;
    }
    if cell.state == State::NotApplicable {
        return Verdict::NotApplicable;
    }
    if !counts {
        // Of tiles, the one of the same days.
        let days = statement.report().period.span();
        let mut counting =
            cell.counting.iter().filter(|counting| !cell.is_tiled() || counting.report().period.span() == days);
        let agrees = counting.next().is_some_and(|counting| says_the_same(counting, statement));
        return if agrees { Verdict::Outranked } else { Verdict::Contested };
    }
    match observation.value {
        Value::Missing(Missing::NotReported | Missing::Withheld) => Verdict::Missing,
        Value::Missing(Missing::NotApplicable) => Verdict::NotApplicable,
        _ if cell.is_tiled() => Verdict::CountsAsTile,
        _ if cell.is_carried => Verdict::CountsCarried,
        _ => Verdict::Counts,
    }
}

fn contribution(frame: &Frame<'_>, unit: &UnitId, statement: &Statement, verdict: Verdict) -> Contribution {
    let report = statement.report();
    let said = Said {
        report: report.name,
        version: report.version,
        revision: statement.source.revision(),
        index: statement.index,
        observation: statement.observation().clone(),
        period: report.period.written().to_owned(),
        published_on: report.source.published_on,
        findings: frame.known.findings(statement).into_iter().map(|(_, finding)| finding).collect(),
    };
    Contribution { unit: unit.clone(), said: Some(said), verdict, weight: None, denominator_weight: None }
}

fn silent(unit: &Unit, verdict: Verdict) -> Contribution {
    Contribution { unit: unit.id.clone(), said: None, verdict, weight: None, denominator_weight: None }
}
