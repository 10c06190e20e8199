//! `cargo demo`: both services, the real input, and the headline question.

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use clap::Parser;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use indicatif::{ProgressBar, ProgressStyle};
use proto::v1::{
    GetShareRequest, GetUnitRequest, ListSuccessionRequest, ListUnitsRequest, Share, UnitSelector,
    list_succession_request,
    list_succession_response::Extent,
    query_service_client::QueryServiceClient,
    registry_service_client::RegistryServiceClient,
    share::{ExpectedBasis, Published},
    unit::Level,
};
use tests::{
    fixtures,
    harness::{FREE_PORT, Service, start_ingest, start_query_over, workspace},
    reform,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// Start both services on fresh data, or take those that run; load the register and the reports, and ask
#[derive(Parser)]
struct Arguments {
    /// Stop after printing
    #[arg(long)]
    once: bool,

    /// Load an ingest-service that runs, such as https://localhost:50051, instead of starting one
    #[arg(long, requires = "query")]
    ingest: Option<String>,

    /// Ask the query-service that follows it, such as https://localhost:50052
    #[arg(long, requires = "ingest")]
    query: Option<String>,

    /// Directory that `cargo secrets` has made, for services behind TLS: the certificate of "admin" is shown
    #[arg(long, requires = "ingest")]
    secrets: Option<PathBuf>,
}

/// Services to load and to ask.
struct Services {
    ingest: (Channel, String),
    query: (Channel, String),
    /// What grpcurl needs to reach them.
    options: String,
    /// Those that were started here; they end with this.
    started: Vec<Service>,
}

impl Services {
    /// Starts both on fresh data.
    fn start() -> Result<Self, Box<dyn Error>> {
        println!("Building the services …");
        let data = workspace().join("target/demo");
        if let Ok(head) = fs::File::open(data.join("ingest/head")) {
            head.try_lock().map_err(|_| "another demonstration is running; end it first")?;
        }
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let ingest = start_ingest(&data.join("ingest"), &listen(50051));
        let often = ["--checkpoint-ms-min", "1000"];
        let query = start_query_over(&data.join("query"), &ingest.uri(), &listen(50052), &often);
        println!("ingest-service on {}, query-service on {}, data in target/demo\n", ingest.address(), query.address());
        Ok(Self {
            ingest: (ingest.channel(), ingest.address().to_string()),
            query: (query.channel(), query.address().to_string()),
            options: "-plaintext".to_owned(),
            started: vec![ingest, query],
        })
    }

    /// Takes those that run.
    fn running(ingest: &str, query: &str, secrets: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let connect = |uri: &str| -> Result<(Channel, String), Box<dyn Error>> {
            let mut endpoint = Endpoint::from_shared(uri.to_owned())?;
            if let Some(secrets) = secrets {
                let read = |name: &str| fs::read(secrets.join(name));
                let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca.pem")?));
                endpoint =
                    endpoint.tls_config(tls.identity(Identity::from_pem(read("admin.pem")?, read("admin.key")?)))?;
            }
            let authority = endpoint.uri().authority().map(ToString::to_string).unwrap_or_default();
            Ok((endpoint.connect_lazy(), authority))
        };
        let options = secrets.map_or("-plaintext".to_owned(), |secrets| {
            let secrets = secrets.display();
            format!("-cacert {secrets}/ca.pem -H \"authorization: Bearer $(cat {secrets}/admin.token)\"")
        });
        Ok(Self { ingest: connect(ingest)?, query: connect(query)?, options, started: Vec::new() })
    }
}

const MODELS: [(&str, &str); 2] = [
    ("secretary_chairs_peoples_council", "People's Council"),
    ("secretary_chairs_peoples_committee", "People's Committee"),
];
const DISTRICTS: [&str; 5] = ["district-004", "district-171", "district-244", "district-423", "district-626"];
const DAY: &str = "2017-08-17";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { once, ingest, query, secrets } = Arguments::parse();
    let services = match (ingest, query) {
        (Some(ingest), Some(query)) => Services::running(&ingest, &query, secrets.as_deref())?,
        _ => Services::start()?,
    };
    let bar = ProgressBar::new(fixtures::load_count() as u64);
    bar.set_style(ProgressStyle::with_template("Loading {bar:40} {pos}/{len} {msg}")?);
    let revision = fixtures::load(services.ingest.0.clone(), |what, count| {
        bar.set_message(what.to_owned());
        bar.inc(count as u64);
    })
    .await?;
    bar.finish_and_clear();
    println!(
        "Loaded {} units, changes of units, indicators, terms, forms and reports; the log is at revision {revision}.",
        fixtures::load_count()
    );

    print_reform(services.ingest.0.clone()).await?;
    print_shares(&mut QueryServiceClient::new(services.query.0.clone()), revision).await?;
    print_examples(&services);
    if !once && !services.started.is_empty() {
        println!("\nBoth services stay up; Ctrl-C ends them.");
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminated.recv() => {}
        }
    }
    Ok(())
}

/// The usual port if nobody has it, else a free one.
fn listen(port: u16) -> String {
    let usual = format!("127.0.0.1:{port}");
    if TcpListener::bind(&usual).is_ok() { usual } else { FREE_PORT.to_owned() }
}

/// What the reform of 2025 did to the map, and to the five districts.
async fn print_reform(ingest: Channel) -> Result<(), Box<dyn Error>> {
    let mut registry = RegistryServiceClient::new(ingest);
    println!("\nUnits before and after the reform of 1 July 2025, which is one change in the log");
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["level", fixtures::COMPLETE_FROM, reform::EFFECTIVE_ON]);
    for level in [Level::Province, Level::District, Level::Commune] {
        let mut row = vec![level.as_str_name().to_owned()];
        for on in [fixtures::COMPLETE_FROM, reform::EFFECTIVE_ON] {
            let (mut count, mut page_token) = (0, String::new());
            loop {
                let (level, on) = (level.into(), on.to_owned());
                let request = ListUnitsRequest { level, on, page_size: 1_000, page_token, ..Default::default() };
                let page = registry.list_units(request).await?.into_inner();
                count += page.units.len();
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            row.push(count.to_string());
        }
        table.add_row(row);
    }
    println!("{table}");
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["district", "communes that came of it", "of its communes divided"]);
    for district in DISTRICTS {
        let request = ListSuccessionRequest {
            unit: district.to_owned(),
            direction: list_succession_request::Direction::Successors.into(),
            page_size: 1_000,
            ..Default::default()
        };
        let paths = registry.list_succession(request).await?.into_inner().paths;
        let successors: BTreeSet<&str> = paths.iter().map(|path| path.unit.as_str()).collect();
        let communes: BTreeSet<&str> = paths.iter().map(|path| path.steps[0].into.as_str()).collect();
        let divided = paths.iter().filter(|path| path.extent() == Extent::Part);
        let divided: BTreeSet<&str> = divided.map(|path| path.steps[0].into.as_str()).collect();
        let unit = GetUnitRequest { id: district.to_owned(), ..Default::default() };
        let name = registry.get_unit(unit).await?.into_inner().unit.unwrap_or_default().name;
        table.add_row([name, successors.len().to_string(), format!("{} of {}", divided.len(), communes.len())]);
    }
    println!("{table}");
    Ok(())
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

fn print_examples(services: &Services) {
    println!("\nTry (grpcurl asks the services what they offer):");
    let Services { ingest: (_, ingest), query: (_, query), options, .. } = services;
    let ask = |address: &str, method: &str, request: &str| {
        println!("  grpcurl {options} -d '{request}' {address} tonghop.v1.{method}");
    };
    let share = |indicator: &str, rest: &str| format!(r#"{{"indicator":"{indicator}",{rest}}}"#);
    let communes = r#""units":{"under":"district-171","level":"COMMUNE"},"on":"2017-08-17""#;
    ask(query, "QueryService/GetShare", &share(MODELS[0].0, communes));
    ask(query, "QueryService/GetShare", &share(MODELS[1].0, communes));
    let provinces = r#""units":{"under":"vn","level":"DISTRICT"},"group_by":"PROVINCE","on":"2017-08-17""#;
    ask(query, "QueryService/GetShare", &share(MODELS[0].0, provinces));
    ask(ingest, "RegistryService/GetUnit", r#"{"id":"district-171"}"#);
    ask(ingest, "RegistryService/ListSuccession", r#"{"unit":"district-004","direction":"SUCCESSORS"}"#);
    ask(query, "QueryService/ListDuties", r#"{"form":"tan_ky_supervision_report","period":"2017"}"#);
    let observation = r#"{"indicator":"secretary_chairs_peoples_council","flag":true}"#;
    let report = format!(
        r#"{{"report":{{"unit":"commune-05776","period":"2017","source":{{"title":"my own report"}},"observations":[{observation}]}}}}"#
    );
    ask(ingest, "IngestService/SubmitReport", &report);
}
