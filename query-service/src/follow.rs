//! Follows the feed: connect, resume, take in, publish; back off when it breaks, stop answering when it does not fit.

use std::{future::pending, sync::Arc, time::Duration};

use http::{HeaderValue, header::AUTHORIZATION};
use proto::v1::{FollowResponse, feed_service_client::FeedServiceClient};
use shared::{
    convert::feed as door,
    feed::Event,
    limits::MESSAGE_BYTES_MAX,
    model::{
        fault::{Fault, Reason},
        log::{Revision, StoreId},
    },
    serve::{Health, Stop},
    status, trace,
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Code, Request, Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tracing::Span;

use crate::{
    apply::{Applier, ApplyFault, Snapshot},
    archive::MemoryArchive,
    checkpoint::Checkpoint,
    metrics::METRICS,
    view::{Standing, View},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A way to the ingest-service.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Connects when it is used.
    pub channel: Channel,
    /// What says who follows.
    pub authorization: Option<HeaderValue>,
}

/// Settings of the follower.
pub struct FollowConfig {
    /// A new way to the ingest-service, with certificates and token as they are now.
    pub connect: Box<dyn Fn() -> Result<Connection, String> + Send + Sync>,
    /// The store that has to be there; any if it is not said.
    pub store: Option<StoreId>,
    /// A feed that is silent for longer is given up; it sends progress marks while idle.
    pub silence_max: Duration,
    /// A pause of at most that long before it connects again.
    pub jitter: fn(Duration) -> Duration,
}

/// What is kept on disk.
#[derive(Debug)]
pub struct Kept {
    /// Where.
    pub checkpoint: Checkpoint,
    /// What it held at the start.
    pub snapshot: Option<Snapshot>,
    /// Least time between two saves.
    pub interval: Duration,
}

/// A connection to the ingest-service with the settings of a follower, still to be made.
pub fn endpoint(ingest: Endpoint) -> Endpoint {
    ingest
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
}

/// Full jitter, so that many followers do not come back at once.
pub fn full_jitter(max: Duration) -> Duration {
    rand::random_range(Duration::ZERO..=max)
}

/// Why following ended this time.
#[derive(Debug)]
enum Broken {
    /// The connection, or the other side, is not there; it will be.
    Connection(String),
    /// What is there is not what was followed. Nothing may be answered.
    Refused(Fault),
}

/// Follows until `stop` is cancelled. Without something on disk, everything is kept in memory.
pub async fn run(config: FollowConfig, kept: Option<Kept>, view: View, health: Health, stop: Stop) {
    let jitter = config.jitter;
    let mut follower = Follower::start(config, kept, view, health, stop.clone()).await;
    let mut backoff = BACKOFF_MIN;
    loop {
        let before = follower.applier.index().revision();
        let damaged = follower.keeping.as_ref().map(|keeping| keeping.checkpoint.damaged());
        let damaged = async {
            match damaged {
                Some(damaged) => damaged.await,
                None => pending().await,
            }
        };
        let broken = tokio::select! {
            () = stop.token.cancelled() => break,
            () = damaged => {
                follower.begin_again().await;
                continue;
            }
            broken = follower.follow() => broken,
        };
        METRICS.breaks.inc();
        match broken {
            Broken::Connection(why) => {
                tracing::warn!(why, revision = before.get(), "the feed broke; connecting again");
            }
            Broken::Refused(fault) => {
                tracing::error!(reason = fault.reason.name(), "the log is refused, nothing is answered: {fault}");
                follower.refuse(fault).await;
                backoff = BACKOFF_MAX;
            }
        }
        if follower.applier.index().revision() > before {
            backoff = BACKOFF_MIN;
        }
        let pause = jitter(backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
        tokio::select! {
            () = stop.token.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    if let Some(keeping) = follower.keeping {
        // It ends with the last save, or has said why not.
        let _ = keeping.saving.await;
    }
}

struct Follower {
    config: FollowConfig,
    view: View,
    health: Health,
    stop: Stop,
    applier: Applier,
    keeping: Option<Keeping>,
    is_following: bool,
}

/// What is shown is saved in the background.
struct Keeping {
    checkpoint: Checkpoint,
    interval: Duration,
    shown: watch::Sender<Option<Snapshot>>,
    saving: AbortOnDropHandle<()>,
}

impl Keeping {
    fn begin(checkpoint: Checkpoint, interval: Duration, stop: &Stop) -> Self {
        let (shown, to_save) = watch::channel(None);
        let saving = AbortOnDropHandle::new(tokio::spawn(checkpoint.keep(to_save, interval, stop.token.clone())));
        Self { checkpoint, interval, shown, saving }
    }
}

impl Follower {
    /// Takes up what was kept. What was reached once is answered from at once: an answer says up to which revision it knows.
    async fn start(config: FollowConfig, kept: Option<Kept>, view: View, health: Health, stop: Stop) -> Self {
        let memory = || Applier::new(Arc::new(MemoryArchive::default()));
        let mut follower = Self { config, view, health, stop, applier: memory(), keeping: None, is_following: false };
        let Some(Kept { checkpoint, snapshot, interval }) = kept else { return follower };
        follower.applier = Applier::new(checkpoint.archive());
        let is_another = |store: StoreId| follower.config.store.is_some_and(|expected| expected != store);
        let is_of_another = snapshot.as_ref().is_some_and(|snapshot| is_another(snapshot.position.store));
        if let Some(snapshot) = snapshot.filter(|_| !is_of_another) {
            tracing::info!(revision = snapshot.index.revision().get(), "answering from the checkpoint");
            follower.applier = Applier::resume(checkpoint.archive(), snapshot);
        }
        follower.keeping = Some(Keeping::begin(checkpoint, interval, &follower.stop));
        if is_of_another {
            tracing::warn!("the checkpoint is of another store than the one to follow");
            follower.begin_again().await;
        } else if follower.applier.position().is_some() {
            follower.caught_up().await;
        }
        follower
    }

    /// Throws away what was kept, and reads the log again.
    async fn begin_again(&mut self) {
        self.is_following = false;
        self.view.set_standing(Standing::CatchingUp);
        self.health.set_serving(false).await;
        let Some(Keeping { checkpoint, interval, saving, .. }) = self.keeping.take() else { return };
        drop(saving);
        tracing::warn!("the checkpoint is thrown away, the log is read again");
        match tokio::task::spawn_blocking(|| checkpoint.renewed()).await {
            Ok(Ok(checkpoint)) => {
                self.applier = Applier::new(checkpoint.archive());
                self.keeping = Some(Keeping::begin(checkpoint, interval, &self.stop));
            }
            Ok(Err(error)) => self.go_on_in_memory(&error.to_string()),
            Err(error) => self.go_on_in_memory(&error.to_string()),
        }
    }

    fn go_on_in_memory(&mut self, why: &str) {
        tracing::error!(why, "there is no checkpoint any more, everything is kept in memory");
        self.applier = Applier::new(Arc::new(MemoryArchive::default()));
    }

    /// Follows until it breaks.
    async fn follow(&mut self) -> Broken {
        match self.try_follow().await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    async fn try_follow(&mut self) -> Result<std::convert::Infallible, Broken> {
        let Connection { channel, authorization } = (self.config.connect)().map_err(Broken::Connection)?;
        let mut client = FeedServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut request = Request::new(door::follow_request(self.applier.position()));
        if let Some(authorization) = authorization {
            let headers = http::HeaderMap::from_iter([(AUTHORIZATION, authorization)]);
            *request.metadata_mut() = MetadataMap::from_headers(headers);
        }
        let answer = self.in_time(client.follow(request)).await?;
        let mut messages = answer.map_err(|status| broken(&status))?.into_inner();
        let mut newest_at_start = None;
        loop {
            let message = self.in_time(messages.message()).await?.map_err(|status| broken(&status))?;
            let message = message.ok_or_else(|| Broken::Connection("the feed ended".to_owned()))?;
            let newest = door::newest(&message);
            let traced = spans(&message);
            match door::event(message).map_err(Broken::Refused)? {
                Event::Opened { store, epoch, newest } => {
                    self.open(store, epoch)?;
                    newest_at_start = Some(newest);
                }
                // Without knowing whose chain it is, nothing can be verified.
                _ if newest_at_start.is_none() => {
                    return Err(Broken::Connection("the feed did not say whose it is".to_owned()));
                }
                Event::Records(records) => {
                    for record in &records {
                        self.applier.apply(record).map_err(|fault| refused(&fault))?;
                        METRICS.applied.inc();
                    }
                    let publish = |apply: &Span| tracing::info_span!(parent: apply, "publish");
                    let publishing: Vec<Span> = traced.iter().map(publish).collect();
                    self.publish();
                    drop(publishing);
                }
                Event::Progress { newest } => {
                    let last = self.applier.position().map(|position| position.link.revision);
                    if last < Some(newest) {
                        return Err(Broken::Connection(format!("revision {newest} was sent, and did not come")));
                    }
                }
            }
            METRICS.hear(newest, self.applier.index().revision());
            if newest_at_start.is_some_and(|newest| self.applier.index().revision() >= newest) {
                self.caught_up().await;
            }
        }
    }

    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Broken> {
        let silent = |_| Broken::Connection(format!("nothing came for {} ms", self.config.silence_max.as_millis()));
        tokio::time::timeout(self.config.silence_max, answer).await.map_err(silent)
    }

    fn open(&mut self, store: StoreId, epoch: u64) -> Result<(), Broken> {
        if let Some(expected) = self.config.store.filter(|expected| *expected != store) {
            return Err(refused(&ApplyFault::Store { expected, actual: store }));
        }
        self.applier.open(store, epoch).map_err(|fault| refused(&fault))
    }

    fn publish(&mut self) {
        if let Some(position) = self.applier.position() {
            self.view.publish(position.store, self.applier.show());
        }
        if let Some(keeping) = &self.keeping {
            keeping.shown.send_replace(self.applier.snapshot());
        }
    }

    async fn caught_up(&mut self) {
        if self.is_following {
            return;
        }
        self.is_following = true;
        self.publish();
        tracing::info!(revision = self.applier.index().revision().get(), "following");
        self.view.set_standing(Standing::Following);
        self.health.set_serving(true).await;
    }

    async fn refuse(&mut self, fault: Fault) {
        self.is_following = false;
        self.view.set_standing(Standing::Refused(fault));
        self.health.set_serving(false).await;
    }
}

/// Spans of the changes that a message brings, in the traces that they are of: until they are visible.
fn spans(message: &FollowResponse) -> Vec<Span> {
    if !trace::is_on() {
        return Vec::new();
    }
    let span = |(revision, traceparent): (Revision, String)| {
        let span = tracing::info_span!(parent: None, "apply", revision = revision.as_i64());
        trace::go_on(&span, &traceparent);
        span
    };
    door::traces(message).into_iter().map(span).collect()
}

/// What an error of the feed means for what has been taken in.
fn broken(answer: &Status) -> Broken {
    let why = format!("{:?}: {}", answer.code(), answer.message());
    let reason = match (answer.code(), status::reason_name(answer).as_deref()) {
        (Code::FailedPrecondition, Some("STORE_MISMATCH")) => Reason::StoreMismatch,
        (Code::FailedPrecondition, Some("HISTORY_DIVERGED")) => Reason::HistoryDiverged,
        (Code::FailedPrecondition, Some("HISTORY_TRUNCATED")) => Reason::HistoryTruncated,
        (Code::OutOfRange, Some("FUTURE_REVISION")) => Reason::FutureRevision,
        // Whatever a later version calls it: it does not have what comes next, and will not.
        (Code::OutOfRange, _) => Reason::HistoryTruncated,
        (Code::FailedPrecondition, _) => Reason::HistoryDiverged,
        (Code::DataLoss, _) => Reason::DataCorrupt,
        _ => return Broken::Connection(why),
    };
    Broken::Refused(refusal(reason, answer.message()))
}

/// What a record that does not fit means.
fn refused(fault: &ApplyFault) -> Broken {
    use shared::codec::RecordFault::{Chain, Gap, Unreadable};
    match fault {
        ApplyFault::Store { .. } => Broken::Refused(refusal(Reason::StoreMismatch, &fault.to_string())),
        // Lost or doubled on the way: asking again from the last revision brings what is missing.
        ApplyFault::Record(Gap { .. }) => Broken::Connection(fault.to_string()),
        ApplyFault::Record(Chain(_)) => Broken::Refused(refusal(Reason::HistoryDiverged, &fault.to_string())),
        ApplyFault::Record(Unreadable { .. }) | ApplyFault::Poison(_) => {
            Broken::Refused(refusal(Reason::DataCorrupt, &fault.to_string()))
        }
    }
}

fn refusal(reason: Reason, detail: &str) -> Fault {
    // The caller cannot mend this; the code for a state that somebody has to mend first is the same for all of them.
    let reason = if reason == Reason::FutureRevision { Reason::HistoryTruncated } else { reason };
    Fault::new(
        reason,
        format!(
            "this service cannot follow its log: {detail}; point it at its store, or restart it over an empty directory to \
             follow this one"
        ),
    )
}
