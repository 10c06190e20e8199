//! Units through time, and that the fold is the same however its changes come.

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
    strategy::ValueTree,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};
use rust_decimal::Decimal;

use super::*;
use crate::model::{
    event::{Cleared, EventStatus, EventType, Part, UnitChange},
    form::Frequency,
    indicator::{RollUp, Temporality, ValueKind},
    term::DatesBasis,
};

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn id(text: &str) -> UnitId {
    text.parse().unwrap()
}

fn ids(texts: &[&str]) -> Vec<UnitId> {
    texts.iter().map(|text| id(text)).collect()
}

fn unit(id: &str, level: Level, parent: &str) -> Unit {
    Unit {
        id: id.parse().unwrap(),
        level,
        kind: String::new(),
        name: format!("Unit {id}"),
        parent: parent.parse().ok(),
        official_code: String::new(),
        attributes: BTreeMap::new(),
        valid_from: None,
        valid_until: None,
        formed_by_event: false,
    }
}

/// An event in effect; a CORRECT has no day.
fn event(id: &str, event_type: EventType, on: &str, from: &[&str], into: &[&str]) -> UnitEvent {
    UnitEvent {
        id: id.parse().unwrap(),
        event_type,
        effective_on: on.parse().ok(),
        from: ids(from),
        into: ids(into),
        document: String::new(),
        status: EventStatus::Effective,
        parts: Vec::new(),
        change: UnitChange::default(),
        from_count: None,
        into_count: None,
        reason: String::new(),
        note: String::new(),
    }
}

fn named(id: &str, on: &str, unit: &str, name: &str) -> UnitEvent {
    let change = UnitChange { name: name.to_owned(), ..UnitChange::default() };
    UnitEvent { change, ..event(id, EventType::Rename, on, &[unit], &[]) }
}

fn leveled(id: &str, on: &str, unit: &str, level: Level) -> UnitEvent {
    let change = UnitChange { level: Some(level), ..UnitChange::default() };
    UnitEvent { change, ..event(id, EventType::ChangeLevel, on, &[unit], &[]) }
}

fn corrected(id: &str, unit: &str, change: UnitChange) -> UnitEvent {
    UnitEvent { change, ..event(id, EventType::Correct, "", &[unit], &[]) }
}

fn fold(changes: impl IntoIterator<Item = Change>) -> Registry {
    let mut registry = Registry::default();
    for change in changes {
        registry.apply(registry.revision.next(), &change);
    }
    registry
}

fn of(units: Vec<Unit>, events: Vec<UnitEvent>) -> Registry {
    let units = units.into_iter().map(Change::UnitRegistered);
    fold(units.chain(events.into_iter().map(Change::UnitEventRecorded)))
}

/// A country with two provinces, two districts of the one and four communes.
fn country() -> Vec<Unit> {
    vec![
        unit("vn", Level::Country, ""),
        unit("p1", Level::Province, "vn"),
        unit("p2", Level::Province, "vn"),
        unit("d1", Level::District, "p1"),
        unit("d2", Level::District, "p1"),
        unit("c1", Level::Commune, "d1"),
        unit("c2", Level::Commune, "d1"),
        unit("c3", Level::Commune, "d2"),
        unit("c4", Level::Commune, "p2"),
    ]
}

/// A unit that begins with an event.
fn formed(id: &str, level: Level, parent: &str) -> Unit {
    Unit { formed_by_event: true, ..unit(id, level, parent) }
}

/// The states of a unit, each as its days and what is looked at.
fn told(registry: &Registry, unit: &str, look: impl Fn(&Unit) -> String) -> Vec<String> {
    let states = registry.record_of(&id(unit)).unwrap().states().iter();
    states.map(|state| format!("{}: {}", written(&state.span), look(&state.unit))).collect()
}

fn written(span: &Span) -> String {
    let text = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
    format!("{}..{}", text(span.first_day), text(span.last_day))
}

fn name(unit: &Unit) -> String {
    unit.name.clone()
}

fn parent(unit: &Unit) -> String {
    unit.parent.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn a_unit_to_which_nothing_happens_has_the_one_state_of_its_registration() {
    let c1 = Unit { valid_from: Some(day("2000-01-01")), ..unit("c1", Level::Commune, "d1") };
    let registry = of(vec![c1], Vec::new());
    let record = registry.record_of(&id("c1")).unwrap();
    assert_eq!(told(&registry, "c1", name), ["2000-01-01..: Unit c1"]);
    assert!(Arc::ptr_eq(record.newest(), &record.registration), "one copy is enough");
    assert_eq!((record.on(day("1999-12-31")).is_some(), record.on(day("2000-01-01")).is_some()), (false, true));
}

#[test]
fn an_event_takes_effect_on_its_day_and_one_of_a_period_on_the_last_day_of_it() {
    let events = vec![named("a", "2010-05-01", "c1", "A"), named("b", "2012", "c1", "B")];
    let states = ["..2010-04-30: Unit c1", "2010-05-01..2012-12-30: A", "2012-12-31..: B"];
    assert_eq!(told(&of(country(), events.clone()), "c1", name), states);
    // In which order they were recorded is the same.
    assert_eq!(told(&of(country(), events.into_iter().rev().collect()), "c1", name), states);
}

#[test]
fn changes_of_one_day_make_one_state_and_those_of_the_first_day_none_before() {
    let one_day = vec![
        leveled("a", "2020-03-01", "d2", Level::Commune),
        event("b", EventType::Transfer, "2020-03-01", &["d2"], &["p2"]),
        named("c", "2020-03-01", "d2", "Island"),
    ];
    let look = |unit: &Unit| format!("{} {:?} below {}", unit.name, unit.level, parent(unit));
    let registry = of(country(), one_day);
    assert_eq!(
        told(&registry, "d2", look),
        ["..2020-02-29: Unit d2 District below p1", "2020-03-01..: Island Commune below p2"]
    );
    let mut units = country();
    units.push(Unit { valid_from: Some(day("2020-03-01")), ..unit("n", Level::Commune, "d1") });
    let registry = of(units, vec![named("c", "2020-03-01", "n", "New")]);
    assert_eq!(told(&registry, "n", name), ["2020-03-01..: New"]);
}

#[test]
fn a_unit_ends_on_the_day_before_it_goes_and_the_first_end_counts() {
    let ends = |on: &str, event_type: EventType, into: &[&str]| {
        let registry = of(country(), vec![event("e", event_type, on, &["c1"], into)]);
        registry.record_of(&id("c1")).unwrap().life().map(|life| written(&life))
    };
    for (event_type, into) in [
        (EventType::Merge, &["c2"][..]),
        (EventType::Split, &["c2", "c3"]),
        (EventType::Dissolve, &[]),
        (EventType::Dissolve, &["c2"]),
    ] {
        assert_eq!(ends("2015-01-01", event_type, into).unwrap(), "..2014-12-31", "{event_type:?}");
    }
    assert_eq!(ends("2015-01-01", EventType::Split, &["c1", "c2"]).unwrap(), "..", "it is one of its own successors");

    let registered = Unit { valid_until: Some(day("2016-06-30")), ..unit("x", Level::Commune, "d1") };
    let merge = |on: &str| event("e", EventType::Merge, on, &["x"], &["c2"]);
    let life = |on: &str| {
        let registry = of(vec![registered.clone()], vec![merge(on)]);
        written(&registry.record_of(&id("x")).unwrap().life().unwrap())
    };
    assert_eq!((life("2015-01-01").as_str(), life("2016-07-01").as_str()), ("..2014-12-31", "..2016-06-30"));
}

#[test]
fn a_unit_that_events_form_begins_with_the_first_of_them_in_effect() {
    let merge = |id: &str, on: &str, from: &str, status: EventStatus| UnitEvent {
        status,
        ..event(id, EventType::Merge, on, &[from], &["n"])
    };
    let life = |events: Vec<UnitEvent>| {
        let mut units = country();
        units.push(formed("n", Level::Commune, "d1"));
        of(units, events).record_of(&id("n")).unwrap().life().map(|life| written(&life))
    };
    assert_eq!(life(Vec::new()), None);
    for status in [EventStatus::Planned, EventStatus::Decided, EventStatus::Cancelled] {
        assert_eq!(life(vec![merge("a", "2015-01-01", "c1", status)]), None, "{status:?}");
    }
    let (a, b) = (
        merge("a", "2015-01-01", "c1", EventStatus::Effective),
        merge("b", "2013-01-01", "c2", EventStatus::Effective),
    );
    assert_eq!(life(vec![a.clone(), b]).unwrap(), "2013-01-01..");
    assert_eq!(life(vec![a, merge("b", "2013-01-01", "c2", EventStatus::Cancelled)]).unwrap(), "2015-01-01..");
}

#[test]
fn a_unit_is_not_formed_by_its_own_division() {
    let mut units = country();
    units.extend([formed("n", Level::Commune, "d1"), formed("m", Level::Commune, "d1")]);
    let split = event("a", EventType::Split, "2005-01-01", &["n"], &["n", "m"]);
    let planned = of(units.clone(), vec![split.clone()]);
    assert_eq!(planned.record_of(&id("n")).unwrap().life(), None, "nothing was there to be divided");
    let merge = event("b", EventType::Merge, "2015-01-01", &["c1"], &["n"]);
    let registry = of(units, vec![split, merge]);
    assert_eq!(told(&registry, "n", name), ["2015-01-01..: Unit n"]);
}

#[test]
fn corrections_change_the_registration_in_the_order_in_which_they_came() {
    let change = |name: &str| UnitChange { name: name.to_owned(), ..UnitChange::default() };
    let events = vec![
        named("r", "2010-01-01", "c1", "Renamed"),
        corrected("b", "c1", change("First")),
        corrected("a", "c1", change("Second")),
    ];
    let mut registry = of(country(), events);
    assert_eq!(told(&registry, "c1", name), ["..2009-12-31: Second", "2010-01-01..: Renamed"]);
    // A remark on the first one does not bring it back.
    let remark = UnitEvent { note: "a remark".to_owned(), ..corrected("b", "c1", change("First")) };
    registry.apply(registry.revision.next(), &Change::UnitEventRecorded(remark));
    assert_eq!(told(&registry, "c1", name), ["..2009-12-31: Second", "2010-01-01..: Renamed"]);
    assert_eq!(registry.record_of(&id("c1")).unwrap().registration.name, "Unit c1", "it stays as it was recorded");

    // A first day ends the waiting for an event.
    let begins = UnitChange { valid_from: Some(day("2001-01-01")), ..UnitChange::default() };
    let registry = of(vec![formed("n", Level::Commune, "d1")], vec![corrected("e", "n", begins)]);
    assert_eq!(told(&registry, "n", name), ["2001-01-01..: Unit n"]);
}

#[test]
fn what_is_not_in_effect_or_outside_a_life_says_nothing() {
    let mut units = country();
    units.push(Unit {
        valid_from: Some(day("2000-01-01")),
        valid_until: Some(day("2010-12-31")),
        ..unit("x", Level::Commune, "d1")
    });
    let planned = UnitEvent { status: EventStatus::Planned, ..named("a", "2005-01-01", "x", "Planned") };
    let events = vec![planned, named("b", "1999-01-01", "x", "Early"), named("c", "2011-01-01", "x", "Late")];
    assert_eq!(told(&of(units, events), "x", name), ["2000-01-01..2010-12-31: Unit x"]);
}

/// Paths as `unit extent: from>into from>into`.
fn paths(paths: &[Path], end: impl Fn(&Path) -> &UnitId) -> Vec<String> {
    let step = |step: &Step| format!("{}>{}", step.from, step.into);
    let steps = |path: &Path| path.0.iter().map(step).collect::<Vec<_>>().join(" ");
    paths.iter().map(|path| format!("{} {:?}: {}", end(path), path.extent(), steps(path))).collect()
}

fn successors(registry: &Registry, unit: &str) -> Vec<String> {
    paths(&registry.successors(&id(unit), &Span::EVER).unwrap(), |path| &path.0.last().unwrap().into)
}

fn predecessors(registry: &Registry, unit: &str) -> Vec<String> {
    paths(&registry.predecessors(&id(unit), &Span::EVER).unwrap(), |path| &path.0.first().unwrap().from)
}

#[test]
fn what_a_unit_became_goes_on_as_a_whole_or_in_parts_or_in_its_functions() {
    let parts = [("x", Some(Decimal::new(7, 1)), true), ("y", None, false)];
    let parts = parts.map(|(unit, share, is_main)| Part { unit: id(unit), share, is_main });
    let split = event("s", EventType::Split, "2012-01-01", &["c2"], &["x", "y"]);
    let registry = of(
        country(),
        vec![
            event("m", EventType::Merge, "2010-01-01", &["c1"], &["c2"]),
            UnitEvent { parts: parts.to_vec(), ..split },
            event("d", EventType::Dissolve, "2014-01-01", &["y"], &["z"]),
        ],
    );
    assert_eq!(
        successors(&registry, "c1"),
        ["c2 Whole: c1>c2", "x Part: c1>c2 c2>x", "y Part: c1>c2 c2>y", "z Functions: c1>c2 c2>y y>z"]
    );
    assert_eq!(
        predecessors(&registry, "z"),
        ["c1 Functions: c1>c2 c2>y y>z", "c2 Functions: c2>y y>z", "y Functions: y>z"]
    );
    let steps = |first_day: Option<Date>, last_day: Option<Date>| -> Vec<Step> {
        let paths = registry.successors(&id("c2"), &Span { first_day, last_day }).unwrap();
        paths.into_iter().flat_map(|path| path.0).collect()
    };
    let first = steps(None, Some(day("2012-01-01")));
    let told: Vec<_> = first.iter().map(|step| (step.into.as_str(), step.share, step.is_main)).collect();
    assert_eq!(told, [("x", Some(Decimal::new(7, 1)), true), ("y", None, false)]);
    assert!(steps(Some(day("2012-01-02")), None).is_empty());
}

#[test]
fn a_unit_that_nobody_took_over_has_become_what_the_units_below_it_became() {
    let mut units = country();
    units.extend([formed("n", Level::Commune, "p1"), formed("m", Level::Commune, "p1")]);
    let reform = vec![
        event("a", EventType::Dissolve, "2025-07-01", &["d1"], &["p1"]),
        event("b", EventType::Merge, "2025-07-01", &["c1"], &["n"]),
        event("c", EventType::Split, "2025-07-01", &["c2"], &["n", "m"]),
    ];
    let registry = of(units.clone(), reform.clone());
    assert_eq!(
        successors(&registry, "d1"),
        ["m Part: d1>c2 c2>m", "n Whole: d1>c1 c1>n", "n Part: d1>c2 c2>n", "p1 Functions: d1>p1"]
    );
    // Not of a unit that went as a whole, whatever became of the units below it.
    let mut merged = reform;
    merged[0] = event("a", EventType::Merge, "2025-07-01", &["d1"], &["d2"]);
    assert_eq!(successors(&of(units, merged), "d1"), ["d2 Whole: d1>d2"]);
}

#[test]
fn a_unit_that_was_divided_and_then_ended_is_both_its_parts_and_what_stood_below_it() {
    let mut units = country();
    units.push(formed("e", Level::District, "p1"));
    let registry = of(
        units,
        vec![
            event("s", EventType::Split, "2013-01-01", &["d1"], &["d1", "e"]),
            event("t", EventType::Transfer, "2015-07-01", &["c1", "c2"], &["p1"]),
            event("x", EventType::Dissolve, "2015-07-01", &["d1"], &[]),
        ],
    );
    let counterparts = registry.counterparts_on(&id("d1"), day("2012-12-31"), day("2024-01-01"), false);
    assert_eq!(counterparts.into_iter().cloned().collect::<Vec<_>>(), ids(&["c1", "c2", "e"]));
}

#[test]
fn a_path_of_succession_goes_forward_in_time() {
    let mut units = country();
    units.push(formed("n", Level::Commune, "d1"));
    let registry = of(
        units,
        vec![
            event("s", EventType::Split, "2010-01-01", &["c2"], &["c2", "n"]),
            event("m", EventType::Merge, "2015-01-01", &["c1"], &["c2"]),
        ],
    );
    // Nothing of c1 is in n, which had gone from c2 five years before c1 came to it.
    assert_eq!(successors(&registry, "c1"), ["c2 Whole: c1>c2"]);
    assert_eq!(predecessors(&registry, "n"), ["c2 Part: c2>n"]);
    assert_eq!(predecessors(&registry, "c2"), ["c1 Whole: c1>c2", "c2 Part: c2>c2"]);
}

/// Rows as `unit name distance days`.
fn rows(rows: &[Relative<'_>]) -> Vec<String> {
    rows.iter().map(|row| format!("{} {} {}", row.unit.name, row.distance, written(&row.span))).collect()
}

#[test]
fn who_stood_above_and_below_over_a_span_has_one_row_for_days_without_a_break() {
    let span = Span { first_day: Some(day("2005-01-01")), last_day: Some(day("2025-12-31")) };
    let registry = of(
        country(),
        vec![
            event("a", EventType::Transfer, "2010-01-01", &["d2"], &["p2"]),
            named("b", "2012-01-01", "d2", "New d2"),
            event("c", EventType::Transfer, "2015-01-01", &["d2"], &["p1"]),
            event("d", EventType::Transfer, "2020-01-01", &["c3"], &["p1"]),
        ],
    );
    assert_eq!(
        rows(&registry.ancestors(&id("c3"), &span)),
        [
            // The name of the last day.
            "New d2 1 2005-01-01..2019-12-31",
            "Unit p1 2 2005-01-01..2009-12-31",
            "Unit p1 2 2015-01-01..2019-12-31",
            "Unit p1 1 2020-01-01..2025-12-31",
            "Unit p2 2 2010-01-01..2014-12-31",
            // It never ceased to stand above, only nearer.
            "Unit vn 3 2005-01-01..2019-12-31",
            "Unit vn 2 2020-01-01..2025-12-31",
        ]
    );
    assert_eq!(
        rows(&registry.descendants(&id("p2"), &span)),
        ["Unit c3 2 2010-01-01..2014-12-31", "Unit c4 1 2005-01-01..2025-12-31", "New d2 1 2010-01-01..2014-12-31"]
    );
    let early = Span { first_day: None, last_day: Some(day("2009-12-31")) };
    assert_eq!(rows(&registry.descendants(&id("d2"), &early)), ["Unit c3 1 ..2009-12-31"]);
    assert!(registry.ancestors(&id("vn"), &span).is_empty());
}

/// Ids of the units that are called so.
fn found(registry: &Registry, name: &str, on: Option<&str>) -> Vec<String> {
    registry.find_units(name, on.map(day)).into_iter().map(|unit| format!("{} {}", unit.id, unit.name)).collect()
}

#[test]
fn units_are_found_by_every_name_they_ever_had_and_on_a_day_by_that_of_the_day() {
    let mut units = country();
    units.push(Unit {
        kind: "Huyện".to_owned(),
        name: "Huyện Đại Từ".to_owned(),
        valid_until: Some(day("2025-06-30")),
        ..unit("d3", Level::District, "p1")
    });
    units.push(Unit { kind: "Xã".to_owned(), name: "Dai Tu".to_owned(), ..formed("n", Level::Commune, "p1") });
    let registry = of(
        units,
        vec![
            named("a", "2010-01-01", "d3", "Huyện Định Hóa"),
            named("b", "2015-01-01", "c4", "Đại Từ"),
            event("c", EventType::Merge, "2025-07-01", &["c1"], &["n"]),
        ],
    );
    // Equal with accents first, then the higher level; each as it is, or was last.
    assert_eq!(found(&registry, "đại từ", None), ["d3 Huyện Định Hóa", "c4 Đại Từ", "n Dai Tu"]);
    assert_eq!(found(&registry, "DAI TU", None), ["n Dai Tu", "d3 Huyện Định Hóa", "c4 Đại Từ"]);
    assert_eq!(found(&registry, "huyen dinh hoa", None), ["d3 Huyện Định Hóa"]);
    assert_eq!(found(&registry, "xã dai tu", None), ["n Dai Tu"], "with its kind, too");
    assert_eq!(found(&registry, "đại từ", Some("2009-12-31")), ["d3 Huyện Đại Từ"]);
    assert_eq!(found(&registry, "đại từ", Some("2010-01-01")), [""; 0]);
    assert_eq!(found(&registry, "đại từ", Some("2025-07-01")), ["c4 Đại Từ", "n Dai Tu"]);
    assert_eq!(found(&registry, "định hóa", Some("2025-07-01")), [""; 0], "it has ended");
}

#[test]
fn a_correction_takes_away_what_should_never_have_been_there() {
    let wrong =
        Unit { valid_until: Some(day("2015-12-31")), kind: "Xã".to_owned(), ..unit("c9", Level::Commune, "d1") };
    let cleared = vec![Cleared::ValidUntil, Cleared::Kind];
    let change = UnitChange { cleared, ..UnitChange::default() };
    let correction = UnitEvent { change, ..event("a", EventType::Correct, "", &["c9"], &[]) };
    let mut registry = of(country(), vec![]);
    registry.apply(registry.revision.next(), &Change::UnitRegistered(wrong));
    assert!(!registry.is_alive_on(&id("c9"), day("2020-01-01")));
    registry.apply(registry.revision.next(), &Change::UnitEventRecorded(correction));
    assert_eq!(registry.unit_on(&id("c9"), day("2020-01-01")).unwrap().kind, "");
}

fn term(unit: &str, label: &str, start_on: &str, end_on: &str) -> Change {
    Change::TermDefined(Term {
        key: TermKey { unit: id(unit), organ: Organ::Party, label: label.to_owned() },
        start_on: day(start_on),
        end_on: Some(day(end_on)),
        dates_basis: DatesBasis::Known,
    })
}

/// The unit on which the term is defined that a label means for another one.
fn term_of(registry: &Registry, unit: &str, label: &str) -> Option<String> {
    registry.find_term(&id(unit), Organ::Party, label).map(|term| term.key.unit.to_string())
}

#[test]
fn a_term_is_that_of_the_nearest_unit_above_as_it_stands_now_else_as_it_stood_then() {
    let mut registry = of(country(), vec![event("a", EventType::Transfer, "2016-01-01", &["c3"], &["d1"])]);
    for change in [
        term("vn", "2010-2015", "2010-01-01", "2015-12-31"),
        term("d1", "2015-2020", "2015-07-01", "2020-06-30"),
        term("d2", "2015-2020", "2015-08-01", "2020-07-31"),
        term("d2", "2005-2010", "2005-08-01", "2010-07-31"),
        term("c3", "2020-2025", "2020-05-01", "2025-04-30"),
        term("p1", "2020-2025", "2020-06-01", "2025-05-31"),
        term("d2", "2021-2026", "2021-01-01", "2025-12-31"),
    ] {
        registry.apply(registry.revision.next(), &change);
    }
    let of_c3 = |label| term_of(&registry, "c3", label);
    assert_eq!(of_c3("2020-2025").as_deref(), Some("c3"), "its own first");
    assert_eq!(of_c3("2015-2020").as_deref(), Some("d1"), "as it stands now");
    assert_eq!(of_c3("2005-2010").as_deref(), Some("d2"), "as it stood while the term ran");
    assert_eq!(of_c3("2010-2015").as_deref(), Some("vn"));
    assert_eq!(of_c3("2021-2026"), None, "it had gone from there before");
    assert_eq!(term_of(&registry, "c1", "2020-2025").as_deref(), Some("p1"), "the nearest that has one");
    assert_eq!(registry.find_term(&id("c3"), Organ::Front, "2015-2020"), None, "of another organ");
}

#[test]
fn a_term_is_found_through_the_transfer_of_what_stands_above() {
    let mut registry = of(country(), vec![event("a", EventType::Transfer, "2016-01-01", &["d1"], &["p2"])]);
    registry.apply(registry.revision.next(), &term("p1", "2005-2010", "2005-08-01", "2010-07-31"));
    assert_eq!(term_of(&registry, "d1", "2005-2010").as_deref(), Some("p1"));
    assert_eq!(term_of(&registry, "c1", "2005-2010").as_deref(), Some("p1"), "it stood below d1 all the time");
    let span = Span { first_day: Some(day("2006-01-01")), last_day: Some(day("2006-12-31")) };
    let labels = |unit: &str| {
        let terms = registry.terms_of(&id(unit), Organ::Party, &span);
        terms.into_iter().map(|term| term.key.label.as_str()).collect::<Vec<_>>()
    };
    assert_eq!((labels("d1"), labels("c1")), (vec!["2005-2010"], vec!["2005-2010"]));
}

fn indicator(version: u32, valid_from: Option<&str>) -> Indicator {
    Indicator {
        id: "flag".parse().unwrap(),
        names: [("en".to_owned(), "Flag".to_owned())].into(),
        value_kind: ValueKind::Flag,
        temporality: Temporality::State,
        roll_up: RollUp::ShareOfUnits,
        dimensions: Vec::new(),
        unit_of_measure: String::new(),
        version,
        valid_from: valid_from.map(day),
        codes: Vec::new(),
        levels: Vec::new(),
        not_applicable: Vec::new(),
        change_of: None,
        balance: None,
        description: String::new(),
    }
}

#[test]
fn the_newest_version_that_holds_on_the_day_counts() {
    let id: IndicatorId = "flag".parse().unwrap();
    let versions = |first: &[Option<&str>]| {
        let versions =
            first.iter().zip(1..).map(|(first, version)| Change::IndicatorDefined(indicator(version, *first)));
        let registry = fold(versions);
        move |on: Option<&str>| registry.indicator_on(&id, on.map(day)).map(|indicator| indicator.version)
    };
    let id: IndicatorId = "flag".parse().unwrap();
    assert_eq!(Registry::default().indicator_on(&id, None), None);
    let on = versions(&[Some("2010-01-01"), Some("2020-01-01"), Some("2015-01-01")]);
    assert_eq!(on(Some("2009-12-31")), Some(1), "the first one for days before all of them");
    assert_eq!(on(Some("2014-12-31")), Some(1));
    assert_eq!((on(Some("2015-01-01")), on(Some("2020-01-01"))), (Some(3), Some(3)), "the newest that holds");
    assert_eq!(on(None), Some(3), "the last there is");
}

#[test]
fn the_registry_is_kept_as_it_was_at_the_end_of_every_change() {
    let mut registries = Registries::default();
    let mut registry = Registry::default();
    let mut apply = |revision: u64, change: &Change, registries: &mut Registries| {
        registry.apply(Revision::from(revision), change);
        registries.note(Revision::from(revision + 1), &registry);
    };
    // Changes end at 2, 5 and 6; a change of reports at 5 leaves it as it was.
    apply(1, &Change::UnitRegistered(unit("vn", Level::Country, "")), &mut registries);
    apply(4, &Change::Unchanged, &mut registries);
    apply(5, &Change::UnitRegistered(unit("p1", Level::Province, "vn")), &mut registries);
    let units = |revision: u64| registries.at(Revision::from(revision)).units_after("").count();
    assert_eq!([0, 1, 2, 3, 5, 6, 7, 99].map(units), [0, 0, 1, 1, 1, 2, 2, 2]);
    assert_eq!(registries.at(Revision::ZERO), Registry::default());
}

/// Few units, so that many events meet.
const UNITS: [&str; 4] = ["vn", "a", "b", "c"];
const EVENTS: [&str; 6] = ["e1", "e2", "e3", "e4", "e5", "e6"];
const DAYS: [&str; 5] = ["2000-01-01", "2000-01-02", "2005-01-01", "2010-01-01", "2015-07-01"];
const NAMES: [&str; 3] = ["x", "y", "Unit a"];

fn a_unit_id() -> impl Strategy<Value = UnitId> {
    select(&UNITS[..]).prop_map(id)
}

fn a_day() -> impl Strategy<Value = Date> {
    select(&DAYS[..]).prop_map(day)
}

fn a_level() -> impl Strategy<Value = Level> {
    select(&[Level::Country, Level::Province, Level::District, Level::Commune][..])
}

prop_compose! {
    fn a_registration()(
        id in a_unit_id(), level in a_level(), parent in option::weighted(0.8, a_unit_id()), formed in any::<bool>(),
        valid_from in option::of(a_day()), valid_until in option::weighted(0.2, a_day()),
    ) -> Unit {
        let valid_from = valid_from.filter(|_| !formed);
        Unit { parent, valid_from, valid_until, formed_by_event: formed, ..unit(id.as_str(), level, "") }
    }
}

prop_compose! {
    fn a_change()(
        name in select(&["", NAMES[0], NAMES[1]][..]), kind in select(&["", "x", "y"][..]), level in option::of(a_level()),
        parent in option::of(a_unit_id()), valid_from in option::of(a_day()), valid_until in option::of(a_day()),
        attribute in option::of(select(&["", "x", "y"][..])),
    ) -> UnitChange {
        let attributes = attribute.map(|value| ("terrain".to_owned(), value.to_owned())).into_iter().collect();
        let (name, kind) = (name.to_owned(), kind.to_owned());
        let cleared = Vec::new();
        UnitChange { name, kind, official_code: String::new(), attributes, level, parent, valid_from, valid_until, cleared }
    }
}

prop_compose! {
    fn an_event()(
        id in select(&EVENTS[..]), from in vec(a_unit_id(), 1..3), into in vec(a_unit_id(), 0..3), on in a_day(),
        change in a_change(), is_effective in prop::bool::weighted(0.8),
        event_type in select(&[
            EventType::Merge, EventType::Split, EventType::Dissolve, EventType::Transfer, EventType::Rename,
            EventType::ChangeLevel, EventType::Correct, EventType::Correct, EventType::Correct,
        ][..]),
    ) -> UnitEvent {
        let status = if is_effective { EventStatus::Effective } else { EventStatus::Planned };
        let change = match event_type {
            EventType::Correct => change,
            EventType::ChangeLevel => UnitChange { level: change.level, ..UnitChange::default() },
            EventType::Rename => {
                UnitChange { level: None, parent: None, valid_from: None, valid_until: None, ..change }
            }
            _ => UnitChange::default(),
        };
        let on = if event_type == EventType::Correct { String::new() } else { on.to_string() };
        UnitEvent { from, into, status, change, ..event(id, event_type, &on, &[], &[]) }
    }
}

fn a_registry_change() -> impl Strategy<Value = Change> {
    let form = |version| Form {
        id: "form".parse().unwrap(),
        version,
        names: BTreeMap::new(),
        indicators: Vec::new(),
        under: id("vn"),
        level: None,
        organ: Organ::Party,
        frequency: Some(Frequency::Yearly),
        due: None,
        time_zone: String::new(),
        valid_from: None,
        valid_until: None,
    };
    prop_oneof![
        6 => a_registration().prop_map(Change::UnitRegistered),
        9 => an_event().prop_map(Change::UnitEventRecorded),
        1 => a_day().prop_map(Change::RegisterCompleteFrom),
        1 => (1u32..4).prop_map(|version| Change::IndicatorDefined(indicator(version, None))),
        1 => a_unit_id().prop_map(|unit| term(unit.as_str(), "2015-2020", "2015-01-01", "2020-01-01")),
        1 => (1u32..4).prop_map(move |version| Change::FormDefined(form(version))),
        1 => Just(Change::Unchanged),
    ]
}

/// Changes as they are accepted, as far as the fold relies on it: an id is registered once.
fn acceptable(changes: Vec<Change>) -> Vec<Change> {
    let mut registered: BTreeSet<UnitId> = BTreeSet::new();
    let is_acceptable = |change: &Change| match change {
        Change::UnitRegistered(unit) => registered.insert(unit.id.clone()),
        _ => true,
    };
    changes.into_iter().filter(is_acceptable).collect()
}

/// The fold of changes that end before these places.
fn in_changes(parts: &[Change], ends: &BTreeSet<usize>) -> Registry {
    let mut registry = Registry::default();
    for (place, part) in parts.iter().enumerate() {
        if ends.contains(&place) {
            registry.settle();
        }
        registry.apply_part(registry.revision.next(), part);
    }
    registry.settle();
    registry
}

/// The life of every unit.
fn lives(registry: &Registry) -> Vec<(&UnitId, &[UnitState], &Unit)> {
    registry.units_after("").map(|record| (&record.registration.id, record.states(), &**record.newest())).collect()
}

/// Holds for anything of that kind; `TONGHOP_TEST_SEED` replays a run.
fn for_any<S: Strategy>(kind: S, holds: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let any_seed = || any::<u64>().new_tree(&mut TestRunner::default()).unwrap().current();
    let seed = std::env::var("TONGHOP_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(any_seed);
    println!("TONGHOP_TEST_SEED={seed}");
    let config = Config { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    if let Err(error) = TestRunner::new(config).run(&kind, holds) {
        panic!("TONGHOP_TEST_SEED={seed}: {error}");
    }
}

#[test]
fn a_change_makes_the_same_units_as_its_parts_and_a_copy_stays_as_it_is() {
    let changes = vec(a_registry_change(), 0..40).prop_map(acceptable);
    for_any((changes, vec(any::<Index>(), 0..6)), |(changes, ends)| {
        let ends: BTreeSet<usize> = ends.iter().map(|end| end.index(changes.len() + 1)).collect();
        let mut growing = Registry::default();
        let mut kept: Vec<(usize, Registry)> = Vec::new();
        for (place, change) in changes.iter().enumerate() {
            if ends.contains(&place) {
                growing.settle();
                // A reader keeps its own, and so does the next change.
                kept.push((place, growing.clone()));
                growing = growing.clone();
            }
            growing.apply_part(growing.revision.next(), change);
        }
        growing.settle();
        prop_assert_eq!(&growing, &in_changes(&changes, &ends), "copies that were made on the way change nothing");
        for (length, copy) in kept {
            prop_assert_eq!(copy, in_changes(&changes[..length], &ends), "a copy changes with what it was made from");
        }
        let one_by_one = fold(changes);
        prop_assert_eq!(lives(&growing), lives(&one_by_one));
        for (unit, day) in UNITS.into_iter().flat_map(|unit| DAYS.map(|on| (id(unit), day(on)))) {
            let below = |registry: &Registry| -> Vec<Unit> { registry.children_on(&unit, day).cloned().collect() };
            prop_assert_eq!(below(&growing), below(&one_by_one), "below {} on {}", unit, day);
        }
        for name in NAMES {
            prop_assert_eq!(found(&growing, name, None), found(&one_by_one, name, None));
        }
        Ok(())
    });
}

#[test]
fn an_event_revised_back_leaves_every_unit_as_if_it_never_was() {
    let changes = vec(a_registry_change(), 1..40).prop_map(acceptable);
    let kind = (changes, an_event(), any::<Index>(), any::<Index>());
    for_any(kind, |(changes, other, which, place)| {
        let never = fold(changes.clone());
        let known: Vec<UnitEvent> = never.events_after("").map(|event| event.value.clone()).collect();
        if known.is_empty() {
            return Ok(());
        }
        let event = which.get(&known);
        let other = UnitEvent { id: event.id.clone(), ..other };
        // Some time after it was recorded, and before it is recorded for the last time.
        let is_it = |change: &Change| matches!(change, Change::UnitEventRecorded(recorded) if recorded == event);
        let recorded = changes.iter().rposition(is_it).unwrap();
        let mut revising = changes.clone();
        revising.insert(recorded + 1 + place.index(changes.len() - recorded), Change::UnitEventRecorded(other));
        revising.push(Change::UnitEventRecorded(event.clone()));
        let revised = fold(revising);
        prop_assert_eq!(lives(&revised), lives(&never));
        Ok(())
    });
}

#[test]
fn states_follow_each_other_without_a_gap() {
    for_any(vec(a_registry_change(), 0..40), |changes| {
        for record in fold(changes).units_after("") {
            for pair in record.states().windows(2) {
                let next = pair[0].span.last_day.unwrap().tomorrow().unwrap();
                prop_assert_eq!(pair[1].span.first_day, Some(next));
            }
            for UnitState { span, unit } in record.states() {
                prop_assert!(span.first_day.is_none_or(|first| span.last_day.is_none_or(|last| first <= last)));
                let life = record.life().unwrap();
                prop_assert_eq!((unit.valid_from, unit.valid_until), (life.first_day, life.last_day));
            }
        }
        Ok(())
    });
}
