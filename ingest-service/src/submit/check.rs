//! Which reports are accepted: what can be said of a report only with the registry beside it.

use std::collections::HashSet;

use rust_decimal::Decimal;
use shared::{
    model::{
        fault::{Fault, Reason, Violations},
        indicator::{Indicator, ValueKind},
        log::Revision,
        period::{Period, WrittenPeriod},
        report::{Observation, ReportDraft, Scope, Value},
        unit::Unit,
    },
    registry::Registry,
};

/// What is known of a report that was checked against a registry.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// Newest change of that registry.
    pub(super) registry: Revision,
    /// The period with the days of its term looked up.
    pub(super) period: Period,
}

impl Checked {
    /// Checks a report against this registry.
    ///
    /// # Errors
    /// Every violation, each with its path.
    pub(super) fn now(registry: &Registry, draft: &ReportDraft) -> Result<Self, Fault> {
        check_report(registry, draft).map(|period| Self { registry: registry.revision(), period })
    }

    /// Whether it still says what a check against this registry would say.
    pub(super) fn holds_for(&self, registry: &Registry) -> bool {
        self.registry == registry.revision()
    }
}

/// The period of the report with the days of its term looked up.
///
/// # Errors
/// Every violation, each with its path.
fn check_report(registry: &Registry, draft: &ReportDraft) -> Result<Period, Fault> {
    let mut violations = Violations::default();
    let unit = registry.unit(&draft.unit);
    if unit.is_none() {
        let message = format!("unit {} is not registered", draft.unit);
        violations.add("report.unit", Reason::UnknownUnit, message);
    }
    let period = check_period(registry, unit, draft, &mut violations);
    let mut cells = HashSet::new();
    for (index, observation) in draft.observations.iter().enumerate() {
        let path = format!("report.observations[{index}]");
        match registry.indicator(&observation.indicator) {
            Some(indicator) => check_observation(&path, indicator, observation, &mut violations),
            None => {
                let message = format!("indicator {} is not defined", observation.indicator);
                violations.add(format!("{path}.indicator"), Reason::UnknownIndicator, message);
            }
        }
        if !cells.insert((&observation.indicator, &observation.by, observation.scope)) {
            let message = "the same indicator, by and scope stand in this report before";
            violations.add(path, Reason::DuplicateObservation, message);
        }
    }
    violations.finish(period)
}

fn check_period(
    registry: &Registry,
    unit: Option<&Unit>,
    draft: &ReportDraft,
    violations: &mut Violations,
) -> Option<Period> {
    let unit = unit?;
    let period = match &draft.period {
        WrittenPeriod::Days(period) => period.clone(),
        WrittenPeriod::Term(label) => match registry.find_term(unit, draft.organ, label) {
            Some(term) => Period::of_term(label, term.span()),
            None => {
                let message = format!("neither {} nor a unit above it has a term {label} of this organ", unit.id);
                violations.add("report.period", Reason::UnknownTerm, message);
                return None;
            }
        },
    };
    let lives_in_it = period.span().last_day.is_none_or(|last_day| registry.is_alive_on(&unit.id, last_day));
    if !lives_in_it {
        let message = format!("{} lives on no day of {}", unit.id, period.written());
        violations.add("report.period", Reason::UnitNotAlive, message);
    }
    Some(period)
}

fn check_observation(path: &str, indicator: &Indicator, observation: &Observation, violations: &mut Violations) {
    if let Err(expected) = check_kind(indicator.value_kind, observation.scope, &observation.value) {
        let message = format!("{} takes {expected}, not {}", indicator.id, observation.value.field());
        violations.add(format!("{path}.{}", observation.value.field()), Reason::WrongValueKind, message);
    }
    if let (ValueKind::Flag, Value::Percent(percent)) = (indicator.value_kind, &observation.value)
        && (*percent < Decimal::ZERO || *percent > Decimal::ONE_HUNDRED)
    {
        let message = "a share of units lies between 0 and 100";
        violations.add(format!("{path}.percent"), Reason::PercentOutOfRange, message);
    }
    for (dimension, code) in &observation.by {
        let path = || format!("{path}.by[{:?}]", dimension.as_str());
        match indicator.dimension(dimension) {
            None => {
                let message = format!("{} has no dimension {dimension}", indicator.id);
                violations.add(path(), Reason::UnknownDimension, message);
            }
            Some(known) if known.closed && !known.codes.contains(code) => {
                let codes: Vec<&str> = known.codes.iter().map(|code| code.as_str()).collect();
                let message = format!("{code} is none of its codes: {}", codes.join(", "));
                violations.add(path(), Reason::UnknownCode, message);
            }
            Some(_) => {}
        }
    }
}

/// Whether an indicator of that kind takes that value; else what it takes.
fn check_kind(kind: ValueKind, scope: Scope, value: &Value) -> Result<(), &'static str> {
    let (fits, expected) = match (kind, scope, value) {
        (_, _, Value::Missing(_)) => return Ok(()),
        (ValueKind::Flag, Scope::Own, value) => (matches!(value, Value::Flag(_)), "flag"),
        (ValueKind::Flag, Scope::Children | Scope::Subtree, value) => (
            matches!(value, Value::Percent(_) | Value::Ratio(_)),
            "percent or ratio where its scope is CHILDREN or SUBTREE: the share that the report publishes",
        ),
        (ValueKind::Count, _, value) => (matches!(value, Value::Count(_)), "count"),
        (ValueKind::Decimal, _, value) => (matches!(value, Value::Decimal(_)), "decimal"),
        (ValueKind::Percent, _, value) => (matches!(value, Value::Percent(_)), "percent"),
        (ValueKind::Ratio, _, value) => (matches!(value, Value::Ratio(_)), "ratio"),
        (ValueKind::Money, _, value) => (matches!(value, Value::Money { .. }), "money"),
    };
    if fits { Ok(()) } else { Err(expected) }
}
