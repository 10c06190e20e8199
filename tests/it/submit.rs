//! Submitting: receipts, repetition, versions, refusals.

use proto::v1::{
    DefineTermsRequest, GetReportRequest, ListUnitsRequest, Observation, RegisterUnitsRequest, Source,
    SubmitReportRequest, Term,
    indicator::ValueKind,
    observation::{Missing, Money, Qualifier, Ratio, Scope, Value},
    unit::Level,
};
use tests::harness::Pair;
use tonic::Code;

use crate::support::{
    FLAG, flag_report, indicator, observation, reason, small_world, submit, unit, violations, yes_and_no,
};

const REQUEST_ID: &str = "0192d0c2-7c3e-7f00-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_acknowledged_is_in_the_next_answer() {
    let pair = Pair::start();
    small_world(&pair).await;
    for (index, flag) in [true, true, false].into_iter().enumerate() {
        let receipt = submit(&pair, flag_report(&format!("c{index}"), "t", flag)).await.unwrap();
        let (yes, no) = yes_and_no(&pair, receipt.revision.unwrap()).await;
        assert_eq!(usize::try_from(yes + no).unwrap(), index + 1);
    }
    // A new version replaces the old one.
    let receipt = submit(&pair, flag_report("c0", "t", false)).await.unwrap();
    assert_eq!(receipt.report.unwrap().version, 2);
    assert_eq!(yes_and_no(&pair, receipt.revision.unwrap()).await, (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_and_stale_requests_are_told_apart() {
    let pair = Pair::start();
    small_world(&pair).await;
    let with_id = |request| SubmitReportRequest { request_id: REQUEST_ID.into(), ..request };
    let first = submit(&pair, with_id(flag_report("c0", "t", true))).await.unwrap();
    let again = submit(&pair, with_id(flag_report("c0", "t", true))).await.unwrap();
    assert_eq!(again, first, "the same receipt");
    let other = submit(&pair, with_id(flag_report("c0", "t", false))).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).as_str()), (Code::AlreadyExists, "KEY_REUSED_DIFFERENT_CONTENT"));
    let id = SubmitReportRequest { request_id: "no uuid".into(), ..flag_report("c0", "t", true) };
    let id = submit(&pair, id).await.unwrap_err();
    assert_eq!(violations(&id), [("request_id".to_owned(), "INVALID_UUID".to_owned())]);

    let expecting =
        |revision| SubmitReportRequest { expected_revision: Some(revision), ..flag_report("c0", "t", false) };
    let stale = submit(&pair, expecting(0)).await.unwrap_err();
    assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "REVISION_CONFLICT"));
    let second = submit(&pair, expecting(first.revision.unwrap())).await.unwrap();
    let stale = submit(&pair, expecting(first.revision.unwrap())).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    assert_eq!(second.revision, first.revision.map(|revision| revision + 1), "refusals leave no trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_stays_readable() {
    let pair = Pair::start();
    small_world(&pair).await;
    let first = submit(&pair, flag_report("c0", "t", true)).await.unwrap().report.unwrap();
    let second = submit(&pair, flag_report("c0", "t", false)).await.unwrap().report.unwrap();
    assert_eq!(second.name, first.name);
    let get = async |version| {
        let request = GetReportRequest { name: first.name.clone(), version };
        pair.reports().get_report(request).await.map(|answer| answer.into_inner().report.unwrap())
    };
    assert_eq!(get(1).await.unwrap(), first);
    assert_eq!(get(2).await.unwrap(), second);
    assert_eq!(get(0).await.unwrap(), second, "0 is the newest");
    let unknown = get(3).await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "REPORT_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let pair = Pair::start();
    small_world(&pair).await;
    let before = submit(&pair, flag_report("c1", "t", true)).await.unwrap().revision.unwrap();
    let dry = SubmitReportRequest { validate_only: true, ..flag_report("c0", "t", true) };
    let answer = submit(&pair, dry).await.unwrap();
    assert_eq!(answer.revision, None);
    let report = answer.report.unwrap();
    assert_eq!((report.name.as_str(), report.version, report.period_end_on.as_str()), ("", 1, "2017-12-31"));
    let after = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    assert_eq!(after, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_is_looked_up_on_the_unit_and_above_it_and_kept_with_the_report() {
    let pair = Pair::start();
    small_world(&pair).await;
    let term = |unit: &str, start_on: &str| Term {
        label: "2015-2020".into(),
        unit: unit.into(),
        start_on: start_on.into(),
        end_on: "2020-07-31".into(),
        ..Default::default()
    };
    let terms = vec![term("d", "2015-08-01"), term("c1", "2015-05-01")];
    pair.registry().define_terms(DefineTermsRequest { terms, ..Default::default() }).await.unwrap();
    let report = |unit: &str, label: &str| {
        let mut request = flag_report(unit, "t", true);
        request.report.as_mut().unwrap().period = format!("term:{label}");
        request
    };
    for (unit, start_on) in [("c0", "2015-08-01"), ("c1", "2015-05-01")] {
        let stored = submit(&pair, report(unit, "2015-2020")).await.unwrap().report.unwrap();
        assert_eq!((stored.period.as_str(), stored.period_start_on.as_str()), ("term:2015-2020", start_on));
    }
    let unknown = submit(&pair, report("p", "2015-2020")).await.unwrap_err();
    assert_eq!(violations(&unknown), [("report.period".to_owned(), "UNKNOWN_TERM".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_report_is_named_and_nothing_is_stored() {
    let pair = Pair::start();
    small_world(&pair).await;
    let kinds = [
        ("members", ValueKind::Count),
        ("resolved", ValueKind::Ratio),
        ("revenue", ValueKind::Money),
        ("rate", ValueKind::Percent),
    ];
    let indicators = kinds.map(|(id, kind)| indicator(id, kind)).to_vec();
    let indicators = proto::v1::DefineIndicatorsRequest { indicators, ..Default::default() };
    let before = pair.registry().define_indicators(indicators).await.unwrap().into_inner().revision;
    let ratio = |numerator, denominator| Value::Ratio(Ratio { numerator, denominator });
    let money = |amount: &str, currency: &str| {
        Value::Money(Money { amount: amount.into(), currency: currency.into(), ..Default::default() })
    };
    let share = |percent: &str| Observation {
        scope: Scope::Children.into(),
        ..observation(FLAG, Value::Percent(percent.into()))
    };
    let cases = vec![
        (observation("members", Value::Count(-1)), "count", "INVALID_NUMBER"),
        (observation("resolved", ratio(Some(5), Some(0))), "ratio.denominator", "ZERO_DENOMINATOR"),
        (observation("resolved", ratio(Some(5), None)), "ratio.denominator", "REQUIRED_FIELD_MISSING"),
        (observation("resolved", ratio(Some(5), Some(4))), "ratio.numerator", "NUMERATOR_ABOVE_DENOMINATOR"),
        (observation("rate", Value::Percent("12,7".into())), "percent", "INVALID_DECIMAL"),
        (observation("rate", Value::Percent("NaN".into())), "percent", "INVALID_DECIMAL"),
        (observation("revenue", money("1e400", "VND")), "money.amount", "INVALID_DECIMAL"),
        (observation("revenue", money("1", "dong")), "money.currency", "INVALID_CURRENCY"),
        (observation("Members", Value::Count(1)), "indicator", "INVALID_ID"),
        (observation("members", Value::Missing(0)), "missing", "REQUIRED_FIELD_MISSING"),
        (observation("members", Value::Missing(77)), "missing", "INVALID_ENUM_VALUE"),
        (Observation { value: None, ..observation("members", Value::Count(0)) }, "", "REQUIRED_FIELD_MISSING"),
        (
            Observation { qualifier: Qualifier::MoreThan.into(), ..observation(FLAG, Value::Flag(true)) },
            "qualifier",
            "QUALIFIER_NOT_ALLOWED",
        ),
    ];
    let mut request = flag_report("c0", "t", true);
    let report = request.report.as_mut().unwrap();
    report.period = "2016-Q5".into();
    report.source = Some(Source::default());
    report.observations = cases.iter().map(|(observation, ..)| observation.clone()).collect();
    let refused = submit(&pair, request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "SEVERAL_VIOLATIONS"));
    let mut expected = vec![
        ("report.period".to_owned(), "INVALID_PERIOD".to_owned()),
        ("report.source".to_owned(), "REQUIRED_FIELD_MISSING".to_owned()),
    ];
    expected.extend(cases.iter().enumerate().map(|(index, (_, field, reason))| {
        let path = format!("report.observations[{index}].{field}");
        (path.trim_end_matches('.').to_owned(), (*reason).to_owned())
    }));
    // The cases use four indicators again and again; that is a violation of its own, whatever is wrong with the values.
    let again = [2, 3, 5, 7, 9, 10, 11];
    let again = again.map(|index| (format!("report.observations[{index}]"), "DUPLICATE_OBSERVATION".to_owned()));
    expected.extend(again);
    assert_eq!(violations(&refused), expected);

    // What only the registry can tell, in one answer too.
    let cases = [
        (observation("members", Value::Flag(true)), "flag", "WRONG_VALUE_KIND"),
        (observation("unheard_of", Value::Count(1)), "indicator", "UNKNOWN_INDICATOR"),
        (observation(FLAG, Value::Percent("90".into())), "percent", "WRONG_VALUE_KIND"),
        (share("101"), "percent", "PERCENT_OUT_OF_RANGE"),
        (observation("rate", Value::Percent("5".into())), "by[\"rating\"]", "UNKNOWN_DIMENSION"),
        (observation("members", Value::Missing(Missing::Withheld.into())), "", "DUPLICATE_OBSERVATION"),
    ];
    let mut request = flag_report("nowhere", "t", true);
    let report = request.report.as_mut().unwrap();
    report.observations = cases.iter().map(|(observation, ..)| observation.clone()).collect();
    report.observations[4].by.insert("rating".into(), "good".into());
    let refused = submit(&pair, request).await.unwrap_err();
    let mut expected = vec![("report.unit".to_owned(), "UNKNOWN_UNIT".to_owned())];
    expected.extend(cases.iter().enumerate().map(|(index, (_, field, reason))| {
        let path = format!("report.observations[{index}].{field}");
        (path.trim_end_matches('.').to_owned(), (*reason).to_owned())
    }));
    assert_eq!(violations(&refused), expected);

    let after = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    assert_eq!(after, before + 1, "nothing of all that was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_is_accepted_as_a_whole_or_not_at_all() {
    let pair = Pair::start();
    small_world(&pair).await;
    let register = async |units| {
        let request = RegisterUnitsRequest { units, ..Default::default() };
        pair.registry().register_units(request).await.map(|answer| answer.into_inner().revision)
    };
    let refused =
        register(vec![unit("c5", Level::Commune, "d"), unit("c6", Level::Commune, "nowhere")]).await.unwrap_err();
    assert_eq!(violations(&refused), [("units[1].parent".to_owned(), "UNKNOWN_PARENT".to_owned())]);
    let list = ListUnitsRequest { under: "d".into(), level: Level::Commune.into(), ..Default::default() };
    let listed = pair.registry().list_units(list).await.unwrap().into_inner().units;
    assert_eq!(listed.len(), 5);

    let other = proto::v1::Unit { name: "Another name".into(), ..unit("c0", Level::Commune, "d") };
    let refused = register(vec![other]).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "EXISTS_WITH_DIFFERENT_CONTENT"));
    let revision = register(vec![unit("c0", Level::Commune, "d")]).await.unwrap();
    assert_eq!(
        register(vec![unit("c5", Level::Commune, "d")]).await.unwrap(),
        revision + 1,
        "the same again changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_walk_over_one_snapshot_while_units_arrive() {
    let pair = Pair::start();
    small_world(&pair).await;
    let mut registry = pair.registry();
    let page = |page_token: String| ListUnitsRequest { page_size: 3, page_token, ..Default::default() };
    let first = registry.list_units(page(String::new())).await.unwrap().into_inner();
    let late = vec![unit("a0", Level::Commune, "d"), unit("c9", Level::Commune, "d"), unit("z9", Level::Commune, "d")];
    registry.register_units(RegisterUnitsRequest { units: late, ..Default::default() }).await.unwrap();
    let mut ids: Vec<String> = first.units.into_iter().map(|unit| unit.id).collect();
    let mut token = first.next_page_token;
    let altered = registry.list_units(page(format!("{token}x"))).await.unwrap_err();
    assert_eq!((altered.code(), reason(&altered).as_str()), (Code::InvalidArgument, "INVALID_PAGE_TOKEN"));
    let other_query = ListUnitsRequest { under: "d".into(), ..page(token.clone()) };
    assert_eq!(reason(&registry.list_units(other_query).await.unwrap_err()), "INVALID_PAGE_TOKEN");
    while !token.is_empty() {
        let next = registry.list_units(page(token)).await.unwrap().into_inner();
        ids.extend(next.units.into_iter().map(|unit| unit.id));
        token = next.next_page_token;
    }
    assert_eq!(ids, ["c0", "c1", "c2", "c3", "c4", "d", "p", "vn"]);
}
