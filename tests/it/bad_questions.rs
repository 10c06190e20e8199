//! Questions that cannot be answered: each gets its code, its reason, the field at fault, and what to do.

use serde_json::{Value, json};
use tests::{harness::Pair, json::call};
use tonic::Code;

use crate::support::{flag_report, small_world, submit, violations, yes_and_no};

/// A call, the field that `change` sets to a value, and the refusal: code, path, reason, and a word of the message.
type Case = (&'static str, Value, Code, &'static str, &'static str, &'static str);

fn share() -> Value {
    json!({"indicator": "flag", "units": {"under": "d"}, "on": "2017-06-30"})
}

fn sum() -> Value {
    json!({"indicator": "cases", "units": {"under": "d", "level": "COMMUNE"}, "period": "2017"})
}

fn series() -> Value {
    json!({"indicator": "cases", "units": {"under": "d"}, "from": "2016-Q1", "to": "2017-Q4", "step": "QUARTER"})
}

/// A question with some fields changed; null takes a field away.
fn with(mut question: Value, changes: Value) -> Value {
    for (field, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(question.as_object_mut().unwrap().remove(field)),
            value => question[field] = value.clone(),
        }
    }
    question
}

#[allow(clippy::too_many_lines, reason = "it is a table")]
fn cases() -> Vec<Case> {
    use Code::{InvalidArgument, NotFound, OutOfRange};
    let of_units = json!({"units": {"ids": ["d", "nowhere"]}});
    let two = json!({"indicator": "members", "units": {"under": "d"}, "scope": "SUBTREE", "on": "2017-06-30", "period": null});
    let day = json!({"on": "2017-06-30", "period": null});
    vec![
        // What the call names and is not there.
        (
            "GetShare",
            with(share(), json!({"indicator": "unheard_of"})),
            NotFound,
            "indicator",
            "INDICATOR_NOT_FOUND",
            "ListIndicators",
        ),
        (
            "Aggregate",
            with(sum(), json!({"indicator": "unheard_of"})),
            NotFound,
            "indicator",
            "INDICATOR_NOT_FOUND",
            "ListIndicators",
        ),
        (
            "Aggregate",
            with(sum(), json!({"denominator": "unheard_of"})),
            NotFound,
            "denominator",
            "INDICATOR_NOT_FOUND",
            "not defined",
        ),
        (
            "GetSeries",
            with(series(), json!({"indicator": "unheard_of"})),
            NotFound,
            "indicator",
            "INDICATOR_NOT_FOUND",
            "not defined",
        ),
        (
            "Rank",
            with(sum(), json!({"indicator": "unheard_of"})),
            NotFound,
            "indicator",
            "INDICATOR_NOT_FOUND",
            "not defined",
        ),
        (
            "GetDistribution",
            with(share(), json!({"indicator": null, "flags": ["flag", "unheard_of"]})),
            NotFound,
            "flags[1]",
            "INDICATOR_NOT_FOUND",
            "not defined",
        ),
        (
            "GetAvailability",
            json!({"indicator": "unheard_of"}),
            NotFound,
            "indicator",
            "INDICATOR_NOT_FOUND",
            "not defined",
        ),
        (
            "GetShare",
            with(share(), json!({"units": {"under": "nowhere"}})),
            NotFound,
            "units.under",
            "UNIT_NOT_FOUND",
            "FindUnits",
        ),
        ("GetShare", with(share(), of_units), NotFound, "units.ids", "UNIT_NOT_FOUND", "nowhere"),
        (
            "GetShare",
            with(share(), json!({"units": {"under": "d", "level": 77}})),
            InvalidArgument,
            "units.level",
            "INVALID_ENUM_VALUE",
            "77",
        ),
        (
            "GetShare",
            with(share(), json!({"group_by": "PARISH"})),
            InvalidArgument,
            "group_by",
            "UNKNOWN_GROUP",
            "PROVINCE",
        ),
        (
            "GetShare",
            with(share(), json!({"units": null})),
            InvalidArgument,
            "units",
            "REQUIRED_FIELD_MISSING",
            "COMMUNE",
        ),
        // Measures that the roll-up forbids.
        (
            "Aggregate",
            with(sum(), with(day.clone(), json!({"indicator": "rate", "measure": "SUM"}))),
            InvalidArgument,
            "measure",
            "MEASURE_NOT_ALLOWED",
            "never become one",
        ),
        (
            "Aggregate",
            with(sum(), with(day.clone(), json!({"indicator": "rate"}))),
            InvalidArgument,
            "measure",
            "MEASURE_NOT_ALLOWED",
            "group_by UNIT",
        ),
        (
            "Aggregate",
            with(sum(), with(day.clone(), json!({"indicator": "met", "measure": "MEAN"}))),
            InvalidArgument,
            "measure",
            "MEASURE_NOT_ALLOWED",
            "RATIO",
        ),
        (
            "Aggregate",
            with(sum(), json!({"measure": "RATIO"})),
            InvalidArgument,
            "measure",
            "MEASURE_NOT_ALLOWED",
            "denominator",
        ),
        (
            "Aggregate",
            with(sum(), json!({"measure": "LAST"})),
            InvalidArgument,
            "measure",
            "MEASURE_NOT_ALLOWED",
            "STOCK",
        ),
        (
            "Aggregate",
            with(sum(), json!({"indicator": "flag"})),
            InvalidArgument,
            "indicator",
            "MEASURE_NOT_ALLOWED",
            "GetShare",
        ),
        (
            "Aggregate",
            with(sum(), json!({"indicator": "rating"})),
            InvalidArgument,
            "indicator",
            "MEASURE_NOT_ALLOWED",
            "GetDistribution",
        ),
        (
            "Aggregate",
            with(sum(), json!({"indicator": "trend"})),
            InvalidArgument,
            "indicator",
            "MEASURE_NOT_ALLOWED",
            "ListObservations",
        ),
        ("GetDistribution", with(sum(), json!({})), InvalidArgument, "indicator", "MEASURE_NOT_ALLOWED", "Aggregate"),
        (
            "GetShare",
            with(share(), json!({"indicator": "members"})),
            InvalidArgument,
            "indicator",
            "MEASURE_NOT_ALLOWED",
            "Aggregate",
        ),
        (
            "GetSeries",
            with(series(), json!({"indicator": "flag", "measure": "SUM"})),
            InvalidArgument,
            "measure",
            "MEASURE_NOT_ALLOWED",
            "share",
        ),
        ("Aggregate", with(sum(), two), InvalidArgument, "scope", "UNITS_OVERLAP", "stands above"),
        (
            "Aggregate",
            with(sum(), json!({"scope": "GROUP"})),
            InvalidArgument,
            "scope",
            "INVALID_ENUM_VALUE",
            "SUBTREE",
        ),
        ("Aggregate", with(sum(), json!({"per": "1000"})), InvalidArgument, "per", "CONFLICTING_FIELDS", "RATIO"),
        ("Aggregate", with(sum(), json!({"per": "0"})), InvalidArgument, "per", "INVALID_DECIMAL", "greater than 0"),
        (
            "Aggregate",
            with(sum(), json!({"by": {"colour": "red"}})),
            InvalidArgument,
            "by[\"colour\"]",
            "UNKNOWN_DIMENSION",
            "colour",
        ),
        // Time.
        (
            "GetSeries",
            with(series(), json!({"step": "YEAR", "to": "2017-Q3"})),
            InvalidArgument,
            "step",
            "INVALID_STEP",
            "whole number",
        ),
        (
            "GetSeries",
            with(series(), json!({"from": "2016-02", "to": "2016-07"})),
            InvalidArgument,
            "step",
            "INVALID_STEP",
            "none begins",
        ),
        (
            "GetSeries",
            with(series(), json!({"step": "DAY", "from": "2000", "to": "2017"})),
            InvalidArgument,
            "step",
            "TOO_MANY",
            "1000",
        ),
        ("GetSeries", with(series(), json!({"to": "2015"})), InvalidArgument, "to", "INVALID_PERIOD", "before"),
        ("GetSeries", with(series(), json!({"from": "../2016"})), InvalidArgument, "from", "INVALID_PERIOD", "open"),
        (
            "GetSeries",
            with(series(), json!({"from": null, "to": null, "step": null})),
            InvalidArgument,
            "from",
            "REQUIRED_FIELD_MISSING",
            "QUARTER",
        ),
        (
            "Aggregate",
            with(sum(), json!({"on": "2017-06-30", "period": null})),
            InvalidArgument,
            "on",
            "PERIOD_REQUIRED",
            "FLOW",
        ),
        (
            "Aggregate",
            with(sum(), json!({"on": "2017-06-30"})),
            InvalidArgument,
            "period",
            "CONFLICTING_FIELDS",
            "not both",
        ),
        (
            "Aggregate",
            with(sum(), json!({"from": "2016", "to": "2016", "step": "YEAR"})),
            InvalidArgument,
            "from",
            "CONFLICTING_FIELDS",
            "or period",
        ),
        (
            "Aggregate",
            with(sum(), json!({"last_known": true})),
            InvalidArgument,
            "last_known",
            "MEASURE_NOT_ALLOWED",
            "FLOW",
        ),
        (
            "Aggregate",
            with(sum(), json!({"period": "term:2015-2020"})),
            InvalidArgument,
            "period",
            "UNKNOWN_TERM",
            "ListTerms",
        ),
        (
            "GetShare",
            with(share(), json!({"known_at": {"revision": 999_999}})),
            OutOfRange,
            "known_at.revision",
            "FUTURE_REVISION",
            "newest",
        ),
        (
            "GetShare",
            with(share(), json!({"known_at": {"time": "2999-01-01T00:00:00Z"}})),
            OutOfRange,
            "known_at.time",
            "FUTURE_REVISION",
            "now is",
        ),
        (
            "GetShare",
            with(share(), json!({"coverage_min": "60"})),
            InvalidArgument,
            "coverage_min",
            "INVALID_DECIMAL",
            "0.6",
        ),
        // The same for calls that are no aggregations.
        (
            "GetAvailability",
            json!({"known_at": {"time": "2999-01-01T00:00:00Z"}}),
            OutOfRange,
            "known_at.time",
            "FUTURE_REVISION",
            "now is",
        ),
        (
            "ListObservations",
            json!({"units": {"under": "d"}, "known_at": {"time": "2999-01-01T00:00:00Z"}}),
            OutOfRange,
            "known_at.time",
            "FUTURE_REVISION",
            "now is",
        ),
        // Conditions.
        (
            "GetShare",
            with(share(), json!({"filters": [{}]})),
            InvalidArgument,
            "filters[0]",
            "REQUIRED_FIELD_MISSING",
            "attribute",
        ),
        (
            "GetShare",
            with(share(), json!({"filters": [{"value": {"indicator": "unheard_of", "flag": true}}]})),
            NotFound,
            "filters[0].value.indicator",
            "INDICATOR_NOT_FOUND",
            "not defined",
        ),
        (
            "GetShare",
            with(share(), json!({"filters": [{"value": {"indicator": "members", "flag": true}}]})),
            InvalidArgument,
            "filters[0].value.flag",
            "WRONG_VALUE_KIND",
            "bounds",
        ),
        (
            "GetShare",
            with(share(), json!({"filters": [{"value": {"indicator": "cases", "at_least": "3"}}]})),
            InvalidArgument,
            "filters[0].value.indicator",
            "PERIOD_REQUIRED",
            "period",
        ),
        (
            "GetShare",
            with(share(), json!({"filters": [{"value": {"indicator": "rating", "codes": ["perfect"]}}]})),
            InvalidArgument,
            "filters[0].value.codes",
            "UNKNOWN_CODE",
            "perfect",
        ),
        (
            "GetShare",
            with(
                share(),
                json!({"filters": [{"value": {"indicator": "members", "more_than": "5", "less_than": "5"}}]}),
            ),
            InvalidArgument,
            "filters[0].value",
            "CONFLICTING_FIELDS",
            "no number",
        ),
        // The rest.
        (
            "GetDistribution",
            with(share(), json!({"flags": ["flag", "flag"], "indicator": null})),
            InvalidArgument,
            "flags",
            "INVALID_NUMBER",
            "two different",
        ),
        (
            "Compare",
            with(share(), json!({"a": {"on": "2016-06-30"}, "b": null})),
            InvalidArgument,
            "b",
            "REQUIRED_FIELD_MISSING",
            "required",
        ),
        (
            "Compare",
            with(share(), json!({"a": {"on": "2016-02-30"}, "b": {}})),
            InvalidArgument,
            "a.on",
            "INVALID_DATE",
            "2016-02-30",
        ),
        ("Rank", json!({"form": "unheard_of", "period": "2017"}), NotFound, "form", "FORM_NOT_FOUND", "not defined"),
        (
            "Rank",
            json!({"form": "f", "indicator": "flag", "period": "2017"}),
            InvalidArgument,
            "indicator",
            "CONFLICTING_FIELDS",
            "on-time",
        ),
        (
            "GetCompleteness",
            json!({"form": "unheard_of", "period": "2017"}),
            NotFound,
            "form",
            "FORM_NOT_FOUND",
            "not defined",
        ),
        ("GetCompleteness", json!({"form": "f"}), InvalidArgument, "period", "REQUIRED_FIELD_MISSING", "required"),
        (
            "GetShare",
            with(share(), json!({"page_token": "AAAA"})),
            InvalidArgument,
            "page_token",
            "INVALID_PAGE_TOKEN",
            "start again",
        ),
        (
            "GetShare",
            with(share(), json!({"page_size": -1})),
            InvalidArgument,
            "page_size",
            "INVALID_NUMBER",
            "negative",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_that_cannot_be_answered_is_told_why_where_and_what_to_do() {
    let pair = Pair::start();
    small_world(&pair).await;
    let names = json!({"en": "n"});
    let indicator = |id: &str, kind: &str, temporality: &str, roll_up: &str| json!({"id": id, "names": names, "value_kind": kind, "temporality": temporality, "roll_up": roll_up});
    let mut rating = indicator("rating", "CATEGORY", "STATE", "DISTRIBUTION");
    rating["codes"] = json!(["good", "bad"]);
    let indicators = json!({"indicators": [
        indicator("cases", "COUNT", "FLOW", "SUM"),
        indicator("members", "COUNT", "STOCK", "LAST"),
        indicator("met", "RATIO", "STOCK", "RATIO_OF_SUMS"),
        indicator("rate", "PERCENT", "STOCK", "NONE"),
        indicator("trend", "DIRECTION", "FLOW", "NONE"),
        rating]});
    call(pair.ingest.channel(), "tonghop.v1.RegistryService/DefineIndicators", &indicators).await.unwrap();
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    yes_and_no(&pair, revision).await;
    for (method, request, code, path, expected, word) in cases() {
        let answer = call(pair.query.channel(), &format!("tonghop.v1.QueryService/{method}"), &request).await;
        let Err(refused) = answer else { panic!("{method} {request}: {answer:?}") };
        let violations = violations(&refused);
        let found = violations.iter().any(|(p, r)| (p.as_str(), r.as_str()) == (path, expected));
        assert!(refused.code() == code && found, "{method} {request}: {refused:?} {violations:?}");
        assert!(refused.message().contains(word), "{method} {request}: {}", refused.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_rows_than_fit_are_refused_with_the_limit_and_how_to_page() {
    let pair = Pair::start();
    small_world(&pair).await;
    let units: Vec<Value> =
        (0..1_001).map(|n| json!({"id": format!("x{n:04}"), "level": "COMMUNE", "name": "x", "parent": "d"})).collect();
    let registered = json!({ "units": units });
    let answer = call(pair.ingest.channel(), "tonghop.v1.RegistryService/RegisterUnits", &registered).await.unwrap();
    let mut question = json!({"indicator": "flag", "units": {"under": "d", "level": "COMMUNE"}, "on": "2017-06-30", "group_by": "UNIT"});
    question["at_least_revision"] = answer["revision"].clone();
    let method = "tonghop.v1.QueryService/GetShare";
    let refused = call(pair.query.channel(), method, &question).await.unwrap_err();
    assert_eq!(violations(&refused), [("page_size".to_owned(), "TOO_MANY".to_owned())]);
    assert!(refused.message().contains("1006") && refused.message().contains("1000"), "{}", refused.message());
    question["page_size"] = json!(1_000);
    let first = call(pair.query.channel(), method, &question).await.unwrap();
    question["page_token"] = first["nextPageToken"].clone();
    let second = call(pair.query.channel(), method, &question).await.unwrap();
    let count = |page: &Value| page["shares"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), second.get("nextPageToken")), (1_000, 6, None));
}
