//! A stream lasts as long as the rights of whoever has opened it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Interval, MissedTickBehavior};
use tonic::{Status, body::Body};

use crate::{model::fault::Fault, status::status};

/// Time between two looks at the rights.
const INTERVAL: Duration = Duration::from_secs(1);

/// A body that ends with a status when its reader has lost his rights.
pub(super) struct Guarded {
    body: Body,
    again: Box<dyn Fn() -> Result<(), Fault> + Send>,
    looks: Interval,
    has_ended: bool,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}

impl Guarded {
    /// That body, as long as `again` finds nothing wrong.
    pub(super) fn new(body: Body, again: impl Fn() -> Result<(), Fault> + Send + 'static) -> Self {
        let mut looks = tokio::time::interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is now, when the rights have just been looked at.
        looks.reset();
        Self { body, again: Box::new(again), looks, has_ended: false }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        while self.looks.poll_tick(context).is_ready() {
            let Err(fault) = (self.again)() else { continue };
            self.has_ended = true;
            // Whoever works for the stream notices that nobody takes it any more.
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(status(&fault).add_header(&mut trailers).map(|()| Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }
}
