//! The same answer by every path: what columns say 64 units at a time, unit by unit, and what the reports themselves say.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, civil::Date};
use proptest::{collection::vec, prelude::*};
use shared::{
    change::{Change, Entry},
    codec::{Record, genesis, next_link},
    model::{
        finding::{Finding, FindingReason, Severity},
        ids::{IndicatorId, ReportName, UnitId},
        indicator::{Exception, Indicator, RollUp, Temporality, ValueKind},
        log::{Revision, StoreId},
        period::{Period, Span, parse_day},
        query::{
            Admitted, Condition, FigureRow, GroupBy, KnownAt, ReportFilter, ShareRow, Slot, Support, UnitSelector,
        },
        report::{Basis, Missing, Observation, Qualifier, Ratio, Report, Scale, Scope, Source, Value},
        unit::{Level, Organ, Unit},
    },
};
use uuid::Uuid;

use super::*;
use crate::{
    archive::{Archive, MemoryArchive},
    index::{Damaged, Index, Loading},
};

const PERIODS: [(&str, &str, &str); 7] = [
    ("2024", "2024-01-01", "2024-12-31"),
    ("2024-Q1", "2024-01-01", "2024-03-31"),
    ("2024-Q2", "2024-04-01", "2024-06-30"),
    ("2024-Q3", "2024-07-01", "2024-09-30"),
    ("2024-Q4", "2024-10-01", "2024-12-31"),
    ("2024-S2", "2024-07-01", "2024-12-31"),
    ("2024-08", "2024-08-01", "2024-08-31"),
];
const KINDS: [(&str, ValueKind, Temporality, RollUp); 6] = [
    ("flag", ValueKind::Flag, Temporality::State, RollUp::ShareOfUnits),
    ("cases", ValueKind::Count, Temporality::Flow, RollUp::Sum),
    ("members", ValueKind::Count, Temporality::Stock, RollUp::Last),
    ("resolved", ValueKind::Ratio, Temporality::Flow, RollUp::RatioOfSums),
    ("revenue", ValueKind::Money, Temporality::Flow, RollUp::Sum),
    ("hectares", ValueKind::Decimal, Temporality::Stock, RollUp::Sum),
];
const UNITS: usize = 130;

fn day(text: &str) -> Date {
    parse_day(text).unwrap()
}

fn span(place: usize) -> Span {
    let (_, first, last) = PERIODS[place];
    Span { first_day: Some(day(first)), last_day: Some(day(last)) }
}

fn unit_id(number: usize) -> UnitId {
    format!("unit-{number}").parse().unwrap()
}

/// A country, ten provinces, and communes below them; some are there only since May, some have another kind.
fn unit(number: usize) -> Unit {
    let (level, parent) = match number {
        0 => (Level::Country, None),
        1..=10 => (Level::Province, Some(unit_id(0))),
        _ => (Level::Commune, Some(unit_id(1 + number % 10))),
    };
    Unit {
        id: unit_id(number),
        level,
        kind: if number % 7 == 3 { "ward" } else { "commune" }.to_owned(),
        name: format!("Unit {number}"),
        parent,
        official_code: String::new(),
        attributes: [("register".to_owned(), "kept".to_owned())].into(),
        valid_from: (number % 17 == 16).then(|| day("2024-05-01")),
        valid_until: None,
        formed_by_event: false,
    }
}

fn indicator(place: usize, excepts: bool) -> Indicator {
    let (id, value_kind, temporality, roll_up) = KINDS[place];
    let exception = Exception {
        under: unit_id(2),
        level: None,
        kind: String::new(),
        span: span(2),
        reason: "not asked there".to_owned(),
    };
    Indicator {
        id: id.parse().unwrap(),
        names: [("en".to_owned(), id.to_owned())].into(),
        value_kind,
        temporality,
        roll_up,
        dimensions: Vec::new(),
        unit_of_measure: String::new(),
        version: 1,
        valid_from: None,
        codes: Vec::new(),
        levels: if place == 2 { vec![Level::Commune] } else { Vec::new() },
        not_applicable: if excepts { vec![exception] } else { Vec::new() },
        change_of: None,
        balance: None,
        description: String::new(),
    }
}

#[derive(Clone, Debug)]
struct Said {
    indicator: usize,
    number: i64,
    oddity: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Report { unit: usize, period: usize, said: Vec<Said>, published: u8, finds: bool },
    Group { units: Vec<usize>, period: usize, flag: bool },
    Correct { of: usize, said: Vec<Said> },
    Withdraw { of: usize },
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    let one = (0..KINDS.len(), 0..9_000_i64, 0..40_u8);
    let one = one.prop_map(|(indicator, number, oddity)| Said { indicator, number, oddity });
    vec(one, 1..6).prop_map(|mut said| {
        said.sort_by_key(|said| said.indicator);
        said.dedup_by_key(|said| said.indicator);
        said
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (1..UNITS, 0..PERIODS.len(), said(), 0..8_u8, 0..30_u8).prop_map(|(unit, period, said, published, finds)| {
            Step::Report { unit, period, said, published, finds: finds == 0 }
        }),
        1 => (vec(11..UNITS, 1..4), 0..PERIODS.len(), any::<bool>()).prop_map(|(mut units, period, flag)| {
            units.sort_unstable();
            units.dedup();
            Step::Group { units, period, flag }
        }),
        6 => (any::<usize>(), said()).prop_map(|(of, said)| Step::Correct { of, said }),
        3 => any::<usize>().prop_map(|of| Step::Withdraw { of }),
    ]
}

fn observation(said: &Said) -> Observation {
    let number = said.number;
    let value = match (KINDS[said.indicator].1, said.oddity) {
        (_, 0) => Value::Missing(Missing::NotReported),
        (_, 1) => Value::Missing(Missing::Withheld),
        (ValueKind::Flag, _) => Value::Flag(number % 3 == 0),
        (ValueKind::Ratio, _) => Value::Ratio(Ratio::new(number / 2, number + 1).unwrap()),
        (ValueKind::Money, oddity) => Value::Money {
            amount: rust_decimal::Decimal::new(number, 2),
            scale: if oddity % 2 == 0 { Scale::Million } else { Scale::Unit },
            currency: if oddity == 2 { "USD" } else { "VND" }.to_owned(),
        },
        (ValueKind::Decimal, oddity) => Value::Decimal(rust_decimal::Decimal::new(number, u32::from(oddity % 4))),
        _ => Value::Count(number),
    };
    let is_number = value.is_number();
    Observation {
        indicator: KINDS[said.indicator].0.parse().unwrap(),
        by: BTreeMap::new(),
        scope: Scope::Own,
        units: Vec::new(),
        indicator_version: if said.oddity == 3 { 2 } else { 1 },
        value,
        qualifier: if is_number && said.oddity == 4 { Qualifier::MoreThan } else { Qualifier::Exact },
        basis: if said.oddity == 5 { Basis::Projection } else { Basis::Actual },
        stated_percent: None,
        note: String::new(),
    }
}

fn report(name: u64, version: u32, unit: usize, period: usize, observations: Vec<Observation>) -> Report {
    Report {
        name: ReportName(name),
        version,
        unit: unit_id(unit),
        organ: Organ::Party,
        period: Period::of_days(PERIODS[period].0, span(period)),
        issuer: None,
        sender: String::new(),
        form: String::new(),
        source: Source {
            title: "report".to_owned(),
            uri: String::new(),
            published_on: None,
            sha256: String::new(),
            locator: String::new(),
        },
        observations,
        note: String::new(),
    }
}

/// An index that has taken in a register, definitions and what reporters did.
struct World {
    archive: Arc<MemoryArchive>,
    index: Index,
    link: shared::model::log::Link,
    entries: Vec<Arc<Entry>>,
    /// Reports that count: name, version, unit, period.
    reports: Vec<(u64, u32, usize, usize)>,
}

impl World {
    fn new(excepts: bool) -> Self {
        let archive = Arc::new(MemoryArchive::default());
        let index = Index::new(archive.clone());
        let link = genesis(StoreId(Uuid::from_u128(1)));
        let mut world = Self { archive, index, link, entries: Vec::new(), reports: Vec::new() };
        for number in 0..UNITS {
            world.add(Change::UnitRegistered(unit(number)), Vec::new());
        }
        for place in 0..KINDS.len() {
            world.add(Change::IndicatorDefined(indicator(place, excepts)), Vec::new());
        }
        world
    }

    fn next(&self) -> u64 {
        self.link.revision.next().get()
    }

    fn add(&mut self, change: Change, findings: Vec<Finding>) {
        let revision = self.link.revision.next();
        let entry = Entry {
            revision,
            record_time: Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: None,
            principal: Default::default(),
            findings,
            change,
        };
        // Nobody reads the bytes here.
        self.link = next_link(&self.link, &[]);
        let entry = Arc::new(entry);
        self.archive.keep(&Record { link: self.link, entry: Vec::new() }, &entry);
        self.index.apply(&entry);
        self.entries.push(entry);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Report { unit, period, said, published, finds } => {
                let name = self.next();
                let mut report = report(name, 1, *unit, *period, said.iter().map(observation).collect());
                report.source.published_on = match published {
                    0 => Some(day("2024-08-15")),
                    1 => Some(day("2025-02-01")),
                    _ => None,
                };
                let finding = Finding {
                    severity: Severity::Warning,
                    reason: FindingReason::SourcesDisagree,
                    path: "report.observations[0]".to_owned(),
                    message: "odd".to_owned(),
                    hypothesis: None,
                    others: self
                        .reports
                        .first()
                        .map(|(name, ..)| (ReportName(*name), Revision::from(*name)))
                        .into_iter()
                        .collect(),
                    unnamed_others: 0,
                };
                self.add(Change::ReportSubmitted(Box::new(report)), if *finds { vec![finding] } else { Vec::new() });
                self.reports.push((name, 1, *unit, *period));
            }
            Step::Group { units, period, flag } => {
                let said = Said { indicator: 0, number: i64::from(!flag), oddity: 9 };
                let units = units.iter().map(|unit| unit_id(*unit)).collect();
                let observation = Observation { scope: Scope::Group, units, ..observation(&said) };
                let report = report(self.next(), 1, 1, *period, vec![observation]);
                self.add(Change::ReportSubmitted(Box::new(report)), Vec::new());
            }
            Step::Correct { of, said } if !self.reports.is_empty() => {
                let place = of % self.reports.len();
                self.reports[place].1 += 1;
                let (name, version, unit, period) = self.reports[place];
                let report = report(name, version, unit, period, said.iter().map(observation).collect());
                self.add(Change::ReportSubmitted(Box::new(report)), Vec::new());
            }
            Step::Withdraw { of } if !self.reports.is_empty() => {
                let (name, ..) = self.reports.swap_remove(of % self.reports.len());
                self.add(Change::ReportWithdrawn { name: ReportName(name), reason: "wrong".to_owned() }, Vec::new());
            }
            Step::Correct { .. } | Step::Withdraw { .. } => {}
        }
    }
}

fn plan(known_at: u64, period: usize, on: Option<Date>, group_by: Option<GroupBy>, last_known: bool) -> Plan {
    let days = span(period);
    let slot = match on {
        Some(day) => Slot { period: String::new(), day, span: None },
        None => Slot { period: PERIODS[period].0.to_owned(), day: days.last_day.unwrap(), span: Some(days) },
    };
    Plan {
        units: UnitSelector::Under { unit: unit_id(0), level: Some(Level::Commune) },
        filters: Vec::new(),
        group_by,
        time: Time::Series(vec![slot]),
        boundaries_on: None,
        admitted: Admitted { last_known, ..Admitted::default() },
        known_at: KnownAt::Revision(known_at.into()),
        coverage_min: None,
    }
}

/// The same question unit by unit, and by the reports themselves: a condition that holds for every unit, a filter that
/// admits every report.
fn other_paths(plan: &Plan) -> [Plan; 2] {
    let mut by_unit = plan.clone();
    by_unit.filters = vec![Condition::Attribute { key: "register".to_owned(), values: vec!["kept".to_owned()] }];
    let every = vec![Basis::Actual, Basis::Estimate, Basis::Projection, Basis::Planned];
    let mut by_report = plan.clone();
    by_report.admitted.reports = ReportFilter { basis: every, ..ReportFilter::default() };
    [by_unit, by_report]
}

/// A condition adds how many units it leaves undetermined: none here.
fn without_undetermined(support: Support) -> Support {
    Support { undetermined: support.undetermined.filter(|count| *count > 0), ..support }
}

type Image = BTreeMap<Vec<u8>, Vec<u8>>;

/// Puts the pieces in which an index differs from an earlier one.
fn save(image: &mut Image, index: &Index, before: Option<&Index>) {
    index.image(before, &mut |name, bytes| {
        image.insert(name, bytes);
    });
}

fn whole(index: &Index) -> Image {
    let mut image = Image::new();
    save(&mut image, index, None);
    image
}

fn try_load(world: &World, image: &Image, revision: Revision) -> Result<Index, Damaged> {
    let mut loading = Loading::new(world.archive.clone(), revision);
    image.iter().try_for_each(|(name, bytes)| loading.take(name, bytes))?;
    loading.finish()
}

fn load(world: &World, image: &Image, revision: Revision) -> Index {
    try_load(world, image, revision).unwrap()
}

/// Names of pieces that differ.
fn differences(a: &Index, b: &Index) -> Vec<String> {
    let (a, b) = (whole(a), whole(b));
    let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
    names.filter(|name| a.get(*name) != b.get(*name)).map(|name| name.escape_ascii().to_string()).collect()
}

/// A world with one of everything, always the same.
fn fixed_world() -> World {
    let mut world = World::new(true);
    for number in 0..60 {
        let indicator = number % KINDS.len();
        let said = Said {
            indicator,
            number: i64::try_from(number * 137).unwrap(),
            oddity: 6 + u8::try_from(number % 8).unwrap(),
        };
        let (unit, period) = (11 + number % 40, number % PERIODS.len());
        world.take(&Step::Report { unit, period, said: vec![said], published: 9, finds: number % 20 == 19 });
    }
    world.take(&Step::Group { units: vec![12, 13], period: 0, flag: true });
    world.take(&Step::Correct { of: 3, said: vec![Said { indicator: 1, number: 5, oddity: 9 }] });
    world.take(&Step::Withdraw { of: 7 });
    world
}

#[test]
fn pieces_are_those_of_their_format_version() {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in whole(&fixed_world().index) {
        hasher.update(&name).update(&[0]).update(&bytes).update(&[0]);
    }
    // If this changes, what an earlier version has saved is read wrongly: raise checkpoint::pieces::FORMAT_VERSION.
    assert_eq!(hasher.finalize().to_hex()[..16], *"be196af15ecda603");
}

#[test]
fn pieces_that_make_no_index_are_refused() {
    let world = fixed_world();
    let image = whole(&world.index);
    let mut refused = 0;
    for name in image.keys() {
        for change in [|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2), |bytes: &mut Vec<u8>| bytes.push(7)] {
            let mut image = image.clone();
            change(image.get_mut(name).unwrap());
            // It may make another index, which the digest tells; it must not panic.
            refused += usize::from(try_load(&world, &image, world.index.revision()).is_err());
        }
    }
    assert!(refused > image.len(), "{refused} of {}", image.len() * 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn an_index_comes_back_from_its_pieces_and_goes_on(steps in vec(step(), 1..300), saves in vec(0..300_usize, 0..5)) {
        let mut world = World::new(true);
        let (mut image, mut saved) = (Image::new(), None);
        for (number, step) in steps.iter().enumerate() {
            world.take(step);
            if saves.contains(&number) {
                save(&mut image, &world.index, saved.as_ref());
                saved = Some(world.index.clone());
            }
        }
        if let Some(saved) = saved {
            let mut loaded = load(&world, &image, saved.revision());
            prop_assert_eq!(differences(&loaded, &saved), Vec::<String>::new());
            let behind = usize::try_from(saved.revision().get()).unwrap();
            world.entries[behind..].iter().for_each(|entry| loaded.apply(entry));
            prop_assert_eq!(differences(&loaded, &world.index), Vec::<String>::new());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_path_gives_the_same_rows(
        steps in vec(step(), 1..400),
        excepts in any::<bool>(),
        asked in vec((0..PERIODS.len(), 0..3_u8, 0..3_u8, any::<bool>(), 0..10_u64, 0..9_usize), 6),
    ) {
        let mut world = World::new(excepts);
        // What was worked out halfway must not be taken for what is worked out at the end.
        for steps in steps.chunks(steps.len().div_ceil(2)) {
            steps.iter().for_each(|step| world.take(step));
            let newest = world.index.revision().get();
            for (period, group, on, last_known, back, measured) in asked.clone() {
                let known_at = newest - back * newest.saturating_sub(140).min(40) / 10;
                let group_by = match group {
                    0 => None,
                    1 => Some(GroupBy::Level(Level::Province)),
                    _ => Some(GroupBy::Kind),
                };
                let on = (on == 0).then(|| span(period).first_day.unwrap());
                let plan = plan(known_at, period, on, group_by, last_known);
                let known = world.index.known_at(plan.known_at).unwrap();
                let paths = other_paths(&plan);
                let shares = |plan: &Plan| {
                    let query = ShareQuery { indicator: "flag".parse().unwrap(), plan: plan.clone() };
                    let rows = super::shares(&known, &query).unwrap().rows;
                    let row = |(token, row): (String, ShareRow)| {
                        (token, ShareRow { support: without_undetermined(row.support), ..row })
                    };
                    rows.into_iter().map(row).collect::<Vec<_>>()
                };
                let fast = shares(&plan);
                for path in &paths {
                    prop_assert_eq!(&fast, &shares(path));
                }
                let measures = [
                    ("cases", None, None), ("cases", Some(Measure::Mean), None), ("cases", Some(Measure::Median), None),
                    ("members", None, None), ("members", Some(Measure::Last), None), ("resolved", None, None),
                    ("revenue", None, None), ("hectares", Some(Measure::Max), None), ("cases", None, Some("revenue")),
                ];
                let (id, measure, denominator) = measures[measured];
                let figures = |plan: &Plan| {
                    let query = FigureQuery {
                        indicator: id.parse().unwrap(),
                        measure,
                        by: BTreeMap::new(),
                        scope: Scope::Own,
                        denominator: denominator.map(|id: &str| id.parse::<IndicatorId>().unwrap()),
                        per: 1.into(),
                        plan: plan.clone(),
                    };
                    let row = |(token, row): (String, FigureRow)| {
                        (token, FigureRow { support: without_undetermined(row.support), ..row })
                    };
                    let rows = super::figures(&known, &query).map_err(|fault| fault.to_string());
                    rows.map(|rows| rows.rows.into_iter().map(row).collect::<Vec<_>>())
                };
                let fast = figures(&plan);
                for path in &paths {
                    prop_assert_eq!(&fast, &figures(path));
                }
            }
        }
    }
}
