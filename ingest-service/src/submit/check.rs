//! Which reports are accepted: what can be said of a report only with the registry beside it.

use std::collections::{BTreeMap, HashSet};

use foldhash::fast::RandomState;
use rust_decimal::Decimal;
use shared::{
    model::{
        fault::{Fault, Reason, Violations},
        ids::{IndicatorId, UnitId},
        indicator::{Indicator, ValueKind},
        period::{Period, Span, WrittenPeriod},
        report::{Observation, ReadObservation, ReadReport, ReportDraft, Scope, Value},
        unit::Organ,
    },
    registry::Registry,
};

use super::findings::{Defined, defined};

/// The period of the report with the days of its term looked up, and what is known of the indicator of each observation.
///
/// # Errors
/// Every violation, each with its path.
pub(super) fn check_report<'a>(
    registry: &'a Registry,
    draft: &ReportDraft,
) -> Result<(Period, Vec<Defined<'a>>), Fault> {
    let mut violations = Violations::default();
    let period = check_subject(registry, Some(&draft.unit), draft.organ, Some(&draft.period), &mut violations);
    check_issuer(registry, draft.issuer.as_ref(), &mut violations);
    let days = period.as_ref().map(Period::span);
    let defined = defined(registry, days.and_then(|days| days.last_day), &draft.observations);
    let mut cells = HashSet::with_capacity_and_hasher(draft.observations.len(), RandomState::default());
    for (index, (observation, defined)) in draft.observations.iter().zip(&defined).enumerate() {
        let Observation { indicator, by, scope, value, units, .. } = observation;
        check_observation(defined.then, index, (indicator, by, *scope, Some(value)), &mut violations);
        check_group(registry, days, index, units, &mut violations);
        if !cells.insert(observation.cell()) {
            add_duplicate(index, &mut violations);
        }
    }
    violations.finish(period.map(|period| (period, defined)))
}

/// What else is wrong with a report of which not everything can be read, beside what is wrong with its form.
pub(super) fn check_readable(registry: &Registry, readable: &ReadReport, violations: &mut Violations) {
    let period = check_subject(registry, readable.unit.as_ref(), readable.organ, readable.period.as_ref(), violations);
    check_issuer(registry, readable.issuer.as_ref(), violations);
    let days = period.as_ref().map(Period::span);
    let mut cells = HashSet::new();
    for (index, observation) in readable.observations.iter().enumerate() {
        check_group(registry, days, index, &observation.units, violations);
        let ReadObservation { indicator: Some(indicator), by, scope, value, units, .. } = observation else { continue };
        // The version that holds on the last day of the period.
        let defined = registry.indicator_on(indicator, days.and_then(|days| days.last_day));
        check_observation(defined, index, (indicator, by, *scope, value.as_ref()), violations);
        if !cells.insert((indicator, by, *scope, units.as_slice())) {
            add_duplicate(index, violations);
        }
    }
}

fn add_duplicate(index: usize, violations: &mut Violations) {
    let message = "the same indicator, by, scope and units stand in this report before";
    violations.add(format!("report.observations[{index}]"), Reason::DuplicateObservation, message);
}

fn check_subject(
    registry: &Registry,
    unit: Option<&UnitId>,
    organ: Organ,
    period: Option<&WrittenPeriod>,
    violations: &mut Violations,
) -> Option<Period> {
    let id = unit?;
    if registry.unit(id).is_none() {
        violations.add("report.unit", Reason::UnknownUnit, format!("unit {id} is not registered"));
        return None;
    }
    let period = match period? {
        WrittenPeriod::Days(period) => period.clone(),
        WrittenPeriod::Term(label) => match registry.find_term(id, organ, label) {
            Some(term) => Period::of_term(label, term.span()),
            None => {
                let message = format!("neither {id} nor a unit above it has a term {label} of this organ");
                violations.add("report.period", Reason::UnknownTerm, message);
                return None;
            }
        },
    };
    if !registry.is_alive_in(id, &period.span()) {
        let message = format!("{id} lives on no day of {}", period.written());
        violations.add("report.period", Reason::UnitNotAlive, message);
    }
    Some(period)
}

fn check_issuer(registry: &Registry, issuer: Option<&UnitId>, violations: &mut Violations) {
    if let Some(issuer) = issuer.filter(|issuer| registry.unit(issuer).is_none()) {
        violations.add("report.issuer", Reason::UnknownUnit, format!("unit {issuer} is not registered"));
    }
}

/// Units of a group are registered and live in the period.
fn check_group(registry: &Registry, days: Option<Span>, index: usize, units: &[UnitId], violations: &mut Violations) {
    for unit in units {
        let path = || format!("report.observations[{index}].units");
        if registry.unit(unit).is_none() {
            violations.add(path(), Reason::UnknownUnit, format!("unit {unit} is not registered"));
        } else if days.is_some_and(|days| !registry.is_alive_in(unit, &days)) {
            violations.add(path(), Reason::UnitNotAlive, format!("{unit} lives on no day of the period"));
        }
    }
}

/// What an observation says of what: indicator, by, scope and value.
type Said<'a> = (&'a IndicatorId, &'a BTreeMap<IndicatorId, IndicatorId>, Scope, Option<&'a Value>);

fn check_observation(
    defined: Option<&Indicator>,
    index: usize,
    (id, by, scope, value): Said<'_>,
    violations: &mut Violations,
) {
    // Only where something is wrong is there anything to name.
    let at = |field: &dyn std::fmt::Display| format!("report.observations[{index}].{field}");
    let Some(indicator) = defined else {
        violations.add(at(&"indicator"), Reason::UnknownIndicator, format!("indicator {id} is not defined"));
        return;
    };
    if let Some(value) = value {
        if let Err(expected) = check_kind(indicator.value_kind, scope, value) {
            let message = format!("{id} takes {expected}, not {}", value.field());
            violations.add(at(&value.field()), Reason::WrongValueKind, message);
        }
        if let (ValueKind::Flag, Value::Percent(percent)) = (indicator.value_kind, value)
            && (*percent < Decimal::ZERO || *percent > Decimal::ONE_HUNDRED)
        {
            let message = "a share of units lies between 0 and 100";
            violations.add(at(&"percent"), Reason::PercentOutOfRange, message);
        }
    }
    if let Some(Value::Category(code)) = value
        && indicator.value_kind == ValueKind::Category
        && !indicator.codes.contains(code)
    {
        let message = format!("{code} is none of its codes: {}", list(&indicator.codes));
        violations.add(at(&"category"), Reason::UnknownCode, message);
    }
    for (dimension, code) in by {
        let path = || at(&format_args!("by[{:?}]", dimension.as_str()));
        match indicator.dimension(dimension) {
            None => {
                let message = format!("{id} has no dimension {dimension}");
                violations.add(path(), Reason::UnknownDimension, message);
            }
            Some(known) if known.closed && !known.codes.contains(code) => {
                let message = format!("{code} is none of its codes: {}", list(&known.codes));
                violations.add(path(), Reason::UnknownCode, message);
            }
            Some(_) => {}
        }
    }
}

fn list(codes: &[IndicatorId]) -> String {
    codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether an indicator of that kind takes that value; else what it takes.
fn check_kind(kind: ValueKind, scope: Scope, value: &Value) -> Result<(), &'static str> {
    let (fits, expected) = match (kind, scope, value) {
        (_, _, Value::Missing(_)) => return Ok(()),
        (ValueKind::Flag, Scope::Own, value) => (matches!(value, Value::Flag(_)), "flag"),
        (ValueKind::Flag, Scope::Group, value) => (
            matches!(value, Value::Flag(_) | Value::Percent(_) | Value::Ratio(_)),
            "flag of each unit of the group, or percent or ratio: the share that the report publishes",
        ),
        (ValueKind::Flag, Scope::Children | Scope::Subtree, value) => (
            matches!(value, Value::Percent(_) | Value::Ratio(_)),
            "percent or ratio where its scope is CHILDREN or SUBTREE: the share that the report publishes",
        ),
        (ValueKind::Count, _, value) => (matches!(value, Value::Count(_)), "count"),
        (ValueKind::Decimal, _, value) => (matches!(value, Value::Decimal(_)), "decimal"),
        (ValueKind::Percent, _, value) => (matches!(value, Value::Percent(_)), "percent"),
        (ValueKind::Ratio, _, value) => (matches!(value, Value::Ratio(_)), "ratio"),
        (ValueKind::Category, _, value) => (matches!(value, Value::Category(_)), "category"),
        (ValueKind::Direction, _, value) => (matches!(value, Value::Direction(_)), "direction"),
        (ValueKind::Change, _, value) => (matches!(value, Value::Change(_)), "change"),
        (ValueKind::Money, _, value) => (matches!(value, Value::Money { .. }), "money"),
    };
    if fits { Ok(()) } else { Err(expected) }
}
