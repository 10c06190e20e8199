//! The ingest-service: checks reports, decides their revision, makes them durable, and lets others follow.

pub mod backup;
pub mod config;
pub mod feed;
pub mod grpc;
pub mod log;
pub mod maintenance;
mod metrics;
pub mod submit;
mod traces;
pub mod transfer;
mod watchdog;

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use proto::v1::{
    feed_service_server::FeedServiceServer, ingest_service_server::IngestServiceServer,
    registry_service_server::RegistryServiceServer,
};
use shared::{
    clock::{Clock, SystemClock},
    limits::MESSAGE_BYTES_MAX,
    serve::{self, Protection, Stop},
    side::Side,
};

use self::{
    config::Config,
    feed::Feed,
    grpc::{FeedHandlers, IngestHandlers, RegistryHandlers},
    log::{
        Log, LogError,
        sled::{OpenError, SledLog},
    },
    submit::ReplayError,
};

/// Full names of the services that it offers.
const SERVICES: [&str; 3] = ["tonghop.v1.RegistryService", "tonghop.v1.IngestService", "tonghop.v1.FeedService"];

/// Calls have been answered before the writer is told to stop, so it has little left to do.
const WRITER_STOP_MAX: Duration = Duration::from_secs(1);

/// File beside the log with what a start can use.
const FACTS: &str = "facts";

/// Callers of a log that has stalled get that long to be told.
const STALLED_DRAIN_MAX: Duration = Duration::from_secs(1);

/// Why the service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings contradict themselves.
    #[error("{0}")]
    Config(String),
    /// The address cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
    /// The store cannot be opened.
    #[error("cannot open the store in {0:?}: {1}")]
    Open(std::path::PathBuf, OpenError),
    /// The log is damaged.
    #[error("cannot replay the log: {0}")]
    Replay(#[from] ReplayError),
    /// The log failed while serving.
    #[error("the log failed: {0}")]
    Log(#[from] LogError),
    /// Reflection cannot be built.
    #[error("cannot describe the services: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl Error {
    /// Exit code of the process, after `sysexits.h`: 64 settings, 65 damaged data, 69 address, 70 internal,
    /// 73 directory in use or unusable, 74 the disk failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 64,
            Self::Open(_, OpenError::Damaged(_)) | Self::Replay(_) => 65,
            Self::Bind(..) => 69,
            Self::Reflection(_) => 70,
            Self::Open(_, OpenError::InUse | OpenError::Io(_)) => 73,
            Self::Log(_) => 74,
        }
    }
}

/// Opens the store, replays the log, and serves until `stop` is cancelled or the log fails.
///
/// # Errors
/// [`Error`]; what was acknowledged is on disk in every case.
pub async fn run(config: Config, stop: Stop, side: Side) -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let protection = Protection::load(&config.server, config.listen, clock.clone()).map_err(Error::Config)?;
    let (listener, address) = serve::bind(config.listen).await.map_err(|error| Error::Bind(config.listen, error))?;
    let log = SledLog::open(&config.data, config.space_min());
    let log = Arc::new(log.map_err(|error| Error::Open(config.data.clone(), error))?);
    let (submitter, mut writer) = submit::start(log.clone(), clock.clone(), Some(&config.data.join(FACTS)))?;

    let (durable, epoch, data) = (writer.durable.clone(), log.epoch(), config.data.clone());
    side.register(|registry| metrics::register(registry, durable, epoch, data, config.space_min().bytes));
    let (progress_interval, slow_after) = (config.progress_interval(), config.slow_after());
    let feed = Feed::new(log.clone(), writer.durable.clone(), stop.clone(), progress_interval, slow_after);
    let registry = RegistryHandlers { submitter: submitter.clone(), store: log.store(), log: log.clone() };
    let ingest = IngestHandlers { submitter, log: log.clone(), stop: stop.clone(), stream_rules: config.streams };
    let (mut routes, health) = serve::standard_routes(&SERVICES).await?;
    side.tell_health(&health);
    routes
        .add_service(
            RegistryServiceServer::new(registry)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(
            IngestServiceServer::new(ingest)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(
            FeedServiceServer::new(FeedHandlers { feed, clock })
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        );

    health.set_serving(true).await;
    tracing::info!(%address, store_id = %log.store(), revision = log.tail().revision.get(), "listening");
    let mut serving = pin!(serve::serve(listener, routes.routes(), &config.server, protection, health, stop.clone()));
    tokio::select! {
        () = &mut serving => {}
        error = writer.failed() => {
            // Callers that wait are told that the outcome is not known; nobody is acknowledged any more.
            stop.token.cancel();
            serving.await;
            return Err(error.into());
        }
        error = watchdog::stalled(&*log, config.stall_max()) => {
            tracing::error!(%error, "the disk does not answer");
            stop.token.cancel();
            // The writer hangs, and so do its callers: whether they are written is not known.
            let _ = tokio::time::timeout(STALLED_DRAIN_MAX, serving).await;
            return Err(error.into());
        }
    }
    let stopped = tokio::task::spawn_blocking(|| writer.stop());
    match tokio::time::timeout(WRITER_STOP_MAX, stopped).await {
        Ok(_) => Ok(()),
        Err(_) => Err(LogError::Storage("the disk does not answer".to_owned()).into()),
    }
}
