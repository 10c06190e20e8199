//! Both services as their handlers, over one small log, called as the servers call them, without a network.

use std::{sync::Arc, time::Duration};

use ingest_service::{
    config::StreamRules,
    feed::Feed,
    grpc::{FeedHandlers, IngestHandlers, RegistryHandlers},
    log::{Log, memory::MemoryLog},
    submit,
};
use prost::Message;
use proto::v1::{
    self, feed_service_server::FeedService, ingest_service_server::IngestService, query_service_server::QueryService,
    registry_service_server::RegistryService,
};
use query_service::{
    apply::Applier,
    grpc::QueryHandlers,
    view::{Seen, Standing, View},
};
use shared::{
    call::Deadline,
    clock::SystemClock,
    model::{access::Caller, log::Revision},
    serve::Stop,
};
use tokio_stream::StreamExt;
use tonic::{Request, Status};

/// Both services as their handlers, over one small log.
pub struct Services {
    pub log: Arc<MemoryLog>,
    registry: RegistryHandlers,
    ingest: IngestHandlers,
    feed: FeedHandlers,
    pub query: QueryHandlers,
}

impl Services {
    /// The services, and the writer, which lives as long as they do.
    pub async fn start() -> (Self, submit::Writer) {
        let (log, clock, stop) = (Arc::new(MemoryLog::default()), Arc::new(SystemClock), Stop::default());
        let (submitter, writer) = submit::start(log.clone(), clock.clone(), None).expect("an empty log");
        let slow_after = Duration::from_secs(1);
        let feed = Feed::new(log.clone(), writer.durable.clone(), stop.clone(), slow_after, slow_after);
        let stream_rules = StreamRules { reports_max: 1_000_000, silence_ms_max: 60_000, age_ms_max: 3_600_000 };
        let services = Self {
            registry: RegistryHandlers { submitter: submitter.clone(), store: log.store(), log: log.clone() },
            ingest: IngestHandlers { submitter, log: log.clone(), stop: stop.clone(), stream_rules },
            feed: FeedHandlers { feed, clock: clock.clone() },
            query: QueryHandlers { view: View::default(), seen: Seen::default(), clock, stop, slow_after },
            log,
        };
        (services, writer)
    }

    /// The query-service comes to know what the log is now.
    pub fn follow(&self, applier: &mut Applier) {
        let after = applier.position().map_or(Revision::ZERO, |position| position.link.revision);
        for record in self.log.read(after, usize::MAX).expect("it is in memory") {
            applier.apply(&record).expect("it was written");
        }
        self.query.view.publish(self.log.store(), applier.index().clone());
        self.query.view.set_standing(Standing::Following);
    }
}

/// A method: the type of its requests, and how it is called with bytes.
macro_rules! methods {
    ($services:ident, $by:ident, $bytes:ident, $name:ident: $($part:ident.$method:ident($request:ident)),* $(,)?) => {
        match $name {
            $(stringify!($request) => match v1::$request::decode($bytes) {
                Ok(request) => $services.$part.$method(in_time(request, $by)).await.map(|answer| answer.into_inner().encode_to_vec()),
                Err(_) => Ok(Vec::new()),
            },)*
            other => panic!("no method takes {other}"),
        }
    };
}

/// The same where the answer comes in pieces, of which a few are read.
macro_rules! streams {
    ($services:ident, $by:ident, $bytes:ident, $name:ident: $($part:ident.$method:ident($request:ident)),* $(,)?) => {
        match $name {
            $(stringify!($request) => {
                let Ok(request) = v1::$request::decode($bytes) else { return Ok(Vec::new()) };
                let mut pieces = $services.$part.$method(in_time(request, $by)).await?.into_inner();
                // A stream that goes on when everything was told has nothing more to say.
                let mut last = Vec::new();
                while let Ok(Some(piece)) = tokio::time::timeout(Duration::from_millis(1), pieces.next()).await {
                    last = piece?.encode_to_vec();
                }
                return Ok(last);
            })*
            _ => {}
        }
    };
}

/// Calls the method that takes requests of that type, as that caller.
///
/// # Errors
/// The refusal.
pub async fn call(services: &Services, by: &Arc<Caller>, name: &str, bytes: &[u8]) -> Result<Vec<u8>, Status> {
    streams!(services, by, bytes, name:
        query.explain(ExplainRequest), query.watch(WatchRequest), query.export(ExportRequest),
        feed.follow(FollowRequest),
    );
    methods!(services, by, bytes, name:
        registry.register_units(RegisterUnitsRequest), registry.record_unit_events(RecordUnitEventsRequest),
        registry.define_forms(DefineFormsRequest), registry.define_indicators(DefineIndicatorsRequest),
        registry.define_terms(DefineTermsRequest),
        ingest.submit_report(SubmitReportRequest), ingest.get_report(GetReportRequest),
        ingest.list_report_versions(ListReportVersionsRequest),
        ingest.compare_report_versions(CompareReportVersionsRequest), ingest.list_reports(ListReportsRequest),
        ingest.list_findings(ListFindingsRequest), ingest.withdraw_report(WithdrawReportRequest),
        query.get_share(GetShareRequest), query.aggregate(AggregateRequest), query.get_series(GetSeriesRequest),
        query.rank(RankRequest), query.get_distribution(GetDistributionRequest), query.compare(CompareRequest),
        query.get_completeness(GetCompletenessRequest), query.get_availability(GetAvailabilityRequest),
        query.verify_citation(VerifyCitationRequest), query.list_observations(ListObservationsRequest),
        query.find_units(QueryServiceFindUnitsRequest), query.get_unit(QueryServiceGetUnitRequest),
        query.list_duties(ListDutiesRequest),
        registry.get_unit(GetUnitRequest), registry.list_units(ListUnitsRequest),
        registry.find_units(FindUnitsRequest), registry.list_unit_events(ListUnitEventsRequest),
        registry.list_succession(ListSuccessionRequest), registry.list_hierarchy(ListHierarchyRequest),
        registry.list_terms(ListTermsRequest), registry.list_forms(ListFormsRequest),
        registry.get_indicator(GetIndicatorRequest), registry.list_indicators(ListIndicatorsRequest),
    )
}

/// With a deadline and a caller as the layers around the handlers set them.
fn in_time<T>(request: T, by: &Arc<Caller>) -> Request<T> {
    let mut request = Request::new(request);
    request.extensions_mut().insert(Deadline(tokio::time::Instant::now() + Duration::from_millis(1)));
    request.extensions_mut().insert(by.clone());
    request
}
