//! Handlers: convert, call, convert.

mod feed;
mod ingest;
mod registry;

use shared::{change::Entry, model::log::Revision};

pub use self::{feed::FeedHandlers, ingest::IngestHandlers, registry::RegistryHandlers};
use crate::submit::Receipt;

/// The revision that a receipt shows; 0 where nothing was written.
fn receipt_revision(receipt: &Receipt) -> i64 {
    match receipt {
        Receipt::Written(entry) => entry.revision.as_i64(),
        Receipt::There(revision) => revision.as_i64(),
        Receipt::Valid(_) => Revision::ZERO.as_i64(),
    }
}

/// The entry that a receipt carries, if it carries one.
fn receipt_entry(receipt: Receipt) -> Option<Box<Entry>> {
    match receipt {
        Receipt::Written(entry) => Some(entry),
        Receipt::Valid(entry) => entry,
        Receipt::There(_) => None,
    }
}
