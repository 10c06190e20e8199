//! What is known at a revision: the registry and every statement of the current reports. Copies are cheap: they share
//! everything that did not change, so that readers keep theirs while the fold goes on.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use shared::{
    change::{Change, Entry},
    model::{
        ids::{IndicatorId, ReportName, UnitId},
        log::Revision,
        report::{Observation, Report, Scope},
    },
    registry::Registry,
};

/// The newest version of a report.
#[derive(Debug)]
pub struct CurrentReport {
    /// Revision of that version.
    pub revision: Revision,
    /// The report.
    pub report: Report,
}

/// One observation of a current report.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The report that says it.
    pub source: Arc<CurrentReport>,
    index: usize,
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
}

/// Statements by their report and their place in it.
type Statements = RedBlackTreeMapSync<(ReportName, usize), Statement>;

/// What the current reports say about one indicator.
#[derive(Clone, Debug, Default)]
struct About {
    /// What units say of themselves, by unit.
    own: HashTrieMapSync<UnitId, Statements>,
    /// What units say of those below them, by unit.
    below: HashTrieMapSync<UnitId, Statements>,
}

/// The fold of the log up to a revision.
///
/// Invariants: it holds a statement for every observation of the newest version of every report, and no other; it is the
/// same for the same entries however they came.
#[derive(Clone, Debug, Default)]
pub struct Index {
    revision: Revision,
    record_time: Option<Timestamp>,
    registry: Registry,
    reports: HashTrieMapSync<ReportName, Arc<CurrentReport>>,
    about: HashTrieMapSync<IndicatorId, About>,
}

impl Index {
    /// Takes in the next entry. Who calls it has checked that it is the next one.
    pub fn apply(&mut self, entry: &Entry) {
        self.revision = entry.revision;
        self.record_time = Some(entry.record_time);
        match &entry.change {
            Change::ReportSubmitted(report) => self.apply_report(entry.revision, report),
            change @ (Change::UnitRegistered(_)
            | Change::RegisterCompleteFrom(_)
            | Change::IndicatorDefined(_)
            | Change::TermDefined(_)
            | Change::Unchanged) => self.registry.apply(entry.revision, change),
        }
    }

    fn apply_report(&mut self, revision: Revision, report: &Report) {
        if let Some(before) = self.reports.get(&report.name).cloned() {
            for (index, observation) in before.report.observations.iter().enumerate() {
                self.change_statements(&before.report.unit, observation, |statements| {
                    statements.remove_mut(&(report.name, index));
                });
            }
        }
        let current = Arc::new(CurrentReport { revision, report: report.clone() });
        for (index, observation) in report.observations.iter().enumerate() {
            let statement = Statement { source: current.clone(), index };
            self.change_statements(&report.unit, observation, |statements| {
                statements.insert_mut((report.name, index), statement);
            });
        }
        self.reports.insert_mut(report.name, current);
    }

    fn change_statements(&mut self, unit: &UnitId, observation: &Observation, change: impl FnOnce(&mut Statements)) {
        let mut about = self.about.get(&observation.indicator).cloned().unwrap_or_default();
        let by_unit = match observation.scope {
            Scope::Own => &mut about.own,
            Scope::Children | Scope::Subtree => &mut about.below,
        };
        let mut statements = by_unit.get(unit).cloned().unwrap_or_default();
        change(&mut statements);
        if statements.is_empty() {
            by_unit.remove_mut(unit);
        } else {
            by_unit.insert_mut(unit.clone(), statements);
        }
        self.about.insert_mut(observation.indicator.clone(), about);
    }

    /// Revision of the newest entry.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// When the newest entry was recorded; none before the first.
    pub fn record_time(&self) -> Option<Timestamp> {
        self.record_time
    }

    /// Units, indicators, terms.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What that unit says of itself about that indicator.
    pub fn own(&self, indicator: &IndicatorId, unit: &UnitId) -> impl Iterator<Item = &Statement> {
        let statements = self.about.get(indicator).and_then(|about| about.own.get(unit));
        statements.into_iter().flat_map(|statements| statements.values())
    }

    /// What all units say of those below them about that indicator; in no order.
    pub fn below(&self, indicator: &IndicatorId) -> impl Iterator<Item = &Statement> {
        let about = self.about.get(indicator);
        about.into_iter().flat_map(|about| about.below.values()).flat_map(|statements| statements.values())
    }
}
