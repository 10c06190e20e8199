//! Random input to everything that reads input, called as the servers call it, without a network: no panic, and no answer
//! that says that something unexpected happened.
//!
//! Requests are made from their descriptors, of words that mean something in a small world and of words that mean nothing,
//! and half of them are damaged as bytes. `TONGHOP_TEST_SEED` replays a run, `TONGHOP_FUZZ_CASES` asks for more.

mod words;

use std::{sync::Arc, time::Duration};

use ingest_service::{
    config::StreamRules,
    feed::Feed,
    grpc::{FeedHandlers, IngestHandlers, RegistryHandlers},
    log::{Log, memory::MemoryLog},
    submit,
};
use prost::Message;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use proto::v1::{
    self, feed_service_server::FeedService, ingest_service_server::IngestService, query_service_server::QueryService,
    registry_service_server::RegistryService,
};
use query_service::{
    apply::Applier,
    archive::MemoryArchive,
    grpc::QueryHandlers,
    view::{Standing, View},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use shared::{
    call::Deadline,
    clock::SystemClock,
    codec::{self, Record, next_link},
    convert,
    model::log::Revision,
    serve::Stop,
};
use tokio_stream::StreamExt;
use tonic::{Code, Request, Status};

use self::words::{Words, damage};
use crate::{seed, setting};

/// Requests and messages of a run.
const CASES: u64 = 100_000;

/// Both services as their handlers, over one small log.
struct Services {
    log: Arc<MemoryLog>,
    registry: RegistryHandlers,
    ingest: IngestHandlers,
    feed: FeedHandlers,
    query: QueryHandlers,
}

impl Services {
    /// The services, and the writer, which lives as long as they do.
    async fn start() -> (Self, submit::Writer) {
        let (log, clock, stop) = (Arc::new(MemoryLog::default()), Arc::new(SystemClock), Stop::default());
        let (submitter, writer) = submit::start(log.clone(), clock.clone(), None).expect("an empty log");
        let slow_after = Duration::from_secs(1);
        let feed = Feed::new(log.clone(), writer.durable.clone(), stop.clone(), slow_after, slow_after);
        let stream_rules = StreamRules { reports_max: 1_000_000, silence_ms_max: 60_000, age_ms_max: 3_600_000 };
        let services = Self {
            registry: RegistryHandlers { submitter: submitter.clone(), store: log.store() },
            ingest: IngestHandlers { submitter, log: log.clone(), stop: stop.clone(), stream_rules },
            feed: FeedHandlers { feed, clock: clock.clone() },
            query: QueryHandlers { view: View::default(), clock, stop, slow_after },
            log,
        };
        (services, writer)
    }

    /// The query-service comes to know what the log is now.
    fn follow(&self, applier: &mut Applier) {
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
    ($services:ident, $bytes:ident, $name:ident: $($part:ident.$method:ident($request:ident)),* $(,)?) => {
        match $name {
            $(stringify!($request) => match v1::$request::decode($bytes) {
                Ok(request) => $services.$part.$method(in_time(request)).await.map(|answer| answer.into_inner().encode_to_vec()),
                Err(_) => Ok(Vec::new()),
            },)*
            other => panic!("no method takes {other}"),
        }
    };
}

/// The same where the answer comes in pieces, of which a few are read.
macro_rules! streams {
    ($services:ident, $bytes:ident, $name:ident: $($part:ident.$method:ident($request:ident)),* $(,)?) => {
        match $name {
            $(stringify!($request) => {
                let Ok(request) = v1::$request::decode($bytes) else { return Ok(Vec::new()) };
                let mut pieces = $services.$part.$method(in_time(request)).await?.into_inner();
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

/// Types of requests of the methods that are called.
const REQUESTS: [&str; 33] = [
    "RegisterUnitsRequest",
    "RecordUnitEventsRequest",
    "DefineFormsRequest",
    "DefineIndicatorsRequest",
    "DefineTermsRequest",
    "SubmitReportRequest",
    "SubmitReportRequest",
    "SubmitReportRequest",
    "GetReportRequest",
    "ListReportVersionsRequest",
    "CompareReportVersionsRequest",
    "ListReportsRequest",
    "ListFindingsRequest",
    "WithdrawReportRequest",
    "GetShareRequest",
    "GetShareRequest",
    "AggregateRequest",
    "AggregateRequest",
    "GetSeriesRequest",
    "RankRequest",
    "GetDistributionRequest",
    "CompareRequest",
    "GetCompletenessRequest",
    "GetAvailabilityRequest",
    "VerifyCitationRequest",
    "ListObservationsRequest",
    "QueryServiceFindUnitsRequest",
    "QueryServiceGetUnitRequest",
    "ListDutiesRequest",
    "ExplainRequest",
    "WatchRequest",
    "ExportRequest",
    "FollowRequest",
];

async fn call(services: &Services, name: &str, bytes: &[u8]) -> Result<Vec<u8>, Status> {
    streams!(services, bytes, name:
        query.explain(ExplainRequest), query.watch(WatchRequest), query.export(ExportRequest),
        feed.follow(FollowRequest),
    );
    methods!(services, bytes, name:
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
    )
}

/// With a deadline as the layer around the handlers sets it.
fn in_time<T>(request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.extensions_mut().insert(Deadline(tokio::time::Instant::now() + Duration::from_millis(1)));
    request
}

fn descriptor(pool: &DescriptorPool, name: &str) -> MessageDescriptor {
    pool.get_message_by_name(&format!("tonghop.v1.{name}")).unwrap_or_else(|| panic!("there is no {name}"))
}

#[tokio::test]
async fn no_request_and_no_message_makes_anything_panic() {
    let seed = seed();
    let cases = setting("TONGHOP_FUZZ_CASES").unwrap_or(CASES);
    let pool = DescriptorPool::decode(v1::FILE_DESCRIPTOR_SET).expect("it was built");
    let (services, _writer) = Services::start().await;
    let mut words = Words::default();
    for (name, request) in words::world() {
        call(&services, name, &request).await.unwrap_or_else(|status| panic!("{name}: {status}"));
    }
    let mut applier = Applier::new(Arc::new(MemoryArchive::default()));
    applier.open(services.log.store(), 1).expect("a new one");
    let (mut answered, mut refused, mut entries) = (0_u64, 0_u64, 0_u64);
    for case in 0..cases {
        let random = &mut StdRng::seed_from_u64(seed.wrapping_add(case));
        services.follow(&mut applier);
        if random.random_bool(0.3) {
            entries += u64::from(take_in(random, &pool, &words, &services.log, applier.clone()));
            continue;
        }
        let name = REQUESTS[random.random_range(0..REQUESTS.len())];
        let mut bytes = if name == "SubmitReportRequest" && random.random_bool(0.5) {
            words::report(random)
        } else {
            words.message(random, &descriptor(&pool, name), 0).encode_to_vec()
        };
        if random.random_bool(0.3) {
            damage(random, &mut bytes);
        }
        let replay = || format!("TONGHOP_TEST_SEED={seed} TONGHOP_FUZZ_CASES={}: {name} {bytes:?}", case + 1);
        match call(&services, name, &bytes).await {
            Ok(answer) => {
                answered += 1;
                words.learn(random, &pool, name, &answer);
            }
            Err(status) => {
                refused += 1;
                assert!(
                    ![Code::Internal, Code::Unknown, Code::DataLoss].contains(&status.code()),
                    "{status}\n{}",
                    replay()
                );
            }
        }
    }
    println!(
        "{cases} cases: {answered} answered, {refused} refused, {entries} entries taken in, {} in the log",
        services.log.tail().revision
    );
    // What does not panic says something only if much of it was more than refused.
    assert!(cases < CASES || (answered > cases / 20 && refused > cases / 20 && entries > cases / 200));
}

/// Random and damaged entries and messages, read as a follower reads them; says whether one was taken in.
fn take_in(random: &mut StdRng, pool: &DescriptorPool, words: &Words, log: &MemoryLog, mut applier: Applier) -> bool {
    let last = applier.position().expect("it is open").link;
    let mut entry = if random.random_bool(0.5) {
        let before = Revision::from(random.random_range(0..last.revision.get()));
        log.read(before, 1).expect("it is in memory").remove(0).entry
    } else {
        words.message(random, &descriptor(pool, "Entry"), 0).encode_to_vec()
    };
    if random.random_bool(0.6) {
        damage(random, &mut entry);
    }
    // The last revision that is said counts, so it is the next one.
    let revision = last.revision.next();
    v1::Entry { revision: revision.as_i64(), ..Default::default() }.encode(&mut entry).expect("there is room");
    let record = Record { link: next_link(&last, &entry), entry };
    // Neither may panic; what they say is theirs.
    let _ = codec::decode(&record);
    let mut response = convert::feed::records(vec![record.clone()], record.link.revision, Vec::new()).encode_to_vec();
    if random.random_bool(0.5) {
        damage(random, &mut response);
    }
    if let Ok(response) = v1::FollowResponse::decode(response.as_slice()) {
        let _ = convert::feed::event(response);
    }
    match applier.apply(&record) {
        Ok(()) => true,
        Err(query_service::apply::ApplyFault::Poison(_)) => panic!("the fold panicked at {:?}", record.entry),
        Err(_) => false,
    }
}
