//! Restarts, foreign stores, clean ends.

use proto::v1::FollowRequest;
use tests::harness::{FREE_PORT, Pair, start_ingest, start_query_with, try_start_ingest};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{eventually, flag_report, reason, small_world, submit, yes_and_no};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_either_service_changes_no_answer() {
    let mut pair = Pair::start();
    small_world(&pair).await;
    for (unit, flag) in [("c0", true), ("c1", true), ("c2", false)] {
        submit(&pair, flag_report(unit, "t", flag)).await.unwrap();
    }
    let revision = submit(&pair, flag_report("c3", "t", true)).await.unwrap().revision.unwrap();
    let before = yes_and_no(&pair, revision).await;
    assert_eq!(before, (3, 1));
    pair.restart_query();
    assert_eq!(yes_and_no(&pair, revision).await, before);
    pair.restart_ingest();
    assert_eq!(yes_and_no(&pair, revision).await, before);
    // The same query-service resumes the feed where it was.
    let next = submit(&pair, flag_report("c4", "t", false)).await.unwrap().revision.unwrap();
    assert_eq!(next, revision + 1);
    assert_eq!(yes_and_no(&pair, next).await, (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_service_never_answers_from_another_store() {
    let mut pair = Pair::start();
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    assert_eq!(yes_and_no(&pair, revision).await, (1, 0));

    // Another store appears where the first one was.
    let listen = pair.ingest.address().to_string();
    let other = tempfile::tempdir().unwrap();
    let first = std::mem::replace(&mut pair.ingest, start_ingest(other.path(), FREE_PORT));
    first.kill();
    pair.ingest = start_ingest(other.path().join("second").as_path(), &listen);
    let ask = proto::v1::QueryServiceGetUnitRequest { id: "c0".into(), at_least_revision: None, ..Default::default() };
    // Until it notices, what it answers is true for the revision that it says.
    let refused = eventually(async || pair.queries().get_unit(ask.clone()).await.err()).await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "STORE_MISMATCH"));
    let health = HealthClient::new(pair.query.channel()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status, 2, "NOT_SERVING");

    // The first store comes back: so do the answers.
    let second = std::mem::replace(&mut pair.ingest, start_ingest(&other.path().join("third"), FREE_PORT));
    second.kill();
    pair.ingest = start_ingest(pair.directory.path(), &listen);
    eventually(async || match pair.queries().get_unit(ask.clone()).await {
        Ok(answer) => Some(answer),
        Err(status) => {
            assert_eq!(reason(&status), "STORE_MISMATCH");
            None
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_service_that_was_told_its_store_accepts_no_other() {
    let pair = Pair::start();
    small_world(&pair).await;
    let store = "0192d0c2-7c3e-7f00-8000-0000000000ff";
    let query = start_query_with(&pair.ingest.uri(), FREE_PORT, &["--store-id", store]);
    let ask = proto::v1::QueryServiceGetUnitRequest { id: "c0".into(), at_least_revision: None, ..Default::default() };
    let client = proto::v1::query_service_client::QueryServiceClient::new(query.channel());
    let refused = eventually(async || {
        let refused = client.clone().get_unit(ask.clone()).await.unwrap_err();
        Some(reason(&refused)).filter(|reason| reason != "CATCHING_UP")
    });
    assert_eq!(refused.await, "STORE_MISMATCH");
}

#[test]
fn a_second_process_on_one_directory_says_so_and_ends() {
    let pair = Pair::start();
    let refused = try_start_ingest(pair.directory.path(), FREE_PORT).unwrap_err();
    assert_eq!(refused.status.code(), Some(73));
    assert!(refused.log.contains("another process uses this directory"), "{}", refused.log);
}

#[test]
fn a_store_that_lost_what_was_acknowledged_is_not_served() {
    let pair = Pair::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(small_world(&pair));
    let Pair { directory, ingest, query, .. } = pair;
    ingest.tell_to_end();
    assert!(ingest.wait().status.success());
    query.kill();
    std::fs::remove_dir_all(directory.path().join("log")).unwrap();
    let refused = try_start_ingest(directory.path(), FREE_PORT).unwrap_err();
    assert_eq!(refused.status.code(), Some(65));
    assert!(refused.log.contains("acknowledged entries are lost"), "{}", refused.log);
}

#[test]
fn nothing_is_served_unprotected_to_the_world_by_accident() {
    let directory = tempfile::tempdir().unwrap();
    let refused = try_start_ingest(directory.path(), "0.0.0.0:0").unwrap_err();
    assert_eq!(refused.status.code(), Some(64));
    assert!(refused.log.contains("--allow-plaintext"), "{}", refused.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_open_feeds_with_where_to_resume_and_loses_nothing() {
    let pair = Pair::start();
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    let mut feed = pair.feed().follow(FollowRequest::default()).await.unwrap().into_inner();
    let mut watch =
        HealthClient::new(pair.ingest.channel()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1, "SERVING");

    pair.ingest.tell_to_end();
    let ended = loop {
        match feed.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the feed ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    let Pair { directory, query_data, ingest, query } = pair;
    let ended = ingest.wait();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.log.contains("calls were cut"), "{}", ended.log);

    let ingest = start_ingest(directory.path(), FREE_PORT);
    let pair = Pair { directory, query_data, query, ingest };
    let next = submit(&pair, flag_report("c1", "t", true)).await.unwrap().revision.unwrap();
    assert_eq!(next, revision + 1);
}
