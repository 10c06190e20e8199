//! What becomes of a piece of work: a pure function of the state before it.

use std::collections::HashMap;

use shared::{
    change::Change,
    model::{
        command::{SubmitRequest, WithdrawRequest},
        fault::{Fault, Reason},
        finding::Finding,
        ids::{ReportName, UnitId},
        log::{RequestKey, Revision},
        period::Period,
        report::{Observation, Report},
        unit::Unit,
    },
};

use super::{
    Work,
    check::Checked,
    findings,
    register::{check_events, check_forms, check_indicators, check_terms, check_units},
    state::{ReportRecord, State, identity},
};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Decision {
    /// Nothing: it is all there at this revision.
    There(Revision),
    /// Nothing: only the checks were asked for, and there is nothing new in it.
    Valid,
    /// These changes, as one.
    Change {
        /// In their order, each with what is odd about it; not empty.
        changes: Vec<(Change, Vec<Finding>)>,
        /// What the call said about being repeated.
        request: Option<RequestKey>,
        /// Whether nothing may be written.
        validate_only: bool,
    },
}

/// Decides a piece of work against everything before it.
///
/// | work | decision |
/// |---|---|
/// | request id known, other content | `KeyReusedDifferentContent` |
/// | request id known, same content, not a dry run | `There`, at the revision of then |
/// | a fault of form or of reference | the fault with every violation |
/// | nothing new in it, dry run | `Valid` |
/// | nothing new in it, no request id | `There`, now |
/// | nothing new in it, a request id | `Change`: an entry that keeps the request id |
/// | a report, expected revision not that of its newest version or withdrawal | `RevisionConflict` |
/// | withdrawal of a report that is withdrawn | `AlreadyWithdrawn` |
/// | otherwise | `Change` |
///
/// # Errors
/// As in the table.
pub(super) fn decide(state: &State, work: &Work, checked: Option<Checked>) -> Result<Decision, Fault> {
    let (request, validate_only) = match work {
        Work::Units(command) => (command.request, command.validate_only),
        Work::Events(command) => (command.request, command.validate_only),
        Work::Indicators(command) => (command.request, command.validate_only),
        Work::Forms(command) => (command.request, command.validate_only),
        Work::Terms(command) => (command.request, command.validate_only),
        Work::Report(command) => (command.request, command.validate_only),
        Work::Withdrawal(command) => (command.request, command.validate_only),
    };
    if let Some(revision) = earlier(state, request)?.filter(|_| !validate_only) {
        return Ok(Decision::There(revision));
    }
    let registry = state.registry();
    let plain = |change| (change, Vec::new());
    let mut changes: Vec<(Change, Vec<Finding>)> = match work {
        Work::Units(command) => {
            let units = registrations(&command.content.units, check_units(registry, &command.content)?);
            let stated = command.content.complete_from.filter(|day| registry.complete_from() != Some(*day));
            units.chain(stated.map(Change::RegisterCompleteFrom).map(plain)).collect()
        }
        Work::Events(command) => {
            let (units, events) = check_events(registry, &command.content)?;
            let events = events.into_iter().map(Change::UnitEventRecorded).map(plain);
            registrations(&command.content.units, units).chain(events).collect()
        }
        Work::Forms(command) => {
            let (forms, waivers) = check_forms(registry, &command.content)?;
            let forms = forms.into_iter().map(Change::FormDefined);
            forms.chain(waivers.into_iter().map(Change::DutyWaived)).map(plain).collect()
        }
        Work::Indicators(command) => {
            let new = check_indicators(registry, &command.content)?;
            new.into_iter().map(Change::IndicatorDefined).map(plain).collect()
        }
        Work::Terms(command) => {
            let new = check_terms(registry, &command.content)?;
            new.into_iter().map(Change::TermDefined).map(plain).collect()
        }
        Work::Report(command) => {
            let checked = match checked {
                Some(checked) if checked.holds_for(registry) => checked,
                _ => Checked::now(registry, &command.content.draft)?,
            };
            let report = next_version(state, &command.content, checked.period)?;
            let mut findings = checked.findings;
            findings.extend(findings::of_others(registry, &report, state.said()));
            vec![(Change::ReportSubmitted(Box::new(report)), findings::bounded(findings))]
        }
        Work::Withdrawal(command) => vec![plain(withdrawal(state, &command.content)?)],
    };
    match (changes.is_empty(), validate_only, request) {
        (true, true, _) => return Ok(Decision::Valid),
        (true, false, None) => return Ok(Decision::There(state.revision())),
        (true, false, Some(_)) => changes.push(plain(Change::Unchanged)),
        (false, ..) => {}
    }
    Ok(Decision::Change { changes, request, validate_only })
}

/// The registration of units, each with what is odd about it at its place in the request.
fn registrations(requested: &[Unit], new: Vec<Unit>) -> impl Iterator<Item = (Change, Vec<Finding>)> {
    let places: HashMap<UnitId, usize> = requested.iter().map(|unit| unit.id.clone()).zip(0..).collect();
    new.into_iter().map(move |unit| {
        let findings = findings::of_unit(&unit, places.get(&unit.id).copied().unwrap_or_default());
        (Change::UnitRegistered(unit), findings)
    })
}

/// The revision of an earlier call with the same id and content.
fn earlier(state: &State, request: Option<RequestKey>) -> Result<Option<Revision>, Fault> {
    let Some(request) = request else { return Ok(None) };
    match state.request(request.id) {
        None => Ok(None),
        Some((digest, revision)) if digest == request.digest => Ok(Some(revision)),
        Some((_, revision)) => {
            let message = format!("request_id {} was used with other content; take a new one", request.id);
            Err(Fault::new(Reason::KeyReusedDifferentContent, message).with("revision", revision))
        }
    }
}

/// The report as its next version will be stored.
fn next_version(state: &State, submit: &SubmitRequest, period: Period) -> Result<Report, Fault> {
    let draft = &submit.draft;
    let same = state.name_of(&identity(&draft.unit, draft.organ, &draft.form, period.written(), &draft.source));
    let known = match (draft.name, same) {
        (None, same) => same,
        (Some(name), _) if state.report(name).is_none() => {
            return Err(Fault::new(
                Reason::ReportNotFound,
                format!("there is no {name}; leave name out for a new report"),
            ));
        }
        (Some(name), Some(other)) if other != name => {
            let message = format!("{other} has the same unit, organ, form, period and source; submit under its name");
            return Err(Fault::new(Reason::ReportIdentityTaken, message).with("report", other));
        }
        (Some(name), _) => Some(name),
    };
    let record = known.and_then(|name| state.report(name));
    let newest = record.map_or(Revision::ZERO, ReportRecord::newest_change);
    expect(submit.expected_revision, newest)?;
    let version_count = record.map_or(0, |record| record.versions.len());
    // What is measured is fixed with the report: a later definition leaves it as it is.
    let last_day = period.span().last_day;
    let observations = draft.observations.iter().map(|observation| {
        let definition = state.registry().indicator_on(&observation.indicator, last_day);
        Observation { indicator_version: definition.map_or(1, |definition| definition.version), ..observation.clone() }
    });
    Ok(Report {
        name: known.unwrap_or(ReportName(state.revision().next().get())),
        version: u32::try_from(version_count).unwrap_or(u32::MAX).saturating_add(1),
        unit: draft.unit.clone(),
        organ: draft.organ,
        period,
        issuer: draft.issuer.clone(),
        sender: draft.sender.clone(),
        form: draft.form.clone(),
        source: draft.source.clone(),
        observations: observations.collect(),
        note: draft.note.clone(),
    })
}

/// The withdrawal of a report that counts.
fn withdrawal(state: &State, withdraw: &WithdrawRequest) -> Result<Change, Fault> {
    let name = withdraw.name;
    let record = state.report(name).ok_or_else(|| Fault::new(Reason::ReportNotFound, format!("there is no {name}")))?;
    expect(withdraw.expected_revision, record.newest_change())?;
    match record.withdrawal_at(state.revision()) {
        None => Ok(Change::ReportWithdrawn { name, reason: withdraw.reason.clone() }),
        Some(revision) => {
            let message = format!("{name} was withdrawn at revision {revision}; a new version makes it count again");
            Err(Fault::new(Reason::AlreadyWithdrawn, message).with("revision", revision))
        }
    }
}

/// Refuses if the caller expects another revision than the newest one.
fn expect(expected: Option<Revision>, newest: Revision) -> Result<(), Fault> {
    let Some(expected) = expected.filter(|expected| *expected != newest) else { return Ok(()) };
    let message = match newest {
        Revision::ZERO => format!("expected the version of revision {expected}, but the report is new"),
        newest => format!("expected revision {expected}, its newest is {newest}; read it and decide again"),
    };
    let fault = Fault::new(Reason::RevisionConflict, message);
    Err(fault.with("expected_revision", expected).with("current_revision", newest))
}
