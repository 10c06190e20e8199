//! Two sides of one group.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{
    Comparison, Unit,
    comparison::{SideA, SideB, Transitions},
    figure::Measure,
    indicator::ValueKind,
    observation::Qualifier,
};

use super::{
    Answer, Question, Refused, World,
    cell::State,
    groups::{Group, Key},
    number::Number,
    question::Slot,
    row::{Fact, Row, count},
    series::Outcome,
    share::share_of,
};

/// A question, and what is known to who answers it.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub world: &'a World,
    pub question: &'a Question,
}

/// How two sides are compared.
#[derive(Clone, Copy, Debug)]
pub struct Comparing {
    /// Only units that both sides have.
    pub is_constant: bool,
}

/// A side of one group: its row, and what it is called.
struct Seen<'a> {
    row: Row<'a>,
    outcome: Outcome,
}

impl Seen<'_> {
    fn number(&self) -> Option<Number> {
        let is_exact = match &self.outcome {
            Outcome::Share(_) => true,
            Outcome::Figure(figure) => figure.qualifier == 0,
        };
        self.outcome.number().filter(|_| is_exact).map(|text| Number::read(text))
    }

    fn currency(&self) -> &str {
        match &self.outcome {
            Outcome::Share(_) => "",
            Outcome::Figure(figure) => &figure.currency,
        }
    }

    fn fact(&self, unit: &str) -> Option<&Fact<'_>> {
        self.row.certain.iter().chain(&self.row.undetermined).find(|fact| fact.unit == unit)
    }
}

impl<'a> Side<'a> {
    fn groups<'l>(&self, slot: &Slot, living: &'l super::Living) -> BTreeMap<Key, Group<'l>> {
        let groups = self.world.groups(self.question, slot, living).into_iter();
        let is_one = self.question.group_by.is_empty();
        groups.map(|group| (if is_one { (0, String::new()) } else { group.key.clone() }, group)).collect()
    }

    fn is_flag(&self) -> bool {
        self.world.kind(&self.question.indicator) == ValueKind::Flag
    }

    fn see(&self, slot: &Slot, living: &super::Living, group: Group<'_>) -> Seen<'a> {
        let Self { world, question } = *self;
        let asks = question.asks(slot, world.measure(question));
        let row = world.row(question, slot, living, group, &|unit| world.fact(&asks, living, unit));
        let outcome = if self.is_flag() {
            Outcome::Share(world.share_row(question, slot, living, &row))
        } else {
            Outcome::Figure(world.figure_row(question, slot, living, &row))
        };
        Seen { row, outcome }
    }

    /// The measure over some units of a row; none if there is none, or it is not exact.
    fn over(&self, seen: &Seen<'_>, is_of: impl Fn(&Fact<'_>) -> bool + Copy) -> Option<Number> {
        let facts = seen.row.certain.iter().filter(|fact| is_of(fact));
        if self.is_flag() {
            return share_of(facts);
        }
        let facts: Vec<&Fact<'_>> = facts.collect();
        let taking = self.world.taking(self.question);
        let adds = matches!(taking.measure, Measure::Sum | Measure::Last | Measure::Count);
        if adds && facts.iter().all(|fact| fact.state != State::Reported) {
            return Some(Number::ZERO);
        }
        let measured = taking.take(&facts, &[]);
        measured.value.filter(|(_, qualifier)| *qualifier == Qualifier::Exact).map(|(number, _)| number)
    }
}

/// The units of each group, also those of which it is not known whether they belong to it.
type Units = BTreeMap<Key, BTreeSet<String>>;

fn units_of(groups: &BTreeMap<Key, Group<'_>>) -> Units {
    let ids = |group: &Group<'_>| group.certain.iter().chain(&group.undetermined).map(|unit| unit.id.clone()).collect();
    groups.iter().map(|(key, group)| (key.clone(), ids(group))).collect()
}

pub fn compare(a: Side<'_>, b: Side<'_>, comparing: Comparing) -> Result<Answer<Comparison>, Refused> {
    let slots_a = a.world.check_form(a.question)?;
    let slots_b = b.world.check_form(b.question)?;
    let (slot_a, slot_b) = (&slots_a[0], &slots_b[0]);
    let (living_a, living_b) = (a.world.living(&slot_a.day), b.world.living(&slot_b.day));
    let (mut groups_a, mut groups_b) = (a.groups(slot_a, &living_a), b.groups(slot_b, &living_b));
    let keys: BTreeSet<Key> = groups_a.keys().chain(groups_b.keys()).cloned().collect();
    let (all_a, all_b) = (units_of(&groups_a), units_of(&groups_b));
    let nothing = BTreeSet::new();
    let units = |all: &Units, key: &Key| all.get(key).unwrap_or(&nothing).clone();
    if comparing.is_constant {
        for (key, group) in groups_a.iter_mut().chain(&mut groups_b) {
            let (ids_a, ids_b) = (units(&all_a, key), units(&all_b, key));
            let is_kept = |unit: &&Unit| ids_a.contains(&unit.id) && ids_b.contains(&unit.id);
            group.certain.retain(is_kept);
            group.undetermined.retain(is_kept);
        }
    }
    a.world.check_groups(a.question, &living_a, &groups_a.values().collect::<Vec<_>>())?;
    b.world.check_groups(b.question, &living_b, &groups_b.values().collect::<Vec<_>>())?;
    let version = |side: Side<'_>, slot: &Slot| side.world.definition(&side.question.indicator, &slot.day).version;
    let definition_changed = version(a, slot_a) != version(b, slot_b);
    let mut comparisons = Vec::new();
    for key in keys {
        let (group_a, group_b) = (groups_a.remove(&key), groups_b.remove(&key));
        let (ids_a, ids_b) = (units(&all_a, &key), units(&all_b, &key));
        let panel: BTreeSet<String> = ids_a.intersection(&ids_b).cloned().collect();
        let seen_a = group_a.map(|group| a.see(slot_a, &living_a, group));
        let seen_b = group_b.map(|group| b.see(slot_b, &living_b, group));
        let mut comparison = Comparison {
            panel_units: Some(count(panel.len())),
            only_a: Some(count(ids_a.difference(&ids_b).count())),
            only_b: Some(count(ids_b.difference(&ids_a).count())),
            transitions: a.is_flag().then(|| transitions(&panel, seen_a.as_ref(), seen_b.as_ref())),
            definition_changed,
            ..Comparison::default()
        };
        if let (Some(seen_a), Some(seen_b)) = (&seen_a, &seen_b) {
            fill(&mut comparison, &panel, (a, seen_a), (b, seen_b));
        }
        let named = seen_b.as_ref().or(seen_a.as_ref()).unwrap();
        comparison.unit.clone_from(&named.row.unit);
        comparison.name.clone_from(&named.row.name);
        comparison.attribute_value.clone_from(&named.row.attribute_value);
        if seen_a.as_ref().zip(seen_b.as_ref()).is_some_and(|(a, b)| a.row.unit != b.row.unit) {
            comparison.unit = String::new();
            comparison.name = String::new();
        }
        let is_enough =
            |seen: &Option<Seen<'_>>| seen.as_ref().is_some_and(|seen| a.question.is_enough(seen.outcome.coverage()));
        let is_covered = a.question.coverage_min.is_empty() || is_enough(&seen_a) && is_enough(&seen_b);
        comparison.side_a = seen_a.map(|seen| match seen.outcome {
            Outcome::Share(share) => SideA::ShareA(share),
            Outcome::Figure(figure) => SideA::FigureA(figure),
        });
        comparison.side_b = seen_b.map(|seen| match seen.outcome {
            Outcome::Share(share) => SideB::ShareB(share),
            Outcome::Figure(figure) => SideB::FigureB(figure),
        });
        comparisons.push((comparison, is_covered));
    }
    let Answer { rows, below } = World::covered(a.question, comparisons, |(_, is_covered)| *is_covered);
    Ok(Answer { rows: rows.into_iter().map(|(comparison, _)| comparison).collect(), below })
}

/// What the difference is, and where it comes from.
fn fill(
    comparison: &mut Comparison,
    panel: &BTreeSet<String>,
    (a, seen_a): (Side<'_>, &Seen<'_>),
    (b, seen_b): (Side<'_>, &Seen<'_>),
) {
    let is_quotient = a.is_flag() || a.world.taking(a.question).is_quotient();
    let written = |number: Number| if is_quotient { number.with_places(6) } else { number.plain() };
    let (currency_a, currency_b) = (seen_a.currency(), seen_b.currency());
    if !currency_a.is_empty() && !currency_b.is_empty() && currency_a != currency_b {
        return;
    }
    let (bounds_a, bounds_b) = (seen_a.outcome.bounds(), seen_b.outcome.bounds());
    let less = |b: Option<super::number::End>, a: Option<super::number::End>| Some(written(b?.at - a?.at));
    comparison.difference_lower = less(bounds_b.lower, bounds_a.upper);
    comparison.difference_upper = less(bounds_b.upper, bounds_a.lower);
    let (Some(number_a), Some(number_b)) = (seen_a.number(), seen_b.number()) else { return };
    let difference = number_b - number_a;
    comparison.difference = Some(written(difference));
    comparison.relative = (number_a > Number::ZERO).then(|| (difference / number_a).with_places(6));
    let is_in_panel = |fact: &Fact<'_>| panel.contains(&fact.unit);
    let has_reported = |seen: &Seen<'_>, unit: &str| {
        seen.row.certain.iter().any(|fact| fact.unit == unit && fact.state == State::Reported)
    };
    let reported_on_both =
        |fact: &Fact<'_>| is_in_panel(fact) && has_reported(seen_a, &fact.unit) && has_reported(seen_b, &fact.unit);
    let parts = || {
        let behaviour = b.over(seen_b, reported_on_both)? - a.over(seen_a, reported_on_both)?;
        let of_panel = b.over(seen_b, is_in_panel)? - a.over(seen_a, is_in_panel)?;
        Some((behaviour, of_panel - behaviour, difference - of_panel))
    };
    if let Some((behaviour, reporting, reorganisation)) = parts() {
        comparison.behaviour = Some(written(behaviour));
        comparison.reporting = Some(written(reporting));
        comparison.reorganisation = Some(written(reorganisation));
    }
}

fn transitions(panel: &BTreeSet<String>, a: Option<&Seen<'_>>, b: Option<&Seen<'_>>) -> Transitions {
    let flag = |seen: Option<&Seen<'_>>, unit: &str| seen.and_then(|seen| seen.fact(unit)?.flag(0));
    let moved = |from: bool, to: bool| -> Vec<String> {
        let units = panel.iter().filter(|unit| flag(a, unit) == Some(from) && flag(b, unit) == Some(to));
        units.cloned().collect()
    };
    let (stopped, started) = (moved(true, false), moved(false, true));
    let unknown = panel.iter().filter(|unit| flag(a, unit).is_none() || flag(b, unit).is_none()).count();
    Transitions {
        stayed_yes: Some(count(moved(true, true).len())),
        stopped: Some(count(stopped.len())),
        started: Some(count(started.len())),
        stayed_no: Some(count(moved(false, false).len())),
        unknown: Some(count(unknown)),
        stopped_units: stopped,
        started_units: started,
    }
}
