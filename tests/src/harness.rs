//! The services as real processes.

use std::{
    env, fmt, fs, io,
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
const START_MAX: Duration = Duration::from_secs(300);
/// An end that takes longer has failed. SIGTERM may drain for up to 10 s.
const END_MAX: Duration = Duration::from_secs(60);

/// One of the two services as a process. It is killed when this goes out of scope.
#[derive(Debug)]
pub struct Service {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    /// Where its data is, if nobody else keeps it.
    data: Option<TempDir>,
}

/// A process that ended before it served.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it logged.
    pub log: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it does not start: {}\n{}", self.status, self.log)
    }
}

impl From<Ended> for String {
    fn from(ended: Ended) -> Self {
        ended.to_string()
    }
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
        Self::start_heard(name, arguments, &[], true)
    }

    /// The same with variables of its environment.
    ///
    /// # Errors
    /// [`Ended`] if it ends instead.
    pub fn start_in(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self, Ended> {
        Self::start_heard(name, arguments, environment, true)
    }

    /// Starts an ingest-service whose log nobody reads once it listens: the other end of its pipe is closed.
    ///
    /// # Errors
    /// [`Ended`] if it ends instead.
    pub fn start_unheard(data: &Path) -> Result<Self, Ended> {
        let data = data.to_str().expect("a path of ours is text");
        Self::start_heard(
            "ingest-service",
            &["--data", data, "--listen", FREE_PORT, "--free-mib-min", "0", "--free-percent-min", "0"],
            &[],
            false,
        )
    }

    fn start_heard(
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        is_heard: bool,
    ) -> Result<Self, Ended> {
        let mut child = Command::new(binary(name))
            .args(arguments)
            .args(["--log-format", "json"])
            .envs(environment.iter().copied())
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
            Ok(address) => Ok(Self { child, address, log, data: None }),
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

    /// Where its side port listens, if it has one.
    pub fn side_address(&self) -> Option<SocketAddr> {
        let lines = self.log();
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut of_side = lines.filter(|line| line["message"] == "the side port listens");
        of_side.find_map(|line| line["address"].as_str()?.parse().ok())
    }

    /// The same as a URI.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
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

    /// Kills it without waiting until it is gone.
    pub fn strike(&self) {
        // It may have ended by itself, which is as good.
        let _ = kill_process(self.process(), Signal::KILL);
    }

    /// Tells it to end, as an orchestrator does.
    pub fn tell_to_end(&self) {
        kill_process(self.process(), Signal::TERM).expect("it is ours");
    }

    fn process(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id")
    }

    /// Lets no file of it grow beyond so many bytes, as a disk does that has no more space.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn limit_file_bytes(&self, bytes_max: u64) {
        self.limit(Resource::Fsize, bytes_max);
    }

    /// Lets it have no more than so many bytes of addresses, as a machine does that has no more memory.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn limit_memory_bytes(&self, bytes_max: u64) {
        self.limit(Resource::As, bytes_max);
    }

    fn limit(&self, resource: Resource, max: u64) {
        let limit = Rlimit { current: Some(max), maximum: None };
        prlimit(Some(self.process()), resource, limit).expect("it is ours");
    }

    /// Lets it open so many files and connections beyond those that it has open now.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn limit_further_files(&self, further: u64) {
        let open = fs::read_dir(self.proc("fd")).expect("it runs").count() as u64;
        let limit = Rlimit { current: Some(open + further), maximum: Some(open + further) };
        prlimit(Some(self.process()), Resource::Nofile, limit).expect("it is ours");
    }

    /// Memory of it that is resident, in KiB.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The most memory of it that was resident at any time, in KiB.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn resident_kib_max(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse().expect("it is a number")
    }

    /// Time that it has spent on a core, in clock ticks.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(self.proc("stat")).expect("it runs");
        // The name of the process, in parentheses, may contain anything.
        let fields = stat.rsplit(')').next().expect("a split has parts").split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<u64>().expect("they are numbers")).sum()
    }

    fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.child.id()).into()
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn wait(mut self) -> Ended {
        self.wait_in_place()
    }

    /// The same for one that will be started again in its place.
    ///
    /// # Panics
    /// If it does not end.
    pub fn wait_in_place(&mut self) -> Ended {
        let start = Instant::now();
        while start.elapsed() < END_MAX {
            if let Some(status) = self.child.try_wait().expect("it was started") {
                return Ended { status, log: self.log().join("\n") };
            }
            std::thread::sleep(Duration::from_millis(2));
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
    let usual =
        ["--data", data, "--listen", listen, "--progress-ms", "200", "--free-mib-min", "0", "--free-percent-min", "0"];
    Service::start("ingest-service", &[&usual[..], settings].concat())
}

/// Starts a query-service.
///
/// # Panics
/// If it ends instead.
pub fn start_query(ingest: &str, listen: &str) -> Service {
    start_query_with(ingest, listen, &[])
}

/// Starts a query-service with further settings.
///
/// # Panics
/// If it ends instead.
pub fn start_query_with(ingest: &str, listen: &str, settings: &[&str]) -> Service {
    let data = TempDir::new().expect("a temporary directory can be made");
    let mut query = start_query_over(data.path(), ingest, listen, settings);
    query.data = Some(data);
    query
}

/// Starts a query-service over a directory with or without a checkpoint.
///
/// # Panics
/// If it ends instead.
pub fn start_query_over(data: &Path, ingest: &str, listen: &str, settings: &[&str]) -> Service {
    try_start_query_over(data, ingest, listen, settings)
        .unwrap_or_else(|ended| panic!("the query-service ended: {}", ended.log))
}

/// Starts a query-service that may refuse to.
///
/// # Errors
/// [`Ended`] if it ends instead.
pub fn try_start_query_over(data: &Path, ingest: &str, listen: &str, settings: &[&str]) -> Result<Service, Ended> {
    let data = data.to_str().expect("a path of ours is text");
    let usual = ["--data", data, "--ingest", ingest, "--listen", listen, "--silence-ms-max", "2000"];
    // Small worlds are saved all the time, so that every test is one of the checkpoint, too.
    let often = ["--checkpoint-ms-min", "20"];
    Service::start("query-service", &[&usual[..], &often, settings].concat())
}

/// Both services over one fresh store.
#[derive(Debug)]
pub struct Pair {
    /// Where the store is; gone with the pair.
    pub directory: TempDir,
    /// Where the checkpoint is; gone with the pair.
    pub query_data: TempDir,
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
        Self::start_with(&[], &[])
    }

    /// The same with further settings of each.
    ///
    /// # Panics
    /// If one of them does not start.
    pub fn start_with(ingest: &[&str], query: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let ingest = try_start_ingest_with(directory.path(), FREE_PORT, ingest);
        let ingest = ingest.unwrap_or_else(|ended| panic!("the ingest-service ended: {}", ended.log));
        let query_data = TempDir::new().expect("a temporary directory can be made");
        let query = start_query_over(query_data.path(), &ingest.uri(), FREE_PORT, query);
        Self { directory, query_data, ingest, query }
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
        self.query = start_query_over(self.query_data.path(), &self.ingest.uri(), &listen, &[]);
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

/// The shim that stands between a service and its files; goes into `LD_PRELOAD`.
pub fn faultfs() -> PathBuf {
    binary("libfaultfs.so")
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
    let packages = ["ingest-service", "query-service", "faultfs"].map(|name| ["--package", name]);
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile])
        .args(packages.concat())
        .current_dir(workspace())
        .status();
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
    run_in(name, arguments, &[])
}

/// The same with variables of its environment.
///
/// # Panics
/// If it cannot be started.
pub fn run_in(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(binary(name))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the service can be started")
}
