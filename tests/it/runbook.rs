//! What the runbook tells an operator to do, done.

use std::{fs, path::Path};

use proto::v1::GetReportRequest;
use tempfile::TempDir;
use tests::harness::{FREE_PORT, Pair, run, start_ingest, start_query_over, try_start_query_over, workspace};

use crate::support::{eventually, flag_report, reason, share_of, small_world, submit};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is text")
}

/// Runs a command of a service that has to succeed; what it said.
fn done(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_store_holds_all_that_was_acknowledged_when_it_began() {
    let pair = Pair::start();
    small_world(&pair).await;
    let mut last = 0;
    for number in 0..50 {
        last = submit(&pair, flag_report("c0", &format!("before {number}"), true)).await.unwrap().revision.unwrap();
    }
    let directory = TempDir::new().unwrap();
    let (file, store) = (directory.path().join("backup"), directory.path().join("store"));
    // It goes on being written meanwhile.
    let (uri, to) = (pair.ingest.uri(), text(&file).to_owned());
    let backup =
        tokio::task::spawn_blocking(move || done("ingest-service", &["backup", "--ingest", &uri, "--to", &to]));
    for number in 0..50 {
        submit(&pair, flag_report("c1", &format!("meanwhile {number}"), true)).await.unwrap();
    }
    let said = backup.await.unwrap();
    assert!(said.contains("backed up"), "{said}");
    let again = run("ingest-service", &["backup", "--ingest", &pair.ingest.uri(), "--to", text(&file)]);
    assert_eq!(again.status.code(), Some(73), "a backup replaces nothing");
    done("ingest-service", &["import", "--data", text(&store), "--from", text(&file)]);
    done("ingest-service", &["verify", "--data", text(&store)]);
    let restored = start_ingest(&store, FREE_PORT);
    let request = GetReportRequest { name: format!("reports/{last}"), ..Default::default() };
    let mut client = proto::v1::ingest_service_client::IngestServiceClient::new(restored.channel());
    let report = client.get_report(request).await.unwrap().into_inner().report.unwrap();
    assert_eq!(report.source.unwrap().title, "before 49");
    let nobody = directory.path().join("nobody");
    let away = run("ingest-service", &["backup", "--ingest", "http://127.0.0.1:1", "--to", text(&nobody)]);
    assert_eq!(away.status.code(), Some(69));
    assert!(!nobody.exists() && !directory.path().join("nobody.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_comes_back_from_its_backup_and_followers_that_knew_more_begin_again() {
    let pair = Pair::start();
    small_world(&pair).await;
    let kept = submit(&pair, flag_report("c0", "kept", true)).await.unwrap().revision.unwrap();
    let directory = TempDir::new().unwrap();
    let (file, store) = (directory.path().join("backup"), directory.path().join("store"));
    done("ingest-service", &["backup", "--ingest", &pair.ingest.uri(), "--to", text(&file)]);
    let lost = submit(&pair, flag_report("c1", "lost", true)).await.unwrap().revision.unwrap();
    let ask = |at_least: i64| share_of("d", at_least);
    eventually(async || pair.queries().get_share(ask(lost)).await.ok()).await;
    let Pair { ingest, query, query_data, .. } = pair;
    query.tell_to_end();
    query.wait();
    ingest.kill();

    done("ingest-service", &["import", "--data", text(&store), "--from", text(&file)]);
    done("ingest-service", &["new-epoch", "--data", text(&store)]);
    let ingest = start_ingest(&store, FREE_PORT);
    // Who knew more answers nothing, rather than something of another history.
    let query = start_query_over(query_data.path(), &ingest.uri(), FREE_PORT, &[]);
    let mut client = proto::v1::query_service_client::QueryServiceClient::new(query.channel());
    let refused = eventually(async || {
        let refused = client.get_share(ask(0)).await.err()?;
        (reason(&refused) == "HISTORY_TRUNCATED").then_some(refused)
    });
    assert_eq!(refused.await.code(), tonic::Code::FailedPrecondition);
    let in_use = run("query-service", &["rebuild", "--data", text(query_data.path())]);
    assert_eq!(in_use.status.code(), Some(73), "not under somebody's feet");
    query.tell_to_end();
    query.wait();
    done("query-service", &["rebuild", "--data", text(query_data.path())]);
    let query = try_start_query_over(query_data.path(), &ingest.uri(), FREE_PORT, &[])
        .unwrap_or_else(|ended| panic!("{}", ended.log));
    let mut client = proto::v1::query_service_client::QueryServiceClient::new(query.channel());
    let answer = eventually(async || client.get_share(ask(kept)).await.ok()).await.into_inner();
    assert_eq!((answer.shares[0].yes(), answer.meta.unwrap().revision), (1, kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_to_a_revision_ends_with_a_whole_change() {
    let pair = Pair::start();
    small_world(&pair).await;
    let first = submit(&pair, flag_report("c0", "first", true)).await.unwrap().revision.unwrap();
    submit(&pair, flag_report("c0", "second", true)).await.unwrap();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("backup");
    done("ingest-service", &["backup", "--ingest", &pair.ingest.uri(), "--to", text(&file)]);
    // The register of the small world is one change of nine entries; in the middle of it nothing has been said yet.
    for (until, last) in [(first, first), (first + 1, first + 1), (4, 0), (first + 99, first + 1)] {
        let store = directory.path().join(format!("store-{until}"));
        let until = until.to_string();
        let said =
            done("ingest-service", &["import", "--data", text(&store), "--from", text(&file), "--until", &until]);
        assert!(said.trim_end().ends_with(&format!("up to revision {last}")), "{said}");
        done("ingest-service", &["verify", "--data", text(&store)]);
    }
}

#[test]
fn every_test_that_the_runbook_names_exists() {
    let runbook = fs::read_to_string(workspace().join("ingest-service/RUNBOOK.md")).unwrap();
    let named: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("Tried by: ")).collect();
    assert!(named.len() >= 6, "{named:?}");
    let mut sources = String::new();
    let mut open: Vec<_> =
        ["shared", "ingest-service", "query-service", "tests"].map(|name| workspace().join(name)).into();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources += &fs::read_to_string(path).unwrap();
        }
    }
    for test in named.iter().flat_map(|line| line.split(", ")) {
        let name = test.trim_matches(['`', '.']);
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}
