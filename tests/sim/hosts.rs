//! The two services as hosts of a simulation: what `run` of each puts together, over a log in memory and the simulated
//! network.

use std::{sync::Arc, time::Duration};

use ingest_service::{
    config::StreamRules,
    feed::Feed,
    grpc::{FeedHandlers, IngestHandlers, RegistryHandlers},
    log::{Log, memory::MemoryLog},
    submit::task,
};
use proto::v1::{
    FollowRequest,
    feed_service_server::{FeedService, FeedServiceServer},
    ingest_service_server::IngestServiceServer,
    query_service_server::QueryServiceServer,
    registry_service_server::RegistryServiceServer,
};
use query_service::{
    follow::{self, Connection, FollowConfig},
    grpc::QueryHandlers,
    view::{Seen, View},
};
use shared::{
    model::log::Revision,
    serve::{self, Stop},
};
use tonic::{Request, Response, Status, service::RoutesBuilder, transport::Endpoint};

use crate::{
    net::{self, SimClock},
    world::Shared,
};

pub const INGEST: &str = "http://ingest:50051";
pub const QUERY: &str = "http://query:50052";
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);
const SYNC_TIME_MAX: Duration = Duration::from_millis(300);
const SLOW_AFTER: Duration = Duration::from_secs(30);

/// A bug that somebody could write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The feed goes on one entry too late.
    ResumeSkips,
    /// The feed goes on one entry too early.
    ResumeRepeats,
    /// What is said to be synced is not.
    DiskLies,
}

/// The feed, or a feed with a bug.
struct BuggyFeed {
    feed: FeedHandlers,
    disk: Arc<MemoryLog>,
    bug: Option<Bug>,
}

impl BuggyFeed {
    /// Another place than the one that was asked for.
    fn misread(&self, request: FollowRequest) -> FollowRequest {
        let revision = match self.bug {
            Some(Bug::ResumeSkips) if request.last_revision > 0 => request.last_revision + 1,
            Some(Bug::ResumeRepeats) if request.last_revision > 1 => request.last_revision - 1,
            _ => return request,
        };
        let before = Revision::from(u64::try_from(revision - 1).expect("positive"));
        let record = self.disk.read(before, 1).expect("a log in memory can be read").pop();
        let misread = record.map(|record| FollowRequest {
            last_revision: revision,
            last_chain_hash: record.link.chain_hash.0.to_vec(),
            ..request.clone()
        });
        misread.unwrap_or(request)
    }
}

#[tonic::async_trait]
impl FeedService for BuggyFeed {
    type FollowStream = <FeedHandlers as FeedService>::FollowStream;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        self.feed.follow(request.map(|request| self.misread(request))).await
    }
}

/// The ingest-service, from what its disk has kept.
pub async fn ingest(disk: Arc<MemoryLog>, bug: Option<Bug>) -> turmoil::Result {
    let (stop, clock) = (Stop::default(), Arc::new(SimClock));
    let (submitter, durable) = task::start_as_task(disk.clone(), clock.clone(), || net::up_to(SYNC_TIME_MAX))?;
    let feed = Feed::new(disk.clone(), durable, stop.clone(), PROGRESS_INTERVAL, SLOW_AFTER);
    let stream_rules = StreamRules { reports_max: 1_000_000, silence_ms_max: 60_000, age_ms_max: 3_600_000 };
    let ingest = IngestHandlers { submitter: submitter.clone(), log: disk.clone(), stop: stop.clone(), stream_rules };
    let feed = BuggyFeed { feed: FeedHandlers { feed, clock }, disk: disk.clone(), bug };
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(RegistryServiceServer::new(RegistryHandlers { submitter, store: disk.store(), log: disk.clone() }))
        .add_service(IngestServiceServer::new(ingest))
        .add_service(FeedServiceServer::new(feed));
    net::serve(50051, routes.routes(), &stop).await
}

/// The query-service, which begins with nothing.
pub async fn query(world: Shared) -> turmoil::Result {
    let (stop, view) = (Stop::default(), View::default());
    world.borrow_mut().query_starts += 1;
    let (_, health) = serve::standard_routes(&["tonghop.v1.QueryService"]).await?;
    let config = FollowConfig {
        connect: Box::new(|| {
            let channel = net::connect(follow::endpoint(Endpoint::from_static(INGEST)));
            Ok(Connection { channel, authorization: None })
        }),
        store: None,
        silence_max: SILENCE_MAX,
        jitter: net::up_to,
    };
    tokio::spawn(follow::run(config, None, view.clone(), health, stop.clone()));
    let handlers = QueryHandlers {
        view,
        seen: Seen::default(),
        clock: Arc::new(SimClock),
        stop: stop.clone(),
        slow_after: SLOW_AFTER,
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(QueryServiceServer::new(handlers));
    net::serve(50052, routes.routes(), &stop).await
}
