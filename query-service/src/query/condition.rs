//! Conditions on units: true, false, or not known.

use shared::model::{
    fault::{Fault, Reason},
    ids::IndicatorId,
    indicator::{Indicator, Temporality, ValueKind},
    query::{Condition, End, Interval, Numbers, Plan, Slot},
    report::{Scope, Value},
    unit::Unit,
};

use super::{
    cell::{Ask, Cell, Currency, NOT_SPLIT, Number, State},
    plan::Frame,
};

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// That is not known.
    Unknown,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Whether all conditions hold for a unit: false as soon as one is false, however little is known of the others.
pub(super) fn all_hold(frame: &Frame<'_>, conditions: &[Condition], unit: &Unit) -> Truth {
    let truths: Vec<Truth> = conditions.iter().map(|condition| holds(frame, condition, unit)).collect();
    if truths.contains(&Truth::False) {
        Truth::False
    } else if truths.contains(&Truth::Unknown) {
        Truth::Unknown
    } else {
        Truth::True
    }
}

fn holds(frame: &Frame<'_>, condition: &Condition, unit: &Unit) -> Truth {
    match condition {
        Condition::Attribute { key, values } => match unit.attributes.get(key) {
            Some(value) if !value.is_empty() => values.contains(value).into(),
            _ => Truth::Unknown,
        },
        Condition::Kind(kind) => (unit.kind == *kind).into(),
        Condition::Flag { indicator, is } => of_value(frame, indicator, unit, |cell| match cell.value() {
            Some(Value::Flag(flag)) => (flag == is).into(),
            _ => Truth::Unknown,
        }),
        Condition::Category { indicator, codes } => of_value(frame, indicator, unit, |cell| match cell.value() {
            Some(Value::Category(code)) => codes.contains(code).into(),
            _ => Truth::Unknown,
        }),
        Condition::Number { indicator, within } => of_value(frame, indicator, unit, |cell| {
            let number = Number::of_cell(cell);
            let number = number.filter(|number| number.currency != Currency::Several);
            number.map_or(Truth::Unknown, |number| match &number.whole {
                // A part of a whole is compared by its numerator, without rounding.
                Some(whole) => compare(&number.interval, &within.times(whole)),
                None => compare(&number.interval, within),
            })
        }),
    }
}

fn of_value(frame: &Frame<'_>, id: &IndicatorId, unit: &Unit, holds: impl Fn(&Cell) -> Truth) -> Truth {
    let Some(indicator) = frame.registry.indicator_on(id, Some(frame.slot.day)) else { return Truth::Unknown };
    let ask = Ask {
        indicator,
        by: &NOT_SPLIT,
        scope: Scope::Own,
        slot: frame.slot,
        admitted: frame.admitted,
        is_last: false,
        reader: Default::default(),
    };
    let cell = ask.read(frame.known, unit);
    match cell.state {
        State::NotApplicable => Truth::False,
        State::NotReported | State::Withheld => Truth::Unknown,
        State::Reported => holds(&cell),
    }
}

/// Whether all numbers of an interval lie within bounds, or none does.
fn compare(interval: &Interval, within: &Numbers) -> Truth {
    let end = |number: &Option<bigdecimal::BigDecimal>, is_exclusive| {
        number.as_ref().map(|number| End { number: number.clone(), is_exclusive })
    };
    let lowers = [end(&within.more_than, true), end(&within.at_least, false)];
    let uppers = [end(&within.less_than, true), end(&within.at_most, false)];
    let is_above = |bound: &End| {
        interval.lower.as_ref().is_some_and(|lower| {
            lower.number > bound.number || lower.number == bound.number && (lower.is_exclusive || !bound.is_exclusive)
        })
    };
    let is_below = |bound: &End| {
        interval.upper.as_ref().is_some_and(|upper| {
            upper.number < bound.number || upper.number == bound.number && (upper.is_exclusive || !bound.is_exclusive)
        })
    };
    // No number is on the right side of a bound if all are on the other one.
    let all_miss_lower = |bound: &End| {
        interval.upper.as_ref().is_some_and(|upper| {
            upper.number < bound.number || upper.number == bound.number && (upper.is_exclusive || bound.is_exclusive)
        })
    };
    let all_miss_upper = |bound: &End| {
        interval.lower.as_ref().is_some_and(|lower| {
            lower.number > bound.number || lower.number == bound.number && (lower.is_exclusive || bound.is_exclusive)
        })
    };
    let (lowers, uppers) = (|| lowers.iter().flatten(), || uppers.iter().flatten());
    if lowers().any(all_miss_lower) || uppers().any(all_miss_upper) {
        Truth::False
    } else if lowers().all(is_above) && uppers().all(is_below) {
        Truth::True
    } else {
        Truth::Unknown
    }
}

/// Checks that conditions ask for what their indicators can answer.
///
/// # Errors
/// `IndicatorNotFound`, `WrongValueKind`, `UnknownCode`, `PeriodRequired` for a FLOW on a day.
pub(super) fn check(frame: &Frame<'_>, conditions: &[Condition]) -> Result<(), Fault> {
    for (index, condition) in conditions.iter().enumerate() {
        let path = |field: &str| format!("filters[{index}].value.{field}");
        let (id, field) = match condition {
            Condition::Attribute { .. } | Condition::Kind(_) => continue,
            Condition::Flag { indicator, .. } => (indicator, "flag"),
            Condition::Category { indicator, .. } => (indicator, "codes"),
            Condition::Number { indicator, .. } => (indicator, "indicator"),
        };
        let indicator = frame.definition(&path("indicator"), id)?;
        let fits = match condition {
            Condition::Flag { .. } => indicator.value_kind == ValueKind::Flag,
            Condition::Category { .. } => indicator.value_kind == ValueKind::Category,
            _ => matches!(
                indicator.value_kind,
                ValueKind::Count | ValueKind::Decimal | ValueKind::Percent | ValueKind::Ratio | ValueKind::Money
            ),
        };
        if !fits {
            let message =
                format!("{id} has no such values; compare a FLAG by flag, a CATEGORY by codes, a number by bounds");
            return Err(Fault::at(path(field), Reason::WrongValueKind, message));
        }
        if let Condition::Category { codes, .. } = condition
            && let Some(code) = codes.iter().find(|code| !indicator.codes.contains(code))
        {
            let message = format!("{code} is no code of {id} on {}", frame.slot.day);
            return Err(Fault::at(path("codes"), Reason::UnknownCode, message));
        }
        needs_period(indicator.temporality, frame.slot, &path("indicator"), id)?;
    }
    Ok(())
}

/// A FLOW is that of a period, not of a day.
///
/// # Errors
/// `PeriodRequired`.
pub(super) fn needs_period(temporality: Temporality, slot: &Slot, path: &str, id: &IndicatorId) -> Result<(), Fault> {
    if temporality != Temporality::Flow || slot.span.is_some() {
        return Ok(());
    }
    let message =
        format!("{id} is a FLOW, which adds up over days; give a period such as 2016 or 2017-Q2 in place of on");
    Err(Fault::at(path, Reason::PeriodRequired, message))
}

/// What happened in one period says nothing about the next: a FLOW is not carried forward.
///
/// # Errors
/// `MeasureNotAllowed`.
pub(super) fn refuse_to_carry(indicator: &Indicator, plan: &Plan) -> Result<(), Fault> {
    if !plan.admitted.last_known || indicator.temporality != Temporality::Flow {
        return Ok(());
    }
    let id = &indicator.id;
    let message =
        format!("{id} is a FLOW: what happened in one period says nothing about the next; leave last_known out");
    Err(Fault::at("last_known", Reason::MeasureNotAllowed, message))
}
