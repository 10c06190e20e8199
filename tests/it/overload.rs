//! Far more load than the services can take: refusals are early and clear, what is accepted is right, what is acknowledged
//! stays, and health and the feed go on.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::v1::{
    FollowRequest, GetShareRequest, GetShareResponse, ListReportsRequest, RegisterUnitsRequest, SubmitReportRequest,
    UnitSelector, ingest_service_client::IngestServiceClient, query_service_client::QueryServiceClient, unit::Level,
};
use tests::{
    harness::{FREE_PORT, Pair, Service, start_ingest},
    load,
};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::support::{FLAG, eventually, flag_report, reason, small_world, submit, unit, yes_and_no};

/// Memory that load may take beyond what the service took before, in KiB.
const GROWTH_KIB_MAX: u64 = 192 * 1024;

/// A refusal that tells its caller what to do.
fn assert_is_clear(refused: &Status) {
    assert_eq!((refused.code(), reason(refused).as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{refused}");
    let delay = refused.get_details_retry_info().and_then(|info| info.retry_delay).expect("RetryInfo");
    let pushback: u128 = refused.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(pushback, delay.as_millis());
}

/// Several connections: one has room for a hundred calls, and what waits for that room waits in the client.
fn channels(service: &Service) -> impl Fn(usize) -> Channel + Clone + Send + 'static {
    let channels: Vec<Channel> = (0..16).map(|_| service.channel()).collect();
    move |number| channels[number % channels.len()].clone()
}

/// Asks a service again and again whether it lives, until it is told that this is enough; how often it did.
fn keep_asking_for_health(service: &Service, enough: &Arc<AtomicBool>) -> tokio::task::JoinHandle<usize> {
    let (mut health, enough) = (HealthClient::new(service.channel()), enough.clone());
    tokio::spawn(async move {
        let mut asked = 0;
        while !enough.load(Ordering::SeqCst) {
            let answer = health.check(HealthCheckRequest::default()).await.unwrap();
            assert_eq!(answer.into_inner().status, 1, "SERVING");
            asked += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        asked
    })
}

/// The question of the load: a row for each of some hundred communes, which is work for a turn.
fn question() -> GetShareRequest {
    let units = Some(UnitSelector { under: "d".into(), level: Level::Commune.into(), ids: Vec::new() });
    GetShareRequest {
        indicator: FLAG.into(),
        units,
        on: "2017-06-30".into(),
        group_by: "UNIT".into(),
        ..Default::default()
    }
}

async fn ask(channel: Channel, request: GetShareRequest) -> Result<GetShareResponse, Status> {
    QueryServiceClient::new(channel).get_share(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_questions_are_refused_early_and_what_is_answered_is_right() {
    // An answer that is remembered is no work.
    let pair = Pair::start_with(&[], &["--queue-max", "8", "--remembered-mib-max", "0"]);
    small_world(&pair).await;
    let more = (0..300).map(|number| unit(&format!("more{number}"), Level::Commune, "d")).collect();
    let revision = pair
        .registry()
        .register_units(RegisterUnitsRequest { units: more, ..Default::default() })
        .await
        .unwrap()
        .into_inner()
        .revision;
    yes_and_no(&pair, revision).await;
    let expected = ask(pair.query.channel(), question()).await.unwrap().shares;
    let channel = channels(&pair.query);
    let call = move |number: usize| {
        let (channel, expected) = (channel(number), expected.clone());
        async move {
            let answer = ask(channel, question()).await?;
            assert_eq!(answer.shares, expected);
            Ok(())
        }
    };
    let peak = load::closed(4, Duration::from_secs(1), call.clone()).await;
    assert!(peak.failed.is_empty(), "{:?}", peak.failed.first());

    let enough = Arc::new(AtomicBool::new(false));
    let health = keep_asking_for_health(&pair.query, &enough);
    let before = pair.query.resident_kib();
    // Where something else had the machine while the peak was measured, ten times that may be too little.
    let mut rate = peak.goodput() * 10;
    let over = loop {
        let over = load::open(rate, 2_000, Duration::from_secs(3), call.clone()).await;
        println!("{rate} a second; of {} there were {} accepted", over.offered, over.accepted.len());
        if !over.refused.is_empty() || rate > peak.goodput() * 1_000 {
            break over;
        }
        rate *= 3;
    };
    enough.store(true, Ordering::SeqCst);
    assert!(!over.accepted.is_empty() && !over.refused.is_empty());
    assert!(over.failed.is_empty(), "{:?}", over.failed.first());
    over.refused.iter().for_each(assert_is_clear);
    assert!(health.await.unwrap() > 0);
    let grown = pair.query.resident_kib_max().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    ask(pair.query.channel(), question()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_service_under_load_still_follows() {
    let pair = Pair::start_with(&[], &["--queue-max", "2", "--work-max", "1"]);
    small_world(&pair).await;
    yes_and_no(&pair, 10).await;
    let (channel, enough) = (channels(&pair.query), Arc::new(AtomicBool::new(false)));
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..200 {
        let (channel, enough) = (channel(number), enough.clone());
        callers.spawn(async move {
            while !enough.load(Ordering::SeqCst) {
                let _ = ask(channel.clone(), question()).await;
            }
        });
    }
    for (number, flag) in [true, false, true].into_iter().enumerate() {
        let written = submit(&pair, flag_report(&format!("c{number}"), "t", flag)).await.unwrap().revision.unwrap();
        let seen = eventually(async || {
            let summed = GetShareRequest { group_by: String::new(), ..question() };
            let answer = ask(pair.query.channel(), summed).await.ok()?;
            let share = answer.shares.into_iter().next()?;
            let known = answer.meta?.revision >= written;
            known.then_some(share.yes.unwrap_or(0) + share.no.unwrap_or(0))
        });
        assert_eq!(seen.await, i32::try_from(number).unwrap() + 1);
    }
    enough.store(true, Ordering::SeqCst);
    callers.join_all().await;
}

/// A new report for each number; each of many thousands speaks of a commune and a day of its own, so that none has to be
/// compared with all others.
fn report(number: usize) -> SubmitReportRequest {
    let (commune, day, month, year) =
        (number % 5, number / 5 % 28 + 1, number / 140 % 12 + 1, 2010 + number / 1_680 % 10);
    let mut request = flag_report(&format!("c{commune}"), &format!("report {number}"), true);
    request.report.as_mut().unwrap().period = format!("{year}-{month:02}-{day:02}");
    request
}

/// Reports with titles of their own, so that each is a new one; the names of those that were acknowledged.
fn submitting(
    channel: impl Fn(usize) -> Channel + Clone + Send + 'static,
    acknowledged: &Arc<Mutex<BTreeSet<String>>>,
) -> impl Fn(usize) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Status>> + Send>> + Clone + Send + 'static {
    let (acknowledged, next) = (acknowledged.clone(), Arc::new(AtomicUsize::new(0)));
    move |number| {
        let (channel, acknowledged) = (channel(number), acknowledged.clone());
        let request = report(next.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move {
            let receipt = IngestServiceClient::new(channel).submit_report(request).await?.into_inner();
            acknowledged.lock().unwrap().insert(receipt.report.unwrap().name);
            Ok(())
        })
    }
}

/// The names of all reports.
async fn stored(ingest: &Service) -> BTreeSet<String> {
    let mut client = IngestServiceClient::new(ingest.channel());
    let (mut names, mut page_token) = (BTreeSet::new(), String::new());
    loop {
        let request = ListReportsRequest { page_size: 1_000, page_token, ..Default::default() };
        let page = client.list_reports(request).await.unwrap().into_inner();
        names.extend(page.reports.into_iter().map(|report| report.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return names;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_reports_are_refused_early_and_what_is_acknowledged_survives_a_kill() {
    let mut pair = Pair::start_with(&["--writes-max", "8"], &[]);
    small_world(&pair).await;
    let acknowledged = Arc::default();
    let call = submitting(channels(&pair.ingest), &acknowledged);
    let peak = load::closed(8, Duration::from_secs(1), call.clone()).await;
    let enough = Arc::new(AtomicBool::new(false));
    let health = keep_asking_for_health(&pair.ingest, &enough);
    let mut feed = pair.feed().follow(FollowRequest::default()).await.unwrap().into_inner();
    let newest = Arc::new(AtomicUsize::new(0));
    let following = tokio::spawn({
        let newest = newest.clone();
        async move {
            while let Ok(Some(message)) = feed.message().await {
                if let Some(proto::v1::follow_response::Message::Records(records)) = message.message {
                    newest.fetch_add(records.records.len(), Ordering::SeqCst);
                }
            }
        }
    });
    let before = pair.ingest.resident_kib();
    // Where something else had the machine while the peak was measured, ten times that may be too little.
    let mut rate = peak.goodput() * 10;
    let over = loop {
        let over = load::open(rate, 2_000, Duration::from_secs(3), call.clone()).await;
        println!("{rate} a second; of {} there were {} accepted", over.offered, over.accepted.len());
        if !over.refused.is_empty() || rate > peak.goodput() * 1_000 {
            break over;
        }
        rate *= 3;
    };
    enough.store(true, Ordering::SeqCst);
    assert!(!over.accepted.is_empty() && !over.refused.is_empty());
    assert!(over.failed.is_empty(), "{:?}", over.failed.first());
    over.refused.iter().for_each(assert_is_clear);
    assert!(health.await.unwrap() > 0);
    let grown = pair.ingest.resident_kib_max().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    // The follower hears of everything.
    let acknowledged = acknowledged.lock().unwrap().clone();
    eventually(async || (newest.load(Ordering::SeqCst) >= acknowledged.len()).then_some(())).await;

    pair.restart_ingest();
    following.await.unwrap();
    // Every acknowledged report is there, and none of those that were refused.
    assert_eq!(stored(&pair.ingest).await, acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_answers_what_was_begun_and_loses_nothing() {
    let pair = Pair::start();
    small_world(&pair).await;
    let mut feed = pair.feed().follow(FollowRequest::default()).await.unwrap().into_inner();
    let following = tokio::spawn(async move {
        loop {
            match feed.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the feed ended without a word"),
                Err(status) => return status,
            }
        }
    });
    let acknowledged = Arc::default();
    let call = submitting(channels(&pair.ingest), &acknowledged);
    let load = tokio::spawn(load::closed(64, Duration::from_secs(3), call));
    eventually(async || (acknowledged.lock().unwrap().len() > 50).then_some(())).await;
    pair.ingest.tell_to_end();
    let ended = following.await.unwrap();
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    let Pair { directory, ingest, query: _query, .. } = pair;
    let ended = ingest.wait();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.log.contains("calls were cut"), "{}", ended.log);
    let load = load.await.unwrap();
    // Nobody was left without an answer but those who came too late to be heard.
    assert!(load.failed.iter().all(|status| status.code() != Code::DeadlineExceeded), "{:?}", load.failed);

    let ingest = start_ingest(directory.path(), FREE_PORT);
    let stored = stored(&ingest).await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    let lost: Vec<&String> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
