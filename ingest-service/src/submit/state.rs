//! The fold that decisions are made against.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use foldhash::fast::RandomState;
use jiff::Timestamp;
use rpds::{RedBlackTreeMapSync, VectorSync};
use shared::{
    change::{Change, Entry},
    limits::REQUESTS_REMEMBERED_MIN,
    model::{
        finding::{Finding, FindingRow},
        ids::{ReportName, UnitId},
        log::{RequestKey, Revision},
        report::Source,
        unit::Organ,
    },
    registry::{Registries, Registry},
};
use uuid::Uuid;

use super::{facts_file::Outline, findings::Said, ready::Facts};

/// What readers of the ingest-service see: everything up to a durable revision. Cheap to take, never changes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its newest revision.
    pub revision: Revision,
    /// Units, indicators, terms, forms.
    pub registry: Registry,
    /// The registry after each change of it, for walks over one snapshot.
    pub registries: Registries,
    /// Every report ever, by its name.
    pub reports: RedBlackTreeMapSync<ReportName, ReportRecord>,
    /// Versions of reports about which something was found, by their revision.
    findings: RedBlackTreeMapSync<Revision, Arc<Found>>,
}

/// Where the versions of a report are.
#[derive(Clone, Debug, Default)]
pub struct ReportRecord {
    /// Revisions of its versions, each with the unit that it is about, oldest first.
    pub versions: VectorSync<(Revision, UnitId)>,
    /// Revisions at which it was withdrawn, oldest first.
    withdrawals: VectorSync<Revision>,
}

#[derive(Debug)]
struct Found {
    report: ReportName,
    unit: UnitId,
    findings: Vec<Finding>,
}

impl ReportRecord {
    /// Revision of its newest version, or of its withdrawal if that is newer.
    pub fn newest_change(&self) -> Revision {
        let version = self.versions.last().map(|(version, _)| *version);
        version.max(self.withdrawals.last().copied()).unwrap_or(Revision::ZERO)
    }

    /// The version that was the newest at that revision, and its unit; none if the report came later.
    pub fn version_at(&self, snapshot: Revision) -> Option<(Revision, &UnitId)> {
        let newest = self.versions.iter().rev().find(|(version, _)| *version <= snapshot);
        newest.map(|(version, unit)| (*version, unit))
    }

    /// Revision of the withdrawal that held at that revision; none if the report counted.
    pub fn withdrawal_at(&self, snapshot: Revision) -> Option<Revision> {
        let withdrawal = self.withdrawals.iter().rev().copied().find(|withdrawal| *withdrawal <= snapshot);
        let version = self.version_at(snapshot).map(|(version, _)| version);
        withdrawal.filter(|withdrawal| Some(*withdrawal) > version)
    }

    /// Whether that version counted at that revision.
    fn counts_at(&self, version: Revision, snapshot: Revision) -> bool {
        self.version_at(snapshot).is_some_and(|(newest, _)| newest == version) && self.withdrawal_at(snapshot).is_none()
    }
}

impl Snapshot {
    /// The revisions of the versions and withdrawals of a report up to a snapshot, oldest first.
    pub fn history_of(&self, report: ReportName, snapshot: Revision) -> Vec<Revision> {
        let Some(record) = self.reports.get(&report) else { return Vec::new() };
        let versions = record.versions.iter().map(|(version, _)| *version);
        let mut history: Vec<Revision> = versions.chain(record.withdrawals.iter().copied()).collect();
        history.retain(|revision| *revision <= snapshot);
        history.sort();
        history
    }

    /// Findings in the order in which they were found, from the first one after that revision on, as they stood at
    /// `snapshot`; with the place of each among those of its version.
    pub fn findings_after(&self, after: Revision, snapshot: Revision) -> impl Iterator<Item = (usize, FindingRow)> {
        let found = self.findings.range(after..).take_while(move |(revision, _)| **revision <= snapshot);
        found.flat_map(move |(revision, found)| {
            let rows = found.findings.iter().enumerate();
            rows.map(move |(place, finding)| {
                let is_resolved = !self.is_open(found.report, *revision, finding, snapshot);
                let (report, unit, finding) = (found.report, found.unit.clone(), finding.clone());
                (place, FindingRow { finding, report, revision: *revision, unit, is_resolved })
            })
        })
    }

    fn is_open(&self, report: ReportName, version: Revision, finding: &Finding, snapshot: Revision) -> bool {
        let counts = |name: ReportName, version: Revision| {
            self.reports.get(&name).is_some_and(|record| record.counts_at(version, snapshot))
        };
        counts(report, version) && finding.is_open(counts)
    }
}

/// Digest of what identifies a report where no name is given.
pub(super) type Identity = [u8; 16];

/// The fold of the whole log, as far as decisions need it. Bodies of reports stay in the log.
#[derive(Debug, Default)]
pub(super) struct State {
    durable_when_published: Snapshot,
    record_time: Timestamp,
    name_by_identity: HashMap<Identity, ReportName, RandomState>,
    identity_by_name: HashMap<ReportName, Identity, RandomState>,
    /// What the reports that count say.
    said: Said,
    requests: HashMap<Uuid, ([u8; 16], Revision)>,
    request_order: VecDeque<Uuid>,
}

impl State {
    /// Makes room for so many claims.
    pub(super) fn expect_claims(&mut self, count: usize) {
        self.said.reserve(count);
    }

    /// Takes in the next entry; of a report with what is known of it.
    pub(super) fn apply(&mut self, entry: &Entry, facts: Option<Facts>) {
        self.durable_when_published.revision = entry.revision;
        self.record_time = entry.record_time;
        self.durable_when_published.registry.apply_part(entry.revision, &entry.change);
        match &entry.change {
            Change::ReportSubmitted(report) => {
                let facts = facts.unwrap_or_else(|| Facts::of(self.registry(), report));
                self.apply_report(entry.revision, report.name, &report.unit, &entry.findings, facts);
            }
            Change::ReportWithdrawn { name, .. } => self.apply_withdrawal(entry.revision, *name),
            Change::UnitRegistered(_)
            | Change::RegisterCompleteFrom(_)
            | Change::UnitEventRecorded(_)
            | Change::IndicatorDefined(_)
            | Change::TermDefined(_)
            | Change::FormDefined(_)
            | Change::DutyWaived(_)
            | Change::Unchanged => {}
        }
        if entry.ends_change {
            let Snapshot { registry, registries, .. } = &mut self.durable_when_published;
            registry.settle();
            registries.note(entry.revision, registry);
        }
        if let Some(request) = entry.request {
            self.remember(request, entry.revision);
        }
    }

    /// Takes in the next entry, a report about which nothing was found, by what is known of it.
    pub(super) fn apply_outline(&mut self, revision: Revision, outline: Outline) {
        let Outline { record_time, request, name, unit, facts } = outline;
        self.durable_when_published.revision = revision;
        self.record_time = record_time;
        self.apply_report(revision, name, &unit, &[], facts);
        if let Some(request) = request {
            self.remember(request, revision);
        }
    }

    fn apply_report(
        &mut self,
        revision: Revision,
        name: ReportName,
        unit: &UnitId,
        findings: &[Finding],
        facts: Facts,
    ) {
        let Facts { identity, claims } = facts;
        if let Some(before) = self.identity_by_name.insert(name, identity) {
            self.name_by_identity.remove(&before);
        }
        self.name_by_identity.insert(identity, name);
        self.said.put(name, revision, claims);

        let Snapshot { reports, findings: found, .. } = &mut self.durable_when_published;
        let before = reports.get(&name).cloned();
        let mut record = before.unwrap_or_default();
        record.versions.push_back_mut((revision, unit.clone()));
        reports.insert_mut(name, record);
        if !findings.is_empty() {
            let findings = findings.to_vec();
            found.insert_mut(revision, Arc::new(Found { report: name, unit: unit.clone(), findings }));
        }
    }

    fn apply_withdrawal(&mut self, revision: Revision, name: ReportName) {
        self.said.remove(name);
        let reports = &mut self.durable_when_published.reports;
        if let Some(mut record) = reports.get(&name).cloned() {
            record.withdrawals.push_back_mut(revision);
            reports.insert_mut(name, record);
        }
    }

    fn remember(&mut self, request: RequestKey, revision: Revision) {
        self.requests.insert(request.id, (request.digest, revision));
        self.request_order.push_back(request.id);
        if self.request_order.len() > REQUESTS_REMEMBERED_MIN
            && let Some(oldest) = self.request_order.pop_front()
        {
            self.requests.remove(&oldest);
        }
    }

    /// What readers may see once all of it is durable.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.durable_when_published.clone()
    }

    /// Revision of the newest entry.
    pub(super) fn revision(&self) -> Revision {
        self.durable_when_published.revision
    }

    /// When the newest entry was recorded.
    pub(super) fn record_time(&self) -> Timestamp {
        self.record_time
    }

    /// Units, indicators, terms.
    pub(super) fn registry(&self) -> &Registry {
        &self.durable_when_published.registry
    }

    /// Where the versions of a report are; none if there is no such report.
    pub(super) fn report(&self, name: ReportName) -> Option<&ReportRecord> {
        self.durable_when_published.reports.get(&name)
    }

    /// What the reports that count say.
    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    /// The report whose newest version identifies itself so.
    pub(super) fn name_of(&self, identity: &Identity) -> Option<ReportName> {
        self.name_by_identity.get(identity).copied()
    }

    /// Digest of the content and revision of an earlier request with that id.
    pub(super) fn request(&self, id: Uuid) -> Option<([u8; 16], Revision)> {
        self.requests.get(&id).copied()
    }
}

#[cfg(test)]
impl State {
    /// All of it, in words.
    pub(super) fn image(&self) -> String {
        let mut names: Vec<_> = self.name_by_identity.iter().collect();
        let mut identities: Vec<_> = self.identity_by_name.iter().collect();
        let mut requests: Vec<_> = self.requests.iter().collect();
        names.sort_unstable();
        identities.sort_unstable();
        requests.sort_unstable();
        let said = self.said.image();
        let Snapshot { revision, registry, registries, reports, findings } = &self.durable_when_published;
        // Maps without order are in the registry itself.
        let registries = (registry.revision(), registries.at(*revision).revision());
        let (time, order) = (self.record_time, &self.request_order);
        let shown = format!("{revision} {registries:?} {reports:?} {findings:?}");
        format!("{shown} {time} {names:?} {identities:?} {said:?} {requests:?} {order:?}")
    }
}

/// What identifies a report: unit, organ, form, period as written and source (uri, else title).
pub(super) fn identity(unit: &UnitId, organ: Organ, form: &str, period: &str, source: &Source) -> Identity {
    let (source_kind, source) = if source.uri.is_empty() { ("title", &source.title) } else { ("uri", &source.uri) };
    let organ = format!("{organ:?}");
    let mut hasher = blake3::Hasher::new();
    for part in [unit.as_str(), organ.as_str(), form, period, source_kind, source.as_str()] {
        // None of the parts contains this byte.
        hasher.update(part.as_bytes()).update(&[0]);
    }
    let mut identity = [0; 16];
    identity.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    identity
}
