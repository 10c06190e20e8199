//! Every answer, once more: plain loops over the entries of the log, no code shared with the services. The rules are those
//! of `query-service/SEMANTICS.md`.
//!
//! Days are texts, `YYYY-MM-DD`; their order is the order of the texts. An empty first day is before, an empty last day
//! after every day.

mod amount;
mod cell;
mod compare;
mod distribution;
mod figure;
mod findings;
mod groups;
mod life;
mod measure;
mod number;
mod published;
mod question;
mod rank;
mod row;
mod rules;
mod series;
mod share;

use std::collections::BTreeMap;

use proto::v1::{Entry, Indicator, Report, Unit, UnitEvent, entry::Change};

pub use cell::Ask;
pub use compare::{Comparing, Side, compare};
pub use life::{Living, above};
pub use question::{Question, Time};
pub use rank::Ranking;

/// Everything that the entries say.
#[derive(Default)]
pub struct World {
    /// As they were registered.
    units: BTreeMap<String, Unit>,
    /// In the order in which they were first recorded.
    events: Vec<UnitEvent>,
    complete_from: String,
    /// Every version, oldest first.
    indicators: BTreeMap<String, Vec<Indicator>>,
    /// Newest version of each report that was not withdrawn since, with its revision and its findings; by number.
    reports: BTreeMap<i64, (i64, Report)>,
}

/// The number in the name of a report.
fn number_of(name: &str) -> i64 {
    name["reports/".len()..].parse().unwrap()
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// An indicator or a unit is not there.
    Unknown,
    /// The rules forbid the question.
    Forbidden,
}

/// Rows, and with coverage_min how many were left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    pub rows: Vec<T>,
    pub below: Option<i32>,
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
                    world.reports.insert(number_of(&report.name), (entry.revision, report));
                }
                Change::Withdrawal(withdrawal) => drop(world.reports.remove(&number_of(&withdrawal.report))),
                Change::Indicator(indicator) => {
                    world.indicators.entry(indicator.id.clone()).or_default().push(indicator);
                }
                Change::UnitEvent(event) => match world.events.iter_mut().find(|other| other.id == event.id) {
                    Some(other) => *other = event,
                    None => world.events.push(event),
                },
                Change::Term(_) | Change::Unchanged(_) | Change::Form(_) | Change::Waiver(_) => {}
            }
        }
        world
    }

    /// How many versions of an indicator there are.
    pub fn version(&self, indicator: &str) -> usize {
        self.indicators.get(indicator).map_or(0, Vec::len)
    }

    /// The version of an indicator that holds on a day: the newest that has begun, else the first.
    fn definition(&self, indicator: &str, day: &str) -> &Indicator {
        let versions = &self.indicators[indicator];
        versions.iter().rev().find(|version| version.valid_from.as_str() <= day).unwrap_or(&versions[0])
    }

    /// What is the same in all versions of an indicator.
    fn indicator(&self, id: &str) -> &Indicator {
        &self.indicators[id][0]
    }
}
