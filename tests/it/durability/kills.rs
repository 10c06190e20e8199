//! kill -9 at every step of a commit and at any moment.

use std::{os::unix::process::ExitStatusExt, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{
    faults::journal::Moment,
    harness::{Ended, FREE_PORT, Service},
};

use super::{
    Plan,
    model::read_log,
    writers::{self, Clock, End, Shared, Writer},
};

/// Where the process kills itself, in the order of a commit.
pub const STEPS: [&str; 8] =
    ["decoded", "validated", "begun", "batch_written", "flushed", "synced", "head_written", "replied"];
/// Kills in the short form.
const CYCLES: usize = 200;
/// A new store after so many: its log is read at each start.
const CYCLES_A_STORE: usize = 20;
const WRITERS: u64 = 6;
const REQUESTS_A_TURN: usize = 12;

/// Starts an ingest-service for the campaign.
///
/// # Errors
/// How it ended.
pub fn start(data: &std::path::Path, environment: &[(&str, &str)]) -> Result<Service, Ended> {
    let data = data.to_str().expect("a path of ours is text");
    let arguments = [
        "--data",
        data,
        "--listen",
        FREE_PORT,
        "--free-mib-min",
        "0",
        "--free-percent-min",
        "0",
        "--log",
        "warn,ingest_service=info",
    ];
    Service::start_in("ingest-service", &arguments, environment)
}

/// What a run has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub acknowledged: usize,
    pub entries: usize,
    /// Kills at each step, and at any moment.
    pub kills: [usize; STEPS.len() + 1],
}

/// One store that is killed again and again; a bug can be planted in it.
///
/// # Errors
/// What was lost, doubled or made up.
pub fn torment(seed: u64, cycles: usize, bug: &str) -> Result<Seen, String> {
    super::block_on(torment_one(seed, cycles, bug))
}

async fn torment_one(seed: u64, cycles: usize, bug: &str) -> Result<Seen, String> {
    let random = &mut StdRng::seed_from_u64(seed);
    let directory = super::directory_in_memory();
    let (shared, clock): (Shared, Clock) = (Shared::default(), Arc::new(Moment::default));
    let mut writers = Writer::several(seed, WRITERS);
    let mut seen = Seen::default();
    for cycle in 0..cycles {
        let step = random.random_range(0..=STEPS.len());
        let points = match STEPS.get(step) {
            // The first groups are those of the register and the indicator.
            Some(name) => format!("{name}={}*off->return;{bug}", random.random_range(0..40)),
            None => bug.to_owned(),
        };
        seen.kills[step] += 1;
        let context = |what: String| format!("cycle {cycle}, {points}: {what}");
        let service = match start(directory.path(), &[("FAILPOINTS", &points)]) {
            Ok(service) => service,
            // A start writes too: what a new log begins with, and a head that the last kill left behind.
            Err(ended) if step < STEPS.len() && ended.status.signal() == Some(9) => continue,
            Err(ended) => return Err(context(ended.into())),
        };
        // The step may come while the log is read, which is as good a time to be killed.
        match read_log(service.channel()).await {
            Ok(log) => {
                seen.entries = log.len();
                shared.lock().unwrap().check(&log, Moment::default()).map_err(context)?;
            }
            Err(what) => return Err(context(what)),
        }
        let blow = random.random_range(0..30_000);
        let turn = async {
            let mut ends = vec![writers::settle_in(&service, &shared, &clock).await];
            if ends == [End::Done] {
                ends = writers::work(&service, &mut writers, &shared, &clock, REQUESTS_A_TURN).await;
            }
            service.strike();
            ends
        };
        let any_moment = async {
            if step == STEPS.len() {
                tokio::time::sleep(Duration::from_micros(blow)).await;
                service.strike();
            }
        };
        let (ends, ()) = tokio::join!(turn, any_moment);
        if let Some(what) = writers::broken(&ends) {
            return Err(context(what));
        }
        service.wait();
    }
    let service = start(directory.path(), &[("FAILPOINTS", bug)])?;
    let log = read_log(service.channel()).await?;
    let model = shared.lock().unwrap();
    model.check(&log, Moment::default())?;
    seen.acknowledged = model.acknowledged();
    Ok(seen)
}

#[test]
fn a_kill_at_any_step_loses_and_doubles_nothing_that_was_acknowledged() {
    let plan = Plan::of("a_kill_at_any_step", "TONGHOP_TEST_KILLS", CYCLES);
    let cycles = plan.count.min(CYCLES_A_STORE);
    let mut total = Seen::default();
    for seen in plan.run(&plan.seeds(plan.count.div_ceil(CYCLES_A_STORE)), cycles, |seed| torment(seed, cycles, "")) {
        total.acknowledged += seen.acknowledged;
        total.entries += seen.entries;
        total.kills.iter_mut().zip(seen.kills).for_each(|(total, kills)| *total += kills);
    }
    println!("{total:?}, 0 lost, 0 doubled");
    assert!(total.acknowledged > plan.count, "much was acknowledged");
}
