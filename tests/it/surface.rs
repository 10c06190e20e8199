//! What a stranger meets first: --help, reflection, health, deadlines.

use proto::v1::{QueryServiceGetUnitRequest, unit::Level};
use tests::harness::{Pair, Service};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{reason, small_world};

#[tokio::test(flavor = "multi_thread")]
async fn health_speaks_for_every_service() {
    let pair = Pair::start();
    small_world(&pair).await;
    crate::support::yes_and_no(&pair, 10).await;
    let services = [
        (&pair.ingest, &["", "tonghop.v1.RegistryService", "tonghop.v1.IngestService", "tonghop.v1.FeedService"][..]),
        (&pair.query, &["", "tonghop.v1.QueryService"][..]),
    ];
    for (process, names) in services {
        let mut health = HealthClient::new(process.channel());
        for name in names {
            let answer = health.check(HealthCheckRequest { service: (*name).to_owned() }).await.unwrap();
            assert_eq!(answer.into_inner().status, 1, "{name}");
        }
        let unknown = health.check(HealthCheckRequest { service: "nobody".to_owned() }).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
    }
}

/// Asks reflection v1 for something; v1alpha is what grpcurl asks (see the tests of the README).
async fn reflect(
    service: &Service,
    ask: tonic_reflection::pb::v1::server_reflection_request::MessageRequest,
) -> tonic_reflection::pb::v1::server_reflection_response::MessageResponse {
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_client::ServerReflectionClient};
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let mut client = ServerReflectionClient::new(service.channel());
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_knows_every_service_and_the_details_of_errors() {
    use tonic_reflection::pb::v1::{
        server_reflection_request::MessageRequest::{FileContainingSymbol, ListServices},
        server_reflection_response::MessageResponse::{FileDescriptorResponse, ListServicesResponse},
    };
    let pair = Pair::start();
    let ListServicesResponse(list) = reflect(&pair.ingest, ListServices(String::new())).await else {
        panic!("no list")
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in
        ["tonghop.v1.RegistryService", "tonghop.v1.IngestService", "tonghop.v1.FeedService", "grpc.health.v1.Health"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
    // grpcurl asks the older version.
    use tonic_reflection::pb::v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let ask = MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let mut client = ServerReflectionClient::new(pair.query.channel());
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)));
    let symbols = ["tonghop.v1.QueryService", "grpc.health.v1.Health", "google.rpc.ErrorInfo", "google.rpc.BadRequest"];
    for symbol in symbols {
        let answer = reflect(&pair.query, FileContainingSymbol(symbol.to_owned())).await;
        assert!(matches!(answer, FileDescriptorResponse(_)), "{symbol}");
    }
}

#[test]
fn help_documents_every_setting_with_its_variable_and_default() {
    for name in ["ingest-service", "query-service"] {
        let help = tests::harness::help(name);
        let flags: Vec<&str> = help.lines().filter(|line| line.trim_start().starts_with("--")).collect();
        assert!(flags.len() >= 7, "{help}");
        for (flag, variable) in
            [("--listen", "TONGHOP_LISTEN"), ("--log", "TONGHOP_LOG"), ("--drain-ms-max", "TONGHOP_DRAIN_MS_MAX")]
        {
            assert!(help.contains(flag) && help.contains(&format!("[env: {variable}=")), "{flag}: {help}");
        }
        // What is off unless it is named has no default.
        let off = ["--allow-", "--store-id", "--tls-", "--principals", "--jwt-", "--ingest-", "--side-", "--otlp-"];
        for flag in flags {
            let flag = flag.split_whitespace().next().unwrap();
            let section = help.split(flag).nth(1).unwrap().split("\n      --").next().unwrap();
            let is_off = off.iter().any(|start| flag.starts_with(start));
            assert!(section.contains("[env: TONGHOP_"), "{flag}: {section}");
            assert_eq!(section.contains("[default: "), !is_off, "{flag}: {section}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_answered_with_deadline_exceeded() {
    let pair = Pair::start_with(&["--deadline-ms-max", "0"], &[]);
    // Ten thousand units are not on disk in no time.
    let mut units = vec![crate::support::unit("vn", Level::Country, "")];
    units.extend((0..9_999).map(|number| crate::support::unit(&format!("c{number}"), Level::Commune, "vn")));
    let request = proto::v1::RegisterUnitsRequest { units, ..Default::default() };
    let late = pair.registry().register_units(request).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_does_not_come_is_answered_with_not_yet_visible() {
    let pair = Pair::start_with(&[], &["--deadline-ms-max", "300"]);
    small_world(&pair).await;
    let request = QueryServiceGetUnitRequest { id: "c0".into(), at_least_revision: Some(999), ..Default::default() };
    let late = pair.queries().get_unit(request).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::Unavailable, "NOT_YET_VISIBLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_make_no_sense_are_told_what_to_do() {
    use proto::v1::{GetShareRequest, KnownAt, UnitSelector, known_at::At};
    let known_at = |at| Some(KnownAt { at: Some(at) });
    let in_an_hour = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 3600;
    let in_an_hour = prost_types::Timestamp { seconds: i64::try_from(in_an_hour).unwrap(), nanos: 0 };
    let pair = Pair::start();
    small_world(&pair).await;
    let indicators = vec![crate::support::indicator("members", proto::v1::indicator::ValueKind::Count)];
    let define = proto::v1::DefineIndicatorsRequest { indicators, ..Default::default() };
    let revision = pair.registry().define_indicators(define).await.unwrap().into_inner().revision;
    let under = |unit: &str| Some(UnitSelector { under: unit.into(), ..Default::default() });
    let good = GetShareRequest {
        indicator: "flag".into(),
        units: under("d"),
        on: "2017-06-30".into(),
        at_least_revision: Some(revision),
        ..Default::default()
    };
    crate::support::yes_and_no(&pair, revision).await;
    let cases = [
        (GetShareRequest { indicator: "unheard_of".into(), ..good.clone() }, Code::NotFound, "INDICATOR_NOT_FOUND"),
        (GetShareRequest { indicator: "members".into(), ..good.clone() }, Code::InvalidArgument, "MEASURE_NOT_ALLOWED"),
        (GetShareRequest { units: under("nowhere"), ..good.clone() }, Code::NotFound, "UNIT_NOT_FOUND"),
        (GetShareRequest { units: None, ..good.clone() }, Code::InvalidArgument, "REQUIRED_FIELD_MISSING"),
        (GetShareRequest { group_by: "PARISH".into(), ..good.clone() }, Code::InvalidArgument, "UNKNOWN_GROUP"),
        (GetShareRequest { on: "2017-02-30".into(), ..good.clone() }, Code::InvalidArgument, "INVALID_DATE"),
        (GetShareRequest { on: String::new(), ..good.clone() }, Code::InvalidArgument, "REQUIRED_FIELD_MISSING"),
        (GetShareRequest { period: "2017".into(), ..good.clone() }, Code::InvalidArgument, "CONFLICTING_FIELDS"),
        (
            GetShareRequest { on: String::new(), period: "2017/..".into(), ..good.clone() },
            Code::InvalidArgument,
            "INVALID_PERIOD",
        ),
        (GetShareRequest { at_least_revision: Some(-1), ..good.clone() }, Code::InvalidArgument, "INVALID_NUMBER"),
        (
            GetShareRequest { known_at: known_at(At::Revision(revision + 1)), ..good.clone() },
            Code::OutOfRange,
            "FUTURE_REVISION",
        ),
        (
            GetShareRequest { known_at: known_at(At::Time(in_an_hour)), ..good.clone() },
            Code::OutOfRange,
            "FUTURE_REVISION",
        ),
        (
            GetShareRequest { known_at: Some(KnownAt::default()), ..good.clone() },
            Code::InvalidArgument,
            "REQUIRED_FIELD_MISSING",
        ),
    ];
    for (request, code, expected) in cases {
        let refused = pair.queries().get_share(request.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, expected), "{request:?}");
    }
    let by_period = GetShareRequest { on: String::new(), period: "2017-Q2".into(), ..good.clone() };
    let same = pair.queries().get_share(good).await.unwrap().into_inner();
    assert_eq!(pair.queries().get_share(by_period).await.unwrap().into_inner().shares, same.shares);
}
