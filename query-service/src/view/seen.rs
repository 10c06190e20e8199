//! What is published, as it is for those who do not see everything. The newest few are kept, so that only what is new has to
//! be folded; when the register has changed, rights may have, and they are made anew.

use std::sync::{Arc, Mutex, PoisonError};

use shared::model::{access::Scope, log::Revision};

use super::Published;

/// Indexes that are kept.
const KEPT_MAX: usize = 32;

/// Indexes by what their readers see. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    kept: Arc<Mutex<Vec<Kept>>>,
}

#[derive(Clone, Debug)]
struct Kept {
    scope: Scope,
    of: Arc<Mutex<Option<Of>>>,
}

#[derive(Debug)]
struct Of {
    published: Published,
    /// The newest change of the register by which it was judged.
    registered_at: Revision,
}

impl Seen {
    /// What is published as it is for that scope. Takes as long as reading what is new in the log, which is all of it for a
    /// scope that has not asked before.
    pub fn of(&self, published: &Published, scope: &Scope) -> Published {
        let of = self.place(scope);
        // A panic leaves none: it is taken out while it is worked on.
        let mut of = of.lock().unwrap_or_else(PoisonError::into_inner);
        let registered_at = published.index.registered_at();
        let fits = |of: &Of| of.published.store == published.store && of.registered_at == registered_at;
        let begun = of.take().filter(fits).map(|of| of.published.index).or_else(|| published.index.begin_seen(scope));
        let Some(mut index) = begun else { return published.clone() };
        index.follow_seen(&published.index);
        let seen = Published { store: published.store, index };
        *of = Some(Of { published: seen.clone(), registered_at });
        seen
    }

    fn place(&self, scope: &Scope) -> Arc<Mutex<Option<Of>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.iter().position(|kept| kept.scope == *scope).map(|place| kept.remove(place));
        let place = before.unwrap_or_else(|| Kept { scope: scope.clone(), of: Arc::default() });
        kept.push(place.clone());
        if kept.len() > KEPT_MAX {
            kept.remove(0);
        }
        place.of
    }
}
