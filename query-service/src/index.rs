//! What is known at a revision: the registry and every statement of the current reports. Copies are cheap: they share
//! everything that did not change, so that readers keep theirs while the fold goes on.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{Timestamp, civil::Date};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync, VectorSync};
use shared::{
    change::{Change, Entry},
    model::{
        fault::{Fault, Reason},
        finding::{Finding, FindingReason},
        ids::{EventId, FormId, IndicatorId, ReportName, UnitId},
        log::Revision,
        period::Span,
        query::KnownAt,
        report::{Observation, Report, Scope},
        unit::Organ,
    },
    registry::{Registries, Registry},
};

/// A version of a report.
#[derive(Debug)]
pub struct ReportVersion {
    /// Revision of that version.
    pub revision: Revision,
    /// The report.
    pub report: Report,
    /// What was odd about it.
    pub findings: Vec<Finding>,
}

/// One observation of a version of a report.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The version that says it.
    pub source: Arc<ReportVersion>,
    /// Its place among the observations of the report.
    pub index: usize,
    /// Revision from which it no longer counts; none: it counts.
    ended_at: Option<Revision>,
}

impl Statement {
    /// What is said.
    pub fn observation(&self) -> &Observation {
        &self.source.report.observations[self.index]
    }

    /// The report that says it.
    pub fn report(&self) -> &Report {
        &self.source.report
    }

    /// Whether its period contains the day.
    pub fn speaks_of(&self, day: Date) -> bool {
        self.report().period.span().contains(day)
    }

    /// Whether it counted at that revision.
    pub fn counts_at(&self, revision: Revision) -> bool {
        self.source.revision <= revision && self.ended_at.is_none_or(|end| revision < end)
    }

    /// What was found out about it: findings whose path is that of its observation.
    fn findings(&self) -> impl Iterator<Item = (usize, &Finding)> {
        let findings = self.source.findings.iter().enumerate();
        findings.filter(|(_, finding)| observation_at(&finding.path) == Some(self.index))
    }

    /// Whether a finding on an observation of another report, which names this report, is about this statement: a
    /// disagreement is if both are about the same; what was found in several figures together is about all of them.
    fn is_meant_by(&self, finding: &Finding, report: &Report, other: &Observation) -> bool {
        let Observation { indicator, by, .. } = self.observation();
        if (indicator, by) != (&other.indicator, &other.by) {
            return false;
        }
        match finding.reason {
            FindingReason::ChildrenContradict | FindingReason::PointsAsPercent => true,
            _ => {
                let (scope, units) = subject(self.report(), self.observation());
                let (other_scope, other_units) = subject(report, other);
                // Of each of its units, or of all of them together.
                let is_same = match scope {
                    Scope::Own => units.iter().any(|unit| other_units.contains(unit)),
                    Scope::Group | Scope::Children | Scope::Subtree => units == other_units,
                };
                scope == other_scope && is_same
            }
        }
    }
}

/// What an observation is about: a flag, a category or a direction of a group is about each of its units.
fn subject<'a>(report: &'a Report, observation: &'a Observation) -> (Scope, &'a [UnitId]) {
    match observation.scope {
        Scope::Group if observation.value.is_said_of_each() => (Scope::Own, &observation.units),
        Scope::Group => (Scope::Group, &observation.units),
        scope => (scope, std::slice::from_ref(&report.unit)),
    }
}

/// The place of the observation that a path is about.
fn observation_at(path: &str) -> Option<usize> {
    path.strip_prefix("report.observations[")?.split(']').next()?.parse().ok()
}

/// What tells two findings apart: the version of a report and the place among its findings.
pub type FindingKey = (Revision, usize);

/// A finding that names another version: the version that has it and its place there.
type Naming = (Arc<ReportVersion>, usize);

/// Statements by their report, version and place in it.
type Statements = RedBlackTreeMapSync<(ReportName, Revision, usize), Statement>;

/// What reports say about one indicator.
#[derive(Clone, Debug, Default)]
struct About {
    /// What units say of themselves, by unit.
    own: HashTrieMapSync<UnitId, Statements>,
    /// What units say of those below them and of groups, by the unit that says it.
    below: HashTrieMapSync<UnitId, Statements>,
    /// What is said of each unit of a group, by the unit of which it is said.
    of_each: HashTrieMapSync<UnitId, Statements>,
}

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
    pub indicators: Arc<BTreeSet<IndicatorId>>,
}

/// What an entry of the log did, for those who watch.
#[derive(Clone, Debug)]
pub enum Cause {
    /// A report was new.
    New(Arc<ReportVersion>),
    /// A report has a new version, after this one.
    Correction(Arc<ReportVersion>, Arc<ReportVersion>),
    /// A report was withdrawn; its last version.
    Withdrawal(Arc<ReportVersion>),
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
/// Invariants: it holds a statement for every observation of every version of every report; those of the newest version of
/// a report that is not withdrawn count, and no other; it is the same for the same entries however they came.
#[derive(Clone, Debug, Default)]
pub struct Index {
    revision: Revision,
    registry: Registry,
    /// Ends of changes and when they were recorded.
    times: VectorSync<(Revision, Timestamp)>,
    /// What each of these changes did.
    changes: VectorSync<Arc<Changed>>,
    /// What the entries of a change did that has not ended yet.
    pending: Vec<(Revision, Cause)>,
    /// The registry after each change of it.
    registries: Registries,
    /// Versions of reports that fulfil a form, by form and unit, oldest first.
    filed: HashTrieMapSync<(String, UnitId), VectorSync<Filed>>,
    /// Every version of every report, and the revision from which it no longer counts.
    versions: HashTrieMapSync<(ReportName, Revision), Option<Revision>>,
    /// Findings of later versions that name this one, by their version and place among its findings.
    named_by: HashTrieMapSync<(ReportName, Revision), VectorSync<Naming>>,
    /// Every version of every report, by the revision at which it was written.
    by_revision: HashTrieMapSync<Revision, Arc<ReportVersion>>,
    /// The newest version of each report that counts.
    reports: HashTrieMapSync<ReportName, Arc<ReportVersion>>,
    about: HashTrieMapSync<IndicatorId, About>,
}

impl Index {
    /// Takes in the next entry. Who calls it has checked that it is the next one.
    pub fn apply(&mut self, entry: &Entry) {
        self.revision = entry.revision;
        self.pending.extend(self.cause(&entry.change).map(|cause| (entry.revision, cause)));
        match &entry.change {
            Change::ReportSubmitted(report) => {
                self.file(entry, report);
                let (revision, report, findings) = (entry.revision, (**report).clone(), entry.findings.clone());
                let version = Arc::new(ReportVersion { revision, report, findings });
                self.pending.push((revision, self.cause_of(&version)));
                self.submit(version);
            }
            Change::ReportWithdrawn { name, .. } => self.withdraw(*name, entry.revision),
            change @ (Change::UnitRegistered(_)
            | Change::UnitEventRecorded(_)
            | Change::RegisterCompleteFrom(_)
            | Change::IndicatorDefined(_)
            | Change::TermDefined(_)
            | Change::FormDefined(_)
            | Change::DutyWaived(_)
            | Change::Unchanged) => self.registry.apply_part(entry.revision, change),
        }
        if entry.ends_change {
            self.times.push_back_mut((entry.revision, entry.record_time));
            self.registry.settle();
            self.registries.note(entry.revision, &self.registry);
            let causes = std::mem::take(&mut self.pending);
            self.changes.push_back_mut(Arc::new(Changed { revision: entry.revision, causes }));
        }
    }

    /// What an entry did, unless it is a report: that is told when it is taken in.
    fn cause(&self, change: &Change) -> Option<Cause> {
        match change {
            Change::ReportSubmitted(_) | Change::Unchanged => None,
            Change::ReportWithdrawn { name, .. } => self.reports.get(name).cloned().map(Cause::Withdrawal),
            Change::UnitRegistered(unit) => Some(Cause::Unit(unit.id.clone())),
            Change::UnitEventRecorded(event) => {
                Some(Cause::Event(event.id.clone(), event.from.iter().chain(&event.into).next().cloned()))
            }
            Change::RegisterCompleteFrom(_) => Some(Cause::CompleteFrom),
            Change::IndicatorDefined(indicator) => Some(Cause::Indicator(indicator.id.clone())),
            Change::TermDefined(_) | Change::FormDefined(_) | Change::DutyWaived(_) => Some(Cause::OtherDefinition),
        }
    }

    fn cause_of(&self, version: &Arc<ReportVersion>) -> Cause {
        match self.reports.get(&version.report.name) {
            Some(before) => Cause::Correction(before.clone(), version.clone()),
            None => Cause::New(version.clone()),
        }
    }

    /// At most so many changes after a revision, oldest first.
    pub fn changes_after(&self, revision: Revision, count_max: usize) -> Vec<Arc<Changed>> {
        let first = count_while(&self.changes, |changed| changed.revision <= revision);
        (first..self.changes.len()).take(count_max).filter_map(|place| self.changes.get(place).cloned()).collect()
    }

    /// Notes a version that fulfils a form.
    fn file(&mut self, entry: &Entry, report: &Report) {
        if report.form.is_empty() {
            return;
        }
        let own = report.observations.iter().filter(|observation| observation.scope == Scope::Own);
        let filed = Filed {
            report: report.name,
            revision: entry.revision,
            organ: report.organ,
            span: report.period.span(),
            recorded_at: entry.record_time,
            indicators: Arc::new(own.map(|observation| observation.indicator.clone()).collect()),
        };
        let key = (report.form.clone(), report.unit.clone());
        let mut versions = self.filed.get(&key).cloned().unwrap_or_default();
        versions.push_back_mut(filed);
        self.filed.insert_mut(key, versions);
    }

    fn submit(&mut self, version: Arc<ReportVersion>) {
        let name = version.report.name;
        self.end(name, version.revision);
        for index in 0..version.report.observations.len() {
            self.put(Statement { source: version.clone(), index, ended_at: None });
        }
        for (place, finding) in version.findings.iter().enumerate() {
            for other in &finding.others {
                let mut named_by = self.named_by.get(other).cloned().unwrap_or_default();
                named_by.push_back_mut((version.clone(), place));
                self.named_by.insert_mut(*other, named_by);
            }
        }
        self.versions.insert_mut((name, version.revision), None);
        self.by_revision.insert_mut(version.revision, version.clone());
        self.reports.insert_mut(name, version);
    }

    fn withdraw(&mut self, name: ReportName, revision: Revision) {
        self.end(name, revision);
        self.reports.remove_mut(&name);
    }

    /// What the newest version of a report says no longer counts.
    fn end(&mut self, name: ReportName, revision: Revision) {
        let Some(version) = self.reports.get(&name).cloned() else { return };
        for index in 0..version.report.observations.len() {
            self.put(Statement { source: version.clone(), index, ended_at: Some(revision) });
        }
        self.versions.insert_mut((name, version.revision), Some(revision));
    }

    /// Puts a statement where it belongs, in place of what it was before.
    fn put(&mut self, statement: Statement) {
        let observation = statement.observation();
        let mut about = self.about.get(&observation.indicator).cloned().unwrap_or_default();
        let report = statement.report();
        if observation.scope == Scope::Group && observation.value.is_said_of_each() {
            for unit in &observation.units {
                insert(&mut about.of_each, unit, statement.clone());
            }
        }
        let by_unit = match observation.scope {
            Scope::Own => &mut about.own,
            Scope::Children | Scope::Subtree | Scope::Group => &mut about.below,
        };
        let (unit, indicator) = (report.unit.clone(), observation.indicator.clone());
        insert(by_unit, &unit, statement);
        self.about.insert_mut(indicator, about);
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
            KnownAt::Revision(revision) => count_while(&self.times, |(end, _)| *end <= revision),
            KnownAt::Time(time) => count_while(&self.times, |(_, recorded)| *recorded <= time),
        };
        let last = end.checked_sub(1).and_then(|last| self.times.get(last));
        let (revision, recorded_at) = last.map_or((Revision::ZERO, None), |(end, time)| (*end, Some(*time)));
        Ok(Known { index: self, registry: self.registries.at(revision), revision, recorded_at })
    }

    /// Revision of the newest entry.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

/// Puts a statement among those of a unit, in place of what it was before.
fn insert(by_unit: &mut HashTrieMapSync<UnitId, Statements>, unit: &UnitId, statement: Statement) {
    let key = (statement.report().name, statement.source.revision, statement.index);
    let mut statements = by_unit.get(unit).cloned().unwrap_or_default();
    statements.insert_mut(key, statement);
    by_unit.insert_mut(unit.clone(), statements);
}

/// How many elements at the start fulfil a condition that none fulfils after the first that does not.
fn count_while<T>(sorted: &VectorSync<T>, holds: impl Fn(&T) -> bool) -> usize {
    let (mut low, mut high) = (0, sorted.len());
    while low < high {
        let middle = low.midpoint(high);
        if sorted.get(middle).is_some_and(&holds) { low = middle + 1 } else { high = middle }
    }
    low
}

/// What was known at the end of a change: what answers are made from.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    index: &'a Index,
    registry: Registry,
    revision: Revision,
    recorded_at: Option<Timestamp>,
}

impl<'a> Known<'a> {
    /// The end of that change.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// When it was recorded; none before the first.
    pub fn recorded_at(&self) -> Option<Timestamp> {
        self.recorded_at
    }

    /// Units, indicators, terms.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Findings about a statement that were still so: its own, and those of later reports that disagree with it.
    pub fn findings<'b>(&'b self, statement: &'b Statement) -> impl Iterator<Item = (FindingKey, &'b Finding)> {
        let own = statement.findings().map(|(place, finding)| ((statement.source.revision, place), finding));
        let version = (statement.report().name, statement.source.revision);
        let named_by = self.index.named_by.get(&version).into_iter().flatten();
        let others = named_by.filter_map(|(source, place)| {
            let finding = source.findings.get(*place)?;
            let theirs = source.report.observations.get(observation_at(&finding.path)?)?;
            let is_meant = statement.is_meant_by(finding, &source.report, theirs);
            let is_about_it = is_meant && self.counts(source.report.name, source.revision);
            is_about_it.then_some(((source.revision, *place), finding))
        });
        own.chain(others).filter(|(_, finding)| finding.is_open(|name, version| self.counts(name, version)))
    }

    fn counts(&self, name: ReportName, version: Revision) -> bool {
        let ended_at = self.index.versions.get(&(name, version));
        version <= self.revision && ended_at.is_some_and(|ended_at| ended_at.is_none_or(|end| self.revision < end))
    }

    /// Every version of what reports on a unit, or on a group of which it is one, ever said about that indicator.
    pub fn ever(&self, indicator: &IndicatorId, unit: &UnitId) -> impl Iterator<Item = &'a Statement> {
        let about = self.index.about.get(indicator).into_iter();
        let statements: Vec<&Statements> = about
            .flat_map(|about| [about.own.get(unit), about.of_each.get(unit), about.below.get(unit)])
            .flatten()
            .collect();
        let revision = self.revision;
        let said = statements.into_iter().flat_map(|statements| statements.values());
        // What is said of each unit of a group stands with those units.
        let unit = unit.clone();
        let is_of_it = move |statement: &&Statement| {
            let observation = statement.observation();
            let is_of_each = observation.scope == Scope::Group && observation.value.is_said_of_each();
            !is_of_each || observation.units.contains(&unit)
        };
        let mut seen = BTreeSet::new();
        let is_new = move |statement: &&Statement| seen.insert((statement.source.revision, statement.index));
        said.filter(move |statement| statement.source.revision <= revision).filter(is_of_it).filter(is_new)
    }

    /// Whether a statement that no longer counted had been followed by a later version of its report; else the report had
    /// been withdrawn. None: it still counted.
    pub fn was_superseded(&self, statement: &Statement) -> Option<bool> {
        let ended_at = statement.ended_at.filter(|end| *end <= self.revision)?;
        let next = self.index.by_revision.get(&ended_at);
        Some(next.is_some_and(|next| next.report.name == statement.report().name))
    }

    /// What is said of that unit itself about that indicator, by reports on it or on a group of which it is one, as far as
    /// it counted.
    pub fn own(&self, indicator: &IndicatorId, unit: &UnitId) -> impl Iterator<Item = &'a Statement> {
        let about = self.index.about.get(indicator).into_iter();
        let statements: Vec<&Statements> =
            about.flat_map(|about| [about.own.get(unit), about.of_each.get(unit)]).flatten().collect();
        let statements = statements.into_iter().flat_map(|statements| statements.values());
        let revision = self.revision;
        statements.filter(move |statement| statement.counts_at(revision))
    }

    /// The versions of reports of a unit on a form that counted, each with when the first version for the same days was
    /// recorded.
    pub fn filed(&self, form: &FormId, unit: &UnitId) -> Vec<(&'a Filed, Timestamp)> {
        let key = (form.as_str().to_owned(), unit.clone());
        let filed = || self.index.filed.get(&key).into_iter().flatten();
        let counting = filed().filter(|filed| self.counts(filed.report, filed.revision));
        let first = |counting: &Filed| {
            let same = filed().filter(|filed| {
                (filed.report, filed.organ, filed.span) == (counting.report, counting.organ, counting.span)
            });
            same.map(|filed| filed.recorded_at).min().unwrap_or(counting.recorded_at)
        };
        counting.map(|filed| (filed, first(filed))).collect()
    }

    /// A finding, and the report that has it.
    pub fn finding(&self, (revision, place): FindingKey) -> Option<(ReportName, &'a Finding)> {
        let version = self.index.by_revision.get(&revision)?;
        Some((version.report.name, version.findings.get(place)?))
    }

    /// Everything that is said about that indicator, as far as it counted; in no order.
    pub fn every(&self, indicator: &IndicatorId) -> impl Iterator<Item = &'a Statement> {
        let about = self.index.about.get(indicator).into_iter();
        let statements = about.flat_map(|about| about.own.values().chain(about.below.values()));
        let revision = self.revision;
        statements.flat_map(|statements| statements.values()).filter(move |statement| statement.counts_at(revision))
    }

    /// What all units say of those below them and of groups about that indicator, as far as it counted; in no order.
    pub fn below(&self, indicator: &IndicatorId) -> impl Iterator<Item = &'a Statement> {
        let about = self.index.about.get(indicator).into_iter().flat_map(|about| about.below.values());
        let statements = about.flat_map(|statements| statements.values());
        let revision = self.revision;
        statements.filter(move |statement| statement.counts_at(revision))
    }

    /// What reports on that unit say about that indicator, of itself, of those below it and of groups, as far as it counted.
    pub fn all(&self, indicator: &IndicatorId, unit: &UnitId) -> impl Iterator<Item = &'a Statement> {
        let about = self.index.about.get(indicator);
        let by_unit = about.into_iter().flat_map(|about| [&about.own, &about.below]);
        let statements: Vec<&Statements> = by_unit.filter_map(|by_unit| by_unit.get(unit)).collect();
        let revision = self.revision;
        let statements = statements.into_iter().flat_map(|statements| statements.values());
        statements.filter(move |statement| statement.counts_at(revision))
    }
}
