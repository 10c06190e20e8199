//! What a query-service keeps on its disk: it answers from it alone, and whatever happens to it, no answer becomes another.

use std::path::Path;

use rand::{SeedableRng, rngs::StdRng};
use tests::{
    faults::damage::{self, Damage},
    harness::{FREE_PORT, Pair, Service, start_ingest, start_query, start_query_over, try_start_query_over},
};

use crate::{
    durability::{Plan, directory_in_memory},
    faulty::{answers, assert_same_answers, burst, caught_up},
    support::{eventually, flag_report, small_world, submit},
};

/// Damaged checkpoints in the short form.
const DAMAGES: usize = 30;

/// A pair with some history: several reports on a unit, corrections of none.
async fn with_history() -> (Pair, i64) {
    let pair = Pair::start();
    small_world(&pair).await;
    let mut newest = 0;
    for turn in 0..6 {
        newest = burst(&pair, &format!("turn {turn}")).await;
    }
    caught_up(&pair.query, newest).await;
    (pair, newest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_answers_from_the_checkpoint_while_nobody_else_is_there() {
    let (mut pair, newest) = with_history().await;
    let undisturbed = start_query(&pair.ingest.uri(), FREE_PORT);
    caught_up(&undisturbed, newest).await;
    let listen = pair.ingest.address().to_string();
    pair.query.tell_to_end();
    assert!(pair.query.wait_in_place().status.success());
    pair.ingest.tell_to_end();
    pair.ingest.wait_in_place();

    pair.query = start_query_over(pair.query_data.path(), &pair.ingest.uri(), FREE_PORT, &[]);
    assert_same_answers(&pair.query, &undisturbed, newest).await;

    pair.ingest = start_ingest(pair.directory.path(), &listen);
    let next = submit(&pair, flag_report("c0", "afterwards", true)).await.unwrap().revision.unwrap();
    caught_up(&undisturbed, next).await;
    caught_up(&pair.query, next).await;
    assert_same_answers(&pair.query, &undisturbed, next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_directory_has_one_process_and_one_store() {
    let (mut pair, newest) = with_history().await;
    let second = try_start_query_over(pair.query_data.path(), &pair.ingest.uri(), FREE_PORT, &[]).unwrap_err();
    assert_eq!(second.status.code(), Some(73), "{second}");
    assert!(second.log.contains("another process uses this directory"), "{second}");

    pair.query.tell_to_end();
    pair.query.wait_in_place();
    let other = tempfile::tempdir().unwrap();
    let listen = pair.ingest.address().to_string();
    pair.ingest.tell_to_end();
    pair.ingest.wait_in_place();
    let ingest = start_ingest(other.path(), &listen);
    let refused = async |query: &Service| answers(query, newest).await.err();
    let query = start_query_over(pair.query_data.path(), &ingest.uri(), FREE_PORT, &[]);
    let mismatch = eventually(async || refused(&query).await.filter(|reason| reason == "STORE_MISMATCH"));
    assert_eq!(mismatch.await, "STORE_MISMATCH", "what it kept is of another store");
}

/// Starts over a damaged checkpoint and asks until it answers; says whether it was thrown away.
async fn survives(data: &Path, pair: &Pair, undisturbed: &Service, newest: i64) -> Result<bool, String> {
    let query = try_start_query_over(data, &pair.ingest.uri(), FREE_PORT, &[])?;
    let right = answers(undisturbed, newest).await?;
    let answered = eventually(async || match answers(&query, newest).await {
        Ok(answer) => Some(Ok(answer)),
        Err(reason) if reason == "CATCHING_UP" => None,
        Err(reason) => Some(Err(reason)),
    });
    if answered.await? != right {
        return Err("it answers something else".to_owned());
    }
    Ok(query.log().iter().any(|line| line.contains("thrown away")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_is_thrown_away_and_changes_no_answer() {
    let (mut pair, newest) = with_history().await;
    let undisturbed = start_query(&pair.ingest.uri(), FREE_PORT);
    caught_up(&undisturbed, newest).await;
    pair.query.tell_to_end();
    pair.query.wait_in_place();
    let kept = damage::files(pair.query_data.path());

    let plan = Plan::of("a_damaged_checkpoint", "TONGHOP_TEST_CHECKPOINT_DAMAGES", DAMAGES);
    let mut thrown_away = 0;
    for seed in plan.seeds(plan.count) {
        let random = &mut StdRng::seed_from_u64(seed);
        let mut files = kept.clone();
        let damage = Damage::any(random, &files);
        damage.apply(&mut files);
        let directory = directory_in_memory();
        damage::write(&files, directory.path());
        match survives(directory.path(), &pair, &undisturbed, newest).await {
            Ok(was_thrown_away) => thrown_away += usize::from(was_thrown_away),
            Err(what) => plan.fail(&crate::durability::Found { seed, what: format!("{damage:?}: {what}") }, 1),
        }
    }
    println!("{} damaged, {thrown_away} thrown away, 0 wrong answers", plan.count);
    assert!(thrown_away * 10 >= plan.count, "damage was noticed");
}
