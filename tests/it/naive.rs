//! The share, once more: plain loops over the entries of the log, no code shared with the services.
//!
//! Days are texts, `YYYY-MM-DD`; their order is the order of the texts. An empty first day is before, an empty last day
//! after every day.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use proto::v1::{
    Entry, Observation, Report, Share, Unit,
    entry::Change,
    finding::Other,
    observation::{Basis, Missing, Scope, Value},
    share::{ExpectedBasis, Published},
    unit::Level,
};

/// Everything that the entries say.
#[derive(Default)]
pub struct World {
    units: BTreeMap<String, Unit>,
    complete_from: String,
    indicators: BTreeSet<String>,
    /// Newest version of each report that was not withdrawn since, with its revision and its findings.
    reports: BTreeMap<String, (i64, Report)>,
}

/// Findings, each as the revision of its report and its place there.
type Findings = BTreeSet<(i64, usize)>;

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    pub indicator: String,
    pub under: String,
    pub level: Option<Level>,
    pub ids: Vec<String>,
    pub group_by: Option<Level>,
    pub day: String,
}

impl World {
    pub fn of(entries: &[Entry]) -> Self {
        let mut world = Self::default();
        for entry in entries {
            match entry.change.clone().unwrap() {
                Change::Unit(unit) => drop(world.units.insert(unit.id.clone(), unit)),
                Change::RegisterCompleteFrom(day) => world.complete_from = day,
                Change::Report(report) => {
                    let report = Report { findings: entry.findings.clone(), ..report };
                    world.reports.insert(report.name.clone(), (entry.revision, report));
                }
                Change::Withdrawal(withdrawal) => drop(world.reports.remove(&withdrawal.report)),
                Change::Indicator(indicator) => drop(world.indicators.insert(indicator.id)),
                Change::Term(_) | Change::Unchanged(_) | Change::Form(_) | Change::Waiver(_) | Change::UnitEvent(_) => {
                }
            }
        }
        world
    }

    /// Whether everything that the question names is there.
    pub fn knows(&self, question: &Question) -> bool {
        let units = if question.ids.is_empty() { std::slice::from_ref(&question.under) } else { &question.ids };
        self.indicators.contains(&question.indicator) && units.iter().all(|unit| self.units.contains_key(unit))
    }

    pub fn share(&self, question: &Question) -> Vec<Share> {
        let mut groups: BTreeMap<(bool, String), Vec<&Unit>> = BTreeMap::new();
        if question.group_by.is_none() {
            let single = if question.ids.len() == 1 { question.ids[0].clone() } else { question.under.clone() };
            groups.insert((false, single), Vec::new());
        }
        for unit in self.units.values().filter(|unit| self.is_counted(unit, question)) {
            let group = match question.group_by {
                None => groups.keys().next().unwrap().clone(),
                Some(level) => match self.above(&unit.id).into_iter().find(|above| above.level() == level) {
                    Some(above) => (false, above.id.clone()),
                    None => (true, "none".to_owned()),
                },
            };
            groups.entry(group).or_default().push(unit);
        }
        groups.into_iter().map(|((_, id), units)| self.row(question, id, &units)).collect()
    }

    fn is_counted(&self, unit: &Unit, question: &Question) -> bool {
        let is_selected = if question.ids.is_empty() {
            self.above(&unit.id).iter().any(|above| above.id == question.under)
                && question.level.is_none_or(|level| unit.level() == level)
        } else {
            question.ids.contains(&unit.id)
        };
        is_selected && self.is_alive(unit, &question.day)
    }

    /// A unit lives when it and everything above it has begun, as far as that is known.
    fn is_alive(&self, unit: &Unit, day: &str) -> bool {
        self.above(&unit.id).iter().all(|above| above.valid_from.as_str() <= day)
    }

    /// The unit and those above it, upwards.
    fn above(&self, id: &str) -> Vec<&Unit> {
        let mut above = Vec::new();
        let mut next = self.units.get(id);
        while let Some(unit) = next {
            above.push(unit);
            next = self.units.get(&unit.parent);
        }
        above
    }

    fn row(&self, question: &Question, id: String, units: &[&Unit]) -> Share {
        let (mut yes, mut no, mut not_reported, mut withheld, mut not_applicable, mut contested) = (0, 0, 0, 0, 0, 0);
        let mut findings = BTreeSet::new();
        for unit in units {
            let mut said = self.said(question, &unit.id);
            said.sort_by_key(|(precedence, ..)| precedence.clone());
            findings.extend(said.first().into_iter().flat_map(|(.., findings)| findings.clone()));
            match said.first().map(|(_, value, _)| value) {
                Some(Value::Flag(true)) => yes += 1,
                Some(Value::Flag(false)) => no += 1,
                Some(Value::Missing(missing)) if *missing == i32::from(Missing::Withheld) => withheld += 1,
                Some(Value::Missing(missing)) if *missing == i32::from(Missing::NotApplicable) => not_applicable += 1,
                _ => not_reported += 1,
            }
            if said.iter().any(|(_, value, _)| *value != said[0].1) {
                contested += 1;
            }
        }
        let applicable = yes + no + not_reported + withheld;
        let basis = if !self.complete_from.is_empty() && self.complete_from <= question.day {
            ExpectedBasis::Registered
        } else {
            ExpectedBasis::Assumed
        };
        let (published, claimed): (Vec<Published>, Vec<Findings>) = self.published(question, units).into_iter().unzip();
        let name = self.units.get(&id).map(|unit| unit.name.clone()).unwrap_or_default();
        Share {
            unit: id,
            name,
            share: six_digits(yes, yes + no),
            lower: six_digits(yes, applicable),
            upper: six_digits(yes + not_reported + withheld, applicable),
            yes: Some(yes),
            no: Some(no),
            not_reported: Some(not_reported),
            withheld: Some(withheld),
            not_applicable: Some(not_applicable),
            expected: Some(applicable + not_applicable),
            expected_basis: basis.into(),
            published,
            contested: Some(contested),
            findings: Some(i32::try_from(findings.union(&claimed.into_iter().flatten().collect()).count()).unwrap()),
        }
    }

    /// What current reports say of the unit on the day, with what decides which of them counts: the least.
    fn said(&self, question: &Question, unit: &str) -> Vec<((i64, String, i64), Value, Findings)> {
        let mut said = Vec::new();
        for (revision, report) in self.reports.values().filter(|(_, report)| report.unit == unit) {
            for (place, observation) in about(report, &question.indicator) {
                let published_on = &report.source.as_ref().unwrap().published_on;
                let looks_ahead = matches!(observation.basis(), Basis::Projection | Basis::Planned);
                let is_known = published_on.is_empty() || question.day <= *published_on || looks_ahead;
                let is_own = matches!(observation.scope(), Scope::Unspecified | Scope::Own);
                if is_own && is_known && contains(report, &question.day) {
                    let precedence = (days(report), backwards(published_on), -revision);
                    said.push((precedence, observation.value.clone().unwrap(), self.open_findings(report, place)));
                }
            }
        }
        said
    }

    /// Findings about one observation of a report that are still so, its own and those of reports that name it: each as
    /// the revision of its report and its place there.
    fn open_findings(&self, report: &Report, place: usize) -> Findings {
        let about = |report: &Report, place: usize| {
            let Observation { indicator, by, scope, .. } = report.observations[place].clone();
            (indicator, by, scope.max(1))
        };
        let mut open = Findings::new();
        for (revision, other) in self.reports.values() {
            for (number, finding) in other.findings.iter().enumerate() {
                let Some(path) = finding.path.strip_prefix("report.observations[") else { continue };
                let theirs: usize = path.split(']').next().unwrap().parse().unwrap();
                let is_own = other.name == report.name && theirs == place;
                let still_says =
                    |other: &Other| self.reports.get(&other.report).is_some_and(|(now, _)| *now == other.revision);
                let names_it = finding.others.iter().any(|other| other.report == report.name && still_says(other))
                    && about(other, theirs) == about(report, place);
                let depends = !finding.others.is_empty() && finding.unnamed_others == 0;
                let is_open = !depends || finding.others.iter().any(still_says);
                if (is_own || names_it) && is_open {
                    open.insert((*revision, number));
                }
            }
        }
        open
    }

    fn published(&self, question: &Question, units: &[&Unit]) -> Vec<(Published, Findings)> {
        let mut published = Vec::new();
        for (_, report) in self.reports.values().filter(|(_, report)| contains(report, &question.day)) {
            for (place, observation) in about(report, &question.indicator) {
                let is_alive = |unit: &&Unit| self.is_alive(unit, &question.day);
                let denoted: Vec<&str> = match observation.scope() {
                    Scope::Children => {
                        let children = self.units.values().filter(is_alive).filter(|unit| unit.parent == report.unit);
                        children.map(|unit| unit.id.as_str()).collect()
                    }
                    Scope::Subtree => {
                        let below = |unit: &&Unit| self.above(&unit.id).iter().any(|above| above.id == report.unit);
                        self.units.values().filter(is_alive).filter(below).map(|unit| unit.id.as_str()).collect()
                    }
                    _ => continue,
                };
                let (percent, ratio) = match observation.value.clone().unwrap() {
                    Value::Percent(percent) => (percent, None),
                    Value::Ratio(ratio) => (String::new(), Some(ratio)),
                    _ => continue,
                };
                if !denoted.is_empty() && denoted == units.iter().map(|unit| unit.id.as_str()).collect::<Vec<_>>() {
                    let findings = self.open_findings(report, place);
                    let claim = Published {
                        percent,
                        ratio,
                        qualifier: observation.qualifier,
                        basis: observation.basis,
                        unit: report.unit.clone(),
                        report: report.name.clone(),
                        period: report.period.clone(),
                        published_on: report.source.as_ref().unwrap().published_on.clone(),
                    };
                    published.push((claim, findings));
                }
            }
        }
        published.sort_by_key(|(claim, _)| claim.report["reports/".len()..].parse::<i64>().unwrap());
        published
    }
}

fn about<'a>(report: &'a Report, indicator: &'a str) -> impl Iterator<Item = (usize, &'a Observation)> {
    report.observations.iter().enumerate().filter(move |(_, observation)| observation.indicator == indicator)
}

fn contains(report: &Report, day: &str) -> bool {
    report.period_start_on.as_str() <= day && (report.period_end_on.is_empty() || day <= report.period_end_on.as_str())
}

/// How many days a report speaks of; very many if it is open.
fn days(report: &Report) -> i64 {
    let day = |text: &str| text.parse::<Date>().ok();
    match (day(&report.period_start_on), day(&report.period_end_on)) {
        (Some(first), Some(last)) => i64::from(last.since(first).unwrap().get_days()) + 1,
        _ => i64::MAX,
    }
}

/// A text that is smaller for later days, and greatest for none.
fn backwards(day: &str) -> String {
    if day.is_empty() {
        return "~".to_owned();
    }
    day.chars()
        .map(|c| if let Some(digit) = c.to_digit(10) { char::from_digit(9 - digit, 10).unwrap() } else { c })
        .collect()
}

/// part / whole with six digits, half up, by long division.
fn six_digits(part: i32, whole: i32) -> Option<String> {
    if whole == 0 {
        return None;
    }
    let (part, whole) = (i64::from(part), i64::from(whole));
    let mut digits = part * 1_000_000 / whole;
    if part * 1_000_000 % whole * 2 >= whole {
        digits += 1;
    }
    Some(format!("{}.{:06}", digits / 1_000_000, digits % 1_000_000))
}
