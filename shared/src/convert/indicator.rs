//! Indicators through the door.

use proto::v1;

use super::{Door, Wire, optional_text};
use crate::{
    limits::{CODES_MAX, DIMENSIONS_MAX, EXCEPTIONS_MAX, FORM_INDICATORS_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX},
    model::{
        fault::Reason,
        ids::IndicatorId,
        indicator::{Balance, Dimension, Exception, Indicator},
        period::Span,
        unit::Level,
    },
};

pub(super) fn read(door: &mut Door, path: &str, indicator: &v1::Indicator) -> Option<Indicator> {
    let id = door.indicator_id(&format!("{path}.id"), &indicator.id);
    let names = door.names(&format!("{path}.names"), &indicator.names);
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
    let version = door.version(&format!("{path}.version"), indicator.version);
    let valid_from = door.day(&format!("{path}.valid_from"), &indicator.valid_from);
    let codes = read_codes(door, &format!("{path}.codes"), &indicator.codes, CODES_MAX);
    let levels = read_levels(door, &format!("{path}.levels"), &indicator.levels);
    let are_few = door.allows(&format!("{path}.not_applicable"), indicator.not_applicable.len(), EXCEPTIONS_MAX);
    let mut not_applicable = Vec::new();
    for (index, exception) in indicator.not_applicable.iter().enumerate().filter(|_| are_few) {
        not_applicable.extend(read_exception(door, &format!("{path}.not_applicable[{index}]"), exception));
    }
    let change_of = door.optional(&format!("{path}.change_of"), &indicator.change_of, Reason::InvalidId);
    let balance = indicator.balance.as_ref().map(|balance| read_balance(door, &format!("{path}.balance"), balance));
    let description = door.text(&format!("{path}.description"), &indicator.description, NOTE_CHARS_MAX);
    let indicator = Indicator {
        id: id?,
        names,
        value_kind: value_kind?,
        temporality: temporality?,
        roll_up: roll_up?,
        dimensions,
        unit_of_measure,
        version: version?,
        valid_from,
        codes,
        levels,
        not_applicable,
        change_of,
        balance: balance.flatten(),
        description,
    };
    if !door.is_trusted {
        for (field, message) in indicator.contradictions() {
            door.add(&format!("{path}.{field}"), Reason::InvalidDefinition, message);
        }
    }
    Some(indicator)
}

fn read_dimension(door: &mut Door, path: &str, dimension: &v1::indicator::Dimension) -> Option<Dimension> {
    let id = door.indicator_id(&format!("{path}.id"), &dimension.id);
    if dimension.closed && dimension.codes.is_empty() {
        door.missing(&format!("{path}.codes"), "a closed dimension needs its codes");
    }
    let codes = read_codes(door, &format!("{path}.codes"), &dimension.codes, CODES_MAX);
    Some(Dimension { id: id?, codes, closed: dimension.closed })
}

/// Ids that stand once each.
fn read_codes(door: &mut Door, path: &str, codes: &[String], count_max: usize) -> Vec<IndicatorId> {
    let are_few = door.allows(path, codes.len(), count_max);
    let mut read: Vec<IndicatorId> = Vec::new();
    for (index, code) in codes.iter().enumerate().filter(|_| are_few) {
        let path = format!("{path}[{index}]");
        let Some(code) = door.indicator_id(&path, code) else { continue };
        if read.contains(&code) {
            door.add(&path, Reason::DuplicateId, "stands twice");
        }
        read.push(code);
    }
    read
}

fn read_levels(door: &mut Door, path: &str, levels: &[i32]) -> Vec<Level> {
    let mut read: Vec<Level> = Vec::new();
    for (index, level) in levels.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(level) = door.required_enum(&path, *level) else { continue };
        if read.contains(&level) {
            door.add(&path, Reason::DuplicateId, "stands twice");
            break;
        }
        read.push(level);
    }
    read
}

fn read_exception(door: &mut Door, path: &str, exception: &v1::indicator::Exception) -> Option<Exception> {
    let under = door.unit_id(&format!("{path}.under"), &exception.under);
    let level = door.optional_enum(&format!("{path}.level"), exception.level);
    let kind = door.text(&format!("{path}.kind"), &exception.kind, NAME_CHARS_MAX);
    let first_day = door.day(&format!("{path}.start_on"), &exception.start_on);
    let last_day = door.day(&format!("{path}.end_on"), &exception.end_on);
    if matches!((first_day, last_day), (Some(first), Some(last)) if last < first) {
        door.add(&format!("{path}.end_on"), Reason::InvalidPeriod, "ends before it starts");
    }
    let reason = door.required_text(&format!("{path}.reason"), &exception.reason, NOTE_CHARS_MAX);
    Some(Exception { under: under?, level, kind, span: Span { first_day, last_day }, reason })
}

fn read_balance(door: &mut Door, path: &str, balance: &v1::indicator::Balance) -> Option<Balance> {
    let opening = door.indicator_id(&format!("{path}.opening"), &balance.opening);
    let inflows = read_codes(door, &format!("{path}.inflows"), &balance.inflows, FORM_INDICATORS_MAX);
    let outflows = read_codes(door, &format!("{path}.outflows"), &balance.outflows, FORM_INDICATORS_MAX);
    Some(Balance { opening: opening?, inflows, outflows })
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
        version: i32::try_from(indicator.version).unwrap_or(i32::MAX),
        valid_from: optional_text(indicator.valid_from),
        codes: indicator.codes.iter().map(ToString::to_string).collect(),
        levels: indicator.levels.iter().map(|level| level.number()).collect(),
        not_applicable: indicator.not_applicable.iter().map(write_exception).collect(),
        change_of: optional_text(indicator.change_of.as_ref()),
        balance: indicator.balance.as_ref().map(write_balance),
        description: indicator.description.clone(),
    }
}

fn write_exception(exception: &Exception) -> v1::indicator::Exception {
    v1::indicator::Exception {
        under: exception.under.to_string(),
        level: exception.level.map_or(0, Wire::number),
        kind: exception.kind.clone(),
        start_on: optional_text(exception.span.first_day),
        end_on: optional_text(exception.span.last_day),
        reason: exception.reason.clone(),
    }
}

fn write_balance(balance: &Balance) -> v1::indicator::Balance {
    let texts = |ids: &[IndicatorId]| ids.iter().map(ToString::to_string).collect();
    v1::indicator::Balance {
        opening: balance.opening.to_string(),
        inflows: texts(&balance.inflows),
        outflows: texts(&balance.outflows),
    }
}
