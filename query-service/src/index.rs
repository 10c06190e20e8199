//! What is known at a revision: the registry, and what the current reports say. Copies are cheap: they share everything
//! that did not change, so that readers keep theirs while the fold goes on.
//!
//! What units say of themselves stands in columns, a value for each unit, as far as it is plain. Of everything else, and of
//! everything that no longer counts, the index knows where it is: it reads the entry again, from the archive.

mod chunks;
mod codes;
mod column;
pub mod effort;
mod image;
mod known;
mod layouts;
mod memo;
mod seen;
mod size;
mod statement;
mod versions;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::resume_unwind,
    sync::Arc,
};

use jiff::{Timestamp, civil::Date};
use rpds::{HashTrieMapSync, VectorSync};
use shared::{
    change::{Change, Entry},
    model::{
        fault::{Fault, Reason},
        finding::Finding,
        ids::{EventId, IndicatorId, ReportName, UnitId},
        log::Revision,
        period::Span,
        query::KnownAt,
        report::{Basis, Observation, Qualifier, Scope, Value},
        unit::Organ,
    },
    registry::{Registries, Registry},
};

use self::{
    chunks::Chunks,
    layouts::Layouts,
    memo::Memo,
    statement::{is_of_each, observation_at},
    versions::Versions,
};
pub use self::{
    column::{Column, Kind, Shape},
    image::{Damaged, Loading},
    known::Known,
    layouts::{LaidRow, Layout, LayoutKey, bits_of},
    memo::Rows as MemoRows,
    size::Size,
    statement::{ReportVersion, Statement},
};
use crate::archive::{Archive, MemoryArchive};

/// What tells two findings apart: the version of a report and the place among its findings.
pub type FindingKey = (Revision, usize);

/// By which classes a value is split.
pub type Split = BTreeMap<IndicatorId, IndicatorId>;

/// What reports say about one indicator.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What units say of themselves, by how it is split and by its days.
    own: BTreeMap<Split, Columns>,
    /// Versions that say something of units below theirs or of groups, each with the place in it.
    below: Chunks<(u32, u32)>,
}

/// Columns by their days.
pub type Columns = BTreeMap<Span, Arc<Column>>;

/// A version of a report that fulfils a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The report.
    pub report: ReportName,
    /// Revision of the version.
    pub revision: Revision,
    /// The organ that issued it.
    pub organ: Organ,
    /// Its days.
    pub span: Span,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The indicators about which it says something of the unit itself.
    pub indicators: BTreeSet<IndicatorId>,
}

impl Filed {
    fn of(version: &ReportVersion) -> Self {
        let report = version.report();
        let own = report.observations.iter().filter(|observation| observation.scope == Scope::Own);
        Self {
            report: report.name,
            revision: version.revision(),
            organ: report.organ,
            span: report.period.span(),
            recorded_at: version.recorded_at(),
            indicators: own.map(|observation| observation.indicator.clone()).collect(),
        }
    }
}

/// What an entry of the log did, for those who watch.
#[derive(Clone, Debug)]
pub enum Cause {
    /// A report was new.
    New(ReportVersion),
    /// A report has a new version, after this one.
    Correction(ReportVersion, ReportVersion),
    /// A report was withdrawn; its last version.
    Withdrawal(ReportVersion),
    /// A unit was registered.
    Unit(UnitId),
    /// Something happened to units; the first one that it names.
    Event(EventId, Option<UnitId>),
    /// The register is complete from some day on.
    CompleteFrom,
    /// An indicator was defined.
    Indicator(IndicatorId),
    /// A term, a form or a waiver.
    OtherDefinition,
}

/// What one change did.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Its end.
    pub revision: Revision,
    /// What its entries did, each with its revision.
    pub causes: Vec<(Revision, Cause)>,
}

/// The fold of the log up to a revision.
///
/// Invariants: a plain cell of a column is what exactly one statement of the newest version of a report that is not
/// withdrawn says; for a cell that is neither plain nor rare there never was a statement that counts now; it is the same for
/// the same entries however they came.
#[derive(Clone, Debug)]
pub struct Index {
    archive: Arc<dyn Archive>,
    revision: Revision,
    registry: Registry,
    /// Ends of changes and when they were recorded.
    times: Chunks<(Revision, Timestamp)>,
    /// The registry after each change of it.
    registries: Registries,
    /// Revisions of the entries that changed it.
    registered: Chunks<Revision>,
    /// Versions of reports that fulfil a form, by form and unit, oldest first.
    filed: HashTrieMapSync<(String, UnitId), VectorSync<u32>>,
    versions: Versions,
    /// Findings of later versions that name this one, by their revision and place among its findings.
    named_by: HashTrieMapSync<(ReportName, Revision), VectorSync<FindingKey>>,
    about: HashTrieMapSync<IndicatorId, Arc<About>>,
    /// Not part of the fold: what is worked out once for many questions.
    layouts: Arc<Layouts>,
    memo: Arc<Memo>,
    /// What its readers see; none: everything.
    seen: Option<Arc<seen::Seen>>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new(Arc::new(MemoryArchive::default()))
    }
}

impl Index {
    /// The fold of nothing, with the archive in which every entry lies before it is taken in.
    pub fn new(archive: Arc<dyn Archive>) -> Self {
        Self {
            archive,
            revision: Revision::ZERO,
            registry: Registry::default(),
            times: Chunks::default(),
            registries: Registries::default(),
            registered: Chunks::default(),
            filed: HashTrieMapSync::default(),
            versions: Versions::default(),
            named_by: HashTrieMapSync::default(),
            about: HashTrieMapSync::default(),
            layouts: Arc::default(),
            memo: Arc::default(),
            seen: None,
        }
    }

    /// Takes in the next entry. Who calls it has checked that it is the next one, and has put it into the archive.
    pub fn apply(&mut self, entry: &Arc<Entry>) {
        self.revision = entry.revision;
        match &entry.change {
            Change::ReportSubmitted(_) => {
                if let Some(version) = ReportVersion::of(entry.clone()) {
                    self.submit(&version);
                }
            }
            Change::ReportWithdrawn { name, .. } => self.end(*name, entry.revision, None),
            change @ (Change::UnitRegistered(_)
            | Change::UnitEventRecorded(_)
            | Change::RegisterCompleteFrom(_)
            | Change::IndicatorDefined(_)
            | Change::TermDefined(_)
            | Change::FormDefined(_)
            | Change::DutyWaived(_)) => {
                self.registry.apply_part(entry.revision, change);
                self.registered.push(entry.revision);
            }
            Change::Unchanged => {}
        }
        if let Change::UnitRegistered(unit) = &entry.change {
            // In the order of the register, so that units that stand together lie together.
            self.versions.number(&unit.id);
        }
        if entry.ends_change {
            self.times.push((entry.revision, entry.record_time));
            self.registry.settle();
            self.registries.note(entry.revision, &self.registry);
        }
    }

    fn submit(&mut self, version: &ReportVersion) {
        let report = version.report();
        self.end(report.name, version.revision(), Some(&report.unit));
        let place = self.versions.add(versions::About {
            name: report.name,
            revision: version.revision(),
            unit: &report.unit,
            span: report.period.span(),
            indicators: &mut report.observations.iter().map(|observation| &observation.indicator),
        });
        let unit = self.versions.number(&report.unit);
        for (index, observation) in report.observations.iter().enumerate() {
            self.put(place, unit, version, index, observation);
        }
        for (finding_place, finding) in version.findings().iter().enumerate() {
            for other in &finding.others {
                let mut named_by = self.named_by.get(other).cloned().unwrap_or_default();
                named_by.push_back_mut((version.revision(), finding_place));
                self.named_by.insert_mut(*other, named_by);
                self.mark_rare(other.1);
            }
        }
        if !report.form.is_empty() {
            let key = (report.form.clone(), report.unit.clone());
            let mut versions = self.filed.get(&key).cloned().unwrap_or_default();
            versions.push_back_mut(place);
            self.filed.insert_mut(key, versions);
        }
    }

    /// Puts an observation of a version where it belongs.
    fn put(&mut self, place: u32, unit: u32, version: &ReportVersion, index: usize, observation: &Observation) {
        let report = version.report();
        let span = report.period.span();
        match observation.scope {
            Scope::Own if is_plain(version, index, observation) => self.column(observation, span, |column| {
                column.put(unit, &observation.value, observation.indicator_version);
            }),
            Scope::Own => self.column(observation, span, |column| column.mark_rare(unit)),
            Scope::Group | Scope::Children | Scope::Subtree => {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                self.about_mut(&observation.indicator).below.push((place, index));
            }
        }
        if is_of_each(observation) {
            for unit in &observation.units {
                let unit = self.versions.number(unit);
                self.versions.post(unit, place);
                self.column(observation, span, |column| column.mark_rare(unit));
            }
        }
    }

    /// What the newest version of a report says no longer counts. A version about `next_unit` follows on it; none: it was
    /// withdrawn.
    fn end(&mut self, name: ReportName, revision: Revision, next_unit: Option<&UnitId>) {
        let Some(place) = self.versions.newest(name) else { return };
        self.versions.end(place, revision);
        let Some(version) = self.version_at(place) else { return };
        let (report, unit) = (version.report(), self.versions.number(&version.report().unit));
        // Where nothing follows, nothing else would tell that there was something.
        let is_followed = next_unit == Some(&report.unit);
        for observation in report.observations.iter().filter(|observation| observation.scope == Scope::Own) {
            let span = report.period.span();
            self.column(
                observation,
                span,
                |column| if is_followed { column.clear(unit) } else { column.mark_rare(unit) },
            );
        }
    }

    /// About what a version says of its unit, reports have to be read.
    fn mark_rare(&mut self, revision: Revision) {
        let Some(version) = self.versions.find(revision).and_then(|place| self.version_at(place)) else { return };
        let (report, unit) = (version.report(), self.versions.number(&version.report().unit));
        for observation in report.observations.iter().filter(|observation| observation.scope == Scope::Own) {
            self.column(observation, report.period.span(), |column| column.mark_rare(unit));
        }
    }

    fn column(&mut self, observation: &Observation, span: Span, change: impl FnOnce(&mut Column)) {
        let about = self.about_mut(&observation.indicator);
        if !about.own.contains_key(&observation.by) {
            about.own.insert(observation.by.clone(), Columns::default());
        }
        if let Some(columns) = about.own.get_mut(&observation.by) {
            change(Arc::make_mut(columns.entry(span).or_default()));
        }
    }

    fn about_mut(&mut self, indicator: &IndicatorId) -> &mut About {
        if !self.about.contains_key(indicator) {
            self.about.insert_mut(indicator.clone(), Arc::default());
        }
        Arc::make_mut(self.about.get_mut(indicator).expect("it was put there"))
    }

    /// The body of a version.
    fn version_at(&self, place: u32) -> Option<ReportVersion> {
        ReportVersion::of(self.entry_at(self.versions.get(place)?.revision))
    }

    /// An entry. If it cannot be read, the call ends with a fault: reading on without it would make an answer wrong in
    /// silence.
    fn entry_at(&self, revision: Revision) -> Arc<Entry> {
        effort::spend(effort::ENTRY);
        self.archive.entry(revision).unwrap_or_else(|| {
            let message = format!("entry {revision} is damaged here and is read again from the log; try again");
            resume_unwind(Box::new(Fault::new(Reason::CatchingUp, message)))
        })
    }

    /// At most so many changes after a revision, oldest first.
    pub fn changes_after(&self, revision: Revision, count_max: usize) -> Vec<Changed> {
        let first = self.times.count_while(|(end, _)| *end <= revision);
        let ends = self.times.iter_from(first).take(count_max);
        let mut next = revision.next();
        ends.map(|(end, _)| {
            let mut causes = Vec::new();
            while next <= *end {
                causes.extend(self.cause(&self.entry_at(next)).map(|cause| (next, cause)));
                next = next.next();
            }
            Changed { revision: *end, causes }
        })
        .collect()
    }

    /// What an entry did.
    fn cause(&self, entry: &Arc<Entry>) -> Option<Cause> {
        let before = |name| self.versions.ended_by(name, entry.revision).and_then(|place| self.version_at(place));
        match &entry.change {
            Change::ReportSubmitted(report) => {
                let version = ReportVersion::of(entry.clone())?;
                Some(match before(report.name) {
                    Some(before) => Cause::Correction(before, version),
                    None => Cause::New(version),
                })
            }
            Change::Unchanged => None,
            Change::ReportWithdrawn { name, .. } => before(*name).map(Cause::Withdrawal),
            Change::UnitRegistered(unit) if self.names(&unit.id) => Some(Cause::Unit(unit.id.clone())),
            Change::UnitEventRecorded(event) if event.roles().into_keys().all(|unit| self.names(unit)) => {
                Some(Cause::Event(event.id.clone(), event.from.iter().chain(&event.into).next().cloned()))
            }
            // Somebody else's units; what it changed shows in the rows.
            Change::UnitRegistered(_) | Change::UnitEventRecorded(_) => Some(Cause::OtherDefinition),
            Change::RegisterCompleteFrom(_) => Some(Cause::CompleteFrom),
            Change::IndicatorDefined(indicator) => Some(Cause::Indicator(indicator.id.clone())),
            Change::TermDefined(_) | Change::FormDefined(_) | Change::DutyWaived(_) => Some(Cause::OtherDefinition),
        }
    }

    /// Whether its readers may know of a unit.
    fn names(&self, unit: &UnitId) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen.registry(self.registry.clone()).record_of(unit).is_some())
    }

    /// What was known at the end of the newest change up to then.
    ///
    /// # Errors
    /// `FutureRevision` for a revision beyond the newest one. Whether a time is in the future only a clock can say.
    pub fn known_at(&self, known_at: KnownAt) -> Result<Known<'_>, Fault> {
        let end = match known_at {
            KnownAt::Now => self.times.len(),
            KnownAt::Revision(revision) if revision > self.revision => {
                let message = format!("is {revision}, which is not recorded yet; the newest is {}", self.revision);
                let fault = Fault::at("known_at.revision", Reason::FutureRevision, message);
                return Err(fault.with("newest_revision", self.revision));
            }
            KnownAt::Revision(revision) => self.times.count_while(|(end, _)| *end <= revision),
            KnownAt::Time(time) => self.times.count_while(|(_, recorded)| *recorded <= time),
        };
        let last = end.checked_sub(1).and_then(|last| self.times.get(last));
        let (revision, recorded_at) = last.map_or((Revision::ZERO, None), |(end, time)| (*end, Some(*time)));
        let registry = self.registries.at(revision);
        let registry = self.seen.as_ref().map_or_else(|| registry.clone(), |seen| seen.registry(registry.clone()));
        Ok(Known::new(self, registry, revision, recorded_at))
    }

    /// Revision of the newest entry.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

/// Whether a column can know everything that answers show of an observation of its own unit.
fn is_plain(version: &ReportVersion, index: usize, observation: &Observation) -> bool {
    let report = version.report();
    let is_about_it = |finding: &Finding| observation_at(&finding.path).is_none_or(|place| place == index);
    let last_day = report.period.span().last_day;
    let is_cut = |published_on: Date| last_day.is_none_or(|last_day| published_on < last_day);
    observation.qualifier == Qualifier::Exact
        && observation.basis == Basis::Actual
        && observation.stated_percent.is_none()
        && !matches!(observation.value, Value::Missing(_) | Value::Direction(_) | Value::Change(_))
        && last_day.is_some()
        && !report.source.published_on.is_some_and(is_cut)
        && !version.findings().iter().any(is_about_it)
}
