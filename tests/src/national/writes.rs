//! How fast reports become durable and visible, beside bare sled and the empty RPC.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use prost::bytes::Bytes;
use proto::v1::{GetShareRequest, query_service_client::QueryServiceClient};
use tokio::{sync::Mutex, task::JoinSet, time::MissedTickBehavior};
use tonic::{Status, transport::Channel};

use super::{
    answers::empty_rate,
    canned::Canned,
    disk,
    goals::{Bound, Goals, Milli},
    latency::{Times, micros, per_second},
    question::{self, Question},
    stage::{Loaded, Stage},
    submit::{self, Encoded, Stream},
};
use crate::workload::Workload;

/// Clients that submit at the same time, each one report after the other.
const CLIENTS: usize = 64;
/// Connections that they share.
const CONNECTIONS: usize = 8;
/// Reports that are sent together at half the peak rate.
const TICK: Duration = Duration::from_millis(5);
/// Values that are written again into bare sled, in bytes.
const REPLAYED_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Values in one commit of bare sled; the fastest counts.
const GROUPS: [usize; 3] = [4, 16, 64];

/// What was written by single calls.
#[derive(Clone, Copy, Debug)]
pub struct Writes {
    /// All of it.
    unary: Loaded,
    /// Empty RPCs a second.
    empty: u64,
}

/// Single calls of many clients, then a stream at half the peak rate with an eye on when its reports are visible.
///
/// # Errors
/// A refusal.
pub async fn measure(
    stage: &mut Stage,
    canned: &Canned,
    loaded: &Loaded,
    lasting: Duration,
    goals: &mut Goals,
) -> Result<Writes, Box<dyn Error>> {
    let peak = loaded.reports_per_second();
    let empty = empty_rate(canned, lasting).await?;
    // What the service cannot do it is not given.
    let count = usize::try_from(empty.min(peak) * lasting.as_secs())?;
    let mut quarter = stage.load.size.quarters;
    let encoded = further(&stage.load, &mut quarter, count);
    let unary = unary(stage, encoded).await?;
    stage.newest = unary.revisions.1;
    visible(stage, peak / 2, lasting, &mut quarter, goals).await?;
    Ok(Writes { unary, empty })
}

/// Reports about the quarters after those of the workload.
fn further(load: &Workload, quarter: &mut usize, count: usize) -> Encoded {
    let mut encoded = Encoded::default();
    while encoded.requests.len() < count {
        let more = Encoded::of(load, *quarter, 0..load.size.units);
        encoded.requests.extend(more.requests);
        encoded.observations += more.observations;
        *quarter += 1;
    }
    encoded
}

async fn unary(stage: &Stage, encoded: Encoded) -> Result<Loaded, Box<dyn Error>> {
    let Encoded { requests, observations } = encoded;
    let reports = u64::try_from(requests.len())?;
    let queue = Arc::new(Mutex::new(requests.into_iter()));
    let channels: Vec<Channel> = (0..CONNECTIONS).map(|_| submit::connection(&stage.ingest)).collect();
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for number in 0..CLIENTS {
        let (channel, queue) = (channels[number % CONNECTIONS].clone(), queue.clone());
        tasks.spawn(async move {
            let mut newest = 0;
            loop {
                let next = queue.lock().await.next();
                let Some(request) = next else { return Ok::<i64, Status>(newest) };
                newest = submit::unary(&channel, request).await?;
            }
        });
    }
    let mut newest = stage.newest;
    while let Some(done) = tasks.join_next().await {
        newest = newest.max(done??);
    }
    Ok(Loaded { reports, observations, took: start.elapsed(), revisions: (stage.newest + 1, newest) })
}

/// How long after its receipt a report is in an answer, while others come at that rate.
async fn visible(
    stage: &mut Stage,
    rate: u64,
    lasting: Duration,
    quarter: &mut usize,
    goals: &mut Goals,
) -> Result<(), Box<dyn Error>> {
    let encoded = further(&stage.load, quarter, usize::try_from(rate * lasting.as_secs())?);
    let Stream { reports, mut receipts } = submit::open(submit::connection(&stage.ingest));
    tokio::spawn(feed(reports, encoded.requests, rate));
    let asked = question::local(&stage.load).into_iter().next_back().map(|asked| asked.question);
    let Some(Question::Share(request)) = asked else { return Err("Q5 asks for a share".into()) };
    let client = stage.questions();
    let (mut asking, mut last) = (JoinSet::new(), Instant::now());
    while let Some(receipt) = receipts.recv().await {
        let revision = receipt?;
        stage.newest = stage.newest.max(revision);
        if last.elapsed() >= TICK {
            last = Instant::now();
            asking.spawn(seen(client.clone(), request.clone(), revision));
        }
    }
    let mut times = Times::default();
    while let Some(seen) = asking.join_next().await {
        times.note(seen??);
    }
    let detail =
        format!("p50 {}, p99 {} at {rate} reports/s, the question included", micros(times.p50()), micros(times.p99()));
    let bound = Bound::AtMost(Milli::whole(10));
    let millis = Milli::ratio(times.p99(), 1_000_000_u64);
    goals.measured("acknowledged → visible, p99 at half the peak rate", millis, bound, "ms", detail);
    Ok(())
}

/// Sends reports at that rate.
async fn feed(reports: tokio::sync::mpsc::Sender<Bytes>, requests: Vec<Bytes>, rate: u64) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let a_tick = usize::try_from(rate * 5 / 1_000).unwrap_or(usize::MAX).max(1);
    for requests in requests.chunks(a_tick) {
        ticks.tick().await;
        for request in requests {
            if reports.send(request.clone()).await.is_err() {
                return;
            }
        }
    }
}

/// How long it takes until an answer knows that revision.
async fn seen(
    mut client: QueryServiceClient<Channel>,
    request: GetShareRequest,
    revision: i64,
) -> Result<Duration, Status> {
    let start = Instant::now();
    client.get_share(GetShareRequest { at_least_revision: Some(revision), ..request }).await?;
    Ok(start.elapsed())
}

/// Ends both services, writes the same values into bare sled, and compares.
///
/// # Errors
/// The store cannot be read, or sled fails.
pub fn against_sled(
    stage: &mut Stage,
    loaded: &Loaded,
    writes: &Writes,
    goals: &mut Goals,
) -> Result<(), Box<dyn Error>> {
    stage.end();
    let bound = Bound::AtLeast(Milli::thousandths(700));
    let (first, last) = loaded.revisions;
    let (values, revisions) = disk::values(&stage.store(), first..last + 1, REPLAYED_BYTES_MAX)?;
    let mut bare = 0;
    for group in GROUPS {
        let took = disk::write(&stage.aside("sled"), &values, group)?;
        bare = bare.max(per_second(revisions, took));
    }
    let of_observations = |reports: u64| {
        let rate = u128::from(reports) * u128::from(loaded.observations) / u128::from(loaded.reports.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    };
    let (ours, bare) = (loaded.observations_per_second(), of_observations(bare));
    let detail = format!("{ours} over {bare} observations/s, {} reports/s", loaded.reports_per_second());
    goals.measured("durable ingest by stream over bare sled", Milli::ratio(ours, bare), bound, "×", detail);
    let aim = Bound::AtLeast(Milli::whole(1_000_000));
    let detail = format!("{} reports of {} observations", loaded.reports, loaded.observations);
    goals.measured("durable ingest by stream, the aim", Milli::whole(ours), aim, "observations/s", detail);

    let (first, last) = writes.unary.revisions;
    let (values, revisions) = disk::values(&stage.store(), first..last + 1, REPLAYED_BYTES_MAX)?;
    // Each group of the service is one value or more; one commit for each value is what it did at most.
    let bare = per_second(revisions, disk::write(&stage.aside("sled"), &values, 1)?);
    let (ours, lower) = (writes.unary.reports_per_second(), bare.min(writes.empty));
    let detail = format!("{ours} reports/s; bare sled {bare}/s, the empty RPC {}/s", writes.empty);
    goals.measured("durable ingest, unary, 64 clients", Milli::ratio(ours, lower), bound, "×", detail);
    Ok(())
}
