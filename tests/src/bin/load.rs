//! `cargo load`: what the services take at most, and what they still do when ten times that is asked of them.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use proto::v1::{
    GetShareRequest, Observation, Report, Source, SubmitReportRequest, UnitSelector,
    ingest_service_client::IngestServiceClient, observation::Value, query_service_client::QueryServiceClient,
    unit::Level,
};
use tests::{
    fixtures,
    harness::{Pair, Service},
    load::{self, Outcome},
};
use tonic::{Status, transport::Channel};

/// Measure the peak of answers and of acknowledged reports, offer a multiple of it, and print what is left of it
#[derive(Parser)]
struct Arguments {
    /// How many times the peak is offered
    #[arg(long, default_value_t = 10)]
    rate: u128,
    /// Seconds that each load lasts
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Callers that measure the peak
    #[arg(long, default_value_t = 32)]
    callers: usize,
    /// Connections that the calls are spread over; one has room for a hundred calls
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Calls that are open at once at most
    #[arg(long, default_value_t = 2_000)]
    open_max: usize,
    /// Further settings of both services, such as "--work-max=4"
    #[arg(long)]
    setting: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    println!("Building the services and loading the data of the demonstration …");
    let settings: Vec<&str> = arguments.setting.iter().map(String::as_str).collect();
    let pair = Pair::start_with(&settings, &settings);
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await?;
    let mut first = question("secretary_chairs_peoples_council");
    first.at_least_revision = Some(revision);
    QueryServiceClient::new(pair.query.channel()).get_share(first).await?;

    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let header =
        ["load", "due/s", "made/s", "accepted/s", "of the peak", "refused", "failed", "p50", "p99", "RSS MiB", "most"];
    table.set_header(header);

    let channel = channels(&pair.query, arguments.connections);
    let ask = move |number: usize| {
        let mut client = QueryServiceClient::new(channel(number));
        let indicators = ["secretary_chairs_peoples_council", "secretary_chairs_peoples_committee"];
        let question = question(indicators[number % indicators.len()]);
        async move { client.get_share(question).await.map(drop) }
    };
    measure(&arguments, "GetShare by province", &pair.query, ask, &mut table).await;

    let (channel, next) = (channels(&pair.ingest, arguments.connections), Arc::new(AtomicUsize::new(0)));
    let communes = fixtures::units().into_iter().filter(|unit| unit.level() == Level::Commune).map(|unit| unit.id);
    let communes: Arc<[String]> = communes.collect();
    let submit = move |number: usize| {
        let mut client = IngestServiceClient::new(channel(number));
        let report = report(&communes, next.fetch_add(1, Ordering::Relaxed));
        async move { client.submit_report(report).await.map(drop) }
    };
    measure(&arguments, "SubmitReport", &pair.ingest, submit, &mut table).await;
    println!("{table}");
    println!("The generator runs on the same machine and takes its share of the cores.");
    Ok(())
}

/// Two rows of the table: the peak, and a multiple of it.
async fn measure<F>(
    arguments: &Arguments,
    what: &str,
    service: &Service,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
    table: &mut Table,
) where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let time = Duration::from_secs(arguments.seconds);
    // So that what is built on first use is there.
    load::closed(arguments.callers, Duration::from_secs(1), call.clone()).await;
    let peak = load::closed(arguments.callers, time, call.clone()).await;
    let most = peak.goodput().max(1);
    table.add_row(row(&format!("{what}, {} callers", arguments.callers), &peak, most, service));
    let over = load::open(most * arguments.rate, arguments.open_max, time, call).await;
    table.add_row(row(&format!("{what}, {} times", arguments.rate), &over, most, service));
}

fn row(what: &str, outcome: &Outcome, peak: u128, service: &Service) -> [String; 11] {
    let millis = |time: Duration| format!("{}.{:02} ms", time.as_millis(), time.as_micros() % 1_000 / 10);
    let a_second = |calls: usize| (calls as u128 * 1_000_000 / outcome.elapsed.as_micros().max(1)).to_string();
    [
        what.to_owned(),
        a_second(outcome.offered + outcome.unmade),
        a_second(outcome.offered),
        outcome.goodput().to_string(),
        format!("{} %", outcome.goodput() * 100 / peak),
        outcome.refused.len().to_string(),
        outcome.failed.len().to_string(),
        millis(outcome.within(500)),
        millis(outcome.within(990)),
        (service.resident_kib() / 1024).to_string(),
        (service.resident_kib_max() / 1024).to_string(),
    ]
}

fn channels(service: &Service, count: usize) -> impl Fn(usize) -> Channel + Clone + Send + 'static {
    let channels: Vec<Channel> = (0..count.max(1)).map(|_| service.channel()).collect();
    move |number| channels[number % channels.len()].clone()
}

fn question(indicator: &str) -> GetShareRequest {
    GetShareRequest {
        indicator: indicator.to_owned(),
        units: Some(UnitSelector { under: "vn".to_owned(), level: Level::District.into(), ids: Vec::new() }),
        group_by: "PROVINCE".to_owned(),
        on: "2017-08-17".to_owned(),
        ..Default::default()
    }
}

/// A new report for each number; those about one commune speak of different years, so that none is compared with many.
fn report(communes: &[String], number: usize) -> SubmitReportRequest {
    let observation = Observation {
        indicator: "secretary_chairs_peoples_council".to_owned(),
        value: Some(Value::Flag(number.is_multiple_of(2))),
        ..Default::default()
    };
    let report = Report {
        unit: communes[number % communes.len()].clone(),
        period: (1950 + number / communes.len() % 75).to_string(),
        source: Some(Source { title: format!("load {number}"), ..Default::default() }),
        observations: vec![observation],
        ..Default::default()
    };
    SubmitReportRequest { report: Some(report), ..Default::default() }
}
