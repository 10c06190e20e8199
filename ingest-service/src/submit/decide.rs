//! What becomes of a piece of work: a pure function of the state before it.

use std::collections::HashMap;

use shared::{
    change::Change,
    codec::EncodedReport,
    fault_point::is_planted,
    model::{
        access::Caller,
        command::{SubmitRequest, WithdrawRequest},
        fault::{Fault, Reason},
        finding::Finding,
        ids::{ReportName, UnitId},
        log::{RequestKey, Revision},
        unit::Unit,
    },
};

use super::{
    Work, findings,
    ready::{Facts, Ready},
    register::{check_events, check_forms, check_indicators, check_terms, check_units},
    rights,
    state::{ReportRecord, State},
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
        /// In their order; not empty.
        changes: Vec<Decided>,
        /// What the call said about being repeated.
        request: Option<RequestKey>,
        /// Whether nothing may be written.
        validate_only: bool,
    },
}

/// A change that was decided.
#[derive(Debug)]
pub(super) struct Decided {
    /// What is to be written.
    pub(super) change: Change,
    /// What is odd about it.
    pub(super) findings: Vec<Finding>,
    /// What is known of a report.
    pub(super) facts: Option<Facts>,
    /// The bytes of a report, if they are those with these findings.
    pub(super) encoded: Option<EncodedReport>,
}

impl Decided {
    fn plain(change: Change) -> Self {
        Self { change, findings: Vec::new(), facts: None, encoded: None }
    }
}

/// Decides a piece of work against everything before it.
///
/// | work | decision |
/// |---|---|
/// | a unit that the caller has no rights over | `PermissionDenied` |
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
pub(super) fn decide(state: &State, work: &mut Work, by: &Caller, ready: Option<Ready>) -> Result<Decision, Fault> {
    // Again: what was allowed when it came may no longer be.
    rights::check(state.registry(), work, by)?;
    let (request, validate_only) = match &*work {
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
    let plain = Decided::plain;
    let mut changes: Vec<Decided> = match work {
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
            let ready = match ready {
                Some(ready) => ready.renewed(registry, command, by)?,
                None => Ready::of(registry, command, by)?,
            };
            vec![next_version(state, &command.content, ready)?]
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
fn registrations(requested: &[Unit], new: Vec<Unit>) -> impl Iterator<Item = Decided> {
    let places: HashMap<UnitId, usize> = requested.iter().map(|unit| unit.id.clone()).zip(0..).collect();
    new.into_iter().map(move |unit| {
        let findings = findings::of_unit(&unit, places.get(&unit.id).copied().unwrap_or_default());
        Decided { findings, ..Decided::plain(Change::UnitRegistered(unit)) }
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
fn next_version(state: &State, submit: &SubmitRequest, ready: Ready) -> Result<Decided, Fault> {
    let draft = &submit.draft;
    let same = state.name_of(&ready.facts.identity);
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
    let Ready { mut report, mut findings, looks, facts, encoded, .. } = ready;
    report.name = known.unwrap_or(ReportName(state.revision().next().get()));
    report.version = u32::try_from(version_count).unwrap_or(u32::MAX).saturating_add(1);
    let of_others = if looks.find_nothing(&report, &facts.claims, state.said()) {
        debug_assert_eq!(findings::of_others(state.registry(), &report, state.said()), []);
        Vec::new()
    } else {
        findings::of_others(state.registry(), &report, state.said())
    };
    let encoded = of_others.is_empty().then_some(encoded);
    findings.extend(of_others);
    let change = Change::ReportSubmitted(report);
    Ok(Decided { change, findings: findings::bounded(findings), facts: Some(facts), encoded })
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
    if is_planted("skip_expected_revision") {
        return Ok(());
    }
    let message = match newest {
        Revision::ZERO => format!("expected the version of revision {expected}, but the report is new"),
        newest => format!("expected revision {expected}, its newest is {newest}; read it and decide again"),
    };
    let fault = Fault::new(Reason::RevisionConflict, message);
    Err(fault.with("expected_revision", expected).with("current_revision", newest))
}
