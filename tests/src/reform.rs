//! The reform of 1 July 2025 as one request: the district level ended, 10,035 communes became 3,321, 63 provinces 34.

use std::collections::{BTreeMap, HashMap};

use proto::v1::{
    RecordUnitEventsRequest, Unit, UnitEvent,
    unit::Level,
    unit_event::{Change, Part, Status, Type},
};

use crate::fixtures;

/// The day of the reform.
pub const EFFECTIVE_ON: &str = "2025-07-01";
/// What the id of every event begins with.
const PREFIX: &str = "reform-2025";
/// Of 12 June 2025, on the provinces.
const ON_PROVINCES: &str = "Nghị quyết 202/2025/QH15";
/// One for each province, numbers 1654 to 1687/NQ-UBTVQH15.
const ON_COMMUNES: &str = "Nghị quyết của Ủy ban Thường vụ Quốc hội, 16/6/2025";
/// Of 16 June 2025, on the end of the district level.
const ON_DISTRICTS: &str = "Nghị quyết 203/2025/QH15";

/// What became of a unit: where all of it went, or one of the places where parts of it went.
struct Row {
    old_id: String,
    new_id: String,
    whole: bool,
    is_main: bool,
}

/// Everything that happened to the units of [`fixtures::units`] on that day, and the units that came of it.
///
/// # Panics
/// If a fixture cannot be read, or a unit that keeps its id got a part of another one.
pub fn request() -> RecordUnitEventsRequest {
    let old_units = fixtures::units();
    let new_units = new_units();
    let rows = rows();
    let old: HashMap<&str, &Unit> = old_units.iter().map(|unit| (unit.id.as_str(), unit)).collect();
    let formed: Vec<&Unit> = new_units.iter().filter(|unit| !old.contains_key(unit.id.as_str())).collect();
    let kept: Vec<(&Unit, &Unit)> =
        new_units.iter().filter_map(|unit| Some((*old.get(unit.id.as_str())?, unit))).collect();

    let mut events = merges(&formed, &rows);
    events.extend(splits(&old, &rows));
    events.extend(transfers(&kept));
    events.extend(renames(&kept));
    events.push(change_of_level(&kept));
    events.push(end_of_districts(&old_units, &kept));
    let units = formed.into_iter().cloned().collect();
    RecordUnitEventsRequest { events, units, ..Default::default() }
}

/// How many rows the list of what became of each unit has.
///
/// # Panics
/// If the fixture cannot be read.
pub fn change_count() -> usize {
    rows().len()
}

/// The provinces and communes of that day, provinces first.
fn new_units() -> Vec<Unit> {
    fixtures::read_units("register/units_from_2025-07-01.tsv")
}

/// What became of each province and commune, and of the five districts without communes.
fn rows() -> Vec<Row> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, old_id, new_id, extent, main] = fields[..] else { panic!("{line:?} has not five columns") };
        let whole = match extent {
            "whole" => true,
            "part" => false,
            _ => panic!("{extent} is no extent"),
        };
        Row { old_id: old_id.to_owned(), new_id: new_id.to_owned(), whole, is_main: main == "main" }
    };
    fixtures::text("register/changes_2025-07-01.tsv").lines().skip(1).map(row).collect()
}

fn event(id: &str, kind: Type, from: Vec<String>, into: Vec<String>, document: &str) -> UnitEvent {
    UnitEvent {
        id: format!("{PREFIX}-{id}"),
        r#type: kind.into(),
        effective_on: EFFECTIVE_ON.to_owned(),
        from,
        into,
        document: document.to_owned(),
        status: Status::Effective.into(),
        ..UnitEvent::default()
    }
}

/// One for each new unit that took in whole ones.
fn merges(formed: &[&Unit], rows: &[Row]) -> Vec<UnitEvent> {
    let mut from: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.whole) {
        from.entry(&row.new_id).or_default().push(row.old_id.clone());
    }
    let merge = |unit: &&Unit| {
        let from = from.remove(unit.id.as_str())?;
        let id = unit.id.strip_suffix("-2025").unwrap_or_else(|| panic!("{} has not the id of a new unit", unit.id));
        let document = if unit.level() == Level::Province { ON_PROVINCES } else { ON_COMMUNES };
        Some(event(id, Type::Merge, from, vec![unit.id.clone()], document))
    };
    formed.iter().filter_map(merge).collect()
}

/// One for each divided commune.
fn splits(old: &HashMap<&str, &Unit>, rows: &[Row]) -> Vec<UnitEvent> {
    let mut parts: BTreeMap<&str, Vec<Part>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.whole) {
        assert!(!old.contains_key(row.new_id.as_str()), "{} keeps its id and got a part of {}", row.new_id, row.old_id);
        let part = Part { unit: row.new_id.clone(), is_main: row.is_main, ..Part::default() };
        parts.entry(&row.old_id).or_default().push(part);
    }
    let split = |(old_id, parts): (&str, Vec<Part>)| {
        let into = parts.iter().map(|part| part.unit.clone()).collect();
        let split = event(&format!("split-{old_id}"), Type::Split, vec![old_id.to_owned()], into, ON_COMMUNES);
        UnitEvent { parts, ..split }
    };
    parts.into_iter().map(split).collect()
}

/// One for each province below which units came that were there before; most had a district above them.
fn transfers(kept: &[(&Unit, &Unit)]) -> Vec<UnitEvent> {
    let mut from: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (old, new) in kept.iter().filter(|(old, new)| old.parent != new.parent) {
        from.entry(&new.parent).or_default().push(old.id.clone());
    }
    let transfer = |(parent, from): (&str, Vec<String>)| {
        event(&format!("transfer-{parent}"), Type::Transfer, from, vec![parent.to_owned()], ON_COMMUNES)
    };
    from.into_iter().map(transfer).collect()
}

/// One for each unit that was there before and has another name, kind or code now.
fn renames(kept: &[(&Unit, &Unit)]) -> Vec<UnitEvent> {
    let differing = |old: &str, new: &str| if old == new { String::new() } else { new.to_owned() };
    let rename = |(old, new): &(&Unit, &Unit)| {
        let change = Change {
            name: differing(&old.name, &new.name),
            kind: differing(&old.kind, &new.kind),
            official_code: differing(&old.official_code, &new.official_code),
            ..Change::default()
        };
        if change == Change::default() {
            return None;
        }
        let document = if new.level() == Level::Province { ON_PROVINCES } else { ON_COMMUNES };
        let rename = event(&format!("rename-{}", old.id), Type::Rename, vec![old.id.clone()], Vec::new(), document);
        Some(UnitEvent { change: Some(change), ..rename })
    };
    kept.iter().filter_map(rename).collect()
}

/// The districts that were islands without communes, and are communes now.
fn change_of_level(kept: &[(&Unit, &Unit)]) -> UnitEvent {
    let from = kept.iter().filter(|(old, new)| old.level != new.level).map(|(old, _)| old.id.clone()).collect();
    let change = Change { level: Level::Commune.into(), ..Change::default() };
    UnitEvent { change: Some(change), ..event("level", Type::ChangeLevel, from, Vec::new(), ON_COMMUNES) }
}

/// Every other district.
fn end_of_districts(old_units: &[Unit], kept: &[(&Unit, &Unit)]) -> UnitEvent {
    let is_kept = |unit: &Unit| kept.iter().any(|(old, _)| old.id == unit.id);
    let ended = old_units.iter().filter(|unit| unit.level() == Level::District && !is_kept(unit));
    event("districts", Type::Dissolve, ended.map(|unit| unit.id.clone()).collect(), Vec::new(), ON_DISTRICTS)
}
