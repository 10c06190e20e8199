//! The fold that decisions are made against.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use rpds::{HashTrieMapSync, VectorSync};
use shared::{
    change::{Change, Entry},
    limits::REQUESTS_REMEMBERED_MIN,
    model::{
        ids::{ReportName, UnitId},
        log::{RequestKey, Revision},
        report::Source,
        unit::Organ,
    },
    registry::Registry,
};
use uuid::Uuid;

/// What readers of the ingest-service see: everything up to a durable revision. Cheap to take, never changes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its newest revision.
    pub revision: Revision,
    /// Units, indicators, terms.
    pub registry: Registry,
    /// Revisions of each report's versions, oldest first.
    pub reports: HashTrieMapSync<ReportName, VectorSync<Revision>>,
}

/// Digest of what identifies a report where no name is given.
type Identity = [u8; 16];

/// The fold of the whole log, as far as decisions need it. Bodies of reports stay in the log.
#[derive(Debug, Default)]
pub(super) struct State {
    durable_when_published: Snapshot,
    record_time: Timestamp,
    name_by_identity: HashMap<Identity, ReportName>,
    identity_by_name: HashMap<ReportName, Identity>,
    requests: HashMap<Uuid, ([u8; 16], Revision)>,
    request_order: VecDeque<Uuid>,
}

impl State {
    /// Takes in the next entry.
    pub(super) fn apply(&mut self, entry: &Entry) {
        self.durable_when_published.revision = entry.revision;
        self.record_time = entry.record_time;
        self.durable_when_published.registry.apply(entry.revision, &entry.change);
        if let Change::ReportSubmitted(report) = &entry.change {
            let identity = identity(&report.unit, report.organ, &report.form, report.period.written(), &report.source);
            if let Some(before) = self.identity_by_name.insert(report.name, identity) {
                self.name_by_identity.remove(&before);
            }
            self.name_by_identity.insert(identity, report.name);
            let reports = &mut self.durable_when_published.reports;
            let mut versions = reports.get(&report.name).cloned().unwrap_or_default();
            versions.push_back_mut(entry.revision);
            reports.insert_mut(report.name, versions);
        }
        if let Some(request) = entry.request {
            self.remember(request, entry.revision);
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

    /// Revisions of the versions of a report; none if there is no such report.
    pub(super) fn versions(&self, name: ReportName) -> Option<&VectorSync<Revision>> {
        self.durable_when_published.reports.get(&name)
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
