//! kill -9 under load: what was acknowledged is there, once, at its revision.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::v1::{
    Entry, SubmitReportRequest, UnitSelector, entry::Change, ingest_service_client::IngestServiceClient, unit::Level,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::harness::Pair;
use tonic::{Code, transport::Channel};
use uuid::Uuid;

use crate::{
    feed::entries,
    naive::{Question, Time, World},
    support::{FLAG, eventually, flag_report, small_world, yes_and_no},
};

const CLIENTS: usize = 64;
const CYCLES: usize = 50;

/// What clients were told: the revision by request id.
type Acknowledged = Arc<Mutex<HashMap<String, i64>>>;

/// Submits one report after another until told to stop, each again and again until it is acknowledged.
async fn client(channel: Channel, number: usize, acknowledged: Acknowledged, stop: Arc<AtomicBool>) {
    let mut reports = IngestServiceClient::new(channel);
    for sequence in 0.. {
        let report = flag_report(
            &format!("c{}", number % 5),
            &format!("{number}/{sequence}"),
            !(number + sequence).is_multiple_of(3),
        );
        let request = SubmitReportRequest { request_id: Uuid::now_v7().to_string(), ..report };
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            match reports.submit_report(request.clone()).await {
                Ok(receipt) => {
                    let revision = receipt.into_inner().revision.expect("a receipt has a revision");
                    let before = acknowledged.lock().unwrap().insert(request.request_id.clone(), revision);
                    assert_eq!(before, None);
                    break;
                }
                // The connection broke, or the outcome is not known: the same again, under the same id.
                Err(status) => {
                    let codes =
                        [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal, Code::DeadlineExceeded];
                    assert!(codes.contains(&status.code()), "{status}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}

/// Every acknowledged request stands in the log exactly once, at the revision that its receipt said; no request twice.
pub fn assert_nothing_lost_or_doubled(entries: &[Entry], acknowledged: &HashMap<String, i64>) {
    let mut revisions: HashMap<&str, i64> = HashMap::new();
    for entry in entries.iter().filter(|entry| matches!(entry.change, Some(Change::Report(_)))) {
        let before = revisions.insert(&entry.request_id, entry.revision);
        assert_eq!(before, None, "request {} is there twice", entry.request_id);
    }
    for (request, revision) in acknowledged {
        assert_eq!(revisions.get(request.as_str()), Some(revision), "request {request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kill_loses_or_doubles_what_was_acknowledged() {
    let seed: u64 = rand::rng().random();
    println!("seed of the pauses: {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut pair = Pair::start();
    small_world(&pair).await;
    let acknowledged = Acknowledged::default();
    let stop = Arc::new(AtomicBool::new(false));
    let channel = pair.ingest.channel();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(channel.clone(), number, acknowledged.clone(), stop.clone()));
    }
    for cycle in 0..CYCLES {
        let before = acknowledged.lock().unwrap().len();
        // Kill only what has been at work since the last time.
        eventually(async || {
            let ended = clients.try_join_next();
            assert!(ended.is_none(), "a client met an answer that it did not expect: {ended:?}");
            (acknowledged.lock().unwrap().len() >= before + CLIENTS).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..30_000))).await;
        // The runtime's threads go on with the clients while this one restarts the service.
        tokio::task::block_in_place(|| pair.restart_ingest());
        if cycle % 10 == 5 {
            tokio::task::block_in_place(|| pair.restart_query());
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client met an answer that it did not expect");
    }

    let entries = entries(&pair).await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    println!("{CYCLES} kills, {} acknowledged, {} entries", acknowledged.len(), entries.len());
    assert_nothing_lost_or_doubled(&entries, &acknowledged);
    let newest = entries.last().unwrap().revision;
    let question = Question {
        indicator: FLAG.to_owned(),
        units: UnitSelector { under: "d".to_owned(), level: Level::Commune.into(), ..Default::default() },
        time: Time::On("2017-06-30".to_owned()),
        ..Default::default()
    };
    let naive = World::of(&entries).share(&question).unwrap().rows.remove(0);
    assert_eq!(yes_and_no(&pair, newest).await, (naive.yes.unwrap(), naive.no.unwrap()));
}

#[test]
#[should_panic(expected = "is there twice")]
fn the_check_notices_a_doubled_request() {
    let entry = |revision| Entry {
        revision,
        request_id: "r".into(),
        change: Some(Change::Report(Default::default())),
        ..Default::default()
    };
    assert_nothing_lost_or_doubled(&[entry(1), entry(2)], &HashMap::new());
}

#[test]
#[should_panic(expected = "request r")]
fn the_check_notices_a_lost_request() {
    assert_nothing_lost_or_doubled(&[], &HashMap::from([("r".to_owned(), 1)]));
}
