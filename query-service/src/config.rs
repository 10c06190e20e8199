//! Settings of the query-service. Each is a flag and an environment variable; the flag wins.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use shared::{
    config::{ClientConfig, ServerConfig},
    model::log::StoreId,
    side::ask::Ask,
};
use tonic::transport::{Endpoint, Uri};
use uuid::Uuid;

use crate::follow::{self, Connection, FollowConfig};

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

    /// What it is shown
    #[command(flatten)]
    pub client: ClientConfig,

    /// Id of the store to follow; without it, the first store that answers is followed until the process ends
    #[arg(long, env = "TONGHOP_STORE_ID")]
    pub store_id: Option<Uuid>,

    /// Directory of the checkpoint; it is this service's own, and can be removed while it does not run
    #[arg(long, global = true, env = "TONGHOP_DATA", default_value = "data/query")]
    pub data: PathBuf,

    /// Least time from one checkpoint to the next, in milliseconds
    #[arg(long, env = "TONGHOP_CHECKPOINT_MS_MIN", default_value_t = 30_000)]
    pub checkpoint_ms_min: u64,

    /// Memory for answers that are given again while nothing new is known, in MiB; 0 remembers none
    #[arg(long, env = "TONGHOP_REMEMBERED_MIB_MAX", default_value_t = 32)]
    pub remembered_mib_max: usize,

    /// A feed that is silent for longer is given up and asked again, in milliseconds
    #[arg(long, env = "TONGHOP_SILENCE_MS_MAX", default_value_t = 10_000)]
    pub silence_ms_max: u64,

    /// A reader of a stream that takes nothing for longer is cut, in milliseconds
    #[arg(long, env = "TONGHOP_SLOW_READER_MS_MAX", default_value_t = 30_000)]
    pub slow_reader_ms_max: u64,

    /// Server, logs and stopping
    #[command(flatten)]
    pub server: ServerConfig,

    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Throw the checkpoint away, while nobody serves from it: the next start reads the log again
    Rebuild,
    /// Ask a running service
    #[command(flatten)]
    Ask(Ask),
}

impl Config {
    /// Settings of the follower.
    ///
    /// # Errors
    /// A file that is needed to connect cannot be read.
    pub fn follow(&self) -> Result<FollowConfig, String> {
        let files = self.client.files();
        let is_tls = self.ingest.scheme_str() == Some("https");
        if !is_tls && (files.authority.is_some() || files.identity.is_some()) {
            return Err("--ingest-ca and --ingest-cert go with an address that begins with https".to_owned());
        }
        let ingest = self.ingest.clone();
        let connect = move || {
            let endpoint = follow::endpoint(Endpoint::from(ingest.clone()));
            let endpoint = match is_tls {
                true => endpoint.tls_config(files.tls()?).map_err(|error| error.to_string())?,
                false => endpoint,
            };
            Ok(Connection { channel: endpoint.connect_lazy(), authorization: files.authorization()? })
        };
        // What is wrong with the files is said at the start and not in the dark.
        connect()?;
        Ok(FollowConfig {
            connect: Box::new(connect),
            store: self.store_id.map(StoreId),
            silence_max: Duration::from_millis(self.silence_ms_max),
            jitter: follow::full_jitter,
        })
    }
}
