use proto::v1::{
    FollowRequest, FollowResponse,
    feed_service_client::FeedServiceClient,
    feed_service_server::{FeedService, FeedServiceServer},
};
use tokio_stream::Empty;
use tonic::{Request, Response, Status, transport::Endpoint};

use super::*;

/// A service whose handler panics for some.
struct Faulty;

#[tonic::async_trait]
impl FeedService for Faulty {
    type FollowStream = Empty<Result<FollowResponse, Status>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        assert!(request.get_ref().store_id.is_empty(), "as if a handler had a fault");
        Ok(Response::new(tokio_stream::empty()))
    }
}

#[tokio::test]
async fn a_handler_that_panics_answers_internal_and_the_next_call_works() {
    let (listener, address) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (mut routes, health) = standard_routes(&["tonghop.v1.FeedService"]).await.unwrap();
    routes.add_service(FeedServiceServer::new(Faulty));
    let stop = Stop::default();
    let config = ServerConfig {
        allow_plaintext: false,
        allow_anonymous: false,
        tls: crate::config::TlsConfig::default(),
        access: crate::config::AccessConfig::default(),
        deadline_ms_max: 10_000,
        drain_ms_max: 1_000,
        load: crate::config::LoadConfig::default(),
        log: String::new(),
        side_listen: None,
        otlp_endpoint: None,
        otel_exporter_otlp_endpoint: None,
        trace_percent: 100,
        log_format: crate::telemetry::LogFormat::Text,
        #[cfg(debug_assertions)]
        fault_points: String::new(),
    };
    let protection = Protection::load(&config, address, Arc::new(crate::clock::SystemClock)).unwrap();
    let server = tokio::spawn({
        let stop = stop.clone();
        async move { serve(listener, routes.routes(), &config, protection, health, stop).await }
    });
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = FeedServiceClient::new(channel);
    for _ in 0..3 {
        let refused =
            client.follow(FollowRequest { store_id: "faulty".into(), ..Default::default() }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Internal);
        assert_eq!(crate::status::reason_name(&refused).as_deref(), Some("INTERNAL"));
        client.follow(FollowRequest::default()).await.unwrap();
    }
    stop.token.cancel();
    server.await.unwrap();
}
