//! The services as real processes.

use std::{
    env, io,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use proto::v1::{
    feed_service_client::FeedServiceClient, ingest_service_client::IngestServiceClient,
    query_service_client::QueryServiceClient, registry_service_client::RegistryServiceClient,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// Any address of this machine on a free port.
pub const FREE_PORT: &str = "127.0.0.1:0";
/// A start that takes longer has failed.
const START_MAX: Duration = Duration::from_secs(60);
/// An end that takes longer has failed. SIGTERM may drain for up to 10 s.
const END_MAX: Duration = Duration::from_secs(60);

/// One of the two services as a process. It is killed when this goes out of scope.
#[derive(Debug)]
pub struct Service {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

/// A process that ended before it served.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it logged.
    pub log: String,
}

impl Service {
    /// Starts a service and waits until it listens.
    ///
    /// # Errors
    /// [`Ended`] if it ends instead.
    ///
    /// # Panics
    /// If it cannot be started, or neither listens nor ends.
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self, Ended> {
        Self::start_heard(name, arguments, true)
    }

    /// Starts an ingest-service whose log nobody reads once it listens: the other end of its pipe is closed.
    ///
    /// # Errors
    /// [`Ended`] if it ends instead.
    pub fn start_unheard(data: &Path) -> Result<Self, Ended> {
        let data = data.to_str().expect("a path of ours is text");
        Self::start_heard("ingest-service", &["--data", data, "--listen", FREE_PORT, "--free-mib-min", "0"], false)
    }

    fn start_heard(name: &str, arguments: &[&str], is_heard: bool) -> Result<Self, Ended> {
        let mut child = Command::new(binary(name))
            .args(arguments)
            .args(["--log-format", "json"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (listening, listens) = mpsc::channel();
        let stderr = child.stderr.take().expect("it is piped");
        let lines = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(io::Result::ok) {
                if let Some(address) = listening_on(&line) {
                    // Nobody waits any more if the start has failed.
                    let _ = listening.send(address);
                    if !is_heard {
                        return;
                    }
                }
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        match listens.recv_timeout(START_MAX) {
            Ok(address) => Ok(Self { child, address, log }),
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait().expect("it was started");
                let log = log.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
                Err(Ended { status, log })
            }
            Err(RecvTimeoutError::Timeout) => panic!("{name} neither listens nor ends"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URI.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has logged.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection that is made when it is used, and made again when it breaks.
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(self.uri()).expect("an address is a URI").connect_lazy()
    }

    /// Ends it without warning, as kill -9 does.
    pub fn kill(mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Tells it to end, as an orchestrator does.
    pub fn tell_to_end(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(pid, Signal::TERM).expect("it is ours");
    }

    /// Lets no file of it grow beyond so many bytes, as a disk does that has no more space.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn limit_file_bytes(&self, bytes_max: u64) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        let limit = Rlimit { current: Some(bytes_max), maximum: None };
        prlimit(Some(pid), Resource::Fsize, limit).expect("it is ours");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn wait(mut self) -> Ended {
        let start = Instant::now();
        while start.elapsed() < END_MAX {
            if let Some(status) = self.child.try_wait().expect("it was started") {
                return Ended { status, log: self.log().join("\n") };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end; it has logged: {:?}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the log line that says where a service listens.
fn listening_on(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line.get("message")? != "listening" {
        return None;
    }
    line.get("address")?.as_str()?.parse().ok()
}

/// Starts an ingest-service.
///
/// # Panics
/// If it ends instead.
pub fn start_ingest(data: &Path, listen: &str) -> Service {
    try_start_ingest(data, listen).unwrap_or_else(|ended| panic!("the ingest-service ended: {}", ended.log))
}

/// Starts an ingest-service that may refuse to.
///
/// # Errors
/// [`Ended`] if it ends instead.
pub fn try_start_ingest(data: &Path, listen: &str) -> Result<Service, Ended> {
    try_start_ingest_with(data, listen, &[])
}

/// Starts an ingest-service with further settings.
///
/// # Errors
/// [`Ended`] if it ends instead.
pub fn try_start_ingest_with(data: &Path, listen: &str, settings: &[&str]) -> Result<Service, Ended> {
    let data = data.to_str().expect("a path of ours is text");
    // Tests share their disk with others; those about a full one say how much must stay free.
    let usual = ["--data", data, "--listen", listen, "--progress-ms", "200", "--free-mib-min", "0"];
    Service::start("ingest-service", &[&usual[..], settings].concat())
}

/// Starts a query-service.
///
/// # Panics
/// If it ends instead.
pub fn start_query(ingest: &str, listen: &str) -> Service {
    let arguments = ["--ingest", ingest, "--listen", listen, "--silence-ms-max", "2000"];
    Service::start("query-service", &arguments).unwrap_or_else(|ended| panic!("the query-service ended: {}", ended.log))
}

/// Both services over one fresh store.
#[derive(Debug)]
pub struct Pair {
    /// Where the store is; gone with the pair.
    pub directory: TempDir,
    /// The ingest-service.
    pub ingest: Service,
    /// The query-service.
    pub query: Service,
}

impl Pair {
    /// Starts both on free ports and fresh data.
    ///
    /// # Panics
    /// If one of them does not start.
    pub fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let ingest = start_ingest(directory.path(), FREE_PORT);
        let query = start_query(&ingest.uri(), FREE_PORT);
        Self { directory, ingest, query }
    }

    /// Kills the ingest-service without warning and starts it again where it was.
    pub fn restart_ingest(&mut self) {
        let listen = self.ingest.address().to_string();
        // The old one is gone before the new one opens its store.
        let _ = self.ingest.child.kill();
        let _ = self.ingest.child.wait();
        self.ingest = start_ingest(self.directory.path(), &listen);
    }

    /// Ends the ingest-service, and starts one over another directory where it was, after something was done.
    ///
    /// # Panics
    /// If it does not end or not start.
    pub fn move_store(&mut self, directory: TempDir, data: &Path, work: impl FnOnce(&Path)) {
        let listen = self.ingest.address().to_string();
        self.ingest.tell_to_end();
        let _ = self.ingest.child.wait();
        work(self.directory.path());
        self.ingest = start_ingest(data, &listen);
        self.directory = directory;
    }

    /// Kills the query-service without warning and starts it again where it was.
    pub fn restart_query(&mut self) {
        let listen = self.query.address().to_string();
        let _ = self.query.child.kill();
        let _ = self.query.child.wait();
        self.query = start_query(&self.ingest.uri(), &listen);
    }

    /// Client of the RegistryService.
    pub fn registry(&self) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(self.ingest.channel())
    }

    /// Client of the IngestService.
    pub fn reports(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.ingest.channel())
    }

    /// Client of the FeedService.
    pub fn feed(&self) -> FeedServiceClient<Channel> {
        FeedServiceClient::new(self.ingest.channel())
    }

    /// Client of the QueryService.
    pub fn queries(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.query.channel())
    }
}

/// The binary of a service, built as this one was.
fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(name)
}

/// Builds both services and says where they are. `cargo test` builds no binaries of other packages.
///
/// # Panics
/// If they cannot be built.
fn build() -> PathBuf {
    let this = env::current_exe().expect("a process knows its own file");
    let directory = this.parent().expect("a file is in a directory");
    let directory = if directory.ends_with("deps") { directory.parent().expect("deps is in one") } else { directory };
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("release") => "release",
        _ => "dev",
    };
    let arguments =
        ["build", "--quiet", "--profile", profile, "--package", "ingest-service", "--package", "query-service"];
    let built = Command::new(env!("CARGO")).args(arguments).current_dir(workspace()).status();
    assert!(built.expect("cargo can be run").success(), "the services cannot be built");
    directory.to_owned()
}

/// The top of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in the workspace")
}

/// What a service prints when it is asked for help.
///
/// # Panics
/// If it cannot be started.
pub fn help(name: &str) -> String {
    String::from_utf8(run(name, &["--help"]).stdout).expect("help is text")
}

/// Runs the binary of a service to its end.
///
/// # Panics
/// If it cannot be started.
pub fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(binary(name)).args(arguments).output().expect("the service can be started")
}
