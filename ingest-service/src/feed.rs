//! The feed: the log for those who follow it. Disk until the tail, then as it grows, progress marks while idle.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use shared::{
    admit::off_thread,
    codec::{Record, genesis},
    feed::{Event, Position},
    model::{
        fault::{Fault, Reason},
        log::Revision,
    },
    serve::Stop,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::Stream;
use tracing::Instrument;

use crate::log::Log;

/// Bytes of entries in one message, roughly.
const MESSAGE_BYTES: usize = 256 * 1024;
/// Messages that wait for a follower; behind that it is read from the log when the follower is ready.
const MESSAGES_AHEAD_MAX: usize = 4;

/// Lets others follow the log. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    log: Arc<dyn Log>,
    durable: watch::Receiver<Revision>,
    stop: Stop,
    progress_interval: Duration,
    slow_after: Duration,
}

/// What a follower receives: events, then why there are no more.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    /// Beside the events, so that it arrives even where their queue is full.
    end: Option<oneshot::Receiver<Fault>>,
}

impl Stream for Events {
    type Item = Result<Event, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(event) = ready!(self.events.poll_recv(context)) {
            return Poll::Ready(Some(Ok(event)));
        }
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        let fault = ready!(Pin::new(end).poll(context));
        self.end = None;
        Poll::Ready(fault.ok().map(Err))
    }
}

impl Feed {
    /// A feed of that log, which moves when `durable` does and ends when `stop` says so. A follower that takes nothing for
    /// `slow_after` is cut.
    pub fn new(
        log: Arc<dyn Log>,
        durable: watch::Receiver<Revision>,
        stop: Stop,
        progress_interval: Duration,
        slow_after: Duration,
    ) -> Self {
        Self { log, durable, stop, progress_interval, slow_after }
    }

    /// Everything after the follower's last entry.
    ///
    /// | follower | answer |
    /// |---|---|
    /// | follows no store yet | the log from its start |
    /// | follows another store | `StoreMismatch` |
    /// | knows a later epoch | `HistoryTruncated`: this store was restored from an older backup |
    /// | is further than the log | `FutureRevision`, for the same reason or because it follows something else |
    /// | has another hash at its revision | `HistoryDiverged` |
    /// | otherwise | the log after its revision |
    ///
    /// # Errors
    /// As in the table; the follower gets nothing.
    pub async fn follow(&self, position: Option<Position>) -> Result<Events, Fault> {
        let after = match position {
            None => Revision::ZERO,
            Some(position) => {
                self.check(position).await?;
                position.link.revision
            }
        };
        let (sender, events) = mpsc::channel(MESSAGES_AHEAD_MAX);
        let (end_sender, end) = oneshot::channel();
        let feed = self.clone();
        let send = async move {
            if let Err(fault) = feed.send_all(after, &sender).await {
                tracing::debug!(reason = fault.reason.name(), "a follower was cut: {fault}");
                // If it has gone by itself there is nobody to tell.
                let _ = end_sender.send(fault);
            }
        };
        self.stop.calls.spawn(send.in_current_span());
        Ok(Events { events, end: Some(end) })
    }

    /// Revision of the newest durable entry.
    pub fn newest(&self) -> Revision {
        *self.durable.borrow()
    }

    async fn check(&self, position: Position) -> Result<(), Fault> {
        let Position { store, epoch, link } = position;
        let tail = self.log.tail();
        if store != self.log.store() {
            let message = format!("this is store {}, not {store}", self.log.store());
            return Err(Fault::new(Reason::StoreMismatch, message).with("store_id", self.log.store()));
        }
        if epoch > self.log.epoch() {
            let message = format!("this store is at epoch {}, the follower has seen {epoch}", self.log.epoch());
            return Err(Fault::new(Reason::HistoryTruncated, message).with("epoch", self.log.epoch()));
        }
        if link.revision > tail.revision {
            let message = format!("revision {} is beyond the end of the log, {}", link.revision, tail.revision);
            return Err(Fault::new(Reason::FutureRevision, message).with("newest_revision", tail.revision));
        }
        let ours = match link.revision {
            Revision::ZERO => Some(genesis(store)),
            revision => {
                let before = Revision::from(revision.get() - 1);
                self.read(before, 1).await?.first().map(|record| record.link)
            }
        };
        if ours != Some(link) {
            let message = format!("the follower has another history at revision {}", link.revision);
            return Err(Fault::new(Reason::HistoryDiverged, message).with("revision", link.revision));
        }
        Ok(())
    }

    /// Sends until the follower leaves (which is no fault), is too slow, or the process stops.
    async fn send_all(self, mut after: Revision, sender: &mpsc::Sender<Event>) -> Result<(), Fault> {
        let mut durable = self.durable.clone();
        let newest = *durable.borrow_and_update();
        self.send(sender, Event::Opened { store: self.log.store(), epoch: self.log.epoch(), newest }).await?;
        loop {
            let newest = *durable.borrow_and_update();
            while after < newest {
                let records = self.read(after, MESSAGE_BYTES).await?;
                let Some(last) = records.last() else { break };
                after = last.link.revision;
                self.send(sender, Event::Records(records)).await?;
            }
            self.send(sender, Event::Progress { newest: after }).await?;
            tokio::select! {
                () = sender.closed() => return Ok(()),
                () = self.stop.token.cancelled() => return Err(self.stopping(after)),
                changed = durable.changed() => if changed.is_err() { return Err(self.stopping(after)) },
                () = tokio::time::sleep(self.progress_interval) => {}
            }
        }
    }

    async fn send(&self, sender: &mpsc::Sender<Event>, event: Event) -> Result<(), Fault> {
        tokio::select! {
            sent = tokio::time::timeout(self.slow_after, sender.send(event)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Fault::new(Reason::SlowConsumer, "the follower has left")),
                Err(_) => {
                    let message = format!("nothing was taken for {} ms; follow again from the last revision", self.slow_after.as_millis());
                    Err(Fault::new(Reason::SlowConsumer, message))
                }
            },
            () = self.stop.token.cancelled() => {
                Err(Fault::new(Reason::ShuttingDown, "the service is stopping; follow again from the last revision"))
            }
        }
    }

    fn stopping(&self, after: Revision) -> Fault {
        let message = format!("the service is stopping; follow again from revision {after}");
        Fault::new(Reason::ShuttingDown, message).with("last_revision", after)
    }

    async fn read(&self, after: Revision, bytes_max: usize) -> Result<Vec<Record>, Fault> {
        let log = self.log.clone();
        off_thread(move || {
            log.read(after, bytes_max).map_err(|error| {
                tracing::error!(%error, "the log cannot be read");
                Fault::new(Reason::DataCorrupt, error.to_string())
            })
        })
        .await
    }
}
