//! Both services over a fresh store with the register in it, and what can be done with them from outside.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use proto::v1::{
    DefineIndicatorsRequest, QueryServiceGetUnitRequest, RegisterUnitsRequest,
    query_service_client::QueryServiceClient, registry_service_client::RegistryServiceClient,
};
use tempfile::TempDir;
use tonic::{Code, Status, transport::Channel};

use super::{
    latency::per_second,
    question::Asked,
    submit::{self, Encoded},
};
use crate::{
    harness::{self, FREE_PORT, Service, start_ingest, workspace},
    workload::{COMPLETE_FROM, Workload},
};

/// Units in one request: the most that fit into a message.
const UNITS_A_REQUEST: usize = 10_000;
/// Reports that are encoded before they are sent, so that the sender's work is not in the time.
const REPORTS_AT_ONCE: usize = 50_000;
/// A query-service that is not ready by then has failed.
const READY_MAX: Duration = Duration::from_secs(600);

/// Both services, and what is in them.
#[derive(Debug)]
pub struct Stage {
    /// What is in them.
    pub load: Workload,
    /// The ingest-service.
    pub ingest: Service,
    /// The query-service.
    pub query: Service,
    /// Revision of the newest entry.
    pub newest: i64,
    directory: TempDir,
}

/// What came in, and how long it took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loaded {
    /// Reports.
    pub reports: u64,
    /// Observations in them.
    pub observations: u64,
    /// From the first report to the last receipt, over all batches.
    pub took: Duration,
    /// First and last revision.
    pub revisions: (i64, i64),
}

impl Loaded {
    /// Reports a second.
    pub fn reports_per_second(&self) -> u64 {
        per_second(self.reports, self.took)
    }

    /// Observations a second.
    pub fn observations_per_second(&self) -> u64 {
        per_second(self.observations, self.took)
    }
}

impl Stage {
    /// Starts both and registers the units and indicators.
    ///
    /// # Errors
    /// A refusal; no place on the disk.
    pub async fn start(load: Workload) -> Result<Self, Box<dyn Error>> {
        let target = workspace().join("target");
        let directory = tempfile::Builder::new().prefix("national-").tempdir_in(target)?;
        let ingest = start_ingest(&directory.path().join("ingest"), FREE_PORT);
        let query = start_query(&ingest.uri(), &directory.path().join("query"), &[]);
        let mut registry = RegistryServiceClient::new(submit::connection(&ingest));
        let units: Vec<_> = load.register().collect();
        for units in units.chunks(UNITS_A_REQUEST) {
            let request = RegisterUnitsRequest { units: units.to_vec(), ..Default::default() };
            registry.register_units(request).await?;
        }
        let request = RegisterUnitsRequest { complete_from: COMPLETE_FROM.to_owned(), ..Default::default() };
        registry.register_units(request).await?;
        let request = DefineIndicatorsRequest { indicators: load.indicators(), ..Default::default() };
        let newest = registry.define_indicators(request).await?.into_inner().revision;
        let stage = Self { load, ingest, query, newest, directory };
        ready(&stage.query, newest).await?;
        Ok(stage)
    }

    /// Loads every quarter of the workload.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn fill(&mut self) -> Result<Loaded, Box<dyn Error>> {
        let at_once = REPORTS_AT_ONCE / self.load.parts();
        let mut loaded = Loaded { revisions: (self.newest + 1, self.newest), ..Loaded::default() };
        for quarter in 0..self.load.size.quarters {
            for first in (0..self.load.size.units).step_by(at_once) {
                let units = first..(first + at_once).min(self.load.size.units);
                let encoded = Encoded::of(&self.load, quarter, units);
                loaded.observations += encoded.observations;
                loaded.reports += u64::try_from(encoded.requests.len())?;
                let (took, newest) = submit::all(submit::connection(&self.ingest), encoded.requests).await?;
                loaded.took += took;
                self.newest = newest;
            }
        }
        loaded.revisions.1 = self.newest;
        ready(&self.query, self.newest).await?;
        Ok(loaded)
    }

    /// Where the ingest-service has its store.
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("ingest")
    }

    /// A directory for something else.
    pub fn aside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A client of the query-service with a connection of its own.
    pub fn questions(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(submit::connection(&self.query))
    }

    /// Asks each question, and compares the rows with those of plain arithmetic.
    ///
    /// # Errors
    /// A refusal, or a wrong answer.
    pub async fn check(&self, questions: &[Asked]) -> Result<(), Box<dyn Error>> {
        for asked in questions {
            let rows = asked.question.ask(&mut self.questions()).await?.rows();
            if rows.is_empty() || rows != asked.expected {
                let different = rows.iter().zip(&asked.expected).find(|(row, expected)| row != expected);
                let (name, count, expected) = (asked.name, rows.len(), asked.expected.len());
                return Err(format!("{name} is wrong: {count} rows for {expected}; first {different:?}").into());
            }
        }
        Ok(())
    }

    /// Ends the query-service and starts it again where it was. Answers how long it took until it was ready.
    ///
    /// # Errors
    /// It is not ready.
    pub async fn restart_query(&mut self) -> Result<Duration, Box<dyn Error>> {
        self.restart_query_with(&[]).await
    }

    /// The same as one that remembers no answers: it computes every answer anew.
    ///
    /// # Errors
    /// It is not ready.
    pub async fn restart_forgetful(&mut self) -> Result<Duration, Box<dyn Error>> {
        self.restart_query_with(&["--remembered-mib-max", "0"]).await
    }

    async fn restart_query_with(&mut self, settings: &[&str]) -> Result<Duration, Box<dyn Error>> {
        let data = self.directory.path().join("query");
        self.query.tell_to_end();
        self.query.wait_in_place();
        let start = Instant::now();
        self.query = start_query(&self.ingest.uri(), &data, settings);
        ready(&self.query, self.newest).await?;
        Ok(start.elapsed())
    }

    /// Starts another query-service with nothing on its disk. Answers how long it took until it was ready.
    ///
    /// # Errors
    /// It is not ready.
    pub async fn rebuild_query(&self) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        let query = start_query(&self.ingest.uri(), &self.aside("rebuilt"), &[]);
        ready(&query, self.newest).await?;
        Ok(start.elapsed())
    }

    /// Ends the ingest-service and starts it again where it was. Answers how long it took until it listened.
    pub fn restart_ingest(&mut self) -> Duration {
        let listen = self.ingest.address().to_string();
        self.ingest.tell_to_end();
        self.ingest.wait_in_place();
        let start = Instant::now();
        self.ingest = start_ingest(&self.store(), &listen);
        start.elapsed()
    }

    /// Ends both services; the store stays.
    pub fn end(&mut self) {
        for service in [&mut self.query, &mut self.ingest] {
            service.tell_to_end();
            service.wait_in_place();
        }
    }
}

/// Memory of a process that is in use, in bytes.
///
/// # Errors
/// The process is gone.
pub fn resident_bytes(service: &Service) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

fn start_query(ingest: &str, data: &Path, settings: &[&str]) -> Service {
    harness::start_query_over(data, ingest, FREE_PORT, &[&["--checkpoint-ms-min", "30000"], settings].concat())
}

/// Waits until a query-service answers, and knows that revision.
async fn ready(query: &Service, revision: i64) -> Result<(), Box<dyn Error>> {
    let mut client = QueryServiceClient::new(submit::connection(query));
    let request = QueryServiceGetUnitRequest { id: "vn".into(), at_least_revision: Some(revision), on: String::new() };
    let start = Instant::now();
    loop {
        match client.get_unit(request.clone()).await {
            Ok(_) => return Ok(()),
            Err(status) if is_early(&status) && start.elapsed() < READY_MAX => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

fn is_early(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}
