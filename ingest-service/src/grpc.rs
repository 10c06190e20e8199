//! Handlers: convert, call, convert.

mod feed;
mod ingest;
mod registry;
mod seen;
mod stream;

pub use self::{feed::FeedHandlers, ingest::IngestHandlers, registry::RegistryHandlers};
use crate::submit::Receipt;

/// The revision that a receipt shows; none where nothing was written.
fn receipt_revision(receipt: &Receipt) -> Option<i64> {
    match receipt {
        Receipt::Written { last, .. } => Some(last.revision.as_i64()),
        Receipt::There(revision) => Some(revision.as_i64()),
        Receipt::Valid { .. } => None,
    }
}
