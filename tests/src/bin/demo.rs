//! `cargo demo`: both services, the real input, and the headline question.

use std::{error::Error, fs, net::TcpListener};

use clap::Parser;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use indicatif::{ProgressBar, ProgressStyle};
use proto::v1::{
    GetShareRequest, Share, UnitSelector,
    query_service_client::QueryServiceClient,
    share::{ExpectedBasis, Published},
    unit::Level,
};
use tests::{
    fixtures,
    harness::{FREE_PORT, Service, start_ingest, start_query, workspace},
};
use tonic::transport::Channel;

/// Start both services on fresh data, load the register and the reports, and ask
#[derive(Parser)]
struct Arguments {
    /// Stop after printing
    #[arg(long)]
    once: bool,
}

const MODELS: [(&str, &str); 2] = [
    ("secretary_chairs_peoples_council", "People's Council"),
    ("secretary_chairs_peoples_committee", "People's Committee"),
];
const DISTRICTS: [&str; 5] = ["district-004", "district-171", "district-244", "district-423", "district-626"];
const DAY: &str = "2017-08-17";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    println!("Building the services …");
    let data = workspace().join("target/demo");
    if let Ok(head) = fs::File::open(data.join("head")) {
        head.try_lock().map_err(|_| "another demonstration is running; end it first")?;
        fs::remove_dir_all(&data)?;
    }
    let ingest = start_ingest(&data, &listen(50051));
    let query = start_query(&ingest.uri(), &listen(50052));
    println!("ingest-service on {}, query-service on {}, data in target/demo\n", ingest.address(), query.address());

    let bar = ProgressBar::new(fixtures::load_count() as u64);
    bar.set_style(ProgressStyle::with_template("Loading {bar:40} {pos}/{len} {msg}")?);
    let revision = fixtures::load(ingest.channel(), |what, count| {
        bar.set_message(what.to_owned());
        bar.inc(count as u64);
    })
    .await?;
    bar.finish_and_clear();
    println!(
        "Loaded {} units, changes of units, indicators, terms, forms and reports; the log is at revision {revision}.",
        fixtures::load_count()
    );

    print_shares(&mut QueryServiceClient::new(query.channel()), revision).await?;
    print_examples(&ingest, &query);
    if !arguments.once {
        println!("\nBoth services stay up; Ctrl-C ends them.");
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

/// The usual port if nobody has it, else a free one.
fn listen(port: u16) -> String {
    let usual = format!("127.0.0.1:{port}");
    if TcpListener::bind(&usual).is_ok() { usual } else { FREE_PORT.to_owned() }
}

async fn print_shares(client: &mut QueryServiceClient<Channel>, revision: i64) -> Result<(), Box<dyn Error>> {
    println!("\nCommittees whose secretary also chairs …, on {DAY}");
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["chairs the", "committees of", "share", "bounds", "reported", "expected", "published"]);
    let ask = |indicator: &str, under: &str, level: Level| GetShareRequest {
        indicator: indicator.to_owned(),
        units: Some(UnitSelector { under: under.to_owned(), level: level.into(), ids: Vec::new() }),
        on: DAY.to_owned(),
        at_least_revision: Some(revision),
        ..Default::default()
    };
    for (indicator, model) in MODELS {
        for district in DISTRICTS {
            let answer = client.get_share(ask(indicator, district, Level::Commune)).await?.into_inner();
            for share in &answer.shares {
                table.add_row(row(model, &format!("communes, {}", share.name), share));
            }
        }
        let answer = client.get_share(ask(indicator, "vn", Level::District)).await?.into_inner();
        for share in &answer.shares {
            table.add_row(row(model, "all districts", share));
        }
    }
    println!("{table}");
    println!("share: yes of those who said yes or no. bounds: if every silent unit were no, or yes.");
    println!("expected: the register is complete from {}; for earlier days it is assumed.", fixtures::COMPLETE_FROM);
    Ok(())
}

fn row(model: &str, who: &str, share: &Share) -> [String; 7] {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
    let count = |value: Option<i32>| value.unwrap_or_default();
    let expected = count(share.expected);
    let reported = expected - count(share.not_reported);
    let assumed = if share.expected_basis() == ExpectedBasis::Assumed { " assumed" } else { "" };
    let claim = |claim: &Published| match &claim.ratio {
        Some(ratio) => format!("{} of {} ({})", ratio.numerator(), ratio.denominator(), claim.unit),
        None => format!("{} % ({})", claim.percent, claim.unit),
    };
    let published: Vec<String> = share.published.iter().map(claim).collect();
    [
        model.to_owned(),
        who.to_owned(),
        text(&share.share),
        format!("{} to {}", text(&share.lower), text(&share.upper)),
        reported.to_string(),
        format!("{expected}{assumed}"),
        if published.is_empty() { "–".to_owned() } else { published.join(", ") },
    ]
}

fn print_examples(ingest: &Service, query: &Service) {
    println!("\nTry (grpcurl asks the services what they offer):");
    let ask = |service: &Service, method: &str, request: &str| {
        println!("  grpcurl -plaintext -d '{request}' {} tonghop.v1.{method}", service.address());
    };
    let share = |indicator: &str, rest: &str| format!(r#"{{"indicator":"{indicator}",{rest}}}"#);
    let communes = r#""units":{"under":"district-171","level":"COMMUNE"},"on":"2017-08-17""#;
    ask(query, "QueryService/GetShare", &share(MODELS[0].0, communes));
    ask(query, "QueryService/GetShare", &share(MODELS[1].0, communes));
    let provinces = r#""units":{"under":"vn","level":"DISTRICT"},"group_by":"PROVINCE","on":"2017-08-17""#;
    ask(query, "QueryService/GetShare", &share(MODELS[0].0, provinces));
    ask(ingest, "RegistryService/GetUnit", r#"{"id":"district-171"}"#);
    let observation = r#"{"indicator":"secretary_chairs_peoples_council","flag":true}"#;
    let report = format!(
        r#"{{"report":{{"unit":"commune-05776","period":"2017","source":{{"title":"my own report"}},"observations":[{observation}]}}}}"#
    );
    ask(ingest, "IngestService/SubmitReport", &report);
}
