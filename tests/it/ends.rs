//! Clean ends, full disks, failed writes.

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use proto::v1::{FollowRequest, GetUnitRequest};
use tests::harness::{FREE_PORT, Pair, start_ingest, start_query_over, try_start_ingest_with};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    feed::entries,
    support::{eventually, flag_report, reason, small_world, submit, yes_and_no},
};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_answers_what_it_acknowledged_and_ends() {
    let pair = Pair::start();
    small_world(&pair).await;
    let mut feed = pair.feed().follow(FollowRequest::default()).await.unwrap().into_inner();
    let mut watch =
        HealthClient::new(pair.ingest.channel()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.message().await.unwrap();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (mut reports, acknowledged, stop) = (pair.reports(), acknowledged.clone(), stop.clone());
        clients.spawn(async move {
            for sequence in 0.. {
                let request = flag_report("c0", &format!("{number}/{sequence}"), true);
                match reports.submit_report(request).await {
                    Ok(receipt) => acknowledged.lock().unwrap().push(receipt.into_inner().revision.unwrap()),
                    Err(_) if stop.load(Ordering::Relaxed) => return,
                    Err(status) => panic!("{status}"),
                }
            }
        });
    }
    eventually(async || (acknowledged.lock().unwrap().len() > 100).then_some(())).await;
    stop.store(true, Ordering::Relaxed);
    pair.ingest.tell_to_end();
    let ended = loop {
        match feed.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the feed ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&ended), "SHUTTING_DOWN");
    let Pair { directory, query_data, ingest, query } = pair;
    let ended = ingest.wait();
    assert!(ended.status.success(), "{}", ended.log);
    while clients.join_next().await.is_some() {}
    let pair = Pair { ingest: start_ingest(directory.path(), FREE_PORT), directory, query_data, query };
    let there: std::collections::BTreeSet<i64> = entries(&pair).await.iter().map(|entry| entry.revision).collect();
    assert!(acknowledged.lock().unwrap().iter().all(|revision| there.contains(revision)));
}

/// A small file system of its own, gone with it.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where this process may not mount one.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=160m", "tmpfs"]).arg(directory.path()).status();
        mount.is_ok_and(|status| status.success()).then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Writes until nothing more goes on the disk.
fn fill(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 64 * 1024]).is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_while_reading_goes_on_until_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        println!("no file system can be mounted here: skipped");
        return;
    };
    let data = disk.0.path().join("data");
    let settings = ["--free-mib-min", "48"];
    let ingest = try_start_ingest_with(&data, FREE_PORT, &settings).unwrap();
    let (directory, query_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let query = start_query_over(query_data.path(), &ingest.uri(), FREE_PORT, &[]);
    let mut pair = Pair { directory, query_data, ingest, query };
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();

    let filler = disk.0.path().join("filler");
    fill(&filler);
    let refused = submit(&pair, flag_report("c1", "t", true)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "DISK_FULL"));
    pair.registry().get_unit(GetUnitRequest { id: "c0".into(), on: String::new() }).await.unwrap();
    assert_eq!(entries(&pair).await.last().unwrap().revision, revision, "the feed goes on");
    assert_eq!(yes_and_no(&pair, revision).await, (1, 0));

    // sled cannot open on a full disk; the ballast makes room for it.
    let listen = pair.ingest.address().to_string();
    let restart = |pair: &mut Pair| {
        let old = std::mem::replace(&mut pair.ingest, start_ingest(&pair.directory.path().join("other"), FREE_PORT));
        old.kill();
        pair.ingest = try_start_ingest_with(&data, &listen, &settings).unwrap();
    };
    assert!(data.join("ballast").exists());
    restart(&mut pair);
    assert!(!data.join("ballast").exists(), "it was given up");
    let refused = submit(&pair, flag_report("c1", "t", true)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "DISK_FULL"));
    assert_eq!(entries(&pair).await.last().unwrap().revision, revision, "the feed goes on");

    std::fs::remove_file(&filler).unwrap();
    let receipt = submit(&pair, flag_report("c1", "t", true)).await.unwrap();
    assert_eq!(receipt.revision, Some(revision + 1));
    assert!(data.join("ballast").exists(), "it is laid again");
    restart(&mut pair);
    assert_eq!(yes_and_no(&pair, revision + 1).await, (2, 0));
    // Before the disk goes.
    drop(pair);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_ends_the_process_and_nothing_is_acknowledged_any_more() {
    let pair = Pair::start();
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    pair.ingest.limit_file_bytes(1);
    let failed = submit(&pair, flag_report("c1", "t", true)).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable, "{failed}");
    let Pair { directory, query_data, ingest, query } = pair;
    let ended = ingest.wait();
    assert_eq!(ended.status.code(), Some(74), "{}", ended.log);
    let pair = Pair { ingest: start_ingest(directory.path(), FREE_PORT), directory, query_data, query };
    let entries = entries(&pair).await;
    assert!(entries.len() >= usize::try_from(revision).unwrap(), "what was acknowledged is there");
    submit(&pair, flag_report("c2", "t", true)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_query_service_with_an_idle_health_watch() {
    let pair = Pair::start();
    small_world(&pair).await;
    yes_and_no(&pair, 10).await;
    let mut watch =
        HealthClient::new(pair.query.channel()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1, "SERVING");
    pair.query.tell_to_end();
    let ended = pair.query.wait();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(!ended.log.contains("calls were cut"), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_log_nobody_reads_serves_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let service = tests::harness::Service::start_unheard(directory.path()).unwrap();
    let mut registry = proto::v1::registry_service_client::RegistryServiceClient::new(service.channel());
    let units = vec![crate::support::unit("vn", proto::v1::unit::Level::Country, "")];
    registry.register_units(proto::v1::RegisterUnitsRequest { units, ..Default::default() }).await.unwrap();
    service.tell_to_end();
    assert_eq!(service.wait().status.code(), Some(0));
}
