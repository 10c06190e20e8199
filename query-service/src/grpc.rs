//! Handlers: convert, call, convert.

use jiff::civil::Date;
use proto::v1::{
    GetShareRequest, GetShareResponse, ListObservationsRequest, ListObservationsResponse, QueryServiceFindUnitsRequest,
    QueryServiceFindUnitsResponse, QueryServiceGetUnitRequest, QueryServiceGetUnitResponse,
    query_service_server::QueryService,
};
use shared::{
    call::Deadline,
    convert::query as door,
    model::{fault::Fault, query::Meta},
    page::take_page,
    status::status,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::{
    query,
    view::{Published, View},
};

/// QueryService.
pub struct QueryHandlers {
    /// What is known.
    pub view: View,
}

#[tonic::async_trait]
impl QueryService for QueryHandlers {
    async fn get_share(&self, request: Request<GetShareRequest>) -> Result<Response<GetShareResponse>, Status> {
        let answer = self.share(&request).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn get_unit(
        &self,
        request: Request<QueryServiceGetUnitRequest>,
    ) -> Result<Response<QueryServiceGetUnitResponse>, Status> {
        let answer = self.unit(&request).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn find_units(
        &self,
        request: Request<QueryServiceFindUnitsRequest>,
    ) -> Result<Response<QueryServiceFindUnitsResponse>, Status> {
        let answer = self.find(&request).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn list_observations(
        &self,
        request: Request<ListObservationsRequest>,
    ) -> Result<Response<ListObservationsResponse>, Status> {
        let answer = self.observations(&request).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }
}

impl QueryHandlers {
    async fn share(&self, request: &Request<GetShareRequest>) -> Result<GetShareResponse, Fault> {
        let (query, at_least) = door::share(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        let rows = query::share::share(&published.index, &query)?;
        Ok(door::shares(&rows, &meta(&published, Some(query.day))))
    }

    async fn unit(&self, request: &Request<QueryServiceGetUnitRequest>) -> Result<QueryServiceGetUnitResponse, Fault> {
        let (id, at_least) = door::get_unit(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        let unit = query::unit_named(published.index.registry(), &id)?;
        Ok(door::unit_answer(unit, &meta(&published, None)))
    }

    async fn find(
        &self,
        request: &Request<QueryServiceFindUnitsRequest>,
    ) -> Result<QueryServiceFindUnitsResponse, Fault> {
        let (query, at_least) = door::find_units(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        let units = published.index.registry().find_units(&query.name, query.on);
        Ok(door::units_answer(&units, &meta(&published, None)))
    }

    async fn observations(
        &self,
        request: &Request<ListObservationsRequest>,
    ) -> Result<ListObservationsResponse, Fault> {
        let (query, page, at_least) = door::observations(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        let Published { store, index } = &published;
        let cursor = page.cursor(*store, index.revision())?;
        let rows_max = page.rows + 1;
        let rows = query::observations::observations(index, &query, cursor.snapshot, &cursor.after, rows_max)?;
        let (rows, next) = take_page(&page, *store, &cursor, rows.iter(), |row| row.key.clone(), door::observation_row);
        let meta = Meta {
            revision: cursor.snapshot,
            known_at: index.recorded_at(cursor.snapshot),
            store: *store,
            boundaries_on: None,
        };
        Ok(door::observations_answer(rows, next, &meta))
    }
}

/// When a wait has to end so that its reason can still be answered.
fn deadline<T>(request: &Request<T>) -> Option<Instant> {
    let Deadline(deadline) = request.extensions().get::<Deadline>()?;
    let left = deadline.saturating_duration_since(Instant::now());
    Some(*deadline - left / 10)
}

fn meta(published: &Published, boundaries_on: Option<Date>) -> Meta {
    Meta {
        revision: published.index.revision(),
        known_at: published.index.recorded_at(published.index.revision()),
        store: published.store,
        boundaries_on,
    }
}
