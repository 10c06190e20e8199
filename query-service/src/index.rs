//! What is known at a revision: the registry and every statement of the current reports. Copies are cheap: they share
//! everything that did not change, so that readers keep theirs while the fold goes on.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync, VectorSync};
use shared::{
    change::{Change, Entry},
    model::{
        finding::Finding,
        ids::{IndicatorId, ReportName, UnitId},
        log::Revision,
        report::{Observation, Report, Scope},
    },
    registry::Registry,
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
    pub fn findings(&self) -> impl Iterator<Item = (usize, &Finding)> {
        let path = format!("report.observations[{}]", self.index);
        let findings = self.source.findings.iter().enumerate();
        findings.filter(move |(_, finding)| finding.path.starts_with(&path))
    }
}

/// Statements by their report, version and place in it.
type Statements = RedBlackTreeMapSync<(ReportName, Revision, usize), Statement>;

/// What reports say about one indicator.
#[derive(Clone, Debug, Default)]
struct About {
    /// What units say of themselves, by unit.
    own: HashTrieMapSync<UnitId, Statements>,
    /// What units say of those below them, by unit.
    below: HashTrieMapSync<UnitId, Statements>,
}

/// The newest version of a report.
#[derive(Clone, Debug)]
struct Current {
    version: Arc<ReportVersion>,
    is_withdrawn: bool,
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
    /// Versions that count, or did until their report was withdrawn.
    reports: HashTrieMapSync<ReportName, Current>,
    about: HashTrieMapSync<IndicatorId, About>,
}

impl Index {
    /// Takes in the next entry. Who calls it has checked that it is the next one.
    pub fn apply(&mut self, entry: &Entry) {
        self.revision = entry.revision;
        if entry.ends_change {
            self.times.push_back_mut((entry.revision, entry.record_time));
        }
        match &entry.change {
            Change::ReportSubmitted(report) => {
                let (revision, report, findings) = (entry.revision, (**report).clone(), entry.findings.clone());
                self.submit(Arc::new(ReportVersion { revision, report, findings }));
            }
            Change::ReportWithdrawn { name, .. } => self.withdraw(*name, entry.revision),
            change @ (Change::UnitRegistered(_)
            | Change::RegisterCompleteFrom(_)
            | Change::IndicatorDefined(_)
            | Change::TermDefined(_)
            | Change::Unchanged) => self.registry.apply(entry.revision, change),
        }
    }

    fn submit(&mut self, version: Arc<ReportVersion>) {
        let name = version.report.name;
        self.end(name, version.revision);
        for index in 0..version.report.observations.len() {
            let statement = Statement { source: version.clone(), index, ended_at: None };
            self.put(statement);
        }
        self.reports.insert_mut(name, Current { version, is_withdrawn: false });
    }

    fn withdraw(&mut self, name: ReportName, revision: Revision) {
        self.end(name, revision);
        if let Some(current) = self.reports.get_mut(&name) {
            current.is_withdrawn = true;
        }
    }

    /// What the newest version of a report says no longer counts.
    fn end(&mut self, name: ReportName, revision: Revision) {
        let Some(Current { version, is_withdrawn: false }) = self.reports.get(&name).cloned() else { return };
        for index in 0..version.report.observations.len() {
            self.put(Statement { source: version.clone(), index, ended_at: Some(revision) });
        }
    }

    /// Puts a statement where it belongs, in place of what it was before.
    fn put(&mut self, statement: Statement) {
        let observation = statement.observation();
        let mut about = self.about.get(&observation.indicator).cloned().unwrap_or_default();
        let by_unit = match observation.scope {
            Scope::Own => &mut about.own,
            Scope::Children | Scope::Subtree => &mut about.below,
        };
        let report = statement.report();
        let mut statements = by_unit.get(&report.unit).cloned().unwrap_or_default();
        let key = (report.name, statement.source.revision, statement.index);
        let (unit, indicator) = (report.unit.clone(), observation.indicator.clone());
        statements.insert_mut(key, statement);
        by_unit.insert_mut(unit, statements);
        self.about.insert_mut(indicator, about);
    }

    /// Whether a finding on a statement that counts is still so.
    pub fn is_open(&self, finding: &Finding) -> bool {
        finding.is_open(|name, revision| {
            let current = self.reports.get(&name);
            current.is_some_and(|current| !current.is_withdrawn && current.version.revision == revision)
        })
    }

    /// When the newest change up to that revision was recorded.
    pub fn recorded_at(&self, revision: Revision) -> Option<Timestamp> {
        let (mut low, mut high) = (0, self.times.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.times.get(middle) {
                Some((end, _)) if *end <= revision => low = middle + 1,
                _ => high = middle,
            }
        }
        self.times.get(low.checked_sub(1)?).map(|(_, time)| *time)
    }

    /// Revision of the newest entry.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Units, indicators, terms.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What that unit says of itself about that indicator, as far as it counts.
    pub fn own(&self, indicator: &IndicatorId, unit: &UnitId) -> impl Iterator<Item = &Statement> {
        let statements = self.about.get(indicator).and_then(|about| about.own.get(unit));
        let statements = statements.into_iter().flat_map(|statements| statements.values());
        statements.filter(|statement| statement.counts_at(self.revision))
    }

    /// What all units say of those below them about that indicator, as far as it counts; in no order.
    pub fn below(&self, indicator: &IndicatorId) -> impl Iterator<Item = &Statement> {
        let about = self.about.get(indicator).into_iter().flat_map(|about| about.below.values());
        let statements = about.flat_map(|statements| statements.values());
        statements.filter(|statement| statement.counts_at(self.revision))
    }

    /// What that unit says about that indicator, of itself and of those below it, whether it counts or not.
    pub fn ever<'a>(&'a self, indicator: &IndicatorId, unit: &'a UnitId) -> impl Iterator<Item = &'a Statement> {
        let about = self.about.get(indicator);
        let statements = about.into_iter().flat_map(|about| [about.own.get(unit), about.below.get(unit)]).flatten();
        statements.flat_map(|statements| statements.values())
    }
}
