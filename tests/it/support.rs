//! Words that many tests use.

use proto::v1::{
    DefineIndicatorsRequest, GetShareRequest, Indicator, Observation, RegisterUnitsRequest, Report, Source,
    SubmitReportRequest, SubmitReportResponse, Unit, UnitSelector,
    indicator::{RollUp, Temporality, ValueKind},
    observation::Value,
    unit::Level,
};
use std::time::Duration;

use tests::harness::Pair;
use tonic::Status;
use tonic_types::StatusExt;

/// The flag that small tests ask about.
pub const FLAG: &str = "flag";

pub fn unit(id: &str, level: Level, parent: &str) -> Unit {
    Unit { id: id.into(), level: level.into(), name: format!("Unit {id}"), parent: parent.into(), ..Default::default() }
}

pub fn indicator(id: &str, kind: ValueKind) -> Indicator {
    let (temporality, roll_up) = match kind {
        ValueKind::Flag => (Temporality::State, RollUp::ShareOfUnits),
        ValueKind::Ratio => (Temporality::Flow, RollUp::RatioOfSums),
        ValueKind::Percent => (Temporality::Stock, RollUp::None),
        _ => (Temporality::Flow, RollUp::Sum),
    };
    Indicator {
        id: id.into(),
        names: [("en".into(), id.into())].into(),
        value_kind: kind.into(),
        temporality: temporality.into(),
        roll_up: roll_up.into(),
        ..Default::default()
    }
}

/// A country with one province, one district, five communes `c0` to `c4`, and a flag.
pub async fn small_world(pair: &Pair) {
    let mut units =
        vec![unit("vn", Level::Country, ""), unit("p", Level::Province, "vn"), unit("d", Level::District, "p")];
    units.extend((0..5).map(|index| unit(&format!("c{index}"), Level::Commune, "d")));
    let request = RegisterUnitsRequest { units, complete_from: "2010-01-01".into(), ..Default::default() };
    pair.registry().register_units(request).await.unwrap();
    let indicators = vec![indicator(FLAG, ValueKind::Flag)];
    let request = DefineIndicatorsRequest { indicators, ..Default::default() };
    pair.registry().define_indicators(request).await.unwrap();
}

pub fn observation(indicator: &str, value: Value) -> Observation {
    Observation { indicator: indicator.into(), value: Some(value), ..Default::default() }
}

/// A report that sets the flag of a unit for 2017.
pub fn flag_report(unit: &str, title: &str, flag: bool) -> SubmitReportRequest {
    let report = Report {
        unit: unit.into(),
        period: "2017".into(),
        source: Some(Source { title: title.into(), ..Default::default() }),
        observations: vec![observation(FLAG, Value::Flag(flag))],
        ..Default::default()
    };
    SubmitReportRequest { report: Some(report), ..Default::default() }
}

pub async fn submit(pair: &Pair, request: SubmitReportRequest) -> Result<SubmitReportResponse, Status> {
    pair.reports().submit_report(request).await.map(tonic::Response::into_inner)
}

/// The question for the share of the communes below a unit, at a revision.
pub fn share_of(under: &str, at_least_revision: i64) -> GetShareRequest {
    GetShareRequest {
        indicator: FLAG.into(),
        units: Some(UnitSelector { under: under.into(), level: Level::Commune.into(), ids: vec![] }),
        on: "2017-06-30".into(),
        at_least_revision: Some(at_least_revision),
        ..Default::default()
    }
}

/// How many communes of `d` said yes and no in the middle of 2017, once that revision is known.
pub async fn yes_and_no(pair: &Pair, at_least_revision: i64) -> (i32, i32) {
    let request = share_of("d", at_least_revision);
    // A service that has just been started says that it is still reading its log.
    let share = eventually(async || match pair.queries().get_share(request.clone()).await {
        Ok(answer) => Some(answer.into_inner().shares.remove(0)),
        Err(status) if status.code() == tonic::Code::Unavailable => None,
        Err(status) => panic!("{status}"),
    });
    let share = share.await;
    (share.yes.unwrap(), share.no.unwrap())
}

/// Waits a little before the next try.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Tries again and again until something comes of it.
///
/// # Panics
/// If nothing comes of it for so long that nothing will.
pub async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(value) = attempt().await {
            return value;
        }
        pause().await;
    }
    panic!("it does not happen");
}

/// The reason that a refusal carries.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Paths and reasons of a refusal's violations.
pub fn violations(status: &Status) -> Vec<(String, String)> {
    let listed = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
    listed.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}
