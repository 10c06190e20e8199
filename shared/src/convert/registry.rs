//! RegistryService through the door.

use proto::v1;

use super::{Door, digest, finding, indicator, term, unit};
use crate::{
    limits::{NAME_CHARS_MAX, REQUEST_INDICATORS_MAX, REQUEST_UNITS_MAX},
    model::{
        command::{Command, NameQuery, UnitFilter, UnitsRequest},
        fault::{Fault, Reason},
        finding::Finding,
        ids::{IndicatorId, UnitId},
        indicator::Indicator,
        term::Term,
        unit::Unit,
    },
    page::PageRequest,
};

/// RegisterUnits.
///
/// # Errors
/// Every fault of form.
pub fn register_units(request: &v1::RegisterUnitsRequest) -> Result<Command<UnitsRequest>, Fault> {
    let mut door = Door::default();
    let are_few = door.allows("units", request.units.len(), REQUEST_UNITS_MAX);
    if request.units.is_empty() && request.complete_from.is_empty() {
        door.missing("units", "needs at least one unit, or complete_from");
    }
    let read = |(index, unit)| unit::read(&mut door, &format!("units[{index}]"), unit);
    let units: Vec<Unit> = request.units.iter().enumerate().filter(|_| are_few).filter_map(read).collect();
    let complete_from = door.day("complete_from", &request.complete_from);
    let key = door.request_key(&request.request_id, || {
        let rest = v1::RegisterUnitsRequest { complete_from: request.complete_from.clone(), ..Default::default() };
        let units =
            units.iter().map(|unit| v1::RegisterUnitsRequest { units: vec![unit::write(unit)], ..Default::default() });
        digest("RegisterUnits", units.chain([rest]))
    });
    let content = UnitsRequest { units, complete_from };
    door.finish(Some(Command { request: key, validate_only: request.validate_only, content }))
}

/// DefineIndicators.
///
/// # Errors
/// Every fault of form.
pub fn define_indicators(request: &v1::DefineIndicatorsRequest) -> Result<Command<Vec<Indicator>>, Fault> {
    let mut door = Door::default();
    let are_few = door.allows("indicators", request.indicators.len(), REQUEST_INDICATORS_MAX);
    if request.indicators.is_empty() {
        door.missing("indicators", "needs at least one indicator");
    }
    let read = |(index, indicator)| indicator::read(&mut door, &format!("indicators[{index}]"), indicator);
    let indicators: Vec<Indicator> =
        request.indicators.iter().enumerate().filter(|_| are_few).filter_map(read).collect();
    let key =
        door.request_key(&request.request_id, || digest("DefineIndicators", indicators.iter().map(indicator::write)));
    door.finish(Some(Command { request: key, validate_only: request.validate_only, content: indicators }))
}

/// DefineTerms.
///
/// # Errors
/// Every fault of form.
pub fn define_terms(request: &v1::DefineTermsRequest) -> Result<Command<Vec<Term>>, Fault> {
    let mut door = Door::default();
    let are_few = door.allows("terms", request.terms.len(), REQUEST_UNITS_MAX);
    if request.terms.is_empty() {
        door.missing("terms", "needs at least one term");
    }
    let read = |(index, term)| term::read(&mut door, &format!("terms[{index}]"), term);
    let terms: Vec<Term> = request.terms.iter().enumerate().filter(|_| are_few).filter_map(read).collect();
    let key = door.request_key(&request.request_id, || digest("DefineTerms", terms.iter().map(term::write)));
    door.finish(Some(Command { request: key, validate_only: request.validate_only, content: terms }))
}

/// The id that GetUnit names, on either service.
///
/// # Errors
/// No id, or one that breaks its rule.
pub fn unit_id(id: &str) -> Result<UnitId, Fault> {
    let mut door = Door::default();
    let id = door.unit_id("id", id);
    door.finish(id)
}

/// The id that GetIndicator names.
///
/// # Errors
/// No id, or one that breaks its rule.
pub fn indicator_id(id: &str) -> Result<IndicatorId, Fault> {
    let mut door = Door::default();
    let id = door.indicator_id("id", id);
    door.finish(id)
}

/// ListUnits.
///
/// # Errors
/// Every fault of form.
pub fn list_units(request: &v1::ListUnitsRequest) -> Result<(UnitFilter, PageRequest), Fault> {
    let mut door = Door::default();
    let on = door.day("on", &request.on);
    let under = door.optional("under", &request.under, Reason::InvalidId);
    let level = door.optional_enum("level", request.level);
    let rows = door.page_size(request.page_size);
    let query = v1::ListUnitsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListUnits", [query]) };
    door.finish(Some((UnitFilter { on, under, level }, page)))
}

/// ListIndicators.
///
/// # Errors
/// A negative page size.
pub fn list_indicators(request: &v1::ListIndicatorsRequest) -> Result<PageRequest, Fault> {
    let mut door = Door::default();
    let rows = door.page_size(request.page_size);
    let query = digest("ListIndicators", [v1::ListIndicatorsRequest::default()]);
    door.finish(Some(PageRequest { rows, token: request.page_token.clone(), query }))
}

/// FindUnits, on either service: the name and the day.
///
/// # Errors
/// Every fault of form.
pub fn find_units(name: &str, on: &str) -> Result<NameQuery, Fault> {
    let mut door = Door::default();
    let name = door.required_text("name", name, NAME_CHARS_MAX);
    let on = door.day("on", on);
    door.finish(Some(NameQuery { name, on }))
}

/// ListTerms: only terms defined on this unit, if there is one.
///
/// # Errors
/// Every fault of form.
pub fn list_terms(request: &v1::ListTermsRequest) -> Result<(Option<UnitId>, PageRequest), Fault> {
    let mut door = Door::default();
    let unit = door.optional("unit", &request.unit, Reason::InvalidId);
    let rows = door.page_size(request.page_size);
    let query = v1::ListTermsRequest { unit: request.unit.clone(), ..Default::default() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListTerms", [query]) };
    door.finish(Some((unit, page)))
}

/// A term as the API writes it.
pub fn term(term: &Term) -> v1::Term {
    term::write(term)
}

/// Findings as the API writes them.
pub fn findings(findings: &[Finding]) -> Vec<v1::Finding> {
    findings.iter().map(finding::write).collect()
}

/// A unit as the API writes it.
pub fn unit(unit: &Unit) -> v1::Unit {
    unit::write(unit)
}

/// An indicator as the API writes it.
pub fn indicator(indicator: &Indicator) -> v1::Indicator {
    indicator::write(indicator)
}
