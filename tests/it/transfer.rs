//! A store is exported and imported; nobody who follows it or asks it can tell.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    fixtures,
    harness::{Pair, run},
    json::call,
};

use crate::support::{eventually, flag_report, small_world, submit, yes_and_no};

/// Every row of a list, page by page.
async fn all(channel: &tonic::transport::Channel, method: &str, field: &str, request: &Value) -> Vec<Value> {
    let (mut rows, mut token) = (Vec::new(), json!(""));
    loop {
        let mut request = request.clone();
        request["page_size"] = json!(1000);
        request["page_token"] = token;
        // A service that has just been started says that it is still reading its log.
        let page = eventually(async || match call(channel.clone(), method, &request).await {
            Ok(page) => Some(page),
            Err(status) if status.code() == tonic::Code::Unavailable => None,
            Err(status) => panic!("{method}: {status}"),
        })
        .await;
        rows.extend(page.get(field).and_then(Value::as_array).cloned().unwrap_or_default());
        match page.get("nextPageToken") {
            Some(next) => token = next.clone(),
            None => return rows,
        }
    }
}

/// Everything that the ingest-service answers about its registry and its reports.
async fn ingest_answers(pair: &Pair) -> Vec<Vec<Value>> {
    let channel = pair.ingest.channel();
    let registry = |method: &str| format!("tonghop.v1.RegistryService/{method}");
    let ingest = |method: &str| format!("tonghop.v1.IngestService/{method}");
    let tan_ky = json!({"unit": "district-423", "direction": "SUCCESSORS"});
    let country = json!({"unit": "vn", "direction": "DESCENDANTS"});
    vec![
        all(&channel, &registry("ListUnits"), "units", &json!({})).await,
        all(&channel, &registry("ListUnits"), "units", &json!({"on": "2018-01-01"})).await,
        all(&channel, &registry("ListUnits"), "units", &json!({"on": "2025-07-01"})).await,
        all(&channel, &registry("ListUnitEvents"), "events", &json!({})).await,
        all(&channel, &registry("ListSuccession"), "paths", &tan_ky).await,
        all(&channel, &registry("ListHierarchy"), "rows", &country).await,
        all(&channel, &registry("ListIndicators"), "indicators", &json!({})).await,
        all(&channel, &registry("ListTerms"), "terms", &json!({})).await,
        all(&channel, &registry("ListForms"), "forms", &json!({})).await,
        all(&channel, &ingest("ListReports"), "reports", &json!({})).await,
        all(&channel, &ingest("ListFindings"), "findings", &json!({"include_resolved": true})).await,
    ]
}

/// What the query-service answers about the same.
async fn query_answers(pair: &Pair) -> Vec<Vec<Value>> {
    let channel = pair.query.channel();
    let query = |method: &str| format!("tonghop.v1.QueryService/{method}");
    let share = |level: &str, on: &str| json!({"indicator": "secretary_chairs_peoples_council", "units": {"under": "vn", "level": level}, "group_by": "PROVINCE", "on": on});
    let duties = json!({"form": "tan_ky_supervision_report", "period": "2017", "as_of": "2018-01-01"});
    let mut answers = vec![
        all(&channel, &query("ListObservations"), "observations", &json!({"units": {"under": "vn"}})).await,
        all(&channel, &query("ListDuties"), "duties", &duties).await,
    ];
    for (level, on) in [("COMMUNE", "2017-08-17"), ("COMMUNE", "2025-07-01"), ("DISTRICT", "2025-06-30")] {
        let answer = call(channel.clone(), &query("GetShare"), &share(level, on)).await.unwrap();
        answers.push(vec![
            answer["shares"].clone(),
            answer["meta"]["storeId"].clone(),
            answer["meta"]["revision"].clone(),
        ]);
    }
    answers
}

fn transfer(arguments: &[&str]) {
    let output = run("ingest-service", arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fold_is_the_same_after_a_restart_after_export_and_import_and_on_both_sides() {
    let mut pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let wait = json!({"id": "vn", "at_least_revision": revision});
    call(pair.query.channel(), "tonghop.v1.QueryService/GetUnit", &wait).await.unwrap();
    let before = (ingest_answers(&pair).await, query_answers(&pair).await);

    // Both sides fold the same units.
    for unit in before.0[0].iter().step_by(97).chain(&before.0[2][..3]) {
        let id = json!({"id": unit["id"]});
        let ingest = call(pair.ingest.channel(), "tonghop.v1.RegistryService/GetUnit", &id).await.unwrap();
        let query = call(pair.query.channel(), "tonghop.v1.QueryService/GetUnit", &id).await.unwrap();
        assert_eq!((&ingest["unit"], &ingest["states"]), (&query["unit"], &query["states"]), "{id}");
        assert_eq!(&ingest["unit"], unit);
    }

    pair.restart_ingest();
    pair.restart_query();
    assert_eq!((ingest_answers(&pair).await, query_answers(&pair).await), before, "after a restart");

    let fresh = TempDir::new().unwrap();
    let (file, data) = (fresh.path().join("export"), fresh.path().join("data"));
    let copied = data.clone();
    pair.move_store(fresh, &data, |old| {
        transfer(&["--data", text(old), "export", "--to", text(&file)]);
        transfer(&["import", "--data", text(&copied), "--from", text(&file)]);
        // A store that is there already is not touched.
        let refused = run("ingest-service", &["import", "--data", text(&copied), "--from", text(&file)]);
        assert_eq!(refused.status.code(), Some(73), "{}", String::from_utf8_lossy(&refused.stderr));
    });
    assert_eq!((ingest_answers(&pair).await, query_answers(&pair).await), before, "after export and import");
    pair.restart_query();
    assert_eq!(query_answers(&pair).await, before.1, "and for a query-service that reads it from the start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_service_follows_on_over_an_imported_store() {
    let mut pair = Pair::start();
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    assert_eq!(yes_and_no(&pair, revision).await, (1, 0));
    let fresh = TempDir::new().unwrap();
    let (file, data) = (fresh.path().join("export"), fresh.path().join("data"));
    let copied = data.clone();
    pair.move_store(fresh, &data, |old| {
        transfer(&["export", "--data", text(old), "--to", text(&file)]);
        transfer(&["import", "--data", text(&copied), "--from", text(&file)]);
    });
    let next = submit(&pair, flag_report("c1", "t", false)).await.unwrap().revision.unwrap();
    assert_eq!(next, revision + 1);
    assert_eq!(yes_and_no(&pair, next).await, (1, 1));
}
