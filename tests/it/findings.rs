//! Findings: what is odd about a report is stored, answered, listed, and resolved by a later version.

use proto::v1::{
    DefineIndicatorsRequest, Finding, Indicator, ListFindingsRequest, Observation, Report, Source, SubmitReportRequest,
    WithdrawReportRequest,
    finding::{Hypothesis, Reason, Severity},
    indicator::{Dimension, RollUp, ValueKind},
    list_findings_response::Row,
    observation::{Ratio, Scope, Value},
};
use tests::harness::Pair;
use tonic::Code;

use crate::support::{FLAG, flag_report, indicator, observation, reason, small_world, submit};

const RATINGS: [&str; 4] = ["excellent", "good", "satisfactory", "not_completed"];

async fn world() -> Pair {
    let pair = Pair::start();
    small_world(&pair).await;
    let codes = RATINGS.map(str::to_owned).to_vec();
    let ratings = Indicator {
        dimensions: vec![Dimension { id: "rating".into(), codes, closed: true }],
        roll_up: RollUp::Distribution.into(),
        ..indicator("ratings", ValueKind::Count)
    };
    let indicators = vec![ratings, indicator("resolved", ValueKind::Ratio), indicator("members", ValueKind::Count)];
    let request = DefineIndicatorsRequest { indicators, ..Default::default() };
    pair.registry().define_indicators(request).await.unwrap();
    pair
}

fn report(unit: &str, title: &str, period: &str, observations: Vec<Observation>) -> SubmitReportRequest {
    let source = Some(Source { title: title.into(), ..Default::default() });
    let report = Report { unit: unit.into(), period: period.into(), source, observations, ..Default::default() };
    SubmitReportRequest { report: Some(report), ..Default::default() }
}

fn rated(counts: [i64; 4], stated: [&str; 4]) -> Vec<Observation> {
    let one = |place: usize| Observation {
        by: [("rating".to_owned(), RATINGS[place].to_owned())].into(),
        stated_percent: stated[place].into(),
        ..observation("ratings", Value::Count(counts[place]))
    };
    (0..4).map(one).collect()
}

fn brief(findings: &[Finding]) -> Vec<(Severity, Reason, &str, Hypothesis)> {
    findings.iter().map(|f| (f.severity(), f.reason(), f.path.as_str(), f.hypothesis())).collect()
}

async fn list(pair: &Pair, include_resolved: bool) -> Vec<Row> {
    let request = ListFindingsRequest { include_resolved, ..Default::default() };
    pair.reports().list_findings(request).await.unwrap().into_inner().findings
}

const PRINTED: [&str; 4] = ["27.98", "70.21", "11.95", "0.6"];

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_is_stored_as_printed_listed_and_resolved_by_a_correction() {
    let pair = world().await;
    let counts = [281, 705, 12, 6];
    let receipt = submit(&pair, report("d", "t", "2017", rated(counts, PRINTED))).await.unwrap();
    let expected = [
        (
            Severity::Info,
            Reason::StatedPercentTruncated,
            "report.observations[0].stated_percent",
            Hypothesis::Unspecified,
        ),
        (
            Severity::Info,
            Reason::StatedPercentTruncated,
            "report.observations[1].stated_percent",
            Hypothesis::Unspecified,
        ),
        (
            Severity::Warning,
            Reason::StatedPercentContradicts,
            "report.observations[2].stated_percent",
            Hypothesis::DecimalPointMoved,
        ),
        (Severity::Warning, Reason::StatedPercentsSum, "report.observations", Hypothesis::Unspecified),
    ];
    assert_eq!(brief(&receipt.findings), expected);
    assert_eq!(receipt.findings[2].message, "stated 11.95 %, 12 of 1004 is 1.195 %");
    assert!(receipt.findings[3].message.contains("110.74"), "{}", receipt.findings[3].message);
    assert_eq!(receipt.report.unwrap().findings, receipt.findings);
    assert_eq!(list(&pair, false).await.len(), 4);
    let request = ListFindingsRequest { severity: Severity::Warning.into(), ..Default::default() };
    assert_eq!(pair.reports().list_findings(request).await.unwrap().into_inner().findings.len(), 2);

    let corrected = rated(counts, ["27.98", "70.21", "1.195", "0.6"]);
    let receipt = submit(&pair, report("d", "t", "2017", corrected)).await.unwrap();
    assert!(receipt.findings.iter().all(|finding| finding.severity() == Severity::Info), "{:?}", receipt.findings);
    let open = list(&pair, false).await;
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|row| Some(row.revision) == receipt.revision));
    let all = list(&pair, true).await;
    assert_eq!(all.iter().filter(|row| row.is_resolved).count(), 4);
    assert_eq!(all.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn stated_percentages_are_checked_against_what_they_stand_beside() {
    let pair = world().await;
    let ratio = |numerator, denominator, stated: &str| Observation {
        stated_percent: stated.into(),
        ..observation("resolved", Value::Ratio(Ratio { numerator: Some(numerator), denominator: Some(denominator) }))
    };
    let cases = [
        (ratio(493, 502, "98.2"), vec![]),
        (ratio(12, 1004, "11.95"), vec![(Severity::Warning, Hypothesis::DecimalPointMoved)]),
        (ratio(281, 1004, "27.98"), vec![(Severity::Info, Hypothesis::Unspecified)]),
        (ratio(281, 1004, "28.00"), vec![(Severity::Warning, Hypothesis::Unspecified)]),
        (ratio(493, 502, "98.3"), vec![(Severity::Info, Hypothesis::RoundingOnly)]),
    ];
    for (place, (observation, expected)) in cases.into_iter().enumerate() {
        let receipt = submit(&pair, report("d", &format!("source {place}"), "2016", vec![observation])).await.unwrap();
        let found = receipt.findings.iter().filter(|finding| finding.reason() != Reason::SourcesDisagree);
        let found: Vec<_> = found.map(|finding| (finding.severity(), finding.hypothesis())).collect();
        assert_eq!(found, expected, "case {place}");
    }
    // Two percentages changed places.
    let swapped = rated([281, 705, 12, 6], ["70.22", "27.99", "1.20", "0.6"]);
    let receipt = submit(&pair, report("d", "swapped", "2015", swapped)).await.unwrap();
    let hypotheses: Vec<_> = receipt.findings.iter().map(Finding::hypothesis).collect();
    assert_eq!(hypotheses, [Hypothesis::Swapped, Hypothesis::Swapped]);
    // Not every class is there: the total without `by` is the whole, and without it nothing can be said.
    let mut some = rated([281, 705, 12, 6], PRINTED);
    some.truncate(3);
    let receipt = submit(&pair, report("d", "some", "2014", some.clone())).await.unwrap();
    assert_eq!(receipt.findings, []);
    some.push(observation("ratings", Value::Count(1004)));
    let receipt = submit(&pair, report("d", "some and the total", "2013", some)).await.unwrap();
    assert_eq!(receipt.findings.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_disagree_name_each_other_until_one_of_them_changes() {
    let pair = world().await;
    let first = submit(&pair, flag_report("c0", "first", true)).await.unwrap();
    assert_eq!(first.findings, []);
    let second = submit(&pair, flag_report("c0", "second", false)).await.unwrap();
    let found = &second.findings[0];
    assert_eq!((found.severity(), found.reason()), (Severity::Warning, Reason::SourcesDisagree));
    assert_eq!(found.path, "report.observations[0]");
    assert_eq!(found.others[0].report, first.report.clone().unwrap().name);
    // Whichever of the two is looked at, the disagreement is there.
    let request = proto::v1::ListObservationsRequest {
        units: Some(proto::v1::UnitSelector { ids: vec!["c0".into()], ..Default::default() }),
        at_least_revision: second.revision,
        ..Default::default()
    };
    let rows = pair.queries().list_observations(request).await.unwrap().into_inner().observations;
    assert_eq!(rows.iter().map(|row| row.findings.len()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(list(&pair, false).await.len(), 1);
    // The other one comes round.
    submit(&pair, flag_report("c0", "first", false)).await.unwrap();
    assert_eq!(list(&pair, false).await, []);
    assert_eq!(list(&pair, true).await.len(), 1);

    // A FLOW of other days is another figure, a share of the children is none of the unit itself.
    let members = |period: &str, title: &str, count| {
        report("d", title, period, vec![observation("members", Value::Count(count))])
    };
    submit(&pair, members("2016", "year", 10)).await.unwrap();
    assert_eq!(submit(&pair, members("2016-Q1", "quarter", 3)).await.unwrap().findings, []);
    assert_eq!(submit(&pair, members("2016-01/2016-12", "other words", 11)).await.unwrap().findings.len(), 1);
    let share = Observation { scope: Scope::Children.into(), ..observation(FLAG, Value::Percent("10".into())) };
    assert_eq!(submit(&pair, report("c0", "share", "2017", vec![share])).await.unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_shares_disagree_whenever_they_were_published() {
    let pair = world().await;
    let share = |title: &str, percent: &str, period: &str| {
        let share = Observation { scope: Scope::Children.into(), ..observation(FLAG, Value::Percent(percent.into())) };
        let mut request = report("d", title, period, vec![share]);
        request.report.as_mut().unwrap().source.as_mut().unwrap().published_on = "2017-08-17".into();
        request
    };
    submit(&pair, share("first", "90", "2010-01-01/2020-12-31")).await.unwrap();
    let receipt = submit(&pair, share("second", "80", "2019")).await.unwrap();
    assert!(receipt.findings.iter().any(|finding| finding.reason() == Reason::SourcesDisagree), "{receipt:?}");
    let receipt = submit(&pair, share("third", "90.0", "2012")).await.unwrap();
    assert_eq!(receipt.findings, [], "the same, printed in another way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_ends_after_publication_is_worth_knowing() {
    let pair = world().await;
    let published = |basis| {
        let mut request = flag_report("c1", "t", true);
        let report = request.report.as_mut().unwrap();
        report.source.as_mut().unwrap().published_on = "2017-06-30".into();
        report.observations[0].basis = basis;
        request
    };
    let receipt = submit(&pair, published(0)).await.unwrap();
    let expected = [(Severity::Info, Reason::PeriodEndsAfterPublication, "report.period", Hypothesis::Unspecified)];
    assert_eq!(brief(&receipt.findings), expected);
    let projection = proto::v1::observation::Basis::Projection.into();
    assert_eq!(submit(&pair, published(projection)).await.unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_report_no_longer_counts_and_stays_readable() {
    let pair = world().await;
    let receipt = submit(&pair, flag_report("c0", "t", true)).await.unwrap();
    let name = receipt.report.unwrap().name;
    assert_eq!(crate::support::yes_and_no(&pair, receipt.revision.unwrap()).await, (1, 0));
    let withdraw = |expected_revision| WithdrawReportRequest {
        name: name.clone(),
        reason: "sent by mistake".into(),
        expected_revision,
        ..Default::default()
    };
    let stale = pair.reports().withdraw_report(withdraw(Some(1))).await.unwrap_err();
    assert_eq!(reason(&stale), "REVISION_CONFLICT");
    let revision =
        pair.reports().withdraw_report(withdraw(receipt.revision)).await.unwrap().into_inner().revision.unwrap();
    assert_eq!(crate::support::yes_and_no(&pair, revision).await, (0, 0));
    let again = pair.reports().withdraw_report(withdraw(None)).await.unwrap_err();
    assert_eq!((again.code(), reason(&again).as_str()), (Code::FailedPrecondition, "ALREADY_WITHDRAWN"));

    let get = proto::v1::GetReportRequest { name: name.clone(), version: 1 };
    let report = pair.reports().get_report(get).await.unwrap().into_inner().report.unwrap();
    let withdrawal = report.withdrawal.unwrap();
    assert_eq!((withdrawal.reason.as_str(), withdrawal.revision), ("sent by mistake", revision));
    // A new version makes it count again.
    let receipt = submit(&pair, flag_report("c0", "t", false)).await.unwrap();
    assert_eq!(
        (receipt.report.unwrap().version, crate::support::yes_and_no(&pair, receipt.revision.unwrap()).await),
        (2, (0, 1))
    );
    let unknown = WithdrawReportRequest { name: "reports/999".into(), reason: "r".into(), ..Default::default() };
    assert_eq!(reason(&pair.reports().withdraw_report(unknown).await.unwrap_err()), "REPORT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_walk_over_one_snapshot_while_reports_arrive() {
    use proto::v1::{ListObservationsRequest, ListReportsRequest, UnitSelector};
    let pair = world().await;
    let mut revision = 0;
    for number in 0..5 {
        let flag = number % 2 == 0;
        revision = submit(&pair, flag_report("c0", &format!("t{number}"), flag)).await.unwrap().revision.unwrap();
    }
    let reports = |page_token: String| ListReportsRequest { page_size: 2, page_token, ..Default::default() };
    let findings = |page_token: String| ListFindingsRequest { page_size: 2, page_token, ..Default::default() };
    let observations = |page_token: String| ListObservationsRequest {
        units: Some(UnitSelector { under: "d".into(), ..Default::default() }),
        page_size: 2,
        page_token,
        at_least_revision: Some(revision),
        ..Default::default()
    };
    let first_reports = pair.reports().list_reports(reports(String::new())).await.unwrap().into_inner();
    let first_findings = pair.reports().list_findings(findings(String::new())).await.unwrap().into_inner();
    let first_observations = pair.queries().list_observations(observations(String::new())).await.unwrap().into_inner();
    // Reports arrive, are corrected and withdrawn between the pages.
    submit(&pair, flag_report("c0", "late", true)).await.unwrap();
    submit(&pair, flag_report("c0", "t4", true)).await.unwrap();
    let name = first_reports.reports[1].name.clone();
    let withdraw = WithdrawReportRequest { name, reason: "r".into(), ..Default::default() };
    let late = pair.reports().withdraw_report(withdraw).await.unwrap().into_inner().revision.unwrap();
    crate::support::yes_and_no(&pair, late).await;

    let (mut titles, mut token) = (Vec::new(), first_reports.next_page_token.clone());
    let title = |report: Report| (report.source.unwrap().title, report.version, report.withdrawal.is_some());
    titles.extend(first_reports.reports.into_iter().map(title));
    let token_of_reports = token.clone();
    while !token.is_empty() {
        let page = pair.reports().list_reports(reports(token)).await.unwrap().into_inner();
        titles.extend(page.reports.into_iter().map(title));
        token = page.next_page_token;
    }
    assert_eq!(titles, (0..5).map(|number| (format!("t{number}"), 1, false)).collect::<Vec<_>>());

    let (mut revisions, mut token) = (Vec::new(), first_findings.next_page_token);
    revisions.extend(first_findings.findings.iter().map(|row| row.revision));
    while !token.is_empty() {
        let page = pair.reports().list_findings(findings(token)).await.unwrap().into_inner();
        revisions.extend(page.findings.iter().map(|row| row.revision));
        token = page.next_page_token;
    }
    assert_eq!(revisions, (revision - 3..=revision).collect::<Vec<_>>(), "each but the first disagrees with another");

    let (mut rows, mut token) = (Vec::new(), first_observations.next_page_token);
    rows.extend(first_observations.observations.iter().map(|row| row.revision));
    while !token.is_empty() {
        let page = pair.queries().list_observations(observations(token)).await.unwrap().into_inner();
        assert_eq!(page.meta.unwrap().revision, revision);
        rows.extend(page.observations.iter().map(|row| row.revision));
        token = page.next_page_token;
    }
    assert_eq!(rows, (revision - 4..=revision).collect::<Vec<_>>());
    let foreign = pair.reports().list_findings(findings(token_of_reports)).await.unwrap_err();
    assert_eq!(reason(&foreign), "INVALID_PAGE_TOKEN");
}
