//! Settings of the query-service. Each is a flag and an environment variable; the flag wins.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use shared::config::ServerConfig;
use tonic::transport::{Endpoint, Uri};
use uuid::Uuid;

use crate::follow::FollowConfig;
use shared::model::log::StoreId;

/// Follows an ingest-service and answers aggregations
#[derive(Clone, Debug, Parser)]
#[command(version, args_override_self = true)]
pub struct Config {
    /// Address of the gRPC server
    #[arg(long, env = "TONGHOP_LISTEN", default_value = "127.0.0.1:50052")]
    pub listen: SocketAddr,

    /// Where the ingest-service is
    #[arg(long, env = "TONGHOP_INGEST", default_value = "http://127.0.0.1:50051")]
    pub ingest: Uri,

    /// Id of the store to follow; without it, the first store that answers is followed until the process ends
    #[arg(long, env = "TONGHOP_STORE_ID")]
    pub store_id: Option<Uuid>,

    /// A feed that is silent for longer is given up and asked again, in milliseconds
    #[arg(long, env = "TONGHOP_SILENCE_MS_MAX", default_value_t = 10_000)]
    pub silence_ms_max: u64,

    /// A reader of a stream that takes nothing for longer is cut, in milliseconds
    #[arg(long, env = "TONGHOP_SLOW_READER_MS_MAX", default_value_t = 30_000)]
    pub slow_reader_ms_max: u64,

    /// Server, logs and stopping
    #[command(flatten)]
    pub server: ServerConfig,
}

impl Config {
    /// Settings of the follower.
    pub fn follow(&self) -> FollowConfig {
        FollowConfig {
            ingest: Endpoint::from(self.ingest.clone()),
            store: self.store_id.map(StoreId),
            silence_max: Duration::from_millis(self.silence_ms_max),
        }
    }
}
