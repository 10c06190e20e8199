//! What the register and the five reports answer.

use serde_json::{Value, json};
use tests::{fixtures, harness::Pair, json::call};

async fn share(pair: &Pair, request: Value) -> Value {
    call(pair.query.channel(), "tonghop.v1.QueryService/GetShare", &request).await.unwrap()
}

fn the_row(answer: &Value) -> &Value {
    let rows = answer["shares"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{answer}");
    &rows[0]
}

/// Checks some fields of a row; `null` means that the field is absent.
fn assert_has(row: &Value, expected: Value) {
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(row.get(field).unwrap_or(&Value::Null), value, "{field} of {row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headline_questions_are_answered_on_the_real_input() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let communes = json!({"under": "district-171", "level": "COMMUNE"});
    let committee = |on: &str| json!({"indicator": "secretary_chairs_peoples_committee", "units": communes, "on": on, "at_least_revision": revision});

    // Bản Ngoại, term 2015–2020.
    let answer = share(&pair, committee("2017-08-17")).await;
    assert_has(
        the_row(&answer),
        json!({
            "unit": "district-171", "name": "Huyện Đại Từ", "yes": 1, "no": 0, "notReported": 26, "withheld": 0,
            "notApplicable": 0, "expected": 27, "share": "1.000000", "lower": "0.037037", "upper": "1.000000",
            "expectedBasis": "ASSUMED", "contested": 0, "findings": 0, "published": null,
        }),
    );
    assert_has(
        &answer["meta"],
        json!({
            "revision": revision.to_string(), "boundariesOn": "2017-08-17", "semanticsVersion": 1,
        }),
    );
    assert!(answer["meta"]["storeId"].is_string() && answer["meta"]["knownAt"].is_string());

    // Đức Lương, term 2005–2010; nobody between the two terms.
    let answer = share(&pair, committee("2008-01-01")).await;
    assert_has(the_row(&answer), json!({"yes": 1, "no": 0, "notReported": 26, "share": "1.000000"}));
    let answer = share(&pair, committee("2012-01-01")).await;
    assert_has(
        the_row(&answer),
        json!({"yes": 0, "no": 0, "notReported": 27, "share": null, "lower": "0.000000", "upper": "1.000000"}),
    );
    // A state is not carried on after its report was published.
    let answer = share(&pair, committee("2017-08-18")).await;
    assert_has(the_row(&answer), json!({"yes": 0, "notReported": 27}));
    // From the day on which the register is complete, the expected units are registered ones.
    let answer = share(&pair, committee("2025-06-30")).await;
    assert_has(the_row(&answer), json!({"expected": 27, "expectedBasis": "REGISTERED"}));

    let council = |rest: Value| {
        let mut request = json!({"indicator": "secretary_chairs_peoples_council", "on": "2017-08-17"});
        request.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        request
    };
    let answer = share(&pair, council(json!({"units": communes}))).await;
    let row = the_row(&answer);
    assert_has(
        row,
        json!({"share": null, "lower": "0.000000", "upper": "1.000000", "notReported": 27, "expected": 27}),
    );
    let published = row["published"].as_array().unwrap();
    assert_eq!(published.len(), 1);
    assert_has(
        &published[0],
        json!({
            "percent": "90", "unit": "district-171", "period": "2010-01-01/2020-12-31", "publishedOn": "2017-08-17",
        }),
    );
    // The claim is about all communes together: a row of some of them does not show it.
    let answer = share(&pair, council(json!({"units": {"ids": ["commune-05776", "commune-05800"]}}))).await;
    assert_has(the_row(&answer), json!({"expected": 2, "published": null, "unit": null}));
    // Grouped by district, the row of Đại Từ is about exactly its communes again.
    let answer =
        share(&pair, council(json!({"units": {"under": "province-19", "level": "COMMUNE"}, "group_by": "DISTRICT"})))
            .await;
    let rows = answer["shares"].as_array().unwrap();
    let with_claim: Vec<&Value> =
        rows.iter().filter(|row| row.get("published").is_some()).map(|row| &row["unit"]).collect();
    assert_eq!(with_claim, ["district-171"]);

    let answer =
        share(&pair, council(json!({"units": {"under": "vn", "level": "DISTRICT"}, "group_by": "PROVINCE"}))).await;
    let rows = answer["shares"].as_array().unwrap();
    assert_eq!(rows.len(), 63);
    let sum = |field: &str| rows.iter().map(|row| row[field].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sum("expected"), sum("yes"), sum("no"), sum("notReported")), (696, 1, 0, 695));
    for row in rows {
        let yes = if row["unit"] == "province-19" { 1 } else { 0 };
        assert_has(row, json!({"yes": yes, "no": 0, "withheld": 0, "notApplicable": 0}));
    }
    assert!(
        rows.windows(2).all(|pair| pair[0]["unit"].as_str() < pair[1]["unit"].as_str()),
        "rows in the order of ids"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reported_comes_back_as_it_went_in() {
    let pair = Pair::start();
    fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    // Submitted once more only to learn the names: the answer is the next version of the same report.
    for file in fixtures::REPORT_FILES {
        for request in fixtures::reports(file) {
            let sent = request.report.clone().unwrap();
            let receipt = pair.reports().submit_report(request).await.unwrap().into_inner().report.unwrap();
            assert_eq!(receipt.version, 2, "{file}");
            let first = proto::v1::GetReportRequest { name: receipt.name, version: 1 };
            let stored = pair.reports().get_report(first).await.unwrap().into_inner().report.unwrap();
            assert!(stored.findings.iter().all(|finding| finding.path.starts_with("report")));
            let bare = |observation: &proto::v1::Observation| proto::v1::Observation {
                indicator_version: 0,
                ..observation.clone()
            };
            assert!(stored.observations.iter().all(|observation| observation.indicator_version == 1));
            assert_eq!(stored.observations.iter().map(bare).collect::<Vec<_>>(), sent.observations, "{file}");
            assert_eq!(
                (stored.unit, stored.organ, stored.period, stored.source),
                (sent.unit, sent.organ, sent.period, sent.source)
            );
        }
    }
    let mut registry = pair.registry();
    let known: std::collections::BTreeMap<String, proto::v1::Unit> =
        fixtures::units().into_iter().map(|unit| (unit.id.clone(), unit)).collect();
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let on = fixtures::COMPLETE_FROM.to_owned();
        let request = proto::v1::ListUnitsRequest { page_size: 777, page_token, on, ..Default::default() };
        let page = registry.list_units(request).await.unwrap().into_inner();
        listed.extend(page.units.into_iter().filter(|unit| known.contains_key(&unit.id)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    // On its last day the old map is as it was registered; what is added is the end of most units, and a terrain.
    let bare =
        |unit: proto::v1::Unit| proto::v1::Unit { valid_until: String::new(), attributes: Default::default(), ..unit };
    assert_eq!(listed.into_iter().map(bare).collect::<Vec<_>>(), known.into_values().collect::<Vec<_>>());
    let (mut terms, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            proto::v1::ListTermsRequest { page_size: 4, page_token: page_token.clone(), ..Default::default() };
        let page = registry.list_terms(request).await.unwrap().into_inner();
        terms.extend(page.terms);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        let other = proto::v1::ListTermsRequest {
            unit: "district-171".into(),
            page_token: page_token.clone(),
            ..Default::default()
        };
        assert_eq!(crate::support::reason(&registry.list_terms(other).await.unwrap_err()), "INVALID_PAGE_TOKEN");
    }
    let mut expected = fixtures::terms().terms;
    for term in expected.iter_mut().chain(&mut terms) {
        // Not said means the Party.
        term.organ = term.organ.max(1);
    }
    expected.sort_by_key(|term| (term.unit.clone(), term.organ, term.label.clone()));
    assert_eq!(terms, expected);
    let query = proto::v1::QueryServiceGetUnitRequest {
        id: "district-171".into(),
        at_least_revision: None,
        ..Default::default()
    };
    let unit = pair.queries().get_unit(query).await.unwrap().into_inner().unit.unwrap();
    assert_eq!(unit.name, "Huyện Đại Từ");
}

#[tokio::test(flavor = "multi_thread")]
async fn observations_are_listed_with_their_source_and_what_was_found_about_them() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let list = async |unit: &str, indicator: &str| {
        let request = json!({"units": {"ids": [unit]}, "indicator": indicator, "at_least_revision": revision});
        let method = "tonghop.v1.QueryService/ListObservations";
        call(pair.query.channel(), method, &request).await.unwrap()["observations"].clone()
    };
    let rows = list("district-004", "public_opinion_cases_resolved").await;
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_has(
        &rows[0]["observation"],
        json!({
            "ratio": {"numerator": "493", "denominator": "502"}, "statedPercent": "98.2",
        }),
    );
    assert_has(&rows[0], json!({"unit": "district-004", "version": 1, "period": "2015/2019-11-22", "findings": null}));
    assert!(rows[0]["source"]["title"].is_string() && rows[0]["revision"].is_string());
    assert_eq!(rows[0]["source"]["publishedOn"], "2019-11-22");

    let rows = list("district-626", "poor_household_rate").await;
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_has(&rows[0]["observation"], json!({"percent": "5", "qualifier": "LESS_THAN", "basis": "PROJECTION"}));

    let rows = list("district-004", "cadre_ratings").await;
    let reasons: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let rating = row["observation"]["by"]["rating"].as_str().unwrap();
            let findings = row["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
            let reasons: Vec<&str> = findings.iter().map(|finding| finding["reason"].as_str().unwrap()).collect();
            format!("{rating} {}", reasons.join(" "))
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "excellent STATED_PERCENT_TRUNCATED",
            "good STATED_PERCENT_TRUNCATED",
            "satisfactory STATED_PERCENT_CONTRADICTS",
            "not_completed ",
        ]
    );

    // Pages of any size hold the same rows.
    let everything = json!({"under": "vn"});
    let mut sizes = Vec::new();
    for page_size in [1000, 7] {
        let (mut rows, mut token) = (Vec::new(), String::new());
        loop {
            let request = json!({"units": everything, "page_size": page_size, "page_token": token});
            let page = call(pair.query.channel(), "tonghop.v1.QueryService/ListObservations", &request).await.unwrap();
            rows.extend(page["observations"].as_array().unwrap().clone());
            assert_eq!(page["meta"]["revision"], revision.to_string());
            match page.get("nextPageToken") {
                Some(next) => token = next.as_str().unwrap().to_owned(),
                None => break,
            }
        }
        sizes.push(rows);
    }
    assert_eq!(sizes[0], sizes[1]);
    let sent: usize = fixtures::REPORT_FILES
        .into_iter()
        .flat_map(fixtures::reports)
        .map(|request| request.report.unwrap().observations.len())
        .sum();
    assert_eq!(sizes[0].len(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_found_by_the_names_that_people_type() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let find = async |name: &str| {
        let request = json!({"name": name});
        let ingest = call(pair.ingest.channel(), "tonghop.v1.RegistryService/FindUnits", &request).await.unwrap();
        let request = json!({"name": name, "at_least_revision": revision});
        let query = call(pair.query.channel(), "tonghop.v1.QueryService/FindUnits", &request).await.unwrap();
        assert_eq!(ingest["units"], query["units"], "both services say the same");
        let units = ingest["units"].as_array().cloned().unwrap_or_default();
        units.iter().map(|unit| unit["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(find("dai tu").await[0], "district-171");
    let decomposed: String = unicode_normalization::UnicodeNormalization::nfd("ĐẠI TỪ").collect();
    assert_eq!(find(&decomposed).await[0], "district-171");
    assert_eq!(find("huyện đại từ").await[0], "district-171");
    assert!(find("Đắk Đoa").await.contains(&"district-626".to_owned()));
    assert_eq!(find("Nowhere at all").await, Vec::<String>::new());
    assert_eq!(find("HUYỆN ĐẠI TỪ").await[0], "district-171");
    // With its accents typed, Đại Từ comes before whatever folds to the same.
    let hoa_binh = find("Hòa Bình").await;
    assert!(hoa_binh.len() > 2 && hoa_binh[0].starts_with("province-"), "{hoa_binh:?}");
}
