//! What reports say of units together, and what is not used.

use std::collections::BTreeSet;

use proto::v1::{
    figure::{self, Unused},
    observation::{Scope, Value},
    share,
};

use super::{
    Living, World, above,
    cell::{Ask, Said, said_scope, was_published},
    findings::Findings,
    number_of,
    row::{Row, count},
};

/// Figures of exactly the units of a row.
#[derive(Default)]
pub struct Claims<'a> {
    pub said: Vec<Said<'a>>,
    pub findings: Findings,
    /// Reports that would have spoken, if it were known when they were published.
    pub undated: BTreeSet<String>,
}

impl World {
    /// What is said of exactly the units of a row together.
    pub fn claims<'a>(&'a self, ask: &Ask<'_>, living: &Living, row: &Row<'_>) -> Claims<'a> {
        let mut claims = Claims::default();
        let units: Vec<&str> = row.certain.iter().map(|fact| fact.unit.as_str()).collect();
        for said in self.admitted(ask.question, ask.indicator) {
            let (report, observation) = (said.report, said.observation());
            let is_number = !matches!(said.value(), Value::Flag(_) | Value::Category(_) | Value::Missing(_));
            let denoted = living.values().filter(|unit| match observation.scope() {
                Scope::Children => unit.parent == report.unit,
                Scope::Subtree => above(living, &unit.id).iter().any(|above| above.id == report.unit),
                Scope::Group => observation.units.contains(&unit.id),
                _ => false,
            });
            let denoted: Vec<&str> = denoted.map(|unit| unit.id.as_str()).collect();
            let is_meant = is_number && observation.by == ask.by && !denoted.is_empty() && denoted == units;
            if !is_meant || !self.speaks(ask, &said, false) {
                continue;
            }
            if was_published(ask.question, said.published_on()) {
                claims.findings.extend(self.open_findings(report, said.place));
                claims.said.push(said);
            } else if said.published_on().is_empty() {
                claims.undated.insert(report.name.clone());
            }
        }
        claims
    }

    /// Reports that say something near what was asked, each once for each scope.
    pub fn unused(said: &[Said<'_>]) -> Vec<Unused> {
        let scope = |said: &Said<'_>| said_scope(said.observation().scope());
        let mut found: Vec<(i64, i32, Unused)> = Vec::new();
        for said in said {
            let (report, scope) = (said.report, i32::from(scope(said)));
            let unused = Unused {
                report: report.name.clone(),
                unit: report.unit.clone(),
                period: report.period.clone(),
                scope: if scope == i32::from(Scope::Own) { 0 } else { scope },
            };
            found.push((number_of(&report.name), scope, unused));
        }
        found.sort_by_key(|(report, scope, _)| (*report, *scope));
        found.dedup_by_key(|(report, scope, _)| (*report, *scope));
        found.into_iter().map(|(.., unused)| unused).take(10).collect()
    }
}

impl Claims<'_> {
    pub fn of_share(&self) -> Vec<share::Published> {
        let shown = |said: &Said<'_>| {
            let observation = said.observation();
            let (percent, ratio) = match said.value() {
                Value::Percent(percent) => (percent.clone(), None),
                Value::Ratio(ratio) => (String::new(), Some(*ratio)),
                _ => return None,
            };
            Some(share::Published {
                percent,
                ratio,
                qualifier: observation.qualifier,
                basis: observation.basis,
                unit: said.report.unit.clone(),
                report: said.report.name.clone(),
                period: said.report.period.clone(),
                published_on: said.published_on().to_owned(),
            })
        };
        self.said.iter().filter_map(shown).collect()
    }

    /// With the number of each in the measure of the row.
    pub fn of_figure(&self, number: impl Fn(&Said<'_>) -> String) -> Vec<figure::Published> {
        let shown = |said: &Said<'_>| figure::Published {
            observation: Some(said.observation().clone()),
            unit: said.report.unit.clone(),
            report: said.report.name.clone(),
            period: said.report.period.clone(),
            published_on: said.published_on().to_owned(),
            value: number(said),
        };
        self.said.iter().map(shown).collect()
    }

    /// Distinct findings on it and on what counts.
    pub fn all_findings(&self, counted: &Findings) -> i32 {
        count(self.findings.union(counted).count())
    }

    pub fn all_undated(&self, of_units: &BTreeSet<String>) -> i32 {
        count(self.undated.union(of_units).count())
    }
}
