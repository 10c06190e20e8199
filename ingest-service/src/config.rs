//! Settings of the ingest-service. Each is a flag and an environment variable; the flag wins.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use shared::{
    config::{ClientConfig, ServerConfig},
    side::ask::Ask,
};
use tonic::transport::Uri;

use crate::log::sled::SpaceMin;

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

    /// A follower that takes nothing for longer is cut, in milliseconds
    #[arg(long, env = "TONGHOP_SLOW_READER_MS_MAX", default_value_t = 30_000)]
    pub slow_reader_ms_max: u64,

    /// Writing stops while less than this is free on the disk of the store, in MiB; reading goes on. With 0 no ballast is
    /// kept either
    #[arg(long, env = "TONGHOP_FREE_MIB_MIN", default_value_t = 256)]
    pub free_mib_min: u64,

    /// The same in hundredths of the disk; whichever is more holds
    #[arg(long, env = "TONGHOP_FREE_PERCENT_MIN", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub free_percent_min: u8,

    /// A write to the disk that takes longer ends the process, in milliseconds; whoever starts it again may find another disk
    #[arg(long, env = "TONGHOP_STALL_MS_MAX", default_value_t = 20_000)]
    pub stall_ms_max: u64,

    /// Streams of reports
    #[command(flatten)]
    pub streams: StreamRules,

    /// Server, logs and stopping
    #[command(flatten)]
    pub server: ServerConfig,

    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What one stream of reports may take.
#[derive(Args, Clone, Copy, Debug)]
pub struct StreamRules {
    /// Reports that one stream may bring; after them the caller opens another one
    #[arg(long = "stream-reports-max", env = "TONGHOP_STREAM_REPORTS_MAX", default_value_t = 1_000_000)]
    pub reports_max: u64,

    /// Longest time a stream may bring no report, in milliseconds
    #[arg(long = "stream-silence-ms-max", env = "TONGHOP_STREAM_SILENCE_MS_MAX", default_value_t = 60_000)]
    pub silence_ms_max: u64,

    /// Longest time a stream of reports may be open, in milliseconds
    #[arg(long = "stream-age-ms-max", env = "TONGHOP_STREAM_AGE_MS_MAX", default_value_t = 3_600_000)]
    pub age_ms_max: u64,
}

impl StreamRules {
    /// Longest time that a stream may bring no report.
    pub fn silence_max(&self) -> Duration {
        Duration::from_millis(self.silence_ms_max)
    }

    /// Longest time that a stream may be open.
    pub fn age_max(&self) -> Duration {
        Duration::from_millis(self.age_ms_max)
    }
}

/// What can be done with a store that nobody serves, and asked of a service that runs.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a whole store to a file: every entry, verified against the chain
    Export {
        /// The file; "-" is the standard output
        #[arg(long, default_value = "-")]
        to: PathBuf,
    },
    /// Write what a running ingest-service has now to such a file
    Backup {
        /// Where it is
        #[arg(long, env = "TONGHOP_INGEST", default_value = "http://127.0.0.1:50051")]
        ingest: Uri,
        /// What it is shown
        #[command(flatten)]
        client: ClientConfig,
        /// The file; must not be there
        #[arg(long)]
        to: PathBuf,
    },
    /// Create a store from such a file, in a fresh directory: the same store with the same history
    Import {
        /// The file; "-" is the standard input
        #[arg(long, default_value = "-")]
        from: PathBuf,
        /// Restore only up to the last change that ends at this revision or before
        #[arg(long)]
        until: Option<u64>,
    },
    /// Read a whole store and verify every entry against the chain; says how much space it takes
    Verify,
    /// Copy the log into a fresh one and put that in its place: the same entries in less space
    Compact,
    /// Go on from here after a restore from an older backup: followers that know more, or a later epoch, are refused
    NewEpoch,
    /// What the side port is asked.
    #[command(flatten)]
    Ask(Ask),
}

impl Config {
    /// What must stay free.
    pub fn space_min(&self) -> SpaceMin {
        SpaceMin { bytes: self.free_mib_min.saturating_mul(1024 * 1024), percent: self.free_percent_min }
    }

    /// Longest time of a write.
    pub fn stall_max(&self) -> Duration {
        Duration::from_millis(self.stall_ms_max.max(1))
    }

    /// How long a follower may take nothing.
    pub fn slow_after(&self) -> Duration {
        Duration::from_millis(self.slow_reader_ms_max)
    }

    /// Time between progress marks.
    pub fn progress_interval(&self) -> Duration {
        Duration::from_millis(self.progress_ms.max(1))
    }
}
