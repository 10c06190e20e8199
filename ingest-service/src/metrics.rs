//! What the ingest-service counts, and what it looks up when somebody asks.

use std::{path::PathBuf, sync::LazyLock};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use shared::{
    convert::finding_words,
    metrics::{ByWord, LookedUp, Say, register_disk, times},
    model::{fault::Fault, finding::Finding, log::Revision},
};
use tokio::sync::watch;

/// Counters and histograms of the parts.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Entries that one commit made durable.
    pub(crate) commit_entries: Histogram,
    /// Their bytes.
    pub(crate) commit_bytes: Histogram,
    /// Time of a commit.
    pub(crate) commit_time: Histogram,
    /// Time of the sync in it.
    pub(crate) sync_time: Histogram,
    /// Followers that are connected.
    pub(crate) followers: Gauge,
    /// Reports that came in a call and were accepted.
    pub(crate) accepted: Counter,
    /// Answers to reports of streams.
    pub(crate) receipts: Counter,
    pub(crate) refusals: Counter,
    /// Refused reports by reason, of calls and streams.
    refused: ByWord,
    findings: Family<[(&'static str, &'static str); 2], Counter>,
}

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    commit_entries: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
    commit_bytes: Histogram::new(exponential_buckets(256.0, 4.0, 8)),
    commit_time: times(),
    sync_time: times(),
    followers: Gauge::default(),
    accepted: Counter::default(),
    receipts: Counter::default(),
    refusals: Counter::default(),
    refused: ByWord::default(),
    findings: Family::default(),
});

impl Metrics {
    /// Counts findings that are on disk.
    pub(crate) fn count_findings(&self, findings: &[Finding]) {
        for finding in findings {
            let (kind, severity) = finding_words(finding);
            self.findings.get_or_create(&[("kind", kind), ("severity", severity)]).inc();
        }
    }

    /// Counts a report that was refused.
    pub(crate) fn count_refused(&self, fault: &Fault) {
        self.refused.get_or_create(&[("reason", fault.reason.name())]).inc();
    }
}

/// Shows all of it, how far the log is, and how much room its disk has.
pub(crate) fn register(
    registry: &mut Registry,
    durable: watch::Receiver<Revision>,
    epoch: u64,
    directory: PathBuf,
    free_bytes_min: u64,
) {
    let metrics = &*METRICS;
    let entries = "Entries that one commit made durable; callers share commits";
    registry.register("commit_entries", entries, metrics.commit_entries.clone());
    registry.register("commit_bytes", "Bytes of the entries of one commit", metrics.commit_bytes.clone());
    let time = "Time of a commit: writing, fdatasync, and now and then the head";
    registry.register("commit_duration_seconds", time, metrics.commit_time.clone());
    registry.register("fdatasync_duration_seconds", "Time of the fdatasync in it", metrics.sync_time.clone());
    registry.register("followers", "Followers that are connected", metrics.followers.clone());
    registry.register("reports_accepted", "Reports accepted in unary calls", metrics.accepted.clone());
    let refused = "Refused reports by reason, of unary calls and streams";
    registry.register("reports_refused", refused, metrics.refused.clone());
    registry.register("findings", "Findings about accepted reports", metrics.findings.clone());
    let acknowledged = "Receipts that streams of reports were sent";
    registry.register("stream_receipts", acknowledged, metrics.receipts.clone());
    let refused = "Refusals that streams of reports were sent";
    registry.register("stream_refusals", refused, metrics.refusals.clone());
    let look = move |say: &mut Say<'_>| {
        say.number("log_revision", "Newest durable revision of the log", durable.borrow().get())?;
        say.number("log_epoch", "Epoch of the log; a new one begins after a restore", epoch)?;
        say.number("disk_free_bytes_min", "Below this nothing is written", free_bytes_min)
    };
    registry.register_collector(Box::new(LookedUp(look)));
    register_disk(registry, directory);
}
