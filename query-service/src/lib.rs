//! The query-service: follows the log of an ingest-service, folds it, and answers from the fold.

pub mod apply;
pub mod archive;
pub mod checkpoint;
pub mod config;
pub mod follow;
pub mod grpc;
pub mod index;
mod metrics;
pub mod query;
pub mod view;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::v1::query_service_server::QueryServiceServer;
use shared::{
    clock::SystemClock,
    limits::MESSAGE_BYTES_MAX,
    model::fault::{Fault, Reason},
    serve::{self, Health, Protection, Stop},
    side::Side,
};
use tokio::task::JoinHandle;

use self::{
    checkpoint::{Checkpoint, OpenError},
    config::Config,
    follow::Kept,
    grpc::{QueryHandlers, remember::Remember},
    view::{Seen, Standing, View},
};

/// Full names of the services that it offers.
const SERVICES: [&str; 1] = ["tonghop.v1.QueryService"];

/// Why the service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings contradict themselves.
    #[error("{0}")]
    Config(String),
    /// The address cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
    /// The checkpoint cannot be kept.
    #[error("cannot keep a checkpoint in {0:?}: {1}")]
    Checkpoint(std::path::PathBuf, OpenError),
    /// Reflection cannot be built.
    #[error("cannot describe the services: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl Error {
    /// Exit code of the process, after `sysexits.h`: 64 settings, 69 address, 70 internal,
    /// 73 directory in use or unusable.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 64,
            Self::Bind(..) => 69,
            Self::Reflection(_) => 70,
            Self::Checkpoint(..) => 73,
        }
    }
}

/// Follows and serves until `stop` is cancelled.
///
/// # Errors
/// [`Error`].
pub async fn run(config: Config, stop: Stop, side: Side) -> Result<(), Error> {
    let protection = Protection::load(&config.server, config.listen, Arc::new(SystemClock)).map_err(Error::Config)?;
    let following = config.follow().map_err(Error::Config)?;
    let (listener, address) = serve::bind(config.listen).await.map_err(|error| Error::Bind(config.listen, error))?;
    let (mut routes, health) = serve::standard_routes(&SERVICES).await?;
    side.tell_health(&health);
    let view = View::default();
    side.register(|registry| metrics::register(registry, view.clone(), config.data.clone()));
    let (checkpoint, snapshot) =
        Checkpoint::open(&config.data).map_err(|error| Error::Checkpoint(config.data.clone(), error))?;
    if let Some(snapshot) = &snapshot {
        metrics::METRICS.note_saved(snapshot.index.revision());
    }
    let kept = Kept { checkpoint, snapshot, interval: Duration::from_millis(config.checkpoint_ms_min) };
    let slow_after = Duration::from_millis(config.slow_reader_ms_max);
    let seen = Seen::default();
    let handlers =
        QueryHandlers { view: view.clone(), seen, clock: Arc::new(SystemClock), stop: stop.clone(), slow_after };
    let service = QueryServiceServer::new(handlers);
    let service = service.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    routes.add_service(Remember::new(service, view.clone(), config.remembered_mib_max * 1024 * 1024));

    tracing::info!(%address, ingest = %config.ingest, "listening");
    stop.calls.spawn(supervise(
        tokio::spawn(follow::run(following, Some(kept), view.clone(), health.clone(), stop.clone())),
        view,
        health.clone(),
    ));
    serve::serve(listener, routes.routes(), &config.server, protection, health, stop).await;
    Ok(())
}

/// A follower that panicked has met an entry that this version cannot take in. Nothing is answered from then on.
async fn supervise(follower: JoinHandle<()>, view: View, health: Health) {
    if let Err(error) = follower.await {
        tracing::error!(%error, "the follower panicked, nothing is answered");
        let message = "this service cannot take in its log; its own log says where it stopped";
        view.set_standing(Standing::Refused(Fault::new(Reason::DataCorrupt, message)));
        health.set_serving(false).await;
    }
}
