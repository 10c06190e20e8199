//! QueryService through the door.

mod answers;
mod filters;
mod questions;
mod times;

use jiff::Timestamp;
use proto::v1;

pub use self::{
    answers::{
        aggregated, availability, availability_row, comparison, comparisons, completeness, completeness_row,
        contribution, distribution, distributions, figure, place, ranking, series, series_answer, share as share_row,
        shares, write_measure,
    },
    questions::{
        AnswerPage, aggregate, available, by_class, compare, completeness as completeness_question, rank,
        series as series_question, share,
    },
};

use super::{Door, digest, enums, enums::Wire, finding, optional_text, registry, report, timestamp, unit};
use crate::{
    limits::{NAME_CHARS_MAX, SELECTOR_IDS_MAX},
    model::{
        command::{NameQuery, UnitQuery},
        fault::{Fault, Reason},
        ids::{IndicatorId, UnitId},
        log::Revision,
        period::WrittenPeriod,
        query::{
            DutiesQuery, DutyRow, KnownAt, Meta, ObservationRow, ObservationsQuery, Reading, SEMANTICS_VERSION,
            TimeFilter, UnitSelector,
        },
        unit::Unit,
    },
    page::PageRequest,
    registry::UnitState,
};

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
    let published_until = door.day("published_until", &request.published_until);
    let query = || {
        let (units, time, known_at) = (units?, time?, known_at?);
        Some(ObservationsQuery { indicator, units, time, organ, published_until, known_at })
    };
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
    let days = read_closed_period(&mut door, &request.period);
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

/// The first and the last day of a period in which duties are looked for.
fn read_closed_period(door: &mut Door, period: &str) -> Option<(jiff::civil::Date, jiff::civil::Date)> {
    match door.required("period", period, Reason::InvalidPeriod)? {
        WrittenPeriod::Days(days) => {
            let days = days.span().first_day.zip(days.span().last_day);
            if days.is_none() {
                door.add(
                    "period",
                    Reason::InvalidPeriod,
                    "needs both ends; duties whose periods end in it are looked at",
                );
            }
            days
        }
        WrittenPeriod::Term(_) => {
            door.add("period", Reason::InvalidPeriod, "a term's days differ from unit to unit; name days");
            None
        }
    }
}

/// The revision that an answer must know, where nothing else is read.
///
/// # Errors
/// A negative number.
pub fn at_least_revision(number: Option<i64>) -> Result<Option<Revision>, Fault> {
    let mut door = Door::default();
    let at_least = read_at_least(&mut door, number);
    door.finish(Some(at_least))
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

/// What an answer rests on.
pub fn write_meta(meta: &Meta) -> v1::Meta {
    v1::Meta {
        revision: meta.revision.as_i64(),
        store_id: meta.store.to_string(),
        known_at: meta.known_at.map(timestamp),
        boundaries_on: optional_text(meta.boundaries_on),
        semantics_version: i32::try_from(SEMANTICS_VERSION).unwrap_or(i32::MAX),
        definitions: meta.definitions.iter().map(write_definition).collect(),
        visible: meta
            .visible
            .as_ref()
            .map(|units| v1::meta::Visible { units: units.iter().map(ToString::to_string).collect() }),
        citation: meta.citation.clone(),
    }
}

fn write_definition((indicator, version): &(IndicatorId, u32)) -> v1::meta::Definition {
    v1::meta::Definition { indicator: indicator.to_string(), version: i32::try_from(*version).unwrap_or(i32::MAX) }
}
