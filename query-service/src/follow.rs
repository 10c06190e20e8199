//! Follows the feed: connect, resume, take in, publish; back off when it breaks, stop answering when it does not fit.

use std::time::Duration;

use proto::v1::{FollowRequest, feed_service_client::FeedServiceClient};
use shared::{
    convert::feed as door,
    feed::Event,
    limits::MESSAGE_BYTES_MAX,
    model::{
        fault::{Fault, Reason},
        log::StoreId,
    },
    serve::{Health, Stop},
    status,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    apply::{Applier, ApplyFault},
    view::{Standing, View},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Settings of the follower.
#[derive(Clone, Debug)]
pub struct FollowConfig {
    /// Where the ingest-service is.
    pub ingest: Endpoint,
    /// The store that has to be there; any if it is not said.
    pub store: Option<StoreId>,
    /// A feed that is silent for longer is given up; it sends progress marks while idle.
    pub silence_max: Duration,
}

/// Why following ended this time.
#[derive(Debug)]
enum Broken {
    /// The connection, or the other side, is not there; it will be.
    Connection(String),
    /// What is there is not what was followed. Nothing may be answered.
    Refused(Fault),
}

/// Follows until `stop` is cancelled.
pub async fn run(config: FollowConfig, view: View, health: Health, stop: Stop) {
    let channel = config
        .ingest
        .clone()
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .connect_lazy();
    let mut follower = Follower { config, view, health, applier: Applier::default(), is_following: false };
    let mut backoff = BACKOFF_MIN;
    loop {
        let before = follower.applier.index().revision();
        let broken = tokio::select! {
            () = stop.token.cancelled() => return,
            broken = follower.follow(channel.clone()) => broken,
        };
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
        // Full jitter, so that many followers do not come back at once.
        let pause = rand::random_range(Duration::ZERO..=backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
        tokio::select! {
            () = stop.token.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Follower {
    config: FollowConfig,
    view: View,
    health: Health,
    applier: Applier,
    is_following: bool,
}

impl Follower {
    /// Follows until it breaks.
    async fn follow(&mut self, channel: Channel) -> Broken {
        match self.try_follow(channel).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    async fn try_follow(&mut self, channel: Channel) -> Result<std::convert::Infallible, Broken> {
        let mut client = FeedServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request: FollowRequest = door::follow_request(self.applier.position());
        let answer = self.in_time(client.follow(request)).await?;
        let mut messages = answer.map_err(|status| broken(&status))?.into_inner();
        let mut newest_at_start = None;
        loop {
            let message = self.in_time(messages.message()).await?.map_err(|status| broken(&status))?;
            let message = message.ok_or_else(|| Broken::Connection("the feed ended".to_owned()))?;
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
                    }
                    self.publish();
                }
                Event::Progress { newest } => tracing::trace!(revision = newest.get(), "the feed is alive"),
            }
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

    fn publish(&self) {
        if let Some(position) = self.applier.position() {
            self.view.publish(position.store, self.applier.index().clone());
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

/// What an error of the feed means for what has been taken in.
fn broken(answer: &Status) -> Broken {
    let why = format!("{:?}: {}", answer.code(), answer.message());
    let reason = match (answer.code(), status::reason_name(answer).as_deref()) {
        (Code::FailedPrecondition, Some("STORE_MISMATCH")) => Reason::StoreMismatch,
        (Code::FailedPrecondition, Some("HISTORY_DIVERGED")) => Reason::HistoryDiverged,
        (Code::FailedPrecondition, Some("HISTORY_TRUNCATED")) => Reason::HistoryTruncated,
        (Code::OutOfRange, Some("FUTURE_REVISION")) => Reason::FutureRevision,
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
        ApplyFault::Record(Unreadable { .. }) => Broken::Refused(refusal(Reason::DataCorrupt, &fault.to_string())),
    }
}

fn refusal(reason: Reason, detail: &str) -> Fault {
    // The caller cannot mend this; the code for a state that somebody has to mend first is the same for all of them.
    let reason = if reason == Reason::FutureRevision { Reason::HistoryTruncated } else { reason };
    Fault::new(
        reason,
        format!(
            "this service cannot follow its log: {detail}; point it at its store, or restart it to follow this one"
        ),
    )
}
