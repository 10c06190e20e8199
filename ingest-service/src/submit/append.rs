//! The second half of the writer: makes decided groups durable, then visible, then answers. While it waits for the disk,
//! the next group is decided.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use shared::{codec::Record, fault_point, model::log::Revision};
use tokio::sync::{oneshot, watch};

use super::{
    Outcome, Receipt, Snapshot, Work,
    facts_file::{FactsFile, Lines},
    storage_failed,
};
use crate::{
    log::{Log, LogError},
    metrics::METRICS,
    traces::RECENT,
};

/// After that long without work the log brings its head up to date.
const IDLE: Duration = Duration::from_millis(10);

/// What one commit makes durable, and who waits for it.
#[derive(Default)]
pub(super) struct Group {
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
    pub(super) pieces: usize,
    pub(super) replies: Vec<(oneshot::Sender<Vec<Outcome>>, Vec<Outcome>)>,
    /// What readers may see once the records are durable.
    pub(super) snapshot: Option<Snapshot>,
    /// What is to be kept of the records.
    pub(super) facts: Lines,
    /// Of which traces the ends of changes are.
    pub(super) traces: Vec<(Revision, String)>,
    /// Work that is done with; letting go of it takes time, too.
    pub(super) done: Vec<Work>,
}

/// Appends groups, one after the other.
pub(super) struct Appender {
    pub(super) log: Arc<dyn Log>,
    pub(super) published: Arc<ArcSwap<Snapshot>>,
    pub(super) durable: watch::Sender<Revision>,
    /// Waits for a group; as long as it does not, a group may as well grow.
    pub(super) is_free: Arc<AtomicBool>,
    /// Where facts are kept.
    pub(super) facts: Option<FactsFile>,
}

impl Appender {
    /// Appends until no more groups come or the log fails; `nudge` tells who decides that it is free.
    pub(super) fn run(&mut self, groups: &Receiver<Group>, nudge: impl Fn()) -> Result<(), LogError> {
        loop {
            match groups.try_recv() {
                Ok(group) => self.commit(group)?,
                Err(TryRecvError::Disconnected) => return self.log.settle(),
                Err(TryRecvError::Empty) => {
                    if !self.is_free.swap(true, Ordering::AcqRel) {
                        nudge();
                    }
                    match groups.recv_timeout(IDLE) {
                        Ok(group) => self.commit(group)?,
                        Err(RecvTimeoutError::Timeout) => self.log.settle()?,
                        Err(RecvTimeoutError::Disconnected) => return self.log.settle(),
                    }
                }
            }
        }
    }

    /// Makes the group durable, then visible, then answers.
    fn commit(&mut self, mut group: Group) -> Result<(), LogError> {
        fault_point::reach("begun");
        let begun = Instant::now();
        if let Err(error) = self.log.append(&group.records) {
            for (reply, outcomes) in group.replies {
                let _ = reply.send(vec![Err(storage_failed("the log has failed")); outcomes.len()]);
            }
            return Err(error);
        }
        if !group.records.is_empty() {
            METRICS.commit_time.observe(begun.elapsed().as_secs_f64());
            METRICS.commit_entries.observe(f64::from(u32::try_from(group.records.len()).unwrap_or(u32::MAX)));
            METRICS.commit_bytes.observe(f64::from(u32::try_from(group.bytes).unwrap_or(u32::MAX)));
        }
        let (facts, last) = (std::mem::take(&mut group.facts), group.records.last().map(|record| record.link));
        self.publish(group);
        fault_point::reach("replied");
        if let (Some(file), Some(last)) = (&mut self.facts, last) {
            file.append(facts, &last);
        }
        Ok(())
    }

    /// Lets everybody see a group that is durable.
    pub(super) fn publish(&self, group: Group) {
        RECENT.remember(group.traces);
        if let Some(snapshot) = group.snapshot {
            let revision = snapshot.revision;
            self.published.store(Arc::new(snapshot));
            self.durable.send_replace(revision);
        }
        for (reply, outcomes) in group.replies {
            for outcome in &outcomes {
                if let Ok(Receipt::Written { findings, .. }) = outcome {
                    METRICS.count_findings(findings);
                }
            }
            // A caller that has gone will ask again with the same request id.
            let _ = reply.send(outcomes);
        }
    }
}
