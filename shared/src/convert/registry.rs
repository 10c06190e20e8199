//! RegistryService through the door.

use proto::v1;

use super::{Door, Wire, digest, event, finding, form, indicator, optional_text, term, unit};
use crate::{
    limits::{NAME_CHARS_MAX, REQUEST_INDICATORS_MAX, REQUEST_NAMED_UNITS_MAX, REQUEST_UNITS_MAX},
    model::{
        command::{
            Command, EventFilter, EventsRequest, FormsRequest, HierarchyDirection, NameQuery, RelationQuery,
            SuccessionDirection, UnitFilter, UnitQuery, UnitsRequest,
        },
        event::UnitEvent,
        fault::{Fault, Reason},
        finding::Finding,
        form::Form,
        ids::{IndicatorId, UnitId},
        indicator::Indicator,
        period::Span,
        term::Term,
        unit::Unit,
    },
    page::PageRequest,
    registry::{Path, RecordedEvent, Relative, Step, UnitState},
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

/// RecordUnitEvents.
///
/// # Errors
/// Every fault of form.
pub fn record_unit_events(request: &v1::RecordUnitEventsRequest) -> Result<Command<EventsRequest>, Fault> {
    let mut door = Door::default();
    let are_few = door.allows("events", request.events.len(), REQUEST_UNITS_MAX);
    if request.events.is_empty() {
        door.missing("events", "needs at least one event");
    }
    let read = |(index, event)| event::read(&mut door, &format!("events[{index}]"), event);
    let events: Vec<UnitEvent> = request.events.iter().enumerate().filter(|_| are_few).filter_map(read).collect();
    let are_few = door.allows("units", request.units.len(), REQUEST_UNITS_MAX);
    let read = |(index, unit)| unit::read(&mut door, &format!("units[{index}]"), unit);
    let units: Vec<Unit> = request.units.iter().enumerate().filter(|_| are_few).filter_map(read).collect();
    let named: usize = events.iter().map(|event| event.from.len() + event.into.len()).sum();
    door.allows("events", named, REQUEST_NAMED_UNITS_MAX);
    let key = door.request_key(&request.request_id, || {
        let one = |event| v1::RecordUnitEventsRequest { events: vec![event], ..Default::default() };
        let events = events.iter().map(event::write).map(one);
        let one = |unit| v1::RecordUnitEventsRequest { units: vec![unit], ..Default::default() };
        digest("RecordUnitEvents", events.chain(units.iter().map(unit::write).map(one)))
    });
    let content = EventsRequest { events, units };
    door.finish(Some(Command { request: key, validate_only: request.validate_only, content }))
}

/// DefineForms.
///
/// # Errors
/// Every fault of form.
pub fn define_forms(request: &v1::DefineFormsRequest) -> Result<Command<FormsRequest>, Fault> {
    let mut door = Door::default();
    let are_few = door.allows("forms", request.forms.len(), REQUEST_INDICATORS_MAX);
    if request.forms.is_empty() && request.waivers.is_empty() {
        door.missing("forms", "needs at least one form, or waivers");
    }
    let read = |(index, form)| form::read(&mut door, &format!("forms[{index}]"), form);
    let forms: Vec<Form> = request.forms.iter().enumerate().filter(|_| are_few).filter_map(read).collect();
    let are_few = door.allows("waivers", request.waivers.len(), REQUEST_UNITS_MAX);
    let read = |(index, waiver)| form::read_waiver(&mut door, &format!("waivers[{index}]"), waiver);
    let waivers: Vec<_> = request.waivers.iter().enumerate().filter(|_| are_few).filter_map(read).collect();
    let key = door.request_key(&request.request_id, || {
        let one = |form| v1::DefineFormsRequest { forms: vec![form], ..Default::default() };
        let forms = forms.iter().map(form::write).map(one);
        let one = |waiver| v1::DefineFormsRequest { waivers: vec![waiver], ..Default::default() };
        digest("DefineForms", forms.chain(waivers.iter().map(form::write_waiver).map(one)))
    });
    let content = FormsRequest { forms, waivers };
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

/// The unit that GetUnit names.
///
/// # Errors
/// No id, or one that breaks its rule; a day that is none.
pub fn get_unit(request: &v1::GetUnitRequest) -> Result<UnitQuery, Fault> {
    let mut door = Door::default();
    let id = door.unit_id("id", &request.id);
    let on = door.day("on", &request.on);
    door.finish(id.map(|id| UnitQuery { id, on }))
}

/// The indicator that GetIndicator names, and its version if it is not the newest.
///
/// # Errors
/// No id, or one that breaks its rule; a negative version.
pub fn get_indicator(request: &v1::GetIndicatorRequest) -> Result<(IndicatorId, Option<u32>), Fault> {
    let mut door = Door::default();
    let id = door.indicator_id("id", &request.id);
    let version = door.version("version", request.version).filter(|_| request.version != 0);
    door.finish(id.map(|id| (id, version)))
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

/// ListForms.
///
/// # Errors
/// A negative page size.
pub fn list_forms(request: &v1::ListFormsRequest) -> Result<PageRequest, Fault> {
    let mut door = Door::default();
    let rows = door.page_size(request.page_size);
    let query = digest("ListForms", [v1::ListFormsRequest::default()]);
    door.finish(Some(PageRequest { rows, token: request.page_token.clone(), query }))
}

/// ListUnitEvents.
///
/// # Errors
/// Every fault of form.
pub fn list_unit_events(request: &v1::ListUnitEventsRequest) -> Result<(EventFilter, PageRequest), Fault> {
    let mut door = Door::default();
    let unit = door.optional("unit", &request.unit, Reason::InvalidId);
    let status = door.optional_enum("status", request.status);
    let rows = door.page_size(request.page_size);
    let query = v1::ListUnitEventsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListUnitEvents", [query]) };
    door.finish(Some((EventFilter { unit, status }, page)))
}

/// ListSuccession.
///
/// # Errors
/// Every fault of form.
pub fn list_succession(
    request: &v1::ListSuccessionRequest,
) -> Result<(RelationQuery<SuccessionDirection>, PageRequest), Fault> {
    let mut door = Door::default();
    let unit = door.unit_id("unit", &request.unit);
    let direction = door.required_enum("direction", request.direction);
    let span = read_span(&mut door, &request.start_on, &request.end_on);
    let rows = door.page_size(request.page_size);
    let query = v1::ListSuccessionRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListSuccession", [query]) };
    let query = || Some((RelationQuery { unit: unit?, direction: direction?, span }, page));
    let query = query();
    door.finish(query)
}

/// ListHierarchy.
///
/// # Errors
/// Every fault of form.
pub fn list_hierarchy(
    request: &v1::ListHierarchyRequest,
) -> Result<(RelationQuery<HierarchyDirection>, PageRequest), Fault> {
    let mut door = Door::default();
    let unit = door.unit_id("unit", &request.unit);
    let direction = door.required_enum("direction", request.direction);
    let span = read_span(&mut door, &request.start_on, &request.end_on);
    let rows = door.page_size(request.page_size);
    let query = v1::ListHierarchyRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let page = PageRequest { rows, token: request.page_token.clone(), query: digest("ListHierarchy", [query]) };
    let query = || Some((RelationQuery { unit: unit?, direction: direction?, span }, page));
    let query = query();
    door.finish(query)
}

fn read_span(door: &mut Door, start_on: &str, end_on: &str) -> Span {
    let (first_day, last_day) = (door.day("start_on", start_on), door.day("end_on", end_on));
    if matches!((first_day, last_day), (Some(first), Some(last)) if last < first) {
        door.add("end_on", Reason::InvalidPeriod, "lies before start_on");
    }
    Span { first_day, last_day }
}

/// A path of ListSuccession as the API writes it: from a unit to `end`, which is called so.
pub fn path(path: &Path, end: &UnitId, name: &str) -> v1::list_succession_response::Path {
    let step = |step: &Step| v1::list_succession_response::Step {
        from: step.from.to_string(),
        into: step.into.to_string(),
        event: optional_text(step.event.as_ref()),
        effective_on: step.day.to_string(),
        extent: step.event.as_ref().map_or(0, |_| step.extent.number()),
        share: optional_text(step.share),
        is_main: step.is_main,
    };
    v1::list_succession_response::Path {
        unit: end.to_string(),
        name: name.to_owned(),
        extent: path.extent().number(),
        steps: path.0.iter().map(step).collect(),
    }
}

/// A row of ListHierarchy as the API writes it.
pub fn relative(relative: &Relative<'_>) -> v1::list_hierarchy_response::Row {
    v1::list_hierarchy_response::Row {
        unit: Some(unit::write(relative.unit)),
        start_on: optional_text(relative.span.first_day),
        end_on: optional_text(relative.span.last_day),
        distance: i32::try_from(relative.distance).unwrap_or(i32::MAX),
    }
}

/// An event as the API writes it, with what its entry knows of it.
pub fn unit_event(recorded: &RecordedEvent) -> v1::UnitEvent {
    v1::UnitEvent { revision: recorded.revision.as_i64(), ..event::write(&recorded.value) }
}

/// A form as the API writes it.
pub fn form(form: &Form) -> v1::Form {
    form::write(form)
}

/// What a unit was like in a part of its life, as the API writes it.
pub fn unit_state(state: &UnitState) -> v1::UnitState {
    v1::UnitState {
        start_on: optional_text(state.span.first_day),
        end_on: optional_text(state.span.last_day),
        unit: Some(unit::write(&state.unit)),
    }
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
