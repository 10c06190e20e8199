//! Conditions on units and reports as they are asked.

use proto::v1;

use super::questions::read_number;
use crate::{
    convert::{Door, unit},
    limits::{FILTER_VALUES_MAX, FILTERS_MAX, ID_CHARS_MAX, NAME_CHARS_MAX, URI_CHARS_MAX},
    model::{
        fault::Reason,
        query::{Condition, Numbers, ReportFilter},
    },
};

pub(super) fn read_filters(door: &mut Door, filters: &[v1::UnitFilter]) -> Vec<Condition> {
    if !door.allows("filters", filters.len(), FILTERS_MAX) {
        return Vec::new();
    }
    let read = |(index, filter): (usize, &v1::UnitFilter)| read_filter(door, &format!("filters[{index}]"), filter);
    filters.iter().enumerate().filter_map(read).collect()
}

fn read_filter(door: &mut Door, path: &str, filter: &v1::UnitFilter) -> Option<Condition> {
    use v1::unit_filter::Condition as Wired;
    match &filter.condition {
        None => {
            door.missing(path, "has an attribute, a kind or a value");
            None
        }
        Some(Wired::Attribute(attribute)) => {
            let key_path = format!("{path}.attribute.key");
            let key = door.key(&key_path, &attribute.key, unit::is_attribute_char, "a-z, 0-9 and _");
            let values_path = format!("{path}.attribute.values");
            if attribute.values.is_empty() {
                door.missing(&values_path, "has at least one value");
            }
            if !door.allows(&values_path, attribute.values.len(), FILTER_VALUES_MAX) {
                return None;
            }
            let values = attribute.values.iter().enumerate();
            let values =
                values.map(|(index, value)| door.text(&format!("{values_path}[{index}]"), value, NAME_CHARS_MAX));
            Some(Condition::Attribute { key, values: values.collect() })
        }
        Some(Wired::Kind(kind)) => {
            Some(Condition::Kind(door.required_text(&format!("{path}.kind"), kind, NAME_CHARS_MAX)))
        }
        Some(Wired::Value(value)) => read_value_filter(door, &format!("{path}.value"), value),
    }
}

fn read_value_filter(door: &mut Door, path: &str, value: &v1::unit_filter::Value) -> Option<Condition> {
    let indicator = door.indicator_id(&format!("{path}.indicator"), &value.indicator);
    let mut number = |field: &str, text: &str| match text {
        "" => None,
        text => read_number(door, &format!("{path}.{field}"), text),
    };
    let within = Numbers {
        more_than: number("more_than", &value.more_than),
        at_least: number("at_least", &value.at_least),
        less_than: number("less_than", &value.less_than),
        at_most: number("at_most", &value.at_most),
    };
    let is_empty = [(&within.more_than, true), (&within.at_least, false)].into_iter().any(|(lower, is_open)| {
        let uppers = [(&within.less_than, true), (&within.at_most, false)];
        uppers.into_iter().any(|(upper, is_open_above)| match (lower, upper) {
            (Some(lower), Some(upper)) => lower > upper || lower == upper && (is_open || is_open_above),
            _ => false,
        })
    });
    if is_empty {
        door.add(path, Reason::ConflictingFields, "has bounds between which there is no number");
    }
    let compares = [&value.more_than, &value.at_least, &value.less_than, &value.at_most].iter().any(|t| !t.is_empty());
    match (value.flag, value.codes.as_slice(), compares) {
        (Some(is), [], false) => Some(Condition::Flag { indicator: indicator?, is }),
        (None, [], true) => Some(Condition::Number { indicator: indicator?, within }),
        (None, [_, ..], false) => {
            let codes_path = format!("{path}.codes");
            if !door.allows(&codes_path, value.codes.len(), FILTER_VALUES_MAX) {
                return None;
            }
            let codes = value.codes.iter().enumerate();
            let codes = codes.map(|(index, code)| door.indicator_id(&format!("{codes_path}[{index}]"), code));
            let codes = codes.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
            Some(Condition::Category { indicator: indicator?, codes: codes? })
        }
        (None, [], false) => {
            door.missing(path, "says what the value has to be: flag, codes, more_than, at_least, less_than or at_most");
            None
        }
        _ => {
            door.add(path, Reason::ConflictingFields, "has a flag, or codes, or bounds of a number");
            None
        }
    }
}

pub(super) fn read_reports(door: &mut Door, reports: &v1::ReportFilter) -> ReportFilter {
    let organ = door.optional_enum("reports.organ", reports.organ);
    let issuer = match reports.issuer.as_str() {
        "" => None,
        issuer => door.unit_id("reports.issuer", issuer),
    };
    let form = door.text("reports.form", &reports.form, ID_CHARS_MAX);
    let source = door.text("reports.source", &reports.source, URI_CHARS_MAX);
    let basis = reports.basis.iter().enumerate();
    let basis = basis.filter_map(|(index, basis)| door.required_enum(&format!("reports.basis[{index}]"), *basis));
    ReportFilter { organ, issuer, form, source, basis: basis.collect() }
}
