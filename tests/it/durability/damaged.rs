//! Damage to what is stored: whoever opens it gets the right answers or is told that it is damaged.

use std::{collections::BTreeMap, path::Path, process::Output, sync::Arc};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{
    faults::{
        damage::{self, Damage},
        journal::Moment,
    },
    harness::run_in,
};

use super::{
    Plan, block_on,
    kills::start,
    model::{Model, read_log},
    writers::{self, Clock, End, Shared, Writer},
};

/// Damages in the short form.
const DAMAGES: usize = 500;
/// So many are done to one store.
const DAMAGES_A_STORE: usize = 50;
/// Every so many the service is started, too.
const SERVED: usize = 10;

type Files = Vec<(String, Vec<u8>)>;

/// A store that was stopped cleanly, in three states.
pub struct Stored {
    now: Files,
    /// The same store, earlier.
    earlier: Files,
    /// The same store up to then, and another history since, at least as long as ours.
    forked: Files,
    /// What `verify` says of it.
    verified: String,
    model: Model,
}

/// What has become of damaged stores.
#[derive(Debug, Default)]
pub struct Seen {
    pub damages: usize,
    pub harmless: usize,
    /// By exit code.
    pub refused: BTreeMap<i32, usize>,
}

/// Writes a store; a bug can be planted.
async fn store(seed: u64, bug: &str) -> Result<Stored, String> {
    let directory = super::directory_in_memory();
    let (shared, clock): (Shared, Clock) = (Shared::default(), Arc::new(Moment::default));
    let mut writers = Writer::several(seed, 4);
    write(directory.path(), &mut writers, &shared, &clock, bug).await?;
    let earlier = damage::files(directory.path());
    let fork = super::directory_in_memory();
    damage::write(&earlier, fork.path());
    write(directory.path(), &mut writers, &shared, &clock, bug).await?;
    let mut others = Writer::several(seed ^ 1, 4);
    let elsewhere = Shared::new(shared.lock().unwrap().clone().into());
    let verified = verify(directory.path(), bug);
    // Some of what callers ask for writes nothing.
    while newest(&what_is_there(&verify(fork.path(), bug))) < newest(&what_is_there(&verified)) {
        write(fork.path(), &mut others, &elsewhere, &clock, bug).await?;
    }
    let model = shared.lock().unwrap().clone();
    Ok(Stored {
        now: damage::files(directory.path()),
        earlier,
        forked: damage::files(fork.path()),
        verified: what_is_there(&verified),
        model,
    })
}

/// Serves a store, lets callers work, and stops cleanly.
async fn write(
    data: &Path,
    writers: &mut Vec<Writer>,
    shared: &Shared,
    clock: &Clock,
    bug: &str,
) -> Result<(), String> {
    let service = start(data, &[("FAILPOINTS", bug)])?;
    let mut ends = vec![writers::settle_in(&service, shared, clock).await];
    ends.extend(writers::work(&service, writers, shared, clock, 25).await);
    service.tell_to_end();
    let ended = service.wait();
    if ended.status.success() && ends.iter().all(|end| *end == End::Done) {
        return Ok(());
    }
    Err(format!("{ends:?}, {}", ended.log))
}

fn verify(data: &Path, bug: &str) -> Output {
    let data = data.to_str().expect("a path of ours is text");
    run_in("ingest-service", &["verify", "--data", data], &[("FAILPOINTS", bug)])
}

/// The revision in what is there; none if nothing is.
fn newest(there: &str) -> Option<u64> {
    there.split_once("revision ")?.1.split_once(',')?.0.parse().ok()
}

/// Store, epoch, revision and hash, which stands for every byte before it.
fn what_is_there(verified: &Output) -> String {
    let line = String::from_utf8_lossy(&verified.stderr).into_owned();
    let there = line.lines().find_map(|line| line.strip_prefix("verified ")?.split_once(": ").map(|(what, _)| what));
    there.unwrap_or_default().to_owned()
}

/// Damages one store in many ways; a bug can be planted in who writes and in who opens it.
///
/// # Errors
/// A wrong answer.
pub fn harm(seed: u64, damages: usize, bug: &str) -> Result<Seen, String> {
    let random = &mut StdRng::seed_from_u64(seed);
    let stored = block_on(store(seed, bug))?;
    if stored.verified.is_empty() {
        return Err("the store cannot be verified before it is damaged".to_owned());
    }
    let mut seen = Seen::default();
    for number in 0..damages {
        let (what, files) = any(random, &stored);
        let directory = super::directory_in_memory();
        damage::write(&files, directory.path());
        seen.damages += 1;
        let verified = verify(directory.path(), bug);
        match verified.status.code() {
            Some(0) if what_is_there(&verified) == stored.verified => seen.harmless += 1,
            Some(0) => return Err(format!("{what}: it says that all is well with {}", what_is_there(&verified))),
            // 65 damaged, 66 no store.
            Some(code @ (65 | 66)) => *seen.refused.entry(code).or_default() += 1,
            _ => {
                return Err(format!("{what}: {}, {}", verified.status, String::from_utf8_lossy(&verified.stderr)));
            }
        }
        if number % SERVED == 0 {
            let directory = super::directory_in_memory();
            damage::write(&files, directory.path());
            block_on(serve(directory.path(), &stored.model, bug)).map_err(|error| format!("{what}: {error}"))?;
        }
    }
    Ok(seen)
}

/// The files with any damage, and what it is.
fn any(random: &mut StdRng, stored: &Stored) -> (String, Files) {
    // A careless restore brings the log of another day, or of another machine, under the head of today.
    let (what, log) = match random.random_range(0..25) {
        0 => ("the log of an earlier day", &stored.earlier),
        1 => ("the log of a fork", &stored.forked),
        _ => {
            let mut files = stored.now.clone();
            let damage = Damage::any(random, &files);
            damage.apply(&mut files);
            return (damage.to_string(), files);
        }
    };
    let is_log = |name: &str| name.starts_with("log/");
    let heads = stored.now.iter().filter(|(name, _)| !is_log(name));
    (what.to_owned(), heads.chain(log.iter().filter(|(name, _)| is_log(name))).cloned().collect())
}

/// Serves a damaged store: it refuses to start, or its feed is the whole log, or ends with DATA_LOSS.
async fn serve(data: &Path, model: &Model, bug: &str) -> Result<(), String> {
    let Ok(service) = start(data, &[("FAILPOINTS", bug)]) else { return Ok(()) };
    if !data.join("head").exists() {
        return Err("it serves a store without a head".to_owned());
    }
    match read_log(service.channel()).await {
        // Without any file left it is a new store.
        Ok(log) if log.is_empty() && model.acknowledged() > 0 => Err("it serves an empty log".to_owned()),
        Ok(log) => model.check(&log, Moment::default()),
        Err(what) if what.contains("DATA_CORRUPT") || what.contains("damaged") => Ok(()),
        Err(what) => Err(what),
    }
}

#[test]
fn damaged_files_give_the_right_answers_or_are_refused() {
    let plan = Plan::of("damaged_files_give", "TONGHOP_TEST_DAMAGES", DAMAGES);
    let damages = plan.count.min(DAMAGES_A_STORE);
    let mut total = Seen::default();
    for seen in plan.run(&plan.seeds(plan.count.div_ceil(DAMAGES_A_STORE)), damages, |seed| harm(seed, damages, "")) {
        total.damages += seen.damages;
        total.harmless += seen.harmless;
        seen.refused.into_iter().for_each(|(code, count)| *total.refused.entry(code).or_default() += count);
    }
    println!("{total:?}, 0 wrong answers");
    assert!(plan.count < DAMAGES || total.refused.len() > 1, "some of it must have hit something");
}
