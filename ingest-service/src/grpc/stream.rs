//! SubmitReports: many reports over one stream, each acknowledged in its place.
//!
//! ```text
//! caller ─▶ take ─▶ prepare, several chunks at once ─▶ hand in ─▶ writer ─▶ acknowledge ─▶ caller
//! ```
//!
//! Each arrow keeps the order. What is taken and not yet acknowledged is bounded by one window: if the caller does not read
//! its acknowledgements, nothing more is taken, and HTTP/2 makes it wait. Every part ends when the one behind it does, so
//! nothing is done for a caller that has left but what the writer has already.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use prost::Message;
use proto::v1::{SubmitReportRequest, SubmitReportsResponse, submit_reports_response::Outcome as Wired};
use shared::{
    access::audit,
    admit::off_thread,
    call::fault_of_refusal,
    convert::ingest as door,
    model::{
        access::Caller,
        fault::{Fault, Reason},
    },
    serve::Stop,
    status::{status, status_message},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_stream::{Stream, StreamExt};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Status, Streaming};
use tracing::Instrument;

use super::{
    ingest::{command_of, entry_at},
    seen::Seen,
};
use crate::{
    config::StreamRules,
    log::Log,
    metrics::METRICS,
    submit::{Outcome, Pending, Prepared, Receipt, Submitter, Work},
};

/// Bytes of reports that were taken and are not acknowledged.
const WINDOW_BYTES: usize = 8 * 1024 * 1024;
/// What a report costs of them beside its message, so that there are at most 2,048.
const REPORT_BYTES: usize = 4 * 1024;
/// Reports that are prepared by one task, if so many are there already.
const CHUNK_REPORTS_MAX: u64 = 16;
/// Bytes after which a chunk is closed.
const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Acknowledgements that wait for the caller beside those that the window counts.
const ACKNOWLEDGEMENTS_AHEAD_MAX: usize = 16;
/// A caller that reads no acknowledgement for that long is cut.
const SLOW_AFTER: Duration = Duration::from_secs(30);

/// Submits what streams bring.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) submitter: Submitter,
    pub(super) log: Arc<dyn Log>,
    /// Who sends.
    pub(super) by: Arc<Caller>,
    pub(super) stop: Stop,
    pub(super) rules: StreamRules,
}

/// What a caller receives: acknowledgements, then why there are no more of them if it had more to say.
pub struct Acknowledgements {
    messages: mpsc::Receiver<SubmitReportsResponse>,
    /// Beside them, so that it arrives even where their queue is full.
    end: Option<oneshot::Receiver<Fault>>,
    /// A stop waits until the caller has all of it.
    _open: TaskTrackerToken,
}

impl Stream for Acknowledgements {
    type Item = Result<SubmitReportsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(message) = ready!(self.messages.poll_recv(context)) {
            return Poll::Ready(Some(Ok(message)));
        }
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        let fault = ready!(Pin::new(end).poll(context));
        self.end = None;
        Poll::Ready(fault.ok().map(|fault| Err(status(&fault))))
    }
}

type Piece = Result<Prepared, Fault>;

/// Reports that are being prepared, with their part of the window.
struct Taken {
    prepared: JoinHandle<Vec<Piece>>,
    count: usize,
    window: OwnedSemaphorePermit,
}

/// Reports that the writer has.
struct HandedIn {
    pending: Pending,
    window: OwnedSemaphorePermit,
}

/// Why a stream ends; no fault: its caller has said all, or has left.
type End = Option<Fault>;

impl Streams {
    /// Takes what the caller sends, from now on.
    pub(super) fn open(self, messages: Streaming<SubmitReportRequest>) -> Acknowledgements {
        // A chunk needs part of the window, so there are never as many.
        let (taken_sender, taken) = mpsc::channel(WINDOW_BYTES / REPORT_BYTES);
        let (handed_sender, handed_in) = mpsc::channel(WINDOW_BYTES / REPORT_BYTES);
        let (sender, messages_out) = mpsc::channel(ACKNOWLEDGEMENTS_AHEAD_MAX);
        let (taking_ended_sender, taking_ended) = oneshot::channel();
        let (end_sender, end) = oneshot::channel();
        let open = self.stop.calls.token();
        let streams = self.clone();
        let take = async move {
            let end = streams.take(messages, taken_sender).await;
            // Whoever would hear it ends only when the caller is gone.
            let _ = taking_ended_sender.send(end);
        };
        tokio::spawn(take.in_current_span());
        tokio::spawn(hand_in(self.submitter.clone(), taken, handed_sender).in_current_span());
        let calls = self.stop.calls.clone();
        let acknowledge = async move {
            if let Some(fault) = self.acknowledge(handed_in, &sender, taking_ended).await {
                tracing::debug!(reason = fault.reason.name(), "a stream of reports was ended: {fault}");
                // If the caller has gone by itself there is nobody to tell.
                let _ = end_sender.send(fault);
            }
        };
        calls.spawn(acknowledge.in_current_span());
        Acknowledgements { messages: messages_out, end: Some(end), _open: open }
    }

    /// Takes reports in chunks of those that are there, and has each chunk prepared.
    async fn take(self, mut messages: Streaming<SubmitReportRequest>, taken: mpsc::Sender<Taken>) -> End {
        let window = Arc::new(Semaphore::new(WINDOW_BYTES));
        let reports_max = self.rules.reports_max;
        let (silence_max, age_max) = (self.rules.silence_max(), self.rules.age_max());
        let mut age = std::pin::pin!(sleep(age_max));
        let mut number: u64 = 0;
        loop {
            let first = tokio::select! {
                biased;
                () = self.stop.token.cancelled() => return Some(shutting_down()),
                () = taken.closed() => return None,
                () = &mut age => return Some(expired("open", age_max)),
                message = timeout(silence_max, messages.next()) => match message {
                    Ok(message) => message,
                    Err(_) => return Some(expired("silent", silence_max)),
                },
            };
            let room = CHUNK_REPORTS_MAX.min(reports_max - number);
            let Chunk { reports, bytes, end } = Chunk::collect(first, &mut messages, room).await;
            number += reports.len() as u64;
            if !reports.is_empty() {
                let cost = u32::try_from(bytes.min(WINDOW_BYTES)).unwrap_or(u32::MAX);
                let permit = tokio::select! {
                    biased;
                    // What is in hand is not acknowledged, so the caller sends it again elsewhere.
                    () = self.stop.token.cancelled() => return Some(shutting_down()),
                    () = taken.closed() => return None,
                    permit = window.clone().acquire_many_owned(cost) => permit,
                };
                let Ok(window) = permit else { return None };
                let (streams, count) = (self.clone(), reports.len());
                let prepare = async move {
                    let mut pieces = Vec::with_capacity(reports.len());
                    for report in reports {
                        pieces.push(streams.prepare(&report).await);
                    }
                    pieces
                };
                let chunk = Taken { prepared: tokio::spawn(prepare.in_current_span()), count, window };
                if taken.send(chunk).await.is_err() {
                    return None;
                }
            }
            match end {
                None => {}
                Some(ChunkEnd::SaidAll) => return None,
                Some(ChunkEnd::Broken(status)) => return fault_of_refusal(&status),
                Some(ChunkEnd::Quota) => return Some(quota(reports_max)),
            }
        }
    }

    fn seen(&self) -> Seen {
        Seen { caller: self.by.clone(), snapshot: self.submitter.snapshot(), log: self.log.clone() }
    }

    async fn prepare(&self, report: &SubmitReportRequest) -> Piece {
        let command = command_of(&self.submitter, &self.seen(), report).await?;
        self.submitter.prepare(Work::Report(Box::new(command)), &self.by)
    }

    /// Acknowledges what the writer has decided, until nothing more comes or nobody listens.
    async fn acknowledge(
        self,
        mut handed_in: mpsc::Receiver<HandedIn>,
        sender: &mpsc::Sender<SubmitReportsResponse>,
        taking_ended: oneshot::Receiver<End>,
    ) -> End {
        let mut number: i64 = 0;
        while let Some(HandedIn { pending, window }) = handed_in.recv().await {
            for outcome in pending.outcomes().await {
                let outcome = Some(self.wire(outcome).await);
                let message = SubmitReportsResponse { number: number + 1, outcome };
                match timeout(SLOW_AFTER, sender.send(message)).await {
                    Ok(Ok(())) => number += 1,
                    Ok(Err(_)) => return None,
                    Err(_) => return Some(slow(number)),
                }
            }
            drop(window);
        }
        let fault = taking_ended.await.ok().flatten()?;
        Some(fault.with("last_acknowledged", number))
    }

    async fn wire(&self, outcome: Outcome) -> Wired {
        let seen = self.seen();
        let receipt = match outcome {
            Ok(Receipt::Written { last, .. }) => Ok(door::stream_receipt(&seen.shown(*last)).unwrap_or_default()),
            Ok(Receipt::Valid { last, .. }) => {
                let mut receipt = last.and_then(|last| door::stream_receipt(&seen.shown(*last))).unwrap_or_default();
                receipt.revision = None;
                // What a new report would be called is not known before it is written.
                if receipt.version == 1 {
                    receipt.report.clear();
                }
                Ok(receipt)
            }
            Ok(Receipt::There(revision)) => {
                let entry = off_thread(move || Ok(seen.shown(entry_at(&*seen.log, revision)?))).await;
                entry.map(|entry| door::stream_receipt(&entry).unwrap_or_default())
            }
            Err(fault) => {
                if fault.reason == Reason::PermissionDenied {
                    audit(&self.by, "/tonghop.v1.IngestService/SubmitReports", "refused", fault.reason.name());
                }
                Err(fault)
            }
        };
        match receipt {
            Ok(receipt) => {
                METRICS.receipts.inc();
                Wired::Receipt(receipt)
            }
            Err(fault) => {
                METRICS.refusals.inc();
                METRICS.count_refused(&fault);
                Wired::Refusal(status_message(&fault))
            }
        }
    }
}

/// Reports that were there at the same time.
#[derive(Default)]
struct Chunk {
    reports: Vec<SubmitReportRequest>,
    /// What they cost of the window.
    bytes: usize,
    /// Why no more come.
    end: Option<ChunkEnd>,
}

enum ChunkEnd {
    SaidAll,
    Broken(Status),
    /// One more than the stream may bring.
    Quota,
}

impl Chunk {
    /// The first message and those that have come behind it already, at most `reports_max`.
    async fn collect(
        first: Option<Result<SubmitReportRequest, Status>>,
        messages: &mut Streaming<SubmitReportRequest>,
        reports_max: u64,
    ) -> Self {
        let mut chunk = Self::default();
        let mut next = Poll::Ready(first);
        while let Poll::Ready(message) = next {
            match message {
                None => chunk.end = Some(ChunkEnd::SaidAll),
                Some(Err(status)) => chunk.end = Some(ChunkEnd::Broken(status)),
                Some(Ok(_)) if reports_max == 0 => chunk.end = Some(ChunkEnd::Quota),
                Some(Ok(report)) => {
                    chunk.bytes += REPORT_BYTES + report.encoded_len();
                    chunk.reports.push(report);
                }
            }
            let is_full = chunk.reports.len() as u64 >= reports_max || chunk.bytes >= CHUNK_BYTES_MAX;
            if chunk.end.is_some() || is_full {
                break;
            }
            next = poll_fn(|context| Poll::Ready(Pin::new(&mut *messages).poll_next(context))).await;
        }
        chunk
    }
}

/// Hands chunks to the writer in the order in which they were taken.
async fn hand_in(submitter: Submitter, mut taken: mpsc::Receiver<Taken>, handed_in: mpsc::Sender<HandedIn>) {
    while let Some(Taken { prepared, count, window }) = taken.recv().await {
        let pieces = prepared.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a check panicked");
            let internal = || Err(Fault::new(Reason::Internal, "an unexpected condition; nothing was written"));
            std::iter::repeat_with(internal).take(count).collect()
        });
        let pending = submitter.submit_in_order(pieces).await;
        if handed_in.send(HandedIn { pending, window }).await.is_err() {
            return;
        }
    }
}

fn shutting_down() -> Fault {
    let message = "the service is stopping; go on with the report after the last acknowledged one";
    Fault::new(Reason::ShuttingDown, message)
}

fn expired(what: &str, time_max: Duration) -> Fault {
    let message = format!(
        "a stream may be {what} for {} ms; open another one and go on with the report after the last acknowledged one",
        time_max.as_millis()
    );
    Fault::new(Reason::StreamExpired, message)
}

fn quota(reports_max: u64) -> Fault {
    let message = format!(
        "a stream may bring {reports_max} reports; open another one and go on with the report after the last \
         acknowledged one"
    );
    Fault::new(Reason::StreamQuotaReached, message)
}

fn slow(last_acknowledged: i64) -> Fault {
    let message = format!("no acknowledgement was read for {} s; go on on a new stream", SLOW_AFTER.as_secs());
    Fault::new(Reason::SlowConsumer, message).with("last_acknowledged", last_acknowledged)
}
