//! The alert rules: they can be read, they are whole, and they speak of metrics that the services have.

use std::{collections::BTreeSet, process::Command};

use proto::v1::SubmitReportRequest;
use tests::harness::{Pair, workspace};
use tokio_stream::wrappers::ReceiverStream;
use yaml_rust2::{Yaml, YamlLoader};

use super::{SIDE, metrics::scrape};
use crate::support::{flag_report, small_world, submit};

const PATH: &str = "tests/observability/alerts.yml";

/// Every name in an expression that begins like a metric of ours.
fn metrics(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tonghop_")).collect()
}

fn rules() -> Vec<Yaml> {
    let text = std::fs::read_to_string(workspace().join(PATH)).unwrap();
    let file = YamlLoader::load_from_str(&text).unwrap().remove(0);
    let groups = file["groups"].as_vec().expect("there are groups");
    groups.iter().flat_map(|group| group["rules"].as_vec().expect("a group has rules").clone()).collect()
}

#[test]
fn every_rule_is_whole_and_has_its_own_name() {
    let rules = rules();
    let mut names = BTreeSet::new();
    for rule in &rules {
        let text = |value: &Yaml| value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        let name = text(&rule["alert"]).expect("a rule has a name");
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(["page", "warn"].contains(&rule["labels"]["severity"].as_str().unwrap_or_default()), "{name}");
        for annotation in ["summary", "do"] {
            assert!(text(&rule["annotations"][annotation]).is_some(), "{name} lacks {annotation}");
        }
        let expression = text(&rule["expr"]).unwrap_or_else(|| panic!("{name} has no expression"));
        for (open, close) in [('(', ')'), ('[', ']'), ('{', '}')] {
            let count = |wanted: char| expression.chars().filter(|c| *c == wanted).count();
            assert_eq!(count(open), count(close), "{name}: {expression}");
        }
    }
    assert!(names.len() > 8, "{names:?}");
    match Command::new("promtool").args(["check", "rules"]).arg(workspace().join(PATH)).output() {
        Ok(checked) => assert!(checked.status.success(), "{checked:?}"),
        Err(_) => println!("there is no promtool: expressions are not checked by Prometheus itself"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_a_rule_is_one_that_the_services_have() {
    let pair = Pair::start_with(&[&SIDE[..], &["--streams-max", "1"]].concat(), &SIDE);
    small_world(&pair).await;
    // What has never happened has no line yet: a report about which something is found, and a stream too many.
    let mut odd = flag_report("c0", "t", true);
    odd.report.as_mut().unwrap().source.as_mut().unwrap().published_on = "2017-06-01".into();
    submit(&pair, odd).await.unwrap();
    let (_sender, reports) = tokio::sync::mpsc::channel::<SubmitReportRequest>(1);
    let _open = pair.reports().submit_reports(ReceiverStream::new(reports)).await.unwrap();
    pair.reports().submit_reports(tokio_stream::empty()).await.unwrap_err();
    let text = scrape(&pair.ingest).await + &scrape(&pair.query).await;
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut known = BTreeSet::new();
    for (name, kind) in described {
        match kind {
            "counter" => _ = known.insert(format!("{name}_total")),
            "histogram" => known.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}"))),
            _ => _ = known.insert(name.to_owned()),
        }
    }
    for rule in rules() {
        for metric in metrics(rule["expr"].as_str().unwrap()) {
            assert!(known.contains(metric), "{metric} of {:?} is not among {known:?}", rule["alert"]);
        }
    }
}

#[test]
fn names_are_found_wherever_they_stand() {
    let found = metrics("sum by (le) (rate(tonghop_a_bucket{x=\"y\"}[5m])) > 2 * tonghop_b and up == 0");
    assert_eq!(found, ["tonghop_a_bucket", "tonghop_b"].into());
}
