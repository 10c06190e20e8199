//! A random world: what is defined, and what reports say.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{
    Indicator, Observation, Report, Source,
    indicator::{Dimension, RollUp, Temporality, ValueKind},
    observation::{Basis, Missing, Money, Qualifier, Ratio, Scope, Value, money::Scale},
    unit::Organ,
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    naive::World,
    share::{Place, at_times},
    support::{indicator, observation},
};

/// Everything that is asked about.
pub const FLAGS: [&str; 2] = ["chairs", "online"];
pub const NUMBERS: [&str; 11] =
    ["visits", "members", "spent", "funds", "balance", "solved", "attended", "quota", "rate", "rated", "cases"];
/// Numbers that add, and that may stand below one another.
pub const SUMS: [&str; 5] = ["visits", "members", "spent", "funds", "cases"];
pub const RATINGS: [&str; 3] = ["good", "fair", "poor"];
pub const TOPICS: [&str; 4] = ["land", "tax", "roads", "water"];
pub const GRADES: [&str; 3] = ["a", "b", "c"];

/// What is defined.
pub fn indicators() -> Vec<Indicator> {
    use {RollUp as R, Temporality as T, ValueKind as K};
    let all = [
        ("chairs", K::Flag, T::State, R::ShareOfUnits),
        ("online", K::Flag, T::State, R::ShareOfUnits),
        ("visits", K::Count, T::Flow, R::Sum),
        ("members", K::Count, T::Stock, R::Last),
        ("spent", K::Money, T::Flow, R::Sum),
        ("funds", K::Money, T::Stock, R::Last),
        ("balance", K::Decimal, T::Stock, R::Sum),
        ("solved", K::Ratio, T::Flow, R::RatioOfSums),
        ("attended", K::Ratio, T::Stock, R::RatioOfSums),
        ("quota", K::Ratio, T::Stock, R::None),
        ("rate", K::Percent, T::Stock, R::None),
        ("rated", K::Count, T::Flow, R::Distribution),
        ("cases", K::Count, T::Stock, R::Sum),
        ("grade", K::Category, T::State, R::Distribution),
    ];
    let texts = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<String>>();
    let define = |(id, kind, temporality, roll_up): (&str, K, T, R)| Indicator {
        temporality: temporality.into(),
        roll_up: roll_up.into(),
        unit_of_measure: if kind == K::Count { format!("{id} counted") } else { String::new() },
        codes: if id == "grade" { texts(&GRADES) } else { Vec::new() },
        dimensions: match id {
            "rated" => vec![Dimension { id: "rating".to_owned(), codes: texts(&RATINGS), closed: true }],
            "cases" => vec![Dimension { id: "topic".to_owned(), codes: texts(&TOPICS[..2]), closed: false }],
            _ => Vec::new(),
        },
        ..indicator(id, kind)
    };
    all.into_iter().map(define).collect()
}

const PERIODS: [&str; 26] = [
    "2012",
    "2012",
    "2012",
    "2012-S1",
    "2012-S1",
    "2012-S2",
    "2012-Q1",
    "2012-Q2",
    "2012-Q2",
    "2012-Q3",
    "2012-Q4",
    "2012-06",
    "2012-07",
    "2012-08",
    "2012-06/2012-08",
    "2012-06-15",
    "2011",
    "2011/2012",
    "2013",
    "2013",
    "2014",
    "../2013",
    "2012/..",
    "2010/2016",
    "2015-S1",
    "2016",
];

/// Periods that follow each other, over the same days as others do.
const PARTS: [&[&str]; 6] = [
    &["2012-S1", "2012-S2"],
    &["2012-Q1", "2012-Q2", "2012-S2"],
    &["2012-Q1", "2012-Q2", "2012-Q3", "2012-Q4"],
    &["2012-S1", "2012-07", "2012-08", "2012-09/2012-12"],
    &["2012", "2013"],
    &["2011", "2012"],
];

/// A unit; most is said by few, and of few.
pub fn few(random: &mut StdRng, place: &Place) -> String {
    let few = place.ids.len().min(7);
    if random.random_bool(0.7) { place.ids[..few].choose(random).unwrap().clone() } else { place.any_id(random) }
}

/// Some reports: one on many indicators, or several of one unit on those that add up over time.
pub fn reports(random: &mut StdRng, place: &mut Place, naive: &World) -> Vec<Report> {
    let unit = few(random, place);
    let defined = indicators();
    let flows: Vec<&Indicator> =
        defined.iter().filter(|indicator| indicator.temporality() == Temporality::Flow).collect();
    let all: Vec<&Indicator> = defined.iter().collect();
    if random.random_bool(0.15) {
        let parts = PARTS.choose(random).unwrap();
        return parts.iter().map(|period| report(random, place, naive, (&unit, period), &flows, 7)).collect();
    }
    let count = random.random_range(8..24);
    let period = *PERIODS.choose(random).unwrap();
    vec![report(random, place, naive, (&unit, period), &all, count)]
}

fn report(
    random: &mut StdRng,
    place: &mut Place,
    naive: &World,
    (unit, period): (&str, &str),
    indicators: &[&Indicator],
    count: usize,
) -> Report {
    let days = ["", "", "2012-06-20", "2012-12-20", "2013-12-31", "2013-12-31", "2016-01-01", "2020-01-01"];
    let organs = [Organ::Unspecified, Organ::Party, Organ::Unspecified, Organ::PeoplesCouncil];
    let mut observations: Vec<Observation> = Vec::new();
    let mut said: BTreeSet<(String, BTreeMap<String, String>, Scope)> = BTreeSet::new();
    for _ in 0..count {
        let indicator = *indicators.choose(random).unwrap();
        let all = split(random, indicator);
        let scope = match random.random_range(0..20) {
            0..16 => Scope::Unspecified,
            16 => Scope::Children,
            17..19 => Scope::Subtree,
            _ => Scope::Group,
        };
        let units = if scope == Scope::Group { place.group(random, naive) } else { Vec::new() };
        for by in all {
            // Of the unit itself, or of a group in which it may be: which of the two counts, is not defined.
            let of = if scope == Scope::Group { Scope::Unspecified } else { scope };
            if !said.insert((indicator.id.clone(), by.clone(), of)) {
                continue;
            }
            let (value, qualifier) = value(random, indicator, scope);
            let is_number = !matches!(value, Value::Flag(_) | Value::Missing(_) | Value::Category(_));
            let bases = [
                Basis::Unspecified,
                Basis::Unspecified,
                Basis::Unspecified,
                Basis::Actual,
                Basis::Estimate,
                Basis::Planned,
            ];
            observations.push(Observation {
                stated_percent: at_times(random, if is_number && !by.is_empty() { 0.6 } else { 0.0 }, "33.3"),
                by,
                scope: scope.into(),
                units: units.clone(),
                qualifier: qualifier.into(),
                basis: (*bases.choose(random).unwrap()).into(),
                ..observation(&indicator.id, value)
            });
        }
    }
    Report {
        unit: unit.to_owned(),
        period: period.to_owned(),
        organ: (*organs.choose(random).unwrap()).into(),
        issuer: if random.random_bool(0.15) { place.any_id(random) } else { String::new() },
        form: at_times(random, 0.2, "form"),
        source: Some(Source {
            title: format!("source {}", random.random_range(0..7)),
            uri: at_times(random, 0.1, "urn:x"),
            published_on: (*days.choose(random).unwrap()).to_owned(),
            ..Default::default()
        }),
        observations,
        ..Default::default()
    }
}

/// The classes that a report gives of an indicator: none, or some.
fn split(random: &mut StdRng, indicator: &Indicator) -> Vec<BTreeMap<String, String>> {
    let Some(dimension) = indicator.dimensions.first().filter(|_| random.random_bool(0.8)) else {
        return vec![BTreeMap::new()];
    };
    let codes = if dimension.closed { &RATINGS[..] } else { &TOPICS[..] };
    let some = if random.random_bool(0.6) { codes.len() } else { random.random_range(1..codes.len()) };
    codes.choose_multiple(random, some).map(|code| [(dimension.id.clone(), (*code).to_owned())].into()).collect()
}

fn value(random: &mut StdRng, indicator: &Indicator, scope: Scope) -> (Value, Qualifier) {
    if random.random_bool(0.1) {
        let missing = [Missing::NotReported, Missing::NotApplicable, Missing::Withheld];
        return (Value::Missing((*missing.choose(random).unwrap()).into()), Qualifier::Unspecified);
    }
    let qualifiers = [
        Qualifier::Exact,
        Qualifier::MoreThan,
        Qualifier::AtLeast,
        Qualifier::LessThan,
        Qualifier::AtMost,
        Qualifier::About,
    ];
    let is_plain = random.random_bool(0.82);
    let qualifier = if is_plain { Qualifier::Unspecified } else { *qualifiers.choose(random).unwrap() };
    let ratio = |random: &mut StdRng| {
        let denominator = random.random_range(3..12);
        // Room above and below for what the qualifier says.
        let numerator =
            if is_plain { random.random_range(0..=denominator) } else { random.random_range(1..denominator) };
        Value::Ratio(Ratio { numerator: Some(numerator), denominator: Some(denominator) })
    };
    let percents = ["33.3", "33.30", "12.7", "50.0", "98", "1.25"];
    let value = match indicator.value_kind() {
        ValueKind::Flag if matches!(scope, Scope::Children | Scope::Subtree) || random.random_bool(0.1) => {
            // Of one unit it is no share.
            if scope == Scope::Unspecified {
                return (Value::Flag(random.random_bool(0.6)), Qualifier::Unspecified);
            }
            match random.random_bool(0.5) {
                true => Value::Percent((*percents.choose(random).unwrap()).to_owned()),
                false => ratio(random),
            }
        }
        ValueKind::Flag => return (Value::Flag(random.random_bool(0.6)), Qualifier::Unspecified),
        ValueKind::Category => {
            return (Value::Category((*GRADES.choose(random).unwrap()).to_owned()), Qualifier::Unspecified);
        }
        ValueKind::Count => {
            let small = random.random_bool(0.7);
            let least = i64::from(!is_plain);
            Value::Count(if small { random.random_range(least..8) } else { random.random_range(least..3000) })
        }
        ValueKind::Decimal => {
            Value::Decimal((*["-3.5", "-0.25", "0.0", "4", "4.00", "12.125", "7.5"].choose(random).unwrap()).to_owned())
        }
        ValueKind::Percent => Value::Percent((*percents.choose(random).unwrap()).to_owned()),
        ValueKind::Ratio => ratio(random),
        _ => {
            let scales = [Scale::Unspecified, Scale::Unit, Scale::Thousand, Scale::Million, Scale::Billion];
            Value::Money(Money {
                amount: (*["1", "2.5", "169", "0.0020", "1000", "40.75"].choose(random).unwrap()).to_owned(),
                scale: (*scales.choose(random).unwrap()).into(),
                currency: (if random.random_bool(0.15) { "USD" } else { "VND" }).to_owned(),
            })
        }
    };
    (value, qualifier)
}
