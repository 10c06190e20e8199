//! What `cargo national` measures: that its workload is the one that other engines are given, and that the services answer
//! its questions as plain arithmetic does. Nothing is timed here.

use tests::{
    national::{
        goals::{Bound, Goals, Milli},
        inside::Inside,
        question,
        stage::Stage,
    },
    workload::{Size, Workload},
};

#[test]
fn the_cells_are_those_of_the_comparison() {
    let load = Workload::new(Size { units: 1, indicators: 40, quarters: 40, seed: 1 });
    // As workload.py makes them.
    let cells = [
        ((0, 0, 0), Some(1)),
        ((0, 39, 10_034), Some(1)),
        ((9, 3, 7), Some(1)),
        ((10, 0, 0), Some(261)),
        ((31, 38, 5_000), Some(871)),
        ((39, 39, 999_999), Some(228)),
        ((0, 0, 29), None),
        ((0, 0, 43), None),
    ];
    for ((indicator, quarter, unit), value) in cells {
        assert_eq!(load.said(indicator, quarter, unit), value, "{indicator} {quarter} {unit}");
    }
    assert_eq!((load.period(0), load.period(39)), ("2015-Q1".to_owned(), "2024-Q4".to_owned()));
}

#[tokio::test]
async fn its_questions_are_answered_as_plain_arithmetic_does() {
    let load = Workload::new(Size { units: 150, indicators: 40, quarters: 5, seed: 7 });
    let mut stage = Stage::start(load).await.unwrap();
    let loaded = stage.fill().await.unwrap();
    assert_eq!(loaded.reports, 150 * 5 * 2);
    let questions = question::all(&stage.load);
    stage.check(&questions).await.unwrap();
    let inside = Inside::follow(&stage.ingest.uri(), stage.newest).await.unwrap();
    for asked in &questions {
        inside.times(&asked.question, 1).await.unwrap();
    }
    inside.end().await;

    let mut wrong = questions;
    wrong[3].expected[0].1[0] += 1;
    let error = stage.check(&wrong).await.unwrap_err().to_string();
    assert!(error.starts_with("Q4 is wrong"), "{error}");
}

#[test]
fn a_goal_holds_up_to_its_bound() {
    let mut goals = Goals::default();
    let milli = Milli::thousandths;
    goals.measured("a", milli(1_250), Bound::AtMost(milli(1_250)), "×", String::new());
    goals.measured("b", milli(1_251), Bound::AtMost(milli(1_250)), "×", String::new());
    goals.measured("c", Milli::ratio(7_u64, 10_u64), Bound::AtLeast(milli(700)), "×", String::new());
    goals.unmeasured("d", Bound::AtLeast(Milli::whole(100)), "× faster", "nobody to compare with");
    let file = tempfile::NamedTempFile::new().unwrap();
    goals.write(file.path()).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    let row = |goal: &str, measured: Option<f64>, bound: f64, unit: &str, holds: bool| serde_json::json!({"goal": goal, "measured": measured, "bound": bound, "unit": unit, "holds": holds});
    let expected = serde_json::json!([
        row("a", Some(1.25), 1.25, "×", true),
        row("b", Some(1.251), 1.25, "×", false),
        row("c", Some(0.7), 0.7, "×", true),
        serde_json::json!({"goal": "d", "measured": null, "bound": 100, "unit": "× faster", "holds": false}),
    ]);
    assert_eq!(written, expected);
}
