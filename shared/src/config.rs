//! Settings that both services share. Each is a flag and an environment variable; the flag wins.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use crate::{telemetry::LogFormat, tls::ClientFiles};

/// Settings of the gRPC server, of logs and of stopping.
#[derive(Args, Clone, Debug)]
pub struct ServerConfig {
    /// Accept plain text on an address that is not loopback
    #[arg(long, env = "TONGHOP_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,

    /// Ask nobody who he is on an address that is not loopback
    #[arg(long, env = "TONGHOP_ALLOW_ANONYMOUS")]
    pub allow_anonymous: bool,

    /// Certificates
    #[command(flatten)]
    pub tls: TlsConfig,

    /// Who may call
    #[command(flatten)]
    pub access: AccessConfig,

    /// Longest time a unary call may take, in milliseconds; a call may ask for less
    #[arg(long, env = "TONGHOP_DEADLINE_MS_MAX", default_value_t = 30_000)]
    pub deadline_ms_max: u64,

    /// Longest time that calls may take to end after SIGTERM, in milliseconds
    #[arg(long, env = "TONGHOP_DRAIN_MS_MAX", default_value_t = 8_000)]
    pub drain_ms_max: u64,

    /// What one process does at once, and for whom
    #[command(flatten)]
    pub load: LoadConfig,

    /// Address of the side port: liveness, readiness, metrics and what is logged, over HTTP; without it there is none
    #[arg(long, global = true, env = "TONGHOP_SIDE_LISTEN")]
    pub side_listen: Option<SocketAddr>,

    /// Where traces are sent, by OTLP over gRPC in plain text, such as "http://127.0.0.1:4317"; without it nothing is traced.
    /// The standard name of the variable, OTEL_EXPORTER_OTLP_ENDPOINT, is understood too
    #[arg(long, env = "TONGHOP_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,

    /// The same by its standard name
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide = true)]
    pub otel_exporter_otlp_endpoint: Option<String>,

    /// How many hundredths of the calls are traced of which the caller has not decided it
    #[arg(long, env = "TONGHOP_TRACE_PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub trace_percent: u8,

    /// What is logged, such as "info" or "info,tonic=debug"
    #[arg(long, env = "TONGHOP_LOG", default_value = "info")]
    pub log: String,

    /// How log lines are written
    #[arg(long, env = "TONGHOP_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What happens at which fault point; `fault_point` has the words
    #[cfg(debug_assertions)]
    #[arg(long, env = "FAILPOINTS", hide = true, default_value = "", hide_default_value = true)]
    pub fault_points: String,
}

/// Certificates of the server. The files are read again when they change.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsConfig {
    /// File with the server's certificate chain, PEM; with it, only TLS 1.3 is spoken
    #[arg(long, env = "TONGHOP_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// File with the key of that certificate, PEM
    #[arg(long, env = "TONGHOP_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// File with the authorities that certificates of clients may come from, PEM
    #[arg(long, env = "TONGHOP_TLS_CLIENT_CA")]
    pub tls_client_ca: Option<PathBuf>,

    /// Refuse connections of clients without such a certificate
    #[arg(long, env = "TONGHOP_TLS_CLIENT_REQUIRED")]
    pub tls_client_required: bool,
}

/// What an ingest-service is shown by whoever follows it.
#[derive(Args, Clone, Debug, Default)]
pub struct ClientConfig {
    /// File with the authorities that the ingest-service's certificate may come from, PEM; for an address with https
    #[arg(long, env = "TONGHOP_INGEST_CA")]
    pub ingest_ca: Option<PathBuf>,

    /// File with the certificate that is shown to the ingest-service, PEM
    #[arg(long, env = "TONGHOP_INGEST_CERT", requires = "ingest_key")]
    pub ingest_cert: Option<PathBuf>,

    /// File with the key of that certificate, PEM
    #[arg(long, env = "TONGHOP_INGEST_KEY", requires = "ingest_cert")]
    pub ingest_key: Option<PathBuf>,

    /// File with the token that is shown to the ingest-service
    #[arg(long, env = "TONGHOP_INGEST_TOKEN_FILE")]
    pub ingest_token_file: Option<PathBuf>,
}

impl ClientConfig {
    /// The files that it names.
    pub fn files(&self) -> ClientFiles {
        ClientFiles {
            authority: self.ingest_ca.clone(),
            identity: self.ingest_cert.clone().zip(self.ingest_key.clone()),
            token: self.ingest_token_file.clone(),
        }
    }
}

/// Who may call. The files are read again when they change.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessConfig {
    /// File of principals: digests of tokens and certificates, with roles and units, JSON
    #[arg(long, env = "TONGHOP_PRINCIPALS")]
    pub principals: Option<PathBuf>,

    /// File with the public keys that sign JSON web tokens, Ed25519 or RSA, PEM
    #[arg(long, env = "TONGHOP_JWT_KEYS")]
    pub jwt_keys: Option<PathBuf>,

    /// The issuer that such tokens have to come from
    #[arg(long, env = "TONGHOP_JWT_ISSUER")]
    pub jwt_issuer: Option<String>,

    /// The audience that such tokens have to be for
    #[arg(long, env = "TONGHOP_JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
}

/// How much one process takes on at once. What goes beyond is refused at once or after a short wait, so that what was taken
/// on is finished.
#[derive(Args, Clone, Debug)]
pub struct LoadConfig {
    /// Questions that are worked on at once; more than there are cores gain nothing
    #[arg(long, env = "TONGHOP_WORK_MAX", default_value_t = cores())]
    pub work_max: usize,

    /// Questions that wait for their turn; beyond it the one that has waited longest is refused
    #[arg(long, env = "TONGHOP_QUEUE_MAX", default_value_t = 64)]
    pub queue_max: usize,

    /// Longest time that a question waits for its turn, in milliseconds
    #[arg(long, env = "TONGHOP_QUEUE_MS_MAX", default_value_t = 1_000)]
    pub queue_ms_max: u64,

    /// Open unary calls that read, those that wait included
    #[arg(long, env = "TONGHOP_READS_MAX", default_value_t = 256)]
    pub reads_max: usize,

    /// Open unary calls that write; most of them wait for the disk, which takes what has queued up in one go
    #[arg(long, env = "TONGHOP_WRITES_MAX", default_value_t = 1_024)]
    pub writes_max: usize,

    /// Open streams, other than those of followers and health
    #[arg(long, env = "TONGHOP_STREAMS_MAX", default_value_t = 256)]
    pub streams_max: usize,

    /// Open connections; further ones wait to be accepted
    #[arg(long, env = "TONGHOP_CONNECTIONS_MAX", default_value_t = 10_000)]
    pub connections_max: usize,

    /// Open connections from one address; further ones are closed
    #[arg(long, env = "TONGHOP_ADDRESS_CONNECTIONS_MAX", default_value_t = 2_000)]
    pub address_connections_max: usize,

    /// A new connection that has not brought a request by then is closed, in milliseconds
    #[arg(long, env = "TONGHOP_FIRST_REQUEST_MS_MAX", default_value_t = 10_000)]
    pub first_request_ms_max: u64,

    /// A connection is renewed after about that time, in milliseconds; calls that are open may end
    #[arg(long, env = "TONGHOP_CONNECTION_MS_MAX", default_value_t = 3_600_000)]
    pub connection_ms_max: u64,

    /// Longest time that calls of a connection to be renewed may take to end, in milliseconds
    #[arg(long, env = "TONGHOP_CONNECTION_GRACE_MS_MAX", default_value_t = 300_000)]
    pub connection_grace_ms_max: u64,
}

/// What the machine can do at once.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Default for LoadConfig {
    /// As the flags are when none is given.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            load: LoadConfig,
        }
        <Flags as clap::Parser>::parse_from([""]).load
    }
}

impl LoadConfig {
    /// Longest time that a question waits for its turn.
    pub fn queue_wait_max(&self) -> Duration {
        Duration::from_millis(self.queue_ms_max)
    }

    /// Longest time that a new connection may stay without a request.
    pub fn first_request_max(&self) -> Duration {
        Duration::from_millis(self.first_request_ms_max)
    }

    /// After that long a connection is renewed.
    pub fn connection_max(&self) -> Duration {
        Duration::from_millis(self.connection_ms_max)
    }

    /// Longest time that its calls may take to end.
    pub fn connection_grace_max(&self) -> Duration {
        Duration::from_millis(self.connection_grace_ms_max)
    }
}

impl ServerConfig {
    /// Where traces are sent, if anywhere.
    pub fn otlp_endpoint(&self) -> Option<&str> {
        let named = self.otlp_endpoint.as_deref().or(self.otel_exporter_otlp_endpoint.as_deref());
        named.filter(|endpoint| !endpoint.is_empty())
    }

    /// Longest time a unary call may take.
    pub fn deadline_max(&self) -> Duration {
        Duration::from_millis(self.deadline_ms_max)
    }

    /// Longest time that calls may take to end.
    pub fn drain_max(&self) -> Duration {
        Duration::from_millis(self.drain_ms_max)
    }

    /// Refuses to serve the world unprotected unless told so.
    ///
    /// # Errors
    /// The words to say it with.
    pub fn check_listen(&self, listen: SocketAddr) -> Result<(), String> {
        if listen.ip().is_loopback() {
            return Ok(());
        }
        if self.tls.tls_cert.is_none() && !self.allow_plaintext {
            return Err(format!(
                "{listen} is not loopback, and there is no TLS; give --tls-cert and --tls-key, listen on 127.0.0.1, or say \
                 --allow-plaintext if the network around it is closed"
            ));
        }
        if self.access.principals.is_none() && self.access.jwt_keys.is_none() && !self.allow_anonymous {
            return Err(format!(
                "{listen} is not loopback, and nobody is asked who he is; give --principals or --jwt-keys, listen on \
                 127.0.0.1, or say --allow-anonymous if everybody who reaches it may do everything"
            ));
        }
        Ok(())
    }
}
