//! Handlers: convert, call, convert.

use jiff::civil::Date;
use proto::v1::{
    GetShareRequest, GetShareResponse, QueryServiceGetUnitRequest, QueryServiceGetUnitResponse,
    query_service_server::QueryService,
};
use shared::{
    call::Deadline,
    convert::query as door,
    model::{fault::Fault, query::Meta},
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
        known_at: published.index.record_time(),
        store: published.store,
        boundaries_on,
    }
}
