//! What is known of one unit about one indicator at one time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use proto::v1::{
    Observation, Report, Unit,
    indicator::{RollUp, Temporality},
    observation::{Basis, Missing, Scope, Value},
};

use super::{
    Living, Question, World,
    life::arises,
    number::Number,
    question::{Slot, next},
};

/// What is looked for.
#[derive(Clone)]
pub struct Ask<'a> {
    pub indicator: &'a str,
    pub by: BTreeMap<String, String>,
    pub scope: Scope,
    pub slot: &'a Slot,
    /// Which reports speak, and whether what was known is carried forward.
    pub question: &'a Question,
    /// What was known last within the period is carried forward.
    pub is_last: bool,
}

/// An observation of a report that counts.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    pub revision: i64,
    pub report: &'a Report,
    pub place: usize,
}

impl<'a> Said<'a> {
    pub fn observation(&self) -> &'a Observation {
        &self.report.observations[self.place]
    }

    pub fn value(&self) -> &'a Value {
        self.observation().value.as_ref().unwrap()
    }

    pub fn published_on(&self) -> &'a str {
        &self.report.source.as_ref().unwrap().published_on
    }

    fn looks_ahead(&self) -> bool {
        matches!(self.observation().basis(), Basis::Projection | Basis::Planned)
    }

    pub fn contains(&self, day: &str) -> bool {
        let Report { period_start_on, period_end_on, .. } = self.report;
        period_start_on.as_str() <= day && (period_end_on.is_empty() || day <= period_end_on.as_str())
    }

    /// The least counts.
    fn precedence(&self) -> (i64, String, i64) {
        (days(self.report), backwards(self.published_on()), -self.revision)
    }

    /// Whether it is no reason why there is no value.
    pub fn has_value(&self) -> bool {
        !matches!(self.value(), Value::Missing(_))
    }

    /// What it says, so that the same is the same text.
    fn saying(&self) -> String {
        let qualifier = self.observation().qualifier.max(1);
        let number = |number: Number| format!("{} {qualifier}", number.plain());
        match self.value() {
            Value::Count(count) => number(Number::whole(*count)),
            Value::Decimal(text) | Value::Percent(text) => number(Number::read(text)),
            Value::Money(money) => format!("{} {}", money.currency, number(super::amount::units_of(money))),
            other => format!("{other:?} {qualifier}"),
        }
    }
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

/// The units of each of which an observation says something: that of the report itself, or the members of a group, unless
/// it gives a number of them together.
pub fn members(report: &Report, observation: &Observation) -> BTreeSet<String> {
    let is_of_each = matches!(
        observation.value,
        Some(Value::Flag(_) | Value::Category(_) | Value::Direction(_) | Value::Missing(_))
    );
    match observation.scope() {
        Scope::Unspecified | Scope::Own => [report.unit.clone()].into(),
        Scope::Group if is_of_each => observation.units.iter().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// OWN where no scope is said.
pub fn said_scope(scope: Scope) -> Scope {
    if scope == Scope::Unspecified { Scope::Own } else { scope }
}

/// What is known of a unit.
#[derive(Clone, Default)]
pub struct Cell<'a> {
    /// What counts: one, several that tile the period, or nothing.
    pub counts: Vec<Said<'a>>,
    pub is_contested: bool,
    pub is_carried: bool,
    /// Reports that would have spoken, if it were known when they were published.
    pub undated: BTreeSet<String>,
}

/// How a unit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Reported,
    NotReported,
    Withheld,
    NotApplicable,
}

impl Cell<'_> {
    pub fn state(&self) -> State {
        match self.counts.first().map(Said::value) {
            None => State::NotReported,
            Some(Value::Missing(missing)) => match Missing::try_from(*missing).unwrap() {
                Missing::NotApplicable => State::NotApplicable,
                Missing::Withheld => State::Withheld,
                _ => State::NotReported,
            },
            Some(_) => State::Reported,
        }
    }
}

/// The first of them, and whether any two differ.
fn choose(mut said: Vec<Said<'_>>) -> Cell<'_> {
    said.sort_by_key(Said::precedence);
    let sayings: BTreeSet<String> = said.iter().map(Said::saying).collect();
    said.truncate(1);
    Cell { counts: said, is_contested: sayings.len() > 1, ..Cell::default() }
}

/// Whether a report of that day of publication is one that the question is about.
pub fn was_published(question: &Question, published_on: &str) -> bool {
    let until = &question.published_until;
    until.is_empty() || !published_on.is_empty() && published_on <= until.as_str()
}

impl World {
    /// Every observation about an indicator in the reports that the question admits, whenever they were published.
    pub fn admitted<'a>(&'a self, question: &Question, indicator: &str) -> Vec<Said<'a>> {
        let filter = &question.reports;
        let mut admitted = Vec::new();
        for (revision, report) in self.reports.values() {
            let source = report.source.as_ref().unwrap();
            let issuer = if report.issuer.is_empty() { &report.unit } else { &report.issuer };
            let is_admitted = (filter.organ == 0 || filter.organ == report.organ.max(1))
                && (filter.issuer.is_empty() || filter.issuer == *issuer)
                && (filter.form.is_empty() || filter.form == report.form)
                && (filter.source.is_empty() || filter.source == source.uri || filter.source == source.title);
            for (place, observation) in report.observations.iter().enumerate().filter(|_| is_admitted) {
                let basis = observation.basis.max(1);
                if observation.indicator == indicator && (filter.basis.is_empty() || filter.basis.contains(&basis)) {
                    admitted.push(Said { revision: *revision, report, place });
                }
            }
        }
        admitted
    }

    /// Those of them that say it of the unit, split and of the scope that are asked for.
    pub fn statements<'a>(&'a self, ask: &Ask<'_>, unit: &str) -> Vec<Said<'a>> {
        let says_it = |said: &Said<'_>| {
            let observation = said.observation();
            let is_of_it = match said_scope(ask.scope) {
                Scope::Own => members(said.report, observation).contains(unit),
                scope => observation.scope() == scope && said.report.unit == unit,
            };
            is_of_it && observation.by == ask.by
        };
        self.admitted(ask.question, ask.indicator).into_iter().filter(says_it).collect()
    }

    /// Whether a statement speaks of the time: of a period exactly of its days, else of the day.
    pub fn speaks(&self, ask: &Ask<'_>, said: &Said<'_>, cuts_states: bool) -> bool {
        let Slot { first, day, .. } = ask.slot;
        let published_on = said.published_on();
        match self.indicator(ask.indicator).temporality() {
            Temporality::Flow => said.report.period_start_on == *first && said.report.period_end_on == *day,
            Temporality::State if cuts_states => {
                said.contains(day) && (published_on.is_empty() || day.as_str() <= published_on || said.looks_ahead())
            }
            _ => said.contains(day),
        }
    }

    /// Of statements that do not speak of the day: the last day of which they do, if they may be carried forward.
    fn known_until(&self, ask: &Ask<'_>, said: &Said<'_>) -> Option<String> {
        let mut ends = vec![said.report.period_end_on.clone()];
        let is_state = self.indicator(ask.indicator).temporality() == Temporality::State;
        ends.extend((is_state && !said.looks_ahead()).then(|| said.published_on().to_owned()));
        let end = ends.into_iter().filter(|end| !end.is_empty()).min()?;
        let is_knowledge = match said.value() {
            Value::Missing(missing) => *missing == i32::from(Missing::NotApplicable),
            _ => true,
        };
        let asked = ask.question.last_known || ask.is_last && ask.slot.first <= end;
        (asked && is_knowledge && end < ask.slot.day && said.report.period_start_on <= end).then_some(end)
    }

    pub fn cell<'a>(&'a self, ask: &Ask<'_>, unit: &str) -> Cell<'a> {
        let statements = self.statements(ask, unit);
        let (dated, rest): (Vec<Said<'_>>, Vec<Said<'_>>) =
            statements.into_iter().partition(|said| was_published(ask.question, said.published_on()));
        let would_speak = |said: &Said<'_>| match self.indicator(ask.indicator).temporality() {
            Temporality::Flow => {
                let Report { period_start_on, period_end_on, .. } = said.report;
                *period_start_on >= ask.slot.first && !period_end_on.is_empty() && *period_end_on <= ask.slot.day
            }
            _ => self.speaks(ask, said, true) || self.known_until(ask, said).is_some(),
        };
        let undated = rest.iter().filter(|said| said.published_on().is_empty() && would_speak(said));
        let undated = undated.map(|said| said.report.name.clone()).collect();
        let on_time: Vec<Said<'_>> = dated.iter().filter(|said| self.speaks(ask, said, true)).copied().collect();
        let is_flow = self.indicator(ask.indicator).temporality() == Temporality::Flow;
        let cell = match (on_time.is_empty(), is_flow) {
            (false, _) => choose(on_time),
            (true, true) => self.tiled(ask, &dated),
            (true, false) => {
                let mut earlier: BTreeMap<String, Vec<Said<'_>>> = BTreeMap::new();
                for said in dated {
                    if let Some(end) = self.known_until(ask, &said) {
                        earlier.entry(end).or_default().push(said);
                    }
                }
                earlier.pop_last().map_or_else(Cell::default, |(_, said)| Cell { is_carried: true, ..choose(said) })
            }
        };
        Cell { undated, ..cell }
    }

    /// Numbers whose periods follow each other over all the days asked for: the fewest, the longest first.
    fn tiled<'a>(&'a self, ask: &Ask<'_>, said: &[Said<'a>]) -> Cell<'a> {
        let Slot { first, day, .. } = ask.slot;
        let adds =
            matches!(self.indicator(ask.indicator).roll_up(), RollUp::Sum | RollUp::Distribution | RollUp::RatioOfSums);
        if !adds || first.is_empty() {
            return Cell::default();
        }
        let mut periods: BTreeMap<(String, String), Vec<Said<'a>>> = BTreeMap::new();
        for said in said.iter().filter(|said| !said.report.period_end_on.is_empty()) {
            let period = (said.report.period_start_on.clone(), said.report.period_end_on.clone());
            periods.entry(period).or_default().push(*said);
        }
        let tiles = periods.into_iter().map(|(period, said)| (period, choose(said)));
        let mut tiles: Vec<((String, String), Cell<'a>)> =
            tiles.filter(|(_, cell)| cell.counts[0].has_value()).collect();
        // The longest first, so that of several ways with as few tiles the first is taken.
        tiles.sort_by(|((_, a), _), ((_, b), _)| b.cmp(a));
        // How the days from a day on are tiled, from the last day backwards.
        let mut ways: BTreeMap<String, Vec<usize>> = [(next(day), Vec::new())].into();
        let mut starts: Vec<&String> = tiles.iter().map(|((start, _), _)| start).collect();
        starts.sort();
        for start in starts.into_iter().rev() {
            let mut best: Option<Vec<usize>> = None;
            for (place, ((from, until), _)) in tiles.iter().enumerate().filter(|(_, ((from, _), _))| from == start) {
                let Some(rest) = ways.get(&next(until)).filter(|_| from >= first) else { continue };
                if best.as_ref().is_none_or(|best| best.len() > rest.len() + 1) {
                    best = Some([place].into_iter().chain(rest.iter().copied()).collect());
                }
            }
            if let Some(best) = best {
                ways.insert(start.clone(), best);
            }
        }
        let Some(way) = ways.get(first) else { return Cell::default() };
        let is_contested = way.iter().any(|place| tiles[*place].1.is_contested);
        let counts = way.iter().map(|place| tiles[*place].1.counts[0]).collect();
        Cell { counts, is_contested, ..Cell::default() }
    }

    /// How a unit is counted by one cell: by its definition, else by what was said.
    pub fn state(&self, ask: &Ask<'_>, living: &Living, unit: &Unit, cell: &Cell<'_>) -> State {
        let day = &ask.slot.day;
        if arises(self.definition(ask.indicator, day), living, unit, day) { cell.state() } else { State::NotApplicable }
    }
}
