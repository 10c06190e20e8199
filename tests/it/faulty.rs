//! The feed and the network between the two services, with every fault that the test can think of: what the query-service
//! shows is always the fold of a prefix of the log, or it says why it shows nothing, and afterwards it knows everything.

mod feed;
mod tcp;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use proto::v1::{
    AggregateRequest, DefineIndicatorsRequest, FollowRequest, FollowResponse, GetShareRequest, KnownAt,
    ListObservationsRequest, QueryServiceFindUnitsRequest, Share, SubmitReportRequest, UnitSelector,
    feed_service_client::FeedServiceClient, follow_response::Message, indicator::ValueKind, known_at::At,
    observation::Value, query_service_client::QueryServiceClient, unit::Level,
};
use rand::Rng;
use tests::harness::{FREE_PORT, Pair, Service, start_query};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use self::{
    feed::{Fault, FaultyFeed},
    tcp::{Line, Proxy},
};
use crate::support::{FLAG, eventually, flag_report, indicator, observation, pause, reason, small_world, submit};

const KILLS: usize = 12;
/// Observations of a large report.
const LARGE: usize = 90;

fn communes() -> Option<UnitSelector> {
    Some(UnitSelector { under: "d".into(), level: Level::Commune.into(), ids: vec![] })
}

fn share(known_at: Option<i64>, at_least_revision: Option<i64>) -> GetShareRequest {
    GetShareRequest {
        indicator: FLAG.into(),
        units: communes(),
        group_by: "UNIT".into(),
        on: "2017-06-30".into(),
        known_at: known_at.map(|revision| KnownAt { at: Some(At::Revision(revision)) }),
        at_least_revision,
        ..Default::default()
    }
}

/// What a query-service showed while it was disturbed.
#[derive(Default)]
struct Shown {
    /// Answers by the revision that they speak for.
    answers: BTreeMap<i64, Vec<Share>>,
    reasons: BTreeSet<String>,
}

/// Asks a query-service all the time and notes what it shows.
struct Watcher {
    shown: Arc<Mutex<Shown>>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Watcher {
    fn of(channel: Channel) -> Self {
        let (shown, stop) = (Arc::new(Mutex::new(Shown::default())), Arc::new(AtomicBool::new(false)));
        let (notes, ends) = (shown.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut queries = QueryServiceClient::new(channel);
            while !ends.load(Ordering::Relaxed) {
                match queries.get_share(share(None, None)).await {
                    Ok(answer) => {
                        let answer = answer.into_inner();
                        let revision = answer.meta.unwrap().revision;
                        let before = notes.lock().unwrap().answers.insert(revision, answer.shares.clone());
                        assert!(before.is_none_or(|before| before == answer.shares), "revision {revision} changed");
                    }
                    Err(status) => drop(notes.lock().unwrap().reasons.insert(reason(&status))),
                }
                pause().await;
            }
        });
        Self { shown, stop, task }
    }

    /// Everything that was shown is what an undisturbed query-service says of the same revision. Answers the reasons why
    /// nothing was shown.
    async fn compare(self, undisturbed: &Service) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("an answer never changes");
        let shown = std::mem::take(&mut *self.shown.lock().unwrap());
        let mut queries = QueryServiceClient::new(undisturbed.channel());
        assert!(!shown.answers.is_empty());
        for (revision, rows) in shown.answers {
            let answer = queries.get_share(share(Some(revision), None)).await.unwrap().into_inner();
            assert_eq!((answer.meta.unwrap().revision, answer.shares), (revision, rows), "a prefix, up to an end");
        }
        shown.reasons
    }
}

/// Several answers of a query-service, pinned to a revision, as they are printed.
///
/// # Errors
/// The reason of the first refusal that is none of the question's own.
pub async fn answers(service: &Service, revision: i64) -> Result<Vec<String>, String> {
    let mut queries = QueryServiceClient::new(service.channel());
    let known_at = Some(KnownAt { at: Some(At::Revision(revision)) });
    let figures = AggregateRequest {
        indicator: FLAG.into(),
        units: communes(),
        period: "2017".into(),
        known_at,
        at_least_revision: Some(revision),
        ..Default::default()
    };
    let observations =
        ListObservationsRequest { indicator: FLAG.into(), units: communes(), known_at, ..Default::default() };
    let find = QueryServiceFindUnitsRequest { name: "Unit c1".into(), ..Default::default() };
    let ours = |status: tonic::Status| reason(&status);
    let figures = match queries.aggregate(figures).await {
        // Flags have no sums, and everybody says so in the same words.
        Err(status) if status.code() == Code::InvalidArgument => reason(&status),
        answer => format!("{:?}", answer.map_err(ours)?.into_inner()),
    };
    let mut observations = queries.list_observations(observations).await.map_err(ours)?.into_inner();
    // It also says how much the service knew besides.
    observations.next_page_token.clear();
    Ok(vec![
        format!("{:?}", queries.get_share(share(Some(revision), Some(revision))).await.map_err(ours)?.into_inner()),
        figures,
        format!("{observations:?}"),
        format!("{:?}", queries.find_units(find).await.map_err(ours)?.into_inner().units),
    ])
}

/// Several answers of both, pinned to a revision, are the same.
pub async fn assert_same_answers(one: &Service, other: &Service, revision: i64) {
    assert_eq!(answers(one, revision).await.unwrap(), answers(other, revision).await.unwrap());
}

/// Reports at the same time, so that several come in one message; answers the last revision.
pub async fn burst(pair: &Pair, title: &str) -> i64 {
    let reports = (0..8).map(|n: usize| {
        let request = flag_report(&format!("c{}", n % 5), &format!("{title} {n}"), n.is_multiple_of(3));
        let mut client = pair.reports();
        tokio::spawn(async move { client.submit_report(request).await.unwrap().into_inner().revision.unwrap() })
    });
    let mut newest = 0;
    for report in reports.collect::<Vec<_>>() {
        newest = newest.max(report.await.unwrap());
    }
    newest
}

/// Waits until a query-service knows a revision.
pub async fn caught_up(query: &Service, revision: i64) {
    let mut queries = QueryServiceClient::new(query.channel());
    eventually(async || queries.get_share(share(None, Some(revision))).await.ok()).await;
}

/// A query-service behind a feed with that fault, until the feed is well again.
async fn disturb(pair: &Pair, fault: Fault, expected: Option<&'static str>) {
    let (feed, address) = FaultyFeed::before(FeedServiceClient::new(pair.ingest.channel())).await;
    let disturbed = start_query(&format!("http://{address}"), FREE_PORT);
    caught_up(&disturbed, 10).await;
    let watcher = Watcher::of(disturbed.channel());
    eventually(async || (!watcher.shown.lock().unwrap().answers.is_empty()).then_some(())).await;
    // Whatever comes only at the beginning of a feed needs one that begins.
    if matches!(fault, Fault::NotOpened | Fault::UnknownMessage | Fault::NegativeRevision | Fault::OtherStore) {
        feed.set(Fault::Ends);
        eventually(async || (feed.count() > 0).then_some(())).await;
    }
    feed.set(fault);
    let revision = burst(pair, &format!("{fault:?}")).await;
    eventually(async || (feed.count() >= 2).then_some(())).await;
    if let Some(expected) = expected {
        eventually(async || watcher.shown.lock().unwrap().reasons.contains(expected).then_some(())).await;
    }
    feed.set(Fault::None);
    caught_up(&disturbed, revision).await;
    assert_same_answers(&disturbed, &pair.query, revision).await;
    let reasons = watcher.compare(&pair.query).await;
    assert_eq!(reasons, expected.map(str::to_owned).into_iter().collect(), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_feed_does_nothing_is_skipped_and_nothing_wrong_is_shown() {
    let diverged = Some("HISTORY_DIVERGED");
    let (truncated, corrupt) = (Some("HISTORY_TRUNCATED"), Some("DATA_CORRUPT"));
    let faults = [
        (Fault::Drops, None),
        (Fault::Doubles, None),
        (Fault::Reorders, None),
        (Fault::Ends, None),
        (Fault::NotOpened, None),
        (Fault::ChangesByte, diverged),
        (Fault::Foreign, diverged),
        (Fault::PoisonUnknownChange, corrupt),
        (Fault::PoisonUnknownValue, corrupt),
        (Fault::PoisonGarbage, corrupt),
        (Fault::UnknownMessage, corrupt),
        (Fault::NegativeRevision, corrupt),
        (Fault::OtherStore, Some("STORE_MISMATCH")),
        (Fault::Refuses(Code::OutOfRange, "FUTURE_REVISION"), truncated),
        (Fault::Refuses(Code::OutOfRange, "COMPACTED"), truncated),
        (Fault::Refuses(Code::FailedPrecondition, "A_LATER_REASON"), diverged),
        (Fault::Refuses(Code::DataLoss, "DATA_CORRUPT"), corrupt),
        (Fault::Refuses(Code::Unavailable, "SHUTTING_DOWN"), None),
    ];
    let pair = Arc::new(Pair::start());
    small_world(&pair).await;
    for faults in faults.chunks(6) {
        let mut disturbed = tokio::task::JoinSet::new();
        for (fault, expected) in faults {
            let (pair, fault, expected) = (pair.clone(), *fault, *expected);
            // On a thread of its own, where it may wait for a process to start.
            let work = move || tokio::runtime::Handle::current().block_on(disturb(&pair, fault, expected));
            disturbed.spawn_blocking(work);
        }
        while let Some(ended) = disturbed.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_network_does_the_follower_comes_back_and_goes_on() {
    let pair = Pair::start();
    small_world(&pair).await;
    let proxy = Proxy::before(pair.ingest.address()).await;
    let disturbed = start_query(&format!("http://{}", proxy.address), FREE_PORT);
    caught_up(&disturbed, burst(&pair, "before").await).await;
    let breaks = || disturbed.log().iter().filter(|line| line.contains("the feed broke")).count();
    for line in [Line::Slow, Line::CutsWithin, Line::Resets, Line::Stalls, Line::HalfOpen] {
        let watcher = Watcher::of(disturbed.channel());
        let before = breaks();
        proxy.set(line);
        let revision = burst(&pair, &format!("{line:?}")).await;
        if line != Line::Slow {
            // Also where nobody tells it: silence is noticed.
            eventually(async || (breaks() > before).then_some(())).await;
        }
        proxy.set(Line::Fine);
        caught_up(&disturbed, revision).await;
        assert_same_answers(&disturbed, &pair.query, revision).await;
        assert_eq!(watcher.compare(&pair.query).await, BTreeSet::new(), "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_that_take_nothing_cost_little_are_cut_and_go_on_later() {
    const FOLLOWERS: u64 = 10;
    const BUFFERED_MAX: u64 = 5 * 512 * 1024;
    let pair = Pair::start_with(&["--slow-reader-ms-max", "1000"], &[]);
    small_world(&pair).await;
    // So much that all of it for every follower would be seen.
    let indicators = (0..LARGE).map(|n| indicator(&format!("x{n}"), ValueKind::Count)).collect();
    let request = DefineIndicatorsRequest { indicators, ..Default::default() };
    pair.registry().define_indicators(request).await.unwrap();
    let mut log_bytes = 0;
    for n in 0..120 {
        let report = large_report(n);
        log_bytes += prost::Message::encoded_len(report.report.as_ref().unwrap()) as u64;
        submit(&pair, report).await.unwrap();
    }
    assert!(log_bytes > 2 * BUFFERED_MAX, "{log_bytes}");
    let before = pair.ingest.resident_kib() * 1024;
    let mut feeds = Vec::new();
    for _ in 0..FOLLOWERS {
        let endpoint = Endpoint::from_shared(pair.ingest.uri()).unwrap().initial_stream_window_size(65_535);
        let channel = endpoint.connect().await.unwrap();
        feeds.push(FeedServiceClient::new(channel).follow(FollowRequest::default()).await.unwrap().into_inner());
    }
    // Others are served meanwhile.
    let revision = submit(&pair, flag_report("c0", "meanwhile", true)).await.unwrap().revision.unwrap();
    caught_up(&pair.query, revision).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let grown = (pair.ingest.resident_kib() * 1024).saturating_sub(before);
    println!("{log_bytes} bytes of reports, {FOLLOWERS} followers, grown by {grown}");
    assert!(grown < FOLLOWERS * BUFFERED_MAX, "{grown}");

    let (_, all) = crate::feed::follow(&pair, FollowRequest::default()).await.unwrap();
    for mut feed in feeds {
        let (mut opened, mut taken) = (None, Vec::new());
        let cut = loop {
            match feed.message().await {
                Ok(Some(FollowResponse { message: Some(Message::Opened(first)) })) => opened = Some(first),
                Ok(Some(FollowResponse { message: Some(Message::Records(more)) })) => taken.extend(more.records),
                Ok(other) => panic!("a cut feed ended with {other:?}"),
                Err(status) => break status,
            }
        };
        assert_eq!((cut.code(), reason(&cut).as_str()), (Code::Unavailable, "SLOW_CONSUMER"));
        let opened = opened.unwrap();
        let request = FollowRequest {
            store_id: opened.store_id,
            epoch: opened.epoch,
            last_revision: i64::try_from(taken.len()).unwrap(),
            last_chain_hash: taken.last().map(|record| record.chain_hash.clone()).unwrap_or_default(),
        };
        let (_, rest) = crate::feed::follow(&pair, request).await.unwrap();
        assert!(taken.iter().chain(&rest).eq(&all), "it goes on where it was");
    }
}

/// A report that is nearly as large as one may be.
fn large_report(n: usize) -> SubmitReportRequest {
    let mut request = flag_report(&format!("c{}", n % 5), &format!("large {n}"), true);
    let report = request.report.as_mut().unwrap();
    report.observations = (0..LARGE).map(|n| observation(&format!("x{n}"), Value::Count(7))).collect();
    for observation in &mut report.observations {
        observation.note = "n".repeat(500);
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_service_that_is_killed_at_any_moment_answers_like_one_that_was_not() {
    let mut pair = Pair::start();
    small_world(&pair).await;
    let undisturbed = start_query(&pair.ingest.uri(), FREE_PORT);
    let stop = Arc::new(AtomicBool::new(false));
    let (ends, reports) = (stop.clone(), pair.reports());
    let load = tokio::spawn(async move {
        let mut newest = 0;
        for n in 0_usize.. {
            if ends.load(Ordering::Relaxed) {
                break;
            }
            let request = flag_report(&format!("c{}", n % 5), &format!("load {n}"), n.is_multiple_of(3));
            newest = reports.clone().submit_report(request).await.unwrap().into_inner().revision.unwrap();
            pause().await;
        }
        newest
    });
    for _ in 0..KILLS {
        let watcher = Watcher::of(pair.query.channel());
        eventually(async || (!watcher.shown.lock().unwrap().answers.is_empty()).then_some(())).await;
        tokio::time::sleep(std::time::Duration::from_micros(rand::rng().random_range(0..50_000))).await;
        tokio::task::block_in_place(|| pair.restart_query());
        // The newest answer may be one that the other has not heard of yet.
        let newest = watcher.shown.lock().unwrap().answers.keys().next_back().copied().unwrap();
        caught_up(&undisturbed, newest).await;
        watcher.compare(&undisturbed).await;
    }
    stop.store(true, Ordering::Relaxed);
    let revision = load.await.unwrap();
    caught_up(&pair.query, revision).await;
    assert_same_answers(&pair.query, &undisturbed, revision).await;
    submit(&pair, flag_report("c0", "afterwards", true)).await.unwrap();
}
