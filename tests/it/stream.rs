//! SubmitReports: acknowledgements in order, each report for itself, ends that say where to go on.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use prost::Message as _;
use proto::v1::{
    SubmitReportRequest, SubmitReportsResponse, entry::Change, ingest_service_client::IngestServiceClient,
    submit_reports_response::Receipt,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{
    harness::{FREE_PORT, Pair, start_ingest},
    stream::receipt,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    bad_input::Raw,
    crash::assert_nothing_lost_or_doubled,
    feed::entries,
    support::{eventually, flag_report, pause, reason, small_world, submit, violations, yes_and_no},
};

/// Every acknowledgement, and how the stream ended.
async fn read_all(mut answers: Streaming<SubmitReportsResponse>) -> (Vec<Result<Receipt, Status>>, Option<Status>) {
    let mut acknowledged = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                assert_eq!(usize::try_from(answer.number).unwrap(), acknowledged.len() + 1, "in order");
                acknowledged.push(receipt(answer));
            }
            Ok(None) => return (acknowledged, None),
            Err(status) => return (acknowledged, Some(status)),
        }
    }
}

async fn stream(pair: &Pair, reports: Vec<SubmitReportRequest>) -> (Vec<Result<Receipt, Status>>, Option<Status>) {
    read_all(pair.reports().submit_reports(tokio_stream::iter(reports)).await.unwrap().into_inner()).await
}

/// A pair whose ingest-service has further settings.
async fn pair_with(settings: &[&str]) -> Pair {
    let pair = Pair::start_with(settings, &[]);
    small_world(&pair).await;
    pair
}

async fn small_pair() -> Pair {
    pair_with(&[]).await
}

fn last_acknowledged(status: &Status) -> usize {
    status.get_details_error_info().unwrap().metadata["last_acknowledged"].parse().unwrap()
}

/// Reports of which each speaks of something else.
fn numbered(count: usize) -> Vec<SubmitReportRequest> {
    let report = |index: usize| {
        let mut request = flag_report(&format!("c{}", index % 5), "t", index.is_multiple_of(3));
        request.request_id = Uuid::now_v7().to_string();
        request.report.as_mut().unwrap().period = format!("{:04}", 1 + index / 5);
        request
    };
    (0..count).map(report).collect()
}

/// Reports of which some are refused, each for another reason; made with the revision of a report that is there.
fn mixed(first: i64) -> Vec<SubmitReportRequest> {
    const USED: &str = "0192d0c2-7c3e-7f00-8000-000000000007";
    let with_id = |request: SubmitReportRequest| SubmitReportRequest { request_id: USED.into(), ..request };
    let mut unreadable = flag_report("c1", "u", true);
    unreadable.report.as_mut().unwrap().period = "soon".into();
    unreadable.report.as_mut().unwrap().unit = "c99".into();
    let expecting = |revision, request| SubmitReportRequest { expected_revision: Some(revision), ..request };
    vec![
        flag_report("c0", "a", true),
        unreadable,
        with_id(flag_report("c1", "b", true)),
        flag_report("nowhere", "c", true),
        with_id(flag_report("c1", "b", false)),
        // The same again, in the same stream.
        with_id(flag_report("c1", "b", true)),
        expecting(1, flag_report("c0", "a", false)),
        expecting(first, flag_report("c0", "a", false)),
        SubmitReportRequest::default(),
        SubmitReportRequest { validate_only: true, ..flag_report("c2", "d", true) },
        SubmitReportRequest { validate_only: true, ..flag_report("c0", "a", true) },
        // Says the contrary of another report about the same: a finding.
        flag_report("c0", "other", true),
        flag_report("c3", "e", true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_is_answered_as_a_unary_call_would_have_answered_it() {
    let (streamed, unary) = (small_pair().await, small_pair().await);
    // Both worlds have ten entries.
    let reports = mixed(11);
    let (acknowledged, end) = stream(&streamed, reports.clone()).await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(acknowledged.len(), reports.len());
    let mut newest = 0;
    for (number, (report, acknowledged)) in reports.into_iter().zip(acknowledged).enumerate() {
        match (submit(&unary, report).await, acknowledged) {
            (Ok(expected), Ok(receipt)) => {
                let report = expected.report.unwrap();
                let name = (receipt.report, receipt.version);
                assert_eq!((receipt.revision, name), (expected.revision, (report.name, report.version)), "{number}");
                assert_eq!(receipt.findings, expected.findings, "{number}");
                newest = newest.max(receipt.revision.unwrap_or_default());
            }
            (Err(expected), Err(refused)) => {
                assert_eq!((refused.code(), refused.message()), (expected.code(), expected.message()), "{number}");
                assert_eq!((reason(&refused), violations(&refused)), (reason(&expected), violations(&expected)));
                assert!(!reason(&refused).is_empty(), "{number}");
            }
            (expected, actual) => panic!("{number}: {expected:?}, over a stream {actual:?}"),
        }
    }
    assert_eq!(yes_and_no(&streamed, newest).await, yes_and_no(&unary, newest).await);
    let content = |entry: &proto::v1::Entry| (entry.request_id.clone(), entry.change.clone(), entry.findings.clone());
    let (streamed, unary) = (entries(&streamed).await, entries(&unary).await);
    assert_eq!(streamed.iter().map(content).collect::<Vec<_>>(), unary.iter().map(content).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_after_a_reconnect_gets_its_first_receipt() {
    let mut pair = small_pair().await;
    let reports = numbered(100);
    let (first, end) = stream(&pair, reports.clone()).await;
    assert!(end.is_none(), "{end:?}");
    tokio::task::block_in_place(|| pair.restart_ingest());
    let (again, _) = stream(&pair, reports).await;
    let receipts = |all: Vec<Result<Receipt, Status>>| all.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(receipts(again), receipts(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_reads_no_acknowledgements_is_not_taken_from_for_ever() {
    const REPORTS: usize = 600;
    let pair = small_pair().await;
    // Refused, so that acknowledgements are large, and large, so that few of them fill the window.
    let mut report = flag_report("c0", "t", true);
    let observation = report.report.as_ref().unwrap().observations[0].clone();
    let long = proto::v1::Observation { note: "n".repeat(1_000), ..observation };
    report.report.as_mut().unwrap().observations = vec![long; 60];
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let reports = tokio_stream::iter(std::iter::repeat_n(report, REPORTS)).map(move |report| {
        counter.fetch_add(1, Ordering::Relaxed);
        report
    });
    let endpoint = Endpoint::from_shared(pair.ingest.uri()).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535).connect_lazy();
    let answers = IngestServiceClient::new(channel).submit_reports(reports).await.unwrap().into_inner();
    let (mut before, mut unchanged) = (0, 0);
    eventually(async || {
        let now = sent.load(Ordering::Relaxed);
        unchanged = if now == before && now > 0 { unchanged + 1 } else { 0 };
        before = now;
        (unchanged > 25).then_some(())
    })
    .await;
    // 8 MiB of reports of about 64 KB, and what lies in the buffers of both sides.
    assert!(before < 400, "{before} reports were taken without an acknowledgement being read");
    // Once it reads, everything goes on.
    let (acknowledged, end) = read_all(answers).await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(acknowledged.len(), REPORTS);
    assert!(acknowledged.iter().all(|outcome| reason(outcome.as_ref().unwrap_err()) == "SEVERAL_VIOLATIONS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_its_quota_and_the_next_one_goes_on() {
    let pair = pair_with(&["--stream-reports-max", "20"]).await;
    let reports = numbered(50);
    let mut done = 0;
    while done < reports.len() {
        let (acknowledged, end) = stream(&pair, reports[done..].to_vec()).await;
        assert!(acknowledged.iter().all(Result::is_ok));
        done += acknowledged.len();
        match end {
            Some(end) => {
                assert_eq!((end.code(), reason(&end).as_str()), (Code::ResourceExhausted, "STREAM_QUOTA_REACHED"));
                assert_eq!((acknowledged.len(), last_acknowledged(&end)), (20, 20));
            }
            None => assert_eq!(done, reports.len(), "exactly the quota is no reason to complain"),
        }
    }
    let stored = entries(&pair).await.iter().filter(|entry| matches!(entry.change, Some(Change::Report(_)))).count();
    assert_eq!(stored, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_silent_or_old_is_ended() {
    for settings in [["--stream-silence-ms-max", "200"], ["--stream-age-ms-max", "400"]] {
        let pair = pair_with(&settings).await;
        let (sender, reports) = mpsc::channel(1);
        let answers = pair.reports().submit_reports(ReceiverStream::new(reports)).await.unwrap().into_inner();
        let is_silent = settings[0].contains("silence");
        let sending = tokio::spawn(async move {
            for report in numbered(2_000) {
                if sender.send(report).await.is_err() || is_silent {
                    break;
                }
                pause().await;
            }
            sender.closed().await;
        });
        let (acknowledged, end) = read_all(answers).await;
        let end = end.unwrap();
        assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "STREAM_EXPIRED"), "{settings:?}");
        assert_eq!(last_acknowledged(&end), acknowledged.len());
        assert!(acknowledged.iter().all(Result::is_ok));
        sending.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_end_the_stream_after_what_came_before() {
    let pair = small_pair().await;
    let good = |count| numbered(count).into_iter().map(|report| report.encode_to_vec());
    for (bad, reason_now) in [(vec![0x0a, 0xff], "MALFORMED_MESSAGE"), (vec![0; 5 * 1024 * 1024], "TOO_LARGE")] {
        let messages: Vec<Vec<u8>> = good(20).chain([bad]).chain(good(20)).collect();
        let mut client = tonic::client::Grpc::new(pair.ingest.channel());
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/tonghop.v1.IngestService/SubmitReports");
        let request = Request::new(tokio_stream::iter(messages));
        let mut answers = client.streaming(request, path, Raw).await.unwrap().into_inner();
        let mut acknowledged = 0;
        let end = loop {
            match answers.message().await {
                Ok(Some(())) => acknowledged += 1,
                Ok(None) => panic!("it ended as if all had been said"),
                Err(status) => break status,
            }
        };
        assert_eq!((end.code(), reason(&end).as_str()), (Code::InvalidArgument, reason_now), "{end}");
        assert_eq!((acknowledged, last_acknowledged(&end)), (20, 20));
    }
}

/// Sends reports until told to stop, the same ones over one stream after another until all are acknowledged; answers the
/// revision of each request.
async fn insist(channel: Channel, done: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> HashMap<String, i64> {
    const AT_ONCE: usize = 100;
    let mut client = IngestServiceClient::new(channel);
    let mut acknowledged = HashMap::new();
    let mut waiting = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if waiting.is_empty() {
            waiting = numbered(AT_ONCE);
        }
        let Ok(answers) = client.submit_reports(tokio_stream::iter(waiting.clone())).await else {
            pause().await;
            continue;
        };
        let mut answers = answers.into_inner();
        while let Ok(Some(answer)) = answers.message().await {
            match receipt(answer) {
                Ok(receipt) => {
                    let request = waiting.remove(0).request_id;
                    let before = acknowledged.insert(request, receipt.revision.unwrap());
                    assert_eq!(before, None);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                // The outcome is not known: this one and all after it again.
                Err(status) if status.code() == Code::Unavailable => break,
                Err(status) => panic!("{status}"),
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kill_in_the_middle_of_streams_loses_or_doubles_a_report() {
    const STREAMS: usize = 4;
    let kills = std::env::var("TONGHOP_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(15);
    let seed = std::env::var("TONGHOP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().random());
    println!("TONGHOP_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut pair = small_pair().await;
    let (done, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let channel = pair.ingest.channel();
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(insist(channel.clone(), done.clone(), stop.clone()));
    }
    for _ in 0..kills {
        let before = done.load(Ordering::Relaxed);
        eventually(async || {
            assert!(streams.try_join_next().is_none(), "a stream met an answer that it did not expect");
            (done.load(Ordering::Relaxed) > before + 20).then_some(())
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_micros(random.random_range(0..20_000))).await;
        tokio::task::block_in_place(|| pair.restart_ingest());
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: HashMap<String, i64> = streams.join_all().await.into_iter().flatten().collect();
    let entries = entries(&pair).await;
    println!("{kills} kills, {} acknowledged, {} entries", acknowledged.len(), entries.len());
    assert_eq!(acknowledged.len(), done.load(Ordering::Relaxed));
    assert_nothing_lost_or_doubled(&entries, &acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_was_taken_and_says_where_to_go_on() {
    let pair = small_pair().await;
    let (sender, reports) = mpsc::channel(64);
    let reports_sent = numbered(20_000);
    let all = reports_sent.clone();
    let sending = tokio::spawn(async move {
        for report in reports_sent {
            if sender.send(report).await.is_err() {
                return;
            }
        }
    });
    let mut answers = pair.reports().submit_reports(ReceiverStream::new(reports)).await.unwrap().into_inner();
    let mut acknowledged: Vec<Receipt> = Vec::new();
    let end = loop {
        match answers.message().await {
            Ok(Some(answer)) => acknowledged.push(receipt(answer).unwrap()),
            Ok(None) => panic!("it ended as if all had been said"),
            Err(status) => break status,
        }
        if acknowledged.len() == 300 {
            pair.ingest.tell_to_end();
        }
    };
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "SHUTTING_DOWN"), "{end}");
    assert_eq!(last_acknowledged(&end), acknowledged.len());
    sending.await.unwrap();
    let Pair { directory, query_data, ingest, query } = pair;
    let ended = ingest.wait();
    assert!(ended.status.success() && !ended.log.contains("calls were cut"), "{}", ended.log);

    let pair = Pair { ingest: start_ingest(directory.path(), FREE_PORT), directory, query_data, query };
    let stored: Vec<i64> = entries(&pair).await.iter().map(|entry| entry.revision).collect();
    let newest = acknowledged.last().unwrap().revision.unwrap();
    assert_eq!(stored.last(), Some(&newest), "what was taken was answered");
    let next = &all[acknowledged.len()];
    let (receipts, _) = stream(&pair, vec![next.clone()]).await;
    assert_eq!(receipts[0].as_ref().unwrap().revision, Some(newest + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_calls_side_by_side_all_get_on() {
    let pair = small_pair().await;
    let done: Vec<Arc<AtomicUsize>> = (0..6).map(|_| Arc::default()).collect();
    let stop = Arc::<AtomicBool>::default();
    let mut tasks = tokio::task::JoinSet::new();
    for done in &done[..3] {
        tasks.spawn(insist(pair.ingest.channel(), done.clone(), stop.clone()));
    }
    for done in &done[3..] {
        let (mut client, done) = (pair.reports(), done.clone());
        tasks.spawn(async move {
            for report in numbered(20_000) {
                client.submit_report(report).await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
            HashMap::new()
        });
    }
    eventually(async || {
        assert!(tasks.try_join_next().is_none(), "somebody was refused");
        done.iter().all(|done| done.load(Ordering::Relaxed) >= 30).then_some(())
    })
    .await;
    // Callers that leave in the middle hold up nothing.
    tasks.shutdown().await;
    pair.ingest.tell_to_end();
    let ended = pair.ingest.wait();
    assert!(ended.status.success() && !ended.log.contains("calls were cut"), "{}", ended.log);
}
