//! Findings that are still so.

use std::collections::BTreeSet;

use proto::v1::{
    Finding, Report,
    finding::{Other, Reason},
    observation::Scope,
};

use super::{World, cell::members, number_of};

/// Findings, each as the revision of its report and its place there.
pub type Findings = BTreeSet<(i64, usize)>;

/// The place of the observation that a finding is about; none: it is about something else.
fn place_of(finding: &Finding) -> Option<usize> {
    let path = finding.path.strip_prefix("report.observations[")?;
    Some(path.split(']').next().unwrap().parse().unwrap())
}

impl World {
    /// Findings about one observation of a report that are still so, its own and those of reports that name it: each as
    /// the revision of its report and its place there.
    pub fn open_findings(&self, report: &Report, place: usize) -> Findings {
        let observation = &report.observations[place];
        let is_about_the_same = |other: &Report, place: usize| {
            let theirs = &other.observations[place];
            let (members, others) = (members(report, observation), members(other, theirs));
            let is_same_share = members.is_empty()
                && others.is_empty()
                && (observation.scope, &observation.units) == (theirs.scope, &theirs.units)
                // Who speaks of a group does not matter.
                && (report.unit == other.unit || observation.scope() == Scope::Group);
            (&observation.indicator, &observation.by) == (&theirs.indicator, &theirs.by)
                && (is_same_share || !members.is_disjoint(&others))
        };
        let mut open = Findings::new();
        for (revision, other) in self.reports.values() {
            for (number, finding) in other.findings.iter().enumerate() {
                let Some(theirs) = place_of(finding) else { continue };
                let is_own = other.name == report.name && theirs == place;
                let mut named = finding.others.iter();
                let names_it = named.any(|other| other.report == report.name && self.still_says(other));
                // What was found in several figures together is about all of them.
                let is_meant = match finding.reason() {
                    Reason::ChildrenContradict | Reason::PointsAsPercent => {
                        let theirs = &other.observations[theirs];
                        (&observation.indicator, &observation.by) == (&theirs.indicator, &theirs.by)
                    }
                    _ => is_about_the_same(other, theirs),
                };
                if (is_own || names_it && is_meant) && self.is_open(finding) {
                    open.insert((*revision, number));
                }
            }
        }
        open
    }

    fn still_says(&self, other: &Other) -> bool {
        self.reports.get(&number_of(&other.report)).is_some_and(|(now, _)| *now == other.revision)
    }

    /// A disagreement is open while one of those that it names says what it said; what was found in several figures
    /// together, while all of them do.
    fn is_open(&self, finding: &Finding) -> bool {
        let mut others = finding.others.iter();
        match finding.reason() {
            Reason::ChildrenContradict | Reason::PointsAsPercent => others.all(|other| self.still_says(other)),
            _ => {
                let depends = !finding.others.is_empty() && finding.unnamed_others == 0;
                !depends || others.any(|other| self.still_says(other))
            }
        }
    }

    /// Findings about all observations of a report together that are still so.
    pub fn findings_on_all(&self, revision: i64, report: &Report) -> Findings {
        let findings = report.findings.iter().enumerate();
        findings.filter(|(_, f)| f.path == "report.observations").map(|(number, _)| (revision, number)).collect()
    }

    /// The finding, and the number of its report.
    pub fn finding(&self, (revision, number): (i64, usize)) -> (i64, Finding) {
        let found = self.reports.iter().find(|(_, (theirs, _))| *theirs == revision);
        found.map(|(report, (_, content))| (*report, content.findings[number].clone())).unwrap()
    }
}
