//! Random input to everything that reads input, called as the servers call it, without a network: no panic, and no answer
//! that says that something unexpected happened.
//!
//! Requests are made from their descriptors, of words that mean something in a small world and of words that mean nothing,
//! and half of them are damaged as bytes. `TONGHOP_TEST_SEED` replays a run, `TONGHOP_FUZZ_CASES` asks for more.

mod words;

use std::sync::Arc;

use ingest_service::log::{Log, memory::MemoryLog};
use prost::Message;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use proto::v1;
use query_service::{apply::Applier, archive::MemoryArchive};
use rand::{Rng, SeedableRng, rngs::StdRng};
use shared::{
    codec::{self, Record, next_link},
    convert,
    model::{access::Caller, log::Revision},
};
use tonic::Code;

use self::words::{Words, damage};
use crate::{
    seed,
    services::{Services, call},
    setting,
};

/// Requests and messages of a run.
const CASES: u64 = 100_000;

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
    let unasked = Arc::new(Caller::unasked());
    for (name, request) in words::world() {
        call(&services, &unasked, name, &request).await.unwrap_or_else(|status| panic!("{name}: {status}"));
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
        match call(&services, &unasked, name, &bytes).await {
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
