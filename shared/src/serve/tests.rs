use proto::v1::{
    GetShareRequest, GetShareResponse, ListDutiesRequest, ListDutiesResponse, ListObservationsRequest,
    ListObservationsResponse, QueryServiceFindUnitsRequest, QueryServiceFindUnitsResponse, QueryServiceGetUnitRequest,
    QueryServiceGetUnitResponse,
    query_service_client::QueryServiceClient,
    query_service_server::{QueryService, QueryServiceServer},
};
use tonic::{Request, Response, Status, transport::Endpoint};

use super::*;

/// A service of which one handler panics.
struct Faulty;

#[tonic::async_trait]
impl QueryService for Faulty {
    async fn get_share(&self, _: Request<GetShareRequest>) -> Result<Response<GetShareResponse>, Status> {
        panic!("as if a handler had a fault")
    }

    async fn get_unit(
        &self,
        _: Request<QueryServiceGetUnitRequest>,
    ) -> Result<Response<QueryServiceGetUnitResponse>, Status> {
        Ok(Response::new(QueryServiceGetUnitResponse::default()))
    }

    async fn find_units(
        &self,
        _: Request<QueryServiceFindUnitsRequest>,
    ) -> Result<Response<QueryServiceFindUnitsResponse>, Status> {
        Ok(Response::new(QueryServiceFindUnitsResponse::default()))
    }

    async fn list_observations(
        &self,
        _: Request<ListObservationsRequest>,
    ) -> Result<Response<ListObservationsResponse>, Status> {
        Ok(Response::new(ListObservationsResponse::default()))
    }

    async fn list_duties(&self, _: Request<ListDutiesRequest>) -> Result<Response<ListDutiesResponse>, Status> {
        Ok(Response::new(ListDutiesResponse::default()))
    }
}

#[tokio::test]
async fn a_handler_that_panics_answers_internal_and_the_next_call_works() {
    let (listener, address) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (mut routes, health) = standard_routes(&["tonghop.v1.QueryService"]).await.unwrap();
    routes.add_service(QueryServiceServer::new(Faulty));
    let stop = Stop::default();
    let config = ServerConfig {
        allow_plaintext: false,
        deadline_ms_max: 10_000,
        drain_ms_max: 1_000,
        log: String::new(),
        log_format: crate::telemetry::LogFormat::Text,
    };
    let server = tokio::spawn({
        let stop = stop.clone();
        async move { serve(listener, routes.routes(), &config, health, stop).await }
    });
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = QueryServiceClient::new(channel);
    for _ in 0..3 {
        let refused = client.get_share(GetShareRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Internal);
        assert_eq!(crate::status::reason_name(&refused).as_deref(), Some("INTERNAL"));
        client.get_unit(QueryServiceGetUnitRequest::default()).await.unwrap();
    }
    stop.token.cancel();
    server.await.unwrap().unwrap();
}
