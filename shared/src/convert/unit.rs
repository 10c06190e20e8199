//! Units through the door.

use proto::v1;

use super::{Door, Wire, optional_text};
use crate::{
    limits::{ATTRIBUTES_MAX, ID_CHARS_MAX, NAME_CHARS_MAX},
    model::{
        fault::{Reason, quote},
        ids::UnitId,
        unit::Unit,
    },
};

pub(super) fn read(door: &mut Door, path: &str, unit: &v1::Unit) -> Option<Unit> {
    let id = door.unit_id(&format!("{path}.id"), &unit.id);
    let level = door.required_enum(&format!("{path}.level"), unit.level);
    let kind = door.text(&format!("{path}.kind"), &unit.kind, NAME_CHARS_MAX);
    let name = door.required_text(&format!("{path}.name"), &unit.name, NAME_CHARS_MAX);
    let parent: Option<UnitId> = door.optional(&format!("{path}.parent"), &unit.parent, Reason::InvalidId);
    let official_code = door.text(&format!("{path}.official_code"), &unit.official_code, ID_CHARS_MAX);
    let valid_from = door.day(&format!("{path}.valid_from"), &unit.valid_from);
    let are_few = door.allows(&format!("{path}.attributes"), unit.attributes.len(), ATTRIBUTES_MAX);
    let attributes = unit.attributes.iter().filter(|_| are_few).map(|(attribute, value)| {
        let path = format!("{path}.attributes[{}]", quote(attribute));
        (
            door.key(&path, attribute, is_attribute_char, "a-z, 0-9 and _"),
            door.required_text(&path, value, NAME_CHARS_MAX),
        )
    });
    let attributes = attributes.collect();
    let valid_until = door.day(&format!("{path}.valid_until"), &unit.valid_until);
    let formed_by_event = unit.formed_by_event;
    // The start of such a unit is that of its events, as answers show it.
    let valid_from = valid_from.filter(|_| !formed_by_event);
    if let (Some(first), Some(last)) = (valid_from, valid_until)
        && last < first
    {
        door.add(&format!("{path}.valid_until"), Reason::InvalidPeriod, "ends before it starts");
    }
    let (id, level) = (id?, level?);
    Some(Unit { id, level, kind, name, parent, official_code, attributes, valid_from, valid_until, formed_by_event })
}

/// Whether the key of an attribute may contain it.
pub(super) fn is_attribute_char(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'
}

pub(super) fn write(unit: &Unit) -> v1::Unit {
    v1::Unit {
        id: unit.id.to_string(),
        level: unit.level.number(),
        kind: unit.kind.clone(),
        name: unit.name.clone(),
        parent: optional_text(unit.parent.as_ref()),
        official_code: unit.official_code.clone(),
        attributes: unit.attributes.clone(),
        valid_from: optional_text(unit.valid_from),
        valid_until: optional_text(unit.valid_until),
        formed_by_event: unit.formed_by_event,
    }
}
