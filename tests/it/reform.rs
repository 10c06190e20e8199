//! The reform of 1 July 2025, as it was: who ended, who came, who came from whom.

use proto::v1::{
    GetReportRequest, GetShareRequest, GetUnitRequest, KnownAt, ListHierarchyRequest, ListSuccessionRequest,
    ListUnitsRequest, Observation, Report, Source, SubmitReportRequest, UnitEvent, UnitSelector, WithdrawReportRequest,
    known_at::At,
    list_hierarchy_request::Direction as Way,
    list_succession_request::Direction,
    list_succession_response::{Extent, Path},
    observation::Value,
    unit::Level,
    unit_event::{Status, Type},
};
use tests::{fixtures, harness::Pair, reform};

use crate::support::{reason, submit, violations};

const EVE: &str = "2025-06-30";
const DAY: &str = reform::EFFECTIVE_ON;

/// How many units of a level live under the country on a day, by the ingest-service.
async fn listed(pair: &Pair, level: Level, on: &str) -> usize {
    let (mut count, mut page_token) = (0, String::new());
    loop {
        let request = ListUnitsRequest {
            page_size: 1000,
            page_token,
            on: on.to_owned(),
            under: "vn".to_owned(),
            level: level.into(),
        };
        let page = pair.registry().list_units(request).await.unwrap().into_inner();
        count += page.units.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return count;
        }
    }
}

/// The same by the query-service, as known at a revision.
async fn expected(pair: &Pair, level: Level, on: &str, known_at: i64) -> i32 {
    let request = GetShareRequest {
        indicator: "secretary_chairs_peoples_council".to_owned(),
        units: Some(UnitSelector { under: "vn".to_owned(), level: level.into(), ..Default::default() }),
        on: on.to_owned(),
        known_at: Some(KnownAt { at: Some(At::Revision(known_at)) }),
        at_least_revision: Some(known_at),
        ..Default::default()
    };
    pair.queries().get_share(request).await.unwrap().into_inner().shares[0].expected.unwrap()
}

async fn paths(pair: &Pair, unit: &str, direction: Direction) -> Vec<Path> {
    let (mut paths, mut page_token) = (Vec::new(), String::new());
    loop {
        // Small pages, so that a walk over several is tried, too.
        let request = ListSuccessionRequest {
            unit: unit.to_owned(),
            direction: direction.into(),
            page_size: 5,
            page_token,
            ..Default::default()
        };
        let page = pair.registry().list_succession(request).await.unwrap().into_inner();
        paths.extend(page.paths);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return paths;
        }
    }
}

fn distinct<T: Ord>(items: impl IntoIterator<Item = T>) -> std::collections::BTreeSet<T> {
    items.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reform_ends_the_districts_and_forms_new_communes_and_provinces() {
    let pair = Pair::start();
    let revision = fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let counts = [(Level::Province, 63, 34), (Level::District, 696, 0), (Level::Commune, 10_035, 3_321)];
    for (level, before, after) in counts {
        let name = level.as_str_name();
        assert_eq!(listed(&pair, level, EVE).await, before, "{name}");
        assert_eq!(listed(&pair, level, DAY).await, after, "{name}");
        assert_eq!(expected(&pair, level, EVE, revision).await as usize, before, "{name}");
        assert_eq!(expected(&pair, level, DAY, revision).await as usize, after, "{name}");
    }

    // One change: as known inside of it, nothing of it has happened yet.
    let request = proto::v1::ListUnitEventsRequest { unit: "district-171".to_owned(), ..Default::default() };
    let event = pair.registry().list_unit_events(request).await.unwrap().into_inner().events.remove(0);
    assert_eq!((event.id.as_str(), event.r#type()), ("reform-2025-districts", Type::Dissolve));
    assert_eq!(expected(&pair, Level::District, DAY, event.revision - 1).await, 696);
    assert_eq!(expected(&pair, Level::Commune, DAY, event.revision - 1).await, 10_035);

    // Tân Kỳ went as a whole into seven communes.
    let tan_ky = paths(&pair, "district-423", Direction::Successors).await;
    assert_eq!(distinct(tan_ky.iter().map(|path| &path.unit)).len(), 7);
    assert!(tan_ky.iter().all(|path| path.extent() == Extent::Whole && path.steps.len() == 2), "{tan_ky:?}");
    // Long Biên into seven, and 12 of its 13 wards were divided.
    let long_bien = paths(&pair, "district-004", Direction::Successors).await;
    assert_eq!(distinct(long_bien.iter().map(|path| &path.unit)).len(), 7);
    let divided = long_bien.iter().filter(|path| path.extent() == Extent::Part);
    let wards = |path: &Path| path.steps[0].into.clone();
    assert_eq!(distinct(divided.clone().map(wards)).len(), 12);
    assert_eq!(distinct(long_bien.iter().map(wards)).len(), 13);
    let main = distinct(divided.filter(|path| path.steps[1].is_main).map(wards));
    assert_eq!(main.len(), 12, "each divided ward has one main successor");
    // Communes that kept their id are what their district has become, too.
    let district = paths(&pair, "district-030", Direction::Successors).await;
    let kept = district.iter().filter(|path| path.steps.len() == 1).map(|path| path.unit.as_str());
    assert!(kept.clone().count() > 0 && kept.clone().all(|unit| !unit.ends_with("-2025")), "{district:?}");
    assert!(district.iter().filter(|path| path.steps.len() == 1).all(|path| path.extent() == Extent::Whole));
    // And back: a province came from two.
    let thai_nguyen = paths(&pair, "province-19-2025", Direction::Predecessors).await;
    let from: Vec<&str> = thai_nguyen.iter().map(|path| path.unit.as_str()).collect();
    assert_eq!(from, ["province-06", "province-19"]);

    // The code 00004 was given out again; an id never is.
    let unit = async |id: &str, on: &str| {
        let request = GetUnitRequest { id: id.to_owned(), on: on.to_owned() };
        pair.registry().get_unit(request).await.map(|answer| answer.into_inner().unit.unwrap())
    };
    let (old, new) = (unit("commune-00004", EVE).await.unwrap(), unit("commune-00004-2025", DAY).await.unwrap());
    assert_eq!((old.name.as_str(), new.name.as_str()), ("Phường Trúc Bạch", "Phường Ba Đình"));
    assert_eq!((old.official_code.as_str(), new.official_code.as_str()), ("00004", "00004"));
    assert_eq!((old.valid_until.as_str(), new.valid_from.as_str()), (EVE, DAY));
    assert_eq!(reason(&unit("commune-00004", DAY).await.unwrap_err()), "UNIT_NOT_ALIVE");
    assert_eq!(reason(&unit("commune-00004-2025", EVE).await.unwrap_err()), "UNIT_NOT_ALIVE");
    // An island district became a commune-level zone and kept its id: two states.
    let island = GetUnitRequest { id: "district-318".to_owned(), ..Default::default() };
    let states = pair.registry().get_unit(island).await.unwrap().into_inner().states;
    let seen: Vec<(Level, &str)> =
        states.iter().map(|state| (state.unit.as_ref().unwrap().level(), state.end_on.as_str())).collect();
    assert_eq!(seen, [(Level::District, EVE), (Level::Commune, "")]);

    // Who stood above a commune that kept its id, over both maps.
    let kept = states[0].unit.as_ref().unwrap().id.clone();
    let request = ListHierarchyRequest { unit: kept, direction: Way::Ancestors.into(), ..Default::default() };
    let above = pair.registry().list_hierarchy(request).await.unwrap().into_inner().rows;
    let above: Vec<(String, String, i32)> =
        above.into_iter().map(|row| (row.unit.unwrap().id, row.end_on, row.distance)).collect();
    assert!(above.contains(&("province-31".to_owned(), EVE.to_owned(), 1)), "{above:?}");
    assert!(above.contains(&("province-31-2025".to_owned(), String::new(), 1)), "{above:?}");
    let request = ListHierarchyRequest {
        unit: "vn".to_owned(),
        direction: Way::Descendants.into(),
        start_on: DAY.to_owned(),
        page_size: 1000,
        ..Default::default()
    };
    let (mut below, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListHierarchyRequest { page_token, ..request.clone() };
        let page = pair.registry().list_hierarchy(request).await.unwrap().into_inner();
        below.extend(page.rows);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(below.len(), 34 + 3_321, "who stands below the country from that day on");
}

fn report(unit: &str, period: &str) -> SubmitReportRequest {
    let observation = Observation {
        indicator: "party_members_disciplined".to_owned(),
        value: Some(Value::Count(3)),
        ..Default::default()
    };
    let report = Report {
        unit: unit.to_owned(),
        period: period.to_owned(),
        source: Some(Source { title: "a test".to_owned(), ..Default::default() }),
        observations: vec![observation],
        ..Default::default()
    };
    SubmitReportRequest { report: Some(report), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_reported_on_for_days_on_which_it_lives() {
    let pair = Pair::start();
    fixtures::load(pair.ingest.channel(), |_, _| {}).await.unwrap();
    let refused = submit(&pair, report("district-171", "2025-08")).await.unwrap_err();
    assert_eq!(violations(&refused), [("report.period".to_owned(), "UNIT_NOT_ALIVE".to_owned())]);
    let accepted = submit(&pair, report("district-171", "2024")).await.unwrap();
    assert!(accepted.findings.is_empty(), "{:?}", accepted.findings);
    // A part of the period is enough, and is said.
    let partly = submit(&pair, report("district-171", "2025")).await.unwrap();
    let reasons: Vec<&str> = partly.findings.iter().map(|finding| finding.reason().as_str_name()).collect();
    assert_eq!(reasons, ["UNIT_LIVES_PARTLY"]);
    assert!(submit(&pair, report("commune-00004-2025", "2025-06")).await.is_err());

    // What was reported is never overwritten: a withdrawn report is still there, with its reason.
    let name = accepted.report.unwrap().name;
    let request = WithdrawReportRequest { name: name.clone(), reason: "a test".into(), ..Default::default() };
    pair.reports().withdraw_report(request).await.unwrap();
    let stored = pair.reports().get_report(GetReportRequest { name, version: 1 }).await.unwrap().into_inner();
    assert_eq!(stored.report.unwrap().withdrawal.unwrap().reason, "a test");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_revised_from_planned_to_effective_to_cancelled() {
    let pair = Pair::start();
    crate::support::small_world(&pair).await;
    let alive = async |on: &str| {
        let request = ListUnitsRequest { on: on.into(), level: Level::Commune.into(), ..Default::default() };
        let units = pair.registry().list_units(request).await.unwrap().into_inner().units;
        units.into_iter().map(|unit| unit.id).collect::<Vec<_>>().join(" ")
    };
    let merger = |status: Status| UnitEvent {
        id: "merger".into(),
        r#type: Type::Merge.into(),
        effective_on: "2020-01-01".into(),
        from: vec!["c0".into(), "c1".into()],
        into: vec!["new".into()],
        status: status.into(),
        ..Default::default()
    };
    let record = async |status: Status, units: Vec<proto::v1::Unit>| {
        let request = proto::v1::RecordUnitEventsRequest { events: vec![merger(status)], units, ..Default::default() };
        pair.registry().record_unit_events(request).await.map(|answer| answer.into_inner().revision)
    };
    let new = crate::support::unit("new", Level::Commune, "d");
    let planned = record(Status::Planned, vec![new.clone()]).await.unwrap();
    assert_eq!(alive("2020-01-01").await, "c0 c1 c2 c3 c4", "a plan moves nothing");
    let effective = record(Status::Effective, vec![new]).await.unwrap();
    assert!(effective > planned);
    assert_eq!(alive("2019-12-31").await, "c0 c1 c2 c3 c4");
    assert_eq!(alive("2020-01-01").await, "c2 c3 c4 new");
    assert_eq!(record(Status::Effective, Vec::new()).await.unwrap(), effective, "nothing new in it");
    record(Status::Cancelled, Vec::new()).await.unwrap();
    assert_eq!(alive("2020-01-01").await, "c0 c1 c2 c3 c4", "and nothing is lost");
}
