use std::sync::Arc;

use proto::v1::{
    DefineFormsRequest, DefineFormsResponse, DefineIndicatorsRequest, DefineIndicatorsResponse, DefineTermsRequest,
    DefineTermsResponse, FindUnitsRequest, FindUnitsResponse, GetIndicatorRequest, GetIndicatorResponse,
    GetUnitRequest, GetUnitResponse, ListFormsRequest, ListFormsResponse, ListHierarchyRequest, ListHierarchyResponse,
    ListIndicatorsRequest, ListIndicatorsResponse, ListSuccessionRequest, ListSuccessionResponse, ListTermsRequest,
    ListTermsResponse, ListUnitEventsRequest, ListUnitEventsResponse, ListUnitsRequest, ListUnitsResponse,
    RecordUnitEventsRequest, RecordUnitEventsResponse, RegisterUnitsRequest, RegisterUnitsResponse,
    registry_service_server::RegistryService,
};
use shared::{
    access::{caller, told},
    convert::registry as door,
    model::{
        command::{HierarchyDirection, SuccessionDirection, UnitFilter},
        fault::{Fault, Reason},
        ids::UnitId,
        log::StoreId,
        term::Term,
        unit::Unit,
    },
    page::{Cursor, PageRequest, take_page},
    registry::{Path, Registered, Registry, Relative, UnitRecord},
    status::status,
};
use tonic::{Request, Response, Status};

use super::{receipt_revision, seen::Seen};
use crate::{
    log::Log,
    submit::{Receipt, Submitter, Work},
};

/// RegistryService.
pub struct RegistryHandlers {
    /// The writer, and what is durable.
    pub submitter: Submitter,
    /// Ties page tokens to this store.
    pub store: StoreId,
    /// Where reports are.
    pub log: Arc<dyn Log>,
}

#[tonic::async_trait]
impl RegistryService for RegistryHandlers {
    async fn register_units(
        &self,
        request: Request<RegisterUnitsRequest>,
    ) -> Result<Response<RegisterUnitsResponse>, Status> {
        let receipt = self.write(&request, door::register_units(request.get_ref()).map(Work::Units)).await?;
        let revision = receipt_revision(&receipt).unwrap_or_default();
        let findings = match &receipt {
            Receipt::Written { findings, .. } | Receipt::Valid { findings, .. } => door::findings(findings),
            Receipt::There(_) => Vec::new(),
        };
        Ok(Response::new(RegisterUnitsResponse { revision, findings }))
    }

    async fn record_unit_events(
        &self,
        request: Request<RecordUnitEventsRequest>,
    ) -> Result<Response<RecordUnitEventsResponse>, Status> {
        let receipt = self.write(&request, door::record_unit_events(request.get_ref()).map(Work::Events)).await?;
        let revision = receipt_revision(&receipt).unwrap_or_default();
        let findings = match &receipt {
            Receipt::Written { findings, .. } | Receipt::Valid { findings, .. } => door::findings(findings),
            Receipt::There(_) => Vec::new(),
        };
        Ok(Response::new(RecordUnitEventsResponse { revision, findings }))
    }

    async fn define_forms(
        &self,
        request: Request<DefineFormsRequest>,
    ) -> Result<Response<DefineFormsResponse>, Status> {
        let receipt = self.write(&request, door::define_forms(request.get_ref()).map(Work::Forms)).await?;
        let revision = receipt_revision(&receipt).unwrap_or_default();
        Ok(Response::new(DefineFormsResponse { revision }))
    }

    async fn define_indicators(
        &self,
        request: Request<DefineIndicatorsRequest>,
    ) -> Result<Response<DefineIndicatorsResponse>, Status> {
        let receipt = self.write(&request, door::define_indicators(request.get_ref()).map(Work::Indicators)).await?;
        let revision = receipt_revision(&receipt).unwrap_or_default();
        Ok(Response::new(DefineIndicatorsResponse { revision }))
    }

    async fn define_terms(
        &self,
        request: Request<DefineTermsRequest>,
    ) -> Result<Response<DefineTermsResponse>, Status> {
        let receipt = self.write(&request, door::define_terms(request.get_ref()).map(Work::Terms)).await?;
        let revision = receipt_revision(&receipt).unwrap_or_default();
        Ok(Response::new(DefineTermsResponse { revision }))
    }

    async fn get_unit(&self, request: Request<GetUnitRequest>) -> Result<Response<GetUnitResponse>, Status> {
        let query = door::get_unit(request.get_ref()).map_err(|fault| status(&fault))?;
        let seen = self.seen(&request);
        let registry = seen.registry_at(seen.snapshot.revision);
        let record = unit_named(&registry, &query.id).map_err(|fault| status(&seen.told(fault)))?;
        let unit = registry.unit_as_of(&query).map_err(|fault| status(&seen.told(fault)))?;
        let states = record.states().iter().map(door::unit_state).collect();
        Ok(Response::new(GetUnitResponse { unit: Some(door::unit(unit)), states }))
    }

    async fn list_units(&self, request: Request<ListUnitsRequest>) -> Result<Response<ListUnitsResponse>, Status> {
        let answer = self.units(&request).map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn get_indicator(
        &self,
        request: Request<GetIndicatorRequest>,
    ) -> Result<Response<GetIndicatorResponse>, Status> {
        let (id, version) = door::get_indicator(request.get_ref()).map_err(|fault| status(&fault))?;
        let registry = &self.submitter.snapshot().registry;
        let indicator = match version {
            None => registry.indicator(&id),
            Some(version) => registry.indicator_version(&id, version),
        };
        let indicator = indicator.map(door::indicator).ok_or_else(|| {
            let version = version.map(|version| format!(" in version {version}")).unwrap_or_default();
            status(&Fault::new(Reason::IndicatorNotFound, format!("indicator {id} is not defined{version}")))
        })?;
        Ok(Response::new(GetIndicatorResponse { indicator: Some(indicator) }))
    }

    async fn list_indicators(
        &self,
        request: Request<ListIndicatorsRequest>,
    ) -> Result<Response<ListIndicatorsResponse>, Status> {
        let answer = self.indicators(&request).map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn find_units(&self, request: Request<FindUnitsRequest>) -> Result<Response<FindUnitsResponse>, Status> {
        let FindUnitsRequest { name, on } = request.get_ref();
        let query = door::find_units(name, on).map_err(|fault| status(&fault))?;
        let seen = self.seen(&request);
        let registry = seen.registry_at(seen.snapshot.revision);
        let units = registry.find_units(&query.name, query.on);
        Ok(Response::new(FindUnitsResponse { units: units.into_iter().map(door::unit).collect() }))
    }

    async fn list_terms(&self, request: Request<ListTermsRequest>) -> Result<Response<ListTermsResponse>, Status> {
        let answer = self.terms(&request).map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn list_forms(&self, request: Request<ListFormsRequest>) -> Result<Response<ListFormsResponse>, Status> {
        let answer = self.forms(&request).map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn list_unit_events(
        &self,
        request: Request<ListUnitEventsRequest>,
    ) -> Result<Response<ListUnitEventsResponse>, Status> {
        let answer = self.events(&request).map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn list_succession(
        &self,
        request: Request<ListSuccessionRequest>,
    ) -> Result<Response<ListSuccessionResponse>, Status> {
        let answer = self.succession(&request).map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn list_hierarchy(
        &self,
        request: Request<ListHierarchyRequest>,
    ) -> Result<Response<ListHierarchyResponse>, Status> {
        let answer = self.hierarchy(&request).map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }
}

impl RegistryHandlers {
    async fn write<T>(&self, request: &Request<T>, work: Result<Work, Fault>) -> Result<Receipt, Status> {
        let by = caller(request);
        let submit = async { self.submitter.submit(work?, &by).await };
        submit.await.map_err(|fault| status(&fault))
    }

    fn terms(&self, request: &Request<ListTermsRequest>) -> Result<ListTermsResponse, Fault> {
        let (unit, page) = door::list_terms(request.get_ref())?;
        let (registry, cursor) = self.snapshot_of(request, &page)?;
        if let Some(unit) = &unit {
            unit_named(&registry, unit)?;
        }
        // Terms of units above hold for those below, and are listed with their own.
        let rows = registry.terms_after(&cursor.after).filter(|row| registry.record_of(&row.value.key.unit).is_some());
        let rows = rows.filter(|row| unit.as_ref().is_none_or(|unit| row.value.key.unit == *unit));
        let write = |row: &Registered<Term>| door::term(&row.value);
        let (terms, next_page_token) =
            take_page(&page, self.store, &cursor, rows, |row| row.value.key.to_text(), write);
        Ok(ListTermsResponse { terms, next_page_token })
    }

    fn units(&self, request: &Request<ListUnitsRequest>) -> Result<ListUnitsResponse, Fault> {
        let (filter, page) = door::list_units(request.get_ref())?;
        let (registry, cursor) = self.snapshot_of(request, &page)?;
        if let Some(under) = &filter.under {
            unit_named(&registry, under)?;
        }
        let rows = registry.units_after(&cursor.after).filter_map(|record| wanted(&registry, &filter, record));
        let (units, next_page_token) =
            take_page(&page, self.store, &cursor, rows, |unit| unit.id.to_string(), door::unit);
        Ok(ListUnitsResponse { units, next_page_token })
    }

    fn indicators(&self, request: &Request<ListIndicatorsRequest>) -> Result<ListIndicatorsResponse, Fault> {
        let page = door::list_indicators(request.get_ref())?;
        let (registry, cursor) = self.snapshot_of(request, &page)?;
        let rows = registry.indicators_after(&cursor.after);
        let (indicators, next_page_token) =
            take_page(&page, self.store, &cursor, rows, |row| row.id.to_string(), door::indicator);
        Ok(ListIndicatorsResponse { indicators, next_page_token })
    }

    fn forms(&self, request: &Request<ListFormsRequest>) -> Result<ListFormsResponse, Fault> {
        let page = door::list_forms(request.get_ref())?;
        let (registry, cursor) = self.snapshot_of(request, &page)?;
        let rows = registry.forms_after(&cursor.after);
        let (forms, next_page_token) =
            take_page(&page, self.store, &cursor, rows, |row| row.id.to_string(), door::form);
        Ok(ListFormsResponse { forms, next_page_token })
    }

    fn events(&self, request: &Request<ListUnitEventsRequest>) -> Result<ListUnitEventsResponse, Fault> {
        let (filter, page) = door::list_unit_events(request.get_ref())?;
        let (registry, cursor) = self.snapshot_of(request, &page)?;
        if let Some(unit) = &filter.unit {
            unit_named(&registry, unit)?;
        }
        let rows = registry.events_after(&cursor.after).filter(|row| {
            filter.status.is_none_or(|status| row.value.status == status)
                && filter.unit.as_ref().is_none_or(|unit| row.value.roles().contains_key(unit))
        });
        let (events, next_page_token) =
            take_page(&page, self.store, &cursor, rows, |row| row.value.id.to_string(), door::unit_event);
        Ok(ListUnitEventsResponse { events, next_page_token })
    }

    fn succession(&self, request: &Request<ListSuccessionRequest>) -> Result<ListSuccessionResponse, Fault> {
        let (query, page) = door::list_succession(request.get_ref())?;
        let (registry, cursor) = self.snapshot_of(request, &page)?;
        unit_named(&registry, &query.unit)?;
        let paths = match query.direction {
            SuccessionDirection::Successors => registry.successors(&query.unit, &query.span)?,
            SuccessionDirection::Predecessors => registry.predecessors(&query.unit, &query.span)?,
        };
        let end = |path: &Path| match query.direction {
            SuccessionDirection::Successors => path.0.last().map(|step| step.into.clone()),
            SuccessionDirection::Predecessors => path.0.first().map(|step| step.from.clone()),
        };
        let write = |(_, path): &(usize, Path)| {
            let end = end(path).unwrap_or_else(|| query.unit.clone());
            let name = registry.unit(&end).map(|unit| unit.name.clone()).unwrap_or_default();
            door::path(path, &end, &name)
        };
        let rows: Vec<(usize, Path)> = numbered(paths, &cursor);
        let (paths, next_page_token) =
            take_page(&page, self.store, &cursor, rows.iter(), |(number, _)| number.to_string(), write);
        Ok(ListSuccessionResponse { paths, next_page_token })
    }

    fn hierarchy(&self, request: &Request<ListHierarchyRequest>) -> Result<ListHierarchyResponse, Fault> {
        let (query, page) = door::list_hierarchy(request.get_ref())?;
        let (registry, cursor) = self.snapshot_of(request, &page)?;
        unit_named(&registry, &query.unit)?;
        let relatives = match query.direction {
            HierarchyDirection::Ancestors => registry.ancestors(&query.unit, &query.span),
            HierarchyDirection::Descendants => registry.descendants(&query.unit, &query.span),
        };
        let rows: Vec<(usize, Relative<'_>)> = numbered(relatives, &cursor);
        let write = |(_, relative): &(usize, Relative<'_>)| door::relative(relative);
        let (rows, next_page_token) =
            take_page(&page, self.store, &cursor, rows.iter(), |(number, _)| number.to_string(), write);
        Ok(ListHierarchyResponse { rows, next_page_token })
    }

    /// The registry over which a walk goes: the newest one for its first page, the same for all others.
    fn snapshot_of<T>(&self, request: &Request<T>, page: &PageRequest) -> Result<(Registry, Cursor), Fault> {
        let seen = self.seen(request);
        let cursor = page.cursor(self.store, seen.snapshot.revision)?;
        Ok((seen.registry_at(cursor.snapshot), cursor))
    }

    fn seen<T>(&self, request: &Request<T>) -> Seen {
        Seen { caller: caller(request), snapshot: self.submitter.snapshot(), log: self.log.clone() }
    }
}

/// Rows that have no id of their own, each with its number from 1, after the last row of the page before.
fn numbered<T>(rows: Vec<T>, cursor: &Cursor) -> Vec<(usize, T)> {
    let after: usize = cursor.after.parse().unwrap_or(0);
    (1..).zip(rows).skip(after).collect()
}

pub(super) fn unit_named<'a>(registry: &'a Registry, id: &UnitId) -> Result<&'a UnitRecord, Fault> {
    let not_found = || Fault::new(Reason::UnitNotFound, format!("unit {id} is not registered"));
    registry.record_of(id).ok_or_else(not_found)
}

/// The unit as it is asked for, if it is: on a day, else as it is or was last.
fn wanted<'a>(registry: &'a Registry, filter: &UnitFilter, record: &'a UnitRecord) -> Option<&'a Unit> {
    let id = &record.registration.id;
    let unit = match filter.on {
        Some(day) => registry.unit_on(id, day)?,
        None => &**record.newest(),
    };
    let last_day = record.life().and_then(|life| life.last_day);
    let day = filter.on.or(last_day).unwrap_or(jiff::civil::Date::MAX);
    let is_under = |under: &UnitId| id == under || registry.ancestry_on(id, day).any(|above| above.id == *under);
    let is_wanted = filter.level.is_none_or(|level| unit.level == level) && filter.under.as_ref().is_none_or(is_under);
    is_wanted.then_some(unit)
}
