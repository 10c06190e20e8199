//! What a version of a report says, as its entry holds it.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};
use shared::{
    change::{Change, Entry},
    model::{
        finding::{Finding, FindingReason},
        ids::{ReportName, UnitId},
        log::Revision,
        report::{Observation, Report, Scope},
    },
};

/// A version of a report. Copies are cheap.
#[derive(Clone, Debug)]
pub struct ReportVersion(Arc<Entry>);

impl ReportVersion {
    /// The version that an entry holds; none if it holds something else.
    pub fn of(entry: Arc<Entry>) -> Option<Self> {
        matches!(entry.change, Change::ReportSubmitted(_)).then_some(Self(entry))
    }

    /// Revision of that version.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// When it was recorded.
    pub fn recorded_at(&self) -> Timestamp {
        self.0.record_time
    }

    /// The report.
    pub fn report(&self) -> &Report {
        match &self.0.change {
            Change::ReportSubmitted(report) => report,
            _ => unreachable!("it is of an entry that holds a report"),
        }
    }

    /// What was odd about it.
    pub fn findings(&self) -> &[Finding] {
        &self.0.findings
    }

    /// Its observations as statements.
    pub(super) fn statements(&self, ended_at: Option<Revision>) -> impl Iterator<Item = Statement> {
        let statement = move |index| Statement { source: self.clone(), index, ended_at };
        (0..self.report().observations.len()).map(statement)
    }
}

/// One observation of a version of a report.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The version that says it.
    pub source: ReportVersion,
    /// Its place among the observations of the report.
    pub index: usize,
    /// Revision from which it no longer counts; none: it counts.
    pub(super) ended_at: Option<Revision>,
}

impl Statement {
    /// What is said.
    pub fn observation(&self) -> &Observation {
        &self.source.report().observations[self.index]
    }

    /// The report that says it.
    pub fn report(&self) -> &Report {
        self.source.report()
    }

    /// What tells it from every other statement, in the order of report, version and place.
    pub fn key(&self) -> (ReportName, Revision, usize) {
        (self.report().name, self.source.revision(), self.index)
    }

    /// Whether its period contains the day.
    pub fn speaks_of(&self, day: Date) -> bool {
        self.report().period.span().contains(day)
    }

    /// Whether it is said of each unit of a group.
    pub fn is_of_each(&self) -> bool {
        is_of_each(self.observation())
    }

    /// What was found out about it: findings whose path is that of its observation.
    pub(super) fn findings(&self) -> impl Iterator<Item = (usize, &Finding)> {
        let findings = self.source.findings().iter().enumerate();
        findings.filter(|(_, finding)| observation_at(&finding.path) == Some(self.index))
    }

    /// Whether a finding on an observation of another report, which names this report, is about this statement: a
    /// disagreement is if both are about the same; what was found in several figures together is about all of them.
    pub(super) fn is_meant_by(&self, finding: &Finding, report: &Report, other: &Observation) -> bool {
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

/// Whether an observation is said of each unit of a group.
pub(super) fn is_of_each(observation: &Observation) -> bool {
    observation.scope == Scope::Group && observation.value.is_said_of_each()
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
pub(super) fn observation_at(path: &str) -> Option<usize> {
    path.strip_prefix("report.observations[")?.split(']').next()?.parse().ok()
}
