//! Log lines: which call they are about, and what is logged while a service runs.

use proto::v1::{SubmitReportRequest, ingest_service_client::IngestServiceClient};
use serde_json::Value;
use tests::harness::{Pair, Service, run_in};
use tonic::{Request, metadata::MetadataValue};

use super::{SIDE, ask, get};
use crate::support::{eventually, flag_report, small_world};

fn with_id<T>(id: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-request-id", MetadataValue::from_static(id));
    request
}

/// What was logged about the call with that id.
fn lines_of(service: &Service, id: &str) -> Vec<Value> {
    let lines = service.log().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["span"]["request_id"] == id).collect()
}

fn has(lines: &[Value], message: &str) -> bool {
    lines.iter().any(|line| line["message"] == message)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_changes_while_the_service_runs() {
    let pair = Pair::start_with(&SIDE, &[]);
    let side = pair.ingest.side_address().unwrap();
    assert_eq!(get(&pair.ingest, "/log").await, (200, "info".into()));
    let quiet = flag_report("c0", "quiet", true);
    pair.reports().submit_report(with_id("quiet", quiet)).await.unwrap_err();

    let (code, why) = ask(side, "PUT", "/log", "info,shared=loud").await.unwrap();
    assert_eq!(code, 400);
    assert!(why.contains("level filter"), "{why}");
    assert_eq!(get(&pair.ingest, "/log").await, (200, "info".into()), "a refused filter changes nothing");
    assert_eq!(ask(side, "PUT", "/log", "info,shared=debug\n").await.unwrap().0, 200);
    let loud = flag_report("c0", "loud", true);
    pair.reports().submit_report(with_id("loud", loud)).await.unwrap_err();
    eventually(async || has(&lines_of(&pair.ingest, "loud"), "call answered").then_some(())).await;
    assert_eq!(lines_of(&pair.ingest, "quiet"), Vec::<Value>::new());

    let environment = [("TONGHOP_SIDE_LISTEN", &*side.to_string())];
    let changed = run_in("ingest-service", &["log", "warn"], &environment);
    assert_eq!((changed.status.code(), &*changed.stdout), (Some(0), &b"warn\n"[..]));
    assert_eq!(get(&pair.ingest, "/log").await, (200, "warn".into()));
    assert_eq!(run_in("ingest-service", &["log"], &environment).stdout, b"warn\n");
    let refused = run_in("ingest-service", &["log", "shared=loud"], &environment);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!refused.stderr.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_about_a_call_has_its_request_id_wherever_the_work_is_done() {
    // Only the lines of the service: the span of a call is there although its own crate is quiet.
    let pair = Pair::start_with(&["--log", "warn,ingest_service=debug", "--stream-reports-max", "1"], &[]);
    small_world(&pair).await;
    let reports: Vec<SubmitReportRequest> = ["c0", "c1"].map(|unit| flag_report(unit, "streamed", true)).into();
    let mut client: IngestServiceClient<_> = pair.reports();
    let mut answers =
        client.submit_reports(with_id("a stream", tokio_stream::iter(reports))).await.unwrap().into_inner();
    while let Ok(Some(_)) = answers.message().await {}
    let ended = "a stream of reports was ended: a stream may bring 1 reports; open another one and go on with the report \
                 after the last acknowledged one";
    eventually(async || has(&lines_of(&pair.ingest, "a stream"), ended).then_some(())).await;
}
