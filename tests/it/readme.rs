//! The README's examples, run as they stand there on the data of the demonstration.

use std::process::Command;

use serde_json::Value;
use tests::{
    fixtures,
    harness::{Pair, workspace},
    json::call_all,
};

/// A command and what it prints: one message, of a stream several.
struct Example {
    request: String,
    port: &'static str,
    method: String,
    output: Vec<Value>,
}

/// Every JSON value of a text, one behind the other.
fn values(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    values.map(|value| value.unwrap_or_else(|error| panic!("{text}: {error}"))).collect()
}

/// Every block of the README that shows a grpcurl command and its output.
fn examples() -> Vec<Example> {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let blocks = readme.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let example = |block: &str| {
        let block = block.strip_prefix("$ grpcurl -plaintext -d '")?;
        let (request, rest) = block.split_once("' \\\n").or_else(|| block.split_once("' "))?;
        let (target, output) = rest.split_once('\n')?;
        let (address, method) = target.trim().split_once(' ')?;
        let port = if address.ends_with(":50051") { "50051" } else { "50052" };
        Some(Example { request: request.to_owned(), port, method: method.to_owned(), output: values(output) })
    };
    blocks.filter_map(example).collect()
}

/// Whether an answer is what was printed; "…" stands for what differs from run to run.
fn assert_matches(path: &str, printed: &Value, answered: &Value) {
    match (printed, answered) {
        (Value::String(text), Value::String(_)) if text == "…" => {}
        (Value::Object(printed), Value::Object(answered)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                let mut names: Vec<String> = object.keys().cloned().collect();
                names.sort();
                names
            };
            assert_eq!(names(printed), names(answered), "{path}");
            for (name, value) in printed {
                assert_matches(&format!("{path}.{name}"), value, &answered[name]);
            }
        }
        (Value::Array(printed), Value::Array(answered)) => {
            assert_eq!(printed.len(), answered.len(), "{path}");
            for (index, (printed, answered)) in printed.iter().zip(answered).enumerate() {
                assert_matches(&format!("{path}[{index}]"), printed, answered);
            }
        }
        (printed, answered) => assert_eq!(printed, answered, "{path}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_readme_print_what_it_shows() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let wait = proto::v1::QueryServiceGetUnitRequest {
        id: "vn".into(),
        at_least_revision: Some(revision),
        ..Default::default()
    };
    pair.queries().get_unit(wait).await.unwrap();
    let has_grpcurl = Command::new("grpcurl").arg("--version").output().is_ok();
    if !has_grpcurl {
        println!("grpcurl is not installed: the examples are called without it");
    }
    let examples = examples();
    assert!(examples.len() >= 3, "the README has examples");
    for Example { request, port, method, output } in examples {
        let service = if port == "50051" { &pair.ingest } else { &pair.query };
        let answered = if has_grpcurl {
            let address = service.address().to_string();
            let printed =
                Command::new("grpcurl").args(["-plaintext", "-d", &request, &address, &method]).output().unwrap();
            assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
            values(&String::from_utf8(printed.stdout).unwrap())
        } else {
            call_all(service.channel(), &method, &values(&request)).await.unwrap()
        };
        assert_matches(&method, &Value::Array(output), &Value::Array(answered));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_finds_every_service_and_reads_error_details() {
    if Command::new("grpcurl").arg("--version").output().is_err() {
        println!("grpcurl is not installed: skipped");
        return;
    }
    let pair = Pair::start();
    let list = |address: String| {
        let printed = Command::new("grpcurl").args(["-plaintext", &address, "list"]).output().unwrap();
        String::from_utf8(printed.stdout).unwrap()
    };
    let ingest = list(pair.ingest.address().to_string());
    for name in ["FeedService", "IngestService", "RegistryService"] {
        assert!(ingest.contains(&format!("tonghop.v1.{name}")), "{ingest}");
    }
    assert!(ingest.contains("grpc.health.v1.Health"), "{ingest}");
    assert!(list(pair.query.address().to_string()).contains("tonghop.v1.QueryService"));
    let address = pair.ingest.address().to_string();
    let arguments = ["-plaintext", "-d", r#"{"id":"nowhere"}"#, &address, "tonghop.v1.RegistryService/GetUnit"];
    let refused = Command::new("grpcurl").args(arguments).output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64 + 5), "{text}");
    assert!(text.contains("UNIT_NOT_FOUND") && text.contains("tonghop"), "{text}");
}
