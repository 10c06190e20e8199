//! Settings of the ingest-service. Each is a flag and an environment variable; the flag wins.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use shared::config::ServerConfig;

/// Accepts reports and stores them durably; query-services follow it
#[derive(Clone, Debug, Parser)]
#[command(version, args_override_self = true)]
pub struct Config {
    /// Address of the gRPC server
    #[arg(long, env = "TONGHOP_LISTEN", default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,

    /// Directory of the store; created if it is not there
    #[arg(long, global = true, env = "TONGHOP_DATA", default_value = "data/ingest")]
    pub data: PathBuf,

    /// Time between progress marks of an idle feed, in milliseconds
    #[arg(long, env = "TONGHOP_PROGRESS_MS", default_value_t = 1_000)]
    pub progress_ms: u64,

    /// Writing stops while less than this is free on the disk of the store, in MiB; reading goes on
    #[arg(long, env = "TONGHOP_FREE_MIB_MIN", default_value_t = 256)]
    pub free_mib_min: u64,

    /// Server, logs and stopping
    #[command(flatten)]
    pub server: ServerConfig,

    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done with a store that nobody serves.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a whole store to a file: every entry, verified against the chain
    Export {
        /// The file; "-" is the standard output
        #[arg(long, default_value = "-")]
        to: PathBuf,
    },
    /// Create a store from such a file, in a fresh directory: the same store with the same history
    Import {
        /// The file; "-" is the standard input
        #[arg(long, default_value = "-")]
        from: PathBuf,
    },
}

impl Config {
    /// Bytes that must stay free.
    pub fn free_bytes_min(&self) -> u64 {
        self.free_mib_min.saturating_mul(1024 * 1024)
    }

    /// Time between progress marks.
    pub fn progress_interval(&self) -> Duration {
        Duration::from_millis(self.progress_ms.max(1))
    }
}
