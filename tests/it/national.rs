//! A synthetic national load: every commune of June 2025 reports, seeded, some with bounds and some not at all. Every sum
//! and share by province is checked against plain arithmetic, on the map of June and on that of July.

use std::collections::BTreeMap;

use proto::v1::{
    AggregateRequest, DefineIndicatorsRequest, Figure, GetShareRequest, Indicator, Observation, RegisterUnitsRequest,
    Report, Share, Source, SubmitReportRequest, UnitEvent, UnitSelector,
    figure::Measure,
    indicator::{RollUp, Temporality, ValueKind},
    observation::{Money, Qualifier, Ratio, Value, money::Scale},
    unit::Level,
    unit_event::Type,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{
    fixtures,
    harness::{FREE_PORT, Pair, start_query},
    reform,
    stream::submit_all,
};

use crate::support::{FLAG, eventually, indicator, observation};

const EVE: &str = fixtures::COMPLETE_FROM;

/// What a commune reports; none of it if it is silent.
#[derive(Clone, Debug)]
struct Said {
    flag: bool,
    members: i64,
    is_bound: bool,
    cases: i64,
    millions: i64,
    met: (i64, i64),
}

fn indicators() -> Vec<Indicator> {
    let stock = |indicator: Indicator, roll_up: RollUp| Indicator {
        temporality: Temporality::Stock.into(),
        roll_up: roll_up.into(),
        ..indicator
    };
    vec![
        indicator(FLAG, ValueKind::Flag),
        stock(indicator("members", ValueKind::Count), RollUp::Last),
        indicator("cases", ValueKind::Count),
        indicator("revenue", ValueKind::Money),
        stock(indicator("targets_met", ValueKind::Ratio), RollUp::RatioOfSums),
    ]
}

fn report(unit: &str, said: &Said) -> SubmitReportRequest {
    let (numerator, denominator) = said.met;
    let qualifier = if said.is_bound { Qualifier::MoreThan } else { Qualifier::Exact };
    let money = Money { amount: said.millions.to_string(), scale: Scale::Million.into(), currency: "VND".into() };
    let observations = vec![
        observation(FLAG, Value::Flag(said.flag)),
        Observation { qualifier: qualifier.into(), ..observation("members", Value::Count(said.members)) },
        observation("cases", Value::Count(said.cases)),
        observation("revenue", Value::Money(money)),
        observation("targets_met", Value::Ratio(Ratio { numerator: Some(numerator), denominator: Some(denominator) })),
    ];
    let source = Some(Source { title: "synthetic".into(), ..Default::default() });
    let report = Report { unit: unit.into(), period: EVE.into(), source, observations, ..Default::default() };
    SubmitReportRequest { report: Some(report), ..Default::default() }
}

/// What the communes of a group add up to, by plain arithmetic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Total {
    yes: i32,
    no: i32,
    silent: i32,
    members: i64,
    is_bound: bool,
    cases: i64,
    millions: i64,
    met: (i64, i64),
}

impl Total {
    fn add(&mut self, said: Option<&Said>) {
        let Some(said) = said else {
            self.silent += 1;
            return;
        };
        if said.flag {
            self.yes += 1
        } else {
            self.no += 1
        }
        self.members += said.members;
        self.is_bound |= said.is_bound;
        self.cases += said.cases;
        self.millions += said.millions;
        self.met.0 += said.met.0;
        self.met.1 += said.met.1;
    }

    fn assert_share(&self, row: &Share) {
        let counts = (row.yes, row.no, row.not_reported, row.withheld, row.not_applicable);
        assert_eq!(counts, (Some(self.yes), Some(self.no), Some(self.silent), Some(0), Some(0)), "{}", row.unit);
        assert_eq!(row.expected, Some(self.yes + self.no + self.silent), "{}", row.unit);
    }

    fn assert_members(&self, row: &Figure) {
        assert_eq!(row.value, Some(self.members.to_string()), "{}", row.unit);
        assert_eq!(row.qualifier() == Qualifier::MoreThan, self.is_bound, "{}", row.unit);
        assert_eq!(
            (row.lower.as_deref(), row.lower_exclusive),
            (Some(self.members.to_string().as_str()), self.is_bound)
        );
        assert_eq!(row.upper.is_some(), self.silent == 0 && !self.is_bound, "{}", row.unit);
    }

    fn assert_ratio(&self, row: &Figure) {
        assert_eq!(
            (row.numerator.as_str(), row.denominator.as_str()),
            (&*self.met.0.to_string(), &*self.met.1.to_string())
        );
    }
}

struct National {
    pair: Pair,
    revision: i64,
    said: BTreeMap<String, Said>,
    /// Province of each commune in June.
    province: BTreeMap<String, String>,
    /// What each province of June became.
    into: BTreeMap<String, String>,
}

async fn load() -> National {
    let seed = std::env::var("TONGHOP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random());
    println!("TONGHOP_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let pair = Pair::start();
    let units = fixtures::units();
    for chunk in units.chunks(5_000) {
        let request = RegisterUnitsRequest { units: chunk.to_vec(), complete_from: EVE.into(), ..Default::default() };
        pair.registry().register_units(request).await.unwrap();
    }
    let define = DefineIndicatorsRequest { indicators: indicators(), ..Default::default() };
    pair.registry().define_indicators(define).await.unwrap();
    let by_id: BTreeMap<&str, &proto::v1::Unit> = units.iter().map(|unit| (unit.id.as_str(), unit)).collect();
    let communes: Vec<&str> =
        units.iter().filter(|unit| unit.level() == Level::Commune).map(|unit| unit.id.as_str()).collect();
    assert_eq!(communes.len(), 10_035);
    let mut said = BTreeMap::new();
    let mut province = BTreeMap::new();
    for id in &communes {
        let above = std::iter::successors(by_id.get(id), |unit| by_id.get(unit.parent.as_str()));
        let of = above.into_iter().find(|unit| unit.level() == Level::Province).unwrap();
        province.insert((*id).to_owned(), of.id.clone());
        if random.random_ratio(1, 7) {
            continue;
        }
        let targets = random.random_range(1..=20);
        let report = Said {
            flag: random.random(),
            members: random.random_range(0..2_000),
            is_bound: random.random_ratio(1, 500),
            cases: random.random_range(0..50),
            millions: random.random_range(0..90_000),
            met: (random.random_range(0..=targets), targets),
        };
        said.insert((*id).to_owned(), report);
    }
    let reports: Vec<SubmitReportRequest> = said.iter().map(|(unit, said)| report(unit, said)).collect();
    submit_all(pair.reports(), reports, |_| {}).await.unwrap();
    let events = reform::request();
    let merged = |event: &&UnitEvent| event.r#type() == Type::Merge;
    let from =
        |event: &UnitEvent| event.from.iter().map(|from| (from.clone(), event.into[0].clone())).collect::<Vec<_>>();
    let into = events.events.iter().filter(merged).flat_map(from).collect();
    let revision = pair.registry().record_unit_events(events).await.unwrap().into_inner().revision;
    National { pair, revision, said, province, into }
}

impl National {
    fn communes() -> Option<UnitSelector> {
        Some(UnitSelector { under: "vn".into(), level: Level::Commune.into(), ids: Vec::new() })
    }

    async fn shares(&self, group_by: &str, boundaries_on: &str) -> BTreeMap<String, Share> {
        let request = GetShareRequest {
            indicator: FLAG.into(),
            units: Self::communes(),
            group_by: group_by.into(),
            on: EVE.into(),
            boundaries_on: boundaries_on.into(),
            at_least_revision: Some(self.revision),
            page_size: 1_000,
            ..Default::default()
        };
        let (mut rows, mut page_token) = (BTreeMap::new(), String::new());
        loop {
            let request = GetShareRequest { page_token, ..request.clone() };
            let page =
                eventually(async || self.pair.queries().get_share(request.clone()).await.ok()).await.into_inner();
            rows.extend(page.shares.into_iter().map(|row| (row.unit.clone(), row)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return rows;
            }
        }
    }

    async fn figures(
        &self,
        indicator: &str,
        measure: Measure,
        group_by: &str,
        boundaries_on: &str,
    ) -> BTreeMap<String, Figure> {
        let request = AggregateRequest {
            indicator: indicator.into(),
            units: Self::communes(),
            group_by: group_by.into(),
            period: EVE.into(),
            boundaries_on: boundaries_on.into(),
            at_least_revision: Some(self.revision),
            measure: measure.into(),
            ..Default::default()
        };
        let answer = eventually(async || self.pair.queries().aggregate(request.clone()).await.ok()).await.into_inner();
        answer.figures.into_iter().map(|row| (row.unit.clone(), row)).collect()
    }

    /// What plain arithmetic says, by some name of a commune's group.
    fn totals(&self, group: impl Fn(&str) -> String) -> BTreeMap<String, Total> {
        let mut totals: BTreeMap<String, Total> = BTreeMap::new();
        for commune in self.province.keys() {
            totals.entry(group(commune)).or_default().add(self.said.get(commune));
        }
        totals
    }

    /// Every answer on that map against plain arithmetic.
    async fn assert_all(&self, group_by: &str, boundaries_on: &str, totals: &BTreeMap<String, Total>) {
        let shares = self.shares(group_by, boundaries_on).await;
        assert_eq!(shares.keys().collect::<Vec<_>>(), totals.keys().collect::<Vec<_>>());
        let members = self.figures("members", Measure::Sum, group_by, boundaries_on).await;
        let cases = self.figures("cases", Measure::Sum, group_by, boundaries_on).await;
        let revenue = self.figures("revenue", Measure::Sum, group_by, boundaries_on).await;
        let met = self.figures("targets_met", Measure::Ratio, group_by, boundaries_on).await;
        for (unit, total) in totals {
            total.assert_share(&shares[unit]);
            total.assert_members(&members[unit]);
            assert_eq!(cases[unit].value, Some(total.cases.to_string()), "{unit}");
            let in_full = if total.millions == 0 { "0".to_owned() } else { format!("{}000000", total.millions) };
            assert_eq!((&revenue[unit].value, revenue[unit].currency.as_str()), (&Some(in_full), "VND"), "{unit}");
            total.assert_ratio(&met[unit]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_province_adds_to_the_same_nation_on_both_maps() {
    let mut national = load().await;
    let nation = national.totals(|_| "vn".to_owned());
    let june = national.totals(|commune| national.province[commune].clone());
    let july = national.totals(|commune| {
        let province = &national.province[commune];
        national.into.get(province).unwrap_or(province).clone()
    });
    assert_eq!((june.len(), july.len()), (63, 34));
    national.assert_all("", "", &nation).await;
    national.assert_all("PROVINCE", "", &june).await;
    // The 34 new provinces have what their parts had.
    national.assert_all("PROVINCE", reform::EFFECTIVE_ON, &july).await;

    // By commune of July: what was divided is counted in no commune, and nothing is lost.
    let communes = national.shares("COMMUNE", reform::EFFECTIVE_ON).await;
    let unassignable = communes["unassignable"].expected.unwrap();
    assert!(unassignable > 0, "some communes were divided");
    let sum = |count: fn(&Share) -> Option<i32>| communes.values().map(|row| count(row).unwrap()).sum::<i32>();
    let total = &nation["vn"];
    let sums = (sum(|row| row.yes), sum(|row| row.no), sum(|row| row.not_reported));
    assert_eq!(sums, (total.yes, total.no, total.silent));

    // Killing and starting either service changes no answer, and another service gives the same rows.
    let before = national.shares("PROVINCE", reform::EFFECTIVE_ON).await;
    let second = start_query(&national.pair.ingest.uri(), FREE_PORT);
    national.pair.restart_ingest();
    national.pair.restart_query();
    assert_eq!(national.shares("PROVINCE", reform::EFFECTIVE_ON).await, before);
    let first = std::mem::replace(&mut national.pair.query, second);
    assert_eq!(national.shares("PROVINCE", reform::EFFECTIVE_ON).await, before);
    drop(first);
}
