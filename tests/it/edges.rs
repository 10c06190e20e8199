//! Where sums, places and bounds have their edges: currencies, fractions that do not end, the last day there is, groups.

use serde_json::{Value, json};
use tests::{harness::Pair, json::call};
use tonic::{Code, Status};

use crate::support::{small_world, violations};

async fn define(pair: &Pair) -> i64 {
    small_world(pair).await;
    let indicators = json!({"indicators": [
        {"id": "funds", "names": {"en": "f"}, "value_kind": "MONEY", "temporality": "STOCK", "roll_up": "LAST",
            "dimensions": [{"id": "use", "codes": ["roads", "schools"]}]},
        {"id": "costs", "names": {"en": "c"}, "value_kind": "MONEY", "temporality": "STOCK", "roll_up": "LAST"},
        {"id": "met", "names": {"en": "m"}, "value_kind": "RATIO", "temporality": "STOCK", "roll_up": "RATIO_OF_SUMS"},
        {"id": "cases", "names": {"en": "c"}, "value_kind": "COUNT", "temporality": "FLOW", "roll_up": "SUM"}]});
    let method = "tonghop.v1.RegistryService/DefineIndicators";
    let answer = call(pair.ingest.channel(), method, &indicators).await.unwrap();
    answer["revision"].as_str().unwrap().parse().unwrap()
}

async fn report(pair: &Pair, unit: &str, period: &str, observations: Value) -> i64 {
    let report =
        json!({"report": {"unit": unit, "period": period, "source": {"title": "t"}, "observations": observations}});
    let answer = call(pair.ingest.channel(), "tonghop.v1.IngestService/SubmitReport", &report).await.unwrap();
    answer["revision"].as_str().unwrap().parse().unwrap()
}

async fn ask(pair: &Pair, method: &str, revision: i64, mut question: Value) -> Result<Value, Status> {
    question["at_least_revision"] = json!(revision);
    call(pair.query.channel(), &format!("tonghop.v1.QueryService/{method}"), &question).await
}

fn money(amount: &str, currency: &str) -> Value {
    json!({"amount": amount, "currency": currency})
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_of_different_currencies_are_never_added_ranked_or_compared() {
    let pair = Pair::start();
    define(&pair).await;
    let by = |code: &str, money: Value| json!({"indicator": "funds", "by": {"use": code}, "money": money});
    report(&pair, "c0", "2017-06-30", json!([by("roads", money("5", "VND")), by("schools", money("5", "USD"))])).await;
    let cost = |money: Value| json!([{"indicator": "costs", "money": money}]);
    report(&pair, "c1", "2017-06-30", cost(money("900", "VND"))).await;
    let revision = report(&pair, "c2", "2017-06-30", cost(money("1", "USD"))).await;
    let day = "2017-06-30";
    let distribution = json!({"indicator": "funds", "units": {"ids": ["c0"]}, "on": day});
    let row = ask(&pair, "GetDistribution", revision, distribution).await.unwrap()["distributions"][0].clone();
    assert_eq!((row.get("total"), &row["emptyReason"]), (None, &json!("CURRENCIES_DIFFER")), "{row}");
    assert!(row["classes"].as_array().unwrap().iter().all(|class| class.get("share").is_none()), "{row}");
    let both = json!({"ids": ["c1", "c2"]});
    let sum = json!({"indicator": "costs", "units": both, "on": day});
    let row = ask(&pair, "Aggregate", revision, sum.clone()).await.unwrap()["figures"][0].clone();
    assert_eq!((row.get("value"), &row["emptyReason"]), (None, &json!("CURRENCIES_DIFFER")));
    let rank = json!({"indicator": "costs", "units": both, "on": day, "group_by": "UNIT"});
    let places = ask(&pair, "Rank", revision, rank).await.unwrap()["places"].clone();
    assert!(places.as_array().unwrap().iter().all(|place| place.get("place").is_none()), "{places}");
    let compare =
        json!({"indicator": "costs", "on": day, "a": {"units": {"ids": ["c1"]}}, "b": {"units": {"ids": ["c2"]}}});
    let row = ask(&pair, "Compare", revision, compare).await.unwrap()["comparisons"][0].clone();
    assert!(row.get("difference").is_none() && row.get("differenceLower").is_none(), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fractions_are_compared_exactly_and_the_last_period_there_is_has_an_answer() {
    let pair = Pair::start();
    define(&pair).await;
    let third = json!([{"indicator": "met", "ratio": {"numerator": "1", "denominator": "3"}}]);
    let revision = report(&pair, "c0", "2017", third).await;
    let filter = |bound: Value| {
        let mut value = bound;
        value["indicator"] = json!("met");
        json!({"indicator": "flag", "units": {"ids": ["c0"]}, "on": "2017-06-30", "filters": [{"value": value}]})
    };
    let expected = async |bound: Value| {
        let answer = ask(&pair, "GetShare", revision, filter(bound)).await.unwrap();
        answer["shares"][0]["expected"].as_i64().unwrap()
    };
    assert_eq!(expected(json!({"more_than": "0.333333"})).await, 1, "1/3 is more");
    assert_eq!(expected(json!({"less_than": "0.333334"})).await, 1, "and less");
    let last =
        json!({"indicator": "cases", "units": {"ids": ["c0"]}, "from": "9999-Q4", "to": "9999-Q4", "step": "QUARTER"});
    let answer = ask(&pair, "GetSeries", revision, last).await.unwrap();
    assert_eq!(answer["series"][0]["points"][0]["on"], json!("9999-12-31"));
}

#[tokio::test(flavor = "multi_thread")]
async fn slips_in_names_are_refused_and_not_answered_with_nothing() {
    let pair = Pair::start();
    let revision = define(&pair).await;
    let question = |field: &str, value: Value| {
        let mut question = json!({"indicator": "flag", "units": {"under": "d"}, "on": "2017-06-30"});
        question[field] = value;
        question
    };
    let refusal = async |method: &str, question: Value| {
        let status = ask(&pair, method, revision, question).await.unwrap_err();
        (status.code(), violations(&status).remove(0))
    };
    let is = |path: &str, reason: &str| (path.to_owned(), reason.to_owned());
    let group = refusal("GetShare", question("group_by", json!("province"))).await;
    assert_eq!(group, (Code::InvalidArgument, is("group_by", "UNKNOWN_GROUP")));
    let issuer = refusal("GetShare", question("reports", json!({"issuer": "nowhere"}))).await;
    assert_eq!(issuer, (Code::NotFound, is("reports.issuer", "UNIT_NOT_FOUND")));
    let side = json!({"indicator": "flag", "on": "2017-06-30", "units": {"under": "d"}, "a": {"units": {"under": "nowhere"}}, "b": {}});
    assert_eq!(refusal("Compare", side).await, (Code::NotFound, is("a.units.under", "UNIT_NOT_FOUND")));
}
