//! What keeps a store in shape: compaction, epochs, an end by lack of memory.

use std::{path::Path, sync::Arc, time::Duration};

use proto::v1::QueryServiceGetUnitRequest;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{
    faults::{damage, journal::Moment},
    harness::{FREE_PORT, Pair, run, run_in, start_ingest, start_query},
};
use tonic::Code;

use super::{
    Plan, block_on,
    kills::start,
    model::read_log,
    writers::{self, Clock, Shared, Writer},
};
use crate::support::{eventually, flag_report, reason, small_world, submit, yes_and_no};

const COMPACTIONS: usize = 6;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is text")
}

/// Writes a store, compacts it with a crash on the way, and again without; it holds the same all the time.
async fn compact(seed: u64) -> Result<(), String> {
    let random = &mut StdRng::seed_from_u64(seed);
    let directory = super::directory_in_memory();
    let (shared, clock): (Shared, Clock) = (Shared::default(), Arc::new(Moment::default));
    let service = start(directory.path(), &[])?;
    writers::settle_in(&service, &shared, &clock).await;
    writers::work(&service, &mut Writer::several(seed, 4), &shared, &clock, 20).await;
    let before = read_log(service.channel()).await?;
    service.strike();
    service.wait();

    let step = ["copied", "verified", "exchanged"][random.random_range(0..3)];
    let arguments = ["compact", "--data", text(directory.path())];
    let killed = run_in("ingest-service", &arguments, &[("FAILPOINTS", &format!("compaction_{step}=return"))]);
    if killed.status.code().is_some() {
        return Err(format!("{step}: it was not killed: {}", String::from_utf8_lossy(&killed.stderr)));
    }
    for is_whole in [false, true] {
        if is_whole {
            let done = run("ingest-service", &arguments);
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            println!("{said}");
            if !done.status.success() || directory.path().join(".compacting").exists() {
                return Err(format!("after a crash at {step} it does not compact: {said}"));
            }
        }
        let service = start(directory.path(), &[])?;
        let log = read_log(service.channel()).await?;
        if log != before {
            return Err(format!("after a compaction with a crash at {step} the log is another one"));
        }
        shared.lock().unwrap().check(&log, Moment::default())?;
        service.strike();
        service.wait();
    }
    Ok(())
}

#[test]
fn a_compaction_and_a_crash_in_it_leave_the_same_log() {
    let plan = Plan::of("a_compaction_and_a_crash", "TONGHOP_TEST_COMPACTIONS", COMPACTIONS);
    plan.run(&plan.seeds(plan.count), 1, |seed| block_on(compact(seed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_over_a_compacted_store() {
    let mut pair = Pair::start();
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    assert_eq!(yes_and_no(&pair, revision).await, (1, 0));
    let listen = pair.ingest.address().to_string();
    let old = std::mem::replace(&mut pair.ingest, start_ingest(&pair.directory.path().join("other"), FREE_PORT));
    old.kill();
    let done = run("ingest-service", &["compact", "--data", text(pair.directory.path())]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    pair.ingest = start_ingest(pair.directory.path(), &listen);
    let next = submit(&pair, flag_report("c1", "t", false)).await.unwrap().revision.unwrap();
    assert_eq!(yes_and_no(&pair, next).await, (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_restored_from_an_older_backup_is_noticed_by_whoever_knows_more() {
    let mut pair = Pair::start();
    small_world(&pair).await;
    let revision = submit(&pair, flag_report("c0", "t", true)).await.unwrap().revision.unwrap();
    assert_eq!(yes_and_no(&pair, revision).await, (1, 0));
    let listen = pair.ingest.address().to_string();
    let stop = |pair: &mut Pair| {
        let old = std::mem::replace(&mut pair.ingest, start_ingest(&pair.directory.path().join("other"), FREE_PORT));
        old.tell_to_end();
        assert!(old.wait().status.success());
    };
    stop(&mut pair);
    let is_kept = |name: &str| name == "head" || name.starts_with("log/");
    let backup: Vec<_> = damage::files(pair.directory.path()).into_iter().filter(|(name, _)| is_kept(name)).collect();
    pair.ingest = start_ingest(pair.directory.path(), &listen);
    // After the backup: the query-service hears of it.
    let later = submit(&pair, flag_report("c1", "t", true)).await.unwrap().revision.unwrap();
    assert_eq!(yes_and_no(&pair, later).await, (2, 0));

    stop(&mut pair);
    let restored = pair.directory.path().join("restored");
    damage::write(&backup, &restored);
    let begun = run("ingest-service", &["new-epoch", "--data", text(&restored)]);
    let said = String::from_utf8_lossy(&begun.stderr).into_owned();
    assert!(begun.status.success() && said.contains("epoch 2"), "{said}");
    pair.ingest = start_ingest(&restored, &listen);
    let ask = QueryServiceGetUnitRequest { id: "c0".into(), ..Default::default() };
    let refused = eventually(async || pair.queries().get_unit(ask.clone()).await.err()).await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "HISTORY_TRUNCATED"));

    // Another history grows as far and further; who knew the first one is still refused, who comes anew is not.
    for unit in ["c2", "c3"] {
        submit(&pair, flag_report(unit, "t", false)).await.unwrap();
    }
    let refused = eventually(async || pair.queries().get_unit(ask.clone()).await.err()).await;
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(["HISTORY_TRUNCATED", "HISTORY_DIVERGED"].contains(&reason(&refused).as_str()), "{refused}");
    pair.query = start_query(&pair.ingest.uri(), FREE_PORT);
    assert_eq!(yes_and_no(&pair, later + 1).await, (1, 2));

    // The old store comes back beside its new epoch: whoever has seen that is not taken in.
    stop(&mut pair);
    pair.ingest = start_ingest(pair.directory.path(), &listen);
    let refused = eventually(async || pair.queries().get_unit(ask.clone()).await.err()).await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "HISTORY_TRUNCATED"));
}

#[test]
fn an_end_by_lack_of_memory_loses_nothing_that_was_acknowledged() {
    block_on(async {
        let directory = super::directory_in_memory();
        let (shared, clock): (Shared, Clock) = (Shared::default(), Arc::new(Moment::default));
        let mut writers = Writer::several(7, 6);
        for _ in 0..3 {
            let service = start(directory.path(), &[]).unwrap();
            let log = read_log(service.channel()).await.unwrap();
            shared.lock().unwrap().check(&log, Moment::default()).unwrap();
            writers::settle_in(&service, &shared, &clock).await;
            let squeeze = async {
                tokio::time::sleep(Duration::from_millis(30)).await;
                service.limit_memory_bytes(1024 * 1024);
            };
            let (ends, ()) = tokio::join!(writers::work(&service, &mut writers, &shared, &clock, 60), squeeze);
            assert_eq!(writers::broken(&ends), None);
            // Where it has got by with what it had, an end by the kernel's hand.
            service.strike();
            service.wait();
        }
        let service = start(directory.path(), &[]).unwrap();
        let log = read_log(service.channel()).await.unwrap();
        shared.lock().unwrap().check(&log, Moment::default()).unwrap();
    });
}
