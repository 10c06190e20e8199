//! Clients of the simulated pair: who submits, and who asks.

use std::time::Duration;

use proto::v1::{
    DefineIndicatorsRequest, GetShareRequest, GetShareResponse, Indicator, KnownAt, Observation, RegisterUnitsRequest,
    Report, Source, SubmitReportRequest, Unit, UnitSelector,
    indicator::{RollUp, Temporality, ValueKind},
    ingest_service_client::IngestServiceClient,
    known_at::At,
    observation::Value,
    query_service_client::QueryServiceClient,
    registry_service_client::RegistryServiceClient,
    unit::Level,
};
use rand::Rng;
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use crate::{
    hosts::{INGEST, QUERY},
    net::{self, choose, up_to},
    world::Shared,
};

/// Between two writes, and between two questions.
const PAUSE_MAX: Duration = Duration::from_secs(40);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Communes that are registered with one call.
const COMMUNES_AT_ONCE: usize = 3;

/// Registers, submits, and reads its own writes.
pub async fn writer(world: Shared, name: &'static str) -> turmoil::Result {
    let (ingest, query) = (net::client(INGEST), net::client(QUERY));
    let mut queries = QueryServiceClient::new(query);
    let mut communes = found_country(&world, &ingest, name).await;
    for sequence in 0.. {
        tokio::time::sleep(up_to(PAUSE_MAX)).await;
        let revision = if choose(|random| random.random_bool(0.1)) {
            let ids: Vec<String> = (0..COMMUNES_AT_ONCE).map(|n| format!("{name}-{sequence}-{n}")).collect();
            communes.extend(ids.iter().cloned());
            register(&world, &ingest, ids.iter().map(|id| unit(id, Level::Commune, "d")).collect()).await
        } else {
            let commune = choose(|random| communes[random.random_range(0..communes.len())].clone());
            submit(&world, &ingest, commune, format!("{name}/{sequence}")).await
        };
        if choose(|random| random.random_bool(0.5)) {
            read_own_write(&world, &mut queries, revision).await;
        }
    }
    Ok(())
}

/// Asks again and again: what is known, and what was known.
pub async fn reader(world: Shared) -> turmoil::Result {
    let mut queries = QueryServiceClient::new(net::client(QUERY));
    let mut newest = (0, 0);
    loop {
        tokio::time::sleep(up_to(PAUSE_MAX)).await;
        let starts = world.borrow().query_starts;
        let Some(answer) = ask(&world, &mut queries, GetShareRequest::default()).await else { continue };
        let revision = world.borrow_mut().answer(None, &answer);
        // An answer of one run of the service, and not of the one before.
        if starts == world.borrow().query_starts {
            if newest.0 == starts && revision < newest.1 {
                let what = format!("a reader saw revision {} and then {revision}", newest.1);
                world.borrow_mut().break_promise(what);
            }
            newest = (starts, revision);
        }
        let ends: Vec<i64> = world.borrow().answered.range(..=revision).map(|(revision, _)| *revision).collect();
        let then = choose(|random| ends[random.random_range(0..ends.len())]);
        let known_at = Some(KnownAt { at: Some(At::Revision(then)) });
        let past = ask(&world, &mut queries, GetShareRequest { known_at, ..Default::default() }).await;
        if let Some(answer) = past {
            world.borrow_mut().answer(Some(then), &answer);
        }
    }
}

async fn read_own_write(world: &Shared, queries: &mut QueryServiceClient<Channel>, revision: i64) {
    let question = GetShareRequest { at_least_revision: Some(revision), ..Default::default() };
    let Some(answer) = ask(world, queries, question).await else { return };
    let known = world.borrow_mut().answer(None, &answer);
    if known < revision {
        world.borrow_mut().break_promise(format!("asked for at least {revision}, answered was {known}"));
    }
}

/// The share of the communes, or nothing where there is no answer now.
async fn ask(
    world: &Shared,
    queries: &mut QueryServiceClient<Channel>,
    question: GetShareRequest,
) -> Option<GetShareResponse> {
    let question = GetShareRequest {
        indicator: "flag".to_owned(),
        units: Some(UnitSelector { under: "d".to_owned(), level: Level::Commune.into(), ids: Vec::new() }),
        on: "2017-06-30".to_owned(),
        ..question
    };
    match queries.get_share(question).await {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) => {
            expect_break(world, &status);
            None
        }
    }
}

/// Refusals that a broken network or a stopped service explains; a store that was never another one is never refused.
fn expect_break(world: &Shared, status: &Status) {
    let expected = [
        Code::Unavailable,
        Code::Unknown,
        Code::Cancelled,
        Code::DeadlineExceeded,
        // The other side of a stream that was cut.
        Code::Internal,
        // Before the country was founded, or so this query-service thinks.
        Code::NotFound,
    ];
    if !expected.contains(&status.code()) {
        world.borrow_mut().break_promise(format!("an unexpected answer: {status}"));
    }
}

/// The country, its flag and five communes; answers the communes.
async fn found_country(world: &Shared, ingest: &Channel, name: &str) -> Vec<String> {
    let mut units =
        vec![unit("vn", Level::Country, ""), unit("p", Level::Province, "vn"), unit("d", Level::District, "p")];
    let communes: Vec<String> = (0..5).map(|n| format!("{name}-{n}")).collect();
    units.extend(communes.iter().map(|id| unit(id, Level::Commune, "d")));
    register(world, ingest, units).await;
    let indicator = Indicator {
        id: "flag".to_owned(),
        names: [("en".to_owned(), "flag".to_owned())].into(),
        value_kind: ValueKind::Flag.into(),
        temporality: Temporality::State.into(),
        roll_up: RollUp::ShareOfUnits.into(),
        ..Default::default()
    };
    let mut client = RegistryServiceClient::new(ingest.clone());
    let request = DefineIndicatorsRequest { indicators: vec![indicator], ..Default::default() };
    until_done(world, async || client.define_indicators(request.clone()).await).await;
    communes
}

async fn register(world: &Shared, ingest: &Channel, units: Vec<Unit>) -> i64 {
    let mut client = RegistryServiceClient::new(ingest.clone());
    let request = RegisterUnitsRequest { units, request_id: request_id(), ..Default::default() };
    let receipt = until_done(world, async || client.register_units(request.clone()).await).await;
    world.borrow_mut().acknowledge(request.request_id, receipt.revision);
    receipt.revision
}

async fn submit(world: &Shared, ingest: &Channel, unit: String, title: String) -> i64 {
    let mut client = IngestServiceClient::new(ingest.clone());
    let flag = Value::Flag(choose(|random| random.random()));
    let report = Report {
        unit,
        period: "2017".to_owned(),
        source: Some(Source { title, ..Default::default() }),
        observations: vec![Observation { indicator: "flag".to_owned(), value: Some(flag), ..Default::default() }],
        ..Default::default()
    };
    let request = SubmitReportRequest { report: Some(report), request_id: request_id(), ..Default::default() };
    let receipt = until_done(world, async || client.submit_report(request.clone()).await).await;
    let revision = receipt.revision.expect("it was written");
    world.borrow_mut().acknowledge(request.request_id, revision);
    revision
}

/// The same call again and again, under the same request id, until it is answered.
async fn until_done<T>(world: &Shared, mut call: impl AsyncFnMut() -> Result<tonic::Response<T>, Status>) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => expect_break(world, &status),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

fn request_id() -> String {
    Uuid::from_u128(choose(|random| random.random())).to_string()
}

fn unit(id: &str, level: Level, parent: &str) -> Unit {
    Unit { id: id.into(), level: level.into(), name: format!("Unit {id}"), parent: parent.into(), ..Default::default() }
}
