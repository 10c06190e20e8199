//! What every row counts, whatever it measures.

use std::collections::BTreeSet;

use proto::v1::{
    Share, Unit,
    figure::{Caveat, EmptyReason},
    indicator::Temporality,
    observation::{Basis, Scope},
    share::ExpectedBasis,
};

use super::{
    Living, Question, World,
    amount::Amount,
    cell::{Ask, Cell, Said, State, members, said_scope, was_published},
    findings::Findings,
    groups::{Group, Key},
    number::Number,
    question::Slot,
};

/// What is known of one unit of a row.
pub struct Fact<'a> {
    pub unit: String,
    pub state: State,
    /// One for each thing that is asked.
    pub cells: Vec<Cell<'a>>,
    /// How the unit is counted by each of them alone.
    pub states: Vec<State>,
    /// The number of each; empty unless it reported all of them.
    pub amounts: Vec<Amount>,
}

impl<'a> Fact<'a> {
    /// The statements that count with a value, with the number of what they answer.
    fn values(&self) -> impl Iterator<Item = (usize, &Cell<'a>, &Said<'a>)> {
        let counts = |(place, _): &(usize, &Cell<'_>)| self.states[*place] == State::Reported;
        let cells = self.cells.iter().enumerate().filter(|_| self.state == State::Reported).filter(counts);
        cells.flat_map(|(place, cell)| cell.counts.iter().map(move |said| (place, cell, said)))
    }

    pub fn is_silent(&self) -> bool {
        matches!(self.state, State::NotReported | State::Withheld)
    }
}

/// The units of a row and what is known of them.
pub struct Row<'a> {
    pub key: Key,
    pub unit: String,
    pub name: String,
    pub attribute_value: String,
    pub certain: Vec<Fact<'a>>,
    pub undetermined: Vec<Fact<'a>>,
}

/// How many units of a row are in each state.
pub struct Counts {
    pub reported: i32,
    pub not_reported: i32,
    pub withheld: i32,
    pub not_applicable: i32,
}

impl Counts {
    pub fn applicable(&self) -> i32 {
        self.reported + self.not_reported + self.withheld
    }

    pub fn expected(&self) -> i32 {
        self.applicable() + self.not_applicable
    }

    pub fn coverage(&self) -> Option<String> {
        part(self.reported, self.applicable())
    }
}

pub fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap()
}

/// part / whole with six digits.
pub fn part(part: i32, whole: i32) -> Option<String> {
    (whole > 0).then(|| (Number::whole(part) / Number::whole(whole)).with_places(6))
}

impl Row<'_> {
    pub fn counts(&self) -> Counts {
        let of = |state| count(self.certain.iter().filter(|fact| fact.state == state).count());
        Counts {
            reported: of(State::Reported),
            not_reported: of(State::NotReported),
            withheld: of(State::Withheld),
            not_applicable: of(State::NotApplicable),
        }
    }

    pub fn contested(&self) -> i32 {
        count(self.certain.iter().filter(|fact| fact.cells.iter().any(|cell| cell.is_contested)).count())
    }

    pub fn carried(&self) -> i32 {
        count(self.certain.iter().filter(|fact| fact.cells.iter().any(|cell| cell.is_carried)).count())
    }

    /// Reports that would have spoken for a unit.
    pub fn undated(&self) -> BTreeSet<String> {
        self.certain.iter().flat_map(|fact| &fact.cells).flat_map(|cell| cell.undated.clone()).collect()
    }

    pub fn is_of(&self, unit: &str) -> bool {
        self.certain.iter().any(|fact| fact.unit == unit)
    }

    /// Units of which it is not known whether they belong to it, if there are filters.
    pub fn undetermined(&self, question: &Question) -> Option<i32> {
        (!question.filters.is_empty()).then(|| count(self.undetermined.len()))
    }
}

impl World {
    /// Every row of one time, with what each unit says to each of what is asked.
    pub fn rows<'a>(
        &'a self,
        question: &Question,
        slot: &Slot,
        living: &Living,
        fact: &dyn Fn(&Unit) -> Fact<'a>,
    ) -> Vec<Row<'a>> {
        let groups = self.groups(question, slot, living);
        groups.into_iter().map(|group| self.row(question, slot, living, group, fact)).collect()
    }

    pub fn row<'a>(
        &'a self,
        question: &Question,
        slot: &Slot,
        living: &Living,
        Group { key, certain, undetermined }: Group<'_>,
        fact: &dyn Fn(&Unit) -> Fact<'a>,
    ) -> Row<'a> {
        // A unit that is counted is called as it is on that day, a group as on the map.
        let (is_named, is_group) = (key.0 == 0, !["", "UNIT"].contains(&question.group_by.as_str()));
        let is_value = is_named && question.is_by_value();
        let name = match (is_named && !is_value, is_group) {
            (false, _) => String::new(),
            (true, true) => self.name(&self.living(question.map_day(slot)), &key.1),
            (true, false) => self.name(living, &key.1),
        };
        Row {
            unit: if is_value { String::new() } else { key.1.clone() },
            name,
            attribute_value: if is_value { key.1.clone() } else { String::new() },
            key,
            certain: certain.into_iter().map(fact).collect(),
            undetermined: undetermined.into_iter().map(fact).collect(),
        }
    }

    /// What a unit says to each of what is asked: it reported if it did so to all of it.
    pub fn fact<'a>(&'a self, asks: &[Ask<'_>], living: &Living, unit: &Unit) -> Fact<'a> {
        let cells: Vec<Cell<'a>> = asks.iter().map(|ask| self.cell(ask, &unit.id)).collect();
        let states: Vec<State> =
            asks.iter().zip(&cells).map(|(ask, cell)| self.state(ask, living, unit, cell)).collect();
        let order = [State::NotApplicable, State::Withheld, State::NotReported];
        let state = order.into_iter().find(|state| states.contains(state)).unwrap_or(State::Reported);
        let amounts = cells.iter().filter(|_| state == State::Reported).filter_map(Amount::of).collect();
        Fact { unit: unit.id.clone(), state, cells, states, amounts }
    }

    pub fn is_flow(&self, indicator: &str) -> bool {
        self.indicator(indicator).temporality() == Temporality::Flow
    }

    pub fn expected_basis(&self, day: &str) -> ExpectedBasis {
        let is_complete = !self.complete_from.is_empty() && self.complete_from.as_str() <= day;
        if is_complete { ExpectedBasis::Registered } else { ExpectedBasis::Assumed }
    }

    /// Open findings on the statements that count.
    pub fn findings_of(&self, row: &Row<'_>) -> Findings {
        let counts = row.certain.iter().flat_map(|fact| &fact.cells).flat_map(|cell| &cell.counts);
        counts.flat_map(|said| self.open_findings(said.report, said.place)).collect()
    }

    /// Why a row has no number; none if somebody reported.
    pub fn silence(&self, asks: &[Ask<'_>], row: &Row<'_>, is_share: bool) -> Option<EmptyReason> {
        let counts = row.counts();
        Some(match () {
            () if row.certain.is_empty() => EmptyReason::NoUnits,
            () if counts.applicable() == 0 => EmptyReason::AllNotApplicable,
            () if counts.reported > 0 => return None,
            () if counts.withheld > 0 => EmptyReason::Withheld,
            () if !row.undated().is_empty() => EmptyReason::Undated,
            () if !is_share && !self.other_periods(asks, row).is_empty() => EmptyReason::OtherPeriods,
            () if !self.other_scopes(asks, row).is_empty() => EmptyReason::OtherScopes,
            () => EmptyReason::NothingReported,
        })
    }

    /// Statements of a flow about a unit of the row that overlap the period.
    pub fn other_periods<'a>(&'a self, asks: &[Ask<'_>], row: &Row<'_>) -> Vec<Said<'a>> {
        let mut found = Vec::new();
        for ask in asks {
            for said in row.certain.iter().flat_map(|fact| self.statements(ask, &fact.unit)) {
                let is_other = self.overlaps_period(ask, &said) && !self.speaks(ask, &said, true);
                if is_other && was_published(ask.question, said.published_on()) {
                    found.push(said);
                }
            }
        }
        found
    }

    /// Whether a statement of a flow speaks of some of the days asked for.
    fn overlaps_period(&self, ask: &Ask<'_>, said: &Said<'_>) -> bool {
        let (first, last) = (&ask.slot.first, &ask.slot.day);
        let (start, end) = (&said.report.period_start_on, &said.report.period_end_on);
        self.is_flow(ask.indicator) && start <= last && (end.is_empty() || first <= end)
    }

    /// Statements of the units of the row for the time that are of another scope, or split otherwise.
    pub fn other_scopes<'a>(&'a self, asks: &[Ask<'_>], row: &Row<'_>) -> Vec<Said<'a>> {
        let mut found = Vec::new();
        for ask in asks {
            for said in self.admitted(ask.question, ask.indicator) {
                let observation = said.observation();
                let is_of_each = observation.scope() == Scope::Group && !members(said.report, observation).is_empty();
                let is_other = said_scope(observation.scope()) != said_scope(ask.scope) || observation.by != ask.by;
                if is_other
                    && !is_of_each
                    && row.is_of(&said.report.unit)
                    && (self.speaks(ask, &said, true) || self.overlaps_period(ask, &said))
                    && was_published(ask.question, said.published_on())
                {
                    found.push(said);
                }
            }
        }
        found
    }

    /// What stands between a row and another one.
    pub fn caveats(&self, asks: &[Ask<'_>], row: &Row<'_>) -> Vec<i32> {
        let values: Vec<(usize, &Cell<'_>, &Said<'_>)> = row.certain.iter().flat_map(Fact::values).collect();
        let bases: BTreeSet<i32> = values.iter().map(|(.., said)| said.observation().basis.max(1)).collect();
        let versions: BTreeSet<(&String, i32)> = values
            .iter()
            .map(|(.., said)| (&said.observation().indicator, said.observation().indicator_version))
            .collect();
        let indicators: BTreeSet<&String> = versions.iter().map(|(indicator, _)| *indicator).collect();
        let is_flow = asks.iter().any(|ask| self.is_flow(ask.indicator));
        let first = asks[0].slot.first.as_str();
        let then = if is_flow && !first.is_empty() { Some(self.living(first)) } else { None };
        let is_new = |fact: &Fact<'_>| then.as_ref().is_some_and(|then| !then.contains_key(&fact.unit));
        let all = [
            (Caveat::Incomplete, row.certain.iter().any(Fact::is_silent)),
            (Caveat::NotActual, !values.is_empty() && !bases.contains(&Basis::Actual.into())),
            (Caveat::BasisMixed, bases.len() > 1),
            (Caveat::DefinitionsMixed, versions.len() > indicators.len()),
            (Caveat::Tiled, values.iter().any(|(_, cell, _)| cell.counts.len() > 1)),
            (Caveat::CarriedForward, values.iter().any(|(_, cell, _)| cell.is_carried)),
            (Caveat::UnitsChanged, row.certain.iter().any(is_new)),
            (Caveat::Contested, row.contested() > 0),
        ];
        all.into_iter().filter(|(_, holds)| *holds).map(|(caveat, _)| caveat.into()).collect()
    }

    /// Leaves rows out whose coverage is too small.
    pub fn covered<T>(question: &Question, rows: Vec<T>, coverage: impl Fn(&T) -> bool) -> super::Answer<T> {
        let all = rows.len();
        let is_asked = !question.coverage_min.is_empty();
        let rows: Vec<T> = rows.into_iter().filter(|row| !is_asked || coverage(row)).collect();
        let below = is_asked.then(|| count(all - rows.len()));
        super::Answer { rows, below }
    }
}

impl Question {
    /// Whether a coverage is enough.
    pub fn is_enough(&self, coverage: Option<&String>) -> bool {
        coverage.is_some_and(|coverage| Number::read(coverage) >= Number::read(&self.coverage_min))
    }
}

/// With from, to and step a share says of which time it is.
pub fn timed(question: &Question, slot: &Slot, share: Share) -> Share {
    if question.is_series() { Share { on: slot.day.clone(), period: slot.period.clone(), ..share } } else { share }
}
