//! Handlers: convert, call, convert.

use std::sync::Arc;

use jiff::civil::Date;
use proto::v1::{
    GetShareRequest, GetShareResponse, ListDutiesRequest, ListDutiesResponse, ListObservationsRequest,
    ListObservationsResponse, QueryServiceFindUnitsRequest, QueryServiceFindUnitsResponse, QueryServiceGetUnitRequest,
    QueryServiceGetUnitResponse, query_service_server::QueryService,
};
use shared::{
    call::Deadline,
    clock::Clock,
    convert::query as door,
    model::{
        fault::{Fault, Reason},
        log::{Revision, StoreId},
        query::{KnownAt, Meta},
    },
    page::take_page,
    status::status,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::{
    index::{Index, Known},
    query,
    view::{Published, View},
};

/// QueryService.
pub struct QueryHandlers {
    /// What is known.
    pub view: View,
    /// Says what is in the future.
    pub clock: Arc<dyn Clock>,
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

    async fn list_duties(&self, request: Request<ListDutiesRequest>) -> Result<Response<ListDutiesResponse>, Status> {
        let answer = self.duties(&request).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }
}

impl QueryHandlers {
    async fn share(&self, request: &Request<GetShareRequest>) -> Result<GetShareResponse, Fault> {
        let (query, at_least) = door::share(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        self.not_in_the_future(query.known_at)?;
        let known = published.index.known_at(query.known_at)?;
        let rows = query::share::share(&known, &query)?;
        Ok(door::shares(&rows, &meta(published.store, &known, Some(query.boundaries_on))))
    }

    fn not_in_the_future(&self, known_at: KnownAt) -> Result<(), Fault> {
        let now = self.clock.now();
        match known_at {
            KnownAt::Time(time) if time > now => {
                let message = format!("known_at is {time}, now is {now}; what will be known cannot be asked");
                Err(Fault::new(Reason::FutureRevision, message))
            }
            KnownAt::Time(_) | KnownAt::Revision(_) | KnownAt::Now => Ok(()),
        }
    }

    async fn duties(&self, request: &Request<ListDutiesRequest>) -> Result<ListDutiesResponse, Fault> {
        let (query, page, at_least) = door::duties(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        self.not_in_the_future(query.known_at)?;
        let now = self.clock.now();
        // Thousands of duties may have to be looked at.
        let answer = move || {
            let Published { store, index } = &published;
            let cursor = page.cursor(*store, index.revision())?;
            let known = known_in_walk(index, query.known_at, cursor.snapshot)?;
            let (rows, as_of) = query::duties::duties(&known, &query, now, &cursor.after, page.rows + 1)?;
            let (rows, next) = take_page(&page, *store, &cursor, rows.iter(), |row| row.key.clone(), door::duty_row);
            Ok(door::duties_answer(rows, next, as_of, &meta(*store, &known, None)))
        };
        let failed = |_| Fault::new(Reason::Internal, "an unexpected condition");
        tokio::task::spawn_blocking(answer).await.map_err(failed)?
    }

    async fn unit(&self, request: &Request<QueryServiceGetUnitRequest>) -> Result<QueryServiceGetUnitResponse, Fault> {
        let (query, at_least) = door::get_unit(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        let known = published.index.known_at(KnownAt::Now)?;
        let unit = known.registry().unit_as_of(&query)?;
        let states = known.registry().record_of(&query.id).map(|record| record.states()).unwrap_or_default();
        Ok(door::unit_answer(unit, states, &meta(published.store, &known, None)))
    }

    async fn find(
        &self,
        request: &Request<QueryServiceFindUnitsRequest>,
    ) -> Result<QueryServiceFindUnitsResponse, Fault> {
        let (query, at_least) = door::find_units(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        let known = published.index.known_at(KnownAt::Now)?;
        let units = known.registry().find_units(&query.name, query.on);
        Ok(door::units_answer(&units, &meta(published.store, &known, None)))
    }

    async fn observations(
        &self,
        request: &Request<ListObservationsRequest>,
    ) -> Result<ListObservationsResponse, Fault> {
        let (query, page, at_least) = door::observations(request.get_ref())?;
        let published = self.view.read(at_least, deadline(request)).await?;
        let Published { store, index } = &published;
        let cursor = page.cursor(*store, index.revision())?;
        self.not_in_the_future(query.known_at)?;
        let known = known_in_walk(index, query.known_at, cursor.snapshot)?;
        let rows = query::observations::observations(&known, &query, &cursor.after, page.rows + 1)?;
        let (rows, next) = take_page(&page, *store, &cursor, rows.iter(), |row| row.key.clone(), door::observation_row);
        let meta = meta(*store, &known, None);
        Ok(door::observations_answer(rows, next, &meta))
    }
}

/// What a walk over pages sees: what was known then does not change while it goes on; what is known now is that of its
/// first page.
fn known_in_walk(index: &Index, known_at: KnownAt, snapshot: Revision) -> Result<Known<'_>, Fault> {
    match known_at {
        KnownAt::Now => index.known_at(KnownAt::Revision(snapshot)),
        then => index.known_at(then),
    }
}

/// When a wait has to end so that its reason can still be answered.
fn deadline<T>(request: &Request<T>) -> Option<Instant> {
    let Deadline(deadline) = request.extensions().get::<Deadline>()?;
    let left = deadline.saturating_duration_since(Instant::now());
    Some(*deadline - left / 10)
}

fn meta(store: StoreId, known: &Known<'_>, boundaries_on: Option<Date>) -> Meta {
    Meta { revision: known.revision(), known_at: known.recorded_at(), store, boundaries_on }
}
