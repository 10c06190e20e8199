//! What readers see: the newest published index, and whether it may be believed. Readers take no lock.

mod seen;

use std::sync::Arc;

use arc_swap::ArcSwap;
use shared::{
    model::{
        fault::{Fault, Reason},
        log::{Revision, StoreId},
    },
    trace,
};
use tokio::{sync::watch, time::Instant};
use tracing::{Instrument, Span};

pub use self::seen::Seen;
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
    /// One channel for both, so that a reader never sees the one without the other.
    state: watch::Sender<State>,
}

struct State {
    revision: Revision,
    standing: Standing,
}

impl Default for View {
    fn default() -> Self {
        let state = State { revision: Revision::ZERO, standing: Standing::CatchingUp };
        let shared = Shared { published: ArcSwap::from_pointee(None), state: watch::Sender::new(state) };
        Self { shared: Arc::new(shared) }
    }
}

impl View {
    /// Shows an index. It is at the end of a change.
    pub fn publish(&self, store: StoreId, index: Index) {
        let revision = index.revision();
        self.shared.published.store(Arc::new(Some(Published { store, index })));
        // After the index is there, else a waiting reader wakes and does not find it.
        self.shared.state.send_modify(|state| state.revision = revision);
    }

    /// The newest revision, while answers may be given.
    pub fn following(&self) -> Option<Revision> {
        let state = self.shared.state.borrow();
        matches!(state.standing, Standing::Following).then_some(state.revision)
    }

    /// The newest index, whether answers may be given or not.
    pub fn newest(&self) -> Option<Published> {
        (**self.shared.published.load()).clone()
    }

    /// Its revision, whether the log has been read to its end, and whether it is refused.
    pub fn standing(&self) -> (Revision, bool, bool) {
        let state = self.shared.state.borrow();
        let is_refused = matches!(state.standing, Standing::Refused(_));
        (state.revision, matches!(state.standing, Standing::Following), is_refused)
    }

    /// Says how the follower stands to the log.
    pub fn set_standing(&self, standing: Standing) {
        self.shared.state.send_modify(|state| state.standing = standing);
    }

    /// Waits for a revision after that one, or until the log is refused.
    ///
    /// # Errors
    /// Why the log was refused.
    pub async fn after(&self, revision: Revision) -> Result<Published, Fault> {
        let mut state = self.shared.state.subscribe();
        let is_decided = |state: &State| matches!(state.standing, Standing::Refused(_)) || revision < state.revision;
        // The sender lives as long as this.
        let _ = state.wait_for(is_decided).await;
        self.read(None, None).await
    }

    /// The newest index. With `at_least` it waits until the deadline for an index that knows this revision; without, it
    /// takes what is there.
    ///
    /// # Errors
    /// Why the log was refused, at once; `CatchingUp` where the log has not been read once; `NotYetVisible` at the
    /// deadline.
    pub async fn read(&self, at_least: Option<Revision>, deadline: Option<Instant>) -> Result<Published, Fault> {
        let mut state = self.shared.state.subscribe();
        let is_decided = |state: &State| match state.standing {
            Standing::Refused(_) => true,
            Standing::CatchingUp => at_least.is_none(),
            Standing::Following => at_least.is_none_or(|wanted| wanted <= state.revision),
        };
        let decided = async { state.wait_for(is_decided).await.is_ok() };
        let span = match at_least {
            Some(wanted) if trace::is_on() => tracing::info_span!("wait", at_least_revision = wanted.as_i64()),
            _ => Span::none(),
        };
        let in_time = async {
            match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, decided).await.unwrap_or(false),
                None => decided.await,
            }
        };
        let is_in_time = in_time.instrument(span).await;
        let state = self.shared.state.borrow();
        let revision = state.revision;
        match &state.standing {
            Standing::Refused(fault) => Err(fault.clone()),
            Standing::CatchingUp => {
                let message = format!("the log is still being read, up to revision {revision} so far; try again");
                Err(Fault::new(Reason::CatchingUp, message).with("revision", revision))
            }
            Standing::Following if !is_in_time => {
                let wanted = at_least.unwrap_or(Revision::ZERO);
                let message = format!("revision {wanted} is not known here yet, {revision} is; try again");
                Err(Fault::new(Reason::NotYetVisible, message).with("revision", revision))
            }
            Standing::Following => {
                let published = (**self.shared.published.load()).clone();
                published.ok_or_else(|| Fault::new(Reason::CatchingUp, "no log has been read yet; try again"))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use shared::change::{Change, Entry};
    use uuid::Uuid;

    use super::*;

    const STORE: StoreId = StoreId(Uuid::from_u128(1));

    pub(crate) fn index(revision: u64) -> Index {
        let mut index = Index::default();
        index.apply(&Arc::new(Entry {
            revision: revision.into(),
            record_time: jiff::Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: None,
            principal: Default::default(),
            findings: Vec::new(),
            change: Change::RegisterCompleteFrom(jiff::civil::date(2000, 1, 1)),
        }));
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
        assert_eq!(view.read(Some(9.into()), None).await.unwrap_err().reason, Reason::StoreMismatch, "at once");
    }

    #[tokio::test]
    async fn who_waits_for_a_revision_waits_for_the_log_to_be_read() {
        let view = View::default();
        view.publish(STORE, index(2));
        let reader = tokio::spawn({
            let view = view.clone();
            async move { view.read(Some(2.into()), None).await }
        });
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        view.set_standing(Standing::Following);
        assert_eq!(reader.await.unwrap().unwrap().index.revision(), Revision::from(2));
    }
}
