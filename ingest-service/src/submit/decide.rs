//! What becomes of a piece of work: a pure function of the state before it.

use shared::{
    change::Change,
    model::{
        command::SubmitRequest,
        fault::{Fault, Reason},
        ids::ReportName,
        log::{RequestKey, Revision},
        report::Report,
    },
};

use super::{
    Work,
    check::Checked,
    register::{check_indicators, check_terms, check_units},
    state::{State, identity},
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
        changes: Vec<Change>,
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
/// | a report, expected revision not the newest version's | `RevisionConflict` |
/// | otherwise | `Change` |
///
/// # Errors
/// As in the table.
pub(super) fn decide(state: &State, work: &Work, checked: Option<Checked>) -> Result<Decision, Fault> {
    let (request, validate_only) = match work {
        Work::Units(command) => (command.request, command.validate_only),
        Work::Indicators(command) => (command.request, command.validate_only),
        Work::Terms(command) => (command.request, command.validate_only),
        Work::Report(command) => (command.request, command.validate_only),
    };
    if let Some(revision) = earlier(state, request)?.filter(|_| !validate_only) {
        return Ok(Decision::There(revision));
    }
    let registry = state.registry();
    let mut changes: Vec<Change> = match work {
        Work::Units(command) => {
            let units = check_units(registry, &command.content)?.into_iter().map(Change::UnitRegistered);
            let stated = command.content.complete_from.filter(|day| registry.complete_from() != Some(*day));
            units.chain(stated.map(Change::RegisterCompleteFrom)).collect()
        }
        Work::Indicators(command) => {
            check_indicators(registry, &command.content)?.into_iter().map(Change::IndicatorDefined).collect()
        }
        Work::Terms(command) => check_terms(registry, &command.content)?.into_iter().map(Change::TermDefined).collect(),
        Work::Report(command) => {
            vec![Change::ReportSubmitted(Box::new(next_version(state, &command.content, checked)?))]
        }
    };
    match (changes.is_empty(), validate_only, request) {
        (true, true, _) => return Ok(Decision::Valid),
        (true, false, None) => return Ok(Decision::There(state.revision())),
        (true, false, Some(_)) => changes.push(Change::Unchanged),
        (false, ..) => {}
    }
    Ok(Decision::Change { changes, request, validate_only })
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
fn next_version(state: &State, submit: &SubmitRequest, checked: Option<Checked>) -> Result<Report, Fault> {
    let draft = &submit.draft;
    let period = match checked {
        Some(checked) if checked.holds_for(state.registry()) => checked.period,
        _ => Checked::now(state.registry(), draft)?.period,
    };
    let same = state.name_of(&identity(&draft.unit, draft.organ, &draft.form, period.written(), &draft.source));
    let known = match (draft.name, same) {
        (None, same) => same,
        (Some(name), _) if state.versions(name).is_none() => {
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
    let versions = known.and_then(|name| state.versions(name));
    let newest = versions.and_then(|versions| versions.last()).copied().unwrap_or(Revision::ZERO);
    let version_count = versions.map_or(0, |versions| versions.len());
    if let Some(expected) = submit.expected_revision.filter(|expected| *expected != newest) {
        let message = match newest {
            Revision::ZERO => format!("expected the version of revision {expected}, but the report is new"),
            newest => format!(
                "expected revision {expected}, its newest version is of revision {newest}; read it and decide again"
            ),
        };
        return Err(Fault::new(Reason::RevisionConflict, message)
            .with("expected_revision", expected)
            .with("current_revision", newest));
    }
    Ok(Report {
        name: known.unwrap_or(ReportName(state.revision().next().get())),
        version: u32::try_from(version_count).unwrap_or(u32::MAX).saturating_add(1),
        unit: draft.unit.clone(),
        organ: draft.organ,
        period,
        form: draft.form.clone(),
        source: draft.source.clone(),
        observations: draft.observations.clone(),
        note: draft.note.clone(),
    })
}
