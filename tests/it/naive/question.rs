//! A question and the times that it asks about.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use proto::v1::{
    ReportFilter, UnitFilter, UnitSelector, figure::Measure, meta::Definition, observation::Scope, series::Step,
    unit::Level, unit_filter::Condition,
};

use super::{Ask, World};

/// When.
#[derive(Clone, Debug)]
pub enum Time {
    On(String),
    /// As in a report.
    Period(String),
    Span {
        from: String,
        to: String,
        step: Step,
    },
}

/// A question of any kind; what it does not need is empty.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub indicator: String,
    pub units: UnitSelector,
    pub group_by: String,
    pub time: Time,
    /// The day of the map; empty: the day counted.
    pub boundaries_on: String,
    pub last_known: bool,
    /// Empty: not asked for.
    pub published_until: String,
    pub filters: Vec<UnitFilter>,
    pub reports: ReportFilter,
    /// Empty: not asked for.
    pub coverage_min: String,
    pub measure: Measure,
    pub by: BTreeMap<String, String>,
    pub scope: Scope,
    pub denominator: String,
    /// Empty: 1.
    pub per: String,
    /// Of a distribution.
    pub dimension: String,
    /// Two flags of a distribution; else none.
    pub flags: Vec<String>,
}

impl Default for Time {
    fn default() -> Self {
        Self::On(String::new())
    }
}

/// One time of a question.
#[derive(Clone, Debug)]
pub struct Slot {
    /// First day of the period; empty: it is open, or a day was asked for.
    pub first: String,
    /// The day counted.
    pub day: String,
    /// The period; empty: a day was asked for.
    pub period: String,
}

/// First and last day of a period as it is written; an open end is empty.
pub fn days_of(text: &str) -> (String, String) {
    if let Some((start, end)) = text.split_once('/') {
        let first = if start == ".." { String::new() } else { days_of(start).0 };
        let last = if end == ".." { String::new() } else { days_of(end).1 };
        return (first, last);
    }
    let year = &text[..4];
    let months = |first: u8, last: u8| {
        let last: Date = format!("{year}-{last:02}-01").parse().unwrap();
        (format!("{year}-{first:02}-01"), last.last_of_month().to_string())
    };
    match text.get(5..) {
        None => months(1, 12),
        Some("S1") => months(1, 6),
        Some("S2") => months(7, 12),
        Some("Q1") => months(1, 3),
        Some("Q2") => months(4, 6),
        Some("Q3") => months(7, 9),
        Some("Q4") => months(10, 12),
        Some(month) if month.len() == 2 => months(month.parse().unwrap(), month.parse().unwrap()),
        Some(_) => (text.to_owned(), text.to_owned()),
    }
}

pub(super) fn next(day: &str) -> String {
    day.parse::<Date>().unwrap().tomorrow().unwrap().to_string()
}

/// The period of the calendar that begins on a day; none if none does.
fn calendar(day: &str, step: Step) -> Option<String> {
    let (year, month) = (&day[..4], day[5..7].parse::<u8>().unwrap());
    let is_first = |months: u8| day.ends_with("-01") && (month - 1).is_multiple_of(months);
    match step {
        Step::Day => Some(day.to_owned()),
        Step::Month => is_first(1).then(|| day[..7].to_owned()),
        Step::Quarter => is_first(3).then(|| format!("{year}-Q{}", month / 3 + 1)),
        Step::HalfYear => is_first(6).then(|| format!("{year}-S{}", month / 6 + 1)),
        Step::Year => is_first(12).then(|| year.to_owned()),
        Step::Unspecified => None,
    }
}

impl Question {
    /// Every time that it asks about; none if the steps do not fill the span.
    pub(super) fn slots(&self) -> Option<Vec<Slot>> {
        match &self.time {
            Time::On(day) => Some(vec![Slot { first: String::new(), day: day.clone(), period: String::new() }]),
            Time::Period(period) => {
                let (first, day) = days_of(period);
                Some(vec![Slot { first, day, period: period.clone() }])
            }
            Time::Span { from, to, step } => {
                let (mut first, last) = (days_of(from).0, days_of(to).1);
                let mut slots = Vec::new();
                while first <= last {
                    let period = calendar(&first, *step)?;
                    let day = days_of(&period).1;
                    let after = next(&day);
                    slots.push(Slot { first, day, period });
                    first = after;
                }
                slots.last().is_some_and(|slot| slot.day == last).then_some(slots)
            }
        }
    }

    /// Whether every report may speak.
    pub fn is_of_all_reports(&self) -> bool {
        self.reports == ReportFilter::default()
    }

    pub(super) fn is_series(&self) -> bool {
        matches!(self.time, Time::Span { .. })
    }

    /// The day of the map on which a day counted is shown.
    pub(super) fn map_day<'a>(&'a self, slot: &'a Slot) -> &'a str {
        if self.boundaries_on.is_empty() { &slot.day } else { &self.boundaries_on }
    }

    /// What is asked of each unit: the indicator, and the denominator.
    pub(super) fn asks<'a>(&'a self, slot: &'a Slot, measure: Measure) -> Vec<Ask<'a>> {
        let is_last = measure == Measure::Last;
        let own =
            Ask { indicator: &self.indicator, by: self.by.clone(), scope: self.scope, slot, question: self, is_last };
        let denominator = Ask { indicator: &self.denominator, by: BTreeMap::new(), ..own.clone() };
        if self.denominator.is_empty() { vec![own] } else { vec![own, denominator] }
    }

    /// Every indicator that it names.
    pub(super) fn indicators(&self) -> Vec<&String> {
        let conditions = self.filters.iter().filter_map(|filter| match filter.condition.as_ref().unwrap() {
            Condition::Value(value) => Some(&value.indicator),
            _ => None,
        });
        let named = [&self.indicator, &self.denominator].into_iter().chain(&self.flags).filter(|id| !id.is_empty());
        named.chain(conditions).collect()
    }
}

impl World {
    /// The definitions of what the question names that hold on the last of its days.
    pub fn definitions(&self, question: &Question) -> Vec<Definition> {
        let ids: BTreeSet<&String> = question.indicators().into_iter().collect();
        let day = question.slots().and_then(|slots| slots.last().map(|slot| slot.day.clone())).unwrap();
        let version = |id: &String| Definition { indicator: id.clone(), version: self.definition(id, &day).version };
        ids.into_iter().map(version).collect()
    }

    /// Whether everything that the question names is there.
    pub fn knows(&self, question: &Question) -> bool {
        let UnitSelector { under, ids, .. } = &question.units;
        let units = if ids.is_empty() { std::slice::from_ref(under) } else { ids };
        question.indicators().into_iter().all(|id| self.indicators.contains_key(id))
            && units.iter().all(|unit| self.units.contains_key(unit))
            && (question.reports.issuer.is_empty() || self.units.contains_key(&question.reports.issuer))
    }

    /// Whether the attribute by which units are grouped was ever one of a unit.
    pub fn knows_attribute(&self, question: &Question) -> bool {
        let key = &question.group_by;
        let registered = self.units.values().any(|unit| unit.attributes.contains_key(key));
        let is_level = Level::from_str_name(key).is_some();
        key.is_empty() || key == "UNIT" || key == "KIND" || is_level || registered || self.was_given(key)
    }
}
