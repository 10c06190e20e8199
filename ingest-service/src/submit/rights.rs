//! What a caller may have written: reports about units of his own, and everything for whom sees everything. Looked at before
//! anything else, so that nobody learns from a refusal what is registered elsewhere.

use jiff::civil::Date;
use shared::{
    model::{
        access::Caller,
        fault::{Fault, Reason, Violations},
        ids::UnitId,
        period::{Span, WrittenPeriod},
        report::ReadReport,
        unit::Organ,
    },
    registry::Registry,
};

use super::Work;

/// Refuses work about what the caller has no rights over. About an existing report that is named, its handler has asked.
///
/// # Errors
/// `PermissionDenied`, with every unit at its path; the same for a unit that is not registered.
pub(super) fn check(registry: &Registry, work: &Work, by: &Caller) -> Result<(), Fault> {
    if by.scope.is_everything() {
        return Ok(());
    }
    match work {
        Work::Report(command) => {
            let draft = &command.content.draft;
            let groups = draft.observations.iter().map(|observation| observation.units.as_slice());
            let named = Named { unit: Some(&draft.unit), issuer: draft.issuer.as_ref(), groups: groups.collect() };
            check_named(registry, &named, last_day(registry, Some(&draft.unit), draft.organ, Some(&draft.period)), by)
        }
        // About which report, its handler has asked.
        Work::Withdrawal(_) => Ok(()),
        Work::Units(_) | Work::Events(_) | Work::Forms(_) | Work::Indicators(_) | Work::Terms(_) => {
            Err(Fault::new(Reason::PermissionDenied, "the register is kept by those who see everything"))
        }
    }
}

/// The same for a report of which not everything can be read.
///
/// # Errors
/// As above.
pub(super) fn check_readable(registry: &Registry, report: &ReadReport, by: &Caller) -> Result<(), Fault> {
    if by.scope.is_everything() {
        return Ok(());
    }
    let groups = report.observations.iter().map(|observation| observation.units.as_slice());
    let named = Named { unit: report.unit.as_ref(), issuer: report.issuer.as_ref(), groups: groups.collect() };
    let last_day = last_day(registry, report.unit.as_ref(), report.organ, report.period.as_ref());
    check_named(registry, &named, last_day, by)
}

/// Units that a report names.
struct Named<'a> {
    unit: Option<&'a UnitId>,
    issuer: Option<&'a UnitId>,
    groups: Vec<&'a [UnitId]>,
}

fn check_named(registry: &Registry, named: &Named<'_>, day: Option<Date>, by: &Caller) -> Result<(), Fault> {
    let mut denied = Violations::default();
    let mut check = |path: String, unit: &UnitId| {
        if !registry.sees(&by.scope, unit, day) {
            let message = format!("this caller has no rights over {unit}, or there is none of that name");
            denied.add(path, Reason::PermissionDenied, message);
        }
    };
    if let Some(unit) = named.unit {
        check("report.unit".to_owned(), unit);
    }
    if let Some(issuer) = named.issuer {
        check("report.issuer".to_owned(), issuer);
    }
    for (index, units) in named.groups.iter().enumerate() {
        for unit in *units {
            check(format!("report.observations[{index}].units"), unit);
        }
    }
    denied.into_result()
}

/// The last day of a period, by which the hierarchy is judged; none: the newest.
fn last_day(registry: &Registry, unit: Option<&UnitId>, organ: Organ, period: Option<&WrittenPeriod>) -> Option<Date> {
    let span: Span = match period? {
        WrittenPeriod::Days(period) => period.span(),
        WrittenPeriod::Term(label) => registry.find_term(unit?, organ, label)?.span(),
    };
    span.last_day
}
