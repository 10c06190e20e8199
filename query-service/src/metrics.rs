//! What the query-service counts, and what it looks up when somebody asks.

use std::{
    path::PathBuf,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::Registry,
};
use shared::{
    metrics::{LookedUp, Say, register_disk, times},
    model::log::Revision,
};
use tokio::time::Instant;

use crate::view::View;

/// Counters and histograms of the parts.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Times that the feed broke.
    pub(crate) breaks: Counter,
    /// Entries that were taken in.
    pub(crate) applied: Counter,
    /// Time of a save of the checkpoint.
    pub(crate) save_time: Histogram,
    /// Saves that failed.
    pub(crate) save_failures: Counter,
    saved: Mutex<Saved>,
    heard: Mutex<Heard>,
}

/// What was saved last.
#[derive(Debug)]
struct Saved {
    revision: Revision,
    when: Instant,
}

/// How far the log is, as far as was heard.
#[derive(Debug)]
struct Heard {
    newest: Revision,
    applied: Revision,
    /// When everything that was heard of was known last; before that, when the process started.
    up_to_date: Instant,
}

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    breaks: Counter::default(),
    applied: Counter::default(),
    save_time: times(),
    save_failures: Counter::default(),
    saved: Mutex::new(Saved { revision: Revision::ZERO, when: Instant::now() }),
    heard: Mutex::new(Heard { newest: Revision::ZERO, applied: Revision::ZERO, up_to_date: Instant::now() }),
});

impl Metrics {
    /// The feed has said how far the log is, and this is known of it now.
    pub(crate) fn hear(&self, newest: Option<Revision>, applied: Revision) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.applied = applied;
        heard.newest = newest.unwrap_or(heard.newest).max(applied);
        if newest.is_some_and(|newest| newest <= applied) {
            heard.up_to_date = Instant::now();
        }
    }

    /// The checkpoint knows up to that revision.
    pub(crate) fn note_saved(&self, revision: Revision) {
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Saved { revision, when: Instant::now() };
    }

    /// Revisions that were heard of and are not known, and the time since all were.
    fn lag(&self) -> (Revision, u64, Duration) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = heard.newest.get().saturating_sub(heard.applied.get());
        (heard.newest, behind, heard.up_to_date.elapsed())
    }
}

/// Shows all of it, what is known, and how much room the disk of the checkpoint has.
pub(crate) fn register(registry: &mut Registry, view: View, directory: PathBuf) {
    let metrics = &*METRICS;
    registry.register("feed_breaks", "Times that the feed broke or was refused", metrics.breaks.clone());
    registry.register("entries_applied", "Entries of the log that were taken in", metrics.applied.clone());
    let time = "Time of a save of the checkpoint";
    registry.register("checkpoint_save_duration_seconds", time, metrics.save_time.clone());
    let failures = "Saves of the checkpoint that failed; answers go on";
    registry.register("checkpoint_save_failures", failures, metrics.save_failures.clone());
    registry.register_collector(Box::new(LookedUp(move |say: &mut Say<'_>| look(&view, say))));
    register_disk(registry, directory);
}

fn look(view: &View, say: &mut Say<'_>) -> std::fmt::Result {
    let (newest, behind, time) = METRICS.lag();
    say.number("feed_newest_revision", "Newest revision that the feed has told of", newest.get())?;
    say.number("feed_lag_revisions", "Revisions that the feed has told of and answers do not know", behind)?;
    let help = "Time since answers knew all that the log had; up to one progress mark while all is well";
    say.seconds("feed_lag_seconds", help, time)?;
    let (revision, is_following, is_refused) = view.standing();
    say.number("query_revision", "Newest revision that answers know", revision.get())?;
    say.number("following", "1 once the log has been read to its end", is_following.into())?;
    say.number(
        "log_refused",
        "1 while the log is not the one that was followed; nothing is answered",
        is_refused.into(),
    )?;
    let (saved, age) = {
        let saved = METRICS.saved.lock().unwrap_or_else(PoisonError::into_inner);
        (saved.revision, saved.when.elapsed())
    };
    say.number("checkpoint_revision", "Revision of the newest checkpoint of this process", saved.get())?;
    let help = "Time since the newest checkpoint of this process, or since it started";
    say.seconds("checkpoint_age_seconds", help, age)?;
    let size = view.newest().map(|published| published.index.size()).unwrap_or_default();
    say.number("index_entries", "Entries of the log that the index knows", revision.get())?;
    say.number("index_reports", "Versions of reports that the index knows", size.versions)?;
    say.number("index_columns", "Columns of the index", size.columns)?;
    say.number("index_observations", "Cells of its columns of which something is known", size.cells)?;
    say.number("index_column_bytes", "Bytes of its columns in memory", size.column_bytes)
}
