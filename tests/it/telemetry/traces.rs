//! Traces: one of them shows how a report becomes visible.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use proto::v1::{GetShareRequest, UnitSelector, unit::Level};
use tests::harness::{FREE_PORT, Pair, start_ingest};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataValue};

use super::SIDE;
use crate::support::{FLAG, eventually, flag_report, pause, small_world, yes_and_no};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A span as it was sent.
#[derive(Clone, Debug)]
struct Sent {
    service: String,
    name: String,
    trace: String,
    id: String,
    parent: String,
    revision: Option<i64>,
    begun: u64,
    ended: u64,
}

/// Takes spans, as a collector does.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Sent>>>);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let Some(Value::StringValue(service)) = attribute(&attributes, "service.name") else { panic!("no name") };
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let revision = attribute(&span.attributes, "revision").map(|value| match value {
                    Value::IntValue(revision) => *revision,
                    other => panic!("{other:?}"),
                });
                self.0.lock().unwrap().push(Sent {
                    service: service.clone(),
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    revision,
                    begun: span.start_time_unix_nano,
                    ended: span.end_time_unix_nano,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts one on a free port; answers where.
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind(FREE_PORT).await.unwrap();
        let (collector, uri) = (Self::default(), format!("http://{}", listener.local_addr().unwrap()));
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, uri)
    }

    /// The span of that service and name in that trace, once it has come.
    async fn span(&self, trace: &str, service: &str, name: &str) -> Sent {
        let find = || {
            let spans = self.0.lock().unwrap();
            spans.iter().find(|span| (&*span.trace, &*span.service, &*span.name) == (trace, service, name)).cloned()
        };
        for _ in 0..500 {
            if let Some(span) = find() {
                return span;
            }
            pause().await;
        }
        panic!("{service} has sent no span {name} of {trace}, but {:#?}", self.0.lock().unwrap())
    }
}

fn traced<T>(traceparent: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", MetadataValue::try_from(traceparent).unwrap());
    request
}

fn question(at_least_revision: i64) -> GetShareRequest {
    GetShareRequest {
        indicator: FLAG.into(),
        units: Some(UnitSelector { under: "d".into(), level: Level::Commune.into(), ids: vec![] }),
        on: "2017-06-30".into(),
        at_least_revision: Some(at_least_revision),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_shows_how_a_report_becomes_visible() {
    let (collector, uri) = Collector::start().await;
    // Calls of which nobody says that they are to be traced are not.
    let settings = ["--otlp-endpoint", &uri, "--trace-percent", "0"];
    let pair = Pair::start_with(&settings, &settings);
    small_world(&pair).await;
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let request = traced(&traceparent, flag_report("c0", "traced", true));
    let receipt = pair.reports().submit_report(request).await.unwrap().into_inner();
    let revision = receipt.revision.unwrap();
    // Nobody has asked it before, so no answer is remembered that could be given at once.
    pair.queries().get_share(traced(&traceparent, question(revision))).await.unwrap();

    let call = collector.span(TRACE, "ingest-service", "tonghop.v1.IngestService/SubmitReport").await;
    let commit = collector.span(TRACE, "ingest-service", "commit").await;
    let apply = collector.span(TRACE, "query-service", "apply").await;
    let publish = collector.span(TRACE, "query-service", "publish").await;
    let asked = collector.span(TRACE, "query-service", "tonghop.v1.QueryService/GetShare").await;
    let wait = collector.span(TRACE, "query-service", "wait").await;
    assert_eq!((&*call.parent, &*asked.parent), (CALLER, CALLER));
    assert_eq!((&commit.parent, &apply.parent), (&call.id, &call.id));
    assert_eq!((&publish.parent, &wait.parent), (&apply.id, &asked.id));
    assert_eq!((commit.revision, apply.revision), (Some(revision), Some(revision)));
    assert!(call.begun <= commit.begun && apply.begun <= publish.begun && publish.ended <= apply.ended);
    let spans = collector.0.lock().unwrap().clone();
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    let of_entries: Vec<Option<i64>> = spans.iter().filter(|s| s.name == "apply").map(|span| span.revision).collect();
    assert_eq!(of_entries, [Some(revision)], "entries that nobody traces have no spans");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_nobody_s_trace_begins_one_and_its_lines_name_it() {
    let (collector, uri) = Collector::start().await;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let settings = ["--data", data, "--listen", FREE_PORT, "--free-mib-min", "0", "--log", "debug"];
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*uri)];
    let ingest = tests::harness::Service::start_in("ingest-service", &settings, &environment).unwrap();
    let mut client = proto::v1::ingest_service_client::IngestServiceClient::new(ingest.channel());
    client.submit_report(flag_report("c0", "", true)).await.unwrap_err();
    let line = eventually(async || {
        let lines = ingest.log().into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
        lines.into_iter().find(|line| line["message"] == "call answered")
    })
    .await;
    let trace = line["span"]["trace_id"].as_str().unwrap();
    let call = collector.span(trace, "ingest-service", "tonghop.v1.IngestService/SubmitReport").await;
    assert_eq!(call.parent, "", "it is the first of its trace");
    // What is left is sent at the end.
    client.submit_report(traced(&format!("00-{TRACE}-{CALLER}-01"), flag_report("c0", "", true))).await.unwrap_err();
    ingest.tell_to_end();
    assert!(ingest.wait().status.success());
    collector.span(TRACE, "ingest-service", "tonghop.v1.IngestService/SubmitReport").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_never_answers_keeps_nobody_waiting() {
    let gone = TcpListener::bind(FREE_PORT).unwrap().local_addr().unwrap();
    let silent = TcpListener::bind(FREE_PORT).unwrap();
    for address in [gone, silent.local_addr().unwrap()] {
        let uri = format!("http://{address}");
        let settings = [&["--otlp-endpoint", &uri][..], &SIDE].concat();
        let pair = Pair::start_with(&settings, &settings);
        small_world(&pair).await;
        let mut last = 0;
        for index in 0..50 {
            let request = flag_report("c0", &format!("report {index}"), true);
            let receipt = pair.reports().submit_report(request).await.unwrap().into_inner();
            last = receipt.revision.unwrap();
        }
        assert_eq!(yes_and_no(&pair, last).await, (1, 0));
        for service in [pair.query, pair.ingest] {
            service.tell_to_end();
            assert!(service.wait().status.success());
        }
        start_ingest(pair.directory.path(), FREE_PORT).kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traceparent_that_is_none_is_ignored() {
    let pair = Pair::start_with(&["--log", "debug"], &[]);
    for (index, wrong) in
        ["", "00", "ff-0-0-0", "00-00000000000000000000000000000000-0000000000000000-01"].iter().enumerate()
    {
        let request = traced(wrong, flag_report("c0", &index.to_string(), true));
        pair.reports().submit_report(request).await.unwrap_err();
    }
    let given = traced(&format!("00-{TRACE}-{CALLER}-01"), flag_report("c0", "", true));
    pair.reports().submit_report(given).await.unwrap_err();
    let lines = eventually(async || {
        let lines = pair.ingest.log().into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
        let lines: Vec<_> = lines.filter(|line| line["message"] == "call answered").collect();
        let of_reports =
            lines.into_iter().filter(|line| line["span"]["method"].as_str().unwrap().ends_with("SubmitReport"));
        Some(of_reports.collect::<Vec<_>>()).filter(|lines| lines.len() == 5)
    })
    .await;
    let named: Vec<Option<&str>> = lines.iter().map(|line| line["span"]["trace_id"].as_str()).collect();
    assert_eq!(
        named,
        [None, None, None, None, Some(TRACE)],
        "even where nothing is traced, lines name a caller's trace"
    );
}
