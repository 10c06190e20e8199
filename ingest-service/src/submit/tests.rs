use shared::{
    clock::SystemClock,
    convert::ingest,
    model::{access::Caller, fault::Reason},
};

use super::*;
use crate::log::memory::MemoryLog;

mod facts;

/// Whoever calls a service that asks nobody who he is.
fn unasked() -> Arc<Caller> {
    Arc::new(Caller::unasked())
}

struct Fixture {
    log: Arc<MemoryLog>,
    submitter: Submitter,
    writer: Writer,
}

async fn fixture() -> Fixture {
    fixture_with(None).await
}

async fn fixture_with(facts: Option<&Path>) -> Fixture {
    let log = Arc::new(MemoryLog::default());
    let (submitter, writer) = start(log.clone(), Arc::new(SystemClock), facts).unwrap();
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
    submitter.submit(Work::Units(units), &unasked()).await.unwrap();
    submitter.submit(Work::Indicators(indicators), &unasked()).await.unwrap();
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
        self.submitter.submit(Work::Report(Box::new(command)), &unasked()).await
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
    let (submitter, _writer) = start(fixture.log.clone(), Arc::new(SystemClock), None).unwrap();
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
        tries.spawn(async move {
            submitter.submit(Work::Report(Box::new(ingest::submit(&request).unwrap())), &unasked()).await
        });
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
        fixture
            .submitter
            .submit(Work::Units(shared::convert::registry::register_units(request).unwrap()), &unasked())
            .await
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
    fixture.submitter.submit(Work::Indicators(define), &unasked()).await.unwrap();
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
    fixture.submitter.submit(Work::Indicators(define), &unasked()).await.unwrap();
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

/// Submits a report in two calls while the disk does nothing, and lets it go on after something was done.
async fn while_the_disk_waits(work: impl FnOnce(&Fixture)) -> (Fixture, Vec<Outcome>) {
    let fixture = fixture().await;
    let before = fixture.submitter.snapshot().revision;
    let held = fixture.log.hold();
    let mut request = request("a", true);
    request.request_id = "0192d0c2-0000-7000-8000-000000000009".to_owned();
    let submitter = fixture.submitter.clone();
    let call = move || {
        let (submitter, request) = (submitter.clone(), request.clone());
        async move { submitter.submit(Work::Report(Box::new(ingest::submit(&request).unwrap())), &unasked()).await }
    };
    let mut calls = vec![tokio::spawn(call())];
    // The second call is decided against what the first one has not yet made durable.
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        calls.extend((calls.len() < 5).then(|| tokio::spawn(call())));
        assert!(calls.iter().all(|call| !call.is_finished()), "nobody hears of what is not durable");
        assert_eq!(fixture.submitter.snapshot().revision, before, "nor sees it");
    }
    work(&fixture);
    drop(held);
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    (fixture, outcomes)
}

#[tokio::test]
async fn nobody_hears_of_what_is_decided_before_it_is_durable() {
    let (fixture, outcomes) = while_the_disk_waits(|_| {}).await;
    let revision = fixture.log.tail().revision;
    let written = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Receipt::Written { .. }))).count();
    let there = outcomes.iter().filter(|outcome| **outcome == Ok(Receipt::There(revision))).count();
    assert_eq!((written, there), (1, 4), "{outcomes:?}");
    assert_eq!(fixture.submitter.snapshot().revision, revision);
}

#[tokio::test]
async fn what_is_decided_behind_a_failed_append_is_not_acknowledged() {
    let (mut fixture, outcomes) = while_the_disk_waits(|fixture| fixture.log.fail()).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().reason, Reason::StorageFailed);
    }
    assert!(matches!(fixture.writer.failed().await, LogError::Storage(_)));
    let last = fixture.log.tail();
    assert_eq!(fixture.submitter.snapshot().revision, last.revision, "nothing of it is shown");
    assert_eq!(fixture.submit(&request("b", true)).await.unwrap_err().reason, Reason::StorageFailed);
}

#[tokio::test]
async fn pieces_of_a_stream_are_decided_in_order_and_a_refused_one_keeps_its_place() {
    let fixture = fixture().await;
    let before = fixture.submitter.snapshot().revision;
    let prepare = |request: &proto::v1::SubmitReportRequest| {
        fixture.submitter.prepare(Work::Report(Box::new(ingest::submit(request).unwrap())), &unasked())
    };
    let mut unknown = request("x", true);
    unknown.report.as_mut().unwrap().unit = "nowhere".to_owned();
    let stale = proto::v1::SubmitReportRequest { expected_revision: Some(3), ..request("a", true) };
    let requests = [request("a", true), unknown, stale, request("a", false), request("b", true)];
    let pieces: Vec<_> = requests.iter().map(prepare).collect();
    let outcomes = fixture.submitter.submit_in_order(pieces).await.outcomes().await;
    let told: Vec<Result<u64, Reason>> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(Receipt::Written { last, .. }) => Ok(last.revision.get() - before.get()),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.reason),
        })
        .collect();
    assert_eq!(told, [Ok(1), Err(Reason::UnknownUnit), Err(Reason::RevisionConflict), Ok(2), Ok(3)]);
}

#[tokio::test]
async fn a_report_checked_against_an_older_registry_is_checked_again() {
    let fixture = fixture().await;
    let prepared = fixture
        .submitter
        .prepare(Work::Report(Box::new(ingest::submit(&request("a", true)).unwrap())), &unasked())
        .unwrap();
    // The unit ends before the period of the report begins.
    let ended = proto::v1::Unit {
        id: "q".to_owned(),
        level: proto::v1::unit::Level::Province.into(),
        name: "q".to_owned(),
        parent: "vn".to_owned(),
        ..Default::default()
    };
    let units = proto::v1::RegisterUnitsRequest { units: vec![ended], ..Default::default() };
    let dissolved = proto::v1::UnitEvent {
        id: "e".to_owned(),
        r#type: proto::v1::unit_event::Type::Dissolve.into(),
        from: vec!["p".to_owned()],
        effective_on: "2016-01-01".to_owned(),
        ..Default::default()
    };
    let events = proto::v1::RecordUnitEventsRequest { events: vec![dissolved], ..Default::default() };
    fixture
        .submitter
        .submit(Work::Units(shared::convert::registry::register_units(&units).unwrap()), &unasked())
        .await
        .unwrap();
    let events = shared::convert::registry::record_unit_events(&events).unwrap();
    fixture.submitter.submit(Work::Events(events), &unasked()).await.unwrap();
    let outcome = fixture.submitter.submit_in_order(vec![Ok(prepared)]).await.outcomes().await.remove(0);
    assert_eq!(outcome.unwrap_err().reason, Reason::UnitNotAlive);
}

/// A clock that says what it is told to.
struct Told(std::sync::Mutex<jiff::Timestamp>);

impl Clock for Told {
    fn now(&self) -> jiff::Timestamp {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn the_log_never_goes_back_in_time_whatever_the_clock_does() {
    let hour = jiff::SignedDuration::from_hours(1);
    let start: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let clock = Arc::new(Told(std::sync::Mutex::new(start)));
    let log = Arc::new(MemoryLog::default());
    let (submitter, writer) = super::start(log.clone(), clock.clone(), None).unwrap();
    let define = |label: String| {
        let unit = proto::v1::Unit {
            id: "vn".into(),
            level: proto::v1::unit::Level::Country.into(),
            name: "vn".into(),
            ..Default::default()
        };
        let term = proto::v1::Term { unit: "vn".into(), label, start_on: "2020-01-01".into(), ..Default::default() };
        let units = proto::v1::RegisterUnitsRequest { units: vec![unit], ..Default::default() };
        let terms = proto::v1::DefineTermsRequest { terms: vec![term], ..Default::default() };
        let units = shared::convert::registry::register_units(&units).unwrap();
        (Work::Units(units), Work::Terms(shared::convert::registry::define_terms(&terms).unwrap()))
    };
    submitter.submit(define("t".to_owned()).0, &unasked()).await.unwrap();
    for (number, now) in
        [start, start + hour, start - hour, start - hour * 24, start + hour * 2, start].iter().enumerate()
    {
        *clock.0.lock().unwrap() = *now;
        submitter.submit(define(format!("t{number}")).1, &unasked()).await.unwrap();
    }
    let records = log.read(Revision::ZERO, usize::MAX).unwrap();
    let times: Vec<jiff::Timestamp> = records.iter().map(|record| codec::decode(record).unwrap().record_time).collect();
    assert_eq!(times.len(), 7);
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert_eq!(times[5], start + hour * 2, "it follows the clock where that goes on");
    drop(writer);
}
