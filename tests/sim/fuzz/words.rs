//! Random messages from their descriptors, of words that mean something and words that mean nothing.

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use proto::v1;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

const IDS: [&str; 12] = ["vn", "p", "d", "c0", "c1", "c2", "e1", "reports/20", "reports/21", "f", "kind", "terrain"];
const INDICATORS: [&str; 6] = ["flag", "count", "ratio", "money", "decimal", "category"];
const DAYS: [&str; 10] = [
    "2017-06-30",
    "2017-01-01",
    "2016-12-31",
    "2020-02-29",
    "2021-02-29",
    "0001-01-01",
    "9999-12-31",
    "2016",
    "2016-05",
    "-9999-01-01",
];
const PERIODS: [&str; 10] = [
    "2017",
    "2017-Q2",
    "2017-06",
    "2017-H1",
    "2017-06-30",
    "2017-01-01/2017-06-30",
    "2016..2020",
    "term:t",
    "9999",
    "0000-Q5",
];
const NUMBERS: [&str; 9] =
    ["0", "1", "-1", "0.5", "66.67", "9999999999999999999999999999", "1e999", "NaN", "-0.0000000000000000000000000001"];
const NAMES: [&str; 8] = ["UNIT", "PROVINCE", "COMMUNE", "KIND", "terrain", "Xã Đại Từ", "t", "en"];
const NONSENSE: [&str; 7] = ["", " ", "\0", "a\u{202e}b", "ｆｕｌｌ", "e\u{301}", "::/..\\"];
const INTEGERS: [i64; 12] = [0, 1, 2, 3, -1, 10, 100, 2015, 1_000_000, i64::MAX, i64::MIN, i32::MAX as i64 + 1];
const DEPTH_MAX: usize = 6;
const TOKENS_MAX: usize = 64;

/// Words, and tokens that answers have given.
#[derive(Default)]
pub struct Words {
    tokens: Vec<String>,
}

impl Words {
    /// A message of that type.
    pub fn message(&self, random: &mut StdRng, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            let probability = match (depth, field.name()) {
                (0, "at_least_revision" | "page_token" | "resume_token" | "expected_revision") => 0.1,
                (
                    _,
                    "indicator" | "indicators" | "units" | "report" | "observations" | "unit" | "id" | "source"
                    | "title",
                ) => 0.9,
                (_, "under" | "level" | "name" | "parent" | "change" | "record_time" | "revision" | "citation") => 0.8,
                (DEPTH_MAX.., _) => 0.0,
                _ if field.containing_oneof().is_some() => 0.5,
                _ => 0.3,
            };
            if depth <= DEPTH_MAX && random.random_bool(probability) {
                let value = self.field(random, &field, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&self, random: &mut StdRng, field: &FieldDescriptor, depth: usize) -> Value {
        let count = *[0, 1, 1, 1, 2, 3].choose(random).expect("it has some");
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { unreachable!("a map is one") };
            let value = entry.map_entry_value_field();
            let pairs =
                (0..count).map(|_| (MapKey::String(self.word(random, "name")), self.single(random, &value, depth)));
            return Value::Map(pairs.collect());
        }
        if field.is_list() {
            return Value::List((0..count).map(|_| self.single(random, field, depth)).collect());
        }
        self.single(random, field, depth)
    }

    fn single(&self, random: &mut StdRng, field: &FieldDescriptor, depth: usize) -> Value {
        let integer = |random: &mut StdRng| {
            if random.random_bool(0.8) { *INTEGERS.choose(random).expect("it has some") } else { random.random() }
        };
        match field.kind() {
            Kind::Bool => Value::Bool(random.random()),
            Kind::String => Value::String(self.word(random, field.name())),
            Kind::Bytes => {
                let length = *[0, 3, 16, 32].choose(random).expect("it has some");
                Value::Bytes((0..length).map(|_| random.random::<u8>()).collect::<Vec<u8>>().into())
            }
            Kind::Message(message) => Value::Message(self.message(random, &message, depth + 1)),
            Kind::Enum(kind) => {
                let known: Vec<i32> = kind.values().map(|value| value.number()).collect();
                let any = random.random_bool(0.05).then(|| random.random());
                Value::EnumNumber(any.unwrap_or_else(|| *known.choose(random).expect("it has some")))
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(integer(random)),
            #[allow(clippy::cast_possible_truncation, reason = "any number will do")]
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(integer(random) as i32),
            kind => Value::default_value(&kind),
        }
    }

    /// A word that fits the name of a field, mostly.
    fn word(&self, random: &mut StdRng, field: &str) -> String {
        let any = [&IDS[..], &INDICATORS, &DAYS, &PERIODS, &NUMBERS, &NAMES, &NONSENSE];
        let fits: &[&str] = match field {
            _ if random.random_bool(0.07) => any.choose(random).expect("it has some"),
            "page_token" | "resume_token" | "citation" if !self.tokens.is_empty() => {
                return self.tokens.choose(random).expect("it has some").clone();
            }
            "request_id" => return uuid::Uuid::from_u128(random.random_range(0..1000)).to_string(),
            "period" | "from" | "to" => &PERIODS,
            "decimal" | "percent" | "stated_percent" | "amount" | "coverage_min" => &NUMBERS,
            "group_by" | "name" | "key" | "kind" | "title" | "note" | "label" | "code" => &NAMES,
            field if field.contains("indicator") => &INDICATORS,
            field
                if field.ends_with("_on") || field.ends_with("_until") || field.ends_with("_from") || field == "on" =>
            {
                &DAYS
            }
            _ => &IDS,
        };
        let word = *fits.choose(random).expect("it has some");
        if random.random_bool(0.01) { word.repeat(500) } else { word.to_owned() }
    }

    /// Keeps the tokens of an answer.
    pub fn learn(&mut self, random: &mut StdRng, pool: &DescriptorPool, request: &str, answer: &[u8]) {
        let name = format!("tonghop.v1.{}", request.replace("Request", "Response"));
        let Some(Ok(answer)) = pool.get_message_by_name(&name).map(|kind| DynamicMessage::decode(kind, answer)) else {
            return;
        };
        let meta = answer.get_field_by_name("meta").and_then(|meta| meta.as_message().cloned());
        let citation = meta.and_then(|meta| Some(meta.get_field_by_name("citation")?.into_owned()));
        let others =
            ["next_page_token", "resume_token"].map(|field| Some(answer.get_field_by_name(field)?.into_owned()));
        for token in others.into_iter().chain([citation]).flatten() {
            let Some(token) = token.as_str().filter(|token| !token.is_empty()) else { continue };
            if self.tokens.len() < TOKENS_MAX {
                self.tokens.push(token.to_owned());
            } else {
                self.tokens[random.random_range(0..TOKENS_MAX)] = token.to_owned();
            }
        }
    }
}

/// A report that is right, mostly.
pub fn report(random: &mut StdRng) -> Vec<u8> {
    use v1::observation::{Ratio, Value};
    let number = random.random_range(0..20);
    let value = |random: &mut StdRng, indicator: &str| match indicator {
        "flag" => Value::Flag(random.random()),
        "count" => Value::Count(number),
        "decimal" => Value::Decimal(number.to_string()),
        _ => Value::Ratio(Ratio { numerator: Some(number), denominator: Some(20) }),
    };
    let observation = |random: &mut StdRng, indicator: &str| v1::Observation {
        indicator: indicator.into(),
        value: Some(value(random, indicator)),
        ..Default::default()
    };
    let indicators = ["flag", "count", "ratio", "decimal"].choose_multiple(random, 2).collect::<Vec<_>>();
    let report = v1::Report {
        unit: ["p", "d", "c0", "c1", "c2"].choose(random).expect("it has some").to_string(),
        period: PERIODS[..6].choose(random).expect("it has some").to_string(),
        source: Some(v1::Source {
            title: NAMES.choose(random).expect("it has some").to_string(),
            ..Default::default()
        }),
        observations: indicators.into_iter().map(|indicator| observation(random, indicator)).collect(),
        ..Default::default()
    };
    v1::SubmitReportRequest { report: Some(report), ..Default::default() }.encode_to_vec()
}

/// Changes some of the bytes.
pub fn damage(random: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..4) {
        let place = random.random_range(0..=bytes.len());
        match random.random_range(0..4) {
            0 => bytes.insert(place, random.random()),
            1 => bytes.truncate(place),
            _ if place == bytes.len() => {}
            2 => drop(bytes.remove(place)),
            _ => bytes[place] ^= 1 << random.random_range(0..8),
        }
    }
}

/// The requests that make the small world in which words mean something.
pub fn world() -> Vec<(&'static str, Vec<u8>)> {
    use v1::{indicator::ValueKind, unit::Level};
    let unit = |id: &str, level: Level, parent: &str| v1::Unit {
        id: id.into(),
        level: level.into(),
        name: format!("Unit {id}"),
        parent: parent.into(),
        ..Default::default()
    };
    let units = vec![
        unit("vn", Level::Country, ""),
        unit("p", Level::Province, "vn"),
        unit("d", Level::District, "p"),
        unit("c0", Level::Commune, "d"),
        unit("c1", Level::Commune, "d"),
        unit("c2", Level::Commune, "d"),
    ];
    let kinds = [ValueKind::Flag, ValueKind::Count, ValueKind::Ratio, ValueKind::Money, ValueKind::Decimal];
    let indicators = INDICATORS.iter().zip(kinds).map(|(id, kind)| indicator(id, kind)).collect();
    vec![
        (
            "RegisterUnitsRequest",
            v1::RegisterUnitsRequest { units, complete_from: "2010-01-01".into(), ..Default::default() }
                .encode_to_vec(),
        ),
        ("DefineIndicatorsRequest", v1::DefineIndicatorsRequest { indicators, ..Default::default() }.encode_to_vec()),
    ]
}

fn indicator(id: &str, kind: v1::indicator::ValueKind) -> v1::Indicator {
    use v1::indicator::{RollUp, Temporality, ValueKind};
    let (temporality, roll_up) = match kind {
        ValueKind::Flag => (Temporality::State, RollUp::ShareOfUnits),
        ValueKind::Ratio => (Temporality::Flow, RollUp::RatioOfSums),
        _ => (Temporality::Flow, RollUp::Sum),
    };
    v1::Indicator {
        id: id.into(),
        names: [("en".into(), id.into())].into(),
        value_kind: kind.into(),
        temporality: temporality.into(),
        roll_up: roll_up.into(),
        ..Default::default()
    }
}
