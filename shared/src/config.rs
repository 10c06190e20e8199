//! Settings that both services share. Each is a flag and an environment variable; the flag wins.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use crate::telemetry::LogFormat;

/// Settings of the gRPC server, of logs and of stopping.
#[derive(Args, Clone, Debug)]
pub struct ServerConfig {
    /// Accept plain text without authentication on an address that is not loopback
    #[arg(long, env = "TONGHOP_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,

    /// Longest time a unary call may take, in milliseconds; a call may ask for less
    #[arg(long, env = "TONGHOP_DEADLINE_MS_MAX", default_value_t = 30_000)]
    pub deadline_ms_max: u64,

    /// Longest time that calls may take to end after SIGTERM, in milliseconds
    #[arg(long, env = "TONGHOP_DRAIN_MS_MAX", default_value_t = 8_000)]
    pub drain_ms_max: u64,

    /// What is logged, such as "info" or "info,tonic=debug"
    #[arg(long, env = "TONGHOP_LOG", default_value = "info")]
    pub log: String,

    /// How log lines are written
    #[arg(long, env = "TONGHOP_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl ServerConfig {
    /// Longest time a unary call may take.
    pub fn deadline_max(&self) -> Duration {
        Duration::from_millis(self.deadline_ms_max)
    }

    /// Longest time that calls may take to end.
    pub fn drain_max(&self) -> Duration {
        Duration::from_millis(self.drain_ms_max)
    }

    /// Refuses to serve plain text to the world unless told so.
    ///
    /// # Errors
    /// The words to say it with.
    pub fn check_listen(&self, listen: SocketAddr) -> Result<(), String> {
        if listen.ip().is_loopback() || self.allow_plaintext {
            return Ok(());
        }
        Err(format!(
            "{listen} is not loopback, and this version has neither TLS nor authentication; \
             listen on 127.0.0.1, or say --allow-plaintext if the network around it is closed"
        ))
    }
}
