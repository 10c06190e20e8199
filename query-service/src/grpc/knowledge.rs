//! What there is to know: how `known_at` is understood, and what an answer says of what it rests on. The same for every call.

use jiff::{Timestamp, civil::Date};
use shared::model::{
    fault::{Fault, Reason},
    log::{Revision, StoreId},
    query::{KnownAt, Meta},
};

use crate::{
    index::{Index, Known},
    view::Published,
};

/// What there is to know, and when it is asked.
#[derive(Clone, Copy)]
pub(super) struct Knowledge<'a> {
    /// The newest index.
    pub(super) index: &'a Index,
    /// Of which store.
    pub(super) store: StoreId,
    /// What "now" means: the newest revision, or that of the first page.
    pub(super) snapshot: Revision,
    /// The time of the question.
    pub(super) now: Timestamp,
}

impl<'a> Knowledge<'a> {
    /// What is published, as it was at a revision: the newest one, or that of the first page of a walk.
    pub(super) fn of(published: &'a Published, snapshot: Revision, now: Timestamp) -> Self {
        Self { index: &published.index, store: published.store, snapshot, now }
    }

    /// What is published, as it is.
    pub(super) fn newest(published: &'a Published, now: Timestamp) -> Self {
        Self::of(published, published.index.revision(), now)
    }

    /// What was known then.
    ///
    /// # Errors
    /// `FutureRevision`.
    pub(super) fn at(&self, known_at: KnownAt) -> Result<Known<'a>, Fault> {
        match known_at {
            KnownAt::Now => self.index.known_at(KnownAt::Revision(self.snapshot)),
            KnownAt::Time(time) if time > self.now => {
                let message = format!("is {time}, now is {}; what will be known cannot be asked", self.now);
                Err(Fault::at("known_at.time", Reason::FutureRevision, message))
            }
            then => self.index.known_at(then),
        }
    }

    /// What an answer rests on.
    pub(super) fn meta(&self, known: &Known<'_>, boundaries_on: Option<Date>) -> Meta {
        Meta {
            revision: known.revision(),
            known_at: known.recorded_at(),
            store: self.store,
            boundaries_on,
            definitions: Vec::new(),
            visible: self.index.visible().map(<[_]>::to_vec),
            citation: String::new(),
        }
    }
}
