//! Handlers: convert, call, convert.

mod cite;
mod explain;
mod export;
mod face;
mod file;
mod knowledge;
mod pieces;
pub mod remember;
mod watch;

use std::{sync::Arc, time::Duration};

use proto::v1::{
    AggregateRequest, AggregateResponse, CompareRequest, CompareResponse, ExplainRequest, ExplainResponse,
    ExportRequest, ExportResponse, GetAvailabilityRequest, GetAvailabilityResponse, GetCompletenessRequest,
    GetCompletenessResponse, GetDistributionRequest, GetDistributionResponse, GetSeriesRequest, GetSeriesResponse,
    GetShareRequest, GetShareResponse, ListDutiesRequest, ListDutiesResponse, ListObservationsRequest,
    ListObservationsResponse, QueryServiceFindUnitsRequest, QueryServiceFindUnitsResponse, QueryServiceGetUnitRequest,
    QueryServiceGetUnitResponse, RankRequest, RankResponse, VerifyCitationRequest, VerifyCitationResponse,
    WatchRequest, WatchResponse, query_service_server::QueryService,
};
use shared::{
    access::{caller, told},
    admit::off_thread,
    call::Deadline,
    clock::Clock,
    convert::query as door,
    model::{
        access::Scope,
        fault::{Fault, Reason},
        log::Revision,
        query::{AvailabilityRow, KnownAt, ObservationRow},
    },
    page::take_page,
    serve::Stop,
    status::status,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use self::{face::Face, knowledge::Knowledge, pieces::Pieces};
use crate::{
    index::effort::{self, Effort},
    query,
    view::{Published, Seen, View},
};

/// An answer that is no more work is computed where it was asked for: a thread of its own would cost more.
const QUICK: Effort = 5_000;

/// QueryService. Cheap to clone.
#[derive(Clone)]
pub struct QueryHandlers {
    /// What is known.
    pub view: View,
    /// The same for those who do not see everything.
    pub seen: Seen,
    /// Says what is in the future.
    pub clock: Arc<dyn Clock>,
    /// Ends streams.
    pub stop: Stop,
    /// A reader of a stream that takes nothing for that long is cut.
    pub slow_after: Duration,
}

#[tonic::async_trait]
impl QueryService for QueryHandlers {
    async fn get_share(&self, request: Request<GetShareRequest>) -> Result<Response<GetShareResponse>, Status> {
        self.ask::<face::Share>(request).await
    }

    async fn aggregate(&self, request: Request<AggregateRequest>) -> Result<Response<AggregateResponse>, Status> {
        self.ask::<face::Aggregate>(request).await
    }

    async fn get_series(&self, request: Request<GetSeriesRequest>) -> Result<Response<GetSeriesResponse>, Status> {
        self.ask::<face::Series>(request).await
    }

    async fn rank(&self, request: Request<RankRequest>) -> Result<Response<RankResponse>, Status> {
        self.ask::<face::Rank>(request).await
    }

    async fn get_distribution(
        &self,
        request: Request<GetDistributionRequest>,
    ) -> Result<Response<GetDistributionResponse>, Status> {
        self.ask::<face::Distribution>(request).await
    }

    async fn compare(&self, request: Request<CompareRequest>) -> Result<Response<CompareResponse>, Status> {
        self.ask::<face::Compare>(request).await
    }

    async fn get_completeness(
        &self,
        request: Request<GetCompletenessRequest>,
    ) -> Result<Response<GetCompletenessResponse>, Status> {
        self.ask::<face::Completeness>(request).await
    }

    async fn get_availability(
        &self,
        request: Request<GetAvailabilityRequest>,
    ) -> Result<Response<GetAvailabilityResponse>, Status> {
        let answer = self.availability(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn verify_citation(
        &self,
        request: Request<VerifyCitationRequest>,
    ) -> Result<Response<VerifyCitationResponse>, Status> {
        let answer = self.verify(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    type ExplainStream = Pieces<ExplainResponse>;

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<Self::ExplainStream>, Status> {
        let by = caller(&request);
        self.explained(request).await.map(Response::new).map_err(|fault| status(&told(&by, fault)))
    }

    type WatchStream = Pieces<WatchResponse>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let by = caller(&request);
        self.watched(request).await.map(Response::new).map_err(|fault| status(&told(&by, fault)))
    }

    type ExportStream = Pieces<ExportResponse>;

    async fn export(&self, request: Request<ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let by = caller(&request);
        self.exported(request).await.map(Response::new).map_err(|fault| status(&told(&by, fault)))
    }

    async fn get_unit(
        &self,
        request: Request<QueryServiceGetUnitRequest>,
    ) -> Result<Response<QueryServiceGetUnitResponse>, Status> {
        let answer = self.unit(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn find_units(
        &self,
        request: Request<QueryServiceFindUnitsRequest>,
    ) -> Result<Response<QueryServiceFindUnitsResponse>, Status> {
        let answer = self.find(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn list_observations(
        &self,
        request: Request<ListObservationsRequest>,
    ) -> Result<Response<ListObservationsResponse>, Status> {
        let answer = self.observations(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn list_duties(&self, request: Request<ListDutiesRequest>) -> Result<Response<ListDutiesResponse>, Status> {
        let answer = self.duties(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }
}

impl QueryHandlers {
    /// What is known, as far as the caller sees it.
    async fn published<T>(&self, request: &Request<T>, at_least: Option<Revision>) -> Result<Published, Fault> {
        let published = self.view.read(at_least, deadline(request)).await?;
        self.seen_by(published, &caller(request).scope).await
    }

    /// What is published, as far as it lies in a scope.
    async fn seen_by(&self, published: Published, scope: &Scope) -> Result<Published, Fault> {
        if scope.is_everything() {
            return Ok(published);
        }
        let (seen, scope) = (self.seen.clone(), scope.clone());
        off_thread(move || Ok(seen.of(&published, &scope))).await
    }

    /// A question that is answered with rows.
    async fn ask<F: Face>(&self, request: Request<F::Request>) -> Result<Response<F::Response>, Status> {
        let by = caller(&request);
        let answer = async {
            let (query, page, at_least) = F::read(request.get_ref())?;
            let published = self.published(&request, at_least).await?;
            let now = self.clock.now();
            let quick = effort::within(QUICK, || face::page::<F>(&published, request.get_ref(), &query, &page, now));
            match quick {
                Some(answer) => answer,
                // Thousands of units have to be looked at, or reports to be read.
                None => off_thread(move || face::page::<F>(&published, request.get_ref(), &query, &page, now)).await,
            }
        };
        answer.await.map(Response::new).map_err(|fault| status(&told(&by, fault)))
    }

    async fn availability(&self, request: &Request<GetAvailabilityRequest>) -> Result<GetAvailabilityResponse, Fault> {
        let (query, page, at_least) = door::available(request.get_ref())?;
        let published = self.published(request, at_least).await?;
        let now = self.clock.now();
        off_thread(move || {
            let store = published.store;
            let cursor = page.cursor(store, published.index.revision())?;
            let knowledge = Knowledge::of(&published, cursor.snapshot, now);
            let known = knowledge.at(query.known_at)?;
            let rows = query::availability::rows(&known, &query, &cursor.after, page.rows + 1)?;
            let id = |row: &AvailabilityRow| row.indicator.to_string();
            let (rows, next) = take_page(&page, store, &cursor, rows.iter(), id, door::availability_row);
            Ok(door::availability(rows, next, &knowledge.meta(&known, None)))
        })
        .await
    }

    async fn verify(&self, request: &Request<VerifyCitationRequest>) -> Result<VerifyCitationResponse, Fault> {
        let VerifyCitationRequest { citation, at_least_revision } = request.get_ref().clone();
        let at_least = door::at_least_revision(at_least_revision)?;
        if citation.is_empty() {
            return Err(Fault::at(
                "citation",
                Reason::RequiredFieldMissing,
                "is required; copy meta.citation from an answer",
            ));
        }
        let published = self.published(request, at_least).await?;
        let now = self.clock.now();
        off_thread(move || cite::verify(&published, now, &citation)).await
    }

    async fn duties(&self, request: &Request<ListDutiesRequest>) -> Result<ListDutiesResponse, Fault> {
        let (query, page, at_least) = door::duties(request.get_ref())?;
        let published = self.published(request, at_least).await?;
        let now = self.clock.now();
        // Thousands of duties may have to be looked at.
        off_thread(move || {
            let store = published.store;
            let cursor = page.cursor(store, published.index.revision())?;
            let knowledge = Knowledge::of(&published, cursor.snapshot, now);
            let known = knowledge.at(query.known_at)?;
            let (rows, as_of) = query::duties::duties(&known, &query, now, &cursor.after, page.rows + 1)?;
            let (rows, next) = take_page(&page, store, &cursor, rows.iter(), |row| row.key.clone(), door::duty_row);
            Ok(door::duties_answer(rows, next, as_of, &knowledge.meta(&known, None)))
        })
        .await
    }

    async fn unit(&self, request: &Request<QueryServiceGetUnitRequest>) -> Result<QueryServiceGetUnitResponse, Fault> {
        let (query, at_least) = door::get_unit(request.get_ref())?;
        let published = self.published(request, at_least).await?;
        let knowledge = Knowledge::newest(&published, self.clock.now());
        let known = knowledge.at(KnownAt::Now)?;
        let unit = known.registry().unit_as_of(&query)?;
        let states = known.registry().record_of(&query.id).map(|record| record.states()).unwrap_or_default();
        Ok(door::unit_answer(unit, states, &knowledge.meta(&known, None)))
    }

    async fn find(
        &self,
        request: &Request<QueryServiceFindUnitsRequest>,
    ) -> Result<QueryServiceFindUnitsResponse, Fault> {
        let (query, at_least) = door::find_units(request.get_ref())?;
        let published = self.published(request, at_least).await?;
        let knowledge = Knowledge::newest(&published, self.clock.now());
        let known = knowledge.at(KnownAt::Now)?;
        let units = known.registry().find_units(&query.name, query.on);
        Ok(door::units_answer(&units, &knowledge.meta(&known, None)))
    }

    async fn observations(
        &self,
        request: &Request<ListObservationsRequest>,
    ) -> Result<ListObservationsResponse, Fault> {
        let (query, page, at_least) = door::observations(request.get_ref())?;
        let published = self.published(request, at_least).await?;
        let now = self.clock.now();
        off_thread(move || {
            let store = published.store;
            let cursor = page.cursor(store, published.index.revision())?;
            let knowledge = Knowledge::of(&published, cursor.snapshot, now);
            let known = knowledge.at(query.known_at)?;
            let rows = query::observations::observations(&known, &query, &cursor.after, page.rows + 1)?;
            let id = |row: &ObservationRow| row.key.clone();
            let (rows, next) = take_page(&page, store, &cursor, rows.iter(), id, door::observation_row);
            Ok(door::observations_answer(rows, next, &knowledge.meta(&known, None)))
        })
        .await
    }
}

/// When a wait has to end so that its reason can still be answered.
fn deadline<T>(request: &Request<T>) -> Option<Instant> {
    let Deadline(deadline) = request.extensions().get::<Deadline>()?;
    let left = deadline.saturating_duration_since(Instant::now());
    Some(*deadline - left / 10)
}
