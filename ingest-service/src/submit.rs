//! The one writer: decides every change in order, appends them in groups, answers when they are durable.
//!
//! Callers hand in work and wait, each one piece of it; a stream hands in several at once. The writer has two threads, one
//! behind the other. The first takes what has queued up and decides each piece against the state with everything before
//! it, durable or not. The second appends a group of what was decided at once, and only then lets anybody see it: first
//! the published snapshot, then the feed, then the callers. While it waits for the disk, the first fills the next group.
//! Groups stay in order, and so do answers: whoever hears of something hears of it after all that it rests on is durable.

mod append;
mod check;
mod decide;
mod facts_file;
mod findings;
mod queue;
mod ready;
mod register;
mod replay;
mod rights;
mod state;
#[cfg(feature = "simulation")]
pub mod task;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
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
    fault_point,
    metrics::count_shed,
    model::{
        access::Caller,
        command::{Command, EventsRequest, FormsRequest, SubmitRequest, UnitsRequest, WithdrawRequest},
        fault::{Fault, Reason},
        finding::Finding,
        indicator::Indicator,
        log::{Link, Revision},
        term::Term,
    },
    trace,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tracing::{Instrument, Span, field::Empty};

pub use self::state::{ReportRecord, Snapshot};
use self::{
    append::{Appender, Group},
    decide::{Decided, Decision},
    queue::{Lane, Next, Queue},
    ready::{Facts, Ready},
    replay::replay,
    state::State,
};
use crate::log::{Log, LogError};

/// Pieces of work that share one commit, roughly.
const GROUP_PIECES_MAX: usize = 1024;
/// Bytes after which a group is closed.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Groups that were decided and wait for the disk beside the one that is being appended.
const GROUPS_AHEAD_MAX: usize = 1;
/// How long nothing may come before the writer looks around.
const IDLE: Duration = Duration::from_millis(100);

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

/// What becomes of a piece of work.
pub type Outcome = Result<Receipt, Fault>;

/// Work with what can be found out about it before it is its turn.
#[derive(Debug)]
pub struct Prepared {
    work: Work,
    /// Who wants it.
    by: Arc<Caller>,
    /// What is known of a report, and against which registry.
    ready: Option<Ready>,
}

/// Pieces of work that were handed in together, decided one after the other; what is refused already keeps its place.
struct Job {
    pieces: Vec<Result<Prepared, Fault>>,
    reply: oneshot::Sender<Vec<Outcome>>,
    /// The trace of their caller.
    trace: Option<String>,
}

/// Hands work to the writer and shows what is durable. Cheap to clone.
#[derive(Clone)]
pub struct Submitter {
    queue: Queue<Job>,
    published: Arc<ArcSwap<Snapshot>>,
}

/// Work that the writer has.
#[derive(Debug)]
pub struct Pending {
    answer: oneshot::Receiver<Vec<Outcome>>,
    count: usize,
}

/// The writer's thread. It ends when it is told to, or when the log fails.
pub struct Writer {
    /// The newest durable revision.
    pub durable: watch::Receiver<Revision>,
    queue: Queue<Job>,
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

/// Everything that writes, before it runs.
struct Parts {
    submitter: Submitter,
    decider: Decider,
    appender: Appender,
    /// Groups on their way from the one to the other.
    decided: Receiver<Group>,
    durable: watch::Receiver<Revision>,
}

/// Replays the log; nothing is written before the parts run.
fn parts(log: Arc<dyn Log>, clock: Arc<dyn Clock>, facts: Option<&Path>) -> Result<Parts, ReplayError> {
    let (state, facts) = replay(&*log, facts)?;
    let published = Arc::new(ArcSwap::from_pointee(state.snapshot()));
    let (durable_sender, durable) = watch::channel(state.revision());
    let is_free = Arc::new(AtomicBool::new(false));
    let submitter = Submitter { queue: Queue::new(), published: published.clone() };
    let appender = Appender { log: log.clone(), published, durable: durable_sender, is_free: is_free.clone(), facts };
    let (groups, decided) = sync_channel(GROUPS_AHEAD_MAX);
    let last = log.tail();
    let decider = Decider { log, clock, state, last, space: Ok(()), groups, is_free };
    Ok(Parts { submitter, decider, appender, decided, durable })
}

/// Replays the log and starts the writer. What a later start can use is kept in the file `facts`, if one is named.
///
/// # Errors
/// [`ReplayError`] if the log is damaged; nothing is started.
pub fn start(
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    facts: Option<&Path>,
) -> Result<(Submitter, Writer), ReplayError> {
    let Parts { submitter, mut decider, mut appender, decided, durable } = parts(log, clock, facts)?;
    let (failed_sender, failed) = oneshot::channel();
    let (queue, jobs) = (submitter.queue.clone(), submitter.queue.clone());
    let appending = {
        let queue = queue.clone();
        spawn("appender", move || {
            let ended = catch_unwind(AssertUnwindSafe(|| appender.run(&decided, || queue.nudge())));
            let ended = ended.unwrap_or_else(|_| Err(LogError::Storage("the appender panicked".to_owned())));
            // What was decided behind a failure is never appended, so nothing more is to be decided either.
            queue.abandon();
            ended
        })?
    };
    let thread = spawn("writer", move || {
        let decided = catch_unwind(AssertUnwindSafe(|| decider.run(&jobs)));
        jobs.abandon();
        // The appender ends when no more groups can come.
        drop(decider);
        let appended = appending.join().unwrap_or_else(|_| Err(LogError::Storage("the appender panicked".to_owned())));
        let error = match (appended, decided) {
            (Err(error), _) => error,
            (Ok(()), Err(_)) => LogError::Storage("the writer panicked".to_owned()),
            (Ok(()), Ok(())) => return,
        };
        tracing::error!(%error, "the writer stops; nothing is acknowledged any more");
        // Nobody listens only when the process is ending anyway.
        let _ = failed_sender.send(error);
    })?;
    Ok((submitter, Writer { durable, queue, failed, thread }))
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, LogError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| LogError::Storage(format!("the {name} cannot be started: {error}")))
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
        self.queue.close();
        if self.thread.join().is_err() {
            tracing::error!("the writer panicked");
        }
    }
}

impl Submitter {
    /// Finds out what can be found out before it is the work's turn: reports are checked here, by many threads at once; the
    /// writer looks again only if the registry has changed.
    ///
    /// # Errors
    /// The refusal of a report, and of what the caller has no rights to.
    pub fn prepare(&self, mut work: Work, by: &Arc<Caller>) -> Result<Prepared, Fault> {
        fault_point::reach("decoded");
        let snapshot = self.published.load();
        rights::check(&snapshot.registry, &work, by)?;
        let ready = match &mut work {
            Work::Report(command) => Some(Ready::of(&snapshot.registry, command, by)?),
            Work::Units(_)
            | Work::Events(_)
            | Work::Forms(_)
            | Work::Indicators(_)
            | Work::Terms(_)
            | Work::Withdrawal(_) => None,
        };
        Ok(Prepared { work, by: by.clone(), ready })
    }

    /// Waits until the work is on disk, or refused.
    ///
    /// # Errors
    /// The refusal; `Overloaded` if too much waits already; `StorageFailed` if the outcome is not known.
    pub async fn submit(&self, work: Work, by: &Arc<Caller>) -> Outcome {
        let prepared = self.prepare(work, by)?;
        let room = self.queue.try_room(Lane::Calls).ok_or_else(overloaded)?;
        let pending = self.enqueue(Lane::Calls, vec![Ok(prepared)], room);
        let span = if trace::is_on() { tracing::info_span!("commit", revision = Empty) } else { Span::none() };
        let mut outcomes = pending.outcomes().instrument(span.clone()).await;
        let outcome = outcomes.pop().unwrap_or_else(|| Err(storage_failed("the writer has stopped")));
        if let Ok(Receipt::Written { last, .. }) = &outcome {
            span.record("revision", last.revision.as_i64());
        }
        outcome
    }

    /// Hands in pieces of work that are decided one after the other; waits while there is no room for them.
    pub async fn submit_in_order(&self, pieces: Vec<Result<Prepared, Fault>>) -> Pending {
        match self.queue.room(Lane::Streams, pieces.len()).await {
            Some(room) => self.enqueue(Lane::Streams, pieces, room),
            None => unreachable!("nobody closes the queue's room"),
        }
    }

    fn enqueue(&self, lane: Lane, pieces: Vec<Result<Prepared, Fault>>, room: OwnedSemaphorePermit) -> Pending {
        fault_point::reach("validated");
        let (reply, answer) = oneshot::channel();
        let count = pieces.len();
        // If the writer is gone, so is the reply, and whoever waits for it hears of it.
        self.queue.push(lane, Job { pieces, reply, trace: trace::current() }, room);
        Pending { answer, count }
    }

    /// The refusal of a report of which not everything can be read: what is wrong with its form, and what the registry says
    /// of the rest.
    pub fn refuse(&self, unreadable: Unreadable, by: &Caller) -> Fault {
        let Unreadable { mut violations, report } = unreadable;
        if let Some(report) = &report {
            let registry = &self.snapshot().registry;
            if let Err(denied) = rights::check_readable(registry, report, by) {
                return denied;
            }
            check::check_readable(registry, report, &mut violations);
        }
        violations.into_fault()
    }

    /// What is durable now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }
}

impl Pending {
    /// Waits until each piece is on disk, or refused; `StorageFailed` where the outcome is not known.
    pub async fn outcomes(self) -> Vec<Outcome> {
        let unknown = || vec![Err(storage_failed("the writer has stopped")); self.count];
        self.answer.await.unwrap_or_else(|_| unknown())
    }
}

fn overloaded() -> Fault {
    count_shed("write_queue");
    Fault::new(Reason::Overloaded, "too many writes are waiting; try again")
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

/// The first half of the writer.
struct Decider {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    /// Everything that was decided, durable or not.
    state: State,
    /// The end of the log once all of that is appended.
    last: Link,
    /// Whether the disk has room for the group.
    space: Result<(), Fault>,
    groups: SyncSender<Group>,
    is_free: Arc<AtomicBool>,
}

impl Decider {
    /// Decides what comes until nothing more does. A group is handed over when the appender is free and nothing else waits,
    /// or when it is full.
    fn run(&mut self, queue: &Queue<Job>) {
        let mut group = Group::default();
        loop {
            let is_due = !group.replies.is_empty() && self.is_free.load(Ordering::Acquire);
            match queue.next(if is_due { Duration::ZERO } else { IDLE }) {
                Next::Job(job) => self.decide_all(job, &mut group),
                Next::Nothing if is_due => self.hand_over(&mut group),
                Next::Nothing => {}
                Next::Closed => return self.hand_over(&mut group),
            }
            if group.pieces >= GROUP_PIECES_MAX || group.bytes >= GROUP_BYTES_MAX {
                self.hand_over(&mut group);
            }
        }
    }

    /// Hands a group to the appender; waits while one waits for it already.
    fn hand_over(&self, group: &mut Group) {
        let group = self.finished(group);
        self.is_free.store(false, Ordering::Release);
        // If the appender is gone, so is the queue, and those who wait hear of it.
        let _ = self.groups.send(group);
    }

    /// The group with what readers see once it is durable; an empty one is left.
    fn finished(&self, group: &mut Group) -> Group {
        let group = std::mem::take(group);
        let snapshot = (!group.records.is_empty()).then(|| self.state.snapshot());
        Group { snapshot, ..group }
    }

    /// Whether the disk has room. Asked once for every group.
    fn check_space(&self) -> Result<(), Fault> {
        self.log.check_space().map_err(|why| {
            tracing::warn!(why, "the disk is full, nothing is written");
            Fault::new(Reason::DiskFull, format!("{why}; nothing was written, reading goes on"))
        })
    }

    fn decide_all(&mut self, job: Job, group: &mut Group) {
        if group.replies.is_empty() {
            self.space = self.check_space();
        }
        let Job { pieces, reply, trace } = job;
        // Who has left, or is past its deadline, asks again with the same request id.
        if reply.is_closed() {
            return;
        }
        group.pieces += pieces.len();
        let outcomes: Vec<Outcome> = pieces.into_iter().map(|piece| self.decide(piece?, group)).collect();
        if let Some(trace) = trace {
            let revisions = outcomes.iter().filter_map(|outcome| match outcome {
                Ok(Receipt::Written { last, .. }) => Some(last.revision),
                Ok(Receipt::There(_) | Receipt::Valid { .. }) | Err(_) => None,
            });
            group.traces.extend(revisions.map(|revision| (revision, trace.clone())));
        }
        group.replies.push((reply, outcomes));
    }

    fn decide(&mut self, piece: Prepared, group: &mut Group) -> Outcome {
        let Prepared { mut work, by, ready } = piece;
        let outcome = self.decide_work(&mut work, &by, ready, group);
        group.done.push(work);
        outcome
    }

    fn decide_work(&mut self, work: &mut Work, by: &Caller, ready: Option<Ready>, group: &mut Group) -> Outcome {
        // A decision changes nothing, so a fault of ours in it harms one caller and not the writer.
        let decision = catch_unwind(AssertUnwindSafe(|| decide::decide(&self.state, work, by, ready)));
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
            self.space.clone()?;
        }
        // The clock may jump back; the log does not, and no two changes have the same time.
        let next_moment = self.state.record_time().checked_add(jiff::SignedDuration::from_nanos(1));
        let record_time = self.clock.now().max(next_moment.unwrap_or(jiff::Timestamp::MAX));
        let count = changes.len();
        let mut link = self.last;
        let mut written: Vec<(Entry, Record, Option<Facts>)> = Vec::with_capacity(count);
        for (index, decided) in changes.into_iter().enumerate() {
            let Decided { change, findings, facts, encoded } = decided;
            let ends_change = index + 1 == count;
            let request = request.filter(|_| ends_change);
            let principal = if ends_change { by.name.clone() } else { Default::default() };
            let revision = link.revision.next();
            let entry = Entry { revision, record_time, ends_change, request, principal, findings, change };
            let bytes = match encoded {
                Some(encoded) => encoded.encode(&entry),
                None => codec::encode(&entry),
            };
            let bytes = bytes.map_err(|fault| not_encodable(&fault))?;
            link = codec::next_link(&link, &bytes);
            written.push((entry, Record { link, entry: bytes }, facts));
        }
        let findings = written.iter().flat_map(|(entry, ..)| entry.findings.clone()).collect();
        if validate_only {
            let last = written.pop().map(|(entry, ..)| Box::new(entry));
            return Ok(Receipt::Valid { last, findings });
        }
        let mut last = None;
        for (entry, record, facts) in written {
            group.facts.push(&self.last, &entry, facts.as_ref());
            self.state.apply(&entry, facts);
            group.bytes += record.entry.len();
            self.last = record.link;
            group.records.push(record);
            last = Some(Box::new(entry));
        }
        Ok(match last {
            Some(last) => Receipt::Written { last, findings },
            None => Receipt::There(self.state.revision()),
        })
    }
}

#[cfg(test)]
mod tests;
