//! The same answer on another map, as published by a day, and carried forward from the last day that was known.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{fixtures, harness::Pair, json::call, reform};

use crate::support::reason;

const EVE: &str = fixtures::COMPLETE_FROM;
const DAY: &str = reform::EFFECTIVE_ON;

async fn shares(pair: &Pair, request: Value) -> Vec<Value> {
    let answer = call(pair.query.channel(), "tonghop.v1.QueryService/GetShare", &request).await.unwrap();
    answer["shares"].as_array().cloned().unwrap_or_default()
}

/// A count of each row, by its unit or value.
fn by_row(rows: &[Value], count: &str) -> BTreeMap<String, i64> {
    let name = |row: &Value| row.get("attributeValue").or(row.get("unit")).and_then(Value::as_str).unwrap().to_owned();
    rows.iter().map(|row| (name(row), row[count].as_i64().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_total_is_the_same_on_every_map_and_nothing_is_guessed() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let ask = |under: &str, level: &str, group_by: &str, on: &str, boundaries_on: &str| {
        json!({"indicator": "secretary_chairs_peoples_council", "units": {"under": under, "level": level}, "group_by": group_by,
            "on": on, "boundaries_on": boundaries_on, "at_least_revision": revision})
    };
    let june = by_row(&shares(&pair, ask("vn", "COMMUNE", "PROVINCE", EVE, "")).await, "expected");
    let july = by_row(&shares(&pair, ask("vn", "COMMUNE", "PROVINCE", EVE, DAY)).await, "expected");
    assert_eq!((june.len(), july.len()), (63, 34));
    assert_eq!((june.values().sum::<i64>(), july.values().sum::<i64>()), (10_035, 10_035));
    // Each new province has what its parts had; no commune was divided between two.
    let mut parts: BTreeMap<String, i64> = BTreeMap::new();
    let request = json!({"page_size": 1000, "unit": "", "status": "EFFECTIVE"});
    let mut token = json!("");
    let mut into: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let mut request = request.clone();
        request["page_token"] = token;
        let page = call(pair.ingest.channel(), "tonghop.v1.RegistryService/ListUnitEvents", &request).await.unwrap();
        for event in page["events"].as_array().unwrap().iter().filter(|event| event["type"] == "MERGE") {
            for from in event["from"].as_array().unwrap() {
                into.insert(from.as_str().unwrap().to_owned(), event["into"][0].as_str().unwrap().to_owned());
            }
        }
        match page.get("nextPageToken") {
            Some(next) => token = next.clone(),
            None => break,
        }
    }
    for (province, count) in &june {
        *parts.entry(into.get(province).unwrap_or(province).clone()).or_default() += count;
    }
    assert_eq!(july, parts);
    // And back: the communes of July on the map of June.
    let back = by_row(&shares(&pair, ask("vn", "COMMUNE", "PROVINCE", DAY, EVE)).await, "expected");
    assert_eq!(back.values().sum::<i64>(), 3_321);

    // 12 of Long Bien's 13 wards were divided among new communes: they are not assigned to any.
    let wards = by_row(&shares(&pair, ask("district-004", "COMMUNE", "COMMUNE", EVE, DAY)).await, "expected");
    assert_eq!((wards["unassignable"], wards.values().sum::<i64>()), (12, 13));
    // Those of Tan Ky went as a whole, and so did the district itself, though into seven communes.
    let communes = by_row(&shares(&pair, ask("district-423", "COMMUNE", "COMMUNE", EVE, DAY)).await, "expected");
    assert_eq!((communes.len(), communes.get("unassignable")), (7, None));
    let district = by_row(&shares(&pair, ask("district-423", "DISTRICT", "COMMUNE", EVE, DAY)).await, "expected");
    assert_eq!(district["unassignable"], 1);
    let district = by_row(&shares(&pair, ask("district-423", "DISTRICT", "PROVINCE", EVE, DAY)).await, "expected");
    assert_eq!(district["province-40"], 1);

    // Two of the five districts are known to lie in the mountains, or not to be said so.
    let terrain = json!({"indicator": "secretary_chairs_peoples_council", "units": {"ids": ["district-423", "district-171"]},
        "group_by": "terrain", "on": "2019-01-01"});
    assert_eq!(by_row(&shares(&pair, terrain).await, "expected"), [("mountain".into(), 1), ("none".into(), 1)].into());
    let refused = ask("vn", "COMMUNE", "Terrain!", EVE, "");
    let refused = call(pair.query.channel(), "tonghop.v1.QueryService/GetShare", &refused).await.unwrap_err();
    assert_eq!(reason(&refused), "UNKNOWN_GROUP");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_by_a_day_and_what_was_last_known_are_told_apart() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let ask = |on: &str, more: Value| {
        let mut request = json!({"indicator": "secretary_chairs_peoples_committee", "on": on, "at_least_revision": revision,
            "units": {"under": "district-171", "level": "COMMUNE"}});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let one = async |on: &str, more: Value| shares(&pair, ask(on, more)).await.remove(0);
    // Published on 2017-08-17, and true until that day as far as anybody knows.
    let known = one("2017-08-17", json!({"published_until": "2017-08-17"})).await;
    assert_eq!((&known["yes"], &known["undated"]), (&json!(1), &json!(0)));
    let before = one("2017-08-17", json!({"published_until": "2017-08-16"})).await;
    assert_eq!((&before["yes"], &before["notReported"]), (&json!(0), &json!(27)));
    assert!(known.get("carried").is_none() && one("2017-08-17", json!({})).await.get("undated").is_none());

    let later = one("2024-12-31", json!({})).await;
    assert_eq!(
        (&later["yes"], &later["notReported"]),
        (&json!(0), &json!(27)),
        "nothing is carried unless it is asked for"
    );
    let carried = one("2024-12-31", json!({"last_known": true})).await;
    assert_eq!(
        (&carried["yes"], &carried["carried"]),
        (&json!(2), &json!(2)),
        "two communes were known to, at different times"
    );
    let nothing = one("2024-12-31", json!({"last_known": true, "published_until": "2017-08-16"})).await;
    assert_eq!((&nothing["yes"], &nothing["carried"]), (&json!(0), &json!(0)));
    let on_the_day = one("2017-08-17", json!({"last_known": true})).await;
    assert_eq!((&on_the_day["yes"], &on_the_day["carried"]), (&json!(2), &json!(1)));
}
