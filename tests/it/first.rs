//! The README's first ten minutes, run as they stand there: on other ports and in another directory.

use std::{net::TcpListener, process::Command};

use tempfile::TempDir;
use tests::harness::workspace;

/// The lines of the section.
fn script() -> String {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let section = readme.split("## The first ten minutes").nth(1).expect("the README has it");
    section.split("```sh\n").nth(1).expect("it has lines").split("```").next().unwrap().to_owned()
}

/// A port that nobody has now.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn the_first_ten_minutes_go_as_they_are_written_down() {
    let has = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !has("grpcurl", &["-version"]) || !has("python3", &["-c", "import venv, ensurepip"]) {
        println!("there is no grpcurl, or no Python that can have packages: the first ten minutes are not tried");
        return;
    }
    let directory = TempDir::new().unwrap();
    let venv = directory.path().join("python");
    let pip = venv.join("bin/pip");
    let has_packages = has("python3", &["-m", "venv", venv.to_str().unwrap()])
        && has(pip.to_str().unwrap(), &["install", "--quiet", "grpcio-tools", "opentelemetry-proto"]);
    if !has_packages && std::env::var_os("CI").is_none() {
        println!("Python's packages cannot be had: the first ten minutes are not tried");
        return;
    }
    let mut script = script().replace("../target/first", directory.path().to_str().unwrap());
    script = script.replace("target/first", directory.path().to_str().unwrap());
    for port in ["50051", "50052", "9051", "9052", "4317"] {
        script = script.replace(port, &free_port());
    }
    // Whatever fails ends it, and nothing is left running.
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let run = Command::new("bash").args(["-c", &script]).current_dir(workspace()).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}\n{complained}");
    for line in ["version 1: yes 1, no 0", "version 2: yes 0, no 1", "ingest-service commit", "query-service apply"] {
        assert!(said.contains(line), "{line} is not in: {said}");
    }
    let revisions: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("tonghop_log_revision ").or(line.strip_prefix("tonghop_query_revision ")))
        .collect();
    assert!(revisions.len() == 2 && revisions[0] == revisions[1], "{said}");
    // Before the reports nobody had said anything; after the restart the correction counts.
    let answers: Vec<&str> = said.matches(r#""notReported": 1"#).chain(said.matches(r#""notReported": 0"#)).collect();
    assert_eq!(answers.len(), 2, "{said}");
    assert!(said.rsplit("tonghop_query_revision").next().unwrap().contains(r#""no": 1"#), "{said}");
}
