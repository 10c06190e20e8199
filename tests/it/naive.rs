//! The share, once more: plain loops over the entries of the log, no code shared with the services.
//!
//! Days are texts, `YYYY-MM-DD`; their order is the order of the texts. An empty first day is before, an empty last day
//! after every day.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use proto::v1::{
    Entry, Indicator, Observation, Report, Share, Unit, UnitEvent,
    entry::Change,
    finding::Other,
    observation::{Basis, Missing, Scope, Value},
    share::{ExpectedBasis, Published},
    unit::Level,
    unit_event::{Status, Type},
};

/// Everything that the entries say.
#[derive(Default)]
pub struct World {
    /// As they were registered.
    units: BTreeMap<String, Unit>,
    /// In the order in which they were first recorded.
    events: Vec<UnitEvent>,
    complete_from: String,
    /// Every version, oldest first.
    indicators: BTreeMap<String, Vec<Indicator>>,
    /// Newest version of each report that was not withdrawn since, with its revision and its findings.
    reports: BTreeMap<String, (i64, Report)>,
}

/// A unit as its registration and the events in effect tell it.
struct Life {
    /// Its registration as it was corrected.
    unit: Unit,
    /// It waits for an event that forms it.
    is_planned: bool,
    /// The first day on which something has ended it; empty: nothing has.
    gone_on: String,
    /// What changed in its life, in the order of the days.
    changes: Vec<(String, UnitEvent)>,
}

impl Life {
    fn contains(&self, day: &str) -> bool {
        let Unit { valid_from, valid_until, .. } = &self.unit;
        !self.is_planned
            && valid_from.as_str() <= day
            && (valid_until.is_empty() || day <= valid_until.as_str())
            && (self.gone_on.is_empty() || day < self.gone_on.as_str())
    }

    /// The unit after everything that happened to it up to a day.
    fn until(&self, day: &str) -> Unit {
        let mut unit = self.unit.clone();
        for (_, event) in self.changes.iter().filter(|(on, _)| on.as_str() <= day && self.contains(on)) {
            if event.r#type() == Type::Transfer {
                unit.parent.clone_from(&event.into[0]);
            } else {
                change(&mut unit, event);
            }
        }
        unit
    }
}

/// What an event says becomes different; what it leaves out stays.
fn change(unit: &mut Unit, event: &UnitEvent) {
    let change = event.change.clone().unwrap();
    let texts = [(&mut unit.name, change.name), (&mut unit.kind, change.kind), (&mut unit.parent, change.parent)];
    for (field, text) in texts.into_iter().chain([(&mut unit.valid_until, change.valid_until)]) {
        if !text.is_empty() {
            *field = text;
        }
    }
    if change.level != 0 {
        unit.level = change.level;
    }
}

/// The day from which an event counts: the last one of a period.
fn last_day(effective_on: &str) -> String {
    match effective_on.strip_prefix("../") {
        Some(day) => day.to_owned(),
        None if effective_on.len() == 4 => format!("{effective_on}-12-31"),
        None => effective_on.to_owned(),
    }
}

/// The units that live on a day, as they were then.
pub type Living = BTreeMap<String, Unit>;

/// The unit and those above it, upwards; nothing if it does not live.
pub fn above<'a>(living: &'a Living, id: &str) -> Vec<&'a Unit> {
    std::iter::successors(living.get(id), |unit| living.get(&unit.parent)).collect()
}

/// Findings, each as the revision of its report and its place there.
type Findings = BTreeSet<(i64, usize)>;

/// What decides whether it counts, what is said, and what was found about it.
type Said = ((i64, String, i64), Value, Findings);

/// Whether a report of that day of publication is one that the question is about.
fn was_published(question: &Question, published_on: &str) -> bool {
    let until = &question.published_until;
    until.is_empty() || !published_on.is_empty() && published_on <= until.as_str()
}

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    pub indicator: String,
    pub under: String,
    pub level: Option<Level>,
    pub ids: Vec<String>,
    pub group_by: Option<Level>,
    pub day: String,
    /// The day of the map; the same as `day` if none is asked for.
    pub boundaries_on: String,
    pub last_known: bool,
    /// Empty: not asked for.
    pub published_until: String,
}

impl World {
    pub fn of(entries: &[Entry]) -> Self {
        let mut world = Self::default();
        for entry in entries {
            match entry.change.clone().unwrap() {
                Change::Unit(unit) => drop(world.units.insert(unit.id.clone(), unit)),
                Change::RegisterCompleteFrom(day) => world.complete_from = day,
                Change::Report(report) => {
                    let report = Report { findings: entry.findings.clone(), ..report };
                    world.reports.insert(report.name.clone(), (entry.revision, report));
                }
                Change::Withdrawal(withdrawal) => drop(world.reports.remove(&withdrawal.report)),
                Change::Indicator(indicator) => {
                    world.indicators.entry(indicator.id.clone()).or_default().push(indicator);
                }
                Change::UnitEvent(event) => match world.events.iter_mut().find(|other| other.id == event.id) {
                    Some(other) => *other = event,
                    None => world.events.push(event),
                },
                Change::Term(_) | Change::Unchanged(_) | Change::Form(_) | Change::Waiver(_) => {}
            }
        }
        world
    }

    /// How many versions of an indicator there are.
    pub fn version(&self, indicator: &str) -> usize {
        self.indicators.get(indicator).map_or(0, Vec::len)
    }

    /// Whether everything that the question names is there.
    pub fn knows(&self, question: &Question) -> bool {
        let units = if question.ids.is_empty() { std::slice::from_ref(&question.under) } else { &question.ids };
        self.indicators.contains_key(&question.indicator) && units.iter().all(|unit| self.units.contains_key(unit))
    }

    /// The units that live on a day: they and everything above them have begun, as far as that is known, and not ended.
    pub fn living(&self, day: &str) -> Living {
        let own = self.living_alone(day);
        let stands = |unit: &Unit| above(&own, &unit.id).last().is_some_and(|top| top.parent.is_empty());
        own.values().filter(|unit| stands(unit)).map(|unit| (unit.id.clone(), unit.clone())).collect()
    }

    /// The same without a look at what is above them.
    fn living_alone(&self, day: &str) -> Living {
        let lives = self.units.values().map(|unit| self.life(unit)).filter(|life| life.contains(day));
        lives.map(|life| (life.unit.id.clone(), life.until(day))).collect()
    }

    fn life(&self, unit: &Unit) -> Life {
        let is_effective = |event: &&UnitEvent| matches!(event.status(), Status::Unspecified | Status::Effective);
        let mut life = Life { unit: unit.clone(), is_planned: false, gone_on: String::new(), changes: Vec::new() };
        let mut formed_on: Vec<String> = Vec::new();
        let mut gone_on: Vec<String> = Vec::new();
        for event in self.events.iter().filter(is_effective) {
            let (is_from, is_into) = (event.from.contains(&unit.id), event.into.contains(&unit.id));
            let day = last_day(&event.effective_on);
            match event.r#type() {
                Type::Merge | Type::Split if is_into && !is_from => formed_on.push(day),
                Type::Merge | Type::Split | Type::Dissolve if is_from && !is_into => gone_on.push(day),
                Type::Transfer | Type::Rename | Type::ChangeLevel if is_from => life.changes.push((day, event.clone())),
                Type::Correct if is_from => change(&mut life.unit, event),
                _ => {}
            }
        }
        life.changes.sort_by_key(|(day, _)| day.clone());
        life.gone_on = gone_on.into_iter().min().unwrap_or_default();
        if unit.formed_by_event {
            life.is_planned = formed_on.is_empty();
            life.unit.valid_from = formed_on.into_iter().min().unwrap_or_default();
        }
        life
    }

    /// What a unit is called on a day; last, if it does not live then.
    fn name(&self, living: &Living, id: &str) -> String {
        let last = || self.units.get(id).map(|unit| self.life(unit).until("9999-12-31"));
        living.get(id).cloned().or_else(last).map(|unit| unit.name).unwrap_or_default()
    }

    /// The version of an indicator that holds on a day: the newest that has begun, else the first.
    fn definition(&self, question: &Question) -> &Indicator {
        let versions = &self.indicators[&question.indicator];
        versions.iter().rev().find(|version| version.valid_from <= question.day).unwrap_or(&versions[0])
    }

    pub fn share(&self, question: &Question) -> Vec<Share> {
        let living = self.living(&question.day);
        let map = self.living(&question.boundaries_on);
        let mut groups: BTreeMap<(u8, String), Vec<&Unit>> = BTreeMap::new();
        if question.group_by.is_none() {
            let single = if question.ids.len() == 1 { question.ids[0].clone() } else { question.under.clone() };
            groups.insert((0, single), Vec::new());
        }
        for unit in living.values().filter(|unit| is_counted(&living, unit, question)) {
            let group = match question.group_by {
                None => groups.keys().next().unwrap().clone(),
                Some(level) => {
                    let lies_in = |id: &String| match above(&map, id).into_iter().find(|above| above.level() == level) {
                        Some(above) => (0, above.id.clone()),
                        None => (2, "none".to_owned()),
                    };
                    let there = self.on_the_map(&unit.id, &question.day, &question.boundaries_on);
                    let places: BTreeSet<(u8, String)> =
                        there.iter().filter(|id| map.contains_key(*id)).map(lies_in).collect();
                    match places.into_iter().collect::<Vec<_>>().as_slice() {
                        [place] => place.clone(),
                        _ => (1, "unassignable".to_owned()),
                    }
                }
            };
            groups.entry(group).or_default().push(unit);
        }
        let named = if question.group_by.is_some() { &map } else { &living };
        groups.into_iter().map(|((_, id), units)| self.row(question, (&living, named), id, &units)).collect()
    }

    /// The unit, and what it has become by the later day, or had been on the earlier one.
    fn on_the_map(&self, unit: &str, day: &str, map_day: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if map_day >= day {
            self.became(unit, day, map_day, &mut found);
        } else {
            self.came_from(unit, day, map_day, &mut found);
        }
        found
    }

    /// Mergers and divisions in effect, with their days.
    fn successions(&self) -> impl Iterator<Item = (String, &UnitEvent)> {
        let events =
            self.events.iter().filter(|event| matches!(event.status(), Status::Unspecified | Status::Effective));
        let events = events.filter(|event| matches!(event.r#type(), Type::Merge | Type::Split));
        events.map(|event| (last_day(&event.effective_on), event))
    }

    fn became(&self, unit: &str, after: &str, until: &str, found: &mut BTreeSet<String>) {
        found.insert(unit.to_owned());
        let events = self.successions().filter(|(_, event)| event.from.iter().any(|from| from == unit));
        let events: Vec<(String, &UnitEvent)> =
            events.filter(|(day, _)| after < day.as_str() && day.as_str() <= until).collect();
        for (day, event) in &events {
            event.into.iter().for_each(|into| self.became(into, day, until, found));
        }
        // Nobody took it over: it is what stood below it when it ended.
        let Some(registered) = self.units.get(unit).filter(|_| events.is_empty()) else { return };
        let life = self.life(registered);
        let next = |day: &str| day.parse::<Date>().unwrap().tomorrow().unwrap().to_string();
        let mut ends: Vec<String> = vec![life.gone_on.clone(), life.unit.valid_until.clone()];
        ends[1] = if ends[1].is_empty() { String::new() } else { next(&ends[1]) };
        ends.retain(|end| !end.is_empty());
        let Some(ended_on) = ends.into_iter().min().filter(|_| !life.is_planned) else { return };
        if after < ended_on.as_str() && ended_on.as_str() <= until && life.unit.valid_from < ended_on {
            let last_day = ended_on.parse::<Date>().unwrap().yesterday().unwrap().to_string();
            for (id, other) in self.living_alone(&last_day) {
                if other.parent == unit {
                    self.became(&id, &last_day, until, found);
                }
            }
        }
    }

    fn came_from(&self, unit: &str, until: &str, map_day: &str, found: &mut BTreeSet<String>) {
        found.insert(unit.to_owned());
        for (day, event) in self.successions().filter(|(_, event)| event.into.iter().any(|into| into == unit)) {
            if map_day < day.as_str() && day.as_str() <= until {
                let before = day.parse::<Date>().unwrap().yesterday().unwrap().to_string();
                event.from.iter().for_each(|from| self.came_from(from, &before, map_day, found));
            }
        }
    }

    fn row(&self, question: &Question, (living, named): (&Living, &Living), id: String, units: &[&Unit]) -> Share {
        let mut carried = 0;
        let mut undated: BTreeSet<String> = BTreeSet::new();
        let (mut yes, mut no, mut not_reported, mut withheld, mut not_applicable, mut contested) = (0, 0, 0, 0, 0, 0);
        let mut findings = BTreeSet::new();
        for unit in units {
            let (mut said, is_carried, left_out) = self.said(question, &unit.id);
            carried += i32::from(is_carried);
            undated.extend(left_out);
            said.sort_by_key(|(precedence, ..)| precedence.clone());
            findings.extend(said.first().into_iter().flat_map(|(.., findings)| findings.clone()));
            let said_first = said.first().map(|(_, value, _)| value);
            match said_first {
                _ if !arises(self.definition(question), living, unit, &question.day) => not_applicable += 1,
                Some(Value::Flag(true)) => yes += 1,
                Some(Value::Flag(false)) => no += 1,
                Some(Value::Missing(missing)) if *missing == i32::from(Missing::Withheld) => withheld += 1,
                Some(Value::Missing(missing)) if *missing == i32::from(Missing::NotApplicable) => not_applicable += 1,
                _ => not_reported += 1,
            }
            if said.iter().any(|(_, value, _)| *value != said[0].1) {
                contested += 1;
            }
        }
        let applicable = yes + no + not_reported + withheld;
        let basis = if !self.complete_from.is_empty() && self.complete_from <= question.day {
            ExpectedBasis::Registered
        } else {
            ExpectedBasis::Assumed
        };
        let published = self.published(question, living, units);
        let is_undated = |published: &&(Published, Findings)| published.0.published_on.is_empty();
        undated.extend(published.iter().filter(is_undated).map(|(claim, _)| claim.report.clone()));
        let published: Vec<(Published, Findings)> =
            published.into_iter().filter(|(claim, _)| was_published(question, &claim.published_on)).collect();
        let (published, claimed): (Vec<Published>, Vec<Findings>) = published.into_iter().unzip();
        let name = self.name(named, &id);
        Share {
            unit: id,
            name,
            share: six_digits(yes, yes + no),
            lower: six_digits(yes, applicable),
            upper: six_digits(yes + not_reported + withheld, applicable),
            yes: Some(yes),
            no: Some(no),
            not_reported: Some(not_reported),
            withheld: Some(withheld),
            not_applicable: Some(not_applicable),
            expected: Some(applicable + not_applicable),
            expected_basis: basis.into(),
            published,
            contested: Some(contested),
            findings: Some(i32::try_from(findings.union(&claimed.into_iter().flatten().collect()).count()).unwrap()),
            carried: question.last_known.then_some(carried),
            undated: (!question.published_until.is_empty()).then(|| i32::try_from(undated.len()).unwrap()),
            ..Share::default()
        }
    }

    /// What current reports say of the unit on the day, with what decides which of them counts: the least; whether it was
    /// carried forward; and the reports that are left out because nobody knows when they were published.
    fn said(&self, question: &Question, unit: &str) -> (Vec<Said>, bool, Vec<String>) {
        let (mut said, mut left_out) = (Vec::new(), Vec::new());
        let mut earlier: BTreeMap<String, Vec<Said>> = BTreeMap::new();
        for (revision, report) in self.reports.values() {
            let speaks_of_it = |observation: &Observation| members(report, observation).contains(unit);
            let about = about(report, &question.indicator).filter(|(_, observation)| speaks_of_it(observation));
            for (place, observation) in about {
                let published_on = &report.source.as_ref().unwrap().published_on;
                let looks_ahead = matches!(observation.basis(), Basis::Projection | Basis::Planned);
                let is_known = published_on.is_empty() || question.day <= *published_on || looks_ahead;
                let holds = is_known && contains(report, &question.day);
                // The last day of which it is known, if it ends before the day.
                let mut ends = vec![report.period_end_on.clone()];
                ends.extend((!looks_ahead).then(|| published_on.clone()));
                let end = ends.into_iter().filter(|end| !end.is_empty()).min().unwrap_or_default();
                let is_knowledge = match observation.value.as_ref().unwrap() {
                    Value::Flag(_) => true,
                    Value::Missing(missing) => *missing == i32::from(Missing::NotApplicable),
                    _ => false,
                };
                let ended = question.last_known && is_knowledge && !end.is_empty() && end < question.day;
                let ended = ended && report.period_start_on <= end;
                if !(holds || ended) {
                    continue;
                }
                if !was_published(question, published_on) {
                    left_out.extend(published_on.is_empty().then(|| report.name.clone()));
                    continue;
                }
                let precedence = (days(report), backwards(published_on), -revision);
                let row = (precedence, observation.value.clone().unwrap(), self.open_findings(report, place));
                if holds {
                    said.push(row);
                } else {
                    earlier.entry(end).or_default().push(row);
                }
            }
        }
        match earlier.pop_last().filter(|_| said.is_empty()) {
            Some((_, carried)) => (carried, true, left_out),
            None => (said, false, left_out),
        }
    }

    /// Findings about one observation of a report that are still so, its own and those of reports that name it: each as
    /// the revision of its report and its place there.
    fn open_findings(&self, report: &Report, place: usize) -> Findings {
        let observation = &report.observations[place];
        let is_about_the_same = |other: &Report, place: usize| {
            let theirs = &other.observations[place];
            let (members, others) = (members(report, observation), members(other, theirs));
            let is_same_share = members.is_empty()
                && others.is_empty()
                && (observation.scope, &observation.units) == (theirs.scope, &theirs.units)
                // Who speaks of a group does not matter.
                && (report.unit == other.unit || observation.scope() == Scope::Group);
            (&observation.indicator, &observation.by) == (&theirs.indicator, &theirs.by)
                && (is_same_share || !members.is_disjoint(&others))
        };
        let mut open = Findings::new();
        for (revision, other) in self.reports.values() {
            for (number, finding) in other.findings.iter().enumerate() {
                let Some(path) = finding.path.strip_prefix("report.observations[") else { continue };
                let theirs: usize = path.split(']').next().unwrap().parse().unwrap();
                let is_own = other.name == report.name && theirs == place;
                let still_says =
                    |other: &Other| self.reports.get(&other.report).is_some_and(|(now, _)| *now == other.revision);
                let names_it = finding.others.iter().any(|other| other.report == report.name && still_says(other))
                    && is_about_the_same(other, theirs);
                let depends = !finding.others.is_empty() && finding.unnamed_others == 0;
                let is_open = !depends || finding.others.iter().any(still_says);
                if (is_own || names_it) && is_open {
                    open.insert((*revision, number));
                }
            }
        }
        open
    }

    fn published(&self, question: &Question, living: &Living, units: &[&Unit]) -> Vec<(Published, Findings)> {
        let mut published = Vec::new();
        for (_, report) in self.reports.values().filter(|(_, report)| contains(report, &question.day)) {
            for (place, observation) in about(report, &question.indicator) {
                let ids = |denoted: &dyn Fn(&Unit) -> bool| -> Vec<&str> {
                    living.values().filter(|unit| denoted(unit)).map(|unit| unit.id.as_str()).collect()
                };
                let denoted: Vec<&str> = match observation.scope() {
                    Scope::Children => ids(&|unit| unit.parent == report.unit),
                    Scope::Subtree => ids(&|unit| above(living, &unit.id).iter().any(|above| above.id == report.unit)),
                    Scope::Group => ids(&|unit| observation.units.contains(&unit.id)),
                    _ => continue,
                };
                let (percent, ratio) = match observation.value.clone().unwrap() {
                    Value::Percent(percent) => (percent, None),
                    Value::Ratio(ratio) => (String::new(), Some(ratio)),
                    _ => continue,
                };
                if !denoted.is_empty() && denoted == units.iter().map(|unit| unit.id.as_str()).collect::<Vec<_>>() {
                    let findings = self.open_findings(report, place);
                    let claim = Published {
                        percent,
                        ratio,
                        qualifier: observation.qualifier,
                        basis: observation.basis,
                        unit: report.unit.clone(),
                        report: report.name.clone(),
                        period: report.period.clone(),
                        published_on: report.source.as_ref().unwrap().published_on.clone(),
                    };
                    published.push((claim, findings));
                }
            }
        }
        published.sort_by_key(|(claim, _)| claim.report["reports/".len()..].parse::<i64>().unwrap());
        published
    }
}

fn is_counted(living: &Living, unit: &Unit, question: &Question) -> bool {
    if question.ids.is_empty() {
        above(living, &unit.id).iter().any(|above| above.id == question.under)
            && question.level.is_none_or(|level| unit.level() == level)
    } else {
        question.ids.contains(&unit.id)
    }
}

/// Whether by its definition the question arises for a unit on a day.
fn arises(indicator: &Indicator, living: &Living, unit: &Unit, day: &str) -> bool {
    let is_excepted = indicator.not_applicable.iter().any(|exception| {
        exception.start_on.as_str() <= day
            && (exception.end_on.is_empty() || day <= exception.end_on.as_str())
            && (exception.level == 0 || exception.level == unit.level)
            && (exception.kind.is_empty() || exception.kind == unit.kind)
            && above(living, &unit.id).iter().any(|above| above.id == exception.under)
    });
    (indicator.levels.is_empty() || indicator.levels.contains(&unit.level)) && !is_excepted
}

/// The units of each of which an observation says something: that of the report itself, or the members of a group, unless
/// it gives a number of them together.
fn members(report: &Report, observation: &Observation) -> BTreeSet<String> {
    let is_of_each = matches!(observation.value, Some(Value::Flag(_) | Value::Missing(_)));
    match observation.scope() {
        Scope::Unspecified | Scope::Own => [report.unit.clone()].into(),
        Scope::Group if is_of_each => observation.units.iter().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

fn about<'a>(report: &'a Report, indicator: &'a str) -> impl Iterator<Item = (usize, &'a Observation)> {
    report.observations.iter().enumerate().filter(move |(_, observation)| observation.indicator == indicator)
}

fn contains(report: &Report, day: &str) -> bool {
    report.period_start_on.as_str() <= day && (report.period_end_on.is_empty() || day <= report.period_end_on.as_str())
}

/// How many days a report speaks of; very many if it is open.
fn days(report: &Report) -> i64 {
    let day = |text: &str| text.parse::<Date>().ok();
    match (day(&report.period_start_on), day(&report.period_end_on)) {
        (Some(first), Some(last)) => i64::from(last.since(first).unwrap().get_days()) + 1,
        _ => i64::MAX,
    }
}

/// A text that is smaller for later days, and greatest for none.
fn backwards(day: &str) -> String {
    if day.is_empty() {
        return "~".to_owned();
    }
    day.chars()
        .map(|c| if let Some(digit) = c.to_digit(10) { char::from_digit(9 - digit, 10).unwrap() } else { c })
        .collect()
}

/// part / whole with six digits, half up, by long division.
fn six_digits(part: i32, whole: i32) -> Option<String> {
    if whole == 0 {
        return None;
    }
    let (part, whole) = (i64::from(part), i64::from(whole));
    let mut digits = part * 1_000_000 / whole;
    if part * 1_000_000 % whole * 2 >= whole {
        digits += 1;
    }
    Some(format!("{}.{:06}", digits / 1_000_000, digits % 1_000_000))
}
