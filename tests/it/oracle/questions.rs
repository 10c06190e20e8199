//! Random questions of every kind.

use std::collections::BTreeMap;

use proto::v1::{
    ReportFilter, UnitFilter, UnitSelector,
    figure::Measure,
    observation::{Basis, Scope},
    rank_request::{Criterion, Order},
    series::Step,
    unit::Organ,
    unit_filter::{self, Attribute, Condition},
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::place::{FLAGS, GRADES, NUMBERS, RATINGS, SUMS, TOPICS, few};
use crate::{
    naive::{Comparing, Question, Ranking, Time},
    share::{LEVELS, Place, at_times},
};

/// What is done with a question.
#[derive(Clone, Debug)]
pub enum Kind {
    Share,
    Aggregate,
    Series,
    Rank(Ranking),
    Distribution,
    /// With the other side.
    Compare(Box<Question>, Comparing),
}

const DAYS: [&str; 12] = [
    "2011-06-30",
    "2012-06-14",
    "2012-06-15",
    "2012-06-21",
    "2012-06-30",
    "2012-12-31",
    "2013-06-30",
    "2013-12-30",
    "2014-03-01",
    "2015-07-01",
    "2016-12-31",
    "2024-01-01",
];
const PERIODS: [&str; 16] = [
    "2012",
    "2012",
    "2012",
    "2012-S1",
    "2012-S1",
    "2012-S2",
    "2012-Q2",
    "2012-Q3",
    "2012-06",
    "2012-06/2012-08",
    "2011/2012",
    "2012/2013",
    "2013",
    "2014",
    "2012-06-15",
    "2010/2016",
];
/// The last one is no whole number of steps.
const SPANS: [(&str, &str, Step); 8] = [
    ("2012", "2012", Step::Quarter),
    ("2011", "2014", Step::Year),
    ("2012-S1", "2013-S2", Step::HalfYear),
    ("2012-Q2", "2012-08", Step::Month),
    ("2012-06-13", "2012-06-17", Step::Day),
    ("2012-Q1", "2012-Q4", Step::HalfYear),
    ("2012", "2012", Step::Year),
    ("2012-02", "2012", Step::Quarter),
];

fn chosen<'a>(random: &mut StdRng, texts: &[&'a str]) -> &'a str {
    texts.choose(random).unwrap()
}

/// A question, and what is done with it.
pub fn any(random: &mut StdRng, place: &Place) -> (Kind, Question) {
    match random.random_range(0..100) {
        // What is none of a flag, or of a number, is refused.
        0 => (Kind::Share, Question { indicator: "members".to_owned(), ..common(random, place) }),
        1 => (Kind::Aggregate, Question { indicator: "grade".to_owned(), ..common(random, place) }),
        2..20 => (Kind::Share, of_flag(random, place)),
        20..52 => (Kind::Aggregate, of_number(random, place)),
        52..64 => {
            let question = either(random, place);
            let (from, to, step) = *SPANS.choose(random).unwrap();
            let time = Time::Span { from: from.to_owned(), to: to.to_owned(), step };
            (Kind::Series, Question { time, ..question })
        }
        64..76 => {
            let mut question = {
                let one = either(random, place);
                of_one_time(random, one)
            };
            if question.group_by.is_empty() {
                question.group_by = "UNIT".to_owned();
            }
            // Amounts of different currencies have no order.
            if ["spent", "funds"].contains(&question.indicator.as_str()) {
                question.indicator = "visits".to_owned();
                (question.denominator, question.by) = Default::default();
                question.time = Time::Period("2012".to_owned());
            }
            let orders = [Order::Unspecified, Order::Descending, Order::Ascending];
            let criteria = [Criterion::Unspecified, Criterion::Result, Criterion::Coverage];
            let some = |random: &mut StdRng| if random.random_bool(0.2) { random.random_range(1..4) } else { 0 };
            let ranking = Ranking {
                order: *orders.choose(random).unwrap(),
                criterion: *criteria.choose(random).unwrap(),
                top: some(random),
                bottom: some(random),
            };
            (Kind::Rank(ranking), question)
        }
        76..86 => (Kind::Distribution, distribution(random, place)),
        _ => {
            let question = either(random, place);
            let mut a = of_one_time(random, question);
            if random.random_bool(0.5) {
                // All of the province, long apart.
                let units = UnitSelector { under: place.province.clone(), ..Default::default() };
                let (filters, coverage_min, published_until) = Default::default();
                a = Question { units, filters, coverage_min, published_until, ..a };
                if !FLAGS.contains(&a.indicator.as_str()) && random.random_bool(0.5) {
                    // Always exact.
                    let (denominator, per) = Default::default();
                    a = Question { measure: Measure::Count, denominator, per, ..a };
                }
            }
            let mut b = a.clone();
            for _ in 0..random.random_range(1..3) {
                match random.random_range(0..6) {
                    0..3 => {
                        b.time = match a.time {
                            Time::On(_) => Time::On(chosen(random, &DAYS).to_owned()),
                            _ => Time::Period(chosen(random, &PERIODS).to_owned()),
                        }
                    }
                    3 => b.units = selector(random, place),
                    4 => b.reports = reports(random, place),
                    _ => b.published_until = chosen(random, &DAYS).to_owned(),
                }
            }
            // What a side does not say is as the request says: nothing.
            (Kind::Compare(Box::new(b), Comparing { is_constant: random.random_bool(0.4) }), a)
        }
    }
}

/// What every world is asked, for what random questions seldom find.
pub fn always(place: &Place) -> Vec<(Kind, Question)> {
    let of = |indicator: &str, measure: Measure, group_by: &str| Question {
        indicator: indicator.to_owned(),
        units: UnitSelector { under: place.province.clone(), ..Default::default() },
        group_by: group_by.to_owned(),
        time: Time::Period("2012".to_owned()),
        measure,
        ..Default::default()
    };
    let each = |indicator: &str| of(indicator, Measure::Value, "UNIT");
    let whole = |indicator: &str| of(indicator, Measure::Sum, "");
    let years = Time::Span { from: "2011".to_owned(), to: "2016".to_owned(), step: Step::Year };
    let later = Question { time: Time::Period("2016".to_owned()), ..of("members", Measure::Count, "") };
    let all = Comparing { is_constant: false };
    let mut asked: Vec<(Kind, Question)> = ["visits", "members", "spent", "solved", "attended", "rate", "cases"]
        .into_iter()
        .map(|indicator| (Kind::Aggregate, each(indicator)))
        .collect();
    asked.extend(["visits", "members", "spent", "funds", "balance"].map(|id| (Kind::Aggregate, whole(id))));
    asked.extend(FLAGS.map(|flag| (Kind::Share, Question { measure: Measure::Unspecified, ..each(flag) })));
    asked.extend(["rated", "cases"].map(|id| (Kind::Distribution, each(id))));
    asked.extend(["members", "visits"].map(|id| (Kind::Series, Question { time: years.clone(), ..whole(id) })));
    asked.push((Kind::Compare(Box::new(later), all), of("members", Measure::Count, "")));
    asked
}

fn of_one_time(random: &mut StdRng, question: Question) -> Question {
    let time = match question.time {
        Time::Span { .. } => Time::Period(chosen(random, &PERIODS).to_owned()),
        time => time,
    };
    Question { time, ..question }
}

fn either(random: &mut StdRng, place: &Place) -> Question {
    if random.random_bool(0.3) { of_flag(random, place) } else { of_number(random, place) }
}

fn of_flag(random: &mut StdRng, place: &Place) -> Question {
    Question { indicator: chosen(random, &FLAGS).to_owned(), ..common(random, place) }
}

fn of_number(random: &mut StdRng, place: &Place) -> Question {
    let mut question = Question { indicator: chosen(random, &NUMBERS).to_owned(), ..common(random, place) };
    let measures: &[Measure] = match question.indicator.as_str() {
        "visits" | "members" | "spent" | "funds" | "balance" | "rated" | "cases" => {
            &[Measure::Sum, Measure::Count, Measure::Min, Measure::Max, Measure::Mean, Measure::Median, Measure::Last]
        }
        "solved" | "attended" => {
            &[Measure::Ratio, Measure::Ratio, Measure::Count, Measure::Min, Measure::Max, Measure::Median]
        }
        _ => &[Measure::Count, Measure::Min, Measure::Max, Measure::Median, Measure::Value],
    };
    question.measure = *measures.choose(random).unwrap();
    let is_flow = ["visits", "spent", "solved", "rated"].contains(&question.indicator.as_str());
    if is_flow && random.random_bool(0.9) && matches!(question.time, Time::On(_)) {
        question.time = Time::Period(chosen(random, &PERIODS).to_owned());
    }
    if question.measure == Measure::Last && random.random_bool(0.8) {
        question.indicator = chosen(random, &["members", "funds", "balance", "cases"]).to_owned();
        question.last_known = false;
        question.time = Time::Period(chosen(random, &PERIODS).to_owned());
    }
    match random.random_range(0..20) {
        0 => question.measure = Measure::Unspecified,
        1 | 2 => {
            question.measure = Measure::Value;
            question.group_by = "UNIT".to_owned();
        }
        3 => {
            let all = [Measure::Sum, Measure::Ratio, Measure::Mean, Measure::Last, Measure::Value, Measure::Median];
            question.measure = *all.choose(random).unwrap();
        }
        4..8 if SUMS.contains(&question.indicator.as_str()) => {
            question.measure = Measure::Ratio;
            question.denominator = chosen(random, &["visits", "members", "spent", "members"]).to_owned();
        }
        8 if random.random_bool(0.3) => question.denominator = "members".to_owned(),
        _ => {}
    }
    let is_ratio = question.measure == Measure::Ratio || ["solved", "attended"].contains(&question.indicator.as_str());
    if random.random_bool(if is_ratio { 0.4 } else { 0.03 }) {
        question.per = chosen(random, &["1", "100", "1000"]).to_owned();
    }
    question.by = match question.indicator.as_str() {
        "rated" if random.random_bool(0.8) => by("rating", chosen(random, &RATINGS)),
        "cases" if random.random_bool(0.7) => by("topic", chosen(random, &TOPICS)),
        _ => BTreeMap::new(),
    };
    question.scope = match random.random_range(0..20) {
        0..16 => Scope::Unspecified,
        16 => Scope::Own,
        17 => Scope::Children,
        _ => Scope::Subtree,
    };
    question
}

fn by(dimension: &str, code: &str) -> BTreeMap<String, String> {
    [(dimension.to_owned(), code.to_owned())].into()
}

fn distribution(random: &mut StdRng, place: &Place) -> Question {
    let question = common(random, place);
    match random.random_range(0..10) {
        0..3 => Question { indicator: "grade".to_owned(), ..question },
        3..6 => {
            let time = Time::Period(chosen(random, &PERIODS).to_owned());
            let dimension = at_times(random, 0.4, "rating");
            let indicator = "rated".to_owned();
            match question.time {
                Time::On(_) => Question { indicator, dimension, time, ..question },
                _ => Question { indicator, dimension, ..question },
            }
        }
        6..8 => Question { indicator: "cases".to_owned(), ..question },
        8 if random.random_bool(0.2) => Question { indicator: "visits".to_owned(), ..question },
        _ => Question { flags: FLAGS.map(str::to_owned).into(), ..question },
    }
}

fn selector(random: &mut StdRng, place: &Place) -> UnitSelector {
    if random.random_bool(0.3) {
        let group = place.groups.choose(random).filter(|_| random.random_bool(0.6));
        let count = random.random_range(1..4);
        let mut ids: Vec<String> = match group {
            Some(group) => group.clone(),
            None => (0..count).map(|_| few(random, place)).collect(),
        };
        ids.sort();
        ids.dedup();
        return UnitSelector { ids, ..Default::default() };
    }
    let under = if random.random_bool(0.65) { place.province.clone() } else { few(random, place) };
    let level = if random.random_bool(0.5) { (*LEVELS.choose(random).unwrap()).into() } else { 0 };
    UnitSelector { under, level, ids: Vec::new() }
}

fn reports(random: &mut StdRng, place: &Place) -> ReportFilter {
    let mut filter = ReportFilter::default();
    match random.random_range(0..6) {
        0 => filter.organ = Organ::Party.into(),
        1 => filter.organ = Organ::PeoplesCouncil.into(),
        2 => filter.issuer = place.any_id(random),
        3 => filter.form = "form".to_owned(),
        4 => filter.source = chosen(random, &["source 1", "source 2", "urn:x"]).to_owned(),
        _ => {
            let bases = [Basis::Actual, Basis::Estimate, Basis::Planned];
            let some = random.random_range(1..3);
            filter.basis = bases.choose_multiple(random, some).map(|basis| (*basis).into()).collect();
        }
    }
    filter
}

fn filter(random: &mut StdRng) -> UnitFilter {
    use unit_filter::Value;
    let value = |indicator: &str| Value { indicator: indicator.to_owned(), ..Default::default() };
    let condition = match random.random_range(0..37) / 4 {
        0 | 1 => {
            let some = random.random_range(1..3);
            let values = ["mountain", "plain"].choose_multiple(random, some).map(|value| (*value).to_owned());
            Condition::Attribute(Attribute { key: "terrain".to_owned(), values: values.collect() })
        }
        2 => Condition::Kind(chosen(random, &["Xã", "Phường"]).to_owned()),
        3 | 4 => Condition::Value(Value { flag: Some(random.random_bool(0.6)), ..value(chosen(random, &FLAGS)) }),
        5 => {
            let some = random.random_range(1..3);
            let codes = GRADES.choose_multiple(random, some).map(|code| (*code).to_owned()).collect();
            Condition::Value(Value { codes, ..value("grade") })
        }
        6 => Condition::Value(Value {
            more_than: at_times(random, 0.5, "2"),
            at_most: chosen(random, &["4", "6", "1000"]).to_owned(),
            ..value(chosen(random, &["members", "visits", "members", "balance"]))
        }),
        7 => Condition::Value(Value {
            at_least: chosen(random, &["0.25", "0.5"]).to_owned(),
            less_than: at_times(random, 0.5, "0.75"),
            ..value(chosen(random, &["attended", "quota", "solved"]))
        }),
        8 => Condition::Value(Value {
            at_least: chosen(random, &["1000", "2500000"]).to_owned(),
            ..value(chosen(random, &["funds", "spent", "funds"]))
        }),
        // A number is no flag.
        _ => Condition::Value(Value { flag: Some(true), ..value("members") }),
    };
    UnitFilter { condition: Some(condition) }
}

fn common(random: &mut StdRng, place: &Place) -> Question {
    let time = match random.random_range(0..10) {
        0..5 => Time::On(chosen(random, &DAYS).to_owned()),
        5..9 => Time::Period(chosen(random, &PERIODS).to_owned()),
        _ => {
            let (from, to, step) = *SPANS.choose(random).unwrap();
            Time::Span { from: from.to_owned(), to: to.to_owned(), step }
        }
    };
    let groups = ["", "", "UNIT", "KIND", "terrain", "PROVINCE", "DISTRICT", "COMMUNE", "river"];
    let filters = match random.random_range(0..20) {
        0..14 => 0,
        14..19 => 1,
        _ => 2,
    };
    let day = chosen(random, &DAYS);
    Question {
        units: selector(random, place),
        group_by: chosen(random, &groups).to_owned(),
        time,
        boundaries_on: at_times(random, 0.25, day),
        last_known: random.random_bool(0.25),
        published_until: if random.random_bool(0.25) { chosen(random, &DAYS).to_owned() } else { String::new() },
        filters: (0..filters).map(|_| filter(random)).collect(),
        reports: if random.random_bool(0.15) { reports(random, place) } else { ReportFilter::default() },
        coverage_min: if random.random_bool(0.1) {
            chosen(random, &["0.3", "0.5", "1"]).to_owned()
        } else {
            String::new()
        },
        ..Default::default()
    }
}
