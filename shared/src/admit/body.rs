//! Bodies on their way in and out: requests are let through one whole message at a time, and only if decoding it is
//! harmless; answers keep the place of their call until they have been taken.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use super::{Place, shapes::Shapes};
use crate::{
    limits::{MESSAGE_BYTES_MAX, MESSAGE_PARTS_MAX, PART_BYTES},
    model::fault::{Fault, Reason},
    status::status,
};

/// In front of each message: whether it is compressed, and its length.
const PREFIX_LEN: usize = 5;

/// Why a message is not let through.
pub(crate) const REFUSALS: [Reason; 3] = [Reason::TooLarge, Reason::TooMany, Reason::Overloaded];

/// The body of a request, message by message. What a message would take in memory is known before it is decoded, and is
/// taken out of the room that the process has for large messages.
#[derive(Debug)]
pub(super) struct Counted {
    body: Body,
    /// The shapes of messages, and which of them comes here.
    shapes: Option<(Arc<Shapes>, usize)>,
    place: Arc<Place>,
    /// Came, and is not let through yet.
    pending: BytesMut,
    /// Trailers, which come after all messages.
    last: Option<Frame<Bytes>>,
    /// Why nothing more is let through, once what came before has been.
    fault: Option<Fault>,
    is_over: bool,
}

impl Counted {
    /// The messages in `body`, which have the shape of that number; they count for the call at `place`.
    pub(super) fn new(body: Body, shapes: Option<(Arc<Shapes>, usize)>, place: Arc<Place>) -> Self {
        Self { body, shapes, place, pending: BytesMut::new(), last: None, fault: None, is_over: false }
    }

    /// The length of the message at the beginning with its prefix, once it is known.
    fn message_len(bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Some([_, length @ ..]) = bytes.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            let message = format!("a message has at most {MESSAGE_BYTES_MAX} bytes, this one has {length}");
            return Err(Fault::new(Reason::TooLarge, message));
        }
        Ok(Some(PREFIX_LEN + length))
    }

    /// Takes what came; answers what can be let through.
    fn take_in(&mut self, data: Bytes) -> Option<Bytes> {
        if self.pending.is_empty() && matches!(Self::message_len(&data), Ok(Some(length)) if length == data.len()) {
            // One message in one piece, as nearly all are: it goes on as it is.
            return self.check(&data).map_err(|fault| self.fault = Some(fault)).is_ok().then_some(data);
        }
        self.pending.extend_from_slice(&data);
        let mut whole = 0;
        // Before what is whole is looked at, whose room must not be given back.
        self.fault = self.place.make_room(self.pending.len()).and_then(|()| self.check_all(&mut whole)).err();
        (whole > 0).then(|| self.pending.split_to(whole).freeze())
    }

    /// Checks the messages that have come whole, counting their bytes, up to the first that may not be decoded.
    fn check_all(&self, whole: &mut usize) -> Result<(), Fault> {
        while let Some(length) =
            Self::message_len(&self.pending[*whole..])?.filter(|length| *whole + length <= self.pending.len())
        {
            self.check(&self.pending[*whole..*whole + length])?;
            *whole += length;
        }
        Ok(())
    }

    /// Whether a message with its prefix may be decoded.
    fn check(&self, message: &[u8]) -> Result<(), Fault> {
        let parts = match &self.shapes {
            Some((shapes, number)) => shapes.parts(*number, &message[PREFIX_LEN..]),
            None => 0,
        };
        if parts > MESSAGE_PARTS_MAX {
            let message = format!("a message has at most {MESSAGE_PARTS_MAX} parts, this one has {parts}");
            return Err(Fault::new(Reason::TooMany, message));
        }
        self.place.make_room(message.len() + parts * PART_BYTES)
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if self.is_over {
                return Poll::Ready(self.last.take().map(Ok));
            }
            if let Some(fault) = self.fault.take() {
                self.is_over = true;
                self.pending = BytesMut::new();
                return Poll::Ready(Some(Err(status(&fault))));
            }
            let whole = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.take_in(data),
                    Err(trailers) => {
                        self.last = Some(trailers);
                        continue;
                    }
                },
                Some(Err(error)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.is_over = true;
                    // Half a message: whoever decodes it says so.
                    let rest = std::mem::take(&mut self.pending);
                    (!rest.is_empty()).then(|| rest.freeze())
                }
            };
            if let Some(whole) = whole {
                return Poll::Ready(Some(Ok(Frame::data(whole))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_empty()
            && self.last.is_none()
            && self.fault.is_none()
            && (self.is_over || self.body.is_end_stream())
    }
}

/// The body of an answer; what is held is let go when it has been taken, or its reader has left.
#[derive(Debug)]
pub(super) struct Held<T> {
    body: Body,
    _held: T,
}

impl<T> Held<T> {
    /// `held` lives as long as `body`.
    pub(super) fn new(body: Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> http_body::Body for Held<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
