//! Answers that come in pieces: a queue of few, a reader that is too slow is cut and told where to go on.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use shared::{
    admit::in_place,
    model::fault::{Fault, Reason},
    serve::Stop,
    status::status,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::Status;
use tracing::Instrument;

/// Pieces that wait for a reader.
const PIECES_AHEAD_MAX: usize = 4;

/// An answer in pieces.
pub type Pieces<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Where pieces are put.
pub(super) struct Outlet<T> {
    sender: mpsc::Sender<T>,
    stop: Stop,
    /// A reader that takes nothing for that long is cut.
    slow_after: Duration,
}

impl<T: Send + 'static> Outlet<T> {
    /// Puts a piece; `resume_token` is where a reader that is cut now goes on, empty where it has to begin again.
    ///
    /// # Errors
    /// `SlowConsumer`, `ShuttingDown`.
    pub(super) async fn put(&self, piece: T, resume_token: &str) -> Result<(), Fault> {
        let cut = |reason, why: String| {
            let fault = Fault::new(reason, why);
            if resume_token.is_empty() { fault } else { fault.with("resume_token", resume_token) }
        };
        tokio::select! {
            sent = tokio::time::timeout(self.slow_after, self.sender.send(piece)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(cut(Reason::SlowConsumer, "the reader has left".to_owned())),
                Err(_) => {
                    let message = format!("nothing was taken for {} ms; ask again, from resume_token if there is one", self.slow_after.as_millis());
                    Err(cut(Reason::SlowConsumer, message))
                }
            },
            () = self.stop.token.cancelled() => {
                Err(cut(Reason::ShuttingDown, "the service is stopping; ask again, from resume_token if there is one".to_owned()))
            }
        }
    }

    /// Ends when the reader has left, or the service stops.
    pub(super) async fn ended(&self) {
        tokio::select! {
            () = self.sender.closed() => {}
            () = self.stop.token.cancelled() => {}
        }
    }

    /// Whether the reader has left.
    pub(super) fn is_left(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether the service stops.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.token.is_cancelled()
    }
}

/// What `work` puts into its outlet; a fault of it comes last.
pub(super) fn pieces<T, W>(stop: Stop, slow_after: Duration, work: impl FnOnce(Outlet<T>) -> W) -> Pieces<T>
where
    T: Send + 'static,
    W: Future<Output = Result<(), Fault>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD_MAX);
    // Beside the pieces, so that it arrives even where their queue is full.
    let (end_sender, end) = oneshot::channel();
    let outlet = Outlet { sender, stop: stop.clone(), slow_after };
    let work = in_place(work(outlet));
    let send = async move {
        if let Err(fault) = work.await {
            tracing::debug!(reason = fault.reason.name(), "a stream was cut: {fault}");
            // If the reader has gone by itself there is nobody to tell.
            let _ = end_sender.send(fault);
        }
    };
    stop.calls.spawn(send.in_current_span());
    let receiver = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let pieces = tokio_stream::StreamExt::map(receiver, Ok);
    Box::pin(tokio_stream::StreamExt::chain(pieces, Last { end: Some(end), item: PhantomData }))
}

/// The fault with which a stream ends, if there is one.
struct Last<T> {
    end: Option<oneshot::Receiver<Fault>>,
    item: PhantomData<fn() -> T>,
}

impl<T> Stream for Last<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        let fault = ready!(Pin::new(end).poll(context));
        self.end = None;
        Poll::Ready(fault.ok().map(|fault| Err(status(&fault))))
    }
}
