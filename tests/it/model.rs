//! What the model holds beyond a flag: every kind of value, versions, groups, duties, and what contradicts itself.

use serde_json::{Value, json};
use tests::{fixtures, harness::Pair, json::call};
use tonic::Status;

use crate::support::{reason, small_world, violations};

async fn registry(pair: &Pair, method: &str, request: Value) -> Result<Value, Status> {
    call(pair.ingest.channel(), &format!("tonghop.v1.RegistryService/{method}"), &request).await
}

async fn ingest(pair: &Pair, method: &str, request: Value) -> Result<Value, Status> {
    call(pair.ingest.channel(), &format!("tonghop.v1.IngestService/{method}"), &request).await
}

async fn query(pair: &Pair, method: &str, request: Value) -> Result<Value, Status> {
    call(pair.query.channel(), &format!("tonghop.v1.QueryService/{method}"), &request).await
}

/// Submits a report for a unit and answers the receipt.
async fn report(pair: &Pair, unit: &str, period: &str, title: &str, observations: Value) -> Result<Value, Status> {
    let report = json!({"unit": unit, "period": period, "source": {"title": title}, "observations": observations});
    ingest(pair, "SubmitReport", json!({"report": report})).await
}

fn reasons(answer: &Value) -> Vec<String> {
    let findings = answer.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
    findings.iter().map(|finding| finding["reason"].as_str().unwrap().to_owned()).collect()
}

async fn define(pair: &Pair, indicators: Value) -> Result<Value, Status> {
    registry(pair, "DefineIndicators", json!({"indicators": indicators})).await
}

fn count(id: &str) -> Value {
    json!({"id": id, "names": {"en": id}, "value_kind": "COUNT", "temporality": "FLOW", "roll_up": "SUM", "unit_of_measure": "people"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_resolves_a_finding_and_what_was_known_before_keeps_it() {
    let pair = Pair::start();
    let loaded = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let reports = ingest(&pair, "ListReports", json!({"unit": "district-004", "page_size": 1000})).await.unwrap();
    let has_ratings = |report: &&Value| report["observations"].to_string().contains("cadre_ratings");
    let wrong = reports["reports"].as_array().unwrap().iter().find(has_ratings).unwrap().clone();
    assert!(reasons(&wrong).contains(&"STATED_PERCENT_CONTRADICTS".to_owned()));

    // The report as it was sent, with one figure corrected.
    let mut sent = fixtures_report("long-bien", "cadre_ratings");
    for observation in sent["observations"].as_array_mut().unwrap() {
        if observation["stated_percent"] == "11.95" {
            observation["stated_percent"] = json!("1.195");
        }
    }
    sent["sender"] = json!("a correcting office");
    let corrected = ingest(&pair, "SubmitReport", json!({"report": sent})).await.unwrap();
    assert_eq!(corrected["report"]["version"], 2);
    assert!(!reasons(&corrected["report"]).contains(&"STATED_PERCENT_CONTRADICTS".to_owned()));
    let revision = corrected["revision"].clone();

    // Version 1 still shows it, and so does what was known before.
    let name = wrong["name"].clone();
    let first = ingest(&pair, "GetReport", json!({"name": name, "version": 1})).await.unwrap();
    assert_eq!(first["report"]["findings"], wrong["findings"]);
    let open = async |include_resolved: bool| {
        let request = json!({"unit": "district-004", "include_resolved": include_resolved, "page_size": 1000});
        let answer = ingest(&pair, "ListFindings", request).await.unwrap();
        let rows = answer["findings"].as_array().unwrap().clone();
        rows.iter().filter(|row| row["finding"]["hypothesis"] == "DECIMAL_POINT_MOVED").count()
    };
    assert_eq!((open(false).await, open(true).await), (0, 1));
    let findings = async |known_at: Value| {
        let request = json!({"units": {"ids": ["district-004"]}, "indicator": "cadre_ratings", "known_at": known_at, "at_least_revision": revision});
        let answer = query(&pair, "ListObservations", request).await.unwrap();
        answer["observations"].as_array().unwrap().iter().flat_map(reasons).collect::<Vec<_>>()
    };
    let contradicts = "STATED_PERCENT_CONTRADICTS".to_owned();
    assert!(findings(json!({"revision": loaded})).await.contains(&contradicts));
    assert!(!findings(json!({"revision": revision})).await.contains(&contradicts));

    // What changed, who sent it, from which source.
    let changes = ingest(&pair, "CompareReportVersions", json!({"name": name})).await.unwrap();
    let sender = json!([{"path": "report.sender", "after": "a correcting office"}]);
    assert_eq!(changes["fields"], sender);
    let observations = changes["observations"].as_array().unwrap();
    assert_eq!(observations.len(), 1, "{changes}");
    assert_eq!(observations[0]["before"]["statedPercent"], "11.95");
    assert_eq!(observations[0]["after"]["statedPercent"], "1.195");
    let request = json!({"name": name, "reason": "a test"});
    ingest(&pair, "WithdrawReport", request).await.unwrap();
    let versions = ingest(&pair, "ListReportVersions", json!({"name": name})).await.unwrap();
    let versions = versions["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 3);
    assert_eq!(versions[1]["sender"], "a correcting office");
    assert_eq!(versions[0]["source"], wrong["source"]);
    assert_eq!((&versions[2]["withdrawalReason"], versions[2].get("version")), (&json!("a test"), None));
    let missing = ingest(&pair, "CompareReportVersions", json!({"name": name, "version": 1})).await.unwrap_err();
    assert_eq!(reason(&missing), "REPORT_NOT_FOUND");
}

/// The report of a file that speaks of an indicator, as it is sent.
fn fixtures_report(file: &str, indicator: &str) -> Value {
    let text = std::fs::read_to_string(fixtures::path(&format!("reports/{file}.json"))).unwrap();
    let requests: Value = serde_json::from_str(&text).unwrap();
    let speaks = |request: &&Value| request["report"]["observations"].to_string().contains(indicator);
    requests.as_array().unwrap().iter().find(speaks).unwrap()["report"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_change_is_answered_with_every_reading() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let rows = async |unit: &str, indicator: &str| {
        let request = json!({"units": {"ids": [unit]}, "indicator": indicator, "at_least_revision": revision});
        let answer = query(&pair, "ListObservations", request).await.unwrap();
        answer["observations"].as_array().unwrap().clone()
    };
    // The rate was 12.7 % at the end of 2016 and had gone down by more than 4: of what, the source does not say.
    let rate = rows("district-171", "poor_household_rate_change").await;
    let readings = json!([
        {"unit": "PERCENTAGE_POINT", "impliedBaseline": "16.7", "impliedBaselineQualifier": "MORE_THAN"},
        {"unit": "PERCENT", "impliedBaseline": "13.229167", "impliedBaselineQualifier": "MORE_THAN"},
    ]);
    assert_eq!(rate[0]["readings"], readings);
    assert_eq!(reasons(&rate[0]), ["AMBIGUOUS_CHANGE"]);
    // The increase of the revenue is the index to which 11.5 % a year lead.
    let growth = rows("district-626", "state_budget_revenue_growth").await;
    let finding = growth[0]["findings"].as_array().unwrap();
    let finding = finding.iter().find(|finding| finding["reason"] == "INDEX_AS_INCREASE").unwrap();
    assert_eq!(finding["severity"], "WARNING");
    assert!(finding["message"].as_str().unwrap().contains("172.34"), "{finding}");
    assert_eq!(growth[0]["observation"]["change"]["amount"], "172.3", "it is kept as it was published");

    // 308 disciplined in ten years over three terms belong to none of them, and to no year.
    let disciplined = rows("district-171", "party_members_disciplined").await;
    assert_eq!(disciplined.len(), 1);
    assert_eq!(disciplined[0]["period"], "2007-01-01/2016-12-31");
    for period in ["2010-08-01/2015-07-31", "2016", "2005-08-01/2010-07-31"] {
        let request =
            json!({"units": {"under": "district-171"}, "indicator": "party_members_disciplined", "period": period});
        let answer = query(&pair, "ListObservations", request).await.unwrap();
        assert!(answer.get("observations").is_none(), "{period}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_of_a_group_is_said_of_each_of_its_units() {
    let pair = Pair::start();
    small_world(&pair).await;
    let category = json!({"id": "rating", "names": {"en": "rating"}, "value_kind": "CATEGORY", "temporality": "STATE",
        "roll_up": "DISTRIBUTION", "codes": ["good", "bad"]});
    define(&pair, json!([category])).await.unwrap();
    let group = json!([
        {"indicator": "rating", "scope": "GROUP", "units": ["c2", "c1"], "category": "good"},
        {"indicator": "flag", "scope": "GROUP", "units": ["c1", "c2"], "flag": true},
    ]);
    let receipt = report(&pair, "d", "2017", "the seven others", group).await.unwrap();
    let stored = &receipt["report"]["observations"][0];
    assert_eq!(stored["units"], json!(["c1", "c2"]), "in one order");
    let request = json!({"indicator": "flag", "units": {"under": "d", "level": "COMMUNE"}, "on": "2017-06-01", "at_least_revision": receipt["revision"]});
    let share = query(&pair, "GetShare", request.clone()).await.unwrap()["shares"][0].clone();
    assert_eq!((&share["yes"], &share["notReported"]), (&json!(2), &json!(3)));

    // One of them says otherwise of itself.
    let own = report(
        &pair,
        "c1",
        "2017",
        "itself",
        json!([{"indicator": "rating", "category": "bad"}, {"indicator": "flag", "flag": false}]),
    );
    let own = own.await.unwrap();
    assert_eq!(reasons(&own), ["SOURCES_DISAGREE", "SOURCES_DISAGREE"]);
    let request = json!({"at_least_revision": own["revision"], "indicator": "flag", "units": {"under": "d", "level": "COMMUNE"}, "on": "2017-06-01"});
    let share = query(&pair, "GetShare", request).await.unwrap()["shares"][0].clone();
    assert_eq!((&share["yes"], &share["no"], &share["contested"]), (&json!(1), &json!(1), &json!(1)));

    let bad = json!([
        {"indicator": "rating", "scope": "GROUP", "category": "good"},
        {"indicator": "rating", "category": "excellent"},
        {"indicator": "rating", "scope": "GROUP", "units": ["c1", "nowhere"], "category": "good"},
        {"indicator": "rating", "units": ["c1"], "category": "good"},
        {"indicator": "rating", "scope": "CHILDREN", "category": "good", "qualifier": "MORE_THAN"},
    ]);
    let refused = report(&pair, "d", "2017", "bad", bad).await.unwrap_err();
    let mut found = violations(&refused);
    found.sort();
    let expected = [
        ("report.observations[0].units", "CONFLICTING_FIELDS"),
        ("report.observations[1].category", "UNKNOWN_CODE"),
        ("report.observations[2].units", "UNKNOWN_UNIT"),
        ("report.observations[3].units", "CONFLICTING_FIELDS"),
        ("report.observations[4].qualifier", "QUALIFIER_NOT_ALLOWED"),
    ];
    assert_eq!(found, expected.map(|(path, reason)| (path.to_owned(), reason.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_itself_is_stored_and_found() {
    let pair = Pair::start();
    small_world(&pair).await;
    let stock = |id: &str, more: Value| {
        let mut stock = json!({"id": id, "names": {"en": id}, "value_kind": "COUNT", "temporality": "STOCK", "roll_up": "LAST", "unit_of_measure": "people"});
        stock.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stock
    };
    let rates = json!({"id": "rate", "names": {"en": "rate"}, "value_kind": "PERCENT", "temporality": "STOCK", "roll_up": "NONE"});
    let change = json!({"id": "rate_change", "names": {"en": "x"}, "value_kind": "CHANGE", "temporality": "FLOW", "roll_up": "NONE", "change_of": "rate"});
    let mut split = count("split");
    split["dimensions"] = json!([{"id": "sex", "codes": ["f", "m"], "closed": true}]);
    let balance = json!({"balance": {"opening": "opening", "inflows": ["received"], "outflows": ["resolved"]}});
    let mut councils = json!({"id": "council", "names": {"en": "x"}, "value_kind": "FLAG", "temporality": "STATE", "roll_up": "SHARE_OF_UNITS", "levels": ["COMMUNE"]});
    councils["not_applicable"] = json!([{"under": "c0", "start_on": "2021-07-01", "reason": "no council there"}]);
    define(
        &pair,
        json!([
            rates,
            change,
            split,
            count("received"),
            count("resolved"),
            stock("opening", json!({})),
            stock("closing", balance),
            councils
        ]),
    )
    .await
    .unwrap();

    let parts = json!([
        {"indicator": "split", "count": "10"},
        {"indicator": "split", "by": {"sex": "f"}, "count": "4"},
        {"indicator": "split", "by": {"sex": "m"}, "count": "5"},
        {"indicator": "received", "count": "1"},
        {"indicator": "received", "scope": "CHILDREN", "count": "2"},
        {"indicator": "received", "scope": "SUBTREE", "count": "4"},
    ]);
    let receipt = report(&pair, "p", "2017", "parts", parts).await.unwrap();
    assert_eq!(reasons(&receipt), ["PARTS_CONTRADICT_TOTAL", "PARTS_CONTRADICT_TOTAL"]);

    let balance = json!([
        {"indicator": "opening", "count": "5"}, {"indicator": "received", "count": "3"},
        {"indicator": "resolved", "count": "4"}, {"indicator": "closing", "count": "5"},
    ]);
    let receipt = report(&pair, "c4", "2016", "balance", balance).await.unwrap();
    assert_eq!(reasons(&receipt), ["BALANCE_CONTRADICTS"]);

    // From 16.7 to 12.7 are 4 points, or 23.95 %.
    report(&pair, "c1", "2015", "rates", json!([{"indicator": "rate", "percent": "16.7"}])).await.unwrap();
    let printed = |unit: &str| json!([{"indicator": "rate", "percent": "12.7"}, {"indicator": "rate_change", "change": {"amount": "-4", "unit": unit, "baseline": "YEAR", "baseline_year": 2015}}]);
    let receipt = report(&pair, "c1", "2016", "in percent", printed("PERCENT")).await.unwrap();
    assert_eq!(reasons(&receipt), ["POINTS_AS_PERCENT"]);
    let receipt = report(&pair, "c1", "2016", "in points", printed("PERCENTAGE_POINT")).await.unwrap();
    assert!(!reasons(&receipt).contains(&"POINTS_AS_PERCENT".to_owned()));

    // The district says 9 for its communes; they say otherwise, whoever comes first.
    for unit in ["c0", "c1", "c2", "c3"] {
        report(&pair, unit, "2017", "own", json!([{"indicator": "resolved", "count": "2"}])).await.unwrap();
    }
    let receipt =
        report(&pair, "d", "2017", "all", json!([{"indicator": "resolved", "scope": "CHILDREN", "count": "9"}]));
    assert_eq!(reasons(&receipt.await.unwrap()), Vec::<String>::new(), "one of them has not reported yet");
    let receipt = report(&pair, "c4", "2017", "own", json!([{"indicator": "resolved", "count": "2"}])).await.unwrap();
    assert_eq!(reasons(&receipt), ["CHILDREN_CONTRADICT"]);
    assert_eq!(receipt["findings"][0]["others"].as_array().unwrap().len(), 5, "the district and the four others");
    let receipt = report(&pair, "c4", "2017", "own", json!([{"indicator": "resolved", "count": "1"}])).await.unwrap();
    assert_eq!(reasons(&receipt), Vec::<String>::new(), "corrected, they add up");
    let receipt =
        report(&pair, "d", "2017", "all", json!([{"indicator": "resolved", "scope": "CHILDREN", "count": "5"}]));
    assert_eq!(reasons(&receipt.await.unwrap()), ["CHILDREN_CONTRADICT"]);

    // It is resolved by whoever corrects what is wrong: here one of the communes.
    let open = async || {
        let answer = ingest(&pair, "ListFindings", json!({"unit": "d"})).await.unwrap();
        let rows = answer.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        rows.iter().filter(|row| row["finding"]["reason"] == "CHILDREN_CONTRADICT").count()
    };
    let figure = json!([{"indicator": "resolved", "scope": "CHILDREN", "count": "10"}]);
    report(&pair, "d", "2017", "all", figure).await.unwrap();
    assert_eq!(open().await, 1);
    let receipt = report(&pair, "c4", "2017", "own", json!([{"indicator": "resolved", "count": "2"}])).await.unwrap();
    assert_eq!((reasons(&receipt), open().await), (Vec::new(), 0));

    // There was no council; the report is kept and does not count.
    let observed = json!([{"indicator": "council", "flag": true}]);
    let receipt = report(&pair, "c0", "2022", "council", observed.clone()).await.unwrap();
    assert_eq!(reasons(&receipt), ["NOT_APPLICABLE_THEN"]);
    let receipt = report(&pair, "c1", "2022", "council", observed).await.unwrap();
    assert_eq!(reasons(&receipt), Vec::<String>::new());
    let request = json!({"indicator": "council", "units": {"under": "vn"}, "on": "2022-06-01", "at_least_revision": receipt["revision"]});
    let share = query(&pair, "GetShare", request).await.unwrap()["shares"][0].clone();
    // The country, the province, the district and c0 are not asked.
    let counted = ["yes", "notReported", "notApplicable", "expected"].map(|field| share[field].as_i64().unwrap());
    assert_eq!(counted, [1, 3, 4, 8]);

    let report = json!({"unit": "c1", "period": "2019", "form": "nobody_knows", "source": {"title": "t"}, "observations": [{"indicator": "rate", "percent": "1"}]});
    let receipt = ingest(&pair, "SubmitReport", json!({"report": report})).await.unwrap();
    assert_eq!(reasons(&receipt), ["UNKNOWN_FORM"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_person_times_never_add() {
    let pair = Pair::start();
    small_world(&pair).await;
    let mut times = count("times");
    times["unit_of_measure"] = json!("person-times");
    let stock = json!({"id": "stock", "names": {"en": "x"}, "value_kind": "COUNT", "temporality": "STOCK", "roll_up": "LAST",
        "unit_of_measure": "people", "balance": {"opening": "people", "inflows": ["times"]}});
    let refused = define(&pair, json!([count("people"), times.clone(), stock])).await.unwrap_err();
    assert_eq!(violations(&refused), [("indicators[2].balance".to_owned(), "INVALID_DEFINITION".to_owned())]);
    define(&pair, json!([count("people"), times])).await.unwrap();
    // And an indicator does not turn from one into the other.
    let mut turned = count("people");
    (turned["unit_of_measure"], turned["version"]) = (json!("person-times"), json!(2));
    let refused = define(&pair, json!([turned])).await.unwrap_err();
    assert_eq!(violations(&refused), [("indicators[0].version".to_owned(), "INVALID_DEFINITION".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_of_an_indicator_leaves_what_was_reported_as_it_was() {
    let pair = Pair::start();
    small_world(&pair).await;
    let rated = |version: i32, codes: Value, valid_from: &str| {
        let mut rated = count("rated");
        rated["dimensions"] = json!([{"id": "rating", "codes": codes, "closed": true}]);
        if version > 1 {
            (rated["version"], rated["valid_from"]) = (json!(version), json!(valid_from));
        }
        rated
    };
    define(&pair, json!([rated(1, json!(["good", "bad"]), "")])).await.unwrap();
    let taken = define(&pair, json!([rated(1, json!(["good", "fair", "bad"]), "")])).await.unwrap_err();
    assert_eq!(reason(&taken), "EXISTS_WITH_DIFFERENT_CONTENT");
    assert!(taken.message().contains("give version 2"), "{taken}");
    let skipped = define(&pair, json!([rated(3, json!(["good"]), "2019-01-01")])).await.unwrap_err();
    assert_eq!(violations(&skipped), [("indicators[0].version".to_owned(), "INVALID_NUMBER".to_owned())]);
    define(&pair, json!([rated(2, json!(["good", "fair", "bad"]), "2019-01-01")])).await.unwrap();
    define(&pair, json!([rated(2, json!(["good", "fair", "bad"]), "2019-01-01")])).await.unwrap();

    // A report is read by the version that holds on the last day of its period, whenever it comes.
    let fair = json!([{"indicator": "rated", "by": {"rating": "fair"}, "count": "1"}]);
    let refused = report(&pair, "c0", "2018", "old list", fair.clone()).await.unwrap_err();
    assert_eq!(violations(&refused)[0].1, "UNKNOWN_CODE");
    let new = report(&pair, "c0", "2019", "new list", fair).await.unwrap();
    assert_eq!(new["report"]["observations"][0]["indicatorVersion"], 2);
    let old =
        report(&pair, "c0", "2018", "old list", json!([{"indicator": "rated", "by": {"rating": "bad"}, "count": "1"}]));
    assert_eq!(old.await.unwrap()["report"]["observations"][0]["indicatorVersion"], 1);
    let get = async |version: i32| {
        let answer = registry(&pair, "GetIndicator", json!({"id": "rated", "version": version})).await.unwrap();
        answer["indicator"]["dimensions"][0]["codes"].as_array().unwrap().len()
    };
    assert_eq!((get(1).await, get(2).await, get(0).await), (2, 3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn duties_are_judged_by_their_days_and_follow_units_through_mergers() {
    let pair = Pair::start();
    small_world(&pair).await;
    define(&pair, json!([count("meetings"), count("visits")])).await.unwrap();
    let form = json!({"id": "quarterly", "names": {"en": "Quarterly report"}, "indicators": ["meetings", "visits"], "under": "d",
        "level": "COMMUNE", "frequency": "QUARTERLY", "due": {"day_of_last_month": 25, "weekend": "NEXT_WORKING_DAY", "grace_days": 2}});
    let waiver = json!({"form": "quarterly", "unit": "c1", "period": "2017-Q2", "reason": "flood"});
    registry(&pair, "DefineForms", json!({"forms": [form], "waivers": [waiver]})).await.unwrap();
    let merger =
        json!({"id": "merger", "type": "MERGE", "effective_on": "2017-06-26", "from": ["c2", "c3"], "into": ["c23"]});
    let new = json!({"id": "c23", "level": "COMMUNE", "name": "c23", "parent": "d"});
    registry(&pair, "RecordUnitEvents", json!({"events": [merger], "units": [new]})).await.unwrap();
    let filed = json!({"unit": "c0", "period": "2017-Q2", "form": "quarterly", "source": {"title": "t"},
        "observations": [{"indicator": "meetings", "count": "3"}]});
    let receipt = ingest(&pair, "SubmitReport", json!({"report": filed})).await.unwrap();

    let duties = async |period: &str, as_of: &str| {
        let request =
            json!({"form": "quarterly", "period": period, "as_of": as_of, "at_least_revision": receipt["revision"]});
        let answer = query(&pair, "ListDuties", request).await.unwrap();
        answer.get("duties").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let states = |duties: &[Value]| {
        let state = |duty: &Value| format!("{} {}", duty["unit"].as_str().unwrap(), duty["state"].as_str().unwrap());
        duties.iter().map(state).collect::<Vec<_>>()
    };
    // The 25th of June 2017 was a Sunday: due on the 26th, on time until the 28th.
    let due = duties("2017-Q2", "2017-06-28").await;
    assert_eq!(states(&due), ["c0 NOT_YET_DUE", "c1 WAIVED", "c23 NOT_YET_DUE", "c4 NOT_YET_DUE"]);
    assert_eq!((&due[0]["dueOn"], &due[0]["graceUntilOn"]), (&json!("2017-06-26"), &json!("2017-06-28")));
    assert_eq!(due[1]["waiverReason"], "flood");
    let late = duties("2017-Q2", "2017-06-29").await;
    assert_eq!(states(&late), ["c0 MISSING", "c1 WAIVED", "c23 MISSING", "c4 MISSING"]);
    // The report came today, which is long after.
    let today = duties("2017-Q2", "").await;
    assert_eq!(states(&today), ["c0 LATE", "c1 WAIVED", "c23 MISSING", "c4 MISSING"]);
    assert_eq!(today[0]["report"], receipt["report"]["name"]);
    assert_eq!(today[0]["missingIndicators"], json!(["visits"]));
    // The first quarter was owed by units that were there; those that came of them see to it after they have ended.
    let first = duties("2017-Q1", "2017-07-01").await;
    assert_eq!(states(&first), ["c0 MISSING", "c1 MISSING", "c2 MISSING", "c3 MISSING", "c4 MISSING"]);
    assert_eq!(first[2]["responsible"], json!(["c2"]), "on the day it was due");
    assert_eq!(duties("2017", "2018-01-01").await.len(), 5 + 4 + 4 + 4);

    // When the district ends, its communes go on, and what came of them owes the form.
    let end = json!({"events": [
        {"id": "move", "type": "TRANSFER", "effective_on": "2018-01-01", "from": ["c0", "c1", "c4", "c23"], "into": ["p"]},
        {"id": "end", "type": "DISSOLVE", "effective_on": "2018-01-01", "from": ["d"]},
    ]});
    let ended = registry(&pair, "RecordUnitEvents", end).await.unwrap();
    let request = json!({"form": "quarterly", "period": "2018-Q1", "as_of": "2018-03-01", "at_least_revision": ended["revision"]});
    let answer = query(&pair, "ListDuties", request).await.unwrap();
    assert_eq!(
        states(answer["duties"].as_array().unwrap()),
        ["c0 NOT_YET_DUE", "c1 NOT_YET_DUE", "c23 NOT_YET_DUE", "c4 NOT_YET_DUE"]
    );

    // A report of another organ is no report of the Party, which owes it.
    let front = json!({"unit": "c4", "organ": "FRONT", "period": "2017-Q2", "form": "quarterly", "source": {"title": "f"},
        "observations": [{"indicator": "meetings", "count": "1"}]});
    let front = ingest(&pair, "SubmitReport", json!({"report": front})).await.unwrap();
    let request = json!({"form": "quarterly", "period": "2017-Q2", "units": {"ids": ["c4"]}, "at_least_revision": front["revision"]});
    let answer = query(&pair, "ListDuties", request).await.unwrap();
    assert_eq!(states(answer["duties"].as_array().unwrap()), ["c4 MISSING"]);
    // Page by page it is the same list.
    let request = json!({"form": "quarterly", "period": "2017", "as_of": "2018-01-01", "page_size": 1000});
    let whole = query(&pair, "ListDuties", request.clone()).await.unwrap()["duties"].clone();
    let (mut rows, mut token) = (Vec::new(), json!(""));
    loop {
        let mut request = request.clone();
        (request["page_size"], request["page_token"]) = (json!(3), token);
        let page = query(&pair, "ListDuties", request).await.unwrap();
        rows.extend(page["duties"].as_array().unwrap().clone());
        match page.get("nextPageToken") {
            Some(next) => token = next.clone(),
            None => break,
        }
    }
    assert_eq!(json!(rows), whole);

    let unknown = query(&pair, "ListDuties", json!({"form": "nothing", "period": "2017"})).await.unwrap_err();
    assert_eq!(reason(&unknown), "FORM_NOT_FOUND");
    let bad = json!({"forms": [{"id": "f", "names": {"en": "f"}, "under": "nowhere", "indicators": ["nothing"], "time_zone": "Mars/Base",
        "frequency": "MONTHLY", "due": {"days_after_end": 400}}], "waivers": [{"form": "g", "unit": "c0", "period": "2017/..", "reason": "x"}]});
    let refused = registry(&pair, "DefineForms", bad).await.unwrap_err();
    let paths: Vec<String> = violations(&refused).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["forms[0].due.days_after_end", "forms[0].time_zone", "waivers[0].period"]);
}

/// The starter catalogue: names in two languages, what is counted, and where a question does not arise.
#[test]
fn the_catalogue_names_everything_in_two_languages() {
    let indicators = fixtures::indicators().indicators;
    assert!(indicators.len() > 90, "{}", indicators.len());
    for indicator in &indicators {
        assert!(indicator.names.contains_key("vi") && indicator.names.contains_key("en"), "{}", indicator.id);
        use proto::v1::indicator::ValueKind::{Category, Direction, Flag};
        let counts = !matches!(indicator.value_kind(), Flag | Category | Direction);
        assert!(!counts || !indicator.unit_of_measure.is_empty(), "{}", indicator.id);
    }
    let council = indicators.iter().find(|indicator| indicator.id == "secretary_chairs_peoples_council").unwrap();
    let wards = &council.not_applicable[0];
    assert_eq!((wards.under.as_str(), wards.kind.as_str()), ("province-01", "Phường"));
    assert_eq!((wards.start_on.as_str(), wards.end_on.as_str()), ("2021-07-01", "2025-06-30"));
}

#[tokio::test(flavor = "multi_thread")]
async fn duties_of_terms_are_owed_by_whoever_lives_when_the_term_ends() {
    let pair = Pair::start();
    small_world(&pair).await;
    let short = json!({"units": [{"id": "short", "level": "COMMUNE", "name": "short", "parent": "d", "valid_from": "2011-01-01", "valid_until": "2018-12-31"}]});
    registry(&pair, "RegisterUnits", short).await.unwrap();
    let terms = json!({"terms": [
        {"label": "2010-2015", "unit": "vn", "start_on": "2010-08-01", "end_on": "2015-07-31"},
        {"label": "2015-2020", "unit": "vn", "start_on": "2015-08-01", "end_on": "2020-07-31"},
    ]});
    registry(&pair, "DefineTerms", terms).await.unwrap();
    let form = json!({"forms": [{"id": "programme", "names": {"en": "x"}, "under": "vn", "level": "COMMUNE", "frequency": "PER_TERM"}]});
    let defined = registry(&pair, "DefineForms", form).await.unwrap();
    let request = json!({"form": "programme", "period": "2005/2025", "at_least_revision": defined["revision"]});
    let answer = query(&pair, "ListDuties", request).await.unwrap();
    let duties = answer["duties"].as_array().unwrap();
    let of = |unit: &str| {
        let periods = duties.iter().filter(|duty| duty["unit"] == unit).map(|duty| duty["period"].as_str().unwrap());
        periods.collect::<Vec<_>>()
    };
    assert_eq!(of("c0"), ["term:2010-2015", "term:2015-2020"]);
    assert_eq!(of("short"), ["term:2010-2015"], "it had ended before the second one did");
    assert!(duties.iter().all(|duty| duty["state"] == "EXPECTED"), "nobody knows by when");
}

/// Whatever was recorded, an answer about succession is bounded, and a path goes on in time.
#[tokio::test(flavor = "multi_thread")]
async fn succession_goes_on_in_time_and_is_bounded() {
    let pair = Pair::start();
    small_world(&pair).await;
    let successors = async |unit: &str| {
        registry(&pair, "ListSuccession", json!({"unit": unit, "direction": "SUCCESSORS", "page_size": 1000})).await
    };
    // b gave a part away before a came into it.
    let split =
        json!({"id": "split", "type": "SPLIT", "effective_on": "2010-01-01", "from": ["c1"], "into": ["c1", "part"]});
    let merge = json!({"id": "merge", "type": "MERGE", "effective_on": "2020-01-01", "from": ["c0"], "into": ["c1"]});
    let part = json!({"id": "part", "level": "COMMUNE", "name": "part", "parent": "d"});
    registry(&pair, "RecordUnitEvents", json!({"events": [split, merge], "units": [part]})).await.unwrap();
    let ends = |answer: &Value| {
        let paths = answer["paths"].as_array().unwrap().iter();
        paths.map(|path| path["unit"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ends(&successors("c0").await.unwrap()), ["c1"]);
    assert_eq!(ends(&successors("c1").await.unwrap()), ["c1", "part"]);
    let predecessors = json!({"unit": "part", "direction": "PREDECESSORS"});
    assert_eq!(ends(&registry(&pair, "ListSuccession", predecessors).await.unwrap()), ["c1"]);

    // Divided in two and merged again, fifteen times: 2 to the power of 15 ways.
    let (mut events, mut units) = (Vec::new(), Vec::new());
    let unit = |id: String| json!({"id": id, "level": "COMMUNE", "name": id, "parent": "d"});
    for round in 0..15 {
        let (before, after) =
            (if round == 0 { "c2".to_owned() } else { format!("a{round}") }, format!("a{}", round + 1));
        let (left, right) = (format!("l{round}"), format!("r{round}"));
        events.push(json!({"id": format!("s{round}"), "type": "SPLIT", "effective_on": format!("{}", 2000 + round), "from": [before], "into": [left, right]}));
        events.push(json!({"id": format!("m{round}"), "type": "MERGE", "effective_on": format!("{}-06-30", 2001 + round), "from": [left, right], "into": [after]}));
        units.extend([left, right, after].map(unit));
    }
    registry(&pair, "RecordUnitEvents", json!({"events": events, "units": units})).await.unwrap();
    assert_eq!(reason(&successors("c2").await.unwrap_err()), "TOO_MANY");
    let few = json!({"unit": "c2", "direction": "SUCCESSORS", "end_on": "2003-01-01"});
    assert!(registry(&pair, "ListSuccession", few).await.is_ok());
}
