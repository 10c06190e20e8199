//! Numbers: what is counted is what was done.

use proto::v1::{
    RegisterUnitsRequest, SubmitReportRequest, ingest_service_client::IngestServiceClient,
    registry_service_client::RegistryServiceClient, unit::Level,
};
use tests::{
    harness::{FREE_PORT, Pair, Service, start_ingest},
    stream::submit_all,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::{SIDE, ask, get};
use crate::{
    bad_input::send,
    support::{eventually, flag_report, reason, small_world, submit, unit, yes_and_no},
};

/// What a service shows.
pub async fn scrape(service: &Service) -> String {
    let (code, text) = get(service, "/metrics").await;
    assert_eq!(code, 200);
    assert!(text.ends_with("# EOF"), "{text}");
    text
}

/// The number behind a name with its labels; none if it is not shown.
pub fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

fn calls(method: &str, code: &str) -> String {
    format!("tonghop_calls_total{{method=\"tonghop.v1.{method}\",code=\"{code}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_services_count_what_they_did() {
    let pair = Pair::start_with(&SIDE, &SIDE);
    small_world(&pair).await;
    submit(&pair, flag_report("c0", "first", true)).await.unwrap();
    let mut early = flag_report("c1", "before the year was over", false);
    early.report.as_mut().unwrap().source.as_mut().unwrap().published_on = "2017-06-30".into();
    submit(&pair, early).await.unwrap();
    let unknown = submit(&pair, flag_report("nobody", "refused", true)).await.unwrap_err();
    assert_eq!(reason(&unknown), "UNKNOWN_UNIT");
    let streamed = ["c2", "c3", "nobody"].map(|unit| flag_report(unit, "streamed", true));
    let mut revision = 0;
    let ended = submit_all(pair.reports(), streamed.to_vec(), |receipt| revision = receipt.revision.unwrap()).await;
    assert_eq!(reason(&ended.unwrap_err()), "UNKNOWN_UNIT");
    assert_eq!(yes_and_no(&pair, revision).await, (3, 1));
    let refused = send(&pair.ingest.channel(), "/a.name/ThatNobodyLimits", Vec::new()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);

    let ingest = eventually(async || {
        let text = scrape(&pair.ingest).await;
        // A stream has ended when its last byte was taken.
        let has_ended = number(&text, &calls("IngestService/SubmitReports", "Ok"))
            .or(number(&text, &calls("IngestService/SubmitReports", "Cancelled")));
        has_ended.map(|_| text)
    })
    .await;
    let of_ingest = |name: &str| number(&ingest, name).unwrap_or_else(|| panic!("{name} is not in\n{ingest}"));
    let last = f64::from(i32::try_from(revision).unwrap());
    for (name, expected) in [
        (&*calls("IngestService/SubmitReport", "Ok"), 2.0),
        (&calls("IngestService/SubmitReport", "InvalidArgument"), 1.0),
        ("tonghop_calls_total{method=\"other\",code=\"Unimplemented\"}", 1.0),
        ("tonghop_call_duration_seconds_count{method=\"tonghop.v1.IngestService/SubmitReport\"}", 3.0),
        ("tonghop_calls_open{method=\"tonghop.v1.IngestService/SubmitReport\"}", 0.0),
        ("tonghop_calls_open{method=\"tonghop.v1.FeedService/Follow\"}", 1.0),
        ("tonghop_log_revision", last),
        ("tonghop_commit_entries_sum", last),
        ("tonghop_followers", 1.0),
        ("tonghop_serving", 1.0),
        ("tonghop_reports_accepted_total", 2.0),
        ("tonghop_stream_receipts_total", 2.0),
        ("tonghop_stream_refusals_total", 1.0),
        ("tonghop_reports_refused_total{reason=\"UNKNOWN_UNIT\"}", 2.0),
        ("tonghop_findings_total{kind=\"PERIOD_ENDS_AFTER_PUBLICATION\",severity=\"INFO\"}", 1.0),
        ("tonghop_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert!((of_ingest(name) - expected).abs() < f64::EPSILON, "{name} is {}, not {expected}", of_ingest(name));
    }
    let commits = of_ingest("tonghop_commit_duration_seconds_count");
    assert!(commits >= 5.0 && commits <= last, "{commits} commits of {last} entries");
    assert!((of_ingest("tonghop_fdatasync_duration_seconds_count") - commits).abs() < f64::EPSILON);
    assert!(of_ingest("tonghop_disk_free_bytes") > 0.0);
    assert!(!ingest.contains("ThatNobodyLimits"), "a stranger names a series");

    let query = scrape(&pair.query).await;
    let of_query = |name: &str| number(&query, name).unwrap_or_else(|| panic!("{name} is not in\n{query}"));
    for (name, expected) in [
        ("tonghop_query_revision", last),
        ("tonghop_feed_newest_revision", last),
        ("tonghop_feed_lag_revisions", 0.0),
        ("tonghop_entries_applied_total", last),
        ("tonghop_following", 1.0),
        ("tonghop_log_refused", 0.0),
        ("tonghop_index_reports", 4.0),
        ("tonghop_index_columns", 1.0),
        ("tonghop_index_observations", 4.0),
    ] {
        assert!((of_query(name) - expected).abs() < f64::EPSILON, "{name} is {}, not {expected}", of_query(name));
    }
    assert!(of_query(&calls("QueryService/GetShare", "Ok")) >= 1.0);
    eventually(async || {
        let text = scrape(&pair.query).await;
        number(&text, "tonghop_checkpoint_revision").filter(|saved| *saved >= last)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_grows_while_the_log_is_away_and_ends_when_it_is_back() {
    let pair = Pair::start_with(&[], &SIDE);
    let lag = async || number(&scrape(&pair.query).await, "tonghop_feed_lag_seconds").unwrap();
    let mut last = lag().await;
    // Progress marks come while nothing new does: it does not only grow.
    eventually(async || {
        let now = lag().await;
        (now < std::mem::replace(&mut last, now)).then_some(())
    })
    .await;
    let Pair { ingest, directory, query, query_data: _data } = pair;
    let listen = ingest.address().to_string();
    ingest.kill();
    let lag = async || number(&scrape(&query).await, "tonghop_feed_lag_seconds").unwrap();
    let breaks = async || number(&scrape(&query).await, "tonghop_feed_breaks_total").unwrap();
    eventually(async || (breaks().await >= 1.0).then_some(())).await;
    let away = [lag().await, lag().await, lag().await];
    assert!(away.is_sorted_by(|a, b| a < b), "{away:?}");
    let _ingest = start_ingest(directory.path(), &listen);
    eventually(async || (lag().await < away[2]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_turned_away_is_counted_by_what_was_full() {
    let pair = Pair::start_with(&[&SIDE[..], &["--streams-max", "1"]].concat(), &[]);
    let (sender, reports) = tokio::sync::mpsc::channel::<SubmitReportRequest>(1);
    let open = pair.reports().submit_reports(ReceiverStream::new(reports)).await.unwrap();
    let open_calls = "tonghop_calls_open{method=\"tonghop.v1.IngestService/SubmitReports\"}";
    let text = scrape(&pair.ingest).await;
    assert_eq!(number(&text, open_calls), Some(1.0));
    assert_eq!(number(&text, "tonghop_calls_shed_total{full=\"streams\"}"), None);
    for _ in 0..3 {
        let mut client: IngestServiceClient<_> = pair.reports();
        let refused = client.submit_reports(tokio_stream::empty()).await.unwrap_err();
        assert_eq!(reason(&refused), "OVERLOADED");
    }
    let text = scrape(&pair.ingest).await;
    assert_eq!(number(&text, "tonghop_calls_shed_total{full=\"streams\"}"), Some(3.0));
    assert_eq!(number(&text, "tonghop_refusals_total{reason=\"OVERLOADED\"}"), Some(3.0));
    // A caller that leaves without a word.
    drop((open, sender));
    eventually(async || (number(&scrape(&pair.ingest).await, open_calls)? < 1.0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_side_port_says_not_serving_while_the_last_calls_end() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let settings = ["--data", data, "--listen", FREE_PORT, "--side-listen", FREE_PORT, "--free-mib-min", "0"];
    let ingest = Service::start_in("ingest-service", &settings, &[("FAILPOINTS", "begun=1*sleep(3000)")]).unwrap();
    let (address, channel) = (ingest.side_address().unwrap(), ingest.channel());
    assert_eq!(get(&ingest, "/ready").await.0, 200);
    let units = vec![unit("vn", Level::Country, "")];
    let request = RegisterUnitsRequest { units, complete_from: "2010-01-01".into(), ..Default::default() };
    let call = tokio::spawn(async move { RegistryServiceClient::new(channel).register_units(request).await });
    let open_calls = "tonghop_calls_open{method=\"tonghop.v1.RegistryService/RegisterUnits\"}";
    eventually(async || (number(&scrape(&ingest).await, open_calls)? > 0.0).then_some(())).await;
    ingest.tell_to_end();
    let last = eventually(async || match ask(address, "GET", "/ready", "").await {
        Ok((200, _)) => None,
        other => Some(other),
    });
    assert_eq!(last.await.unwrap(), (503, "not serving".into()));
    assert!(call.await.unwrap().is_ok(), "it was open until it was answered");
    assert!(ingest.wait().status.success());
}
