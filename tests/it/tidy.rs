//! The invariants of ARCHITECTURE.md that the compiler does not check.

use std::{fs, path::PathBuf};

use tests::harness::workspace;

/// Every Rust file below a directory of the workspace, with its path from the top.
fn sources(directory: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = vec![workspace().join(directory)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(workspace()).unwrap().to_str().unwrap().to_owned();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!files.is_empty(), "{directory} has no sources");
    files
}

/// The code of a file without its comments and its test module.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Files that name something outside the places where it may be named.
fn offenders(directories: &[&str], words: &[&str], allowed: &[&str]) -> Vec<String> {
    let files = directories.iter().flat_map(|directory| sources(directory));
    let mut offenders = Vec::new();
    for (name, text) in files {
        if allowed.iter().any(|allowed| name.starts_with(allowed))
            || name.ends_with("/tests.rs")
            || name.contains("/tests/")
        {
            continue;
        }
        let code = code(&text);
        offenders.extend(words.iter().filter(|word| code.contains(*word)).map(|word| format!("{name}: {word}")));
    }
    offenders
}

fn assert_none(offenders: &[String]) {
    assert!(offenders.is_empty(), "{offenders:#?}");
}

const SERVICES: [&str; 3] = ["shared/src", "ingest-service/src", "query-service/src"];

#[test]
fn crates_depend_in_one_direction() {
    let allowed: [(&str, &[&str]); 6] = [
        ("proto", &[]),
        ("shared", &["proto"]),
        ("ingest-service", &["proto", "shared"]),
        ("query-service", &["proto", "shared"]),
        ("tests", &["proto", "shared", "ingest-service", "query-service"]),
        ("tests/faultfs", &[]),
    ];
    for (name, allowed) in allowed {
        let manifest = fs::read_to_string(workspace().join(name).join("Cargo.toml")).unwrap();
        for other in ["proto", "shared", "ingest-service", "query-service", "tests", "faultfs"] {
            let depends = manifest
                .lines()
                .any(|line| line.starts_with(&format!("{other}.workspace")) || line.starts_with(&format!("{other} =")));
            assert!(!depends || allowed.contains(&other), "{name} depends on {other}");
        }
    }
}

#[test]
fn the_domain_and_the_folds_are_pure() {
    let pure = [
        "shared/src/model",
        "shared/src/registry.rs",
        "shared/src/registry",
        "shared/src/change.rs",
        "shared/src/feed.rs",
        "ingest-service/src/submit/check.rs",
        "ingest-service/src/submit/decide.rs",
        "ingest-service/src/submit/findings",
        "ingest-service/src/submit/findings.rs",
        "ingest-service/src/submit/ready.rs",
        "ingest-service/src/submit/register.rs",
        "ingest-service/src/submit/state.rs",
        "query-service/src/archive.rs",
        "query-service/src/index.rs",
        "query-service/src/index",
        "query-service/src/apply.rs",
        "query-service/src/query.rs",
        "query-service/src/query",
    ];
    let impure = [
        "tonic",
        "prost",
        "proto::",
        "sled::",
        "tokio",
        "std::env",
        "std::fs",
        "std::net",
        "std::time",
        "Timestamp::now",
        "f64",
        "f32",
        "rand::",
    ];
    // The pieces of an index are messages of its own, encoded with the library; the API's are nowhere in them.
    let image = ["query-service/src/index/image.rs"];
    assert_none(&offenders(&pure, &impure, &image));
    let others: Vec<&str> = impure.into_iter().filter(|word| *word != "prost").collect();
    assert_none(&offenders(&image, &others, &[]));
}

#[test]
fn proto_stops_at_the_door() {
    assert_none(&offenders(
        &SERVICES,
        &["proto::v1"],
        &[
            "shared/src/convert",
            // They are servers and clients of the API, and hand its messages to the door.
            "shared/src/serve.rs",
            // They read the descriptors of methods and messages.
            "shared/src/admit/method.rs",
            "shared/src/access/rules.rs",
            "ingest-service/src/backup.rs",
            "ingest-service/src/grpc",
            "ingest-service/src/lib.rs",
            "query-service/src/grpc",
            "query-service/src/lib.rs",
            "query-service/src/follow.rs",
        ],
    ));
}

#[test]
fn modules_call_in_one_direction() {
    let above_the_index: &[&str] = &["crate::view", "crate::follow", "crate::apply", "crate::query", "crate::grpc"];
    let rules: [(&str, &[&str]); 13] = [
        ("ingest-service/src/log", &["crate::submit", "crate::feed", "crate::grpc"]),
        ("ingest-service/src/log.rs", &["crate::submit", "crate::feed", "crate::grpc"]),
        ("ingest-service/src/submit", &["crate::feed", "crate::grpc"]),
        ("ingest-service/src/submit.rs", &["crate::feed", "crate::grpc"]),
        ("ingest-service/src/feed.rs", &["crate::submit", "crate::grpc"]),
        ("query-service/src/archive.rs", &["crate::"]),
        ("query-service/src/index.rs", above_the_index),
        ("query-service/src/index", above_the_index),
        ("query-service/src/query", &["crate::view", "crate::follow", "crate::apply", "crate::grpc"]),
        ("query-service/src/view.rs", &["crate::follow", "crate::apply", "crate::query", "crate::grpc"]),
        ("query-service/src/checkpoint", &["crate::follow", "crate::view", "crate::query", "crate::grpc"]),
        (
            "query-service/src/apply.rs",
            &["crate::follow", "crate::view", "crate::checkpoint", "crate::query", "crate::grpc"],
        ),
        ("shared/src/model", &["crate::convert", "crate::codec", "crate::registry", "crate::status", "crate::change"]),
    ];
    for (place, forbidden) in rules {
        assert_none(&offenders(&[place], forbidden, &[]));
    }
}

#[test]
fn only_the_log_and_the_checkpoint_see_sled() {
    assert_none(&offenders(
        &SERVICES,
        &["sled::"],
        &[
            "ingest-service/src/log/sled",
            "ingest-service/src/lib.rs",
            "ingest-service/src/config.rs",
            "ingest-service/src/maintenance.rs",
            "ingest-service/src/transfer.rs",
            "query-service/src/checkpoint",
        ],
    ));
    let manifest = fs::read_to_string(workspace().join("shared/Cargo.toml")).unwrap();
    assert!(!manifest.contains("sled"), "shared depends on sled");
    // What a write costs without the service is measured with it.
    assert_none(&offenders(&["tests/src"], &["sled::"], &["tests/src/national/disk.rs"]));
}

#[test]
fn tests_meet_the_services_as_processes() {
    let inside = ["shared::", "ingest_service::", "query_service::"];
    assert_none(&offenders(&["tests/src"], &inside, &["tests/src/national/inside.rs"]));
    // This file names them.
    assert_none(&offenders(&["tests/it"], &inside, &["tests/it/tidy.rs"]));
}

#[test]
fn only_config_reads_the_environment_and_only_main_ends_the_process() {
    assert_none(&offenders(
        &SERVICES,
        &["env::var", "env ="],
        &["shared/src/config.rs", "ingest-service/src/config.rs", "query-service/src/config.rs"],
    ));
    assert_none(&offenders(
        &SERVICES,
        &["process::exit", "ExitCode", "abort()"],
        &["ingest-service/src/main.rs", "query-service/src/main.rs"],
    ));
}

#[test]
fn only_the_clock_asks_for_the_time_of_day() {
    assert_none(&offenders(&SERVICES, &["SystemTime::now", "Timestamp::now", "Zoned::now"], &["shared/src/clock.rs"]));
}

#[test]
fn errors_become_codes_in_one_place() {
    assert_none(&offenders(
        &SERVICES,
        &[
            "Status::new",
            "Status::internal",
            "Status::invalid_argument",
            "Status::not_found",
            "Status::unavailable",
            "Status::unknown",
        ],
        &["shared/src/status.rs"],
    ));
}

#[test]
fn mains_are_tables_of_contents() {
    for name in ["ingest-service/src/main.rs", "query-service/src/main.rs"] {
        let lines = fs::read_to_string(workspace().join(name)).unwrap().lines().count();
        assert!(lines <= 100, "{name} has {lines} lines");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["todo!(", "unimplemented!(", "#[ignore", "dbg!("];
    assert_none(&offenders(
        &["proto/src", "shared/src", "ingest-service/src", "query-service/src", "tests/src"],
        &marks,
        &[],
    ));
}

#[test]
fn every_reason_is_in_the_readme() {
    let status = fs::read_to_string(workspace().join("shared/src/status.rs")).unwrap();
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let rows = status.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> (\""));
    let names: Vec<&str> = rows.filter_map(|(_, rest)| rest.split('"').next()).collect();
    assert!(names.len() > 40, "{names:?}");
    let missing: Vec<&&str> = names.iter().filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "the README's page of errors lacks {missing:?}");
}

#[test]
fn every_test_that_the_page_of_faults_names_exists() {
    let page = fs::read_to_string(workspace().join("tests/FAULTS.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let rows = rows.into_iter().filter(|row| row[2..].starts_with(|first: char| first.is_ascii_digit()));
    let directories = ["tests/it", "tests/sim", "shared/src", "ingest-service/src", "query-service/src"];
    let code: String = directories.iter().flat_map(|place| sources(place)).map(|(_, text)| text).collect();
    let mut faults = 0;
    for row in rows {
        faults += 1;
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || tests.trim() == "—" || tests.trim() == "not yet", "{row}");
        for name in named {
            // A property test has arguments.
            assert!(code.contains(&format!("fn {name}(")), "there is no test {name}");
        }
    }
    assert_eq!(faults, 47);
}
