//! The access matrix: callers × units × methods on random trees, against an oracle that knows nothing but who stood below whom.
//!
//! Every name of a unit and every title of a report is a word of its own, and every answer to somebody who does not see
//! everything is searched for the words that are not for him: whatever a method says, and wherever it says it.
//! `TONGHOP_TEST_SEED` replays a run, `TONGHOP_ACCESS_CHECKS` asks for more.

use std::{collections::BTreeSet, sync::Arc};

use ingest_service::log::Log;
use prost::Message;
use proto::v1::{self, unit::Level};
use query_service::{apply::Applier, archive::MemoryArchive};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use shared::model::access::{Caller, Scope};
use tonic::Code;

use crate::{
    seed,
    services::{Services, call},
    setting,
};

/// Checks of a run.
const CHECKS: u64 = 100_000;
/// Checks in one world.
const WORLD_CHECKS: u64 = 2_500;
const YEARS: std::ops::Range<i16> = 2010..2020;
const LEVELS: [Level; 4] = [Level::Country, Level::Province, Level::District, Level::Commune];

/// What the oracle knows: of each unit its level and where it stood from which year on.
struct World {
    units: Vec<(usize, Vec<(i16, usize)>)>,
    /// Unit, year, other units that it speaks of, whether it says yes; withdrawn ones too.
    reports: Vec<Report>,
}

struct Report {
    unit: usize,
    year: i16,
    group: Vec<usize>,
    says: bool,
    is_withdrawn: bool,
}

fn id(unit: usize) -> String {
    format!("u{unit}")
}

/// A word that stands nowhere else.
fn name(unit: usize) -> String {
    format!("Qx{unit}xQ")
}

fn title(report: usize) -> String {
    format!("Zy{report}yZ")
}

impl World {
    fn random(random: &mut StdRng) -> Self {
        let mut units: Vec<(usize, Vec<(i16, usize)>)> = vec![(0, Vec::new())];
        let mut above = vec![0];
        for (level, count) in [(1, 3), (2, 6), (3, 14)] {
            let first = units.len();
            for _ in 0..count {
                let parent = *above.choose(random).expect("there is one");
                let mut stood = vec![(i16::MIN, parent)];
                for year in YEARS.skip(1) {
                    if level > 1 && random.random_bool(0.06) {
                        stood.push((year, *above.choose(random).expect("there is one")));
                    }
                }
                // A move to where it stands already is none.
                stood.dedup_by_key(|(_, parent)| *parent);
                units.push((level, stood));
            }
            above = (first..units.len()).collect();
        }
        let any = |random: &mut StdRng| random.random_range(0..24);
        let report = |_| Report {
            unit: any(random),
            year: random.random_range(YEARS),
            group: if random.random_bool(0.2) { vec![any(random), any(random)] } else { Vec::new() },
            says: random.random(),
            is_withdrawn: random.random_bool(0.1),
        };
        let reports = (0..60).map(report).collect();
        Self { units, reports }
    }

    /// The whole oracle: a unit is seen in a year if it, or whatever it then stood below, is one of the tops.
    fn sees(&self, tops: &BTreeSet<usize>, unit: usize, year: i16) -> bool {
        let mut at = unit;
        loop {
            if tops.contains(&at) {
                return true;
            }
            match self.units[at].1.iter().rev().find(|(from, _)| *from <= year) {
                Some((_, parent)) => at = *parent,
                None => return false,
            }
        }
    }

    fn ever_sees(&self, tops: &BTreeSet<usize>, unit: usize) -> bool {
        YEARS.start.checked_sub(1).into_iter().chain(YEARS).any(|year| self.sees(tops, unit, year))
    }

    fn sees_report(&self, tops: &BTreeSet<usize>, report: &Report) -> bool {
        [report.unit].iter().chain(&report.group).all(|unit| self.sees(tops, *unit, report.year))
    }

    /// Whether a unit stands above one of the tops in any year: who sees a part knows of what it is a part.
    fn is_above(&self, tops: &BTreeSet<usize>, unit: usize) -> bool {
        tops.iter().any(|top| self.ever_sees(&[unit].into(), *top))
    }

    /// The register and its reports as requests.
    fn requests(&self) -> Vec<(&'static str, Vec<u8>)> {
        let unit = |unit: usize| v1::Unit {
            id: id(unit),
            level: LEVELS[self.units[unit].0].into(),
            name: name(unit),
            parent: self.units[unit].1.first().map(|(_, parent)| id(*parent)).unwrap_or_default(),
            valid_from: "2000-01-01".into(),
            ..Default::default()
        };
        let units = (0..self.units.len()).map(unit).collect();
        let moves = self.units.iter().enumerate().flat_map(|(unit, (_, stood))| {
            stood.iter().skip(1).map(move |(year, parent)| v1::UnitEvent {
                id: format!("e-{unit}-{year}"),
                r#type: v1::unit_event::Type::Transfer.into(),
                effective_on: format!("{year}-01-01"),
                from: vec![id(unit)],
                into: vec![id(*parent)],
                document: name(unit),
                ..Default::default()
            })
        });
        let flag = v1::Indicator {
            id: "flag".into(),
            names: [("en".into(), "Flag".into())].into(),
            value_kind: v1::indicator::ValueKind::Flag.into(),
            temporality: v1::indicator::Temporality::State.into(),
            roll_up: v1::indicator::RollUp::ShareOfUnits.into(),
            ..Default::default()
        };
        let mut requests = vec![
            (
                "RegisterUnitsRequest",
                v1::RegisterUnitsRequest { units, complete_from: "2000-01-01".into(), ..Default::default() }
                    .encode_to_vec(),
            ),
            (
                "RecordUnitEventsRequest",
                v1::RecordUnitEventsRequest { events: moves.collect(), ..Default::default() }.encode_to_vec(),
            ),
            (
                "DefineIndicatorsRequest",
                v1::DefineIndicatorsRequest { indicators: vec![flag], ..Default::default() }.encode_to_vec(),
            ),
        ];
        let reports = self.reports.iter().enumerate();
        requests.extend(reports.map(|(number, report)| ("SubmitReportRequest", submission(number, report, false))));
        requests
    }
}

fn submission(number: usize, report: &Report, validate_only: bool) -> Vec<u8> {
    let mut observations = vec![v1::Observation {
        indicator: "flag".into(),
        value: Some(v1::observation::Value::Flag(report.says)),
        ..Default::default()
    }];
    if !report.group.is_empty() {
        let units: BTreeSet<String> = report.group.iter().map(|unit| id(*unit)).collect();
        observations.push(v1::Observation {
            indicator: "flag".into(),
            scope: v1::observation::Scope::Group.into(),
            units: units.into_iter().collect(),
            value: Some(v1::observation::Value::Flag(report.says)),
            ..Default::default()
        });
    }
    v1::SubmitReportRequest {
        report: Some(v1::Report {
            unit: id(report.unit),
            period: report.year.to_string(),
            source: Some(v1::Source { title: title(number), ..Default::default() }),
            observations,
            ..Default::default()
        }),
        validate_only,
        ..Default::default()
    }
    .encode_to_vec()
}

type Holds = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What one check asks, and what the oracle says of it.
struct Check {
    method: &'static str,
    request: Vec<u8>,
    /// PERMISSION_DENIED, or anything but that.
    is_denied: bool,
    /// What the answer has to be like, where it is not denied.
    holds: Holds,
}

impl Check {
    fn new(method: &'static str, request: &impl Message, is_denied: bool) -> Self {
        Self { method, request: request.encode_to_vec(), is_denied, holds: Box::new(|_| true) }
    }

    fn and(self, holds: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self { holds: Box::new(holds), ..self }
    }
}

fn check(random: &mut StdRng, world: &World, names: &[String], tops: &BTreeSet<usize>) -> Check {
    // One more than there are: a unit that is not registered, and a report that is not there.
    let unit = random.random_range(0..=world.units.len());
    let number = random.random_range(0..=names.len());
    let year = random.random_range(YEARS);
    let is_unit = unit < world.units.len();
    let is_hidden = !is_unit || !world.ever_sees(tops, unit);
    let report = world.reports.get(number);
    let is_hidden_report = report.is_none_or(|report| !world.sees_report(tops, report));
    let report_name = names.get(number).cloned().unwrap_or_else(|| "reports/999999".into());
    let on = format!("{year}-12-31");
    let ids = || Some(v1::UnitSelector { ids: vec![id(unit)], ..Default::default() });
    let under = || Some(v1::UnitSelector { under: id(unit), ..Default::default() });
    let seen_on = |year: i16| -> usize {
        let is_below = |other: &usize| world.sees(tops, *other, year) && world.sees(&[unit].into(), *other, year);
        // On a day on which the unit itself is not his, it is as if it did not live.
        (0..world.units.len()).filter(|other| is_unit && world.sees(tops, unit, year) && is_below(other)).count()
    };
    let share = v1::GetShareRequest { indicator: "flag".into(), on: on.clone(), ..Default::default() };
    let figure = v1::AggregateRequest {
        indicator: "flag".into(),
        on: on.clone(),
        measure: v1::figure::Measure::Count.into(),
        ..Default::default()
    };
    match random.random_range(0..22) {
        0 => Check::new("GetUnitRequest", &v1::GetUnitRequest { id: id(unit), ..Default::default() }, is_hidden),
        1 => Check::new(
            "QueryServiceGetUnitRequest",
            &v1::QueryServiceGetUnitRequest { id: id(unit), ..Default::default() },
            is_hidden,
        ),
        2 => {
            let seen: BTreeSet<String> =
                (0..world.units.len()).filter(|unit| world.ever_sees(tops, *unit)).map(id).collect();
            let request = v1::ListUnitsRequest { page_size: 1000, ..Default::default() };
            Check::new("ListUnitsRequest", &request, false).and(move |answer| {
                let units = v1::ListUnitsResponse::decode(answer).expect("an answer").units;
                units.into_iter().map(|unit| unit.id).collect::<BTreeSet<_>>() == seen
            })
        }
        3 => Check::new(
            "ListUnitsRequest",
            &v1::ListUnitsRequest { under: id(unit), page_size: 1000, ..Default::default() },
            is_hidden,
        ),
        4 | 5 => {
            let request = if random.random() {
                Check::new("FindUnitsRequest", &v1::FindUnitsRequest { name: name(unit), ..Default::default() }, false)
            } else {
                let request = v1::QueryServiceFindUnitsRequest { name: name(unit), ..Default::default() };
                Check::new("QueryServiceFindUnitsRequest", &request, false)
            };
            let count = usize::from(!is_hidden);
            request.and(move |answer| v1::FindUnitsResponse::decode(answer).expect("an answer").units.len() == count)
        }
        6 => Check::new(
            "ListHierarchyRequest",
            &v1::ListHierarchyRequest {
                unit: id(unit),
                direction: random.random_range(1..=2),
                page_size: 1000,
                ..Default::default()
            },
            is_hidden,
        ),
        7 => Check::new(
            "ListUnitEventsRequest",
            &v1::ListUnitEventsRequest { unit: id(unit), page_size: 1000, ..Default::default() },
            is_hidden,
        ),
        8 => Check::new(
            "ListUnitEventsRequest",
            &v1::ListUnitEventsRequest { page_size: 1000, ..Default::default() },
            false,
        ),
        9 => Check::new(
            "GetReportRequest",
            &v1::GetReportRequest { name: report_name, ..Default::default() },
            is_hidden_report,
        ),
        10 => Check::new(
            "ListReportVersionsRequest",
            &v1::ListReportVersionsRequest { name: report_name, ..Default::default() },
            is_hidden_report,
        ),
        11 => {
            let seen: BTreeSet<String> = world
                .reports
                .iter()
                .zip(names)
                .filter(|(report, _)| world.sees_report(tops, report))
                .map(|(_, name)| name.clone())
                .collect();
            let request = v1::ListReportsRequest { page_size: 1000, ..Default::default() };
            Check::new("ListReportsRequest", &request, false).and(move |answer| {
                let reports = v1::ListReportsResponse::decode(answer).expect("an answer").reports;
                reports.into_iter().map(|report| report.name).collect::<BTreeSet<_>>() == seen
            })
        }
        12 => Check::new(
            "ListReportsRequest",
            &v1::ListReportsRequest { unit: id(unit), page_size: 1000, ..Default::default() },
            is_hidden,
        ),
        13 => Check::new(
            "ListFindingsRequest",
            &v1::ListFindingsRequest { include_resolved: true, page_size: 1000, ..Default::default() },
            false,
        ),
        14 => {
            let report = Report {
                unit,
                year,
                group: if random.random_bool(0.3) {
                    vec![random.random_range(0..=world.units.len())]
                } else {
                    Vec::new()
                },
                says: true,
                is_withdrawn: false,
            };
            let is_there = |unit: &usize| *unit < world.units.len();
            let is_known = [report.unit].iter().chain(&report.group).all(is_there);
            let is_denied = !is_known || !world.sees_report(tops, &report);
            Check {
                method: "SubmitReportRequest",
                request: submission(9_999, &report, true),
                is_denied,
                holds: Box::new(|_| true),
            }
        }
        15 => Check::new(
            "WithdrawReportRequest",
            &v1::WithdrawReportRequest {
                name: report_name,
                reason: "r".into(),
                // Never the newest one, so that nothing is withdrawn.
                expected_revision: Some(1),
                ..Default::default()
            },
            is_hidden_report,
        ),
        16 => {
            let is_counted = !is_hidden && world.sees(tops, unit, year);
            let speaks = |report: &&Report| {
                let is_of_it = report.unit == unit || report.group.contains(&unit);
                is_of_it && report.year == year && !report.is_withdrawn && world.sees_report(tops, report)
            };
            let heard: BTreeSet<bool> = world.reports.iter().filter(speaks).map(|report| report.says).collect();
            let request = v1::GetShareRequest { units: ids(), ..share };
            Check::new("GetShareRequest", &request, is_hidden).and(move |answer| {
                let shares = v1::GetShareResponse::decode(answer).expect("an answer").shares;
                let row = &shares[0];
                let said = row.yes() + row.no();
                // Reports that contradict each other are weighed elsewhere.
                row.expected() == i32::from(is_counted)
                    && (heard.len() > 1 || said == i32::from(is_counted && !heard.is_empty()))
            })
        }
        17 => {
            let expected = i32::try_from(seen_on(year)).expect("a few");
            let request = v1::GetShareRequest { units: under(), ..share };
            Check::new("GetShareRequest", &request, is_hidden).and(move |answer| {
                let answer = v1::GetShareResponse::decode(answer).expect("an answer");
                answer.shares[0].expected() == expected && answer.meta.is_some_and(|meta| meta.visible.is_some())
            })
        }
        18 => {
            let request = v1::GetShareRequest {
                units: under(),
                group_by: (*["UNIT", "PROVINCE", "DISTRICT"].choose(random).expect("one")).into(),
                boundaries_on: if random.random() {
                    format!("{}-06-30", random.random_range(YEARS))
                } else {
                    String::new()
                },
                ..share
            };
            Check::new("GetShareRequest", &request, is_hidden)
        }
        19 => {
            let known_at = Some(v1::KnownAt { at: Some(v1::known_at::At::Revision(random.random_range(40..80))) });
            Check::new("AggregateRequest", &v1::AggregateRequest { units: under(), known_at, ..figure }, is_hidden)
        }
        20 => Check::new(
            "ListObservationsRequest",
            &v1::ListObservationsRequest { units: under(), page_size: 1000, ..Default::default() },
            is_hidden,
        ),
        _ => {
            let question = v1::explain_request::Question::Share(v1::GetShareRequest { units: under(), ..share });
            Check::new(
                "ExplainRequest",
                &v1::ExplainRequest { question: Some(question), ..Default::default() },
                is_hidden,
            )
        }
    }
}

/// Words that stand in an answer and are not for the caller.
fn leaked(world: &World, tops: &BTreeSet<usize>, answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let units = (0..world.units.len()).filter(|unit| !world.ever_sees(tops, *unit) && !world.is_above(tops, *unit));
    let reports = world.reports.iter().enumerate().filter(|(_, report)| !world.sees_report(tops, report));
    let words = units.map(name).chain(reports.map(|(number, _)| title(number)));
    words.filter(|word| text.contains(word.as_str())).collect()
}

#[tokio::test]
async fn nobody_reads_or_writes_outside_of_what_he_may_see() {
    let checks = setting("TONGHOP_ACCESS_CHECKS").unwrap_or(CHECKS);
    let Run { done, denied, worlds } = run(seed(), checks, false).await;
    println!("{done} checks in {worlds} worlds, {denied} denied as they had to be, 0 leaks");
    // Where nearly all or nearly nothing is denied, the oracle says little.
    assert!(done < 1_000 || (denied > done / 10 && denied < done * 9 / 10), "{denied} of {done}");
}

#[tokio::test]
async fn the_matrix_notices_who_sees_one_unit_too_many() {
    let seed = seed();
    let noticed = tokio::spawn(run(seed, WORLD_CHECKS, true)).await.expect_err("somebody saw too much").into_panic();
    let said = noticed.downcast_ref::<String>().expect("it says what");
    assert!(said.contains("a leak") || said.contains("a wrong answer") || said.contains("TONGHOP_TEST_SEED"), "{said}");
}

/// What came of a run.
#[derive(Debug)]
struct Run {
    done: u64,
    denied: u64,
    worlds: u64,
}

/// Checks random callers in random worlds; where a bug is planted, each of them sees one unit more than the oracle thinks.
async fn run(seed: u64, checks: u64, is_planted: bool) -> Run {
    let unasked = Arc::new(Caller::unasked());
    let (mut done, mut denied, mut worlds) = (0, 0_u64, 0);
    while done < checks {
        let random = &mut StdRng::seed_from_u64(seed.wrapping_add(worlds));
        worlds += 1;
        let replay = format!("TONGHOP_TEST_SEED={}", seed.wrapping_add(worlds - 1));
        let world = World::random(random);
        let (services, _writer) = Services::start().await;
        let mut names = Vec::new();
        for (method, request) in world.requests() {
            let answer = call(&services, &unasked, method, &request).await;
            let answer = answer.unwrap_or_else(|status| panic!("{replay}: {method}: {status}"));
            if method == "SubmitReportRequest" {
                let answer = v1::SubmitReportResponse::decode(answer.as_slice()).expect("an answer");
                names.push(answer.report.expect("a report").name);
            }
        }
        for (name, _) in names.iter().zip(&world.reports).filter(|(_, report)| report.is_withdrawn) {
            let request = v1::WithdrawReportRequest { name: name.clone(), reason: "r".into(), ..Default::default() };
            call(&services, &unasked, "WithdrawReportRequest", &request.encode_to_vec()).await.expect("it counts");
        }
        let mut applier = Applier::new(Arc::new(MemoryArchive::default()));
        applier.open(services.log.store(), 1).expect("a new one");
        services.follow(&mut applier);
        let callers: Vec<(BTreeSet<usize>, Arc<Caller>)> = (0..12)
            .map(|_| {
                let count = random.random_range(0..=2);
                // Also a unit that is not registered.
                let tops: BTreeSet<usize> = (0..count).map(|_| random.random_range(1..=world.units.len())).collect();
                let extra = is_planted.then(|| random.random_range(1..world.units.len()));
                let scope = tops.iter().copied().chain(extra).map(id).collect::<BTreeSet<_>>();
                let scope = Scope::of_list(&scope.into_iter().collect::<Vec<_>>()).expect("ids");
                let tops = tops.into_iter().filter(|top| *top < world.units.len()).collect();
                (tops, Arc::new(Caller { scope, name: "somebody".into(), ..Caller::unasked() }))
            })
            .collect();
        for _ in 0..WORLD_CHECKS.min(checks - done) {
            let (tops, caller) = callers.choose(random).expect("there are some");
            let Check { method, request, is_denied, holds } = check(random, &world, &names, tops);
            let about = || format!("{replay}: check {done} of {checks}: {tops:?} {method} {request:?}");
            match call(&services, caller, method, &request).await {
                Ok(answer) => {
                    assert!(!is_denied, "a leak: {}", about());
                    assert!(holds(&answer), "a wrong answer: {}", about());
                    let leaked = leaked(&world, tops, &answer);
                    assert!(leaked.is_empty(), "a leak of {leaked:?}: {}", about());
                }
                Err(status) => {
                    assert_eq!(status.code() == Code::PermissionDenied, is_denied, "{status}: {}", about());
                    let told = [status.message().as_bytes(), status.details()].concat();
                    let leaked = leaked(&world, tops, &told);
                    assert!(leaked.is_empty(), "a leak of {leaked:?}: {status}: {}", about());
                    denied += u64::from(is_denied);
                }
            }
            done += 1;
        }
    }
    Run { done, denied, worlds }
}
