//! Indicators through the door.

use proto::v1;

use super::{Door, Wire};
use crate::{
    limits::{CODES_MAX, DIMENSIONS_MAX, NAME_CHARS_MAX, NAMES_MAX},
    model::{
        fault::{Reason, quote},
        ids::IndicatorId,
        indicator::{Dimension, Indicator},
    },
};

pub(super) fn read(door: &mut Door, path: &str, indicator: &v1::Indicator) -> Option<Indicator> {
    let id = door.indicator_id(&format!("{path}.id"), &indicator.id);
    let names = read_names(door, &format!("{path}.names"), indicator);
    let value_kind = door.required_enum(&format!("{path}.value_kind"), indicator.value_kind);
    let temporality = door.required_enum(&format!("{path}.temporality"), indicator.temporality);
    let roll_up = door.required_enum(&format!("{path}.roll_up"), indicator.roll_up);
    let unit_of_measure = door.text(&format!("{path}.unit_of_measure"), &indicator.unit_of_measure, NAME_CHARS_MAX);
    let are_few = door.allows(&format!("{path}.dimensions"), indicator.dimensions.len(), DIMENSIONS_MAX);
    let mut dimensions: Vec<Dimension> = Vec::new();
    for (index, dimension) in indicator.dimensions.iter().enumerate().filter(|_| are_few) {
        let path = format!("{path}.dimensions[{index}]");
        let Some(dimension) = read_dimension(door, &path, dimension) else { continue };
        if dimensions.iter().any(|other| other.id == dimension.id) {
            door.add(&format!("{path}.id"), Reason::DuplicateId, "stands twice");
        }
        dimensions.push(dimension);
    }
    let indicator = Indicator {
        id: id?,
        names,
        value_kind: value_kind?,
        temporality: temporality?,
        roll_up: roll_up?,
        dimensions,
        unit_of_measure,
    };
    if !door.is_trusted {
        for (field, message) in indicator.contradictions() {
            door.add(&format!("{path}.{field}"), Reason::InvalidDefinition, message);
        }
    }
    Some(indicator)
}

fn read_names(door: &mut Door, path: &str, indicator: &v1::Indicator) -> std::collections::BTreeMap<String, String> {
    if indicator.names.is_empty() {
        door.missing(path, "needs at least one name, such as {\"en\": \"…\"}");
    }
    let are_few = door.allows(path, indicator.names.len(), NAMES_MAX);
    let language = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let names = indicator.names.iter().filter(|_| are_few).map(|(tag, name)| {
        let path = format!("{path}[{}]", quote(tag));
        (door.key(&path, tag, language, "a-z, 0-9 and -"), door.required_text(&path, name, NAME_CHARS_MAX))
    });
    names.collect()
}

fn read_dimension(door: &mut Door, path: &str, dimension: &v1::indicator::Dimension) -> Option<Dimension> {
    let id = door.indicator_id(&format!("{path}.id"), &dimension.id);
    let are_few = door.allows(&format!("{path}.codes"), dimension.codes.len(), CODES_MAX);
    if dimension.closed && dimension.codes.is_empty() {
        door.missing(&format!("{path}.codes"), "a closed dimension needs its codes");
    }
    let mut codes: Vec<IndicatorId> = Vec::new();
    for (index, code) in dimension.codes.iter().enumerate().filter(|_| are_few) {
        let path = format!("{path}.codes[{index}]");
        let Some(code) = door.indicator_id(&path, code) else { continue };
        if codes.contains(&code) {
            door.add(&path, Reason::DuplicateId, "stands twice");
        }
        codes.push(code);
    }
    Some(Dimension { id: id?, codes, closed: dimension.closed })
}

pub(super) fn write(indicator: &Indicator) -> v1::Indicator {
    let dimension = |dimension: &Dimension| v1::indicator::Dimension {
        id: dimension.id.to_string(),
        codes: dimension.codes.iter().map(ToString::to_string).collect(),
        closed: dimension.closed,
    };
    v1::Indicator {
        id: indicator.id.to_string(),
        names: indicator.names.clone(),
        value_kind: indicator.value_kind.number(),
        temporality: indicator.temporality.number(),
        roll_up: indicator.roll_up.number(),
        dimensions: indicator.dimensions.iter().map(dimension).collect(),
        unit_of_measure: indicator.unit_of_measure.clone(),
    }
}
