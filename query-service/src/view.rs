//! What readers see: the newest published index, and whether it may be believed. Readers take no lock.

use std::sync::Arc;

use arc_swap::ArcSwap;
use shared::model::{
    fault::{Fault, Reason},
    log::{Revision, StoreId},
};
use tokio::{sync::watch, time::Instant};

use crate::index::Index;

/// How the follower stands to the log.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It has not yet reached what was there when it began.
    CatchingUp,
    /// It has. It may have lost the connection since; an answer says up to which revision it knows.
    Following,
    /// The log it is pointed at is not the one that it followed, or cannot be read. Nothing is answered.
    Refused(Fault),
}

/// An index as readers see it, at the end of a change.
#[derive(Clone, Debug)]
pub struct Published {
    /// The store that it is of.
    pub store: StoreId,
    /// The index.
    pub index: Index,
}

/// The newest published index. One follower publishes, any number of readers read. Cheap to clone.
#[derive(Clone)]
pub struct View {
    shared: Arc<Shared>,
}

struct Shared {
    published: ArcSwap<Option<Published>>,
    standing: ArcSwap<Standing>,
    revision: watch::Sender<Revision>,
}

impl Default for View {
    fn default() -> Self {
        let shared = Shared {
            published: ArcSwap::from_pointee(None),
            standing: ArcSwap::from_pointee(Standing::CatchingUp),
            revision: watch::Sender::new(Revision::ZERO),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl View {
    /// Shows an index. It is at the end of a change.
    pub fn publish(&self, store: StoreId, index: Index) {
        let revision = index.revision();
        self.shared.published.store(Arc::new(Some(Published { store, index })));
        // After the index is there, else a waiting reader wakes and does not find it.
        self.shared.revision.send_replace(revision);
    }

    /// Says how the follower stands to the log.
    pub fn set_standing(&self, standing: Standing) {
        self.shared.standing.store(Arc::new(standing));
    }

    /// The newest index that knows at least that revision, waiting for it until the deadline.
    ///
    /// # Errors
    /// `CatchingUp` before the log has been read once; `NotYetVisible` at the deadline; why the log was refused.
    pub async fn read(&self, at_least: Option<Revision>, deadline: Option<Instant>) -> Result<Published, Fault> {
        let wanted = at_least.unwrap_or(Revision::ZERO);
        let mut revision = self.shared.revision.subscribe();
        let reached = revision.wait_for(|revision| *revision >= wanted);
        let is_reached = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, reached).await.is_ok(),
            None => reached.await.is_ok(),
        };
        if let Standing::Refused(fault) = &**self.shared.standing.load() {
            return Err(fault.clone());
        }
        let newest = *self.shared.revision.borrow();
        if !is_reached {
            let message = format!("revision {wanted} is not known here yet, {newest} is; try again");
            return Err(Fault::new(Reason::NotYetVisible, message).with("revision", newest));
        }
        if matches!(&**self.shared.standing.load(), Standing::CatchingUp) {
            let message = format!("the log is still being read, up to revision {newest} so far; try again");
            return Err(Fault::new(Reason::CatchingUp, message).with("revision", newest));
        }
        let published = (**self.shared.published.load()).clone();
        published.ok_or_else(|| Fault::new(Reason::CatchingUp, "no log has been read yet; try again"))
    }
}

#[cfg(test)]
mod tests {
    use shared::change::{Change, Entry};
    use uuid::Uuid;

    use super::*;

    const STORE: StoreId = StoreId(Uuid::from_u128(1));

    fn index(revision: u64) -> Index {
        let mut index = Index::default();
        index.apply(&Entry {
            revision: revision.into(),
            record_time: jiff::Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: None,
            change: Change::RegisterCompleteFrom(jiff::civil::date(2000, 1, 1)),
        });
        index
    }

    #[tokio::test]
    async fn a_reader_waits_for_its_own_write_until_the_deadline() {
        let view = View::default();
        view.set_standing(Standing::Following);
        view.publish(STORE, index(1));
        let early = view.read(Some(2.into()), Some(Instant::now())).await.unwrap_err();
        assert_eq!(early.reason, Reason::NotYetVisible);

        let reader = tokio::spawn({
            let view = view.clone();
            async move { view.read(Some(2.into()), None).await }
        });
        tokio::task::yield_now().await;
        view.publish(STORE, index(2));
        assert_eq!(reader.await.unwrap().unwrap().index.revision(), Revision::from(2));
    }

    #[tokio::test]
    async fn nothing_is_answered_before_the_log_was_read_or_after_it_was_refused() {
        let view = View::default();
        assert_eq!(view.read(None, None).await.unwrap_err().reason, Reason::CatchingUp);
        view.publish(STORE, index(1));
        assert_eq!(view.read(None, None).await.unwrap_err().reason, Reason::CatchingUp);
        view.set_standing(Standing::Following);
        assert!(view.read(None, None).await.is_ok());
        view.set_standing(Standing::Refused(Fault::new(Reason::StoreMismatch, "another store")));
        assert_eq!(view.read(None, None).await.unwrap_err().reason, Reason::StoreMismatch);
    }
}
