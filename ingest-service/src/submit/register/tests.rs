//! What is accepted, and that it keeps the invariants of units whatever is asked for.
//!
//! The second part tells the life of every unit once more, from the registrations and events themselves, by plain loops and
//! without any code of the registry.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use jiff::civil::Date;
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner},
};
use shared::{
    model::{
        event::{Cleared, EventStatus, EventType, UnitChange},
        log::Revision,
        period::Span,
    },
    registry::Relative,
};

use super::*;

fn unit(id: &str, level: Level, parent: Option<&str>) -> Unit {
    Unit {
        id: id.parse().unwrap(),
        level,
        kind: String::new(),
        name: id.to_owned(),
        parent: parent.map(|parent| parent.parse().unwrap()),
        official_code: String::new(),
        attributes: Default::default(),
        valid_from: None,
        valid_until: None,
        formed_by_event: false,
    }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    let units = [unit("vn", Level::Country, None), unit("p", Level::Province, Some("vn"))];
    for (revision, unit) in (1u64..).zip(units) {
        registry.apply(Revision::from(revision), &Change::UnitRegistered(unit));
    }
    registry
}

fn reasons(units: Vec<Unit>) -> Vec<(String, Reason)> {
    let request = UnitsRequest { units, complete_from: None };
    let fault = check_units(&registry(), &request).unwrap_err();
    fault.violations.into_iter().map(|v| (v.path, v.reason)).collect()
}

#[test]
fn parents_may_come_later_and_known_units_are_left_out() {
    let units = vec![
        unit("c", Level::Commune, Some("d")),
        unit("d", Level::District, Some("p")),
        unit("p", Level::Province, Some("vn")),
    ];
    let new = check_units(&registry(), &UnitsRequest { units, complete_from: None }).unwrap();
    assert_eq!(new.iter().map(|unit| unit.id.as_str()).collect::<Vec<_>>(), ["d", "c"], "parents first");
}

#[test]
fn every_violation_is_named_with_its_place() {
    let at = |path: &str, reason| (path.to_owned(), reason);
    assert_eq!(
        reasons(vec![
            unit("a", Level::District, Some("b")),
            unit("b", Level::Commune, Some("a")),
            unit("c", Level::Country, None),
            unit("d", Level::Commune, Some("nowhere")),
            unit("e", Level::Province, Some("p")),
        ]),
        [
            at("units[0].parent", Reason::HierarchyCycle),
            at("units[1].parent", Reason::HierarchyCycle),
            at("units[2].parent", Reason::SecondRoot),
            at("units[3].parent", Reason::UnknownParent),
            at("units[4].level", Reason::LevelNotBelowParent),
        ]
    );
    let twice = vec![unit("a", Level::District, Some("p")), unit("a", Level::District, Some("p"))];
    assert_eq!(reasons(twice), [at("units[1]", Reason::DuplicateId)]);
    let other = vec![unit("p", Level::District, Some("vn"))];
    assert_eq!(reasons(other), [at("units[0]", Reason::ExistsWithDifferentContent)]);
}

#[test]
fn a_unit_does_not_begin_before_its_parent() {
    let day = |text: &str| Some(text.parse().unwrap());
    let parent = Unit { valid_from: day("2000-01-01"), ..unit("d", Level::District, Some("p")) };
    let early = Unit { valid_from: day("1999-12-31"), ..unit("c", Level::Commune, Some("d")) };
    let violations = reasons(vec![parent, early]);
    assert_eq!(violations, [("units[1].valid_from".to_owned(), Reason::UnitNotAlive)]);
}

#[test]
fn a_unit_of_unknown_age_is_alive_when_its_parent_is() {
    let parent = Unit { valid_from: Some("2000-01-01".parse().unwrap()), ..unit("d", Level::District, Some("p")) };
    let units = vec![unit("c", Level::Commune, Some("d")), parent];
    let new = check_units(&registry(), &UnitsRequest { units, complete_from: None }).unwrap();
    assert_eq!(new.iter().map(|unit| unit.id.as_str()).collect::<Vec<_>>(), ["d", "c"], "parents first");
    let mut registry = registry();
    for (revision, unit) in (3u64..).zip(new) {
        registry.apply(Revision::from(revision), &Change::UnitRegistered(unit));
    }
    let is_alive = |day: &str| registry.is_alive_on(&"c".parse().unwrap(), day.parse().unwrap());
    assert_eq!((is_alive("1999-12-31"), is_alive("2000-01-01")), (false, true));
}

/// What is asked for with events, in the registry of a country with a province, a district of it and two communes of that.
fn asked(units: &[Unit], request: EventsRequest) -> Result<(), Vec<Reason>> {
    let mut registry = registry();
    let below = [unit("d", Level::District, Some("p")), unit("c", Level::Commune, Some("d"))];
    for unit in below.iter().chain([&unit("c2", Level::Commune, Some("d"))]).chain(units) {
        registry.apply(registry.revision().next(), &Change::UnitRegistered(unit.clone()));
    }
    let outcome = check_events(&registry, &request).map(drop);
    outcome.map_err(|fault| fault.violations.into_iter().map(|violation| violation.reason).collect())
}

fn of_events(events: Vec<UnitEvent>) -> EventsRequest {
    EventsRequest { events, units: Vec::new() }
}

/// An event in effect of one unit.
fn of_one(id: &str, event_type: EventType, on: &str, from: &str, into: &[&str]) -> UnitEvent {
    let into = into.iter().map(|unit| unit.parse().unwrap()).collect();
    let event = event(event_type, vec![from.parse().unwrap()], into, UnitChange::default());
    UnitEvent { id: id.parse().unwrap(), effective_on: on.parse().ok(), ..event }
}

#[test]
fn units_below_one_that_changes_are_looked_at_whatever_else_the_request_touches() {
    let begins =
        |id: &str, level, parent| Unit { valid_from: "2000-01-01".parse().ok(), ..unit(id, level, Some(parent)) };
    let island = [begins("island", Level::District, "p"), begins("village", Level::Commune, "island")];
    let change = UnitChange { level: Some(Level::Commune), ..UnitChange::default() };
    let lowered = UnitEvent { change, ..of_one("a", EventType::ChangeLevel, "2020-01-01", "island", &[]) };
    // The order in which units are looked at differs from run to run.
    for _ in 0..50 {
        let moved = of_one("b", EventType::Transfer, "2020-01-01", "island", &["p"]);
        let refused = asked(&island, of_events(vec![lowered.clone(), moved])).unwrap_err();
        assert_eq!(refused, [Reason::LevelNotBelowParent], "the village is a commune, too");
    }
}

#[test]
fn what_comes_of_an_event_lives_then_with_everything_above_it() {
    let later = Unit { valid_from: "2020-01-01".parse().ok(), ..unit("later", Level::District, Some("p")) };
    let units = [later, unit("of-later", Level::Commune, Some("later"))];
    for event_type in [EventType::Merge, EventType::Dissolve] {
        let into_one_to_come = of_one("a", event_type, "2010-01-01", "c", &["of-later"]);
        assert_eq!(asked(&units, of_events(vec![into_one_to_come])), Err(vec![Reason::UnitNotAlive]), "{event_type:?}");
    }
}

#[test]
fn a_unit_does_not_come_into_being_by_its_own_division() {
    let formed = |id: &str| Unit { formed_by_event: true, ..unit(id, Level::Commune, Some("d")) };
    let split = of_one("a", EventType::Split, "2010-01-01", "n", &["n", "m"]);
    assert!(asked(&[formed("n"), formed("m")], of_events(vec![split])).is_err());
}

#[test]
fn corrections_are_checked_in_the_order_in_which_they_will_be_recorded() {
    let ends = |id: &str, on: &str| {
        let change = UnitChange { valid_until: on.parse().ok(), ..UnitChange::default() };
        UnitEvent { change, ..of_one(id, EventType::Correct, "", "x", &[]) }
    };
    // The later one counts, and the village goes on when what is above it has ended.
    let x = Unit { valid_until: "2040-12-31".parse().ok(), ..unit("x", Level::Commune, Some("d")) };
    let village = Unit { valid_until: "2030-12-31".parse().ok(), ..unit("village", Level::Cell, Some("x")) };
    for (first, second) in [("a", "b"), ("b", "a")] {
        let request = of_events(vec![ends(first, "2040-12-31"), ends(second, "2000-12-31")]);
        assert!(asked(&[x.clone(), village.clone()], request).is_err(), "{first} before {second}");
    }
}

#[test]
fn a_new_unit_may_stand_below_one_that_the_same_request_raises() {
    let change = UnitChange { level: Some(Level::Province), ..UnitChange::default() };
    let city = unit("city", Level::District, Some("vn"));
    let raised = UnitEvent { change, ..of_one("a", EventType::ChangeLevel, "2020-01-01", "city", &[]) };
    let district = Unit { valid_from: "2020-01-01".parse().ok(), ..unit("new", Level::District, Some("city")) };
    let request = EventsRequest { events: vec![raised], units: vec![district] };
    assert_eq!(asked(&[city], request), Ok(()));
}

#[test]
fn a_unit_that_is_planned_may_be_corrected() {
    let planned = Unit { formed_by_event: true, ..unit("n", Level::Commune, Some("d")) };
    let change = UnitChange { name: "As it was meant".to_owned(), ..UnitChange::default() };
    let corrected = UnitEvent { change, ..of_one("a", EventType::Correct, "", "n", &[]) };
    assert_eq!(asked(&[planned], of_events(vec![corrected])), Ok(()));
}

/// Sequences of requests in one run; `TONGHOP_TEST_WORLDS` asks for more.
const SEQUENCES: u32 = 120;
/// Few ids, so that requests meet.
const IDS: [&str; 20] = [
    "vn", "p0", "p1", "p2", "d0", "d1", "d2", "d3", "c0", "c1", "c2", "c3", "c4", "c5", "n0", "n1", "n2", "n3", "n4",
    "n5",
];
/// Few days, some of them neighbours.
const DAYS: [&str; 8] =
    ["1990-01-01", "2000-01-01", "2005-07-01", "2005-07-02", "2010-01-01", "2010-12-31", "2015-01-01", "2020-01-01"];
const LEVELS: [Level; 6] =
    [Level::Cell, Level::GrassrootsOrganisation, Level::Commune, Level::District, Level::Province, Level::Country];

/// A number from the environment, for longer runs and for replaying one.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn any_sequence_of_registry_changes_keeps_the_invariants() {
    let any_seed = || any::<u64>().new_tree(&mut TestRunner::default()).unwrap().current();
    let seed = setting("TONGHOP_TEST_SEED").unwrap_or_else(any_seed);
    println!("TONGHOP_TEST_SEED={seed}");
    let cases = setting("TONGHOP_TEST_WORLDS").map_or(SEQUENCES, |worlds| u32::try_from(worlds).unwrap());
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 1000,
        ..Config::default()
    };
    let tally = RefCell::new(Tally::default());
    let sequences = vec(vec(any::<u16>(), 60), 1..50);
    let outcome = TestRunner::new(config).run(&sequences, |requests| {
        let mut world = World::default();
        for numbers in &requests {
            let request = world.request(&mut Draws(numbers.iter()));
            world.ask(&request, &mut tally.borrow_mut()).map_err(|broken| {
                let told: Vec<String> = world.told.iter().map(|request| format!("  {request}\n")).collect();
                TestCaseError::fail(format!("{broken}, after the last of\n{}", told.concat()))
            })?;
        }
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(broken, _)) => panic!("TONGHOP_TEST_SEED={seed}: {broken}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
    // The invariants mean something only if much of every kind was tried, and happened.
    let Tally { accepted, refused, events, reasons } = tally.into_inner();
    println!("{accepted} requests of events accepted, {refused} refused: {events:?}, {reasons:?}");
    if cases < SEQUENCES {
        return;
    }
    let asked = accepted + refused;
    assert!(accepted * 10 > asked && refused * 10 > asked, "{accepted} of {asked} accepted");
    for kind in ["Merge", "Split", "Dissolve", "Transfer", "Rename", "ChangeLevel", "Correct"] {
        assert!(events.contains_key(kind), "no {kind} in effect was accepted: {events:?}");
    }
    for reason in [
        Reason::ConflictingEvents,
        Reason::DuplicateId,
        Reason::ExistsWithDifferentContent,
        Reason::HierarchyCycle,
        Reason::LevelNotBelowParent,
        Reason::MergedIntoItself,
        Reason::ParentNotAlive,
        Reason::SecondRoot,
        Reason::UnitNotAlive,
        Reason::UnknownParent,
        Reason::UnknownUnit,
    ] {
        assert!(reasons.contains_key(&format!("{reason:?}")), "nothing was refused by {reason:?}: {reasons:?}");
    }
}

/// What became of the requests of a run.
#[derive(Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Accepted events in effect by type.
    events: BTreeMap<String, usize>,
    /// Refusals by reason.
    reasons: BTreeMap<String, usize>,
}

/// Numbers from which a request is made: fewer and smaller ones make a simpler one.
struct Draws<'a>(std::slice::Iter<'a, u16>);

impl Draws<'_> {
    fn below(&mut self, count: usize) -> usize {
        self.0.next().map_or(0, |number| usize::from(*number) % count)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        if choices.is_empty() { None } else { Some(choices[self.below(choices.len())].clone()) }
    }

    fn day(&mut self) -> Date {
        DAYS[self.below(DAYS.len())].parse().unwrap()
    }

    fn any_id(&mut self) -> UnitId {
        if self.chance(3) { "nowhere".parse().unwrap() } else { IDS[self.below(IDS.len())].parse().unwrap() }
    }
}

#[derive(Clone)]
enum Request {
    Units(Vec<Unit>),
    Events(Vec<UnitEvent>, Vec<Unit>),
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (units, events) = match self {
            Self::Units(units) => (units, &[][..]),
            Self::Events(events, units) => (units, events.as_slice()),
        };
        for Unit { id, level, parent, valid_from, valid_until, formed_by_event, .. } in units {
            write!(f, "{id} {level:?} below {parent:?} from {valid_from:?} to {valid_until:?}")?;
            f.write_str(if *formed_by_event { " formed by event; " } else { "; " })?;
        }
        for UnitEvent { id, event_type, effective_on, from, into, status, change, .. } in events {
            let on = effective_on.as_ref().map(|period| period.written());
            write!(f, "{id}: {event_type:?} {from:?} -> {into:?} on {on:?} {status:?}")?;
            let UnitChange { name, level, parent, valid_from, valid_until, cleared, .. } = change;
            if !change.is_empty() {
                write!(f, " {name:?} {level:?} below {parent:?} from {valid_from:?} to {valid_until:?}")?;
                write!(f, " without {cleared:?}")?;
            }
            f.write_str("; ")?;
        }
        Ok(())
    }
}

/// What was accepted, in the registry and beside it.
#[derive(Default)]
struct World {
    registry: Registry,
    plain: Plain,
    /// Every accepted request, for who has to understand a failure.
    told: Vec<String>,
}

impl World {
    /// Asks for it. What is accepted is taken in, and everything that must hold is looked at.
    fn ask(&mut self, request: &Request, tally: &mut Tally) -> Result<(), String> {
        let before = self.registry.clone();
        let outcome = match request {
            Request::Units(units) => {
                let request = UnitsRequest { units: units.clone(), complete_from: None };
                check_units(&self.registry, &request).map(|units| (units, Vec::new()))
            }
            Request::Events(events, units) => at_the_door(events).and_then(|()| {
                let request = EventsRequest { events: events.clone(), units: units.clone() };
                check_events(&self.registry, &request)
            }),
        };
        let is_of_events = matches!(request, Request::Events(..));
        let (units, events) = match outcome {
            Ok(new) => new,
            Err(fault) => {
                tally.refused += usize::from(is_of_events);
                for violation in &fault.violations {
                    *tally.reasons.entry(format!("{:?}", violation.reason)).or_default() += 1;
                }
                return if self.registry == before {
                    Ok(())
                } else {
                    Err("a refusal has changed something".to_owned())
                };
            }
        };
        tally.accepted += usize::from(is_of_events);
        for event in events.iter().filter(|event| event.is_effective()) {
            *tally.events.entry(format!("{:?}", event.event_type)).or_default() += 1;
        }
        self.told.push(request.to_string());
        let changes = units.into_iter().map(Change::UnitRegistered);
        for change in changes.chain(events.into_iter().map(Change::UnitEventRecorded)) {
            self.registry.apply(self.registry.revision().next(), &change);
            self.plain.apply(change)?;
        }
        self.plain.check(&self.registry)
    }

    fn request(&self, draws: &mut Draws<'_>) -> Request {
        if self.plain.units.is_empty() && !draws.chance(5) {
            return Request::Units(first_units(draws));
        }
        if draws.chance(20) {
            let mut units = Vec::new();
            for _ in 0..=draws.below(3) {
                units.push(self.unit(draws, &units));
            }
            return Request::Units(units);
        }
        let mut drafts = Drafts::default();
        for _ in 0..if draws.chance(25) { 2 } else { 1 } {
            self.happens(draws, &mut drafts);
        }
        let Drafts { mut events, revised, mut units } = drafts;
        if draws.chance(5) {
            units.push(self.unit(draws, &units));
        }
        for (place, event) in events.iter_mut().enumerate() {
            event.id = self.event_id(draws, place);
        }
        events.extend(revised);
        Request::Events(events, units)
    }

    /// Mostly a new id, of which the order says nothing; now and then that of an event that it replaces.
    fn event_id(&self, draws: &mut Draws<'_>, place: usize) -> EventId {
        if draws.chance(4)
            && let Some(event) = draws.one_of(&self.plain.events)
        {
            return event.id;
        }
        format!("{}{}-{place}", ["m", "a", "z"][draws.below(3)], self.told.len()).parse().unwrap()
    }

    /// A unit to register, most of the time one that makes sense.
    fn unit(&self, draws: &mut Draws<'_>, others: &[Unit]) -> Unit {
        let free: Vec<&str> = IDS.into_iter().filter(|id| !self.plain.units.contains_key(*id)).collect();
        let id = if draws.chance(10) { draws.any_id() } else { self.free_id(draws, &free) };
        if let Some(there) = self.plain.units.get(&id).filter(|_| draws.chance(60)) {
            return there.clone();
        }
        let level = match id.as_str().as_bytes()[0] {
            b'p' => Level::Province,
            b'd' => Level::District,
            b'c' => Level::Commune,
            _ => LEVELS[draws.below(4)],
        };
        let level = if draws.chance(10) { LEVELS[draws.below(6)] } else { level };
        let there = self.plain.lives();
        let above = there.values().map(|life| &life.base).chain(others).filter(|unit| unit.level > level);
        let above: Vec<UnitId> = above.map(|unit| unit.id.clone()).collect();
        let parent = if draws.chance(10) { Some(draws.any_id()) } else { draws.one_of(&above) };
        let valid_from = draws.chance(40).then(|| draws.day());
        let valid_until = draws.chance(20).then(|| draws.day());
        let valid_until = valid_until.filter(|until| valid_from.is_none_or(|from| from <= *until));
        let formed_by_event = valid_from.is_none() && draws.chance(15);
        let unit = Unit { parent, valid_from, valid_until, formed_by_event, ..unit(id.as_str(), level, None) };
        // Another root, or a unit above itself.
        match draws.below(40) {
            38 => Unit { parent: None, level: Level::Country, ..unit },
            39 => Unit { parent: Some(id), ..unit },
            _ => unit,
        }
    }

    fn free_id(&self, draws: &mut Draws<'_>, free: &[&str]) -> UnitId {
        draws.one_of(free).map_or_else(|| draws.any_id(), |id| id.parse().unwrap())
    }

    /// Something that happens to units that live, most of the time, and what has to go with it.
    fn happens(&self, draws: &mut Draws<'_>, drafts: &mut Drafts) {
        let lives = self.plain.lives();
        let day = draws.day();
        let eve = day.yesterday().unwrap();
        let then = states(&lives, eve);
        let living: Vec<&Unit> = then.values().filter(|unit| chain(&then, &unit.id).is_some()).collect();
        let some = |draws: &mut Draws<'_>, fits: &dyn Fn(&Unit) -> bool| {
            let careful: Vec<UnitId> = living.iter().filter(|unit| fits(unit)).map(|unit| unit.id.clone()).collect();
            let careful = if draws.chance(6) { None } else { draws.one_of(&careful) };
            careful.unwrap_or_else(|| draws.any_id())
        };
        let one = some(draws, &|unit| unit.parent.is_some());
        let (level, parent) = match then.get(&one) {
            Some(unit) => (unit.level, unit.parent.clone()),
            None => (Level::Commune, None),
        };
        let free: Vec<&str> = IDS.into_iter().filter(|id| !self.plain.units.contains_key(*id)).collect();
        let new = |draws: &mut Draws<'_>, drafts: &mut Drafts| {
            let free: Vec<&str> =
                free.iter().copied().filter(|id| drafts.units.iter().all(|unit| unit.id.as_str() != *id)).collect();
            let id = self.free_id(draws, &free);
            let formed_by_event = !draws.chance(10);
            let born = Unit { formed_by_event, parent: parent.clone(), ..unit(id.as_str(), level, None) };
            if !self.plain.units.contains_key(&id) {
                drafts.units.push(born);
            }
            id
        };
        let alike = |unit: &Unit| unit.level == level;
        let status = match draws.below(100) {
            80.. => [EventStatus::Planned, EventStatus::Decided, EventStatus::Cancelled][draws.below(3)],
            _ => EventStatus::Effective,
        };
        let written = match draws.below(20) {
            18 => day.year().to_string(),
            19 => format!("../{day}"),
            _ => day.to_string(),
        };
        let event = |event_type, from: Vec<UnitId>, into: Vec<UnitId>, change| UnitEvent {
            status,
            effective_on: (event_type != EventType::Correct).then(|| written.parse().unwrap()),
            ..event(event_type, from, into, change)
        };
        let none = UnitChange::default;
        // Where the units below one that ends come to stand.
        let mut goes_on_in = None;
        match draws.below(10) {
            0 | 1 => {
                let mut from = vec![one.clone()];
                for _ in 0..draws.below(3) {
                    let other = some(draws, &alike);
                    if !from.contains(&other) {
                        from.push(other);
                    }
                }
                let into = if draws.chance(50) { new(draws, drafts) } else { some(draws, &alike) };
                goes_on_in = Some((from.clone(), into.clone()));
                drafts.events.push(event(EventType::Merge, from, vec![into], none()));
            }
            2 => {
                let stays = draws.chance(40);
                let first = if stays { one.clone() } else { new(draws, drafts) };
                let second = if draws.chance(70) { new(draws, drafts) } else { some(draws, &alike) };
                if !stays {
                    goes_on_in = Some((vec![one.clone()], first.clone()));
                }
                let into = if first == second { vec![first] } else { vec![first, second] };
                drafts.events.push(event(EventType::Split, vec![one.clone()], into, none()));
            }
            3 => {
                let into = if draws.chance(50) { vec![some(draws, &|_| true)] } else { Vec::new() };
                goes_on_in = parent.clone().map(|parent| (vec![one.clone()], parent));
                drafts.events.push(event(EventType::Dissolve, vec![one.clone()], into, none()));
            }
            4 => {
                let into = some(draws, &|unit| unit.level > level);
                drafts.events.push(event(EventType::Transfer, vec![one.clone()], vec![into], none()));
            }
            5 => {
                let change = UnitChange { name: format!("named {}", draws.below(5)), ..none() };
                drafts.events.push(event(EventType::Rename, vec![one.clone()], Vec::new(), change));
            }
            6 => {
                let change = UnitChange { level: Some(LEVELS[draws.below(6)]), ..none() };
                drafts.events.push(event(EventType::ChangeLevel, vec![one.clone()], Vec::new(), change));
            }
            // An island: below its province at once, on the day on which it gets a lower level.
            7 => {
                let change = UnitChange { level: Some(Level::Commune), ..none() };
                let into = some(draws, &|unit| unit.level > Level::District);
                drafts.events.push(event(EventType::ChangeLevel, vec![one.clone()], Vec::new(), change));
                drafts.events.push(event(EventType::Transfer, vec![one.clone()], vec![into], none()));
            }
            8 => {
                // A unit that has ended may be corrected, too.
                let one = if draws.chance(30) { draws.any_id() } else { one.clone() };
                for _ in 0..if draws.chance(30) { 2 } else { 1 } {
                    let mut change = none();
                    match draws.below(6) {
                        5 => change.cleared.push([Cleared::ValidFrom, Cleared::ValidUntil][draws.below(2)]),
                        0 => change.valid_from = Some(draws.day()),
                        1 => change.valid_until = Some(draws.day()),
                        2 => change.parent = Some(some(draws, &|unit| unit.level > level)),
                        3 => change.level = Some(LEVELS[draws.below(6)]),
                        _ => change.name = format!("right {}", draws.below(5)),
                    }
                    drafts.events.push(event(EventType::Correct, vec![one.clone()], Vec::new(), change));
                }
            }
            _ => {
                if let Some(mut event) = draws.one_of(&self.plain.events) {
                    match draws.below(4) {
                        0 => event.status = EventStatus::Cancelled,
                        1 => event.status = EventStatus::Effective,
                        2 if event.effective_on.is_some() => event.effective_on = Some(written.parse().unwrap()),
                        _ => event.note.push('.'),
                    }
                    drafts.revised.push(event);
                }
            }
        }
        if let Some((ended, into)) = goes_on_in.filter(|_| draws.chance(80)) {
            for child in living.iter().filter(|unit| unit.parent.as_ref().is_some_and(|parent| ended.contains(parent)))
            {
                drafts.events.push(event(EventType::Transfer, vec![child.id.clone()], vec![into.clone()], none()));
            }
        }
    }
}

/// What a request of events is made of.
#[derive(Default)]
struct Drafts {
    events: Vec<UnitEvent>,
    /// Those that keep their ids.
    revised: Vec<UnitEvent>,
    units: Vec<Unit>,
}

fn event(event_type: EventType, from: Vec<UnitId>, into: Vec<UnitId>, change: UnitChange) -> UnitEvent {
    UnitEvent {
        id: "event".parse().unwrap(),
        event_type,
        effective_on: None,
        from,
        into,
        document: String::new(),
        status: EventStatus::Effective,
        parts: Vec::new(),
        change,
        from_count: None,
        into_count: None,
        reason: "a test".to_owned(),
        note: String::new(),
    }
}

/// A country with units of every level; some of them begin late.
fn first_units(draws: &mut Draws<'_>) -> Vec<Unit> {
    let rows = [
        ("vn", Level::Country, None),
        ("p0", Level::Province, Some("vn")),
        ("p1", Level::Province, Some("vn")),
        ("d0", Level::District, Some("p0")),
        ("d1", Level::District, Some("p0")),
        ("d2", Level::District, Some("p1")),
        ("c0", Level::Commune, Some("d0")),
        ("c1", Level::Commune, Some("d0")),
        ("c2", Level::Commune, Some("d1")),
        ("c3", Level::Commune, Some("p1")),
        ("n0", Level::Cell, Some("c0")),
    ];
    let mut units = rows.map(|(id, level, parent)| unit(id, level, parent));
    for unit in &mut units {
        let begins = draws.chance(25) && matches!(unit.level, Level::Commune | Level::Cell);
        unit.valid_from = begins.then(|| draws.day());
    }
    units.to_vec()
}

/// What never comes to the check, because a message that says it is refused before.
fn at_the_door(events: &[UnitEvent]) -> Result<(), Fault> {
    let mut violations = Violations::default();
    for event in events {
        for (field, reason, message) in event.contradictions() {
            violations.add(field, reason, message);
        }
    }
    violations.into_result()
}

/// The registrations and events themselves.
#[derive(Default)]
struct Plain {
    units: BTreeMap<UnitId, Unit>,
    /// In the order in which they were first recorded.
    events: Vec<UnitEvent>,
}

/// The life of a unit as they tell it.
struct Life {
    /// Its registration as it was corrected.
    base: Unit,
    /// There is a first day, known or not.
    has_begun: bool,
    first_day: Option<Date>,
    last_day: Option<Date>,
    /// What changed in its life, in the order of the days.
    changes: Vec<(Date, UnitEvent)>,
}

type Lives = BTreeMap<UnitId, Life>;

impl Life {
    fn contains(&self, day: Date) -> bool {
        self.has_begun
            && self.first_day.is_none_or(|first| first <= day)
            && self.last_day.is_none_or(|last| day <= last)
    }

    /// What it is like on a day of its own life, whatever stands above it.
    fn on(&self, day: Date) -> Option<Unit> {
        if !self.contains(day) {
            return None;
        }
        let mut unit = Unit { valid_from: self.first_day, valid_until: self.last_day, ..self.base.clone() };
        for (_, event) in self.changes.iter().filter(|(since, _)| *since <= day) {
            match event.event_type {
                EventType::Transfer => unit.parent = Some(event.into[0].clone()),
                EventType::ChangeLevel => unit.level = event.change.level.unwrap(),
                _ => unit.name.clone_from(&event.change.name),
            }
        }
        Some(unit)
    }
}

/// Every unit on one day of its own life, whatever stands above it.
type States = BTreeMap<UnitId, Unit>;

fn states(lives: &Lives, day: Date) -> States {
    lives.iter().filter_map(|(id, life)| Some((id.clone(), life.on(day)?))).collect()
}

/// The unit and those above it, upwards to the root; none if one of them does not live.
fn chain<'a>(states: &'a States, id: &UnitId) -> Option<Vec<&'a Unit>> {
    let mut chain = vec![states.get(id)?];
    while let Some(parent) = chain.last().and_then(|unit| unit.parent.as_ref()) {
        if chain.len() > states.len() {
            return None;
        }
        chain.push(states.get(parent)?);
    }
    Some(chain)
}

impl Plain {
    fn apply(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::UnitRegistered(unit) => match self.units.insert(unit.id.clone(), unit) {
                None => Ok(()),
                Some(before) => Err(format!("{} was registered before", before.id)),
            },
            Change::UnitEventRecorded(event) => {
                match self.events.iter_mut().find(|other| other.id == event.id) {
                    Some(other) => *other = event,
                    None => self.events.push(event),
                }
                Ok(())
            }
            _ => unreachable!("nothing else is asked for"),
        }
    }

    fn lives(&self) -> Lives {
        self.units.values().map(|unit| (unit.id.clone(), self.life(unit))).collect()
    }

    fn life(&self, unit: &Unit) -> Life {
        let mut base = unit.clone();
        let (mut formed_on, mut ended_on, mut changes): (Option<Date>, Option<Date>, Vec<_>) = Default::default();
        for event in self.events.iter().filter(|event| event.status == EventStatus::Effective) {
            let (is_from, is_into) = (event.from.contains(&unit.id), event.into.contains(&unit.id));
            let day = event.effective_on.as_ref().and_then(|period| period.span().last_day);
            match (event.event_type, day) {
                (EventType::Correct, _) if is_from => {
                    let change = &event.change;
                    if change.cleared.contains(&Cleared::ValidFrom) {
                        base.valid_from = None;
                    }
                    if change.cleared.contains(&Cleared::ValidUntil) {
                        base.valid_until = None;
                    }
                    base.parent = change.parent.clone().or(base.parent);
                    base.level = change.level.unwrap_or(base.level);
                    base.valid_from = change.valid_from.or(base.valid_from);
                    base.valid_until = change.valid_until.or(base.valid_until);
                    base.formed_by_event &= change.valid_from.is_none();
                    if !change.name.is_empty() {
                        base.name.clone_from(&change.name);
                    }
                }
                // A unit that is divided and goes on was there before.
                (EventType::Merge | EventType::Split, Some(day)) if is_into && !is_from => {
                    formed_on = Some(formed_on.map_or(day, |other| day.min(other)));
                }
                (EventType::Merge | EventType::Split | EventType::Dissolve, Some(day)) if is_from && !is_into => {
                    ended_on = Some(ended_on.map_or(day, |other| day.min(other)));
                }
                (EventType::Transfer | EventType::ChangeLevel | EventType::Rename, Some(day)) if is_from => {
                    changes.push((day, event.clone()));
                }
                _ => {}
            }
        }
        changes.sort_by_key(|(day, _)| *day);
        let first_day = if base.formed_by_event { formed_on } else { base.valid_from };
        let has_begun = !base.formed_by_event || formed_on.is_some();
        let eve = ended_on.map(|day| day.yesterday().unwrap());
        let last_day = [base.valid_until, eve].into_iter().flatten().min();
        let has_begun = has_begun && first_day.is_none_or(|first| last_day.is_none_or(|last| first <= last));
        Life { base, has_begun, first_day, last_day, changes }
    }

    /// Days on which something may be different from the day before, those days before, and days far from all of them.
    fn days(&self, lives: &Lives) -> BTreeSet<Date> {
        let begins = lives.values().filter_map(|life| life.first_day);
        let ends = lives.values().filter_map(|life| life.last_day?.tomorrow().ok());
        let of_events = self.events.iter().filter_map(|event| event.effective_on.as_ref()?.span().last_day);
        let days = begins.chain(ends).chain(of_events).flat_map(|day| [day.yesterday().unwrap(), day]);
        days.chain(["0001-01-01", "9999-12-31"].map(|day| day.parse().unwrap())).collect()
    }

    /// Everything that must hold, on every day.
    fn check(&self, registry: &Registry) -> Result<(), String> {
        let lives = self.lives();
        let days = self.days(&lives);
        for event in self.events.iter().filter(|event| event.status == EventStatus::Effective) {
            self.check_event(&lives, event)?;
        }
        for unit in self.units.values() {
            let record = registry.record_of(&unit.id).ok_or_else(|| format!("{} is not there", unit.id))?;
            if *record.registration != *unit {
                return Err(format!("{} is registered as {:?}", unit.id, record.registration));
            }
        }
        let rows = relatives(registry)?;
        for day in days {
            let states = states(&lives, day);
            let checked = check_day(&lives, &states, day).and_then(|()| compare(&states, registry, &rows, day));
            checked.map_err(|broken| format!("{broken} on {day}"))?;
        }
        Ok(())
    }

    /// What an event happens to lives before it, or begins with it; what comes of it lives with it; a unit ends once.
    fn check_event(&self, lives: &Lives, event: &UnitEvent) -> Result<(), String> {
        let UnitEvent { id, event_type, from, into, .. } = event;
        let Some(day) = event.effective_on.as_ref().and_then(|period| period.span().last_day) else {
            return if *event_type == EventType::Correct { Ok(()) } else { Err(format!("{id} has no day")) };
        };
        let ends = |event: &UnitEvent, unit: &UnitId| {
            let kind = event.event_type;
            event.from.contains(unit)
                && match kind {
                    EventType::Merge | EventType::Dissolve => true,
                    EventType::Split => !event.into.contains(unit),
                    _ => false,
                }
        };
        let (before, then) = (states(lives, day.yesterday().unwrap()), states(lives, day));
        for unit in from {
            if event_type != &EventType::Split && into.contains(unit) {
                return Err(format!("{unit} goes into itself by {id}"));
            }
            let begins = lives[unit].first_day == Some(day);
            if !begins && chain(&before, unit).is_none() {
                return Err(format!("{unit} does not live before {id}"));
            }
            if ends(event, unit) == chain(&then, unit).is_some() {
                return Err(format!("{unit} lives on the day of {id} and should not, or does not and should"));
            }
            let endings =
                self.events.iter().filter(|event| event.status == EventStatus::Effective && ends(event, unit));
            if endings.count() > 1 {
                return Err(format!("{unit} is ended more than once"));
            }
        }
        match into.iter().find(|unit| chain(&then, unit).is_none()) {
            Some(unit) => Err(format!("{unit} comes of {id} and does not live then")),
            None => Ok(()),
        }
    }
}

/// One root, and everything that lives stands below something higher that lives.
fn check_day(lives: &Lives, states: &States, day: Date) -> Result<(), String> {
    let roots: Vec<&UnitId> = states.values().filter(|unit| unit.parent.is_none()).map(|unit| &unit.id).collect();
    // The root may begin on some day; it never ends.
    let has_begun = |life: &&Life| life.base.parent.is_none() && life.first_day.is_none_or(|first| first <= day);
    if roots.len() > 1 || roots.len() != lives.values().filter(has_begun).count() {
        return Err(format!("{roots:?} are roots"));
    }
    for start in states.values() {
        let mut unit = start;
        let mut begin_is_known = false;
        let mut steps = 0;
        while let Some(parent) = &unit.parent {
            begin_is_known |= lives[&unit.id].first_day.is_some();
            let Some(above) = states.get(parent) else {
                // A unit whose start is not known begins with what is above it.
                let begins_later = lives.get(parent).is_some_and(|life| life.has_begun && life.first_day > Some(day));
                if begins_later && !begin_is_known {
                    break;
                }
                return Err(format!("{} stands below {parent}, which does not live", start.id));
            };
            steps += 1;
            if above.level <= unit.level || steps > states.len() {
                return Err(format!("{} stands below {parent}, which is not higher", unit.id));
            }
            unit = above;
        }
    }
    Ok(())
}

/// What the registry says of who stood above and below each unit over all days.
fn relatives(registry: &Registry) -> Result<BTreeMap<&UnitId, [Vec<Relative<'_>>; 2]>, String> {
    let ids = registry.units_after("").map(|record| &record.registration.id);
    let rows = |id| [registry.ancestors(id, &Span::EVER), registry.descendants(id, &Span::EVER)];
    let rows: BTreeMap<_, _> = ids.map(|id| (id, rows(id))).collect();
    for (id, rows) in rows.iter().flat_map(|(id, rows)| rows.iter().map(move |rows| (id, rows))) {
        let is_one = |a: &Relative<'_>, b: &Relative<'_>| {
            let next = a.span.last_day.and_then(|last| last.tomorrow().ok());
            (&a.unit.id, a.distance, next) == (&b.unit.id, b.distance, b.span.first_day)
        };
        let is_torn = rows.iter().any(|a| a.span.last_day.is_some() && rows.iter().any(|b| is_one(a, b)));
        if is_torn {
            return Err(format!("days without a break stand in two rows of {id}: {rows:?}"));
        }
    }
    Ok(rows)
}

/// Whether the registry says the same.
fn compare(
    states: &States,
    registry: &Registry,
    rows: &BTreeMap<&UnitId, [Vec<Relative<'_>>; 2]>,
    day: Date,
) -> Result<(), String> {
    let on = |rows: &[Relative<'_>]| -> BTreeSet<(UnitId, usize)> {
        let rows = rows.iter().filter(|row| row.span.contains(day));
        rows.map(|row| (row.unit.id.clone(), row.distance)).collect()
    };
    let mut beneath: BTreeMap<&UnitId, BTreeSet<(UnitId, usize)>> = BTreeMap::new();
    let mut below: BTreeMap<&UnitId, Vec<&UnitId>> = BTreeMap::new();
    let mut living = BTreeSet::new();
    for record in registry.units_after("") {
        let id = &record.registration.id;
        let (own, expected) = (record.on(day), states.get(id));
        if own != expected {
            return Err(format!("the registry says {own:?}, and not {expected:?}"));
        }
        let chain = chain(states, id);
        let alive = registry.unit_on(id, day);
        if alive != chain.as_ref().map(|chain| chain[0]) || registry.is_alive_on(id, day) != alive.is_some() {
            return Err(format!("the registry has {alive:?}, and not {chain:?}"));
        }
        let Some(chain) = chain else { continue };
        let ancestry: Vec<&Unit> = registry.ancestry_on(id, day).collect();
        if ancestry != chain {
            return Err(format!("the registry has {ancestry:?} above each other, and not {chain:?}"));
        }
        if let Some(parent) = &chain[0].parent {
            below.entry(parent).or_default().push(id);
        }
        let above: BTreeSet<(UnitId, usize)> = chain.iter().map(|unit| unit.id.clone()).zip(0..).skip(1).collect();
        if on(&rows[id][0]) != above {
            return Err(format!("the registry has the rows {:?} above {id}, and not {above:?}", rows[id][0]));
        }
        for (above, distance) in chain.iter().zip(0..).skip(1) {
            beneath.entry(&above.id).or_default().insert((id.clone(), distance));
        }
        living.insert(id);
    }
    for id in &living {
        let children: Vec<&UnitId> = registry.children_on(id, day).map(|unit| &unit.id).collect();
        let expected = below.remove(id).unwrap_or_default();
        if children != expected {
            return Err(format!("the registry has {children:?} below {id}, and not {expected:?}"));
        }
        let expected = beneath.remove(id).unwrap_or_default();
        if on(&rows[id][1]) != expected {
            return Err(format!("the registry has the rows {:?} below {id}, and not {expected:?}", rows[id][1]));
        }
    }
    let subtree = registry.root().into_iter().flat_map(|root| registry.subtree_on(root, day));
    let subtree: BTreeSet<&UnitId> = subtree.map(|unit| &unit.id).collect();
    if subtree != living {
        return Err(format!("the registry has {subtree:?} below the root, and not {living:?}"));
    }
    Ok(())
}
