//! Callers that write and remember: reports, corrections, registrations of several units; now and then one repeats what was
//! acknowledged, or expects a revision that is not the newest.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use proto::v1::{
    DefineIndicatorsRequest, RegisterUnitsRequest, SubmitReportRequest, indicator::ValueKind,
    ingest_service_client::IngestServiceClient, registry_service_client::RegistryServiceClient, unit::Level,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{faults::journal::Moment, harness::Service};
use tonic::{Code, Status, transport::Channel};

use super::model::{Acknowledged, Content, Known, Model};
use crate::support::{FLAG, flag_report, indicator, reason, unit};

/// A call that takes longer hangs.
const CALL_MAX: Duration = Duration::from_secs(60);

/// Tells when a receipt has come.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// What every caller knows of all of them.
pub type Shared = Arc<Mutex<Model>>;

/// How a writer's turn ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// It has done what it was to do.
    Done,
    /// The service is gone, or says that it cannot write.
    Gone(Code, String),
    /// The service did what it must not do.
    Broken(String),
}

/// One caller.
#[derive(Debug)]
pub struct Writer {
    number: u64,
    random: StdRng,
    /// Not acknowledged yet: made again until it is.
    pending: Option<(String, Content)>,
    /// Its reports, each with its newest revision.
    reports: Vec<(String, String, i64)>,
    /// Its receipts.
    receipts: Vec<(String, Content, i64)>,
}

impl Writer {
    /// Writers whose choices follow from the seed.
    pub fn several(seed: u64, count: u64) -> Vec<Self> {
        let writer = |number| Self {
            number,
            random: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number)),
            pending: None,
            reports: Vec::new(),
            receipts: Vec::new(),
        };
        (0..count).map(writer).collect()
    }

    /// Makes so many requests, or as many as the service lives to hear.
    async fn work(&mut self, channel: Channel, shared: &Shared, clock: &Clock, count: usize) -> End {
        for _ in 0..count {
            let (request, content) = self.pending.take().unwrap_or_else(|| self.choose());
            let end = self.make(&channel, shared, clock, request, content).await;
            if end != End::Done {
                return end;
            }
        }
        End::Done
    }

    /// Something new, or something again.
    fn choose(&mut self) -> (String, Content) {
        let request = new_id(&mut self.random);
        let choice = self.random.random_range(0..20);
        let known = (!self.reports.is_empty()).then(|| self.random.random_range(0..self.reports.len()));
        let content = match (choice, known) {
            (0..3, Some(known)) => {
                let (unit, title, newest) = self.reports[known].clone();
                Content::Report { unit, title, flag: self.random.random(), expected: newest }
            }
            (3..5, Some(known)) => {
                let (unit, title, newest) = self.reports[known].clone();
                // Too old, or beyond the end.
                let expected = if self.random.random() { 0 } else { newest + 1_000_000 };
                Content::Report { unit, title, flag: self.random.random(), expected }
            }
            (5..8, _) => {
                let count = self.random.random_range(2..5);
                Content::Units((0..count).map(|place| format!("u{}-{place}", &request[..13])).collect())
            }
            (8..10, _) if !self.receipts.is_empty() => {
                let again = self.random.random_range(0..self.receipts.len());
                let (request, content, _) = self.receipts[again].clone();
                return (request, content);
            }
            _ => {
                let unit = format!("c{}", self.random.random_range(0..5));
                let title = format!("{}/{request}", self.number);
                Content::Report { unit, title, flag: self.random.random(), expected: 0 }
            }
        };
        (request, content)
    }

    async fn make(
        &mut self,
        channel: &Channel,
        shared: &Shared,
        clock: &Clock,
        request: String,
        content: Content,
    ) -> End {
        let known = Known { content: content.clone(), acknowledged: None };
        shared.lock().unwrap().requests.entry(request.clone()).or_insert(known);
        let refusal_expected = self.must_be_refused(&request, &content);
        match call(channel, &request, &content).await {
            Ok(_) if refusal_expected => End::Broken(format!("{content:?} was accepted")),
            Ok(revision) => self.note(shared, clock, request, content, revision),
            Err(status) if refusal_expected && reason(&status) == "REVISION_CONFLICT" => End::Done,
            Err(status) => match status.code() {
                Code::Unavailable
                | Code::Unknown
                | Code::Cancelled
                | Code::Internal
                | Code::ResourceExhausted
                | Code::DeadlineExceeded => {
                    if !refusal_expected {
                        self.pending = Some((request, content));
                    }
                    End::Gone(status.code(), reason(&status))
                }
                _ => End::Broken(format!("{content:?} was refused: {status}")),
            },
        }
    }

    /// Whether it expects a revision that is not the newest, and is not a repetition.
    fn must_be_refused(&self, request: &str, content: &Content) -> bool {
        let is_again = self.receipts.iter().any(|(earlier, ..)| earlier == request);
        match content {
            Content::Report { title, expected, .. } if !is_again => {
                let newest = self.reports.iter().find(|(_, known, _)| known == title).map_or(0, |(.., newest)| *newest);
                *expected != newest
            }
            Content::Report { .. } | Content::Units(_) | Content::Indicator => false,
        }
    }

    fn note(&mut self, shared: &Shared, clock: &Clock, request: String, content: Content, revision: i64) -> End {
        let at = clock();
        let mut model = shared.lock().unwrap();
        let known = model.requests.get_mut(&request).expect("it was noted before");
        match known.acknowledged {
            Some(before) if before.revision != revision => {
                let before = before.revision;
                return End::Broken(format!(
                    "{request} was acknowledged at revision {before}, and again at {revision}"
                ));
            }
            Some(_) => return End::Done,
            None => known.acknowledged = Some(Acknowledged { revision, at }),
        }
        if let Content::Report { unit, title, .. } = &content {
            self.reports.retain(|(_, known, _)| known != title);
            self.reports.push((unit.clone(), title.clone(), revision));
        }
        self.receipts.push((request, content, revision));
        End::Done
    }
}

/// A request id that follows from the seed.
fn new_id(random: &mut StdRng) -> String {
    uuid::Builder::from_random_bytes(random.random()).into_uuid().to_string()
}

/// Makes a call; answers the revision of its receipt.
async fn call(channel: &Channel, request: &str, content: &Content) -> Result<i64, Status> {
    let request_id = request.to_owned();
    let call = async {
        match content {
            Content::Units(ids) => {
                let registered = ids.iter().map(|id| match id.as_str() {
                    "vn" => unit(id, Level::Country, ""),
                    "p" => unit(id, Level::Province, "vn"),
                    "d" => unit(id, Level::District, "p"),
                    _ => unit(id, Level::Commune, "d"),
                });
                let request = RegisterUnitsRequest { units: registered.collect(), request_id, ..Default::default() };
                let answer = RegistryServiceClient::new(channel.clone()).register_units(request).await?;
                Ok(answer.into_inner().revision)
            }
            Content::Indicator => {
                let indicators = vec![indicator(FLAG, ValueKind::Flag)];
                let request = DefineIndicatorsRequest { indicators, request_id, ..Default::default() };
                let answer = RegistryServiceClient::new(channel.clone()).define_indicators(request).await?;
                Ok(answer.into_inner().revision)
            }
            Content::Report { unit, title, flag, expected } => {
                let report = flag_report(unit, title, *flag);
                let request = SubmitReportRequest { request_id, expected_revision: Some(*expected), ..report };
                let answer = IngestServiceClient::new(channel.clone()).submit_report(request).await?;
                Ok(answer.into_inner().revision.unwrap_or_default())
            }
        }
    };
    let late = |_| Err(Status::data_loss("the call hangs"));
    tokio::time::timeout(CALL_MAX, call).await.unwrap_or_else(late)
}

/// Registers what reports need, if it is not there.
pub async fn settle_in(service: &Service, shared: &Shared, clock: &Clock) -> End {
    // Under the same ids each time.
    let mut writer = Writer::several(0, 1).remove(0);
    let world = ["vn", "p", "d", "c0", "c1", "c2", "c3", "c4"].map(str::to_owned).to_vec();
    for content in [Content::Units(world), Content::Indicator] {
        let request = new_id(&mut writer.random);
        let end = writer.make(&service.channel(), shared, clock, request, content).await;
        if end != End::Done {
            return end;
        }
    }
    End::Done
}

/// Lets all of them make so many requests each, at once; answers how their turns ended.
pub async fn work(
    service: &Service,
    writers: &mut Vec<Writer>,
    shared: &Shared,
    clock: &Clock,
    count: usize,
) -> Vec<End> {
    let mut tasks = tokio::task::JoinSet::new();
    let channel = service.channel();
    for mut writer in writers.drain(..) {
        let (channel, shared, clock) = (channel.clone(), shared.clone(), clock.clone());
        tasks.spawn(async move {
            let end = writer.work(channel, &shared, &clock, count).await;
            (writer, end)
        });
    }
    let (worked, ends): (Vec<Writer>, Vec<End>) = tasks.join_all().await.into_iter().unzip();
    *writers = worked;
    writers.sort_by_key(|writer| writer.number);
    ends
}

/// The first thing that must not have happened.
pub fn broken(ends: &[End]) -> Option<String> {
    ends.iter().find_map(|end| match end {
        End::Broken(what) => Some(what.clone()),
        End::Done | End::Gone(..) => None,
    })
}
