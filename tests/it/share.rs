//! The share against the naive fold of the log, on random registries, reports and questions.

use proto::v1::{
    DefineIndicatorsRequest, GetShareRequest, KnownAt, Observation, RegisterUnitsRequest, Report, Source,
    SubmitReportRequest, Unit, UnitSelector, WithdrawReportRequest,
    indicator::ValueKind,
    known_at::At,
    observation::{Basis, Missing, Ratio, Scope, Value},
    unit::Level,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tests::harness::Pair;

use crate::{
    feed::entries,
    naive::{Question, World},
    support::{indicator, observation, unit},
};

/// Worlds in one run; `TONGHOP_TEST_WORLDS` asks for more.
const WORLDS: usize = 15;
const QUESTIONS_A_WORLD: usize = 60;

/// A number from the environment, for longer runs and for replaying one.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_share_equals_the_naive_fold_of_the_log() {
    let seed = setting("TONGHOP_TEST_SEED").unwrap_or_else(|| rand::rng().random());
    println!("TONGHOP_TEST_SEED={seed}");
    let worlds = setting("TONGHOP_TEST_WORLDS").map_or(WORLDS, |worlds| usize::try_from(worlds).unwrap());
    let mut random = StdRng::seed_from_u64(seed);
    let pair = Pair::start();
    let root = RegisterUnitsRequest { units: vec![unit("vn", Level::Country, "")], ..Default::default() };
    pair.registry().register_units(root).await.unwrap();
    for world in 0..worlds {
        let units = grow(&mut random, world);
        let flag = format!("flag_{world}");
        let revision = fill(&pair, &mut random, &units, &flag).await;
        let entries = entries(&pair).await;
        let naive = World::of(&entries);
        let mut queries = pair.queries();
        for _ in 0..QUESTIONS_A_WORLD {
            let question = question(&mut random, &units, &flag);
            let request = GetShareRequest {
                indicator: flag.clone(),
                units: Some(UnitSelector {
                    under: question.under.clone(),
                    level: question.level.map_or(0, Into::into),
                    ids: question.ids.clone(),
                }),
                group_by: question.group_by.map_or_else(String::new, |level| level.as_str_name().to_owned()),
                on: question.day.clone(),
                at_least_revision: Some(revision),
                ..Default::default()
            };
            let answer = loop {
                match queries.get_share(request.clone()).await {
                    Ok(answer) => break answer.into_inner(),
                    // It was just started, and is still reading its log.
                    Err(status) if crate::support::reason(&status) == "CATCHING_UP" => crate::support::pause().await,
                    Err(status) => panic!("{status}: {request:?}"),
                }
            };
            assert_eq!(answer.shares, naive.share(&question), "world {world}: {question:?}");

            // As it was known then: the same question to the entries up to the last end of a change.
            let then = random.random_range(1..=entries.len());
            let ended = entries[..then].iter().rposition(|entry| entry.ends_change).map_or(0, |place| place + 1);
            let past = World::of(&entries[..ended]);
            let known_at = Some(KnownAt { at: Some(At::Revision(i64::try_from(then).unwrap())) });
            match queries.get_share(GetShareRequest { known_at, ..request }).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    assert_eq!(answer.meta.unwrap().revision, i64::try_from(ended).unwrap());
                    assert_eq!(answer.shares, past.share(&question), "world {world} at {then}: {question:?}");
                }
                // Then the indicator or a unit was not there yet.
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::NotFound, "{status}");
                    assert!(!past.knows(&question), "world {world} at {then}: {question:?}");
                }
            }
        }
    }
}

/// A province with districts and communes of its own; some communes stand directly below it, some units begin late.
fn grow(random: &mut StdRng, world: usize) -> Vec<Unit> {
    let province = format!("w{world}");
    let mut units = vec![unit(&province, Level::Province, "vn")];
    for district in 0..random.random_range(1..4) {
        let id = format!("{province}-d{district}");
        let from = if random.random_bool(0.3) { "2012-06-15".to_owned() } else { String::new() };
        units.push(Unit { valid_from: from, ..unit(&id, Level::District, &province) });
        for commune in 0..random.random_range(0..5) {
            let from = if random.random_bool(0.3) { "2014-03-01".to_owned() } else { String::new() };
            let id = format!("{id}-c{commune}");
            units.push(Unit { valid_from: from, ..unit(&id, Level::Commune, &format!("{province}-d{district}")) });
        }
    }
    for commune in 0..random.random_range(0..3) {
        units.push(unit(&format!("{province}-c{commune}"), Level::Commune, &province));
    }
    units
}

/// Registers the units and submits reports about them, corrections of reports among them.
async fn fill(pair: &Pair, random: &mut StdRng, units: &[Unit], flag: &str) -> i64 {
    let complete_from = if random.random_bool(0.5) { "2013-01-01".to_owned() } else { String::new() };
    let request = RegisterUnitsRequest { units: units.to_vec(), complete_from, ..Default::default() };
    pair.registry().register_units(request).await.unwrap();
    let indicators = vec![indicator(flag, ValueKind::Flag)];
    let request = DefineIndicatorsRequest { indicators, ..Default::default() };
    let mut revision = pair.registry().define_indicators(request).await.unwrap().into_inner().revision;
    let mut reports = pair.reports();
    let mut names: Vec<String> = Vec::new();
    for number in 0..random.random_range(10..60) {
        let mut report = report(random, units, flag, number);
        if random.random_bool(0.2)
            && let Some(name) = names.choose(random)
        {
            report.name = name.clone();
        }
        let request = SubmitReportRequest { report: Some(report), ..Default::default() };
        match reports.submit_report(request).await {
            Ok(receipt) => {
                let receipt = receipt.into_inner();
                revision = receipt.revision.unwrap();
                names.push(receipt.report.unwrap().name);
                if random.random_bool(0.1) {
                    let name = names.choose(random).unwrap().clone();
                    let withdraw = WithdrawReportRequest { name, reason: "a test".to_owned(), ..Default::default() };
                    // It may have been withdrawn before.
                    if let Ok(receipt) = reports.withdraw_report(withdraw).await {
                        revision = receipt.into_inner().revision.unwrap();
                    }
                }
            }
            // A period before a unit's life is refused, and so is a name for what another report is.
            Err(status) => assert!(
                ["UNIT_NOT_ALIVE", "REPORT_IDENTITY_TAKEN"].contains(&crate::support::reason(&status).as_str()),
                "{status}"
            ),
        }
    }
    revision
}

fn report(random: &mut StdRng, units: &[Unit], flag: &str, number: usize) -> Report {
    let periods = [
        "2010",
        "2012",
        "2012-S1",
        "2012-Q2",
        "2012-06",
        "2012-06-15",
        "2010/2016",
        "2014-02/2014-04",
        "../2013",
        "2012/..",
        "2016-Q4",
    ];
    let days = ["", "2012-06-20", "2013-12-31", "2016-01-01", "2020-01-01"];
    let unit = units.choose(random).unwrap().id.clone();
    let mut observations: Vec<Observation> = Vec::new();
    if random.random_bool(0.8) {
        let missing = [Missing::NotReported, Missing::NotApplicable, Missing::Withheld];
        let value = match random.random_range(0..10) {
            0..5 => Value::Flag(true),
            5..8 => Value::Flag(false),
            _ => Value::Missing((*missing.choose(random).unwrap()).into()),
        };
        let basis = *[Basis::Unspecified, Basis::Estimate, Basis::Projection, Basis::Planned].choose(random).unwrap();
        observations.push(Observation { basis: basis.into(), ..observation(flag, value) });
    }
    if random.random_bool(0.3) || observations.is_empty() {
        let scope = *[Scope::Children, Scope::Subtree].choose(random).unwrap();
        let value = match random.random_range(0..3) {
            0 => Value::Ratio(Ratio { numerator: Some(1), denominator: Some(3) }),
            1 => Value::Missing(Missing::Withheld.into()),
            _ => Value::Percent("33.30".to_owned()),
        };
        observations.push(Observation { scope: scope.into(), ..observation(flag, value) });
    }
    Report {
        unit,
        period: (*periods.choose(random).unwrap()).to_owned(),
        source: Some(Source {
            // Few titles, so that some submissions are new versions.
            title: format!("source {}", number % 7),
            published_on: (*days.choose(random).unwrap()).to_owned(),
            ..Default::default()
        }),
        observations,
        ..Default::default()
    }
}

fn question(random: &mut StdRng, units: &[Unit], flag: &str) -> Question {
    let days = [
        "2010-01-01",
        "2012-06-14",
        "2012-06-15",
        "2012-06-21",
        "2012-12-31",
        "2014-03-01",
        "2016-12-31",
        "2024-01-01",
    ];
    let levels = [Level::Province, Level::District, Level::Commune];
    let mut ids: Vec<String> = Vec::new();
    let mut under = units.choose(random).unwrap().id.clone();
    let mut level = random.random_bool(0.6).then(|| *levels.choose(random).unwrap());
    if random.random_bool(0.25) {
        ids = units.choose_multiple(random, 4).map(|unit| unit.id.clone()).collect();
        ids.sort();
        (under, level) = (String::new(), None);
    }
    Question {
        indicator: flag.to_owned(),
        under,
        level,
        ids,
        group_by: random.random_bool(0.5).then(|| *levels.choose(random).unwrap()),
        day: (*days.choose(random).unwrap()).to_owned(),
    }
}
