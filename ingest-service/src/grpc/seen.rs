//! What a caller sees of the register and of reports. What he does not see is refused like what is not there.

use std::sync::Arc;

use shared::{
    access::denied,
    change::{Change, Entry},
    model::{
        access::Caller,
        fault::{Fault, Reason},
        ids::ReportName,
        log::Revision,
    },
    registry::{Registry, is_shown},
};

use super::ingest::entry_at;
use crate::{
    log::Log,
    submit::{ReportRecord, Snapshot},
};

/// A caller and what is durable.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) caller: Arc<Caller>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) log: Arc<dyn Log>,
}

impl Seen {
    /// Whether nothing is hidden from him.
    fn all(&self) -> bool {
        self.caller.scope.is_everything()
    }

    /// The versions of a report that is there and of which he sees the newest version.
    ///
    /// # Errors
    /// `ReportNotFound`; for whom not everything is shown, `PermissionDenied` for one that he does not see, too.
    pub(super) fn record(&self, name: ReportName) -> Result<&ReportRecord, Fault> {
        let record = self.snapshot.reports.get(&name);
        if self.all() {
            return record.ok_or_else(|| Fault::new(Reason::ReportNotFound, format!("there is no {name}")));
        }
        let newest = record.and_then(|record| Some(record.versions.last()?.0));
        match (record, newest) {
            (Some(record), Some(newest)) if self.version(newest)?.is_some() => Ok(record),
            _ => Err(denied(&name.to_string())),
        }
    }

    /// The entry of a version as he sees it: without findings that tell of other reports that he does not see; none if he
    /// does not see the report itself.
    ///
    /// # Errors
    /// `DataCorrupt`.
    pub(super) fn version(&self, revision: Revision) -> Result<Option<Entry>, Fault> {
        let entry = entry_at(&*self.log, revision)?;
        if self.all() {
            return Ok(Some(entry));
        }
        match &entry.change {
            Change::ReportSubmitted(report) if self.registry().sees_report(&self.caller.scope, report) => {
                Ok(Some(self.shown(entry)))
            }
            _ => Ok(None),
        }
    }

    /// An entry without findings that tell of reports that he does not see.
    pub(super) fn shown(&self, mut entry: Entry) -> Entry {
        if !self.all() {
            entry.findings.retain(|finding| is_shown(finding, |_, version| self.sees_version(version)));
        }
        entry
    }

    /// Whether he sees that version of a report.
    pub(super) fn sees_version(&self, version: Revision) -> bool {
        let Ok(entry) = entry_at(&*self.log, version) else { return false };
        matches!(&entry.change, Change::ReportSubmitted(report) if self.registry().sees_report(&self.caller.scope, report))
    }

    /// What a change of a report that he names has to find as its newest change, so that it is still the one that he sees; none
    /// where he sees everything.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub(super) fn guarded(&self, name: ReportName, expected: Option<Revision>) -> Result<Option<Revision>, Fault> {
        if self.all() {
            return Ok(expected);
        }
        Ok(expected.or(Some(self.record(name)?.newest_change())))
    }

    /// The register as it was at a revision, and as it is for him.
    pub(super) fn registry_at(&self, revision: Revision) -> Registry {
        let registry = self.snapshot.registries.at(revision);
        match self.registry().sight(&self.caller.scope) {
            None => registry,
            Some(sight) => registry.restricted(&sight),
        }
    }

    /// A fault as he is told it.
    pub(super) fn told(&self, fault: Fault) -> Fault {
        shared::access::told(&self.caller, fault)
    }

    /// The newest register, by which everything is judged.
    fn registry(&self) -> &Registry {
        &self.snapshot.registry
    }
}
