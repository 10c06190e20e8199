//! What followers and the feed say to each other.

use crate::{
    codec::Record,
    model::log::{Link, Revision, StoreId},
};

/// Where a follower stands: the store it follows and its last entry, which is the start of the chain if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The store.
    pub store: StoreId,
    /// Epoch of the store.
    pub epoch: u64,
    /// Its last entry.
    pub link: Link,
}

/// What the feed says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Whom is being followed, and how far the log is.
    Opened {
        /// The store.
        store: StoreId,
        /// Its epoch.
        epoch: u64,
        /// Its newest durable revision.
        newest: Revision,
    },
    /// Consecutive entries.
    Records(Vec<Record>),
    /// Nothing new.
    Progress {
        /// The newest durable revision.
        newest: Revision,
    },
}
