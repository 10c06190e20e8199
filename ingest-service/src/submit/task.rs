//! The writer as a task of the current runtime, for simulations: threads do not follow simulated time. The same decisions,
//! groups and order of steps, and time passes between them, so that a crash can fall there.

use std::{sync::Arc, time::Duration};

use shared::{clock::Clock, model::log::Revision};
use tokio::sync::watch;

use super::{
    Decider, Job, ReplayError, Submitter,
    append::{Appender, Group},
    parts,
    queue::{Next, Queue},
};
use crate::log::memory::MemoryLog;

/// How often it looks for work.
const PACE: Duration = Duration::from_millis(20);

/// Replays the log and starts the writer as a task. It ends with its runtime.
///
/// # Errors
/// [`ReplayError`] if the log is damaged; nothing is started.
pub fn start_as_task(
    log: Arc<MemoryLog>,
    clock: Arc<dyn Clock>,
    sync_time: fn() -> Duration,
) -> Result<(Submitter, watch::Receiver<Revision>), ReplayError> {
    let parts = parts(log.clone(), clock, None)?;
    let jobs = parts.submitter.queue.clone();
    tokio::spawn(run(parts.decider, parts.appender, log, jobs, sync_time));
    Ok((parts.submitter, parts.durable))
}

async fn run(
    mut decider: Decider,
    appender: Appender,
    log: Arc<MemoryLog>,
    jobs: Queue<Job>,
    sync_time: fn() -> Duration,
) {
    let mut group = Group::default();
    loop {
        match jobs.next(Duration::ZERO) {
            Next::Job(job) => decider.decide_all(job, &mut group),
            Next::Nothing if group.replies.is_empty() => tokio::time::sleep(PACE).await,
            Next::Closed if group.replies.is_empty() => return,
            Next::Nothing | Next::Closed => {
                let group = decider.finished(&mut group);
                log.write(&group.records);
                tokio::time::sleep(sync_time()).await;
                log.sync();
                tokio::time::sleep(sync_time()).await;
                appender.publish(group);
            }
        }
    }
}
