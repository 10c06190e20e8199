//! The one writer: decides every change in order, appends them in groups, answers when they are durable.
//!
//! Callers hand in work and wait. One thread takes what has queued up since the last group, decides each piece against
//! the state with everything before it, appends the group at once, and only then lets anybody see it: first the published
//! snapshot, then the feed, then the callers.

mod check;
mod decide;
mod findings;
mod register;
mod state;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::ArcSwap;
use shared::{
    change::Entry,
    clock::Clock,
    codec::{self, EncodeFault, Record, RecordFault},
    convert::ingest::Unreadable,
    model::{
        command::{Command, EventsRequest, FormsRequest, SubmitRequest, UnitsRequest, WithdrawRequest},
        fault::{Fault, Reason},
        finding::Finding,
        indicator::Indicator,
        log::Revision,
        term::Term,
    },
};
use tokio::sync::{oneshot, watch};

pub use self::state::{ReportRecord, Snapshot};
use self::{check::Checked, decide::Decision, state::State};
use crate::log::{Log, LogError};

/// Work that waits for the writer; more is refused.
const QUEUE_MAX: usize = 4096;
/// Calls that share one commit.
const GROUP_CALLS_MAX: usize = 1024;
/// Bytes after which a group is closed.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// After that long without work the log brings its head up to date.
const IDLE: Duration = Duration::from_millis(10);
/// Bytes read from the log at a time while it is replayed.
const REPLAY_BYTES: usize = 1024 * 1024;

/// What a caller wants written.
#[derive(Debug)]
pub enum Work {
    /// RegisterUnits.
    Units(Command<UnitsRequest>),
    /// RecordUnitEvents.
    Events(Command<EventsRequest>),
    /// DefineForms.
    Forms(Command<FormsRequest>),
    /// DefineIndicators.
    Indicators(Command<Vec<Indicator>>),
    /// DefineTerms.
    Terms(Command<Vec<Term>>),
    /// SubmitReport.
    Report(Box<Command<SubmitRequest>>),
    /// WithdrawReport.
    Withdrawal(Command<WithdrawRequest>),
}

/// What a caller gets when it is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Written.
    Written {
        /// The end of the change.
        last: Box<Entry>,
        /// What is odd about any part of the change.
        findings: Vec<Finding>,
    },
    /// Nothing was to be written: it is all there at this revision, from an earlier call.
    There(Revision),
    /// Every check passed and nothing was written; the end of the change as it would have been, and what is odd about it.
    Valid {
        /// None if there is nothing new in it.
        last: Option<Box<Entry>>,
        /// What is odd about any part of the change.
        findings: Vec<Finding>,
    },
}

enum Message {
    Job(Box<Job>),
    /// Finish what was queued before, then end.
    Stop,
}

type Outcome = Result<Receipt, Fault>;

struct Job {
    work: Work,
    /// What the caller's own thread has found out about a report, and against which registry.
    checked: Option<Checked>,
    reply: oneshot::Sender<Outcome>,
}

/// Hands work to the writer and shows what is durable. Cheap to clone.
#[derive(Clone)]
pub struct Submitter {
    queue: SyncSender<Message>,
    published: Arc<ArcSwap<Snapshot>>,
}

/// The writer's thread. It ends when it is told to, or when the log fails.
pub struct Writer {
    /// The newest durable revision.
    pub durable: watch::Receiver<Revision>,
    queue: SyncSender<Message>,
    failed: oneshot::Receiver<LogError>,
    thread: JoinHandle<()>,
}

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An entry does not follow on the ones before it, or cannot be read.
    #[error(transparent)]
    Record(#[from] RecordFault),
}

/// Replays the log and starts the writer.
///
/// # Errors
/// [`ReplayError`] if the log is damaged; nothing is started.
pub fn start(log: Arc<dyn Log>, clock: Arc<dyn Clock>) -> Result<(Submitter, Writer), ReplayError> {
    let state = replay(&*log)?;
    let published = Arc::new(ArcSwap::from_pointee(state.snapshot()));
    let (durable_sender, durable) = watch::channel(state.revision());
    let (failed_sender, failed) = oneshot::channel();
    let (queue, jobs) = sync_channel(QUEUE_MAX);
    let mut write_loop = WriteLoop { log, clock, state, published: published.clone(), durable: durable_sender };
    let run = move || {
        let ended = catch_unwind(AssertUnwindSafe(|| write_loop.run(&jobs)));
        let error = match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => LogError::Storage("the writer panicked".to_owned()),
        };
        tracing::error!(%error, "the writer stops; nothing is acknowledged any more");
        // Nobody listens only when the process is ending anyway.
        let _ = failed_sender.send(error);
    };
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(run)
        .map_err(|error| LogError::Storage(format!("the writer cannot be started: {error}")))?;
    Ok((Submitter { queue: queue.clone(), published }, Writer { durable, queue, failed, thread }))
}

impl Writer {
    /// Waits until the log has failed, which it never may.
    pub async fn failed(&mut self) -> LogError {
        match (&mut self.failed).await {
            Ok(error) => error,
            Err(_) => std::future::pending().await,
        }
    }

    /// Finishes what was queued and ends. Blocks.
    pub fn stop(self) {
        // The writer is gone already only if the log has failed.
        let _ = self.queue.send(Message::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the writer panicked");
        }
    }
}

impl Submitter {
    /// Waits until the work is on disk, or refused.
    ///
    /// # Errors
    /// The refusal; `Overloaded` if too much waits already; `StorageFailed` if the outcome is not known.
    pub async fn submit(&self, work: Work) -> Result<Receipt, Fault> {
        // Reports are checked here, by many threads at once; the writer looks again only if the registry has changed.
        let checked = match &work {
            Work::Report(command) => Some(Checked::now(&self.snapshot().registry, &command.content.draft)?),
            Work::Units(_)
            | Work::Events(_)
            | Work::Forms(_)
            | Work::Indicators(_)
            | Work::Terms(_)
            | Work::Withdrawal(_) => None,
        };
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Message::Job(Box::new(Job { work, checked, reply }))).map_err(|error| match error {
            TrySendError::Full(_) => Fault::new(Reason::Overloaded, "too many writes are waiting; try again"),
            TrySendError::Disconnected(_) => storage_failed("the writer has stopped"),
        })?;
        answer.await.unwrap_or_else(|_| Err(storage_failed("the writer has stopped")))
    }

    /// The refusal of a report of which not everything can be read: what is wrong with its form, and what the registry says
    /// of the rest.
    pub fn refuse(&self, unreadable: Unreadable) -> Fault {
        let Unreadable { mut violations, report } = unreadable;
        if let Some(report) = &report {
            check::check_readable(&self.snapshot().registry, report, &mut violations);
        }
        violations.into_fault()
    }

    /// What is durable now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }
}

fn storage_failed(why: &str) -> Fault {
    let message = format!("{why}; whether this was written is not known, so try again with the same request_id");
    Fault::new(Reason::StorageFailed, message)
}

fn not_encodable(fault: &EncodeFault) -> Fault {
    match fault {
        EncodeFault::TooLarge { .. } => Fault::new(Reason::TooLarge, format!("an element of it {fault}")),
        EncodeFault::Unreadable { .. } => {
            tracing::error!(%fault, "a check has let through what it should not have");
            Fault::new(Reason::Internal, "an unexpected condition; nothing was written")
        }
    }
}

/// Folds the whole log, verifying every link of it.
fn replay(log: &dyn Log) -> Result<State, ReplayError> {
    let mut state = State::default();
    let mut last = codec::genesis(log.store());
    loop {
        let records = log.read(last.revision, REPLAY_BYTES)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            state.apply(&codec::decode_next(&last, &record)?);
            last = record.link;
        }
    }
    if last == log.tail() {
        return Ok(state);
    }
    let detail = format!("the log ends at {}, {} was expected", last.revision, log.tail().revision);
    Err(LogError::Damaged { revision: last.revision.next(), detail }.into())
}

struct WriteLoop {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    state: State,
    published: Arc<ArcSwap<Snapshot>>,
    durable: watch::Sender<Revision>,
}

/// What one commit makes durable, and who waits for it.
#[derive(Default)]
struct Group {
    records: Vec<Record>,
    bytes: usize,
    replies: Vec<(oneshot::Sender<Outcome>, Outcome)>,
}

impl WriteLoop {
    fn run(&mut self, queue: &Receiver<Message>) -> Result<(), LogError> {
        loop {
            match queue.recv_timeout(IDLE) {
                Ok(Message::Job(job)) => {
                    let (group, stops) = self.collect(*job, queue);
                    self.commit(group)?;
                    if stops {
                        return self.log.settle();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.log.settle()?,
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return self.log.settle(),
            }
        }
    }

    /// Whether the disk has room. Asked once for every group.
    fn check_space(&self) -> Result<(), Fault> {
        self.log.check_space().map_err(|why| {
            tracing::warn!(why, "the disk is full, nothing is written");
            Fault::new(Reason::DiskFull, format!("{why}; nothing was written, reading goes on"))
        })
    }

    /// Decides the first piece of work and what has queued up behind it; says whether the writer is to stop after that.
    fn collect(&mut self, first: Job, queue: &Receiver<Message>) -> (Group, bool) {
        let mut group = Group::default();
        let mut next = first;
        let space = self.check_space();
        loop {
            let outcome = self.decide(&next.work, next.checked, &space, &mut group);
            group.replies.push((next.reply, outcome));
            if group.replies.len() >= GROUP_CALLS_MAX || group.bytes >= GROUP_BYTES_MAX {
                return (group, false);
            }
            next = match queue.try_recv() {
                Ok(Message::Job(job)) => *job,
                Ok(Message::Stop) => return (group, true),
                Err(_) => return (group, false),
            };
        }
    }

    fn decide(
        &mut self,
        work: &Work,
        checked: Option<Checked>,
        space: &Result<(), Fault>,
        group: &mut Group,
    ) -> Outcome {
        // A decision changes nothing, so a fault of ours in it harms one caller and not the writer.
        let decision = catch_unwind(AssertUnwindSafe(|| decide::decide(&self.state, work, checked)));
        let decision = decision.unwrap_or_else(|_| {
            tracing::error!("a decision panicked; nothing of it was written");
            Err(Fault::new(Reason::Internal, "an unexpected condition; nothing was written"))
        });
        let (changes, request, validate_only) = match decision? {
            Decision::There(revision) => return Ok(Receipt::There(revision)),
            Decision::Valid => return Ok(Receipt::Valid { last: None, findings: Vec::new() }),
            Decision::Change { changes, request, validate_only } => (changes, request, validate_only),
        };
        if !validate_only {
            space.clone()?;
        }
        // The clock may jump back; the log does not, and no two changes have the same time.
        let next_moment = self.state.record_time().checked_add(jiff::SignedDuration::from_nanos(1));
        let record_time = self.clock.now().max(next_moment.unwrap_or(jiff::Timestamp::MAX));
        let count = changes.len();
        let mut link = group.records.last().map_or_else(|| self.log.tail(), |record| record.link);
        let mut written: Vec<(Entry, Record)> = Vec::with_capacity(count);
        for (index, (change, findings)) in changes.into_iter().enumerate() {
            let ends_change = index + 1 == count;
            let request = request.filter(|_| ends_change);
            let entry = Entry { revision: link.revision.next(), record_time, ends_change, request, findings, change };
            let bytes = codec::encode(&entry).map_err(|fault| not_encodable(&fault))?;
            link = codec::next_link(&link, &bytes);
            written.push((entry, Record { link, entry: bytes }));
        }
        let findings = written.iter().flat_map(|(entry, _)| entry.findings.clone()).collect();
        let last = written.last().map(|(entry, _)| Box::new(entry.clone()));
        if validate_only {
            return Ok(Receipt::Valid { last, findings });
        }
        for (entry, record) in &written {
            self.state.apply(entry);
            group.bytes += record.entry.len();
        }
        group.records.extend(written.into_iter().map(|(_, record)| record));
        Ok(match last {
            Some(last) => Receipt::Written { last, findings },
            None => Receipt::There(self.state.revision()),
        })
    }

    /// Makes the group durable, then visible, then answers.
    fn commit(&mut self, group: Group) -> Result<(), LogError> {
        if let Err(error) = self.log.append(&group.records) {
            for (reply, _) in group.replies {
                let _ = reply.send(Err(storage_failed("the log has failed")));
            }
            return Err(error);
        }
        if !group.records.is_empty() {
            self.published.store(Arc::new(self.state.snapshot()));
            self.durable.send_replace(self.state.revision());
        }
        for (reply, outcome) in group.replies {
            // A caller that has gone will ask again with the same request id.
            let _ = reply.send(outcome);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
