//! What do the numbers of units come to?

use shared::model::{
    fault::{Fault, Reason},
    indicator::{Indicator, RollUp, Temporality, ValueKind},
    query::{EmptyReason, FigureQuery, FigureRow, Measure, PublishedFigure, quotient},
    report::Scope,
};

use super::{
    bulk::{self, Bulk},
    cell::{Ask, Cell, Currency, Number, State, is_never_negative},
    condition::{needs_period, refuse_to_carry},
    measure::{self, Computed, Kind, Sample},
    plan::{self, Evaluated, Frame},
    published::Published,
    select::Group,
    tally::{self, Tally},
};
use crate::index::{Known, Statement};

/// What is computed, with the definitions that hold on the day counted.
#[derive(Clone, Copy)]
pub(super) struct Computation<'q> {
    /// The number.
    pub(super) indicator: &'q Indicator,
    /// The denominator, if it is another indicator.
    pub(super) denominator: Option<&'q Indicator>,
    /// What is computed.
    pub(super) measure: Measure,
    query: &'q FigureQuery,
}

/// The rows of the answer.
///
/// # Errors
/// `IndicatorNotFound`, `UnitNotFound`; `MeasureNotAllowed` with the reason, `PeriodRequired`, `UnitsOverlap`, and what
/// else the question cannot ask; `TooMany` cells.
pub(super) fn rows(known: &Known<'_>, query: &FigureQuery) -> Result<Vec<Evaluated<FigureRow>>, Fault> {
    plan::evaluate(known, &query.plan, |frame, groups| of_groups(frame, query, groups))
}

/// The rows of one time.
///
/// # Errors
/// As [`rows`].
pub(super) fn of_groups(frame: &Frame<'_>, query: &FigureQuery, groups: &[Group<'_>]) -> Result<Vec<FigureRow>, Fault> {
    let published = Published::of(frame, &computation(frame, query)?.ask(frame));
    with_claims(frame, query, groups, &published)
}

/// The rows of one time, with what is published for their units.
///
/// # Errors
/// As [`rows`].
pub(super) fn with_claims(
    frame: &Frame<'_>,
    query: &FigureQuery,
    groups: &[Group<'_>],
    published: &Published,
) -> Result<Vec<FigureRow>, Fault> {
    let computation = computation(frame, query)?;
    check_groups(frame, &computation, groups)?;
    let ask = computation.ask(frame);
    let row = |group: &Group<'_>| row(frame, &computation, &ask, group, published.for_units(group));
    Ok(groups.iter().map(row).collect())
}

/// What a question computes, if the definitions allow it.
///
/// # Errors
/// `IndicatorNotFound`, `MeasureNotAllowed`, `PeriodRequired`, `UnknownDimension`, `UnknownCode`, `ConflictingFields`.
pub(super) fn computation<'q>(frame: &Frame<'q>, query: &'q FigureQuery) -> Result<Computation<'q>, Fault> {
    let indicator = frame.definition("indicator", &query.indicator)?;
    let id = &indicator.id;
    let not_allowed = |path: &str, message: String| Err(Fault::at(path, Reason::MeasureNotAllowed, message));
    let other = match indicator.value_kind {
        ValueKind::Count | ValueKind::Decimal | ValueKind::Percent | ValueKind::Ratio | ValueKind::Money => None,
        ValueKind::Flag => Some("a FLAG, which has a share of units: ask GetShare"),
        ValueKind::Category => Some("a CATEGORY, whose units are counted by class: ask GetDistribution"),
        ValueKind::Direction => Some("a DIRECTION, which has no number: ask ListObservations"),
        ValueKind::Change => Some("a CHANGE against its own baseline, which adds to no other: ask ListObservations"),
    };
    if let Some(other) = other {
        return not_allowed("indicator", format!("{id} is {other}"));
    }
    needs_period(indicator.temporality, frame.slot, "on", id)?;
    refuse_to_carry(indicator, &query.plan)?;
    check_classes(frame, indicator, query)?;
    let denominator = match &query.denominator {
        None => None,
        Some(id) => Some(frame.definition("denominator", id)?),
    };
    let measure = query.measure.unwrap_or(match (indicator.roll_up, denominator) {
        (_, Some(_)) | (RollUp::RatioOfSums, None) => Measure::Ratio,
        (RollUp::None, None) => Measure::Value,
        (_, None) => Measure::Sum,
    });
    if let Some(why) = forbidden(indicator, denominator, measure) {
        return not_allowed(if query.measure.is_some() { "measure" } else { "indicator" }, why);
    }
    if let Some(denominator) = denominator {
        needs_period(denominator.temporality, frame.slot, "on", &denominator.id)?;
        refuse_to_carry(denominator, &query.plan)?;
    }
    if measure == Measure::Last && frame.slot.span.is_none() {
        let message = "LAST is what was last known in a period; give a period in place of on, or set last_known";
        return Err(Fault::at("on", Reason::PeriodRequired, message));
    }
    let is_ratio = indicator.value_kind == ValueKind::Ratio && measure != Measure::Count;
    let per_is_for_ratios = measure == Measure::Ratio || is_ratio;
    if query.per != 1 && !per_is_for_ratios {
        return Err(Fault::at(
            "per",
            Reason::ConflictingFields,
            "goes with RATIO: so much of the one per so many of the other",
        ));
    }
    Ok(Computation { indicator, denominator, measure, query })
}

/// Why an indicator's roll-up forbids a measure; none if it does not.
fn forbidden(indicator: &Indicator, denominator: Option<&Indicator>, measure: Measure) -> Option<String> {
    let id = &indicator.id;
    let adds = |roll_up: RollUp| matches!(roll_up, RollUp::Sum | RollUp::Last | RollUp::Distribution);
    if let Some(denominator) = denominator {
        let both_add = [indicator, denominator].iter().all(|i| matches!(i.roll_up, RollUp::Sum | RollUp::Last));
        return match measure {
            Measure::Ratio if both_add => None,
            Measure::Ratio => Some(format!(
                "a ratio of sums needs two indicators that roll up by SUM or LAST; {id} or {} does not",
                denominator.id
            )),
            _ => Some("denominator goes with RATIO".to_owned()),
        };
    }
    match measure {
        Measure::Count | Measure::Min | Measure::Max | Measure::Median | Measure::Value => None,
        Measure::Sum | Measure::Mean if adds(indicator.roll_up) => None,
        Measure::Last if adds(indicator.roll_up) && indicator.temporality == Temporality::Stock => None,
        Measure::Ratio if indicator.roll_up == RollUp::RatioOfSums => None,
        Measure::Last => Some(format!("LAST is of a STOCK that adds over units; {id} is not")),
        Measure::Ratio => Some(format!(
            "{id} has no numerator and denominator; name another indicator as denominator, or ask for another measure"
        )),
        Measure::Sum | Measure::Mean => Some(match indicator.roll_up {
            RollUp::RatioOfSums => format!(
                "{id} rolls up by RATIO_OF_SUMS: ratios of units neither add nor average, their numerators and denominators do; ask for RATIO"
            ),
            _ => format!(
                "{id} rolls up by NONE: values of several units, such as averages and percentages without their counts, never become one; ask for VALUE with group_by UNIT, or for MIN, MAX, MEDIAN, COUNT"
            ),
        }),
    }
}

fn check_classes(frame: &Frame<'_>, indicator: &Indicator, query: &FigureQuery) -> Result<(), Fault> {
    for (dimension, code) in &query.by {
        let path = format!("by[\"{dimension}\"]");
        let Some(defined) = indicator.dimension(dimension) else {
            let message = format!("{} has no dimension {dimension} on {}", indicator.id, frame.slot.day);
            return Err(Fault::at(path, Reason::UnknownDimension, message));
        };
        if defined.closed && !defined.codes.contains(code) {
            let message = format!("{code} is no code of {dimension} on {}", frame.slot.day);
            return Err(Fault::at(path, Reason::UnknownCode, message));
        }
    }
    Ok(())
}

/// Refuses groups over which the measure makes no sense.
fn check_groups(frame: &Frame<'_>, computation: &Computation<'_>, groups: &[Group<'_>]) -> Result<(), Fault> {
    let Computation { indicator, measure, query, .. } = computation;
    if *measure == Measure::Value && groups.iter().any(|group| group.len() > 1) {
        let message = format!(
            "a value is that of one unit, and rows would be of several; {} rolls up by {}; ask with group_by UNIT",
            indicator.id,
            if indicator.roll_up == RollUp::None { "NONE" } else { "its own measure" }
        );
        return Err(Fault::at("measure", Reason::MeasureNotAllowed, message));
    }
    let adds = !matches!(measure, Measure::Value);
    if query.scope == Scope::Subtree && adds {
        let counted: std::collections::BTreeSet<_> =
            groups.iter().flat_map(Group::members).map(|member| &member.unit.id).collect();
        for unit in &counted {
            let above =
                frame.registry.ancestry_on(unit, frame.slot.day).skip(1).find(|above| counted.contains(&above.id));
            if let Some(above) = above {
                let message = format!(
                    "{} stands above {unit}, and its SUBTREE figure contains that one's; ask for one level, or for the ids of units that do not contain each other",
                    above.id
                );
                return Err(Fault::at("scope", Reason::UnitsOverlap, message));
            }
        }
    }
    Ok(())
}

impl<'q> Computation<'q> {
    /// FLOW if one of its indicators is.
    fn temporality(&self) -> Temporality {
        let is_flow = |indicator: &Indicator| indicator.temporality == Temporality::Flow;
        if self.denominator.is_some_and(is_flow) { Temporality::Flow } else { self.indicator.temporality }
    }

    /// What it asks of each unit.
    pub(super) fn ask(&self, frame: &Frame<'q>) -> Ask<'q> {
        Ask {
            indicator: self.indicator,
            by: &self.query.by,
            scope: self.query.scope,
            slot: frame.slot,
            admitted: frame.admitted,
            is_last: self.measure == Measure::Last,
            reader: Default::default(),
        }
    }

    /// What is asked of each unit about the denominator.
    fn ask_denominator(&self, frame: &Frame<'q>) -> Option<Ask<'q>> {
        let indicator = self.denominator?;
        Some(Ask { indicator, by: &super::cell::NOT_SPLIT, ..self.ask(frame) })
    }

    /// What is known of a unit, and the cells that it was read from.
    pub(super) fn sample(
        &self,
        frame: &Frame<'q>,
        ask: &Ask<'_>,
        unit: &shared::model::unit::Unit,
        is_certain: bool,
    ) -> (Sample, Vec<Cell>) {
        let cell = ask.read(frame.known, unit);
        let number = Number::of_cell(&cell);
        let Some(denominator) = self.ask_denominator(frame) else {
            // A value that is no number is no report of one.
            let state = match (cell.state, &number) {
                (State::Reported, None) => State::NotReported,
                (state, _) => state,
            };
            let number = match self.measure {
                Measure::Min | Measure::Max | Measure::Median | Measure::Value => {
                    number.map(|n| n.into_one(&self.query.per))
                }
                _ => number,
            };
            return (Sample { units: 1, is_certain, state, number, denominator: None }, vec![cell]);
        };
        let other = denominator.read(frame.known, unit);
        let divisor = Number::of_cell(&other);
        let states = [cell.state, other.state];
        let state = if states.contains(&State::NotApplicable) {
            State::NotApplicable
        } else if number.is_some() && divisor.is_some() {
            State::Reported
        } else if states.contains(&State::Withheld) {
            State::Withheld
        } else {
            State::NotReported
        };
        let both = number.zip(divisor).filter(|_| state == State::Reported);
        let (number, denominator) = both.unzip();
        (Sample { units: 1, is_certain, state, number, denominator }, vec![cell, other])
    }

    /// What columns say of the units of a row together, if the measure adds numbers up.
    fn bulk(&self, frame: &Frame<'q>, ask: &Ask<'q>, group: &Group<'_>) -> Option<(Vec<Sample>, Bulk)> {
        let adds =
            matches!(self.measure, Measure::Sum | Measure::Last | Measure::Count | Measure::Mean | Measure::Ratio);
        if !adds {
            return None;
        }
        bulk::numbers(frame, self.temporality(), ask, self.ask_denominator(frame).as_ref(), group)
    }

    /// What the samples of a row come to.
    pub(super) fn compute(&self, samples: &[Sample]) -> Computed {
        let mut indicators = [Some(self.indicator), self.denominator].into_iter().flatten();
        let never_negative = indicators.all(|indicator| is_never_negative(indicator.value_kind));
        let is_ratio = self.indicator.value_kind == ValueKind::Ratio;
        let kind = Kind { never_negative, is_ratio, is_of_two: self.denominator.is_some() };
        measure::compute(self.measure, samples, kind, &self.query.per)
    }
}

fn row(
    frame: &Frame<'_>,
    computation: &Computation<'_>,
    ask: &Ask<'_>,
    group: &Group<'_>,
    claims: &[Statement],
) -> FigureRow {
    let mut tally = Tally::default();
    let (mut samples, members) = match computation.bulk(frame, ask, group) {
        None => (Vec::with_capacity(group.len()), group.members().to_vec()),
        Some((samples, bulk)) => {
            tally.bulk(&bulk);
            (samples, bulk.members(group))
        }
    };
    for member in &members {
        let (sample, cells) = computation.sample(frame, ask, member.unit, member.is_certain);
        if member.is_certain {
            tally.unit(frame, computation.temporality(), member.unit, sample.state, &cells);
        } else {
            tally.undetermined();
        }
        samples.push(sample);
    }
    let shown: Vec<&Statement> = claims.iter().filter(|claim| tally.published(frame, ask, claim)).collect();
    let published = shown.into_iter().map(|claim| published(computation, claim)).collect();
    let Computed { value, bounds, sums, currency, fault } = computation.compute(&samples);
    let mut unused = Vec::new();
    let is_count = computation.measure == Measure::Count;
    let empty_reason = match tally.empty_reason(None).filter(|_| !is_count) {
        Some(EmptyReason::NothingReported) => {
            let (reason, reports) = tally::near(frame, ask, group);
            unused = reports;
            tally.empty_reason(reason)
        }
        None if value.is_none() => Some(fault.unwrap_or(EmptyReason::NoSingleNumber)),
        reason => reason,
    };
    let is_last = computation.measure == Measure::Last;
    let has_filters = !computation.query.plan.filters.is_empty();
    FigureRow {
        unit: group.row.clone(),
        shown: plan::shown(frame.slot),
        currency: match currency {
            Currency::One(currency) if value.is_some() && !is_count => Some(currency),
            _ => None,
        },
        value,
        bounds,
        unit_of_measure: computation.indicator.unit_of_measure.clone(),
        reported: tally.reported,
        not_reported: tally.not_reported,
        withheld: tally.withheld,
        not_applicable: tally.not_applicable,
        published,
        unused,
        sums,
        support: tally.support(frame, has_filters, is_last, empty_reason),
    }
}

fn published(computation: &Computation<'_>, statement: &Statement) -> PublishedFigure {
    let (report, observation) = (statement.report(), statement.observation());
    let number = Number::of(observation);
    let value = match computation.measure {
        Measure::Sum | Measure::Last => {
            number.filter(|number| number.whole.is_none()).map(|number| number.printed.normalized())
        }
        Measure::Ratio if computation.denominator.is_none() => {
            number.and_then(|number| quotient(&(number.printed * &computation.query.per), &number.whole?))
        }
        _ => None,
    };
    PublishedFigure {
        observation: observation.clone(),
        unit: report.unit.clone(),
        report: report.name,
        period: report.period.written().to_owned(),
        published_on: report.source.published_on,
        value,
    }
}
