//! Events of units through the door.

use std::collections::BTreeMap;

use proto::v1::{self, unit_event};
use rust_decimal::Decimal;

use super::{Door, Wire, enums::unless_default, optional_text};
use crate::{
    limits::{ATTRIBUTES_MAX, EVENT_UNITS_MAX, ID_CHARS_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX},
    model::{
        event::{Cleared, Part, UnitChange, UnitEvent},
        fault::{Reason, quote},
        ids::UnitId,
        period::Period,
    },
};

pub(super) fn read(door: &mut Door, path: &str, wired: &v1::UnitEvent) -> Option<UnitEvent> {
    let at = |field: &str| format!("{path}.{field}");
    let id = door.required(&at("id"), &wired.id, Reason::InvalidId);
    let event_type = door.required_enum(&at("type"), wired.r#type);
    let effective_on: Option<Period> = door.optional(&at("effective_on"), &wired.effective_on, Reason::InvalidPeriod);
    let from = read_units(door, &at("from"), &wired.from);
    let into = read_units(door, &at("into"), &wired.into);
    let document = door.text(&at("document"), &wired.document, NOTE_CHARS_MAX);
    let status = door.optional_enum(&at("status"), wired.status).unwrap_or_default();
    let are_few = door.allows(&at("parts"), wired.parts.len(), EVENT_UNITS_MAX);
    let mut parts: Vec<Part> = Vec::new();
    for (index, part) in wired.parts.iter().enumerate().filter(|_| are_few) {
        let path = format!("{path}.parts[{index}]");
        let Some(part) = read_part(door, &path, part) else { continue };
        if parts.iter().any(|other| other.unit == part.unit) {
            door.add(&format!("{path}.unit"), Reason::DuplicateId, "stands twice");
        }
        parts.push(part);
    }
    let change = wired.change.as_ref().map(|change| read_change(door, &at("change"), change)).unwrap_or_default();
    let from_count = read_count(door, &at("from_count"), wired.from_count);
    let into_count = read_count(door, &at("into_count"), wired.into_count);
    let reason = door.text(&at("reason"), &wired.reason, NOTE_CHARS_MAX);
    let note = door.text(&at("note"), &wired.note, NOTE_CHARS_MAX);
    let event = UnitEvent {
        id: id?,
        event_type: event_type?,
        effective_on,
        from: from?,
        into: into?,
        document,
        status,
        parts,
        change,
        from_count,
        into_count,
        reason,
        note,
    };
    if !door.is_trusted {
        // A day that cannot be read is not missing.
        let is_unread = !wired.effective_on.is_empty() && event.effective_on.is_none();
        for (field, reason, message) in event.contradictions() {
            if !(field == "effective_on" && is_unread) {
                door.add(&at(field), reason, message);
            }
        }
    }
    Some(event)
}

fn read_units(door: &mut Door, path: &str, ids: &[String]) -> Option<Vec<UnitId>> {
    let are_few = door.allows(path, ids.len(), EVENT_UNITS_MAX);
    let mut units: Vec<UnitId> = Vec::new();
    for (index, id) in ids.iter().enumerate().filter(|_| are_few) {
        let path = format!("{path}[{index}]");
        let unit = door.unit_id(&path, id)?;
        if units.contains(&unit) {
            door.add(&path, Reason::DuplicateId, "stands twice");
        }
        units.push(unit);
    }
    Some(units)
}

fn read_part(door: &mut Door, path: &str, part: &unit_event::Part) -> Option<Part> {
    let unit = door.unit_id(&format!("{path}.unit"), &part.unit);
    let path = format!("{path}.share");
    let share = if part.share.is_empty() { None } else { door.decimal(&path, &part.share) };
    if share.is_some_and(|share| share <= Decimal::ZERO || share >= Decimal::ONE) {
        door.add(&path, Reason::InvalidNumber, "lies between 0 and 1; leave it out where it is not known");
    }
    let share = share.filter(|share| *share > Decimal::ZERO && *share < Decimal::ONE);
    Some(Part { unit: unit?, share, is_main: part.is_main })
}

fn read_change(door: &mut Door, path: &str, change: &unit_event::Change) -> UnitChange {
    let at = |field: &str| format!("{path}.{field}");
    let are_few = door.allows(&at("attributes"), change.attributes.len(), ATTRIBUTES_MAX);
    let mut attributes = BTreeMap::new();
    for (attribute, value) in change.attributes.iter().filter(|_| are_few) {
        let path = format!("{path}.attributes[{}]", quote(attribute));
        let key = door.key(&path, attribute, super::unit::is_attribute_char, "a-z, 0-9 and _");
        attributes.insert(key, door.text(&path, value, NAME_CHARS_MAX));
    }
    UnitChange {
        name: door.text(&at("name"), &change.name, NAME_CHARS_MAX),
        kind: door.text(&at("kind"), &change.kind, NAME_CHARS_MAX),
        official_code: door.text(&at("official_code"), &change.official_code, ID_CHARS_MAX),
        attributes,
        level: door.optional_enum(&at("level"), change.level),
        parent: door.optional(&at("parent"), &change.parent, Reason::InvalidId),
        valid_from: door.day(&at("valid_from"), &change.valid_from),
        valid_until: door.day(&at("valid_until"), &change.valid_until),
        cleared: read_cleared(door, &at("cleared"), &change.cleared),
    }
}

fn read_cleared(door: &mut Door, path: &str, cleared: &[i32]) -> Vec<Cleared> {
    let mut read: Vec<Cleared> = Vec::new();
    for (index, field) in cleared.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(field) = door.required_enum(&path, *field) else { continue };
        if read.contains(&field) {
            door.add(&path, Reason::DuplicateId, "stands twice");
            break;
        }
        read.push(field);
    }
    read
}

fn read_count(door: &mut Door, path: &str, count: i32) -> Option<u32> {
    match u32::try_from(count) {
        Ok(0) => None,
        Ok(count) => Some(count),
        Err(_) => {
            door.add(path, Reason::InvalidNumber, "is negative; leave it out where every unit is named");
            None
        }
    }
}

pub(super) fn write(event: &UnitEvent) -> v1::UnitEvent {
    let count = |count: Option<u32>| count.map_or(0, |count| i32::try_from(count).unwrap_or(i32::MAX));
    let texts = |units: &[UnitId]| units.iter().map(ToString::to_string).collect();
    let part = |part: &Part| unit_event::Part {
        unit: part.unit.to_string(),
        share: optional_text(part.share),
        is_main: part.is_main,
    };
    v1::UnitEvent {
        id: event.id.to_string(),
        r#type: event.event_type.number(),
        effective_on: optional_text(event.effective_on.as_ref().map(Period::written)),
        from: texts(&event.from),
        into: texts(&event.into),
        document: event.document.clone(),
        status: unless_default(event.status),
        parts: event.parts.iter().map(part).collect(),
        change: (!event.change.is_empty()).then(|| write_change(&event.change)),
        from_count: count(event.from_count),
        into_count: count(event.into_count),
        reason: event.reason.clone(),
        note: event.note.clone(),
        revision: 0,
    }
}

fn write_change(change: &UnitChange) -> unit_event::Change {
    unit_event::Change {
        name: change.name.clone(),
        kind: change.kind.clone(),
        official_code: change.official_code.clone(),
        attributes: change.attributes.clone(),
        level: change.level.map_or(0, Wire::number),
        parent: optional_text(change.parent.as_ref()),
        valid_from: optional_text(change.valid_from),
        valid_until: optional_text(change.valid_until),
        cleared: change.cleared.iter().map(|field| field.number()).collect(),
    }
}
