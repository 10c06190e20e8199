//! QueryService through the door.

use jiff::Timestamp;
use proto::v1;

use super::{Door, digest, enums, enums::Wire, finding, optional_text, registry, report, timestamp, unit};
use crate::{
    limits::{ID_CHARS_MAX, NAME_CHARS_MAX, SELECTOR_IDS_MAX},
    model::{
        command::{NameQuery, UnitQuery},
        fault::{Fault, Reason, quote},
        ids::UnitId,
        log::Revision,
        period::WrittenPeriod,
        query::{
            Claim, DutiesQuery, DutyRow, ExpectedBasis, GroupBy, KnownAt, Meta, ObservationRow, ObservationsQuery,
            PublishedShare, Reading, RowUnit, SEMANTICS_VERSION, ShareQuery, ShareRow, TimeFilter, UnitSelector,
        },
        unit::Unit,
    },
    page::PageRequest,
    registry::UnitState,
};

/// GetShare: the question, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn share(request: &v1::GetShareRequest) -> Result<(ShareQuery, Option<Revision>), Fault> {
    let mut door = Door::default();
    let indicator = door.indicator_id("indicator", &request.indicator);
    let units = read_selector(&mut door, request.units.as_ref());
    let group_by = read_group(&mut door, &request.group_by);
    let day = read_day(&mut door, &request.on, &request.period);
    let boundaries_on = door.day("boundaries_on", &request.boundaries_on);
    let published_until = door.day("published_until", &request.published_until);
    let known_at = read_known_at(&mut door, request.known_at.as_ref());
    let at_least = read_at_least(&mut door, request.at_least_revision);
    let last_known = request.last_known;
    let query = || {
        let (indicator, units, day, known_at) = (indicator?, units?, day?, known_at?);
        let boundaries_on = boundaries_on.unwrap_or(day);
        Some(ShareQuery { indicator, units, group_by, day, boundaries_on, last_known, known_at, published_until })
    };
    let query = query();
    door.finish(query.map(|query| (query, at_least)))
}

/// GetUnit: the unit, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn get_unit(request: &v1::QueryServiceGetUnitRequest) -> Result<(UnitQuery, Option<Revision>), Fault> {
    let mut door = Door::default();
    let id = door.unit_id("id", &request.id);
    let on = door.day("on", &request.on);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    door.finish(id.map(|id| (UnitQuery { id, on }, at_least)))
}

/// FindUnits: the name, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn find_units(request: &v1::QueryServiceFindUnitsRequest) -> Result<(NameQuery, Option<Revision>), Fault> {
    let mut door = Door::default();
    let name = door.required_text("name", &request.name, NAME_CHARS_MAX);
    let on = door.day("on", &request.on);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    door.finish(Some((NameQuery { name, on }, at_least)))
}

/// ListObservations: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn observations(
    request: &v1::ListObservationsRequest,
) -> Result<(ObservationsQuery, PageRequest, Option<Revision>), Fault> {
    let mut door = Door::default();
    let indicator = door.optional("indicator", &request.indicator, Reason::InvalidId);
    let units = read_selector(&mut door, request.units.as_ref());
    let time = match (request.on.as_str(), request.period.as_str()) {
        ("", "") => Some(TimeFilter::Every),
        (on, "") => door.day("on", on).map(TimeFilter::On),
        ("", period) => match door.required("period", period, Reason::InvalidPeriod) {
            Some(WrittenPeriod::Days(days)) => Some(TimeFilter::Exactly(days.span())),
            Some(WrittenPeriod::Term(_)) => {
                door.add("period", Reason::InvalidPeriod, "a term's days differ from unit to unit; name a day with on");
                None
            }
            None => None,
        },
        (_, _) => {
            door.add("period", Reason::ConflictingFields, "give on or period, not both");
            None
        }
    };
    let rows = door.page_size(request.page_size);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    let rest = v1::ListObservationsRequest {
        page_size: 0,
        page_token: String::new(),
        at_least_revision: None,
        ..request.clone()
    };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListObservations", [rest]) };
    let organ = door.optional_enum("organ", request.organ);
    let known_at = read_known_at(&mut door, request.known_at.as_ref());
    let query = || Some(ObservationsQuery { indicator, units: units?, time: time?, organ, known_at: known_at? });
    let query = query();
    door.finish(query.map(|query| (query, page, at_least)))
}

/// ListDuties: the question, the page, and the revision that the answer must know.
///
/// # Errors
/// Every fault of form.
pub fn duties(request: &v1::ListDutiesRequest) -> Result<(DutiesQuery, PageRequest, Option<Revision>), Fault> {
    let mut door = Door::default();
    let form = door.required("form", &request.form, Reason::InvalidId);
    let selects = request.units.is_some();
    let units = if selects { read_selector(&mut door, request.units.as_ref()) } else { None };
    let days = match door.required("period", &request.period, Reason::InvalidPeriod) {
        Some(WrittenPeriod::Days(days)) => match (days.span().first_day, days.span().last_day) {
            (Some(first_day), Some(last_day)) => Some((first_day, last_day)),
            _ => {
                door.add("period", Reason::InvalidPeriod, "needs both ends; duties whose periods end in it are listed");
                None
            }
        },
        Some(WrittenPeriod::Term(_)) => {
            door.add("period", Reason::InvalidPeriod, "a term's days differ from unit to unit; name days");
            None
        }
        None => None,
    };
    let as_of = door.day("as_of", &request.as_of);
    let known_at = read_known_at(&mut door, request.known_at.as_ref());
    let rows = door.page_size(request.page_size);
    let at_least = read_at_least(&mut door, request.at_least_revision);
    let rest =
        v1::ListDutiesRequest { page_size: 0, page_token: String::new(), at_least_revision: None, ..request.clone() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListDuties", [rest]) };
    let query = || {
        let (first_day, last_day) = days?;
        Some(DutiesQuery { form: form?, units, first_day, last_day, as_of, known_at: known_at? })
    };
    let query = query();
    door.finish(query.map(|query| (query, page, at_least)))
}

fn read_at_least(door: &mut Door, number: Option<i64>) -> Option<Revision> {
    let mut read = |number| {
        Revision::try_from(number)
            .map_err(|_| door.add("at_least_revision", Reason::InvalidNumber, "is negative; take it from a receipt"))
            .ok()
    };
    number.and_then(&mut read)
}

fn read_known_at(door: &mut Door, known_at: Option<&v1::KnownAt>) -> Option<KnownAt> {
    let Some(known_at) = known_at else { return Some(KnownAt::Now) };
    match known_at.at {
        None => {
            door.missing("known_at", "has a revision or a time");
            None
        }
        Some(v1::known_at::At::Revision(number)) => Revision::try_from(number)
            .map_err(|_| door.add("known_at.revision", Reason::InvalidNumber, "is negative; take it from an answer"))
            .map(KnownAt::Revision)
            .ok(),
        Some(v1::known_at::At::Time(time)) => Timestamp::new(time.seconds, time.nanos)
            .map_err(|error| door.add("known_at.time", Reason::InvalidDate, error.to_string()))
            .map(KnownAt::Time)
            .ok(),
    }
}

fn read_selector(door: &mut Door, selector: Option<&v1::UnitSelector>) -> Option<UnitSelector> {
    let nothing = v1::UnitSelector::default();
    let selector = selector.unwrap_or(&nothing);
    let level = door.optional_enum("units.level", selector.level);
    match (selector.under.as_str(), selector.ids.as_slice()) {
        ("", []) => {
            door.missing(
                "units",
                "says who is counted: {\"under\": \"vn\", \"level\": \"COMMUNE\"} or {\"ids\": [\"district-171\"]}",
            );
            None
        }
        (under, []) => Some(UnitSelector::Under { unit: door.unit_id("units.under", under)?, level }),
        ("", ids) => {
            if level.is_some() {
                door.add("units.level", Reason::ConflictingFields, "goes with under; ids name their units one by one");
            }
            let are_few = door.allows("units.ids", ids.len(), SELECTOR_IDS_MAX);
            let mut units: Vec<UnitId> = Vec::new();
            for (index, id) in ids.iter().enumerate().filter(|_| are_few) {
                units.extend(door.unit_id(&format!("units.ids[{index}]"), id));
            }
            units.sort();
            units.dedup();
            Some(UnitSelector::Ids(units))
        }
        (_, _) => {
            door.add("units", Reason::ConflictingFields, "has under or ids, not both");
            None
        }
    }
}

fn read_group(door: &mut Door, group_by: &str) -> Option<GroupBy> {
    if group_by.is_empty() {
        return None;
    }
    // Names of levels have capital letters, keys of attributes have none.
    let is_key = group_by.len() <= ID_CHARS_MAX && group_by.bytes().all(unit::is_attribute_char);
    let group = enums::level_named(group_by).map(GroupBy::Level);
    let group = group.or_else(|| is_key.then(|| GroupBy::Attribute(group_by.to_owned())));
    if group.is_none() {
        let message = format!(
            "{} is no level and no key of an attribute; group by one of {}, by an attribute such as terrain, or leave it out",
            quote(group_by),
            enums::level_names()
        );
        door.add("group_by", Reason::UnknownGroup, message);
    }
    group
}

/// The day counted: `on`, or the last day of `period`.
fn read_day(door: &mut Door, on: &str, period: &str) -> Option<jiff::civil::Date> {
    match (on, period) {
        ("", "") => {
            door.missing("on", "says which day is counted, such as 2017-08-17; or give a period");
            None
        }
        (on, "") => door.day("on", on),
        ("", period) => match door.required("period", period, Reason::InvalidPeriod)? {
            WrittenPeriod::Days(days) if days.span().last_day.is_some() => days.span().last_day,
            WrittenPeriod::Days(_) => {
                door.add("period", Reason::InvalidPeriod, "needs a last day, for that is the day counted");
                None
            }
            WrittenPeriod::Term(_) => {
                door.add(
                    "period",
                    Reason::InvalidPeriod,
                    "a term's days differ from unit to unit; name the day with on",
                );
                None
            }
        },
        (_, _) => {
            door.add("period", Reason::ConflictingFields, "give on or period, not both");
            None
        }
    }
}

/// The answer of GetShare.
pub fn shares(rows: &[ShareRow], meta: &Meta) -> v1::GetShareResponse {
    v1::GetShareResponse { shares: rows.iter().map(write_row).collect(), meta: Some(write_meta(meta)) }
}

/// The answer of GetUnit.
pub fn unit_answer(unit: &Unit, states: &[UnitState], meta: &Meta) -> v1::QueryServiceGetUnitResponse {
    v1::QueryServiceGetUnitResponse {
        unit: Some(unit::write(unit)),
        meta: Some(write_meta(meta)),
        states: states.iter().map(registry::unit_state).collect(),
    }
}

/// The answer of FindUnits.
pub fn units_answer(units: &[&Unit], meta: &Meta) -> v1::QueryServiceFindUnitsResponse {
    let units = units.iter().map(|unit| unit::write(unit)).collect();
    v1::QueryServiceFindUnitsResponse { units, meta: Some(write_meta(meta)) }
}

/// A row of ListObservations.
pub fn observation_row(row: &ObservationRow) -> v1::list_observations_response::Row {
    let span = row.period.span();
    v1::list_observations_response::Row {
        observation: Some(report::write_observation(&row.observation)),
        unit: row.unit.to_string(),
        organ: enums::unless_default(row.organ),
        period: row.period.written().to_owned(),
        period_start_on: optional_text(span.first_day),
        period_end_on: optional_text(span.last_day),
        source: Some(report::write_source(&row.source)),
        report: row.report.to_string(),
        version: i32::try_from(row.version).unwrap_or(i32::MAX),
        revision: row.revision.as_i64(),
        findings: row.findings.iter().map(finding::write).collect(),
        readings: row.readings.iter().map(write_reading).collect(),
        issuer: optional_text(row.issuer.as_ref()),
    }
}

fn write_reading(reading: &Reading) -> v1::list_observations_response::Reading {
    let (implied_baseline, qualifier) = reading.implied_baseline.unzip();
    v1::list_observations_response::Reading {
        unit: reading.unit.number(),
        implied_baseline: optional_text(implied_baseline),
        implied_baseline_qualifier: qualifier.map_or(0, enums::unless_default),
    }
}

/// A row of ListDuties.
pub fn duty_row(row: &DutyRow) -> v1::Duty {
    let span = row.period.span();
    v1::Duty {
        form: row.form.to_string(),
        form_version: i32::try_from(row.form_version).unwrap_or(i32::MAX),
        unit: row.unit.to_string(),
        name: row.name.clone(),
        period: row.period.written().to_owned(),
        period_start_on: optional_text(span.first_day),
        period_end_on: optional_text(span.last_day),
        due_on: optional_text(row.due.map(|(due_on, _)| due_on)),
        grace_until_on: optional_text(row.due.map(|(_, until)| until)),
        state: row.state.number(),
        responsible: row.responsible.iter().map(ToString::to_string).collect(),
        report: optional_text(row.received.map(|(report, _)| report)),
        received_on: optional_text(row.received.map(|(_, day)| day)),
        missing_indicators: row.missing_indicators.iter().map(ToString::to_string).collect(),
        waiver_reason: row.waiver_reason.clone(),
    }
}

/// The answer of ListDuties.
pub fn duties_answer(
    duties: Vec<v1::Duty>,
    next_page_token: String,
    as_of: jiff::civil::Date,
    meta: &Meta,
) -> v1::ListDutiesResponse {
    v1::ListDutiesResponse { duties, next_page_token, meta: Some(write_meta(meta)), as_of: as_of.to_string() }
}

/// The answer of ListObservations.
pub fn observations_answer(
    observations: Vec<v1::list_observations_response::Row>,
    next_page_token: String,
    meta: &Meta,
) -> v1::ListObservationsResponse {
    v1::ListObservationsResponse { observations, next_page_token, meta: Some(write_meta(meta)) }
}

fn write_row(row: &ShareRow) -> v1::Share {
    let nothing = String::new;
    let (unit, name, attribute_value) = match &row.unit {
        RowUnit::Unit { id, name } => (id.to_string(), name.clone(), nothing()),
        RowUnit::Several => (nothing(), nothing(), nothing()),
        RowUnit::Attribute(value) => (nothing(), nothing(), value.clone()),
        RowUnit::Unassignable => (UnitId::UNASSIGNABLE.to_owned(), nothing(), nothing()),
        RowUnit::None => (UnitId::NONE.to_owned(), nothing(), nothing()),
    };
    let counts = &row.counts;
    let count = |count: u32| Some(i32::try_from(count).unwrap_or(i32::MAX));
    let expected_basis = match row.expected_basis {
        ExpectedBasis::Registered => v1::share::ExpectedBasis::Registered,
        ExpectedBasis::Assumed => v1::share::ExpectedBasis::Assumed,
    };
    v1::Share {
        unit,
        name,
        share: counts.share().map(|share| share.to_string()),
        lower: counts.lower().map(|share| share.to_string()),
        upper: counts.upper().map(|share| share.to_string()),
        yes: count(counts.yes),
        no: count(counts.no),
        not_reported: count(counts.not_reported),
        withheld: count(counts.withheld),
        not_applicable: count(counts.not_applicable),
        expected: count(counts.expected()),
        expected_basis: expected_basis.into(),
        published: row.published.iter().map(write_published).collect(),
        contested: count(row.contested),
        findings: count(row.findings),
        attribute_value,
        carried: row.carried.and_then(count),
        undated: row.undated.and_then(count),
    }
}

fn write_published(published: &PublishedShare) -> v1::share::Published {
    let (percent, ratio) = match &published.claim {
        Claim::Percent(percent) => (percent.to_string(), None),
        Claim::Ratio(ratio) => (String::new(), Some(report::write_ratio(*ratio))),
    };
    v1::share::Published {
        percent,
        ratio,
        qualifier: enums::unless_default(published.qualifier),
        basis: enums::unless_default(published.basis),
        unit: published.unit.to_string(),
        report: published.report.to_string(),
        period: published.period.clone(),
        published_on: optional_text(published.published_on),
    }
}

fn write_meta(meta: &Meta) -> v1::Meta {
    v1::Meta {
        revision: meta.revision.as_i64(),
        store_id: meta.store.to_string(),
        known_at: meta.known_at.map(timestamp),
        boundaries_on: optional_text(meta.boundaries_on),
        semantics_version: i32::try_from(SEMANTICS_VERSION).unwrap_or(i32::MAX),
    }
}
