//! The real input: the register of June 2025, what became of it, and what five district committees published.

use std::{fs, path::PathBuf};

use proto::v1::{
    DefineFormsRequest, DefineIndicatorsRequest, DefineTermsRequest, RecordUnitEventsRequest, RegisterUnitsRequest,
    SubmitReportRequest, Unit, ingest_service_client::IngestServiceClient,
    registry_service_client::RegistryServiceClient, unit::Level,
};
use tonic::{Status, transport::Channel};

use crate::{harness::workspace, json, reform, stream::submit_all};

/// The day from which the register is complete.
pub const COMPLETE_FROM: &str = "2025-06-30";
/// Units in one request: small enough for a progress bar to move.
const UNITS_A_REQUEST: usize = 1_000;
/// The files with reports, each of one district committee.
pub const REPORT_FILES: [&str; 5] = ["dai-tu", "dak-doa", "phuc-yen", "tan-ky", "long-bien"];

/// Path of a fixture.
pub fn path(name: &str) -> PathBuf {
    workspace().join("tests/fixtures").join(name)
}

pub(crate) fn text(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_json(name: &str) -> serde_json::Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every unit of the register, parents first.
///
/// # Panics
/// If the fixture cannot be read.
pub fn units() -> Vec<Unit> {
    read_units("register/units_until_2025-06-30.tsv")
}

pub(crate) fn read_units(name: &str) -> Vec<Unit> {
    let unit = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, level, kind, name, parent, official_code] = fields[..] else { panic!("{line:?} has not six columns") };
        Unit {
            id: id.to_owned(),
            level: Level::from_str_name(level).unwrap_or_else(|| panic!("{level} is no level")).into(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            parent: parent.to_owned(),
            official_code: official_code.to_owned(),
            ..Unit::default()
        }
    };
    text(name).lines().skip(1).map(unit).collect()
}

/// Units beside the register.
///
/// # Panics
/// If the fixture is no RegisterUnits request.
pub fn further_units() -> RegisterUnitsRequest {
    json::read("tonghop.v1.RegisterUnitsRequest", &read_json("units.json")).expect("units.json")
}

/// What happened to units by the reports of the five committees.
///
/// # Panics
/// If the fixture is no RecordUnitEvents request.
pub fn unit_events() -> RecordUnitEventsRequest {
    json::read("tonghop.v1.RecordUnitEventsRequest", &read_json("unit_events.json")).expect("unit_events.json")
}

/// Every form under which the five committees owe something.
///
/// # Panics
/// If the fixture is no DefineForms request.
pub fn forms() -> DefineFormsRequest {
    json::read("tonghop.v1.DefineFormsRequest", &read_json("forms.json")).expect("forms.json")
}

/// Every indicator that the reports use.
///
/// # Panics
/// If the fixture is no DefineIndicators request.
pub fn indicators() -> DefineIndicatorsRequest {
    json::read("tonghop.v1.DefineIndicatorsRequest", &read_json("indicators.json")).expect("indicators.json")
}

/// Every term that the reports use.
///
/// # Panics
/// If the fixture is no DefineTerms request.
pub fn terms() -> DefineTermsRequest {
    json::read("tonghop.v1.DefineTermsRequest", &read_json("terms.json")).expect("terms.json")
}

/// The reports of one file.
///
/// # Panics
/// If the fixture is no list of SubmitReport requests.
pub fn reports(file: &str) -> Vec<SubmitReportRequest> {
    let name = format!("reports/{file}.json");
    let requests = read_json(&name);
    let requests = requests.as_array().unwrap_or_else(|| panic!("{name} is no list"));
    let read = |request| json::read("tonghop.v1.SubmitReportRequest", request);
    requests.iter().map(|request| read(request).unwrap_or_else(|error| panic!("{name}: {error}"))).collect()
}

/// Loads everything through the public API; `progress` hears what was done and how much of it. Answers the revision at
/// which all of it is there.
///
/// # Errors
/// The first refusal.
pub async fn load(channel: Channel, mut progress: impl FnMut(&str, usize)) -> Result<i64, Status> {
    let mut registry = RegistryServiceClient::new(channel.clone());
    let reports_client = IngestServiceClient::new(channel);
    let units = units();
    for chunk in units.chunks(UNITS_A_REQUEST) {
        let request = RegisterUnitsRequest { units: chunk.to_vec(), ..Default::default() };
        registry.register_units(request).await?;
        progress("units", chunk.len());
    }
    let further = further_units();
    let count = further.units.len();
    registry.register_units(further).await?;
    progress("units", count);
    let events = unit_events();
    let count = events.events.len() + events.units.len();
    registry.record_unit_events(events).await?;
    progress("events of units", count);
    let complete = RegisterUnitsRequest { complete_from: COMPLETE_FROM.to_owned(), ..Default::default() };
    registry.register_units(complete).await?;
    let indicators = indicators();
    let count = indicators.indicators.len();
    registry.define_indicators(indicators).await?;
    progress("indicators", count);
    let terms = terms();
    let count = terms.terms.len();
    registry.define_terms(terms).await?;
    progress("terms", count);
    let forms = forms();
    let count = forms.forms.len();
    registry.define_forms(forms).await?;
    progress("forms", count);
    submit_all(reports_client, REPORT_FILES.into_iter().flat_map(reports).collect(), |_| progress("reports", 1))
        .await?;
    // One change: all of it or nothing.
    let revision = registry.record_unit_events(reform::request()).await?.into_inner().revision;
    progress("the reform of 2025", reform::change_count());
    Ok(revision)
}

/// How many things [`load`] loads.
pub fn load_count() -> usize {
    let reports: usize = REPORT_FILES.into_iter().map(|file| reports(file).len()).sum();
    let events = unit_events();
    let units = units().len() + further_units().units.len();
    let events = events.events.len() + events.units.len() + reform::change_count();
    units + events + indicators().indicators.len() + terms().terms.len() + forms().forms.len() + reports
}
