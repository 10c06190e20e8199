//! The index as it is for somebody who does not see everything: the fold of the log in which every report that he does not see
//! is as if it had been withdrawn, over the register as it is for him. What is not in it cannot come out of it, whatever is
//! asked.

use std::sync::Arc;

use shared::{
    change::{Change, Entry},
    codec::Record,
    model::{access::Scope, ids::UnitId, log::Revision, report::Report},
    registry::{Registry, Sight, is_shown},
};

use super::{Index, effort};
use crate::archive::Archive;

/// What somebody sees, judged by the newest register.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    sight: Sight,
    /// The newest register as it is for him.
    restricted: Registry,
}

impl Seen {
    /// A register, which may be an older one, as it is for him.
    pub(super) fn registry(&self, registry: Registry) -> Registry {
        if registry.revision() == self.restricted.revision() {
            return self.restricted.clone();
        }
        effort::spend_much();
        registry.restricted(&self.sight)
    }
}

/// The entries as he sees them.
#[derive(Debug)]
struct SeenArchive {
    archive: Arc<dyn Archive>,
    /// The newest register.
    registry: Registry,
    scope: Scope,
}

impl SeenArchive {
    fn sees(&self, report: &Report) -> bool {
        self.registry.sees_report(&self.scope, report)
    }

    fn sees_version(&self, revision: Revision) -> bool {
        let entry = self.archive.entry(revision);
        entry.is_some_and(|entry| matches!(&entry.change, Change::ReportSubmitted(report) if self.sees(report)))
    }
}

impl Archive for SeenArchive {
    fn keep(&self, _: &Record, _: &Arc<Entry>) {
        // It shows what another archive keeps.
    }

    fn entry(&self, revision: Revision) -> Option<Arc<Entry>> {
        let entry = self.archive.entry(revision)?;
        let Change::ReportSubmitted(report) = &entry.change else { return Some(entry) };
        let bare = |change| Entry { findings: Vec::new(), change, request: entry.request, ..(*entry).clone() };
        if !self.sees(report) {
            // A version that he sees may have gone before it, and counts no more.
            return Some(Arc::new(bare(Change::ReportWithdrawn { name: report.name, reason: String::new() })));
        }
        let is_shown = |finding: &_| is_shown(finding, |_, version| self.sees_version(version));
        if entry.findings.iter().all(is_shown) {
            return Some(entry);
        }
        let findings = entry.findings.iter().filter(|finding| is_shown(finding)).cloned().collect();
        Some(Arc::new(Entry { findings, ..(*entry).clone() }))
    }
}

impl Index {
    /// The index of nothing yet, for whom that scope is all that he sees; none if that is everything. It follows this one for
    /// as long as the register stays as it is.
    pub fn begin_seen(&self, scope: &Scope) -> Option<Self> {
        let sight = self.registry.sight(scope)?;
        let restricted = self.registry.restricted(&sight);
        let (archive, registry) = (self.archive.clone(), self.registry.clone());
        let archive = SeenArchive { archive, registry, scope: scope.clone() };
        Some(Self { seen: Some(Arc::new(Seen { sight, restricted })), ..Self::new(Arc::new(archive)) })
    }

    /// Takes in what the other index, which knows everything, knows beyond this one.
    pub fn follow_seen(&mut self, everything: &Self) {
        while self.revision < everything.revision {
            let entry = self.entry_at(self.revision.next());
            self.apply(&entry);
        }
    }

    /// The units at the top of what its readers see; none: they see everything.
    pub fn visible(&self) -> Option<&[UnitId]> {
        self.seen.as_ref().map(|seen| seen.sight.tops())
    }

    /// Newest change of the register.
    pub fn registered_at(&self) -> Revision {
        self.registry.revision()
    }
}
