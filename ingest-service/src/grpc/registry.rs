use proto::v1::{
    DefineIndicatorsRequest, DefineIndicatorsResponse, DefineTermsRequest, DefineTermsResponse, FindUnitsRequest,
    FindUnitsResponse, GetIndicatorRequest, GetIndicatorResponse, GetUnitRequest, GetUnitResponse,
    ListIndicatorsRequest, ListIndicatorsResponse, ListTermsRequest, ListTermsResponse, ListUnitsRequest,
    ListUnitsResponse, RegisterUnitsRequest, RegisterUnitsResponse, registry_service_server::RegistryService,
};
use shared::{
    convert::registry as door,
    model::{
        command::UnitFilter,
        fault::{Fault, Reason},
        ids::UnitId,
        indicator::Indicator,
        log::StoreId,
        term::Term,
        unit::Unit,
    },
    page::take_page,
    registry::{Registered, Registry},
    status::status,
};
use tonic::{Request, Response, Status};

use super::receipt_revision;
use crate::submit::{Receipt, Submitter, Work};

/// RegistryService.
pub struct RegistryHandlers {
    /// The writer, and what is durable.
    pub submitter: Submitter,
    /// Ties page tokens to this store.
    pub store: StoreId,
}

#[tonic::async_trait]
impl RegistryService for RegistryHandlers {
    async fn register_units(
        &self,
        request: Request<RegisterUnitsRequest>,
    ) -> Result<Response<RegisterUnitsResponse>, Status> {
        let receipt = self.write(door::register_units(request.get_ref()).map(Work::Units)).await?;
        let revision = receipt_revision(&receipt).unwrap_or_default();
        let findings = match &receipt {
            Receipt::Written { findings, .. } | Receipt::Valid { findings, .. } => door::findings(findings),
            Receipt::There(_) => Vec::new(),
        };
        Ok(Response::new(RegisterUnitsResponse { revision, findings }))
    }

    async fn define_indicators(
        &self,
        request: Request<DefineIndicatorsRequest>,
    ) -> Result<Response<DefineIndicatorsResponse>, Status> {
        let receipt = self.write(door::define_indicators(request.get_ref()).map(Work::Indicators)).await?;
        let revision = receipt_revision(&receipt).unwrap_or_default();
        Ok(Response::new(DefineIndicatorsResponse { revision }))
    }

    async fn define_terms(
        &self,
        request: Request<DefineTermsRequest>,
    ) -> Result<Response<DefineTermsResponse>, Status> {
        let receipt = self.write(door::define_terms(request.get_ref()).map(Work::Terms)).await?;
        let revision = receipt_revision(&receipt).unwrap_or_default();
        Ok(Response::new(DefineTermsResponse { revision }))
    }

    async fn get_unit(&self, request: Request<GetUnitRequest>) -> Result<Response<GetUnitResponse>, Status> {
        let id = door::unit_id(&request.get_ref().id).map_err(|fault| status(&fault))?;
        let snapshot = self.submitter.snapshot();
        let unit = unit_named(&snapshot.registry, &id).map_err(|fault| status(&fault))?;
        Ok(Response::new(GetUnitResponse { unit: Some(door::unit(unit)) }))
    }

    async fn list_units(&self, request: Request<ListUnitsRequest>) -> Result<Response<ListUnitsResponse>, Status> {
        let answer = self.units(request.get_ref()).map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn get_indicator(
        &self,
        request: Request<GetIndicatorRequest>,
    ) -> Result<Response<GetIndicatorResponse>, Status> {
        let id = door::indicator_id(&request.get_ref().id).map_err(|fault| status(&fault))?;
        let snapshot = self.submitter.snapshot();
        let indicator =
            snapshot.registry.indicator(&id).map(door::indicator).ok_or_else(|| {
                status(&Fault::new(Reason::IndicatorNotFound, format!("indicator {id} is not defined")))
            })?;
        Ok(Response::new(GetIndicatorResponse { indicator: Some(indicator) }))
    }

    async fn list_indicators(
        &self,
        request: Request<ListIndicatorsRequest>,
    ) -> Result<Response<ListIndicatorsResponse>, Status> {
        let answer = self.indicators(request.get_ref()).map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn find_units(&self, request: Request<FindUnitsRequest>) -> Result<Response<FindUnitsResponse>, Status> {
        let FindUnitsRequest { name, on } = request.get_ref();
        let query = door::find_units(name, on).map_err(|fault| status(&fault))?;
        let snapshot = self.submitter.snapshot();
        let units = snapshot.registry.find_units(&query.name, query.on);
        Ok(Response::new(FindUnitsResponse { units: units.into_iter().map(door::unit).collect() }))
    }

    async fn list_terms(&self, request: Request<ListTermsRequest>) -> Result<Response<ListTermsResponse>, Status> {
        let answer = self.terms(request.get_ref()).map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }
}

impl RegistryHandlers {
    async fn write(&self, work: Result<Work, Fault>) -> Result<Receipt, Status> {
        let submit = async { self.submitter.submit(work?).await };
        submit.await.map_err(|fault| status(&fault))
    }

    fn terms(&self, request: &ListTermsRequest) -> Result<ListTermsResponse, Fault> {
        let (unit, page) = door::list_terms(request)?;
        let snapshot = self.submitter.snapshot();
        if let Some(unit) = &unit {
            unit_named(&snapshot.registry, unit)?;
        }
        let cursor = page.cursor(self.store, snapshot.revision)?;
        let rows = snapshot.registry.terms_after(&cursor.after).filter(|row| {
            row.revision <= cursor.snapshot && unit.as_ref().is_none_or(|unit| row.value.key.unit == *unit)
        });
        let write = |row: &Registered<Term>| door::term(&row.value);
        let (terms, next_page_token) =
            take_page(&page, self.store, &cursor, rows, |row| row.value.key.to_text(), write);
        Ok(ListTermsResponse { terms, next_page_token })
    }

    fn units(&self, request: &ListUnitsRequest) -> Result<ListUnitsResponse, Fault> {
        let (filter, page) = door::list_units(request)?;
        let snapshot = self.submitter.snapshot();
        let registry = &snapshot.registry;
        if let Some(under) = &filter.under {
            unit_named(registry, under)?;
        }
        let cursor = page.cursor(self.store, snapshot.revision)?;
        let rows = registry
            .units_after(&cursor.after)
            .filter(|unit| unit.revision <= cursor.snapshot && is_wanted(registry, &filter, &unit.value));
        let (units, next_page_token) =
            take_page(&page, self.store, &cursor, rows, |row| row.value.id.to_string(), |row| door::unit(&row.value));
        Ok(ListUnitsResponse { units, next_page_token })
    }

    fn indicators(&self, request: &ListIndicatorsRequest) -> Result<ListIndicatorsResponse, Fault> {
        let page = door::list_indicators(request)?;
        let snapshot = self.submitter.snapshot();
        let cursor = page.cursor(self.store, snapshot.revision)?;
        let rows = snapshot.registry.indicators_after(&cursor.after).filter(|row| row.revision <= cursor.snapshot);
        let write = |row: &Registered<Indicator>| door::indicator(&row.value);
        let (indicators, next_page_token) =
            take_page(&page, self.store, &cursor, rows, |row| row.value.id.to_string(), write);
        Ok(ListIndicatorsResponse { indicators, next_page_token })
    }
}

pub(super) fn unit_named<'a>(registry: &'a Registry, id: &UnitId) -> Result<&'a Unit, Fault> {
    registry.unit(id).ok_or_else(|| Fault::new(Reason::UnitNotFound, format!("unit {id} is not registered")))
}

fn is_wanted(registry: &Registry, filter: &UnitFilter, unit: &Unit) -> bool {
    // Without a day it is the map of the last day there is.
    let day = filter.on.unwrap_or(jiff::civil::Date::MAX);
    filter.level.is_none_or(|level| unit.level == level)
        && filter.on.is_none_or(|day| registry.is_alive_on(&unit.id, day))
        && filter.under.as_ref().is_none_or(|under| registry.ancestry_on(unit, day).any(|above| above.id == *under))
}
