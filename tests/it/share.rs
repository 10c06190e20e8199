//! The share against the naive fold of the log, on random registries, events of units, reports and questions.

use std::collections::BTreeMap;

use proto::v1::{
    DefineIndicatorsRequest, GetShareRequest, Indicator, KnownAt, Observation, RecordUnitEventsRequest,
    RegisterUnitsRequest, Report, Share, Source, SubmitReportRequest, Unit, UnitEvent, UnitSelector,
    WithdrawReportRequest,
    indicator::{Exception, ValueKind},
    known_at::At,
    observation::{Basis, Missing, Ratio, Scope, Value},
    unit::Level,
    unit_event::{Change, Status, Type},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tests::harness::Pair;
use tonic::Code;

use crate::{
    feed::entries,
    naive::{Question, Time, World, above},
    support::{indicator, observation, unit},
};

/// Worlds in one run; `TONGHOP_TEST_WORLDS` asks for more.
const WORLDS: usize = 15;
const QUESTIONS_A_WORLD: usize = 45;

/// A number from the environment, for longer runs and for replaying one.
pub fn setting(name: &str) -> Option<u64> {
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
    let mut tally = Tally::default();
    for world in 0..worlds {
        let mut place = Place::new(&mut random, world);
        let revision = fill(&pair, &mut random, &mut place, &mut tally).await;
        let entries = entries(&pair).await;
        let naive = World::of(&entries);
        let mut queries = pair.queries();
        for _ in 0..QUESTIONS_A_WORLD {
            let question = question(&mut random, &place);
            let request =
                GetShareRequest { at_least_revision: Some(revision), ..crate::oracle::requests::share(&question) };
            let answer = loop {
                match queries.get_share(request.clone()).await {
                    Ok(answer) => break answer.into_inner(),
                    // It was just started, and is still reading its log.
                    Err(status) if crate::support::reason(&status) == "CATCHING_UP" => crate::support::pause().await,
                    Err(status) => panic!("{status}: {request:?}"),
                }
            };
            assert_eq!(
                Ok(&answer.shares),
                naive.share(&question).as_ref().map(|answer| &answer.rows),
                "world {world}: {question:?}"
            );
            tally.see(&answer.shares);

            // As it was known then: the same question to the entries up to the last end of a change.
            let then = random.random_range(1..=entries.len());
            let ended = entries[..then].iter().rposition(|entry| entry.ends_change).map_or(0, |place| place + 1);
            let past = World::of(&entries[..ended]);
            let known_at = Some(KnownAt { at: Some(At::Revision(i64::try_from(then).unwrap())) });
            match queries.get_share(GetShareRequest { known_at, ..request }).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    assert_eq!(answer.meta.unwrap().revision, i64::try_from(ended).unwrap());
                    assert_eq!(
                        Ok(&answer.shares),
                        past.share(&question).as_ref().map(|answer| &answer.rows),
                        "world {world} at {then}: {question:?}"
                    );
                }
                // Then the indicator or a unit was not there yet.
                Err(status) => {
                    assert_eq!(status.code(), Code::NotFound, "{status}");
                    assert!(!past.knows(&question), "world {world} at {then}: {question:?}");
                }
            }
        }
    }
    println!("{tally:?}");
    // What is equal says something only if much has happened. One world may be a small one.
    let Tally { events, events_refused, reports, reports_refused, of } = tally;
    assert!(worlds < 5 || events > events_refused && reports > reports_refused, "too much was refused");
    let missing: Vec<&str> = LOOKED_FOR.into_iter().filter(|what| !of.contains_key(what)).collect();
    assert!(worlds < 5 || missing.is_empty(), "no answer had any of {missing:?}");
}

/// What some answer of a run has to show.
const LOOKED_FOR: [&str; 8] =
    ["yes", "no", "withheld", "not_applicable", "contested", "findings", "published", "published by a group"];

/// What became of the requests of a run, and what the answers showed.
#[derive(Debug, Default)]
struct Tally {
    events: usize,
    events_refused: usize,
    reports: usize,
    reports_refused: usize,
    /// Rows in which something was more than none.
    of: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn see(&mut self, shares: &[Share]) {
        for share in shares {
            let counts = [share.yes, share.no, share.withheld, share.not_applicable, share.contested, share.findings];
            let published = i32::try_from(share.published.len()).unwrap();
            let by_group = share.published.iter().filter(|claim| claim.period == GROUP_PERIOD).count();
            let counts = counts.map(Option::unwrap).into_iter().chain([published, i32::try_from(by_group).unwrap()]);
            for (what, count) in LOOKED_FOR.into_iter().zip(counts) {
                if count > 0 {
                    *self.of.entry(what).or_default() += 1;
                }
            }
        }
    }
}

/// Days on which something happens.
pub const DAYS: [&str; 6] = ["2011-01-01", "2012-06-15", "2013-12-31", "2014-03-01", "2015-07-01", "2016-01-01"];
pub const KINDS: [&str; 3] = ["", "Xã", "Phường"];
pub const LEVELS: [Level; 3] = [Level::Province, Level::District, Level::Commune];

/// A province of its own with everything below it, and a flag.
pub struct Place {
    pub province: String,
    flag: String,
    /// Every unit that was ever asked for.
    pub ids: Vec<String>,
    /// Units that were spoken of as a group.
    pub groups: Vec<Vec<String>>,
    /// Events as they were asked for last.
    pub events: Vec<UnitEvent>,
    /// Units to register first.
    pub units: Vec<Unit>,
}

impl Place {
    /// Districts and communes; some communes stand directly below the province, some units begin late, some end.
    pub fn new(random: &mut StdRng, world: usize) -> Self {
        let province = format!("w{world}");
        let mut units = vec![unit(&province, Level::Province, "vn")];
        for district in 0..random.random_range(1..4) {
            let id = format!("{province}-d{district}");
            units.push(Unit {
                valid_from: at_times(random, 0.3, "2012-06-15"),
                ..unit(&id, Level::District, &province)
            });
            for commune in 0..random.random_range(0..5) {
                let below = unit(&format!("{id}-c{commune}"), Level::Commune, &id);
                units.push(Unit {
                    valid_from: at_times(random, 0.3, "2014-03-01"),
                    valid_until: at_times(random, 0.2, "2015-06-30"),
                    ..below
                });
            }
        }
        for commune in 0..random.random_range(0..3) {
            units.push(unit(&format!("{province}-c{commune}"), Level::Commune, &province));
        }
        for unit in &mut units {
            unit.kind = (*KINDS.choose(random).unwrap()).to_owned();
            unit.attributes = terrain(random).into_iter().filter(|(_, terrain)| !terrain.is_empty()).collect();
        }
        let ids = units.iter().map(|unit| unit.id.clone()).collect();
        let flag = format!("flag_{world}");
        Self { province, flag, ids, groups: Vec::new(), events: Vec::new(), units }
    }

    pub fn any_id(&self, random: &mut StdRng) -> String {
        self.ids.choose(random).unwrap().clone()
    }

    /// Some units that are spoken of together: those below one of them on a day, or any.
    pub fn group(&mut self, random: &mut StdRng, naive: &World) -> Vec<String> {
        let living = naive.living(DAYS.choose(random).unwrap());
        let under = self.any_id(random);
        let mut group: Vec<String> = match random.random_range(0..3) {
            0 => living.values().filter(|unit| unit.parent == under).map(|unit| unit.id.clone()).collect(),
            _ => Vec::new(),
        };
        if group.is_empty() {
            let count = random.random_range(1..4);
            group = self.ids.choose_multiple(random, count).cloned().collect();
        }
        group.sort();
        self.groups.push(group.clone());
        group
    }

    /// Something that happens to a unit, with what has to go with it.
    pub fn happens(&mut self, random: &mut StdRng, naive: &World) -> RecordUnitEventsRequest {
        if random.random_bool(0.3)
            && let Some(event) = self.events.choose(random)
        {
            // An event is revised: it will not be after all, or it will, or on another day.
            let mut event = event.clone();
            match random.random_range(0..4) {
                0 => event.status = Status::Cancelled.into(),
                1 if !event.effective_on.is_empty() => event.effective_on = day(random),
                _ => event.status = Status::Effective.into(),
            }
            return RecordUnitEventsRequest { events: vec![event], ..Default::default() };
        }
        let on = day(random);
        // A day on which it has not happened yet: what lived then is there for something to happen to it.
        let living = naive.living(if on.len() == 4 { "2013-06-30" } else { &on });
        let ours = living.values().filter(|unit| unit.level() != Level::Province);
        let ours: Vec<&Unit> =
            ours.filter(|unit| above(&living, &unit.id).iter().any(|above| above.id == self.province)).collect();
        let nothing = Unit::default();
        let one: &Unit = ours.choose(random).unwrap_or(&&nothing);
        let alike: Vec<&&Unit> = ours.iter().filter(|unit| unit.level == one.level && unit.id != one.id).collect();
        let new = Unit {
            kind: (*KINDS.choose(random).unwrap()).to_owned(),
            ..unit(&format!("{}-n{}", self.province, self.ids.len()), one.level(), &one.parent)
        };
        let of_one = |kind: Type, into: Vec<String>| UnitEvent {
            r#type: kind.into(),
            from: vec![one.id.clone()],
            into,
            ..Default::default()
        };
        let named = |random: &mut StdRng| Change {
            name: format!("Name {}", random.random_range(0..9)),
            kind: (*KINDS.choose(random).unwrap()).to_owned(),
            attributes: terrain(random),
            ..Default::default()
        };
        let mut units = Vec::new();
        let mut heir = String::new();
        let mut events = Vec::new();
        match random.random_range(0..8) {
            0 | 1 => {
                let others = alike.choose_multiple(random, 2).map(|unit| unit.id.clone());
                let mut from: Vec<String> = others.take(random.random_range(0..3)).collect();
                let there = from.pop().filter(|_| random.random_bool(0.5));
                from.push(one.id.clone());
                heir = there.unwrap_or_else(|| new.id.clone());
                events.push(UnitEvent { from, ..of_one(Type::Merge, vec![heir.clone()]) });
                units.extend((heir == new.id).then_some(new));
            }
            2 => {
                let goes_on = random.random_bool(0.5);
                let second = Unit { id: format!("{}-b", new.id), ..new.clone() };
                let first = if goes_on { one.id.clone() } else { new.id.clone() };
                events.push(of_one(Type::Split, vec![first, second.id.clone()]));
                if !goes_on {
                    heir = new.id.clone();
                    units.push(new);
                }
                units.push(second);
            }
            3 => {
                heir.clone_from(&one.parent);
                let into = if random.random_bool(0.5) { vec![one.parent.clone()] } else { Vec::new() };
                events.push(of_one(Type::Dissolve, into));
            }
            4 => {
                let higher: Vec<&Unit> = living.values().filter(|unit| unit.level() == Level::District).collect();
                let higher: Vec<&&Unit> = higher.iter().filter(|unit| unit.id.starts_with(&self.province)).collect();
                let into = higher.choose(random).map_or(self.province.clone(), |unit| unit.id.clone());
                events.push(of_one(Type::Transfer, vec![into]));
            }
            5 => events.push(UnitEvent { change: Some(named(random)), ..of_one(Type::Rename, Vec::new()) }),
            6 => {
                let change = Some(named(random));
                let right = UnitEvent { change, reason: "a test".to_owned(), ..of_one(Type::Correct, Vec::new()) };
                events.push(right);
            }
            // An island: a commune directly below the province from one day on.
            _ => {
                let change = Some(Change { level: Level::Commune.into(), ..Default::default() });
                events.push(UnitEvent { change, ..of_one(Type::ChangeLevel, Vec::new()) });
                events.push(of_one(Type::Transfer, vec![self.province.clone()]));
                heir.clone_from(&self.province);
            }
        }
        // Units below one that goes, or that is no longer higher, go on elsewhere, by the same request.
        let ended = events[0].from.clone();
        for below in living.values().filter(|unit| !heir.is_empty() && ended.contains(&unit.parent)) {
            events.push(UnitEvent { from: vec![below.id.clone()], ..of_one(Type::Transfer, vec![heir.clone()]) });
        }
        let statuses = [Status::Unspecified, Status::Effective, Status::Effective, Status::Planned, Status::Decided];
        let status = *statuses.choose(random).unwrap();
        for (place, event) in events.iter_mut().enumerate() {
            event.id = format!("{}-e{}-{place}", self.province, self.events.len());
            event.status = status.into();
            event.effective_on = if event.r#type() == Type::Correct { String::new() } else { on.clone() };
        }
        RecordUnitEventsRequest { events, units, ..Default::default() }
    }

    /// The definition of the flag.
    fn definition(&self, random: &mut StdRng, version: i32) -> Indicator {
        self.for_some(random, version, indicator(&self.flag, ValueKind::Flag))
    }

    /// The same indicator with the units for which the question arises.
    pub fn for_some(&self, random: &mut StdRng, version: i32, indicator: Indicator) -> Indicator {
        let levels = [&[][..], &[], &[Level::Commune], &[Level::Commune, Level::District]];
        let exceptions = (0..random.random_range(0..3)).map(|_| Exception {
            under: self.any_id(random),
            level: if random.random_bool(0.3) { Level::Commune.into() } else { 0 },
            kind: (*KINDS.choose(random).unwrap()).to_owned(),
            start_on: at_times(random, 0.3, "2012-06-20"),
            end_on: at_times(random, 0.3, "2015-07-01"),
            reason: "a test".to_owned(),
        });
        let not_applicable = exceptions.collect();
        Indicator {
            version,
            valid_from: if version > 1 { (*DAYS.choose(random).unwrap()).to_owned() } else { String::new() },
            levels: levels.choose(random).unwrap().iter().map(|level| (*level).into()).collect(),
            not_applicable,
            ..indicator
        }
    }
}

/// An attribute; empty: it is not there, or is taken away.
fn terrain(random: &mut StdRng) -> BTreeMap<String, String> {
    let terrain = *["mountain", "plain", ""].choose(random).unwrap();
    [("terrain".to_owned(), terrain.to_owned())].into()
}

pub fn at_times(random: &mut StdRng, probability: f64, text: &str) -> String {
    if random.random_bool(probability) { text.to_owned() } else { String::new() }
}

/// A day on which something happens, or the year that it lies in.
fn day(random: &mut StdRng) -> String {
    if random.random_bool(0.1) { "2013".to_owned() } else { (*DAYS.choose(random).unwrap()).to_owned() }
}

/// Registers the units; records what happens to them and submits reports about them, in turns, revisions of either among
/// them. The newest revision.
async fn fill(pair: &Pair, random: &mut StdRng, place: &mut Place, tally: &mut Tally) -> i64 {
    let complete_from = at_times(random, 0.5, "2013-01-01");
    let request = RegisterUnitsRequest { units: place.units.clone(), complete_from, ..Default::default() };
    pair.registry().register_units(request).await.unwrap();
    let mut revision = define(pair, place.definition(random, 1)).await;
    let mut reports = pair.reports();
    let mut names: Vec<String> = Vec::new();
    let mut naive = World::of(&entries(pair).await);
    for number in 0..random.random_range(10..60) {
        if random.random_bool(0.02) {
            // There is one version before it, or the request is refused.
            let definition = place.definition(random, 2);
            if naive.version(&place.flag) == 1 {
                revision = define(pair, definition).await;
                naive = World::of(&entries(pair).await);
            }
        }
        if random.random_bool(0.2) {
            let request = place.happens(random, &naive);
            match pair.registry().record_unit_events(request.clone()).await {
                Ok(receipt) => {
                    revision = receipt.into_inner().revision;
                    tally.events += 1;
                    place.ids.extend(request.units.into_iter().map(|unit| unit.id));
                    for event in request.events {
                        place.events.retain(|other| other.id != event.id);
                        place.events.push(event);
                    }
                    naive = World::of(&entries(pair).await);
                }
                // What happened later may stand against it; that is looked at elsewhere.
                Err(status) => {
                    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
                    tally.events_refused += 1;
                }
            }
        }
        let mut report = report(random, place, &naive, number);
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
                tally.reports += 1;
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
            // A period on no day of which a unit lives is refused, and so is a name for what another report is.
            Err(status) => {
                let reason = crate::support::reason(&status);
                assert!(["UNIT_NOT_ALIVE", "REPORT_IDENTITY_TAKEN"].contains(&reason.as_str()), "{status}");
                tally.reports_refused += 1;
            }
        }
    }
    revision
}

async fn define(pair: &Pair, indicator: Indicator) -> i64 {
    let request = DefineIndicatorsRequest { indicators: vec![indicator], ..Default::default() };
    pair.registry().define_indicators(request).await.unwrap().into_inner().revision
}

/// The period of shares that reports publish about a group, and of nothing else.
const GROUP_PERIOD: &str = "2011-02/2016-11";

fn report(random: &mut StdRng, place: &mut Place, naive: &World, number: usize) -> Report {
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
        "2015",
    ];
    let days = ["", "2012-06-20", "2013-12-31", "2016-01-01", "2020-01-01"];
    let unit = place.any_id(random);
    let mut period = *periods.choose(random).unwrap();
    let mut observations: Vec<Observation> = Vec::new();
    if random.random_bool(0.8) {
        let missing = [Missing::NotReported, Missing::NotApplicable, Missing::Withheld];
        let value = match random.random_range(0..10) {
            0..5 => Value::Flag(true),
            5..8 => Value::Flag(false),
            _ => Value::Missing((*missing.choose(random).unwrap()).into()),
        };
        let basis = *[Basis::Unspecified, Basis::Estimate, Basis::Projection, Basis::Planned].choose(random).unwrap();
        let said = Observation { basis: basis.into(), ..observation(&place.flag, value) };
        // Of the unit itself, or of each member of a group: which of the two counts where one report says both of a unit,
        // is not defined.
        observations.push(match random.random_bool(0.3) {
            true => Observation { scope: Scope::Group.into(), units: place.group(random, naive), ..said },
            false => said,
        });
    }
    if random.random_bool(0.3) || observations.is_empty() {
        let scope = *[Scope::Children, Scope::Subtree, Scope::Group].choose(random).unwrap();
        let value = match random.random_range(0..3) {
            0 => Value::Ratio(Ratio { numerator: Some(1), denominator: Some(3) }),
            // Of each member of a group it would be said, and not of them together.
            1 if scope != Scope::Group => Value::Missing(Missing::Withheld.into()),
            _ => Value::Percent("33.30".to_owned()),
        };
        let units = if scope == Scope::Group { place.group(random, naive) } else { Vec::new() };
        if scope == Scope::Group {
            period = GROUP_PERIOD;
        }
        let share = Observation { scope: scope.into(), units, ..observation(&place.flag, value) };
        // A report speaks of the same group once.
        if observations.iter().all(|said| (said.scope, &said.units) != (share.scope, &share.units)) {
            observations.push(share);
        }
    }
    Report {
        unit,
        period: period.to_owned(),
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

fn question(random: &mut StdRng, place: &Place) -> Question {
    let days = [
        "2010-01-01",
        "2010-12-31",
        "2012-06-14",
        "2012-06-15",
        "2012-06-21",
        "2012-12-31",
        "2013-12-30",
        "2014-03-01",
        "2015-06-30",
        "2015-07-01",
        "2016-12-31",
        "2024-01-01",
    ];
    let mut units = UnitSelector { under: place.any_id(random), ..Default::default() };
    if random.random_bool(0.6) {
        units.level = (*LEVELS.choose(random).unwrap()).into();
    }
    if random.random_bool(0.35) {
        let group = place.groups.choose(random).filter(|_| random.random_bool(0.6));
        let mut ids: Vec<String> =
            group.cloned().unwrap_or_else(|| place.ids.choose_multiple(random, 4).cloned().collect());
        ids.sort();
        units = UnitSelector { ids, ..Default::default() };
    }
    let day = (*days.choose(random).unwrap()).to_owned();
    let another = (*days.choose(random).unwrap()).to_owned();
    Question {
        boundaries_on: if random.random_bool(0.4) { another } else { String::new() },
        last_known: random.random_bool(0.3),
        published_until: if random.random_bool(0.3) {
            (*days.choose(random).unwrap()).to_owned()
        } else {
            String::new()
        },
        indicator: place.flag.clone(),
        units,
        group_by: if random.random_bool(0.4) {
            LEVELS.choose(random).unwrap().as_str_name().to_owned()
        } else {
            String::new()
        },
        time: Time::On(day),
        ..Default::default()
    }
}
