//! Units, or what they counted, by class.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{
    Distribution, Unit,
    distribution::{Class, Printed},
    figure::EmptyReason,
    observation::{Qualifier, Value},
};

use super::{
    Answer, Living, Question, Refused, World,
    amount::Amount,
    cell::{Ask, Cell, Said, State},
    findings::Findings,
    number::{Number, combined},
    number_of,
    question::Slot,
    row::{Fact, Row, count, part},
};

/// In which classes a unit is for certain, and in which it can be.
struct Place {
    is_in: Vec<bool>,
    can_be: Vec<bool>,
}

fn class_of_units(code: &str, classes: (usize, &[Place], &[Place]), counts: (i32, i32)) -> Class {
    let (at, certain, maybe) = classes;
    let (total, applicable) = counts;
    // Of some units it is known that they have at least one, although not in which class they are.
    let decided = count(certain.iter().filter(|place| place.is_in[at] || !place.can_be[at]).count());
    let total = if code == "either" { decided } else { total };
    let all = |places: &[Place], is: &dyn Fn(&Place) -> bool| count(places.iter().filter(|place| is(place)).count());
    let is_in = all(certain, &|place| place.is_in[at]);
    let can_be = all(certain, &|place| place.can_be[at]);
    let may_be_out = all(maybe, &|place| !place.is_in[at]);
    let may_be_in = all(maybe, &|place| place.can_be[at]);
    Class {
        code: code.to_owned(),
        count: is_in.to_string(),
        share: part(is_in, total),
        percent: percent(Number::whole(is_in), Number::whole(total)),
        lower: part(is_in, applicable + may_be_out),
        upper: part(can_be + may_be_in, applicable + may_be_in),
        ..Class::default()
    }
}

/// Of two flags: one that does not apply is no; if neither applies, the unit is not applicable.
fn of_two(fact: Fact<'_>) -> Fact<'_> {
    let known = [State::Reported, State::NotApplicable];
    let state = match fact.states.as_slice() {
        [State::NotApplicable, State::NotApplicable] => State::NotApplicable,
        [first, second] if known.contains(first) && known.contains(second) => State::Reported,
        [first, second] if known.contains(first) || known.contains(second) => State::NotReported,
        states if states.contains(&State::Withheld) => State::Withheld,
        _ => State::NotReported,
    };
    Fact { state, ..fact }
}

/// Where a unit is by what it says.
fn place(fact: &Fact<'_>, codes: &[String]) -> Place {
    let said = |cell: &Cell<'_>| cell.counts.first().map(|said| said.value().clone());
    if fact.cells.len() == 1 {
        let code = match said(&fact.cells[0]) {
            Some(Value::Category(code)) => Some(code),
            _ => None,
        };
        let is = |other: &String| code.as_ref() == Some(other);
        return Place {
            is_in: codes.iter().map(is).collect(),
            can_be: codes.iter().map(|other| code.is_none() || is(other)).collect(),
        };
    }
    // What each flag can be: yes, no.
    let can = |place: usize| match (fact.states[place], said(&fact.cells[place])) {
        (State::NotApplicable, _) => vec![false],
        (State::Reported, Some(Value::Flag(flag))) => vec![flag],
        _ => vec![true, false],
    };
    let (first, second) = (can(0), can(1));
    let pairs: Vec<(bool, bool)> =
        first.iter().flat_map(|first| second.iter().map(|second| (*first, *second))).collect();
    type IsIn = fn(&(bool, bool)) -> bool;
    let classes: [IsIn; 5] = [|p| p.0 && p.1, |p| p.0 && !p.1, |p| !p.0 && p.1, |p| !p.0 && !p.1, |p| p.0 || p.1];
    Place {
        is_in: classes.iter().map(|class| pairs.iter().all(class)).collect(),
        can_be: classes.iter().map(|class| pairs.iter().any(class)).collect(),
    }
}

fn percent(part: Number, whole: Number) -> Option<String> {
    (whole > Number::ZERO).then(|| (part / whole * Number::whole(100)).with_places(2))
}

impl World {
    pub fn distribution(&self, question: &Question) -> Result<Answer<Distribution>, Refused> {
        let (slots, dimension) = self.check_distribution(question)?;
        let mut rows = Vec::new();
        for slot in &slots {
            let living = self.living(&slot.day);
            rows.extend(match &dimension {
                Some(dimension) => self.by_dimension(question, slot, &living, dimension),
                None => self.of_units(question, slot, &living),
            });
        }
        Ok(Self::covered(question, rows, |row| question.is_enough(row.coverage.as_ref())))
    }

    /// A CATEGORY, or two flags.
    fn of_units(&self, question: &Question, slot: &Slot, living: &Living) -> Vec<Distribution> {
        let is_flags = !question.flags.is_empty();
        let ask =
            |indicator| Ask { indicator, by: BTreeMap::new(), scope: question.scope, slot, question, is_last: false };
        let asks: Vec<Ask<'_>> = match question.flags.as_slice() {
            [] => vec![ask(&question.indicator)],
            flags => flags.iter().map(|flag| ask(flag)).collect(),
        };
        let codes: Vec<String> = if is_flags {
            ["both", "first_only", "second_only", "neither", "either"].map(str::to_owned).into()
        } else {
            self.definition(&question.indicator, &slot.day).codes.clone()
        };
        let fact = |unit: &Unit| {
            let fact = self.fact(&asks, living, unit);
            if is_flags { of_two(fact) } else { fact }
        };
        let rows = self.rows(question, slot, living, &fact);
        let distribution = |row: &Row<'_>| {
            let place = |fact: &Fact<'_>| place(fact, &codes);
            let arises = |fact: &&Fact<'_>| fact.state != State::NotApplicable;
            let certain: Vec<Place> = row.certain.iter().filter(arises).map(place).collect();
            let maybe: Vec<Place> = row.undetermined.iter().filter(arises).map(place).collect();
            let counts = row.counts();
            let classes = codes.iter().enumerate();
            let mut classes: Vec<Class> = classes
                .map(|(at, code)| class_of_units(code, (at, &certain, &maybe), (counts.reported, counts.applicable())))
                .collect();
            let either = if is_flags { classes.pop() } else { None };
            Distribution {
                classes,
                either,
                total: counts.reported.to_string(),
                is_complete: true,
                empty_reason: self.silence(&asks, row, is_flags).map_or(0, Into::into),
                ..self.common(question, (&asks, slot), row)
            }
        };
        rows.iter().map(distribution).collect()
    }

    /// What units counted by the classes of a dimension.
    fn by_dimension(&self, question: &Question, slot: &Slot, living: &Living, dimension: &str) -> Vec<Distribution> {
        let id = &question.indicator;
        let defined = self.definition(id, &slot.day).dimensions.iter().find(|known| known.id == dimension).unwrap();
        let mut known: Vec<String> = defined.codes.clone();
        if !defined.closed {
            // Any code that is said of anybody; rows show those of their own units.
            let said = self.admitted(&Question::default(), id).into_iter();
            let codes: BTreeSet<String> =
                said.filter_map(|said| said.observation().by.get(dimension).cloned()).collect();
            known.extend(codes.into_iter().filter(|code| !defined.codes.contains(code)));
        }
        let ask = |by: BTreeMap<String, String>| Ask {
            indicator: id,
            by,
            scope: question.scope,
            slot,
            question,
            is_last: false,
        };
        let asks: Vec<Ask<'_>> = known.iter().map(|code| ask([(dimension.to_owned(), code.clone())].into())).collect();
        let whole = ask(BTreeMap::new());
        let fact = |unit: &Unit| {
            let cells: Vec<Cell<'_>> = asks.iter().map(|ask| self.cell(ask, &unit.id)).collect();
            let states: Vec<State> =
                asks.iter().zip(&cells).map(|(ask, cell)| self.state(ask, living, unit, cell)).collect();
            let state = match () {
                () if states.contains(&State::Reported) => State::Reported,
                () if states.contains(&State::Withheld) => State::Withheld,
                () if states.iter().all(|state| *state == State::NotApplicable) => State::NotApplicable,
                () => State::NotReported,
            };
            Fact { unit: unit.id.clone(), state, cells, states, amounts: Vec::new() }
        };
        let rows = self.rows(question, slot, living, &fact);
        let distribution = |row: &Row<'_>| {
            let reported: Vec<&Fact<'_>> = row.certain.iter().filter(|fact| fact.state == State::Reported).collect();
            let amounts =
                |at: usize| -> Vec<Amount> { reported.iter().filter_map(|fact| Amount::of(&fact.cells[at])).collect() };
            // Whenever, and in whichever report.
            let everything = Question::default();
            let is_used = |at: usize| {
                let ever = Ask { question: &everything, ..asks[at].clone() };
                let is_said = |fact: &Fact<'_>| !self.statements(&ever, &fact.unit).is_empty();
                at < defined.codes.len() || row.certain.iter().any(is_said)
            };
            let used: Vec<usize> = (0..known.len()).filter(|at| is_used(*at)).collect();
            let is_partial =
                |fact: &&&Fact<'_>| defined.closed && used.iter().any(|at| Amount::of(&fact.cells[*at]).is_none());
            let partial = reported.iter().filter(is_partial).count();
            let sums: Vec<(Number, Option<Qualifier>)> = used
                .iter()
                .map(|at| {
                    let amounts = amounts(*at);
                    let qualifiers: Vec<Qualifier> = amounts.iter().flat_map(|a| a.qualifiers.clone()).collect();
                    (amounts.iter().map(|amount| amount.number).sum(), combined(&qualifiers))
                })
                .collect();
            let total: Number = sums.iter().map(|(sum, _)| *sum).sum();
            let is_exact = sums.iter().all(|(_, qualifier)| *qualifier == Some(Qualifier::Exact));
            let has_shares = partial == 0 && is_exact && total > Number::ZERO;
            // What nobody reported is absent, and not 0.
            let is_said = |at: usize| !amounts(at).is_empty();
            let class = |(at, (sum, qualifier)): (&usize, &(Number, Option<Qualifier>))| Class {
                code: known[*at].clone(),
                count: qualifier.filter(|_| is_said(*at)).map_or_else(String::new, |_| sum.plain()),
                qualifier: qualifier.filter(|q| *q != Qualifier::Exact).map_or(0, Into::into),
                share: (has_shares && is_said(*at)).then(|| (*sum / total).with_places(6)),
                percent: if has_shares && is_said(*at) { percent(*sum, total) } else { None },
                reported: Some(count(amounts(*at).len())),
                printed: printed(&reported, *at),
                ..Class::default()
            };
            let of_whole: Vec<Amount> =
                row.certain.iter().filter_map(|fact| self.amount(&whole, living, fact)).collect();
            let sum = |amounts: &[Amount]| -> Option<(Number, i32)> {
                let qualifiers: Vec<Qualifier> = amounts.iter().flat_map(|a| a.qualifiers.clone()).collect();
                let qualifier = combined(&qualifiers).filter(|_| !amounts.is_empty())?;
                let said = if qualifier == Qualifier::Exact { 0 } else { qualifier.into() };
                Some((amounts.iter().map(|amount| amount.number).sum(), said))
            };
            let of_classes: Vec<Amount> = used.iter().flat_map(|at| amounts(*at)).collect();
            let no_total = sum(&of_classes).is_none().then_some(EmptyReason::NoSingleNumber);
            Distribution {
                classes: used.iter().zip(&sums).map(class).collect(),
                total: sum(&of_classes).map_or_else(String::new, |(total, _)| total.plain()),
                total_qualifier: sum(&of_classes).map_or(0, |(_, qualifier)| qualifier),
                reported_total: sum(&of_whole).map(|(total, _)| total.plain()),
                reported_total_qualifier: sum(&of_whole).map_or(0, |(_, qualifier)| qualifier),
                is_complete: partial == 0,
                partial: Some(count(partial)),
                empty_reason: self.silence(&asks, row, false).or(no_total).map_or(0, Into::into),
                ..self.common(question, (&asks, slot), row)
            }
        };
        rows.iter().map(distribution).collect()
    }

    /// What a unit reports without a class.
    fn amount(&self, whole: &Ask<'_>, living: &Living, fact: &Fact<'_>) -> Option<Amount> {
        let cell = self.cell(whole, &fact.unit);
        let is_reported = self.state(whole, living, &living[&fact.unit], &cell) == State::Reported;
        Amount::of(&cell).filter(|_| is_reported)
    }

    /// What every distribution shows of a row.
    fn common(&self, question: &Question, (asks, slot): (&[Ask<'_>], &Slot), row: &Row<'_>) -> Distribution {
        let counts = row.counts();
        let mut findings: Findings = self.findings_of(row);
        let said = row.certain.iter().flat_map(|fact| &fact.cells).flat_map(|cell| &cell.counts);
        findings.extend(said.flat_map(|said| self.findings_on_all(said.revision, said.report)));
        let mut shown: Vec<((i64, usize), _)> = Vec::new();
        for key in &findings {
            let (report, finding) = self.finding(*key);
            shown.push(((report, key.1), finding));
        }
        shown.sort_by_key(|(place, _)| *place);
        let is_timed = question.is_series();
        Distribution {
            unit: row.unit.clone(),
            name: row.name.clone(),
            attribute_value: row.attribute_value.clone(),
            reported: Some(counts.reported),
            not_reported: Some(counts.not_reported),
            withheld: Some(counts.withheld),
            not_applicable: Some(counts.not_applicable),
            expected: Some(counts.expected()),
            undetermined: row.undetermined(question),
            expected_basis: self.expected_basis(&slot.day).into(),
            contested: Some(row.contested()),
            finding_count: Some(count(findings.len())),
            findings: shown.into_iter().map(|(_, finding)| finding).take(50).collect(),
            carried: question.last_known.then(|| row.carried()),
            undated: (!question.published_until.is_empty()).then(|| count(row.undated().len())),
            coverage: counts.coverage(),
            comparability: self.caveats(asks, row),
            on: if is_timed { slot.day.clone() } else { String::new() },
            period: if is_timed { slot.period.clone() } else { String::new() },
            ..Distribution::default()
        }
    }
}

/// Percentages as printed beside the counts of a class.
fn printed(reported: &[&Fact<'_>], at: usize) -> Vec<Printed> {
    let said = reported.iter().flat_map(|fact| &fact.cells[at].counts).filter(|said| said.has_value());
    let mut said: Vec<&Said<'_>> = said.filter(|said| !said.observation().stated_percent.is_empty()).collect();
    said.sort_by_key(|said| (number_of(&said.report.name), said.place));
    let printed = said.into_iter().map(|said| Printed {
        percent: said.observation().stated_percent.clone(),
        unit: said.report.unit.clone(),
        report: said.report.name.clone(),
    });
    printed.collect()
}
