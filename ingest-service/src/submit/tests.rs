use shared::{clock::SystemClock, convert::ingest, model::fault::Reason};

use super::*;
use crate::log::memory::MemoryLog;

struct Fixture {
    log: Arc<MemoryLog>,
    submitter: Submitter,
    writer: Writer,
}

async fn fixture() -> Fixture {
    let log = Arc::new(MemoryLog::default());
    let (submitter, writer) = start(log.clone(), Arc::new(SystemClock)).unwrap();
    let unit = |id: &str, level: proto::v1::unit::Level, parent: &str| proto::v1::Unit {
        id: id.to_owned(),
        level: level.into(),
        name: id.to_owned(),
        parent: parent.to_owned(),
        ..Default::default()
    };
    let units = proto::v1::RegisterUnitsRequest {
        units: vec![unit("vn", proto::v1::unit::Level::Country, ""), unit("p", proto::v1::unit::Level::Province, "vn")],
        ..Default::default()
    };
    let flag = proto::v1::Indicator {
        id: "flag".to_owned(),
        names: [("en".to_owned(), "Flag".to_owned())].into(),
        value_kind: proto::v1::indicator::ValueKind::Flag.into(),
        temporality: proto::v1::indicator::Temporality::State.into(),
        roll_up: proto::v1::indicator::RollUp::ShareOfUnits.into(),
        ..Default::default()
    };
    let indicators = proto::v1::DefineIndicatorsRequest { indicators: vec![flag], ..Default::default() };
    let units = shared::convert::registry::register_units(&units).unwrap();
    let indicators = shared::convert::registry::define_indicators(&indicators).unwrap();
    submitter.submit(Work::Units(units)).await.unwrap();
    submitter.submit(Work::Indicators(indicators)).await.unwrap();
    Fixture { log, submitter, writer }
}

fn request(title: &str, flag: bool) -> proto::v1::SubmitReportRequest {
    let observation = proto::v1::Observation {
        indicator: "flag".to_owned(),
        value: Some(proto::v1::observation::Value::Flag(flag)),
        ..Default::default()
    };
    proto::v1::SubmitReportRequest {
        report: Some(proto::v1::Report {
            unit: "p".to_owned(),
            period: "2017".to_owned(),
            source: Some(proto::v1::Source { title: title.to_owned(), ..Default::default() }),
            observations: vec![observation],
            ..Default::default()
        }),
        ..Default::default()
    }
}

impl Fixture {
    async fn submit(&self, request: &proto::v1::SubmitReportRequest) -> Result<Receipt, Fault> {
        let command = ingest::submit(request).unwrap();
        self.submitter.submit(Work::Report(Box::new(command))).await
    }

    async fn version(&self, request: &proto::v1::SubmitReportRequest) -> (String, i32) {
        let Receipt::Written { last: entry, .. } = self.submit(request).await.unwrap() else { panic!("not written") };
        let report = ingest::report_of(&entry).unwrap();
        (report.name, report.version)
    }
}

#[tokio::test]
async fn a_report_is_recognised_by_what_identifies_it() {
    let fixture = fixture().await;
    let (name, version) = fixture.version(&request("a", true)).await;
    assert_eq!(version, 1);
    assert_eq!(fixture.version(&request("a", false)).await, (name.clone(), 2));
    assert_ne!(fixture.version(&request("b", true)).await.0, name);

    // Under its name it may change what identifies it; what it was is then free again.
    let mut renamed = request("c", true);
    renamed.report.as_mut().unwrap().name = name.clone();
    assert_eq!(fixture.version(&renamed).await, (name.clone(), 3));
    assert_eq!(fixture.version(&request("a", true)).await.1, 1);

    let mut taken = request("b", true);
    taken.report.as_mut().unwrap().name = name;
    assert_eq!(fixture.submit(&taken).await.unwrap_err().reason, Reason::ReportIdentityTaken);
    let mut unknown = request("d", true);
    unknown.report.as_mut().unwrap().name = "reports/999".to_owned();
    assert_eq!(fixture.submit(&unknown).await.unwrap_err().reason, Reason::ReportNotFound);
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_receipt() {
    let fixture = fixture().await;
    let mut first = request("a", true);
    first.request_id = "0192d0c2-0000-7000-8000-000000000001".to_owned();
    first.expected_revision = Some(0);
    let Receipt::Written { last: entry, .. } = fixture.submit(&first).await.unwrap() else { panic!("not written") };
    let tail = fixture.log.tail();
    assert_eq!(fixture.submit(&first).await.unwrap(), Receipt::There(entry.revision));

    let other = proto::v1::SubmitReportRequest { request_id: first.request_id.clone(), ..request("a", false) };
    assert_eq!(fixture.submit(&other).await.unwrap_err().reason, Reason::KeyReusedDifferentContent);
    assert_eq!(fixture.log.tail(), tail, "neither wrote anything");

    fixture.writer.stop();
    let (submitter, _writer) = start(fixture.log.clone(), Arc::new(SystemClock)).unwrap();
    let after_restart = Fixture { submitter, log: fixture.log, writer: _writer };
    assert_eq!(after_restart.submit(&first).await.unwrap(), Receipt::There(entry.revision));
}

#[tokio::test]
async fn a_stale_expectation_is_aborted() {
    let fixture = fixture().await;
    let expecting =
        |revision, flag| proto::v1::SubmitReportRequest { expected_revision: Some(revision), ..request("a", flag) };
    assert_eq!(fixture.submit(&expecting(7, true)).await.unwrap_err().reason, Reason::RevisionConflict);
    let Receipt::Written { last: entry, .. } = fixture.submit(&expecting(0, true)).await.unwrap() else {
        panic!("not written")
    };
    assert_eq!(fixture.submit(&expecting(0, false)).await.unwrap_err().reason, Reason::RevisionConflict);
    fixture.submit(&expecting(entry.revision.as_i64(), false)).await.unwrap();
    let stale = fixture.submit(&expecting(entry.revision.as_i64(), true)).await.unwrap_err();
    assert_eq!(stale.reason, Reason::RevisionConflict);
    assert_eq!(stale.metadata[1], ("current_revision", entry.revision.next().to_string()));
}

#[tokio::test]
async fn of_many_who_expect_the_same_revision_one_wins() {
    let fixture = fixture().await;
    let mut tries = tokio::task::JoinSet::new();
    for index in 0..64 {
        let submitter = fixture.submitter.clone();
        let request = proto::v1::SubmitReportRequest { expected_revision: Some(0), ..request("a", index % 2 == 0) };
        tries.spawn(async move { submitter.submit(Work::Report(Box::new(ingest::submit(&request).unwrap()))).await });
    }
    let outcomes = tries.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.into_iter().filter_map(Result::err).all(|fault| fault.reason == Reason::RevisionConflict));
}

#[tokio::test]
async fn a_dry_run_checks_everything_and_writes_nothing() {
    let fixture = fixture().await;
    let tail = fixture.log.tail();
    let dry = proto::v1::SubmitReportRequest { validate_only: true, ..request("a", true) };
    assert!(matches!(fixture.submit(&dry).await.unwrap(), Receipt::Valid { last: Some(_), .. }));
    let mut bad = dry.clone();
    bad.report.as_mut().unwrap().unit = "nowhere".to_owned();
    assert_eq!(fixture.submit(&bad).await.unwrap_err().reason, Reason::UnknownUnit);
    assert_eq!(fixture.log.tail(), tail);
}

#[tokio::test]
async fn after_a_failed_append_nothing_is_acknowledged_or_shown() {
    let mut fixture = fixture().await;
    let before = fixture.submitter.snapshot().revision;
    fixture.log.fail();
    assert_eq!(fixture.submit(&request("a", true)).await.unwrap_err().reason, Reason::StorageFailed);
    assert!(matches!(fixture.writer.failed().await, LogError::Storage(_)));
    assert_eq!(fixture.submit(&request("b", true)).await.unwrap_err().reason, Reason::StorageFailed);
    assert_eq!(fixture.submitter.snapshot().revision, before);
}

#[tokio::test]
async fn a_request_that_changed_nothing_keeps_its_receipt_too() {
    let fixture = fixture().await;
    let units = proto::v1::RegisterUnitsRequest {
        request_id: "0192d0c2-0000-7000-8000-000000000002".to_owned(),
        units: vec![proto::v1::Unit {
            id: "vn".to_owned(),
            level: proto::v1::unit::Level::Country.into(),
            name: "vn".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let register = async |request: &proto::v1::RegisterUnitsRequest| {
        fixture.submitter.submit(Work::Units(shared::convert::registry::register_units(request).unwrap())).await
    };
    let Receipt::Written { last: first, .. } = register(&units).await.unwrap() else {
        panic!("the request is not kept")
    };
    fixture.submit(&request("a", true)).await.unwrap();
    assert_eq!(register(&units).await.unwrap(), Receipt::There(first.revision));
    let other = proto::v1::RegisterUnitsRequest { complete_from: "2000-01-01".to_owned(), ..units.clone() };
    assert_eq!(register(&other).await.unwrap_err().reason, Reason::KeyReusedDifferentContent);
    let dry = proto::v1::RegisterUnitsRequest { validate_only: true, ..units };
    assert_eq!(
        register(&dry).await.unwrap(),
        Receipt::Valid { last: None, findings: vec![] },
        "a dry run has no receipt"
    );
}

#[tokio::test]
async fn blanks_are_no_source() {
    let mut blank = request(" ", true);
    blank.report.as_mut().unwrap().source.as_mut().unwrap().uri = "\u{a0}".to_owned();
    let refused = ingest::submit(&blank).unwrap_err().violations.into_fault();
    assert_eq!(refused.violations[0].path, "report.source");
}

#[tokio::test]
async fn a_full_disk_is_answered_and_writing_goes_on_when_there_is_space() {
    let fixture = fixture().await;
    let before = fixture.log.tail();
    fixture.log.set_full(true);
    assert_eq!(fixture.submit(&request("a", true)).await.unwrap_err().reason, Reason::DiskFull);
    assert_eq!(fixture.log.tail(), before);
    fixture.log.set_full(false);
    fixture.submit(&request("a", true)).await.unwrap();
}

#[tokio::test]
async fn huge_counts_are_no_reason_to_stop() {
    let fixture = fixture().await;
    let dimension = proto::v1::indicator::Dimension { id: "rating".to_owned(), ..Default::default() };
    let rated = proto::v1::Indicator {
        id: "rated".to_owned(),
        names: [("en".to_owned(), "Rated".to_owned())].into(),
        value_kind: proto::v1::indicator::ValueKind::Count.into(),
        temporality: proto::v1::indicator::Temporality::Flow.into(),
        roll_up: proto::v1::indicator::RollUp::Sum.into(),
        dimensions: vec![dimension],
        ..Default::default()
    };
    let define = proto::v1::DefineIndicatorsRequest { indicators: vec![rated], ..Default::default() };
    let define = shared::convert::registry::define_indicators(&define).unwrap();
    fixture.submitter.submit(Work::Indicators(define)).await.unwrap();
    let count = |count| proto::v1::Observation {
        indicator: "rated".to_owned(),
        value: Some(proto::v1::observation::Value::Count(count)),
        ..Default::default()
    };
    let part = proto::v1::Observation {
        by: [("rating".to_owned(), "x".to_owned())].into(),
        stated_percent: "1.0000000".to_owned(),
        ..count(i64::MAX)
    };
    let mut huge = request("huge", true);
    huge.report.as_mut().unwrap().observations = vec![part, count(1)];
    let Receipt::Written { findings, .. } = fixture.submit(&huge).await.unwrap() else { panic!("not written") };
    assert_eq!(findings.len(), 1);
}

#[tokio::test]
async fn no_number_of_findings_makes_a_report_too_large() {
    let fixture = fixture().await;
    let kinds = |index: usize| proto::v1::Indicator {
        id: format!("flag_{index}"),
        names: [("en".to_owned(), "Flag".to_owned())].into(),
        value_kind: proto::v1::indicator::ValueKind::Flag.into(),
        temporality: proto::v1::indicator::Temporality::State.into(),
        roll_up: proto::v1::indicator::RollUp::ShareOfUnits.into(),
        ..Default::default()
    };
    let define = proto::v1::DefineIndicatorsRequest { indicators: (0..500).map(kinds).collect(), ..Default::default() };
    let define = shared::convert::registry::define_indicators(&define).unwrap();
    fixture.submitter.submit(Work::Indicators(define)).await.unwrap();
    let flags = |title: &str, flag| {
        let mut request = request(title, flag);
        let observation = |index: usize| proto::v1::Observation {
            indicator: format!("flag_{index}"),
            note: "n".repeat(90),
            value: Some(proto::v1::observation::Value::Flag(flag)),
            ..Default::default()
        };
        request.report.as_mut().unwrap().observations = (0..500).map(observation).collect();
        request
    };
    for title in ["a", "b", "c"] {
        fixture.submit(&flags(title, true)).await.unwrap();
    }
    let Receipt::Written { findings, .. } = fixture.submit(&flags("d", false)).await.unwrap() else {
        panic!("not written")
    };
    assert!(findings.len() > 50 && findings.len() < 500, "{}", findings.len());
    let last = findings.last().unwrap();
    assert_eq!(last.message, format!("and {} more findings that are not listed", 500 - (findings.len() - 1)));
}

#[tokio::test]
async fn a_full_disk_refuses_only_what_would_be_written() {
    let fixture = fixture().await;
    let mut first = request("a", true);
    first.request_id = "0192d0c2-0000-7000-8000-000000000003".to_owned();
    fixture.submit(&first).await.unwrap();
    fixture.log.set_full(true);
    assert!(matches!(fixture.submit(&first).await, Ok(Receipt::There(_))), "it is on disk, and the caller hears so");
    let dry = proto::v1::SubmitReportRequest { validate_only: true, ..request("b", true) };
    assert!(matches!(fixture.submit(&dry).await, Ok(Receipt::Valid { .. })));
    assert_eq!(fixture.submit(&request("b", true)).await.unwrap_err().reason, Reason::DiskFull);
}
